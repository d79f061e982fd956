//! Time comes in by argument. The one place that reads the real clock is `tailrace_server::clock`.

use crate::{EpochMs, MonotonicMs};

/// A source of time. Implementations: the system's (in `server`), and a settable one for tests.
pub trait Clock: Send + Sync + 'static {
    /// The instant, by the wall clock.
    fn now(&self) -> EpochMs;

    /// Nanoseconds since an arbitrary fixed point; never steps back.
    fn monotonic_ns(&self) -> u64;

    /// The same in whole milliseconds.
    fn monotonic(&self) -> MonotonicMs {
        MonotonicMs(self.monotonic_ns() / 1_000_000)
    }
}

/// A clock that stands still until it is told to move. For tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: std::sync::atomic::AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now_ms` milliseconds since the Unix epoch.
    pub fn at(now_ms: EpochMs) -> Self {
        Self { now_ms: std::sync::atomic::AtomicU64::new(now_ms.0) }
    }

    /// Moves the clock forward by `ms` milliseconds.
    pub fn advance(&self, ms: u64) {
        self.now_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> EpochMs {
        EpochMs(self.now_ms.load(std::sync::atomic::Ordering::SeqCst))
    }

    fn monotonic_ns(&self) -> u64 {
        self.now().0.saturating_mul(1_000_000)
    }
}
