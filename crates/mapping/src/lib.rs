//! Event source mappings: a stream's records become invocations of a function.
//!
//! [`machine`] decides: one pure state machine per mapping and shard, without clock, randomness or I/O. What it asks
//! for (read the log, invoke, commit) is done elsewhere, and told back to it as its next input.

pub mod machine;
