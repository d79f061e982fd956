//! Key conditions against a schema. Rows of spec/dynamodb-api.md 5.3.

use super::*;

const PK: KeyAttribute<'_> = KeyAttribute { name: "pk", type_name: "S" };
const SK: KeyAttribute<'_> = KeyAttribute { name: "sk", type_name: "N" };

fn resolve(text: &str) -> Result<ResolvedKeyCondition, ExprError> {
    KeyCondition::parse(text, &mut placeholders())?.resolve(PK, Some(SK))
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
        assert_eq!(resolve(text), Ok(ResolvedKeyCondition { hash: Arc::new(s("x")), range }), "{text}");
    }
}

#[test]
fn a_faulty_key_condition_names_its_first_fault() {
    let nested = "KeyConditionExpressions cannot have conditions on nested attributes";
    let size = "KeyConditionExpressions cannot contain nested operations";
    let several = "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition";
    let once = "KeyConditionExpressions must only contain one condition per key";
    let types = "One or more parameter values were invalid: Condition parameter type does not match schema type";
    let unsupported = "Query key condition not supported";
    let scalar = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk";
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
        ("pk.a = :v", scalar),
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
        assert_eq!(resolve(text).unwrap_err(), ExprError::bare(expected), "{text}");
    }
    let hash_only = KeyCondition::parse("pk = :v AND sk = :n", &mut placeholders()).unwrap().resolve(PK, None);
    assert_eq!(hash_only.unwrap_err().text, unsupported);
}
