//! The documents: an item as plain JSON, and an entry of a change log. Written from the stored bytes in one pass.
//!
//! Numbers are JSON numbers with every digit; sets are arrays in their stored order; binary is a string of its base64; what a
//! user says of single attributes ([`Types`]) comes first. Source: docs/spec/sinks.md 3.3.

use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::{Step, Walk};
use tailrace_core::json_text::{JsonText, StoredNumber};
use tailrace_core::number::Number;
use tailrace_engine::streams::record::StreamRecord;

use super::types::{Coercion, Types};
use crate::objects::partition::record::is_ttl;

/// Appends an item.
pub(super) fn write_item(stored: &[u8], types: &Types, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let (mut walk, count) = StoredItem::new(stored)?.walk()?;
    write_members(&mut walk, count, 1, Some(types), out)?;
    walk.finish()
}

/// What an entry of a change log says besides the record.
pub(super) struct Entry<'a> {
    pub table: &'a str,
    pub shard_id: &'a str,
    pub event_id: &'a str,
}

/// Appends an entry of a change log: the columns of docs/spec/sinks.md 2.6, with `event_time` in milliseconds of the epoch.
pub(super) fn write_entry(
    entry: &Entry<'_>,
    record: &StreamRecord,
    types: &Types,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    out.raw(br#"{"table":"#);
    out.string(entry.table);
    out.raw(br#","event_name":"#);
    out.string(record.meta.kind.name());
    out.raw(br#","event_id":"#);
    out.string(entry.event_id);
    out.raw(br#","shard_id":"#);
    out.string(entry.shard_id);
    out.raw(br#","sequence_number":""#);
    out.raw(&record.sequence_number().digits());
    out.raw(br#"","lsn":"#);
    out.whole(record.number.0);
    out.raw(br#","event_time":"#);
    out.whole(record.time_ms.0);
    out.raw(br#","is_ttl":"#);
    out.raw(if is_ttl(record) { b"true" } else { b"false" });
    out.raw(br#","keys":"#);
    write_item(&record.meta.keys, types, out)?;
    for (name, image) in [(br#","new_image":"#, &record.new), (br#","old_image":"#, &record.old)] {
        if let Some(image) = image {
            out.raw(name);
            write_item(image, types, out)?;
        }
    }
    out.raw(b"}");
    Ok(())
}

fn write_members(
    walk: &mut Walk<'_>,
    count: usize,
    level: usize,
    types: Option<&Types>,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    out.push(b'{');
    let begin = out.len();
    for _ in 0..count {
        let name = walk.text()?;
        let types = types.and_then(|types| types.member(name));
        if types.and_then(|types| types.coercion) == Some(Coercion::Omit) {
            walk.skip(level)?;
            continue;
        }
        if out.len() > begin {
            out.push(b',');
        }
        out.string(name);
        out.push(b':');
        write_value(walk, level, types, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_value(walk: &mut Walk<'_>, level: usize, types: Option<&Types>, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let coercion = types.and_then(|types| types.coercion);
    if coercion == Some(Coercion::Json) {
        return as_text(out, |json| write_value(walk, level, None, json));
    }
    match walk.value(level)? {
        Step::Null => out.raw(b"null"),
        Step::Bool(value) => write_bool(value, coercion, out),
        Step::S(text) => write_text(text, coercion, out),
        Step::N(number) => write_number(number, coercion, out),
        Step::B(bytes) => out.binary(bytes),
        Step::Ss(count) => write_elements(count, out, |out| {
            write_text(walk.text()?, coercion, out);
            Ok(())
        })?,
        Step::Ns(count) => write_elements(count, out, |out| {
            write_number(walk.number()?, coercion, out);
            Ok(())
        })?,
        Step::Bs(count) => write_elements(count, out, |out| {
            out.binary(walk.bytes()?);
            Ok(())
        })?,
        // A list is at its own place in the index: what is said of the place is said of each element.
        Step::L(count) => write_elements(count, out, |out| write_value(walk, level + 1, types, out))?,
        Step::M(count) if coercion == Some(Coercion::String) => {
            as_text(out, |json| write_members(walk, count, level + 1, None, json))?;
        }
        Step::M(count) => write_members(walk, count, level + 1, types, out)?,
    }
    Ok(())
}

/// Appends what `write` writes, as one string.
fn as_text(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>) -> Result<(), CodecError> {
    let mut json = Vec::new();
    write(&mut json)?;
    out.string(&String::from_utf8_lossy(&json));
    Ok(())
}

fn write_elements(
    count: usize,
    out: &mut Vec<u8>,
    mut element: impl FnMut(&mut Vec<u8>) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    out.push(b'[');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        element(out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_bool(value: bool, coercion: Option<Coercion>, out: &mut Vec<u8>) {
    let text = if value { "true" } else { "false" };
    match coercion {
        Some(Coercion::String) => out.string(text),
        _ => out.raw(text.as_bytes()),
    }
}

fn write_text(text: &str, coercion: Option<Coercion>, out: &mut Vec<u8>) {
    match coercion {
        Some(Coercion::Number) => match Number::parse(text) {
            Ok(number) => out.raw(number.to_string().as_bytes()),
            Err(_) => out.string(text),
        },
        Some(Coercion::Boolean) if matches!(text, "true" | "false") => out.raw(text.as_bytes()),
        _ => out.string(text),
    }
}

fn write_number(number: StoredNumber<'_>, coercion: Option<Coercion>, out: &mut Vec<u8>) {
    let begin = out.len();
    match coercion {
        Some(Coercion::String) => out.number(number),
        _ => number.write_decimal(out),
    }
    if coercion == Some(Coercion::Boolean) {
        let value = match &out[begin..] {
            b"0" => &b"false"[..],
            b"1" => b"true",
            _ => return,
        };
        out.truncate(begin);
        out.raw(value);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tailrace_core::AttributeValue;
    use tailrace_core::codec::encode_stored;

    use super::*;
    use crate::search::tests::item;

    fn document(stored: &Value, types: &Value) -> String {
        let paths: BTreeMap<String, Coercion> = serde_json::from_value(types.clone()).unwrap();
        let mut out = Vec::new();
        write_item(&encode_stored(&item(stored)), &Types::new(&paths), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Spec: sinks.md 3.3, plain JSON: numbers exact, sets as arrays, binary as base64.
    #[test]
    fn an_item_is_plain_json() {
        let stored = json!({
            "b": {"B": "/wA="}, "bs": {"BS": ["AQ==", "Ag=="]}, "f": {"BOOL": false}, "l": {"L": [{"N": "1"}, {"NULL": true}, {"L": []}]},
            "m": {"M": {"k\n": {"M": {}}, "z": {"S": "\"é"}}}, "n": {"N": "12345678901234567890123456789.012345678"},
            "ns": {"NS": ["10", "-0.5"]}, "s": {"S": "5"}, "ss": {"SS": ["b", "a"]}, "t": {"BOOL": true}, "x": {"N": "1e-130"},
        });
        let small = format!("0.{}1", "0".repeat(129));
        let expected = r#"{"b":"/wA=","bs":["AQ==","Ag=="],"f":false,"l":[1,null,[]],"m":{"k\n":{},"z":"\"é"},"#
            .to_owned()
            + &format!(
                r#""n":12345678901234567890123456789.012345678,"ns":[-0.5,10],"s":"5","ss":["a","b"],"t":true,"x":{small}}}"#
            );
        assert_eq!(document(&stored, &json!({})), expected);
    }

    #[test]
    fn attributes_are_made_into_what_the_user_says() {
        let stored = json!({
            "n": {"N": "1.50"}, "s": {"S": "2.50"}, "t": {"S": "true"}, "l": {"L": [{"N": "1"}, {"S": "x"}, {"BOOL": true}]},
            "m": {"M": {"a": {"N": "1"}, "b": {"S": "7"}}}, "ns": {"NS": ["1", "2"]}, "ss": {"SS": ["1", "x"]}, "d.e": {"S": "8"},
            "lm": {"L": [{"M": {"a": {"N": "1"}}}]}, "no": {"NULL": true}, "b": {"B": "/w=="},
        });
        for (types, attribute, expected) in [
            (json!({"n": "string"}), "n", r#""1.5""#),
            (json!({"n": "number"}), "n", "1.5"),
            (json!({"n": "json"}), "n", r#""1.5""#),
            (json!({"s": "number"}), "s", "2.5"),
            (json!({"t": "number"}), "t", r#""true""#),
            (json!({"t": "boolean"}), "t", "true"),
            (json!({"l": "string"}), "l", r#"["1","x","true"]"#),
            (json!({"l": "boolean"}), "l", r#"[true,"x",true]"#),
            (json!({"l": "json"}), "l", r#""[1,\"x\",true]""#),
            (json!({"m": "string"}), "m", r#""{\"a\":1,\"b\":\"7\"}""#),
            (json!({"m.b": "number"}), "m", r#"{"a":1,"b":7}"#),
            (json!({"m.a": "omit", "m.b": "omit"}), "m", "{}"),
            (json!({"ns": "string"}), "ns", r#"["1","2"]"#),
            (json!({"ss": "number"}), "ss", r#"[1,"x"]"#),
            (json!({"d.e": "number"}), "d.e", "8"),
            (json!({"lm.a": "string"}), "lm", r#"[{"a":"1"}]"#),
            (json!({"no": "string"}), "no", "null"),
            (json!({"b": "string"}), "b", r#""/w==""#),
        ] {
            let written = document(&stored, &types);
            let member = format!("{}:{expected}", json!(attribute));
            assert!(written.contains(&member), "{types}: {member} is not in {written}");
            serde_json::from_str::<Value>(&written).unwrap();
        }
        let all_but_one: BTreeMap<&String, &str> =
            stored.as_object().unwrap().keys().filter(|name| *name != "no").map(|name| (name, "omit")).collect();
        assert_eq!(document(&stored, &json!(all_but_one)), r#"{"no":null}"#);
    }

    /// What a document of a value is, made the slow way.
    fn plain(value: &AttributeValue) -> Value {
        let number = |number: &Number| serde_json::from_str(&number.to_string()).unwrap();
        match value {
            AttributeValue::Null => Value::Null,
            AttributeValue::Bool(value) => json!(value),
            AttributeValue::S(text) => json!(text),
            AttributeValue::N(value) => number(value),
            AttributeValue::B(bytes) => json!(base64(bytes)),
            AttributeValue::Ss(members) => json!(members),
            AttributeValue::Ns(members) => members.iter().map(number).collect(),
            AttributeValue::Bs(members) => members.iter().map(|bytes| json!(base64(bytes))).collect(),
            AttributeValue::L(elements) => elements.iter().map(plain).collect(),
            AttributeValue::M(members) => {
                Value::Object(members.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
            }
        }
    }

    fn base64(bytes: &[u8]) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    fn any_value() -> impl Strategy<Value = AttributeValue> {
        let number = || any::<i32>().prop_map(|number| Number::parse(&number.to_string()).unwrap());
        let scalar = prop_oneof![
            ".{0,6}".prop_map(AttributeValue::S),
            number().prop_map(AttributeValue::N),
            any::<[u8; 4]>().prop_map(|bytes| AttributeValue::B(bytes.to_vec())),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null),
            prop::collection::btree_set(".{0,2}", 1..3).prop_map(AttributeValue::Ss),
            prop::collection::btree_set(number(), 1..3).prop_map(AttributeValue::Ns),
        ];
        scalar.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
                prop::collection::btree_map(".{1,3}", inner, 0..4).prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_item_is_the_json_that_it_should_be(
            item in prop::collection::btree_map(".{1,3}", any_value(), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let stored = encode_stored(&item);
            let mut out = Vec::new();
            write_item(&stored, &Types::default(), &mut out).unwrap();
            let written: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&written, &plain(&AttributeValue::M(item)));
            // Damaged bytes are an error.
            prop_assert!(write_item(&stored[..cut.index(stored.len())], &Types::default(), &mut Vec::new()).is_err());
        }
    }
}
