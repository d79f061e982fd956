//! What statements come to: items, conditions and updates, run by the core.

use tailrace_core::expr::Condition;
use tailrace_core::{AttributeValue, Item};

use super::{accepted, n, read, s};
use crate::Statement;

fn item(text: &str) -> Item {
    match accepted(&format!("INSERT INTO t VALUE {text}")) {
        Statement::Insert(insert) => insert.item,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn holds(condition: &str, of: &Item) -> bool {
    match accepted(&format!("SELECT * FROM t WHERE {condition}")) {
        Statement::Select(select) => Condition::of(select.condition.unwrap()).matches(of),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_item_has_the_types_of_its_literals_and_parameters() {
    let read = item("{'s': 'it''s', 'n': -1.50, 'b': true, 'z': null, 'l': [1, (2, 3)], 'm': {'a': ?}, 'ss': <<'a'>>}");
    let expected: Item = [
        ("s", s("it's")),
        ("n", AttributeValue::N("-1.5".parse_number())),
        ("b", AttributeValue::Bool(true)),
        ("z", AttributeValue::Null),
        ("l", AttributeValue::L(vec![n(1), AttributeValue::L(vec![n(2), n(3)])])),
        ("m", AttributeValue::M([("a".to_owned(), s("p"))].into())),
        ("ss", AttributeValue::Ss(["a".to_owned()].into())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    assert_eq!(read, expected);
}

trait ParseNumber {
    fn parse_number(&self) -> tailrace_core::Number;
}

impl ParseNumber for str {
    fn parse_number(&self) -> tailrace_core::Number {
        tailrace_core::Number::parse(self).unwrap()
    }
}

#[test]
fn conditions_hold_as_they_do_on_dynamodb() {
    let item = item("{'n': 1, 's': 'str', 'z': null, 'l': [1, 'x'], 'm': {'x': 1}, 'ss': <<'p', 'q'>>, 'b': true}");
    for condition in [
        "z IS NULL",
        "zz IS MISSING",
        "n IS NUMERIC",
        "m IS STRUCT",
        "m IS TUPLE",
        "l IS LIST",
        "b IS BOOL",
        "n IS NOT STRING",
        "NOT n IS STRING",
        "n IS NOT NULL",
        "zz <> 1",
        "NOT zz = 1",
        "zz != 1",
        "1 = n",
        "n = 1.0",
        "n IN (1)",
        "n NOT IN [2]",
        "ss = <<'q', 'p'>>",
        "contains(ss, 'p')",
        "size(s) = 3",
        "m['x'] = 1",
        "l[1] = 'x'",
        "z = NULL",
        "n = 2 OR n = 1 AND s = 'str'",
        "'a' IS STRING",
        "1 = 1",
        "m = {'x': 1}",
        "n BETWEEN 0 AND 1",
        "m.x IS NOT MISSING",
        "attribute_type(n, 'N')",
        "n = +1",
    ] {
        assert!(holds(condition, &item), "{condition}");
    }
    for condition in [
        "zz IS NULL",
        "z IS MISSING",
        "zz = 1",
        "zz < 1",
        "zz BETWEEN 0 AND 1",
        "zz IN [1]",
        "size(n) > 0",
        "n < s",
        "n = NULL",
        "ss IS LIST",
        "begins_with(n, 's')",
        "NOT n = 1 AND n = 1",
        "'a' IS MISSING",
        "n = -1",
        "s > 'strx'",
    ] {
        assert!(!holds(condition, &item), "{condition}");
    }
}

#[test]
fn an_update_changes_the_item_and_tells_what_it_touched() {
    let before = item("{'n': 1, 'l': [1, 2, 3], 'ss': <<'p', 'q'>>, 'm': {'x': 1, 'y': 2}, 'k': 1}");
    let text =
        "UPDATE t SET n = n + 1 - ? SET l[2] = 9 SET l[0] = 7 SET ss = set_delete(ss, <<'p'>>) SET m.x = 5 REMOVE k";
    let update = match read(text, &[n(10)]).unwrap() {
        Statement::Update(update) => update.update,
        other => panic!("{other:?}"),
    };
    let after = update.apply(&before).unwrap();
    assert_eq!(after, item("{'n': -8, 'l': [7, 2, 9], 'ss': <<'q'>>, 'm': {'x': 5, 'y': 2}}"));
    assert_eq!(update.touched(&after), item("{'n': -8, 'l': [7, 9], 'ss': <<'q'>>, 'm': {'x': 5}}"));
    assert_eq!(update.touched(&before)["k"], n(1));
}

#[test]
fn columns_stand_under_their_last_name() {
    let item = item("{'m': {'x': 1, 'l': [5, 6]}, 'l': [7, [8]], 'n': 2}");
    let projected = match accepted("SELECT m.x, m.l[1], l[0], l[1][0], n, zz FROM t") {
        Statement::Select(select) => select.projection.unwrap().apply(&item),
        other => panic!("{other:?}"),
    };
    let names: Vec<(&str, &AttributeValue)> = projected.iter().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(names, [("l[0]", &n(7)), ("l[1]", &n(6)), ("l[1][0]", &n(8)), ("n", &n(2)), ("x", &n(1))]);
}
