//! The canonical binary form of values and items: equal items, and only those, have equal bytes. Described byte for byte
//! in docs/format.md, section Item codec.
//!
//! Invariants: what is encoded decodes to an equal item; decoding accepts canonical bytes only (names and set members
//! strictly ascending, varints as short as possible, nothing behind the end), and answers an error for anything else, never a
//! panic; nesting is bounded on both ways.
//!
//! An item's stored value is its size by the service's rule as a varint, and then the codec's bytes, so that a page can
//! count sizes without decoding: [`encode_stored`], [`stored_size`], [`StoredItem`].

use std::collections::{BTreeMap, BTreeSet};

use crate::index_key::KeyValue;
use crate::key::ScalarType;
use crate::limits::NESTING_LEVELS_MAX;
use crate::number::NumberKey;
use crate::size::{item_size, value_size};
use crate::value::{AttributeValue, Item};

const TAG_NULL: u8 = 0x00;
const TAG_FALSE: u8 = 0x01;
const TAG_TRUE: u8 = 0x02;
const TAG_S: u8 = 0x03;
const TAG_N: u8 = 0x04;
const TAG_B: u8 = 0x05;
const TAG_SS: u8 = 0x06;
const TAG_NS: u8 = 0x07;
const TAG_BS: u8 = 0x08;
const TAG_L: u8 = 0x09;
const TAG_M: u8 = 0x0a;

/// The bytes are not what the codec writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded item: unexpected bytes, {left} before the end")]
pub struct CodecError {
    /// How many bytes are left where they stop making sense.
    pub left: usize,
}

// --------------------------------------------------------------------------------------------------------- encode

/// The stored value of an item: its size, then its bytes.
pub fn encode_stored(item: &Item) -> Vec<u8> {
    let size = item_size(item);
    let mut out = Vec::with_capacity(size + 4 * item.len() + 8);
    write_varint(size as u64, &mut out);
    encode_item(item, &mut out);
    out
}

/// Appends an item.
pub fn encode_item(item: &Item, out: &mut Vec<u8>) {
    write_varint(item.len() as u64, out);
    for (name, value) in item {
        write_bytes(name.as_bytes(), out);
        encode_value(value, out);
    }
}

/// Appends a value.
pub fn encode_value(value: &AttributeValue, out: &mut Vec<u8>) {
    match value {
        AttributeValue::Null => out.push(TAG_NULL),
        AttributeValue::Bool(false) => out.push(TAG_FALSE),
        AttributeValue::Bool(true) => out.push(TAG_TRUE),
        AttributeValue::S(text) => {
            out.push(TAG_S);
            write_bytes(text.as_bytes(), out);
        }
        AttributeValue::N(number) => {
            out.push(TAG_N);
            number.encode_key(out);
        }
        AttributeValue::B(bytes) => {
            out.push(TAG_B);
            write_bytes(bytes, out);
        }
        AttributeValue::Ss(members) => {
            out.push(TAG_SS);
            write_varint(members.len() as u64, out);
            members.iter().for_each(|member| write_bytes(member.as_bytes(), out));
        }
        AttributeValue::Ns(members) => {
            out.push(TAG_NS);
            write_varint(members.len() as u64, out);
            members.iter().for_each(|member| member.encode_key(out));
        }
        AttributeValue::Bs(members) => {
            out.push(TAG_BS);
            write_varint(members.len() as u64, out);
            members.iter().for_each(|member| write_bytes(member, out));
        }
        AttributeValue::L(elements) => {
            out.push(TAG_L);
            write_varint(elements.len() as u64, out);
            elements.iter().for_each(|element| encode_value(element, out));
        }
        AttributeValue::M(members) => {
            out.push(TAG_M);
            encode_item(members, out);
        }
    }
}

fn write_varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

// --------------------------------------------------------------------------------------------------------- decode

/// A stored item that is not decoded yet. Writing it as the wire's JSON (`serde::Serialize`, see `wire_json`) needs no decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredItem<'a> {
    size: usize,
    bytes: &'a [u8],
}

impl<'a> StoredItem<'a> {
    /// Reads the head of a stored value.
    ///
    /// # Errors
    /// The bytes are not what [`encode_stored`] writes, so far as the head shows it.
    pub fn new(value: &'a [u8]) -> Result<StoredItem<'a>, CodecError> {
        let mut reader = Reader::new(value);
        let size = reader.length_up_to(usize::MAX)?;
        Ok(StoredItem { size, bytes: reader.rest })
    }

    /// The item's size by the service's rule.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The item.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn decode(&self) -> Result<Item, CodecError> {
        decode_item(self.bytes)
    }

    /// One attribute, found without decoding the others.
    ///
    /// # Errors
    /// The bytes up to it are not what the codec writes.
    pub fn attribute(&self, name: &str) -> Result<Option<AttributeValue>, CodecError> {
        self.find(name)?.map(|mut reader| reader.value(1)).transpose()
    }

    /// The bytes of a key attribute, as `key::key_value_bytes` has them; `None` if it is not there or its type is no key's.
    ///
    /// # Errors
    /// The bytes up to it are not what the codec writes.
    pub fn key_value(&self, name: &str) -> Result<Option<&'a [u8]>, CodecError> {
        let Some(mut reader) = self.find(name)? else { return Ok(None) };
        let before = reader.rest;
        Ok(match reader.head(1)? {
            Head::S(text) => Some(text.as_bytes()),
            Head::B(bytes) => Some(bytes),
            // Behind the tag it is stored as a key is.
            Head::N(_) => Some(&before[1..before.len() - reader.rest.len()]),
            _ => None,
        })
    }

    /// A reader that stands before the value of an attribute.
    fn find(&self, name: &str) -> Result<Option<Reader<'a>>, CodecError> {
        let mut reader = Reader::new(self.bytes);
        for _ in 0..reader.count()? {
            match reader.text()?.cmp(name) {
                std::cmp::Ordering::Less => reader.skip_value(1)?,
                std::cmp::Ordering::Equal => return Ok(Some(reader)),
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    /// The attributes of these names, which ascend, found without decoding anything: for each name what there is.
    ///
    /// # Errors
    /// The bytes up to the last of them are not what the codec writes.
    pub fn pick(&self, names: &[&str]) -> Result<Vec<Option<EncodedAttribute<'a>>>, CodecError> {
        debug_assert!(names.is_sorted());
        let mut picked = vec![None; names.len()];
        let mut wanted = 0;
        let mut reader = Reader::new(self.bytes);
        for _ in 0..reader.count()? {
            let start = reader.rest;
            let name = reader.text()?;
            let value = reader.rest;
            reader.skip_value(1)?;
            while names.get(wanted).is_some_and(|wanted| *wanted < name) {
                wanted += 1;
            }
            match names.get(wanted) {
                None => break,
                Some(wanted_name) if *wanted_name != name => {}
                Some(_) => {
                    let (bytes, value) = (reader.passed(start), reader.passed(value));
                    picked[wanted] = Some(EncodedAttribute { name, bytes, value });
                }
            }
        }
        Ok(picked)
    }

    pub(crate) fn reader(&self) -> Reader<'a> {
        Reader::new(self.bytes)
    }
}

/// A top-level attribute of a stored item, as it is encoded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedAttribute<'a> {
    name: &'a str,
    /// Name and value.
    bytes: &'a [u8],
    value: &'a [u8],
}

impl<'a> EncodedAttribute<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The encoded value: equal values, and only those, have equal bytes.
    pub fn value_bytes(&self) -> &'a [u8] {
        self.value
    }

    /// The name of the value's type on the wire.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn type_name(&self) -> Result<&'static str, CodecError> {
        Ok(match Reader::new(self.value).head(1)? {
            Head::Null => "NULL",
            Head::Bool(_) => "BOOL",
            Head::S(_) => "S",
            Head::N(_) => "N",
            Head::B(_) => "B",
            Head::Ss(_) => "SS",
            Head::Ns(_) => "NS",
            Head::Bs(_) => "BS",
            Head::L(_) => "L",
            Head::M(_) => "M",
        })
    }

    /// The value's type and the bytes that it has in keys; `None`: no key has values of its type.
    pub fn key_value(&self) -> Option<KeyValue<'a>> {
        let mut reader = Reader::new(self.value);
        let (scalar, bytes) = match reader.byte().ok()? {
            TAG_S => (ScalarType::S, reader.bytes().ok()?),
            TAG_B => (ScalarType::B, reader.bytes().ok()?),
            // A number's bytes in keys are those of the codec.
            TAG_N => (ScalarType::N, reader.rest),
            _ => return None,
        };
        Some(KeyValue { scalar, bytes })
    }

    /// The value.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn decode(&self) -> Result<AttributeValue, CodecError> {
        Reader::new(self.value).value(1)
    }
}

/// Appends the stored item that has these attributes, which ascend by name.
///
/// # Errors
/// The bytes of one are not what the codec writes.
pub fn push_picked(attributes: &[EncodedAttribute<'_>], out: &mut Vec<u8>) -> Result<(), CodecError> {
    debug_assert!(attributes.is_sorted_by_key(|attribute| attribute.name));
    let (mut size, mut length) = (0, 0);
    for attribute in attributes {
        size += attribute.name.len() + encoded_value_size(attribute.value)?;
        length += attribute.bytes.len();
    }
    out.reserve(length + 8);
    write_varint(size as u64, out);
    write_varint(attributes.len() as u64, out);
    attributes.iter().for_each(|attribute| out.extend_from_slice(attribute.bytes));
    Ok(())
}

/// The size of an encoded value by the service's rule.
fn encoded_value_size(value: &[u8]) -> Result<usize, CodecError> {
    let mut reader = Reader::new(value);
    match reader.head(1)? {
        Head::S(text) => Ok(text.len()),
        Head::B(bytes) => Ok(bytes.len()),
        Head::N(number) => Ok(number.storage_size()),
        Head::Null | Head::Bool(_) => Ok(1),
        _ => Reader::new(value).value(1).map(|value| value_size(&value)),
    }
}

/// The size in the head of a stored value; for anything else, the length of the bytes, so that a page always ends.
pub fn stored_size(value: &[u8]) -> usize {
    StoredItem::new(value).map_or(value.len(), |item| item.size())
}

/// Reads an item.
///
/// # Errors
/// The bytes are not exactly one item as [`encode_item`] writes it.
pub fn decode_item(bytes: &[u8]) -> Result<Item, CodecError> {
    let mut reader = Reader::new(bytes);
    let item = reader.members(1)?;
    reader.finish()?;
    Ok(item)
}

/// Walks over encoded bytes. `level` counts as the nesting rule does: a top-level attribute's value is level 1.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// The head of a value: a whole scalar, or a container's length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Head<'a> {
    Null,
    Bool(bool),
    S(&'a str),
    N(NumberKey<'a>),
    B(&'a [u8]),
    Ss(usize),
    Ns(usize),
    Bs(usize),
    L(usize),
    M(usize),
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn error(&self) -> CodecError {
        CodecError { left: self.rest.len() }
    }

    pub(crate) fn finish(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.error()) }
    }

    fn byte(&mut self) -> Result<u8, CodecError> {
        let (&first, rest) = self.rest.split_first().ok_or(self.error())?;
        self.rest = rest;
        Ok(first)
    }

    fn length_up_to(&mut self, most: usize) -> Result<usize, CodecError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(self.error());
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let shortest = byte != 0 || shift == 0;
                return usize::try_from(number).ok().filter(|n| shortest && *n <= most).ok_or(self.error());
            }
        }
        Err(self.error())
    }

    /// A number of members, each of which has at least one byte: so it allocates no more than the bytes are long.
    pub(crate) fn count(&mut self) -> Result<usize, CodecError> {
        let most = self.rest.len();
        self.length_up_to(most)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = self.length_up_to(self.rest.len())?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(self.error())?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, CodecError> {
        let error = self.error();
        std::str::from_utf8(self.bytes()?).map_err(|_| error)
    }

    pub(crate) fn number(&mut self) -> Result<NumberKey<'a>, CodecError> {
        let (number, rest) = NumberKey::read(self.rest).ok_or(self.error())?;
        self.rest = rest;
        Ok(number)
    }

    pub(crate) fn head(&mut self, level: usize) -> Result<Head<'a>, CodecError> {
        if level > NESTING_LEVELS_MAX {
            return Err(self.error());
        }
        Ok(match self.byte()? {
            TAG_NULL => Head::Null,
            TAG_FALSE => Head::Bool(false),
            TAG_TRUE => Head::Bool(true),
            TAG_S => Head::S(self.text()?),
            TAG_N => Head::N(self.number()?),
            TAG_B => Head::B(self.bytes()?),
            TAG_SS => Head::Ss(self.count()?),
            TAG_NS => Head::Ns(self.count()?),
            TAG_BS => Head::Bs(self.count()?),
            TAG_L => Head::L(self.count()?),
            TAG_M => Head::M(self.count()?),
            _ => return Err(self.error()),
        })
    }

    fn value(&mut self, level: usize) -> Result<AttributeValue, CodecError> {
        Ok(match self.head(level)? {
            Head::Null => AttributeValue::Null,
            Head::Bool(value) => AttributeValue::Bool(value),
            Head::S(text) => AttributeValue::S(text.to_owned()),
            Head::N(number) => AttributeValue::N(number.number()),
            Head::B(bytes) => AttributeValue::B(bytes.to_owned()),
            Head::Ss(count) => AttributeValue::Ss(self.set(count, |reader| reader.text().map(str::to_owned))?),
            Head::Ns(count) => {
                AttributeValue::Ns(self.set(count, |reader| reader.number().map(|number| number.number()))?)
            }
            Head::Bs(count) => AttributeValue::Bs(self.set(count, |reader| reader.bytes().map(<[u8]>::to_owned))?),
            Head::L(count) => AttributeValue::L((0..count).map(|_| self.value(level + 1)).collect::<Result<_, _>>()?),
            Head::M(count) => AttributeValue::M(self.counted_members(count, level + 1)?),
        })
    }

    fn set<T: Ord>(
        &mut self,
        count: usize,
        mut member: impl FnMut(&mut Self) -> Result<T, CodecError>,
    ) -> Result<BTreeSet<T>, CodecError> {
        let mut members: Vec<T> = Vec::with_capacity(count.min(self.rest.len()));
        for _ in 0..count {
            let next = member(self)?;
            if members.last().is_some_and(|last| *last >= next) {
                return Err(self.error());
            }
            members.push(next);
        }
        // No set is stored empty.
        if members.is_empty() { Err(self.error()) } else { Ok(members.into_iter().collect()) }
    }

    fn members(&mut self, level: usize) -> Result<BTreeMap<String, AttributeValue>, CodecError> {
        let count = self.count()?;
        self.counted_members(count, level)
    }

    fn counted_members(&mut self, count: usize, level: usize) -> Result<BTreeMap<String, AttributeValue>, CodecError> {
        let mut members: Vec<(String, AttributeValue)> = Vec::with_capacity(count.min(self.rest.len() / 2 + 1));
        for _ in 0..count {
            let name = self.text()?;
            if members.last().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(self.error());
            }
            let value = self.value(level)?;
            members.push((name.to_owned(), value));
        }
        Ok(members.into_iter().collect())
    }

    /// What was read since `rest` was left.
    fn passed(&self, rest: &'a [u8]) -> &'a [u8] {
        &rest[..rest.len() - self.rest.len()]
    }

    /// What was read since it stood where `earlier` stands.
    pub(crate) fn passed_since(&self, earlier: &Reader<'a>) -> &'a [u8] {
        self.passed(earlier.rest)
    }

    pub(crate) fn skip_value(&mut self, level: usize) -> Result<(), CodecError> {
        match self.head(level)? {
            Head::Null | Head::Bool(_) | Head::S(_) | Head::N(_) | Head::B(_) => Ok(()),
            Head::Ss(count) | Head::Bs(count) => (0..count).try_for_each(|_| self.bytes().map(|_| ())),
            Head::Ns(count) => (0..count).try_for_each(|_| self.number().map(|_| ())),
            Head::L(count) => (0..count).try_for_each(|_| self.skip_value(level + 1)),
            Head::M(count) => (0..count).try_for_each(|_| {
                self.bytes()?;
                self.skip_value(level + 1)
            }),
        }
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
pub(crate) mod tests;
