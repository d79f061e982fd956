//! DescribeTable. Source: docs/spec/dynamodb-api.md 2.2.

use serde::Serialize;
use tailrace_core::ApiError;

use super::Request;
use super::description::TableDescription;
use crate::db::Db;
use crate::tables;

/// `{"Table": ...}`
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    table: TableDescription,
}

/// DescribeTable.
pub(crate) async fn describe_table(db: &Db, request: Request<'_>) -> Result<Answer, ApiError> {
    let name = request.table_name(db)?;
    let table = tables::stored(db, &name).await?;
    let description = TableDescription::of(&db.settings, &table, "ACTIVE", db.clock.now_ms());
    Ok(Answer { table: description.counted(db, &table).await? })
}
