//! Sums of numbers that are exact whatever is added and taken away, in any order: no intermediate sum is ever rounded or
//! refused. What leaves it is a [`Number`], rounded to 38 digits only if it needs more.
//!
//! Invariant: one form for each sum: every limb but the last lies in `0..10^18`, and the last one has the sign (a negative sum is
//! what ten's complement makes of it). So equal sums are equal structs.

use std::cmp::Ordering;

use super::{DIGITS_MAX, Number, NumberError};

/// One digit of the sum.
const BASE: i64 = 1_000_000_000_000_000_000;
/// Decimal digits of a limb.
const LIMB_DIGITS: i32 = 18;
/// Power of ten of the first limb: below the last digit of the smallest number, 38 digits from 1E-130.
const LOWEST: i32 = -180;
/// Up to 10^162: the largest number, 10^126, more often than anybody can count.
const LIMBS: usize = 19;

/// An exact sum of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExactSum {
    limbs: [i64; LIMBS],
}

impl Default for ExactSum {
    fn default() -> ExactSum {
        ExactSum::ZERO
    }
}

impl ExactSum {
    /// The sum of nothing.
    pub const ZERO: ExactSum = ExactSum { limbs: [0; LIMBS] };

    /// Adds a number.
    pub fn add(&mut self, number: Number) {
        self.put(number.negative, number);
    }

    /// Takes a number away.
    pub fn subtract(&mut self, number: Number) {
        self.put(!number.negative, number);
    }

    fn put(&mut self, negative: bool, number: Number) {
        let shift = i32::from(number.exponent) - LOWEST;
        let mut at = (shift / LIMB_DIGITS) as usize;
        let factor = 10u128.pow((shift % LIMB_DIGITS) as u32);
        let base = BASE as u128;
        let (mut rest, mut product, mut over) = (number.coefficient, 0u128, 0i64);
        while rest > 0 || product > 0 || over != 0 {
            product += (rest % base) * factor;
            rest /= base;
            let digit = (product % base) as i64;
            product /= base;
            over += if negative { -digit } else { digit };
            over = self.add_to_limb(at, over);
            at += 1;
        }
    }

    /// Adds to a limb; what is to be added to the next.
    fn add_to_limb(&mut self, at: usize, by: i64) -> i64 {
        let sum = self.limbs[at] + by;
        if at + 1 == LIMBS {
            self.limbs[at] = sum;
            return 0;
        }
        self.limbs[at] = sum.rem_euclid(BASE);
        sum.div_euclid(BASE)
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        let mut over = 0;
        for (at, limb) in other.limbs.iter().enumerate() {
            over = self.add_to_limb(at, limb + over);
        }
    }

    /// It is zero.
    pub fn is_zero(&self) -> bool {
        *self == ExactSum::ZERO
    }

    /// Whether it is negative, and the limbs of its magnitude.
    fn magnitude(&self) -> (bool, [u64; LIMBS]) {
        let negative = self.limbs[LIMBS - 1] < 0;
        let mut plain = *self;
        if negative {
            plain = ExactSum::ZERO;
            let mut over = 0;
            for (at, limb) in self.limbs.iter().enumerate() {
                over = plain.add_to_limb(at, over - limb);
            }
        }
        (negative, plain.limbs.map(|limb| limb as u64))
    }

    /// The decimal digits of the magnitude, the first one not zero, and whether the sum is negative. The last one's power of ten is
    /// [`LOWEST`].
    fn digits(&self) -> (bool, Vec<u8>) {
        let (negative, limbs) = self.magnitude();
        let mut digits = Vec::with_capacity(LIMBS * LIMB_DIGITS as usize);
        for limb in limbs.iter().rev() {
            let mut power = BASE as u64 / 10;
            while power > 0 {
                let digit = (limb / power % 10) as u8;
                if digit > 0 || !digits.is_empty() {
                    digits.push(digit);
                }
                power /= 10;
            }
        }
        (negative, digits)
    }

    /// The sum as a number: exact if it has at most 38 significant digits, else rounded to 38, half to even; zero if it is nearer to
    /// zero than any number. `None`: its magnitude is above every number's.
    pub fn number(&self) -> Option<Number> {
        let (negative, digits) = self.digits();
        rounded(negative, &digits, i64::from(LOWEST), false)
    }

    /// The sum divided by a count, rounded to 38 significant digits, half to even. `None`: the count is zero, or the magnitude is
    /// above every number's.
    pub fn divided_by(&self, count: u64) -> Option<Number> {
        if count == 0 {
            return None;
        }
        let (negative, dividend) = self.digits();
        let (mut quotient, mut rest, mut exponent) = (Vec::with_capacity(dividend.len()), 0u128, i64::from(LOWEST));
        let mut next = |rest: &mut u128, digit: u8| {
            *rest = *rest * 10 + u128::from(digit);
            let digit = (*rest / u128::from(count)) as u8;
            *rest %= u128::from(count);
            if digit > 0 || !quotient.is_empty() {
                quotient.push(digit);
            }
            quotient.len()
        };
        let mut length = 0;
        for digit in &dividend {
            length = next(&mut rest, *digit);
        }
        // One digit more than a number has says, with what is left, how to round.
        while rest > 0 && length <= DIGITS_MAX as usize {
            length = next(&mut rest, 0);
            exponent -= 1;
        }
        rounded(negative, &quotient, exponent, rest > 0)
    }

    /// Appends its bytes: a sign (1: negative), the first limb that is not zero, how many there are up to the last one that is not,
    /// and the limbs of the magnitude, u64 each, big endian. Zero has none.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let (negative, limbs) = self.magnitude();
        let first = limbs.iter().position(|limb| *limb > 0).unwrap_or(0);
        let end = limbs.iter().rposition(|limb| *limb > 0).map_or(0, |last| last + 1);
        out.extend_from_slice(&[u8::from(negative), first as u8, (end - first) as u8]);
        limbs[first..end].iter().for_each(|limb| out.extend_from_slice(&limb.to_be_bytes()));
    }

    /// Reads what [`ExactSum::encode`] wrote, and gives the bytes behind it. `None`: not such bytes.
    pub fn decode(bytes: &[u8]) -> Option<(ExactSum, &[u8])> {
        let (&[negative, first, count], mut rest) = bytes.split_first_chunk::<3>()?;
        if negative > 1 || usize::from(first) + usize::from(count) > LIMBS {
            return None;
        }
        let mut sum = ExactSum::ZERO;
        for at in 0..usize::from(count) {
            let (limb, behind) = rest.split_first_chunk::<8>()?;
            let limb = i64::try_from(u64::from_be_bytes(*limb)).ok()?;
            let at = usize::from(first) + at;
            if at + 1 < LIMBS && limb >= BASE {
                return None;
            }
            sum.limbs[at] = limb;
            rest = behind;
        }
        if negative == 1 {
            let mut turned = ExactSum::ZERO;
            let mut over = 0;
            for (at, limb) in sum.limbs.iter().enumerate() {
                over = turned.add_to_limb(at, over - limb);
            }
            sum = turned;
        }
        Some((sum, rest))
    }
}

/// The number of these digits, the last of which has the power of ten `exponent`. `more`: something that is not zero follows them.
fn rounded(negative: bool, digits: &[u8], exponent: i64, more: bool) -> Option<Number> {
    let kept = digits.len().min(DIGITS_MAX as usize);
    let (head, tail) = digits.split_at(kept);
    let mut coefficient = head.iter().fold(0u128, |sum, digit| sum * 10 + u128::from(*digit));
    let exponent = exponent + tail.len() as i64;
    if let Some((first, behind)) = tail.split_first() {
        let sticky = more || behind.iter().any(|digit| *digit > 0);
        let up = match (first.cmp(&5), sticky) {
            (Ordering::Greater, _) | (Ordering::Equal, true) => true,
            (Ordering::Equal, false) => coefficient % 2 == 1,
            (Ordering::Less, _) => false,
        };
        coefficient += u128::from(up);
    }
    match Number::from_parts(negative, coefficient, exponent) {
        Ok(number) => Some(number),
        Err(NumberError::Underflow) => Some(Number::ZERO),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn n(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn sum(texts: &[&str]) -> ExactSum {
        let mut sum = ExactSum::ZERO;
        texts.iter().for_each(|text| sum.add(n(text)));
        sum
    }

    /// docs/spec/sinks.md 6: exact decimal, 38 digits; never f64.
    #[test]
    fn sums_are_exact() {
        for (texts, expected) in [
            (&["0.1", "0.2"][..], "0.3"),
            (&["99999999999999999999999999999999999999", "1"], "100000000000000000000000000000000000000"),
            (&["1e125", "1e-130", "-1e125"], "1e-130"),
            (&["-5", "3"], "-2"),
            (&["-1e125", "1e125", "-0.01"], "-0.01"),
            (
                &["12345678901234567890.123456789012345678", "0.000000000000000001"],
                "12345678901234567890.123456789012345679",
            ),
            (&[], "0"),
        ] {
            assert_eq!(sum(texts).number(), Some(n(expected)), "{texts:?}");
        }
    }

    #[test]
    fn what_needs_more_digits_is_rounded_half_to_even_when_it_is_told_and_not_before() {
        let long = "99999999999999999999999999999999999998";
        for (added, expected) in [
            ("0.5", "99999999999999999999999999999999999998"),
            ("0.51", "99999999999999999999999999999999999999"),
            ("1.5", "1e38"),
            ("-0.5", "99999999999999999999999999999999999998"),
        ] {
            let mut sum = sum(&[long, added]);
            assert_eq!(sum.number(), Some(n(expected)), "{added}");
            sum.subtract(n(long));
            assert_eq!(sum.number(), Some(n(added)));
        }
        assert_eq!(sum(&["9e125", "9e125"]).number(), None, "above every number");
        let nearly_nothing = sum(&["1.1e-130", "-1e-130"]);
        assert_eq!(nearly_nothing.number(), Some(Number::ZERO));
        assert!(!nearly_nothing.is_zero());
    }

    #[test]
    fn an_average_is_rounded_to_38_digits_half_to_even() {
        for (texts, count, expected) in [
            (&["10"][..], 4, "2.5"),
            (&["1"], 3, "0.33333333333333333333333333333333333333"),
            (&["2"], 3, "0.66666666666666666666666666666666666667"),
            (&["-2"], 3, "-0.66666666666666666666666666666666666667"),
            (&["1e125", "1e125"], 2, "1e125"),
            (&["9e125", "9e125"], 2, "9e125"),
            (&["0"], 7, "0"),
            (&["1e-130"], 3, "0"),
            (&["20000000000000000000000000000000000001"], 2, "10000000000000000000000000000000000000"),
            (&["20000000000000000000000000000000000003"], 2, "10000000000000000000000000000000000002"),
            (&["18446744073709551615"], u64::MAX, "1"),
        ] {
            assert_eq!(sum(texts).divided_by(count), Some(n(expected)), "{texts:?} / {count}");
        }
        assert_eq!(sum(&["1"]).divided_by(0), None);
    }

    #[test]
    fn bytes_that_are_no_sum_are_refused() {
        for bytes in
            [&[][..], &[2, 0, 0], &[0, 0, 1], &[0, 19, 1, 0, 0, 0, 0, 0, 0, 0, 1], &[0, 0, 1, 255, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(ExactSum::decode(bytes), None, "{bytes:?}");
        }
    }

    fn number() -> impl Strategy<Value = Number> {
        (any::<bool>(), any::<u128>(), 0u32..39, -130i64..126).prop_map(|(negative, digits, count, leading)| {
            let coefficient = digits % 10u128.pow(count.min(38));
            let exponent = leading - i64::from(coefficient.checked_ilog10().unwrap_or(0));
            Number::from_parts(negative, coefficient, exponent).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_sum_is_the_same_in_any_order_and_what_is_taken_away_is_gone(
            numbers in prop::collection::vec(number(), 0..12), gone in prop::collection::vec(number(), 0..6),
        ) {
            let mut forward = ExactSum::ZERO;
            numbers.iter().for_each(|number| forward.add(*number));
            let mut other = ExactSum::ZERO;
            gone.iter().for_each(|number| other.add(*number));
            let mut parts = ExactSum::ZERO;
            numbers.iter().rev().for_each(|number| parts.add(*number));
            other.merge(&parts);
            gone.iter().rev().for_each(|number| other.subtract(*number));
            prop_assert_eq!(other, forward);
            let mut bytes = Vec::new();
            forward.encode(&mut bytes);
            bytes.push(7);
            prop_assert_eq!(ExactSum::decode(&bytes), Some((forward, &[7u8][..])));
            let mut nothing = forward;
            numbers.iter().for_each(|number| nothing.subtract(*number));
            prop_assert!(nothing.is_zero());
        }

        #[test]
        fn a_sum_that_a_number_can_hold_is_that_number(a in number(), b in number()) {
            let mut sum = ExactSum::ZERO;
            sum.add(a);
            sum.add(b);
            if let Ok(exact) = a.checked_add(b) {
                prop_assert_eq!(sum.number(), Some(exact));
                prop_assert_eq!(sum.divided_by(1), Some(exact));
            }
        }
    }
}
