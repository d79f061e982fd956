//! Event source mappings: a stream's records become invocations of a function.
//!
//! A mapping is a configuration (a row) and a consumer of [`tailrace_delivery`] whose target is a function. This crate knows
//! the configuration and its operations, and what a function is given and what its answer means; how records are read,
//! batched, retried, parked and checkpointed is delivery's.

mod config;
mod constraints;
mod error;
mod events;
mod function;
mod mappings;
mod row;
mod tags;

pub use config::{CreateMapping, Mapping, Parameters, StreamSource};
pub use constraints::{Constraints, FUNCTION_REFERENCE_PATTERN};
pub use error::MappingError;
pub use events::{MappingEvent, NoObserver, Observer};
pub use function::{AnswerFault, Invoked, Invoker};
pub use mappings::{Begun, Dependencies, Described, MappingState, MappingStatus, Mappings, Streams};
pub use tags::Tags;
pub use tailrace_core::StartingPosition;
pub use tailrace_delivery::{
    GiveUp, ParkedRecord, Redriven, Retry, Room, Shard, ShardState, ShardStatus, Stopping, SystemTimer, Timer, Waits,
};
