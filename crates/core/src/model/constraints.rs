//! Constraints of members: the `N validation errors detected` texts in both wordings. Source: docs/spec/dynamodb-api.md 1.5,
//! 1.6 and the orders of 2.5.

use super::Operation;
use super::Wording;
use super::java;
use super::shape::{Kind, Member, NAME_PATTERN, Shape, ShapeId, TableNameRule};
use crate::echo::{echo, echo_text};
use crate::limits::VALIDATION_ERRORS_MAX;
use crate::{ApiError, Json};

const TABLE_NAME: &str = "TableName";

/// An error in the list, and whether its text is a whole message of its own when it is alone.
struct Fault {
    text: String,
    whole: bool,
}

/// A member's path as the older wording spells it, and as the newer one does in bounds. Keys of maps are as they are.
#[derive(Default)]
struct Path {
    lower: String,
    upper: String,
}

impl Path {
    fn then(&self, lower: &str, upper: &str) -> Path {
        Path { lower: format!("{}{lower}", self.lower), upper: format!("{}{upper}", self.upper) }
    }

    fn element(&self, key: &str) -> Path {
        let end = format!(".{}.member", echo(key));
        self.then(&end, &end)
    }
}

struct Walk<'a> {
    shapes: &'a [Shape],
    /// The newer wording applies.
    newer: bool,
    faults: Vec<Fault>,
}

/// Checks a request whose types are right.
pub(super) fn check(shapes: &[Shape], operation: &Operation, body: &Json, wording: Wording) -> Result<(), ApiError> {
    let Kind::Structure(members) = &shapes[operation.input.0].kind else {
        unreachable!("invariant: an input is a structure")
    };
    let current = wording == Wording::Current;
    let mut walk = Walk { shapes, newer: current && operation.newer, faults: Vec::new() };
    // A missing key or item makes the service fall back to its older layer, for UpdateItem with all its errors (2.5 row 1).
    let key_missing = operation.current.len() > 1
        && members.iter().any(|m| m.name == "Key" && m.required && body.get("Key").is_none());
    if walk.newer && key_missing {
        walk.newer = false;
    }
    table_name_alone(operation, body, wording, walk.newer)?;
    let groups = match (current, key_missing) {
        (true, false) => &operation.current,
        (true, true) | (false, _) => &operation.classic,
    };
    for group in groups {
        for &index in group {
            walk.member(operation, &members[index], body, &Path::default());
            if walk.faults.len() >= VALIDATION_ERRORS_MAX {
                break;
            }
        }
        if !walk.faults.is_empty() {
            return Err(message(walk.faults));
        }
    }
    Ok(())
}

fn message(mut faults: Vec<Fault>) -> ApiError {
    faults.truncate(VALIDATION_ERRORS_MAX);
    if let [Fault { text, whole: true }] = &faults[..] {
        return ApiError::validation(text.clone());
    }
    let count = faults.len();
    let plural = if count == 1 { "" } else { "s" };
    let texts: Vec<String> = faults.into_iter().map(|fault| fault.text).collect();
    ApiError::validation(format!("{count} validation error{plural} detected: {}", texts.join("; ")))
}

/// Errors of the table's name that are reported before, and without, all others (1.6).
fn table_name_alone(operation: &Operation, body: &Json, wording: Wording, newer: bool) -> Result<(), ApiError> {
    let name = body.get(TABLE_NAME).and_then(Json::as_str);
    match (operation.table_name, name) {
        (TableNameRule::Control, None) => {
            Err(ApiError::validation("The parameter 'TableName' is required but was not present in the request"))
        }
        (TableNameRule::Control, Some(name)) if !is_arn(name) && !(3..=255).contains(&utf16(name)) => {
            // Seen of DescribeTable and UpdateTable; the other table operations are taken to do as they do.
            if wording == Wording::Current {
                return Err(message(name_faults(name, "tableName", true)));
            }
            Err(ApiError::validation("TableName must be at least 3 characters long and at most 255 characters long"))
        }
        (TableNameRule::Data | TableNameRule::DataAll, Some("")) if newer => Err(ApiError::validation(
            "1 validation error detected: Value at 'TableName' failed to satisfy constraint: Member must have length \
             greater than or equal to 1",
        )),
        _ => Ok(()),
    }
}

/// What is wrong with a name that is no ARN. `all`: every constraint that is broken is told, as AWS orders them; else one is.
fn name_faults(name: &str, path: &str, all: bool) -> Vec<Fault> {
    let length = match utf16(name) {
        ..3 => Some("Member must have length greater than or equal to 3".to_owned()),
        256.. => Some("Member must have length less than or equal to 255".to_owned()),
        _ => None,
    };
    let is_other = !NAME_PATTERN.matches(name) && (all || !name.is_empty());
    let pattern = is_other.then(|| format!("Member must satisfy regular expression pattern: {}", NAME_PATTERN.text()));
    let length = length.filter(|_| all || pattern.is_none());
    length.into_iter().chain(pattern).map(|constraint| value_fault(name, path, &constraint)).collect()
}

fn value_fault(value: &str, path: &str, constraint: &str) -> Fault {
    let text = format!("Value '{}' at '{path}' failed to satisfy constraint: {constraint}", echo_text(value));
    Fault { text, whole: false }
}

/// The service takes a table's ARN for its name; which ARNs, the operation decides.
fn is_arn(name: &str) -> bool {
    name.starts_with("arn:") && name.len() <= 1024
}

/// Lengths count UTF-16 units, as the service's language does.
fn utf16(text: &str) -> i64 {
    if text.is_ascii() { text.len() as i64 } else { text.encode_utf16().count() as i64 }
}

/// How many bytes a text in base64 stands for.
fn blob_bytes(text: &str) -> i64 {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding) as i64
}

impl Walk<'_> {
    fn member(&mut self, operation: &Operation, member: &Member, body: &Json, prefix: &Path) {
        let json = match body {
            Json::Object(_) => body.get(&member.name),
            _ => None,
        };
        let Some(json) = json else {
            if member.required {
                let text = format!(
                    "Value null at '{}{}' failed to satisfy constraint: Member must not be null",
                    prefix.lower, member.path
                );
                self.faults.push(Fault { text, whole: false });
            }
            return;
        };
        if !self.shapes[member.shape.0].constrained {
            return;
        }
        // Also that of an action of a transaction.
        if member.name == TABLE_NAME && operation.table_name != TableNameRule::None {
            self.table_name(json, member, prefix, operation.table_name == TableNameRule::DataAll);
            return;
        }
        // The path is only built for values that may have a fault.
        if self.is_plainly_valid(member.shape, json) {
            return;
        }
        self.value(operation, member.shape, json, &prefix.then(&member.path, &member.name));
    }

    /// Values that keep their constraints, as most do, found out without an allocation. False: perhaps they do.
    fn is_plainly_valid(&self, id: ShapeId, json: &Json) -> bool {
        let shape = &self.shapes[id.0];
        match (&shape.kind, json) {
            (Kind::String, Json::String(text)) => {
                let length = utf16(text);
                shape.min.is_none_or(|min| length >= min)
                    && shape.max.is_none_or(|max| length <= max)
                    && shape.pattern.is_none_or(|pattern| pattern.matches(text))
                    && (shape.allowed.is_empty() || shape.allowed.iter().any(|allowed| allowed == text))
            }
            (Kind::Blob, Json::String(text)) => {
                let bytes = blob_bytes(text);
                shape.min.is_none_or(|min| bytes >= min) && shape.max.is_none_or(|max| bytes <= max)
            }
            (Kind::Map { key, value }, Json::Object(entries)) => {
                let count = entries.len() as i64;
                !self.shapes[value.0].constrained
                    && shape.min.is_none_or(|min| count >= min)
                    && shape.max.is_none_or(|max| count <= max)
                    && entries.iter().all(|(name, _)| {
                        let key = &self.shapes[key.0];
                        let length = utf16(name);
                        key.min.is_none_or(|min| length >= min)
                            && key.max.is_none_or(|max| length <= max)
                            && key.pattern.is_none_or(|pattern| pattern.matches(name))
                    })
            }
            (Kind::Structure(members), Json::Object(_)) => members.iter().all(|member| match json.get(&member.name) {
                Some(json) => !self.shapes[member.shape.0].constrained || self.is_plainly_valid(member.shape, json),
                None => !member.required,
            }),
            (Kind::List(element), Json::Array(elements)) => {
                let count = elements.len() as i64;
                let constrained = self.shapes[element.0].constrained;
                shape.min.is_none_or(|min| count >= min)
                    && shape.max.is_none_or(|max| count <= max)
                    && elements
                        .iter()
                        .all(|json| *json != Json::Null && (!constrained || self.is_plainly_valid(*element, json)))
            }
            _ => false,
        }
    }

    fn table_name(&mut self, json: &Json, member: &Member, prefix: &Path, all: bool) {
        let name = json.as_str().unwrap_or_default();
        if is_arn(name) {
            return;
        }
        if (3..=255).contains(&utf16(name)) && NAME_PATTERN.matches(name) {
            return;
        }
        self.faults.extend(name_faults(name, &format!("{}{}", prefix.lower, member.path), all));
    }

    fn fault(&mut self, value: &str, path: &str, constraint: &str) {
        self.faults.push(value_fault(value, path, constraint));
    }

    /// A bound that is broken: the newer wording leaves the value out and spells the path as requests do, except for the
    /// `AttributesToGet` of a request (6). What may be a secret is left out in any wording.
    fn bound(&mut self, id: ShapeId, json: &Json, path: &Path, constraint: &str) {
        if self.shapes[id.0].sensitive {
            let text = format!("Value at '{}' failed to satisfy constraint: {constraint}", path.lower);
            return self.faults.push(Fault { text, whole: false });
        }
        if !self.newer || path.upper == "AttributesToGet" {
            return self.fault(&java::text(self.shapes, id, json), &path.lower, constraint);
        }
        let text = format!("Value at '{}' failed to satisfy constraint: {constraint}", path.upper);
        self.faults.push(Fault { text, whole: false });
    }

    fn value(&mut self, operation: &Operation, id: ShapeId, json: &Json, path: &Path) {
        let shape = &self.shapes[id.0];
        if *json == Json::Null || !shape.constrained {
            return;
        }
        match (&shape.kind, json) {
            (Kind::String, Json::String(text)) => self.string(id, json, text, path),
            (Kind::Blob, Json::String(text)) => self.blob(id, text, path),
            (Kind::Integer, _) => self.range(id, json, json.as_saturated_i32().map(i64::from), path),
            (Kind::Long, _) => self.range(id, json, json.as_saturated_i64(), path),
            (Kind::List(element), Json::Array(elements)) => {
                self.length(id, json, elements.len() as i64, path);
                self.elements(operation, *element, elements, path);
            }
            (Kind::Map { key, value }, Json::Object(entries)) => {
                self.length(id, json, entries.len() as i64, path);
                self.keys(id, *key, json, entries, path);
                self.lists(id, *value, json, entries, path);
                for (name, json) in entries {
                    if self.faults.len() >= VALIDATION_ERRORS_MAX {
                        return;
                    }
                    let path = path.element(name);
                    match (&self.shapes[value.0].kind, json) {
                        // A table of a batch that is null has none of its members; the conditions of the older parameters
                        // have words of their own for that.
                        (Kind::Structure(_), Json::Null) if path.lower.starts_with("requestItems.") => {
                            self.value(operation, *value, &Json::Object(Vec::new()), &path);
                        }
                        // The lists' own bounds are the map's.
                        (Kind::List(element), Json::Array(elements)) => {
                            self.elements(operation, *element, elements, &path);
                        }
                        _ => self.value(operation, *value, json, &path),
                    }
                }
            }
            (Kind::Structure(members), Json::Object(_)) => {
                let prefix = path.then(".", ".");
                for member in members {
                    self.member(operation, member, json, &prefix);
                }
            }
            _ => {}
        }
    }

    fn elements(&mut self, operation: &Operation, element: ShapeId, elements: &[Json], path: &Path) {
        for (index, json) in elements.iter().enumerate() {
            if self.faults.len() >= VALIDATION_ERRORS_MAX {
                return;
            }
            let path = path.element(&(index + 1).to_string());
            // A null member is one that is absent, but no element of a list can be; requests of a batch have words of
            // their own for that, and the names of an AttributesToGet are left to who reads them.
            let is_told = match self.shapes[element.0].kind {
                Kind::Structure(_) => true,
                Kind::String => self.shapes[element.0].name != "AttributeName",
                _ => false,
            };
            if *json == Json::Null && is_told && !path.lower.starts_with("requestItems.") {
                let text =
                    format!("Value null at '{}' failed to satisfy constraint: Member must not be null", path.lower);
                self.faults.push(Fault { text, whole: false });
                continue;
            }
            self.value(operation, element, json, &path);
        }
    }

    fn string(&mut self, id: ShapeId, json: &Json, text: &str, path: &Path) {
        let shape = &self.shapes[id.0];
        if let Some(pattern) = shape.pattern.filter(|pattern| !pattern.matches(text)) {
            self.fault(
                text,
                &path.lower,
                &format!("Member must satisfy regular expression pattern: {}", pattern.text()),
            );
        }
        self.length(id, json, utf16(text), path);
        if shape.allowed.is_empty() || shape.allowed.iter().any(|allowed| allowed == text) {
            return;
        }
        if self.newer && shape.name == "AttributeAction" {
            // The service's own slip of the pen, once however many actions are wrong (6).
            let text = "Member must satisfy enum value set: [ADD, DELETE, PUT]' for Action";
            if self.faults.iter().all(|fault| fault.text != text) {
                self.faults.push(Fault { text: text.to_owned(), whole: false });
            }
        } else if self.newer && !shape.allowed_current.is_empty() {
            let set = shape.allowed_current.join(", ");
            let text = format!("Failed to satisfy constraint: Member must satisfy enum value set: [{set}]");
            self.faults.push(Fault { text, whole: true });
        } else {
            self.fault(
                text,
                &path.lower,
                &format!("Member must satisfy enum value set: [{}]", shape.allowed.join(", ")),
            );
        }
    }

    fn length(&mut self, id: ShapeId, json: &Json, length: i64, path: &Path) {
        let shape = &self.shapes[id.0];
        if let Some(max) = shape.max.filter(|max| length > *max) {
            self.bound(id, json, path, &format!("Member must have length less than or equal to {max}"));
        } else if let Some(min) = shape.min.filter(|min| length < *min) {
            self.bound(id, json, path, &format!("Member must have length greater than or equal to {min}"));
        }
    }

    /// The length of what the text stands for; the service prints the buffer that it lies in.
    fn blob(&mut self, id: ShapeId, text: &str, path: &Path) {
        let bytes = blob_bytes(text);
        let (min, max) = (self.shapes[id.0].min.unwrap_or(0), self.shapes[id.0].max.unwrap_or(i64::MAX));
        let bound = match bytes {
            _ if bytes > max => format!("less than or equal to {max}"),
            _ if bytes < min => format!("greater than or equal to {min}"),
            _ => return,
        };
        let value = format!("java.nio.HeapByteBuffer[pos=0 lim={bytes} cap={bytes}]");
        self.fault(&value, &path.lower, &format!("Member must have length {bound}"));
    }

    fn range(&mut self, id: ShapeId, json: &Json, number: Option<i64>, path: &Path) {
        let shape = &self.shapes[id.0];
        let Some(number) = number else { return };
        if let Some(max) = shape.max.filter(|max| number > *max) {
            self.bound(id, json, path, &format!("Member must have value less than or equal to {max}"));
        } else if let Some(min) = shape.min.filter(|min| number < *min) {
            self.bound(id, json, path, &format!("Member must have value greater than or equal to {min}"));
        }
    }

    /// The bounds of lists that are the values of a map are reported once, at the map's own path. A list that is null is an
    /// empty one.
    fn lists(&mut self, id: ShapeId, list: ShapeId, json: &Json, entries: &[(String, Json)], path: &Path) {
        let Shape { kind: Kind::List(_), min: Some(min), max: Some(max), .. } = &self.shapes[list.0] else { return };
        let length = |list: &Json| list.as_array().map_or(0, <[Json]>::len) as i64;
        if entries.iter().any(|(_, list)| !(*min..=*max).contains(&length(list))) {
            let constraint = format!(
                "Map value must satisfy constraint: [Member must have length less than or equal to {max}, Member must \
                 have length greater than or equal to {min}]"
            );
            self.fault(&java::text(self.shapes, id, json), &path.lower, &constraint);
        }
    }

    /// Keys of a map that name tables must be table names (or ARNs).
    fn keys(&mut self, id: ShapeId, key: ShapeId, json: &Json, entries: &[(String, Json)], path: &Path) {
        if self.shapes[key.0].name != "TableArn" {
            return;
        }
        let is_name = |name: &str| is_arn(name) || ((3..=255).contains(&name.len()) && NAME_PATTERN.matches(name));
        if entries.iter().any(|(name, _)| !is_name(name)) {
            let constraint = format!(
                "Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member must have \
                 length greater than or equal to 3, Member must satisfy regular expression pattern: {}]",
                NAME_PATTERN.text()
            );
            self.fault(&java::text(self.shapes, id, json), &path.lower, &constraint);
        }
    }
}
