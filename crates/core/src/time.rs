//! Instants. A length of time is a [`Duration`]; an instant is an [`EpochMs`], so that the two are never mistaken for each other
//! or for any other number.

use std::fmt;
use std::time::Duration;

/// An instant of the wall clock: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct EpochMs(pub u64);

impl EpochMs {
    /// The epoch itself: before every instant that is told.
    pub const ZERO: EpochMs = EpochMs(0);

    /// The instant this long after; the latest there is, if that is later.
    pub fn plus(self, length: Duration) -> EpochMs {
        EpochMs(self.0.saturating_add(whole_ms(length)))
    }

    /// The instant this long before; the epoch, if that is earlier.
    pub fn minus(self, length: Duration) -> EpochMs {
        EpochMs(self.0.saturating_sub(whole_ms(length)))
    }

    /// How long after `earlier` it is; nothing if it is not.
    pub fn since(self, earlier: EpochMs) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }
}

impl fmt::Display for EpochMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn whole_ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_stay_within_what_there_is() {
        let now = EpochMs(5_000);
        assert_eq!(now.plus(Duration::from_secs(1)), EpochMs(6_000));
        assert_eq!(now.minus(Duration::from_secs(9)), EpochMs::ZERO);
        assert_eq!(EpochMs(u64::MAX).plus(Duration::MAX), EpochMs(u64::MAX));
        assert_eq!(EpochMs::ZERO.since(now), Duration::ZERO);
        assert_eq!(now.since(EpochMs(1)), Duration::from_millis(4_999));
        assert_eq!(EpochMs(1_999).seconds(), 1);
    }
}
