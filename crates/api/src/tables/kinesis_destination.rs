//! The operations on a table's Kinesis streaming destination. Source: docs/spec/dynamodb-api.md 8.6.

use serde::{Deserialize, Serialize};
use tailrace_core::{ApiError, Json};

use crate::{Reading, member};

/// `ApproximateCreationDateTimePrecision`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TimePrecision {
    /// Milliseconds since the epoch.
    #[default]
    Millisecond,
    /// Microseconds; commits are timed in milliseconds, so that the last three digits are zeros.
    Microsecond,
}

impl TimePrecision {
    /// All of them.
    pub const ALL: [TimePrecision; 2] = [TimePrecision::Millisecond, TimePrecision::Microsecond];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TimePrecision::Millisecond => "MILLISECOND",
            TimePrecision::Microsecond => "MICROSECOND",
        }
    }
}

/// `EnableKinesisStreamingConfiguration` and `UpdateKinesisStreamingConfiguration`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KinesisStreamingConfiguration {
    /// How exact the times of the records are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate_creation_date_time_precision: Option<TimePrecision>,
}

impl KinesisStreamingConfiguration {
    fn read(body: &Json, name: &str) -> Option<KinesisStreamingConfiguration> {
        let given = body.get(name)?;
        let precision = member::text(given, "ApproximateCreationDateTimePrecision").map(|precision| match precision {
            "MICROSECOND" => TimePrecision::Microsecond,
            _ => TimePrecision::Millisecond,
        });
        Some(KinesisStreamingConfiguration { approximate_creation_date_time_precision: precision })
    }
}

/// A request that switches a destination on or off, or changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KinesisStreamingDestinationRequest {
    /// The table's name.
    pub table_name: String,
    /// The stream's ARN.
    pub stream_arn: String,
    /// How it is to be filled; `None`: it was not sent.
    pub configuration: Option<KinesisStreamingConfiguration>,
}

/// `DestinationStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DestinationStatus {
    /// It is being switched on.
    Enabling,
    /// Changes are delivered.
    Active,
    /// How exact times are is being changed.
    Updating,
    /// It is being switched off.
    Disabling,
    /// Nothing is delivered any more.
    Disabled,
    /// It could not be switched on.
    EnableFailed,
}

/// What becomes of a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KinesisStreamingDestinationAnswer {
    /// The table's name.
    pub table_name: String,
    /// The stream's ARN.
    pub stream_arn: String,
    /// The status.
    pub destination_status: DestinationStatus,
    /// As it was sent.
    pub enable_kinesis_streaming_configuration: KinesisStreamingConfiguration,
}

/// What becomes of a destination that is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateKinesisStreamingDestinationAnswer {
    /// The table's name.
    pub table_name: String,
    /// The stream's ARN.
    pub stream_arn: String,
    /// The status.
    pub destination_status: DestinationStatus,
    /// As it was sent.
    pub update_kinesis_streaming_configuration: KinesisStreamingConfiguration,
}

/// A request for a table's destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribeKinesisStreamingDestinationRequest {
    /// The table's name.
    pub table_name: String,
}

/// A table's destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeKinesisStreamingDestinationAnswer {
    /// The table's name.
    pub table_name: String,
    /// The destinations.
    pub kinesis_data_stream_destinations: Vec<KinesisDataStreamDestination>,
}

/// `KinesisDataStreamDestination`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KinesisDataStreamDestination {
    /// The stream's ARN.
    pub stream_arn: String,
    /// The status.
    pub destination_status: DestinationStatus,
    /// What the status means, where it does not say so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_status_description: Option<String>,
    /// How exact the times of the records are, if that was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate_creation_date_time_precision: Option<TimePrecision>,
}

impl KinesisStreamingDestinationRequest {
    /// Reads a body of EnableKinesisStreamingDestination or DisableKinesisStreamingDestination whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN of the table.
    pub fn read(body: Json, reading: &Reading<'_>) -> Result<KinesisStreamingDestinationRequest, ApiError> {
        read(body, reading, "EnableKinesisStreamingConfiguration")
    }

    /// Reads a body of UpdateKinesisStreamingDestination whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN of the table.
    pub fn read_update(body: Json, reading: &Reading<'_>) -> Result<KinesisStreamingDestinationRequest, ApiError> {
        read(body, reading, "UpdateKinesisStreamingConfiguration")
    }
}

fn read(
    mut body: Json,
    reading: &Reading<'_>,
    configuration: &str,
) -> Result<KinesisStreamingDestinationRequest, ApiError> {
    Ok(KinesisStreamingDestinationRequest {
        table_name: reading.take_table_name(&mut body)?,
        stream_arn: member::text(&body, "StreamArn").unwrap_or_default().to_owned(),
        configuration: KinesisStreamingConfiguration::read(&body, configuration),
    })
}

impl DescribeKinesisStreamingDestinationRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A foreign or malformed ARN.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<DescribeKinesisStreamingDestinationRequest, ApiError> {
        Ok(DescribeKinesisStreamingDestinationRequest { table_name: reading.take_table_name(&mut body)? })
    }
}
