//! What an object sink is told: read from JSON or YAML, then checked as a whole.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use tailrace_core::EpochMs;
use tailrace_core::json_text::ValueForm;
use tailrace_engine::streams::record::RecordWriter;

use super::encode::columns::{ColumnError, TypedColumn};
use super::encode::{Compression, Encoder, Format};
use super::partition::{Expression, ExpressionError, KEYS_MAX};
use super::prefix::time::TimePatternError;
use super::prefix::{Facts, KeySource, Prefix, PrefixError, PrefixKind, Zone};
use super::s3::S3Config;
use super::store::{Destination, Lock, LockMode, ObjectWriter, PlaceError, check_key};
use crate::gathering::{Gathering, GatheringError};
use crate::sink::Bounds;

/// Partitions of one flush, where nothing else is said. Source: docs/spec/sinks.md 2.3.
pub const PARTITIONS: usize = 500;
/// Most partitions of one flush: each is an object, and all are in memory at once.
pub const PARTITIONS_MAX: usize = 5000;
/// Bytes of a flush, before compression. Source: docs/spec/sinks.md 2.1 for the limits; our default is what lakes like.
pub const FLUSH_BYTES: usize = 64 << 20;
/// Most bytes of a flush.
pub const FLUSH_BYTES_MAX: usize = 128 << 20;
/// How long records are gathered.
pub const FLUSH_WINDOW: Duration = Duration::from_secs(60);
/// For how long at most. Source: docs/spec/sinks.md 2.1.
pub const FLUSH_WINDOW_MAX: Duration = Duration::from_secs(900);
/// Most records of a flush, and how many it has where nothing else is said: what is kept beside their bytes is bounded too.
pub const FLUSH_RECORDS_MAX: usize = 250_000;
/// Longest retention of a lock: a hundred years.
pub const LOCK_DAYS_MAX: u64 = 36_500;

const BOUNDS: Bounds = Bounds { records_max: FLUSH_RECORDS_MAX, bytes_max: FLUSH_BYTES, window: FLUSH_WINDOW };
const BOUNDS_MAX: Bounds =
    Bounds { records_max: FLUSH_RECORDS_MAX, bytes_max: FLUSH_BYTES_MAX, window: FLUSH_WINDOW_MAX };

/// The settings of an object sink.
#[derive(Clone, Debug, PartialEq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `s3://bucket/prefix`, `file:///directory` or a directory's path.
    pub to: String,
    /// How a bucket is reached.
    #[serde(default)]
    pub s3: S3Config,
    /// The format.
    #[serde(default)]
    pub format: Format,
    /// The compression; where none is said, Snappy for Parquet and none for the others.
    pub compression: Option<Compression>,
    /// How values stand in JSON.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::value_form")]
    pub values: ValueForm,
    /// Columns of Parquet and CSV beside the fixed ones: by name, an attribute's path and a type.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// What keys have between the destination's prefix and their name: an expression; `yyyy/MM/dd/HH/` where there is none.
    pub partition_by: Option<String>,
    /// The partition keys that it uses, and where they are found.
    #[serde(default)]
    pub partition_keys: BTreeMap<String, String>,
    /// Most partitions of one flush.
    #[serde(default = "partitions")]
    pub partitions_max: usize,
    /// Where times are told: `UTC` or an offset.
    pub time_zone: Option<String>,
    /// Whether there is a manifest an hour and shard.
    #[serde(default)]
    pub manifest: bool,
    /// Protection of the objects against change.
    pub lock: Option<Retention>,
    /// When an object is full.
    #[serde(default)]
    pub flush: Gathering,
}

/// Object Lock, from the moment an object is written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// `GOVERNANCE` or `COMPLIANCE`.
    pub mode: LockMode,
    /// For how many days.
    pub days: u64,
}

impl Retention {
    /// The lock of what is written at this time.
    pub(crate) fn lock(self, from: EpochMs) -> Lock {
        Lock { mode: self.mode, until: from.plus(Duration::from_secs(self.days.saturating_mul(24 * 60 * 60))) }
    }
}

fn partitions() -> usize {
    PARTITIONS
}

/// A sink cannot be as it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Where the objects go.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// `partition_by`.
    #[error("partition_by: {0}")]
    Prefix(#[from] PrefixError),
    /// `partition_keys`.
    #[error("partition_keys.{name}: {error}")]
    Key {
        /// The key.
        name: String,
        /// What is wrong.
        error: ExpressionError,
    },
    /// `time_zone`.
    #[error("time_zone: {0}")]
    Zone(#[from] TimePatternError),
    /// `columns`.
    #[error("columns: {0}")]
    Column(#[from] ColumnError),
    /// `flush`.
    #[error(transparent)]
    Flush(#[from] GatheringError),
    /// Anything else.
    #[error("{0}")]
    Setting(String),
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub writer: ObjectWriter,
    pub encoder: Encoder,
    /// The same, for the items of a snapshot.
    pub encoder_of_items: Encoder,
    pub prefix: Prefix,
    pub keys: Vec<(String, Expression)>,
    pub partitions_max: usize,
    pub zone: Zone,
    pub manifest: bool,
    pub lock: Option<Retention>,
    pub bounds: Bounds,
}

impl Config {
    /// Checks the settings without making anything.
    ///
    /// # Errors
    /// They cannot be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.checked(RecordWriter::of_directory("", "")).map(|_| ())
    }

    pub(super) fn checked(&self, records: RecordWriter) -> Result<Checked, ConfigError> {
        let setting = |text: String| Err(ConfigError::Setting(text));
        let compression = self.compression.unwrap_or(self.format.default_compression());
        if !self.format.allows(compression) {
            let (format, compression) = (named(self.format), named(compression));
            return setting(format!("compression {compression} does not go with format {format}"));
        }
        if self.format == Format::Json && !self.columns.is_empty() {
            return setting("columns are for the formats parquet and csv: a JSON line has the whole item".to_owned());
        }
        if !(1..=PARTITIONS_MAX).contains(&self.partitions_max) {
            return setting(format!("partitions_max is from 1 to {PARTITIONS_MAX}"));
        }
        let bounds = self.flush.bounds(BOUNDS, BOUNDS_MAX)?;
        if self.lock.is_some_and(|lock| !(1..=LOCK_DAYS_MAX).contains(&lock.days)) {
            return setting(format!("lock.days is from 1 to {LOCK_DAYS_MAX}"));
        }
        let destination = Destination::parse(&self.to)?;
        if matches!(destination, Destination::Directory(_)) && self.s3 != S3Config::default() {
            return setting("s3 is for a bucket, and the destination is a directory".to_owned());
        }
        let zone = self.time_zone.as_deref().map_or(Ok(Zone::UTC), Zone::parse)?;
        let prefix = Prefix::parse(self.partition_by.as_deref().unwrap_or_default(), PrefixKind::Records)?;
        let keys = self.keys(&prefix)?;
        check_sample(&prefix, &keys)?;
        let encoder = |writer| -> Result<Encoder, ConfigError> {
            let (format, values) = (self.format, self.values);
            Ok(Encoder { format, compression, values, columns: TypedColumn::parse_all(&self.columns)?, writer })
        };
        Ok(Checked {
            writer: ObjectWriter::new(&destination, &self.s3)?,
            encoder_of_items: encoder(records.of_items())?,
            encoder: encoder(records)?,
            prefix,
            keys,
            partitions_max: self.partitions_max,
            zone,
            manifest: self.manifest,
            lock: self.lock,
            bounds,
        })
    }

    /// The partition keys: all of them are used, and all that are used are there. One that is not used would make several objects
    /// of one name.
    fn keys(&self, prefix: &Prefix) -> Result<Vec<(String, Expression)>, ConfigError> {
        if self.partition_keys.len() > KEYS_MAX {
            return Err(ConfigError::Setting(format!("there are more than {KEYS_MAX} partition_keys")));
        }
        for key in prefix.partition_keys() {
            if key.from == KeySource::Lambda {
                let name = &key.name;
                let text = format!(
                    "partition_by uses partitionKeyFromLambda:{name}, and no function transforms the records here"
                );
                return Err(ConfigError::Setting(text));
            }
            if !self.partition_keys.contains_key(&key.name) {
                let text = format!("partition_by uses the key `{}`, which partition_keys has not", key.name);
                return Err(ConfigError::Setting(text));
            }
        }
        let mut keys = Vec::new();
        for (name, text) in &self.partition_keys {
            if !prefix.partition_keys().any(|key| key.name == *name) {
                return Err(ConfigError::Setting(format!(
                    "partition_by does not use the key `{name}` of partition_keys"
                )));
            }
            let expression = Expression::parse(text);
            keys.push((name.clone(), expression.map_err(|error| ConfigError::Key { name: name.clone(), error })?));
        }
        Ok(keys)
    }
}

/// Whether what the prefix makes can stand in a key at all: values of keys apart, it is the same each time.
fn check_sample(prefix: &Prefix, keys: &[(String, Expression)]) -> Result<(), ConfigError> {
    let keys: Vec<(&str, Cow<'_, str>)> = keys.iter().map(|(name, _)| (name.as_str(), Cow::Borrowed("x"))).collect();
    let facts = Facts { oldest: EpochMs::ZERO, zone: Zone::UTC, seed: "", error_type: "", keys: &keys };
    let key = super::joined(&prefix.evaluate(&facts), "x");
    check_key(&key).map_err(|error| ConfigError::Setting(format!("partition_by: {error}")))
}

fn named(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: serde_json::Value) -> Result<Config, String> {
        let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn the_settings_of_the_guide_are_right() {
        let config = read(json!({
            "to": "s3://lake/orders/", "format": "parquet", "partition_by": "dt=!{timestamp:yyyy-MM-dd}/",
            "flush": {"seconds": 60, "bytes": "64MB"}, "columns": {"total": "total.N decimal(12,2)"},
            "s3": {"endpoint": "http://localhost:9000", "access_key_id": "a", "secret_access_key": "b"},
        }));
        assert_eq!(
            config.unwrap().flush.bounds(BOUNDS, BOUNDS_MAX).unwrap(),
            Bounds { bytes_max: 64_000_000, ..BOUNDS }
        );
        let keys = json!({
            "to": "lake", "partition_by": "c=!{partitionKeyFromQuery:c}/", "time_zone": "+09:00", "manifest": true,
            "partition_keys": {"c": ".dynamodb.Keys.id.S // \"none\""}, "values": "plain", "compression": "gzip",
            "lock": {"mode": "GOVERNANCE", "days": 7},
        });
        assert!(read(keys).is_ok());
    }

    #[test]
    fn wrong_settings_are_told_in_a_sentence() {
        let with = |more: serde_json::Value| {
            let mut config = json!({"to": "lake"});
            let members = more.as_object().unwrap().clone();
            config.as_object_mut().unwrap().extend(members);
            read(config).unwrap_err()
        };
        for (more, expect) in [
            (json!({"to": "gs://x"}), "`gs://x` is no place for objects"),
            (json!({"colour": 1}), "unknown field `colour`"),
            (json!({"format": "orc"}), "unknown variant `orc`"),
            (json!({"compression": "snappy"}), "compression snappy does not go with format json"),
            (json!({"format": "parquet", "compression": "gzip"}), "compression gzip does not go with format parquet"),
            (json!({"columns": {"a": "a long"}}), "columns are for the formats parquet and csv"),
            (json!({"format": "csv", "columns": {"a": "a money"}}), "columns: column `a`: the type `money` is unknown"),
            (
                json!({"partition_by": "!{timestamp:YYYY}"}),
                "partition_by: the expression `!{timestamp:YYYY}` is unknown",
            ),
            (json!({"partition_by": "a//b!{timestamp:yyyy}"}), "partition_by: no object can be named"),
            (json!({"partition_by": "!{partitionKeyFromQuery:c}"}), "partition_by uses the key `c`"),
            (json!({"partition_by": "!{partitionKeyFromLambda:c}"}), "partition_by uses partitionKeyFromLambda:c"),
            (json!({"partition_keys": {"c": ".a"}}), "partition_by does not use the key `c`"),
            (
                json!({"partition_by": "!{partitionKeyFromQuery:c}", "partition_keys": {"c": "a"}}),
                "partition_keys.c: `a` is no expression",
            ),
            (json!({"time_zone": "Asia/Tokyo"}), "time_zone: time zone `Asia/Tokyo` is unknown"),
            (json!({"flush": {"bytes": "64MiBs"}}), "`64MiBs` is no number of bytes"),
            (json!({"flush": {"bytes": "1000MB"}}), "flush.bytes is from 1 to"),
            (json!({"flush": {"seconds": 900.5}}), "flush.seconds is from 0 to 900"),
            (json!({"flush": {"seconds": -1}}), "flush.seconds is from 0 to 900"),
            (json!({"partitions_max": 0}), "partitions_max is from 1 to 5000"),
            (json!({"lock": {"mode": "GOVERNANCE", "days": 0}}), "lock.days is from 1 to"),
            (
                json!({"to": "s3://b", "s3": {"endpoint": "localhost:9000"}}),
                "endpoint `localhost:9000` starts with neither",
            ),
            (
                json!({"to": "s3://b", "s3": {"access_key_id": "a"}}),
                "access_key_id and secret_access_key come together",
            ),
            (json!({"to": "s3://b", "s3": {"ca": "x"}}), "ca holds no certificate"),
            (json!({"to": "./x", "s3": {"region": "x"}}), "s3 is for a bucket"),
        ] {
            let error = with(more.clone());
            assert!(error.starts_with(expect), "{more}: {error}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = json!({"to": "s3://b", "s3": {"access_key_id": "AKIAX", "secret_access_key": "hidden"}});
        let config: Config = serde_json::from_value(config).unwrap();
        let shown = format!("{config:?} {:?}", config.checked(RecordWriter::of_directory("", "")).unwrap().writer);
        assert!(!shown.contains("hidden") && !shown.contains("AKIAX"), "{shown}");
    }
}
