//! BatchGetItem. Source: docs/spec/dynamodb-api.md 7.1.

use std::collections::BTreeMap;

use serde::Serialize;
use tailrace_core::attribute_json::read_item;
use tailrace_core::limits::BATCH_GET_KEYS_MAX;
use tailrace_core::{ApiError, Item, Json};

use super::expression_parameters::ExpressionMaps;
use super::get_item::PROJECTION_ONLY;
use super::{AnsweredItem, CapacityDetail, ConsumedCapacity, ItemProjection, ItemsAnswer};
use crate::{ErrorWording, Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct BatchGetItemRequest {
    /// The tables in the order in which they were sent. A table may stand here twice: by its name and by its ARN.
    pub tables: Vec<TableKeys>,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
}

/// What is read of one table.
#[derive(Clone, Debug, Default)]
pub struct TableKeys {
    /// The table's name.
    pub table_name: String,
    /// The table as it was sent: what is left over goes back under it, so that no part hides another's.
    pub sent_as: String,
    /// What of the items is answered.
    pub projection: ItemProjection,
    /// The keys, and the other members as they were sent.
    pub sent: KeysAndAttributes,
}

/// What of a table is to be read, in the form of a request: what is left over is answered in it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeysAndAttributes {
    /// The primary keys.
    pub keys: Vec<Item>,
    /// `AttributesToGet`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes_to_get: Option<Vec<String>>,
    /// `ConsistentRead`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistent_read: Option<bool>,
    /// `ProjectionExpression`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projection_expression: Option<String>,
    /// `ExpressionAttributeNames`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression_attribute_names: Option<BTreeMap<String, String>>,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchGetItemAnswer {
    /// The items that there are, by table.
    pub responses: BTreeMap<String, Vec<AnsweredItem>>,
    /// What is still to be read, by table as it was sent.
    pub unprocessed_keys: BTreeMap<String, KeysAndAttributes>,
    /// What the reads are charged, table by table, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<Vec<ConsumedCapacity>>,
}

impl ItemsAnswer for BatchGetItemAnswer {
    fn item_bytes(&self) -> usize {
        self.responses.values().flatten().map(AnsweredItem::bytes).sum()
    }
}

impl BatchGetItemRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<BatchGetItemRequest, ApiError> {
        let wording = ErrorWording::of_read(reading.wording);
        let capacity = CapacityDetail::of(&body);
        let mut tables = Vec::new();
        if let Some(Json::Object(mut given)) = body.take("RequestItems") {
            if !wording.is_current() {
                check_mixing(&given, wording)?;
            }
            let mut keys = Vec::with_capacity(given.len());
            for (table, part) in &mut given {
                let table_name = reading.table_name(table)?.to_owned();
                keys.push((table_name, take_keys(part, wording)?));
            }
            if wording.is_current() {
                check_mixing(&given, wording)?;
            }
            for ((table, part), (table_name, keys)) in given.into_iter().zip(keys) {
                tables.push(TableKeys::read(table, table_name, keys, part, wording)?);
            }
        }
        if tables.iter().map(|table| table.sent.keys.len()).sum::<usize>() > BATCH_GET_KEYS_MAX {
            return Err(ApiError::validation("Too many items requested for the BatchGetItem call"));
        }
        Ok(BatchGetItemRequest { tables, capacity })
    }
}

/// A projection on one table and `AttributesToGet` on another do not go together either.
fn check_mixing(tables: &[(String, Json)], wording: ErrorWording) -> Result<(), ApiError> {
    let any = |name: &str| tables.iter().find_map(|(_, part)| part.get(name)).cloned();
    let all =
        ["AttributesToGet", "ProjectionExpression"].map(|name| (name.to_owned(), any(name).unwrap_or(Json::Null)));
    PROJECTION_ONLY.check_mixing(&Json::Object(all.into()), wording)
}

fn take_keys(part: &mut Json, wording: ErrorWording) -> Result<Vec<Item>, ApiError> {
    let keys = match part.take("Keys") {
        Some(Json::Array(keys)) => keys,
        _ => Vec::new(),
    };
    keys.into_iter().map(read_item).collect::<Result<_, _>>().map_err(|e| wording.value(e))
}

impl TableKeys {
    fn read(
        sent_as: String,
        table_name: String,
        keys: Vec<Item>,
        mut part: Json,
        wording: ErrorWording,
    ) -> Result<TableKeys, ApiError> {
        let text = |value: &Json| value.as_str().map(str::to_owned);
        let names = part.get("ExpressionAttributeNames").and_then(Json::as_object).map(|names| {
            names.iter().filter_map(|(key, name)| Some((key.clone(), text(name)?))).collect::<BTreeMap<_, _>>()
        });
        let maps = ExpressionMaps::take(&mut part);
        PROJECTION_ONLY.check_maps(&part, &maps, wording)?;
        let mut placeholders = maps.into_placeholders(wording)?;
        let projection = ItemProjection::read(&part, &mut placeholders, wording)?;
        placeholders.finish().map_err(|e| wording.expression(e))?;
        let sent = KeysAndAttributes {
            keys,
            attributes_to_get: part
                .get("AttributesToGet")
                .and_then(Json::as_array)
                .map(|names| names.iter().filter_map(text).collect()),
            consistent_read: member::boolean(&part, "ConsistentRead"),
            projection_expression: part.get("ProjectionExpression").and_then(text),
            expression_attribute_names: names,
        };
        Ok(TableKeys { table_name, sent_as, projection, sent })
    }
}
