//! Partition keys: a small language that finds a value in a record, for the names of objects. Source: docs/spec/sinks.md 2.3.
//!
//! ```text
//! expression  = alternative { "//" alternative }         the first one that finds something
//! alternative = ( path | text ) { "|" function }
//! path        = "." | step { step }
//! step        = "." name | "." text | "[" number "]" | "[" text "]"
//! text        = a JSON string
//! function    = "upper" | "lower" | "hash-mod" "(" number ")"
//! ```
//!
//! It is a part of jq, but for the functions; `ascii_upcase` and `ascii_downcase`, jq's names of two of them, are known too.
//! `hash-mod(n)` is the first eight bytes of the SHA-256 of the text, as a number, modulo n.
//! Invariant: a value depends on the record alone.

pub mod record;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// Longest expression.
pub const EXPRESSION_BYTES_MAX: usize = 1024;
/// Most keys.
pub const KEYS_MAX: usize = 50;

/// A place in a document, from where an expression goes on.
pub trait Place: Sized {
    /// The document is damaged.
    type Error;

    /// The member of this name, if it is an object that has one.
    ///
    /// # Errors
    /// The document is damaged.
    fn member(&self, name: &str) -> Result<Option<Self>, Self::Error>;

    /// The element of this index from 0, if it is an array that has one.
    ///
    /// # Errors
    /// The document is damaged.
    fn element(&self, index: usize) -> Result<Option<Self>, Self::Error>;

    /// The text of a string, of a number or of a boolean; `None` for null, objects and arrays.
    ///
    /// # Errors
    /// The document is damaged.
    fn text(&self) -> Result<Option<Cow<'_, str>>, Self::Error>;
}

/// An expression, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(Vec<Alternative>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    start: Start,
    functions: Vec<Function>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    Path(Vec<Step>),
    Text(String),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To a member.
    Member(String),
    /// To an element, from 0.
    Element(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Upper,
    Lower,
    HashMod(u64),
}

/// A text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no expression of a partition key: {why}, at character {at}")]
pub struct ExpressionError {
    text: String,
    why: &'static str,
    at: usize,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Expression, ExpressionError> {
        let mut parser = Parser::of(text)?;
        let expression = parser.expression()?;
        parser.end()?;
        Ok(expression)
    }

    /// Reads an object whose members are expressions, as the service takes them: `{customer: .id, "day": .day}`.
    ///
    /// # Errors
    /// It is none, names a key twice, or has none or too many.
    pub fn parse_object(text: &str) -> Result<Vec<(String, Expression)>, ExpressionError> {
        let mut parser = Parser::of(text)?;
        let mut keys: Vec<(String, Expression)> = Vec::new();
        parser.expect('{', "there is no `{`")?;
        loop {
            let name = if parser.peek() == Some('"') { parser.text()? } else { parser.name()? };
            if keys.iter().any(|(other, _)| *other == name) {
                return Err(parser.error("the key is there twice"));
            }
            parser.expect(':', "there is no `:`")?;
            keys.push((name, parser.expression()?));
            if keys.len() > KEYS_MAX {
                return Err(parser.error("there are more than 50 keys"));
            }
            if parser.take('}') {
                break;
            }
            parser.expect(',', "there is neither `,` nor `}`")?;
        }
        parser.end()?;
        Ok(keys)
    }

    /// What it finds: a text that is not empty. `None`: nothing.
    ///
    /// # Errors
    /// The document is damaged.
    pub fn find<P: Place>(&self, root: &P) -> Result<Option<String>, P::Error> {
        for alternative in &self.0 {
            let found = match &alternative.start {
                Start::Text(text) => Some(text.clone()),
                Start::Path(steps) => along(root, steps)?,
            };
            if let Some(text) = found.filter(|text| !text.is_empty()) {
                return Ok(Some(alternative.functions.iter().fold(text, |text, function| function.of(text))));
            }
        }
        Ok(None)
    }
}

fn along<P: Place>(root: &P, steps: &[Step]) -> Result<Option<String>, P::Error> {
    let Some((first, rest)) = steps.split_first() else { return Ok(root.text()?.map(Cow::into_owned)) };
    let Some(mut place) = first.from(root)? else { return Ok(None) };
    for step in rest {
        match step.from(&place)? {
            Some(next) => place = next,
            None => return Ok(None),
        }
    }
    Ok(place.text()?.map(Cow::into_owned))
}

impl Step {
    fn from<P: Place>(&self, place: &P) -> Result<Option<P>, P::Error> {
        match self {
            Step::Member(name) => place.member(name),
            Step::Element(index) => place.element(*index),
        }
    }
}

/// Reads a path without the dot that it starts with, and what follows it behind a blank: `a.b[0] rest`.
///
/// # Errors
/// It is none.
pub fn parse_path(text: &str) -> Result<(Vec<Step>, &str), ExpressionError> {
    let mut parser = Parser::of(text)?;
    let mut steps = vec![Step::Member(if parser.peek() == Some('"') { parser.text()? } else { parser.name()? })];
    parser.steps(&mut steps)?;
    Ok((steps, parser.rest().trim()))
}

impl Function {
    fn of(self, text: String) -> String {
        match self {
            Function::Upper => text.to_uppercase(),
            Function::Lower => text.to_lowercase(),
            Function::HashMod(modulus) => {
                let digest = Sha256::digest(text.as_bytes());
                let first = digest.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                (first % modulus).to_string()
            }
        }
    }
}

struct Parser<'a> {
    whole: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn of(text: &'a str) -> Result<Parser<'a>, ExpressionError> {
        let parser = Parser { whole: text, at: 0 };
        if text.len() > EXPRESSION_BYTES_MAX { Err(parser.error("it is longer than 1024 bytes")) } else { Ok(parser) }
    }

    fn error(&self, why: &'static str) -> ExpressionError {
        let at = self.whole[..self.at].chars().count() + 1;
        ExpressionError { text: self.whole.chars().take(EXPRESSION_BYTES_MAX).collect(), why, at }
    }

    fn rest(&self) -> &'a str {
        &self.whole[self.at..]
    }

    fn blanks(&mut self) {
        self.at = self.whole.len() - self.rest().trim_start().len();
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        self.blanks();
        self.rest().chars().next()
    }

    fn take(&mut self, char: char) -> bool {
        let there = self.peek() == Some(char);
        self.at += if there { char.len_utf8() } else { 0 };
        there
    }

    fn expect(&mut self, char: char, why: &'static str) -> Result<(), ExpressionError> {
        if self.take(char) { Ok(()) } else { Err(self.error(why)) }
    }

    fn end(&mut self) -> Result<(), ExpressionError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.error("something follows that is no part of it")) }
    }

    fn expression(&mut self) -> Result<Expression, ExpressionError> {
        let mut alternatives = vec![self.alternative()?];
        while self.peek() == Some('/') {
            if !self.rest().starts_with("//") {
                return Err(self.error("there is one `/`"));
            }
            self.at += 2;
            alternatives.push(self.alternative()?);
        }
        Ok(Expression(alternatives))
    }

    fn alternative(&mut self) -> Result<Alternative, ExpressionError> {
        let start = match self.peek() {
            Some('"') => Start::Text(self.text()?),
            Some('.') => {
                let mut steps = Vec::new();
                self.steps(&mut steps)?;
                if steps.is_empty() {
                    self.at += 1;
                    // `.[0]`
                    self.steps(&mut steps)?;
                }
                Start::Path(steps)
            }
            _ => return Err(self.error("there is neither a path, which starts with a dot, nor a text in quotes")),
        };
        let mut functions = Vec::new();
        while self.take('|') {
            functions.push(self.function()?);
        }
        Ok(Alternative { start, functions })
    }

    /// Steps, as many as there are, with no blanks between them.
    fn steps(&mut self, steps: &mut Vec<Step>) -> Result<(), ExpressionError> {
        loop {
            let mut chars = self.rest().chars();
            match (chars.next(), chars.next()) {
                (Some('.'), Some('"')) => {
                    self.at += 1;
                    steps.push(Step::Member(self.text()?));
                }
                (Some('.'), Some(next)) if is_name(next) => {
                    self.at += 1;
                    steps.push(Step::Member(self.name()?));
                }
                (Some('['), _) => {
                    self.at += 1;
                    steps.push(match self.peek() {
                        Some('"') => Step::Member(self.text()?),
                        _ => Step::Element(self.number()? as usize),
                    });
                    self.expect(']', "there is no `]`")?;
                }
                _ => return Ok(()),
            }
        }
    }

    fn name(&mut self) -> Result<String, ExpressionError> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|char| !is_name(char)).unwrap_or(rest.len());
        if end == 0 {
            return Err(self.error("there is no name; one of other characters is written in quotes"));
        }
        self.at += end;
        Ok(rest[..end].to_owned())
    }

    fn number(&mut self) -> Result<u32, ExpressionError> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|char: char| !char.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| self.error("there is no number"))?;
        self.at += end;
        Ok(number)
    }

    /// A JSON string.
    fn text(&mut self) -> Result<String, ExpressionError> {
        let mut texts = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        match texts.next() {
            Some(Ok(text)) => {
                self.at += texts.byte_offset();
                Ok(text)
            }
            _ => Err(self.error("the text in quotes does not end, or is not as JSON has it")),
        }
    }

    fn function(&mut self) -> Result<Function, ExpressionError> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|char: char| !is_name(char) && char != '-').unwrap_or(rest.len());
        let unknown = self.error("the functions are upper, lower and hash-mod(n)");
        self.at += end;
        Ok(match &rest[..end] {
            "upper" | "ascii_upcase" => Function::Upper,
            "lower" | "ascii_downcase" => Function::Lower,
            "hash-mod" => {
                self.expect('(', "there is no `(`")?;
                let modulus = self.number()?;
                if modulus == 0 {
                    return Err(self.error("hash-mod needs a number above 0"));
                }
                self.expect(')', "there is no `)`")?;
                Function::HashMod(u64::from(modulus))
            }
            _ => return Err(unknown),
        })
    }
}

fn is_name(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// A value as a part of a key: what Hive escapes is escaped, so that a value is never a folder more, and reads back.
pub fn escaped(value: &str) -> Cow<'_, str> {
    let special = |char: char| char.is_control() || "\"#%'*/:=?\\{}[]^".contains(char);
    if !value.contains(special) {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len() + 8);
    for char in value.chars() {
        if special(char) {
            let mut bytes = [0; 4];
            char.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
        } else {
            out.push(char);
        }
    }
    Cow::Owned(out)
}

impl Place for &serde_json::Value {
    type Error = std::convert::Infallible;

    fn member(&self, name: &str) -> Result<Option<Self>, Self::Error> {
        Ok(self.get(name))
    }

    fn element(&self, index: usize) -> Result<Option<Self>, Self::Error> {
        Ok(self.get(index))
    }

    fn text(&self) -> Result<Option<Cow<'_, str>>, Self::Error> {
        Ok(match self {
            serde_json::Value::String(text) => Some(Cow::Borrowed(text)),
            serde_json::Value::Number(number) => Some(Cow::Owned(number.to_string())),
            serde_json::Value::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_find_values() {
        let document = json!({
            "a": {"b": [{"c": "Deep"}, 7], "x y": true, "n": null, "e": ""}, "tags": ["one"], "12": 1.5, "é": "ü",
        });
        for (expression, expect) in [
            (".a.b[0].c", Some("Deep")),
            (".a.b[1]", Some("7")),
            (".a[\"b\"][0][\"c\"]", Some("Deep")),
            (".a.\"x y\"", Some("true")),
            (".é", Some("ü")),
            (".12", Some("1.5")),
            (" .a.b[0].c | upper ", Some("DEEP")),
            (".a.b[0].c|ascii_downcase", Some("deep")),
            (".a.b[0].c | lower | hash-mod(10)", Some("8")),
            (".missing // .a.n // .a.e // .a.b // .a.b[9] // \"none\"", Some("none")),
            ("\"a\\\"b\"", Some("a\"b")),
            (".a.n", None),
            (".a", None),
            (".", None),
        ] {
            let found = Expression::parse(expression).unwrap().find(&&document).unwrap();
            assert_eq!(found.as_deref(), expect, "{expression}");
        }
        let Ok(whole) = Expression::parse(".").unwrap().find(&&json!("x"));
        assert_eq!(whole.as_deref(), Some("x"));
        let Ok(first) = Expression::parse(".[1].a").unwrap().find(&&json!([0, {"a": "b"}]));
        assert_eq!(first.as_deref(), Some("b"));
    }

    #[test]
    fn an_object_of_expressions_is_read() {
        let keys = Expression::parse_object("{customer: .id, \"my day\" : .day // \"x\"}").unwrap();
        assert_eq!(keys.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["customer", "my day"]);
        for text in ["", "{}", "{a:.a", "{a:.a,}", "{a:.a, a:.b}", "{a .a}", "{a:.a} x"] {
            assert!(Expression::parse_object(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_expression_is_told_with_its_place() {
        for (text, expect) in [
            ("", "there is neither a path"),
            ("a", "there is neither a path"),
            (".a | upcase", "the functions are"),
            (".a | hash-mod(0)", "hash-mod needs"),
            (".a | hash-mod", "there is no `(`"),
            (".a[", "there is no number"),
            (".a[0", "there is no `]`"),
            (".a / .b", "there is one `/`"),
            (".a .b", "something follows"),
            ("\"open", "the text in quotes"),
        ] {
            let error = Expression::parse(text).unwrap_err();
            assert!(error.why.starts_with(expect), "{text}: {error}");
        }
        let error = Expression::parse(".a | upcase").unwrap_err().to_string();
        assert_eq!(
            error,
            "`.a | upcase` is no expression of a partition key: the functions are upper, lower and hash-mod(n), at character 6"
        );
    }

    #[test]
    fn values_stay_within_their_folder() {
        for (value, expect) in
            [("plain é-1.5", "plain é-1.5"), ("a/b", "a%2Fb"), ("../x", "..%2Fx"), ("12:00=\n", "12%3A00%3D%0A")]
        {
            assert_eq!(escaped(value), expect);
        }
    }
}
