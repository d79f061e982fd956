//! Identifiers that several crates share: the numbers and the sequence numbers of stream records; tables, streams, shards,
//! buckets and mappings; and the embedded engine's log sequence numbers.

use std::fmt;

/// Log sequence number: the one order of all commits in the embedded engine's log; unique, rising, gaps allowed. Nobody
/// outside of that engine sees one: a record's number is a [`RecordNo`].
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

/// A record's number in its shard: unique there, never used twice, rising in the order of the commits, gaps allowed. It says
/// nothing about records of other shards. Always below 2^63, so that it also fits a signed 64-bit column of an outside
/// system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct RecordNo(pub u64);

impl RecordNo {
    /// Before every record.
    pub const ZERO: RecordNo = RecordNo(0);

    /// The number right after this one.
    pub fn next(self) -> RecordNo {
        RecordNo(self.0 + 1)
    }

    /// The number to read after for the records from this one on.
    pub fn before(self) -> RecordNo {
        RecordNo(self.0.saturating_sub(1))
    }
}

impl fmt::Display for RecordNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The `SequenceNumber` of a stream record: `10^20 + number`, written in decimal. Always 21 digits, so that the order of
/// the numbers is the order of the texts. Source: docs/spec/streams.md 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SequenceNumber(pub RecordNo);

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
        Some(SequenceNumber(RecordNo(clamped as u64)))
    }

    /// Its text.
    pub fn digits(self) -> [u8; 21] {
        let mut digits = [b'0'; 21];
        // 10^20 and a number of 64 bits, which has at most 20 digits: the first one is always the 1.
        digits[0] = b'1';
        let mut rest = self.0.0;
        for digit in digits.iter_mut().rev() {
            if rest == 0 {
                break;
            }
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        digits
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).expect("invariant: digits are ASCII"))
    }
}

/// A table's number: unique in a data directory, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TableId(pub u64);

/// An index's number: unique in its table, never reused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct IndexId(pub u32);

impl IndexId {
    /// Not an index: the table's own items.
    pub const TABLE: IndexId = IndexId(0);
}

/// The number of a time to live in its table: each time that it is enabled it gets another one, never reused there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct TtlGeneration(pub u32);

/// A stream's number: unique in a data directory, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct StreamId(pub u64);

/// A shard's number: unique in a data directory, never reused, rising with creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ShardNo(pub u64);

/// A bucket: the part of the hash of a partition key that orders a table's items, a scan's segments and a stream's shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Bucket(pub u16);

impl Bucket {
    /// The first bucket.
    pub const FIRST: Bucket = Bucket(0);
    /// The last bucket.
    pub const LAST: Bucket = Bucket(u16::MAX);
}

/// The buckets `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BucketRange {
    /// First bucket.
    pub first: Bucket,
    /// Last bucket, inclusive.
    pub last: Bucket,
}

impl BucketRange {
    /// Every bucket.
    pub const ALL: BucketRange = BucketRange { first: Bucket::FIRST, last: Bucket::LAST };

    /// The part with this number, from 0, of `total` parts of nearly equal length, which together are every bucket once.
    /// `None`: there are more parts than buckets, and this one has none; or there is no such part.
    pub fn part(number: u32, total: u32) -> Option<BucketRange> {
        const BUCKETS: u64 = 1 << 16;
        if number >= total {
            return None;
        }
        let start = |number: u64| (BUCKETS * number).div_ceil(u64::from(total));
        let (first, end) = (start(u64::from(number)), start(u64::from(number) + 1));
        let last = end.checked_sub(1).filter(|last| *last >= first)?;
        let bucket = |number: u64| u16::try_from(number).ok().map(Bucket);
        Some(BucketRange { first: bucket(first)?, last: bucket(last)? })
    }

    /// True if the bucket is one of the range.
    pub fn contains(self, bucket: Bucket) -> bool {
        (self.first..=self.last).contains(&bucket)
    }
}

/// The uuid of an event source mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MappingId(pub u128);

impl MappingId {
    /// Reads a uuid in its usual text form, in either case. `None`: the text is no uuid.
    pub fn parse(text: &str) -> Option<MappingId> {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let digits = groups.concat();
        if lengths != [8, 4, 4, 4, 12] || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u128::from_str_radix(&digits, 16).ok().map(MappingId)
    }
}

impl fmt::Display for MappingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&uuid_text(self.0))
    }
}

/// Random bits as a version 4 uuid, in its usual text form.
pub fn uuid_of_random(bits: u128) -> String {
    const VERSION_AND_VARIANT: u128 = 0xf000_c000_0000_0000_0000;
    const FOUR_AND_RFC_9562: u128 = 0x4000_8000_0000_0000_0000;
    uuid_text(bits & !VERSION_AND_VARIANT | FOUR_AND_RFC_9562)
}

/// A uuid in its usual text form, lower case.
pub fn uuid_text(uuid: u128) -> String {
    let digits = format!("{uuid:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_number_has_21_digits_and_reads_back() {
        for number in [0, 1, 42, i64::MAX as u64].map(RecordNo) {
            let text = SequenceNumber(number).to_string();
            assert_eq!(text, (SEQUENCE_NUMBER_BASE + u128::from(number.0)).to_string());
            assert_eq!(text.len(), 21);
            assert_eq!(SequenceNumber::parse(&text), Some(SequenceNumber(number)));
        }
        assert_eq!(SequenceNumber::parse("12x"), None);
    }

    #[test]
    fn every_bucket_is_in_exactly_one_part() {
        for total in [1, 2, 3, 7, 256, 4096, 65_535, 65_536, 65_537, 1_000_000] {
            let mut next = 0;
            for number in 0..total {
                if let Some(part) = BucketRange::part(number, total) {
                    assert_eq!(u32::from(part.first.0), next, "part {number} of {total}");
                    next = u32::from(part.last.0) + 1;
                }
            }
            assert_eq!(next, 65_536, "{total} parts");
            assert_eq!(BucketRange::part(total, total), None);
        }
    }
}
