//! The canonical JSON of items: RFC 8785 over the form that DynamoDB's API has for attribute values (`{"S":"text"}`, numbers as the text
//! of their decimal, binaries as base64). Equal items, and only those, have equal bytes.
//!
//! Strings are escaped as the RFC wants it by `tailrace_core::json_text`, and there are no numbers but in strings. What is left is the
//! order of names: the RFC's is that of UTF-16, stored items have that of UTF-8. They differ only where a name has a character from
//! U+E000 on, so only items that may have one are sorted again.

use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::json_text::JsonText;
use tailrace_core::{AttributeValue, Item};

/// Appends the JSON of a stored item.
///
/// # Errors
/// The bytes are no stored item; what was appended before is no JSON.
pub fn push_stored(stored: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let item = StoredItem::new(stored)?;
    // The first byte of every character from U+E000 on is at least this.
    let may_differ = stored.iter().fold(false, |found, byte| found | (*byte >= 0xee));
    if !may_differ {
        return item.write_json(out);
    }
    push_item(&item.decode()?, out);
    Ok(())
}

/// Appends the JSON of an item.
pub fn push_item(item: &Item, out: &mut Vec<u8>) {
    push_members(item, out, |_, value, out| push_value(value, out));
}

/// Appends an object that has a member for each attribute, in the order of the RFC.
pub fn push_members(item: &Item, out: &mut Vec<u8>, push: impl Fn(&str, &AttributeValue, &mut Vec<u8>)) {
    let mut members: Vec<(&String, &AttributeValue)> = item.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    out.push(b'{');
    for (index, (name, value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.string(name);
        out.push(b':');
        push(name, value, out);
    }
    out.push(b'}');
}

/// Appends the JSON of a value.
pub fn push_value(value: &AttributeValue, out: &mut Vec<u8>) {
    match value {
        AttributeValue::M(members) => {
            out.raw(br#"{"M":"#);
            push_item(members, out);
            out.push(b'}');
        }
        AttributeValue::L(elements) => {
            out.raw(br#"{"L":["#);
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_value(element, out);
            }
            out.raw(b"]}");
        }
        // No names in it: the order is that of the stored value.
        scalar => serde_json::to_writer(out, scalar).expect("invariant: a vector takes every byte"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tailrace_core::Number;
    use tailrace_core::codec::encode_stored;

    use super::*;

    fn text(item: &Item) -> String {
        let mut out = Vec::new();
        push_stored(&encode_stored(item), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    /// The names and their order are those of RFC 8785, 3.2.3.
    #[test]
    fn names_come_in_the_order_of_utf_16() {
        let names = ["\u{20ac}", "\r", "\u{fb33}", "1", "\u{1f600}", "\u{80}", "\u{f6}"];
        let item: Item = names.iter().map(|name| ((*name).to_owned(), s("v"))).collect();
        let inner = Item::from([("m".to_owned(), AttributeValue::M(item.clone()))]);
        let expected = "{\"\\r\":{\"S\":\"v\"},\"1\":{\"S\":\"v\"},\"\u{80}\":{\"S\":\"v\"},\"\u{f6}\":{\"S\":\"v\"},\
                        \"\u{20ac}\":{\"S\":\"v\"},\"\u{1f600}\":{\"S\":\"v\"},\"\u{fb33}\":{\"S\":\"v\"}}";
        assert_eq!(text(&item), expected);
        assert_eq!(text(&inner), format!("{{\"m\":{{\"M\":{expected}}}}}"));
    }

    #[test]
    fn strings_are_escaped_as_the_rfc_wants_it() {
        let item = Item::from([("a".to_owned(), s("\u{20ac}$\u{f}\nA'B\"\\\\\"/\u{7f}\u{2028}"))]);
        assert_eq!(text(&item), "{\"a\":{\"S\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\u{2028}\"}}");
    }

    fn values() -> impl Strategy<Value = AttributeValue> {
        let scalar = prop_oneof![
            "[a-z\u{e000}\u{1f600}\"\n]{0,4}".prop_map(AttributeValue::S),
            any::<i32>().prop_map(|n| AttributeValue::N(Number::from(i64::from(n)))),
            proptest::collection::vec(any::<u8>(), 0..4).prop_map(AttributeValue::B),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null),
            proptest::collection::btree_set(any::<i8>(), 1..4).prop_map(|numbers| AttributeValue::Ns(
                numbers.into_iter().map(|n| Number::from(i64::from(n))).collect()
            )),
            proptest::collection::btree_set("[a-c]{1,2}", 1..4).prop_map(AttributeValue::Ss),
        ];
        scalar.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
                proptest::collection::btree_map("[a-c\u{e000}\u{1f600}]{1,2}", inner, 0..4).prop_map(AttributeValue::M),
            ]
        })
    }

    proptest! {
        /// Both ways write the same, and what `serde_json` reads is what the API has.
        #[test]
        fn the_quick_way_and_the_sorted_way_agree(
            item in proptest::collection::btree_map("[a-c\u{e000}\u{1f600}]{1,2}", values(), 0..4)
        ) {
            let mut sorted = Vec::new();
            push_item(&item, &mut sorted);
            prop_assert_eq!(text(&item), String::from_utf8(sorted.clone()).unwrap());
            let read: serde_json::Value = serde_json::from_slice(&sorted).unwrap();
            prop_assert_eq!(read, serde_json::to_value(&item).unwrap());
        }
    }
}
