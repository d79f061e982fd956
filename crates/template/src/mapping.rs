//! `AWS::Lambda::EventSourceMapping`, and the DynamoDB events of a SAM function, which are the same thing.
//! Ranges and defaults: docs/spec/event-source-mapping.md 2.

use std::collections::BTreeMap;

use tailrace_core::{StartingPosition, StreamArn};

use tailrace_pattern::{Filter, FilterError};

use crate::TemplateError;
use crate::node::Node;
use crate::plan::{FunctionPlan, MappingPlan, Part, Source};
use crate::properties::Properties;
use crate::resolve::Resolver;

/// A resource of its own.
pub(crate) fn resource(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<MappingPlan, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    let path = properties.at("FunctionName");
    let reference = properties.required_text("FunctionName")?;
    let (function, qualifier) = function_reference(&reference)
        .ok_or_else(|| TemplateError::at(&path, format!("the name of a function is expected, not {reference:?}")))?;
    if let Some(qualifier) = qualifier.filter(|qualifier| *qualifier != "$LATEST") {
        resolver.skip(&path, format_args!("there are no versions and aliases; {qualifier} is the function itself"));
    }
    read(id, (function, path), "EventSourceArn", properties)
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

/// An event of a function.
pub(crate) fn event(
    logical_id: &str,
    function: &FunctionPlan,
    properties: Properties<'_>,
) -> Result<MappingPlan, TemplateError> {
    let path = format!("Resources.{}", function.logical_id);
    read(logical_id, (&function.name, path), "Stream", properties)
}

/// Refuses a property whose member says something; without that it is named.
fn refuse_inside(properties: &mut Properties<'_>, name: &str, member: &str, why: &str) -> Result<(), TemplateError> {
    let Some(mut inside) = properties.map(name)? else { return Ok(()) };
    inside.refuse(member, why)?;
    properties.skip(name, "not applied");
    inside.finish();
    Ok(())
}

/// The patterns of FilterCriteria, each of which is one.
fn filters(properties: &mut Properties<'_>) -> Result<Vec<String>, TemplateError> {
    let Some(mut criteria) = properties.map("FilterCriteria")? else { return Ok(Vec::new()) };
    let path = criteria.at("Filters");
    let mut patterns = Vec::new();
    for mut filter in criteria.maps("Filters")?.unwrap_or_default() {
        patterns.push(filter.required_text("Pattern")?);
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
    source_name: &str,
    mut properties: Properties<'_>,
) -> Result<MappingPlan, TemplateError> {
    properties.not_applied(&["LoggingConfig"]);
    let filters = filters(&mut properties)?;
    refuse_inside(
        &mut properties,
        "DestinationConfig",
        "OnFailure",
        "destinations are not supported yet: records that are given up are parked instead",
    )?;
    let source_path = properties.at(source_name);
    let source = properties.text_with_streams(source_name)?.ok_or_else(|| properties.missing(source_name))?;
    let source = match source.0.as_slice() {
        [Part::StreamOf(id)] => Source::StreamOf(id.clone()),
        [Part::Literal(arn)] if arn.starts_with("arn:aws:dynamodb:") && arn.contains("/stream/") => {
            Source::Arn(StreamArn::new(arn.clone()))
        }
        [Part::Literal(arn)] => {
            let message = format!("the ARN of a DynamoDB stream is expected, not {arn:?}");
            return Err(TemplateError::at(source_path, message));
        }
        _ => return Err(TemplateError::at(source_path, "the ARN of a DynamoDB stream is expected")),
    };
    let positions = [("TRIM_HORIZON", StartingPosition::TrimHorizon), ("LATEST", StartingPosition::Latest)];
    let starting_position = properties.word("StartingPosition", &positions)?;
    let starting_position = starting_position.ok_or_else(|| properties.missing("StartingPosition"))?;
    let age_path = properties.at("MaximumRecordAgeInSeconds");
    let age_s = properties.integer("MaximumRecordAgeInSeconds", -1, 604_800)?;
    if age_s.is_some_and(|age_s| (0..60).contains(&age_s)) {
        let message = "it must be either -1 (forever) or between 60 and 604800 (inclusive)";
        return Err(TemplateError::at(age_path, message));
    }
    let mut integer =
        |name: &str, min, max, default| properties.integer(name, min, max).map(|value| value.unwrap_or(default) as u32);
    let batch_size = integer("BatchSize", 1, 10_000, 100)?;
    let batching_window_s = integer("MaximumBatchingWindowInSeconds", 0, 300, 0)?;
    let parallelization_factor = integer("ParallelizationFactor", 1, 10, 1)?;
    let tumbling_window_s = integer("TumblingWindowInSeconds", 0, 900, 0)?;
    if tumbling_window_s > 0 && parallelization_factor > 1 {
        let why = "a tumbling window and a ParallelizationFactor above 1 do not go together";
        return Err(TemplateError::at(properties.at("TumblingWindowInSeconds"), why));
    }
    let metrics = metrics(&mut properties);
    let kms_key_arn = kms_key_arn(&mut properties);
    let tags = tags(&mut properties);
    let retries = properties.integer("MaximumRetryAttempts", -1, 10_000)?;
    let enabled = properties.boolean("Enabled")?.unwrap_or(true);
    let bisect_on_error = properties.boolean("BisectBatchOnFunctionError")?.unwrap_or(false);
    let responses_path = properties.at("FunctionResponseTypes");
    let responses = match properties.value("FunctionResponseTypes")? {
        None => Vec::new(),
        Some(crate::resolve::Value::List(list)) => list,
        Some(other) => {
            return Err(TemplateError::at(responses_path, format!("a list is expected, not {}", other.brief())));
        }
    };
    let mut report_item_failures = false;
    for response in responses {
        match response.as_text().and_then(|text| text.as_literal()).as_deref() {
            Some("ReportBatchItemFailures") => report_item_failures = true,
            _ => {
                let message = format!("ReportBatchItemFailures is expected, not {}", response.brief());
                return Err(TemplateError::at(responses_path, message));
            }
        }
    }
    properties.finish();
    let unless_forever = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
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
        retry_attempts_max: unless_forever(retries),
        record_age_max_s: unless_forever(age_s),
        bisect_on_error,
        report_item_failures,
        filters,
        tumbling_window_s,
        metrics,
        kms_key_arn,
        tags,
    })
}
