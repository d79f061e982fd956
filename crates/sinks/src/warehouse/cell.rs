//! What stands in a column of a row, made of an attribute's value: exactly, as the column's type has it, or not at all.
//!
//! A value that the column could not hold is found here, with the reason, so that the database never sees it; what slips
//! through (a rule that a user gave the table) is found there. See `super::apply`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use tailrace_core::AttributeValue;

use super::dialect::{Dialect, Unfit};
use super::document::{Nul, write_value};
use super::sql_type::SqlType;

/// The content of a column in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A text, or anything that its type reads from one.
    Text(String),
    /// A number, as a decimal.
    Number(String),
    /// True or false.
    Bool(bool),
    /// A document, as JSON.
    Json(Vec<u8>),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// How exact a number must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// What stands in the column equals the number: two keys must never become one.
    Exact,
    /// The column may round, as its type does.
    Rounded,
}

/// The cell of a value that goes into a column of type `sql`.
///
/// # Errors
/// Why the column cannot hold it.
pub fn cell(value: &AttributeValue, sql: SqlType, fit: Fit, dialect: &dyn Dialect) -> Result<Cell, Unfit> {
    match (value, sql) {
        (AttributeValue::Null, _) => Ok(Cell::Null),
        (AttributeValue::Bool(value), SqlType::Boolean) => Ok(Cell::Bool(*value)),
        (AttributeValue::B(bytes), SqlType::Bytes) => Ok(Cell::Bytes(bytes.clone())),
        (AttributeValue::B(bytes), SqlType::Text | SqlType::Varchar(_)) => text(BASE64.encode(bytes), sql, dialect),
        (AttributeValue::S(value), SqlType::Text | SqlType::Varchar(_)) => text(value.clone(), sql, dialect),
        (AttributeValue::S(value), SqlType::Date) => {
            if read_date(value).is_none() {
                Err(Unfit(format!("{} is no date (YYYY-MM-DD)", shown(value))))
            } else {
                Ok(Cell::Text(value.clone()))
            }
        }
        (AttributeValue::S(value), SqlType::Timestamp | SqlType::Timestamptz) => timestamp(value, sql),
        (AttributeValue::S(value), SqlType::Uuid) => {
            if is_uuid(value) {
                Ok(Cell::Text(value.clone()))
            } else {
                Err(Unfit(format!("{} is no uuid", shown(value))))
            }
        }
        (AttributeValue::N(value), SqlType::Text | SqlType::Varchar(_)) => text(value.to_string(), sql, dialect),
        (AttributeValue::N(value), _) => number(value.to_string(), sql, fit),
        (value, SqlType::Json) => {
            let mut json = Vec::new();
            write_value(value, dialect.numbers(), &mut json).map_err(|Nul| dialect.no_nul())?;
            Ok(Cell::Json(json))
        }
        (value, _) => Err(Unfit(format!("a value of type {} does not go there", value.type_name()))),
    }
}

fn text(value: String, sql: SqlType, dialect: &dyn Dialect) -> Result<Cell, Unfit> {
    if value.contains('\0') {
        return Err(dialect.no_nul());
    }
    dialect.check_length(&value, sql)?;
    Ok(Cell::Text(value))
}

fn number(decimal: String, sql: SqlType, fit: Fit) -> Result<Cell, Unfit> {
    let whole_only = |fits: bool, name: &str| {
        if fits { Ok(()) } else { Err(Unfit(format!("{decimal} does not fit {name}"))) }
    };
    match sql {
        SqlType::Smallint => whole_only(decimal.parse::<i16>().is_ok(), "smallint")?,
        SqlType::Integer => whole_only(decimal.parse::<i32>().is_ok(), "integer")?,
        SqlType::Bigint => whole_only(decimal.parse::<i64>().is_ok(), "bigint")?,
        SqlType::Numeric(Some(precision)) => {
            let unsigned = decimal.trim_start_matches('-');
            let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
            let whole_digits = whole.trim_start_matches('0').len();
            let fits = whole_digits <= usize::from(precision.digits - precision.scale)
                && (fit == Fit::Rounded || fraction.len() <= usize::from(precision.scale));
            whole_only(fits, &format!("numeric({},{})", precision.digits, precision.scale))?;
        }
        SqlType::Double if fit == Fit::Exact => return Err(Unfit("a double precision is no key".to_owned())),
        SqlType::Double | SqlType::Numeric(None) => {}
        _ => return Err(Unfit("a value of type N does not go there".to_owned())),
    }
    Ok(Cell::Number(decimal))
}

/// A text in an error: its beginning.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 40;
    let end = text.char_indices().nth(CHARS_MAX).map(|(end, _)| end);
    match end {
        Some(end) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

// ------------------------------------------------------------------------------------------------- dates and times

fn digits(text: &str, count: usize) -> Option<(u32, &str)> {
    let (head, rest) = text.split_at_checked(count)?;
    if !head.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((head.parse().ok()?, rest))
}

/// What is behind a date of ISO 8601 at the front of `text`: `YYYY-MM-DD`, a day that there was, from year 1 on.
fn date_rest(text: &str) -> Option<&str> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    (year > 0 && (1..=days).contains(&day)).then_some(rest)
}

fn read_date(text: &str) -> Option<()> {
    date_rest(text)?.is_empty().then_some(())
}

/// A date and time of ISO 8601 as both databases read it: a blank between date and time, the zone as `+HH:MM`.
fn timestamp(value: &str, sql: SqlType) -> Result<Cell, Unfit> {
    let wrong = || {
        let form = "YYYY-MM-DDTHH:MM:SS.ffffff, with Z or +HH:MM for a zone";
        Unfit(format!("{} is no date and time ({form})", shown(value)))
    };
    let (time, zone) = read_timestamp(value).ok_or_else(wrong)?;
    match (sql, zone) {
        (SqlType::Timestamp, Some(_)) => {
            Err(Unfit(format!("{} has a zone, and timestamp has none: use timestamptz", shown(value))))
        }
        (_, zone) => Ok(Cell::Text(time + &zone.unwrap_or_default())),
    }
}

fn read_timestamp(text: &str) -> Option<(String, Option<String>)> {
    let rest = date_rest(text)?;
    let date = &text[..text.len() - rest.len()];
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (hour, rest) = digits(rest, 2)?;
    let (minute, mut rest) = digits(rest.strip_prefix(':')?, 2)?;
    let mut time = format!("{date} {hour:02}:{minute:02}");
    let mut second = 0;
    if let Some(behind) = rest.strip_prefix(':') {
        (second, rest) = digits(behind, 2)?;
    }
    time.push_str(&format!(":{second:02}"));
    if let Some(behind) = rest.strip_prefix('.') {
        let length = behind.bytes().take_while(u8::is_ascii_digit).count();
        if !(1..=9).contains(&length) {
            return None;
        }
        // Both databases count microseconds.
        time.push('.');
        time.push_str(&behind[..length.min(6)]);
        rest = &behind[length..];
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((time, read_zone(rest)?))
}

/// `Some(None)`: there is none.
fn read_zone(text: &str) -> Option<Option<String>> {
    let sign = match text.as_bytes().first() {
        None => return Some(None),
        Some(b'Z' | b'z') if text.len() == 1 => return Some(Some("+00:00".to_owned())),
        Some(b'+') => '+',
        Some(b'-') => '-',
        Some(_) => return None,
    };
    let (hours, rest) = digits(&text[1..], 2)?;
    let (minutes, rest) = match rest {
        "" => (0, ""),
        rest => digits(rest.strip_prefix(':').unwrap_or(rest), 2)?,
    };
    (rest.is_empty() && hours <= 15 && minutes <= 59).then(|| Some(format!("{sign}{hours:02}:{minutes:02}")))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use tailrace_core::Number;

    use super::*;
    use crate::warehouse::postgres::Postgres;
    use crate::warehouse::redshift::Redshift;

    fn check(value: &AttributeValue, sql: &str, expected: Result<&str, &str>) {
        let sql = SqlType::parse(sql).unwrap();
        let cell = cell(value, sql, Fit::Rounded, &Postgres).map(|cell| match cell {
            Cell::Null => "NULL".to_owned(),
            Cell::Text(text) | Cell::Number(text) => text,
            Cell::Bool(value) => value.to_string(),
            Cell::Json(json) => String::from_utf8(json).unwrap(),
            Cell::Bytes(bytes) => format!("{bytes:02x?}"),
        });
        assert_eq!(cell.as_deref().map_err(|Unfit(text)| text.as_str()), expected, "{value:?}");
    }

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn n(text: &str) -> AttributeValue {
        AttributeValue::N(Number::parse(text).unwrap())
    }

    #[test]
    fn texts() {
        check(&s("é\t"), "text", Ok("é\t"));
        check(&s("éééé"), "varchar(4)", Ok("éééé"));
        check(&s("ééééé"), "varchar(4)", Err("a text of 5 characters does not fit varchar(4)"));
        check(&s("a\0"), "text", Err("a text with the character U+0000 cannot be held by PostgreSQL"));
        check(&AttributeValue::Null, "text", Ok("NULL"));
        check(&n("1"), "text", Ok("1"));
        check(&AttributeValue::B(vec![255, 0]), "text", Ok("/wA="));
        check(&AttributeValue::B(vec![255, 0]), "bytea", Ok("[ff, 00]"));
        check(&AttributeValue::Bool(true), "boolean", Ok("true"));
        check(&s("true"), "boolean", Err("a value of type S does not go there"));
        check(&AttributeValue::Ss(["b".to_owned(), "a".to_owned()].into()), "jsonb", Ok(r#"["a","b"]"#));
    }

    #[test]
    fn numbers() {
        check(&n("9223372036854775807"), "bigint", Ok("9223372036854775807"));
        check(&n("9223372036854775808"), "bigint", Err("9223372036854775808 does not fit bigint"));
        check(&n("1.5"), "integer", Err("1.5 does not fit integer"));
        check(&n("-32768"), "smallint", Ok("-32768"));
        check(&n("1e125"), "numeric", Ok(&format!("1{}", "0".repeat(125))));
        check(&n("9999.999"), "numeric(6,2)", Ok("9999.999"));
        check(&n("-10000"), "numeric(6,2)", Err("-10000 does not fit numeric(6,2)"));
        check(&n("0.00000001"), "numeric(2,2)", Ok("0.00000001"));
        let exact = |text: &str| cell(&n(text), SqlType::parse("numeric(6,2)").unwrap(), Fit::Exact, &Postgres);
        assert_eq!(exact("1.25"), Ok(Cell::Number("1.25".into())));
        assert_eq!(exact("1.255"), Err(Unfit("1.255 does not fit numeric(6,2)".into())), "two keys would become one");
    }

    #[test]
    fn dates_and_times() {
        let date = |text: &str| format!("{text:?} is no date (YYYY-MM-DD)");
        check(&s("2024-02-29"), "date", Ok("2024-02-29"));
        for text in
            ["2023-02-29", "2024-13-01", "2024-00-10", "0000-01-01", "today", "2024-02-29 ", "24-02-01", "2024-2-1"]
        {
            check(&s(text), "date", Err(&date(text)));
        }
        for (text, expected) in [
            ("2024-02-29T23:59:59Z", "2024-02-29 23:59:59+00:00"),
            ("2024-02-29 23:59:59.123456789+02", "2024-02-29 23:59:59.123456+02:00"),
            ("2024-02-29T23:59-0330", "2024-02-29 23:59:00-03:30"),
            ("2024-02-29T23:59:01", "2024-02-29 23:59:01"),
        ] {
            check(&s(text), "timestamptz", Ok(expected));
        }
        for text in [
            "now",
            "2024-02-29",
            "2024-02-29T24:00:00Z",
            "2024-02-29T10:00:60Z",
            "2024-02-29T10:00:00+2",
            "2024-02-29T10:00:00.",
        ] {
            let expected =
                format!("{text:?} is no date and time (YYYY-MM-DDTHH:MM:SS.ffffff, with Z or +HH:MM for a zone)");
            check(&s(text), "timestamptz", Err(&expected));
        }
        check(&s("2024-02-29T10:00:00"), "timestamp", Ok("2024-02-29 10:00:00"));
        let expected = "\"2024-02-29T10:00:00Z\" has a zone, and timestamp has none: use timestamptz";
        check(&s("2024-02-29T10:00:00Z"), "timestamp", Err(expected));
        check(&s("6f9619ff-8b86-d011-b42d-00cf4fc964ff"), "uuid", Ok("6f9619ff-8b86-d011-b42d-00cf4fc964ff"));
        check(&s("6f9619ff8b86d011b42d00cf4fc964ff"), "uuid", Err("\"6f9619ff8b86d011b42d00cf4fc964ff\" is no uuid"));
    }

    #[test]
    fn redshift_counts_bytes() {
        let varchar = SqlType::Varchar(4);
        assert_eq!(cell(&s("éé"), varchar, Fit::Rounded, &Redshift), Ok(Cell::Text("éé".into())));
        let expected = Err(Unfit("a text of 5 bytes does not fit varchar(4)".to_owned()));
        assert_eq!(cell(&s("ééa"), varchar, Fit::Rounded, &Redshift), expected);
    }
}
