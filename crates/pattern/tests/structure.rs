//! How the parts of a pattern hang together: fields, objects, arrays, `$or`, several patterns, and the limits.
//! Source: docs/spec/event-source-mapping.md 8.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use proptest::prelude::*;
use serde_json::{Value, json};
use tailrace_pattern::{Filter, FilterError, Pattern};

fn matches(pattern: &Value, event: &Value) -> bool {
    Pattern::parse(&pattern.to_string()).unwrap_or_else(|e| panic!("{pattern}: {e}")).matches(&event).unwrap()
}

fn check(event: &Value, cases: &[(Value, bool)]) {
    for (pattern, expected) in cases {
        assert_eq!(matches(pattern, event), *expected, "{pattern} of {event}");
    }
}

/// A record as a function gets it.
fn record() -> Value {
    json!({
        "eventID": "c81e728d9d4c2f636f067f89cc14862c", "eventName": "MODIFY", "eventVersion": "1.1",
        "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_732_000_000.0,
            "Keys": {"pk": {"S": "order#1"}, "sk": {"N": "7"}},
            "NewImage": {
                "pk": {"S": "order#1"}, "sk": {"N": "7"}, "status": {"S": "paid"}, "total": {"N": "42"},
                "gone": {"NULL": true}, "rush": {"BOOL": false}, "tags": {"SS": ["a", "b"]}, "sizes": {"NS": ["1", "2"]},
                "blob": {"B": "aGk="}, "lines": {"L": [
                    {"M": {"sku": {"S": "x"}, "n": {"N": "1"}}}, {"M": {"sku": {"S": "y"}, "n": {"N": "2"}}}, {"S": "free"}
                ]},
                "address": {"M": {"city": {"S": "Köln"}, "zip": {"S": "50667"}}}, "none": {"L": []}, "void": {"M": {}}
            },
            "OldImage": {"pk": {"S": "order#1"}, "status": {"S": "new"}},
            "SequenceNumber": "100000000000000000042", "SizeBytes": 70, "StreamViewType": "NEW_AND_OLD_IMAGES"
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/Orders/stream/2026-01-01T00:00:00.000"
    })
}

fn new(field: &str, inner: Value) -> Value {
    json!({"dynamodb": {"NewImage": {field: inner}}})
}

/// Spec 8.3, every row, and what a record has besides.
#[test]
fn a_record_is_matched_as_its_function_gets_it() {
    check(
        &record(),
        &[
            (json!({"eventName": ["INSERT", "MODIFY"]}), true),
            (json!({"eventName": ["INSERT"]}), false),
            (json!({"eventName": ["modify"]}), false),
            (json!({"eventname": ["MODIFY"]}), false),
            (json!({"eventName": ["MODIFY"], "eventSource": ["aws:dynamodb"]}), true),
            (json!({"eventName": ["MODIFY"], "eventSource": ["aws:sqs"]}), false),
            (json!({"awsRegion": [{"prefix": "us-"}]}), true),
            (json!({"eventSourceARN": [{"wildcard": "*:table/Orders/*"}]}), true),
            (json!({"userIdentity": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}}), false),
            (json!({"userIdentity": {"type": [{"exists": false}]}}), true),
            (json!({"dynamodb": {"StreamViewType": ["NEW_AND_OLD_IMAGES"]}}), true),
            (json!({"dynamodb": {"SizeBytes": [{"numeric": [">", 50, "<", 100]}]}}), true),
            (json!({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}}), true),
            (json!({"dynamodb": {"SequenceNumber": [{"prefix": "1"}]}}), true),
            (json!({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "order#"}]}}}}), true),
            (json!({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "user#"}]}}}}), false),
            (
                json!({"dynamodb": {"OldImage": {"status": {"S": ["new"]}}, "NewImage": {"status": {"S": ["paid"]}}}}),
                true,
            ),
            (
                json!({"dynamodb": {"OldImage": {"status": {"S": ["paid"]}}, "NewImage": {"status": {"S": ["paid"]}}}}),
                false,
            ),
            // Without the type's tag it never matches.
            (new("status", json!(["paid"])), false),
            (new("status", json!({"S": ["paid"]})), true),
            (new("status", json!({"N": ["paid"]})), false),
            // Numbers are strings in a record.
            (new("total", json!({"N": ["42"]})), true),
            (new("total", json!({"N": [42]})), false),
            (new("total", json!({"N": [{"numeric": ["=", 42]}]})), false),
            (new("total", json!({"N": [{"numeric": [">", 0]}]})), false),
            (new("total", json!({"N": [{"prefix": "4"}]})), true),
            (new("total", json!({"N": [{"anything-but": ["101"]}]})), true),
            (new("total", json!({"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]})), true),
            // Scalars of other types.
            (new("gone", json!({"NULL": [true]})), true),
            (new("gone", json!({"NULL": [null]})), false),
            (new("rush", json!({"BOOL": [false]})), true),
            (new("rush", json!({"BOOL": ["false"]})), false),
            (new("blob", json!({"B": ["aGk="]})), true),
            // Sets and lists are arrays.
            (new("tags", json!({"SS": ["b"]})), true),
            (new("tags", json!({"SS": ["c"]})), false),
            (new("tags", json!({"SS": [{"anything-but": "a"}]})), true),
            (new("sizes", json!({"NS": ["2"]})), true),
            (new("lines", json!({"L": {"S": ["free"]}})), true),
            (new("lines", json!({"L": {"M": {"sku": {"S": ["y"]}}}})), true),
            (new("lines", json!({"L": {"M": {"sku": {"S": ["y"]}, "n": {"N": ["2"]}}}})), true),
            (new("lines", json!({"L": {"M": {"sku": {"S": ["x"]}, "n": {"N": ["2"]}}}})), false),
            (new("address", json!({"M": {"city": {"S": ["Köln"]}}})), true),
            (new("address", json!({"M": {"city": {"S": ["Bonn"]}}})), false),
            // exists is of leaves: an attribute is never one, its tag's value is.
            (new("status", json!([{"exists": false}])), true),
            (new("status", json!([{"exists": true}])), false),
            (new("status", json!({"S": [{"exists": true}]})), true),
            (new("status", json!({"S": [{"exists": false}]})), false),
            (new("status", json!({"N": [{"exists": false}]})), true),
            (new("other", json!({"S": [{"exists": false}]})), true),
            (new("other", json!({"S": [{"exists": true}]})), false),
            (new("other", json!([{"exists": false}])), true),
            (new("none", json!({"L": [{"exists": true}]})), false),
            (new("none", json!({"L": [{"exists": false}]})), true),
            (new("void", json!({"M": [{"exists": false}]})), true),
        ],
    );
}

/// Spec 8.4, the recorded results, on the records that the puts make.
#[test]
fn the_recorded_results_of_aws() {
    let put = |name: &str, new: Value| {
        json!({"eventName": name, "eventSource": "aws:dynamodb",
               "dynamodb": {"ApproximateCreationDateTime": 1_732_000_000.0, "NewImage": new}})
    };
    let item = json!({"id": {"S": "a"}});
    let changed = json!({"id": {"S": "a"}, "x": {"S": "b"}});
    let number = |n: &str| json!({"id": {"S": "a"}, "n": {"N": n}});
    let text = |s: &str| json!({"id": {"S": "a"}, "prefix": {"S": s}});
    let cases: Vec<(Vec<Value>, Value, usize)> = vec![
        (vec![put("INSERT", item.clone())], json!({"eventName": ["INSERT"]}), 1),
        (
            vec![put("INSERT", item.clone()), put("MODIFY", changed.clone())],
            json!({"eventName": ["INSERT", "MODIFY"]}),
            2,
        ),
        (
            vec![put("INSERT", item.clone()), put("MODIFY", changed)],
            json!({"eventName": ["INSERT"], "eventSource": ["aws:dynamodb"]}),
            1,
        ),
        (
            vec![put("INSERT", number("42")), put("MODIFY", number("101"))],
            new("n", json!({"N": [{"numeric": [">", 100]}, {"anything-but": "101"}]})),
            1,
        ),
        (
            vec![put("INSERT", text("us-1-other-suffix")), put("MODIFY", text("other-suffix"))],
            new("prefix", json!({"S": [{"prefix": "us-1"}]})),
            1,
        ),
        (
            vec![put("INSERT", item.clone()), put("INSERT", item)],
            json!({"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}}),
            2,
        ),
    ];
    for (records, pattern, delivered) in cases {
        assert_eq!(records.iter().filter(|record| matches(&pattern, record)).count(), delivered, "{pattern}");
    }
}

#[test]
fn time_to_live_is_told_from_a_clients_delete() {
    let pattern = json!({"userIdentity": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}});
    let expired =
        json!({"eventName": "REMOVE", "userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}});
    assert!(matches(&pattern, &expired));
    assert!(!matches(&pattern, &json!({"eventName": "REMOVE"})));
}

#[test]
fn or_is_of_branches_beside_what_all_of_them_ask() {
    let event = json!({"source": "aws.cloudwatch", "metricName": "CPU", "metricType": "MetricType", "namespace": "AWS/EC2",
                       "metricId": 1234, "detail": {"source": "s", "scope": "Service", "n": 5}});
    check(
        &event,
        &[
            (json!({"source": ["aws.cloudwatch"], "$or": [{"metricName": ["CPU"]}, {"namespace": ["x"]}]}), true),
            (json!({"source": ["aws.cloudwatch"], "$or": [{"metricName": ["x"]}, {"namespace": ["AWS/EC2"]}]}), true),
            (json!({"source": ["aws.cloudwatch"], "$or": [{"metricName": ["x"]}, {"namespace": ["x"]}]}), false),
            (json!({"source": ["x"], "$or": [{"metricName": ["CPU"]}, {"namespace": ["AWS/EC2"]}]}), false),
            // Two of them.
            (
                json!({"$or": [{"metricName": ["CPU"]}, {"namespace": ["x"]}], "detail": {"$or": [{"source": ["s"]}, {"scope": ["x"]}]}}),
                true,
            ),
            (
                json!({"$or": [{"metricName": ["CPU"]}, {"namespace": ["x"]}], "detail": {"$or": [{"source": ["x"]}, {"scope": ["x"]}]}}),
                false,
            ),
            // One in a branch of another.
            (
                json!({"$or": [{"metricName": ["x"]}, {"metricType": ["MetricType"], "$or": [{"metricId": [1234]}, {"spaceId": [1]}]}]}),
                true,
            ),
            (
                json!({"$or": [{"metricName": ["x"]}, {"metricType": ["MetricType"], "$or": [{"metricId": [1]}, {"spaceId": [1]}]}]}),
                false,
            ),
            // Branches that go down.
            (
                json!({"$or": [{"detail": {"source": ["x"]}}, {"detail": {"scope": ["Service"]}}], "detail": {"n": [5]}}),
                true,
            ),
            (
                json!({"$or": [{"detail": {"source": ["x"]}}, {"detail": {"scope": ["Service"]}}], "detail": {"n": [6]}}),
                false,
            ),
            // The same field in a branch and beside it: both have to hold.
            (
                json!({"detail": {"n": [{"numeric": [">", 1]}]}, "$or": [{"detail": {"n": [5]}}, {"detail": {"n": [6]}}]}),
                true,
            ),
            (
                json!({"detail": {"n": [{"numeric": [">", 5]}]}, "$or": [{"detail": {"n": [5]}}, {"detail": {"n": [6]}}]}),
                false,
            ),
        ],
    );
}

/// It is one only with two objects at least that have no operator's name in them.
#[test]
fn what_is_no_or_is_a_field_of_that_name() {
    check(
        &json!({"$or": "abc", "x": 1}),
        &[
            (json!({"$or": [{"prefix": "abc"}, {"numeric": ["=", 123]}]}), true),
            (json!({"$or": [{"prefix": "b"}]}), false),
            (json!({"$or": ["abc"]}), true),
        ],
    );
    check(&json!({"$or": {"x": 1}}), &[(json!({"$or": {"x": [1]}}), true), (json!({"$or": {"x": [2]}}), false)]);
}

#[test]
fn conditions_on_an_array_hold_in_one_element() {
    let event = json!({"employees": [
        {"firstName": "John", "lastName": "Doe"},
        [{"firstName": "Anna", "lastName": "Smith"}, {"firstName": "Peter", "lastName": "Jones", "boss": true}],
        "nobody"
    ], "deep": [{"a": [{"b": 1, "c": 1}, {"b": 2}]}, {"a": [{"b": 2, "c": 2}]}], "empty": [], "texts": ["x"]});
    let employees = |inner: Value| json!({ "employees": inner });
    check(
        &event,
        &[
            (employees(json!({"firstName": ["Anna"]})), true),
            (employees(json!({"firstName": ["Anna"], "lastName": ["Smith"]})), true),
            (employees(json!({"firstName": ["Anna"], "lastName": ["Jones"]})), false),
            (employees(json!({"firstName": ["Anna"], "lastName": [{"anything-but": "Smith"}]})), false),
            (employees(json!(["nobody"])), true),
            (employees(json!(["Anna"])), false),
            // The elements of one array, asked for at two places of the pattern.
            (
                json!({"employees": {"firstName": ["Anna"]}, "$or": [{"employees": {"lastName": ["Jones"]}}, {"x": ["y"]}]}),
                false,
            ),
            (
                json!({"employees": {"firstName": ["Peter"]}, "$or": [{"employees": {"lastName": ["Jones"]}}, {"x": ["y"]}]}),
                true,
            ),
            (json!({"deep": {"a": {"b": [2], "c": [2]}}}), true),
            (json!({"deep": {"a": {"b": [2], "c": [1]}}}), false),
            // Absence is of the whole event.
            (employees(json!({"boss": [{"exists": false}]})), false),
            (employees(json!({"firstName": ["Anna"], "boss": [{"exists": false}]})), false),
            (employees(json!({"firstName": ["Anna"], "wage": [{"exists": false}]})), true),
            (json!({"empty": {"x": [{"exists": false}]}}), true),
            (json!({"empty": {"x": ["y"]}}), false),
            (json!({"texts": {"x": [{"exists": false}]}}), true),
            (json!({"texts": {"x": [{"exists": true}]}}), false),
        ],
    );
}

#[test]
fn of_fields_that_are_given_twice_the_last_counts() {
    let pattern = Pattern::parse(r#"{"a":["x"],"a":["y"]}"#).unwrap();
    assert!(pattern.matches(&&json!({"a": "y"})).unwrap());
    assert!(!pattern.matches(&&json!({"a": "x"})).unwrap());
}

#[test]
fn one_pattern_of_a_filter_is_enough() {
    let filter = |texts: &[&str]| Filter::parse(texts.iter().copied());
    let event = json!({"a": "x"});
    assert!(filter(&[]).unwrap().is_empty());
    assert!(filter(&[]).unwrap().passes(&&event).unwrap());
    assert!(filter(&[r#"{"a":["y"]}"#, r#"{"a":["x"]}"#]).unwrap().passes(&&event).unwrap());
    assert!(!filter(&[r#"{"a":["y"]}"#, r#"{"b":["x"]}"#]).unwrap().passes(&&event).unwrap());
}

#[test]
fn a_filter_has_its_bounds() {
    let good = r#"{"a":["x"]}"#;
    assert!(Filter::parse([good; 10].into_iter()).is_ok());
    assert_eq!(Filter::parse([good; 11].into_iter()), Err(FilterError::TooMany(11)));
    let of_chars = |count: usize| format!(r#"{{"a":["{}"]}}"#, "é".repeat(count - 10));
    assert!(Filter::parse([of_chars(4096).as_str()].into_iter()).is_ok());
    let long = of_chars(4097);
    let error = Filter::parse([good, long.as_str()].into_iter()).unwrap_err();
    assert_eq!(error.to_string(), "pattern 2 has more than 4096 characters");
    let error = Filter::parse([good, "{}"].into_iter()).unwrap_err();
    assert_eq!(error.to_string(), "pattern 2: an object without members matches nothing");
    let branches = |count: usize| {
        let branches: Vec<Value> = (0..count).map(|number| json!({"a": [number]})).collect();
        json!({"$or": branches, "b": {"$or": [{"x": [1]}, {"y": [1]}]}}).to_string()
    };
    assert!(Pattern::parse(&branches(500)).is_ok());
    assert_eq!(Pattern::parse(&branches(501)).unwrap_err().to_string(), "b: its $or have more than 1000 combinations");
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2..3i32).prop_map(Value::from),
        "[a-b]{0,2}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(
                prop_oneof![
                    "[a-b]",
                    Just("$or".to_owned()),
                    Just("prefix".to_owned()),
                    Just("anything-but".to_owned())
                ],
                inner,
                0..3
            )
            .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    /// Whatever is given as a pattern is one or is refused, and one answers for whatever event.
    #[test]
    fn nothing_panics(pattern in any_json(), event in any_json(), text in ".*") {
        let _ = Pattern::parse(&text);
        if let Ok(pattern) = Pattern::parse(&pattern.to_string()) {
            let _ = pattern.matches(&&event).unwrap();
        }
    }
}
