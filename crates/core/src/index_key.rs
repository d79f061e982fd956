//! The bytes of the key of an index's entry. Described in docs/format.md, Index entries.
//!
//! An entry's key has a partition, from one to four attributes, and a sort part, from none to four attributes and the primary
//! key of the item, which makes the entry its own. Invariants: partitions of different values have different bytes; in the
//! sort part every attribute's bytes show their own end and sort like its values, so that entries sort by their attributes
//! from left to right, and those whose first attributes have some values are one range of keys.
//!
//! What a value's own bytes are is said in `key`.

use std::borrow::Cow;

use crate::key::{ScalarType, read_key_value};
use crate::number::Number;
use crate::value::AttributeValue;

/// Stands for a zero byte of a string or a binary.
const ZERO: [u8; 2] = [0x00, 0xff];
/// Behind a string or a binary. Below everything that can follow in a longer one.
const END: [u8; 2] = [0x00, 0x01];

/// A value of a key attribute: its type and the bytes that [`crate::key::key_value_bytes`] gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyValue<'a> {
    /// Its type.
    pub scalar: ScalarType,
    /// Its bytes.
    pub bytes: &'a [u8],
}

/// The bytes of a partition: those of its value, or, of several, each behind its length (u16).
pub fn partition_bytes<'v>(values: &[KeyValue<'v>]) -> Cow<'v, [u8]> {
    if let [value] = values {
        return Cow::Borrowed(value.bytes);
    }
    let mut out = Vec::with_capacity(values.iter().map(|value| 2 + value.bytes.len()).sum());
    values.iter().for_each(|value| push_behind_length(value.bytes, &mut out));
    Cow::Owned(out)
}

/// Reads what [`partition_bytes`] wrote of values of these types. `None`: not such bytes.
pub fn read_partition(scalars: &[ScalarType], bytes: &[u8]) -> Option<Vec<AttributeValue>> {
    if let [scalar] = scalars {
        return Some(vec![read_key_value(*scalar, bytes)?]);
    }
    let mut rest = bytes;
    let mut values = Vec::with_capacity(scalars.len());
    for scalar in scalars {
        let (value, behind) = split_behind_length(rest)?;
        values.push(read_key_value(*scalar, value)?);
        rest = behind;
    }
    rest.is_empty().then_some(values)
}

/// Appends a value of the sort part.
pub fn push_sort_value(value: KeyValue<'_>, out: &mut Vec<u8>) {
    push_sort_prefix(value, out);
    if value.scalar != ScalarType::N {
        out.extend_from_slice(&END);
    }
}

/// Appends what the bytes of every value of the sort part begin with that itself begins with this one: of a number, the
/// number itself.
pub fn push_sort_prefix(value: KeyValue<'_>, out: &mut Vec<u8>) {
    if value.scalar == ScalarType::N {
        out.extend_from_slice(value.bytes);
        return;
    }
    out.reserve(value.bytes.len() + END.len());
    let mut parts = value.bytes.split(|byte| *byte == 0);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&ZERO);
        out.extend_from_slice(part);
    }
}

/// Reads a value of the sort part, and gives the bytes behind it. `None`: not what [`push_sort_value`] writes.
pub fn read_sort_value(scalar: ScalarType, bytes: &[u8]) -> Option<(AttributeValue, &[u8])> {
    if scalar == ScalarType::N {
        let (number, rest) = Number::decode_key(bytes)?;
        return Some((AttributeValue::N(number), rest));
    }
    let mut value = Vec::new();
    let mut rest = bytes;
    loop {
        let (before, behind) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
        value.extend_from_slice(before);
        let (mark, behind) = behind.split_first_chunk::<2>()?;
        rest = behind;
        match *mark {
            END => return Some((read_key_value(scalar, &value)?, rest)),
            ZERO => value.push(0),
            _ => return None,
        }
    }
}

/// Appends the primary key of the item that an entry is of; the end of the key. `in_partition`: the entry lies in the
/// partition of its item (it is a local index's), which is not repeated. `sort`: empty if the table has no sort key.
pub fn push_item_key(partition: &[u8], sort: &[u8], in_partition: bool, out: &mut Vec<u8>) {
    if !in_partition {
        push_behind_length(partition, out);
    }
    out.extend_from_slice(sort);
}

/// The least bytes above all that begin with `prefix`, which is not empty and begins with a byte below `ff`.
pub fn above_prefix(mut prefix: Vec<u8>) -> Vec<u8> {
    while prefix.last() == Some(&0xff) {
        prefix.pop();
    }
    *prefix.last_mut().expect("invariant: a key value's first byte is below ff, or an end follows it") += 1;
    prefix
}

fn push_behind_length(bytes: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(bytes.len()).expect("invariant: a key value is within its limit");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
}

fn split_behind_length(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
#[path = "index_key_tests.rs"]
mod tests;
