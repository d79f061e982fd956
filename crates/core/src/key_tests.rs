//! Key bytes sort as the service sorts (docs/spec/dynamodb-api.md 3.5), keys read back, wrong keys are named.

use proptest::prelude::*;

use super::*;

fn schema(hash: ScalarType, range: Option<ScalarType>) -> KeySchema {
    let attribute = |name: &str, scalar| KeyAttribute { name: name.into(), scalar };
    KeySchema { hash: attribute("h", hash), range: range.map(|scalar| attribute("r", scalar)) }
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn item(pairs: &[(&str, AttributeValue)]) -> Item {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

#[test]
fn wrong_keys_are_named() {
    let schema = schema(ScalarType::S, Some(ScalarType::N));
    let n = AttributeValue::N(Number::from(1));
    let missing = |name: &str| KeyError::Missing { name: name.into() };
    assert_eq!(schema.bytes_of_key(&item(&[("h", s("a"))])), Err(missing("r")));
    assert_eq!(schema.bytes_of_key(&item(&[("r", n.clone())])), Err(missing("h")));
    let wrong = KeyError::Type { name: "r".into(), expected: ScalarType::N, actual: "S" };
    assert_eq!(schema.bytes_of_key(&item(&[("h", s("a")), ("r", s("b"))])), Err(wrong));
    let empty = KeyError::Empty { name: "h".into(), scalar: ScalarType::S };
    assert_eq!(schema.bytes_of_key(&item(&[("h", s("")), ("r", n.clone())])), Err(empty));
    let more = item(&[("h", s("a")), ("r", n.clone()), ("x", s("y"))]);
    assert_eq!(schema.bytes_of_key(&more), Err(KeyError::Superfluous));
    assert!(schema.bytes_of_item(&more).is_ok());
    let at = |length: usize| item(&[("h", s(&"x".repeat(length))), ("r", n.clone())]);
    assert!(schema.bytes_of_item(&at(2048)).is_ok());
    assert_eq!(schema.bytes_of_item(&at(2049)), Err(KeyError::HashTooLong));
}

#[test]
fn a_sort_key_has_its_own_limit() {
    let schema = schema(ScalarType::S, Some(ScalarType::S));
    let at = |length: usize| item(&[("h", s("x")), ("r", s(&"x".repeat(length)))]);
    assert!(schema.bytes_of_item(&at(1024)).is_ok());
    assert_eq!(schema.bytes_of_item(&at(1025)), Err(KeyError::RangeTooLong));
}

#[test]
fn the_hash_of_a_partition_never_changes() {
    // The first digits of `printf Outliersabc | md5sum`.
    let hash = partition_hash(b"abc");
    assert_eq!(format!("{:04x}{:08x}", hash.bucket.0, hash.lane), ABC);
}

const ABC: &str = "12db4f356ed3";

fn key_value(scalar: ScalarType) -> BoxedStrategy<AttributeValue> {
    match scalar {
        ScalarType::S => ".{1,6}".prop_map(AttributeValue::S).boxed(),
        ScalarType::B => prop::collection::vec(any::<u8>(), 1..6).prop_map(AttributeValue::B).boxed(),
        ScalarType::N => (-1000i64..1000, -3i32..3)
            .prop_map(|(n, e)| AttributeValue::N(Number::parse(&format!("{n}e{e}")).unwrap()))
            .boxed(),
    }
}

fn sorted_as_the_service_does(a: &AttributeValue, b: &AttributeValue) -> std::cmp::Ordering {
    match (a, b) {
        (AttributeValue::S(a), AttributeValue::S(b)) => a.as_bytes().cmp(b.as_bytes()),
        (AttributeValue::B(a), AttributeValue::B(b)) => a.cmp(b),
        (AttributeValue::N(a), AttributeValue::N(b)) => a.cmp(b),
        _ => unreachable!("one type at a time"),
    }
}

proptest! {
    #[test]
    fn byte_order_is_the_services_order(
        (a, b) in prop_oneof![Just(ScalarType::S), Just(ScalarType::N), Just(ScalarType::B)]
            .prop_flat_map(|scalar| (key_value(scalar), key_value(scalar)))
    ) {
        let bytes = |value| key_value_bytes(value).unwrap();
        prop_assert_eq!(bytes(&a).cmp(&bytes(&b)), sorted_as_the_service_does(&a, &b));
    }

    #[test]
    fn keys_read_back(hash in key_value(ScalarType::N), range in key_value(ScalarType::B)) {
        let schema = schema(ScalarType::N, Some(ScalarType::B));
        let key = item(&[("h", hash), ("r", range)]);
        let bytes = schema.bytes_of_key(&key).unwrap();
        prop_assert_eq!(schema.read_key(&bytes.partition, &bytes.sort), Some(key));
    }
}
