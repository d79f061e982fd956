//! Sinks: the records of streams, delivered to other places than functions.
//!
//! [`sink`] is the contract; [`runtime`] does everything else for every sink; each sink has a folder. Source: docs/spec/sinks.md.

pub mod audit;
mod aws;
mod computed;
pub mod delivery_stream;
pub mod destinations;
pub mod gathering;
mod hidden;
mod http;
pub mod kinesis;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by a panic")]
pub mod kit;
pub mod notify;
pub mod objects;
mod plain_item;
pub mod post;
pub mod runtime;
pub mod schema;
pub mod search;
pub mod secret;
pub mod sink;
pub mod spec;
pub mod views;
pub mod warehouse;

pub use plain_item::PlainItem;
