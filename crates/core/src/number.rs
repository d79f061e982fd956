//! Number: an exact decimal of up to 38 significant digits. Source: docs/spec/dynamodb-api.md 3.1.
//!
//! Invariants: a `Number` is always normalised and in range, so equal values are equal structs, have equal hashes and
//! equal key bytes; the order of the key bytes is the order of the values. No binary floating point anywhere.

mod key;
mod sum;

use std::cmp::Ordering;
use std::fmt;

pub(crate) use key::NumberKey;
pub use sum::ExactSum;

/// Most significant digits. Source: docs/spec/dynamodb-api.md 3.1.
const DIGITS_MAX: u32 = 38;
/// Power of ten of the leading digit: the smallest and the largest. Source: docs/spec/dynamodb-api.md 3.1.
const LEADING_MIN: i64 = -130;
const LEADING_MAX: i64 = 125;

/// An exact decimal: `(-1)^negative * coefficient * 10^exponent`, normalised: the coefficient has no trailing zero
/// digit, and zero is `0 * 10^0`, not negative. Magnitude 1E-130 ..= 9.99…E+125 or zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i16,
}

/// Why a text is not a Number, or a sum does not fit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text is not a number.
    #[error("The parameter cannot be converted to a numeric value")]
    Syntax,
    /// More than 38 significant digits.
    #[error("Attempting to store more than 38 significant digits in a Number")]
    Precision,
    /// Magnitude above the range.
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    /// Magnitude below the range.
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
}

/// The digits of a text before they are known to fit.
struct Scanned {
    coefficient: u128,
    /// Significant digits, trailing zeros not counted.
    significant: u32,
    /// Power of ten of the coefficient's last digit.
    exponent: i64,
    /// Power of ten of the last digit that was written.
    last_written: i64,
}

impl Number {
    /// Zero.
    pub const ZERO: Number = Number { negative: false, coefficient: 0, exponent: 0 };

    /// Reads a decimal, with or without an exponent.
    ///
    /// # Errors
    /// It is no number, has too many digits or lies outside the range. A zero is range-checked as if its last written digit
    /// were 1.
    pub fn parse(text: &str) -> Result<Number, NumberError> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        let scanned = scan(unsigned)?;
        if scanned.coefficient == 0 {
            check_range(scanned.last_written)?;
            return Ok(Number::ZERO);
        }
        check_range(scanned.exponent + i64::from(scanned.significant) - 1)?;
        if scanned.significant > DIGITS_MAX {
            return Err(NumberError::Precision);
        }
        Number::from_parts(negative, scanned.coefficient, scanned.exponent)
    }

    /// The number `(-1)^negative * coefficient * 10^exponent`, normalised.
    fn from_parts(negative: bool, mut coefficient: u128, mut exponent: i64) -> Result<Number, NumberError> {
        if coefficient == 0 {
            return Ok(Number::ZERO);
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        let digits = digit_count(coefficient);
        check_range(exponent + i64::from(digits) - 1)?;
        if digits > DIGITS_MAX {
            return Err(NumberError::Precision);
        }
        let exponent = i16::try_from(exponent).expect("invariant: a number in range has a small exponent");
        Ok(Number { negative, coefficient, exponent })
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.coefficient == 0
    }

    /// The exact sum.
    ///
    /// # Errors
    /// The sum needs more than 38 digits or lies outside the range.
    pub fn checked_add(self, other: Number) -> Result<Number, NumberError> {
        if self.is_zero() {
            return Ok(other);
        }
        if other.is_zero() {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift =
            u32::try_from(i32::from(high.exponent) - i32::from(low.exponent)).expect("invariant: ordered above");
        // `low` ends in a digit that is not zero. So if `high` at the scale of `low` exceeds 128 bits (3.4E+38), sum and
        // difference both need more than 38 digits.
        let scaled = 10u128.checked_pow(shift).and_then(|power| high.coefficient.checked_mul(power));
        let scaled = scaled.ok_or(NumberError::Precision)?;
        let exponent = i64::from(low.exponent);
        if high.negative == low.negative {
            let sum = scaled.checked_add(low.coefficient).ok_or(NumberError::Precision)?;
            Number::from_parts(high.negative, sum, exponent)
        } else if scaled >= low.coefficient {
            Number::from_parts(high.negative, scaled - low.coefficient, exponent)
        } else {
            Number::from_parts(low.negative, low.coefficient - scaled, exponent)
        }
    }

    /// The exact difference.
    ///
    /// # Errors
    /// As for [`Number::checked_add`].
    pub fn checked_sub(self, other: Number) -> Result<Number, NumberError> {
        self.checked_add(other.negated())
    }

    /// The whole part of the number times 10^`power`. `None`: it is negative, or above the largest `u64`.
    pub fn whole_scaled(self, power: u8) -> Option<u64> {
        if self.negative {
            return None;
        }
        let exponent = i32::from(self.exponent) + i32::from(power);
        let scale = 10u128.checked_pow(exponent.unsigned_abs());
        let whole = match (exponent < 0, scale) {
            (false, Some(scale)) => self.coefficient.checked_mul(scale)?,
            (true, Some(scale)) => self.coefficient / scale,
            (false, None) => return self.is_zero().then_some(0),
            (true, None) => 0,
        };
        u64::try_from(whole).ok()
    }

    fn negated(self) -> Number {
        Number { negative: !self.negative && !self.is_zero(), ..self }
    }

    /// Bytes that the number counts for in an item: 1, and one for two digits before and after the decimal point, and 1
    /// for the minus. Source: docs/spec/dynamodb-api.md 3.4.
    pub fn storage_size(&self) -> usize {
        if self.is_zero() {
            return 1;
        }
        let digits = i64::from(digit_count(self.coefficient));
        let fraction = (-i64::from(self.exponent)).clamp(0, digits);
        let whole = digits - fraction;
        1 + (whole as usize).div_ceil(2) + (fraction as usize).div_ceil(2) + usize::from(self.negative)
    }

    /// Appends the canonical text: a plain decimal.
    pub fn write_decimal(&self, out: &mut String) {
        if self.negative {
            out.push('-');
        }
        let mut buffer = [0; 39];
        let digits = decimal_digits(self.coefficient, &mut buffer);
        let exponent = isize::from(self.exponent);
        if exponent >= 0 {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', exponent as usize));
            return;
        }
        let fraction = exponent.unsigned_abs();
        if fraction >= digits.len() {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', fraction - digits.len()));
            out.push_str(digits);
        } else {
            let (whole, rest) = digits.split_at(digits.len() - fraction);
            out.push_str(whole);
            out.push('.');
            out.push_str(rest);
        }
    }
}

fn scan(bytes: &[u8]) -> Result<Scanned, NumberError> {
    let mut coefficient = 0u128;
    let mut significant = 0u32;
    let mut zeros_held = 0u32;
    let mut point = false;
    let mut any = false;
    let mut fraction_written = 0i64;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'0'..=b'9' => {
                any = true;
                fraction_written += i64::from(point);
                // Zeros wait until a digit behind them makes them significant.
                if byte == b'0' {
                    zeros_held += 1;
                } else {
                    let digits = if significant == 0 { 1 } else { zeros_held + 1 };
                    significant = significant.saturating_add(digits);
                    if significant <= DIGITS_MAX {
                        coefficient = coefficient * 10u128.pow(digits) + u128::from(byte - b'0');
                    }
                    zeros_held = 0;
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' => break,
            _ => return Err(NumberError::Syntax),
        }
        at += 1;
    }
    if !any {
        return Err(NumberError::Syntax);
    }
    let scale = if at < bytes.len() { scan_exponent(&bytes[at + 1..])? } else { 0 };
    let last_written = scale.saturating_sub(fraction_written);
    Ok(Scanned { coefficient, significant, exponent: last_written.saturating_add(i64::from(zeros_held)), last_written })
}

/// An exponent that fits 64 bits; moved to an end that is far out of range and still safe to calculate with.
fn scan_exponent(bytes: &[u8]) -> Result<i64, NumberError> {
    const FAR: i64 = i64::MAX / 4;
    let digits = bytes.strip_prefix(b"+").or_else(|| bytes.strip_prefix(b"-")).unwrap_or(bytes);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NumberError::Syntax);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| NumberError::Syntax)?;
    let exponent: i64 = text.parse().map_err(|_| NumberError::Syntax)?;
    Ok(exponent.clamp(-FAR, FAR))
}

fn check_range(leading: i64) -> Result<(), NumberError> {
    match leading {
        LEADING_MIN..=LEADING_MAX => Ok(()),
        above if above > LEADING_MAX => Err(NumberError::Overflow),
        _ => Err(NumberError::Underflow),
    }
}

fn digit_count(coefficient: u128) -> u32 {
    coefficient.checked_ilog10().map_or(1, |log| log + 1)
}

fn decimal_digits(coefficient: u128, buffer: &mut [u8; 39]) -> &str {
    let mut at = buffer.len();
    let mut push = |digit: u8| {
        at -= 1;
        buffer[at] = b'0' + digit;
    };
    let mut rest = coefficient;
    while rest > u128::from(u64::MAX) {
        push((rest % 10) as u8);
        rest /= 10;
    }
    let mut rest = rest as u64;
    loop {
        push((rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    std::str::from_utf8(&buffer[at..]).expect("invariant: only digits were written")
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write_decimal(&mut text);
        f.write_str(&text)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Number {
        Number::from_parts(value < 0, u128::from(value.unsigned_abs()), 0)
            .expect("invariant: every 64-bit integer has at most 19 digits")
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |n: &Number| if n.is_zero() { 0 } else { 1 - 2 * i32::from(n.negative) };
        sign(self).cmp(&sign(other)).then_with(|| {
            let magnitudes = magnitude_cmp(self, other);
            if self.negative { magnitudes.reverse() } else { magnitudes }
        })
    }
}

fn magnitude_cmp(a: &Number, b: &Number) -> Ordering {
    let (digits_a, digits_b) = (digit_count(a.coefficient), digit_count(b.coefficient));
    let leading = |n: &Number, digits: u32| i64::from(n.exponent) + i64::from(digits);
    leading(a, digits_a).cmp(&leading(b, digits_b)).then_with(|| {
        // Same leading power: bring both to the same number of digits; at most 38, so nothing overflows.
        let digits = digits_a.max(digits_b);
        let scaled = |n: &Number, own: u32| n.coefficient * 10u128.pow(digits - own);
        scaled(a, digits_a).cmp(&scaled(b, digits_b))
    })
}

#[cfg(test)]
#[path = "number_tests.rs"]
mod tests;
