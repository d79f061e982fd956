//! JSON that is written piece by piece, or only measured: one walk says what is written, and the two [`JsonText`]s do the one
//! or the other. So a length that was measured is the length of what is written.
//!
//! Stored items are written from their bytes; what comes out is what `serde` writes of them (see `wire_json`), faster, or the
//! same without the types ([`ValueForm`]). What it does not do: it does not see to it that the pieces make a document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::codec::{CodecError, Head, Reader, StoredItem};
use crate::encoded::EncodedValue;
use crate::number::{Number, NumberKey};

/// Decimal digits of the largest u64.
pub const U64_DIGITS_MAX: usize = 20;

/// The decimal digits of a number, written into `buffer`.
pub fn decimal_digits(number: u64, buffer: &mut [u8; U64_DIGITS_MAX]) -> &[u8] {
    let (mut first, mut rest) = (buffer.len(), number);
    loop {
        first -= 1;
        buffer[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &buffer[first..];
        }
    }
}

/// Takes the pieces of a JSON document: a [`Vec`] keeps them, a [`JsonLength`] counts their bytes.
pub trait JsonText {
    /// Takes a piece of JSON as it is.
    fn raw(&mut self, json: &[u8]);

    /// Takes a text, which becomes a string.
    fn string(&mut self, text: &str);

    /// Takes bytes, which become a string of their base64.
    fn binary(&mut self, bytes: &[u8]);

    /// Takes a whole number.
    fn whole(&mut self, number: u64) {
        self.raw(decimal_digits(number, &mut [0; U64_DIGITS_MAX]));
    }

    /// Takes a number of a stored item, which becomes a string of its decimal.
    fn number(&mut self, number: StoredNumber<'_>);

    /// Takes a number of a stored item, which becomes a number: its decimal.
    fn decimal(&mut self, number: StoredNumber<'_>);
}

/// How the values of an item stand in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueForm {
    /// As on the wire: each with its type.
    #[default]
    DynamodbJson,
    /// As JSON has them: a number is a number if a double keeps it (see [`StoredNumber::is_exact_in_double`]) and else a string,
    /// a binary is its base64, a set is an array, NULL is null.
    Plain,
}

/// A number of a stored item.
#[derive(Clone, Copy, Debug)]
pub struct StoredNumber<'a>(pub(crate) NumberKey<'a>);

impl StoredNumber<'_> {
    /// The number.
    pub fn number(self) -> crate::Number {
        self.0.number()
    }

    /// Its decimal, as [`JsonText::number`] takes it.
    pub fn decimal(self) -> String {
        let mut text = Vec::with_capacity(self.0.decimal_len());
        self.0.write_decimal(&mut text);
        String::from_utf8(text).expect("invariant: a decimal is ASCII")
    }

    /// Appends its decimal: as a number of JSON has it, every digit.
    pub fn write_decimal(self, out: &mut Vec<u8>) {
        self.0.write_decimal(out);
    }

    /// Whether a double keeps it: the double next to it, written as short as that double allows, is the number again. So it is for
    /// every number of up to 15 digits.
    pub fn is_exact_in_double(self) -> bool {
        const DIGITS_ALWAYS: usize = 15;
        // A double written short never has more.
        const DIGITS_EVER: usize = 17;
        let digits = self.0.digit_count();
        if digits <= DIGITS_ALWAYS || digits > DIGITS_EVER {
            return digits <= DIGITS_ALWAYS;
        }
        let double = self.decimal().parse::<f64>().unwrap_or(f64::NAN);
        Number::parse(&format!("{double:e}")).is_ok_and(|again| again == self.0.number())
    }
}

/// The bytes that were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonLength(pub usize);

impl JsonText for Vec<u8> {
    fn raw(&mut self, json: &[u8]) {
        self.extend_from_slice(json);
    }

    fn string(&mut self, text: &str) {
        self.push(b'"');
        if is_plain(text.as_bytes()) {
            self.extend_from_slice(text.as_bytes());
        } else {
            text.bytes().for_each(|byte| push_escaped(byte, self));
        }
        self.push(b'"');
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.push(b'"');
        let from = self.len();
        self.resize(from + base64_len(bytes), 0);
        BASE64.encode_slice(bytes, &mut self[from..]).expect("invariant: the room is that of the text");
        self.push(b'"');
    }

    fn number(&mut self, number: StoredNumber<'_>) {
        self.push(b'"');
        number.0.write_decimal(self);
        self.push(b'"');
    }

    fn decimal(&mut self, number: StoredNumber<'_>) {
        number.0.write_decimal(self);
    }
}

impl JsonText for JsonLength {
    fn raw(&mut self, json: &[u8]) {
        self.0 += json.len();
    }

    fn string(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.0 += 2 + bytes.len();
        if !is_plain(bytes) {
            self.0 += bytes.iter().map(|byte| escape(*byte).extra_bytes()).sum::<usize>();
        }
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.0 += 2 + base64_len(bytes);
    }

    fn number(&mut self, number: StoredNumber<'_>) {
        self.0 += 2 + number.0.decimal_len();
    }

    fn decimal(&mut self, number: StoredNumber<'_>) {
        self.0 += number.0.decimal_len();
    }
}

fn base64_len(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

/// How a byte of a text stands in a string.
enum Escape {
    None,
    Letter(u8),
    Hex,
}

impl Escape {
    fn extra_bytes(&self) -> usize {
        match self {
            Escape::None => 0,
            Escape::Letter(_) => 1,
            Escape::Hex => 5,
        }
    }
}

fn escape(byte: u8) -> Escape {
    match byte {
        b'"' | b'\\' => Escape::Letter(byte),
        0x08 => Escape::Letter(b'b'),
        b'\t' => Escape::Letter(b't'),
        b'\n' => Escape::Letter(b'n'),
        0x0c => Escape::Letter(b'f'),
        b'\r' => Escape::Letter(b'r'),
        0..0x20 => Escape::Hex,
        _ => Escape::None,
    }
}

/// No byte needs an escape. Looks at all of them, without a branch, many at once.
fn is_plain(bytes: &[u8]) -> bool {
    !bytes.iter().fold(false, |found, byte| found | (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\'))
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    match escape(byte) {
        Escape::None => out.push(byte),
        Escape::Letter(letter) => out.extend([b'\\', letter]),
        Escape::Hex => {
            out.extend_from_slice(b"\\u00");
            out.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

impl StoredItem<'_> {
    /// Writes the item as the wire has it. What was taken before an error is no JSON.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn write_json(&self, out: &mut impl JsonText) -> Result<(), CodecError> {
        self.write_json_as(ValueForm::DynamodbJson, out)
    }

    /// Writes the item in a form. What was taken before an error is no JSON.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn write_json_as(&self, form: ValueForm, out: &mut impl JsonText) -> Result<(), CodecError> {
        let mut reader = self.reader();
        let count = reader.count()?;
        let write = match form {
            ValueForm::DynamodbJson => value,
            ValueForm::Plain => plain_value,
        };
        members(&mut reader, count, 1, write, out)?;
        reader.finish()
    }
}

impl EncodedValue<'_> {
    /// Writes the value in a form. What was taken before an error is no JSON.
    ///
    /// # Errors
    /// The bytes are not what the codec writes.
    pub fn write_json_as(&self, form: ValueForm, out: &mut impl JsonText) -> Result<(), CodecError> {
        let (mut reader, level) = self.place();
        match form {
            ValueForm::DynamodbJson => value(&mut reader, level, out),
            ValueForm::Plain => plain_value(&mut reader, level, out),
        }
    }
}

/// Writes the value that a reader stands before.
type WriteValue<T> = fn(&mut Reader<'_>, usize, &mut T) -> Result<(), CodecError>;

fn members<T: JsonText>(
    reader: &mut Reader<'_>,
    count: usize,
    level: usize,
    write: WriteValue<T>,
    out: &mut T,
) -> Result<(), CodecError> {
    out.raw(b"{");
    for index in 0..count {
        if index > 0 {
            out.raw(b",");
        }
        out.string(reader.text()?);
        out.raw(b":");
        write(reader, level, out)?;
    }
    out.raw(b"}");
    Ok(())
}

fn value<T: JsonText>(reader: &mut Reader<'_>, level: usize, out: &mut T) -> Result<(), CodecError> {
    match reader.head(level)? {
        Head::Null => out.raw(br#"{"NULL":true"#),
        Head::Bool(true) => out.raw(br#"{"BOOL":true"#),
        Head::Bool(false) => out.raw(br#"{"BOOL":false"#),
        Head::S(text) => {
            out.raw(br#"{"S":"#);
            out.string(text);
        }
        Head::N(number) => {
            out.raw(br#"{"N":"#);
            out.number(StoredNumber(number));
        }
        Head::B(bytes) => {
            out.raw(br#"{"B":"#);
            out.binary(bytes);
        }
        Head::Ss(count) => list(reader, count, br#"{"SS":["#, out, |reader, out| {
            out.string(reader.text()?);
            Ok(())
        })?,
        Head::Ns(count) => list(reader, count, br#"{"NS":["#, out, |reader, out| {
            out.number(StoredNumber(reader.number()?));
            Ok(())
        })?,
        Head::Bs(count) => list(reader, count, br#"{"BS":["#, out, |reader, out| {
            out.binary(reader.bytes()?);
            Ok(())
        })?,
        Head::L(count) => list(reader, count, br#"{"L":["#, out, |reader, out| value(reader, level + 1, out))?,
        Head::M(count) => {
            out.raw(br#"{"M":"#);
            members(reader, count, level + 1, value, out)?;
        }
    }
    out.raw(b"}");
    Ok(())
}

fn plain_value<T: JsonText>(reader: &mut Reader<'_>, level: usize, out: &mut T) -> Result<(), CodecError> {
    match reader.head(level)? {
        Head::Null => out.raw(b"null"),
        Head::Bool(true) => out.raw(b"true"),
        Head::Bool(false) => out.raw(b"false"),
        Head::S(text) => out.string(text),
        Head::N(number) => plain_number(StoredNumber(number), out),
        Head::B(bytes) => out.binary(bytes),
        Head::Ss(count) => list(reader, count, b"[", out, |reader, out| {
            out.string(reader.text()?);
            Ok(())
        })?,
        Head::Ns(count) => list(reader, count, b"[", out, |reader, out| {
            plain_number(StoredNumber(reader.number()?), out);
            Ok(())
        })?,
        Head::Bs(count) => list(reader, count, b"[", out, |reader, out| {
            out.binary(reader.bytes()?);
            Ok(())
        })?,
        Head::L(count) => list(reader, count, b"[", out, |reader, out| plain_value(reader, level + 1, out))?,
        Head::M(count) => members(reader, count, level + 1, plain_value, out)?,
    }
    Ok(())
}

fn plain_number(number: StoredNumber<'_>, out: &mut impl JsonText) {
    if number.is_exact_in_double() { out.decimal(number) } else { out.number(number) }
}

fn list<'a, T: JsonText>(
    reader: &mut Reader<'a>,
    count: usize,
    opening: &[u8],
    out: &mut T,
    mut element: impl FnMut(&mut Reader<'a>, &mut T) -> Result<(), CodecError>,
) -> Result<(), CodecError> {
    out.raw(opening);
    for index in 0..count {
        if index > 0 {
            out.raw(b",");
        }
        element(reader, out)?;
    }
    out.raw(b"]");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_their_digits() {
        for number in [0, 1, 9, 10, 1_795_933_244, u64::MAX] {
            let (mut text, mut length) = (Vec::new(), JsonLength::default());
            text.whole(number);
            length.whole(number);
            assert_eq!((text.as_slice(), length.0), (number.to_string().as_bytes(), text.len()));
        }
    }

    #[test]
    fn plain_values_have_no_types() {
        let item = serde_json::json!({
            "s": {"S": "a\"b"}, "n": {"N": "12.50"}, "b": {"B": "AP8="}, "t": {"BOOL": true}, "z": {"NULL": true},
            "ss": {"SS": ["b", "a"]}, "ns": {"NS": ["2", "1"]}, "bs": {"BS": ["AQ=="]},
            "l": {"L": [{"N": "-1"}, {"L": []}]}, "m": {"M": {"x": {"M": {}}, "y": {"S": ""}}},
        });
        let item = crate::attribute_json::read_item(crate::Json::parse(item.to_string().as_bytes()).unwrap()).unwrap();
        let stored = crate::codec::encode_stored(&item);
        let stored = StoredItem::new(&stored).unwrap();
        let (mut text, mut length) = (Vec::new(), JsonLength::default());
        stored.write_json_as(ValueForm::Plain, &mut text).unwrap();
        stored.write_json_as(ValueForm::Plain, &mut length).unwrap();
        let expect = r#"{"b":"AP8=","bs":["AQ=="],"l":[-1,[]],"m":{"x":{},"y":""},"n":12.5,"ns":[1,2],"s":"a\"b","ss":["a","b"],"t":true,"z":null}"#;
        assert_eq!(String::from_utf8(text).unwrap(), expect);
        assert_eq!(length.0, expect.len());
        let value = stored.members().find("m").unwrap().unwrap();
        for (form, expect) in [
            (ValueForm::Plain, r#"{"x":{},"y":""}"#),
            (ValueForm::DynamodbJson, r#"{"M":{"x":{"M":{}},"y":{"S":""}}}"#),
        ] {
            let mut text = Vec::new();
            value.write_json_as(form, &mut text).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expect);
        }
    }

    #[test]
    fn numbers_that_a_double_keeps() {
        for (text, exact) in [
            ("0", true),
            ("0.1", true),
            ("-12.34", true),
            ("999999999999999", true),
            ("9007199254740991", true),
            ("9007199254740993", false),
            ("0.1234567890123456", true),
            ("12345678901234567", false),
            ("1152921504606846976", false),
            ("123456789012345678901234567890", false),
            ("1e125", true),
            ("1e-130", true),
        ] {
            let mut key = Vec::new();
            Number::parse(text).unwrap().encode_key(&mut key);
            let (number, _) = NumberKey::read(&key).unwrap();
            assert_eq!(StoredNumber(number).is_exact_in_double(), exact, "{text}");
        }
    }

    #[test]
    fn a_string_is_escaped_as_serde_does_it() {
        let every_ascii: String = (0..128u8).map(char::from).collect();
        for text in ["", "plain", "é \u{1F600} \u{2028}", "\"", "\\", &every_ascii] {
            let (mut written, mut length) = (Vec::new(), JsonLength::default());
            written.string(text);
            length.string(text);
            assert_eq!(String::from_utf8(written.clone()).unwrap(), serde_json::to_string(text).unwrap());
            assert_eq!(length.0, written.len());
        }
    }
}
