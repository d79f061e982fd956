//! Objects: what sinks write into buckets and directories. Source: docs/spec/sinks.md 2.
//!
//! [`store`] writes them, whole and once; [`prefix`] and [`partition`] make their names, [`encode`] their bytes, all of them as
//! functions of a flush; [`ObjectSink`] puts these together.

mod config;
mod directory;
pub mod encode;
pub mod manifest;
pub mod partition;
pub mod prefix;
mod s3;
mod sink;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;

pub use config::{Config, ConfigError, LOCK_DAYS_MAX, Retention};
pub(crate) use s3::OneClient;
pub use s3::S3Config;
pub use sink::ObjectSink;

/// A key of a prefix and a name, with one slash between them.
pub fn joined(prefix: &str, name: &str) -> String {
    match prefix.strip_suffix('/').unwrap_or(prefix) {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}
