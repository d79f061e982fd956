//! Which segments have a run of a shard: a set of segment numbers that is small where they lie close together.
//!
//! Memory: a word for each 64 numbers among which there is one, so that 10,000 shards in 3,000 segments take about 10 MB.

use std::collections::BTreeMap;

use super::frame::SegmentNo;

/// A set of segment numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Postings {
    words: BTreeMap<u32, u64>,
}

fn place(number: SegmentNo) -> (u32, u64) {
    ((number.0 >> 6) as u32, 1 << (number.0 & 63))
}

impl Postings {
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Adds a number; says whether it was not there.
    pub fn insert(&mut self, number: SegmentNo) -> bool {
        let (word, bit) = place(number);
        let word = self.words.entry(word).or_default();
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Takes a number out; says whether it was there.
    pub fn remove(&mut self, number: SegmentNo) -> bool {
        let (at, bit) = place(number);
        let Some(word) = self.words.get_mut(&at) else { return false };
        let was = *word & bit != 0;
        *word &= !bit;
        if *word == 0 {
            self.words.remove(&at);
        }
        was
    }

    pub fn contains(&self, number: SegmentNo) -> bool {
        let (word, bit) = place(number);
        self.words.get(&word).is_some_and(|word| word & bit != 0)
    }

    /// The first one that is not below `number`.
    pub fn next(&self, number: SegmentNo) -> Option<SegmentNo> {
        let (at, bit) = place(number);
        self.words.range(at..).find_map(|(word, bits)| {
            let bits = if *word == at { bits & !(bit - 1) } else { *bits };
            (bits != 0).then(|| SegmentNo(u64::from(*word) << 6 | u64::from(bits.trailing_zeros())))
        })
    }

    /// The last one that is not above `number`.
    pub fn previous(&self, number: SegmentNo) -> Option<SegmentNo> {
        let (at, bit) = place(number);
        self.words.range(..=at).rev().find_map(|(word, bits)| {
            let bits = if *word == at { bits & (bit | (bit - 1)) } else { *bits };
            (bits != 0).then(|| SegmentNo(u64::from(*word) << 6 | u64::from(63 - bits.leading_zeros())))
        })
    }

    /// How many words it takes.
    pub fn words(&self) -> usize {
        self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(
            changes in proptest::collection::vec((any::<bool>(), (0u64..300).prop_map(SegmentNo)), 0..200),
            asked in (0u64..310).prop_map(SegmentNo),
        ) {
            let (mut postings, mut set) = (Postings::default(), BTreeSet::new());
            for (add, number) in changes {
                match add {
                    true => prop_assert_eq!(postings.insert(number), set.insert(number)),
                    false => prop_assert_eq!(postings.remove(number), set.remove(&number)),
                }
            }
            prop_assert_eq!(postings.next(asked), set.range(asked..).next().copied());
            prop_assert_eq!(postings.previous(asked), set.range(..=asked).next_back().copied());
            prop_assert_eq!(postings.contains(asked), set.contains(&asked));
            prop_assert_eq!(postings.is_empty(), set.is_empty());
        }
    }
}
