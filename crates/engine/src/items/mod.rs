//! Items: what a change does to them, the one place where changes are committed, and how items are read.
//!
//! [`plan`] is pure: it sees changes, tables and the items that are there, and answers writes, stream records and answers.
//! [`commit`] declares the rows that a plan needs, runs it inside the store's commit, and makes its writes; [`with_rows`] does so for
//! items that are written together with rows of another kind. Nothing else in the engine writes an item.

pub(crate) mod admission;
pub(crate) mod capacity;
pub(crate) mod commit;
pub(crate) mod expiry;
pub(crate) mod idempotency;
pub(crate) mod index_entries;
pub(crate) mod index_key_errors;
pub(crate) mod item_collection;
pub(crate) mod key_errors;
pub(crate) mod place;
pub(crate) mod plan;
pub(crate) mod prepare;
pub(crate) mod projection;
pub(crate) mod read;
pub(crate) mod read_source;
pub(crate) mod start_key;
pub(crate) mod stored_item;
pub(crate) mod table_set;
pub mod with_rows;
