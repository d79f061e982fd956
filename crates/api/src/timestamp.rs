//! Instants as the APIs write them: seconds since the epoch, with milliseconds as a fraction.

use serde::{Serialize, Serializer};
use tailrace_core::EpochMs;

/// An instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub EpochMs);

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.0 as f64 / 1000.0)
    }
}
