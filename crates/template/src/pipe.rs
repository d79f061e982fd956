//! `AWS::Pipes::Pipe` with the stream of a table as its source. To a function it is an event source mapping whose events are bare
//! arrays of records; to a queue, a topic or an API destination it is a sink that sends each record.
//!
//! What it does not do: an enrichment and an InputTemplate would change what the target gets, and stop the reading. A pipe from
//! another source, or to another target, and one that is stopped, is named and skipped, whatever else it says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use tailrace_core::{StartingPosition, limits};

use crate::TemplateError;
use crate::mapping::{Pace, filters, pace, source};
use crate::node::Node;
use crate::plan::{MappingPlan, SinkPlan, Source, table_of};
use crate::properties::Properties;
use crate::resolve::Resolver;
use crate::text::{Origin, Text};
use crate::value::Value;

/// The types of resources that a pipe may send to, and by.
const API_DESTINATION: &str = "AWS::Events::ApiDestination";
const CONNECTION: &str = "AWS::Events::Connection";

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

/// Where a pipe's records go.
enum Target {
    /// The function of this name.
    Function(String),
    /// A queue or a topic: `sqs:ARN` or `sns:ARN`.
    Queue(String),
    /// The delivery stream of this name.
    DeliveryStream(String),
    /// An API destination of the template, by its logical id.
    Destination(String),
    /// Nowhere that can be reached here: why.
    Elsewhere(String),
}

/// Reads a pipe; `None`: it is none here, which is named.
///
/// Where it goes is decided first: of a pipe that delivers nothing here, nothing else can stop the reading.
pub(crate) fn pipe(resolver: &Resolver<'_>, id: &str, resource: &Node) -> Result<Option<Made>, TemplateError> {
    let mut properties = Properties::of(resolver, id, resource, None)?;
    let target_path = properties.at("Target");
    // From another source it may be anything.
    let target = target(resolver, &mut properties);
    if let Ok(Target::Elsewhere(why)) = &target {
        resolver.skip(&target_path, format_args!("{why}; the pipe is skipped"));
        return Ok(None);
    }
    let states = [("RUNNING", true), ("STOPPED", false)];
    let enabled = properties.word("DesiredState", &states)?.unwrap_or(true);
    let left_out = || resolver.skip(&format!("Resources.{id}"), "DesiredState is STOPPED: the pipe is left out");
    // To a function it is a mapping that a client may enable.
    if !enabled && !matches!(target, Ok(Target::Function(_))) {
        left_out();
        return Ok(None);
    }
    match target.and_then(|target| read(resolver, id, properties, (target, target_path), enabled)) {
        Err(_) if !enabled => {
            left_out();
            Ok(None)
        }
        made => made,
    }
}

/// Reads the rest of a pipe that goes somewhere.
fn read(
    resolver: &Resolver<'_>,
    id: &str,
    mut properties: Properties<'_>,
    (target, target_path): (Target, String),
    enabled: bool,
) -> Result<Option<Made>, TemplateError> {
    let Some(source) = source(&mut properties, "Source")? else { return Ok(None) };
    let mut parameters = properties.map("TargetParameters")?;
    other_input(&mut properties, parameters.as_mut())?;
    let mut rules = rules(&mut properties)?;
    properties.without_effect(&["Description", "RoleArn"]);
    properties.not_applied(&["LogConfiguration", "KmsKeyIdentifier", "Tags"]);
    let name = properties.text("Name")?.unwrap_or_else(|| resolver.generated_name(id, 64));
    properties.finish();
    let config = match target {
        Target::Function(function) => {
            finish(parameters, "LambdaFunctionParameters", |own| {
                if own.text("InvocationType")?.as_deref() == Some("FIRE_AND_FORGET") {
                    own.skip("InvocationType", "the function is waited for, as with REQUEST_RESPONSE");
                }
                Ok(())
            })?;
            let mapping = mapping(resolver.global(id), (function, target_path), source, enabled, rules);
            return Ok(Some(Made::Mapping(Box::new(mapping))));
        }
        Target::Queue(to) => {
            finish(parameters, "SqsQueueParameters", |own| {
                let why = "a FIFO queue gets a group for each partition key, and the eventID against repeats";
                for name in ["MessageGroupId", "MessageDeduplicationId"] {
                    if own.node(name).is_some() {
                        own.skip(name, why);
                    }
                }
                Ok(())
            })?;
            Some(json!({ "to": to }))
        }
        Target::DeliveryStream(stream) => {
            finish(parameters, "FirehoseParameters", |_| Ok(()))?;
            // What it takes it takes at once, and it is not asked for anything else.
            rules.retry_attempts_max = None;
            Some(json!({"to": format!("firehose:{stream}"), "newline": false}))
        }
        Target::Destination(destination) => {
            let mut headers = Headers::default();
            finish(parameters, "HttpParameters", |own| headers.of_target(own))?;
            destination_config(resolver, &destination, headers)?
        }
        Target::Elsewhere(_) => None,
    };
    let Some(config) = config else { return Ok(None) };
    sink(resolver, id, name, config, source, rules).map(Some)
}

/// Where a pipe goes. A target of the template is found by its ARN, however that is written.
fn target(resolver: &Resolver<'_>, properties: &mut Properties<'_>) -> Result<Target, TemplateError> {
    let path = properties.at("Target");
    let target = properties.text_with_streams("Target")?.ok_or_else(|| properties.missing("Target"))?;
    if let Some(destination) = resource_of(resolver, API_DESTINATION, &target, &path) {
        return Ok(Target::Destination(destination));
    }
    let arn = target.as_literal().unwrap_or_default();
    let service = arn.split(':').nth(2).unwrap_or_default();
    let not_given =
        |origin: &Origin| Target::Elsewhere(format!("{} is not here; give it with {}", origin.what, origin.option));
    Ok(match (service, target.origins().next()) {
        ("lambda" | "sqs" | "sns" | "firehose", Some(origin)) => not_given(origin),
        ("lambda", None) => {
            let function = arn.split(":function:").nth(1).and_then(|rest| rest.split(':').next()).unwrap_or_default();
            Target::Function(function.to_owned())
        }
        ("sqs" | "sns", None) => Target::Queue(format!("{service}:{arn}")),
        ("firehose", None) => match arn.split_once(":deliverystream/") {
            Some((_, stream)) => Target::DeliveryStream(stream.to_owned()),
            None => Target::Elsewhere(format!("{arn} is no delivery stream")),
        },
        ("events", _) if arn.contains("api-destination") || arn.contains("apidestination") => {
            Target::Elsewhere("the API destination is not in the template".to_owned())
        }
        (_, origin) => {
            let what = origin.map_or(arn.clone(), |origin| origin.what.clone());
            Target::Elsewhere(format!("{what} cannot be reached here"))
        }
    })
}

/// The resource of this type whose ARN, or name, a text is.
fn resource_of(resolver: &Resolver<'_>, kind: &str, text: &Text, path: &str) -> Option<String> {
    let is_of = |resource: &Node| matches!(resource.get("Type"), Some(Node::Text(of)) if of == kind);
    let text = Some(Value::Text(text.clone()));
    let found = resolver.resources().iter().filter(|(_, resource)| is_of(resource)).find(|(id, _)| {
        // One whose condition does not hold has neither.
        let (arn, name) = (resolver.attribute(id, "Arn", path).ok(), resolver.reference(id, path).ok());
        arn.is_some_and(|arn| Some(arn) == text) || name.is_some_and(|name| Some(name) == text)
    });
    found.map(|(id, _)| id.clone())
}

/// What would make something else of the records that the target gets is an error.
fn other_input(properties: &mut Properties<'_>, parameters: Option<&mut Properties<'_>>) -> Result<(), TemplateError> {
    let enriched = "an enrichment is not here yet, and without it the target would get something else";
    properties.refuse("Enrichment", enriched)?;
    properties.refuse("EnrichmentParameters", enriched)?;
    let why = "templates of the input are not here yet, and without this one the target would get something else";
    parameters.map_or(Ok(()), |parameters| parameters.refuse("InputTemplate", why))
}

/// A pipe to a function.
fn mapping(
    logical_id: String,
    (function, function_path): (String, String),
    (source, source_path): (Source, String),
    enabled: bool,
    rules: Rules,
) -> MappingPlan {
    MappingPlan {
        logical_id,
        function,
        function_path,
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
        tags: BTreeMap::new(),
    }
}

/// A pipe to anything else: `config` says where to.
fn sink(
    resolver: &Resolver<'_>,
    id: &str,
    name: String,
    mut config: serde_json::Value,
    (source, source_path): (Source, String),
    rules: Rules,
) -> Result<Made, TemplateError> {
    if let Some(path) = &rules.age_path {
        resolver.skip(path, "not applied: a record is tried until it is taken, or given up by its tries");
    }
    let table = match &source {
        Source::StreamOf(table) => resolver.stack.shared.tables.borrow().get(table).cloned(),
        Source::Arn(arn) => table_of(arn).map(str::to_owned),
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
    Ok(Made::Sink(SinkPlan { logical_id: resolver.global(id), name, config }))
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
    let Pace { batch_size, batching_window_s, parallelization_factor, record_age_max_s, retry_attempts_max } =
        pace(&mut own)?;
    let bisect_on_error = own.word("OnPartialBatchItemFailure", &[("AUTOMATIC_BISECT", true)])?.unwrap_or(false);
    if own.node("DeadLetterConfig").is_some() {
        own.skip("DeadLetterConfig", "records that are given up are parked instead");
    }
    own.finish();
    Ok(Rules {
        filters,
        starting_position,
        batch_size,
        batching_window_s,
        parallelization_factor,
        retry_attempts_max,
        record_age_max_s,
        bisect_on_error,
        age_path: record_age_max_s.map(|_| age_path),
    })
}

/// The headers of a request, by their names in lower case: what is put last counts.
#[derive(Default)]
struct Headers(BTreeMap<String, (String, String)>);

/// The headers that belong to the request itself, and to the sink.
const OWN_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

impl Headers {
    fn put(&mut self, name: &str, value: String) {
        self.0.insert(name.to_ascii_lowercase(), (name.to_owned(), value));
    }

    /// Those that the pipe gives. Those of the connection go before them.
    fn of_target(&mut self, own: &mut Properties<'_>) -> Result<(), TemplateError> {
        let another = "not here yet, and without it the request would be another";
        if let Some(mut headers) = own.map("HeaderParameters")? {
            for name in headers.entries() {
                let path = headers.at(&name);
                match headers.text(&name)? {
                    Some(value) if value.contains("$.") => return Err(TemplateError::at(path, another)),
                    Some(value) => self.put(&name, value),
                    None => {}
                }
            }
        }
        for name in ["PathParameterValues", "QueryStringParameters"] {
            own.refuse(name, another)?;
        }
        Ok(())
    }

    /// Writes them into the settings of a sink.
    fn write(self, resolver: &Resolver<'_>, path: &str, config: &mut serde_json::Value) {
        let mut headers = serde_json::Map::new();
        for (lower, (name, value)) in self.0 {
            match lower.as_str() {
                "content-type" => config["content_type"] = value.into(),
                own if OWN_HEADERS.contains(&own) => {
                    resolver.skip(path, format_args!("the header {name} is set by the sink"));
                }
                _ => drop(headers.insert(name, value.into())),
            }
        }
        config["headers"] = headers.into();
    }
}

/// The settings of a sink that sends to an API destination; `None`: a value of it is not here, and the pipe is skipped.
fn destination_config(
    resolver: &Resolver<'_>,
    id: &str,
    mut headers: Headers,
) -> Result<Option<serde_json::Value>, TemplateError> {
    let Some(resource) = resolver.resource(id) else { return Ok(None) };
    let mut destination = Properties::of(resolver, id, resource, None)?;
    let path = destination.at("HttpMethod");
    let method = destination.required_text("HttpMethod")?;
    if method != "POST" {
        return Err(TemplateError::at(path, format!("a sink sends by POST, not by {method}")));
    }
    let path = destination.at("InvocationEndpoint");
    let Some(endpoint) = known(resolver, &mut destination, "InvocationEndpoint")? else { return Ok(None) };
    if endpoint.contains('*') {
        return Err(TemplateError::at(path, "parameters of the path are not here yet"));
    }
    let rate = destination.integer_or_default("InvocationRateLimitPerSecond", 1, i64::from(i32::MAX))?;
    let connection_path = destination.at("ConnectionArn");
    let connection =
        destination.text_with_streams("ConnectionArn")?.ok_or_else(|| destination.missing("ConnectionArn"))?;
    let Some(connection) = resource_of(resolver, CONNECTION, &connection, &connection_path) else {
        resolver.skip(&connection_path, "the connection is not in the template; the pipe is skipped");
        return Ok(None);
    };
    if connection_headers(resolver, &connection, &mut headers)?.is_none() {
        return Ok(None);
    }
    let mut config = json!({ "to": format!("webhook+{endpoint}") });
    headers.write(resolver, &format!("Resources.{connection}"), &mut config);
    if let Some(rate) = rate {
        config["throttle"] = json!({"messages": rate.min(limits::THROTTLE_MESSAGES_MAX as i64), "seconds": 1});
    }
    Ok(Some(config))
}

/// A text without which nothing can be sent; `None`: it stands in for something, and the pipe is skipped.
fn known(
    resolver: &Resolver<'_>,
    properties: &mut Properties<'_>,
    name: &str,
) -> Result<Option<String>, TemplateError> {
    let path = properties.at(name);
    let text = properties.text_with_streams(name)?.ok_or_else(|| properties.missing(name))?;
    if let Some(Origin { what, option, .. }) = text.origins().next() {
        resolver.skip(&path, format_args!("{what} is not here; give it with {option}; the pipe is skipped"));
        return Ok(None);
    }
    let literal = text.as_literal();
    literal.map(Some).ok_or_else(|| TemplateError::at(path, "a text is expected, not the ARN of a stream"))
}

/// Adds the headers by which a connection shows who asks; `None`: a value is not here, and the pipe is skipped.
fn connection_headers(resolver: &Resolver<'_>, id: &str, headers: &mut Headers) -> Result<Option<()>, TemplateError> {
    let Some(resource) = resolver.resource(id) else { return Ok(None) };
    let mut connection = Properties::of(resolver, id, resource, None)?;
    let mut parameters = connection.map("AuthParameters")?.ok_or_else(|| connection.missing("AuthParameters"))?;
    parameters.refuse("OAuthParameters", "OAuth is not here yet: API_KEY and BASIC are")?;
    if let Some(mut key) = parameters.map("ApiKeyAuthParameters")? {
        let name = key.required_text("ApiKeyName")?;
        let Some(value) = known(resolver, &mut key, "ApiKeyValue")? else { return Ok(None) };
        headers.put(&name, value);
    }
    if let Some(mut basic) = parameters.map("BasicAuthParameters")? {
        let Some(user) = known(resolver, &mut basic, "Username")? else { return Ok(None) };
        let Some(password) = known(resolver, &mut basic, "Password")? else { return Ok(None) };
        headers.put("Authorization", format!("Basic {}", BASE64.encode(format!("{user}:{password}"))));
    }
    if let Some(mut more) = parameters.map("InvocationHttpParameters")? {
        for mut header in more.maps("HeaderParameters")?.unwrap_or_default() {
            let name = header.required_text("Key")?;
            let Some(value) = known(resolver, &mut header, "Value")? else { return Ok(None) };
            headers.put(&name, value);
        }
        for name in ["BodyParameters", "QueryStringParameters"] {
            more.refuse(name, "not here yet, and without it the request would be another")?;
        }
    }
    Ok(Some(()))
}
