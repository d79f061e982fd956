//! Primary keys: their schema, the bytes that place an item in the keyspace, and the hash that spreads partitions.
//!
//! Invariants: the bytes of key values of one type sort as the service sorts the values (numbers by value, strings by
//! their UTF-8 bytes, binaries by their bytes), and equal values have equal bytes. Strings and binaries are their own
//! bytes, so `begins_with` is a prefix of bytes; numbers are `Number::encode_key`. Described in docs/format.md.

use crate::ids::Bucket;
use crate::limits::{HASH_KEY_BYTES_MAX, RANGE_KEY_BYTES_MAX};
use crate::number::Number;
use crate::value::{AttributeValue, Item};
use md5::{Digest, Md5};

/// The types that a key attribute may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum ScalarType {
    /// String.
    S,
    /// Number.
    N,
    /// Binary.
    B,
}

impl ScalarType {
    /// The type's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ScalarType::S => "S",
            ScalarType::N => "N",
            ScalarType::B => "B",
        }
    }

    /// Reads the type's name on the wire.
    pub fn from_name(name: &str) -> Option<ScalarType> {
        [ScalarType::S, ScalarType::N, ScalarType::B].into_iter().find(|t| t.name() == name)
    }

    /// True if `value` is of this type.
    pub fn admits(self, value: &AttributeValue) -> bool {
        self.name() == value.type_name()
    }
}

/// A key attribute of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub scalar: ScalarType,
}

/// The primary key of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct KeySchema {
    /// The partition key.
    pub hash: KeyAttribute,
    /// The sort key.
    pub range: Option<KeyAttribute>,
}

/// The text for an empty key. `what`: string or binary. Source: docs/spec/dynamodb-api.md 2.5.
pub fn empty_key(name: &str, what: &str) -> String {
    format!(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {what} value. \
         Key: {name}"
    )
}

/// What is wrong with a key that an item or a request gives. The texts depend on the operation, so they are not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A key attribute is not there.
    Missing {
        /// The attribute.
        name: String,
    },
    /// A key attribute has another type.
    Type {
        /// The attribute.
        name: String,
        /// The schema's type.
        expected: ScalarType,
        /// The value's type.
        actual: &'static str,
    },
    /// A key attribute is an empty string or an empty binary.
    Empty {
        /// The attribute.
        name: String,
        /// The value's type.
        scalar: ScalarType,
    },
    /// There are attributes that are not in the schema.
    Superfluous,
    /// The partition key is over its limit.
    HashTooLong,
    /// The sort key is over its limit.
    RangeTooLong,
}

/// The bytes of a primary key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyBytes {
    /// Bytes of the partition key.
    pub partition: Vec<u8>,
    /// Bytes of the sort key; empty if the table has none.
    pub sort: Vec<u8>,
}

/// The hash of a partition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartitionHash {
    /// Places the partition in the table, a scan's segment and a stream's shard.
    pub bucket: Bucket,
    /// Places the partition in one of the lanes of a mapping; independent of the bucket.
    pub lane: u32,
}

impl KeyBytes {
    /// The hash of the partition key.
    pub fn hash(&self) -> PartitionHash {
        partition_hash(&self.partition)
    }
}

/// The hash of a partition key's bytes: parts of MD5 of `Outliers` and the bytes.
pub fn partition_hash(partition: &[u8]) -> PartitionHash {
    let digest = Md5::new().chain_update(b"Outliers").chain_update(partition).finalize();
    PartitionHash {
        bucket: Bucket(u16::from_be_bytes([digest[0], digest[1]])),
        lane: u32::from_be_bytes([digest[2], digest[3], digest[4], digest[5]]),
    }
}

/// The bytes of a key value. `None` if the value's type cannot be a key's.
pub fn key_value_bytes(value: &AttributeValue) -> Option<Vec<u8>> {
    match value {
        AttributeValue::S(text) => Some(text.as_bytes().to_owned()),
        AttributeValue::B(bytes) => Some(bytes.clone()),
        AttributeValue::N(number) => {
            let mut out = Vec::with_capacity(24);
            number.encode_key(&mut out);
            Some(out)
        }
        _ => None,
    }
}

/// Reads what [`key_value_bytes`] wrote. `None`: not such bytes.
pub fn read_key_value(scalar: ScalarType, bytes: &[u8]) -> Option<AttributeValue> {
    match scalar {
        ScalarType::S => std::str::from_utf8(bytes).ok().map(|text| AttributeValue::S(text.to_owned())),
        ScalarType::B => Some(AttributeValue::B(bytes.to_owned())),
        ScalarType::N => match Number::decode_key(bytes)? {
            (number, []) => Some(AttributeValue::N(number)),
            _ => None,
        },
    }
}

impl KeyAttribute {
    /// Checks a value of this attribute but for its length.
    ///
    /// # Errors
    /// It has another type, or is empty.
    pub fn check(&self, value: &AttributeValue) -> Result<(), KeyError> {
        let name = || self.name.clone();
        match value {
            AttributeValue::S(text) if text.is_empty() => Err(KeyError::Empty { name: name(), scalar: ScalarType::S }),
            AttributeValue::B(bytes) if bytes.is_empty() => {
                Err(KeyError::Empty { name: name(), scalar: ScalarType::B })
            }
            value if !self.scalar.admits(value) => {
                Err(KeyError::Type { name: name(), expected: self.scalar, actual: value.type_name() })
            }
            _ => Ok(()),
        }
    }
}

impl KeySchema {
    /// The key attributes, partition key first.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.range)
    }

    /// True if `name` is a key attribute.
    pub fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The key's bytes of a whole item.
    ///
    /// # Errors
    /// The first key attribute that is missing, wrong or too long.
    pub fn bytes_of_item(&self, item: &Item) -> Result<KeyBytes, KeyError> {
        let mut parts = [Vec::new(), Vec::new()];
        for (part, attribute) in parts.iter_mut().zip(self.attributes()) {
            let value = item.get(&attribute.name).ok_or_else(|| KeyError::Missing { name: attribute.name.clone() })?;
            attribute.check(value)?;
            *part = key_value_bytes(value).expect("invariant: the value's type was checked");
        }
        let [partition, sort] = parts;
        // Numbers always fit; their key bytes are another length than their size.
        if partition.len() > HASH_KEY_BYTES_MAX {
            return Err(KeyError::HashTooLong);
        }
        if sort.len() > RANGE_KEY_BYTES_MAX {
            return Err(KeyError::RangeTooLong);
        }
        Ok(KeyBytes { partition, sort })
    }

    /// The key's bytes of a key: an item that holds the key attributes and nothing else.
    ///
    /// # Errors
    /// As for [`KeySchema::bytes_of_item`], or there are other attributes.
    pub fn bytes_of_key(&self, key: &Item) -> Result<KeyBytes, KeyError> {
        let bytes = self.bytes_of_item(key)?;
        if key.len() == self.attributes().count() { Ok(bytes) } else { Err(KeyError::Superfluous) }
    }

    /// The key attributes of an item; those that it has.
    pub fn key_of(&self, item: &Item) -> Item {
        let pair = |a: &KeyAttribute| item.get_key_value(&a.name).map(|(name, value)| (name.clone(), value.clone()));
        self.attributes().filter_map(pair).collect()
    }

    /// The key that has these bytes. `None`: no key of this schema has them.
    pub fn read_key(&self, partition: &[u8], sort: &[u8]) -> Option<Item> {
        let mut key = Item::new();
        key.insert(self.hash.name.clone(), read_key_value(self.hash.scalar, partition)?);
        match &self.range {
            Some(range) => {
                key.insert(range.name.clone(), read_key_value(range.scalar, sort)?);
            }
            None if !sort.is_empty() => return None,
            None => {}
        }
        Some(key)
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
