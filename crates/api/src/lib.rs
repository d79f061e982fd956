//! The typed requests and answers of every service that Tailrace speaks, and their reading and writing as JSON.
//!
//! An operation is request -> run -> answer. This crate holds the two ends: `read` makes a request of a body whose structure
//! the service's model has validated, and reports what is wrong with the request itself, in the order of the
//! specification; an answer is written by serde. Whoever is inside (templates, transactions, time to live, sinks) builds
//! the same requests and calls the same runs (`tailrace_engine::ops`); nobody inside writes JSON to be parsed again.
//!
//! What it does not do: no logic, no table is known here, nothing is stored.

mod error_wording;
pub mod items;
mod member;
pub mod partiql;
mod reading;
pub mod streams;
pub mod tables;
mod timestamp;

pub use error_wording::{ENVELOPE, ErrorWording, PARAMETER_VALUES};
pub use reading::Reading;
pub use timestamp::Timestamp;
