//! Request ids, different for every answer: 52 characters of `[0-9A-Z]`, those of the Lambda API UUIDs.
//! Source: docs/spec/dynamodb-api.md 1; docs/spec/event-source-mapping.md 1.
//!
//! They are names, not secrets: a counter and a random start, mixed. Drawing real randomness for each would cost more
//! than reading an item does.

use std::sync::atomic::{AtomicU64, Ordering};

use tailrace_core::ids::uuid_of_random;
use tailrace_core::rng::Rng;

/// Length of a request id, characters.
pub const REQUEST_ID_LEN: usize = 52;

/// A request id, ASCII.
pub type RequestId = [u8; REQUEST_ID_LEN];

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

/// Gives out request ids.
#[derive(Debug)]
pub struct RequestIds {
    key: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Ids that start from a random place.
    pub fn new(rng: &dyn Rng) -> Self {
        Self { key: rng.next_u64(), next: AtomicU64::new(rng.next_u64()) }
    }

    /// The next id.
    pub fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; REQUEST_ID_LEN];
        for (lane, chars) in id.chunks_mut(12).enumerate() {
            let mut bits = self.lane(number, lane as u32);
            for char in chars {
                *char = ALPHABET[(bits & 31) as usize];
                bits >>= 5;
            }
        }
        id
    }

    /// The next id, as a UUID.
    pub fn next_uuid(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        uuid_of_random(u128::from(self.lane(number, 0)) << 64 | u128::from(self.lane(number, 1)))
    }

    fn lane(&self, number: u64, lane: u32) -> u64 {
        mix(number ^ self.key.rotate_left(13 * lane + 1))
    }
}

/// SplitMix64's finisher: a bijection, so that different numbers give different ids.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_have_their_shape() {
        let ids = RequestIds::new(&tailrace_core::rng::SeededRng::new(7));
        let all: std::collections::BTreeSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(all.len(), 10_000);
        assert!(all.iter().flatten().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase()));
        let all: std::collections::BTreeSet<_> = (0..10_000).map(|_| ids.next_uuid()).collect();
        assert_eq!(all.len(), 10_000);
        assert!(
            all.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]))
        );
    }
}
