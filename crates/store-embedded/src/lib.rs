//! The embedded engine: a segmented log that is write-ahead log and stream at once, a tree of published rows behind it, and
//! the pipeline between them.
//!
//! Invariants: those of `tailrace_store`. What it does not do: it knows no row of the keyspace but those that engines keep
//! (shards, counters, ranges to reclaim), and it interprets no value.

mod applier;
mod changes;
mod check;
mod committer;
mod directory;
mod engine;
pub mod files;
mod latches;
pub mod log;
mod maintenance;
mod overlay;
mod published;
mod queue;
mod reclaim;
mod state;
mod tree;

#[cfg(test)]
mod contract;

pub use check::{CheckReport, check, check_with, set_aside};
pub use engine::{EmbeddedEngine, FatalHook, Options};
pub use log::SetAsideError;
