//! What can be seen of a filter before there is a record: that it never matches one of a table.
//!
//! Such a filter is a valid one, here as on AWS, and its mapping would wait for ever without a word. So why it never matches is told in
//! one line. Only what is certain is: alternatives (`$or`) are not looked into.
//! Source: docs/spec/event-source-mapping.md 8.3.

use serde_json::{Map, Value, json};
use tailrace_core::ViewType;
use tailrace_pattern::Filter;

use crate::suggest::did_you_mean;

/// The members of a record, as a function gets it.
const RECORD: [&str; 8] =
    ["awsRegion", "dynamodb", "eventID", "eventName", "eventSource", "eventSourceARN", "eventVersion", "userIdentity"];

/// The members of its `dynamodb`.
const CHANGE: [&str; 7] =
    ["ApproximateCreationDateTime", "Keys", "NewImage", "OldImage", "SequenceNumber", "SizeBytes", "StreamViewType"];

/// The types of attributes.
const TYPES: [&str; 10] = ["S", "N", "B", "SS", "NS", "BS", "BOOL", "NULL", "M", "L"];

/// The kinds of changes.
const EVENT_NAMES: [&str; 3] = ["INSERT", "MODIFY", "REMOVE"];

/// `$or`: one of its elements is to match.
const ALTERNATIVES: &str = "$or";

/// Why a pattern matches no record of a table; `None`: it may match one.
pub(crate) fn never(pattern: &Value) -> Option<String> {
    let members = pattern.as_object()?;
    if has_numeric_number(members) {
        return Some("numeric never matches an attribute of type N, here as on AWS: its value is a text".to_owned());
    }
    let needed = needed(members);
    if let Some((name, _)) = needed.iter().find(|(name, _)| !RECORD.contains(name)) {
        return Some(format!("it never matches: a record has no {name}{}", did_you_mean(name, RECORD)));
    }
    let asked = |name: &str| needed.iter().find(|(own, _)| *own == name).map(|(_, below)| *below);
    if let Some(names) = asked("eventName")
        && kinds_of(names).is_empty()
    {
        return Some(format!("it never matches: the eventName of a record is {}", EVENT_NAMES.join(", ")));
    }
    if let Some(source) = asked("eventSource")
        && !passes("eventSource", source, "aws:dynamodb")
    {
        return Some("it never matches: the eventSource of a record is aws:dynamodb".to_owned());
    }
    let change = asked("dynamodb")?;
    let Some(change) = change.as_object() else { return Some("it never matches: dynamodb is an object".to_owned()) };
    let needed = self::needed(change);
    if let Some((name, _)) = needed.iter().find(|(name, _)| !CHANGE.contains(name)) {
        return Some(format!("it never matches: the dynamodb of a record has no {name}{}", did_you_mean(name, CHANGE)));
    }
    let images = needed.iter().filter(|(name, _)| ["Keys", "NewImage", "OldImage"].contains(name));
    if let Some(why) = images.clone().find_map(|(name, below)| item_never(name, below)) {
        return Some(format!("it never matches: {why}"));
    }
    let kinds = asked("eventName").map_or_else(|| EVENT_NAMES.to_vec(), kinds_of);
    let without = images.filter_map(|(name, _)| match *name {
        "NewImage" => Some(("REMOVE", "NewImage")),
        "OldImage" => Some(("INSERT", "OldImage")),
        _ => None,
    });
    let without: Vec<_> = without.collect();
    let lacking = without.iter().find(|(kind, _)| kinds == [*kind]);
    lacking.map(|(kind, image)| format!("it never matches: a record of {kind} has no {image}"))
}

/// Why a pattern matches no record of a stream with this view; `None`: it may match one.
pub(crate) fn never_in(pattern: &Value, view: ViewType) -> Option<String> {
    let change = pattern.as_object()?.get("dynamodb")?.as_object()?;
    let absent: &[&str] = match view {
        ViewType::KeysOnly => &["NewImage", "OldImage"],
        ViewType::NewImage => &["OldImage"],
        ViewType::OldImage => &["NewImage"],
        ViewType::NewAndOldImages => &[],
    };
    let needed = needed(change);
    let image = absent.iter().find(|image| needed.iter().any(|(name, _)| name == *image))?;
    let view = view.name();
    Some(format!("it never matches: the stream is {view}, and its records have no {image}"))
}

/// The members of a pattern without which nothing matches.
fn needed(members: &Map<String, Value>) -> Vec<(&str, &Value)> {
    let all = members.iter().map(|(name, below)| (name.as_str(), below));
    all.filter(|(name, below)| *name != ALTERNATIVES && is_needed(below)).collect()
}

/// Nothing matches where there is no such member.
fn is_needed(below: &Value) -> bool {
    match below {
        Value::Object(members) => members.iter().any(|(name, below)| name != ALTERNATIVES && is_needed(below)),
        Value::Array(tests) => !tests.iter().any(|test| test.get("exists") == Some(&Value::Bool(false))),
        _ => false,
    }
}

/// The kinds of changes that pass these tests.
fn kinds_of(tests: &Value) -> Vec<&'static str> {
    EVENT_NAMES.into_iter().filter(|name| passes("eventName", tests, name)).collect()
}

/// Whether this value of a member passes these tests; what is no pattern is told elsewhere.
fn passes(name: &str, tests: &Value, value: &str) -> bool {
    let pattern = json!({ name: tests }).to_string();
    let Ok(filter) = Filter::parse([pattern.as_str()].into_iter()) else { return true };
    filter.passes(&&json!({ name: value })).unwrap_or(true)
}

/// Why no item, or no key, matches.
fn item_never(image: &str, below: &Value) -> Option<String> {
    let Some(attributes) = below.as_object() else {
        return Some(format!("{image} is an object of attributes"));
    };
    needed(attributes).into_iter().find_map(|(name, below)| attribute_never(name, below))
}

/// Why no attribute of this name matches.
fn attribute_never(name: &str, below: &Value) -> Option<String> {
    let Some(types) = below.as_object() else {
        const AROUND: &str = "an attribute has its type around its value";
        let all = below.as_array().map_or(&[][..], Vec::as_slice);
        if all.iter().any(|test| test.get("numeric").is_some()) {
            return Some(format!("{AROUND}, and a number is a text there, which numeric never matches"));
        }
        let but = |test: &Value| {
            test.get("anything-but").is_some_and(|but| but.is_number() || all_are(but, Value::is_number))
        };
        let (kind, tests) = match all.first() {
            Some(Value::Null) => ("NULL", json!([true])),
            Some(Value::Bool(_)) => ("BOOL", below.clone()),
            Some(test) if test.is_number() || but(test) => ("N", texts_of_numbers(below)),
            _ => ("S", below.clone()),
        };
        return Some(format!("{AROUND}: {}", json!({ name: { kind: tests } })));
    };
    needed(types).into_iter().find_map(|(kind, below)| match kind {
        "M" => match below.as_object() {
            Some(attributes) => needed(attributes).into_iter().find_map(|(name, below)| attribute_never(name, below)),
            None => Some(format!("the value of {name}.M is an object of attributes")),
        },
        // Of a list, the pattern is that of an element.
        "L" => below.is_object().then(|| attribute_never(name, below))?,
        "BOOL" | "NULL" => all_are(below, Value::is_string)
            .then(|| format!("the value of {name}.{kind} is no text: true, without quotation marks")),
        "S" if all_are(below, |test| test.get("numeric").is_some()) => {
            Some(format!("the value of {name}.S is a text, which numeric never matches"))
        }
        kind if TYPES.contains(&kind) => all_are(below, |test| test.is_number() || test.is_boolean())
            .then(|| format!("the value of {name}.{kind} is a text, also that of a number: \"5\"")),
        _ => Some(format!("{name} has a type as its member, and not {kind}{}", hint_of_map(kind))),
    })
}

/// Tests with each number as the text that it is in a record.
fn texts_of_numbers(tests: &Value) -> Value {
    match tests {
        Value::Number(number) => number.to_string().into(),
        Value::Array(tests) => tests.iter().map(texts_of_numbers).collect(),
        Value::Object(test) => test.iter().map(|(name, test)| (name.clone(), texts_of_numbers(test))).collect(),
        other => other.clone(),
    }
}

/// What was likely meant by a member of an attribute that is no type.
fn hint_of_map(kind: &str) -> String {
    match TYPES.iter().find(|own| own.eq_ignore_ascii_case(kind)) {
        Some(own) => format!("; did you mean {own}?"),
        None => ": the members of a map are in its M".to_owned(),
    }
}

/// Each of some tests is such a value; of none it is not said.
fn all_are(tests: &Value, is_such: impl Fn(&Value) -> bool) -> bool {
    tests.as_array().is_some_and(|tests| !tests.is_empty() && tests.iter().all(is_such))
}

/// A pattern has `numeric` below a key `N`: what its author hopes for never happens.
fn has_numeric_number(members: &Map<String, Value>) -> bool {
    members.iter().any(|(name, below)| match below {
        Value::Array(values) => name == "N" && values.iter().any(|value| value.get("numeric").is_some()),
        Value::Object(members) => has_numeric_number(members),
        _ => false,
    })
}
