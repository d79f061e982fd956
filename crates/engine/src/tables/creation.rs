//! The table that a CreateTable asks for, or what is wrong with the request. Pure.
//! Source: docs/spec/dynamodb-api.md 2.1, streams.md 2.1.

use std::collections::BTreeSet;

use tailrace_api::tables::{AttributeDefinition, BillingMode, CreateTableRequest, KeySchemaElement, KeyType};
use tailrace_core::key::KeyAttribute;
use tailrace_core::{ApiError, EpochMs, KeySchema, TableId, ViewType};

use super::descriptor::{Billing, Table, TableClassSetting};
use super::rules::{self, invalid, not_built};

/// The table without its number and its stream, and the view type of its stream.
pub(crate) fn plan(
    request: &CreateTableRequest,
    uuid: String,
    now_ms: EpochMs,
) -> Result<(Table, Option<ViewType>), ApiError> {
    let mode = request.billing_mode.unwrap_or(BillingMode::Provisioned);
    let given = request.provisioned_throughput.is_some();
    if mode == BillingMode::PayPerRequest && given {
        return Err(rules::units_on_demand());
    }
    if mode == BillingMode::Provisioned && !given {
        return Err(invalid(
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ));
    }
    let throughput = rules::throughput(request.provisioned_throughput)?.unwrap_or_default();
    let limits = rules::on_demand(request.on_demand_throughput, false)?;
    if let (BillingMode::Provisioned, Some(member)) = (mode, limits.and_then(rules::first_limit)) {
        return Err(invalid(format!(
            "{member} for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED."
        )));
    }
    let warm = rules::warm_by_billing(mode, &throughput);
    let warm = rules::warm(request.warm_throughput, mode, &throughput, warm)?.unwrap_or(warm);
    let key = key(request)?;
    let view = view(request)?;
    rules::sse(request.sse_specification.as_ref())?;
    if let Some(member) = first_not_built(request) {
        return Err(not_built(member));
    }

    let mut table = Table::new(request.table_name.clone(), TableId(0), uuid, now_ms, key);
    if mode == BillingMode::Provisioned {
        table.billing = Billing { mode, on_demand_since_ms: None };
    }
    table.warm = warm;
    table.throughput = throughput;
    table.on_demand = limits.filter(|limits| rules::first_limit(*limits).is_some());
    table.deletion_protection = request.deletion_protection_enabled.unwrap_or(false);
    table.class = request.table_class.map(|class| TableClassSetting { class, updated_ms: Some(now_ms) });
    Ok((table, view))
}

fn first_not_built(request: &CreateTableRequest) -> Option<&'static str> {
    // Lists of indexes that are empty are refused before.
    let asked = [
        ("GlobalSecondaryIndexes", request.global_secondary_indexes.is_some()),
        ("LocalSecondaryIndexes", request.local_secondary_indexes.is_some()),
        ("Tags", !request.tags.is_empty()),
        ("ResourcePolicy", request.resource_policy.is_some()),
    ];
    let first = asked.into_iter().find(|(_, asked)| *asked).map(|(member, _)| member);
    first.or_else(|| request.not_built.first().copied())
}

/// Rows 10 to 18: the key schema against the definitions.
fn key(request: &CreateTableRequest) -> Result<KeySchema, ApiError> {
    let (elements, definitions) = (&request.key_schema, &request.attribute_definitions);
    let mut seen = BTreeSet::new();
    if let Some(twice) = definitions.iter().find(|d| !seen.insert(d.attribute_name.as_str())) {
        return Err(ApiError::validation(format!("Attribute Name is duplicated: {}", twice.attribute_name)));
    }
    if elements.len() > definitions.len() {
        return Err(ApiError::validation("Invalid KeySchema: Some index key attribute have no definition"));
    }
    let mut attributes = Vec::with_capacity(2);
    for element in elements {
        match definition(definitions, element) {
            Some(definition) => attributes
                .push(KeyAttribute { name: element.attribute_name.clone(), scalar: definition.attribute_type }),
            None => return Err(undefined(elements, definitions)),
        }
    }
    let (Some(hash), second) = (elements.first(), elements.get(1)) else {
        return Err(ApiError::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
    };
    if second.is_some_and(|second| second.attribute_name == hash.attribute_name) {
        return Err(ApiError::validation(
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ));
    }
    if hash.key_type != KeyType::Hash {
        return Err(ApiError::validation("Invalid KeySchema: The first KeySchemaElement is not a HASH key type"));
    }
    if second.is_some_and(|second| second.key_type != KeyType::Range) {
        return Err(ApiError::validation("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type"));
    }
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
    let mut attributes = attributes.into_iter();
    let hash = attributes.next().expect("invariant: there is a first element");
    Ok(KeySchema { hash, range: attributes.next() })
}

fn definition<'a>(
    definitions: &'a [AttributeDefinition],
    element: &KeySchemaElement,
) -> Option<&'a AttributeDefinition> {
    definitions.iter().find(|definition| definition.attribute_name == element.attribute_name)
}

/// Row 11.
fn undefined(elements: &[KeySchemaElement], definitions: &[AttributeDefinition]) -> ApiError {
    let keys: Vec<&str> = elements.iter().map(|element| element.attribute_name.as_str()).collect();
    let defined: Vec<&str> = definitions.iter().map(|definition| definition.attribute_name.as_str()).collect();
    invalid(format!(
        "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
        keys.join(", "),
        defined.join(", ")
    ))
}

/// The view type of the stream that the table is created with. streams.md 2.1.
fn view(request: &CreateTableRequest) -> Result<Option<ViewType>, ApiError> {
    let Some(stream) = request.stream_specification else { return Ok(None) };
    match (stream.stream_enabled, stream.stream_view_type) {
        (false, None) => Ok(None),
        (false, Some(_)) => {
            Err(invalid("Table is being created with a stream disabled, UpdateViewType should not be specified"))
        }
        (true, None) => Err(invalid("Table is being created with a stream enabled, UpdateViewType is required")),
        (true, view) => Ok(view),
    }
}
