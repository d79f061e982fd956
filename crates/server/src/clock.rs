//! The only place that reads the real time and asks the operating system for randomness. Everything else is given a
//! [`Clock`] and an [`Rng`].

use std::fs::File;
use std::io::Read;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tailrace_core::EpochMs;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;

/// The system's clock.
#[derive(Debug, Default)]
pub struct SystemClock {
    start: OnceLock<Instant>,
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that all others are given")]
impl Clock for SystemClock {
    fn now(&self) -> EpochMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EpochMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic_ns(&self) -> u64 {
        let elapsed = self.start.get_or_init(Instant::now).elapsed();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The system's randomness. Read through a buffer: a page of it at a time, each byte given out once.
#[derive(Debug)]
pub struct SystemRng {
    source: parking_lot::Mutex<std::io::BufReader<File>>,
}

impl SystemRng {
    /// Opens the system's source.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open() -> std::io::Result<Self> {
        let source = std::io::BufReader::with_capacity(4096, File::open("/dev/urandom")?);
        Ok(Self { source: parking_lot::Mutex::new(source) })
    }
}

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        self.source.lock().read_exact(bytes).expect("invariant: the system's randomness has no end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_has_time_and_chance() {
        let clock = SystemClock::default();
        assert!(clock.now() > EpochMs(1_700_000_000_000));
        assert!(clock.monotonic_ns() <= clock.monotonic_ns());
        let rng = SystemRng::open().unwrap();
        assert_ne!(rng.next_u64(), rng.next_u64());
    }
}
