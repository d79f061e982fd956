//! When a flush is full, as a user says it: `flush: {seconds: 60, bytes: 64MB, records: 10000}`.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::sink::Bounds;

/// When a flush is full. What is not given is the sink's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gathering {
    /// How long records are gathered, seconds and parts of one.
    pub seconds: Option<f64>,
    /// Most bytes: a number, or one with KB, MB, KiB or MiB behind it.
    pub bytes: Option<ByteSize>,
    /// Most records.
    pub records: Option<usize>,
}

/// A number of bytes: `65536`, `64MB`, `8 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// What is said is beyond what the sink takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flush.{member} is from {least} to {most}")]
pub struct GatheringError {
    member: &'static str,
    least: u8,
    most: u64,
}

impl Gathering {
    /// The bounds, each from `default` where nothing is said, and none beyond `most`.
    ///
    /// # Errors
    /// One is.
    pub fn bounds(self, default: Bounds, most: Bounds) -> Result<Bounds, GatheringError> {
        let number = |member, value: usize, most: usize| {
            let error = GatheringError { member, least: 1, most: most as u64 };
            if (1..=most).contains(&value) { Ok(value) } else { Err(error) }
        };
        let window = match self.seconds {
            None => default.window,
            Some(seconds) => Duration::try_from_secs_f64(seconds)
                .ok()
                .filter(|window| *window <= most.window)
                .ok_or(GatheringError { member: "seconds", least: 0, most: most.window.as_secs() })?,
        };
        Ok(Bounds {
            records_max: number("records", self.records.unwrap_or(default.records_max), most.records_max)?,
            bytes_max: number("bytes", self.bytes.map_or(default.bytes_max, |size| size.0), most.bytes_max)?,
            window,
        })
    }
}

impl ByteSize {
    fn parse(text: &str) -> Option<ByteSize> {
        let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic() || char == ' ');
        let unit = match text[digits.len()..].trim() {
            "" | "B" => 1,
            "KB" => 1000,
            "MB" => 1_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return None,
        };
        digits.parse::<usize>().ok()?.checked_mul(unit).map(ByteSize)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Size {
            Number(usize),
            Text(String),
        }
        match Size::deserialize(deserializer) {
            Ok(Size::Number(number)) => Ok(ByteSize(number)),
            Ok(Size::Text(text)) => ByteSize::parse(&text)
                .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no number of bytes, like 64MB or 65536"))),
            Err(_) => Err(serde::de::Error::custom("a number of bytes is expected, like 64MB or 65536")),
        }
    }
}

impl JsonSchema for ByteSize {
    fn schema_name() -> Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of bytes, or one with KB, MB, KiB or MiB behind it",
            "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[0-9]+ *(B|KB|MB|KiB|MiB)?$"}],
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DEFAULT: Bounds = Bounds { records_max: 10, bytes_max: 1 << 20, window: Duration::from_secs(1) };
    const MOST: Bounds = Bounds { records_max: 100, bytes_max: 64_000_000, window: Duration::from_secs(900) };

    fn read(said: Value) -> Result<Bounds, String> {
        let gathering: Gathering = serde_json::from_value(said).map_err(|error| error.to_string())?;
        gathering.bounds(DEFAULT, MOST).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_counts_and_the_rest_is_the_default() {
        assert_eq!(read(json!({})), Ok(DEFAULT));
        let bounds = Bounds { bytes_max: 64_000_000, window: Duration::from_millis(2500), ..DEFAULT };
        assert_eq!(read(json!({"bytes": "64MB", "seconds": 2.5})), Ok(bounds));
        for (size, bytes) in [
            (json!("8KiB"), 8192),
            (json!("8 KB"), 8000),
            (json!("3MiB"), 3 << 20),
            (json!(5), 5),
            (json!("5"), 5),
            (json!("7B"), 7),
        ] {
            assert_eq!(read(json!({"bytes": size})).map(|bounds| bounds.bytes_max), Ok(bytes), "{size}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        for (said, text) in [
            (json!({"bytes": "64MiBs"}), "`64MiBs` is no number of bytes, like 64MB or 65536"),
            (json!({"bytes": "99999999999999999999MB"}), "is no number of bytes"),
            (json!({"bytes": -1}), "a number of bytes is expected, like 64MB or 65536"),
            (json!({"bytes": "1000MB"}), "flush.bytes is from 1 to 64000000"),
            (json!({"bytes": 0}), "flush.bytes is from 1 to"),
            (json!({"records": 0}), "flush.records is from 1 to 100"),
            (json!({"records": 101}), "flush.records is from 1 to 100"),
            (json!({"seconds": -1}), "flush.seconds is from 0 to 900"),
            (json!({"seconds": 900.5}), "flush.seconds is from 0 to 900"),
            (json!({"second": 1}), "unknown field `second`"),
        ] {
            let error = read(said.clone()).unwrap_err();
            assert!(error.contains(text), "{said}: {error}");
        }
    }
}
