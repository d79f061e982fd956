//! The structure of requests, as data: members, types, bounds, patterns and enums of every operation, made from the
//! service model by `tools/service-model.py`, and the one validator that walks a request along it.
//!
//! Of attribute values only the JSON types are checked here (`attribute_json::check_value`); the code that reads them checks the rest.
//! The data is read once, on first use.

mod constraints;
mod java;
mod service;
mod shape;
#[cfg(test)]
mod tests;
mod types;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use service::Service;
pub use shape::{NAME_PATTERN, Pattern, is_table_name};
use shape::{Shape, ShapeId, TableNameRule};

use crate::{ApiError, ErrorCode, Json};

/// Which of the two texts that AWS has for some errors (docs/spec/dynamodb-api.md, Two wordings).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wording {
    /// The newer texts.
    #[default]
    Current,
    /// The older texts, which most test suites know.
    Classic,
}

/// The operations of a service.
#[derive(Debug)]
pub struct Api {
    operations: HashMap<String, Option<Operation>>,
    shapes: Vec<Shape>,
}

/// An operation whose requests can be validated.
#[derive(Debug)]
pub struct Operation {
    input: ShapeId,
    /// Groups of the input's members, by index, in the order in which errors are listed; the first group with an error
    /// is all that is reported.
    current: Vec<Vec<usize>>,
    classic: Vec<Vec<usize>>,
    /// The newer wording covers the operation.
    newer: bool,
    table_name: TableNameRule,
    /// Members that the input does not have, and that the operation looks for nevertheless, to refuse them.
    kept: Vec<String>,
}

/// The table operations.
pub fn dynamodb() -> &'static Api {
    static API: LazyLock<Api> = LazyLock::new(|| Api::load(include_str!("../../model/dynamodb.json")));
    &API
}

/// The stream operations.
pub fn streams() -> &'static Api {
    static API: LazyLock<Api> = LazyLock::new(|| Api::load(include_str!("../../model/dynamodbstreams.json")));
    &API
}

/// The operations of delivery streams.
pub fn firehose() -> &'static Api {
    static API: LazyLock<Api> = LazyLock::new(|| Api::load(include_str!("../../model/firehose.json")));
    &API
}

impl Api {
    /// The service has an operation of this name (built here or not).
    pub fn knows(&self, operation: &str) -> bool {
        self.operations.contains_key(operation)
    }

    /// Checks the structure of a request: first the JSON types, then the constraints. A valid request is left with the
    /// members that the operation has: nothing that reads it later has to know which those are. `None`: the operation does
    /// not exist, or its requests cannot be validated yet.
    pub fn validate(&self, operation: &str, body: &mut Json, wording: Wording) -> Option<Result<(), ApiError>> {
        let operation = self.operations.get(operation)?.as_ref()?;
        Some(self.check(operation, body, wording))
    }

    fn check(&self, operation: &Operation, body: &mut Json, wording: Wording) -> Result<(), ApiError> {
        let all_known = types::check(&self.shapes, operation.input, body)?;
        constraints::check(&self.shapes, operation, body, wording)?;
        if !all_known {
            types::drop_unknown(&self.shapes, operation.input, body, &operation.kept);
        }
        Ok(())
    }

    /// The answer to an operation that is not there. One that the service has and Tailrace has not is named, so that nobody
    /// looks for a misspelling; of any other the service says nothing. Source: docs/spec/dynamodb-api.md 1.1.
    pub fn unknown_operation(&self, operation: &str) -> ApiError {
        if self.knows(operation) {
            let text = format!("Tailrace does not have the operation {operation} yet");
            return ApiError::new(ErrorCode::UnknownOperationException, text);
        }
        ApiError::bare(ErrorCode::UnknownOperationException)
    }

    /// Whether requests of the operation can be validated.
    pub fn validates(&self, operation: &str) -> bool {
        self.operations.get(operation).is_some_and(Option::is_some)
    }
}
