//! Delivery of a stream's records to a target, at least once and in order per partition key.
//!
//! A [`Consumer`] reads a stream for a [`Target`]: a function, an object store, a search index. It has one task for each shard
//! whose parent is finished. The task performs what the pure [`machine`] asks for (read the log, invoke the target, commit)
//! and tells it what came of it. What a consumer has confirmed of a shard is a checkpoint; what it gave up is parked.
//!
//! Invariants:
//! - A checkpoint never runs ahead of its effect, and is committed by the shard's owner only (the module `ownership`).
//! - No task ends in silence, and none is dropped while the target works for it.
//! - A record that cannot be read stops its shard, by name, and no other.
//!
//! What it does not know: what a record says (targets do), what a consumer is called and how it is configured (the crates
//! above do), and Lambda.

mod checkpoints;
mod consumer;
mod context;
pub mod machine;
mod observer;
mod ownership;
mod pages;
mod parked;
mod reader;
mod redrive;
mod room;
mod rows;
mod shard;
mod status;
mod supervisor;
mod target;

pub use checkpoints::{add_needed, all as checkpoints};
pub use consumer::{Consumer, Definition, Source};
pub use context::{Context, SystemTimer, Timer};
pub use machine::{Checkpoint, GiveUp, LastResult, Outcome, Rules, ShardState, Taken};
pub use observer::{DeliveryEvent, Observer, Retry, Shard};
pub use ownership::{Fence, Standing};
pub use parked::{ParkedRecord, parked_records};
pub use redrive::{RedriveError, Redriven};
pub use room::Room;
pub use rows::{each, read as read_row};
pub use status::{STREAM_ENDED, ShardStatus, last_processing_result};
pub use target::{Answer, Batch, Stopping, Target, Waits, WindowCall};
