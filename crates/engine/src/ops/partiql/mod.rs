//! PartiQL: a statement becomes typed requests, which run as those of the other operations do.
//!
//! [`keys`] finds in a condition what it says of the key, pure; [`select`] makes reads by key, queries and scans of a `SELECT`,
//! [`write`] puts, updates and deletes of the rest. [`next_token`] is a place between two pages.
//!
//! It reads and writes no item itself, so what holds for the other operations (one commit, stream records, indexes,
//! capacity) holds here. Source: docs/spec/dynamodb-api.md 7.3.

pub(crate) mod keys;
pub(crate) mod next_token;
pub(crate) mod refusal;
pub(crate) mod select;
pub(crate) mod source;
pub(crate) mod write;
