//! What is wrong with the key attributes that an item has for an index, in the words of the operations.
//! Source: docs/spec/dynamodb-api.md 2.5.

use tailrace_api::PARAMETER_VALUES;
use tailrace_core::ApiError;
use tailrace_core::key::ScalarType;

use super::index_entries::EntriesError;

/// Before a text about a value that no key has.
const KEYED: &str = "One or more parameter values are not valid. ";

/// A value that a key attribute of an index cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexKeyError {
    /// The index's name.
    pub index: String,
    /// The attribute.
    pub attribute: String,
    /// What is wrong with it.
    pub fault: IndexKeyFault,
}

/// What is wrong with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexKeyFault {
    /// It has another type.
    Type {
        /// The index's type.
        expected: ScalarType,
        /// The value's type.
        actual: &'static str,
    },
    /// It is an empty string or an empty binary.
    Empty(ScalarType),
    /// With it the partition key is over its limit.
    HashTooLong,
    /// With it the sort key is over its limit.
    RangeTooLong,
}

/// What the value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexKeySource {
    /// The item is put as it is.
    Put,
    /// The item is what an update makes of another.
    Update,
}

impl EntriesError {
    /// The error answer.
    pub fn into_api(self, source: IndexKeySource) -> ApiError {
        match self {
            EntriesError::Corrupt(error) => error,
            EntriesError::Key(error) => error.into_api(source),
        }
    }
}

impl IndexKeyError {
    /// The error answer.
    pub fn into_api(self, source: IndexKeySource) -> ApiError {
        let IndexKeyError { index, attribute, fault } = self;
        let is_put = source == IndexKeySource::Put;
        ApiError::validation(match fault {
            IndexKeyFault::Type { expected, actual } if is_put => {
                return type_mismatch(&index, &attribute, expected, actual);
            }
            IndexKeyFault::Type { .. } => {
                "The update expression attempted to update the secondary index key to unsupported type".to_owned()
            }
            IndexKeyFault::Empty(scalar) => {
                let what = if scalar == ScalarType::B { "binary" } else { "string" };
                let empty = format!("The AttributeValue for a key attribute cannot contain an empty {what} value.");
                if is_put {
                    format!(
                        "{KEYED}A value specified for a secondary index key is not supported. {empty} IndexName: {index}, \
                         IndexKey: {attribute}"
                    )
                } else {
                    format!(
                        "{KEYED}The update expression attempted to update a secondary index key to a value that is not \
                         supported. {empty}"
                    )
                }
            }
            IndexKeyFault::HashTooLong if is_put => {
                format!("{PARAMETER_VALUES}Size of hashkey has exceeded the maximum size limit of2048 bytes")
            }
            IndexKeyFault::RangeTooLong if is_put => {
                format!("{PARAMETER_VALUES}Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
            }
            IndexKeyFault::HashTooLong | IndexKeyFault::RangeTooLong => {
                "The update expression attempted to update the secondary index key beyond allowed size limits"
                    .to_owned()
            }
        })
    }
}

/// The error for a value of a request that is of another type than the index's key attribute.
pub(crate) fn type_mismatch(index: &str, attribute: &str, expected: ScalarType, actual: &str) -> ApiError {
    ApiError::validation(format!(
        "{PARAMETER_VALUES}Type mismatch for Index Key {attribute} Expected: {} Actual: {actual} IndexName: {index}",
        expected.name()
    ))
}
