//! A part of the configuration as what it is to the program: secrets are resolved, and what is wrong is told of what is written, with the name
//! that may have been meant.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::secrets;

/// Names that the type itself does not say right.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// Those that it knows and that nobody is to write there.
    pub never: &'a [&'a str],
    /// Those that may stand beside its own, and who has them.
    pub also: &'a [&'a str],
    /// Who has those, as in "what every sink has".
    pub also_of: &'a str,
}

/// Reads `written`, with the secrets that it refers to. Relative paths of these are meant from `base`.
///
/// # Errors
/// What is wrong, for people. It has no secret.
pub(crate) fn read<T: DeserializeOwned>(written: &Value, base: &Path, names: Names<'_>) -> Result<T, String> {
    let mut resolved = written.clone();
    secrets::resolve(&mut resolved, base).map_err(|error| error.to_string())?;
    // What is wrong is told of what is written: a secret in the wrong place would be in the error.
    serde_json::from_value(resolved).map_err(|_| match serde_path_to_error::deserialize::<_, T>(written) {
        Err(error) => {
            let (path, error) = (error.path().to_string(), error.into_inner().to_string());
            match of_another_type(&error) {
                // Of the whole, or of something that does not say which of its members it is.
                Some(plain) if path == "." => plain,
                Some(plain) => format!("`{path}`: {plain}"),
                None => with_what_was_meant(&error, written, names),
            }
        }
        Ok(_) => "what a reference stands for does not fit where it stands".to_owned(),
    })
}

/// What serde tells of a value of another type, in the words of who wrote it; `None`: it tells something else.
fn of_another_type(error: &str) -> Option<String> {
    let (found, expected) = error.strip_prefix("invalid type: ")?.rsplit_once(", expected ")?;
    let expected = match expected {
        "a sequence" => "a list",
        "a string" | "string" | "str" => "a text",
        "a boolean" | "bool" => "true or false",
        "f32" | "f64" | "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a number",
        // The name of a type of ours says nothing to anybody.
        other if other.starts_with("struct ") => "a map",
        other => other,
    };
    let found = match found {
        "null" => "nothing (in braces a comma ends a value: put one that has a comma in quotes)",
        "sequence" => "a list",
        "map" => "a map",
        other => {
            let other = ["string ", "integer ", "floating point ", "boolean "]
                .iter()
                .find_map(|kind| other.strip_prefix(kind))
                .unwrap_or(other);
            return Some(format!("{expected} is expected, not {}", other.trim_matches('`')));
        }
    };
    Some(format!("{expected} is expected, not {found}"))
}

/// What serde tells of a name that it does not know: that name, and those that it knows.
fn unknown(error: &str) -> Option<(&str, Vec<&str>)> {
    let is_unknown = error.starts_with("unknown ") || error.contains(": unknown ");
    let mut quoted = error.split('`').skip(1).step_by(2);
    let wrong = quoted.next().filter(|_| is_unknown)?;
    Some((wrong, quoted.collect()))
}

/// The text of such an error with what may have been meant; any other as it is.
fn with_what_was_meant(error: &str, written: &Value, names: Names<'_>) -> String {
    let Some((wrong, known)) = unknown(error) else { return error.to_owned() };
    // A member of a member is beside its own alone.
    let is_of_the_whole = error.starts_with("unknown field ") && written.get(wrong).is_some();
    let also = if is_of_the_whole { names.also } else { &[] };
    let may_be = known.into_iter().filter(|name| !names.never.contains(name)).chain(also.iter().copied());
    let near = nearest(wrong, &may_be.collect::<Vec<_>>());
    let error = names.never.iter().fold(error.to_owned(), |error, name| error.replace(&format!("`{name}`, "), ""));
    match near {
        Some(near) => format!("{error}; did you mean {near}?"),
        None if also.is_empty() => error,
        None => format!("{error}, or one of {}: {}", names.also_of, also.join(", ")),
    }
}

/// What a user may have meant.
pub fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(unknown, name), *name)).min();
    near.filter(|(distance, name)| *distance <= name.len().max(unknown.len()) / 2).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is read, and its errors are looked at")]
    struct Section {
        to: Option<String>,
        region: Option<String>,
        count: Option<u32>,
        inner: Option<Box<Section>>,
    }

    fn error_of(written: Value) -> String {
        let names = Names { never: &["to"], also: &["from", "where"], also_of: "what every sink has" };
        read::<Section>(&written, Path::new(""), names).unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_told_of_what_is_written() {
        for (written, told) in [
            (
                json!({"regoin": "x"}),
                "unknown field `regoin`, expected one of `region`, `count`, `inner`; did you mean region?",
            ),
            (
                json!({"form": "x"}),
                "unknown field `form`, expected one of `region`, `count`, `inner`; did you mean from?",
            ),
            (
                json!({"zzzzzzzzzz": 1}),
                "unknown field `zzzzzzzzzz`, expected one of `region`, `count`, `inner`, or one of what every sink has: from, where",
            ),
            (json!({"inner": {"form": 1}}), "unknown field `form`, expected one of `region`, `count`, `inner`"),
            (json!({"count": "x"}), "`count`: a number is expected, not \"x\""),
            (json!({"count": "x, expected y"}), "`count`: a number is expected, not \"x, expected y\""),
            (
                json!({"inner": {"inner": {"region": null}, "count": [1]}}),
                "`inner.count`: a number is expected, not a list",
            ),
            (json!({"inner": 5}), "`inner`: a map is expected, not 5"),
        ] {
            assert_eq!(error_of(written), told);
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2").unwrap();
        let reference = format!("${{file:{}}}", path.display());
        assert_eq!(error_of(json!({"count": reference})), format!("`count`: a number is expected, not {reference:?}"));
    }
}
