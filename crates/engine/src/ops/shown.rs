//! What a read shows of an item: all of it, what a `ProjectionExpression` names, or the attributes of `AttributesToGet`.
//! Source: docs/spec/dynamodb-api.md 4.5, 6.

use bytes::Bytes;
use tailrace_core::codec::StoredItem;
use tailrace_core::expr::{Placeholders, Projection};
use tailrace_core::legacy::attributes_to_get;
use tailrace_core::{ApiError, Item, Json, KeySchema};

use super::expression_parameters::check_key_paths;
use super::stored_json::{AnsweredItem, corrupt, decode};
use super::words::Words;

/// What a read shows.
pub(crate) enum Shown {
    Whole,
    Paths(Projection),
    Attributes(Vec<String>),
}

impl Shown {
    /// Reads the two members. They do not stand together: that was checked.
    pub fn read(body: &Json, placeholders: &mut Placeholders, words: Words) -> Result<Shown, ApiError> {
        if let Some(text) = body.get("ProjectionExpression").and_then(Json::as_str) {
            let projection = Projection::parse(text, placeholders).map_err(|e| words.expression(e))?;
            return Ok(Shown::Paths(projection));
        }
        let Some(names) = body.get("AttributesToGet").and_then(Json::as_array) else { return Ok(Shown::Whole) };
        // A null is a name without characters, which is refused.
        let names: Vec<String> = names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect();
        attributes_to_get(&names).map_err(|e| words.expression(e))?;
        Ok(Shown::Attributes(names))
    }

    /// Refuses a path that goes below a key attribute.
    pub fn check_key_paths(&self, schema: &KeySchema) -> Result<(), ApiError> {
        match self {
            Shown::Paths(projection) => check_key_paths(schema, projection.paths()),
            Shown::Whole | Shown::Attributes(_) => Ok(()),
        }
    }

    /// What is shown of a stored item; as little of it as can be is decoded.
    pub fn of_stored(&self, value: Bytes) -> Result<AnsweredItem, ApiError> {
        match self {
            Shown::Whole => Ok(AnsweredItem::Stored(value)),
            Shown::Paths(projection) => Ok(AnsweredItem::Made(projection.apply(&decode(&value)?))),
            Shown::Attributes(names) => {
                let stored = StoredItem::new(&value).map_err(corrupt)?;
                let mut item = Item::new();
                for name in names {
                    if let Some(attribute) = stored.attribute(name).map_err(corrupt)? {
                        item.insert(name.clone(), attribute);
                    }
                }
                Ok(AnsweredItem::Made(item))
            }
        }
    }
}
