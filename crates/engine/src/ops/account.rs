//! DescribeLimits and DescribeEndpoints: constants. Source: docs/spec/dynamodb-api.md 2.4.

use serde::Serialize;

use super::Request;
use crate::db::Db;

/// The account's quotas, as AWS has them by default; nothing enforces them here.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Limits {
    account_max_read_capacity_units: i64,
    account_max_write_capacity_units: i64,
    table_max_read_capacity_units: i64,
    table_max_write_capacity_units: i64,
}

/// DescribeLimits.
pub(crate) fn describe_limits() -> Limits {
    Limits {
        account_max_read_capacity_units: 80_000,
        account_max_write_capacity_units: 80_000,
        table_max_read_capacity_units: 40_000,
        table_max_write_capacity_units: 40_000,
    }
}

/// Where to send requests: where this one was sent.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Endpoints {
    endpoints: [Endpoint; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    address: String,
    cache_period_in_minutes: i64,
}

/// DescribeEndpoints.
pub(crate) fn describe_endpoints(db: &Db, request: &Request<'_>) -> Endpoints {
    let aws = || format!("dynamodb.{}.amazonaws.com", db.settings.region);
    let address = request.caller.host().map_or_else(aws, str::to_owned);
    Endpoints { endpoints: [Endpoint { address, cache_period_in_minutes: 1440 }] }
}
