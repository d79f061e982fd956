//! DescribeTimeToLive. Source: docs/spec/dynamodb-api.md 8.2.

use tailrace_api::tables::{
    DescribeTimeToLiveAnswer, DescribeTimeToLiveRequest, TableStatus, TimeToLiveDescription, TimeToLiveStatus,
};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;
use crate::tables;

/// Runs DescribeTimeToLive.
///
/// # Errors
/// What the client is to read.
pub async fn describe_time_to_live(
    db: &Db,
    request: DescribeTimeToLiveRequest,
    _caller: &Caller<'_>,
) -> Result<DescribeTimeToLiveAnswer, ApiError> {
    let table = tables::stored(db, &request.table_name).await?;
    let state = match table.status(db.clock.now()) {
        TableStatus::Creating => Some("CREATING"),
        TableStatus::Deleting => Some("DELETING"),
        TableStatus::Active | TableStatus::Updating => None,
    };
    if let Some(state) = state {
        return Err(ApiError::validation(format!(
            "Cannot describe time to live while table is in {state} state: Current table state is {state}"
        )));
    }
    let attribute_name = table.time_to_live.as_ref().map(|time_to_live| time_to_live.attribute.clone());
    let time_to_live_status =
        if attribute_name.is_some() { TimeToLiveStatus::Enabled } else { TimeToLiveStatus::Disabled };
    Ok(DescribeTimeToLiveAnswer {
        time_to_live_description: TimeToLiveDescription { time_to_live_status, attribute_name },
    })
}
