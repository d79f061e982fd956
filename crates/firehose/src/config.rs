//! The destination of a delivery stream, as requests have it, and what is made of it; that of an HTTP endpoint is in `endpoint::config`,
//! that of an index in `index::config`, and that of a table in `redshift::config`. Source: the service model; docs/spec/sinks.md 2 and 8.
//!
//! What is stored is the request's own JSON, so that a description says again what was asked for; it is read and checked whole before it is
//! stored, and again when a stream is started.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tailrace_core::EpochMs;
use tailrace_sinks::objects::joined;
use tailrace_sinks::objects::partition::Expression;
use tailrace_sinks::objects::prefix::{Facts, KeySource, PREFIX_CHARS_MAX, Prefix, Zone};
use tailrace_sinks::objects::store::check_key;

use crate::compress::Compression;
use crate::endpoint::config as endpoint;
use crate::index::config as index;
use crate::limits::{
    INTERVAL, INVOKE_BYTES, INVOKE_BYTES_RANGE, PARTITIONED_SIZE_MIB_MIN, RETRIES, RETRIES_MAX, RETRY, SIZE_MIB,
};
use crate::redshift::{self, Table};
use crate::remote::Remote;

/// Longest FileExtension. The model has 128; with the rest of a name it would be longer than what file systems take.
const EXTENSION_BYTES_MAX: usize = 100;

/// A destination cannot be as it is asked for: an InvalidArgumentException.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

pub(crate) fn wrong<T>(text: impl Into<String>) -> Result<T, ConfigError> {
    Err(ConfigError(text.into()))
}

/// What a destination is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A bucket.
    #[default]
    S3,
    /// An HTTP endpoint.
    HttpEndpoint,
    /// An index of OpenSearch.
    OpenSearch,
    /// An index of Elasticsearch: the same under an older name.
    Elasticsearch,
    /// An index of OpenSearch Serverless.
    OpenSearchServerless,
    /// A table of Redshift.
    Redshift,
}

impl Kind {
    /// The kind whose configuration, update and description have this name before those words.
    pub(crate) fn named(name: &str) -> Option<Kind> {
        match name {
            "S3" | "ExtendedS3" => Some(Kind::S3),
            "HttpEndpoint" => Some(Kind::HttpEndpoint),
            "Amazonopensearchservice" => Some(Kind::OpenSearch),
            "Elasticsearch" => Some(Kind::Elasticsearch),
            "AmazonOpenSearchServerless" => Some(Kind::OpenSearchServerless),
            "Redshift" => Some(Kind::Redshift),
            _ => None,
        }
    }

    /// Its name in requests.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::S3 => "ExtendedS3",
            Kind::HttpEndpoint => "HttpEndpoint",
            Kind::OpenSearch => "Amazonopensearchservice",
            Kind::Elasticsearch => "Elasticsearch",
            Kind::OpenSearchServerless => "AmazonOpenSearchServerless",
            Kind::Redshift => "Redshift",
        }
    }

    fn is_index(self) -> bool {
        matches!(self, Kind::OpenSearch | Kind::Elasticsearch | Kind::OpenSearchServerless)
    }
}

/// A destination as it was asked for: the members of its configuration, in which there may be an access key or a password.
#[derive(Clone, PartialEq)]
pub struct Config {
    /// What it is.
    pub kind: Kind,
    /// The members.
    pub members: Map<String, Value>,
}

/// `ExtendedS3DestinationConfiguration`, `S3DestinationConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct S3 {
    #[serde(rename = "BucketARN")]
    bucket_arn: String,
    #[serde(rename = "RoleARN")]
    role_arn: String,
    prefix: Option<String>,
    error_output_prefix: Option<String>,
    buffering_hints: Option<BufferingHints>,
    compression_format: Option<Compression>,
    processing_configuration: Option<Processing>,
    s3_backup_mode: Option<String>,
    s3_backup_configuration: Option<Box<S3>>,
    data_format_conversion_configuration: Option<Switch>,
    dynamic_partitioning_configuration: Option<Switch>,
    file_extension: Option<String>,
    custom_time_zone: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct BufferingHints {
    #[serde(rename = "SizeInMBs")]
    size_mib: Option<u64>,
    interval_in_seconds: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Switch {
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct RetryOptions {
    pub(crate) duration_in_seconds: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Processing {
    enabled: Option<bool>,
    processors: Option<Vec<Processor>>,
}

impl Processing {
    /// The processors, if they are to process.
    pub(crate) fn processors(self) -> Vec<Processor> {
        if self.enabled == Some(true) { self.processors.unwrap_or_default() } else { Vec::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Processor {
    pub(crate) r#type: String,
    parameters: Option<Vec<Parameter>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Parameter {
    parameter_name: String,
    parameter_value: String,
}

/// A destination that was checked.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Where the records go, or, where they go elsewhere, what is not taken there.
    pub place: Place,
    /// Where they go elsewhere.
    pub remote: Option<Remote>,
    /// What is loaded from the place.
    pub table: Option<Table>,
    /// The names of what could not be processed.
    pub errors: Prefix,
    /// Where the records go as they came, too.
    pub backup: Option<Place>,
    /// Most bytes of a flush.
    pub bytes_max: usize,
    /// How long records are gathered.
    pub window: Duration,
    /// The function that transforms them.
    pub function: Option<Function>,
    /// What follows each record.
    pub delimiter: Vec<u8>,
    /// The partition keys that are found in records.
    pub queries: Vec<(String, Expression)>,
    /// Each flush is parted by the keys.
    pub is_partitioned: bool,
}

/// A bucket, and the form of objects there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The bucket's name.
    pub bucket: String,
    /// The names of objects.
    pub prefix: Prefix,
    /// Where times are told.
    pub zone: Zone,
    /// How they are compressed.
    pub compression: Compression,
    /// What their names end in.
    pub extension: String,
}

/// A function that transforms records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its ARN, as it was given.
    pub arn: String,
    /// Tries after the first that fails.
    pub retries: u32,
    /// Most bytes of the records of one invocation.
    pub bytes_max: usize,
}

/// Reads a destination.
///
/// # Errors
/// What it cannot have.
pub fn read(config: &Config) -> Result<Destination, ConfigError> {
    match config.kind {
        Kind::S3 => of_bucket(&config.members),
        Kind::HttpEndpoint => endpoint::read(&config.members),
        kind @ (Kind::OpenSearch | Kind::Elasticsearch) => index::read(kind, &config.members),
        Kind::OpenSearchServerless => index::read_collection(&config.members),
        Kind::Redshift => redshift::config::read(&config.members),
    }
}

fn of_bucket(config: &Map<String, Value>) -> Result<Destination, ConfigError> {
    let config: S3 = serde_json::from_value(Value::Object(config.clone()))
        .map_err(|error| ConfigError(format!("ExtendedS3DestinationConfiguration: {error}")))?;
    if config.data_format_conversion_configuration.is_some_and(Switch::is_on) {
        return wrong(
            "DataFormatConversionConfiguration is not supported by Tailrace: a sink of a table writes Parquet (docs/sinks.md, Objects)",
        );
    }
    let is_partitioned = config.dynamic_partitioning_configuration.is_some_and(Switch::is_on);
    let mut destination = Destination::new(&config, config.buffering_hints, is_partitioned)?;
    destination.backup = backup(config.s3_backup_mode.as_deref(), config.s3_backup_configuration.as_deref())?;
    for processor in config.processing_configuration.unwrap_or_default().processors() {
        destination.add(&processor)?;
    }
    destination.check_keys()?;
    Ok(destination)
}

/// Where records go as they came, beside their destination.
pub(crate) fn backup(mode: Option<&str>, to: Option<&S3>) -> Result<Option<Place>, ConfigError> {
    match (mode, to) {
        (Some("Enabled"), Some(to)) => {
            buffering(to.buffering_hints, false)?;
            place(to).map(Some)
        }
        (Some("Enabled"), None) => wrong("S3BackupConfiguration must be given when S3BackupMode is Enabled."),
        _ => Ok(None),
    }
}

impl S3 {
    /// How records are gathered for it.
    pub(crate) fn buffering_hints(&self) -> Option<BufferingHints> {
        self.buffering_hints
    }

    /// Its names are more than a prefix of records.
    pub(crate) fn has_expressions(&self) -> bool {
        let is_given = |text: &String| !text.is_empty();
        self.prefix.as_ref().is_some_and(|prefix| prefix.contains("!{"))
            || self.error_output_prefix.as_ref().is_some_and(is_given)
    }
}

impl Switch {
    /// A conversion that is there without `Enabled` is on.
    pub(crate) fn is_on(self) -> bool {
        self.enabled != Some(false)
    }
}

fn buffering(hints: Option<BufferingHints>, is_partitioned: bool) -> Result<(usize, Duration), ConfigError> {
    let BufferingHints { size_mib, interval_in_seconds } = hints.unwrap_or_default();
    if hints.is_some() && size_mib.is_some() != interval_in_seconds.is_some() {
        return wrong("BufferingHints: SizeInMBs and IntervalInSeconds are given together, or neither of them.");
    }
    let size_mib = size_mib.unwrap_or(if is_partitioned { PARTITIONED_SIZE_MIB_MIN } else { SIZE_MIB });
    let window = interval_in_seconds.map_or(INTERVAL, Duration::from_secs);
    if is_partitioned && size_mib < PARTITIONED_SIZE_MIB_MIN {
        return wrong(format!(
            "BufferingHints.SizeInMBs must be at least {PARTITIONED_SIZE_MIB_MIN} when Dynamic Partitioning is enabled."
        ));
    }
    if is_partitioned && window.is_zero() {
        return wrong("BufferingHints.IntervalInSeconds cannot be 0 when Dynamic Partitioning is enabled.");
    }
    Ok(((size_mib as usize) << 20, window))
}

/// The name of the bucket of an ARN.
fn bucket_of(arn: &str) -> Result<&str, ConfigError> {
    let bucket = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":s3:::")).map(|(_, bucket)| bucket);
    let is_name = |bucket: &&str| {
        !bucket.is_empty()
            && bucket.len() <= 255
            && !matches!(*bucket, "." | "..")
            && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
    };
    bucket.filter(is_name).ok_or_else(|| ConfigError(format!("{arn:?} is no ARN of a bucket: arn:aws:s3:::BUCKET is")))
}

fn place(config: &S3) -> Result<Place, ConfigError> {
    let compression = config.compression_format.unwrap_or_default();
    if !compression.is_here() {
        return wrong(format!(
            "CompressionFormat {} is not supported by Tailrace: UNCOMPRESSED and GZIP are",
            compression.name()
        ));
    }
    let text = |error: &dyn std::fmt::Display| ConfigError(error.to_string());
    let (prefix, _) = Prefix::parse_pair(config.prefix.as_deref(), config.error_output_prefix.as_deref())
        .map_err(|error| text(&error))?;
    let zone = match config.custom_time_zone.as_deref().filter(|zone| !zone.is_empty()) {
        None => Zone::UTC,
        Some(zone) => Zone::parse(zone).map_err(|error| ConfigError(format!("CustomTimeZone: {error}")))?,
    };
    let extension = config.file_extension.clone().filter(|extension| !extension.is_empty());
    if let Some(extension) = &extension {
        let is_sound = (2..=EXTENSION_BYTES_MAX).contains(&extension.len())
            && extension.starts_with('.')
            && extension[1..]
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!-_.*'()".contains(&byte));
        if !is_sound {
            return wrong(format!(
                "FileExtension {extension:?} is none: a period, then a-z, 0-9 and !-_.*'(), {EXTENSION_BYTES_MAX} characters at most"
            ));
        }
    }
    Ok(Place {
        bucket: bucket_of(&config.bucket_arn)?.to_owned(),
        prefix,
        zone,
        compression,
        extension: extension.unwrap_or_else(|| compression.extension().to_owned()),
    })
}

/// Longest name of an object behind its prefix: the stream's, its version, the time, and the flush's, with `-` between.
const NAME_CHARS_MAX: usize = 64 + 1 + 10 + 1 + 19 + 1 + 36 + EXTENSION_BYTES_MAX;

/// Whether what a prefix makes can stand in a name at all: values of keys apart, it is the same each time.
fn sample(prefix: &Prefix, keys: &[&str]) -> Result<(), ConfigError> {
    let keys: Vec<_> = keys.iter().map(|name| (*name, "x".into())).collect();
    let facts =
        Facts { oldest: EpochMs::ZERO, zone: Zone::UTC, seed: "", error_type: "processing-failed", keys: &keys };
    let evaluated = prefix.evaluate(&facts);
    let chars = evaluated.chars().count();
    if chars > PREFIX_CHARS_MAX {
        return wrong(format!("Prefix: it makes {chars} characters; {PREFIX_CHARS_MAX} are the most"));
    }
    let key = joined(&evaluated, &"x".repeat(NAME_CHARS_MAX));
    check_key(&key).map_err(|error| ConfigError(format!("Prefix: {error}")))
}

impl Destination {
    /// One that is in a bucket, without a backup and without processing.
    pub(crate) fn new(
        s3: &S3,
        hints: Option<BufferingHints>,
        is_partitioned: bool,
    ) -> Result<Destination, ConfigError> {
        let (bytes_max, window) = buffering(hints, is_partitioned)?;
        buffering(s3.buffering_hints, is_partitioned)?;
        let place = place(s3)?;
        let errors = Prefix::parse_pair(s3.prefix.as_deref(), s3.error_output_prefix.as_deref())
            .map_err(|error| ConfigError(error.to_string()))?
            .1;
        sample(&errors, &[])?;
        Ok(Destination {
            place,
            remote: None,
            table: None,
            errors,
            backup: None,
            bytes_max,
            window,
            function: None,
            delimiter: Vec::new(),
            queries: Vec::new(),
            is_partitioned,
        })
    }

    /// Adds what goes with a destination that is no bucket: a function.
    pub(crate) fn add_function(&mut self, processing: Option<Processing>, with: &str) -> Result<(), ConfigError> {
        for processor in processing.unwrap_or_default().processors() {
            if processor.r#type != "Lambda" {
                let kind = processor.r#type;
                return wrong(format!("Processors of the type {kind} do not go with {with}: Lambda does"));
            }
            self.add(&processor)?;
        }
        Ok(())
    }

    fn add(&mut self, processor: &Processor) -> Result<(), ConfigError> {
        let parameters = processor.parameters.as_deref().unwrap_or_default();
        let parameter = |name: &str| {
            parameters.iter().find(|parameter| parameter.parameter_name == name).map(|found| &*found.parameter_value)
        };
        match &*processor.r#type {
            "Lambda" => {
                if self.function.is_some() {
                    return wrong("There is more than one processor of the type Lambda.");
                }
                let Some(arn) = parameter("LambdaArn") else {
                    return wrong("A processor of the type Lambda needs the parameter LambdaArn.");
                };
                self.function = Some(Function {
                    arn: arn.to_owned(),
                    retries: number(parameter("NumberOfRetries"), "NumberOfRetries", RETRIES, |n| *n <= RETRIES_MAX)?,
                    bytes_max: (number(
                        parameter("BufferSizeInMBs"),
                        "BufferSizeInMBs",
                        INVOKE_BYTES as f64 / f64::from(1 << 20),
                        |n| INVOKE_BYTES_RANGE.contains(n),
                    )? * f64::from(1 << 20)) as usize,
                });
            }
            "AppendDelimiterToRecord" => {
                let delimiter = parameter("Delimiter").unwrap_or("\\n");
                self.delimiter = delimiter.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t").into_bytes();
            }
            "MetadataExtraction" => {
                let engine = parameter("JsonParsingEngine").unwrap_or("JQ-1.6");
                if engine != "JQ-1.6" {
                    return wrong(format!("JsonParsingEngine {engine} is unknown: JQ-1.6 is known"));
                }
                let Some(query) = parameter("MetadataExtractionQuery") else {
                    return wrong(
                        "A processor of the type MetadataExtraction needs the parameter MetadataExtractionQuery.",
                    );
                };
                self.queries = Expression::parse_object(query)
                    .map_err(|error| ConfigError(format!("MetadataExtractionQuery: {error}")))?;
            }
            other => {
                return wrong(format!(
                    "Processors of the type {other} are not supported by Tailrace: Lambda, MetadataExtraction and \
                     AppendDelimiterToRecord are"
                ));
            }
        }
        Ok(())
    }

    /// The prefix uses partition keys just where the stream is partitioned, and each has somebody who finds it.
    pub(crate) fn check_keys(&self) -> Result<(), ConfigError> {
        let keys: Vec<_> = self.place.prefix.partition_keys().collect();
        if self.is_partitioned && keys.is_empty() {
            return wrong("Prefix must use a partition key when Dynamic Partitioning is enabled.");
        }
        if !self.is_partitioned && !keys.is_empty() {
            return wrong("Prefix uses partition keys, and Dynamic Partitioning is not enabled.");
        }
        for (index, key) in keys.iter().enumerate() {
            let name = &key.name;
            if keys[..index].iter().any(|other| other.name == *name && other.from != key.from) {
                return wrong(format!(
                    "Prefix uses the key {name} of the records and of the function: name one of them otherwise."
                ));
            }
            match key.from {
                KeySource::Query if !self.queries.iter().any(|(other, _)| other == name) => {
                    return wrong(format!("Prefix uses the key {name}, which MetadataExtractionQuery has not."));
                }
                KeySource::Lambda if self.function.is_none() => {
                    return wrong(format!(
                        "Prefix uses the key {name} of a function, and there is no processor Lambda."
                    ));
                }
                _ => {}
            }
        }
        sample(&self.place.prefix, &keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>())?;
        match &self.backup {
            Some(backup) if backup.prefix.partition_keys().next().is_some() => {
                wrong("The Prefix of S3BackupConfiguration cannot use partition keys.")
            }
            Some(backup) => sample(&backup.prefix, &[]),
            None => Ok(()),
        }
    }
}

fn number<T: std::str::FromStr>(
    text: Option<&str>,
    name: &str,
    default: T,
    fits: impl Fn(&T) -> bool,
) -> Result<T, ConfigError> {
    let Some(text) = text else { return Ok(default) };
    let read = text.parse().ok().filter(fits);
    read.ok_or_else(|| ConfigError(format!("The parameter {name} cannot be {text:?}.")))
}

/// A destination as a description has it: with what applies where nothing was said, and without an access key or a password.
pub fn descriptions(config: &Config) -> Map<String, Value> {
    let shown = match config.kind {
        Kind::S3 => described(&config.members, true),
        Kind::HttpEndpoint => endpoint::described(&config.members),
        Kind::OpenSearch | Kind::Elasticsearch => index::described(&config.members),
        Kind::OpenSearchServerless => index::described_collection(&config.members),
        Kind::Redshift => redshift::config::described(&config.members),
    };
    let mut all = Map::from_iter([(format!("{}DestinationDescription", config.kind.name()), shown)]);
    if config.kind == Kind::S3 {
        all.insert("S3DestinationDescription".to_owned(), described(&config.members, false));
    }
    all
}

/// The members of the description of every destination that has a bucket beside it.
const BESIDE: [&str; 7] = [
    "RoleARN",
    "BufferingHints",
    "RetryOptions",
    "ProcessingConfiguration",
    "CloudWatchLoggingOptions",
    "S3BackupMode",
    "S3DestinationDescription",
];

/// The description of a destination that has a bucket beside it: of its members these, and the `others`.
pub(crate) fn described_beside(mut shown: Map<String, Value>, others: &[&str]) -> Value {
    let s3 = shown.remove("S3Configuration");
    let s3 = s3.as_ref().and_then(Value::as_object).map_or(Value::Null, |s3| described(s3, false));
    shown.insert("S3DestinationDescription".to_owned(), s3);
    or_hints(&mut shown, SIZE_MIB);
    or_members(&mut shown, "RetryOptions", [("DurationInSeconds", RETRY.as_secs().into())]);
    or(&mut shown, "CloudWatchLoggingOptions", json!({"Enabled": false}));
    let is_known = |name: &str| BESIDE.iter().chain(others).any(|known| *known == name);
    shown.retain(|name, value| is_known(name) && !value.is_null());
    Value::Object(shown)
}

/// Shows `value` where nothing is said.
pub(crate) fn or(shown: &mut Map<String, Value>, name: &str, value: Value) {
    let there = shown.entry(name).or_insert(Value::Null);
    if there.is_null() {
        *there = value;
    }
}

/// Shows of a structure the members that are not said.
pub(crate) fn or_members<const N: usize>(shown: &mut Map<String, Value>, name: &str, members: [(&str, Value); N]) {
    or(shown, name, json!({}));
    if let Some(said) = shown.get_mut(name).and_then(Value::as_object_mut) {
        members.into_iter().for_each(|(name, value)| or(said, name, value));
    }
}

/// Shows how records are buffered: as the service does where the hints do not say it.
pub(crate) fn or_hints(shown: &mut Map<String, Value>, size_mib: u64) {
    let hints = [("SizeInMBs", size_mib.into()), ("IntervalInSeconds", INTERVAL.as_secs().into())];
    or_members(shown, "BufferingHints", hints);
}

/// The description of a bucket.
pub(crate) fn described(config: &Map<String, Value>, extended: bool) -> Value {
    let mut shown = config.clone();
    if let Some(backup) = shown.remove("S3BackupConfiguration") {
        let backup = backup.as_object().map_or(Value::Null, |backup| described(backup, false));
        shown.insert("S3BackupDescription".to_owned(), backup);
    }
    let is_partitioned = shown.get("DynamicPartitioningConfiguration").is_some_and(|config| config["Enabled"] != false);
    or_hints(&mut shown, if is_partitioned { PARTITIONED_SIZE_MIB_MIN } else { SIZE_MIB });
    let mut or = |name: &str, value: Value| or(&mut shown, name, value);
    or("CompressionFormat", json!("UNCOMPRESSED"));
    or("EncryptionConfiguration", json!({"NoEncryptionConfig": "NoEncryption"}));
    or("CloudWatchLoggingOptions", json!({"Enabled": false}));
    or("Prefix", json!(""));
    if extended {
        or("S3BackupMode", json!("Disabled"));
    } else {
        let of_both = [
            "RoleARN",
            "BucketARN",
            "Prefix",
            "ErrorOutputPrefix",
            "BufferingHints",
            "CompressionFormat",
            "EncryptionConfiguration",
            "CloudWatchLoggingOptions",
        ];
        shown.retain(|name, _| of_both.contains(&name.as_str()));
    }
    Value::Object(shown)
}

/// What an update makes of a destination: what it names takes the place of what was there, unless that is of another kind.
pub fn updated(config: &Config, update: &Config) -> Config {
    let none = Map::new();
    let before = if config.kind == update.kind { &config.members } else { &none };
    let mut named = update.members.clone();
    if update.kind.is_index() {
        // An update has no such member: it stays as it was made.
        named.remove("S3BackupMode");
    }
    let mut members = merged(before, &named);
    let is_named = |name: &str| named.get(name).is_some_and(|value| !value.is_null());
    for (one, other) in [CLUSTERS, (CLUSTERS.1, CLUSTERS.0)] {
        if is_named(one) && !is_named(other) {
            members.remove(other);
        }
    }
    Config { kind: update.kind, members }
}

/// Of which one is given: who names one means it in the place of the other.
const CLUSTERS: (&str, &str) = ("DomainARN", "ClusterEndpoint");

/// The updates of inner buckets, and what they update.
const INNER: [(&str, &str); 2] = [("S3BackupUpdate", "S3BackupConfiguration"), ("S3Update", "S3Configuration")];

fn merged(config: &Map<String, Value>, update: &Map<String, Value>) -> Map<String, Value> {
    let mut made = config.clone();
    for (name, value) in update.iter().filter(|(_, value)| !value.is_null()) {
        if let Some((_, inner)) = INNER.iter().find(|(update, _)| update == name) {
            let before = made.get(*inner).and_then(Value::as_object).cloned().unwrap_or_default();
            let after = merged(&before, value.as_object().unwrap_or(&Map::new()));
            made.insert((*inner).to_owned(), Value::Object(after));
        } else {
            made.insert(name.clone(), value.clone());
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(more: Value) -> Config {
        let mut config = json!({"BucketARN": "arn:aws:s3:::lake", "RoleARN": "arn:aws:iam::000000000000:role/r"});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Config { kind: Kind::S3, members: config.as_object().unwrap().clone() }
    }

    #[test]
    fn what_is_not_said_is_as_the_service_has_it() {
        let destination = read(&with(json!({}))).unwrap();
        assert_eq!((destination.bytes_max, destination.window), (5 << 20, Duration::from_secs(300)));
        assert_eq!((&*destination.place.bucket, &*destination.place.extension), ("lake", ""));
        let function = json!({"Enabled": true, "Processors": [
            {"Type": "Lambda", "Parameters": [{"ParameterName": "LambdaArn", "ParameterValue": "arn:f"},
                                              {"ParameterName": "BufferSizeInMBs", "ParameterValue": "0.5"}]},
            {"Type": "AppendDelimiterToRecord", "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}]}]});
        let transformed = read(&with(json!({"ProcessingConfiguration": function}))).unwrap();
        let expected = Function { arn: "arn:f".to_owned(), retries: 3, bytes_max: 1 << 19 };
        assert_eq!((transformed.function, transformed.delimiter), (Some(expected), b"\n".to_vec()));
        let off = json!({"Enabled": false, "Processors": [{"Type": "Lambda"}]});
        assert_eq!(read(&with(json!({"ProcessingConfiguration": off}))).unwrap().function, None);
    }

    /// docs/spec/sinks.md 2.1, BufferingHints: both or none; those of the service where there are none, also of an empty structure.
    #[test]
    fn hints_that_say_nothing_are_described_as_the_service_has_them() {
        let hints = |more: Value| described(&with(more).members, true)["BufferingHints"].clone();
        let of_the_service = json!({"SizeInMBs": 5, "IntervalInSeconds": 300});
        for more in [json!({}), json!({"BufferingHints": {}}), json!({"BufferingHints": null})] {
            assert_eq!(hints(more.clone()), of_the_service, "{more}");
        }
        let said = json!({"SizeInMBs": 1, "IntervalInSeconds": 0});
        assert_eq!(hints(json!({ "BufferingHints": said })), said);
        let partitioned = json!({"BufferingHints": {}, "DynamicPartitioningConfiguration": {"Enabled": true}});
        assert_eq!(hints(partitioned), json!({"SizeInMBs": 64, "IntervalInSeconds": 300}));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let lambda = |parameters: Value| json!({"ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": "Lambda", "Parameters": parameters}]}});
        let partitioned = |prefix: &str, size: u64| {
            json!({"DynamicPartitioningConfiguration": {"Enabled": true}, "Prefix": prefix, "ErrorOutputPrefix": "e/",
                   "BufferingHints": {"SizeInMBs": size, "IntervalInSeconds": 60}})
        };
        for (more, part) in [
            (json!({"BucketARN": "lake"}), "is no ARN of a bucket"),
            (json!({"BucketARN": "arn:aws:s3:::.."}), "is no ARN of a bucket"),
            (json!({"BufferingHints": {"SizeInMBs": 1}}), "given together"),
            (json!({"CompressionFormat": "ZIP"}), "CompressionFormat ZIP is not supported by Tailrace"),
            (json!({"Prefix": "!{timestamp:yyyy}/"}), "ErrorOutputPrefix cannot be null or empty"),
            (json!({"Prefix": "a//"}), "Prefix: no object can be named"),
            (json!({"FileExtension": "gz"}), "FileExtension"),
            (json!({"CustomTimeZone": "Asia/Tokyo"}), "CustomTimeZone: "),
            (json!({"S3BackupMode": "Enabled"}), "S3BackupConfiguration must be given"),
            (
                json!({"DataFormatConversionConfiguration": {"Enabled": true}}),
                "DataFormatConversionConfiguration is not",
            ),
            (lambda(json!([])), "needs the parameter LambdaArn"),
            (
                lambda(json!([{"ParameterName": "LambdaArn", "ParameterValue": "f"},
                              {"ParameterName": "BufferSizeInMBs", "ParameterValue": "9"}])),
                "The parameter BufferSizeInMBs cannot be \"9\".",
            ),
            (partitioned("x/", 64), "Prefix must use a partition key"),
            (
                partitioned("!{partitionKeyFromQuery:c}/", 5),
                "must be at least 64 when Dynamic Partitioning is enabled.",
            ),
            (partitioned("!{partitionKeyFromQuery:c}/", 64), "the key c, which MetadataExtractionQuery has not"),
            (partitioned("!{partitionKeyFromLambda:c}/", 64), "there is no processor Lambda"),
            (json!({"Prefix": "!{partitionKeyFromQuery:c}/", "ErrorOutputPrefix": "e/"}), "is not enabled"),
            (
                json!({"ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": "Decompression"}]}}),
                "Processors of the type Decompression are not supported",
            ),
        ] {
            let error = read(&with(more.clone())).unwrap_err().to_string();
            assert!(error.contains(part), "{more}: {error}");
        }
    }

    #[test]
    fn an_update_replaces_what_it_names() {
        let before = with(json!({"Prefix": "a/", "S3BackupConfiguration": {"BucketARN": "b", "Prefix": "p/"}}));
        let update = json!({"Prefix": "b/", "S3BackupUpdate": {"Prefix": "q/"}, "CompressionFormat": null});
        let update = Config { kind: Kind::S3, members: update.as_object().unwrap().clone() };
        let after = updated(&before, &update).members;
        assert_eq!((&after["Prefix"], &after["BucketARN"]), (&json!("b/"), &before.members["BucketARN"]));
        assert_eq!(after["S3BackupConfiguration"], json!({"BucketARN": "b", "Prefix": "q/"}));
        let shown = described(&after, true);
        assert_eq!(shown["S3BackupDescription"]["Prefix"], "q/");
        assert_eq!((&shown["CompressionFormat"], &shown["S3BackupMode"]), (&json!("UNCOMPRESSED"), &json!("Disabled")));
    }
}
