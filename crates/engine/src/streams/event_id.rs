//! The `eventID` of a record: the same on every reading, and no other record's. Described in docs/format.md, section Stream
//! record.
//!
//! Invariant: two records of a data directory never have one id, by construction: it is a permutation of shard and number. The
//! directory chooses the permutation, so that the ids of two directories have nothing in common. It hides nothing.

use md5::{Digest, Md5};
use tailrace_api::streams::EventId;
use tailrace_core::{RecordNo, ShardNo};

const ROUNDS: u64 = 4;

/// The ids of the records of a data directory.
#[derive(Clone, Copy, Debug)]
pub struct EventIds {
    keys: [u64; 2],
}

impl EventIds {
    /// Those of the directory with this identity.
    pub fn of_directory(uuid: &str) -> EventIds {
        let digest: [u8; 16] = Md5::digest(uuid).into();
        let digest = u128::from_be_bytes(digest);
        EventIds { keys: [(digest >> 64) as u64, digest as u64] }
    }

    /// The id of a record. A shard's number is that of no other shard of any stream: it stands for both.
    pub fn of(&self, shard: ShardNo, number: RecordNo) -> EventId {
        let (mut left, mut right) = (shard.0, number.0);
        // A Feistel network: whatever `mixed` does, every round can be undone, so the whole is a permutation.
        for round in 0..ROUNDS {
            let key = self.keys[(round % 2) as usize].wrapping_add(round);
            (left, right) = (right, left ^ mixed(right ^ key));
        }
        EventId((u128::from(left) << 64 | u128::from(right)).to_be_bytes())
    }
}

impl EventIds {
    /// The id of an item, by its encoded key, as it was at a place of a shard: many items are of one place.
    pub fn of_item(&self, shard: ShardNo, number: RecordNo, key: &[u8]) -> EventId {
        EventId(Md5::new().chain_update(self.of(shard, number).0).chain_update(key).finalize().into())
    }
}

/// Spreads every bit over all the others: the last step of SplitMix64.
fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_distinct_and_stay_what_they_are() {
        let [one, other] = ["a", "b"].map(EventIds::of_directory);
        let records = (0..40).flat_map(|shard| (0..250).map(move |number| (ShardNo(shard), RecordNo(number))));
        let ids: BTreeSet<String> =
            records.flat_map(|(shard, number)| [one, other].map(|ids| ids.of(shard, number).to_string())).collect();
        assert_eq!(ids.len(), 2 * 40 * 250);
        // Two shards and numbers that are each other's.
        assert_ne!(one.of(ShardNo(1), RecordNo(2)), one.of(ShardNo(2), RecordNo(1)));
        assert_eq!(one.of(ShardNo(7), RecordNo(42)).to_string(), "1c188871160dd254f494bc84c8f39b62");
    }

    #[test]
    fn neighbours_look_like_strangers() {
        let ids = EventIds::of_directory("a");
        for number in 0..1000 {
            let [a, b] = [number, number + 1].map(|number| u128::from_be_bytes(ids.of(ShardNo(1), RecordNo(number)).0));
            assert!((32..96).contains(&(a ^ b).count_ones()), "{a:x} {b:x}");
        }
    }
}
