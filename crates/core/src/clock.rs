//! Time comes in by argument. The one place that reads the real clock is `tailrace_server::clock`.

/// A source of time. Implementations: the system's (in `server`), and a settable one for tests.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock milliseconds since the Unix epoch, UTC.
    fn now_ms(&self) -> u64;

    /// Nanoseconds since an arbitrary fixed point; never steps back.
    fn monotonic_ns(&self) -> u64;
}

/// A clock that stands still until it is told to move. For tests and simulation.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ms: std::sync::atomic::AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now_ms` milliseconds since the Unix epoch.
    pub fn at(now_ms: u64) -> Self {
        Self { now_ms: std::sync::atomic::AtomicU64::new(now_ms) }
    }

    /// Moves the clock forward by `ms` milliseconds.
    pub fn advance(&self, ms: u64) {
        self.now_ms.fetch_add(ms, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.now_ms.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        self.now_ms().saturating_mul(1_000_000)
    }
}
