//! Entries sort like their attributes, read back, and those that begin with some values are one range.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;
use crate::key::{KeyBytes, key_value_bytes};

fn value(scalar: ScalarType) -> BoxedStrategy<AttributeValue> {
    match scalar {
        // Zero bytes, and what stands for them, come often.
        ScalarType::S => "[\u{0}\u{1}ab\u{7f}é]{1,5}".prop_map(AttributeValue::S).boxed(),
        ScalarType::B => prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 0xfe, 0xff]), 1..5)
            .prop_map(AttributeValue::B)
            .boxed(),
        ScalarType::N => (-1000i64..1000, -3i32..3)
            .prop_map(|(n, e)| AttributeValue::N(Number::parse(&format!("{n}e{e}")).unwrap()))
            .boxed(),
    }
}

fn scalars() -> impl Strategy<Value = Vec<ScalarType>> {
    prop::collection::vec(prop::sample::select(vec![ScalarType::S, ScalarType::N, ScalarType::B]), 1..=4)
}

fn values(scalars: &[ScalarType]) -> impl Strategy<Value = Vec<AttributeValue>> + use<> {
    scalars.iter().map(|scalar| value(*scalar)).collect::<Vec<_>>()
}

/// Two lists of values of the same types; the second often begins like the first.
fn two() -> impl Strategy<Value = (Vec<ScalarType>, Vec<AttributeValue>, Vec<AttributeValue>)> {
    scalars().prop_flat_map(|scalars| {
        let (a, b) = (values(&scalars), values(&scalars));
        (Just(scalars), a, b, 0usize..=4).prop_map(|(scalars, a, mut b, same)| {
            let same = same.min(a.len());
            b[..same].clone_from_slice(&a[..same]);
            (scalars, a, b)
        })
    })
}

fn scalar_of(value: &AttributeValue) -> ScalarType {
    ScalarType::from_name(value.type_name()).unwrap()
}

fn push(value: &AttributeValue, out: &mut Vec<u8>, push: fn(KeyValue<'_>, &mut Vec<u8>)) {
    push(KeyValue { scalar: scalar_of(value), bytes: &key_value_bytes(value).unwrap() }, out);
}

fn sort_bytes(values: &[AttributeValue]) -> Vec<u8> {
    let mut out = Vec::new();
    values.iter().for_each(|value| push(value, &mut out, push_sort_value));
    out
}

fn partition_of(values: &[AttributeValue]) -> Vec<u8> {
    let bytes: Vec<_> = values.iter().map(|value| key_value_bytes(value).unwrap()).collect();
    let parts: Vec<_> =
        values.iter().zip(&bytes).map(|(value, bytes)| KeyValue { scalar: scalar_of(value), bytes }).collect();
    partition_bytes(&parts).into_owned()
}

fn order(a: &AttributeValue, b: &AttributeValue) -> Ordering {
    match (a, b) {
        (AttributeValue::S(a), AttributeValue::S(b)) => a.as_bytes().cmp(b.as_bytes()),
        (AttributeValue::B(a), AttributeValue::B(b)) => a.cmp(b),
        (AttributeValue::N(a), AttributeValue::N(b)) => a.cmp(b),
        _ => unreachable!("one type at a time"),
    }
}

fn begins_with(value: &AttributeValue, prefix: &AttributeValue) -> bool {
    match (value, prefix) {
        (AttributeValue::S(a), AttributeValue::S(b)) => a.as_bytes().starts_with(b.as_bytes()),
        (AttributeValue::B(a), AttributeValue::B(b)) => a.starts_with(b),
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn entries_sort_by_their_attributes_from_left_to_right((_, a, b) in two(), tail in any::<[Vec<u8>; 2]>()) {
        let by_value = a.iter().zip(&b).map(|(a, b)| order(a, b)).find(|order| order.is_ne());
        let entry = |values: &[AttributeValue], tail: &Vec<u8>| {
            let mut bytes = sort_bytes(values);
            bytes.extend_from_slice(tail);
            bytes
        };
        let by_bytes = entry(&a, &tail[0]).cmp(&entry(&b, &tail[1]));
        // Of equal attributes the item's key decides, whatever its bytes.
        prop_assert_eq!(by_bytes, by_value.unwrap_or_else(|| tail[0].cmp(&tail[1])));
    }

    #[test]
    fn the_values_of_an_entry_read_back((scalars, values, _) in two(), tail in any::<Vec<u8>>()) {
        let mut bytes = sort_bytes(&values);
        bytes.extend_from_slice(&tail);
        let mut rest = &bytes[..];
        for (scalar, value) in scalars.iter().zip(&values) {
            let (read, behind) = read_sort_value(*scalar, rest).unwrap();
            prop_assert_eq!(&read, value);
            rest = behind;
        }
        prop_assert_eq!(rest, &tail[..]);
        prop_assert_eq!(read_partition(&scalars, &partition_of(&values)), Some(values));
    }

    #[test]
    fn other_values_are_another_partition((_, a, b) in two()) {
        prop_assert_eq!(partition_of(&a) == partition_of(&b), a == b);
    }

    #[test]
    fn what_begins_with_a_value_is_one_range((_, a, b) in two(), tail in any::<Vec<u8>>()) {
        let (last, before) = a.split_last().unwrap();
        let mut prefix = sort_bytes(before);
        push(last, &mut prefix, push_sort_prefix);
        let mut entry = sort_bytes(&b);
        entry.extend_from_slice(&tail);
        let expected = before == &b[..before.len()] && begins_with(&b[before.len()], last);
        prop_assert_eq!(entry.starts_with(&prefix), expected);
        // A whole value, and what lies above all entries that have it.
        let whole = sort_bytes(&a);
        let above = above_prefix(whole.clone());
        prop_assert_eq!(entry >= whole && entry < above, a == b);
    }
}

#[test]
fn the_bytes_of_an_entry_never_change() {
    let s = |text: &str| AttributeValue::S(text.to_owned());
    assert_eq!(sort_bytes(&[s("a\0b"), s("c")]), b"a\0\xffb\0\x01c\0\x01");
    assert_eq!(sort_bytes(&[AttributeValue::N(Number::from(1)), s("c")]), b"\x81\x82\x0b\0c\0\x01");
    assert_eq!(partition_of(&[s("ab")]), b"ab");
    assert_eq!(partition_of(&[s("ab"), s("c")]), b"\0\x02ab\0\x01c");
    let key = KeyBytes { partition: b"pk".to_vec(), sort: b"sk".to_vec() };
    let item_key = |in_partition| {
        let mut out = Vec::new();
        push_item_key(&key.partition, &key.sort, in_partition, &mut out);
        out
    };
    assert_eq!(item_key(false), b"\0\x02pksk");
    assert_eq!(item_key(true), b"sk");
}
