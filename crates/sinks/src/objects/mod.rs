//! Objects: what sinks write into buckets and directories.
//!
//! [`store`] writes them, whole and once; everything else here makes their names and bytes of a flush.

mod directory;
mod s3;
pub mod store;
