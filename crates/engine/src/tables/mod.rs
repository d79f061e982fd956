//! Tables: the descriptor that makes one exist, what requests make of it, and how it is told of.
//!
//! The rules are pure; the commits that make, change and delete a table are those of the operations (`ops`).

pub(crate) mod change;
pub(crate) mod counts;
pub(crate) mod creation;
pub(crate) mod description;
pub mod descriptor;
pub mod destinations;
pub(crate) mod encryption;
pub mod index;
pub(crate) mod index_changes;
pub(crate) mod index_rules;
pub(crate) mod policy;
pub(crate) mod rules;
pub(crate) mod settings;
pub(crate) mod states;
pub(crate) mod tags;
pub(crate) mod time_to_live;

use std::sync::Arc;

use tailrace_core::ApiError;

use crate::db::{Db, StoredTable};

/// The table of this name, for the control plane. Whoever changes it makes sure, in his commit, that its row still stands.
///
/// # Errors
/// ResourceNotFoundException in the control plane's words, or the store's failure.
pub(crate) async fn stored(db: &Db, name: &str) -> Result<Arc<StoredTable>, ApiError> {
    db.find_table(name).await?.ok_or_else(|| no_such_table(name))
}

/// The control plane's ResourceNotFoundException.
pub(crate) fn no_such_table(name: &str) -> ApiError {
    ApiError::not_found(format!("Requested resource not found: Table: {name} not found"))
}
