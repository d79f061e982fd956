//! Ctrl-C and SIGTERM.
//!
//! A terminal and whoever passes a signal on (a shell, `npm run`, `docker compose`, `timeout`) may both send the one stop that the
//! user wants, and not the same signal: two within a moment count once.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use tailrace_server::Code;
use tokio::time::Instant;

use crate::Failure;

/// A signal that follows another one by less is the same stop.
const MOMENT: Duration = Duration::from_millis(300);

/// Both signals, from the moment of [`Signals::listen`] on: none is lost between two waits, and none ends the process by
/// itself any more.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// When the last of them that counted came.
    last: Option<Instant>,
}

impl Signals {
    /// Starts listening.
    pub fn listen() -> Result<Signals, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::new(Code::System, error));
        let (terminate, interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
        Ok(Signals { terminate, interrupt, last: None })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            #[allow(clippy::disallowed_methods, reason = "a person's pauses, which no run of a seed replays")]
            let now = Instant::now();
            if counts(self.last, now) {
                self.last = Some(now);
                return;
            }
        }
    }
}

/// Whether a signal is another stop than the last that counted.
fn counts(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.duration_since(last) >= MOMENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_within_a_moment_of_another_is_the_same_stop() {
        #[allow(clippy::disallowed_methods, reason = "there is no other way to an instant")]
        let first = Instant::now();
        assert!(counts(None, first));
        assert!(!counts(Some(first), first));
        assert!(!counts(Some(first), first + MOMENT - Duration::from_millis(1)));
        assert!(counts(Some(first), first + MOMENT));
    }
}
