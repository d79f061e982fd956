//! The key of a table and those of its secondary indexes.

use tailrace_api::tables::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection,
    ProjectionType,
};
use tailrace_core::limits::INDEX_KEY_ATTRIBUTES_MAX;
use tailrace_core::model::is_table_name;

use crate::TemplateError;
use crate::plan::InsightsPlan;
use crate::properties::Properties;
use crate::settings::insights;
use crate::table::{on_demand, throughput, units, warm};

/// Attributes that one index takes up beside the keys, at most. Source: docs/spec/dynamodb-api.md 8.1.
const NON_KEY_ATTRIBUTES_OF_AN_INDEX_MAX: usize = 20;

/// The elements of a `KeySchema`.
pub(crate) fn key_schema(properties: &mut Properties<'_>) -> Result<Vec<KeySchemaElement>, TemplateError> {
    let mut key_schema = Vec::new();
    for mut element in properties.maps("KeySchema")?.ok_or_else(|| properties.missing("KeySchema"))? {
        let attribute_name = element.required_text("AttributeName")?;
        let kind = element.word("KeyType", &[("HASH", KeyType::Hash), ("RANGE", KeyType::Range)])?;
        let key_type = kind.ok_or_else(|| element.missing("KeyType"))?;
        key_schema.push(KeySchemaElement { attribute_name, key_type });
        element.finish();
    }
    Ok(key_schema)
}

/// The global secondary indexes, in the order of the text, and the contributor insights that they ask for.
/// `pay_per_request`: how the table is billed, and so they.
pub(crate) fn global(
    properties: &mut Properties<'_>,
    pay_per_request: bool,
) -> Result<(Vec<GlobalSecondaryIndex>, Vec<InsightsPlan>), TemplateError> {
    let (mut indexes, mut all_insights): (Vec<GlobalSecondaryIndex>, _) = (Vec::new(), Vec::new());
    for mut given in properties.maps("GlobalSecondaryIndexes")?.unwrap_or_default() {
        let index_name = index_name(&mut given, indexes.iter().map(|index| index.index_name.as_str()))?;
        let key_schema = key_schema(&mut given)?;
        let count = |kind: KeyType| key_schema.iter().filter(|element| element.key_type == kind).count();
        let (hash, range) = (count(KeyType::Hash), count(KeyType::Range));
        let in_order = key_schema.iter().take(hash).all(|element| element.key_type == KeyType::Hash);
        if !in_order || !(1..=INDEX_KEY_ATTRIBUTES_MAX).contains(&hash) || range > INDEX_KEY_ATTRIBUTES_MAX {
            let message = format!(
                "one to {INDEX_KEY_ATTRIBUTES_MAX} HASH keys, and at most {INDEX_KEY_ATTRIBUTES_MAX} RANGE keys \
                 behind them"
            );
            return Err(TemplateError::at(given.at("KeySchema"), message));
        }
        let projection = projection(&mut given)?;
        let mut provisioned_throughput = throughput(&mut given)?;
        if pay_per_request && provisioned_throughput.take().is_some() {
            given.skip("ProvisionedThroughput", "not applied: the table is billed per request");
        }
        if !pay_per_request && provisioned_throughput.is_none() {
            let why =
                "AWS refuses an index of a PROVISIONED table without it; it has the units that it had, or 5 of each";
            given.skip("ProvisionedThroughput", why);
        }
        let on_demand_throughput =
            units(&mut given, "OnDemandThroughput", ["MaxReadRequestUnits", "MaxWriteRequestUnits"], [1, 1])?;
        if !pay_per_request && on_demand_throughput.is_some() {
            let message = "an index of a table that is PROVISIONED has none";
            return Err(TemplateError::at(given.at("OnDemandThroughput"), message));
        }
        let warm_throughput =
            units(&mut given, "WarmThroughput", ["ReadUnitsPerSecond", "WriteUnitsPerSecond"], [1, 1])?;
        all_insights.extend(insights(&mut given, Some(&index_name))?);
        given.finish();
        indexes.push(GlobalSecondaryIndex {
            index_name,
            key_schema,
            projection,
            provisioned_throughput,
            on_demand_throughput: on_demand_throughput.map(on_demand),
            warm_throughput: warm_throughput.map(warm),
        });
    }
    Ok((indexes, all_insights))
}

/// The local secondary indexes of a table with this key, in the order of the text.
pub(crate) fn local(
    properties: &mut Properties<'_>,
    table_key: &[KeySchemaElement],
) -> Result<Vec<LocalSecondaryIndex>, TemplateError> {
    let mut indexes: Vec<LocalSecondaryIndex> = Vec::new();
    for mut given in properties.maps("LocalSecondaryIndexes")?.unwrap_or_default() {
        let index_name = index_name(&mut given, indexes.iter().map(|index| index.index_name.as_str()))?;
        let key_schema = key_schema(&mut given)?;
        let roles: Vec<KeyType> = key_schema.iter().map(|element| element.key_type).collect();
        if roles != [KeyType::Hash, KeyType::Range] || key_schema.first() != table_key.first() {
            let message = "the table's HASH key, and one RANGE key behind it";
            return Err(TemplateError::at(given.at("KeySchema"), message));
        }
        let projection = projection(&mut given)?;
        given.finish();
        indexes.push(LocalSecondaryIndex { index_name, key_schema, projection });
    }
    Ok(indexes)
}

fn index_name<'a>(
    given: &mut Properties<'_>,
    mut others: impl Iterator<Item = &'a str>,
) -> Result<String, TemplateError> {
    let name = given.required_text("IndexName")?;
    if !is_table_name(&name) {
        let message = format!(
            "an index's name has 3 to 255 of the characters a-z, A-Z, 0-9, `_`, `-` and `.`, and {name:?} has not"
        );
        return Err(TemplateError::at(given.at("IndexName"), message));
    }
    if others.any(|other| other == name) {
        return Err(TemplateError::at(given.at("IndexName"), format!("there are two indexes {name}")));
    }
    Ok(name)
}

fn projection(given: &mut Properties<'_>) -> Result<Projection, TemplateError> {
    let mut projection = given.map("Projection")?.ok_or_else(|| given.missing("Projection"))?;
    let types =
        [("ALL", ProjectionType::All), ("KEYS_ONLY", ProjectionType::KeysOnly), ("INCLUDE", ProjectionType::Include)];
    let kind = projection.word("ProjectionType", &types)?.ok_or_else(|| projection.missing("ProjectionType"))?;
    let names = projection.texts("NonKeyAttributes")?.filter(|names| !names.is_empty());
    let non_key_attributes = match (kind, names) {
        (ProjectionType::Include, None) => return Err(projection.missing("NonKeyAttributes")),
        (ProjectionType::Include, Some(names)) if names.len() > NON_KEY_ATTRIBUTES_OF_AN_INDEX_MAX => {
            let message = format!("there are more than {}", NON_KEY_ATTRIBUTES_OF_AN_INDEX_MAX);
            return Err(TemplateError::at(projection.at("NonKeyAttributes"), message));
        }
        (ProjectionType::Include, names) => names,
        (_, Some(_)) => {
            let message = "only a projection of the type INCLUDE names attributes";
            return Err(TemplateError::at(projection.at("NonKeyAttributes"), message));
        }
        (_, None) => None,
    };
    projection.finish();
    Ok(Projection { projection_type: Some(kind), non_key_attributes })
}

/// A key, and where the template has it.
pub(crate) struct PlacedKey<'a> {
    /// The property of the table.
    pub property: &'static str,
    /// The index; `None`: the table itself.
    pub index: Option<&'a str>,
    /// Its elements.
    pub elements: &'a [KeySchemaElement],
}

/// Every attribute that a key names must be defined, and every one that is defined be in a key. `path`: the table's properties.
pub(crate) fn check_definitions(
    path: &str,
    defined: &[AttributeDefinition],
    keys: &[PlacedKey<'_>],
) -> Result<(), TemplateError> {
    let is_used = |name: &str| keys.iter().any(|key| key.elements.iter().any(|element| element.attribute_name == name));
    if let Some(unused) = defined.iter().find(|definition| !is_used(&definition.attribute_name)) {
        let message = format!("{} is defined, and no key uses it", unused.attribute_name);
        return Err(TemplateError::at(format!("{path}.AttributeDefinitions"), message));
    }
    for PlacedKey { property, index, elements } in keys {
        let undefined = |element: &&KeySchemaElement| {
            defined.iter().all(|definition| definition.attribute_name != element.attribute_name)
        };
        if let Some(missing) = elements.iter().find(undefined) {
            let of_index = index.map(|index| format!(" of the index {index}")).unwrap_or_default();
            let message = format!("{}{of_index} is not in AttributeDefinitions", missing.attribute_name);
            return Err(TemplateError::at(format!("{path}.{property}"), message));
        }
    }
    Ok(())
}
