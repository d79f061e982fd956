//! Delivery streams: what clients of Amazon Data Firehose put records into, and Tailrace brings to objects.
//!
//! A delivery stream is a row and a stream of the log that no table has. A record is acknowledged when it is durably in the log;
//! a consumer of `tailrace_delivery` gathers records into flushes by the stream's buffering hints, and brings each to its
//! bucket (the module `deliver`), through a function first where the stream has one (`transform`).
//!
//! Invariants:
//! - The bounds of a flush are durable before anything of it is sent, and what a function has made of its records is durable before it is
//!   written: names and bytes of a flush that comes again are the same.
//! - A record leaves the buffer when the objects that hold it, or tell of its failure, are there.
//! - A stream that is deleted leaves nothing behind: neither rows nor records.
//!
//! What it does not know: HTTP, Lambda and where a bucket is. Doors ([`Functions`], [`Buckets`]) lead there.

mod answer;
mod compress;
pub mod config;
mod deliver;
pub mod limits;
mod operations;
mod outcome;
mod records;
mod row;
mod streams;
mod transform;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tailrace_sinks::objects::store::ObjectWriter;

pub use operations::{ensure, execute};
pub use streams::{DeliveryStreams, Dependencies, Notice, StreamStatus};

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

/// Knows where buckets are.
pub trait Buckets: Send + Sync + 'static {
    /// The place of a bucket's objects.
    ///
    /// # Errors
    /// Why there is none; for people, without a secret.
    fn place(&self, bucket: &str) -> Result<ObjectWriter, String>;
}
