//! UpdateContinuousBackups and DescribeContinuousBackups. Source: docs/spec/dynamodb-api.md 8.4.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use crate::{Reading, Timestamp};

/// `PointInTimeRecoverySpecification`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PointInTimeRecoverySpecification {
    /// Whether it is to be on.
    pub enabled: bool,
    /// How far back, days.
    pub period_days: Option<u32>,
}

/// A request for point-in-time recovery to be switched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateContinuousBackupsRequest {
    /// The table's name.
    pub table_name: String,
    /// What it is to be.
    pub specification: PointInTimeRecoverySpecification,
}

/// A request for what is set of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeContinuousBackupsRequest {
    /// The table's name.
    pub table_name: String,
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Switch {
    /// On.
    Enabled,
    /// Off.
    Disabled,
}

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContinuousBackupsAnswer {
    /// The description.
    pub continuous_backups_description: ContinuousBackupsDescription,
}

/// `ContinuousBackupsDescription`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContinuousBackupsDescription {
    /// Always on, as on AWS.
    pub continuous_backups_status: Switch,
    /// What users switch.
    pub point_in_time_recovery_description: PointInTimeRecoveryDescription,
}

/// `PointInTimeRecoveryDescription`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PointInTimeRecoveryDescription {
    /// Whether it is on.
    pub point_in_time_recovery_status: Switch,
    /// How far back, days; absent if it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_period_in_days: Option<u32>,
    /// The begin of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earliest_restorable_date_time: Option<Timestamp>,
    /// Its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_restorable_date_time: Option<Timestamp>,
}

impl UpdateContinuousBackupsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<UpdateContinuousBackupsRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        let given = body.take("PointInTimeRecoverySpecification").unwrap_or(Json::Null);
        let period = given.get("RecoveryPeriodInDays").and_then(Json::as_saturated_i32);
        let specification = PointInTimeRecoverySpecification {
            enabled: given.get("PointInTimeRecoveryEnabled").and_then(Json::as_lenient_bool).unwrap_or_default(),
            period_days: period.and_then(|days| u32::try_from(days).ok()),
        };
        Ok(UpdateContinuousBackupsRequest { table_name, specification })
    }
}

impl DescribeContinuousBackupsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<DescribeContinuousBackupsRequest, ApiError> {
        Ok(DescribeContinuousBackupsRequest { table_name: reading.take_table_name(&mut body)? })
    }
}
