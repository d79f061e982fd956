//! Columns that a user takes out of the document: `total: "total.N numeric"`.
//!
//! ```text
//! column = path "." tag " " type
//! path   = name { "." name | "[" digits "]" }
//! name   = letters, digits, "_" and "-"   |   '"' anything, `""` for a quote '"'
//! tag    = S | N | B | BOOL | SS | NS | BS | L | M
//! ```
//!
//! The tag is the type that the attribute has in DynamoDB; where it is missing or NULL, so is the column. `type` is one of
//! [`SqlType`]'s names.

use tailrace_core::{AttributeValue, Item};

use super::sql_type::SqlType;

/// A column that holds one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    /// The column's name.
    pub column: String,
    /// Where the attribute is.
    pub path: Vec<Step>,
    /// The attribute's type.
    pub tag: Tag,
    /// The column's.
    pub sql: SqlType,
}

/// A step into an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The attribute, or member of a map, of this name.
    Name(String),
    /// The element of a list, from 0.
    Element(usize),
}

/// A type of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// String.
    S,
    /// Number.
    N,
    /// Binary.
    B,
    /// Boolean.
    Bool,
    /// String set.
    Ss,
    /// Number set.
    Ns,
    /// Binary set.
    Bs,
    /// List.
    L,
    /// Map.
    M,
}

/// A column's text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrammarError {
    /// The attribute's part is wrong.
    #[error("`{0}` is no attribute with its type and a column's type; write it as \"total.N numeric\"")]
    Shape(String),
    /// The last part of the attribute is no type of DynamoDB.
    #[error("`{0}` does not end in an attribute's type: .S, .N, .B, .BOOL, .SS, .NS, .BS, .L or .M")]
    Tag(String),
    /// The column's type is not known.
    #[error(
        "`{0}` is no type of a column: use smallint, integer, bigint, double precision, numeric(P,S), boolean, text, varchar(N), timestamptz, timestamp, date, uuid, jsonb, super or bytea"
    )]
    Type(String),
    /// Attributes of that type do not go into such a column.
    #[error("a column of type {sql} cannot hold attributes of type {tag}; {tag} goes into {instead}")]
    Mismatch {
        /// The attributes' type.
        tag: &'static str,
        /// The column's, as given.
        sql: String,
        /// What can hold them.
        instead: &'static str,
    },
}

impl Tag {
    const ALL: [Tag; 9] = [Tag::S, Tag::N, Tag::B, Tag::Bool, Tag::Ss, Tag::Ns, Tag::Bs, Tag::L, Tag::M];

    /// As the wire has it.
    pub fn name(self) -> &'static str {
        match self {
            Tag::S => "S",
            Tag::N => "N",
            Tag::B => "B",
            Tag::Bool => "BOOL",
            Tag::Ss => "SS",
            Tag::Ns => "NS",
            Tag::Bs => "BS",
            Tag::L => "L",
            Tag::M => "M",
        }
    }

    /// Whether a column of this type can hold attributes of this one.
    pub fn fits(self, sql: SqlType) -> bool {
        match self {
            Tag::S => matches!(
                sql,
                SqlType::Text
                    | SqlType::Varchar(_)
                    | SqlType::Timestamptz
                    | SqlType::Timestamp
                    | SqlType::Date
                    | SqlType::Uuid
            ),
            Tag::N => matches!(
                sql,
                SqlType::Smallint
                    | SqlType::Integer
                    | SqlType::Bigint
                    | SqlType::Double
                    | SqlType::Numeric(_)
                    | SqlType::Text
                    | SqlType::Varchar(_)
            ),
            Tag::B => matches!(sql, SqlType::Bytes | SqlType::Text | SqlType::Varchar(_)),
            Tag::Bool => sql == SqlType::Boolean,
            Tag::Ss | Tag::Ns | Tag::Bs | Tag::L | Tag::M => sql == SqlType::Json,
        }
    }

    fn instead(self) -> &'static str {
        match self {
            Tag::S => "text, varchar(N), timestamptz, timestamp, date or uuid",
            Tag::N => "numeric, numeric(P,S), bigint, integer, smallint, double precision, text or varchar(N)",
            Tag::B => "bytea, or as base64 into text or varchar(N)",
            Tag::Bool => "boolean",
            Tag::Ss | Tag::Ns | Tag::Bs | Tag::L | Tag::M => "jsonb (PostgreSQL) or super (Redshift)",
        }
    }
}

impl Promoted {
    /// Reads `text`, which describes `column`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(column: &str, text: &str) -> Result<Promoted, GrammarError> {
        let shape = || GrammarError::Shape(text.to_owned());
        let (path, rest) = read_path(text.trim()).ok_or_else(shape)?;
        // The tag reads as the last name of the path.
        let (attribute, sql) = (&text.trim()[..text.trim().len() - rest.len()], rest.trim());
        let mut path = path;
        let tag = match path.pop() {
            Some(Step::Name(name)) if !path.is_empty() => Tag::ALL.into_iter().find(|tag| tag.name() == name),
            _ => None,
        };
        let tag = tag.ok_or_else(|| GrammarError::Tag(attribute.to_owned()))?;
        if sql.is_empty() || !rest.starts_with(char::is_whitespace) {
            return Err(shape());
        }
        let known = SqlType::parse(sql).ok_or_else(|| GrammarError::Type(sql.to_owned()))?;
        if !tag.fits(known) {
            return Err(GrammarError::Mismatch { tag: tag.name(), sql: sql.to_owned(), instead: tag.instead() });
        }
        Ok(Promoted { column: column.to_owned(), path, tag, sql: known })
    }

    /// The attribute, if the item has it.
    pub fn find<'a>(&self, item: &'a Item) -> Option<&'a AttributeValue> {
        let (first, rest) = self.path.split_first()?;
        let Step::Name(name) = first else { return None };
        rest.iter().try_fold(item.get(name)?, |value, step| match (value, step) {
            (AttributeValue::M(members), Step::Name(name)) => members.get(name),
            (AttributeValue::L(elements), Step::Element(index)) => elements.get(*index),
            _ => None,
        })
    }
}

/// A path from the front of `text`, and what is behind it.
fn read_path(text: &str) -> Option<(Vec<Step>, &str)> {
    let (name, mut rest) = read_name(text)?;
    let mut path = vec![Step::Name(name)];
    loop {
        if let Some(behind) = rest.strip_prefix('.') {
            let (name, behind) = read_name(behind)?;
            path.push(Step::Name(name));
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('[') {
            let (digits, behind) = behind.split_once(']')?;
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            path.push(Step::Element(digits.parse().ok()?));
            rest = behind;
        } else {
            return Some((path, rest));
        }
    }
}

fn read_name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let end = text.find(|c: char| !plain(c)).unwrap_or(text.len());
        return (end > 0).then(|| (text[..end].to_owned(), &text[end..]));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (part, behind) = rest.split_once('"')?;
        name.push_str(part);
        match behind.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return (!name.is_empty()).then_some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warehouse::sql_type::Precision;

    fn name(name: &str) -> Step {
        Step::Name(name.to_owned())
    }

    #[test]
    fn columns_are_read() {
        let numeric = SqlType::Numeric(Some(Precision { digits: 12, scale: 2 }));
        for (text, path, tag, sql) in [
            ("total.N numeric", vec![name("total")], Tag::N, SqlType::Numeric(None)),
            ("  total.N   numeric(12, 2) ", vec![name("total")], Tag::N, numeric),
            ("N.N bigint", vec![name("N")], Tag::N, SqlType::Bigint),
            ("address.city.S text", vec![name("address"), name("city")], Tag::S, SqlType::Text),
            (
                "lines[0].sku.S varchar(20)",
                vec![name("lines"), Step::Element(0), name("sku")],
                Tag::S,
                SqlType::Varchar(20),
            ),
            (
                "grid[1][2].BOOL boolean",
                vec![name("grid"), Step::Element(1), Step::Element(2)],
                Tag::Bool,
                SqlType::Boolean,
            ),
            (r#""a.b ""c""".S text"#, vec![name(r#"a.b "c""#)], Tag::S, SqlType::Text),
            ("größe.N double precision", vec![name("größe")], Tag::N, SqlType::Double),
            ("tags.SS jsonb", vec![name("tags")], Tag::Ss, SqlType::Json),
        ] {
            let expected = Promoted { column: "c".into(), path, tag, sql };
            assert_eq!(Promoted::parse("c", text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_column_is_told() {
        for (text, expected) in [
            (
                "total numeric",
                "`total` does not end in an attribute's type: .S, .N, .B, .BOOL, .SS, .NS, .BS, .L or .M",
            ),
            ("N numeric", "`N` does not end in an attribute's type: .S, .N, .B, .BOOL, .SS, .NS, .BS, .L or .M"),
            ("a[0] text", "`a[0]` does not end in an attribute's type: .S, .N, .B, .BOOL, .SS, .NS, .BS, .L or .M"),
            ("total.N", "`total.N` is no attribute with its type and a column's type; write it as \"total.N numeric\""),
            (
                "total.N!numeric",
                "`total.N!numeric` is no attribute with its type and a column's type; write it as \"total.N numeric\"",
            ),
            (
                "a[x].S text",
                "`a[x].S text` is no attribute with its type and a column's type; write it as \"total.N numeric\"",
            ),
            (
                "\"a.S text",
                "`\"a.S text` is no attribute with its type and a column's type; write it as \"total.N numeric\"",
            ),
            ("", "`` is no attribute with its type and a column's type; write it as \"total.N numeric\""),
            (
                "total.N money",
                "`money` is no type of a column: use smallint, integer, bigint, double precision, numeric(P,S), boolean, text, \
                 varchar(N), timestamptz, timestamp, date, uuid, jsonb, super or bytea",
            ),
            (
                "total.S numeric",
                "a column of type numeric cannot hold attributes of type S; S goes into text, varchar(N), timestamptz, \
                 timestamp, date or uuid",
            ),
        ] {
            assert_eq!(Promoted::parse("c", text).unwrap_err().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn an_attribute_is_found_by_its_path() {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let sku = AttributeValue::M([("sku".to_owned(), text("x"))].into());
        let item: Item = [("lines".to_owned(), AttributeValue::L(vec![sku])), ("name".to_owned(), text("n"))].into();
        for (path, expected) in [
            ("name.S text", Some("n")),
            ("lines[0].sku.S text", Some("x")),
            ("lines[1].sku.S text", None),
            ("lines.sku.S text", None),
            ("name[0].S text", None),
            ("other.S text", None),
        ] {
            assert_eq!(Promoted::parse("c", path).unwrap().find(&item), expected.map(text).as_ref(), "{path}");
        }
    }
}
