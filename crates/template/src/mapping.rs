//! `AWS::Lambda::EventSourceMapping`, and the DynamoDB events of a SAM function, which are the same thing.
//! Ranges and defaults: docs/spec/event-source-mapping.md 2.

use std::collections::BTreeMap;

use tailrace_core::{StartingPosition, StreamArn, limits};
use tailrace_pattern::{Filter, FilterError};

use crate::TemplateError;
use crate::filters;
use crate::names::not_here;
use crate::node::{Node, is_intrinsic};
use crate::plan::{MappingPlan, Source};
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::suggest::did_you_mean;
use crate::text::{Origin, Part};
use crate::value::Value;

/// A resource of its own; `None`: its records do not come from DynamoDB, which is named.
pub(crate) fn resource(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
) -> Result<Option<MappingPlan>, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    if ["SelfManagedEventSource", "DocumentDBEventSourceConfig"].iter().any(|name| properties.peek(name).is_some()) {
        resolver.skip(&format!("Resources.{id}"), "its records do not come from a stream of DynamoDB; skipped");
        return Ok(None);
    }
    let Some(source) = source(&mut properties, "EventSourceArn")? else { return Ok(None) };
    let path = properties.at("FunctionName");
    let reference = properties.required_text("FunctionName")?;
    let (function, qualifier) = function_reference(&reference)
        .ok_or_else(|| TemplateError::at(&path, format!("the name of a function is expected, not {reference:?}")))?;
    if let Some(qualifier) = qualifier.filter(|qualifier| *qualifier != "$LATEST") {
        resolver.skip(&path, format_args!("there are no versions and aliases; {qualifier} is the function itself"));
    }
    read(&resolver.global(id), (function, path), source, properties).map(Some)
}

/// The function's name and the qualifier of a name, a partial ARN or an ARN. One server has the functions of one account
/// and region, so what an ARN says of these is of no interest.
fn function_reference(reference: &str) -> Option<(&str, Option<&str>)> {
    let parts: Vec<&str> = reference.split(':').collect();
    let (name, qualifier) = match parts[..] {
        [name] | [_, "function", name] | ["arn", _, "lambda", _, _, "function", name] => (name, None),
        [name, qualifier]
        | [_, "function", name, qualifier]
        | ["arn", _, "lambda", _, _, "function", name, qualifier] => (name, Some(qualifier)),
        _ => return None,
    };
    (!name.is_empty()).then_some((name, qualifier))
}

/// An event of the function with this logical id and name; `None`: as above.
pub(crate) fn event(
    logical_id: &str,
    (id, function): (&str, &str),
    mut properties: Properties<'_>,
) -> Result<Option<MappingPlan>, TemplateError> {
    let Some(source) = source(&mut properties, "Stream")? else { return Ok(None) };
    read(logical_id, (function, format!("Resources.{id}")), source, properties).map(Some)
}

/// The stream and where it is named; `None`: it is not one of DynamoDB.
pub(crate) fn source(properties: &mut Properties<'_>, name: &str) -> Result<Option<(Source, String)>, TemplateError> {
    let path = properties.at(name);
    let source = properties.text_with_streams(name)?.ok_or_else(|| properties.missing(name))?;
    let at = |message: String| Err(TemplateError::at(&path, message));
    let source = match source.0.as_slice() {
        [Part::StreamOf(id)] => Source::StreamOf(id.clone()),
        [Part::Literal(arn)] if arn.starts_with("arn:aws:dynamodb:") && arn.contains("/stream/") => {
            Source::Arn(StreamArn::new(arn.clone()))
        }
        [Part::Literal(arn)] if is_of_another_service(arn) => {
            properties.skip(name, &format!("records of {arn} are not delivered here; the mapping is skipped"));
            return Ok(None);
        }
        [Part::Literal(arn)] => {
            // What Ref and the attribute Arn of a table give.
            let is_table = !arn.starts_with("arn:") || arn.starts_with("arn:aws:dynamodb:");
            let hint = if is_table { ": a table has it as its attribute StreamArn" } else { "" };
            return at(format!("the ARN of a DynamoDB stream is expected, not {arn:?}{hint}"));
        }
        _ => match source.origins().next() {
            Some(Origin { what, option, is_resource: true }) => {
                // Of a stack that is not here, or of somebody's own resource, it may be the stream of a table all the same.
                let may_be = ["::Stack)", "::Application)", "(Custom::", "::CustomResource)"];
                let is_open = may_be.iter().any(|kind| what.contains(kind));
                let hint =
                    if is_open { format!("; {option} gives the ARN of a table's stream") } else { String::new() };
                let why = format!("records of {what} are not delivered here; the mapping is skipped{hint}");
                properties.skip(name, &why);
                return Ok(None);
            }
            Some(Origin { what, option, .. }) => return at(not_here(what, option)),
            None => return at("the ARN of a DynamoDB stream is expected".to_owned()),
        },
    };
    Ok(Some((source, path)))
}

/// The one response type that there is.
const REPORT: &str = "ReportBatchItemFailures";

/// The services beside DynamoDB whose records Lambda delivers.
const OTHER_SERVICES: [&str; 5] = ["kinesis", "sqs", "kafka", "mq", "rds"];

fn is_of_another_service(arn: &str) -> bool {
    let mut parts = arn.split(':');
    parts.next() == Some("arn") && parts.nth(1).is_some_and(|service| OTHER_SERVICES.contains(&service))
}

/// `DestinationConfig`: nothing is sent anywhere, and nothing is lost by that.
fn destination(properties: &mut Properties<'_>) {
    let given = properties.map("DestinationConfig");
    let Some(mut given) = properties.or_skipped(given) else { return };
    let failure = given.map("OnFailure");
    let destination = given.or_skipped(failure).and_then(|mut failure| {
        // SAM says with it what kind of resource the destination is.
        failure.without_effect(&["Type"]);
        let named = failure.text_with_streams("Destination");
        let named = failure.or_skipped(named);
        failure.finish();
        named
    });
    given.not_applied(&["OnSuccess"]);
    match destination {
        Some(text) => {
            let name = text.origins().next().map(|origin| origin.what.clone()).or_else(|| text.as_literal());
            let name = name.unwrap_or_else(|| "the destination".to_owned());
            let why = format!("{name} cannot be reached here: records that are given up are parked instead");
            given.skip("OnFailure", &why);
        }
        None => properties.skip("DestinationConfig", "not applied"),
    }
    given.finish();
}

/// The patterns of FilterCriteria, each of which is one.
pub(crate) fn filters(properties: &mut Properties<'_>) -> Result<Vec<String>, TemplateError> {
    let Some(mut criteria) = properties.map("FilterCriteria")? else { return Ok(Vec::new()) };
    let path = criteria.at("Filters");
    let mut patterns = Vec::new();
    for mut filter in criteria.maps("Filters")?.unwrap_or_default() {
        if let Some(Node::Map(pairs)) = filter.peek("Pattern")
            && !is_intrinsic(pairs)
        {
            let path = filter.at("Pattern");
            let json = filter.value("Pattern")?.and_then(|value| value.as_json());
            let json = json.map(|json| format!(": '{json}'")).unwrap_or_default();
            return Err(TemplateError::at(path, format!("a text is expected, which has the pattern in JSON{json}")));
        }
        let pattern = filter.required_text("Pattern")?;
        if let Some(why) = serde_json::from_str(&pattern).ok().and_then(|pattern| filters::never(&pattern)) {
            filter.skip("Pattern", &why);
        }
        patterns.push(pattern);
        filter.finish();
    }
    criteria.finish();
    match Filter::parse(patterns.iter().map(String::as_str)) {
        Ok(_) => Ok(patterns),
        Err(FilterError::Invalid { index, error }) => {
            Err(TemplateError::at(format!("{path}.{index}.Pattern"), error.to_string()))
        }
        Err(error) => Err(TemplateError::at(path, error.to_string())),
    }
}

/// MetricsConfig, which is kept and told back.
fn metrics(properties: &mut Properties<'_>) -> Vec<String> {
    let config = properties.map("MetricsConfig");
    let Some(mut config) = properties.or_skipped(config) else { return Vec::new() };
    let metrics = config.texts("Metrics");
    let metrics = config.or_skipped(metrics).unwrap_or_default();
    config.finish();
    metrics
}

/// The key, under either of the names that SAM and CloudFormation have for it.
fn kms_key_arn(properties: &mut Properties<'_>) -> Option<String> {
    let mut found = None;
    for name in ["KMSKeyArn", "KmsKeyArn"] {
        let arn = properties.text(name);
        // What stands in for a resource that is not made here is no key's.
        let arn = properties.or_skipped(arn).filter(|arn| arn.starts_with("arn:"));
        if arn.is_some() {
            properties.skip(name, "kept; nothing is encrypted");
        }
        found = found.or(arn);
    }
    found
}

fn tags(properties: &mut Properties<'_>) -> BTreeMap<String, String> {
    let list = properties.maps("Tags");
    let mut tags = BTreeMap::new();
    for mut tag in properties.or_skipped(list).unwrap_or_default() {
        let pair = tag.text("Key").and_then(|key| Ok(key.zip(tag.text("Value")?)));
        tags.extend(tag.or_skipped(pair));
        tag.finish();
    }
    tags
}

fn read(
    logical_id: &str,
    (function, function_path): (&str, String),
    (source, source_path): (Source, String),
    mut properties: Properties<'_>,
) -> Result<MappingPlan, TemplateError> {
    properties.not_applied(&["LoggingConfig"]);
    let filters = filters(&mut properties)?;
    destination(&mut properties);
    let positions = [("TRIM_HORIZON", StartingPosition::TrimHorizon), ("LATEST", StartingPosition::Latest)];
    let starting_position = properties.word("StartingPosition", &positions)?;
    let starting_position = starting_position.ok_or_else(|| properties.missing("StartingPosition"))?;
    let Pace { batch_size, batching_window_s, parallelization_factor, record_age_max_s, retry_attempts_max } =
        pace(&mut properties)?;
    let tumbling_window_s = properties.integer("TumblingWindowInSeconds", 0, limits::TUMBLING_WINDOW_S_MAX)?;
    let tumbling_window_s = tumbling_window_s.unwrap_or(0) as u32;
    if tumbling_window_s > 0 && parallelization_factor > 1 {
        let why = "a tumbling window and a ParallelizationFactor above 1 do not go together";
        return Err(TemplateError::at(properties.at("TumblingWindowInSeconds"), why));
    }
    let metrics = metrics(&mut properties);
    let kms_key_arn = kms_key_arn(&mut properties);
    let tags = tags(&mut properties);
    let enabled = properties.boolean("Enabled")?.unwrap_or(true);
    let bisect_on_error = properties.boolean("BisectBatchOnFunctionError")?.unwrap_or(false);
    let responses_path = properties.at("FunctionResponseTypes");
    let responses = match properties.value("FunctionResponseTypes")? {
        None => Vec::new(),
        Some(Value::List(list)) => list,
        Some(other) => {
            return Err(TemplateError::at(responses_path, format!("a list is expected, not {}", other.brief())));
        }
    };
    let mut report_item_failures = false;
    for response in responses {
        let text = response.as_literal().unwrap_or_default();
        if text != REPORT {
            let hint = did_you_mean(&text, [REPORT]);
            let message = format!("{REPORT} is expected, not {}{hint}", response.brief());
            return Err(TemplateError::at(responses_path, message));
        }
        report_item_failures = true;
    }
    properties.finish();
    Ok(MappingPlan {
        logical_id: logical_id.to_owned(),
        function: function.to_owned(),
        function_path,
        source,
        source_path,
        enabled,
        batch_size,
        batching_window_s,
        starting_position,
        parallelization_factor,
        retry_attempts_max,
        record_age_max_s,
        bisect_on_error,
        report_item_failures,
        bare_records: false,
        filters,
        tumbling_window_s,
        metrics,
        kms_key_arn,
        tags,
    })
}

/// How records are gathered, and how long one is tried: what a mapping and a pipe have in common.
pub(crate) struct Pace {
    pub batch_size: u32,
    pub batching_window_s: u32,
    pub parallelization_factor: u32,
    /// `None`: until the record expires.
    pub record_age_max_s: Option<u32>,
    /// `None`: until the record expires.
    pub retry_attempts_max: Option<u32>,
}

/// Reads it, in the ranges of docs/spec/event-source-mapping.md 2.
pub(crate) fn pace(properties: &mut Properties<'_>) -> Result<Pace, TemplateError> {
    let (age_min, age_max) = (limits::MAPPING_RECORD_AGE_S_MIN, limits::MAPPING_RECORD_AGE_S_MAX);
    let age_path = properties.at("MaximumRecordAgeInSeconds");
    let age_s = properties.integer("MaximumRecordAgeInSeconds", -1, age_max)?;
    if age_s.is_some_and(|age_s| (0..age_min).contains(&age_s)) {
        let message = format!("it must be either -1 (forever) or between {age_min} and {age_max} (inclusive)");
        return Err(TemplateError::at(age_path, message));
    }
    let mut integer = |name: &str, min, max, default| {
        properties.integer(name, min, max).map(|value| value.map_or(default, |value| value as u32))
    };
    let unless_forever = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    Ok(Pace {
        batch_size: integer("BatchSize", 1, limits::MAPPING_BATCH_RECORDS_MAX, limits::MAPPING_BATCH_RECORDS)?,
        batching_window_s: integer("MaximumBatchingWindowInSeconds", 0, limits::MAPPING_WINDOW_S_MAX, 0)?,
        parallelization_factor: integer("ParallelizationFactor", 1, limits::MAPPING_LANES_MAX, 1)?,
        record_age_max_s: unless_forever(age_s),
        retry_attempts_max: unless_forever(properties.integer(
            "MaximumRetryAttempts",
            -1,
            limits::MAPPING_RETRIES_MAX,
        )?),
    })
}
