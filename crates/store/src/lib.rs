//! The store: typed keyspace, atomic commits, the log that is write-ahead log and stream at once, and the engines
//! behind one trait.
//!
//! Invariants that every engine keeps (ARCHITECTURE.md, Invariants): a commit is atomic; acknowledged means synced;
//! visible means durable; per shard, sequence order is commit order and a number is never used twice.

#[cfg(test)]
mod contract;
mod embedded;
mod engine;
pub mod files;
pub mod keyspace;
pub mod log;
mod model;
mod shards;

pub use embedded::{EmbeddedEngine, FatalHook, Options, check};
pub use engine::*;
pub use model::{ModelEngine, PlantedBug};
