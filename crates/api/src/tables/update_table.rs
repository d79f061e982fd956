//! UpdateTable. Source: docs/spec/dynamodb-api.md 2.3, streams.md 2.2.

use serde::Serialize;
use tailrace_core::{ApiError, Json};

use super::indexes::GlobalSecondaryIndexUpdate;
use super::table_description::TableDescription;
use super::types::{
    AttributeDefinition, BillingMode, OnDemandThroughput, ProvisionedThroughput, SseSpecification, StreamSpecification,
    TableClass, WarmThroughput, asked, list,
};
use crate::{Reading, member};

/// Members that nothing is built for.
const NOT_BUILT: [&str; 7] = [
    "ReplicaUpdates",
    "MultiRegionConsistency",
    "GlobalTableWitnessUpdates",
    "GlobalTableSettingsReplicationMode",
    "DisassociationProtectionEnabled",
    "VectorIndexUpdates",
    "VectorIndexes",
];

/// The request: what is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateTableRequest {
    /// The table's name.
    pub table_name: String,
    /// The types of the attributes of new indexes' keys.
    pub attribute_definitions: Vec<AttributeDefinition>,
    /// How it is billed.
    pub billing_mode: Option<BillingMode>,
    /// Its units.
    pub provisioned_throughput: Option<ProvisionedThroughput>,
    /// Its stream.
    pub stream_specification: Option<StreamSpecification>,
    /// Its encryption.
    pub sse_specification: Option<SseSpecification>,
    /// Its class.
    pub table_class: Option<TableClass>,
    /// Whether it refuses to be deleted.
    pub deletion_protection_enabled: Option<bool>,
    /// Its limits; -1 takes one away.
    pub on_demand_throughput: Option<OnDemandThroughput>,
    /// Its warm throughput.
    pub warm_throughput: Option<WarmThroughput>,
    /// Its global secondary indexes; an empty list that was sent is there.
    pub global_secondary_index_updates: Option<Vec<GlobalSecondaryIndexUpdate>>,
    /// The names of members that ask for what nothing here is built for; the run refuses them.
    pub not_built: Vec<&'static str>,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateTableAnswer {
    /// The table, with its old throughput and class.
    pub table_description: TableDescription,
}

impl UpdateTableRequest {
    /// A change of nothing yet.
    pub fn of(table_name: impl Into<String>) -> UpdateTableRequest {
        UpdateTableRequest { table_name: table_name.into(), ..UpdateTableRequest::default() }
    }

    /// What is to change of its global secondary indexes.
    pub fn index_updates(&self) -> &[GlobalSecondaryIndexUpdate] {
        self.global_secondary_index_updates.as_deref().unwrap_or_default()
    }

    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<UpdateTableRequest, ApiError> {
        let table_name = reading.take_table_name(&mut body)?;
        let table_class = TableClass::read(&body)?;
        let updates = list(&body, "GlobalSecondaryIndexUpdates", GlobalSecondaryIndexUpdate::read);
        Ok(UpdateTableRequest {
            table_name,
            attribute_definitions: list(&body, "AttributeDefinitions", AttributeDefinition::read).unwrap_or_default(),
            billing_mode: BillingMode::read(&body),
            provisioned_throughput: ProvisionedThroughput::read(&body),
            stream_specification: StreamSpecification::read(&body),
            sse_specification: SseSpecification::read(&body),
            table_class,
            deletion_protection_enabled: member::boolean(&body, "DeletionProtectionEnabled"),
            on_demand_throughput: OnDemandThroughput::read(&body),
            warm_throughput: WarmThroughput::read(&body),
            global_secondary_index_updates: updates,
            not_built: asked(&body, &NOT_BUILT),
        })
    }
}
