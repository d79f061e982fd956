//! The operations of DynamoDB and DynamoDB Streams, one file each, over the store's trait.
//!
//! Invariants: the engine reads no clock and no randomness but those it was given; a commit's body is pure; nothing is
//! answered from memory that the store has not published (caches are keyed by the stored bytes).
//! It knows nothing of HTTP: a request is an operation's name and a JSON body, an answer is a JSON body or an
//! [`ApiError`](tailrace_core::ApiError).

pub mod background;
mod db;
mod failure;
mod json_row;
mod names;
pub mod ops;
pub mod streams;
mod tables;

pub use db::{Db, RequestContext, Service, Settings};
pub use failure::store_failure;
pub use names::table_name;
pub(crate) use tables::descriptor as table;
pub use tables::descriptor::{
    Billing, BillingMode, OnDemandThroughput, Table, TableClass, TableStream, Throughput, ViewType, WarmThroughput,
};
