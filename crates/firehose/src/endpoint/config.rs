//! `HttpEndpointDestinationConfiguration`: what is read of it, and what is told of it. Source: the service model; docs/spec/sinks.md 2.7.
//!
//! Invariant: no description, error or status has the access key in it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tailrace_sinks::post::{Address, is_header_value};
use tailrace_sinks::secret::Secret;

use crate::config::{self, BufferingHints, ConfigError, Destination, Processing, RetryOptions, S3, Switch, wrong};
use crate::limits::{ERROR_CHARS_MAX, RETRY};
use crate::remote::Remote;

/// The configuration.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Http {
    endpoint_configuration: EndpointConfiguration,
    buffering_hints: Option<BufferingHints>,
    request_configuration: Option<RequestConfiguration>,
    processing_configuration: Option<Processing>,
    retry_options: Option<RetryOptions>,
    s3_backup_mode: Option<String>,
    s3_configuration: S3,
    secrets_manager_configuration: Option<Switch>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EndpointConfiguration {
    url: String,
    access_key: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct RequestConfiguration {
    content_encoding: Option<String>,
    common_attributes: Option<Vec<CommonAttribute>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CommonAttribute {
    attribute_name: String,
    attribute_value: String,
}

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Where requests go.
    pub address: Address,
    /// What they show to be let in.
    pub access_key: Option<Secret>,
    /// The header of the attributes of every request.
    pub attributes: Option<Secret>,
    /// Bodies are compressed.
    pub is_gzip: bool,
    /// How long a request that fails is sent again.
    pub retry: Duration,
}

/// Shorter parts of an address are no secrets, and words.
const SECRET_CHARS_MIN: usize = 8;

impl Endpoint {
    /// What an endpoint or a connection says, in a line, without what it repeats of the access key and of the address.
    pub fn without_secrets(&self, said: &str) -> String {
        let mut said = said.to_owned();
        if let Some(key) = &self.access_key {
            let quoted = Value::from(key.expose()).to_string();
            for form in [&quoted[1..quoted.len() - 1], key.expose()] {
                said = said.replace(form, "***");
            }
        }
        for part in self.address.secrets().filter(|part| part.len() >= SECRET_CHARS_MIN) {
            said = said.replace(&part, "***");
        }
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().filter(|char| !char.is_control()).take(ERROR_CHARS_MAX).collect()
    }
}

/// Reads a destination.
///
/// # Errors
/// What it cannot have.
pub fn read(members: &Map<String, Value>) -> Result<Destination, ConfigError> {
    let config: Http = serde_json::from_value(Value::Object(members.clone()))
        .map_err(|error| ConfigError(format!("HttpEndpointDestinationConfiguration: {error}")))?;
    if config.secrets_manager_configuration.is_some_and(|secrets| secrets.is_on()) {
        return wrong("SecretsManagerConfiguration is not supported by Tailrace: give EndpointConfiguration.AccessKey");
    }
    let mut destination = Destination::new(&config.s3_configuration, config.buffering_hints, false)?;
    if config.s3_backup_mode.as_deref() == Some("AllData") {
        destination.backup = Some(destination.place.clone());
    }
    destination.add_function(config.processing_configuration, "an HTTP endpoint")?;
    destination.check_keys()?;
    let EndpointConfiguration { url, access_key } = config.endpoint_configuration;
    let address = Address::parse(&url).map_err(|error| ConfigError(format!("EndpointConfiguration.Url: {error}")))?;
    let access_key = access_key.filter(|key| !key.is_empty());
    if access_key.as_deref().is_some_and(|key| !is_header_value(key)) {
        return wrong("EndpointConfiguration.AccessKey has a character that no header can have");
    }
    let RequestConfiguration { content_encoding, common_attributes } = config.request_configuration.unwrap_or_default();
    let retry = config.retry_options.unwrap_or_default().duration_in_seconds;
    destination.remote = Some(Remote::Endpoint(Endpoint {
        address,
        access_key: access_key.map(Secret::new),
        attributes: attributes(common_attributes.unwrap_or_default())?,
        is_gzip: content_encoding.as_deref() == Some("GZIP"),
        retry: retry.map_or(RETRY, Duration::from_secs),
    }));
    Ok(destination)
}

/// The header's value: JSON of ASCII alone.
fn attributes(all: Vec<CommonAttribute>) -> Result<Option<Secret>, ConfigError> {
    if all.is_empty() {
        return Ok(None);
    }
    let mut members = Map::new();
    for CommonAttribute { attribute_name, attribute_value } in all {
        if members.insert(attribute_name, attribute_value.into()).is_some() {
            return wrong("RequestConfiguration.CommonAttributes has an AttributeName twice");
        }
    }
    let mut text = String::new();
    for char in json!({ "commonAttributes": members }).to_string().chars() {
        if matches!(char, ' '..='~') {
            text.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    Ok(Some(Secret::new(text)))
}

/// The description.
pub fn described(members: &Map<String, Value>) -> Value {
    let mut shown = members.clone();
    if let Some(endpoint) = shown.get_mut("EndpointConfiguration").and_then(Value::as_object_mut) {
        endpoint.retain(|name, _| matches!(name.as_str(), "Url" | "Name"));
    }
    config::or_members(&mut shown, "RequestConfiguration", [("ContentEncoding", json!("NONE"))]);
    config::or(&mut shown, "S3BackupMode", json!("FailedDataOnly"));
    config::described_beside(shown, &["EndpointConfiguration", "RequestConfiguration", "SecretsManagerConfiguration"])
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Kind, updated};

    use super::*;

    fn with(more: Value) -> Map<String, Value> {
        let mut config = json!({
            "EndpointConfiguration": {"Url": "https://in.example.com/hooks/hunter2-path", "AccessKey": "hun\"ter2"},
            "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "arn:aws:iam::000000000000:role/r"}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config.as_object().unwrap().clone()
    }

    fn of(destination: Destination) -> Endpoint {
        match destination.remote {
            Some(Remote::Endpoint(endpoint)) => endpoint,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_as_the_service_has_it() {
        let destination = read(&with(json!({}))).unwrap();
        assert_eq!((destination.bytes_max, destination.window), (5 << 20, Duration::from_secs(300)));
        assert!(destination.backup.is_none() && destination.place.bucket == "lake");
        let endpoint = of(destination);
        assert_eq!((endpoint.retry, endpoint.is_gzip, &endpoint.attributes), (Duration::from_secs(300), false, &None));
        let attributes = json!([{"AttributeName": "n\"\u{1f600}", "AttributeValue": "\u{e9}"}]);
        let more = json!({"S3BackupMode": "AllData", "RetryOptions": {"DurationInSeconds": 0},
            "RequestConfiguration": {"ContentEncoding": "GZIP", "CommonAttributes": attributes}});
        let destination = read(&with(more)).unwrap();
        assert_eq!(destination.backup.as_ref().unwrap().bucket, "lake");
        let endpoint = of(destination);
        assert_eq!((endpoint.retry, endpoint.is_gzip), (Duration::ZERO, true));
        let header = r#"{"commonAttributes":{"n\"\ud83d\ude00":"\u00e9"}}"#;
        assert_eq!(endpoint.attributes.as_ref().map(Secret::expose), Some(header));
    }

    #[test]
    fn what_cannot_be_is_told_without_the_secret() {
        let endpoint = |url: &str, key: &str| json!({"EndpointConfiguration": {"Url": url, "AccessKey": key}});
        let processor =
            |kind: &str| json!({"ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": kind}]}});
        let twice = json!([{"AttributeName": "hunter2", "AttributeValue": "1"}, {"AttributeName": "hunter2", "AttributeValue": "2"}]);
        for (more, part) in [
            (endpoint("ftp://x/hunter2", "k"), "Url: an address begins with https:// or http://"),
            (endpoint("https://hunter2:p@x/", "k"), "Url: user and password do not belong"),
            (endpoint("https://x/", "hunter2\n"), "AccessKey has a character that no header can have"),
            (json!({"SecretsManagerConfiguration": {"Enabled": true}}), "SecretsManagerConfiguration is not supported"),
            (processor("AppendDelimiterToRecord"), "AppendDelimiterToRecord do not go with an HTTP endpoint"),
            (processor("Lambda"), "needs the parameter LambdaArn"),
            (json!({"RequestConfiguration": {"CommonAttributes": twice}}), "has an AttributeName twice"),
            (json!({"S3Configuration": {"BucketARN": "lake"}}), "is no ARN of a bucket"),
            (json!({"BufferingHints": {"SizeInMBs": 1}}), "given together"),
        ] {
            let error = read(&with(more.clone())).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("hunter2"), "{more}: {error}");
        }
    }

    #[test]
    fn nothing_shows_the_access_key() {
        let shown = described(&with(json!({"RoleARN": null})));
        assert_eq!(shown["EndpointConfiguration"], json!({"Url": "https://in.example.com/hooks/hunter2-path"}));
        assert_eq!(
            (&shown["S3BackupMode"], &shown["RetryOptions"]["DurationInSeconds"]),
            (&json!("FailedDataOnly"), &json!(300))
        );
        assert_eq!(shown["S3DestinationDescription"]["CompressionFormat"], "UNCOMPRESSED");
        assert!(!shown.to_string().contains("ter2\"") && shown.get("RoleARN").is_none(), "{shown}");
        let endpoint = of(read(&with(json!({}))).unwrap());
        assert!(!format!("{endpoint:?}").contains("ter2"), "{endpoint:?}");
        let said = "no hun\"ter2,\n \"hun\\\"ter2\" at /hooks/hunter2-path";
        assert_eq!(endpoint.without_secrets(said), "no ***, \"***\" at /***");
    }

    #[test]
    fn an_update_replaces_what_it_names_and_never_mixes_kinds() {
        let before = Config { kind: Kind::HttpEndpoint, members: with(json!({"S3BackupMode": "AllData"})) };
        let update = |kind, members: Value| Config { kind, members: members.as_object().unwrap().clone() };
        let changed = json!({"EndpointConfiguration": {"Url": "https://new/"}, "S3Update": {"Prefix": "p/"}});
        let after = updated(&before, &update(Kind::HttpEndpoint, changed)).members;
        assert_eq!(after["EndpointConfiguration"], json!({"Url": "https://new/"}));
        assert_eq!((&after["S3Configuration"]["Prefix"], &after["S3BackupMode"]), (&json!("p/"), &json!("AllData")));
        assert_eq!(after["S3Configuration"]["BucketARN"], "arn:aws:s3:::lake");
        let other = updated(&before, &update(Kind::S3, json!({"BucketARN": "b"})));
        assert!(other.kind == Kind::S3 && other.members.len() == 1);
    }
}
