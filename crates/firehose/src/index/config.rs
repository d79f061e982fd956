//! `AmazonopensearchserviceDestinationConfiguration` and `ElasticsearchDestinationConfiguration`, which have the same members, and
//! `AmazonOpenSearchServerlessDestinationConfiguration`, which has some of them: what is read of them, and what is told. Source: the service
//! model; docs/spec/sinks.md 2.8.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tailrace_sinks::search::{ClusterConfig, Rotation, check_index_name};

use super::Index;
use crate::ClusterAt;
use crate::config::{self, BufferingHints, ConfigError, Destination, Kind, Processing, RetryOptions, S3, wrong};
use crate::limits::RETRY;
use crate::remote::Remote;

/// The types of errors. Source: docs/spec/sinks.md 2.2.
const OPENSEARCH_FAILED: &str = "AmazonOpenSearchService-failed";
const ELASTICSEARCH_FAILED: &str = "elasticsearch-failed";
/// The id of a document follows from its record.
const FIREHOSE_DEFAULT: &str = "FIREHOSE_DEFAULT";
const ROTATION: &str = "OneDay";

/// The configuration.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Search {
    #[serde(rename = "DomainARN")]
    domain_arn: Option<String>,
    cluster_endpoint: Option<String>,
    index_name: String,
    type_name: Option<String>,
    index_rotation_period: Option<Rotation>,
    buffering_hints: Option<BufferingHints>,
    retry_options: Option<RetryOptions>,
    s3_backup_mode: Option<String>,
    s3_configuration: S3,
    processing_configuration: Option<Processing>,
    document_id_options: Option<DocumentIdOptions>,
}

/// The configuration of Serverless.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Collection {
    collection_endpoint: Option<String>,
    index_name: String,
    buffering_hints: Option<BufferingHints>,
    retry_options: Option<RetryOptions>,
    s3_backup_mode: Option<String>,
    s3_configuration: S3,
    processing_configuration: Option<Processing>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DocumentIdOptions {
    default_document_id_format: Option<String>,
}

/// Reads a destination of this kind.
///
/// # Errors
/// What it cannot have.
pub fn read(kind: Kind, members: &Map<String, Value>) -> Result<Destination, ConfigError> {
    let config: Search = serde_json::from_value(Value::Object(members.clone()))
        .map_err(|error| ConfigError(format!("{}DestinationConfiguration: {error}", kind.name())))?;
    let around = (config.buffering_hints, config.s3_backup_mode, config.processing_configuration);
    let (mut destination, name) = around_index(&config.s3_configuration, around, config.index_name)?;
    let ids = config.document_id_options.unwrap_or_default().default_document_id_format;
    let retry = config.retry_options.unwrap_or_default().duration_in_seconds;
    destination.remote = Some(Remote::Index(Index {
        at: at(config.domain_arn, config.cluster_endpoint)?,
        name,
        rotation: config.index_rotation_period.unwrap_or(Rotation::OneDay),
        kind: config.type_name.filter(|name| !name.is_empty()),
        has_ids: ids.is_none_or(|format| format == FIREHOSE_DEFAULT),
        retry: retry.map_or(RETRY, Duration::from_secs),
        error_type: if kind == Kind::Elasticsearch { ELASTICSEARCH_FAILED } else { OPENSEARCH_FAILED },
    }));
    Ok(destination)
}

/// Reads a destination of Serverless.
///
/// # Errors
/// What it cannot have.
pub fn read_collection(members: &Map<String, Value>) -> Result<Destination, ConfigError> {
    let config: Collection = serde_json::from_value(Value::Object(members.clone()))
        .map_err(|error| ConfigError(format!("AmazonOpenSearchServerlessDestinationConfiguration: {error}")))?;
    let around = (config.buffering_hints, config.s3_backup_mode, config.processing_configuration);
    let (mut destination, name) = around_index(&config.s3_configuration, around, config.index_name)?;
    let Some(endpoint) = config.collection_endpoint else { return wrong("CollectionEndpoint must be given.") };
    let retry = config.retry_options.unwrap_or_default().duration_in_seconds;
    destination.remote = Some(Remote::Index(Index {
        at: endpoint_at(endpoint, "CollectionEndpoint")?,
        name,
        rotation: Rotation::NoRotation,
        kind: None,
        // A collection of time series takes none from others.
        has_ids: false,
        retry: retry.map_or(RETRY, Duration::from_secs),
        error_type: OPENSEARCH_FAILED,
    }));
    Ok(destination)
}

/// What is around an index, and its name.
fn around_index(
    s3: &S3,
    (hints, backup, processing): (Option<BufferingHints>, Option<String>, Option<Processing>),
    name: String,
) -> Result<(Destination, String), ConfigError> {
    let mut destination = Destination::new(s3, hints, false)?;
    if backup.as_deref() == Some("AllDocuments") {
        destination.backup = Some(destination.place.clone());
    }
    destination.add_function(processing, "an index")?;
    destination.check_keys()?;
    check_index_name(&name).map_err(|error| ConfigError(format!("IndexName: {error}")))?;
    Ok((destination, name))
}

fn endpoint_at(endpoint: String, member: &str) -> Result<ClusterAt, ConfigError> {
    let checked = ClusterConfig::at(&endpoint).validate();
    checked.map_err(|error| ConfigError(format!("{member}: {error}")))?;
    Ok(ClusterAt::Endpoint(endpoint))
}

fn at(domain_arn: Option<String>, endpoint: Option<String>) -> Result<ClusterAt, ConfigError> {
    match (domain_arn, endpoint) {
        (Some(arn), None) => {
            let parts: Vec<&str> = arn.splitn(6, ':').collect();
            let domain = match parts[..] {
                ["arn", _, "es", _, _, resource] => resource.strip_prefix("domain/").unwrap_or_default(),
                _ => "",
            };
            if domain.is_empty() {
                return wrong(format!(
                    "DomainARN: {arn:?} is no ARN of a domain: arn:aws:es:REGION:ACCOUNT:domain/NAME is"
                ));
            }
            let name = domain.to_owned();
            Ok(ClusterAt::Domain { arn, name })
        }
        (None, Some(endpoint)) => endpoint_at(endpoint, "ClusterEndpoint"),
        _ => wrong("Exactly one of DomainARN and ClusterEndpoint must be given."),
    }
}

/// The description of one of Serverless.
pub fn described_collection(members: &Map<String, Value>) -> Value {
    let mut members = members.clone();
    if let Some(vpc) = members.remove("VpcConfiguration") {
        members.insert("VpcConfigurationDescription".to_owned(), vpc);
    }
    config::or(&mut members, "S3BackupMode", json!("FailedDocumentsOnly"));
    config::described_beside(members, &["CollectionEndpoint", "IndexName", "VpcConfigurationDescription"])
}

/// The description.
pub fn described(members: &Map<String, Value>) -> Value {
    let mut members = members.clone();
    if let Some(vpc) = members.remove("VpcConfiguration") {
        members.insert("VpcConfigurationDescription".to_owned(), vpc);
    }
    config::or(&mut members, "IndexRotationPeriod", json!(ROTATION));
    config::or(&mut members, "S3BackupMode", json!("FailedDocumentsOnly"));
    config::or(&mut members, "DocumentIdOptions", json!({"DefaultDocumentIdFormat": FIREHOSE_DEFAULT}));
    let others = [
        "DomainARN",
        "ClusterEndpoint",
        "IndexName",
        "TypeName",
        "IndexRotationPeriod",
        "VpcConfigurationDescription",
        "DocumentIdOptions",
    ];
    config::described_beside(members, &others)
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, updated};

    use super::*;

    fn with(more: Value) -> Map<String, Value> {
        let mut config = json!({
            "ClusterEndpoint": "https://search.example.com", "IndexName": "clicks", "RoleARN": "r",
            "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "r"}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config.as_object().unwrap().clone()
    }

    fn index(more: Value) -> Index {
        match read(Kind::OpenSearch, &with(more)).unwrap().remote {
            Some(Remote::Index(index)) => index,
            other => panic!("{other:?}"),
        }
    }

    /// docs/spec/sinks.md 2.8.
    #[test]
    fn what_is_not_said_is_as_the_service_has_it() {
        let destination = read(Kind::Elasticsearch, &with(json!({"TypeName": ""}))).unwrap();
        assert_eq!((destination.bytes_max, destination.window), (5 << 20, Duration::from_secs(300)));
        assert!(destination.backup.is_none() && destination.place.bucket == "lake");
        let expected = Index {
            at: ClusterAt::Endpoint("https://search.example.com".to_owned()),
            name: "clicks".to_owned(),
            rotation: Rotation::OneDay,
            kind: None,
            has_ids: true,
            retry: Duration::from_secs(300),
            error_type: "elasticsearch-failed",
        };
        assert_eq!(destination.remote, Some(Remote::Index(expected)));
        let said = index(json!({"TypeName": "t", "IndexRotationPeriod": "NoRotation",
            "RetryOptions": {"DurationInSeconds": 0}, "DocumentIdOptions": {"DefaultDocumentIdFormat": "NO_DOCUMENT_ID"}}));
        let expected = Index {
            rotation: Rotation::NoRotation,
            kind: Some("t".to_owned()),
            has_ids: false,
            retry: Duration::ZERO,
            error_type: "AmazonOpenSearchService-failed",
            ..index(json!({}))
        };
        assert_eq!(said, expected);
        let all = read(Kind::OpenSearch, &with(json!({"S3BackupMode": "AllDocuments"}))).unwrap();
        assert_eq!(all.backup.unwrap().bucket, "lake");
    }

    #[test]
    fn what_cannot_be_is_told() {
        let arn = |arn: &str| json!({"DomainARN": arn, "ClusterEndpoint": null});
        for (more, part) in [
            (json!({"DomainARN": "arn:aws:es:us-east-1:000000000000:domain/logs"}), "Exactly one of"),
            (json!({"ClusterEndpoint": null}), "Exactly one of"),
            (arn("arn:aws:s3:::logs"), "is no ARN of a domain"),
            (arn("arn:aws:es:us-east-1:000000000000:domain/"), "is no ARN of a domain"),
            (json!({"ClusterEndpoint": "ftp://x"}), "ClusterEndpoint: endpoint: an address begins with"),
            (json!({"IndexName": "Clicks"}), "IndexName: \"Clicks\" is no name of an index"),
            (json!({"IndexRotationPeriod": "Daily"}), "unknown variant `Daily`"),
            (json!({"BufferingHints": {"SizeInMBs": 1}}), "given together"),
            (
                json!({"ProcessingConfiguration": {"Enabled": true, "Processors": [{"Type": "AppendDelimiterToRecord"}]}}),
                "AppendDelimiterToRecord do not go with an index",
            ),
        ] {
            let error = read(Kind::OpenSearch, &with(more.clone())).unwrap_err().to_string();
            assert!(error.contains(part), "{more}: {error}");
        }
        let at = ClusterAt::Domain {
            arn: "arn:aws:es:us-east-1:000000000000:domain/logs".to_owned(),
            name: "logs".to_owned(),
        };
        assert_eq!(index(arn("arn:aws:es:us-east-1:000000000000:domain/logs")).at, at);
    }

    /// docs/spec/sinks.md 2.8: a collection has one index, and gives ids itself.
    #[test]
    fn a_collection_is_an_index_without_periods_and_ids() {
        let mut members = with(
            json!({"CollectionEndpoint": "https://x.us-east-1.aoss.amazonaws.com", "S3BackupMode": "AllDocuments"}),
        );
        members.remove("ClusterEndpoint");
        let destination = read_collection(&members).unwrap();
        assert_eq!(destination.backup.as_ref().unwrap().bucket, "lake");
        let expected = Index {
            at: ClusterAt::Endpoint("https://x.us-east-1.aoss.amazonaws.com".to_owned()),
            name: "clicks".to_owned(),
            rotation: Rotation::NoRotation,
            kind: None,
            has_ids: false,
            retry: Duration::from_secs(300),
            error_type: "AmazonOpenSearchService-failed",
        };
        assert_eq!(destination.remote, Some(Remote::Index(expected)));
        let shown = described_collection(&members);
        let names: Vec<&str> = shown.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "BufferingHints",
            "CloudWatchLoggingOptions",
            "CollectionEndpoint",
            "IndexName",
            "RetryOptions",
            "RoleARN",
            "S3BackupMode",
            "S3DestinationDescription",
        ];
        assert_eq!(names, expected);
        for (name, value, part) in [
            ("CollectionEndpoint", json!(null), "CollectionEndpoint must be given"),
            ("CollectionEndpoint", json!("ftp://x"), "CollectionEndpoint: endpoint: an address begins with"),
            ("IndexName", json!("Clicks"), "IndexName: "),
        ] {
            let mut wrong = members.clone();
            wrong.insert(name.to_owned(), value);
            let error = read_collection(&wrong).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_description_says_what_applies() {
        let vpc = json!({"SubnetIds": ["s"], "RoleARN": "r", "SecurityGroupIds": ["g"]});
        let shown = described(&with(json!({"VpcConfiguration": vpc, "TypeName": null})));
        let s3 = &shown["S3DestinationDescription"];
        assert_eq!((&s3["CompressionFormat"], &shown["VpcConfigurationDescription"]), (&json!("UNCOMPRESSED"), &vpc));
        assert_eq!(
            shown.as_object().unwrap().keys().collect::<Vec<_>>().len(),
            11,
            "nothing of the request alone, and no null: {shown}"
        );
        assert_eq!(
            (&shown["IndexRotationPeriod"], &shown["S3BackupMode"], &shown["RetryOptions"]["DurationInSeconds"]),
            (&json!("OneDay"), &json!("FailedDocumentsOnly"), &json!(300))
        );
        assert_eq!(shown["DocumentIdOptions"], json!({"DefaultDocumentIdFormat": "FIREHOSE_DEFAULT"}));
    }

    /// docs/spec/sinks.md 2.8: the mode of the backup is that of the creation, and of two places one is given.
    #[test]
    fn an_update_moves_to_another_cluster_and_leaves_the_backup() {
        let before = Config { kind: Kind::OpenSearch, members: with(json!({"S3BackupMode": "AllDocuments"})) };
        let arn = "arn:aws:es:us-east-1:000000000000:domain/logs";
        let update = json!({"DomainARN": arn, "IndexName": "other", "S3BackupMode": "FailedDocumentsOnly", "S3Update": {"Prefix": "p/"}});
        let update = Config { kind: Kind::OpenSearch, members: update.as_object().unwrap().clone() };
        let after = updated(&before, &update).members;
        assert_eq!(
            (after.get("ClusterEndpoint"), &after["DomainARN"], &after["IndexName"]),
            (None, &json!(arn), &json!("other"))
        );
        assert_eq!(
            (&after["S3BackupMode"], &after["S3Configuration"]["Prefix"]),
            (&json!("AllDocuments"), &json!("p/"))
        );
    }
}
