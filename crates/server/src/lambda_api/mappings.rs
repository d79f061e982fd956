//! CreateEventSourceMapping, GetEventSourceMapping, ListEventSourceMappings, UpdateEventSourceMapping and
//! DeleteEventSourceMapping. Source: docs/spec/event-source-mapping.md 1-4.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use tailrace_core::{FunctionReference, MappingId, limits};
use tailrace_mapping::{Begun, Constraints, CreateMapping, Described, Mapping, MappingError, MappingState, Parameters};
use tailrace_wire::RestAnswer;

use super::error::{Class, LambdaError};
use super::request::Request;
use super::{LambdaApi, document};

/// What both create and update take. What the service ignores is ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Settings {
    function_name: Option<String>,
    event_source_arn: Option<String>,
    starting_position: Option<String>,
    enabled: Option<bool>,
    batch_size: Option<i64>,
    maximum_batching_window_in_seconds: Option<i64>,
    parallelization_factor: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    maximum_retry_attempts: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    tumbling_window_in_seconds: Option<i64>,
    function_response_types: Option<Vec<String>>,
    #[serde(deserialize_with = "object")]
    filter_criteria: Option<FilterCriteria>,
    #[serde(deserialize_with = "object")]
    destination_config: Option<DestinationConfig>,
    #[serde(deserialize_with = "object")]
    metrics_config: Option<MetricsConfig>,
    #[serde(rename = "KMSKeyArn")]
    kms_key_arn: Option<String>,
    tags: Option<BTreeMap<String, String>>,
    starting_position_timestamp: Option<Value>,
    topics: Option<Value>,
    queues: Option<Value>,
    source_access_configurations: Option<Value>,
    self_managed_event_source: Option<Value>,
    amazon_managed_kafka_event_source_config: Option<Value>,
    self_managed_kafka_event_source_config: Option<Value>,
    scaling_config: Option<Value>,
    #[serde(rename = "DocumentDBEventSourceConfig")]
    document_db_event_source_config: Option<Value>,
    logging_config: Option<Value>,
    provisioned_poller_config: Option<Value>,
}

/// The settings of an update. What only a new mapping has is not one of its members, and ignored as such, whatever it is.
struct Update(Settings);

impl<'de> Deserialize<'de> for Update {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Update, D::Error> {
        const OF_CREATION: [&str; 7] = [
            "EventSourceArn",
            "StartingPosition",
            "StartingPositionTimestamp",
            "Tags",
            "Topics",
            "Queues",
            "SelfManagedEventSource",
        ];
        let mut members = Map::deserialize(deserializer)?;
        OF_CREATION.iter().for_each(|name| drop(members.remove(*name)));
        Settings::deserialize(Value::Object(members)).map(Update).map_err(D::Error::custom)
    }
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct FilterCriteria {
    #[serde(deserialize_with = "objects")]
    filters: Vec<Filter>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Filter {
    pattern: Option<String>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct DestinationConfig {
    #[serde(deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    on_success: Option<Destination>,
    #[serde(deserialize_with = "object")]
    on_failure: Option<Destination>,
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct Destination {
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
}

impl Destination {
    fn is_there(&self) -> bool {
        self.destination.as_ref().is_some_and(|destination| !destination.is_empty())
    }
}

#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
struct MetricsConfig {
    #[serde(deserialize_with = "list")]
    metrics: Vec<String>,
}

/// A structure is an object; serde would read a list as one, too. Null is not given, as everywhere.
fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Option::<Value>::deserialize(deserializer)?.map(structure).transpose()
}

fn objects<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    list::<D, Value>(deserializer)?.into_iter().map(structure).collect()
}

fn structure<T: DeserializeOwned, E: serde::de::Error>(value: Value) -> Result<T, E> {
    match value {
        Value::Object(_) => T::deserialize(value).map_err(E::custom),
        other => Err(E::custom(format_args!("{other} stands where an object is expected"))),
    }
}

fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

impl Settings {
    fn parameters(self) -> Parameters {
        let unsupported = self.unsupported();
        let filters = self.filter_criteria.map(|criteria| criteria.filters);
        Parameters {
            enabled: self.enabled,
            batch_size: self.batch_size,
            batching_window_s: self.maximum_batching_window_in_seconds,
            parallelization_factor: self.parallelization_factor,
            record_age_max_s: self.maximum_record_age_in_seconds,
            retry_attempts_max: self.maximum_retry_attempts,
            bisect_on_error: self.bisect_batch_on_function_error,
            response_types: self.function_response_types,
            filters: filters.map(|filters| filters.into_iter().map(|filter| filter.pattern).collect()),
            tumbling_window_s: self.tumbling_window_in_seconds,
            metrics: self.metrics_config.map(|config| config.metrics),
            kms_key_arn: self.kms_key_arn,
            tags: self.tags,
            bare_records: None,
            parked_records_max: None,
            on_success: self.destination_config.is_some_and(|config| config.on_success.is_some()),
            unsupported,
        }
    }

    /// What is given of that which streams do not have, or which is not here.
    fn unsupported(&self) -> Vec<String> {
        let on_failure = self.destination_config.as_ref().and_then(|config| config.on_failure.as_ref());
        let destination = on_failure.filter(|destination| destination.is_there()).map(|_| "DestinationConfig");
        let of_others = [
            ("StartingPositionTimestamp", &self.starting_position_timestamp),
            ("Topics", &self.topics),
            ("Queues", &self.queues),
            ("SourceAccessConfigurations", &self.source_access_configurations),
            ("SelfManagedEventSource", &self.self_managed_event_source),
            ("AmazonManagedKafkaEventSourceConfig", &self.amazon_managed_kafka_event_source_config),
            ("SelfManagedKafkaEventSourceConfig", &self.self_managed_kafka_event_source_config),
            ("ScalingConfig", &self.scaling_config),
            ("DocumentDBEventSourceConfig", &self.document_db_event_source_config),
            ("LoggingConfig", &self.logging_config),
            ("ProvisionedPollerConfig", &self.provisioned_poller_config),
        ];
        let given = of_others.into_iter().filter(|(_, value)| value.as_ref().is_some_and(|value| !is_nothing(value)));
        destination.into_iter().chain(given.map(|(name, _)| name)).map(str::to_owned).collect()
    }
}

/// An empty list or object asks for nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// EventSourceMappingConfiguration, its members in the order in which AWS sends them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    #[serde(rename = "UUID")]
    uuid: String,
    starting_position: &'static str,
    batch_size: usize,
    maximum_batching_window_in_seconds: u64,
    parallelization_factor: u16,
    event_source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_criteria: Option<FilterCriteria>,
    function_arn: String,
    event_source_mapping_arn: String,
    last_modified: f64,
    last_processing_result: String,
    state: &'static str,
    state_transition_reason: &'static str,
    destination_config: Value,
    maximum_record_age_in_seconds: i64,
    bisect_batch_on_function_error: bool,
    maximum_retry_attempts: i64,
    tumbling_window_in_seconds: u64,
    function_response_types: Vec<&'static str>,
    #[serde(rename = "KMSKeyArn", skip_serializing_if = "Option::is_none")]
    kms_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_config: Option<MetricsConfig>,
}

/// A mapping without a result so far.
const NOTHING_PROCESSED: &str = "No records processed";

impl LambdaApi {
    fn configuration(&self, mapping: &Mapping, state: MappingState, last_processing_result: String) -> Configuration {
        let rules = &mapping.rules;
        let filter = |pattern: &String| Filter { pattern: Some(pattern.clone()) };
        let filters: Vec<Filter> = mapping.filters.iter().map(filter).collect();
        let metrics = &mapping.metrics;
        Configuration {
            uuid: mapping.uuid(),
            starting_position: mapping.starting_position.name(),
            batch_size: rules.batch_records_max,
            maximum_batching_window_in_seconds: rules.window.as_secs(),
            parallelization_factor: rules.lanes,
            event_source_arn: mapping.source.arn.to_string(),
            filter_criteria: (!filters.is_empty()).then_some(FilterCriteria { filters }),
            function_arn: mapping.function.arn.to_string(),
            event_source_mapping_arn: mapping.arn(&self.region, &self.account_id),
            last_modified: mapping.modified_ms.0 as f64 / 1000.0,
            last_processing_result,
            state: state.as_str(),
            state_transition_reason: "User action",
            destination_config: json!({ "OnFailure": {} }),
            maximum_record_age_in_seconds: rules.record_age_max.map_or(-1, |age| age.as_secs() as i64),
            bisect_batch_on_function_error: rules.bisect,
            maximum_retry_attempts: rules.retries_max.map_or(-1, i64::from),
            tumbling_window_in_seconds: rules.tumbling_window.map_or(0, |window| window.as_secs()),
            function_response_types: if mapping.report_failures { vec!["ReportBatchItemFailures"] } else { Vec::new() },
            kms_key_arn: mapping.kms_key_arn.clone(),
            metrics_config: (!metrics.is_empty()).then(|| MetricsConfig { metrics: metrics.clone() }),
        }
    }

    pub(super) async fn create_event_source_mapping(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let mut settings: Settings = request.document()?;
        let function = settings.function_name.take();
        let (event_source_arn, starting_position) =
            (settings.event_source_arn.take(), settings.starting_position.take());
        let parameters = settings.parameters();
        let create = CreateMapping { function, event_source_arn, starting_position, parameters };
        let mapping = self.mappings.runner.create(create).await?;
        let made = self.configuration(&mapping, MappingState::Creating, NOTHING_PROCESSED.to_owned());
        Ok(document(202, &made))
    }

    pub(super) async fn get_event_source_mapping(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let Described { mapping, state, last_processing_result } =
            self.mappings.runner.describe(request.label()).await?;
        Ok(document(200, &self.configuration(&mapping, state, last_processing_result)))
    }

    pub(super) async fn list_event_source_mappings(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let unreadable = || LambdaError::new(Class::InvalidParameterValue, "The marker is not one of an earlier page.");
        let after = request.parameter("Marker").map(|marker| MappingId::parse(marker).ok_or_else(unreadable));
        let source = request.parameter("EventSourceArn");
        let function = request.parameter("FunctionName");
        let mut constraints = Constraints::default();
        constraints.source(source);
        if let Some(name) = function {
            constraints.function(name, &self.region, &self.account_id);
        }
        let max = request.max_items(limits::MAPPINGS_PER_PAGE_MAX, &mut constraints);
        constraints.check()?;
        let function = function.map(|name| self.named(name));
        let wanted = |mapping: &Mapping| {
            let of_function = |wanted: &Named| mapping.function.name == wanted.name && wanted.has(&mapping.function);
            source.is_none_or(|source| mapping.source.arn == *source) && function.as_ref().is_none_or(of_function)
        };
        let page = self.mappings.runner.describe_page(after.transpose()?, max, wanted).await;
        let (page, more) = page.map_err(MappingError::from)?;
        let next = page.last().filter(|_| more).map(|last| last.mapping.uuid());
        let shown = page.into_iter().map(|Described { mapping, state, last_processing_result }| {
            let mut shown = self.configuration(&mapping, state, last_processing_result);
            // What is encrypted is shown by GetEventSourceMapping alone.
            shown.filter_criteria = shown.filter_criteria.filter(|_| mapping.kms_key_arn.is_none());
            shown
        });
        let shown: Vec<Configuration> = shown.collect();
        Ok(document(
            200,
            &match next {
                Some(next) => json!({ "EventSourceMappings": shown, "NextMarker": next }),
                None => json!({ "EventSourceMappings": shown }),
            },
        ))
    }

    pub(super) async fn update_event_source_mapping(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let Update(settings) = request.document()?;
        let function = settings.function_name.clone();
        let parameters = settings.parameters();
        parameters.check_members(function.as_deref(), &self.region, &self.account_id)?;
        let runner = &self.mappings.runner;
        let before = runner.describe(request.label()).await?;
        let Begun { mapping, state } = runner.begin_update(request.label(), function.as_deref(), &parameters).await?;
        Ok(document(202, &self.configuration(&mapping, state, before.last_processing_result)))
    }

    pub(super) async fn delete_event_source_mapping(&self, request: &Request<'_>) -> Result<RestAnswer, LambdaError> {
        let runner = &self.mappings.runner;
        let before = runner.describe(request.label()).await?;
        let Begun { mapping, state } = runner.begin_delete(request.label()).await?;
        Ok(document(202, &self.configuration(&mapping, state, before.last_processing_result)))
    }

    /// A filter by a function.
    fn named(&self, text: &str) -> Named {
        let reference = FunctionReference::parse(text, &self.region, &self.account_id);
        let (name, arn) = reference.map_or((text.to_owned(), None), |reference| (reference.name, Some(reference.arn)));
        let plain = format!("arn:aws:lambda:{}:{}:function:{name}", self.region, self.account_id);
        Named { name, arn: arn.map(|arn| arn.to_string()).filter(|arn| *arn != plain) }
    }
}

/// A function, with a qualifier if one was given: then only what names that one is meant.
struct Named {
    name: String,
    arn: Option<String>,
}

impl Named {
    fn has(&self, function: &FunctionReference) -> bool {
        self.arn.as_ref().is_none_or(|arn| function.arn == **arn)
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::read_object;
    use super::*;

    /// docs/spec/event-source-mapping.md 2.
    #[test]
    fn a_structure_is_an_object_and_null_is_not_given() {
        let read = |body: &str| read_object::<Settings>(body.as_bytes()).map(Settings::parameters);
        for body in [
            r#"["f", "arn"]"#,
            "\n[]",
            r#"{"FilterCriteria": []}"#,
            r#"{"FilterCriteria": [[]]}"#,
            r#"{"FilterCriteria": {"Filters": [["{}"]]}}"#,
            r#"{"FilterCriteria": {"Filters": [null]}}"#,
            r#"{"MetricsConfig": [["EventCount"]]}"#,
            r#"{"DestinationConfig": [null, ["arn"]]}"#,
            r#"{"DestinationConfig": {"OnFailure": ["arn"]}}"#,
            r#"{"FilterCriteria": "text"}"#,
        ] {
            assert!(read(body).is_err(), "{body}");
        }
        let nothing = read("{}").expect("nothing is given");
        let nulls = r#"{"FilterCriteria": null, "MetricsConfig": null, "DestinationConfig": null, "Tags": null, "BatchSize": null}"#;
        assert_eq!(read(nulls).expect("null is not given"), nothing);
        let inner = r#"{"FilterCriteria": {"Filters": null}, "MetricsConfig": {"Metrics": null},
                        "DestinationConfig": {"OnSuccess": null, "OnFailure": {"Destination": null}}}"#;
        let empty = r#"{"FilterCriteria": {}, "MetricsConfig": {}, "DestinationConfig": {}}"#;
        assert_eq!(read(inner).expect("null is not given"), read(empty).expect("empty"));
        let given =
            r#"{"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}, "MetricsConfig": {"Metrics": ["EventCount"]}}"#;
        let given = read(given).expect("a request");
        assert_eq!((given.filters, given.metrics), (Some(vec![Some("{}".into())]), Some(vec!["EventCount".into()])));
    }
}
