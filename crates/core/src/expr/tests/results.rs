//! What conditions, projections and updates answer. Rows of docs/spec/dynamodb-api.md 4.4, 4.5, 4.7, 4.8.

use super::*;

fn sample() -> Item {
    item([
        ("s", s("hello")),
        ("n", n("5")),
        ("five", n("5.0")),
        ("big", n("1e20")),
        ("b", AttributeValue::B(vec![1, 2, 3])),
        ("nul", AttributeValue::Null),
        ("flag", AttributeValue::Bool(true)),
        ("tags", ss(["a", "b"])),
        ("elems", l([n("1"), s("x"), m([("k", n("1"))])])),
        ("nested", m([("a", n("1")), ("c", m([("d", n("2")), ("e", n("3"))]))])),
        ("x.y", s("dotted")),
    ])
}

#[test]
fn a_condition_answers_for_every_type_and_for_missing_attributes() {
    let holds = [
        "n <> :n",
        "s <> :n",
        "zz <> :n",
        "zz <> yy",
        "NOT zz = :n",
        "n > :n",
        "NOT s > :n",
        "NOT s < :n",
        "n BETWEEN :m AND big",
        "NOT n IN (:n, :v, :m)",
        "n IN (:v, five)",
        "attribute_exists(nested.a)",
        "attribute_not_exists(nested.zz.deep)",
        "attribute_exists(nul)",
        "nul = :null",
        "begins_with(s, :empty)",
        "NOT begins_with(n, :v)",
        "contains(s, :empty)",
        "contains(tags, :a)",
        "contains(elems, :v)",
        "contains(elems, :map)",
        "contains(b, :bytes)",
        "NOT contains(nested, :v)",
        "NOT contains(tags, :n)",
        "size(elems) > :n",
        "NOT size(n) > :m",
        "size(n) <> :m",
        "NOT size(zz) = :m",
        "#dots <> :v",
        "attribute_exists(#dots)",
        "attribute_not_exists(x.y)",
        "attribute_type(s, :type)",
        "NOT attribute_type(n, :type)",
        "elems[0] = :n",
        "elems[2].k = :n",
        "attribute_not_exists(elems[3])",
        "n = :m OR n = :n OR n > :n AND s <> :v",
        "flag = :bool",
        "nested.a = :n",
    ];
    for text in holds {
        let mut placeholders = placeholders_with_a();
        let condition = Condition::parse(ExprKind::Filter, text, &mut placeholders).unwrap();
        assert!(condition.matches(&sample()), "{text}");
    }
}

fn placeholders_with_a() -> Placeholders {
    let names = BTreeMap::from([("#dots".to_owned(), "x.y".to_owned())]);
    let values = [
        (":a", s("a")),
        (":v", s("x")),
        (":n", n("1")),
        (":m", n("0")),
        (":bool", AttributeValue::Bool(true)),
        (":null", AttributeValue::Null),
        (":map", m([("k", n("1.0"))])),
        (":bytes", AttributeValue::B(vec![2, 3])),
        (":empty", s("")),
        (":type", s("S")),
    ];
    Placeholders::new(Some(names), Some(values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
        .unwrap()
}

/// The worst text for a search that starts over at every byte: this test would take minutes with one.
#[test]
fn contains_finds_the_longest_part_of_the_largest_value_at_once() {
    let (whole, half) = (400 * 1024, 200 * 1024);
    let bytes = |length: usize, last: &[u8]| [&vec![b'a'; length][..], last].concat();
    let text = |length: usize, last: &[u8]| AttributeValue::S(String::from_utf8(bytes(length, last)).unwrap());
    let holds = |value: AttributeValue, part: AttributeValue| {
        let values = BTreeMap::from([(":part".to_owned(), part)]);
        let mut placeholders = Placeholders::new(None, Some(values)).unwrap();
        let condition = Condition::parse(ExprKind::Filter, "contains(v, :part)", &mut placeholders).unwrap();
        condition.matches(&item([("v", value)]))
    };
    for _ in 0..20 {
        assert!(!holds(AttributeValue::B(bytes(whole, b"")), AttributeValue::B(bytes(half, b"b"))));
        assert!(holds(AttributeValue::B(bytes(whole, b"b")), AttributeValue::B(bytes(half, b"b"))));
        assert!(!holds(text(whole, b""), text(half, b"b")));
        assert!(holds(text(whole, b"b"), text(half, b"b")));
    }
}

#[test]
fn size_counts_utf16_units() {
    let with = |text: &str, size: &str| {
        let values = BTreeMap::from([(":size".to_owned(), n(size))]);
        let mut placeholders = Placeholders::new(None, Some(values)).unwrap();
        let condition = Condition::parse(ExprKind::Filter, "size(t) = :size", &mut placeholders).unwrap();
        assert!(condition.matches(&item([("t", s(text))])), "{text}");
    };
    with("", "0");
    with("é", "1");
    with("😀", "2");
}

#[test]
fn a_projection_skips_what_is_missing_closes_lists_up_and_merges() {
    let check = |text: &str, expected: Item| {
        assert_eq!(projection(text).unwrap().apply(&sample()), expected, "{text}");
    };
    check("zz", Item::new());
    check("s, zz", item([("s", s("hello"))]));
    check("elems[2], elems[0], elems[7]", item([("elems", l([n("1"), m([("k", n("1"))])]))]));
    check("nested.a, nested.c.e", item([("nested", m([("a", n("1")), ("c", m([("e", n("3"))]))]))]));
    check("nested.zz", Item::new());
    check("s.a, n[0]", Item::new());
    check("#dots", item([("x.y", s("dotted"))]));
}

/// Checks the item after an update of `old`, and what UPDATED_OLD and UPDATED_NEW answer.
fn check_update(text: &str, old: &Item, new: &Item, touched_old: &Item, touched_new: &Item) {
    let update = update(text).unwrap();
    let changed = update.apply(old).unwrap();
    assert_eq!(&changed, new, "{text}");
    assert_eq!(&update.touched(old), touched_old, "{text}: UPDATED_OLD");
    assert_eq!(&update.touched(&changed), touched_new, "{text}: UPDATED_NEW");
}

#[test]
fn an_update_reads_the_item_as_it_was() {
    let old = item([("n", n("1")), ("s", s("t"))]);
    let swapped = item([("n", s("t")), ("s", n("1"))]);
    check_update("SET n = s, s = n", &old, &swapped, &old, &swapped);

    let old = item([("l", l([n("0"), n("1"), n("2")]))]);
    let new = item([("l", l([n("2")]))]);
    check_update("REMOVE l[0], l[1]", &old, &new, &old, &new);

    let new = item([("l", l([n("1"), n("1"), s("x")]))]);
    check_update("SET l[9] = :v, l[0] = l[1] REMOVE l[2]", &old, &new, &old, &new);
    let new = item([("l", l([n("0"), n("1"), n("2"), s("x"), n("1")]))]);
    check_update("SET l[8] = :n, l[5] = :v", &old, &new, &Item::new(), &Item::new());
}

#[test]
fn if_not_exists_takes_what_is_there_or_the_second_operand() {
    let old = item([("n", n("1")), ("nul", AttributeValue::Null)]);
    for (text, expected) in [
        ("SET a = if_not_exists(n, :v)", n("1")),
        ("SET a = if_not_exists(nul, :v)", AttributeValue::Null),
        ("SET a = if_not_exists(zz, :v)", s("x")),
        ("SET a = if_not_exists(zz, n)", n("1")),
        ("SET a = if_not_exists(zz, if_not_exists(yy, nul))", AttributeValue::Null),
    ] {
        assert_eq!(update(text).unwrap().apply(&old).unwrap()["a"], expected, "{text}");
    }
}

#[test]
fn updated_answers_hold_the_touched_leaves_and_whole_lists() {
    let old = item([("m", m([("a", n("1")), ("b", n("2"))])), ("c", l([m([("x", n("1"))]), n("7")])), ("k", s("k"))]);
    let new = item([("m", m([("a", s("x")), ("b", n("2"))])), ("c", l([m([("x", n("2"))]), n("7")])), ("k", s("k"))]);
    check_update(
        "SET m.a = :v, c[0].x = c[0].x + :n",
        &old,
        &new,
        &item([("m", m([("a", n("1"))])), ("c", l([m([("x", n("1"))]), n("7")]))]),
        &item([("m", m([("a", s("x"))])), ("c", l([m([("x", n("2"))]), n("7")]))]),
    );
    let gone = item([("m", m([("b", n("2"))])), ("c", l([m([("x", n("1"))]), n("7")]))]);
    check_update("REMOVE m.a, k, zz", &old, &gone, &item([("m", m([("a", n("1"))])), ("k", s("k"))]), &Item::new());
}

#[test]
fn add_and_delete_follow_the_type_that_is_there() {
    let old = item([("n", n("5")), ("t", ss(["a", "b"])), ("m", m([]))]);
    let empty = Item::new();
    let apply = |text: &str| update(text).unwrap().apply(&old).map(|item| item.get("t").cloned());
    check_update(
        "ADD n :n",
        &item([("n", n("5"))]),
        &item([("n", n("6"))]),
        &item([("n", n("5"))]),
        &item([("n", n("6"))]),
    );
    check_update("ADD zz :n", &empty, &item([("zz", n("1"))]), &empty, &item([("zz", n("1"))]));
    assert_eq!(apply("DELETE t :ss"), Ok(Some(ss(["b"]))));
    assert_eq!(apply("DELETE zz :ss ADD t :ss"), Ok(Some(ss(["a", "b"]))));
    assert_eq!(update("DELETE t :ss").unwrap().apply(&item([("t", ss(["a"]))])), Ok(empty));
    assert_eq!(update("ADD m.c :n").unwrap().apply(&old).unwrap()["m"], m([("c", n("1"))]));
}

#[test]
fn an_update_that_cannot_be_applied_says_why() {
    let old = item([("s", s("t")), ("n", n("1")), ("l", l([])), ("t", ss(["a"]))]);
    let path = "The document path provided in the update expression is invalid for update";
    let operand = "An operand in the update expression has an incorrect data type";
    let missing = "The provided expression refers to an attribute that does not exist in the item";
    for (text, expected) in [
        ("SET zz.a = :v", path),
        ("SET s.a = :v", path),
        ("SET n[0] = :v", path),
        ("REMOVE zz.a", path),
        ("ADD l[0].a :n", path),
        ("DELETE zz.a :ss", path),
        ("SET a = zz", missing),
        ("SET a = list_append(zz, :l)", missing),
        ("SET a = if_not_exists(n, zz)", missing),
        ("SET a = if_not_exists(zz, yy)", missing),
        ("SET a = if_not_exists(n, if_not_exists(s, zz))", missing),
        ("SET a = :n + if_not_exists(n, zz)", missing),
        ("SET a = s + :n", operand),
        ("SET a = list_append(s, :l)", operand),
        ("ADD s :n", operand),
        ("ADD n :ss", operand),
        ("DELETE n :ss", operand),
    ] {
        let error = update(text).unwrap().apply(&old).unwrap_err();
        assert_eq!(error, ExprError::bare(expected), "{text}");
    }
    let full = item([("n", n("99999999999999999999999999999999999999"))]);
    let error = update("SET n = n - n2").unwrap().apply(&item([("n", n("1")), ("n2", n("1e-40"))])).unwrap_err();
    assert_eq!(error.text, "Attempting to store more than 38 significant digits in a Number");
    assert!(update("ADD n :n").unwrap().apply(&full).is_ok(), "10^38 has one significant digit");
}

#[test]
fn the_request_charge_counts_the_value_at_every_use() {
    let charge = |length: usize, text: &str| {
        let values = BTreeMap::from([(":v".to_owned(), s(&"x".repeat(length)))]);
        let mut placeholders = Placeholders::new(None, Some(values)).unwrap();
        Update::parse(text, &mut placeholders).unwrap().check_request_charge()
    };
    // 3 + 19 + 1 (target) + value
    assert_eq!(charge(409_600 - 23, "SET a = :v"), Ok(()));
    assert_eq!(
        charge(409_600 - 22, "SET a = :v").unwrap_err().text,
        "Item size to update has exceeded the maximum allowed size"
    );
    assert!(charge(204_800, "SET a = :v, b = :v").is_err());
    // 3 + 19 + target `m` `.a` (1 + 5) + 39 + operand `b` (1 + 15) + value
    assert_eq!(charge(409_600 - 83, "SET m.a = if_not_exists(b, :v)"), Ok(()));
    assert!(charge(409_600 - 82, "SET m.a = if_not_exists(b, :v)").is_err());
}
