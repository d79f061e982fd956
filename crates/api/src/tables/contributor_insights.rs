//! UpdateContributorInsights, DescribeContributorInsights and ListContributorInsights. Source: docs/spec/dynamodb-api.md 8.6.

use serde::{Deserialize, Serialize};
use tailrace_core::limits::LIST_PAGE_MAX;
use tailrace_core::{ApiError, Json};

use crate::{Reading, Timestamp, member};

/// `ContributorInsightsMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContributorInsightsMode {
    /// Keys that are used, and keys that are throttled.
    #[default]
    AccessedAndThrottledKeys,
    /// Keys that are throttled.
    ThrottledKeys,
}

/// `ContributorInsightsAction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ContributorInsightsAction {
    /// On.
    #[default]
    Enable,
    /// Off.
    Disable,
}

/// `ContributorInsightsStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContributorInsightsStatus {
    /// They are being switched on.
    Enabling,
    /// They are being switched off.
    Disabling,
    /// They are off.
    Disabled,
    /// They were asked for and cannot be had.
    Failed,
}

/// A request to switch them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateContributorInsightsRequest {
    /// The table's name.
    pub table_name: String,
    /// The index; `None`: the table itself.
    pub index_name: Option<String>,
    /// On or off.
    pub action: ContributorInsightsAction,
    /// `None`: the default.
    pub mode: Option<ContributorInsightsMode>,
}

/// What becomes of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateContributorInsightsAnswer {
    /// The table's name.
    pub table_name: String,
    /// The index, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_name: Option<String>,
    /// The status.
    pub contributor_insights_status: ContributorInsightsStatus,
    /// The mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributor_insights_mode: Option<ContributorInsightsMode>,
}

/// A request for what is set of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeContributorInsightsRequest {
    /// The table's name.
    pub table_name: String,
    /// The index; `None`: the table itself.
    pub index_name: Option<String>,
}

/// `FailureException`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FailureException {
    /// The name of an error.
    pub exception_name: String,
    /// What it means.
    pub exception_description: String,
}

/// What is set of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeContributorInsightsAnswer {
    /// The table's name.
    pub table_name: String,
    /// The index, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_name: Option<String>,
    /// The status.
    pub contributor_insights_status: ContributorInsightsStatus,
    /// The last change, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_date_time: Option<Timestamp>,
    /// Why they cannot be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_exception: Option<FailureException>,
    /// The mode, if they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributor_insights_mode: Option<ContributorInsightsMode>,
}

/// A request for all of a table, or of all tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListContributorInsightsRequest {
    /// The table's name; `None`: all tables.
    pub table_name: Option<String>,
    /// Where the page begins, as the page before told.
    pub next_token: Option<String>,
    /// Most tables that the page looks at.
    pub max_results: usize,
}

/// A page of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListContributorInsightsAnswer {
    /// The tables and indexes that they were asked for.
    pub contributor_insights_summaries: Vec<ContributorInsightsSummary>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// `ContributorInsightsSummary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContributorInsightsSummary {
    /// The table's name.
    pub table_name: String,
    /// The index, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_name: Option<String>,
    /// The status.
    pub contributor_insights_status: ContributorInsightsStatus,
    /// The mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributor_insights_mode: Option<ContributorInsightsMode>,
}

impl UpdateContributorInsightsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN, an index's name of a wrong length.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<UpdateContributorInsightsRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        let action = match member::text(&body, "ContributorInsightsAction") {
            Some("DISABLE") => ContributorInsightsAction::Disable,
            _ => ContributorInsightsAction::Enable,
        };
        let mode = member::text(&body, "ContributorInsightsMode").map(|mode| match mode {
            "THROTTLED_KEYS" => ContributorInsightsMode::ThrottledKeys,
            _ => ContributorInsightsMode::AccessedAndThrottledKeys,
        });
        Ok(UpdateContributorInsightsRequest { table_name, index_name: index_name(&body)?, action, mode })
    }
}

impl DescribeContributorInsightsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN, an index's name of a wrong length.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<DescribeContributorInsightsRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        Ok(DescribeContributorInsightsRequest { table_name, index_name: index_name(&body)? })
    }
}

impl ListContributorInsightsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<ListContributorInsightsRequest, ApiError> {
        let named = body.get("TableName").is_some();
        let table_name = reading.take_table_name(&mut body)?;
        let max_results = member::integer(&body, "MaxResults").and_then(|most| usize::try_from(most).ok());
        Ok(ListContributorInsightsRequest {
            table_name: named.then_some(table_name),
            next_token: member::text(&body, "NextToken").map(str::to_owned),
            max_results: max_results.unwrap_or(LIST_PAGE_MAX).clamp(1, LIST_PAGE_MAX),
        })
    }
}

/// The member `IndexName`, whose error has a text of its own.
fn index_name(body: &Json) -> Result<Option<String>, ApiError> {
    let Some(name) = member::text(body, "IndexName") else { return Ok(None) };
    if !(3..=255).contains(&name.len()) {
        let text = "IndexName must be at least 3 characters long and at most 255 characters long";
        return Err(ApiError::validation(text));
    }
    Ok(Some(name.to_owned()))
}
