//! Whoever changes one large item takes turns, so that they do not work for nothing. That is for speed alone: what is
//! committed holds without it.

use tailrace_core::Bucket;
use tokio::sync::{Mutex, MutexGuard};

/// Turns that items share; more are seldom changed at once.
const TURNS: usize = 64;

/// The turns of those who change large items.
pub(crate) struct Turns {
    turns: [Mutex<()>; TURNS],
}

impl Default for Turns {
    fn default() -> Self {
        Turns { turns: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Turns {
    /// Takes the turn of each item that is in one of these buckets. True: it had to wait, and the items may have changed meanwhile.
    pub async fn take(&self, buckets: impl Iterator<Item = Bucket>) -> (Vec<MutexGuard<'_, ()>>, bool) {
        let mut numbers: Vec<usize> = buckets.map(|bucket| usize::from(bucket.0) % TURNS).collect();
        // In one order for all, so that no two wait for each other.
        numbers.sort_unstable();
        numbers.dedup();
        let (mut taken, mut waited) = (Vec::with_capacity(numbers.len()), false);
        for number in numbers {
            let turn = &self.turns[number];
            taken.push(match turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => {
                    waited = true;
                    turn.lock().await
                }
            });
        }
        (taken, waited)
    }
}
