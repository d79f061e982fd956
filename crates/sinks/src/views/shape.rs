//! A definition together with the table that it is about: the key of the view's items, which group an item is in, and what the
//! members of ordered structures are.
//!
//! The key of a view's table: no key in `group_by`: the text `all` under `group`; one: the partition key; two: partition and sort
//! key; more: the first is the partition key, and the sort key is a text composed of the others, joined by `#`. In it a number is its
//! decimal and a binary its base64; `\` and `#` have a `\` in front. Each composed key also is an attribute of its own.
//!
//! An item that lacks one of the keys, or has another type there, or one that is empty or too long for a key, is in no group.

use std::fmt;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::Encoded;
use tailrace_core::index_key::{KeyValue, push_item_key, push_sort_value, read_sort_value};
use tailrace_core::key::{KeyAttribute, ScalarType, read_key_value};
use tailrace_core::limits::{HASH_KEY_BYTES_MAX, RANGE_KEY_BYTES_MAX};
use tailrace_core::{AttributeValue, Item, KeySchema, Number};
use tailrace_store::keyspace::GroupKey;

use super::config::{Definition, GroupColumn, ONE_GROUP, ONE_GROUP_NAME};
use super::limits::ORDERED_VALUE_BYTES_MAX;
use super::path::AttributePath;
use crate::sink::{self, SourceTable};

/// A definition and what it is about.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The definition.
    pub definition: Definition,
    /// The key of the view's table.
    pub key: KeySchema,
    /// The key of the source.
    pub source_key: KeySchema,
    /// The types of the keys that items are grouped by.
    scalars: Vec<ScalarType>,
    /// What of the first item that is in no group for the type of one of its keys.
    misfit: OnceLock<String>,
}

impl Shape {
    /// The shape of a view of `source`.
    pub fn new(definition: Definition, source: &SourceTable) -> Shape {
        let attribute = |attribute: &sink::KeyAttribute| KeyAttribute {
            name: attribute.name.clone(),
            scalar: match attribute.kind {
                sink::KeyKind::S => ScalarType::S,
                sink::KeyKind::N => ScalarType::N,
                sink::KeyKind::B => ScalarType::B,
            },
        };
        let source_key =
            KeySchema { hash: attribute(&source.partition_key), range: source.sort_key.as_ref().map(attribute) };
        let scalar = |column: &GroupColumn| {
            let of_key = source_key.attributes().find(|key| column.path == AttributePath::top_level(&key.name));
            column.scalar.or(of_key.map(|key| key.scalar)).unwrap_or(ScalarType::S)
        };
        let scalars: Vec<ScalarType> = definition.group_by.iter().map(scalar).collect();
        let columns = definition.group_by.iter().zip(&scalars);
        let mut keys = columns.map(|(column, scalar)| KeyAttribute { name: column.name.clone(), scalar: *scalar });
        let one_group = || KeyAttribute { name: ONE_GROUP_NAME.to_owned(), scalar: ScalarType::S };
        let hash = keys.next().unwrap_or_else(one_group);
        let range = match &definition.composed {
            Some(name) => Some(KeyAttribute { name: name.clone(), scalar: ScalarType::S }),
            None => keys.next(),
        };
        Shape { key: KeySchema { hash, range }, source_key, scalars, definition, misfit: OnceLock::new() }
    }

    /// Which key of an item was of another type than it is grouped by, so that the item is in no group; `None`: of none so far.
    pub fn misfit(&self) -> Option<&str> {
        self.misfit.get().map(String::as_str)
    }

    /// Writes the key of the group of an item to `out`, in the place of what is there. False: it is in no group.
    ///
    /// # Errors
    /// The bytes are no item.
    pub fn group_of(&self, item: &StoredItem<'_>, out: &mut Vec<u8>) -> Result<bool, CodecError> {
        let (mut partition, mut sort) = (Vec::new(), Vec::new());
        for (number, (column, scalar)) in self.definition.group_by.iter().zip(&self.scalars).enumerate() {
            let Some((_, value)) = column.path.find(item)? else { return Ok(false) };
            let found = match (number, &self.definition.composed) {
                (0, _) => push_key_value(*scalar, &value, &mut partition),
                (_, None) => push_key_value(*scalar, &value, &mut sort),
                (number, Some(_)) => {
                    if number > 1 {
                        sort.push(JOINT);
                    }
                    push_composed(*scalar, &value, &mut sort)
                }
            };
            if !found {
                if value.type_name() != scalar.name() {
                    self.misfit.get_or_init(|| misfit(column, *scalar, value.type_name()));
                }
                return Ok(false);
            }
        }
        if self.definition.group_by.is_empty() {
            partition.extend_from_slice(ONE_GROUP.as_bytes());
        }
        if partition.len() > HASH_KEY_BYTES_MAX || sort.len() > RANGE_KEY_BYTES_MAX {
            return Ok(false);
        }
        out.clear();
        GroupKey::push(&partition, &sort, out);
        Ok(true)
    }

    /// The key attributes of a group's item. `None`: it is no group of this shape.
    pub fn key_of(&self, group: &GroupKey) -> Option<Item> {
        let (partition, sort) = group.parts();
        self.key.read_key(partition, sort)
    }

    /// The attributes of a group's item that come from its key: the key attributes, and those that are composed.
    pub fn attributes_of(&self, group: &GroupKey) -> Option<Item> {
        let mut item = self.key_of(group)?;
        if self.definition.composed.is_some() {
            let (_, sort) = group.parts();
            let texts = split_composed(std::str::from_utf8(sort).ok()?)?;
            let columns = self.definition.group_by.iter().zip(&self.scalars).skip(1);
            if texts.len() != columns.len() {
                return None;
            }
            for ((column, scalar), text) in columns.zip(texts) {
                item.insert(column.name.clone(), read_composed(*scalar, text)?);
            }
        }
        Some(item)
    }

    /// Writes the member that stands for a value of an item in an ordered structure: the type, the value so that it sorts, and the
    /// key of the item, to `out`, in the place of what is there. `keys`: the key attributes of the item. False: the value has none.
    ///
    /// # Errors
    /// The bytes are no item.
    pub fn ordered_member(
        &self,
        value: &Encoded<'_>,
        keys: &StoredItem<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, CodecError> {
        let mut number = Vec::new();
        let (rank, value) = match value {
            Encoded::N(value) => {
                value.number().encode_key(&mut number);
                (RANK_N, KeyValue { scalar: ScalarType::N, bytes: &number })
            }
            Encoded::S(text) => (RANK_S, KeyValue { scalar: ScalarType::S, bytes: text.as_bytes() }),
            Encoded::B(bytes) => (RANK_B, KeyValue { scalar: ScalarType::B, bytes }),
            _ => return Ok(false),
        };
        if value.bytes.len() > ORDERED_VALUE_BYTES_MAX {
            return Ok(false);
        }
        let partition = keys.key_value(&self.source_key.hash.name)?;
        let sort = match &self.source_key.range {
            Some(range) => keys.key_value(&range.name)?,
            None => None,
        };
        out.clear();
        out.push(rank);
        push_sort_value(value, out);
        push_item_key(partition.unwrap_or_default(), sort.unwrap_or_default(), false, out);
        Ok(true)
    }

    /// The value of a member of an ordered structure, and the key of its item. `None`: the bytes are no member.
    pub fn read_member(&self, member: &[u8]) -> Option<(AttributeValue, Item)> {
        let (rank, rest) = member.split_first()?;
        let scalar = match *rank {
            RANK_N => ScalarType::N,
            RANK_S => ScalarType::S,
            RANK_B => ScalarType::B,
            _ => return None,
        };
        let (value, rest) = read_sort_value(scalar, rest)?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (partition, sort) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        Some((value, self.source_key.read_key(partition, sort)?))
    }
}

/// The order of the types in an ordered structure.
const RANK_N: u8 = 1;
const RANK_S: u8 = 2;
const RANK_B: u8 = 3;

/// Between two keys that are composed.
const JOINT: u8 = b'#';
/// In front of a joint, and of itself, inside of a key.
const ESCAPE: u8 = b'\\';

/// What is told of a key that is of another type.
fn misfit(column: &GroupColumn, scalar: ScalarType, found: &str) -> String {
    let GroupColumn { path, name, .. } = column;
    let named = if *name == path.last_name() { String::new() } else { format!(", name: {name}") };
    let help = match found {
        "S" | "N" | "B" => format!("write `group_by: [{{path: {path}{named}, type: {found}}}]`"),
        _ => "a key is S, N or B".to_owned(),
    };
    format!("{path} of an item is {found}, where group_by takes {}: such items are in no group; {help}", scalar.name())
}

/// Appends the bytes of a key value of this type. False: it is none.
fn push_key_value(scalar: ScalarType, value: &Encoded<'_>, out: &mut Vec<u8>) -> bool {
    match (scalar, value) {
        (ScalarType::S, Encoded::S(text)) if !text.is_empty() => out.extend_from_slice(text.as_bytes()),
        (ScalarType::B, Encoded::B(bytes)) if !bytes.is_empty() => out.extend_from_slice(bytes),
        (ScalarType::N, Encoded::N(number)) => number.number().encode_key(out),
        _ => return false,
    }
    true
}

/// Appends a value of this type as text. False: it is none.
fn push_composed(scalar: ScalarType, value: &Encoded<'_>, out: &mut Vec<u8>) -> bool {
    match (scalar, value) {
        (ScalarType::S, Encoded::S(text)) if !text.is_empty() => {
            for byte in text.bytes() {
                if byte == JOINT || byte == ESCAPE {
                    out.push(ESCAPE);
                }
                out.push(byte);
            }
        }
        (ScalarType::B, Encoded::B(bytes)) if !bytes.is_empty() => {
            out.extend_from_slice(BASE64.encode(bytes).as_bytes());
        }
        (ScalarType::N, Encoded::N(number)) => out.extend_from_slice(number.decimal().as_bytes()),
        _ => return false,
    }
    true
}

/// The keys that are composed in a text.
fn split_composed(text: &str) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '#' => parts.push(String::new()),
            '\\' => parts.last_mut()?.push(chars.next()?),
            char => parts.last_mut()?.push(char),
        }
    }
    Some(parts)
}

fn read_composed(scalar: ScalarType, text: String) -> Option<AttributeValue> {
    match scalar {
        ScalarType::S => read_key_value(ScalarType::S, text.as_bytes()),
        ScalarType::N => Number::parse(&text).ok().map(AttributeValue::N),
        ScalarType::B => BASE64.decode(text).ok().map(AttributeValue::B),
    }
}

/// A key schema for people: `(shippedDay S, region S)`.
pub struct ShownKey<'a>(pub &'a KeySchema);

impl fmt::Display for ShownKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {}", self.0.hash.name, self.0.hash.scalar.name())?;
        if let Some(range) = &self.0.range {
            write!(f, ", {} {}", range.name, range.scalar.name())?;
        }
        f.write_str(")")
    }
}
