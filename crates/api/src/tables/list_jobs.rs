//! ListBackups, ListExports and ListImports: of none of these there is any. Source: docs/spec/dynamodb-api.md 8.6.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use crate::{Reading, member};

/// A request for a page of backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListBackupsRequest;

/// A page of backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListBackupsAnswer {
    /// Always none.
    pub backup_summaries: [(); 0],
}

impl ListBackupsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN, a range of time that ends before it begins.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<ListBackupsRequest, ApiError> {
        reading.take_table_name(&mut body)?;
        // The one fault of such an ARN whose text is known: its region.
        let start = member::text(&body, "ExclusiveStartBackupArn").and_then(|arn| arn.strip_prefix("arn:"));
        if start.and_then(|arn| arn.split(':').nth(2)).is_some_and(|region| region != reading.region) {
            return Err(ApiError::validation(
                "Invalid Request: The supplied ExclusiveStartBackupArn does not match the region",
            ));
        }
        let bound = |name: &str| match body.get(name) {
            Some(Json::Integer(literal) | Json::Decimal(literal)) => literal.parse::<f64>().ok(),
            _ => None,
        };
        match (bound("TimeRangeLowerBound"), bound("TimeRangeUpperBound")) {
            (Some(lower), Some(upper)) if lower > upper => Err(ApiError::validation(
                "One or more parameter values were invalid: Time range lower bound must be less than or equal to \
                 upper bound",
            )),
            _ => Ok(ListBackupsRequest),
        }
    }
}

/// A request for a page of exports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListExportsRequest;

/// A page of exports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListExportsAnswer {
    /// Always none.
    pub export_summaries: [(); 0],
}

impl ListExportsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A token: no answer has one.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<ListExportsRequest, ApiError> {
        no_token(&body).map(|()| ListExportsRequest)
    }
}

/// A request for a page of imports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListImportsRequest;

/// A page of imports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListImportsAnswer {
    /// Always none.
    pub import_summary_list: [(); 0],
}

impl ListImportsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A token: no answer has one.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<ListImportsRequest, ApiError> {
        no_token(&body).map(|()| ListImportsRequest)
    }
}

fn no_token(body: &Json) -> Result<(), ApiError> {
    match member::text(body, "NextToken") {
        Some(token) => Err(ApiError::validation(format!("Invalid Request: Provided nextToken is invalid: {token}"))),
        None => Ok(()),
    }
}
