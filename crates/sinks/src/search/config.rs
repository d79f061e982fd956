//! What a user says of the sink.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::Access;
use super::rotation::Rotation;
use super::types::Coercion;
use crate::aws::address::region_of;
use crate::gathering::Gathering;
use crate::secret::Secret;
use crate::sink::Bounds;

/// Longest name of an index, bytes: search engines take 255, and a rotation or a build appends some.
const NAME_BYTES_MAX: usize = 230;

/// A bulk where nothing is said. Source: docs/spec/sinks.md 3.3. In bulks of 500 small documents a sink brings half to three quarters as many a
/// second as in bulks of 5,000, and a plain client as well; what is in memory is bounded by the bytes.
pub(super) const BOUNDS: Bounds = Bounds { records_max: 5_000, bytes_max: 5 << 20, window: Duration::from_secs(1) };

/// Most documents of a bulk. Our reason: an answer has an outcome for each.
const RECORDS_MAX: usize = 10_000;

/// Most bytes of a bulk: search engines take 100 MB by default.
const BYTES_MAX: usize = 100_000_000;

/// How long documents are gathered at most.
const WINDOW_MAX: Duration = Duration::from_secs(900);

/// The configuration.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `opensearch+http://host:9200/index`, also `opensearch+https`, `elasticsearch+http` and `elasticsearch+https`. What is
    /// before the last `/` is the address of the cluster.
    pub to: String,
    /// What the index is of.
    #[serde(default)]
    pub mode: Mode,
    /// How often a change log begins a new index.
    #[serde(default)]
    pub rotation: Rotation,
    /// Whether the items' index is `<index>-v<build>` and `<index>` an alias of it, which a rebuild moves. Otherwise the sink
    /// writes to `<index>` itself, and cannot be rebuilt beside it.
    #[serde(default = "yes")]
    pub alias: bool,
    /// How the sink shows who it is.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The certificates of the authorities that are trusted instead of the system's, PEM.
    #[serde(default)]
    pub ca: Option<String>,
    /// `settings` of the indexes that the sink makes.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// `mappings` of the indexes that the sink makes.
    #[serde(default)]
    pub mappings: Map<String, Value>,
    /// An index template that the sink puts before it makes an index, under the name `tailrace-<index>`; without
    /// `index_patterns` it is for the sink's indexes.
    #[serde(default)]
    pub template: Option<Map<String, Value>>,
    /// What single attributes are made into, by their paths (`total`, `address.zip`).
    #[serde(default)]
    pub types: BTreeMap<String, Coercion>,
    /// `index.gc_deletes` of an index of items: how long the target knows the version of a document that was deleted.
    #[serde(default = "gc_deletes")]
    pub gc_deletes: String,
    /// Whether bodies are sent in gzip.
    #[serde(default)]
    pub gzip: bool,
    /// When a bulk is full.
    #[serde(default)]
    pub flush: Gathering,
    /// How long a request may take, seconds.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// How long a connection may take to be made, seconds.
    #[serde(default = "connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
}

/// What an index is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The items of one table, each a document: what the table holds, the index holds.
    #[default]
    Items,
    /// The changes of tables, each a document that stays.
    Log,
}

/// How the sink shows who it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// `Authorization: ApiKey`, with the key as the cluster gave it, in base64.
    ApiKey(Secret),
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// A signature of AWS (SigV4): of Amazon OpenSearch Service, or of Serverless.
    Aws(AwsAuth),
}

/// Who signs, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AwsAuth {
    /// The region that requests are signed for, if the address does not say it.
    pub region: Option<String>,
    /// `es`, or `aoss` for Serverless, which it is where the address says so.
    pub service: Option<AwsService>,
    /// The access key; without one, that of the environment or of the machine.
    pub access_key_id: Option<Secret>,
    /// Its secret.
    pub secret_access_key: Option<Secret>,
    /// The token of temporary ones.
    pub session_token: Option<Secret>,
}

/// What signatures name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AwsService {
    /// Amazon OpenSearch Service.
    Es,
    /// Amazon OpenSearch Serverless.
    Aoss,
}

impl AwsAuth {
    /// What requests to a cluster are signed for: service and region.
    ///
    /// # Errors
    /// It cannot be known, or a key has no secret.
    pub(super) fn signs_for(&self, cluster: &str) -> Result<(&'static str, String), ConfigError> {
        if self.access_key_id.is_some() != self.secret_access_key.is_some() {
            return Err(ConfigError("auth.aws: access_key_id and secret_access_key come together".to_owned()));
        }
        let url = Url::parse(cluster).map_err(|error| ConfigError(format!("the address: {error}")))?;
        let is_serverless = url.host_str().is_some_and(|host| host.split('.').any(|part| part == AOSS));
        let service = match self.service {
            Some(AwsService::Es) => ES,
            Some(AwsService::Aoss) => AOSS,
            None if is_serverless => AOSS,
            None => ES,
        };
        let region = self.region.clone().or_else(|| region_of(&url, &[ES, AOSS]));
        let region = region.ok_or_else(|| ConfigError("auth.aws: say `region`: the address has none".to_owned()))?;
        Ok((service, region))
    }
}

/// The names of the services in signatures, and in hosts.
const ES: &str = "es";
const AOSS: &str = "aoss";

fn yes() -> bool {
    true
}

fn gc_deletes() -> String {
    "1h".to_owned()
}

pub(super) fn timeout_seconds() -> u64 {
    60
}

pub(super) fn connect_timeout_seconds() -> u64 {
    10
}

/// A configuration is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Whether a text can be the name of an index here: search engines take some more.
///
/// # Errors
/// It cannot.
pub fn check_index_name(index: &str) -> Result<(), ConfigError> {
    let is_sound = index.len() <= NAME_BYTES_MAX
        && index.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && index.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    if is_sound {
        return Ok(());
    }
    let most = NAME_BYTES_MAX - 1;
    Err(ConfigError(format!(
        "{index:?} is no name of an index: a small letter or a digit, then up to {most} small letters, digits, -, _ and ."
    )))
}

/// Where documents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// The address of the cluster, without a `/` at its end.
    pub cluster: String,
    /// The name of the index, or of its alias.
    pub index: String,
}

impl Config {
    /// A configuration that says nothing but where to.
    ///
    /// # Errors
    /// That is no destination of this sink.
    pub fn to(destination: &str) -> Result<Config, ConfigError> {
        let config = serde_json::from_value(serde_json::json!({ "to": destination }));
        let config: Config = config.map_err(|error| ConfigError(error.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// Whether records of several tables may go to the index. In an index of items, equal keys of two tables would be one
    /// document.
    pub fn takes_several_tables(&self) -> bool {
        self.mode == Mode::Log
    }

    /// Says what is wrong with it.
    ///
    /// # Errors
    /// Something is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |text: &str| Err(ConfigError(text.to_owned()));
        let destination = self.destination()?;
        if let Some(Auth::Aws(aws)) = &self.auth {
            aws.signs_for(&destination.cluster)?;
        }
        self.bounds()?;
        if self.mode == Mode::Items && self.rotation != Rotation::NoRotation {
            return error(
                "rotation is for mode: log alone: an index of items that rotates would have the versions of one item in \
                 several indexes",
            );
        }
        if self.timeout_seconds == 0 || self.connect_timeout_seconds == 0 {
            return error("timeout_seconds and connect_timeout_seconds are at least 1");
        }
        let digits = self.gc_deletes.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
        let unit = &self.gc_deletes[digits.len()..];
        if digits.parse::<u32>().is_err() || !matches!(unit, "d" | "h" | "m" | "s" | "ms") {
            return error("gc_deletes is a length of time as search engines write it: 1h, 90m");
        }
        if self.types.keys().any(|path| path.split('.').any(str::is_empty)) {
            return error("a path in types has names between its dots: address.zip");
        }
        Ok(())
    }

    /// How the cluster is spoken to.
    pub(super) fn access(&self) -> Access<'_> {
        Access {
            auth: self.auth.as_ref(),
            ca: self.ca.as_deref(),
            timeout: Duration::from_secs(self.timeout_seconds),
            connect_timeout: Duration::from_secs(self.connect_timeout_seconds),
        }
    }

    /// When a bulk is full.
    pub(super) fn bounds(&self) -> Result<Bounds, ConfigError> {
        let most = Bounds { records_max: RECORDS_MAX, bytes_max: BYTES_MAX, window: WINDOW_MAX };
        self.flush.bounds(BOUNDS, most).map_err(|error| ConfigError(error.to_string()))
    }

    /// Where documents go.
    pub(super) fn destination(&self) -> Result<Destination, ConfigError> {
        let error = |text: String| Err(ConfigError(text));
        let form = "opensearch+https://host:9200/index";
        let Some((kind, address)) = self.to.split_once('+') else {
            return error(format!("the destination is no address of an index: {form}"));
        };
        let plain = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
        let Some(rest) = plain.filter(|_| matches!(kind, "opensearch" | "elasticsearch")) else {
            return error(format!("the destination is no address of an index: {form}"));
        };
        let Some((place, index)) = rest.rsplit_once('/').filter(|(place, _)| !place.is_empty()) else {
            return error(format!("the destination names no index: {form}"));
        };
        if place.split('/').next().is_some_and(|host| host.contains('@')) {
            return error("user and password do not belong into the address, which is shown: say auth".to_owned());
        }
        if place.contains(['?', '#']) || place.contains(char::is_whitespace) {
            return error(format!("the destination is no address of an index: {form}"));
        }
        check_index_name(index)?;
        let scheme = &address[..address.len() - rest.len()];
        Ok(Destination { cluster: format!("{scheme}{place}"), index: index.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(config: Value) -> Result<Config, String> {
        let config: Config = serde_json::from_value(config).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn destinations() {
        for (to, cluster, index) in [
            ("opensearch+http://localhost:9200/orders", "http://localhost:9200", "orders"),
            ("opensearch+https://search/orders-2", "https://search", "orders-2"),
            ("elasticsearch+http://[::1]:9200/o", "http://[::1]:9200", "o"),
            ("elasticsearch+https://host/behind/a/proxy/orders", "https://host/behind/a/proxy", "orders"),
        ] {
            let expected = Destination { cluster: cluster.to_owned(), index: index.to_owned() };
            assert_eq!(Config::to(to).unwrap().destination(), Ok(expected));
        }
        for (to, error) in [
            ("http://localhost:9200/orders", "no address of an index"),
            ("opensearch+ftp://localhost/orders", "no address of an index"),
            ("solr+http://localhost/orders", "no address of an index"),
            ("opensearch+http://localhost:9200", "names no index"),
            ("opensearch+http:///orders", "names no index"),
            ("opensearch+http://localhost:9200/", "is no name of an index"),
            ("opensearch+http://localhost:9200/Orders", "is no name of an index"),
            ("opensearch+http://localhost:9200/_all", "is no name of an index"),
            ("opensearch+http://localhost:9200/a,b", "is no name of an index"),
            ("opensearch+http://u:secret@localhost:9200/orders", "say auth"),
        ] {
            let told = Config::to(to).unwrap_err().to_string();
            assert!(told.contains(error), "{to}: {told}");
            assert!(!told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn what_is_not_said_is_as_the_spec_has_it() {
        let config = Config::to("opensearch+http://localhost:9200/orders").unwrap();
        assert_eq!(config.bounds(), Ok(BOUNDS));
        assert_eq!((BOUNDS.records_max, BOUNDS.bytes_max), (5_000, 5 << 20), "as docs/sinks.md says it");
        assert_eq!((config.mode, config.alias, config.gc_deletes.as_str()), (Mode::Items, true, "1h"));
    }

    #[test]
    fn a_configuration_is_read_and_secrets_stay_hidden() {
        let to = "opensearch+http://localhost:9200/orders";
        let config = read(json!({
            "to": to, "auth": {"basic": {"user": "u", "password": "hunter2"}}, "types": {"total": "number", "a.b": "json"},
            "mappings": {"dynamic": "strict"}, "gzip": true, "flush": {"records": 1000},
        }));
        let config = config.unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.bounds(), Ok(Bounds { records_max: 1000, ..BOUNDS }));
        let log = json!({"to": to, "mode": "log", "rotation": "OneDay", "auth": {"api_key": "k"}});
        assert_eq!(read(log).unwrap().auth, Some(Auth::ApiKey(Secret::new("k"))));
        for (more, error) in [
            // Spec: sinks.md 3.3, rotation with upserts is refused.
            (json!({"rotation": "OneDay"}), "rotation is for mode: log alone"),
            (json!({"rotation": "Daily"}), "unknown variant `Daily`"),
            (json!({"refresh": true}), "unknown field `refresh`"),
            (json!({"flush": {"records": 0}}), "flush.records"),
            (json!({"flush": {"bytes": 1_000_000_000}}), "flush.bytes"),
            (json!({"timeout_seconds": 0}), "timeout_seconds"),
            (json!({"gc_deletes": "soon"}), "gc_deletes"),
            (json!({"types": {"a..b": "json"}}), "a path in types"),
            (json!({"auth": {"basic": {"user": "u"}}}), "missing field `password`"),
            (json!({"auth": {"aws": {}}}), "auth.aws: say `region`"),
            (json!({"auth": {"aws": {"region": "r", "service": "sqs"}}}), "unknown variant `sqs`"),
            (json!({"auth": {"aws": {"region": "r", "access_key_id": "k"}}}), "come together"),
        ] {
            let mut config = json!({ "to": to });
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let told = read(config).unwrap_err();
            assert!(told.contains(error), "{told}");
        }
    }

    #[test]
    fn what_is_signed_for_follows_from_the_address() {
        for (cluster, settings, expected) in [
            ("https://search-x-abc.eu-west-1.es.amazonaws.com", json!({}), ("es", "eu-west-1")),
            ("https://x.us-east-1.aoss.amazonaws.com", json!({}), ("aoss", "us-east-1")),
            ("https://x.us-east-1.aoss.amazonaws.com", json!({"region": "r"}), ("aoss", "r")),
            ("http://localhost:9200", json!({"region": "r"}), ("es", "r")),
            ("http://localhost:9200", json!({"region": "r", "service": "aoss"}), ("aoss", "r")),
        ] {
            let aws: AwsAuth = serde_json::from_value(settings).unwrap();
            let (service, region) = aws.signs_for(cluster).unwrap();
            assert_eq!((service, &*region), expected, "{cluster}");
        }
    }
}
