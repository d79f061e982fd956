//! What a user says about single attributes: written as another type than the item has, or not at all.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Longest text that a keyword is indexed by, characters: four bytes each, and Lucene's longest term has 32,766.
const KEYWORD_CHARS_MAX: u32 = 8191;

/// What becomes of a value. What cannot be made into it stays as it is, and the index's mapping decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Coercion {
    /// A string: a number as its decimal, a BOOL as `true` or `false`, a map as its JSON.
    String,
    /// A number: a string that is a decimal.
    Number,
    /// A boolean: the strings `true` and `false`, the numbers 0 and 1.
    Boolean,
    /// A string of the value's JSON, whatever it is: kept, and not indexed.
    Json,
    /// Left out.
    Omit,
}

/// The coercions of attributes by their path, as the index has it: `total`, `address.zip`. An attribute whose name has dots is
/// at the same place there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    /// What becomes of the value at this place.
    pub coercion: Option<Coercion>,
    members: BTreeMap<String, Types>,
}

impl Types {
    /// Those of `paths`.
    pub fn new(paths: &BTreeMap<String, Coercion>) -> Types {
        let mut types = Types::default();
        for (path, coercion) in paths {
            let place = path.split('.').fold(&mut types, |node, name| node.members.entry(name.to_owned()).or_default());
            place.coercion = Some(*coercion);
        }
        types
    }

    /// Those of a member.
    pub fn member(&self, name: &str) -> Option<&Types> {
        if self.members.is_empty() {
            return None;
        }
        name.split('.').try_fold(self, |node, name| node.members.get(name))
    }

    /// The `properties` of a mapping in which the coerced values are what they were made into.
    pub fn properties(&self) -> Map<String, Value> {
        let property = |(name, types): (&String, &Types)| types.property().map(|property| (name.clone(), property));
        self.members.iter().filter_map(property).collect()
    }

    fn property(&self) -> Option<Value> {
        Some(match self.coercion {
            Some(Coercion::String) => json!({"type": "keyword", "ignore_above": KEYWORD_CHARS_MAX}),
            Some(Coercion::Number) => json!({"type": "double"}),
            Some(Coercion::Boolean) => json!({"type": "boolean"}),
            Some(Coercion::Json) => json!({"type": "keyword", "index": false, "doc_values": false}),
            Some(Coercion::Omit) => return None,
            None => {
                let properties = self.properties();
                if properties.is_empty() {
                    return None;
                }
                json!({ "properties": properties })
            }
        })
    }
}
