//! BatchGetItem. Source: docs/spec/dynamodb-api.md 7.1.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::codec::stored_size;
use tailrace_core::limits::{BATCH_GET_BYTES_MAX, BATCH_GET_KEYS_MAX};
use tailrace_core::{ApiError, Item, Json};

use super::Request;
use super::consumed_capacity::{CapacityDetail, ConsumedCapacity, read_units};
use super::expression_parameters::ExpressionMaps;
use super::get_item::{PROJECTION_ONLY, item_key};
use super::shown::Shown;
use super::stored_json::AnsweredItem;
use super::words::Words;
use crate::db::Db;
use crate::failure::store_failure;

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchGetItemOutput {
    responses: BTreeMap<String, Vec<AnsweredItem>>,
    unprocessed_keys: BTreeMap<String, KeysAndAttributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

/// What of a table is still to be read, in the form of a request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeysAndAttributes {
    keys: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes_to_get: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistent_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    projection_expression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expression_attribute_names: Option<BTreeMap<String, String>>,
}

/// One part of the request: a table, which another part may mean too, by its ARN.
struct TablePart {
    /// The table as it was sent: what is left over goes back under it, so that no part hides another's.
    sent: String,
    name: String,
    shown: Shown,
    rest: KeysAndAttributes,
}

/// Runs BatchGetItem.
pub(crate) async fn batch_get_item(db: &Db, mut request: Request<'_>) -> Result<BatchGetItemOutput, ApiError> {
    let words = Words::of_read(db.settings().wording);
    let capacity = CapacityDetail::of(&request.body);
    let mut parts = Vec::new();
    if let Some(Json::Object(tables)) = request.body.take("RequestItems") {
        check_mixing(&tables, words)?;
        for (table, part) in tables {
            let name = crate::names::table_name(db.settings(), &table)?.to_owned();
            parts.push(TablePart::read(table, name, part, words)?);
        }
    }
    if parts.iter().map(|part| part.rest.keys.len()).sum::<usize>() > BATCH_GET_KEYS_MAX {
        return Err(ApiError::validation("Too many items requested for the BatchGetItem call"));
    }
    let mut keys = Vec::new();
    let mut seen = HashSet::new();
    for part in &parts {
        let table = db.table(&part.name).await?;
        part.shown.check_key_paths(&table.key)?;
        for key in &part.rest.keys {
            let key = item_key(&table, key)?;
            if !seen.insert(key.clone()) {
                return Err(ApiError::validation("Provided list of item keys contains duplicates"));
            }
            keys.push(key);
        }
    }
    let values = db.store().get(&keys).await.map_err(|e| store_failure(&e))?;
    let mut values = values.into_iter();
    let mut output = BatchGetItemOutput::default();
    let mut charged: BTreeMap<String, f64> = BTreeMap::new();
    let mut bytes_read = 0;
    for mut part in parts {
        let mut units = 0.0;
        let mut left = Vec::new();
        let items = output.responses.entry(part.name.clone()).or_default();
        for (key, value) in std::mem::take(&mut part.rest.keys).into_iter().zip(values.by_ref()) {
            let size = value.as_ref().map_or(0, |value| stored_size(value));
            if bytes_read + size > BATCH_GET_BYTES_MAX {
                left.push(key);
                continue;
            }
            bytes_read += size;
            units += read_units(size, part.rest.consistent_read.unwrap_or(false));
            if let Some(value) = value {
                items.push(part.shown.of_stored(value)?);
            }
        }
        *charged.entry(part.name).or_default() += units;
        if !left.is_empty() {
            output.unprocessed_keys.insert(part.sent, KeysAndAttributes { keys: left, ..part.rest });
        }
    }
    let charged = charged.iter().filter_map(|(table, units)| capacity.answer(table, *units)).collect();
    output.consumed_capacity = (capacity != CapacityDetail::None).then_some(charged);
    Ok(output)
}

/// A projection on one table and `AttributesToGet` on another do not go together either.
fn check_mixing(tables: &[(String, Json)], words: Words) -> Result<(), ApiError> {
    let any = |name: &str| tables.iter().find_map(|(_, part)| part.get(name)).cloned();
    let all =
        ["AttributesToGet", "ProjectionExpression"].map(|name| (name.to_owned(), any(name).unwrap_or(Json::Null)));
    PROJECTION_ONLY.check_mixing(&Json::Object(all.into()), words)
}

impl TablePart {
    fn read(sent: String, name: String, mut part: Json, words: Words) -> Result<TablePart, ApiError> {
        let keys = match part.take("Keys") {
            Some(Json::Array(keys)) => keys,
            _ => Vec::new(),
        };
        let keys: Vec<Item> = keys.into_iter().map(read_item).collect::<Result<_, _>>().map_err(|e| words.value(e))?;
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let names = part.get("ExpressionAttributeNames").and_then(Json::as_object).map(|names| {
            names.iter().filter_map(|(key, name)| Some((key.clone(), text(name)?))).collect::<BTreeMap<_, _>>()
        });
        let maps = ExpressionMaps::take(&mut part);
        PROJECTION_ONLY.check_maps(&part, &maps, words)?;
        let mut placeholders = maps.into_placeholders(words)?;
        let shown = Shown::read(&part, &mut placeholders, words)?;
        placeholders.finish().map_err(|e| words.expression(e))?;
        let rest = KeysAndAttributes {
            keys,
            attributes_to_get: part
                .get("AttributesToGet")
                .and_then(Json::as_array)
                .map(|names| names.iter().filter_map(text).collect()),
            consistent_read: part.get("ConsistentRead").and_then(Json::as_lenient_bool),
            projection_expression: part.get("ProjectionExpression").and_then(text),
            expression_attribute_names: names,
        };
        Ok(TablePart { sent, name, shown, rest })
    }
}
