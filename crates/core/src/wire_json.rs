//! Attribute values as the wire writes them: `{"S":"text"}`, numbers as their canonical text, binary as base64.
//!
//! Two sources, the same text: decoded values, and stored items straight from their encoded bytes ([`StoredItem`]), which
//! is what reads and stream records are made of. Attributes, map members and sets come out in their stored order.

use std::cell::RefCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::{Error as _, Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::codec::{CodecError, Head, Reader, StoredItem};
use crate::number::Number;
use crate::value::AttributeValue;

struct NumberText(Number);

impl Serialize for NumberText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(48);
        self.0.write_decimal(&mut text);
        serializer.serialize_str(&text)
    }
}

struct Base64Text<'a>(&'a [u8]);

impl Serialize for Base64Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

fn entry<S: Serializer>(serializer: S, datatype: &'static str, value: &impl Serialize) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(datatype, value)?;
    map.end()
}

impl Serialize for AttributeValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let datatype = self.type_name();
        match self {
            AttributeValue::S(text) => entry(serializer, datatype, text),
            AttributeValue::N(number) => entry(serializer, datatype, &NumberText(*number)),
            AttributeValue::B(bytes) => entry(serializer, datatype, &Base64Text(bytes)),
            AttributeValue::Bool(value) => entry(serializer, datatype, value),
            AttributeValue::Null => entry(serializer, datatype, &true),
            AttributeValue::Ss(members) => entry(serializer, datatype, members),
            AttributeValue::Ns(members) => {
                entry(serializer, datatype, &members.iter().copied().map(NumberText).collect::<Vec<_>>())
            }
            AttributeValue::Bs(members) => {
                entry(serializer, datatype, &members.iter().map(|member| Base64Text(member)).collect::<Vec<_>>())
            }
            AttributeValue::L(elements) => entry(serializer, datatype, elements),
            AttributeValue::M(members) => entry(serializer, datatype, members),
        }
    }
}

/// A stored item as JSON, from its bytes. Bytes that are no item are an error of the serialiser.
impl Serialize for StoredItem<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let walk = Walk(RefCell::new(self.reader()));
        let count = walk.read(Reader::count)?;
        let done = walk.members(serializer, count, 1)?;
        walk.read(|reader| reader.finish())?;
        Ok(done)
    }
}

/// A walk over encoded bytes that moves on while `serde` asks for the parts. Each part is asked for once, in order.
struct Walk<'a>(RefCell<Reader<'a>>);

impl<'a> Walk<'a> {
    fn read<T, E: serde::ser::Error>(
        &self,
        part: impl FnOnce(&mut Reader<'a>) -> Result<T, CodecError>,
    ) -> Result<T, E> {
        part(&mut self.0.borrow_mut()).map_err(E::custom)
    }

    fn members<S: Serializer>(&self, serializer: S, count: usize, level: usize) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(count))?;
        for _ in 0..count {
            let name = self.read(Reader::text)?;
            map.serialize_entry(name, &Part { walk: self, part: PartKind::Value { level } })?;
        }
        map.end()
    }
}

struct Part<'w, 'a> {
    walk: &'w Walk<'a>,
    part: PartKind,
}

#[derive(Clone, Copy)]
enum PartKind {
    Value { level: usize },
    Strings(usize),
    Numbers(usize),
    Binaries(usize),
    List { count: usize, level: usize },
    Members { count: usize, level: usize },
}

impl Part<'_, '_> {
    fn with(&self, part: PartKind) -> Self {
        Part { walk: self.walk, part }
    }
}

impl Serialize for Part<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = match self.part {
            PartKind::Value { level } => return self.value(serializer, level),
            PartKind::Members { count, level } => return self.walk.members(serializer, count, level),
            PartKind::Strings(count) | PartKind::Numbers(count) | PartKind::Binaries(count) => count,
            PartKind::List { count, .. } => count,
        };
        let mut list = serializer.serialize_seq(Some(count))?;
        for _ in 0..count {
            match self.part {
                PartKind::Strings(_) => list.serialize_element(self.walk.read(Reader::text)?)?,
                PartKind::Numbers(_) => {
                    list.serialize_element(&NumberText(self.walk.read(Reader::number)?.number()))?
                }
                PartKind::Binaries(_) => list.serialize_element(&Base64Text(self.walk.read(Reader::bytes)?))?,
                PartKind::List { level, .. } => list.serialize_element(&self.with(PartKind::Value { level }))?,
                PartKind::Value { .. } | PartKind::Members { .. } => return Err(S::Error::custom("not a list")),
            }
        }
        list.end()
    }
}

impl Part<'_, '_> {
    fn value<S: Serializer>(&self, serializer: S, level: usize) -> Result<S::Ok, S::Error> {
        let inner = level + 1;
        match self.walk.read(|reader| reader.head(level))? {
            Head::Null => entry(serializer, "NULL", &true),
            Head::Bool(value) => entry(serializer, "BOOL", &value),
            Head::S(text) => entry(serializer, "S", &text),
            Head::N(number) => entry(serializer, "N", &NumberText(number.number())),
            Head::B(bytes) => entry(serializer, "B", &Base64Text(bytes)),
            Head::Ss(count) => entry(serializer, "SS", &self.with(PartKind::Strings(count))),
            Head::Ns(count) => entry(serializer, "NS", &self.with(PartKind::Numbers(count))),
            Head::Bs(count) => entry(serializer, "BS", &self.with(PartKind::Binaries(count))),
            Head::L(count) => entry(serializer, "L", &self.with(PartKind::List { count, level: inner })),
            Head::M(count) => entry(serializer, "M", &self.with(PartKind::Members { count, level: inner })),
        }
    }
}
