//! An item as the plain JSON that a document column holds: sets as arrays in their stored order, binary as base64, NULL as null.

use tailrace_core::Number;
use tailrace_core::json_text::JsonText;
use tailrace_core::{AttributeValue, Item};

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// As JSON numbers with every digit: for a database whose documents keep them.
    Exact,
    /// As JSON numbers if they have at most 15 significant digits, which any double gives back, else as strings.
    Double,
}

/// A text has the character U+0000, which neither database can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nul;

const DOUBLE_DIGITS_MAX: usize = 15;

/// Appends an item.
///
/// # Errors
/// A text in it, or a name, has U+0000.
pub fn write_item(item: &Item, numbers: Numbers, out: &mut Vec<u8>) -> Result<(), Nul> {
    out.push(b'{');
    for (index, (name, value)) in item.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(name, out)?;
        out.push(b':');
        write_value(value, numbers, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends a value.
///
/// # Errors
/// A text in it, or a name, has U+0000.
pub fn write_value(value: &AttributeValue, numbers: Numbers, out: &mut Vec<u8>) -> Result<(), Nul> {
    match value {
        AttributeValue::Null => out.raw(b"null"),
        AttributeValue::Bool(true) => out.raw(b"true"),
        AttributeValue::Bool(false) => out.raw(b"false"),
        AttributeValue::S(text) => write_text(text, out)?,
        AttributeValue::N(number) => write_number(number, numbers, out),
        AttributeValue::B(bytes) => out.binary(bytes),
        AttributeValue::Ss(members) => write_list(members, out, |text, out| write_text(text, out))?,
        AttributeValue::Ns(members) => write_list(members, out, |number, out| {
            write_number(number, numbers, out);
            Ok(())
        })?,
        AttributeValue::Bs(members) => write_list(members, out, |bytes, out| {
            out.binary(bytes);
            Ok(())
        })?,
        AttributeValue::L(elements) => write_list(elements, out, |element, out| write_value(element, numbers, out))?,
        AttributeValue::M(members) => write_item(members, numbers, out)?,
    }
    Ok(())
}

fn write_list<T>(
    list: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<(), Nul>,
) -> Result<(), Nul> {
    out.push(b'[');
    for (index, element) in list.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), Nul> {
    if text.contains('\0') {
        return Err(Nul);
    }
    out.string(text);
    Ok(())
}

fn write_number(number: &Number, numbers: Numbers, out: &mut Vec<u8>) {
    let decimal = number.to_string();
    if numbers == Numbers::Exact || significant_digits(&decimal) <= DOUBLE_DIGITS_MAX {
        out.raw(decimal.as_bytes());
    } else {
        out.string(&decimal);
    }
}

fn significant_digits(decimal: &str) -> usize {
    let digits: Vec<u8> = decimal.bytes().filter(u8::is_ascii_digit).collect();
    let first = digits.iter().position(|digit| *digit != b'0');
    let last = digits.iter().rposition(|digit| *digit != b'0');
    first.zip(last).map_or(1, |(first, last)| last - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: AttributeValue, exact: &str, double: &str) {
        for (numbers, expected) in [(Numbers::Exact, exact), (Numbers::Double, double)] {
            let mut out = Vec::new();
            write_value(&value, numbers, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn values_are_plain_json() {
        let n = |text: &str| Number::parse(text).unwrap();
        let s = |text: &str| AttributeValue::S(text.to_owned());
        let item: Item = [
            ("b".to_owned(), AttributeValue::B(vec![1, 2, 3])),
            ("bs".to_owned(), AttributeValue::Bs([vec![2], vec![1]].into())),
            ("l".to_owned(), AttributeValue::L(vec![AttributeValue::Null, AttributeValue::Bool(true), s("\"\n")])),
            ("ns".to_owned(), AttributeValue::Ns([n("10"), n("-2.50")].into())),
            ("ss".to_owned(), AttributeValue::Ss(["y".to_owned(), "x".to_owned()].into())),
        ]
        .into();
        let expected = r#"{"b":"AQID","bs":["AQ==","Ag=="],"l":[null,true,"\"\n"],"ns":[-2.5,10],"ss":["x","y"]}"#;
        check(AttributeValue::M(item), expected, expected);
    }

    #[test]
    fn a_number_that_no_double_gives_back_is_a_string_where_documents_have_doubles() {
        let n = |text: &str| AttributeValue::N(Number::parse(text).unwrap());
        check(n("0"), "0", "0");
        check(n("-12.5"), "-12.5", "-12.5");
        check(n("123456789012345"), "123456789012345", "123456789012345");
        check(n("1234567890123456"), "1234567890123456", r#""1234567890123456""#);
        check(n("0.001234567890123456"), "0.001234567890123456", r#""0.001234567890123456""#);
        check(n("1e20"), "100000000000000000000", "100000000000000000000");
    }

    #[test]
    fn u0000_is_found_wherever_it_is() {
        let nul = || AttributeValue::S("a\0b".to_owned());
        for value in [
            nul(),
            AttributeValue::L(vec![nul()]),
            AttributeValue::M([("k\0".to_owned(), AttributeValue::Null)].into()),
            AttributeValue::Ss(["\0".to_owned()].into()),
        ] {
            assert_eq!(write_value(&value, Numbers::Exact, &mut Vec::new()), Err(Nul));
        }
    }
}
