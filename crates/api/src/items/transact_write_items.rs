//! TransactWriteItems. The operation speaks the older wording only. Source: docs/spec/dynamodb-api.md 7.2.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tailrace_core::attribute_json::read_item;
use tailrace_core::codec::encode_item;
use tailrace_core::expr::{Condition, ExprKind, Update, check_size};
use tailrace_core::key::empty_key;
use tailrace_core::limits::{ITEM_BYTES_MAX, TRANSACTION_BYTES_MAX};
use tailrace_core::size::item_size;
use tailrace_core::{ApiError, AttributeValue, Item, Json, Wording};

use super::expression_parameters::{ExpressionMaps, ExpressionParameters};
use super::{CapacityDetail, ConsumedCapacity, ItemCollectionMetrics};
use crate::{ErrorWording, Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct TransactWriteItemsRequest {
    /// The actions, in the order of the request; at least one.
    pub actions: Vec<TransactWrite>,
    /// `ClientRequestToken`: the transaction is made once.
    pub token: Option<RequestToken>,
    /// `ReturnConsumedCapacity`.
    pub capacity: CapacityDetail,
    /// `ReturnItemCollectionMetrics`.
    pub item_collection_metrics: bool,
}

/// One action on one item.
#[derive(Clone, Debug)]
pub struct TransactWrite {
    /// The table's name.
    pub table_name: String,
    /// What is done, and to which item.
    pub action: TransactAction,
    /// What must hold of the item that is there.
    pub condition: Option<Condition>,
    /// `ReturnValuesOnConditionCheckFailure`: a condition that does not hold brings the item.
    pub return_item_on_failure: bool,
}

/// What an action does.
#[derive(Clone, Debug)]
pub enum TransactAction {
    /// Puts this item.
    Put(Item),
    /// Updates the item of this key.
    Update(Item, Update),
    /// Deletes the item of this key.
    Delete(Item),
    /// Changes nothing: only the condition counts, on the item of this key.
    Check(Item),
}

/// A client's token, with what it was given for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestToken {
    /// The token.
    pub token: String,
    /// A SHA-256 of what the request means: the same token with another one is a mistake.
    pub request: [u8; 32],
}

/// The answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TransactWriteItemsAnswer {
    /// What the actions are charged, table by table, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumed_capacity: Option<Vec<ConsumedCapacity>>,
    /// The item collections that were written, by table, if they were asked for and there are any.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub item_collection_metrics: BTreeMap<String, Vec<ItemCollectionMetrics>>,
}

/// Why a transaction is too large, in the words for a request and for what it comes to.
pub const TRANSACTION_TOO_LARGE: &str = "Collection size of items exceeded, which can also be caused by the aggregate \
    size of the items in the transaction exceeding the 4MB limit";

/// What all actions have in an expression, where they have any.
static EXPRESSIONS: ExpressionParameters = ExpressionParameters {
    legacy: &[],
    expressions: &["UpdateExpression", "ConditionExpression"],
    with_values: &["UpdateExpression", "ConditionExpression"],
    values_need: ["ConditionExpression is null"; 2],
};

impl TransactWriteItemsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<TransactWriteItemsRequest, ApiError> {
        let capacity = CapacityDetail::of(&body);
        let item_collection_metrics = ItemCollectionMetrics::asked(&body);
        let given = match body.take("TransactItems") {
            Some(Json::Array(given)) => given,
            _ => Vec::new(),
        };
        let token = member::text(&body, "ClientRequestToken").map(str::to_owned);
        let mut reader = Reader { meaning: token.is_some().then(Meaning::default), bytes: 0 };
        let actions: Vec<TransactWrite> =
            given.into_iter().map(|action| reader.read(action, reading)).collect::<Result<_, _>>()?;
        for action in &actions {
            match &action.action {
                TransactAction::Put(_) => {}
                TransactAction::Update(key, _) | TransactAction::Delete(key) | TransactAction::Check(key) => {
                    check_not_empty(key)?;
                }
            }
        }
        if reader.bytes > TRANSACTION_BYTES_MAX {
            return Err(ApiError::validation(TRANSACTION_TOO_LARGE));
        }
        let token = token.zip(reader.meaning).map(|(token, meaning)| RequestToken { token, request: meaning.digest() });
        Ok(TransactWriteItemsRequest { actions, token, capacity, item_collection_metrics })
    }
}

/// What is wrong with a key that is empty: it is refused behind what is wrong with expressions, and before all that needs a table.
/// Source: docs/spec/dynamodb-api.md 7.2.
fn check_not_empty(key: &Item) -> Result<(), ApiError> {
    for (name, value) in key {
        match value {
            AttributeValue::S(text) if text.is_empty() => return Err(ApiError::validation(empty_key(name, "string"))),
            AttributeValue::B(bytes) if bytes.is_empty() => {
                return Err(ApiError::validation(empty_key(name, "binary")));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads actions, and adds up what they weigh and what they mean.
struct Reader {
    meaning: Option<Meaning>,
    bytes: usize,
}

const ACTIONS: [&str; 4] = ["ConditionCheck", "Put", "Delete", "Update"];

impl Reader {
    fn read(&mut self, mut given: Json, reading: &Reading<'_>) -> Result<TransactWrite, ApiError> {
        let mut found = ACTIONS.into_iter().filter_map(|name| Some((name, given.take(name)?)));
        let Some((name, mut body)) = found.next() else {
            return Err(ApiError::validation(
                "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request",
            ));
        };
        if found.next().is_some() {
            return Err(ApiError::validation("TransactItems can only contain one of Check, Put, Update or Delete"));
        }
        let wording = ErrorWording::of_read(Wording::Classic);
        let fault = |error| wording.expression(error);
        let table_name = reading.take_table_name(&mut body)?;
        let mut maps = ExpressionMaps::take(&mut body);
        if name == "Put" && member::text(&body, "ConditionExpression").is_none() {
            maps.forget_values();
        }
        EXPRESSIONS.check_maps(&body, &maps, wording)?;
        let attributes = body.take(if name == "Put" { "Item" } else { "Key" }).unwrap_or(Json::Null);
        let attributes = read_item(attributes).map_err(|e| wording.value(e))?;
        let bytes = item_size(&attributes);
        if name == "Put" && bytes > ITEM_BYTES_MAX {
            return Err(ApiError::validation("Item size has exceeded the maximum allowed size"));
        }
        let texts = ["UpdateExpression", "ConditionExpression"].map(|name| member::text(&body, name));
        let return_item_on_failure = member::text(&body, "ReturnValuesOnConditionCheckFailure") == Some("ALL_OLD");
        self.bytes += bytes + texts.into_iter().flatten().map(str::len).sum::<usize>() + maps.values_size();
        if let Some(meaning) = &mut self.meaning {
            meaning.add(name, &table_name, &attributes, texts, &maps, return_item_on_failure);
        }
        let mut placeholders = maps.into_placeholders(wording)?;
        let [update, condition] = texts;
        let update = update.map(|text| Update::parse(text, &mut placeholders)).transpose().map_err(fault)?;
        let condition = condition
            .map(|text| {
                check_size(ExprKind::Condition, text, true)?;
                Condition::parse(ExprKind::Condition, text, &mut placeholders)
            })
            .transpose()
            .map_err(fault)?;
        placeholders.finish().map_err(fault)?;
        let action = match (name, update) {
            ("Put", _) => TransactAction::Put(attributes),
            // Only the finished item is weighed.
            ("Update", Some(update)) => TransactAction::Update(attributes, update),
            ("Delete", _) => TransactAction::Delete(attributes),
            _ => TransactAction::Check(attributes),
        };
        Ok(TransactWrite { table_name, action, condition, return_item_on_failure })
    }
}

/// What a request means, whatever the order of its members and the spelling of its numbers.
#[derive(Default)]
struct Meaning {
    hash: Sha256,
    piece: Vec<u8>,
}

impl Meaning {
    fn add(
        &mut self,
        action: &str,
        table: &str,
        attributes: &Item,
        expressions: [Option<&str>; 2],
        maps: &ExpressionMaps,
        return_item_on_failure: bool,
    ) {
        self.piece.clear();
        let mut text = |text: &str| {
            self.piece.extend_from_slice(&text.len().to_be_bytes());
            self.piece.extend_from_slice(text.as_bytes());
        };
        text(action);
        text(table);
        for expression in expressions {
            text(expression.unwrap_or_default());
        }
        self.piece.push(u8::from(return_item_on_failure));
        encode_item(attributes, &mut self.piece);
        maps.write_meaning(&mut self.piece);
        self.hash.update(&self.piece);
    }

    fn digest(self) -> [u8; 32] {
        self.hash.finalize().into()
    }
}
