//! Objects as a user finds them, at a directory and at a store that speaks S3 and fails where it is told to.

mod encode;
pub mod fake_s3;
mod fixture;
mod kit;
mod sink;
mod store;
