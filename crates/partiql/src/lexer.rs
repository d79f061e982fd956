//! Words, names, values and signs of a text, with their places.
//!
//! Keywords are not told from names here: [`Token::word`] is for who asks. Comments are `--` to the end of the line and
//! `/* */`, which do not nest.

use crate::error::Malformed;
use crate::syntax::Place;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub kind: Kind,
    pub place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A name or keyword without quotes.
    Word(String),
    /// A name in `"`.
    Quoted(String),
    /// A string in `'`.
    Text(String),
    /// A number as it is written.
    Number(String),
    /// A literal in backquotes: the name of its type.
    Ion(&'static str),
    /// An operator or a sign of punctuation.
    Sign(&'static str),
    /// Nothing more.
    End,
}

/// Signs, the longer ones first.
const SIGNS: &[&str] = &[
    "<<", ">>", "<=", ">=", "<>", "!=", "||", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}",
    ",", ".", ":", ";", "?", "@",
];

impl Token {
    /// Whether it is this keyword, which is given in small letters.
    pub fn is_word(&self, keyword: &str) -> bool {
        matches!(&self.kind, Kind::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self.kind, Kind::Sign(s) if s == sign)
    }
}

/// The tokens of a text; the last is [`Kind::End`].
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Malformed> {
    let mut lexer = Lexer { rest: text, line: 1, column: 1 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let token = lexer.token()?;
        let end = token.kind == Kind::End;
        tokens.push(token);
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

impl<'a> Lexer<'a> {
    /// Takes `bytes` bytes.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        for c in taken.chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        taken
    }

    fn skip_blanks(&mut self) -> Result<(), Malformed> {
        loop {
            let rest = self.rest;
            let blanks = rest.len() - rest.trim_start().len();
            if blanks > 0 {
                self.take(blanks);
            } else if rest.starts_with("--") {
                self.take(rest.find('\n').unwrap_or(rest.len()));
            } else if let Some(inside) = rest.strip_prefix("/*") {
                self.take(inside.find("*/").ok_or(Malformed::Unclosed)? + 4);
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token, Malformed> {
        let (line, column, rest) = (self.line, self.column, self.rest);
        let Some(first) = rest.chars().next() else {
            return Ok(Token { kind: Kind::End, place: Place { line, column, length: 0 } });
        };
        let kind = match first {
            '\'' => Kind::Text(self.quoted('\'')?),
            '"' => Kind::Quoted(self.quoted('"')?),
            '`' => Kind::Ion(ion_type(&self.quoted('`')?)),
            c if c.is_alphabetic() || matches!(c, '_' | '$') => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(rest.len());
                Kind::Word(self.take(end).to_owned())
            }
            _ => match number_bytes(rest) {
                0 => {
                    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or(Malformed::Character)?;
                    self.take(sign.len());
                    Kind::Sign(sign)
                }
                bytes => Kind::Number(self.take(bytes).to_owned()),
            },
        };
        let length = rest[..rest.len() - self.rest.len()].chars().count();
        Ok(Token { kind, place: Place { line, column, length: u32::try_from(length).unwrap_or(u32::MAX) } })
    }

    /// What stands between `quote`s, of which two stand for one.
    fn quoted(&mut self, quote: char) -> Result<String, Malformed> {
        let mut text = String::new();
        let mut end = 1;
        loop {
            let next = self.rest[end..].find(quote).ok_or(Malformed::Unclosed)?;
            text.push_str(&self.rest[end..end + next]);
            end += next + 1;
            if !self.rest[end..].starts_with(quote) {
                self.take(end);
                return Ok(text);
            }
            text.push(quote);
            end += 1;
        }
    }
}

/// The type of an Ion literal; the service takes none, and names what it was given.
fn ion_type(text: &str) -> &'static str {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.as_bytes() {
        [b'"' | b'\'', ..] => "STRING",
        [b'[', ..] => "LIST",
        [b'(', ..] => "SEXP",
        [b'{', b'{', ..] => "BLOB",
        [b'{', ..] => "STRUCT",
        _ if digits > 0 && digits == text.len() => "INT",
        [_, _, _, _, b'T' | b'-', ..] if digits == 4 => "TIMESTAMP",
        _ if digits > 0 => "DECIMAL",
        _ => "SYMBOL",
    }
}

/// How many bytes at the beginning are a number without a sign.
fn number_bytes(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(0);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if end > 0 && matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    end
}
