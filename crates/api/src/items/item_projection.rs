//! What a read shows of an item: all of it, what a `ProjectionExpression` names, or the attributes of `AttributesToGet`.
//! Source: docs/spec/dynamodb-api.md 4.5, 6.

use tailrace_core::expr::{Placeholders, Projection};
use tailrace_core::legacy::attributes_to_get;
use tailrace_core::{ApiError, Json};

use crate::{ErrorWording, member};

/// What a read shows.
#[derive(Clone, Debug, Default)]
pub enum ItemProjection {
    /// All of it.
    #[default]
    Whole,
    /// What a `ProjectionExpression` names.
    Paths(Projection),
    /// The attributes of `AttributesToGet`.
    Attributes(Vec<String>),
}

impl ItemProjection {
    /// Reads the two members. They do not stand together: that was checked.
    pub(crate) fn read(
        body: &Json,
        placeholders: &mut Placeholders,
        wording: ErrorWording,
    ) -> Result<ItemProjection, ApiError> {
        if let Some(text) = member::text(body, "ProjectionExpression") {
            let projection = Projection::parse(text, placeholders).map_err(|e| wording.expression(e))?;
            return Ok(ItemProjection::Paths(projection));
        }
        let Some(names) = body.get("AttributesToGet").and_then(Json::as_array) else {
            return Ok(ItemProjection::Whole);
        };
        // A null is a name without characters, which is refused.
        let names: Vec<String> = names.iter().map(|name| name.as_str().unwrap_or_default().to_owned()).collect();
        attributes_to_get(&names).map_err(|e| wording.expression(e))?;
        Ok(ItemProjection::Attributes(names))
    }
}
