//! Streams: the record, its two JSON forms, iterators, the four operations, and the life of a stream.

pub mod descriptor;
pub mod iterator;
pub(crate) mod label;
pub(crate) mod life;
pub mod record;
pub mod record_meta;
