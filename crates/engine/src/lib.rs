//! The operations of DynamoDB and DynamoDB Streams, one file each, over the store's trait.
//!
//! Invariants: the engine reads no clock and no randomness but those it was given; a commit's body is pure; nothing is
//! answered from memory that the store has not published (caches are keyed by the stored bytes).
//! It knows nothing of HTTP: [`ops::execute`] takes an operation's name and a JSON body; whoever is inside calls the run of an
//! operation ([`ops`]) with a typed request. An answer is that of the operation or an [`ApiError`](tailrace_core::ApiError).

mod aside;
pub mod background;
mod caller;
pub mod control;
mod db;
mod failure;
mod items;
mod json_row;
mod names;
pub mod ops;
mod pins;
mod reclaim;
mod settings;
pub mod streams;
mod tables;
mod throttle;
mod turns;

pub use caller::{Caller, Client, Written};
pub use db::{Db, StoredTable};
pub use failure::store_failure;
pub use items::idempotency::{IdempotencyMark, marked};
pub use items::with_rows::{CommittedRows, DecidedRows, DeclaredRows, ItemAt, SeenRows, commit_with_rows};
pub use pins::Pins;
pub use reclaim::reclaim_view;
pub use settings::{Settings, ThrottledTables};
pub(crate) use tables::descriptor as table;
pub use tables::descriptor::{
    Billing, BillingMode, OnDemandThroughput, Table, TableClassSetting, TableStream, Throughput, TimeToLive, ViewType,
    WarmThroughput,
};
pub use tables::destinations::{CAPTURE_NAME, Destination, DestinationStatus, TimePrecision};
pub use tables::index::{Index, IndexKind, IndexProjection, IndexStatus};
pub use tables::states::{Transition, TransitionKind};
