//! Filters that match no record of a table, which is told at the start.

use super::*;

fn told(pattern: &str, view: &str) -> Vec<String> {
    let template = mapping_with(&format!("FilterCriteria: {{Filters: [{{Pattern: '{pattern}'}}]}}"));
    let plan = plan(&template.replace("StreamViewType: NEW_IMAGE", &format!("StreamViewType: {view}")));
    assert_eq!(plan.mappings[0].filters, [pattern], "it is kept");
    plan.skipped
}

#[track_caller]
fn check(pattern: &str, expected: Option<&str>) {
    let expected: Vec<String> = expected
        .map(|why| format!("Resources.M.Properties.FilterCriteria.Filters.0.Pattern: it never matches: {why}"))
        .into_iter()
        .collect();
    assert_eq!(told(pattern, "NEW_AND_OLD_IMAGES"), expected, "{pattern}");
}

#[test]
fn a_filter_that_no_record_matches_is_told() {
    let names = "the eventName of a record is INSERT, MODIFY, REMOVE";
    check(r#"{"eventName": ["insert"]}"#, Some(names));
    check(r#"{"eventName": ["Insert", {"prefix": "mod"}]}"#, Some(names));
    check(r#"{"eventSource": ["dynamodb"]}"#, Some("the eventSource of a record is aws:dynamodb"));
    check(r#"{"eventname": ["INSERT"]}"#, Some("a record has no eventname; did you mean eventName?"));
    check(r#"{"NewImage": {"a": {"S": ["x"]}}}"#, Some("a record has no NewImage"));
    let newimage = r#"{"dynamodb": {"newImage": {"a": {"S": ["x"]}}}}"#;
    check(newimage, Some("the dynamodb of a record has no newImage; did you mean NewImage?"));
    check(
        r#"{"eventName": ["INSERT"], "dynamodb": {"OldImage": {"a": {"S": ["x"]}}}}"#,
        Some("a record of INSERT has no OldImage"),
    );
    check(
        r#"{"eventName": ["REMOVE"], "dynamodb": {"NewImage": {"a": {"S": ["x"]}}}}"#,
        Some("a record of REMOVE has no NewImage"),
    );
}

#[test]
fn a_filter_that_no_attribute_matches_is_told() {
    let image = |tests: &str| format!(r#"{{"dynamodb": {{"NewImage": {tests}}}}}"#);
    for (tests, why) in [
        (r#"{"status": ["x"]}"#, r#"an attribute has its type around its value: {"status":{"S":["x"]}}"#),
        (r#"{"n": [5]}"#, r#"an attribute has its type around its value: {"n":{"N":["5"]}}"#),
        (r#"{"gone": [null]}"#, r#"an attribute has its type around its value: {"gone":{"NULL":[true]}}"#),
        (
            r#"{"n": [{"anything-but": 5}]}"#,
            r#"an attribute has its type around its value: {"n":{"N":[{"anything-but":"5"}]}}"#,
        ),
        (
            r#"{"price": [{"numeric": [">", 100]}]}"#,
            "an attribute has its type around its value, and a number is a text there, which numeric never matches",
        ),
        (
            r#"{"price": {"S": [{"numeric": [">", 100]}]}}"#,
            "the value of price.S is a text, which numeric never matches",
        ),
        (r#"{"on": [true]}"#, r#"an attribute has its type around its value: {"on":{"BOOL":[true]}}"#),
        (r#"{"a": {"s": ["x"]}}"#, "a has a type as its member, and not s; did you mean S?"),
        (
            r#"{"a": {"city": {"S": ["x"]}}}"#,
            "a has a type as its member, and not city: the members of a map are in its M",
        ),
        (r#"{"a": {"M": {"city": ["x"]}}}"#, r#"an attribute has its type around its value: {"city":{"S":["x"]}}"#),
        (r#"{"n": {"N": [5, 6]}}"#, "the value of n.N is a text, also that of a number: \"5\""),
        (r#"{"on": {"BOOL": ["true"]}}"#, "the value of on.BOOL is no text: true, without quotation marks"),
        (r#"["x"]"#, "NewImage is an object of attributes"),
    ] {
        check(&image(tests), Some(why));
    }
    check(
        r#"{"dynamodb": {"Keys": {"id": ["x"]}}}"#,
        Some(r#"an attribute has its type around its value: {"id":{"S":["x"]}}"#),
    );
}

#[test]
fn a_filter_that_some_record_matches_is_not() {
    for pattern in [
        r#"{"eventName": ["INSERT", "insert"]}"#,
        r#"{"eventName": [{"anything-but": "INSERT"}]}"#,
        r#"{"eventName": [{"equals-ignore-case": "insert"}]}"#,
        r#"{"eventname": [{"exists": false}]}"#,
        r#"{"$or": [{"eventname": ["x"]}, {"eventName": ["INSERT"]}]}"#,
        r#"{"userIdentity": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}}"#,
        r#"{"dynamodb": {"NewImage": {"a": {"M": {"b": {"L": {"N": ["1"]}}}}, "c": {"BOOL": [true]}, "d": {"SS": ["x"]}}}}"#,
        r#"{"dynamodb": {"NewImage": {"a": {"N": ["1", 2]}, "b": [{"exists": false}], "c": {"S": [{"exists": true}]}}}}"#,
        r#"{"eventName": ["REMOVE"], "dynamodb": {"NewImage": {"a": {"S": [{"exists": false}]}}}}"#,
        r#"{"eventName": ["REMOVE", "MODIFY"], "dynamodb": {"NewImage": {"a": {"S": ["x"]}}}}"#,
        r#"{"dynamodb": {"SizeBytes": [{"numeric": [">", 1]}], "StreamViewType": ["NEW_IMAGE"]}}"#,
    ] {
        check(pattern, None);
    }
}

#[test]
fn a_filter_of_an_image_that_the_stream_has_not_is_told() {
    let of = |image: &str| format!(r#"{{"dynamodb": {{"{image}": {{"a": {{"S": ["x"]}}}}}}}}"#);
    for (view, absent) in [
        ("KEYS_ONLY", &["NewImage", "OldImage"][..]),
        ("NEW_IMAGE", &["OldImage"]),
        ("OLD_IMAGE", &["NewImage"]),
        ("NEW_AND_OLD_IMAGES", &[]),
    ] {
        for image in ["NewImage", "OldImage", "Keys"] {
            let why = format!("it never matches: the stream is {view}, and its records have no {image}");
            let line = format!("Resources.M.Properties.FilterCriteria.Filters.0.Pattern: {why}");
            let expected = if absent.contains(&image) { vec![line] } else { Vec::new() };
            assert_eq!(told(&of(image), view), expected, "{view} {image}");
        }
    }
    let absence = r#"{"dynamodb": {"OldImage": {"a": {"S": [{"exists": false}]}}}}"#;
    assert_eq!(told(absence, "NEW_IMAGE"), Vec::<String>::new());
}
