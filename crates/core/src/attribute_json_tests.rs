//! Rows of docs/spec/dynamodb-api.md 1.4 (wrong JSON types) and 2.5, 3.1-3.3 (wrong values).

use super::*;

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn type_error(value: &str) -> Option<String> {
    let error = check_value(&json(value), Place::Element).unwrap_err();
    assert_eq!(error.code, ErrorCode::SerializationException);
    error.message
}

#[test]
fn wrong_json_types_are_named() {
    for (value, text) in [
        (r#"{"S":true}"#, "TRUE_VALUE cannot be converted to String"),
        (r#"{"S":false}"#, "FALSE_VALUE cannot be converted to String"),
        (r#"{"N":-0}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"N":12345678901234567890123}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"N":1.0}"#, "DECIMAL_VALUE cannot be converted to String"),
        (r#"{"S":[]}"#, "Unrecognized collection type class java.lang.String"),
        (r#"{"S":{}}"#, "Start of structure or map found where not expected"),
        (r#"{"BOOL":"maybe"}"#, "Unexpected token received from parser"),
        (r#"{"NULL":1}"#, "NUMBER_VALUE cannot be converted to Boolean"),
        (r#"{"BOOL":1.5}"#, "DECIMAL_VALUE cannot be converted to Boolean"),
        (r#"{"BOOL":{}}"#, "Start of structure or map found where not expected"),
        (r#"{"B":true}"#, "only base-64-encoded strings are convertible to bytes"),
        (r#"{"B":[]}"#, "Unrecognized collection type class java.nio.ByteBuffer"),
        (r#"{"B":"abc"}"#, "Base64 encoded length is expected a multiple of 4 bytes but found: 3"),
        (r#"{"B":"a=bc"}"#, "Invalid last non-pad Base64 character dectected"),
        (r#"{"SS":"a"}"#, "Unexpected field type"),
        (r#"{"SS":{}}"#, "Start of structure or map found where not expected"),
        (r#"{"NS":[1]}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"BS":["a"]}"#, "Base64 encoded length is expected a multiple of 4 bytes but found: 1"),
        (r#"{"L":["a"]}"#, "Unexpected value type in payload"),
        (r#"{"L":[[]]}"#, "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.AttributeValue"),
        (r#"{"M":1}"#, "Unexpected field type"),
        (
            r#"{"M":[]}"#,
            "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
        ),
        (r#"{"M":{"a":{"L":[{"S":1}]}}}"#, "NUMBER_VALUE cannot be converted to String"),
    ] {
        assert_eq!(type_error(value).as_deref(), Some(text), "{value}");
    }
    assert_eq!(type_error(r#"{"BOOL":[]}"#), None, "no message for an array");
    assert_eq!(check_value(&json("1"), Place::Member).unwrap_err().message.as_deref(), Some("Unexpected field type"));
    for value in [r#"{"S":"a","x":1}"#, r#"{"BOOL":"T"}"#, r#"{"S":null}"#, r#"{"B":""}"#, "null"] {
        assert_eq!(check_value(&json(value), Place::Element), Ok(()), "{value}");
    }
}

fn texts(value: &str) -> (String, String, bool) {
    let error = read_value(json(value)).unwrap_err();
    (error.current, error.classic, error.enveloped)
}

#[test]
fn wrong_values_are_named_in_both_wordings() {
    let opvi = |text: &str| format!("One or more parameter values were invalid: {text}");
    let same = |text: String| (text.clone(), text, true);
    let conversion = "The parameter cannot be converted to a numeric value";
    for (value, expected) in [
        (r#"{"N":"abc"}"#, same(format!("{conversion}: abc"))),
        (r#"{"N":""}"#, (format!("{conversion}: "), conversion.to_owned(), true)),
        (r#"{"NS":["1",""]}"#, (format!("{conversion}: "), conversion.to_owned(), true)),
        (
            r#"{"N":"1e126"}"#,
            same("Number overflow. Attempting to store a number with magnitude larger than supported range".into()),
        ),
        (
            r#"{"N":"1e-131"}"#,
            same("Number underflow. Attempting to store a number with magnitude smaller than supported range".into()),
        ),
        (
            r#"{"N":"123456789012345678901234567890123456789"}"#,
            same("Attempting to store more than 38 significant digits in a Number".into()),
        ),
        (r#"{"NULL":false}"#, same(opvi("Null attribute value types must have the value of true"))),
        (r#"{"SS":[]}"#, same(opvi("An string set  may not be empty"))),
        (r#"{"NS":[]}"#, same(opvi("An number set  may not be empty"))),
        (r#"{"BS":[]}"#, same(opvi("Binary sets should not be empty"))),
        (
            r#"{"SS":["a","b","a"]}"#,
            (
                opvi(r#"Input collection ["a", "b", "a"] contains duplicates."#),
                opvi("Input collection [a, b, a] contains duplicates."),
                true,
            ),
        ),
        (
            r#"{"BS":["AAE=","AAE="]}"#,
            (
                opvi(r#"Input collection ["AAE=","AAE="]of type BS contains duplicates."#),
                opvi("Input collection [AAE=, AAE=]of type BS contains duplicates."),
                true,
            ),
        ),
        (
            r#"{"NS":["1","1.0"]}"#,
            (opvi("Input collection contains duplicates."), "Input collection contains duplicates".into(), true),
        ),
        (r#"{"M":{"":{"S":"a"}}}"#, same("Empty attribute name".into())),
    ] {
        assert_eq!(texts(value), expected, "{value}");
    }
    for value in ["{}", r#"{"x":1}"#, r#"{"S":null}"#, r#"{"L":[{}]}"#] {
        let text = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        assert_eq!(texts(value), (text.into(), text.into(), false), "{value}");
    }
    let two = texts(r#"{"S":"a","N":"1"}"#);
    assert!(two.0.starts_with("Supplied AttributeValue has more than one datatypes set"), "{two:?}");
    assert!(!two.2, "never enveloped");
}

#[test]
fn errors_repeat_only_the_beginning_of_large_values() {
    let long = "ä".repeat(1_000_000);
    for value in [
        format!(r#"{{"N":"{long}"}}"#),
        format!(r#"{{"NS":["1","{long}"]}}"#),
        format!(r#"{{"SS":["{long}","{long}"]}}"#),
        format!(r#"{{"SS":[{}"a"]}}"#, r#""a","#.repeat(1_000_000)),
        format!(r#"{{"BS":["{0}","{0}"]}}"#, "AAAA".repeat(1_000_000)),
    ] {
        let (current, classic, _) = texts(&value);
        for text in [current, classic] {
            assert!((4096..4300).contains(&text.len()), "{} bytes: {text}", text.len());
        }
    }
}

#[test]
fn lenient_booleans_and_absent_members_are_read() {
    assert_eq!(read_value(json(r#"{"BOOL":"yes"}"#)), Ok(AttributeValue::Bool(true)));
    assert_eq!(read_value(json(r#"{"NULL":"1"}"#)), Ok(AttributeValue::Null));
    assert_eq!(read_value(json(r#"{"S":"a","N":null,"x":1}"#)), Ok(AttributeValue::S("a".into())));
    assert_eq!(read_value(json(r#"{"SS":[""]}"#)).unwrap().type_name(), "SS");
    assert_eq!(read_item(json(r#"{"a":{"S":"x"},"a":{"S":"y"}}"#)).unwrap()["a"], AttributeValue::S("y".into()));
}

#[test]
fn nesting_is_bounded_and_loses_its_envelope_far_beyond() {
    let nested = |containers: usize, open: &str, close: &str| {
        format!("{}{{\"S\":\"x\"}}{}", open.repeat(containers), close.repeat(containers))
    };
    for (open, close) in [(r#"{"L":["#, "]}"), (r#"{"M":{"a":"#, "}}")] {
        assert!(read_value(json(&nested(31, open, close))).is_ok());
        for (containers, enveloped) in [(32, true), (61, true), (62, false)] {
            let error = read_value(json(&nested(containers, open, close))).unwrap_err();
            assert_eq!((error.kind, error.enveloped), (ValueErrorKind::Nesting, enveloped), "{containers}");
        }
    }
}

/// docs/spec/dynamodb-api.md 3.3: containers are counted, whether or not anything is in the last of them; a value that is only
/// compared with may have one more.
#[test]
fn an_empty_list_or_map_nests_as_deep_as_a_full_one() {
    for (open, inner, close) in [(r#"{"L":["#, r#"{"L":[]}"#, "]}"), (r#"{"M":{"a":"#, r#"{"M":{}}"#, "}}")] {
        let empty = |containers: usize| {
            json(&format!("{}{inner}{}", open.repeat(containers - 1), close.repeat(containers - 1)))
        };
        assert!(read_value(empty(31)).is_ok(), "{inner}");
        assert_eq!(read_value(empty(32)).unwrap_err().kind, ValueErrorKind::Nesting, "{inner}");
        assert!(read_expression_value(empty(32)).is_ok(), "{inner}");
        assert_eq!(read_expression_value(empty(33)).unwrap_err().kind, ValueErrorKind::Nesting, "{inner}");
    }
}

#[test]
fn only_the_current_wording_of_a_writing_operation_has_an_envelope() {
    let error = || read_value(json(r#"{"SS":[]}"#)).unwrap_err();
    let message = |wording, envelopes| error().into_api(wording, envelopes).message.unwrap();
    assert!(message(Wording::Current, true).starts_with("1 validation error detected: One or more"));
    assert!(message(Wording::Current, false).starts_with("One or more"));
    assert!(message(Wording::Classic, true).starts_with("One or more"));
}
