//! The language as tables: what is accepted, and what is refused with which text.

mod bound;
mod refused;

use tailrace_core::AttributeValue;

use crate::{Parsed, Statement, StatementError};

/// The statement, with these parameters.
fn read(text: &str, parameters: &[AttributeValue]) -> Result<Statement, StatementError> {
    Parsed::parse(text)?.bind(parameters)
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.into())
}

#[track_caller]
fn accepted(text: &str) -> Statement {
    read(text, &[s("p"), n(1), n(2)]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn what_dynamodb_accepts_is_accepted() {
    for text in [
        "SELECT * FROM t",
        "select pk, \"n\" from \"t\".\"i\" where pk = 'a' order by sk desc, pk asc nulls first;",
        "SELECT m.x, m['y'], m[\"z\"], l[0], l[2][0] FROM t",
        "(SELECT pk FROM t)",
        "SELECT ALL pk FROM t",
        "SELECT (pk) FROM t",
        "SELECT pk FROM t -- a comment\n WHERE /* another */ pk = 'it''s' --",
        "SELECT pk FROM t WHERE ((n = 1)) AND n != 2 OR NOT n <> 3",
        "SELECT pk FROM t WHERE n IN [1, 2] AND n IN (1, ?) AND n IN <<1>> AND n NOT IN (1) AND n IN (1)",
        "SELECT pk FROM t WHERE n BETWEEN 1 AND 2 AND n NOT BETWEEN ? AND ? OR 1 BETWEEN n AND m",
        "SELECT pk FROM t WHERE a IS MISSING AND a IS NOT MISSING AND a IS NULL AND a IS NOT STRING",
        "SELECT pk FROM t WHERE a IS NUMERIC OR a IS BOOLEAN OR a IS LIST OR a IS STRUCT OR a IS TUPLE OR a IS BLOB",
        "SELECT pk FROM t WHERE BEGINS_WITH(a, 'x') AND contains(a, 1) AND size(a) > 2 AND attribute_type(a, 'S')",
        "SELECT pk FROM t WHERE attribute_exists(a) AND attribute_not_exists(m.b) AND SIZE(a) IN [3]",
        "SELECT pk FROM t WHERE a = -1 AND a = +.5 AND a = 1. AND a = 1e-3 AND a = null AND a = true",
        "SELECT pk FROM t WHERE a = [1, 'x', [9]] AND a = {'x': 1, 'y': {}} AND a = <<'p', 'q'>> AND a = (1)",
        "INSERT INTO t VALUE {'pk': 'a', 'l': [1, null, true], 's': <<1, 2>>, 'm': {'x': ?}}",
        "UPDATE t SET a = 1 SET b = ?, c = 3 REMOVE d REMOVE e[0] WHERE pk = 'a' RETURNING MODIFIED NEW *",
        "UPDATE t SET n = n + 1 - 2, l = list_append(l, [1]), s = set_add(s, <<'x'>>) WHERE pk = 'a'",
        "UPDATE t SET m.s = set_delete(m.s, ?) WHERE pk = 'a'",
        "FROM t WHERE pk = 'a' SET n = 1 RETURNING ALL OLD *",
        "DELETE FROM t WHERE pk = 'a' RETURNING ALL OLD *",
        "EXISTS(SELECT * FROM t WHERE pk = 'a' AND n = 1)",
    ] {
        let set = AttributeValue::Ns([1.into()].into());
        let parameters = if text.contains("set_delete") { vec![set] } else { vec![s("p"), n(1), n(2)] };
        let bound = match text {
            _ if text.contains("NOT BETWEEN ?") => read(text, &[n(1), n(2)]),
            _ => read(text, &parameters),
        };
        bound.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn statements_of_all_kinds_name_their_table() {
    for (text, read_only) in [
        ("SELECT * FROM \"my-table\"", true),
        ("INSERT INTO \"my-table\" VALUE {}", false),
        ("UPDATE \"my-table\" REMOVE a", false),
        ("DELETE FROM \"my-table\"", false),
        ("EXISTS(SELECT * FROM \"my-table\")", false),
    ] {
        let parsed = Parsed::parse(text).unwrap();
        assert_eq!((parsed.table(), parsed.is_read()), ("my-table", read_only), "{text}");
    }
}

/// As deep as it may be, in half the stack of a thread of a runtime; and deeper.
#[test]
fn deep_statements_fit_the_stack_and_deeper_ones_are_refused() {
    let deep = |levels: usize| {
        let (open, close) = ("(".repeat(levels), ")".repeat(levels));
        read(&format!("SELECT pk FROM t WHERE {open}n = 1{close}"), &[])
    };
    let nots = |levels: usize| read(&format!("SELECT pk FROM t WHERE {} n = 1", "NOT ".repeat(levels)), &[]);
    let sums = |levels: usize| read(&format!("UPDATE t SET n = n{}", " + 1".repeat(levels)), &[]);
    let work = move || {
        deep(61).unwrap();
        nots(61).unwrap();
        sums(61).unwrap();
        let text = deep(8000).unwrap_err().to_string();
        assert!(text.ends_with("Nesting of expressions is too deep"), "{text}");
        for error in [nots(4000), sums(4000)] {
            error.unwrap_err();
        }
    };
    std::thread::Builder::new().stack_size(1024 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn random_pieces_of_statements_are_read_or_refused_without_a_panic() {
    let pieces = [
        "SELECT",
        "*",
        "FROM",
        "t",
        "WHERE",
        "pk",
        "=",
        "'a'",
        "?",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<<",
        ">>",
        ",",
        ".",
        "NOT",
        "IN",
        "IS",
        "MISSING",
        "AND",
        "UPDATE",
        "SET",
        "INSERT",
        "INTO",
        "VALUE",
        "1",
        "-",
        "+",
        "size",
        "EXISTS",
        "RETURNING",
        "ALL",
        "é",
        "\"q\"",
        ":",
        ";",
        "BETWEEN",
        "ORDER",
        "BY",
        "`x`",
    ];
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..12 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(pieces[(seed >> 33) as usize % pieces.len()]);
            text.push(' ');
        }
        let _ = read(&text, &[s("p"), n(1)]);
    }
}
