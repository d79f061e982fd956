//! Streams: the record, its two JSON forms, iterators, the four operations, and retention.

pub mod iterator;
pub mod record_meta;
