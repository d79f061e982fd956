//! ListTables. Source: docs/spec/dynamodb-api.md 2.4.

use serde::Serialize;
use tailrace_core::ApiError;
use tailrace_core::limits::LIST_PAGE_MAX;
use tailrace_store::PageLimit;
use tailrace_store::keyspace::TableKey;

use super::Request;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};

/// The names, and the last one if more remain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    table_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_table_name: Option<String>,
}

/// ListTables.
pub(crate) async fn list_tables(db: &Db, request: Request<'_>) -> Result<Answer, ApiError> {
    let limit = request.integer("Limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(LIST_PAGE_MAX);
    let range = match request.text("ExclusiveStartTableName") {
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
    Ok(Answer { table_names, last_evaluated_table_name })
}
