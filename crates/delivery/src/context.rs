//! What all consumers of a process have in common: the store, time and chance, and the name of the process as an owner.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::MonotonicMs;
use tailrace_core::clock::Clock;
use tailrace_core::limits::{BACKOFF_FIRST, BACKOFF_MAX};
use tailrace_core::rng::Rng;
use tailrace_store::Engine;
use tokio::sync::watch;

use crate::machine::Now;
use crate::pages::Pages;
use crate::room::Room;

/// Waits for a time of a [`Clock`].
pub trait Timer: Send + Sync + 'static {
    /// Resolves when the clock's monotonic time has come so far.
    fn sleep_until(&self, time: MonotonicMs) -> BoxFuture<'static, ()>;
}

/// The timer of a real clock.
pub struct SystemTimer(pub Arc<dyn Clock>);

impl Timer for SystemTimer {
    fn sleep_until(&self, time: MonotonicMs) -> BoxFuture<'static, ()> {
        let clock = self.0.clone();
        async move {
            loop {
                let now_ns = clock.monotonic_ns();
                match time.0.saturating_mul(1_000_000).checked_sub(now_ns) {
                    None | Some(0) => return,
                    Some(left_ns) => tokio::time::sleep(Duration::from_nanos(left_ns)).await,
                }
            }
        }
        .boxed()
    }
}

/// What consumers work with.
pub struct Context {
    /// The store.
    pub store: Arc<dyn Engine>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// Chance, for the spread of back-offs.
    pub rng: Arc<dyn Rng>,
    /// This runner, in the rows that say who owns a shard. For people: the epoch is what counts.
    pub(crate) runner: String,
    /// What several consumers read of the log.
    pub(crate) pages: Arc<Pages>,
    /// Where records are that are read ahead.
    pub(crate) room: Room,
    changes: watch::Sender<u64>,
}

impl Context {
    /// The context of a runner, which reads ahead within `room`.
    pub fn new(
        store: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        timer: Arc<dyn Timer>,
        rng: Arc<dyn Rng>,
        room: Room,
    ) -> Context {
        let runner = rng.uuid();
        Context { store, clock, timer, rng, runner, pages: Arc::default(), room, changes: watch::Sender::new(0) }
    }

    /// Changes whenever the status of a consumer may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Says that the status of a consumer may have changed.
    pub fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn now(&self) -> Now {
        Now { wall: self.clock.now(), monotonic: self.clock.monotonic() }
    }

    /// Waits before the `n`th try of something that failed.
    pub(crate) async fn pause(&self, n: u32) {
        let length = (BACKOFF_FIRST * (1 << n.saturating_sub(1).min(16))).min(BACKOFF_MAX);
        self.timer.sleep_until(self.clock.monotonic().plus(length)).await;
    }
}
