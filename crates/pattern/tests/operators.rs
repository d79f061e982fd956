//! Every operator of docs/spec/event-source-mapping.md 8.2, against the values that it is about and those that it is not.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use serde_json::{Value, json};
use tailrace_pattern::Pattern;

/// The value `event.v` is held against the list of alternatives; `None`: it is not there.
fn matches(alternatives: &str, value: Option<&str>) -> bool {
    let pattern =
        Pattern::parse(&format!(r#"{{"v":[{alternatives}]}}"#)).unwrap_or_else(|e| panic!("{alternatives}: {e}"));
    let event: Value = match value {
        Some(value) => serde_json::from_str(&format!(r#"{{"other":1,"v":{value}}}"#)).unwrap(),
        None => json!({"other": 1}),
    };
    pattern.matches(&&event).unwrap()
}

/// Holds each list of alternatives against values that match and values that do not.
fn check(cases: &[(&str, &[&str], &[&str])]) {
    for (alternatives, yes, no) in cases {
        for value in *yes {
            assert!(matches(alternatives, Some(value)), "[{alternatives}] does not match {value}");
        }
        for value in *no {
            assert!(!matches(alternatives, Some(value)), "[{alternatives}] matches {value}");
        }
    }
}

#[test]
fn a_value_is_matched_exactly_and_by_its_type() {
    check(&[
        (r#""a""#, &[r#""a""#, r#""\u0061""#], &[r#""A""#, r#""aa""#, r#""""#, "null", "1", r#"{"a":1}"#, "[]"]),
        (r#""""#, &[r#""""#], &["null", r#"" ""#, "[]", "{}", "0", "false"]),
        (r#""1""#, &[r#""1""#], &["1", "1.0", "true"]),
        (r#""true""#, &[r#""true""#], &["true"]),
        (r#""null""#, &[r#""null""#], &["null"]),
        ("null", &["null"], &[r#""null""#, r#""""#, "0", "false", "[]", "{}"]),
        ("true", &["true"], &["false", r#""true""#, "1", "null"]),
        ("false", &["false"], &["true", r#""false""#, "0", "null", r#""""#]),
        (r#""a","b","c""#, &[r#""a""#, r#""b""#, r#""c""#], &[r#""d""#, r#""a,b""#]),
        (r#""c","a","b","a""#, &[r#""a""#, r#""b""#, r#""c""#], &[r#""""#, r#""bb""#]),
        (r#""a",1,null,true"#, &[r#""a""#, "1", "null", "true"], &["false", "2", r#""1""#]),
        (r#""é""#, &[r#""é""#, r#""\u00e9""#], &[r#""e""#, r#""É""#]),
        (r#""\"\\""#, &[r#""\"\\""#], &[r#""\"""#]),
    ]);
}

/// By value, as Event Ruler does; the text of a number says nothing.
#[test]
fn numbers_are_compared_by_value() {
    check(&[
        ("300", &["300", "300.0", "3.0e2", "3e2", "3E+2"], &["301", "300.1", r#""300""#, "-300", "30"]),
        ("300.0", &["300", "300.0", "3.0e2"], &["300.5"]),
        ("3.0e2", &["300", "300.0"], &["3.02"]),
        ("0", &["0", "0.0", "-0", "-0.0", "0e5"], &["1", r#""0""#, "false", "null"]),
        ("-1.5", &["-1.5", "-15e-1"], &["1.5", "-1.50001"]),
        ("9007199254740991", &["9007199254740991"], &["9007199254740990"]),
        ("1e300", &["1e300", "10e299"], &["1e299"]),
        ("1,2", &["1", "2.0"], &["3", "12"]),
    ]);
}

#[test]
fn prefix_and_suffix_are_of_strings() {
    check(&[
        (
            r#"{"prefix":"us-"}"#,
            &[r#""us-""#, r#""us-east-1""#],
            &[r#""us""#, r#""US-east-1""#, r#""eu-us-""#, "1", "null"],
        ),
        (r#"{"prefix":"1"}"#, &[r#""1""#, r#""12""#], &["1", "12"]),
        (r#"{"prefix":""}"#, &[r#""""#, r#""x""#], &["1", "null", "true"]),
        (r#"{"prefix":"é"}"#, &[r#""été""#], &[r#""ete""#]),
        (r#"{"suffix":".png"}"#, &[r#"".png""#, r#""a.png""#], &[r#""png""#, r#""a.PNG""#, r#""a.png ""#, "1"]),
        (r#"{"suffix":""}"#, &[r#""""#, r#""x""#], &["0"]),
        (r#"{"suffix":"é"}"#, &[r#""café""#], &[r#""cafe""#]),
        (r#"{"prefix":"a"},{"suffix":"z"}"#, &[r#""ab""#, r#""yz""#, r#""az""#], &[r#""ba""#, r#""zb""#]),
        (r#"{"prefix":"null"}"#, &[r#""nullable""#], &["null"]),
    ]);
}

#[test]
fn the_case_of_letters_is_ignored_where_a_pattern_says_so() {
    check(&[
        (
            r#"{"equals-ignore-case":"alice"}"#,
            &[r#""alice""#, r#""ALICE""#, r#""aLiCe""#],
            &[r#""alic""#, r#""alice ""#],
        ),
        (r#"{"equals-ignore-case":"ALICE"}"#, &[r#""alice""#], &[r#""bob""#, "null"]),
        (r#"{"equals-ignore-case":"ÉTÉ"}"#, &[r#""été""#, r#""Été""#], &[r#""ete""#]),
        (r#"{"equals-ignore-case":""}"#, &[r#""""#], &[r#""a""#, "null"]),
        (r#"{"equals-ignore-case":"1"}"#, &[r#""1""#], &["1"]),
        (r#"{"equals-ignore-case":"true"}"#, &[r#""TRUE""#], &["true"]),
        (
            r#"{"prefix":{"equals-ignore-case":"EventB"}}"#,
            &[r#""eventbridge""#, r#""EVENTB""#],
            &[r#""event""#, r#""aeventb""#],
        ),
        (
            r#"{"suffix":{"equals-ignore-case":"tBridge"}}"#,
            &[r#""EventBridge""#, r#""TBRIDGE""#],
            &[r#""bridge""#, r#""tbridges""#],
        ),
        (r#"{"suffix":{"equals-ignore-case":"İx"}}"#, &[r#""aİX""#], &[r#""ix""#]),
        (r#"{"prefix":{"equals-ignore-case":""}}"#, &[r#""x""#], &["1"]),
    ]);
}

#[test]
fn anything_but_matches_what_is_there_and_is_not_named() {
    check(&[
        (
            r#"{"anything-but":"a"}"#,
            &[r#""b""#, r#""""#, r#""A""#, "1", "null", "true", "false"],
            &[r#""a""#, "[]", "{}", r#"{"x":"b"}"#],
        ),
        (r#"{"anything-but":["a","b"]}"#, &[r#""c""#, "1", "null"], &[r#""a""#, r#""b""#]),
        (r#"{"anything-but":""}"#, &[r#""x""#, "0", "null"], &[r#""""#]),
        (r#"{"anything-but":100}"#, &["101", r#""100""#, "null", "true"], &["100", "100.0", "1e2"]),
        (r#"{"anything-but":[100,200]}"#, &["150", r#""x""#], &["100", "200.0"]),
        (r#"{"anything-but":{"prefix":"us-"}}"#, &[r#""eu-1""#, r#""""#, "1", "null"], &[r#""us-""#, r#""us-1""#]),
        (r#"{"anything-but":{"prefix":["us-","eu-"]}}"#, &[r#""ap-1""#], &[r#""us-1""#, r#""eu-1""#]),
        (r#"{"anything-but":{"suffix":".png"}}"#, &[r#""a.jpg""#, "0"], &[r#""a.png""#]),
        (r#"{"anything-but":{"suffix":[".png",".jpg"]}}"#, &[r#""a.gif""#], &[r#""a.jpg""#, r#""a.png""#]),
        (r#"{"anything-but":{"equals-ignore-case":"initializing"}}"#, &[r#""running""#, "1"], &[r#""INITIALIZING""#]),
        (r#"{"anything-but":{"equals-ignore-case":["A","b"]}}"#, &[r#""c""#], &[r#""a""#, r#""B""#]),
        (r#"{"anything-but":{"wildcard":"*/lib/*"}}"#, &[r#""/usr/bin/x""#], &[r#""/usr/lib/x""#]),
        (
            r#"{"anything-but":{"wildcard":["*/lib/*","*/bin/*"]}}"#,
            &[r#""/etc/x""#],
            &[r#""/usr/lib/x""#, r#""/usr/bin/x""#],
        ),
        (r#"{"anything-but":{"prefix":{"equals-ignore-case":"us"}}}"#, &[r#""eu""#], &[r#""US-1""#]),
        (r#"{"numeric":[">",100]},{"anything-but":"101"}"#, &[r#""42""#, "101", "7"], &[r#""101""#]),
    ]);
    assert!(!matches(r#"{"anything-but":"a"}"#, None), "what is not there is not anything");
}

#[test]
fn numeric_is_of_json_numbers_only() {
    check(&[
        (r#"{"numeric":["=",5]}"#, &["5", "5.0", "0.5e1"], &["5.1", "4", r#""5""#, "null", "true", "[]"]),
        (r#"{"numeric":["=",3.018e2]}"#, &["301.8"], &["301.9"]),
        (r#"{"numeric":[">",0]}"#, &["1", "0.001", "4e9", "1732000000.0"], &["0", "-1", r#""1""#]),
        (r#"{"numeric":[">=",0]}"#, &["0", "-0.0", "1"], &["-0.001"]),
        (r#"{"numeric":["<",10]}"#, &["9.999", "-5"], &["10", "11"]),
        (r#"{"numeric":["<=",10]}"#, &["10", "10.0", "-1e9"], &["10.0001"]),
        (r#"{"numeric":[">",0,"<=",5]}"#, &["0.1", "5"], &["0", "5.1", "-1"]),
        (r#"{"numeric":[">=",0,"<",5]}"#, &["0", "4.9"], &["5", "-0.1"]),
        (r#"{"numeric":[">=",-5.0e9,"<=",5.0e9]}"#, &["0", "5e9", "-5e9"], &["5000000001"]),
        (r#"{"numeric":["<",0]},{"numeric":[">",10]}"#, &["-1", "11"], &["0", "5", "10"]),
    ]);
}

#[test]
fn exists_asks_for_a_scalar() {
    check(&[
        (
            r#"{"exists":true}"#,
            &["1", "null", "false", r#""""#, "[1]", "[[],[null]]"],
            &["{}", "[]", r#"{"x":1}"#, r#"[{"x":1}]"#],
        ),
        (r#"{"exists":false}"#, &["{}", "[]", r#"{"x":1}"#, r#"[{"x":1}]"#], &["1", "null", "false", r#""""#, "[1]"]),
        (r#"{"exists":false},"a""#, &[r#""a""#, "{}"], &[r#""b""#, "null"]),
        (r#"{"exists":false},null"#, &["null", "[]"], &[r#""b""#, "0"]),
    ]);
    assert!(matches(r#"{"exists":false}"#, None));
    assert!(!matches(r#"{"exists":true}"#, None));
    assert!(matches(r#""a",{"exists":false}"#, None));
}

#[test]
fn a_wildcard_stands_for_any_characters() {
    check(&[
        (r#"{"wildcard":"*"}"#, &[r#""""#, r#""x""#], &["1", "null"]),
        (r#"{"wildcard":"a*"}"#, &[r#""a""#, r#""ab""#], &[r#""ba""#, r#""""#]),
        (r#"{"wildcard":"*a"}"#, &[r#""a""#, r#""ba""#], &[r#""ab""#]),
        (r#"{"wildcard":"a*b"}"#, &[r#""ab""#, r#""axb""#, r#""abab""#], &[r#""a""#, r#""b""#, r#""abc""#, r#""ba""#]),
        (r#"{"wildcard":"a*a"}"#, &[r#""aa""#, r#""aba""#], &[r#""a""#]),
        (r#"{"wildcard":"*a*b*"}"#, &[r#""ab""#, r#""xaxbx""#, r#""aab""#], &[r#""ba""#, r#""a""#]),
        (r#"{"wildcard":"ab*bc"}"#, &[r#""abbc""#, r#""ab-bc""#], &[r#""abc""#]),
        (r#"{"wildcard":"a*b*c*d"}"#, &[r#""abcd""#, r#""axbxcxd""#, r#""abbccd""#], &[r#""acbd""#, r#""abc""#]),
        (
            r#"{"wildcard":"Simple*Service"}"#,
            &[r#""Simple Queue Service""#],
            &[r#""Simple Queue""#, r#""simple service""#],
        ),
        (r#"{"wildcard":"dir/*.png"}"#, &[r#""dir/a/b.png""#], &[r#""dir/a.jpg""#, r#""x/dir/a.png""#]),
        (r#"{"wildcard":"a\\*b"}"#, &[r#""a*b""#], &[r#""axb""#, r#""a\\*b""#]),
        (r#"{"wildcard":"a\\\\*"}"#, &[r#""a\\""#, r#""a\\b""#], &[r#""a*""#, r#""ab""#]),
        (r#"{"wildcard":"*\\**"}"#, &[r#""*""#, r#""a*b""#], &[r#""ab""#]),
        (r#"{"wildcard":""}"#, &[r#""""#], &[r#""x""#]),
        (r#"{"wildcard":"plain"}"#, &[r#""plain""#], &[r#""plainly""#, r#""a plain""#]),
        (r#"{"wildcard":"*é*"}"#, &[r#""café!""#], &[r#""cafe""#]),
    ]);
}

/// The greedy way is the only one: long texts and many stars cost what their lengths do.
#[test]
fn a_wildcard_does_not_backtrack() {
    let stars = "*a".repeat(1900);
    let text = "a".repeat(1899) + &"b".repeat(400_000);
    assert!(!matches(&format!(r#"{{"wildcard":"{stars}"}}"#), Some(&format!("{text:?}"))));
    let text = "b".repeat(1000) + &"ab".repeat(1899) + "a";
    assert!(matches(&format!(r#"{{"wildcard":"{stars}"}}"#), Some(&format!("{text:?}"))));
}

#[test]
fn cidr_is_of_addresses() {
    check(&[
        (
            r#"{"cidr":"10.0.0.0/24"}"#,
            &[r#""10.0.0.0""#, r#""10.0.0.255""#],
            &[r#""10.0.1.0""#, r#""10.0.0""#, r#""::1""#, "10", "null"],
        ),
        (r#"{"cidr":"10.0.0.77/24"}"#, &[r#""10.0.0.1""#], &[r#""10.1.0.1""#]),
        (r#"{"cidr":"10.0.0.5/32"}"#, &[r#""10.0.0.5""#], &[r#""10.0.0.6""#]),
        (r#"{"cidr":"0.0.0.0/0"}"#, &[r#""255.1.2.3""#], &[r#""::1""#, r#""x""#]),
        (
            r#"{"cidr":"2001:db8::/32"}"#,
            &[r#""2001:db8::1""#, r#""2001:0DB8:0:0::2""#],
            &[r#""2001:db9::1""#, r#""10.0.0.1""#],
        ),
        (r#"{"cidr":"::/0"}"#, &[r#""::1""#], &[r#""10.0.0.1""#]),
        (r#"{"cidr":"::1/128"}"#, &[r#""::1""#, r#""0:0:0:0:0:0:0:1""#], &[r#""::2""#]),
    ]);
}

#[test]
fn an_element_of_an_array_is_enough() {
    check(&[
        (
            r#""a""#,
            &[r#"["a"]"#, r#"["b","a"]"#, r#"[["b"],[["a"]]]"#, r#"[{"x":1},"a"]"#],
            &["[]", r#"["b"]"#, r#"[{"v":"a"}]"#],
        ),
        (r#"{"prefix":"a"}"#, &[r#"["x","ab"]"#], &[r#"["x"]"#]),
        (r#"{"anything-but":"a"}"#, &[r#"["a","b"]"#], &[r#"["a"]"#, "[]"]),
        (r#"{"numeric":[">",5]}"#, &["[1,6]"], &["[1,5]", r#"["6"]"#]),
        ("null", &["[1,null]"], &["[]"]),
    ]);
}

#[test]
fn what_is_no_pattern_is_named_with_its_place() {
    let cases = [
        ("", "not JSON"),
        ("plain text", "not JSON"),
        (r#"{"a":["x"]"#, "not JSON"),
        (r#"{"a":["x"],}"#, "not JSON"),
        (r#"{'a':['x']}"#, "not JSON"),
        (r#"{"a":[NaN]}"#, "not JSON"),
        (r#"{"a":["x"]} x"#, "not JSON"),
        ("null", "a pattern is an object"),
        ("3", "a pattern is an object"),
        (r#""a""#, "a pattern is an object"),
        (r#"[{"a":["x"]}]"#, "a pattern is an object"),
        ("{}", "an object without members matches nothing"),
        (r#"{"a":{}}"#, "a: an object without members matches nothing"),
        (r#"{"a":{"b":{"c":{}}}}"#, "a.b.c: an object without members matches nothing"),
        (r#"{"eventSource":[]}"#, "eventSource: a list without values matches nothing"),
        (
            r#"{"eventSource":"aws:sqs"}"#,
            r#"eventSource: an object or a list of values is expected: ["aws:sqs"] instead of "aws:sqs""#,
        ),
        (r#"{"a":1}"#, "a: an object or a list of values is expected: [1] instead of 1"),
        (r#"{"a":null}"#, "a: an object or a list of values is expected: [null] instead of null"),
        (r#"{"a":true}"#, "a: an object or a list of values is expected: [true] instead of true"),
        (r#"{"a":{"exists":true}}"#, "a.exists: an object or a list of values is expected: [true] instead of true"),
        (r#"{"a":[["x"]]}"#, "a: a value of the list is itself a list"),
        (r#"{"a":[{}]}"#, "a: an operator is an object with exactly one member"),
        (r#"{"a":[{"prefix":"x","suffix":"y"}]}"#, "a: an operator is an object with exactly one member"),
        (r#"{"a":[{"Prefix":"x"}]}"#, r#"a: "Prefix" is no operator"#),
        (r#"{"a":[{"begins_with":"x"}]}"#, r#"a: "begins_with" is no operator"#),
        (r#"{"a":[{"b":["x"]}]}"#, r#"a: "b" is no operator"#),
        (r#"{"a":["x",{"prefix":1}]}"#, "a: prefix takes"),
        (r#"{"a":[{"prefix":null}]}"#, "a: prefix takes"),
        (r#"{"a":[{"prefix":["x"]}]}"#, "a: prefix takes"),
        (r#"{"a":[{"prefix":{"equals-ignore-case":1}}]}"#, "a: prefix takes"),
        (r#"{"a":[{"prefix":{"wildcard":"x"}}]}"#, "a: prefix takes"),
        (r#"{"a":[{"prefix":{}}]}"#, "a: prefix takes"),
        (r#"{"a":[{"suffix":1}]}"#, "a: suffix takes"),
        (r#"{"a":[{"suffix":{"prefix":"x"}}]}"#, "a: suffix takes"),
        (r#"{"a":[{"equals-ignore-case":1}]}"#, "a: equals-ignore-case takes"),
        (r#"{"a":[{"equals-ignore-case":["x"]}]}"#, "a: equals-ignore-case takes"),
        (r#"{"a":[{"wildcard":"a**b"}]}"#, "a: wildcard takes"),
        (r#"{"a":[{"wildcard":"a\\b"}]}"#, "a: wildcard takes"),
        (r#"{"a":[{"wildcard":"a\\"}]}"#, "a: wildcard takes"),
        (r#"{"a":[{"wildcard":5}]}"#, "a: wildcard takes"),
        (r#"{"a":[{"exists":"true"}]}"#, "a: exists takes"),
        (r#"{"a":[{"exists":null}]}"#, "a: exists takes"),
        (r#"{"a":[{"exists":1}]}"#, "a: exists takes"),
        (r#"{"a":[{"numeric":5}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["="]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["=","5"]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["!=",5]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["==",5]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[5,">"]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["=",5,"<",6]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["<",5,">",1]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[">",1,">",2]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[">",5,"<",5]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[">",6,"<",5]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[">",1,"<"]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[">",1,"<",5,"<",6]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":[">",5000000001]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"numeric":["<",-5000000001]}]}"#, "a: numeric takes"),
        (r#"{"a":[{"cidr":"10.0.0.0"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":"10.0.0.0/33"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":"10.0.0.0/-1"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":"10.0.0.0/+8"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":"10.0.0.0/"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":"10.0.0/8"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":"::/129"}]}"#, "a: cidr takes"),
        (r#"{"a":[{"cidr":8}]}"#, "a: cidr takes"),
        (r#"{"a":[{"anything-but":null}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":true}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":["x",1]}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":[null]}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":[["x"]]}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":{}}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":{"numeric":["=",1]}}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":{"prefix":""}}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":{"suffix":[]}}]}"#, "a: anything-but takes"),
        (r#"{"a":[{"anything-but":{"prefix":1}}]}"#, "a: prefix takes"),
        (r#"{"a":[{"anything-but":{"wildcard":"**"}}]}"#, "a: wildcard takes"),
        (r#"{"a":[{"anything-but":{"prefix":"x","suffix":"y"}}]}"#, "a: anything-but takes"),
        (r#"{"$or":[]}"#, "$or: a list without values matches nothing"),
        (r#"{"$or":[{"a":["x"]}]}"#, r#"$or: "a" is no operator"#),
        (r#"{"$or":[{"a":["x"]},"y"]}"#, r#"$or: "a" is no operator"#),
        (r#"{"$or":[{"a":["x"]},{}]}"#, "an object without members matches nothing"),
        (r#"{"$or":[{"a":["x"]},{"b":"y"}]}"#, "b: an object or a list of values is expected"),
        (r#"{"$or":[{"numeric":123},{"prefix":"abc"}]}"#, "$or: numeric takes"),
        (r#"{"$or":"x"}"#, "$or: an object or a list of values is expected"),
    ];
    for (text, expected) in cases {
        let error = Pattern::parse(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
    let empty_list = Pattern::parse(r#"{"a":[{"anything-but":[]}]}"#).unwrap_err();
    assert_eq!(empty_list.to_string(), "a: a list without values matches nothing");
    let deep = format!("{}[1]{}", r#"{"a":"#.repeat(300), "}".repeat(300));
    assert!(
        Pattern::parse(&deep).unwrap_err().to_string().starts_with("not JSON: recursion limit"),
        "nesting is bounded"
    );
}
