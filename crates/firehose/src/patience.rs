//! How long a flush goes on that is told to stop.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::clock::Clock;
use tailrace_delivery::{Stopping, Timer};

use crate::limits::STOP_WAIT;

/// Of one flush: [`STOP_WAIT`] from the stop on, whatever it asks, and how often, in that time.
pub(crate) struct Patience<'a> {
    /// Says when it is told to stop.
    pub stopping: &'a Stopping,
    over: BoxFuture<'a, ()>,
}

impl<'a> Patience<'a> {
    pub fn new(stopping: &'a Stopping, clock: &'a dyn Clock, timer: &'a dyn Timer) -> Patience<'a> {
        let over = async move {
            stopping.told().await;
            timer.sleep_until(clock.monotonic().plus(STOP_WAIT)).await;
        };
        Patience { stopping, over: over.boxed() }
    }

    /// Waits until it has an end. Then the flush ends: it is not asked again.
    pub fn over(&mut self) -> &mut BoxFuture<'a, ()> {
        &mut self.over
    }
}
