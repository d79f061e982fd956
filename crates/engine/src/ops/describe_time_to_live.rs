//! DescribeTimeToLive. Source: docs/spec/dynamodb-api.md 8.2.

use tailrace_api::tables::{
    DescribeTimeToLiveAnswer, DescribeTimeToLiveRequest, TimeToLiveDescription, TimeToLiveStatus,
};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;
use crate::tables::{self, states};

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
    states::check_describes_time_to_live(&table, db.clock.now())?;
    let attribute_name = table.time_to_live.as_ref().map(|time_to_live| time_to_live.attribute.clone());
    let time_to_live_status =
        if attribute_name.is_some() { TimeToLiveStatus::Enabled } else { TimeToLiveStatus::Disabled };
    Ok(DescribeTimeToLiveAnswer {
        time_to_live_description: TimeToLiveDescription { time_to_live_status, attribute_name },
    })
}
