//! The codec's round trip, its canonical bytes, and that no bytes make it panic; the wire's JSON from both sources.

use proptest::prelude::*;

use super::*;
use crate::attribute_json::read_item;
use crate::json::Json;
use crate::json_text::JsonLength;
use crate::key::key_value_bytes;
use crate::number::Number;

fn number() -> impl Strategy<Value = Number> {
    (prop_oneof![any::<i64>(), -200..200i64], prop_oneof![-20i32..20, -130..107])
        .prop_map(|(n, e)| Number::parse(&format!("{n}e{e}")).unwrap())
}

fn value() -> impl Strategy<Value = AttributeValue> {
    let scalar = prop_oneof![
        any::<String>().prop_map(AttributeValue::S),
        number().prop_map(AttributeValue::N),
        any::<Vec<u8>>().prop_map(AttributeValue::B),
        any::<bool>().prop_map(AttributeValue::Bool),
        Just(AttributeValue::Null),
        prop::collection::btree_set(any::<String>(), 1..4).prop_map(AttributeValue::Ss),
        prop::collection::btree_set(number(), 1..4).prop_map(AttributeValue::Ns),
        prop::collection::btree_set(any::<Vec<u8>>(), 1..4).prop_map(AttributeValue::Bs),
    ];
    scalar.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::L),
            prop::collection::btree_map(".{1,3}", inner, 0..4).prop_map(AttributeValue::M),
        ]
    })
}

pub(crate) fn item() -> impl Strategy<Value = Item> {
    prop::collection::btree_map(".{1,5}", value(), 0..6)
}

fn bytes_of(item: &Item) -> Vec<u8> {
    let mut out = Vec::new();
    encode_item(item, &mut out);
    out
}

proptest! {
    #[test]
    fn items_read_back_and_only_equal_items_have_equal_bytes(a in item(), b in item()) {
        prop_assert_eq!(decode_item(&bytes_of(&a)), Ok(a.clone()));
        prop_assert_eq!(bytes_of(&a) == bytes_of(&b), a == b);
        let stored = encode_stored(&a);
        prop_assert_eq!(stored_size(&stored), item_size(&a));
        let stored = StoredItem::new(&stored).unwrap();
        prop_assert_eq!(stored.decode(), Ok(a.clone()));
        for (name, value) in &a {
            prop_assert_eq!(stored.attribute(name), Ok(Some(value.clone())));
            let key = key_value_bytes(value);
            prop_assert_eq!(stored.key_value(name), Ok(key.as_deref()));
        }
        prop_assert_eq!(stored.attribute(""), Ok(None));
        prop_assert_eq!(stored.key_value(""), Ok(None));
    }

    #[test]
    fn parts_of_a_stored_item_are_picked_without_decoding(a in item(), others in prop::collection::btree_set(".{0,3}", 0..4)) {
        let stored = encode_stored(&a);
        let stored = StoredItem::new(&stored).unwrap();
        let names: std::collections::BTreeSet<&str> =
            a.keys().step_by(2).chain(&others).map(String::as_str).collect();
        let names: Vec<&str> = names.into_iter().collect();
        let picked = stored.pick(&names).unwrap();
        for (name, picked) in names.iter().zip(&picked) {
            prop_assert_eq!(picked.map(|picked| picked.decode().unwrap()), a.get(*name).cloned());
            prop_assert!(picked.is_none_or(|picked| picked.name() == *name));
            prop_assert_eq!(picked.map(|picked| picked.type_name().unwrap()), a.get(*name).map(AttributeValue::type_name));
            let key_bytes = a.get(*name).and_then(crate::key::key_value_bytes);
            prop_assert_eq!(picked.and_then(|picked| picked.key_value()).map(|value| value.bytes.to_owned()), key_bytes);
        }
        let part: Item = names.iter().filter_map(|name| Some(((*name).to_owned(), a.get(*name)?.clone()))).collect();
        let present: Vec<_> = picked.into_iter().flatten().collect();
        let mut picked = Vec::new();
        prop_assert_eq!(push_picked(&present, &mut picked), Ok(()));
        prop_assert_eq!(picked, encode_stored(&part));
    }

    #[test]
    fn json_is_the_same_from_bytes_and_from_values_and_reads_back(a in item()) {
        let text = serde_json::to_string(&a).unwrap();
        let stored = encode_stored(&a);
        let stored = StoredItem::new(&stored).unwrap();
        prop_assert_eq!(&serde_json::to_string(&stored).unwrap(), &text);
        let (mut written, mut length) = (Vec::new(), JsonLength::default());
        stored.write_json(&mut written).unwrap();
        stored.write_json(&mut length).unwrap();
        prop_assert_eq!(std::str::from_utf8(&written).unwrap(), &text);
        prop_assert_eq!(length, JsonLength(text.len()), "measured as it is written");
        prop_assert_eq!(read_item(Json::parse(text.as_bytes()).unwrap()), Ok(a));
    }

    #[test]
    fn any_bytes_are_canonical_or_refused(bytes in any::<Vec<u8>>()) {
        if let Ok(item) = decode_item(&bytes) {
            prop_assert_eq!(bytes_of(&item), bytes);
        }
    }

    #[test]
    fn changed_bytes_are_canonical_or_refused(a in item(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = bytes_of(&a);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let stored = [&[0][..], &bytes].concat();
        let stored = StoredItem::new(&stored).unwrap();
        let json = serde_json::to_string(&stored);
        let (mut written, mut length) = (Vec::new(), JsonLength::default());
        prop_assert_eq!(stored.write_json(&mut written).is_ok(), json.is_ok());
        prop_assert_eq!(stored.write_json(&mut length).is_ok(), json.is_ok(), "what is measured can be written");
        match decode_item(&bytes) {
            Ok(item) => {
                prop_assert_eq!(json.unwrap(), serde_json::to_string(&item).unwrap());
                prop_assert_eq!(bytes_of(&item), bytes);
            }
            Err(error) => prop_assert!(error.left <= bytes.len()),
        }
    }
}

#[test]
fn bytes_of_one_item_stay_as_they_are() {
    let text = r#"{"pk":{"S":"a"},"n":{"N":"-12.5"},"b":{"B":"AAE="},"l":{"L":[{"BOOL":true},{"NULL":true}]},"s":{"NS":["1","100"]}}"#;
    let item = read_item(Json::parse(text.as_bytes()).unwrap()).unwrap();
    // One line each: head, b, l, n, pk, s.
    let expected = [
        &[31, 5][..],
        &[1, b'b', 0x05, 2, 0, 1],
        &[1, b'l', 0x09, 2, 0x02, 0x00],
        &[1, b'n', 0x04, 0x7f, !131, !13, !51, 0xff],
        &[2, b'p', b'k', 0x03, 1, b'a'],
        &[1, b's', 0x07, 2, 0x81, 130, 11, 0, 0x81, 132, 11, 0],
    ]
    .concat();
    let stored = encode_stored(&item);
    assert_eq!(&stored[1..], &expected[1..]);
    assert_eq!(usize::from(stored[0]), item_size(&item));
}

#[test]
fn nesting_is_bounded_when_decoding() {
    let nested = |levels: usize| {
        let mut bytes = vec![1, 1, b'a'];
        for _ in 1..levels {
            bytes.extend([TAG_L, 1]);
        }
        bytes.push(TAG_NULL);
        bytes
    };
    assert!(decode_item(&nested(NESTING_LEVELS_MAX)).is_ok());
    assert!(decode_item(&nested(NESTING_LEVELS_MAX + 1)).is_err());
}
