//! The legacy parameters: texts and answers. Rows of docs/spec/dynamodb-api.md 6.

use super::*;
use crate::expr::KeyAttribute;
use crate::number::Number;
use crate::value::Item;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(number).unwrap())
}

fn one<T>(value: T) -> BTreeMap<String, T> {
    BTreeMap::from([("a".to_owned(), value)])
}

fn expect(operator: Option<&str>, list: Option<Vec<AttributeValue>>) -> ExpectedAttribute {
    let comparison_operator = operator.map(str::to_owned);
    ExpectedAttribute { comparison_operator, attribute_value_list: list, ..Default::default() }
}

fn check_expected(attribute: ExpectedAttribute, detail: &str) {
    let error = expected(&one(attribute), None).unwrap_err();
    assert_eq!(error, ExprError::enveloped(format!("One or more parameter values were invalid: {detail}")));
}

#[test]
fn a_malformed_expectation_names_its_attribute() {
    let value = Some(s("x"));
    check_expected(
        ExpectedAttribute { exists: Some(true), ..expect(Some("EQ"), None) },
        "Exists and ComparisonOperator cannot be used together for Attribute: a",
    );
    check_expected(
        ExpectedAttribute { value: value.clone(), ..expect(Some("EQ"), Some(vec![])) },
        "Value and AttributeValueList cannot be used together for Attribute: a",
    );
    check_expected(
        expect(None, Some(vec![s("x")])),
        "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
    );
    check_expected(
        expect(Some("EQ"), None),
        "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
    );
    check_expected(expect(None, None), "Value must be provided when Exists is null for Attribute: a");
    check_expected(
        ExpectedAttribute { exists: Some(true), ..Default::default() },
        "Value must be provided when Exists is true for Attribute: a",
    );
    check_expected(
        ExpectedAttribute { exists: Some(false), value, ..Default::default() },
        "Value cannot be used when Exists is false for Attribute: a",
    );
    check_expected(expect(Some("EQ"), Some(vec![])), "Invalid number of argument(s) for the EQ ComparisonOperator");
    check_expected(
        expect(Some("NULL"), Some(vec![s("x")])),
        "Invalid number of argument(s) for the NULL ComparisonOperator",
    );
    check_expected(
        expect(Some("LT"), Some(vec![AttributeValue::L(vec![])])),
        "ComparisonOperator LT is not valid for L AttributeValue type",
    );
    check_expected(
        expect(Some("IN"), Some(vec![s("x"), n("1")])),
        "AttributeValues inside AttributeValueList must be of same type",
    );
    let reversed = expected(&one(expect(Some("BETWEEN"), Some(vec![n("2"), n("1")]))), None).unwrap_err();
    assert_eq!(
        reversed.text,
        "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
    );
}

#[test]
fn comparisons_answer_for_missing_attributes_too() {
    let present: Item = one(s("hello"));
    let missing = Item::new();
    for (operator, list, if_present, if_missing) in [
        ("EQ", vec![s("hello")], true, false),
        ("NE", vec![s("hello")], false, true),
        ("NULL", vec![], false, true),
        ("NOT_NULL", vec![], true, false),
        ("IN", vec![s("x"), s("hello")], true, false),
        ("CONTAINS", vec![s("ell")], true, false),
        ("NOT_CONTAINS", vec![s("ell")], false, true),
        ("BEGINS_WITH", vec![s("he")], true, false),
        ("BETWEEN", vec![s("a"), s("z")], true, false),
        ("LT", vec![s("a")], false, false),
        ("GE", vec![s("a")], true, false),
    ] {
        let condition = expected(&one(expect(Some(operator), Some(list))), None).unwrap();
        assert_eq!((condition.matches(&present), condition.matches(&missing)), (if_present, if_missing), "{operator}");
    }
}

#[test]
fn a_conditional_operator_needs_two_conditions_to_join() {
    let condition =
        |operator: &str| AttributeCondition { comparison_operator: operator.to_owned(), ..Default::default() };
    let or = Some(ConditionalOperator::Or);
    assert_eq!(
        filter(&BTreeMap::new(), or).unwrap_err().text,
        "ConditionalOperator cannot be used without Filter or Expected"
    );
    assert_eq!(
        filter(&one(condition("NULL")), or).unwrap_err().text,
        "ConditionalOperator can only be used when Filter or Expected has two or more elements"
    );
    let two = BTreeMap::from([("a".to_owned(), condition("NULL")), ("b".to_owned(), condition("NULL"))]);
    let half: Item = one(s("x"));
    assert!(filter(&two, or).unwrap().matches(&half));
    assert!(!filter(&two, None).unwrap().matches(&half));
}

#[test]
fn key_conditions_take_only_indexable_operators() {
    let condition = |operator: &str| AttributeCondition {
        comparison_operator: operator.to_owned(),
        attribute_value_list: vec![s("x")],
    };
    assert_eq!(
        key_conditions(&one(condition("NE"))).unwrap_err().text,
        "Attempted conditional constraint is not an indexable operation"
    );
    let hash = KeyAttribute { name: "a", type_name: "S", index: None };
    let resolved = key_conditions(&one(condition("EQ"))).unwrap().resolve(&[hash], &[]).unwrap();
    assert_eq!(*resolved.hash[0], s("x"));
}

#[test]
fn attribute_updates_put_add_and_delete() {
    let update = |action: Option<&str>, value: Option<AttributeValue>| {
        attribute_updates(&one(AttributeUpdate { action: action.map(str::to_owned), value }))
    };
    let text = |result: Result<Update, ExprError>| result.unwrap_err().text;
    let prefix = "One or more parameter values were invalid: ";
    assert_eq!(
        text(update(None, None)),
        format!("{prefix}Only DELETE action is allowed when no attribute value is specified")
    );
    assert_eq!(
        text(update(Some("DELETE"), Some(s("x")))),
        format!("{prefix}DELETE action with value is not supported for the type S")
    );
    assert_eq!(text(update(Some("ADD"), Some(s("x")))), format!("{prefix}ADD action is not supported for the type S"));
    let old: Item = one(n("1"));
    assert_eq!(update(None, Some(s("x"))).unwrap().apply(&old), Ok(one(s("x"))));
    assert_eq!(update(Some("ADD"), Some(n("2"))).unwrap().apply(&old), Ok(one(n("3"))));
    assert_eq!(update(Some("DELETE"), None).unwrap().apply(&old), Ok(Item::new()));
    let list = |numbers: &[&str]| AttributeValue::L(numbers.iter().map(|number| n(number)).collect());
    assert_eq!(update(Some("ADD"), Some(list(&["2"]))).unwrap().apply(&one(list(&["1"]))), Ok(one(list(&["1", "2"]))));
    assert_eq!(
        update(Some("ADD"), Some(n("2"))).unwrap().apply(&one(s("x"))),
        Err(ExprError::bare("Type mismatch for attribute to update"))
    );
}

#[test]
fn attributes_to_get_must_not_repeat() {
    let names = ["a", "b", "a"].map(str::to_owned);
    assert_eq!(
        attributes_to_get(&names).unwrap_err().text,
        "One or more parameter values were invalid: Duplicate value in attribute name: a"
    );
    assert_eq!(attributes_to_get(&names[..2]).unwrap().apply(&one(n("1"))), one(n("1")));
}

#[test]
fn contains_looks_for_every_scalar_in_a_list() {
    let list = AttributeValue::L(vec![AttributeValue::Bool(true), AttributeValue::Null]);
    let holds = |operator: &str, argument: AttributeValue| {
        let condition =
            AttributeCondition { comparison_operator: operator.to_owned(), attribute_value_list: vec![argument] };
        filter(&one(condition), None).map(|condition| condition.matches(&one(list.clone())))
    };
    for (argument, contained) in [
        (AttributeValue::Bool(true), true),
        (AttributeValue::Bool(false), false),
        (AttributeValue::Null, true),
        (s("x"), false),
    ] {
        assert_eq!(holds("CONTAINS", argument.clone()), Ok(contained), "{argument:?}");
        assert_eq!(holds("NOT_CONTAINS", argument.clone()), Ok(!contained), "{argument:?}");
    }
    assert_eq!(
        holds("CONTAINS", list.clone()).unwrap_err().text,
        "One or more parameter values were invalid: ComparisonOperator CONTAINS is not valid for L AttributeValue type"
    );
}

#[test]
fn key_conditions_need_one_condition() {
    assert_eq!(key_conditions(&BTreeMap::new()).unwrap_err(), ExprError::bare("Conditions must be at least length 1"));
}
