//! Rows of docs/spec/dynamodb-api.md 3.1 and 3.4 for numbers, and the properties of their order and key bytes.

use proptest::prelude::*;

use super::*;

fn n(text: &str) -> Number {
    Number::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

#[test]
fn canonical_output_is_a_plain_decimal() {
    let zeros = |count| "0".repeat(count);
    let cases = [
        ("-0", "0".to_owned()),
        (".5", "0.5".to_owned()),
        ("5.", "5".to_owned()),
        ("1E2", "100".to_owned()),
        ("+1e+2", "100".to_owned()),
        ("00012.500", "12.5".to_owned()),
        ("-120e-1", "-12".to_owned()),
        ("1e-130", format!("0.{}1", zeros(129))),
        ("1e125", format!("1{}", zeros(125))),
        ("0.00", "0".to_owned()),
        ("100000000000000000000000000000000000000", format!("1{}", zeros(38))),
        ("12345678901234567890123456789012345678", "12345678901234567890123456789012345678".to_owned()),
        ("123456789012345678901234567890123456780", "123456789012345678901234567890123456780".to_owned()),
        ("1000e-3", "1".to_owned()),
    ];
    for (text, canonical) in cases {
        assert_eq!(n(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn what_is_no_number_is_refused() {
    for text in [
        "",
        " 1",
        "1 ",
        "a",
        "1_0",
        "0x1",
        "NaN",
        "Infinity",
        "--1",
        "+-1",
        ".",
        "e5",
        "1e",
        "1e+",
        "1.2.3",
        "1e1.5",
        "1e99999999999999999999",
        "-",
        "1e--1",
        "1e+-1",
    ] {
        assert_eq!(Number::parse(text), Err(NumberError::Syntax), "{text}");
    }
}

#[test]
fn range_and_precision_are_checked() {
    use NumberError::{Overflow, Precision, Underflow};
    let digits = |count| "9".repeat(count);
    for (text, error) in [
        ("1e126", Overflow),
        ("10e125", Overflow),
        ("-1e126", Overflow),
        ("1e-131", Underflow),
        ("0.1e-130", Underflow),
        ("0e126", Overflow),
        ("0e-131", Underflow),
        ("0.0e-130", Underflow),
        ("1e4294967296", Overflow),
        ("1e-9223372036854775808", Underflow),
        ("123456789012345678901234567890123456789", Precision),
        ("1.00000000000000000000000000000000000001", Precision),
    ] {
        assert_eq!(Number::parse(text), Err(error), "{text}");
    }
    assert!(Number::parse(&format!("{}e88", digits(38))).is_ok(), "the largest");
    assert_eq!(Number::parse(&format!("{}e88", digits(39))), Err(Overflow));
    assert!(Number::parse(&format!("{}0", digits(38))).is_ok(), "39 digits that end in 0");
    assert_eq!(n("0e125"), Number::ZERO);
    assert_eq!(n("0e-130"), Number::ZERO);
    assert!(Number::parse(&"1".repeat(1_000_000)).is_err(), "a long text costs no more than its length");
}

#[test]
fn arithmetic_is_exact_or_an_error() {
    use NumberError::{Overflow, Precision, Underflow};
    let add = |a, b| n(a).checked_add(n(b)).map(|sum| sum.to_string());
    assert_eq!(add("0.1", "0.2"), Ok("0.3".into()));
    assert_eq!(add("-5", "5"), Ok("0".into()));
    assert_eq!(add("99", "1"), Ok("100".into()));
    assert_eq!(add("100000000000000000000000000000000000000", "-1"), Ok("9".repeat(38)));
    assert_eq!(add("100000000000000000000000000000000000000", "1"), Err(Precision));
    assert_eq!(add("1e125", "1"), Err(Precision));
    assert_eq!(add("1e125", "-1"), Err(Precision));
    assert_eq!(add("9e125", "9e125"), Err(Overflow));
    assert_eq!(add("1e125", "0"), Ok(n("1e125").to_string()));
    let tiny = "1.00000000000000000000000000000000000001".get(..38).unwrap();
    assert_eq!(n(&format!("{tiny}1e-130")).checked_sub(n("1e-130")), Err(Underflow));
    assert_eq!(n("3").checked_sub(n("5")), Ok(n("-2")));
}

#[test]
fn storage_sizes_follow_the_digits() {
    for (text, size) in
        [("0", 1), ("1", 2), ("12", 2), ("123", 3), ("-123", 4), ("1.5", 3), ("0.0000001", 2), ("100", 2), ("42", 2)]
    {
        assert_eq!(n(text).storage_size(), size, "{text}");
    }
}

#[test]
fn broken_key_bytes_are_refused() {
    for bytes in [
        &[][..],
        &[0x00],
        &[0x81],
        &[0x81, 130],
        &[0x81, 130, 11],
        &[0x81, 130, 0],
        &[0x81, 130, 5, 0],
        &[0x81, 130, 11, 1, 0],
        &[0x81, 130, 102, 0],
    ] {
        assert_eq!(Number::decode_key(bytes), None, "{bytes:?}");
    }
}

fn number() -> impl Strategy<Value = Number> {
    let coefficient = prop_oneof![0u128..1000, 0u128..10u128.pow(38)];
    let exponent = prop_oneof![-3i64..4, -130i64..126];
    (any::<bool>(), coefficient, exponent)
        .prop_filter_map("in range", |(negative, c, e)| Number::from_parts(negative, c, e).ok())
}

proptest! {
    #[test]
    fn text_reads_back(a in number()) {
        prop_assert_eq!(Number::parse(&a.to_string()), Ok(a));
    }

    #[test]
    fn key_bytes_read_back_and_keep_the_order(a in number(), b in number(), tail in any::<Vec<u8>>()) {
        let key = |n: Number| { let mut out = Vec::new(); n.encode_key(&mut out); out };
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        let mut bytes = key(a);
        bytes.extend_from_slice(&tail);
        prop_assert_eq!(Number::decode_key(&bytes), Some((a, &tail[..])));
        let (stored, _) = NumberKey::read(&bytes).unwrap();
        prop_assert_eq!(stored.storage_size(), a.storage_size());
        let mut text = Vec::new();
        stored.write_decimal(&mut text);
        prop_assert_eq!(std::str::from_utf8(&text).unwrap(), a.to_string());
        prop_assert_eq!(stored.decimal_len(), text.len());
    }

    #[test]
    fn order_agrees_with_subtraction(a in number(), b in number()) {
        if let Ok(difference) = a.checked_sub(b) {
            prop_assert_eq!(a.cmp(&b), difference.cmp(&Number::ZERO));
            prop_assert_eq!(a == b, difference.is_zero());
        }
    }

    #[test]
    fn sums_agree_with_integers(a in any::<i32>(), b in any::<i32>()) {
        let sum = Number::from(i64::from(a)).checked_add(Number::from(i64::from(b)));
        prop_assert_eq!(sum, Ok(Number::from(i64::from(a) + i64::from(b))));
        prop_assert_eq!(Number::from(i64::from(a)).to_string(), a.to_string());
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in any::<Vec<u8>>()) {
        if let Some((number, rest)) = Number::decode_key(&bytes) {
            let mut again = Vec::new();
            number.encode_key(&mut again);
            again.extend_from_slice(rest);
            prop_assert_eq!(again, bytes);
        }
    }
}

#[test]
fn a_number_has_a_whole_part_at_a_scale() {
    let whole = |text: &str| Number::parse(text).unwrap().whole_scaled(3);
    assert_eq!(whole("1795933244"), Some(1_795_933_244_000));
    assert_eq!(whole("1795933244.0009"), Some(1_795_933_244_000));
    assert_eq!(whole("1795933244.9999"), Some(1_795_933_244_999));
    assert_eq!(whole("0"), Some(0));
    assert_eq!(whole("0.0009"), Some(0));
    assert_eq!(whole("1e-130"), Some(0));
    assert_eq!(whole("-0.0009"), None);
    assert_eq!(whole("18446744073709551.615"), Some(u64::MAX));
    assert_eq!(whole("18446744073709551.616"), None);
    assert_eq!(whole("9e125"), None);
    assert_eq!(whole("99999999999999999999999999999999999999"), None);
}
