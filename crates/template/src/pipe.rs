//! `AWS::Pipes::Pipe` with the stream of a table as its source. To a function it is an event source mapping whose events are bare
//! arrays of records; to a queue, a topic or an API destination it is a sink that sends each record.
//!
//! What it does not do: an enrichment and an InputTemplate would change what the target gets, and stop the reading. A pipe from
//! another source, or to another target, is named and skipped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tailrace_core::StartingPosition;

use crate::TemplateError;
use crate::mapping::{filters, source};
use crate::node::Node;
use crate::plan::{MappingPlan, SinkPlan, Source};
use crate::properties::Properties;
use crate::resolve::Resolver;

/// The parameters of targets that are none here.
const OTHER_TARGETS: [&str; 9] = [
    "BatchJobParameters",
    "CloudWatchLogsParameters",
    "EcsTaskParameters",
    "EventBridgeEventBusParameters",
    "KinesisStreamParameters",
    "RedshiftDataParameters",
    "SageMakerPipelineParameters",
    "StepFunctionStateMachineParameters",
    "TimestreamParameters",
];

/// What a pipe is here.
pub(crate) enum Made {
    Mapping(Box<MappingPlan>),
    Sink(SinkPlan),
}

/// What `SourceParameters` say.
struct Rules {
    filters: Vec<String>,
    starting_position: StartingPosition,
    batch_size: u32,
    batching_window_s: u32,
    parallelization_factor: u32,
    retry_attempts_max: Option<u32>,
    record_age_max_s: Option<u32>,
    bisect_on_error: bool,
    /// Where the age is said, if it is.
    age_path: Option<String>,
}

/// Reads a pipe; `None`: it is none here, which is named.
pub(crate) fn pipe(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<Option<Made>, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    let Some((source, source_path)) = source(&mut properties, "Source")? else { return Ok(None) };
    let enriched = "an enrichment is not here yet, and without it the target would get something else";
    properties.refuse("Enrichment", enriched)?;
    properties.refuse("EnrichmentParameters", enriched)?;
    let states = [("RUNNING", true), ("STOPPED", false)];
    let enabled = properties.word("DesiredState", &states)?.unwrap_or(true);
    let rules = rules(&mut properties)?;
    properties.without_effect(&["Description", "RoleArn"]);
    properties.not_applied(&["LogConfiguration", "KmsKeyIdentifier", "Tags"]);
    let name = properties.text("Name")?.unwrap_or_else(|| resolver.generated_name(id, 64));
    let target_path = properties.at("Target");
    let api_destination = properties.peek("Target").and_then(referred).and_then(|target| find(resolver, target));
    let target = properties.text_with_streams("Target")?.ok_or_else(|| properties.missing("Target"))?;
    let arn = target.as_literal().unwrap_or_default();
    let service = arn.split(':').nth(2).unwrap_or_default().to_owned();
    let mut parameters = properties.map("TargetParameters")?;
    if let Some(parameters) = &mut parameters {
        let why = "templates of the input are not here yet, and without this one the target would get something else";
        parameters.refuse("InputTemplate", why)?;
    }
    properties.finish();
    if service == "lambda" {
        let function = arn.split(":function:").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
        finish(parameters, "LambdaFunctionParameters", |own| {
            if own.text("InvocationType")?.as_deref() == Some("FIRE_AND_FORGET") {
                own.skip("InvocationType", "the function is waited for, as with REQUEST_RESPONSE");
            }
            Ok(())
        })?;
        return Ok(Some(Made::Mapping(Box::new(MappingPlan {
            logical_id: resolver.global(id),
            function: function.to_owned(),
            function_path: target_path,
            source,
            source_path,
            enabled,
            batch_size: rules.batch_size,
            batching_window_s: rules.batching_window_s,
            starting_position: rules.starting_position,
            parallelization_factor: rules.parallelization_factor,
            retry_attempts_max: rules.retry_attempts_max,
            record_age_max_s: rules.record_age_max_s,
            bisect_on_error: rules.bisect_on_error,
            // A function behind a pipe may always name what failed.
            report_item_failures: true,
            bare_records: true,
            filters: rules.filters,
            tumbling_window_s: 0,
            metrics: Vec::new(),
            kms_key_arn: None,
            tags: std::collections::BTreeMap::new(),
        }))));
    }
    let mut config = match service.as_str() {
        "sqs" | "sns" => {
            if let Some(origin) = target.origins().next() {
                let why = format!("{} is not here; give it with {}; the pipe is skipped", origin.what, origin.option);
                resolver.skip(&target_path, why);
                return Ok(None);
            }
            finish(parameters, "SqsQueueParameters", |own| {
                let why = "a FIFO queue gets a group for each partition key, and the eventID against repeats";
                for name in ["MessageGroupId", "MessageDeduplicationId"] {
                    if own.node(name).is_some() {
                        own.skip(name, why);
                    }
                }
                Ok(())
            })?;
            json!({"to": format!("{service}:{arn}")})
        }
        "events" if arn.contains("api-destination") || arn.contains("apidestination") => {
            let Some((target, destination)) = api_destination else {
                resolver.skip(&target_path, "the API destination is not in the template; the pipe is skipped");
                return Ok(None);
            };
            finish(parameters, "HttpParameters", |own| {
                for name in ["HeaderParameters", "PathParameterValues", "QueryStringParameters"] {
                    own.refuse(name, "not here yet, and without it the request would be another")?;
                }
                Ok(())
            })?;
            destination_config(resolver, target, destination)?
        }
        _ => {
            let what = target.origins().next().map_or(arn.clone(), |origin| origin.what.clone());
            resolver.skip(&target_path, format_args!("{what} cannot be reached here; the pipe is skipped"));
            return Ok(None);
        }
    };
    if !enabled {
        resolver.skip(&format!("Resources.{id}"), "DesiredState is STOPPED: the pipe is left out");
        return Ok(None);
    }
    if let Some(path) = &rules.age_path {
        resolver.skip(path, "not applied: a record is tried until it is taken, or given up by its tries");
    }
    let table = match &source {
        Source::StreamOf(table) => resolver.stack.shared.tables.borrow().get(table).cloned(),
        Source::Arn(arn) => {
            arn.as_str().split_once(":table/").and_then(|(_, rest)| rest.split('/').next()).map(str::to_owned)
        }
    };
    let table = table.ok_or_else(|| TemplateError::at(&source_path, "the table of the stream is not known"))?;
    config["from"] = table.into();
    config["values"] = "dynamodb-json".into();
    config["start"] = match rules.starting_position {
        StartingPosition::TrimHorizon => "trim_horizon",
        StartingPosition::Latest => "latest",
    }
    .into();
    if let Some(retries) = rules.retry_attempts_max {
        config["tries_max"] = retries.saturating_add(1).into();
    }
    if !rules.filters.is_empty() {
        let parsed = rules.filters.iter().map(|filter| serde_json::from_str(filter));
        let parsed: Result<Vec<serde_json::Value>, _> = parsed.collect();
        config["events"] = parsed.map_err(|error| TemplateError::at(&source_path, error.to_string()))?.into();
    }
    Ok(Some(Made::Sink(SinkPlan { logical_id: resolver.global(id), name, config })))
}

/// What of TargetParameters is of this target; what is of another one is named.
fn finish(
    parameters: Option<Properties<'_>>,
    own: &str,
    read: impl FnOnce(&mut Properties<'_>) -> Result<(), TemplateError>,
) -> Result<(), TemplateError> {
    let Some(mut parameters) = parameters else { return Ok(()) };
    if let Some(mut own) = parameters.map(own)? {
        read(&mut own)?;
        own.finish();
    }
    parameters.not_applied(&OTHER_TARGETS);
    parameters.finish();
    Ok(())
}

fn rules(properties: &mut Properties<'_>) -> Result<Rules, TemplateError> {
    let mut parameters = properties.map("SourceParameters")?.ok_or_else(|| properties.missing("SourceParameters"))?;
    let filters = filters(&mut parameters)?;
    let mut own =
        parameters.map("DynamoDBStreamParameters")?.ok_or_else(|| parameters.missing("DynamoDBStreamParameters"))?;
    parameters.finish();
    let positions = [("TRIM_HORIZON", StartingPosition::TrimHorizon), ("LATEST", StartingPosition::Latest)];
    let starting_position = own.word("StartingPosition", &positions)?;
    let starting_position = starting_position.ok_or_else(|| own.missing("StartingPosition"))?;
    let age_path = own.at("MaximumRecordAgeInSeconds");
    let age_s = own.integer("MaximumRecordAgeInSeconds", -1, 604_800)?;
    if age_s.is_some_and(|age_s| (0..60).contains(&age_s)) {
        return Err(TemplateError::at(age_path, "it must be either -1 (forever) or between 60 and 604800 (inclusive)"));
    }
    let mut integer =
        |name: &str, min, max, default| own.integer(name, min, max).map(|value| value.unwrap_or(default) as u32);
    let batch_size = integer("BatchSize", 1, 10_000, 100)?;
    let batching_window_s = integer("MaximumBatchingWindowInSeconds", 0, 300, 0)?;
    let parallelization_factor = integer("ParallelizationFactor", 1, 10, 1)?;
    let retries = own.integer("MaximumRetryAttempts", -1, 10_000)?;
    let bisect_on_error = own.word("OnPartialBatchItemFailure", &[("AUTOMATIC_BISECT", true)])?.unwrap_or(false);
    if own.node("DeadLetterConfig").is_some() {
        own.skip("DeadLetterConfig", "records that are given up are parked instead");
    }
    own.finish();
    let unless_forever = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let record_age_max_s = unless_forever(age_s);
    Ok(Rules {
        filters,
        starting_position,
        batch_size,
        batching_window_s,
        parallelization_factor,
        retry_attempts_max: unless_forever(retries),
        record_age_max_s,
        bisect_on_error,
        age_path: record_age_max_s.map(|_| age_path),
    })
}

/// The logical id that a node refers to by Ref or GetAtt.
fn referred(node: &Node) -> Option<&str> {
    match node.pairs() {
        [(name, Node::Text(target))] if name == "Ref" => Some(target),
        [(name, Node::Text(target))] if name == "Fn::GetAtt" => target.split('.').next(),
        [(name, Node::List(parts))] if name == "Fn::GetAtt" => match parts.first() {
            Some(Node::Text(target)) => Some(target),
            _ => None,
        },
        _ => None,
    }
}

fn find<'a>(resolver: &'a Resolver<'_>, id: &str) -> Option<(&'a str, &'a Node)> {
    resolver.resources().iter().find(|(name, _)| name == id).map(|(name, resource)| (name.as_str(), resource))
}

/// The settings of a sink that sends to an API destination.
fn destination_config(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<serde_json::Value, TemplateError> {
    let mut destination = Properties::of(resolver, id, resource, None)?;
    let path = destination.at("HttpMethod");
    let method = destination.required_text("HttpMethod")?;
    if method != "POST" {
        return Err(TemplateError::at(path, format!("a sink sends by POST, not by {method}")));
    }
    let path = destination.at("InvocationEndpoint");
    let endpoint = destination.required_text("InvocationEndpoint")?;
    if endpoint.contains('*') {
        return Err(TemplateError::at(path, "parameters of the path are not here yet"));
    }
    let rate = destination.integer("InvocationRateLimitPerSecond", 1, 10_000)?;
    let connection_path = destination.at("ConnectionArn");
    let connection = destination.peek("ConnectionArn").and_then(referred).and_then(|id| find(resolver, id));
    let Some((connection, resource)) = connection else {
        return Err(TemplateError::at(connection_path, "the connection is not in the template"));
    };
    let headers = connection_headers(resolver, connection, resource)?;
    let mut config = json!({"to": format!("webhook+{endpoint}"), "headers": headers});
    if let Some(rate) = rate {
        config["throttle"] = json!({"messages": rate, "seconds": 1});
    }
    Ok(config)
}

/// The headers by which a connection shows who asks.
fn connection_headers(
    resolver: &Resolver<'_>,
    id: &str,
    resource: &Node,
) -> Result<serde_json::Map<String, serde_json::Value>, TemplateError> {
    let mut connection = Properties::of(resolver, id, resource, None)?;
    let mut parameters = connection.map("AuthParameters")?.ok_or_else(|| connection.missing("AuthParameters"))?;
    parameters.refuse("OAuthParameters", "OAuth is not here yet: API_KEY and BASIC are")?;
    let mut headers = serde_json::Map::new();
    if let Some(mut key) = parameters.map("ApiKeyAuthParameters")? {
        headers.insert(key.required_text("ApiKeyName")?, key.required_text("ApiKeyValue")?.into());
    }
    if let Some(mut basic) = parameters.map("BasicAuthParameters")? {
        let (user, password) = (basic.required_text("Username")?, basic.required_text("Password")?);
        headers.insert(
            "Authorization".to_owned(),
            format!("Basic {}", BASE64.encode(format!("{user}:{password}"))).into(),
        );
    }
    if let Some(mut more) = parameters.map("InvocationHttpParameters")? {
        for mut header in more.maps("HeaderParameters")?.unwrap_or_default() {
            headers.insert(header.required_text("Key")?, header.required_text("Value")?.into());
        }
        for name in ["BodyParameters", "QueryStringParameters"] {
            more.refuse(name, "not here yet, and without it the request would be another")?;
        }
    }
    Ok(headers)
}
