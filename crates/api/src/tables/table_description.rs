//! The table description that the table operations answer. Source: docs/spec/dynamodb-api.md 2.2.
//!
//! Optional members are absent rather than null.

use serde::Serialize;
use tailrace_core::{StreamArn, TableArn};

use super::index_description::{GlobalSecondaryIndexDescription, LocalSecondaryIndexDescription};
use super::types::{AttributeDefinition, BillingMode, KeySchemaElement, SseType, StreamSpecification, TableClass};
use crate::Timestamp;

/// `TableStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TableStatus {
    /// It is being made.
    Creating,
    /// It can be used.
    Active,
    /// It is being changed.
    Updating,
    /// It is on its way out.
    Deleting,
}

/// `TableDescription`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableDescription {
    /// The types of the key attributes; absent of a table that goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute_definitions: Option<Vec<AttributeDefinition>>,
    /// The name.
    pub table_name: String,
    /// The key; absent of a table that goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_schema: Option<Vec<KeySchemaElement>>,
    /// The status.
    pub table_status: TableStatus,
    /// When it was created; absent of a table that goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_date_time: Option<Timestamp>,
    /// Its units; zero if it is billed by request.
    pub provisioned_throughput: ProvisionedThroughputDescription,
    /// Bytes of its items.
    pub table_size_bytes: u64,
    /// Its items.
    pub item_count: u64,
    /// Its ARN.
    pub table_arn: TableArn,
    /// Its uuid: another one if it is made again.
    pub table_id: String,
    /// Its local secondary indexes, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_secondary_indexes: Option<Vec<LocalSecondaryIndexDescription>>,
    /// Its global secondary indexes, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_secondary_indexes: Option<Vec<GlobalSecondaryIndexDescription>>,
    /// How it is billed, if it was ever billed by request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_mode_summary: Option<BillingModeSummary>,
    /// The same under an older name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_throughput_mode_summary: Option<TableThroughputModeSummary>,
    /// The throughput that it can take at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_throughput: Option<WarmThroughputDescription>,
    /// Its limits, if any were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand_throughput: Option<OnDemandThroughputDescription>,
    /// Whether it refuses to be deleted.
    pub deletion_protection_enabled: bool,
    /// Its encryption, if another one than the default was asked for.
    #[serde(rename = "SSEDescription", skip_serializing_if = "Option::is_none")]
    pub sse_description: Option<SseDescription>,
    /// Its class, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_class_summary: Option<TableClassSummary>,
    /// Its enabled stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_specification: Option<StreamSpecification>,
    /// The label of its latest stream, enabled or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_stream_label: Option<String>,
    /// The ARN of that stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_stream_arn: Option<StreamArn>,
}

/// `ProvisionedThroughputDescription`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProvisionedThroughputDescription {
    /// The last increase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_increase_date_time: Option<Timestamp>,
    /// The last decrease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_decrease_date_time: Option<Timestamp>,
    /// Decreases on this UTC day.
    pub number_of_decreases_today: u32,
    /// Units of reading.
    pub read_capacity_units: i64,
    /// Units of writing.
    pub write_capacity_units: i64,
}

/// `BillingModeSummary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BillingModeSummary {
    /// The mode.
    pub billing_mode: BillingMode,
    /// The last change to PAY_PER_REQUEST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_to_pay_per_request_date_time: Option<Timestamp>,
}

/// `TableThroughputModeSummary`: the service answers it, though its model does not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableThroughputModeSummary {
    /// The mode.
    pub table_throughput_mode: BillingMode,
    /// The last change to PAY_PER_REQUEST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_to_pay_per_request_date_time: Option<Timestamp>,
}

/// `WarmThroughput` of a description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct WarmThroughputDescription {
    /// Units of reading.
    pub read_units_per_second: i64,
    /// Units of writing.
    pub write_units_per_second: i64,
    /// Always ACTIVE.
    pub status: TableStatus,
}

/// `OnDemandThroughput` of a description: only limits that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct OnDemandThroughputDescription {
    /// Units of reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_read_request_units: Option<i64>,
    /// Units of writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_write_request_units: Option<i64>,
}

/// `TableClassSummary`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableClassSummary {
    /// The class.
    pub table_class: TableClass,
    /// When it was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_date_time: Option<Timestamp>,
}

/// `SSEStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SseStatus {
    /// With the key that is named.
    Enabled,
    /// It is being changed.
    Updating,
}

/// `SSEDescription`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SseDescription {
    /// The status.
    pub status: SseStatus,
    /// Always KMS, if there is a key.
    #[serde(rename = "SSEType", skip_serializing_if = "Option::is_none")]
    pub sse_type: Option<SseType>,
    /// The key's ARN.
    #[serde(rename = "KMSMasterKeyArn", skip_serializing_if = "Option::is_none")]
    pub kms_master_key_arn: Option<String>,
}
