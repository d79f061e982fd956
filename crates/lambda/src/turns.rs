//! Turns to start: how many processes load their code at the same time.
//!
//! Invariants: as many have a turn as there are processors, and two at least; no one has one for longer than it was said, nor waits
//! for one for ever. So a burst of starts does not load the processors with more than they can do, and a start that waits for
//! something holds up the next one for a moment only.

use std::sync::Arc;
use std::time::Duration;

use tailrace_core::limits;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

pub(crate) struct Turns {
    free: Arc<Semaphore>,
    hold: Duration,
}

/// Somebody's turn, over when this goes.
pub(crate) struct Turn(AbortHandle);

impl Turns {
    /// None has a turn for longer than `hold`.
    pub(crate) fn new(hold: Duration) -> Turns {
        let processors = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        Turns { free: Arc::new(Semaphore::new(processors)), hold }
    }

    /// Waits for a turn. `None`: it is not wanted any more, which is looked at whenever something has `changed`, or the wait was
    /// too long: late is better than never.
    pub(crate) async fn take(&self, changed: &Notify, is_wanted: impl Fn() -> bool) -> Option<Turn> {
        let permit = async {
            let mut permit = std::pin::pin!(self.free.clone().acquire_owned());
            while is_wanted() {
                tokio::select! {
                    permit = &mut permit => return permit.ok(),
                    () = changed.notified() => {}
                }
            }
            None
        };
        let permit = tokio::time::timeout(limits::FUNCTION_START_TURN_WAIT, permit).await.ok().flatten()?;
        Some(Turn::of(permit, self.hold))
    }
}

impl Turn {
    fn of(permit: OwnedSemaphorePermit, hold: Duration) -> Turn {
        let held = tokio::spawn(async move {
            tokio::time::sleep(hold).await;
            drop(permit);
        });
        Turn(held.abort_handle())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.abort();
    }
}
