//! Events: invocations that nobody waits for. As on AWS one that fails is tried twice more, after one and two minutes, and one
//! that cannot be run for now until it is six hours old. Source: docs/spec/event-source-mapping.md 12.
//!
//! Invariant: what waits is bounded, in number and in bytes; what is over that is refused.
//! What it does not do: it keeps nothing on disk. Events that are not done when the server ends are gone, and told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tailrace_lambda::{Functions, InvokeContext, InvokeOutcome};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::invoke::is_temporary;
use crate::report::Event;

/// An event on its way to its function.
pub struct Queued {
    pub function: String,
    pub payload: Bytes,
    pub context: InvokeContext,
}

/// There is no room for another one.
#[derive(Debug)]
pub struct Full;

/// The events of a server.
pub struct Events {
    functions: Functions,
    clock: Arc<dyn Clock>,
    told: mpsc::Sender<Event>,
    number: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    tasks: parking_lot::Mutex<JoinSet<()>>,
}

impl Events {
    /// None yet.
    pub fn new(functions: Functions, clock: Arc<dyn Clock>, told: mpsc::Sender<Event>) -> Events {
        Events {
            functions,
            clock,
            told,
            number: Arc::new(Semaphore::new(limits::INVOKE_EVENTS_QUEUED_MAX)),
            bytes: Arc::new(Semaphore::new(limits::INVOKE_EVENTS_QUEUED_BYTES_MAX)),
            tasks: parking_lot::Mutex::default(),
        }
    }

    /// Takes an event, and sees to it that it is run.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn add(&self, event: Queued) -> Result<(), Full> {
        let bytes = u32::try_from(event.payload.len()).map_err(|_| Full)?;
        let number = Arc::clone(&self.number).try_acquire_owned().map_err(|_| Full)?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(bytes).map_err(|_| Full)?;
        let deliver =
            deliver(self.functions.clone(), Arc::clone(&self.clock), self.told.clone(), event, [number, bytes]);
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(deliver);
        Ok(())
    }

    /// Gives up what is not done: how many those are.
    pub fn stop(&self) -> usize {
        self.number.close();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.try_join_next().is_some() {}
        tasks.len()
    }
}

async fn deliver(
    functions: Functions,
    clock: Arc<dyn Clock>,
    told: mpsc::Sender<Event>,
    event: Queued,
    _room: [OwnedSemaphorePermit; 2],
) {
    let Queued { function, payload, context } = event;
    let accepted = clock.monotonic();
    let (mut failures, mut pauses) = (0, 0);
    loop {
        let context = InvokeContext { queue: true, ..context.clone() };
        let outcome = functions.invoke(&function, payload.clone(), context).await;
        let why = match &outcome {
            InvokeOutcome::Success { .. } => return,
            InvokeOutcome::FunctionError { kind, .. } => format!("{kind:?}"),
            InvokeOutcome::Throttled { reason } => reason.code().to_owned(),
            InvokeOutcome::NotInvocable { reason } => reason.to_string(),
        };
        let wait = if let InvokeOutcome::FunctionError { .. } = outcome {
            failures += 1;
            limits::INVOKE_EVENT_RETRIES.get(failures - 1).copied()
        } else {
            pauses += 1;
            is_temporary(&outcome).then(|| pause(pauses))
        };
        let too_old = clock.monotonic().since(accepted) + wait.unwrap_or_default() > limits::INVOKE_EVENT_AGE_MAX;
        let Some(wait) = wait.filter(|_| !too_old) else {
            let text = format!("an event for {function} was given up: {why}");
            // Nobody waits for a terminal.
            let _ = told.try_send(Event::Notice(text));
            return;
        };
        tokio::time::sleep(wait).await;
    }
}

/// The wait before the `n`th try to run what cannot be run for now: a second, doubled up to five minutes.
fn pause(n: u32) -> Duration {
    (Duration::from_secs(1) * (1 << n.saturating_sub(1).min(16))).min(limits::INVOKE_EVENT_PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Spec 12, and AWS's defaults: what cannot be run is tried again after a second, doubled up to five minutes.
    #[test]
    fn the_pause_doubles_up_to_its_bound() {
        let seconds: Vec<u64> = (1..=10).map(|n| pause(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(pause(u32::MAX).as_secs(), 300);
    }
}
