//! Columns that a user chooses: an attribute of the item, with a type. `total.N decimal(12,2)`, `address.city.S string`.
//!
//! The value is that of the new image; of a change without one, of the keys. What is not there, or does not fit the type, is
//! null.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::encoded::{Encoded, EncodedValue, Members};
use tailrace_core::json_text::ValueForm;
use tailrace_engine::streams::record::StreamRecord;

use crate::objects::partition::{ExpressionError, Step, parse_path};

/// Most columns of an object beside the fixed ones.
pub const COLUMNS_MAX: usize = 500;
/// Most digits of a decimal, as many as 128 bits keep.
pub const PRECISION_MAX: u8 = 38;

/// The names of the fixed columns, in their order. Source: docs/spec/sinks.md 2.6.
pub const FIXED: [&str; 11] = [
    "table",
    "event_name",
    "event_id",
    "shard_id",
    "sequence_number",
    "lsn",
    "event_time",
    "keys",
    "new_image",
    "old_image",
    "is_ttl",
];

/// A column that a user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ColumnKind,
    /// To the value; at least one step, the first one to an attribute.
    path: Vec<Step>,
    /// The type that the value must have on the wire.
    tag: Option<&'static str>,
}

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text: of S; of N, its decimal; of BOOL, true or false; of B, its base64.
    Text,
    /// Whole numbers of 64 bits.
    Long,
    /// Doubles: the one next to the number.
    Double,
    /// BOOL.
    Boolean,
    /// Exact numbers.
    Decimal {
        /// Digits.
        precision: u8,
        /// Those of them behind the point.
        scale: u8,
    },
    /// B.
    Binary,
    /// The value as JSON.
    Json,
}

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// Text, or JSON.
    Text(Cow<'a, str>),
    /// A whole number.
    Long(i64),
    /// A double.
    Double(f64),
    /// A boolean.
    Boolean(bool),
    /// A decimal without its point: so many units of its scale.
    Decimal(i128),
    /// Bytes.
    Binary(&'a [u8]),
}

/// A column cannot be as it is described.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// The name is one of the fixed ones, or empty.
    #[error("a column cannot be named `{0}`")]
    Name(String),
    /// The path is none.
    #[error("column `{name}`: {error}")]
    Path {
        /// The column.
        name: String,
        /// What is wrong.
        error: ExpressionError,
    },
    /// There is no such type.
    #[error(
        "column `{name}`: the type `{kind}` is unknown; there are string, long, double, boolean, decimal(DIGITS,SCALE), binary and json"
    )]
    Kind {
        /// The column.
        name: String,
        /// What is there.
        kind: String,
    },
    /// Too many.
    #[error("{0} columns are more than {COLUMNS_MAX}")]
    Count(usize),
}

impl TypedColumn {
    /// Reads columns from their names and descriptions: the path of an attribute, perhaps with the tag of its type at its end, and
    /// the column's type.
    ///
    /// # Errors
    /// One is none.
    pub fn parse_all<'a>(
        columns: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Result<Vec<TypedColumn>, ColumnError> {
        let columns: Vec<TypedColumn> =
            columns.into_iter().map(|(name, text)| TypedColumn::parse(name, text)).collect::<Result<_, _>>()?;
        if columns.len() > COLUMNS_MAX { Err(ColumnError::Count(columns.len())) } else { Ok(columns) }
    }

    fn parse(name: &str, text: &str) -> Result<TypedColumn, ColumnError> {
        if name.is_empty() || FIXED.iter().any(|fixed| fixed.eq_ignore_ascii_case(name)) {
            return Err(ColumnError::Name(name.to_owned()));
        }
        let wrong = |error| ColumnError::Path { name: name.to_owned(), error };
        let (mut path, kind) = parse_path(text.trim()).map_err(wrong)?;
        let tags = ["S", "N", "B", "BOOL", "SS", "NS", "BS", "L", "M"];
        let tag = match path.last() {
            Some(Step::Member(last)) if path.len() > 1 => tags.into_iter().find(|tag| tag == last),
            _ => None,
        };
        if tag.is_some() {
            path.pop();
        }
        let kind = match (kind, tag) {
            ("", Some("S")) => Some(ColumnKind::Text),
            ("", Some("B")) => Some(ColumnKind::Binary),
            ("", Some("BOOL")) => Some(ColumnKind::Boolean),
            _ => ColumnKind::parse(kind),
        };
        let kind = kind.ok_or_else(|| ColumnError::Kind {
            name: name.to_owned(),
            kind: text.split_whitespace().next_back().unwrap_or_default().to_owned(),
        })?;
        Ok(TypedColumn { name: name.to_owned(), kind, path, tag })
    }

    /// The value of a record.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn cell<'a>(&self, record: &'a StreamRecord, form: ValueForm) -> Result<Cell<'a>, CodecError> {
        let item: &'a [u8] = record.new.as_deref().unwrap_or(&record.meta.keys);
        let Some(value) = self.find(StoredItem::new(item)?.members())? else { return Ok(Cell::Null) };
        let read = value.read()?;
        if self.tag.is_some_and(|tag| tag != read.type_name()) {
            return Ok(Cell::Null);
        }
        Ok(match (self.kind, read) {
            (ColumnKind::Json, _) => {
                let mut json = Vec::new();
                value.write_json_as(form, &mut json)?;
                String::from_utf8(json).map_or(Cell::Null, |json| Cell::Text(Cow::Owned(json)))
            }
            (ColumnKind::Text, Encoded::S(text)) => Cell::Text(Cow::Borrowed(text)),
            (ColumnKind::Text, Encoded::N(number)) => Cell::Text(Cow::Owned(number.decimal())),
            (ColumnKind::Text, Encoded::Bool(value)) => Cell::Text(Cow::Borrowed(if value { "true" } else { "false" })),
            (ColumnKind::Text, Encoded::B(bytes)) => Cell::Text(Cow::Owned(BASE64.encode(bytes))),
            (ColumnKind::Long, Encoded::N(number)) => number.decimal().parse().map_or(Cell::Null, Cell::Long),
            (ColumnKind::Double, Encoded::N(number)) => number.decimal().parse().map_or(Cell::Null, Cell::Double),
            (ColumnKind::Decimal { precision, scale }, Encoded::N(number)) => {
                units(&number.decimal(), precision, scale).map_or(Cell::Null, Cell::Decimal)
            }
            (ColumnKind::Boolean, Encoded::Bool(value)) => Cell::Boolean(value),
            (ColumnKind::Binary, Encoded::B(bytes)) => Cell::Binary(bytes),
            _ => Cell::Null,
        })
    }

    fn find<'a>(&self, item: Members<'a>) -> Result<Option<EncodedValue<'a>>, CodecError> {
        let mut steps = self.path.iter();
        let Some(Step::Member(attribute)) = steps.next() else { return Ok(None) };
        let Some(mut value) = item.find(attribute)? else { return Ok(None) };
        for step in steps {
            let next = match (step, value.read()?) {
                (Step::Member(name), Encoded::M(members)) => members.find(name)?,
                (Step::Element(index), Encoded::L(mut elements)) => {
                    let mut element = elements.next_value()?;
                    for _ in 0..*index {
                        if element.is_none() {
                            break;
                        }
                        element = elements.next_value()?;
                    }
                    element
                }
                _ => None,
            };
            match next {
                Some(next) => value = next,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }
}

impl ColumnKind {
    fn parse(text: &str) -> Option<ColumnKind> {
        Some(match text.to_ascii_lowercase().as_str() {
            "string" | "text" | "varchar" => ColumnKind::Text,
            "long" | "bigint" | "int64" => ColumnKind::Long,
            "double" => ColumnKind::Double,
            "boolean" | "bool" => ColumnKind::Boolean,
            "binary" => ColumnKind::Binary,
            "json" => ColumnKind::Json,
            text => {
                let digits =
                    text.strip_prefix("decimal(").or_else(|| text.strip_prefix("numeric("))?.strip_suffix(')')?;
                let (precision, scale) = digits.split_once(',').unwrap_or((digits, "0"));
                let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                if !(1..=PRECISION_MAX).contains(&precision) || scale > precision {
                    return None;
                }
                ColumnKind::Decimal { precision, scale }
            }
        })
    }
}

/// A decimal as so many units of its scale; `None`: it has more digits behind the point, or more in all.
fn units(decimal: &str, precision: u8, scale: u8) -> Option<i128> {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let zeros = usize::from(scale).checked_sub(fraction.len())?;
    let digits = whole.len() - usize::from(whole.starts_with('-')) + usize::from(scale);
    // A zero before the point is no digit.
    let leading_zero = whole.trim_start_matches('-') == "0";
    if digits - usize::from(leading_zero) > usize::from(precision) {
        return None;
    }
    [whole, fraction, &"0".repeat(zeros)].concat().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read() {
        for (text, kind, steps, tag) in [
            ("total.N double", ColumnKind::Double, 1, Some("N")),
            ("total.N decimal(12, 2)", ColumnKind::Decimal { precision: 12, scale: 2 }, 1, Some("N")),
            ("total numeric(5)", ColumnKind::Decimal { precision: 5, scale: 0 }, 1, None),
            ("address.city.S", ColumnKind::Text, 2, Some("S")),
            ("lines[0].\"the name\" string", ColumnKind::Text, 3, None),
            ("S json", ColumnKind::Json, 1, None),
            ("S.S string", ColumnKind::Text, 1, Some("S")),
        ] {
            let column = TypedColumn::parse("c", text).unwrap();
            assert_eq!((column.kind, column.path.len(), column.tag), (kind, steps, tag), "{text}");
        }
        for text in [
            "",
            "total.N",
            "total.N money",
            "total.N decimal(39,0)",
            "total decimal(2,3)",
            ".total string",
            "a..b long",
        ] {
            assert!(TypedColumn::parse("c", text).is_err(), "{text}");
        }
        assert_eq!(TypedColumn::parse("Keys", "a long"), Err(ColumnError::Name("Keys".into())));
    }

    #[test]
    fn decimals_fit_or_are_null() {
        for (decimal, precision, scale, expect) in [
            ("12.5", 4, 2, Some(1250)),
            ("-0.05", 2, 2, Some(-5)),
            ("0", 1, 1, Some(0)),
            ("99.99", 4, 2, Some(9999)),
            ("100", 4, 2, None),
            ("1.234", 9, 2, None),
            ("99999999999999999999999999999999999999", 38, 0, Some(99_999_999_999_999_999_999_999_999_999_999_999_999)),
        ] {
            assert_eq!(units(decimal, precision, scale), expect, "{decimal} as decimal({precision},{scale})");
        }
    }
}
