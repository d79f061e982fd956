//! Event source mappings: a stream's records become invocations of a function.
//!
//! [`machine`] decides: one pure state machine per mapping and shard, without clock, randomness or I/O. The runner
//! ([`Mappings`]) performs what it asks for (read the log, invoke, commit) and tells it what came of it: one task per
//! mapping and shard, woken by publish, under one supervisor per mapping.

mod config;
pub mod event;
pub mod machine;
mod runner;
mod seams;

pub use machine::GiveUp;

pub use config::{CreateMapping, Mapping, MappingError, Parameters, StartingPosition, StreamSource};
pub use runner::{
    Blocked, Dependencies, MappingOverview, MappingStatus, Mappings, ParkedRecord, Redriven, ShardOverview, ShardStatus,
};
pub use seams::{Invoker, MappingEvent, NoObserver, Observer, Streams, SystemTimer, Timer};
