//! Key conditions against a schema. Rows of docs/spec/dynamodb-api.md 5.3.

use super::*;

const PK: KeyAttribute<'_> = KeyAttribute { name: "pk", type_name: "S", index: None };
const SK: KeyAttribute<'_> = KeyAttribute { name: "sk", type_name: "N", index: None };

fn resolve(text: &str) -> Result<ResolvedKeyCondition, ExprError> {
    KeyCondition::parse(text, &mut placeholders())?.resolve(&[PK], &[SK])
}

#[test]
fn a_key_condition_becomes_a_hash_value_and_a_range() {
    use std::sync::Arc;
    let one = || Arc::new(n("1"));
    for (text, range) in [
        ("pk = :v", None),
        (":v = pk", None),
        ("(pk) = (:v)", None),
        ("pk = :v AND sk = :n", Some(RangeCondition::Equal(one()))),
        ("(sk < :n) AND (pk = :v)", Some(RangeCondition::Less(one()))),
        ("pk = :v AND :n < sk", Some(RangeCondition::Greater(one()))),
        ("pk = :v AND :n >= sk", Some(RangeCondition::LessEqual(one()))),
        ("((pk = :v) AND (sk >= :n))", Some(RangeCondition::GreaterEqual(one()))),
        ("pk = :v AND sk BETWEEN :m AND :n", Some(RangeCondition::Between(Arc::new(n("0")), one()))),
    ] {
        assert_eq!(
            resolve(text),
            Ok(ResolvedKeyCondition { hash: vec![Arc::new(s("x"))], equal: vec![], range }),
            "{text}"
        );
    }
}

#[test]
fn a_faulty_key_condition_names_its_first_fault() {
    let nested = "Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes";
    let size = "KeyConditionExpressions cannot contain nested operations";
    let several = "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition";
    let once = "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key";
    let types = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    let unsupported = "Query key condition not supported";
    for (text, expected) in [
        ("pk = :v OR sk = :n", "Invalid operator used in KeyConditionExpression: OR"),
        ("pk = :v AND NOT sk = :n", "Invalid operator used in KeyConditionExpression: NOT"),
        ("pk <> :v", "Invalid operator used in KeyConditionExpression: <>"),
        ("pk IN (:v)", "Invalid operator used in KeyConditionExpression: IN"),
        ("attribute_exists(pk)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        ("attribute_type(pk, :type)", "Invalid operator used in KeyConditionExpression: attribute_type"),
        ("contains(pk,:v)", "Invalid operator used in KeyConditionExpression: contains"),
        ("pk = :v AND size(sk) = :n", size),
        ("pk = size(:v)", size),
        ("pk.a = :v", nested),
        ("pk = :v AND sk[0] = :n", nested),
        ("a.b = c.d", nested),
        ("pk = sk", several),
        ("pk = :v AND sk BETWEEN :m AND a", several),
        ("pk = :v AND begins_with(sk, a)", several),
        (":v = :v", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        (
            "pk = :v AND :n BETWEEN sk AND sk",
            "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand",
        ),
        (
            "pk = :v AND begins_with(:v, sk)",
            "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first \
             operand",
        ),
        ("pk = :v AND sk = :n AND sk = :n", once),
        ("pk = :v AND pk = :v", once),
        (
            "pk = :v AND (sk = :n AND a = :v)",
            "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)",
        ),
        ("sk = :n", "Query condition missed key schema element: pk"),
        ("a = :v AND sk = :n", "Query condition missed key schema element: pk"),
        ("pk = :v AND a = :v", "Query condition missed key schema element: sk"),
        ("pk > :v", unsupported),
        ("begins_with(pk, :v)", unsupported),
        ("pk > :v AND sk > :v", unsupported),
        ("pk = :n", types),
        ("pk = :v AND sk = :v", types),
        ("pk = :v AND begins_with(sk, :v)", types),
        (
            "pk = :empty",
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
             string value. Key: pk",
        ),
    ] {
        let error = resolve(text).unwrap_err();
        assert_eq!((error.text.as_str(), error.enveloped), (expected, false), "{text}");
    }
    let classic = |text: &str| resolve(text).unwrap_err().classic;
    assert_eq!(classic("pk.a = :v"), Some("KeyConditionExpressions cannot have conditions on nested attributes"));
    assert_eq!(classic("pk = :v AND pk = :v"), Some("KeyConditionExpressions must only contain one condition per key"));
    assert_eq!(classic("pk = :v AND (sk = :n AND a = :v)"), Some("Conditions can be of length 1 or 2 only"));
    assert_eq!(classic("pk > :v"), None);
    let hash_only = KeyCondition::parse("pk = :v AND sk = :n", &mut placeholders()).unwrap().resolve(&[PK], &[]);
    assert_eq!(hash_only.unwrap_err().text, unsupported);
}

#[test]
fn a_value_that_no_key_can_have_is_refused_partition_key_first() {
    let empty = |what: &str, key: &str| {
        format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty \
             {what} value. Key: {key}"
        )
    };
    let long_hash =
        "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes";
    let long_range = "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size \
                      limit of 1024 bytes";
    let types = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    let text = |length: usize| s(&"x".repeat(length));
    let bytes = |length: usize| AttributeValue::B(vec![0; length]);
    let check = |range: &str, hash: AttributeValue, value: AttributeValue, expected: &str| {
        let type_name = if matches!(value, AttributeValue::B(_)) { "B" } else { "S" };
        let values = [(":p", hash), (":v", value), (":high", s("y"))];
        let used = values.into_iter().filter(|(key, _)| *key != ":high" || range.contains(key));
        let values = used.map(|(key, value)| (key.to_owned(), value)).collect();
        let mut placeholders = Placeholders::new(None, Some(values)).unwrap();
        let condition = KeyCondition::parse(&format!("{range} AND pk = :p"), &mut placeholders).unwrap();
        let resolved = condition.resolve(&[PK], &[KeyAttribute { name: "sk", type_name, index: None }]);
        assert_eq!(
            resolved.map_or_else(|error| error, |_| ExprError::bare("ok")),
            ExprError::bare(expected),
            "{range}"
        );
    };
    for range in ["sk = :v", "sk < :v", "sk >= :v", "begins_with(sk, :v)", "sk BETWEEN :v AND :v"] {
        check(range, s("a"), text(0), &empty("string", "sk"));
        check(range, s("a"), bytes(0), &empty("binary", "sk"));
        check(range, s("a"), text(1024), "ok");
        check(range, s("a"), text(1025), long_range);
        check(range, s("a"), bytes(1024), "ok");
        check(range, s("a"), bytes(1025), long_range);
        check(range, text(2048), text(1), "ok");
        check(range, text(2049), text(1025), long_hash);
        check(range, text(0), text(1025), &empty("string", "pk"));
        check(range, n("1"), text(0), types);
    }
    check("sk = :v", text(0), n("1"), &empty("string", "pk"));
    check("sk = :v", s("a"), n("1"), types);
    check("sk BETWEEN :v AND :high", s("a"), text(0), &empty("string", "sk"));
    check("sk BETWEEN :v AND :high", s("a"), text(1025), long_range);
}

#[test]
fn a_key_of_several_attributes_takes_values_from_the_left() {
    let key = |name, type_name| KeyAttribute { name, type_name, index: None };
    let (hash, range) = ([key("a", "S"), key("b", "N")], [key("c", "S"), key("d", "N"), key("e", "S")]);
    let resolve = |text: &str| KeyCondition::parse(text, &mut placeholders()).unwrap().resolve(&hash, &range);
    use std::sync::Arc;
    let (x, one) = (Arc::new(s("x")), Arc::new(n("1")));
    for (text, equal, last) in [
        ("a = :v AND b = :n", vec![], None),
        ("c > :v AND b = :n AND a = :v", vec![], Some(RangeCondition::Greater(x.clone()))),
        ("a = :v AND b = :n AND c = :v", vec![], Some(RangeCondition::Equal(x.clone()))),
        ("a = :v AND b = :n AND d < :n AND c = :v", vec![x.clone()], Some(RangeCondition::Less(one.clone()))),
        (
            "a = :v AND b = :n AND c = :v AND d = :n AND begins_with(e, :v)",
            vec![x.clone(), one.clone()],
            Some(RangeCondition::BeginsWith(x.clone())),
        ),
    ] {
        let expected = ResolvedKeyCondition { hash: vec![x.clone(), one.clone()], equal, range: last };
        assert_eq!(resolve(text), Ok(expected), "{text}");
    }
    let hash_text =
        |names: &str| format!("HASH key attributes {names} must have equality conditions specified in the query");
    let range_text = |names: &str, last: &str| {
        format!(
            "RANGE key attributes {names} must have equality conditions specified in the query because a condition is \
             present on key attribute {last}"
        )
    };
    for (text, expected) in [
        ("a = :v", hash_text("b")),
        ("c = :v", hash_text("a, b")),
        ("a = :v AND b > :n", hash_text("b")),
        ("a = :v AND b = :n AND d = :n", range_text("c", "d")),
        ("a = :v AND b = :n AND e = :v", range_text("c, d", "e")),
        ("a = :v AND b = :n AND c > :v AND d = :n", range_text("c", "d")),
        ("a = :v AND b = :n AND c = :v AND z = :v", "Query condition missed key schema element: d".to_owned()),
        (
            "a = :n AND b = :n",
            "One or more parameter values were invalid: Condition parameter type does not match schema type".to_owned(),
        ),
        (
            "a = :v AND b = :n AND c = :v AND d = :n AND e = :v AND z = :v",
            "The number of query conditions (6) exceeds the number of key attributes defined in the schema (5)"
                .to_owned(),
        ),
    ] {
        let error = resolve(text).unwrap_err();
        assert_eq!((error.text, error.enveloped), (expected, false), "{text}");
    }
}
