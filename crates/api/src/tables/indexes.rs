//! Secondary indexes as requests ask for them.

use serde::Serialize;
use tailrace_core::Json;

use super::types::{KeySchemaElement, OnDemandThroughput, ProvisionedThroughput, WarmThroughput, list};
use crate::member;

/// `ProjectionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProjectionType {
    /// Every attribute.
    All,
    /// The keys.
    KeysOnly,
    /// The keys and the attributes that are named.
    Include,
}

/// `Projection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Projection {
    /// Which attributes the index holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_type: Option<ProjectionType>,
    /// Those beside the keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub non_key_attributes: Option<Vec<String>>,
}

impl Projection {
    fn read(index: &Json) -> Option<Projection> {
        let given = index.get("Projection")?;
        let projection_type = member::text(given, "ProjectionType").and_then(|text| match text {
            "ALL" => Some(ProjectionType::All),
            "KEYS_ONLY" => Some(ProjectionType::KeysOnly),
            "INCLUDE" => Some(ProjectionType::Include),
            _ => None,
        });
        let non_key_attributes = list(given, "NonKeyAttributes", |name| name.as_str().map(str::to_owned));
        Some(Projection { projection_type, non_key_attributes })
    }
}

/// `LocalSecondaryIndex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSecondaryIndex {
    /// Its name.
    pub index_name: String,
    /// Its key.
    pub key_schema: Vec<KeySchemaElement>,
    /// What it holds.
    pub projection: Projection,
}

impl LocalSecondaryIndex {
    /// Reads an element of `LocalSecondaryIndexes`.
    pub(crate) fn read(index: &Json) -> Option<LocalSecondaryIndex> {
        Some(LocalSecondaryIndex {
            index_name: index_name(index)?,
            key_schema: list(index, "KeySchema", KeySchemaElement::read)?,
            projection: Projection::read(index)?,
        })
    }
}

/// `GlobalSecondaryIndex`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalSecondaryIndex {
    /// Its name.
    pub index_name: String,
    /// Its key.
    pub key_schema: Vec<KeySchemaElement>,
    /// What it holds.
    pub projection: Projection,
    /// Its units, if the table is billed by units.
    pub provisioned_throughput: Option<ProvisionedThroughput>,
    /// Its limits, if the table is billed by request.
    pub on_demand_throughput: Option<OnDemandThroughput>,
    /// Its warm throughput.
    pub warm_throughput: Option<WarmThroughput>,
}

/// `Create` of a `GlobalSecondaryIndexUpdate`.
pub type CreateGlobalSecondaryIndexAction = GlobalSecondaryIndex;

impl GlobalSecondaryIndex {
    /// Reads an element of `GlobalSecondaryIndexes`.
    pub(crate) fn read(index: &Json) -> Option<GlobalSecondaryIndex> {
        Some(GlobalSecondaryIndex {
            index_name: index_name(index)?,
            key_schema: list(index, "KeySchema", KeySchemaElement::read)?,
            projection: Projection::read(index)?,
            provisioned_throughput: ProvisionedThroughput::read(index),
            on_demand_throughput: OnDemandThroughput::read(index),
            warm_throughput: WarmThroughput::read(index),
        })
    }
}

/// `Update` of a `GlobalSecondaryIndexUpdate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateGlobalSecondaryIndexAction {
    /// The index.
    pub index_name: String,
    /// Its new units.
    pub provisioned_throughput: Option<ProvisionedThroughput>,
    /// Its new limits.
    pub on_demand_throughput: Option<OnDemandThroughput>,
    /// Its new warm throughput.
    pub warm_throughput: Option<WarmThroughput>,
}

/// `Delete` of a `GlobalSecondaryIndexUpdate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteGlobalSecondaryIndexAction {
    /// The index.
    pub index_name: String,
}

/// `GlobalSecondaryIndexUpdate`: whatever of the three was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobalSecondaryIndexUpdate {
    /// A change of an index.
    pub update: Option<UpdateGlobalSecondaryIndexAction>,
    /// A new index.
    pub create: Option<CreateGlobalSecondaryIndexAction>,
    /// The end of an index.
    pub delete: Option<DeleteGlobalSecondaryIndexAction>,
}

impl GlobalSecondaryIndexUpdate {
    /// Reads an element of `GlobalSecondaryIndexUpdates`.
    pub(crate) fn read(update: &Json) -> Option<GlobalSecondaryIndexUpdate> {
        Some(GlobalSecondaryIndexUpdate {
            update: update.get("Update").and_then(|index| {
                Some(UpdateGlobalSecondaryIndexAction {
                    index_name: index_name(index)?,
                    provisioned_throughput: ProvisionedThroughput::read(index),
                    on_demand_throughput: OnDemandThroughput::read(index),
                    warm_throughput: WarmThroughput::read(index),
                })
            }),
            create: update.get("Create").and_then(GlobalSecondaryIndex::read),
            delete: update
                .get("Delete")
                .and_then(|index| Some(DeleteGlobalSecondaryIndexAction { index_name: index_name(index)? })),
        })
    }
}

fn index_name(index: &Json) -> Option<String> {
    member::text(index, "IndexName").map(str::to_owned)
}
