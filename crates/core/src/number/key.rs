//! The key bytes of a number: they sort as the numbers do and show their own end. Described in docs/format.md, section Item
//! codec.
//!
//! The bytes are the decimal digits, two in a byte, so that the text needs no arithmetic.

use super::{DIGITS_MAX, LEADING_MIN, Number, decimal_digits};

const NEGATIVE: u8 = 0x7f;
const ZERO: u8 = 0x80;
const POSITIVE: u8 = 0x81;

/// Bytes of pairs that make a coefficient of 64 bits.
const PAIRS_IN_64_BITS: usize = 9;

/// The canonical key bytes of a number: checked, and not decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NumberKey<'a> {
    negative: bool,
    /// Power of ten of the first digit.
    leading: i16,
    /// Two digits a byte, as they are stored; none for zero.
    pairs: &'a [u8],
}

/// The digits of a number and where its point stands.
struct Digits {
    buffer: [u8; DIGITS_MAX as usize],
    count: usize,
    /// Digits before the point; zeros stand where there are no digits.
    whole: isize,
}

impl<'a> NumberKey<'a> {
    /// Reads what [`Number::encode_key`] wrote, and gives back the bytes behind it. `None`: not such bytes.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<(NumberKey<'a>, &'a [u8])> {
        let (&sign, rest) = bytes.split_first()?;
        let flip = match sign {
            ZERO => return Some((NumberKey { negative: false, leading: 0, pairs: &[] }, rest)),
            POSITIVE => 0,
            NEGATIVE => 0xff,
            _ => return None,
        };
        let (&leading, rest) = rest.split_first()?;
        let leading = i16::from(leading ^ flip) + LEADING_MIN as i16;
        let length = rest.iter().take(DIGITS_MAX as usize / 2 + 1).position(|byte| *byte == flip)?;
        let (pairs, rest) = rest.split_at(length);
        let pair = |byte: u8| (byte ^ flip).wrapping_sub(1);
        // The first digit is not zero, the last pair is not zero: only then are the bytes the canonical ones.
        if pair(*pairs.first()?) < 10 || pair(*pairs.last()?) == 0 || pairs.iter().any(|byte| pair(*byte) >= 100) {
            return None;
        }
        Some((NumberKey { negative: sign == NEGATIVE, leading, pairs }, &rest[1..]))
    }

    fn pair(&self, byte: u8) -> u8 {
        (if self.negative { !byte } else { byte }) - 1
    }

    /// Significant digits; zero has none.
    pub(crate) fn digit_count(&self) -> usize {
        let last = self.pairs.last().map_or(0, |byte| usize::from(self.pair(*byte).is_multiple_of(10)));
        2 * self.pairs.len() - last
    }

    /// The number.
    pub(crate) fn number(&self) -> Number {
        let Some(last) = self.pairs.last() else { return Number::ZERO };
        let (short, long) = self.pairs.split_at(self.pairs.len().min(PAIRS_IN_64_BITS));
        let short = short.iter().fold(0u64, |sum, byte| sum * 100 + u64::from(self.pair(*byte)));
        let mut coefficient = long.iter().fold(u128::from(short), |sum, byte| sum * 100 + u128::from(self.pair(*byte)));
        let mut exponent = self.leading + 1 - 2 * self.pairs.len() as i16;
        if self.pair(*last).is_multiple_of(10) {
            coefficient = if long.is_empty() { u128::from(short / 10) } else { coefficient / 10 };
            exponent += 1;
        }
        Number { negative: self.negative, coefficient, exponent }
    }

    fn digits(&self) -> Digits {
        let mut buffer = [b'0'; DIGITS_MAX as usize];
        for (digits, byte) in buffer.chunks_exact_mut(2).zip(self.pairs) {
            let pair = self.pair(*byte);
            digits.copy_from_slice(&[b'0' + pair / 10, b'0' + pair % 10]);
        }
        // Zero has a digit too, which is in no byte.
        Digits { buffer, count: self.digit_count().max(1), whole: isize::from(self.leading) + 1 }
    }

    /// Appends the canonical text: that of [`Number::write_decimal`].
    pub(crate) fn write_decimal(&self, out: &mut Vec<u8>) {
        let Digits { buffer, count, whole } = self.digits();
        let digits = &buffer[..count];
        if self.negative {
            out.push(b'-');
        }
        match usize::try_from(whole) {
            Ok(whole) if whole >= count => {
                out.extend_from_slice(digits);
                out.resize(out.len() + whole - count, b'0');
            }
            Ok(whole @ 1..) => {
                out.extend_from_slice(&digits[..whole]);
                out.push(b'.');
                out.extend_from_slice(&digits[whole..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                out.resize(out.len() + whole.unsigned_abs(), b'0');
                out.extend_from_slice(digits);
            }
        }
    }

    /// What the number counts for in an item: as [`Number::storage_size`].
    pub(crate) fn storage_size(&self) -> usize {
        let (digits, whole) = (self.digit_count(), isize::from(self.leading) + 1);
        if digits == 0 {
            return 1;
        }
        let fraction = (digits as isize - whole).clamp(0, digits as isize) as usize;
        1 + (digits - fraction).div_ceil(2) + fraction.div_ceil(2) + usize::from(self.negative)
    }

    /// The bytes of the canonical text.
    pub(crate) fn decimal_len(&self) -> usize {
        let (count, whole) = (self.digit_count().max(1), isize::from(self.leading) + 1);
        let unsigned = match usize::try_from(whole) {
            Ok(whole) if whole >= count => whole,
            Ok(1..) => count + 1,
            _ => 2 + whole.unsigned_abs() + count,
        };
        usize::from(self.negative) + unsigned
    }
}

impl Number {
    /// Appends bytes that sort as the numbers do and show their own end. Described in docs/format.md, section Item codec.
    pub fn encode_key(&self, out: &mut Vec<u8>) {
        if self.is_zero() {
            out.push(ZERO);
            return;
        }
        let flip = if self.negative { 0xff } else { 0 };
        let mut buffer = [0; 39];
        let digits = decimal_digits(self.coefficient, &mut buffer).as_bytes();
        let leading = i64::from(self.exponent) + digits.len() as i64 - 1;
        out.push(if self.negative { NEGATIVE } else { POSITIVE });
        out.push((leading - LEADING_MIN) as u8 ^ flip);
        for pair in digits.chunks(2) {
            let low = pair.get(1).map_or(0, |digit| digit - b'0');
            out.push(((pair[0] - b'0') * 10 + low + 1) ^ flip);
        }
        out.push(flip);
    }

    /// Reads what [`Number::encode_key`] wrote, and gives back the bytes behind it. `None`: not such bytes.
    pub fn decode_key(bytes: &[u8]) -> Option<(Number, &[u8])> {
        NumberKey::read(bytes).map(|(key, rest)| (key.number(), rest))
    }
}
