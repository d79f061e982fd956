//! The statements of ExecuteStatement, BatchExecuteStatement and ExecuteTransaction, as DynamoDB reads PartiQL.
//!
//! [`Parsed::parse`] reads a text: words and numbers with their places (`lexer`), a tree (`parse`), its faults in the words of
//! the service (`error`). [`Parsed::bind`] puts the parameters in and makes what the core runs of it: a condition, an update,
//! an item ([`Statement`]). Nothing becomes a text again on the way.
//!
//! Invariants: no text makes it recurse deeper than `limits::STATEMENT_NESTING_MAX`; a statement has at most
//! `limits::EXPRESSION_OPERATORS_MAX` operators.
//!
//! What it does not do: it knows no table, so whatever has to do with keys is decided by who runs the statement; it evaluates
//! nothing. Source: docs/spec/dynamodb-api.md 7.3.

mod bind;
mod error;
mod keywords;
mod lexer;
mod parse;
mod statement;
mod syntax;
#[cfg(test)]
mod tests;

pub use error::{Malformed, StatementError};
pub use parse::Parsed;
pub use statement::{Delete, Insert, Order, Returning, Select, Statement, Update};
pub use syntax::Place;
