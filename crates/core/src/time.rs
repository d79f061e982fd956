//! Instants. A length of time is a [`Duration`]; an instant is an [`EpochMs`], or a [`MonotonicMs`] where only lengths count, so
//! that none is ever mistaken for another or for any other number.

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

    /// The next instant there is.
    pub fn next(self) -> EpochMs {
        EpochMs(self.0.saturating_add(1))
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

/// A reading of a clock that never steps back: milliseconds since a fixed point of no meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicMs(pub u64);

impl MonotonicMs {
    /// The reading this long after.
    pub fn plus(self, length: Duration) -> MonotonicMs {
        MonotonicMs(self.0.saturating_add(whole_ms(length)))
    }

    /// How long after `earlier` it is; nothing if it is not.
    pub fn since(self, earlier: MonotonicMs) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// For serde: a length of time as whole milliseconds.
pub mod as_ms {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        super::whole_ms(*length).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// For serde: a length of time as whole milliseconds, or null.
pub mod as_ms_option {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(length: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        length.map(super::whole_ms).serialize(serializer)
    }

    /// Reads it.
    ///
    /// # Errors
    /// The deserializer's.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
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
