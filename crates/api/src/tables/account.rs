//! DescribeLimits and DescribeEndpoints. Source: docs/spec/dynamodb-api.md 2.4.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use crate::Reading;

/// A request for the account's quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescribeLimitsRequest;

/// The account's quotas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeLimitsAnswer {
    /// Units of reading of all tables.
    pub account_max_read_capacity_units: i64,
    /// Units of writing of all tables.
    pub account_max_write_capacity_units: i64,
    /// Units of reading of a table.
    pub table_max_read_capacity_units: i64,
    /// Units of writing of a table.
    pub table_max_write_capacity_units: i64,
}

impl DescribeLimitsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(_body: Json, _reading: &Reading<'_>) -> Result<DescribeLimitsRequest, ApiError> {
        Ok(DescribeLimitsRequest)
    }
}

/// A request for the address of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DescribeEndpointsRequest;

/// Where to send requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEndpointsAnswer {
    /// The addresses.
    pub endpoints: Vec<Endpoint>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Endpoint {
    /// Host, and port if it is not the usual one.
    pub address: String,
    /// How long it can be kept.
    pub cache_period_in_minutes: i64,
}

impl DescribeEndpointsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(_body: Json, _reading: &Reading<'_>) -> Result<DescribeEndpointsRequest, ApiError> {
        Ok(DescribeEndpointsRequest)
    }
}
