//! Delivery streams: what clients of Amazon Data Firehose put records into, and Tailrace brings to objects, an HTTP endpoint, an index or a
//! table of Redshift.
//!
//! A delivery stream is a row and a stream of the log that no table has. A record is acknowledged when it is durably in the log;
//! a consumer of `tailrace_delivery` gathers records into flushes by the stream's buffering hints, and brings each to its
//! bucket (the module `deliver`), its endpoint (`endpoint`), its index (`index`) or, by way of its bucket, its table (`redshift`), through a
//! function first where the stream has one (`transform`).
//!
//! Invariants:
//! - The bounds of a flush are durable before anything of it is sent, and what a function has made of its records is durable before it is
//!   written: names and bytes of a flush that comes again are the same.
//! - A record leaves the buffer when the objects that hold it, or tell of its failure, are there, or its endpoint, or the cluster of its
//!   index or of its table, has said that it has it.
//! - Only an access key's way to its endpoint shows it, and a password's to its cluster: no description, status, notice or error does.
//! - A stream that is deleted leaves nothing behind: neither rows nor records.
//!
//! What it does not know: connections, Lambda and where a bucket or a domain is. Doors ([`Functions`], [`Buckets`], [`Endpoints`],
//! [`Clusters`], [`Warehouses`]) lead there.

mod answer;
mod beside;
mod compress;
pub mod config;
mod deliver;
mod endpoint;
mod events;
mod index;
pub mod limits;
mod operations;
mod outcome;
mod over;
mod patience;
mod records;
mod redshift;
mod remote;
mod row;
mod streams;
mod transform;
mod uuid;

#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::ErrorKind;
use tailrace_sinks::objects::store::ObjectWriter;
use tailrace_sinks::post::{Address, NoReply, Post, Poster, Reply};
use tailrace_sinks::search::{Documents, Indexed};
use tailrace_sinks::warehouse::load::{CopyCommand, LoadError, Login};

pub use operations::{ensure, execute};
pub use streams::{DeliveryStreams, Dependencies, Notice, Putter, StreamStatus};

/// How an invocation of a function ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invoked {
    /// The function answered, with this payload.
    Answered(Bytes),
    /// It failed: an exception, a timeout, a crash. The text says which.
    Failed(String),
    /// It was not run, and may be later: it is missing, throttled, or cannot start.
    NotInvoked(String),
}

/// Runs the functions that transform records.
pub trait Functions: Send + Sync + 'static {
    /// Runs the function of this ARN or name, and waits for its end.
    fn invoke(&self, function: &str, event: Bytes) -> BoxFuture<'static, Invoked>;
}

/// A bucket or a cluster cannot be had, and nothing was sent. The text is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
    /// Nothing says where it is.
    #[error("{0}")]
    Nowhere(String),
    /// What is said of it cannot be right.
    #[error("{0}")]
    Setting(String),
    /// Not now: it may be had later, without anybody's help.
    #[error("{0}")]
    NotNow(String),
}

impl DoorError {
    /// What whoever asked does about it. The records wait in any case: an operator may mend what is refused.
    pub fn kind(&self) -> ErrorKind {
        match self {
            DoorError::Nowhere(_) => ErrorKind::NotFound,
            DoorError::Setting(_) => ErrorKind::Invalid,
            DoorError::NotNow(_) => ErrorKind::Unavailable,
        }
    }
}

/// Knows where buckets are.
pub trait Buckets: Send + Sync + 'static {
    /// The place of a bucket's objects.
    ///
    /// # Errors
    /// Why there is none.
    fn place(&self, bucket: &str) -> Result<ObjectWriter, DoorError>;
}

/// Sends requests to HTTP endpoints.
pub trait Endpoints: Send + Sync + 'static {
    /// Sends a request once.
    fn post(&self, post: Post) -> BoxFuture<'static, Result<Reply, NoReply>>;
}

impl Endpoints for Poster {
    fn post(&self, post: Post) -> BoxFuture<'static, Result<Reply, NoReply>> {
        let poster = self.clone();
        async move { Poster::post(&poster, post).await }.boxed()
    }
}

/// Where the cluster of an index is, as a destination says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterAt {
    /// At this address.
    Endpoint(String),
    /// Where somebody knows.
    Domain {
        /// The ARN of the domain.
        arn: String,
        /// Its name.
        name: String,
    },
}

/// Without what may be a secret.
impl fmt::Display for ClusterAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterAt::Endpoint(endpoint) => match Address::parse(endpoint) {
                Ok(address) => write!(f, "{address}"),
                Err(error) => write!(f, "{error}"),
            },
            ClusterAt::Domain { arn, .. } => f.write_str(arn),
        }
    }
}

/// Sends documents to clusters of OpenSearch and Elasticsearch.
pub trait Clusters: Send + Sync + 'static {
    /// Sends each document once: what became of each.
    ///
    /// # Errors
    /// Why there is no such cluster.
    fn index(&self, at: &ClusterAt, documents: Documents) -> BoxFuture<'static, Result<Vec<Indexed>, DoorError>>;
}

/// What a cluster is to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// The cluster, and who asks it.
    pub login: Login,
    /// The table, and how the objects are read.
    pub copy: CopyCommand,
    /// In which the objects are read, where nothing else is configured.
    pub role: String,
    /// The address of the manifest that names them.
    pub manifest: String,
}

/// Loads objects into clusters of Redshift.
pub trait Warehouses: Send + Sync + 'static {
    /// Loads once.
    ///
    /// # Errors
    /// Why there is no such cluster; within, why it is not known to have loaded.
    fn load(&self, load: Load) -> BoxFuture<'static, Result<Result<(), LoadError>, DoorError>>;
}
