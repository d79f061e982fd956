//! The expression language: conditions, filters, key conditions, projections and updates.
//!
//! One request's expressions share one [`Placeholders`]. Each `parse` finds every fault of its text, in the API's own
//! order; [`Placeholders::finish`] then names the placeholders that none of them used. An engine calls them in the
//! order that the spec gives for its operation: Update before Condition, and Filter before Projection before KeyCondition;
//! what is wrong with the first, its size included, comes before all that is wrong with the next. Parsed expressions own what they need, are immutable, and cost no lookup of
//! placeholders when they run.
//!
//! A PartiQL statement is read elsewhere (crates/partiql); it makes the same trees by the same checked constructors.
//!
//! What an expression may say about keys is not known here: engines ask for the paths ([`Condition::visit_paths`],
//! [`Update::visit_targets`]) and check them against the table. Source: docs/spec/dynamodb-api.md 4 and 5.3.

mod apply;
mod build;
mod charge;
mod condition;
mod error;
mod evaluate;
mod key_condition;
mod lexer;
mod path;
mod placeholders;
mod projection;
mod reserved;
mod resolve;
mod syntax;
mod update;

#[cfg(test)]
mod tests;

pub use condition::{Comparison, Condition, Node, Operand};
pub use error::{ExprError, ExprKind};
pub(crate) use evaluate::order;
pub use key_condition::{
    KeyAttribute, KeyCondition, RangeCondition, ResolvedKeyCondition, nested_index_key, nested_key,
};
pub use path::{Element, Path};
pub use placeholders::{
    Placeholders, check_names, check_value_keys, invalid_value, names_without_expression, values_without_expression,
};
pub use projection::Projection;
pub use resolve::{checked_path, too_many_operators};
pub use syntax::check_size;
pub(crate) use update::Dialect;
pub use update::{Action, Change, SetValue, Update};
