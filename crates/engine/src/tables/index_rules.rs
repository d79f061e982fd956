//! The secondary indexes that a CreateTable or an UpdateTable asks for, or what is wrong with them. Pure.
//! Source: docs/spec/dynamodb-api.md 2.1 rows 10 to 34, 8.1.

use std::collections::BTreeSet;

use tailrace_api::tables::{
    self as api, AttributeDefinition, BillingMode, CreateTableRequest, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    LocalSecondaryIndex, Projection, ProjectionType,
};
use tailrace_core::key::KeyAttribute;
use tailrace_core::limits::{GLOBAL_INDEXES_MAX, INDEX_KEY_ATTRIBUTES_MAX, LOCAL_INDEXES_MAX, NON_KEY_ATTRIBUTES_MAX};
use tailrace_core::{ApiError, IndexId, KeySchema};

use super::descriptor::Throughput;
use super::index::{Index, IndexKind, IndexProjection, IndexStatus};
use super::rules::{self, Of, invalid};

/// Rows 10 to 18: the key of the table that is to be made, against the definitions.
pub(super) fn table_key(request: &CreateTableRequest) -> Result<KeySchema, ApiError> {
    let (elements, definitions) = (&request.key_schema, &request.attribute_definitions);
    let mut seen = BTreeSet::new();
    if let Some(twice) = definitions.iter().find(|d| !seen.insert(d.attribute_name.as_str())) {
        return Err(ApiError::validation(format!("Attribute Name is duplicated: {}", twice.attribute_name)));
    }
    if elements.len() > definitions.len() {
        return Err(ApiError::validation("Invalid KeySchema: Some index key attribute have no definition"));
    }
    check_defined(elements, definitions)?;
    check_simple_key(elements)?;
    let (global, local) = (&request.global_secondary_indexes, &request.local_secondary_indexes);
    if global.is_none() && local.is_none() && elements.len() != definitions.len() {
        return Err(invalid(
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ));
    }
    if global.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("List of GlobalSecondaryIndexes is empty"));
    }
    if local.as_ref().is_some_and(Vec::is_empty) {
        return Err(invalid("List of LocalSecondaryIndexes is empty"));
    }
    let mut attributes = attributes(elements, definitions, KeyType::Hash);
    let hash = attributes.next().expect("invariant: the first element is the partition key");
    let range = self::attributes(elements, definitions, KeyType::Range).next();
    Ok(KeySchema { hash, range })
}

/// Rows 11 and 16 and 19 to 34: the indexes of the table that is to be made, local ones first; each with its number.
pub(super) fn of_new_table(request: &CreateTableRequest, key: &KeySchema) -> Result<Vec<Index>, ApiError> {
    let definitions = &request.attribute_definitions;
    let local = request.local_secondary_indexes.as_deref().unwrap_or_default();
    let global = request.global_secondary_indexes.as_deref().unwrap_or_default();
    let schemas = || local.iter().map(|index| &index.key_schema).chain(global.iter().map(|index| &index.key_schema));
    for schema in schemas() {
        check_defined(schema, definitions)?;
    }
    check_all_used(std::iter::once(&request.key_schema).chain(schemas()), definitions)?;
    let mode = request.billing_mode.unwrap_or(BillingMode::Provisioned);
    let mut indexes: Vec<Index> = Vec::with_capacity(local.len() + global.len());
    for asked in local {
        check_simple_key(&asked.key_schema)?;
        check_local_key(asked, key)?;
        let projection = projection(&asked.projection)?;
        check_name_is_free(&asked.index_name, &indexes)?;
        indexes.push(new_local(asked, definitions, projection));
    }
    if local.len() > LOCAL_INDEXES_MAX {
        let text = format!("Number of LocalSecondaryIndexes exceeds per-table limit of {LOCAL_INDEXES_MAX}");
        return Err(invalid(text));
    }
    for asked in global {
        check_global_key(&asked.key_schema)?;
        let projection = projection(&asked.projection)?;
        check_name_is_free(&asked.index_name, &indexes)?;
        check_units_are_given(asked, mode)?;
        let status = IndexStatus::Active;
        indexes.push(new_global(asked, definitions, projection, mode, status)?);
    }
    if global.len() > GLOBAL_INDEXES_MAX {
        let text = format!("GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}");
        return Err(invalid(text));
    }
    check_projected(&indexes)?;
    for (index, number) in indexes.iter_mut().zip(1..) {
        index.id = IndexId(number);
    }
    Ok(indexes)
}

/// Row 5 for the units of indexes.
pub(super) fn check_bounds<'a>(
    indexes: impl IntoIterator<Item = (&'a str, Option<api::ProvisionedThroughput>)>,
) -> Result<(), ApiError> {
    indexes.into_iter().try_for_each(|(name, units)| rules::throughput(units, Of::Index(name)).map(|_| ()))
}

/// A global index that an UpdateTable makes, without a number: what is left to check of it. `definitions`: those of the request.
pub(super) fn of_update(
    asked: &GlobalSecondaryIndex,
    definitions: &[AttributeDefinition],
    mode: BillingMode,
) -> Result<Index, ApiError> {
    check_defined(&asked.key_schema, definitions)?;
    check_global_key(&asked.key_schema)?;
    let projection = projection(&asked.projection)?;
    let name = &asked.index_name;
    match (mode, asked.provisioned_throughput) {
        (BillingMode::PayPerRequest, Some(_)) => {
            return Err(invalid(format!(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: {name} when BillingMode is \
                 PAY_PER_REQUEST"
            )));
        }
        (BillingMode::Provisioned, None) => return Err(units_are_missing(name)),
        _ => {}
    }
    new_global(asked, definitions, projection, mode, IndexStatus::Creating)
}

/// An index that UpdateTable makes or changes has no units.
pub(super) fn units_are_missing(name: &str) -> ApiError {
    invalid(format!("Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: {name}"))
}

/// Row 28: the names that all indexes of a table hold beside their keys.
pub(super) fn check_projected(indexes: &[Index]) -> Result<(), ApiError> {
    let projected: usize = indexes
        .iter()
        .map(|index| if let IndexProjection::Include(names) = &index.projection { names.len() } else { 0 })
        .sum();
    if projected > NON_KEY_ATTRIBUTES_MAX {
        let text = format!("Number of NonKeyAttributes exceeds the per-table limit of {NON_KEY_ATTRIBUTES_MAX}");
        return Err(invalid(text));
    }
    Ok(())
}

fn new_local(asked: &LocalSecondaryIndex, definitions: &[AttributeDefinition], projection: IndexProjection) -> Index {
    Index {
        id: IndexId::TABLE,
        name: asked.index_name.clone(),
        kind: IndexKind::Local,
        hash: attributes(&asked.key_schema, definitions, KeyType::Hash).collect(),
        range: attributes(&asked.key_schema, definitions, KeyType::Range).collect(),
        projection,
        status: IndexStatus::Active,
        counted: false,
        throughput: Throughput::default(),
        on_demand: None,
        warm: None,
    }
}

fn new_global(
    asked: &GlobalSecondaryIndex,
    definitions: &[AttributeDefinition],
    projection: IndexProjection,
    mode: BillingMode,
    status: IndexStatus,
) -> Result<Index, ApiError> {
    let of = Of::Index(&asked.index_name);
    let throughput = rules::throughput(asked.provisioned_throughput, of)?.unwrap_or_default();
    let limits = rules::on_demand(asked.on_demand_throughput, false, of)?;
    rules::limits_fit(limits, mode, of)?;
    let warm = rules::warm_by_billing(mode, &throughput);
    let warm = rules::warm(asked.warm_throughput, mode, &throughput, warm, of)?.unwrap_or(warm);
    Ok(Index {
        id: IndexId::TABLE,
        name: asked.index_name.clone(),
        kind: IndexKind::Global,
        hash: attributes(&asked.key_schema, definitions, KeyType::Hash).collect(),
        range: attributes(&asked.key_schema, definitions, KeyType::Range).collect(),
        projection,
        status,
        counted: false,
        throughput,
        on_demand: limits.filter(|limits| rules::first_limit(*limits).is_some()),
        warm: Some(warm),
    })
}

/// The attributes of a key schema that have this role, with their types; those that are defined.
fn attributes(
    elements: &[KeySchemaElement],
    definitions: &[AttributeDefinition],
    key_type: KeyType,
) -> impl Iterator<Item = KeyAttribute> {
    elements.iter().filter(move |element| element.key_type == key_type).filter_map(|element| {
        let definition = definitions.iter().find(|definition| definition.attribute_name == element.attribute_name)?;
        Some(KeyAttribute { name: element.attribute_name.clone(), scalar: definition.attribute_type })
    })
}

/// Row 11.
fn check_defined(elements: &[KeySchemaElement], definitions: &[AttributeDefinition]) -> Result<(), ApiError> {
    let is_defined =
        |element: &KeySchemaElement| definitions.iter().any(|d| d.attribute_name == element.attribute_name);
    if elements.iter().all(is_defined) {
        return Ok(());
    }
    let keys: Vec<&str> = elements.iter().map(|element| element.attribute_name.as_str()).collect();
    Err(invalid(format!(
        "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
        keys.join(", "),
        names(definitions)
    )))
}

/// Row 16.
fn check_all_used<'a>(
    schemas: impl Iterator<Item = &'a Vec<KeySchemaElement>>,
    definitions: &[AttributeDefinition],
) -> Result<(), ApiError> {
    let mut used: Vec<&str> = Vec::new();
    for element in schemas.flatten() {
        if !used.contains(&element.attribute_name.as_str()) {
            used.push(&element.attribute_name);
        }
    }
    if definitions.iter().all(|definition| used.contains(&definition.attribute_name.as_str())) {
        return Ok(());
    }
    Err(invalid(format!(
        "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
        names(definitions),
        used.join(", ")
    )))
}

fn names(definitions: &[AttributeDefinition]) -> String {
    let names: Vec<&str> = definitions.iter().map(|definition| definition.attribute_name.as_str()).collect();
    names.join(", ")
}

/// Rows 12 and 13 for the key of a table or of a local index.
fn check_simple_key(elements: &[KeySchemaElement]) -> Result<(), ApiError> {
    let (first, second) = (elements.first(), elements.get(1));
    if first.is_some_and(|first| second.is_some_and(|second| second.attribute_name == first.attribute_name)) {
        return Err(same_name());
    }
    if first.is_none_or(|first| first.key_type != KeyType::Hash) {
        return Err(first_is_no_hash());
    }
    if second.is_some_and(|second| second.key_type != KeyType::Range) {
        return Err(ApiError::validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"));
    }
    Ok(())
}

/// Rows 12, 13 and 34 for the key of a global index: up to four attributes of either role.
fn check_global_key(elements: &[KeySchemaElement]) -> Result<(), ApiError> {
    let mut seen = BTreeSet::new();
    if !elements.iter().all(|element| seen.insert(element.attribute_name.as_str())) {
        let is_simple = matches!(elements, [a, b] if a.key_type != b.key_type);
        return Err(if is_simple {
            same_name()
        } else {
            ApiError::validation("The KeySchema contains multiple key attributes with the same name")
        });
    }
    if elements.first().is_none_or(|first| first.key_type != KeyType::Hash) {
        return Err(first_is_no_hash());
    }
    if !elements.is_sorted_by_key(|element| element.key_type == KeyType::Range) {
        return Err(invalid("All HASH key attributes must precede RANGE key attributes in the KeySchema"));
    }
    for key_type in [KeyType::Hash, KeyType::Range] {
        if elements.iter().filter(|element| element.key_type == key_type).count() > INDEX_KEY_ATTRIBUTES_MAX {
            let name = key_type.name();
            return Err(invalid(format!("The KeySchema exceeds the maximum allowed number of {name} key attributes")));
        }
    }
    Ok(())
}

fn same_name() -> ApiError {
    ApiError::validation("Both the Hash Key and the Range Key element in the KeySchema have the same name")
}

fn first_is_no_hash() -> ApiError {
    ApiError::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
}

/// Rows 19 to 21.
fn check_local_key(asked: &LocalSecondaryIndex, key: &KeySchema) -> Result<(), ApiError> {
    if key.range.is_none() {
        return Err(invalid(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    }
    let name = &asked.index_name;
    if asked.key_schema.len() < 2 {
        return Err(invalid(format!("Index KeySchema does not have a range key for index: {name}")));
    }
    let (hash, table_hash) = (&asked.key_schema[0].attribute_name, &key.hash.name);
    if hash != table_hash {
        return Err(invalid(format!(
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: {name}. index hash \
             key: {hash}, table hash key: {table_hash}"
        )));
    }
    Ok(())
}

/// Rows 23 to 27.
fn projection(asked: &Projection) -> Result<IndexProjection, ApiError> {
    let (name, projection) = match (asked.projection_type, &asked.non_key_attributes) {
        (None, _) => return Err(invalid("Unknown ProjectionType: null")),
        (Some(ProjectionType::Include), Some(names)) => {
            let mut seen = BTreeSet::new();
            if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
                return Err(invalid(format!("Duplicate element in NonKeyAttributes: {twice}")));
            }
            return Ok(IndexProjection::Include(names.clone()));
        }
        (Some(ProjectionType::Include), None) => {
            return Err(invalid("ProjectionType is INCLUDE, but NonKeyAttributes is not specified"));
        }
        (Some(ProjectionType::All), _) => ("ALL", IndexProjection::All),
        (Some(ProjectionType::KeysOnly), _) => ("KEYS_ONLY", IndexProjection::KeysOnly),
    };
    match asked.non_key_attributes {
        Some(_) => Err(invalid(format!("ProjectionType is {name}, but NonKeyAttributes is specified"))),
        None => Ok(projection),
    }
}

/// Row 29.
fn check_name_is_free(name: &str, indexes: &[Index]) -> Result<(), ApiError> {
    if indexes.iter().any(|index| index.name == name) {
        return Err(invalid(format!("Duplicate index name: {name}")));
    }
    Ok(())
}

/// Rows 32 and 33, as CreateTable says them.
fn check_units_are_given(asked: &GlobalSecondaryIndex, mode: BillingMode) -> Result<(), ApiError> {
    let name = &asked.index_name;
    match (mode, asked.provisioned_throughput) {
        (BillingMode::PayPerRequest, Some(_)) => Err(invalid(format!(
            "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
        ))),
        (BillingMode::Provisioned, None) => {
            Err(invalid(format!("ProvisionedThroughput is not specified for index: {name}")))
        }
        _ => Ok(()),
    }
}
