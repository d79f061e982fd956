//! `tailrace.yaml`: where it is found, and what it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tailrace_core::limits::TEMPLATE_BYTES_MAX;
use tailrace_core::model::is_table_name;
use tailrace_sinks::spec::{COMMON, Kind, SinkSpec, SpecError, forgotten_list, shown};
use tailrace_sinks::views::{Edge, check_targets};
use tailrace_template::{Format, SinkPlan, TemplateError};

use super::reading::nearest;
use super::{build, secrets};
use crate::{delivery_streams, files, kinesis};

/// The names that it may have, in the order in which they are looked for.
pub const NAMES: [&str; 3] = ["tailrace.yaml", "tailrace.yml", "tailrace.json"];

/// What it may say.
const MEMBERS: [&str; 3] = ["sinks", "firehose", "kinesis"];

/// A configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SinksFile {
    /// The sinks by name, as they are written.
    pub sinks: BTreeMap<String, Value>,
    /// Where the buckets of delivery streams are, as it is written.
    pub firehose: Value,
    /// Where Kinesis is, as it is written; null: nothing is said.
    pub kinesis: Value,
    /// The directory that the file is in: relative paths in it are meant from there. Empty: where the process was started.
    pub base: PathBuf,
    /// What is valid in it, and hardly meant: lines for the user.
    pub doubts: Vec<String>,
}

/// Why a configuration cannot be used: one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no YAML, or no JSON.
    #[error("{} is malformed: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the place.
        message: String,
    },
    /// What it says is wrong.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
}

/// The configuration beside a template, or in a directory, if there is one.
pub fn beside(directory: &Path) -> Option<PathBuf> {
    NAMES.iter().map(|name| directory.join(name)).find(|path| path.exists())
}

/// The variable of the environment that says where a service is, as the SDKs have it.
const ENDPOINTS: [(&str, &str); 2] = [("sqs:", "AWS_ENDPOINT_URL_SQS"), ("sns:", "AWS_ENDPOINT_URL_SNS")];

impl SinksFile {
    /// Adds what a template asks for.
    ///
    /// # Errors
    /// A name is taken, or a sink cannot be as it is asked for.
    pub fn add(&mut self, plans: &[SinkPlan]) -> Result<(), SpecError> {
        for SinkPlan { logical_id, name, config } in plans {
            let mut config = config.clone();
            let to = config.get("to").and_then(Value::as_str).unwrap_or_default();
            let endpoint = ENDPOINTS.iter().find(|(scheme, _)| to.starts_with(scheme)).map(|(_, variable)| *variable);
            if let Some(variable) = endpoint.filter(|variable| std::env::var_os(variable).is_some()) {
                config["endpoint"] = format!("${{env:{variable}}}").into();
            }
            // The row of the sink has its configuration: what a template gives in clear is not to be in it.
            let headers = config.get_mut("headers").and_then(Value::as_object_mut);
            for (header, value) in headers.into_iter().flatten() {
                if let Some(text) = value.as_str() {
                    *value = secrets::keep(&format!("{logical_id}/{header}"), text).into();
                }
            }
            build::check(&SinkSpec::read(name, &config)?, &self.base)?;
            if self.sinks.insert(name.clone(), config).is_some() {
                let message = format!(
                    "sinks.{name}: it is in the configuration, and the pipe {logical_id} of the template has that name"
                );
                return Err(SpecError(message));
            }
        }
        Ok(())
    }
}

/// Reads a configuration and checks all of it but what only a target can tell.
///
/// # Errors
/// It cannot be read, or what is wrong in it.
pub fn read(path: &Path) -> Result<SinksFile, ConfigFileError> {
    let unreadable = |source| ConfigFileError::Unreadable { path: path.to_owned(), source };
    let bytes = files::read_regular(path, TEMPLATE_BYTES_MAX).map_err(unreadable)?;
    let malformed = |message: String| ConfigFileError::Malformed { path: path.to_owned(), message };
    let text = String::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
    let document = tailrace_template::document(&text, Format::of(path, &text)).map_err(|error| {
        malformed(match error {
            TemplateError::Malformed(message) => message,
            other => other.to_string(),
        })
    })?;
    let base = path.parent().unwrap_or(Path::new("")).to_owned();
    let base = std::path::absolute(&base).unwrap_or(base);
    parse(&document, base).map_err(|message| ConfigFileError::Content { path: path.to_owned(), message })
}

fn parse(document: &Value, base: PathBuf) -> Result<SinksFile, String> {
    let members = match document {
        Value::Null => return Ok(SinksFile::default()),
        Value::Object(members) => members,
        _ => return Err("a map with `sinks`, `firehose` or `kinesis` is expected".to_owned()),
    };
    if let Some(unknown) = members.keys().find(|name| !MEMBERS.contains(&name.as_str())) {
        let near = nearest(unknown, &MEMBERS)
            .map_or_else(|| format!("; known are {}", MEMBERS.join(", ")), |name| format!("; did you mean {name}?"));
        return Err(format!("`{unknown}` is not known{near}"));
    }
    let firehose = members.get("firehose").cloned().unwrap_or_default();
    delivery_streams::check(&firehose, &base).map_err(|SpecError(message)| message)?;
    let kinesis = members.get("kinesis").cloned().unwrap_or_default();
    if let Some(place) = kinesis::Place::new(&kinesis, &base, None) {
        place.check().map_err(|SpecError(message)| message)?;
    }
    let sinks = match members.get("sinks") {
        None | Some(Value::Null) => return Ok(SinksFile { firehose, kinesis, base, ..SinksFile::default() }),
        Some(Value::Object(sinks)) => sinks,
        Some(_) => return Err("`sinks` is a map: the name of each sink, and what it is".to_owned()),
    };
    let mut read = BTreeMap::new();
    for (name, config) in sinks {
        let mut config = config.clone();
        if !is_left_out(&mut config).map_err(|message| format!("sinks.{name}: {message}"))? {
            read.insert(name.clone(), config);
        }
    }
    let sinks = read;
    let mut specs = Vec::with_capacity(sinks.len());
    for (name, config) in &sinks {
        if let Some(slip) = slip(config) {
            return Err(format!("sinks.{name}: {slip}"));
        }
        let read = SinkSpec::read(name, config).and_then(|spec| build::check(&spec, &base).map(|()| spec));
        let spec = read.map_err(|SpecError(message)| message)?;
        let shows = spec.to.strip_prefix("table:").filter(|_| spec.kind == Kind::View);
        if let Some(table) = spec.from.iter().map(String::as_str).chain(shows).find(|table| !is_table_name(table)) {
            return Err(format!(
                "sinks.{name}: {table:?} is no name of a table: 3 to 255 letters, digits, '_', '-' and '.'"
            ));
        }
        specs.push(spec);
    }
    check_together(&specs)?;
    let doubts = sinks
        .iter()
        .filter_map(|(name, config)| Some(format!("sinks.{name}: `where` {}", forgotten_list(config.get("where")?)?)));
    let doubts = doubts.collect();
    Ok(SinksFile { sinks, firehose, kinesis, base, doubts })
}

/// The schemes of destinations.
const SCHEMES: [&str; 13] = [
    "s3",
    "file",
    "table",
    "postgres",
    "postgresql",
    "redshift",
    "smtp",
    "smtps",
    "firehose",
    "kinesis",
    "audit",
    "http",
    "https",
];

/// What was meant where `from` or `to` was written otherwise, or a destination is nearly one; `None`: nothing stands out.
fn slip(config: &Value) -> Option<String> {
    let members = config.as_object()?;
    for (missing, distance) in [("from", 2), ("to", 1)] {
        let is_near =
            |name: &&String| !COMMON.contains(&name.as_str()) && strsim::damerau_levenshtein(name, missing) <= distance;
        if !members.contains_key(missing)
            && let Some(near) = members.keys().find(is_near)
        {
            return Some(format!("`{near}` is not known; did you mean {missing}?"));
        }
    }
    let to = members.get("to")?.as_str().filter(|to| !to.is_empty() && Kind::of(to).is_none())?;
    let meant = match to.split_once(':') {
        Some((engine @ ("opensearch" | "elasticsearch"), rest)) => format!("{engine}+https:{rest}"),
        Some((scheme, rest)) => match nearest(scheme, &SCHEMES)? {
            web @ ("http" | "https") => {
                let url = format!("{web}:{rest}");
                format!("{}, or opensearch+{}", shown(&format!("webhook+{url}")), shown(&url))
            }
            other => format!("{other}:{rest}"),
        },
        None => match nearest(to, &["audit"]) {
            Some(audit) => audit.to_owned(),
            None => format!("./{to}"),
        },
    };
    // What is behind a scheme may be a secret.
    let meant = if meant.starts_with("webhook+") { meant } else { shown(&meant) };
    Some(format!("`to: {}` is no destination; did you mean {meant}?", shown(to)))
}

/// Refuses sinks that would overwrite what others have written, or feed each other.
fn check_together(specs: &[SinkSpec]) -> Result<(), String> {
    let mut edges = Vec::new();
    for view in specs.iter().filter(|spec| spec.kind == Kind::View) {
        let table = view.to.strip_prefix("table:").unwrap_or_default();
        edges.extend(view.from.iter().map(|source| Edge {
            view: view.name.clone(),
            source: source.clone(),
            table: table.to_owned(),
        }));
    }
    check_targets(&edges).map_err(|error| format!("sinks: {error}"))?;
    let mut places: BTreeMap<(Kind, String), &str> = BTreeMap::new();
    for spec in specs {
        let member = |name: &str| spec.settings.get(name).and_then(Value::as_str);
        let place = match spec.kind {
            // Of an index of items each sink would take the other's documents for its own.
            Kind::Search => Some(spec.to.as_str()),
            Kind::Audit => member("bucket").or_else(|| member("dir")),
            _ => None,
        };
        let Some(place) = place else { continue };
        let place = (spec.kind, place.trim_end_matches('/').to_owned());
        if let Some(other) = places.get(&place) {
            return Err(format!(
                "sinks: {other} and {} cannot both be written to one place: {}",
                spec.name,
                shown(&place.1)
            ));
        }
        places.insert(place, &spec.name);
    }
    Ok(())
}

/// Whether the sink is left out: it is `optional`, and where it goes is in a variable that the environment does not have. What is left
/// of the configuration is as if it had never been optional.
fn is_left_out(config: &mut Value) -> Result<bool, String> {
    let Some(optional) = config.as_object_mut().and_then(|members| members.remove("optional")) else {
        return Ok(false);
    };
    let optional = optional.as_bool().ok_or("`optional` is true or false")?;
    let to = config.get("to").and_then(Value::as_str).unwrap_or_default();
    Ok(optional && secrets::variables(to).any(|name| std::env::var_os(name).is_none()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (document, part) in [
            (json!({"sink": {}}), "`sink` is not known; did you mean sinks?"),
            (json!({"sinks": []}), "`sinks` is a map"),
            (json!({"sinks": {"a": {"to": "s3://x"}}}), "sinks.a: `from` is missing"),
            (json!({"sinks": {"a": {"from": "T", "too": "s3://x"}}}), "`too` is not known; did you mean to?"),
            (json!({"sinks": {"a": {"form": "T", "to": "s3://x"}}}), "`form` is not known; did you mean from?"),
            (json!({"sinks": {"a": {"from": "T", "to": "tabel:ByDay"}}}), "did you mean table:ByDay?"),
            (json!({"sinks": {"a": {"from": "T", "to": "out/orders"}}}), "did you mean ./out/orders?"),
            (json!({"sinks": {"a": {"from": "T", "to": "audti"}}}), "did you mean audit?"),
            (
                json!({"sinks": {"a": {"from": "T", "to": "https://a.example/x"}}}),
                "did you mean webhook+https://a.example",
            ),
            (
                json!({"sinks": {"a": {"from": "T", "to": "htps://a.example/x"}}}),
                "`to: htps://a.example/***` is no destination; did you mean webhook+https://a.example/***, or",
            ),
            (
                json!({"sinks": {"a": {"from": "T", "to": "webhok+https://a.example/x"}}}),
                "webhok+https://a.example/***`",
            ),
            (json!({"sinks": {"a": {"from": "T", "to": ""}}}), "`to` is missing"),
            (json!({"sinks": {"a": {"from": "T", "to": "opensearch://h/i"}}}), "did you mean opensearch+https://h/i?"),
            (json!({"sinks": {"a": {"from": "T", "to": "foo:bar"}}}), "`to: foo:bar` is none of s3://"),
            (
                json!({"sinks": {"a": {"from": "Orders", "to": "table:Vvv", "aggregates": {"n": "count"}, "group_by": "day"}}}),
                "sinks.a: `group_by`: a list is expected, not \"day\"",
            ),
            (json!({"other": {}}), "`other` is not known; known are sinks"),
            (json!({"sinks": {"a": {"from": "T", "to": "./x", "fromat": "csv"}}}), "sinks.a: unknown field `fromat`"),
            (json!({"sinks": {"a": {"from": "T", "to": "./x", "fromat": "csv"}}}), "; did you mean format?"),
            (json!({"sinks": {"a": {"from": "T", "to": "./x", "format": "parqet"}}}), "; did you mean parquet?"),
            (json!({"sinks": {"a": {"from": "T", "to": "./x", "flush": {"second": 1}}}}), "; did you mean seconds?"),
            (json!({"sinks": {"a": {"from": "T", "to": "./x", "wheer": {}}}}), "; did you mean where?"),
            (
                json!({"sinks": {"a": {"from": "T", "to": "./x", "zzzzzzzzzz": {}}}}),
                "every sink has: from, where, events",
            ),
            (json!({"sinks": {"a": {"from": "a b c", "to": "./x"}}}), "sinks.a: \"a b c\" is no name of a table"),
            (
                json!({"sinks": {"a": {"from": "Orders", "to": "table:V", "aggregates": {"n": "count"}}}}),
                "\"V\" is no name",
            ),
            (
                json!({"sinks": {"a": {"from": "Orders", "to": "table:Vvv", "aggregates": {"n": "count"}, "where": []}}}),
                "where: ",
            ),
            (
                json!({"sinks": {"a": {"from": "Orders", "to": "table:Vvv", "aggregates": {"n": "count"}, "group_by": [5]}}}),
                "a path, or a map with `path`",
            ),
            (json!({"sinks": {"a": {"from": "Orders", "to": "./x", "s3": {"region": "x"}}}}), "s3 is for a bucket"),
            (json!({"firehose": {"bucket": {}}}), "firehose: unknown field `bucket`"),
            (json!({"firehose": {"bukets": {}}}), "; did you mean buckets?"),
            (json!({"firehose": {"buckets": {"lake": {"too": "./x"}}}}), "; did you mean to?"),
            (
                json!({"firehose": {"buckets": {"lake": {"to": "./x", "s3": {"regoin": "x"}}}}}),
                "; did you mean region?",
            ),
            (json!({"kinesis": {"endpont": "x"}}), "expected one of `endpoint`, `region`"),
            (json!({"kinesis": {"endpont": "x"}}), "; did you mean endpoint?"),
            (
                json!({"sinks": {"a": {"from": "Orders", "to": "table:Vvv", "aggregates": {"n": "count"},
                    "group_by": [{"path": "a", "nam": "b"}]}}}),
                "unknown field `nam`, expected one of `path`, `name`, `type`; did you mean name?",
            ),
            (json!("x"), "a map with `sinks`"),
        ] {
            let error = parse(&document, PathBuf::new()).unwrap_err();
            assert!(error.contains(part), "{document}: {error}");
        }
        assert_eq!(parse(&Value::Null, PathBuf::new()), Ok(SinksFile::default()));
    }

    /// docs/spec/sinks.md 6: target writes must not feed back into the same view.
    #[test]
    fn sinks_that_overwrite_or_feed_each_other_are_refused() {
        let view =
            |from: &str, to: &str| json!({"from": from, "to": format!("table:{to}"), "aggregates": {"n": "count"}});
        let search =
            |from: &str, mode: &str| json!({"from": from, "to": "opensearch+http://h:9200/both", "mode": mode});
        let audit = |from: &str, dir: &str| json!({"from": from, "to": "audit", "dir": dir});
        let parsed = |one: Value, other: Value| parse(&json!({"sinks": {"x": one, "y": other}}), PathBuf::new());
        for (one, other, part) in [
            (view("Ping", "Pong"), view("Pong", "Ping"), "sinks: views cannot feed each other: Ping -> Pong -> Ping"),
            (view("Abc", "Shown"), view("Bcd", "Shown"), "the views x and y cannot both be written to the table Shown"),
            (
                search("Abc", "items"),
                search("Bcd", "items"),
                "x and y cannot both be written to one place: opensearch+http",
            ),
            (audit("Abc", "./trail"), audit("Bcd", "./trail/"), "x and y cannot both be written to one place: ./trail"),
        ] {
            let error = parsed(one, other).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        for (one, other) in [
            (view("Abc", "Bcd"), view("Bcd", "Cde")),
            (search("Abc", "log"), search("Bcd", "log")),
            (audit("Abc", "./one"), audit("Bcd", "./two")),
        ] {
            assert!(parsed(one, other).is_ok());
        }
    }

    #[test]
    fn what_is_valid_and_hardly_meant_is_told() {
        let doubts = |filter: Value| {
            let document = json!({"sinks": {"big": {"from": "Orders", "to": "table:Big", "aggregates": {"n": "count"}, "where": filter}}});
            parse(&document, PathBuf::new()).unwrap().doubts
        };
        let told = "sinks.big: `where` looks for a member `numeric` of the map `amount`; a test stands in a list: \
                    {\"amount\":[{\"numeric\":[\">\",5]}]}";
        assert_eq!(doubts(json!({"amount": {"numeric": [">", 5]}})), [told]);
        assert_eq!(doubts(json!({"amount": [{"numeric": [">", 5]}]})), Vec::<String>::new());
    }

    #[test]
    fn an_optional_sink_without_an_address_is_left_out() {
        let sink = |to: &str, optional: Value| {
            let document = json!({"sinks": {"ping": {"from": "Orders", "to": to, "optional": optional}}});
            parse(&document, PathBuf::new()).map(|file| file.sinks)
        };
        assert_eq!(sink("webhook+${env:TAILRACE_NO_SUCH}", true.into()), Ok(BTreeMap::new()));
        let error = sink("webhook+${env:TAILRACE_NO_SUCH}", false.into()).unwrap_err();
        assert!(error.contains("no variable TAILRACE_NO_SUCH"), "{error}");
        assert!(
            sink("webhook+http://h", "yes".into()).unwrap_err().contains("sinks.ping: `optional` is true or false")
        );
        let kept = sink("file:///lake/${env:PATH}", true.into()).unwrap();
        assert_eq!(kept["ping"], json!({"from": "Orders", "to": "file:///lake/${env:PATH}"}));
    }
}
