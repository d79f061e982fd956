//! What a user says of a sink: what all sinks have in common, and the rest for the sink itself.
//!
//! ```yaml
//! sinks:
//!   lake: {from: Orders, to: s3://lake/orders/, format: parquet}
//!   ping: {from: [Orders, Users], to: webhook+https://example.com/hook, where: {status: [SHIPPED]}, start: latest}
//! ```

use serde_json::{Map, Value, json};
use tailrace_pattern::{Filter, OPERATORS};

/// Longest name of a sink.
pub const SINK_NAME_BYTES_MAX: usize = 64;
/// Most tables that a sink takes records from.
pub const SINK_TABLES_MAX: usize = 100;

/// Whether a sink may be named so.
pub fn is_sink_name(name: &str) -> bool {
    (1..=SINK_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

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
    /// A delivery stream of the server.
    DeliveryStream,
    /// A data stream of Kinesis.
    Kinesis,
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

/// A configuration cannot be right: what is wrong with it, without a secret. Nothing is made of it before somebody mends it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpecError(pub String);

/// Settings that say how the target is reached, and nothing of what is made there.
const REACH: [&str; 19] = [
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
    "password",
    "connections",
    "statement_timeout_seconds",
];

/// The configuration `before`, with its target reached as `now` says.
pub fn reached_as(before: &Value, now: &Value) -> Value {
    let mut config = before.clone();
    if let (Some(config), Some(now)) = (config.as_object_mut(), now.as_object()) {
        for name in REACH {
            config.remove(name);
            config.extend(now.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        let text = |config: &Map<String, Value>| config.get("to").and_then(Value::as_str).map(str::to_owned);
        if let (Some(before), Some(to)) = (text(config), text(now))
            && place_of(&before) == place_of(&to)
        {
            config.insert("to".to_owned(), to.into());
        }
        let staging =
            |config: &Map<String, Value>| config.get("staging").and_then(|staging| staging.get("to")).cloned();
        if let (Some(place), Some(staging)) = (staging(config), now.get("staging"))
            && staging.get("to") == Some(&place)
        {
            config.insert("staging".to_owned(), staging.clone());
        }
    }
    config
}

/// Where an address leads, whoever goes there: that of a database is without its user and password.
fn place_of(to: &str) -> String {
    if Kind::of(to) != Some(Kind::Warehouse) {
        return to.to_owned();
    }
    let Some((scheme, rest)) = to.split_once("://") else { return to.to_owned() };
    // A reference to a secret may have any of the signs that part an address.
    let (mut end, mut at, mut is_reference) = (rest.len(), None, false);
    for (index, sign) in rest.char_indices() {
        match sign {
            '$' if rest[index..].starts_with("${") => is_reference = true,
            '}' => is_reference = false,
            _ if is_reference => {}
            '@' => at = Some(index),
            '/' | '?' | '#' => {
                end = index;
                break;
            }
            _ => {}
        }
    }
    let (authority, behind) = rest.split_at(end);
    let (path, query) = behind.split_once('?').unwrap_or((behind, ""));
    let options: Vec<&str> = query
        .split('&')
        .filter(|option| !option.is_empty() && !option.starts_with("user=") && !option.starts_with("password="))
        .collect();
    // A database that is not named has the user's name.
    let start = at.filter(|_| path.len() > 1).map_or(0, |at| at + 1);
    format!("{scheme}://{}{path}?{}", &authority[start..], options.join("&"))
}

impl Kind {
    /// The kind of a destination, as far as that alone says it.
    pub fn of(to: &str) -> Option<Kind> {
        // A directory may have a colon in its name, or a reference, which has one.
        if to.starts_with(['/', '.']) {
            return Some(Kind::Objects);
        }
        let scheme = to.split_once(':').map_or("", |(scheme, _)| scheme);
        Some(match scheme {
            "s3" | "file" => Kind::Objects,
            "table" => Kind::View,
            "postgres" | "postgresql" | "redshift" => Kind::Warehouse,
            "smtp" | "smtps" | "sns" | "sqs" => Kind::Notify,
            "firehose" => Kind::DeliveryStream,
            "kinesis" => Kind::Kinesis,
            // What follows may be a reference to a secret: there are tokens in the addresses of chat rooms.
            _ if scheme.starts_with("webhook+") => Kind::Notify,
            _ if scheme.starts_with("opensearch+") || scheme.starts_with("elasticsearch+") => Kind::Search,
            "" if to == "audit" => Kind::Audit,
            _ => return None,
        })
    }

    /// What a `where` shows to it.
    pub fn filtering(self) -> Filtering {
        match self {
            Kind::Search | Kind::Warehouse => Filtering::Table,
            Kind::Objects | Kind::SearchLog | Kind::Notify | Kind::Audit | Kind::DeliveryStream | Kind::Kinesis => {
                Filtering::Records
            }
            Kind::View => Filtering::Own,
        }
    }

    /// Where it begins if nothing is said.
    pub fn start(self) -> Start {
        match self {
            Kind::View | Kind::Search | Kind::Warehouse => Start::Snapshot,
            Kind::Objects | Kind::SearchLog | Kind::Audit | Kind::DeliveryStream | Kind::Kinesis => Start::TrimHorizon,
            Kind::Notify => Start::Latest,
        }
    }

    /// A new definition is built beside the old one, which goes on until it has caught up.
    pub fn builds_beside(self) -> bool {
        matches!(self, Kind::View | Kind::Search)
    }

    /// The target notes how far it is, and what an earlier version has brought to it is not brought again, whoever planned it.
    pub fn notes_progress(self) -> bool {
        self == Kind::Warehouse
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
            Kind::DeliveryStream => "delivery stream",
            Kind::Kinesis => "kinesis",
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
        if !is_sink_name(name) {
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
                 table:NAME, audit, webhook+https://, smtp://, sns:, sqs:, firehose:NAME, kinesis:NAME",
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
            Kind::Objects
            | Kind::Search
            | Kind::SearchLog
            | Kind::View
            | Kind::Notify
            | Kind::DeliveryStream
            | Kind::Kinesis => &[],
        };
        place_of(&self.to) == place_of(&other.to)
            && self.kind == other.kind
            && parts.iter().all(|name| self.settings.get(*name) == other.settings.get(*name))
    }

    /// Whether the target holds what the table holds, item by item.
    pub fn holds_items(&self) -> bool {
        let is_log = self.kind == Kind::Warehouse && self.settings.get("mode").is_some_and(|mode| mode == "append");
        self.kind.filtering() == Filtering::Table && !is_log
    }

    /// Whether the target holds the changes, each for itself.
    pub fn is_log(&self) -> bool {
        self.kind != Kind::View && !self.holds_items()
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
                    // Where who asks is asked for; no part of what it is asked with.
                    let is_plain = ["region", "service"].contains(&&*name);
                    hide(value, !is_plain && (is_secret || says_so));
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

/// Where a `where` has a test that is none because its list was forgotten: `{amount: {numeric: [">", 5]}}` is valid, and looks for a
/// member `numeric` of the map `amount`. What is looked for, and what may have been meant; `None`: nothing of the kind.
pub fn forgotten_list(filter: &Value) -> Option<String> {
    let members = match filter {
        Value::Array(several) => return several.iter().find_map(forgotten_list),
        Value::Object(members) => members,
        _ => return None,
    };
    members.iter().find_map(|(name, below)| {
        if name == "$or" {
            return forgotten_list(below);
        }
        let tests = below.as_object()?;
        let test = tests.iter().find(|(word, operand)| OPERATORS.contains(&word.as_str()) && operand.is_array());
        let Some((word, operand)) = test else { return forgotten_list(below) };
        let takes_list = ["numeric", "anything-but"].contains(&word.as_str());
        let operand = match operand.as_array().map(Vec::as_slice) {
            Some([one]) if !takes_list => one,
            _ => operand,
        };
        let meant = json!({ name: [{ word: operand }] });
        Some(format!("looks for a member `{word}` of the map `{name}`; a test stands in a list: {meant}"))
    })
}

/// An address without the user's name and password, and without what is often a secret: of a web address that messages go to, all
/// behind the host.
pub fn shown(to: &str) -> String {
    let door = |behind: &str| if matches!(behind, "" | "/") { behind.to_owned() } else { "/***".to_owned() };
    // A reference says where the address is, and nothing of it.
    if let Some((reference, behind)) = to.strip_prefix("webhook+${").and_then(|rest| rest.split_once('}')) {
        return format!("webhook+${{{reference}}}{}", door(behind));
    }
    // Also one that somebody forgot to say the kind of.
    if to.starts_with("webhook") || to.starts_with("http") {
        let (kind, url) = to.find("http").map_or(("", to), |at| to.split_at(at));
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        // As clients read it, who take one slash for two, and a backslash for one.
        let (host, behind) = host_of(rest.trim_start_matches(['/', '\\']), &['/', '\\', '?', '#']);
        return format!("{kind}{scheme}://{host}{}", door(behind));
    }
    let Some((scheme, rest)) = to.split_once("://") else { return to.to_owned() };
    let (host, behind) = host_of(rest, &['/', '?', '#']);
    // A slip in the kind of a web address leaves what is behind its host as secret as it was.
    let last = scheme.rsplit('+').next().unwrap_or_default();
    let is_web = || ["http", "https"].iter().any(|web| strsim::damerau_levenshtein(last, web) <= 1);
    if Kind::of(to).is_none() && is_web() {
        return format!("{scheme}://{host}{}", door(behind));
    }
    let path = behind.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// The host of an address without its scheme, and what is behind it.
fn host_of<'a>(rest: &'a str, ends: &[char]) -> (&'a str, &'a str) {
    let end = rest.find(ends).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at(end);
    (authority.rsplit_once('@').map_or(authority, |(_, host)| host), behind)
}

#[cfg(test)]
mod tests {
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
    fn a_directory_may_have_a_colon_or_a_reference_in_its_name() {
        for to in ["./a:b", "/lake/a:b/", "./a${env:SUB}", "../${file:x}/"] {
            assert_eq!(Kind::of(to), Some(Kind::Objects), "{to}");
        }
        assert_eq!(Kind::of("a:b"), None);
    }

    /// A database is the same one whoever writes into it, with whatever password.
    #[test]
    fn who_writes_into_a_database_is_no_part_of_its_place() {
        let spec = |to: &str| SinkSpec::read("s", &json!({"from": "A", "to": to})).unwrap();
        let same = |one: &str, other: &str| spec(one).has_place_of(&spec(other));
        let one = "postgres://me:old@db:5432/shop?sslmode=require";
        for other in [
            "postgres://me:new@db:5432/shop?sslmode=require",
            "postgres://you@db:5432/shop?sslmode=require",
            "postgres://db:5432/shop?user=me&password=new&sslmode=require",
            "postgres://me:${file:/run/a@b/pw?x}@db:5432/shop?sslmode=require",
        ] {
            assert!(same(one, other), "{other}");
        }
        for other in [
            "postgres://me:old@db2:5432/shop?sslmode=require",
            "postgres://me:old@db:5432/shop2?sslmode=require",
            "postgres://me:old@db:5432/shop?sslmode=require&options=-csearch_path%3Dx",
            "redshift://me:old@db:5432/shop?sslmode=require",
        ] {
            assert!(!same(one, other), "{other}");
        }
        assert!(!same("postgres://me@db", "postgres://you@db"), "a database that is not named is the user's");
        assert!(!same("webhook+http://a@h/x", "webhook+http://b@h/x"));
    }

    /// What a change before has planned is brought with what is right now.
    #[test]
    fn what_was_planned_is_brought_with_the_present_password() {
        let before = json!({"from": "A", "to": "postgres://me:old@db/shop", "mode": "append", "password": "a", "connections": 9,
            "columns": {"x": "x.S text"}, "staging": {"to": "s3://stage/", "secret_access_key": "a"}});
        let now = json!({"from": "A", "to": "postgres://me:new@db/shop", "mode": "append", "password": "b",
            "statement_timeout_seconds": 5, "staging": {"to": "s3://stage/", "secret_access_key": "b"}});
        let reached = json!({"from": "A", "to": "postgres://me:new@db/shop", "mode": "append", "password": "b",
            "statement_timeout_seconds": 5, "columns": {"x": "x.S text"},
            "staging": {"to": "s3://stage/", "secret_access_key": "b"}});
        assert_eq!(reached_as(&before, &now), reached);
        // Another place is none that it was planned for.
        let elsewhere = json!({"from": "A", "to": "postgres://me@db2/shop", "staging": {"to": "s3://other/"}});
        let reached = reached_as(&before, &elsewhere);
        assert_eq!((&reached["to"], &reached["staging"]), (&before["to"], &before["staging"]));
        // Without staging now, the rows of before are reached as they were.
        assert_eq!(reached_as(&before, &json!({"to": before["to"]}))["staging"], before["staging"]);
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
    fn a_test_whose_list_was_forgotten_stands_out() {
        for (filter, meant) in [
            (json!({"amount": {"numeric": [">", 5]}}), r#"{"amount":[{"numeric":[">",5]}]}"#),
            (json!([{"a": ["x"]}, {"b": {"c": {"prefix": ["x"]}}}]), r#"{"c":[{"prefix":"x"}]}"#),
            (json!({"$or": [{"a": {"anything-but": ["x"]}}, {"b": ["x"]}]}), r#"{"a":[{"anything-but":["x"]}]}"#),
            (json!({"a": {"exists": [false]}}), r#"{"a":[{"exists":false}]}"#),
        ] {
            let told = forgotten_list(&filter).unwrap_or_default();
            assert!(told.ends_with(&format!("a test stands in a list: {meant}")), "{filter}: {told}");
            assert!(read_filter(&filter).is_ok(), "{filter}: it is valid, and so nothing else tells");
        }
        for filter in [
            json!({"amount": [{"numeric": [">", 5]}]}),
            json!({"numeric": [5], "prefix": {"of": ["x"]}}),
            json!({"$or": [{"a": [1]}, {"b": [{"exists": false}]}]}),
        ] {
            assert_eq!(forgotten_list(&filter), None, "{filter}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (to, expected) in [
            ("postgres://u:p@db:5432/shop?password=x", "postgres://db:5432/shop"),
            ("smtp://me:pw@mail:25", "smtp://mail:25"),
            ("table:Daily", "table:Daily"),
            ("s3://lake/a@b/", "s3://lake/a@b/"),
            // The address of a chat room's door is all that keeps others out.
            ("webhook+https://hooks.slack.com/services/T0/B0/hunter2?a=b", "webhook+https://hooks.slack.com/***"),
            ("webhook+https:/hooks.slack.com\\hunter2", "webhook+https://hooks.slack.com/***"),
            ("webhook+https://h:8443?token=hunter2", "webhook+https://h:8443/***"),
            ("webhook+http://localhost:8080/", "webhook+http://localhost:8080/"),
            ("webhook+http://localhost:8080", "webhook+http://localhost:8080"),
            ("webhook+${env:CHAT_URL}", "webhook+${env:CHAT_URL}"),
            ("webhook+${env:CHAT}/hunter2", "webhook+${env:CHAT}/***"),
            ("https://hooks.slack.com/hunter2", "https://hooks.slack.com/***"),
            ("htps://hooks.slack.com/hunter2", "htps://hooks.slack.com/***"),
            ("webhok+https://hooks.slack.com/hunter2", "webhok+https://hooks.slack.com/***"),
            ("webhook:https://hooks.slack.com/hunter2", "webhook:https://hooks.slack.com/***"),
        ] {
            assert_eq!(shown(to), expected);
        }
    }
}
