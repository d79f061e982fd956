//! Identifiers that several crates share: log sequence numbers and the sequence numbers of stream records.

use std::fmt;

/// Log sequence number: the one order of all commits in a data directory; unique, rising, gaps allowed.
/// Always below 2^63, so that it also fits a signed 64-bit column of an outside system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before every commit.
    pub const ZERO: Lsn = Lsn(0);

    /// The number right after this one.
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The `SequenceNumber` of a stream record: `10^20 + lsn`, written in decimal. Always 21 digits, so that the order of
/// the numbers is the order of the texts. Source: spec/streams.md 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber(pub Lsn);

const SEQUENCE_NUMBER_BASE: u128 = 100_000_000_000_000_000_000;

impl SequenceNumber {
    /// Reads a decimal sequence number of 21 to 40 digits. Numbers outside the range that Tailrace gives out
    /// clamp to its ends, so that a foreign but well-formed number still has a position. `None`: not a number.
    pub fn parse(text: &str) -> Option<SequenceNumber> {
        if text.is_empty() || text.len() > 40 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let clamped = match text.parse::<u128>() {
            Ok(n) => n.saturating_sub(SEQUENCE_NUMBER_BASE).min(i64::MAX as u128),
            Err(_) => i64::MAX as u128,
        };
        Some(SequenceNumber(Lsn(clamped as u64)))
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SEQUENCE_NUMBER_BASE + u128::from(self.0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_has_21_digits_and_reads_back() {
        for lsn in [0, 1, 42, i64::MAX as u64] {
            let text = SequenceNumber(Lsn(lsn)).to_string();
            assert_eq!(text.len(), 21);
            assert_eq!(SequenceNumber::parse(&text), Some(SequenceNumber(Lsn(lsn))));
        }
        assert_eq!(SequenceNumber::parse("12x"), None);
    }
}
