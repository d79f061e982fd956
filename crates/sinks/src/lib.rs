//! Sinks: the records of streams, delivered to other places than functions.
//!
//! [`sink`] is the contract; [`runtime`] does everything else for every sink; each sink has a folder. Source: docs/spec/sinks.md.

mod plain_item;
pub mod runtime;
pub mod sink;
pub mod spec;
pub mod views;

pub use plain_item::PlainItem;
