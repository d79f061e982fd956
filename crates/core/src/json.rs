//! Requests as a tree of JSON values.
//!
//! It keeps what the validation of requests needs and ordinary parsers lose: whether a number was written as an integer
//! or as a decimal, and its literal. In an object the last of several equal names wins. Half of a surrogate pair, as
//! JavaScript writes it for a text that was cut in the middle of a character, is read as U+FFFD.
//!
//! Nesting deeper than [`JSON_NESTING_MAX`] is refused, so the recursion here is bounded; so are more than
//! [`JSON_VALUES_MAX`] values, so a tree takes at most some twenty times the bytes of the largest text.
//!
//! It only reads; answers are written from typed structs.

use crate::limits::{JSON_NESTING_MAX, JSON_VALUES_MAX};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without `.` and exponent: its literal.
    Integer(String),
    /// Any other number: its literal.
    Decimal(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object: its members in the order in which they were written, each name once.
    Object(Vec<(String, Json)>),
}

/// The text is not JSON, nests too deep, or has too many values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {offset}")]
pub struct JsonError {
    /// Where the text stops making sense.
    pub offset: usize,
}

impl Json {
    /// Reads a text that is one JSON value, with whitespace around it, and perhaps a byte order mark before it.
    ///
    /// # Errors
    /// The text is not JSON (or not UTF-8), nests too deep, or has too many values.
    pub fn parse(text: &[u8]) -> Result<Json, JsonError> {
        Parser::read(text, true)
    }

    /// Checks that [`Json::parse`] would read a text, without making the tree.
    ///
    /// # Errors
    /// As of [`Json::parse`].
    pub fn check(text: &[u8]) -> Result<(), JsonError> {
        Parser::read(text, false).map(|_| ())
    }

    /// The member `name` of an object. `None` if it is absent or `null` (the service treats them alike), or if this is no
    /// object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        let Json::Object(members) = self else { return None };
        members.iter().find(|(n, _)| n == name).map(|(_, v)| v).filter(|v| **v != Json::Null)
    }

    /// Takes the member `name` out of an object, leaving `null`. `None` as for [`Json::get`].
    pub fn take(&mut self, name: &str) -> Option<Json> {
        let Json::Object(members) = self else { return None };
        let (_, value) = members.iter_mut().find(|(n, _)| n == name)?;
        let value = std::mem::replace(value, Json::Null);
        (value != Json::Null).then_some(value)
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The members, if it is an object.
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Json::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The boolean of a member that the model says is one: `true` or `false`, or one of the strings that the service
    /// takes for them. Source: docs/spec/dynamodb-api.md 1.4.
    pub fn as_lenient_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            Json::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "1" => Some(true),
                "false" | "f" | "no" | "n" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A number as the service reads it into a long: the fraction is cut off, what lies outside the range is moved to its
    /// end. Source: docs/spec/dynamodb-api.md 1.4.
    pub fn as_saturated_i64(&self) -> Option<i64> {
        let literal = match self {
            Json::Integer(literal) => match literal.parse() {
                Ok(number) => return Some(number),
                Err(_) => literal,
            },
            Json::Decimal(literal) => literal,
            _ => return None,
        };
        // `as` from a float truncates and saturates.
        literal.parse::<f64>().ok().map(|number| number as i64)
    }

    /// As [`Json::as_saturated_i64`], into a 32-bit integer.
    pub fn as_saturated_i32(&self) -> Option<i32> {
        self.as_saturated_i64().map(|n| n.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }
}

/// Values above which containers are trimmed to their size. Few are not worth the work, and the many of a large request
/// would hold several times what they need.
const TRIM_VALUES_MIN: usize = 16 * 1024;

const BYTE_ORDER_MARK: char = '\u{feff}';

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Values so far.
    values: usize,
    /// Make the tree; otherwise its parts are empty.
    keep: bool,
}

impl Parser<'_> {
    fn read(text: &[u8], keep: bool) -> Result<Json, JsonError> {
        let text = std::str::from_utf8(text).map_err(|e| JsonError { offset: e.valid_up_to() })?;
        let mut parser = Parser { text, bytes: text.as_bytes(), at: 0, values: 0, keep };
        if text.starts_with(BYTE_ORDER_MARK) {
            parser.at = BYTE_ORDER_MARK.len_utf8();
        }
        parser.skip_whitespace();
        let value = parser.value(0)?;
        parser.skip_whitespace();
        if parser.at == parser.bytes.len() { Ok(value) } else { Err(parser.error()) }
    }

    /// What of the text goes into the tree.
    fn kept(&self, from: usize, to: usize) -> String {
        if self.keep { self.text[from..to].to_owned() } else { String::new() }
    }

    fn trim<T>(&self, elements: &mut Vec<T>) {
        if self.values > TRIM_VALUES_MIN {
            elements.shrink_to_fit();
        }
    }

    fn error(&self) -> JsonError {
        JsonError { offset: self.at }
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.bytes.get(self.at) != Some(&byte) {
            return Err(self.error());
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonError> {
        self.values += 1;
        if self.values > JSON_VALUES_MAX {
            return Err(self.error());
        }
        match self.bytes.get(self.at) {
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.error()),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonError> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error());
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > JSON_NESTING_MAX {
            return Err(self.error());
        }
        self.at += 1;
        self.skip_whitespace();
        if self.bytes.get(self.at) == Some(&b'}') {
            self.at += 1;
            return Ok(Json::Object(Vec::new()));
        }
        // Most objects are an attribute's value: one member.
        let mut members = Vec::with_capacity(usize::from(self.keep));
        loop {
            let name = self.string()?;
            self.skip_whitespace();
            self.expect(b':')?;
            self.skip_whitespace();
            let value = self.value(depth)?;
            if self.keep {
                members.push((name, value));
            }
            self.skip_whitespace();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.error()),
            }
            self.skip_whitespace();
        }
        self.at += 1;
        let mut members = last_of_each_name(members);
        self.trim(&mut members);
        Ok(Json::Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonError> {
        if depth > JSON_NESTING_MAX {
            return Err(self.error());
        }
        self.at += 1;
        let mut elements = Vec::new();
        self.skip_whitespace();
        if self.bytes.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Json::Array(elements));
        }
        loop {
            let value = self.value(depth)?;
            if self.keep {
                elements.push(value);
            }
            self.skip_whitespace();
            match self.bytes.get(self.at) {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.error()),
            }
            self.skip_whitespace();
        }
        self.at += 1;
        self.trim(&mut elements);
        Ok(Json::Array(elements))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(self.error()) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        if self.bytes[self.at] == b'-' {
            self.at += 1;
        }
        if self.bytes.get(self.at) == Some(&b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut integer = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        let literal = self.kept(start, self.at);
        Ok(if integer { Json::Integer(literal) } else { Json::Decimal(literal) })
    }

    fn string(&mut self) -> Result<String, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let stop = |b: &u8| *b == b'"' || *b == b'\\' || *b < 0x20;
        let plain = |at: usize| self.bytes[at..].iter().position(stop).map(|n| at + n);
        let mut end = plain(start).ok_or(JsonError { offset: self.bytes.len() })?;
        if self.bytes[end] == b'"' {
            self.at = end + 1;
            return Ok(self.kept(start, end));
        }
        let mut out = self.kept(start, end);
        loop {
            self.at = end;
            match self.bytes[end] {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => {
                    let char = self.escape()?;
                    if self.keep {
                        out.push(char);
                    }
                }
                _ => return Err(self.error()),
            }
            let from = self.at;
            end = self.bytes[from..]
                .iter()
                .position(stop)
                .map(|n| from + n)
                .ok_or(JsonError { offset: self.bytes.len() })?;
            if self.keep {
                out.push_str(&self.text[from..end]);
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let letter = *self.bytes.get(self.at + 1).ok_or(self.error())?;
        self.at += 2;
        Ok(match letter {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_hex()?;
                match self.low_surrogate(first) {
                    Some(second) => char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)),
                    None => char::from_u32(first),
                }
                .unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.error()),
        })
    }

    /// The second half of a pair whose first half has just been read. Any other escape stays to be read by itself.
    fn low_surrogate(&mut self, first: u32) -> Option<u32> {
        if !(0xD800..0xDC00).contains(&first) || !self.bytes[self.at..].starts_with(b"\\u") {
            return None;
        }
        let start = self.at;
        self.at += 2;
        let second = self.four_hex().ok().filter(|second| (0xDC00..0xE000).contains(second));
        if second.is_none() {
            self.at = start;
        }
        second
    }

    fn four_hex(&mut self) -> Result<u32, JsonError> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(self.error())?;
        let mut code = 0;
        for digit in digits {
            code = code * 16 + (*digit as char).to_digit(16).ok_or(self.error())?;
        }
        self.at += 4;
        Ok(code)
    }
}

/// Of several members of one name, the last. Few members are compared pair by pair; many are sorted, so that a hostile
/// object costs no quadratic time.
fn last_of_each_name(mut members: Vec<(String, Json)>) -> Vec<(String, Json)> {
    const PAIRWISE_MAX: usize = 16;
    let repeated: Vec<usize> = if members.len() <= PAIRWISE_MAX {
        let later = |i: usize| members[i + 1..].iter().any(|(name, _)| *name == members[i].0);
        (0..members.len()).filter(|&i| later(i)).collect()
    } else {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|&a, &b| members[a].0.cmp(&members[b].0).then(a.cmp(&b)));
        order.windows(2).filter(|w| members[w[0]].0 == members[w[1]].0).map(|w| w[0]).collect()
    };
    if !repeated.is_empty() {
        let repeated: std::collections::HashSet<usize> = repeated.into_iter().collect();
        let mut index = 0;
        members.retain(|_| {
            index += 1;
            !repeated.contains(&(index - 1))
        });
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Json> {
        Json::parse(text.as_bytes()).ok()
    }

    fn s(text: &str) -> Json {
        Json::String(text.to_owned())
    }

    #[test]
    fn literals_of_numbers_are_kept_and_their_kind() {
        assert_eq!(parse("-0"), Some(Json::Integer("-0".into())));
        assert_eq!(parse(" 12345678901234567890123 "), Some(Json::Integer("12345678901234567890123".into())));
        assert_eq!(parse("1.0"), Some(Json::Decimal("1.0".into())));
        assert_eq!(parse("1e5"), Some(Json::Decimal("1e5".into())));
        for bad in ["01", "1.", ".5", "+1", "1e", "-", "0x1", "1 2", "NaN"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_saturate_and_truncate_as_the_service_reads_them() {
        let long = |text| parse(text).unwrap().as_saturated_i64();
        assert_eq!(long("1.9"), Some(1));
        assert_eq!(long("99999999999999999999"), Some(i64::MAX));
        assert_eq!(parse("4294967296").unwrap().as_saturated_i32(), Some(i32::MAX));
        assert_eq!(long("\"1\""), None);
    }

    #[test]
    fn strings_unescape() {
        assert_eq!(parse(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#), Some(s("a\"\\/\u{8}\u{c}\n\r\té😀é")));
        for bad in [r#""\ud800\u12""#, r#""\ud800\""#, r#""\x""#, "\"a\nb\"", "\"a", r#""\u12"#, r#""\"#] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_a_replacement_character() {
        let check = |text: &str, expect: &str| assert_eq!(parse(text), Some(s(expect)), "{text}");
        check(r#""\ud800""#, "\u{fffd}");
        check(r#""a\udc00b""#, "a\u{fffd}b");
        check(r#""\ud83dx""#, "\u{fffd}x");
        check(r#""\ud800\u0041""#, "\u{fffd}A");
        check(r#""\ud800\n""#, "\u{fffd}\n");
        check(r#""\ud800\ud83d\ude00""#, "\u{fffd}😀");
        check(r#""\udc00\ud800""#, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_byte_order_mark_may_come_first() {
        assert_eq!(parse("\u{feff} {}"), Some(Json::Object(Vec::new())));
        assert_eq!(parse("\u{feff}\u{feff}{}"), None);
        assert_eq!(parse("{\u{feff}}"), None);
    }

    #[test]
    fn the_densest_legal_request_is_read_and_a_denser_one_is_not() {
        let filled = |element: &str| {
            let (head, tail) = (r#"{"TableName":"Tab","Item":{"a":{"L":["#, "]}}}");
            let room = crate::limits::REQUEST_BODY_BYTES_MAX - head.len() - tail.len() - element.len();
            format!("{head}{}{element}{tail}", format!("{element},").repeat(room / (element.len() + 1)))
        };
        for legal in [r#"{"L":[]}"#, r#"{"M":{}}"#, r#"{"S":""}"#] {
            assert!(parse(&filled(legal)).is_some(), "{legal}");
        }
        for hostile in ["0", "[]", r#"{"":0}"#] {
            assert!(parse(&filled(hostile)).is_none(), "{hostile}");
            assert!(Json::check(filled(hostile).as_bytes()).is_err(), "{hostile}");
        }
    }

    #[test]
    fn a_check_agrees_with_a_parse() {
        for text in [r#"{"a":[1,-2.5e3,"x\n\ud800",null,true],"a":{}}"#, "[1,]", r#""\u12""#, "{} x", "", "\u{feff}1"] {
            assert_eq!(Json::check(text.as_bytes()), Json::parse(text.as_bytes()).map(|_| ()), "{text}");
        }
    }

    #[test]
    fn the_last_of_equal_names_wins() {
        assert_eq!(parse(r#"{"a":1,"b":2,"a":"x"}"#).unwrap().get("a"), Some(&s("x")));
        let many: Vec<String> = (0..40).map(|i| format!("\"k{}\":{i}", i % 20)).collect();
        let many = parse(&format!("{{{}}}", many.join(","))).unwrap();
        assert_eq!(many.as_object().unwrap().len(), 20);
        assert_eq!(many.get("k3"), Some(&Json::Integer("23".into())));
    }

    #[test]
    fn broken_texts_are_refused() {
        for bad in ["", "{", "{a:1}", "[1,]", "{\"a\":1,}", "[1 2]", "tru", "{}x", "{\"a\"}"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(Json::parse(&[b'"', 0xff, b'"']).is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(&nested(JSON_NESTING_MAX)).is_some());
        assert!(parse(&nested(JSON_NESTING_MAX + 1)).is_none());
    }

    #[test]
    fn null_is_absent() {
        let mut json = parse(r#"{"a":null,"b":[1]}"#).unwrap();
        assert_eq!(json.get("a"), None);
        assert_eq!(json.take("b"), Some(Json::Array(vec![Json::Integer("1".into())])));
        assert_eq!(json.take("b"), None);
    }
}
