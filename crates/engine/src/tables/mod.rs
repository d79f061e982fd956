//! Tables: the descriptor that makes one exist, and how it is read to be changed.

pub mod descriptor;

use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::ApiError;
use tailrace_store::keyspace::TableKey;

use crate::db::Db;
use crate::failure::store_failure;
use descriptor::Table;

/// A table as its row says, with the row's bytes: whoever changes the table makes sure, in his commit, that they still stand.
pub(crate) struct StoredTable {
    pub table: Arc<Table>,
    pub row: Bytes,
}

/// The table of this name, for the control plane.
///
/// # Errors
/// ResourceNotFoundException in the control plane's words, or the store's failure.
pub(crate) async fn stored(db: &Db, name: &str) -> Result<StoredTable, ApiError> {
    let keys = [TableKey::key(name)];
    let mut rows = db.store.get(&keys).await.map_err(|e| store_failure(&e))?;
    let row = rows.pop().flatten().ok_or_else(|| no_such_table(name))?;
    Ok(StoredTable { table: db.read_table(name, &row)?, row })
}

/// The control plane's ResourceNotFoundException.
fn no_such_table(name: &str) -> ApiError {
    ApiError::not_found(format!("Requested resource not found: Table: {name} not found"))
}
