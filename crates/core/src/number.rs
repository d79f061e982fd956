//! Number: an exact decimal of up to 38 significant digits. (Being built; the signatures are the contract.)

use std::fmt;

/// An exact decimal: `(-1)^negative * coefficient * 10^exponent`, normalised: the coefficient has no trailing zero
/// digit, and zero is `0 * 10^0`, not negative. Magnitude 1E-130 ..= 9.99…E+125 or zero. Source: spec/dynamodb-api.md 3.1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i16,
}

/// Why a text is not a Number, or a sum does not fit one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// The text is not a number.
    Syntax,
    /// More than 38 significant digits.
    Precision,
    /// Magnitude above the range.
    Overflow,
    /// Magnitude below the range.
    Underflow,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}e{}", if self.negative { "-" } else { "" }, self.coefficient, self.exponent)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.negative, self.exponent, self.coefficient).cmp(&(other.negative, other.exponent, other.coefficient))
    }
}
