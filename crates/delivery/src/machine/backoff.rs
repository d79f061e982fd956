//! How long a failing batch waits. Source: docs/spec/event-source-mapping.md 7.2.

use std::time::Duration;

use tailrace_core::limits::{BACKOFF_FIRST, BACKOFF_MAX};

/// The wait before the `n`th retry (n >= 1): 1, 2, 4 ... 60 seconds, of which the second half is spread by `jitter`, so
/// that shards that failed together do not come back together.
pub(crate) fn delay(n: u32, jitter: u32) -> Duration {
    let doublings = n.saturating_sub(1).min(16);
    let full = (BACKOFF_FIRST * (1 << doublings)).min(BACKOFF_MAX);
    let full_ms = full.as_millis() as u64;
    Duration::from_millis(full_ms / 2 + full_ms * u64::from(jitter) / (2 * u64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u32, jitter: u32) -> u64 {
        delay(n, jitter).as_millis() as u64
    }

    /// Row "Back-off between attempts" of spec 7.2.
    #[test]
    fn doubles_from_one_second_to_sixty() {
        let full: Vec<u64> = (1..=9).map(|n| ms(n, u32::MAX)).collect();
        assert_eq!(full, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]);
        assert_eq!(ms(u32::MAX, u32::MAX), 60000);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        assert_eq!(ms(1, 0), 500);
        assert_eq!(ms(7, 0), 30000);
        assert_eq!(ms(1, u32::MAX / 2), 749);
    }
}
