//! A mapping's configuration: what a caller may ask for, and how it is checked.
//! Source: docs/spec/event-source-mapping.md 2, 4.
//!
//! Features that are not built (destinations) are refused by name, never ignored. What is only kept and told back (metrics, a
//! key, tags) is checked as AWS does.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tailrace_core::limits::{FILTER_PATTERNS_MAX, PATTERN_CHARS_MAX};
use tailrace_core::{EpochMs, FunctionReference, MappingId, StartingPosition, StreamArn, StreamId, limits};
use tailrace_delivery::Rules;
use tailrace_pattern::{Filter, FilterError};

use crate::constraints::Constraints;
use crate::error::{MappingError, invalid};
use crate::tags::{self, Tags};

/// What a mapping may be told, beside its function and its source. `None` in an update keeps what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Enabled.
    pub enabled: Option<bool>,
    /// BatchSize.
    pub batch_size: Option<i64>,
    /// MaximumBatchingWindowInSeconds.
    pub batching_window_s: Option<i64>,
    /// ParallelizationFactor.
    pub parallelization_factor: Option<i64>,
    /// MaximumRecordAgeInSeconds; -1: for ever.
    pub record_age_max_s: Option<i64>,
    /// MaximumRetryAttempts; -1: for ever.
    pub retry_attempts_max: Option<i64>,
    /// BisectBatchOnFunctionError.
    pub bisect_on_error: Option<bool>,
    /// FunctionResponseTypes.
    pub response_types: Option<Vec<String>>,
    /// FilterCriteria: the pattern of each of its filters, as it was given; an empty list takes it away.
    pub filters: Option<Vec<Option<String>>>,
    /// TumblingWindowInSeconds; 0: none.
    pub tumbling_window_s: Option<i64>,
    /// MetricsConfig: Metrics.
    pub metrics: Option<Vec<String>>,
    /// KMSKeyArn; empty: none.
    pub kms_key_arn: Option<String>,
    /// Tags, all of them.
    pub tags: Option<Tags>,
    /// Events are bare arrays of records (ours): what a pipe hands over.
    pub bare_records: Option<bool>,
    /// Most parked records for each shard (ours).
    pub parked_records_max: Option<u64>,
    /// DestinationConfig has OnSuccess, which no stream has.
    pub on_success: bool,
    /// Names of parameters that were given and are not built.
    pub unsupported: Vec<String>,
}

/// A mapping to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateMapping {
    /// The function: its name, or an ARN.
    pub function: Option<String>,
    /// The stream's ARN.
    pub event_source_arn: Option<String>,
    /// StartingPosition as it was given.
    pub starting_position: Option<String>,
    /// The rest.
    pub parameters: Parameters,
}

/// The stream that a mapping reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSource {
    /// Its number.
    pub id: StreamId,
    /// Its ARN.
    pub arn: StreamArn,
    /// The name of the table's partition key.
    pub partition_key: String,
}

impl StreamSource {
    /// The name of the table whose stream it is.
    pub fn table(&self) -> &str {
        self.arn.as_str().split_once(":table/").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default()
    }
}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its id.
    pub id: MappingId,
    /// The function, as the mapping was given it.
    pub function: FunctionReference,
    /// The stream.
    pub source: StreamSource,
    /// StartingPosition.
    pub starting_position: StartingPosition,
    /// Whether it runs.
    pub enabled: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// LastModified.
    pub modified_ms: EpochMs,
    /// FunctionResponseTypes holds ReportBatchItemFailures.
    pub report_failures: bool,
    /// Events are bare arrays of records.
    pub bare_records: bool,
    /// FilterCriteria: the patterns, one of which has to match; none: every record is delivered.
    pub filters: Vec<String>,
    /// MetricsConfig: Metrics. Kept and told back.
    pub metrics: Vec<String>,
    /// KMSKeyArn. Kept and told back: nothing is encrypted.
    pub kms_key_arn: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// The rules of its delivery.
    pub rules: Rules,
}

impl CreateMapping {
    /// Checks what needs no look at functions and streams, in AWS's order. The function, the source's ARN and the position.
    ///
    /// # Errors
    /// All that is wrong with single members; or else the first rule that is broken.
    pub fn check(&self, region: &str, account_id: &str) -> Result<(&str, &str, StartingPosition), MappingError> {
        let mut constraints = Constraints::default();
        let function = self.function.as_deref();
        match function {
            Some(function) => constraints.function(function, region, account_id),
            None => constraints.broken("functionName", None, "not be null"),
        }
        constraints.source(self.event_source_arn.as_deref());
        constraints.choice("startingPosition", self.starting_position.as_deref(), &POSITIONS);
        self.parameters.constrain(&mut constraints);
        constraints.check()?;
        let (Some(function), Some(arn)) = (function, self.event_source_arn.as_deref()) else {
            return invalid("Unrecognized event source.");
        };
        self.parameters.check_destination()?;
        let position = match self.starting_position.as_deref() {
            // Other sources begin nowhere, which would hide what is wrong.
            None if !is_stream(arn) => return Err(no_stream(arn)),
            Some("TRIM_HORIZON") => StartingPosition::TrimHorizon,
            Some("LATEST") => StartingPosition::Latest,
            None => {
                return invalid(
                    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: \
                     Member must not be null.",
                );
            }
            Some(_) => return invalid(format!("Unsupported starting position for arn type: {arn}")),
        };
        self.parameters.check_rules()?;
        Ok((function, arn, position))
    }
}

/// The ARN is that of a stream of DynamoDB, as it looks.
pub(crate) fn is_stream(arn: &str) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    parts.next() == Some("dynamodb") && parts.nth(2).is_some_and(|resource| resource.contains("/stream/"))
}

/// Why there is no mapping of such a source.
pub(crate) fn no_stream(arn: &str) -> MappingError {
    MappingError::InvalidParameterValue(format!(
        "Only streams of DynamoDB tables are supported for event source mappings of this server, not {arn}"
    ))
}

impl Parameters {
    /// Checks an update, so far as it needs no look at the mapping.
    ///
    /// # Errors
    /// All that is wrong with single members; or else the first rule that is broken.
    pub fn check(&self, function: Option<&str>, region: &str, account_id: &str) -> Result<(), MappingError> {
        self.check_members(function, region, account_id)?;
        self.check_destination()?;
        self.check_rules()
    }

    /// Checks what the model says of an update's single members, before it is known whether there is a mapping.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn check_members(&self, function: Option<&str>, region: &str, account_id: &str) -> Result<(), MappingError> {
        let mut constraints = Constraints::default();
        if let Some(function) = function {
            constraints.function(function, region, account_id);
        }
        self.constrain(&mut constraints);
        constraints.check()
    }

    /// What AWS's model says of single values.
    fn constrain(&self, constraints: &mut Constraints) {
        for (member, value, min, max) in [
            ("batchSize", self.batch_size, 1, limits::MAPPING_BATCH_RECORDS_MAX),
            ("maximumBatchingWindowInSeconds", self.batching_window_s, 0, limits::MAPPING_WINDOW_S_MAX),
            ("parallelizationFactor", self.parallelization_factor, 1, limits::MAPPING_LANES_MAX),
            ("maximumRecordAgeInSeconds", self.record_age_max_s, -1, limits::MAPPING_RECORD_AGE_S_MAX),
            ("tumblingWindowInSeconds", self.tumbling_window_s, 0, limits::TUMBLING_WINDOW_S_MAX),
            ("maximumRetryAttempts", self.retry_attempts_max, -1, limits::MAPPING_RETRIES_MAX),
        ] {
            constraints.range(member, value, min, max);
        }
        constraints.tags(self.tags.as_ref());
        constraints.names("functionResponseTypes", self.response_types.as_ref(), &[REPORT_FAILURES], 1);
        constraints.names("metricsConfig.metrics", self.metrics.as_ref(), &METRICS, METRICS.len());
        constraints.key(self.kms_key_arn.as_deref());
        for (pattern, number) in self.filters.iter().flatten().zip(1..) {
            let Some(pattern) = pattern.as_deref().filter(|text| text.chars().count() > PATTERN_CHARS_MAX) else {
                continue;
            };
            let member = format!("filterCriteria.filters.{number}.member.pattern");
            constraints.broken(
                &member,
                Some(pattern),
                format!("have length less than or equal to {PATTERN_CHARS_MAX}"),
            );
        }
    }

    fn check_destination(&self) -> Result<(), MappingError> {
        match self.on_success {
            true => invalid("Unsupported DestinationConfig parameter for given event source mapping type."),
            false => Ok(()),
        }
    }

    /// What Lambda says of the rest.
    fn check_rules(&self) -> Result<(), MappingError> {
        if let Some(name) = self.unsupported.first() {
            return invalid(format!("{name} is not supported for event source mappings of this server."));
        }
        if self.record_age_max_s.is_some_and(|age| (0..limits::MAPPING_RECORD_AGE_S_MIN).contains(&age)) {
            return invalid(format!(
                "MaximumRecordAgeInSeconds must be either -1 (forever) or between {} and {} (inclusive)",
                limits::MAPPING_RECORD_AGE_S_MIN,
                limits::MAPPING_RECORD_AGE_S_MAX
            ));
        }
        self.tags.as_ref().map_or(Ok(()), tags::check)?;
        self.filters.as_ref().map_or(Ok(()), |filters| check_filters(filters))
    }

    /// Puts what is given into `mapping`.
    pub(crate) fn apply(&self, mapping: &mut Mapping) {
        if let Some(enabled) = self.enabled {
            mapping.enabled = enabled;
        }
        if let Some(bare) = self.bare_records {
            mapping.bare_records = bare;
        }
        if let Some(types) = &self.response_types {
            mapping.report_failures = types.iter().any(|name| name == REPORT_FAILURES);
        }
        if let Some(filters) = &self.filters {
            mapping.filters = filters.iter().flatten().cloned().collect();
        }
        if let Some(metrics) = &self.metrics {
            mapping.metrics.clone_from(metrics);
        }
        if let Some(arn) = &self.kms_key_arn {
            mapping.kms_key_arn = Some(arn.clone()).filter(|arn| !arn.is_empty());
        }
        if let Some(tags) = &self.tags {
            mapping.tags.clone_from(tags);
        }
        let rules = &mut mapping.rules;
        if let Some(seconds) = self.tumbling_window_s {
            rules.tumbling_window = Some(Duration::from_secs(seconds as u64)).filter(|window| !window.is_zero());
        }
        if let Some(size) = self.batch_size {
            rules.batch_records_max = size as usize;
        }
        if let Some(seconds) = self.batching_window_s {
            rules.window = Duration::from_secs(seconds as u64);
        }
        if let Some(lanes) = self.parallelization_factor {
            rules.lanes = lanes as u16;
        }
        if let Some(seconds) = self.record_age_max_s {
            rules.record_age_max = u64::try_from(seconds).ok().map(Duration::from_secs);
        }
        if let Some(retries) = self.retry_attempts_max {
            rules.retries_max = u32::try_from(retries).ok();
        }
        if let Some(bisect) = self.bisect_on_error {
            rules.bisect = bisect;
        }
        if let Some(records) = self.parked_records_max {
            rules.parked_records_max = records;
        }
    }
}

/// Source: docs/spec/event-source-mapping.md 8.1.
fn check_filters(filters: &[Option<String>]) -> Result<(), MappingError> {
    let given = filters.iter().map(|pattern| pattern.as_deref().unwrap_or_default());
    match Filter::parse(given) {
        Ok(_) => Ok(()),
        Err(FilterError::TooMany(count)) => Err(MappingError::Validation(format!(
            "1 validation error detected: Value of length {count} at 'filterCriteria.filters' failed to satisfy constraint: \
             Member must have length less than or equal to {FILTER_PATTERNS_MAX}"
        ))),
        // A pattern that is too long was refused as a member.
        Err(FilterError::TooLong { .. } | FilterError::Invalid { .. }) => invalid("Invalid filter pattern definition."),
    }
}

/// Where any source can begin.
const POSITIONS: [&str; 3] = ["LATEST", "AT_TIMESTAMP", "TRIM_HORIZON"];

/// What MetricsConfig may ask for.
const METRICS: [&str; 3] = ["EventCount", "ErrorCount", "KafkaMetrics"];

const REPORT_FAILURES: &str = "ReportBatchItemFailures";

impl Mapping {
    /// A new mapping with the defaults of Lambda and what the parameters give.
    pub(crate) fn new(
        id: MappingId,
        function: FunctionReference,
        source: StreamSource,
        starting_position: StartingPosition,
        parameters: &Parameters,
        modified_ms: EpochMs,
    ) -> Mapping {
        let mut mapping = Mapping {
            id,
            function,
            source,
            starting_position,
            enabled: true,
            deleting: false,
            modified_ms,
            report_failures: false,
            bare_records: false,
            filters: Vec::new(),
            metrics: Vec::new(),
            kms_key_arn: None,
            tags: Tags::new(),
            rules: Rules::default(),
        };
        parameters.apply(&mut mapping);
        mapping
    }

    /// Checks what only the whole mapping shows.
    ///
    /// # Errors
    /// A tumbling window and several lanes. Source: docs/spec/event-source-mapping.md 9.
    pub(crate) fn check(&self) -> Result<(), MappingError> {
        if self.rules.tumbling_window.is_some() && self.rules.lanes > 1 {
            return invalid("TumblingWindowInSeconds is not supported with a ParallelizationFactor greater than 1.");
        }
        Ok(())
    }

    /// Its ARN, by which it is tagged.
    pub fn arn(&self, region: &str, account_id: &str) -> String {
        format!("arn:aws:lambda:{region}:{account_id}:event-source-mapping:{}", self.id)
    }

    /// It is to deliver.
    pub(crate) fn runs(&self) -> bool {
        self.enabled && !self.deleting
    }

    /// The text of its id.
    pub fn uuid(&self) -> String {
        self.id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/T/stream/now";

    fn check(request: &CreateMapping) -> Result<(&str, &str, StartingPosition), MappingError> {
        request.check("us-east-1", "000000000000")
    }

    fn create() -> CreateMapping {
        CreateMapping {
            function: Some("f".into()),
            event_source_arn: Some(ARN.into()),
            starting_position: Some("LATEST".into()),
            parameters: Parameters::default(),
        }
    }

    /// Spec 2, "Check order": what is wrong with several is told of the first of them.
    #[test]
    fn the_order_of_the_checks_is_that_of_aws() {
        let all_wrong = CreateMapping {
            event_source_arn: None,
            starting_position: None,
            parameters: Parameters {
                on_success: true,
                filters: Some(vec![Some("no pattern".into())]),
                ..Parameters::default()
            },
            ..create()
        };
        let told = |request: &CreateMapping| check(request).expect_err("refused").to_string();
        assert_eq!(told(&all_wrong), "Unrecognized event source.");
        let mut request = CreateMapping { event_source_arn: Some(ARN.into()), ..all_wrong };
        assert_eq!(told(&request), "Unsupported DestinationConfig parameter for given event source mapping type.");
        request.parameters.on_success = false;
        assert!(
            told(&request).ends_with("at 'startingPosition' failed to satisfy constraint: Member must not be null.")
        );
        request.starting_position = Some("LATEST".into());
        assert_eq!(told(&request), "Invalid filter pattern definition.");
    }

    /// Every row of spec 2 that needs no look at functions and streams.
    #[test]
    fn what_is_refused_and_how() {
        let p = Parameters::default;
        let with = |parameters| CreateMapping { parameters, ..create() };
        let cases: Vec<(CreateMapping, &str)> = vec![
            (CreateMapping { event_source_arn: None, ..create() }, "Unrecognized event source."),
            (
                CreateMapping { starting_position: None, ..create() },
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.",
            ),
            (
                CreateMapping { starting_position: Some("invalid".into()), ..create() },
                "1 validation error detected: Value 'invalid' at 'startingPosition' failed to satisfy constraint: Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
            ),
            (
                CreateMapping { starting_position: Some("AT_TIMESTAMP".into()), ..create() },
                "Unsupported starting position for arn type: arn:aws:dynamodb:us-east-1:000000000000:table/T/stream/now",
            ),
            (
                with(Parameters { batch_size: Some(10_001), ..p() }),
                "1 validation error detected: Value '10001' at 'batchSize' failed to satisfy constraint: Member must have value less than or equal to 10000",
            ),
            (
                with(Parameters { parallelization_factor: Some(0), ..p() }),
                "1 validation error detected: Value '0' at 'parallelizationFactor' failed to satisfy constraint: Member must have value greater than or equal to 1",
            ),
            (
                with(Parameters { record_age_max_s: Some(59), ..p() }),
                "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)",
            ),
            (
                with(Parameters { unsupported: vec!["ScalingConfig".into()], ..p() }),
                "ScalingConfig is not supported for event source mappings of this server.",
            ),
        ];
        for (request, message) in cases {
            assert_eq!(check(&request).expect_err("refused").to_string(), message);
        }
        assert!(check(&with(Parameters { response_types: Some(vec!["Other".into()]), ..p() })).is_err());
        let widest = Parameters {
            batch_size: Some(10_000),
            batching_window_s: Some(300),
            parallelization_factor: Some(10),
            record_age_max_s: Some(604_800),
            retry_attempts_max: Some(10_000),
            response_types: Some(vec![REPORT_FAILURES.into()]),
            ..p()
        };
        assert_eq!(check(&with(widest)), Ok(("f", ARN, StartingPosition::Latest)));
    }

    /// What the service's model says of single members is told of all of them at once, ahead of the rest.
    #[test]
    fn all_broken_constraints_are_told() {
        let value = |member: &str, value: &str, rule: &str| {
            format!("Value {value} at '{member}' failed to satisfy constraint: Member must {rule}")
        };
        let told = |request: &CreateMapping, expected: &[(&str, &str, &str)]| {
            let error = check(request).expect_err("refused");
            assert!(matches!(error, MappingError::Validation(_)), "{error:?}");
            let expected: Vec<String> = expected.iter().map(|(m, v, rule)| value(m, v, rule)).collect();
            let errors = if expected.len() == 1 { "error" } else { "errors" };
            assert_eq!(
                error.to_string(),
                format!("{} validation {errors} detected: {}", expected.len(), expected.join("; "))
            );
        };
        let named = |function: &str| CreateMapping { function: Some(function.into()), ..create() };
        let of = |arn: &str| CreateMapping { event_source_arn: Some(arn.into()), ..create() };
        let with = |parameters| CreateMapping { parameters, ..create() };
        let p = Parameters::default;
        let function = "satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_\\.]+)(:(\\$LATEST(\\.PUBLISHED)?|[a-zA-Z0-9-_]+))?";
        let source = "satisfy regular expression pattern: arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1})?:(\\d{12})?:(.*)";
        let key = "satisfy regular expression pattern: (arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()";
        let wrong = CreateMapping {
            function: None,
            event_source_arn: Some(String::new()),
            starting_position: Some("invalid".into()),
            parameters: Parameters { batch_size: Some(0), retry_attempts_max: Some(-2), on_success: true, ..p() },
        };
        told(
            &wrong,
            &[
                ("functionName", "null", "not be null"),
                ("eventSourceArn", "''", source),
                ("startingPosition", "'invalid'", "satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]"),
                ("batchSize", "'0'", "have value greater than or equal to 1"),
                ("maximumRetryAttempts", "'-2'", "have value greater than or equal to -1"),
            ],
        );
        told(&named(""), &[("functionName", "''", "have length greater than or equal to 1")]);
        told(&named("f:"), &[("functionName", "'f:'", function)]);
        for arn in ["nonsense", "arn:aws:sqs", "arn:x:sqs:us-east-1:000000000000:q", "arn:aws:sqs:us-east-1:0:q"] {
            told(&of(arn), &[("eventSourceArn", &format!("'{arn}'"), source)]);
        }
        for arn in ["no-arn", "arn:x:kms:us-east-1", "arn:aws:kms", "arn:aws:KMS:us-east-1"] {
            let shown = format!("'{arn}'");
            told(&with(Parameters { kms_key_arn: Some(arn.into()), ..p() }), &[("kMSKeyArn", &shown, key)]);
        }
        let metrics = vec!["EventCount".to_owned(); 4];
        let shown = "'[EventCount, EventCount, EventCount, EventCount]'";
        let few = ("metricsConfig.metrics", shown, "have length less than or equal to 3");
        told(&with(Parameters { metrics: Some(metrics), ..p() }), &[few]);
        let key = with(Parameters { kms_key_arn: Some("arn::kms:".into()), ..p() });
        assert!(check(&key).is_ok());
    }

    /// Spec 2, "EventSourceArn": what is no stream is refused as that, also where a queue needs no StartingPosition.
    #[test]
    fn another_source_is_told_as_what_it_is() {
        let queue = "arn:aws:sqs:us-east-1:000000000000:q";
        let request = CreateMapping { event_source_arn: Some(queue.into()), starting_position: None, ..create() };
        let text = "Only streams of DynamoDB tables are supported for event source mappings of this server, not ";
        assert_eq!(check(&request).expect_err("refused").to_string(), format!("{text}{queue}"));
        assert!(!is_stream("arn:aws:dynamodb:us-east-1:000000000000:table/T"));
        assert!(!is_stream("arn:aws:kinesis:us-east-1:000000000000:table/T/stream/now"));
        assert!(is_stream(ARN));
    }
}
