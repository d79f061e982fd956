//! The store as the layers above see it: the storage trait, the typed keyspace, the table of shards, the contract that every
//! engine keeps, and an in-memory model of an engine.
//!
//! Invariants that every engine keeps (ARCHITECTURE.md, Invariants): a commit is atomic; acknowledged means synced;
//! visible means durable; per shard, sequence order is commit order and a number is never used twice.

mod commit;
#[cfg(feature = "contract")]
pub mod contract;
mod engine;
mod error;
#[cfg(feature = "per-shard")]
mod in_front;
pub mod keyspace;
mod model;
#[cfg(feature = "per-shard")]
mod per_shard;
pub mod shards;

pub use commit::*;
pub use engine::*;
pub use error::{StoreError, StoreErrorKind};
#[cfg(feature = "per-shard")]
pub use in_front::{InFront, Stand};
pub use model::{ModelEngine, PlantedBug};
#[cfg(feature = "per-shard")]
pub use per_shard::{MemoryEngine, Numbers, PerShardEngine};
