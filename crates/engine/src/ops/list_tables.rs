//! ListTables. Source: docs/spec/dynamodb-api.md 2.4.

use tailrace_api::tables::{ListTablesAnswer, ListTablesRequest};
use tailrace_core::ApiError;
use tailrace_store::PageLimit;
use tailrace_store::keyspace::TableKey;

use crate::caller::Caller;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};

/// Runs ListTables.
///
/// # Errors
/// What the client is to read.
pub async fn list_tables(
    db: &Db,
    request: ListTablesRequest,
    _caller: &Caller<'_>,
) -> Result<ListTablesAnswer, ApiError> {
    let limit = request.limit;
    let range = match &request.exclusive_start_table_name {
        Some(name) => TableKey::range_after(name),
        None => TableKey::range(),
    };
    let rows = PageLimit { rows_max: limit + 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(range, rows).await.map_err(|e| store_failure(&e))?;
    let mut table_names = Vec::with_capacity(page.rows.len());
    for (key, _) in page.rows.iter().take(limit) {
        table_names.push(TableKey::decode(key).ok_or_else(|| corrupt_row("the key of a table"))?.name);
    }
    let last_evaluated_table_name = table_names.last().filter(|_| page.rows.len() > limit).cloned();
    Ok(ListTablesAnswer { table_names, last_evaluated_table_name })
}
