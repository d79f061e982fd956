//! Streams: the descriptor and the life of a stream, shards' ids, iterators, and the record.

pub mod descriptor;
mod event_id;
mod event_view;
pub mod hidden;
pub mod iterator;
pub mod label;
pub(crate) mod life;
pub mod record;
pub mod record_meta;
pub mod roll;
pub mod shard_id;
