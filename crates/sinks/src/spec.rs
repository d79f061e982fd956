//! What a user says of a sink: what all sinks have in common, and the rest for the sink itself.
//!
//! ```yaml
//! sinks:
//!   lake: {from: Orders, to: s3://lake/orders/, format: parquet}
//!   ping: {from: [Orders, Users], to: webhook+https://example.com/hook, where: {status: [SHIPPED]}, start: latest}
//! ```

use serde_json::{Map, Value};
use tailrace_pattern::Filter;

/// Longest name of a sink.
pub const SINK_NAME_BYTES_MAX: usize = 64;
/// Most tables that a sink takes records from.
pub const SINK_TABLES_MAX: usize = 100;

/// Where a sink begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the items of the table, then with its stream.
    Snapshot,
    /// With the oldest record that the stream has.
    TrimHorizon,
    /// With what is written from now on.
    Latest,
}

/// The kinds of sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Objects in a bucket or a directory.
    Objects,
    /// The items of a table in OpenSearch or Elasticsearch.
    Search,
    /// Its changes there.
    SearchLog,
    /// PostgreSQL or Redshift.
    Warehouse,
    /// A materialised view.
    View,
    /// An audit trail.
    Audit,
    /// Messages to people and programs.
    Notify,
}

/// What of a table's history a sink is shown when it has a `where`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// The history of the table that has just the items which pass: an item that begins to pass is inserted, one that ends to is
    /// removed.
    Table,
    /// The records whose new image (of a REMOVE: the old one) passes, as they are.
    Records,
    /// Every record: the sink looks at `where` itself.
    Own,
}

/// A sink as it is configured.
#[derive(Clone, Debug)]
pub struct SinkSpec {
    /// Its name.
    pub name: String,
    /// The tables.
    pub from: Vec<String>,
    /// Where to.
    pub to: String,
    /// The kind that `to` says, and for a search engine `mode`.
    pub kind: Kind,
    /// Where it begins.
    pub start: Start,
    /// What passes; `None`: everything.
    pub filter: Option<Filter>,
    /// Which records pass, as events: what FilterCriteria are over; `None`: all.
    pub events: Option<Filter>,
    /// The settings of the sink itself, `to` among them, and `where` if it looks at it itself.
    pub settings: Map<String, Value>,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub String);

/// Settings that say how the target is reached, and nothing of what is made there.
const REACH: [&str; 16] = [
    "s3",
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "path_style",
    "ca",
    "conditional_puts",
    "timeout_seconds",
    "connect_timeout_seconds",
    "auth",
    "tls",
    "secrets",
    "headers",
    "concurrency",
];

/// The configuration `before`, with its target reached as `now` says.
pub fn reached_as(before: &Value, now: &Value) -> Value {
    let mut config = before.clone();
    if let (Some(config), Some(now)) = (config.as_object_mut(), now.as_object()) {
        for name in REACH {
            config.remove(name);
            config.extend(now.get(name).map(|value| (name.to_owned(), value.clone())));
        }
    }
    config
}

impl Kind {
    /// The kind of a destination, as far as that alone says it.
    pub fn of(to: &str) -> Option<Kind> {
        let scheme = to.split_once(':').map_or("", |(scheme, _)| scheme);
        Some(match scheme {
            "s3" | "file" => Kind::Objects,
            "table" => Kind::View,
            "postgres" | "postgresql" | "redshift" => Kind::Warehouse,
            "smtp" | "smtps" | "sns" | "sqs" => Kind::Notify,
            // What follows may be a reference to a secret: there are tokens in the addresses of chat rooms.
            _ if scheme.starts_with("webhook+") => Kind::Notify,
            _ if scheme.starts_with("opensearch+") || scheme.starts_with("elasticsearch+") => Kind::Search,
            "" if to == "audit" => Kind::Audit,
            "" if to.starts_with(['/', '.']) => Kind::Objects,
            _ => return None,
        })
    }

    /// What a `where` shows to it.
    pub fn filtering(self) -> Filtering {
        match self {
            Kind::Search | Kind::Warehouse => Filtering::Table,
            Kind::Objects | Kind::SearchLog | Kind::Notify | Kind::Audit => Filtering::Records,
            Kind::View => Filtering::Own,
        }
    }

    /// Where it begins if nothing is said.
    pub fn start(self) -> Start {
        match self {
            Kind::View | Kind::Search | Kind::Warehouse => Start::Snapshot,
            Kind::Objects | Kind::SearchLog | Kind::Audit => Start::TrimHorizon,
            Kind::Notify => Start::Latest,
        }
    }

    /// A new definition is built beside the old one, which goes on until it has caught up.
    pub fn builds_beside(self) -> bool {
        matches!(self, Kind::View | Kind::Search)
    }

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Objects => "objects",
            Kind::Search | Kind::SearchLog => "search",
            Kind::Warehouse => "warehouse",
            Kind::View => "view",
            Kind::Audit => "audit",
            Kind::Notify => "notify",
        }
    }
}

/// What every sink may say.
pub const COMMON: [&str; 5] = ["from", "to", "where", "events", "start"];

impl SinkSpec {
    /// Reads what is said of the sink `name`. The settings of the sink itself are checked when it is made.
    ///
    /// # Errors
    /// What is wrong, with the member.
    pub fn read(name: &str, config: &Value) -> Result<SinkSpec, SpecError> {
        let error = |text: String| SpecError(format!("sinks.{name}: {text}"));
        let is_sound = !name.is_empty()
            && name.len() <= SINK_NAME_BYTES_MAX
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        if !is_sound {
            return Err(SpecError(format!(
                "sinks: {name:?} is no name of a sink: 1 to {SINK_NAME_BYTES_MAX} letters, digits, '-', '_' and '.'"
            )));
        }
        let Some(members) = config.as_object() else {
            return Err(error("is to be an object, with `from` and `to`".to_owned()));
        };
        let mut settings = members.clone();
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let from = match settings.remove("from") {
            None => return Err(error("`from` is missing: the table, or a list of tables".to_owned())),
            Some(Value::Array(tables)) if !tables.is_empty() => tables.iter().map(text).collect::<Option<Vec<_>>>(),
            Some(one) => text(&one).map(|table| vec![table]),
        };
        let mut from = from.ok_or_else(|| error("`from` is the name of a table, or a list of names".to_owned()))?;
        from.sort_unstable();
        from.dedup();
        if from.len() > SINK_TABLES_MAX {
            return Err(error(format!("`from` has {} tables, more than {SINK_TABLES_MAX}", from.len())));
        }
        let to = settings.get("to").and_then(text);
        let to = to.ok_or_else(|| error("`to` is missing: where the records go".to_owned()))?;
        let kind = Kind::of(&to).ok_or_else(|| {
            error(format!(
                "`to: {}` is none of s3://, file://, a directory (./ or /), opensearch+https://, elasticsearch+https://, postgres://, redshift://, \
                 table:NAME, audit, webhook+https://, smtp://, sns:, sqs:",
                shown(&to)
            ))
        })?;
        let kind = match kind {
            Kind::Search if settings.get("mode").is_some_and(|mode| mode == "log") => Kind::SearchLog,
            kind => kind,
        };
        let start = match settings.remove("start") {
            None => kind.start(),
            Some(start) => match start.as_str() {
                Some("snapshot") => Start::Snapshot,
                Some("trim_horizon") => Start::TrimHorizon,
                Some("latest") => Start::Latest,
                _ => return Err(error("`start` is snapshot, trim_horizon or latest".to_owned())),
            },
        };
        let filter = match kind.filtering() {
            Filtering::Own => None,
            _ => match settings.remove("where") {
                None => None,
                Some(filter) => Some(read_filter(&filter).map_err(|text| error(format!("`where`: {text}")))?),
            },
        };
        let events = match settings.remove("events") {
            None => None,
            Some(_) if kind.filtering() != Filtering::Records => {
                let text =
                    format!("`events` is not for {}, which has to see each change of an item that passes", kind.name());
                return Err(error(text));
            }
            Some(events) => Some(read_filter(&events).map_err(|text| error(format!("`events`: {text}")))?),
        };
        if kind == Kind::Audit && (filter.is_some() || events.is_some()) {
            return Err(error("an audit trail has every change: `where` and `events` are not for it".to_owned()));
        }
        Ok(SinkSpec { name: name.to_owned(), from, to, kind, start, filter, events, settings })
    }

    /// Whether both bring what they make to one place, where the one goes on with what the other has made.
    pub fn has_place_of(&self, other: &SinkSpec) -> bool {
        let parts: &[&str] = match self.kind {
            Kind::Warehouse => &["table", "mode"],
            Kind::Audit => &["dir", "bucket"],
            Kind::Objects | Kind::Search | Kind::SearchLog | Kind::View | Kind::Notify => &[],
        };
        self.to == other.to
            && self.kind == other.kind
            && parts.iter().all(|name| self.settings.get(*name) == other.settings.get(*name))
    }

    /// Whether the target holds what the table holds, item by item.
    pub fn holds_items(&self) -> bool {
        let is_log = self.kind == Kind::Warehouse && self.settings.get("mode").is_some_and(|mode| mode == "append");
        self.kind.filtering() == Filtering::Table && !is_log
    }

    /// Everything that it takes records from: the tables, and for an audit trail what is done to tables.
    pub fn sources(&self) -> Vec<String> {
        let control = (self.kind == Kind::Audit).then(|| tailrace_engine::control::TABLE.to_owned());
        self.from.iter().cloned().chain(control).collect()
    }

    /// Where to, without what is secret.
    pub fn shown_to(&self) -> String {
        shown(&self.to)
    }
}

/// A configuration as an audit trail may show it: `to` without what is secret, and no value of a member whose name says that it is.
pub fn shown_config(config: &Value) -> Value {
    fn hide(value: &mut Value, is_secret: bool) {
        match value {
            // A reference says where the secret is, and nothing of it.
            Value::String(text) if is_secret && !text.contains("${") => "***".clone_into(text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| hide(element, is_secret)),
            Value::Object(members) => {
                for (name, value) in members {
                    let name = name.to_ascii_lowercase();
                    let says_so = ["key", "secret", "password", "token", "header", "auth", "bearer", "credential"]
                        .iter()
                        .any(|word| name.contains(word));
                    hide(value, is_secret || says_so);
                }
            }
            _ => {}
        }
    }
    let mut shown_config = config.clone();
    hide(&mut shown_config, false);
    if let Some(Value::String(to)) = shown_config.get_mut("to") {
        *to = shown(to);
    }
    shown_config
}

fn read_filter(filter: &Value) -> Result<Filter, String> {
    let patterns: Vec<String> = match filter {
        Value::Object(_) => vec![filter.to_string()],
        Value::Array(several) if !several.is_empty() && several.iter().all(Value::is_object) => {
            several.iter().map(Value::to_string).collect()
        }
        _ => return Err("is a pattern, like {status: [SHIPPED]}, or a list of patterns".to_owned()),
    };
    Filter::parse(patterns.iter().map(String::as_str)).map_err(|error| error.to_string())
}

/// An address without the user's name and password.
fn shown(to: &str) -> String {
    let Some((scheme, rest)) = to.split_once("://") else { return to.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = behind.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(config: Value) -> String {
        SinkSpec::read("s", &config).unwrap_err().to_string()
    }

    #[test]
    fn what_all_sinks_say_is_read() {
        let config = json!({"from": ["B", "A", "B"], "to": "s3://lake/x/", "format": "parquet", "where": {"a": ["x"]}});
        let spec = SinkSpec::read("lake", &config).unwrap();
        assert_eq!(
            (spec.from, spec.kind, spec.start),
            (vec!["A".to_owned(), "B".to_owned()], Kind::Objects, Start::TrimHorizon)
        );
        assert!(spec.filter.is_some());
        assert_eq!(Value::Object(spec.settings), json!({"to": "s3://lake/x/", "format": "parquet"}));
        let search = |more: Value| {
            let mut config = json!({"from": "A", "to": "opensearch+http://h/i"});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let spec = SinkSpec::read("s", &config).unwrap();
            (spec.kind, spec.start, spec.kind.filtering(), spec.kind.builds_beside())
        };
        // An index of items can be built beside another; a log goes on.
        assert_eq!(search(json!({})), (Kind::Search, Start::Snapshot, Filtering::Table, true));
        let log = (Kind::SearchLog, Start::TrimHorizon, Filtering::Records, false);
        assert_eq!(search(json!({"mode": "log"})), log);
        let view = SinkSpec::read("v", &json!({"from": "A", "to": "table:V", "where": {"a": ["x"]}})).unwrap();
        assert_eq!(
            (view.start, view.filter.is_none(), view.settings.contains_key("where")),
            (Start::Snapshot, true, true)
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, part) in [
            (json!({"to": "audit"}), "`from` is missing"),
            (json!({"from": [], "to": "audit"}), "`from` is the name"),
            (json!({"from": "A"}), "`to` is missing"),
            (json!({"from": "A", "to": "ftp://user:secret@x/y"}), "`to: ftp://x/y` is none of"),
            (json!({"from": "A", "to": "audit", "start": "now"}), "`start` is snapshot, trim_horizon or latest"),
            (json!({"from": "A", "to": "audit", "where": "x"}), "`where`: is a pattern"),
            (json!({"from": "A", "to": "audit", "where": {"a": "x"}}), "`where`: "),
            (json!({"from": "A", "to": "audit", "where": {"a": ["x"]}}), "`where` and `events` are not for it"),
            (json!({"from": "A", "to": "audit", "events": {"a": ["x"]}}), "`where` and `events` are not for it"),
            (
                json!({"from": "A", "to": "postgres://h/d", "events": {"eventName": ["INSERT"]}}),
                "`events` is not for warehouse",
            ),
            (json!({"from": "A", "to": "./x", "events": {"eventName": "INSERT"}}), "`events`: "),
            (json!([]), "is to be an object"),
        ] {
            let text = error(config.clone());
            assert!(text.starts_with("sinks.s: ") && text.contains(part), "{config}: {text}");
        }
        assert!(SinkSpec::read("a b", &json!({})).unwrap_err().to_string().contains("no name of a sink"));
    }

    #[test]
    fn a_configuration_is_shown_without_its_secrets() {
        let config = json!({"to": "postgres://u:p@db/shop", "from": "A", "hmac_key": "x", "s3": {"secret_access_key": "y"},
                            "headers": {"X-A": "z"}, "password": "${env:PW}", "columns": {"a": "b"}});
        let shown = json!({"to": "postgres://db/shop", "from": "A", "hmac_key": "***", "s3": {"secret_access_key": "***"},
                           "headers": {"X-A": "***"}, "password": "${env:PW}", "columns": {"a": "b"}});
        assert_eq!(shown_config(&config), shown);
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (to, expected) in [
            ("postgres://u:p@db:5432/shop?password=x", "postgres://db:5432/shop"),
            ("smtp://me:pw@mail:25", "smtp://mail:25"),
            ("table:Daily", "table:Daily"),
            ("s3://lake/a@b/", "s3://lake/a@b/"),
        ] {
            assert_eq!(shown(to), expected);
        }
    }
}
