//! Documents that somebody else has made, into an index: a round of bulks, in which each is sent once. Source: docs/spec/sinks.md 3.1, 3.3.
//!
//! Invariant: what is said of a document is what the cluster has said of it, or that nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{MEMBERS, Op, Outcome, Refusal};
use super::client::{Access, BulkBody, Client};
use super::config::{Auth, ConfigError, connect_timeout_seconds, timeout_seconds};
use super::{BOUNDS, BULK_BYTES_MIN};
use crate::post::Address;
use crate::sink::SinkError;

/// Where a cluster is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// `https://host:9200`, or with http.
    pub endpoint: String,
    /// How a client shows who it is.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// The certificates of the authorities that are trusted instead of the system's, PEM.
    #[serde(default)]
    pub ca: Option<String>,
    /// How long a request may take, seconds.
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// How long a connection may take to be made, seconds.
    #[serde(default = "connect_timeout_seconds")]
    pub connect_timeout_seconds: u64,
}

impl ClusterConfig {
    /// One that says nothing but where the cluster is.
    pub fn at(endpoint: &str) -> ClusterConfig {
        ClusterConfig {
            endpoint: endpoint.to_owned(),
            auth: None,
            ca: None,
            timeout_seconds: timeout_seconds(),
            connect_timeout_seconds: connect_timeout_seconds(),
        }
    }

    /// Says what is wrong with it, as far as that can be seen without a certificate.
    ///
    /// # Errors
    /// Something is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Address::parse(&self.endpoint).map_err(|error| ConfigError(format!("endpoint: {error}")))?;
        if self.endpoint.contains('?') {
            return Err(ConfigError("endpoint: the address of a cluster has no query".to_owned()));
        }
        if let Some(Auth::Aws(aws)) = &self.auth {
            aws.signs_for(&self.endpoint)?;
        }
        if self.timeout_seconds == 0 || self.connect_timeout_seconds == 0 {
            return Err(ConfigError("timeout_seconds and connect_timeout_seconds are at least 1".to_owned()));
        }
        Ok(())
    }
}

/// Documents, and where they are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// The index: a name that [`check_index_name`](super::check_index_name) takes.
    pub index: String,
    /// The type, where the cluster still has such.
    pub kind: Option<String>,
    /// The documents.
    pub all: Vec<Document>,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id: one that is there is replaced. `None`: the cluster gives it one, each time.
    pub id: Option<String>,
    /// A JSON object without a line end.
    pub body: Bytes,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Indexed {
    /// It is there.
    Done,
    /// Not now: why.
    Again(Refusal),
    /// Never: why.
    Rejected(Refusal),
    /// Nobody knows: why.
    Unknown(String),
}

impl From<Outcome> for Indexed {
    fn from(outcome: Outcome) -> Indexed {
        match outcome {
            Outcome::Done => Indexed::Done,
            // Somebody may make the index.
            Outcome::Again(refusal) | Outcome::NoIndex(refusal) => Indexed::Again(refusal),
            Outcome::Rejected(refusal) => Indexed::Rejected(refusal),
        }
    }
}

/// A cluster. A clone shares its connections.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    client: Client,
    timeout_seconds: u64,
    /// Bytes that a bulk may have: fewer once the cluster has refused some for their size.
    bytes_max: AtomicUsize,
}

impl Cluster {
    /// The cluster of a configuration.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn new(config: &ClusterConfig) -> Result<Cluster, ConfigError> {
        let ClusterConfig { endpoint, auth, ca, timeout_seconds, connect_timeout_seconds } = config;
        config.validate()?;
        let access = Access {
            auth: auth.as_ref(),
            ca: ca.as_deref(),
            timeout: Duration::from_secs(*timeout_seconds),
            connect_timeout: Duration::from_secs(*connect_timeout_seconds),
        };
        let client = Client::new(&access, endpoint.trim_end_matches('/'))?;
        let bytes_max = AtomicUsize::new(BOUNDS.bytes_max);
        Ok(Cluster(Arc::new(Inner { client, timeout_seconds: *timeout_seconds, bytes_max })))
    }

    /// Sends each document once, and says what became of it. Once a bulk is refused as a whole, or nobody knows what became of it, what
    /// would come behind it is not sent.
    pub async fn index(&self, documents: Documents) -> Vec<Indexed> {
        let Inner { client, timeout_seconds, bytes_max: most } = &*self.0;
        let path = format!(
            "{}/_bulk?refresh=false&timeout={}s&filter_path={MEMBERS}",
            documents.index,
            timeout_seconds.div_ceil(2)
        );
        let (all, documents) = (documents.all.len(), Arc::new(documents));
        let mut indexed = Vec::with_capacity(all);
        let mut bytes_max = most.load(Ordering::Relaxed);
        while indexed.len() < all {
            let first = indexed.len();
            let of = Arc::clone(&documents);
            let made = tokio::task::spawn_blocking(move || of.bulk(first, bytes_max)).await;
            let (body, count) = match made {
                Ok(bulk) => bulk,
                Err(error) => {
                    indexed.resize(all, Indexed::Unknown(format!("a bulk was not made: {error}")));
                    break;
                }
            };
            let bytes = body.len();
            let body = BulkBody { bytes: body.into(), is_gzip: false };
            match client.bulk(&path, body, vec![Op::Index; count]).await.map(|answered| answered.settled(count, bytes))
            {
                Ok(Ok(Some(outcomes))) => indexed.extend(outcomes.into_iter().map(Indexed::from)),
                Ok(Ok(None)) => {
                    bytes_max = bytes / 2;
                    most.fetch_min(bytes_max.max(BULK_BYTES_MIN), Ordering::Relaxed);
                }
                Ok(Err(refusal)) => indexed.resize(all, Indexed::Again(refusal)),
                Err(SinkError(words)) => indexed.resize(all, Indexed::Unknown(words)),
            }
        }
        indexed
    }
}

impl Documents {
    /// The body of a bulk from the document `first` on, of at least one and of about `bytes_max` at most, and how many are in it.
    fn bulk(&self, first: usize, bytes_max: usize) -> (Vec<u8>, usize) {
        let (mut body, mut count) = (Vec::new(), 0);
        for document in &self.all[first..] {
            let begin = body.len();
            body.extend_from_slice(self.action(document).to_string().as_bytes());
            body.push(b'\n');
            body.extend_from_slice(&document.body);
            body.push(b'\n');
            if count > 0 && body.len() > bytes_max {
                body.truncate(begin);
                break;
            }
            count += 1;
        }
        (body, count)
    }

    fn action(&self, document: &Document) -> Value {
        let mut action = Map::new();
        if let Some(kind) = &self.kind {
            action.insert("_type".to_owned(), kind.as_str().into());
        }
        if let Some(id) = &document.id {
            action.insert("_id".to_owned(), id.as_str().into());
        }
        json!({ Op::Index.word(): action })
    }
}
