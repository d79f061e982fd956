//! What is wrong with the key attributes that an item has for an index, in the words of the operations.
//! Source: docs/spec/dynamodb-api.md 2.5.

use tailrace_api::PARAMETER_VALUES;
use tailrace_core::ApiError;
use tailrace_core::key::{KeyAttribute, ScalarType};
use tailrace_core::limits::{HASH_KEY_BYTES_MAX, RANGE_KEY_BYTES_MAX};

use super::index_entries::EntriesError;
use crate::tables::index::Index;

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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// It is over the limit of this part of the key.
    TooLong(KeyPart),
    /// The values of this part's several attributes are over its limit together.
    SeveralTooLong {
        /// The part.
        part: KeyPart,
        /// The attributes.
        names: String,
        /// Their size together.
        bytes: usize,
    },
}

/// A part of an index's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyPart {
    /// The partition key.
    Hash,
    /// The sort key.
    Range,
}

impl KeyPart {
    /// Its attributes.
    pub fn of(self, index: &Index) -> &[KeyAttribute] {
        match self {
            KeyPart::Hash => &index.hash,
            KeyPart::Range => &index.range,
        }
    }

    /// The largest size of its values.
    pub fn bytes_max(self) -> usize {
        match self {
            KeyPart::Hash => HASH_KEY_BYTES_MAX,
            KeyPart::Range => RANGE_KEY_BYTES_MAX,
        }
    }

    fn name(self) -> &'static str {
        match self {
            KeyPart::Hash => "HASH",
            KeyPart::Range => "RANGE",
        }
    }
}

/// What the value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexKeySource {
    /// The item is put as it is.
    Put,
    /// The item is what an update makes of another.
    Update,
    /// The same, of `AttributeUpdates`.
    LegacyUpdate,
}

impl EntriesError {
    /// The error answer.
    pub fn into_api(self, source: IndexKeySource) -> ApiError {
        match self {
            EntriesError::Corrupt(error) => error,
            EntriesError::Key(error) => error.into_api(source),
            EntriesError::TooLarge => ApiError::validation(match source {
                IndexKeySource::Put => "Item size has exceeded the maximum allowed size",
                IndexKeySource::Update | IndexKeySource::LegacyUpdate => {
                    "Item size to update has exceeded the maximum allowed size"
                }
            }),
        }
    }
}

impl IndexKeyError {
    /// What is wrong with this attribute of an index.
    pub fn new(index: &Index, attribute: &KeyAttribute, fault: IndexKeyFault) -> IndexKeyError {
        IndexKeyError { index: index.name.clone(), attribute: attribute.name.clone(), fault }
    }

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
                // As DynamoDB Local words the update without an expression.
                if is_put || source == IndexKeySource::LegacyUpdate {
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
            IndexKeyFault::TooLong(KeyPart::Hash) if is_put => {
                format!("{PARAMETER_VALUES}Size of hashkey has exceeded the maximum size limit of2048 bytes")
            }
            IndexKeyFault::TooLong(KeyPart::Range) if is_put => {
                format!("{PARAMETER_VALUES}Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
            }
            // As DynamoDB Local words it.
            IndexKeyFault::SeveralTooLong { part, names, bytes } if is_put => format!(
                "Aggregate size for {} key attributes {names} of index {index} has exceeded limit {} bytes, with actual size \
                 {bytes} bytes",
                part.name(),
                part.bytes_max()
            ),
            IndexKeyFault::TooLong(_) | IndexKeyFault::SeveralTooLong { .. } => {
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
