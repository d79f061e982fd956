//! DescribeLimits and DescribeEndpoints: constants. Source: docs/spec/dynamodb-api.md 2.4.

use tailrace_api::tables::{
    DescribeEndpointsAnswer, DescribeEndpointsRequest, DescribeLimitsAnswer, DescribeLimitsRequest, Endpoint,
};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;

/// Runs DescribeLimits: the account's quotas, as AWS has them by default; nothing enforces them here.
///
/// # Errors
/// None.
pub async fn describe_limits(
    _db: &Db,
    _request: DescribeLimitsRequest,
    _caller: &Caller<'_>,
) -> Result<DescribeLimitsAnswer, ApiError> {
    Ok(DescribeLimitsAnswer {
        account_max_read_capacity_units: 80_000,
        account_max_write_capacity_units: 80_000,
        table_max_read_capacity_units: 40_000,
        table_max_write_capacity_units: 40_000,
    })
}

/// Runs DescribeEndpoints: where to send requests is where this one was sent.
///
/// # Errors
/// None.
pub async fn describe_endpoints(
    db: &Db,
    _request: DescribeEndpointsRequest,
    caller: &Caller<'_>,
) -> Result<DescribeEndpointsAnswer, ApiError> {
    let aws = || format!("dynamodb.{}.amazonaws.com", db.settings.region);
    let address = caller.host().map_or_else(aws, str::to_owned);
    Ok(DescribeEndpointsAnswer { endpoints: vec![Endpoint { address, cache_period_in_minutes: 1440 }] })
}
