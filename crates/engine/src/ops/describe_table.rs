//! DescribeTable. Source: docs/spec/dynamodb-api.md 2.2.

use tailrace_api::tables::{DescribeTableAnswer, DescribeTableRequest};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;
use crate::failure::store_failure;
use crate::tables::{self, description, encryption, settings};

/// Runs DescribeTable.
///
/// # Errors
/// What the client is to read.
pub async fn describe_table(
    db: &Db,
    request: DescribeTableRequest,
    _caller: &Caller<'_>,
) -> Result<DescribeTableAnswer, ApiError> {
    let stored = tables::stored(db, &request.table_name).await?;
    let now = db.clock.now();
    let mut table = description::describe(&db.settings, &stored, stored.status(now), now);
    table.sse_description = encryption::describe(settings::read(db, stored.id).await?.encryption.as_ref());
    description::count_anyway(db, &stored, &mut table).await.map_err(|e| store_failure(&e))?;
    Ok(DescribeTableAnswer { table })
}
