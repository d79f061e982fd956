//! Secondary indexes as a table's description tells of them. Source: docs/spec/dynamodb-api.md 2.2.

use serde::Serialize;
use tailrace_core::IndexArn;

use super::indexes::Projection;
use super::table_description::{
    OnDemandThroughputDescription, ProvisionedThroughputDescription, WarmThroughputDescription,
};
use super::types::KeySchemaElement;

/// `IndexStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum IndexStatus {
    /// It is being made.
    Creating,
    /// It can be read.
    Active,
    /// Its throughput is being changed.
    Updating,
    /// It is on its way out.
    Deleting,
}

/// `GlobalSecondaryIndexDescription`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GlobalSecondaryIndexDescription {
    /// Its name.
    pub index_name: String,
    /// Its key: the attributes of the partition key first.
    pub key_schema: Vec<KeySchemaElement>,
    /// What it holds.
    pub projection: Projection,
    /// How far it is.
    pub index_status: IndexStatus,
    /// Whether items from before it are being entered; only of one that an UpdateTable makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfilling: Option<bool>,
    /// Its units; zero if its table is billed by request.
    pub provisioned_throughput: ProvisionedThroughputDescription,
    /// Bytes of its entries.
    pub index_size_bytes: u64,
    /// Its entries.
    pub item_count: u64,
    /// Its ARN.
    pub index_arn: IndexArn,
    /// Its limits, if any were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_demand_throughput: Option<OnDemandThroughputDescription>,
    /// The throughput that it can take at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_throughput: Option<WarmThroughputDescription>,
}

/// `LocalSecondaryIndexDescription`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LocalSecondaryIndexDescription {
    /// Its name.
    pub index_name: String,
    /// Its key: the table's partition key, and its sort key.
    pub key_schema: Vec<KeySchemaElement>,
    /// What it holds.
    pub projection: Projection,
    /// Bytes of its entries.
    pub index_size_bytes: u64,
    /// Its entries.
    pub item_count: u64,
    /// Its ARN.
    pub index_arn: IndexArn,
}
