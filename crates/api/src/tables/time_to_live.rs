//! UpdateTimeToLive and DescribeTimeToLive. Source: docs/spec/dynamodb-api.md 8.2.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use crate::{Reading, member};

/// `TimeToLiveSpecification`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeToLiveSpecification {
    /// Items are to expire.
    pub enabled: bool,
    /// The attribute that says when.
    pub attribute_name: String,
}

/// The request of UpdateTimeToLive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateTimeToLiveRequest {
    /// The table's name.
    pub table_name: String,
    /// What is to hold from now on.
    pub time_to_live_specification: TimeToLiveSpecification,
}

/// The answer of UpdateTimeToLive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateTimeToLiveAnswer {
    /// What was asked for.
    pub time_to_live_specification: TimeToLiveSpecification,
}

/// The request of DescribeTimeToLive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeTimeToLiveRequest {
    /// The table's name.
    pub table_name: String,
}

/// `TimeToLiveStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TimeToLiveStatus {
    /// Items expire.
    Enabled,
    /// They do not.
    Disabled,
}

/// `TimeToLiveDescription`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeToLiveDescription {
    /// Whether items expire.
    pub time_to_live_status: TimeToLiveStatus,
    /// The attribute that says when, if they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute_name: Option<String>,
}

/// The answer of DescribeTimeToLive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTimeToLiveAnswer {
    /// How it stands.
    pub time_to_live_description: TimeToLiveDescription,
}

impl UpdateTimeToLiveRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<UpdateTimeToLiveRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        let given = body.get("TimeToLiveSpecification");
        Ok(UpdateTimeToLiveRequest {
            table_name,
            time_to_live_specification: TimeToLiveSpecification {
                enabled: given.and_then(|given| member::boolean(given, "Enabled")).unwrap_or_default(),
                attribute_name: given
                    .and_then(|given| member::text(given, "AttributeName"))
                    .unwrap_or_default()
                    .to_owned(),
            },
        })
    }
}

impl DescribeTimeToLiveRequest {
    /// A request for the table of this name.
    pub fn of(table_name: impl Into<String>) -> DescribeTimeToLiveRequest {
        DescribeTimeToLiveRequest { table_name: table_name.into() }
    }

    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<DescribeTimeToLiveRequest, ApiError> {
        Ok(DescribeTimeToLiveRequest { table_name: reading.take_table_name(&mut body)? })
    }
}
