//! The JSON schema of `tailrace.yaml`, from the types that read it: an editor completes and checks with it what is written.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::spec::{SINK_NAME_BYTES_MAX, SINK_TABLES_MAX};
use crate::{audit, delivery_stream, kinesis, notify, objects, search, views, warehouse};

/// The view types of a stream.
pub(crate) fn view_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]})
}

/// The types of key attributes.
pub(crate) fn key_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["S", "N", "B"]})
}

/// A text, or a list of them.
pub(crate) fn one_or_several(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
}

/// How values stand in JSON.
pub(crate) fn value_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["dynamodb-json", "plain"]})
}

/// How exact times are.
pub(crate) fn precision(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": tailrace_engine::TimePrecision::ALL.map(tailrace_engine::TimePrecision::name)})
}

/// A kind of sink: what it is for, and what `to` looks like.
struct Form {
    title: &'static str,
    to: &'static str,
    settings: Schema,
    /// Whether it may choose among the changes of an item.
    takes_events: bool,
}

/// The schema of the whole file.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let forms = [
        form::<objects::Config>(&mut generator, "Objects in a bucket or a directory", "^(s3://|file://|/|\\.)")
            .with_events(),
        form::<search::Config>(
            &mut generator,
            "OpenSearch or Elasticsearch",
            "^(opensearch|elasticsearch)\\+(https?://|\\$\\{)",
        )
        .with_events(),
        form::<warehouse::Config>(&mut generator, "PostgreSQL or Redshift", "^(postgres|postgresql|redshift)://"),
        form::<views::Config>(&mut generator, "A materialised view", "^table:"),
        form::<audit::Config>(&mut generator, "An audit trail", "^audit$"),
        form::<notify::Config>(
            &mut generator,
            "Messages to people and programs",
            "^(webhook\\+(https?://|\\$\\{)|smtps?://|sns:|sqs:)",
        )
        .with_events(),
        form::<delivery_stream::Config>(&mut generator, "A delivery stream of the server", "^firehose:").with_events(),
        form::<kinesis::Config>(&mut generator, "A data stream of Kinesis", "^kinesis:").with_events(),
    ];
    let s3 = generator.subschema_for::<objects::S3Config>();
    let place = json!({"anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["to"], "additionalProperties": false, "properties": {"to": {"type": "string"}, "s3": s3}},
    ]});
    let cluster = generator.subschema_for::<search::ClusterConfig>();
    let domain = json!({"anyOf": [{"type": "string"}, cluster]});
    let loader = generator.subschema_for::<warehouse::load::LoaderConfig>();
    // What each destination says itself is not said there.
    let mut kinesis = kinesis::Config::json_schema(&mut generator).to_value();
    kinesis["description"] = "Where Kinesis is, for the destinations of tables".into();
    kinesis["type"] = json!(["object", "null"]);
    if let Some(members) = kinesis.as_object_mut() {
        members.remove("required");
    }
    for name in ["to", "precision"] {
        kinesis["properties"].as_object_mut().map(|properties| properties.remove(name));
    }
    let sinks: Vec<Value> = forms.into_iter().map(Form::whole).collect();
    let mut definitions: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    // A setting may be given by the environment or a file, whatever it is.
    definitions.insert("Sink".to_owned(), json!({"oneOf": sinks}));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tailrace.yaml",
        "type": ["object", "null"],
        "additionalProperties": false,
        "properties": {"sinks": {
            "description": "The sinks by name",
            "type": ["object", "null"],
            "propertyNames": {"pattern": format!("^[A-Za-z0-9_.-]{{1,{SINK_NAME_BYTES_MAX}}}$")},
            "additionalProperties": {"$ref": "#/$defs/Sink"},
        }, "firehose": {
            "description": "Where the buckets, the OpenSearch domains and the Redshift clusters of delivery streams are",
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": {
                "buckets": {"type": "object", "additionalProperties": place}, "s3": s3,
                "domains": {"type": "object", "additionalProperties": domain}, "opensearch": cluster,
                "redshift": {"type": "object", "additionalProperties": loader},
            },
        }, "kinesis": kinesis},
        "$defs": definitions,
    })
}

fn form<T: JsonSchema>(generator: &mut SchemaGenerator, title: &'static str, to: &'static str) -> Form {
    Form { title, to, settings: T::json_schema(generator), takes_events: false }
}

impl Form {
    fn with_events(self) -> Form {
        Form { takes_events: true, ..self }
    }

    /// With what every sink may say.
    fn whole(self) -> Value {
        let required = self.settings.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut schema = self.settings.to_value();
        schema["title"] = self.title.into();
        let table = json!({"type": "string", "minLength": 1});
        let pattern = json!({"type": "object"});
        let properties = &mut schema["properties"];
        properties["to"]["pattern"] = self.to.into();
        properties["from"] = json!({
            "description": "The table, or a list of tables",
            "anyOf": [table, {"type": "array", "items": table, "minItems": 1, "maxItems": SINK_TABLES_MAX}],
        });
        properties["start"] = json!({
            "description": "Where it begins: with the table's items, the oldest record of its stream, or what is written from now on",
            "enum": ["snapshot", "trim_horizon", "latest"],
        });
        properties["optional"] = json!({
            "description": "It is left out where the environment does not have the variable that is in `to`",
            "type": "boolean",
        });
        if self.to != "^audit$" {
            properties["where"] = json!({
                "description": "What passes: a pattern over the item, or a list of patterns of which one has to match",
                "anyOf": [pattern, {"type": "array", "items": pattern, "minItems": 1}],
            });
        }
        if self.takes_events {
            properties["events"] = json!({
                "description": "Which changes pass: a pattern over the record of the stream, like {eventName: [REMOVE]}, or a list of patterns",
                "anyOf": [pattern, {"type": "array", "items": pattern, "minItems": 1}],
            });
        }
        let others = required.into_iter().filter(|name| name != "to");
        schema["required"] = ["from".into(), "to".into()].into_iter().chain(others).collect();
        schema
    }
}
