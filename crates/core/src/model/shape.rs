//! The data file's form, and what it becomes in memory: shapes by index, members with both spellings of their names.

use std::collections::HashMap;

use serde::Deserialize;

use super::{Api, Operation};
use crate::limits::{TABLE_NAME_CHARS_MAX, TABLE_NAME_CHARS_MIN};

/// The index of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShapeId(pub usize);

/// A pattern that a whole text must match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(&'static str);

/// The pattern of names of tables and indexes.
pub const NAME_PATTERN: Pattern = Pattern("[a-zA-Z0-9_.-]+");

/// Whether a table or an index can have this name.
pub fn is_table_name(text: &str) -> bool {
    // The pattern's characters are a byte each.
    (TABLE_NAME_CHARS_MIN..=TABLE_NAME_CHARS_MAX).contains(&text.len()) && NAME_PATTERN.matches(text)
}

impl Pattern {
    /// Whether the whole text matches.
    pub fn matches(self, text: &str) -> bool {
        // The one pattern that the validated operations have; `read` refuses data with any other.
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    }

    /// As it is printed.
    pub fn text(self) -> &'static str {
        self.0
    }

    fn read(text: &str) -> Pattern {
        assert_eq!(text, NAME_PATTERN.0, "invariant: the model's one pattern");
        NAME_PATTERN
    }
}

/// How an error of the member `TableName` is reported. Source: docs/spec/dynamodb-api.md 1.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TableNameRule {
    /// There is no such member, or it is like any other.
    #[default]
    None,
    /// As the item operations do: one error.
    Data,
    /// As UpdateItem and Scan do: every error.
    DataAll,
    /// As the table operations do.
    Control,
}

/// What a value must be.
#[derive(Debug)]
pub(super) struct Shape {
    pub name: String,
    pub kind: Kind,
    pub min: Option<i64>,
    pub max: Option<i64>,
    pub pattern: Option<Pattern>,
    pub allowed: Vec<String>,
    /// The names that the newer wording prints, if its text is a text of its own.
    pub allowed_current: Vec<String>,
    /// Errors do not repeat the value.
    pub sensitive: bool,
    /// Whether the shape, or one within it, has a constraint; values without any are not walked.
    pub constrained: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    String,
    Integer,
    Long,
    Double,
    Boolean,
    Blob,
    List(ShapeId),
    Map {
        key: ShapeId,
        value: ShapeId,
    },
    Structure(Vec<Member>),
    /// An attribute value: not looked into.
    Value,
}

#[derive(Debug)]
pub(super) struct Member {
    /// As requests spell it.
    pub name: String,
    /// As paths in errors spell it: the first letter in lower case.
    pub path: String,
    pub shape: ShapeId,
    pub required: bool,
}

#[derive(Deserialize)]
struct ApiData {
    operations: HashMap<String, Option<OperationData>>,
    shapes: HashMap<String, ShapeData>,
}

#[derive(Deserialize)]
struct OperationData {
    input: String,
    current: Vec<Vec<String>>,
    classic: Vec<Vec<String>>,
    #[serde(default)]
    newer: bool,
    #[serde(default)]
    table_name: TableNameRule,
    #[serde(default)]
    kept: Vec<String>,
}

#[derive(Deserialize)]
struct ShapeData {
    #[serde(rename = "type")]
    kind: String,
    min: Option<i64>,
    max: Option<i64>,
    pattern: Option<String>,
    #[serde(rename = "enum", default)]
    allowed: Vec<String>,
    #[serde(rename = "enum_current", default)]
    allowed_current: Vec<String>,
    #[serde(default)]
    members: Vec<(String, String, bool)>,
    member: Option<String>,
    key: Option<String>,
    value: Option<String>,
    #[serde(default)]
    sensitive: bool,
}

impl Api {
    /// Reads a data file. The file is part of the program, so what is wrong with it is a bug that every test meets.
    pub(super) fn load(text: &str) -> Api {
        let data: ApiData = serde_json::from_str(text).expect("invariant: the model's data file is well-formed");
        let ids: HashMap<&str, ShapeId> =
            data.shapes.keys().enumerate().map(|(index, name)| (name.as_str(), ShapeId(index))).collect();
        let id = |name: &str| *ids.get(name).expect("invariant: the model names only shapes that it has");
        let inner = |name: &Option<String>| id(name.as_deref().expect("invariant: collections name their elements"));
        let mut shapes: Vec<Shape> = data
            .shapes
            .iter()
            .map(|(name, shape)| Shape {
                name: name.clone(),
                kind: match shape.kind.as_str() {
                    "string" => Kind::String,
                    "integer" => Kind::Integer,
                    "long" => Kind::Long,
                    "double" => Kind::Double,
                    "boolean" => Kind::Boolean,
                    "blob" => Kind::Blob,
                    "list" => Kind::List(inner(&shape.member)),
                    "map" => Kind::Map { key: inner(&shape.key), value: inner(&shape.value) },
                    "value" => Kind::Value,
                    _ => Kind::Structure(shape.members.iter().map(|member| Member::read(member, id)).collect()),
                },
                min: shape.min,
                max: shape.max,
                pattern: shape.pattern.as_deref().map(Pattern::read),
                allowed: shape.allowed.clone(),
                allowed_current: shape.allowed_current.clone(),
                sensitive: shape.sensitive,
                constrained: shape.min.is_some()
                    || shape.max.is_some()
                    || shape.pattern.is_some()
                    || !shape.allowed.is_empty()
                    || shape.members.iter().any(|(_, _, required)| *required),
            })
            .collect();
        spread_constrained(&mut shapes);
        let operations = data.operations.into_iter().map(|(name, operation)| {
            let operation = operation.map(|operation| {
                let input = id(&operation.input);
                let Kind::Structure(members) = &shapes[input.0].kind else {
                    unreachable!("invariant: an input is a structure")
                };
                let index = |name: &String| {
                    members.iter().position(|m| m.name == *name).expect("invariant: orders name members")
                };
                let order = |groups: &[Vec<String>]| groups.iter().map(|g| g.iter().map(index).collect()).collect();
                Operation {
                    input,
                    current: order(&operation.current),
                    classic: order(&operation.classic),
                    newer: operation.newer,
                    table_name: operation.table_name,
                    kept: operation.kept,
                }
            });
            (name, operation)
        });
        Api { operations: operations.collect(), shapes }
    }
}

impl Member {
    fn read((name, shape, required): &(String, String, bool), id: impl Fn(&str) -> ShapeId) -> Member {
        let (first, rest) = name.split_at(1);
        let path = format!("{}{rest}", first.to_ascii_lowercase());
        Member { name: name.clone(), path, shape: id(shape), required: *required }
    }
}

/// A shape that holds a constrained one is constrained, to the last.
fn spread_constrained(shapes: &mut [Shape]) {
    loop {
        let mut changed = false;
        for index in 0..shapes.len() {
            let holds = |id: &ShapeId| shapes[id.0].constrained;
            let constrained = shapes[index].constrained
                || match &shapes[index].kind {
                    Kind::List(element) => holds(element),
                    Kind::Map { key, value } => holds(key) || holds(value),
                    Kind::Structure(members) => members.iter().any(|m| holds(&m.shape)),
                    _ => false,
                };
            changed |= constrained != shapes[index].constrained;
            shapes[index].constrained = constrained;
        }
        if !changed {
            return;
        }
    }
}
