//! Streams: the record, its two JSON forms, iterators, the four operations, and retention.

pub mod descriptor;
pub mod iterator;
pub(crate) mod label;
pub mod record;
pub mod record_meta;
pub(crate) mod retention;
