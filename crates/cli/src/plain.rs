//! Items in plain values: `{"id": "a", "n": 1}` instead of `{"id": {"S": "a"}, "n": {"N": "1"}}`.
//!
//! A key attribute has the type that its table says; the type of any other is that of its JSON, and what is no JSON is text.

use serde_json::{Map, Value, json};

/// The attributes of the key of a described table with their types, the partition key first.
pub fn keys(table: &Value) -> Vec<(String, String)> {
    let of_schema = table["KeySchema"].as_array().map(Vec::as_slice).unwrap_or_default();
    let names = of_schema.iter().filter_map(|one| one["AttributeName"].as_str());
    names.map(|name| (name.to_owned(), kind_of(table, name))).collect()
}

fn kind_of(table: &Value, name: &str) -> String {
    let defined = table["AttributeDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let one = defined.iter().find(|one| one["AttributeName"] == name);
    one.and_then(|one| one["AttributeType"].as_str()).unwrap_or("S").to_owned()
}

/// A value of a key of this type, to show how one looks.
pub fn example(kind: &str) -> Value {
    match kind {
        "N" => json!({ "N": "1" }),
        "B" => json!({ "B": "YQ==" }),
        _ => json!({ "S": "a" }),
    }
}

/// The text as a value of this type; a binary value is given in Base64.
pub fn typed(kind: &str, text: &str) -> Value {
    let mut value = Map::new();
    value.insert(kind.to_owned(), Value::from(text));
    Value::Object(value)
}

/// The text as a value whose type it shows itself.
pub fn inferred(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => attribute(&value),
        Err(_) => json!({ "S": text }),
    }
}

/// A plain value as an attribute value.
pub fn attribute(value: &Value) -> Value {
    match value {
        Value::Null => json!({ "NULL": true }),
        Value::Bool(value) => json!({ "BOOL": value }),
        Value::Number(value) => json!({ "N": value.to_string() }),
        Value::String(value) => json!({ "S": value }),
        Value::Array(values) => json!({ "L": values.iter().map(attribute).collect::<Vec<_>>() }),
        Value::Object(members) => {
            let members: Map<String, Value> =
                members.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
            json!({ "M": members })
        }
    }
}

/// An item from a JSON object: one of attribute values is taken as it is, one of plain values with the types of the keys.
pub fn item(object: &Map<String, Value>, keys: &[(String, String)]) -> Value {
    if object.values().all(is_attribute) {
        return Value::Object(object.clone());
    }
    let typed = object.iter().map(|(name, value)| {
        let kind = keys.iter().find(|(key, _)| key == name).map(|(_, kind)| kind.as_str());
        let value = match (kind, value) {
            (Some(kind), Value::String(text)) => typed(kind, text),
            (Some("S"), Value::Number(number)) => typed("S", &number.to_string()),
            _ => attribute(value),
        };
        (name.clone(), value)
    });
    Value::Object(typed.collect())
}

fn is_attribute(value: &Value) -> bool {
    const TYPES: [&str; 10] = ["S", "N", "B", "SS", "NS", "BS", "M", "L", "BOOL", "NULL"];
    let member = value.as_object().filter(|members| members.len() == 1).and_then(|members| members.keys().next());
    member.is_some_and(|name| TYPES.contains(&name.as_str()))
}

/// An attribute value as a plain one. Sets are lists, and a number that JSON readers may not hold exactly stays one.
pub fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|members| members.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "N" => number(inner),
        "NULL" => Value::Null,
        "M" => plain_item(inner),
        "L" => inner.as_array().map(|values| values.iter().map(plain).collect()).unwrap_or_default(),
        "NS" => inner.as_array().map(|values| values.iter().map(number).collect()).unwrap_or_default(),
        _ => inner.clone(),
    }
}

/// An item in plain values.
pub fn plain_item(item: &Value) -> Value {
    let members = item.as_object().into_iter().flatten();
    Value::Object(members.map(|(name, value)| (name.clone(), plain(value))).collect())
}

fn number(text: &Value) -> Value {
    let text = text.as_str().unwrap_or_default();
    let is_exact = |number: &Value| {
        let shown = number.to_string();
        shown == text
    };
    serde_json::from_str::<Value>(text).ok().filter(is_exact).unwrap_or_else(|| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_become_attribute_values_and_come_back() {
        for (text, value) in [
            ("a", json!({ "S": "a" })),
            ("1.5", json!({ "N": "1.5" })),
            ("\"1\"", json!({ "S": "1" })),
            ("true", json!({ "BOOL": true })),
            ("null", json!({ "NULL": true })),
            ("[1,\"x\"]", json!({ "L": [{ "N": "1" }, { "S": "x" }] })),
            ("{\"a\":{}}", json!({ "M": { "a": { "M": {} } } })),
        ] {
            assert_eq!(inferred(text), value, "{text}");
            let back = plain(&value);
            assert_eq!(attribute(&back), value, "{text}");
        }
        assert_eq!(plain(&json!({ "N": "1e400" })), json!("1e400"), "no JSON reader holds it");
        assert_eq!(plain(&json!({ "NS": ["1", "2"] })), json!([1, 2]));
    }

    #[test]
    fn keys_have_the_type_of_their_table() {
        let keys = [("id".to_owned(), "S".to_owned()), ("n".to_owned(), "N".to_owned())];
        let object = json!({ "id": 5, "n": "7", "x": 1 });
        let expect = json!({ "id": { "S": "5" }, "n": { "N": "7" }, "x": { "N": "1" } });
        assert_eq!(item(object.as_object().unwrap(), &keys), expect);
        assert_eq!(item(expect.as_object().unwrap(), &keys), expect, "attribute values stay as they are");
    }
}
