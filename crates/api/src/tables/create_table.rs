//! CreateTable. Source: docs/spec/dynamodb-api.md 2.1, streams.md 2.1.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use super::indexes::{GlobalSecondaryIndex, LocalSecondaryIndex};
use super::table_description::TableDescription;
use super::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, OnDemandThroughput, ProvisionedThroughput, SseSpecification,
    StreamSpecification, TableClass, Tag, WarmThroughput, asked, list,
};
use crate::{Reading, member};

/// Members that nothing is built for. Some belong to UpdateTable: whoever sends them here wants replicas or vector indexes, too.
const NOT_BUILT: [&str; 7] = [
    "VectorIndexes",
    "GlobalTableSourceArn",
    "GlobalTableSettingsReplicationMode",
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "VectorIndexUpdates",
];

/// The request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateTableRequest {
    /// The table's name.
    pub table_name: String,
    /// Its key attributes' types, and those of its indexes.
    pub attribute_definitions: Vec<AttributeDefinition>,
    /// Its key.
    pub key_schema: Vec<KeySchemaElement>,
    /// Its local secondary indexes; an empty list is refused.
    pub local_secondary_indexes: Option<Vec<LocalSecondaryIndex>>,
    /// Its global secondary indexes; an empty list is refused.
    pub global_secondary_indexes: Option<Vec<GlobalSecondaryIndex>>,
    /// `None`: PROVISIONED.
    pub billing_mode: Option<BillingMode>,
    /// Its units, if it is billed by units.
    pub provisioned_throughput: Option<ProvisionedThroughput>,
    /// Its stream.
    pub stream_specification: Option<StreamSpecification>,
    /// Its encryption.
    pub sse_specification: Option<SseSpecification>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its class.
    pub table_class: Option<TableClass>,
    /// Whether it refuses to be deleted.
    pub deletion_protection_enabled: Option<bool>,
    /// Its warm throughput.
    pub warm_throughput: Option<WarmThroughput>,
    /// A policy document.
    pub resource_policy: Option<String>,
    /// Its limits, if it is billed by request.
    pub on_demand_throughput: Option<OnDemandThroughput>,
    /// The names of members that ask for what nothing here is built for; the run refuses them.
    pub not_built: Vec<&'static str>,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateTableAnswer {
    /// The table as it was made.
    pub table_description: TableDescription,
}

impl CreateTableRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<CreateTableRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        let table_class = TableClass::read(&body)?;
        Ok(CreateTableRequest {
            table_name,
            attribute_definitions: list(&body, "AttributeDefinitions", AttributeDefinition::read).unwrap_or_default(),
            key_schema: list(&body, "KeySchema", KeySchemaElement::read).unwrap_or_default(),
            local_secondary_indexes: list(&body, "LocalSecondaryIndexes", LocalSecondaryIndex::read),
            global_secondary_indexes: list(&body, "GlobalSecondaryIndexes", GlobalSecondaryIndex::read),
            billing_mode: BillingMode::read(&body),
            provisioned_throughput: ProvisionedThroughput::read(&body),
            stream_specification: StreamSpecification::read(&body),
            sse_specification: SseSpecification::read(&body),
            tags: Tag::read_list(&body)?.unwrap_or_default(),
            table_class,
            deletion_protection_enabled: member::boolean(&body, "DeletionProtectionEnabled"),
            warm_throughput: WarmThroughput::read(&body),
            resource_policy: member::text(&body, "ResourcePolicy").map(str::to_owned),
            on_demand_throughput: OnDemandThroughput::read(&body),
            not_built: asked(&body, &NOT_BUILT),
        })
    }
}
