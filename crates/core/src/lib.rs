//! The pure heart of Tailrace: attribute values, exact numbers, sizes, key order, expressions, the validation of
//! requests and of functions' configurations, limits, identifiers and errors.
//!
//! Nothing here does I/O, reads a clock or draws randomness; every function is synchronous and a seed replays it.

pub mod arn;
pub mod attribute_json;
pub mod clock;
pub mod code;
pub mod codec;
pub mod data_stream;
mod echo;
pub mod encoded;
pub mod error;
mod error_kind;
mod event_source;
pub mod expr;
pub mod function;
pub mod ids;
pub mod index_key;
pub mod json;
pub mod json_text;
pub mod key;
pub mod legacy;
pub mod limits;
pub mod model;
pub mod number;
pub mod rng;
pub mod size;
pub mod suggest;
pub mod time;
pub mod value;
mod view_type;
mod wire_json;

pub use arn::{FunctionArn, IndexArn, StreamArn, TableArn};
pub use error::{ApiError, CancellationCode, CancellationReason, ErrorCode, ThrottlingReason};
pub use error_kind::{Advice, ErrorKind};
pub use event_source::{FUNCTION_REFERENCE_CHARS_MAX, FunctionReference, StartingPosition};
pub use ids::{
    Bucket, BucketRange, IndexId, Lsn, MappingId, RecordNo, SequenceNumber, ShardNo, StreamId, TableId, TtlGeneration,
};
pub use json::{Json, JsonError};
pub use key::KeySchema;
pub use model::{Service, Wording};
pub use number::Number;
pub use time::{EpochMs, MonotonicMs};
pub use value::{AttributeValue, Item};
pub use view_type::ViewType;
