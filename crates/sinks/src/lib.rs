//! Sinks: the records of streams, delivered to other places than functions.
//!
//! [`sink`] is the contract; each sink has a folder.

pub mod sink;
pub mod views;
