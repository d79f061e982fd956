//! A stored item as patterns see it when they are about the item and not about its event: each attribute as plain JSON, without its
//! type tag. A number is a number (as near as the pattern language comes), a set is an array, a binary its base64.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::{Elements, Encoded, EncodedValue, Members};
use tailrace_core::json_text::StoredNumber;
use tailrace_pattern::{Kind, Node};

/// A place in an item.
#[derive(Clone)]
pub struct PlainItem<'a>(Place<'a>);

#[derive(Clone)]
enum Place<'a> {
    Members(Members<'a>),
    Value(EncodedValue<'a>),
    Text(&'a str),
    Number(StoredNumber<'a>),
    Binary(&'a [u8]),
}

impl<'a> PlainItem<'a> {
    /// The item.
    pub fn new(item: &StoredItem<'a>) -> PlainItem<'a> {
        PlainItem(Place::Members(item.members()))
    }
}

/// The number as the pattern language has it.
fn number(number: &StoredNumber<'_>) -> Kind<'static> {
    Kind::Number(number.decimal().parse().unwrap_or(f64::NAN))
}

impl Node for PlainItem<'_> {
    type Error = CodecError;

    fn kind(&self) -> Result<Kind<'_>, CodecError> {
        Ok(match &self.0 {
            Place::Members(_) => Kind::Object,
            Place::Text(text) => Kind::Text(Cow::Borrowed(text)),
            Place::Number(value) => number(value),
            Place::Binary(bytes) => Kind::Text(Cow::Owned(BASE64.encode(bytes))),
            Place::Value(value) => match value.read()? {
                Encoded::Null => Kind::Null,
                Encoded::Bool(value) => Kind::Bool(value),
                Encoded::S(text) => Kind::Text(Cow::Borrowed(text)),
                Encoded::N(value) => number(&value),
                Encoded::B(bytes) => Kind::Text(Cow::Owned(BASE64.encode(bytes))),
                Encoded::Ss(_) | Encoded::Ns(_) | Encoded::Bs(_) | Encoded::L(_) => Kind::Array,
                Encoded::M(_) => Kind::Object,
            },
        })
    }

    fn member(&self, name: &str) -> Result<Option<Self>, CodecError> {
        let found = match &self.0 {
            Place::Members(members) => members.find(name)?,
            Place::Value(value) => match value.read()? {
                Encoded::M(members) => members.find(name)?,
                _ => None,
            },
            _ => None,
        };
        Ok(found.map(|value| PlainItem(Place::Value(value))))
    }

    fn any_element(&self, answer: &mut dyn FnMut(Self) -> Result<bool, CodecError>) -> Result<bool, CodecError> {
        let Place::Value(value) = &self.0 else { return Ok(false) };
        type Next<'a> = fn(&mut Elements<'a>) -> Result<Option<Place<'a>>, CodecError>;
        let (mut elements, next): (_, Next<'_>) = match value.read()? {
            Encoded::Ss(elements) => (elements, |elements| Ok(elements.next_text()?.map(Place::Text))),
            Encoded::Ns(elements) => (elements, |elements| Ok(elements.next_number()?.map(Place::Number))),
            Encoded::Bs(elements) => (elements, |elements| Ok(elements.next_bytes()?.map(Place::Binary))),
            Encoded::L(elements) => (elements, |elements| Ok(elements.next_value()?.map(Place::Value))),
            _ => return Ok(false),
        };
        while let Some(element) = next(&mut elements)? {
            if answer(PlainItem(element))? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tailrace_core::Json;
    use tailrace_core::attribute_json::read_item;
    use tailrace_core::codec::encode_stored;
    use tailrace_pattern::Pattern;

    use super::*;

    #[test]
    fn an_item_is_matched_as_plain_json() {
        let item = r#"{"status":{"S":"SHIPPED"},"total":{"N":"12.50"},"gift":{"BOOL":true},"note":{"NULL":true},
            "tags":{"SS":["a","b"]},"sizes":{"NS":["1","2"]},"raw":{"B":"AAE="},"raws":{"BS":["AAE="]},
            "to":{"M":{"city":{"S":"Rome"}}},"lines":{"L":[{"M":{"sku":{"S":"x"}}},{"S":"loose"}]}}"#;
        let item = encode_stored(&read_item(Json::parse(item.as_bytes()).unwrap()).unwrap());
        let stored = StoredItem::new(&item).unwrap();
        for (pattern, expected) in [
            (json!({"status": ["SHIPPED"]}), true),
            (json!({"status": ["PACKED"]}), false),
            (json!({"status": {"S": ["SHIPPED"]}}), false),
            (json!({"total": [{"numeric": [">", 12, "<=", 12.5]}]}), true),
            (json!({"total": [12.5]}), true),
            (json!({"gift": [true]}), true),
            (json!({"note": [null]}), true),
            (json!({"tags": ["b"]}), true),
            (json!({"sizes": [2]}), true),
            (json!({"raw": ["AAE="], "raws": ["AAE="]}), true),
            (json!({"to": {"city": [{"prefix": "Ro"}]}}), true),
            (json!({"lines": {"sku": ["x"]}}), true),
            (json!({"lines": ["loose"]}), true),
            (json!({"missing": [{"exists": false}]}), true),
            (json!({"status": [{"exists": false}]}), false),
        ] {
            let compiled = Pattern::parse(&pattern.to_string()).unwrap();
            assert_eq!(compiled.matches(&PlainItem::new(&stored)).unwrap(), expected, "{pattern}");
        }
    }
}
