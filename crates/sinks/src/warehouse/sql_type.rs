//! The types of columns that both databases are asked for, and how a configuration writes them.

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlType {
    /// 16 bits.
    Smallint,
    /// 32 bits.
    Integer,
    /// 64 bits.
    Bigint,
    /// Binary floating point of 64 bits: nearest to the number.
    Double,
    /// A decimal; without a precision, of any size.
    Numeric(Option<Precision>),
    /// True or false.
    Boolean,
    /// Text of any length that the database takes.
    Text,
    /// Text of so many characters (PostgreSQL) or bytes (Redshift) at most.
    Varchar(u32),
    /// An instant.
    Timestamptz,
    /// A date and a time of the day, of no zone.
    Timestamp,
    /// A date.
    Date,
    /// A uuid.
    Uuid,
    /// A document: `jsonb`, `super`.
    Json,
    /// Bytes.
    Bytes,
}

/// How many digits a decimal has, and how many of them behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// All digits, 1..=38: what DynamoDB's numbers have.
    pub digits: u16,
    /// Digits behind the point.
    pub scale: u16,
}

/// Most digits of a decimal that is asked for by its precision: the most of Redshift, and of DynamoDB.
pub const DIGITS_MAX: u16 = 38;
/// Longest `varchar(n)`: the most of Redshift.
pub const VARCHAR_MAX: u32 = 65_535;

impl SqlType {
    /// Reads a type as SQL writes it, in either case, by any of its names. `None`: it is none of those there are.
    pub fn parse(text: &str) -> Option<SqlType> {
        let text = text.to_ascii_lowercase();
        let (name, arguments) = match text.split_once('(') {
            None => (text.as_str(), None),
            Some((name, rest)) => (name, Some(numbers(rest.trim_end().strip_suffix(')')?)?)),
        };
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        Some(match (name.as_str(), arguments.as_deref()) {
            ("smallint" | "int2", None) => SqlType::Smallint,
            ("integer" | "int" | "int4", None) => SqlType::Integer,
            ("bigint" | "int8", None) => SqlType::Bigint,
            ("double precision" | "double" | "float8", None) => SqlType::Double,
            ("numeric" | "decimal", None) => SqlType::Numeric(None),
            ("numeric" | "decimal", Some(&[digits])) => SqlType::Numeric(Some(Precision::new(digits, 0)?)),
            ("numeric" | "decimal", Some(&[digits, scale])) => SqlType::Numeric(Some(Precision::new(digits, scale)?)),
            ("boolean" | "bool", None) => SqlType::Boolean,
            ("text", None) => SqlType::Text,
            ("varchar" | "character varying", Some(&[length])) if (1..=VARCHAR_MAX).contains(&length) => {
                SqlType::Varchar(length)
            }
            ("timestamptz" | "timestamp with time zone", None) => SqlType::Timestamptz,
            ("timestamp" | "timestamp without time zone", None) => SqlType::Timestamp,
            ("date", None) => SqlType::Date,
            ("uuid", None) => SqlType::Uuid,
            ("jsonb" | "super", None) => SqlType::Json,
            ("bytea", None) => SqlType::Bytes,
            _ => return None,
        })
    }

    /// The name that a catalogue gives it where both databases agree; a dialect knows the others.
    pub fn common_name(self) -> Option<String> {
        Some(match self {
            SqlType::Smallint => "smallint".to_owned(),
            SqlType::Integer => "integer".to_owned(),
            SqlType::Bigint => "bigint".to_owned(),
            SqlType::Double => "double precision".to_owned(),
            SqlType::Numeric(Some(Precision { digits, scale })) => format!("numeric({digits},{scale})"),
            SqlType::Boolean => "boolean".to_owned(),
            SqlType::Varchar(length) => format!("character varying({length})"),
            SqlType::Timestamptz => "timestamp with time zone".to_owned(),
            SqlType::Timestamp => "timestamp without time zone".to_owned(),
            SqlType::Date => "date".to_owned(),
            SqlType::Numeric(None) | SqlType::Text | SqlType::Uuid | SqlType::Json | SqlType::Bytes => return None,
        })
    }
}

impl Precision {
    fn new(digits: u32, scale: u32) -> Option<Precision> {
        let (digits, scale) = (u16::try_from(digits).ok()?, u16::try_from(scale).ok()?);
        ((1..=DIGITS_MAX).contains(&digits) && scale <= digits).then_some(Precision { digits, scale })
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split(',').map(|number| number.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_by_all_their_names() {
        let numeric = |digits, scale| SqlType::Numeric(Some(Precision { digits, scale }));
        for (text, expected) in [
            ("bigint", Some(SqlType::Bigint)),
            ("INT8", Some(SqlType::Bigint)),
            ("double  precision", Some(SqlType::Double)),
            ("numeric", Some(SqlType::Numeric(None))),
            ("numeric(38)", Some(numeric(38, 0))),
            ("decimal( 12 , 2 )", Some(numeric(12, 2))),
            ("varchar(36)", Some(SqlType::Varchar(36))),
            ("character varying(36)", Some(SqlType::Varchar(36))),
            ("Timestamp With Time Zone", Some(SqlType::Timestamptz)),
            ("jsonb", Some(SqlType::Json)),
            ("super", Some(SqlType::Json)),
            ("varchar", None),
            ("varchar(0)", None),
            ("varchar(65536)", None),
            ("numeric(39)", None),
            ("numeric(2,3)", None),
            ("numeric(2", None),
            ("numeric()", None),
            ("bigint(3)", None),
            ("money", None),
            ("text; drop table x", None),
            ("", None),
        ] {
            assert_eq!(SqlType::parse(text), expected, "{text}");
        }
    }
}
