//! A stream record as a line for people: what changed, attribute by attribute.

use std::collections::BTreeSet;

use serde_json::Value;

/// `MODIFY UserId=123 | Score: 1000 -> 1250`.
pub fn line(record: &Value) -> String {
    let change = &record["dynamodb"];
    let event = record["eventName"].as_str().unwrap_or("?");
    let keys = members(&change["Keys"]);
    let key_text: Vec<String> = keys.iter().map(|name| format!("{name}={}", text(&change["Keys"][name]))).collect();
    let (old, new) = (&change["OldImage"], &change["NewImage"]);
    let names: BTreeSet<&str> =
        members(old).union(&members(new)).copied().filter(|name| !keys.contains(name)).collect();
    let both = old.is_object() && new.is_object();
    let changes: Vec<String> = names
        .into_iter()
        .filter(|name| old[*name] != new[*name])
        .map(|name| match (&old[name], &new[name]) {
            (Value::Null, new) if both => format!("+{name}: {}", text(new)),
            (old, Value::Null) if both => format!("-{name}: {}", text(old)),
            (Value::Null, one) | (one, Value::Null) => format!("{name}: {}", text(one)),
            (old, new) => format!("{name}: {} -> {}", text(old), text(new)),
        })
        .collect();
    let head = format!("{event:<6} {}", key_text.join(" "));
    if changes.is_empty() { head } else { format!("{head} | {}", changes.join(", ")) }
}

fn members(image: &Value) -> BTreeSet<&str> {
    image.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// An attribute value in few characters: the type is left out where the value shows it.
fn text(value: &Value) -> String {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return "-".to_owned() };
    match (kind.as_str(), inner) {
        ("S", Value::String(text)) => format!("{text:?}"),
        ("N", Value::String(number)) => number.clone(),
        ("NULL", _) => "null".to_owned(),
        ("L", Value::Array(values)) => format!("[{}]", values.iter().map(text).collect::<Vec<_>>().join(", ")),
        ("M", Value::Object(values)) => {
            let members: Vec<String> = values.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        ("BOOL", inner) => inner.to_string(),
        (kind, inner) => format!("{kind}:{inner}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(event: &str, change: Value, expect: &str) {
        assert_eq!(line(&json!({ "eventName": event, "dynamodb": change })), expect);
    }

    #[test]
    fn lines() {
        let keys = json!({ "Id": { "S": "a" } });
        check(
            "MODIFY",
            json!({ "Keys": keys,
                    "OldImage": { "Id": { "S": "a" }, "n": { "N": "1" }, "gone": { "BOOL": true }, "same": { "NULL": true } },
                    "NewImage": { "Id": { "S": "a" }, "n": { "N": "2" }, "new": { "L": [{ "S": "x" }] }, "same": { "NULL": true } } }),
            r#"MODIFY Id="a" | -gone: true, n: 1 -> 2, +new: ["x"]"#,
        );
        check(
            "INSERT",
            json!({ "Keys": keys, "NewImage": { "Id": { "S": "a" }, "n": { "N": "1" } } }),
            r#"INSERT Id="a" | n: 1"#,
        );
        check("REMOVE", json!({ "Keys": keys }), r#"REMOVE Id="a""#);
    }
}
