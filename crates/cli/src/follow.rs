//! What the commands have in common that show something as it comes, until they are left, over restarts of the server.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::say::{reader_gone, say};
use crate::signals::Signals;
use crate::{Failure, Outcome};

/// Between two attempts to reach a server that is not there.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Runs it until it ends, a signal comes, or nobody reads the output any more.
pub async fn until_left(work: impl Future<Output = Result<(), Failure>> + Send + 'static) -> Outcome {
    let mut signals = Signals::listen()?;
    // A task of its own: a terminal that stands still must not hold up the signals.
    let mut following = tokio::spawn(work);
    tokio::select! {
        ended = &mut following => ended??,
        () = signals.next() => {}
        // What is quiet must not keep it behind a reader that has left.
        () = reader_gone() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether the server is away: told once when it goes, and once when it is back.
#[derive(Default)]
pub struct Away(bool);

impl Away {
    /// It did not answer: waits before the next attempt.
    pub async fn lost(&mut self, why: impl Display) {
        if !std::mem::replace(&mut self.0, true) {
            say(format_args!("{why}; trying again until the server is back"));
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }

    /// It has answered. True: it was away.
    pub fn back(&mut self) -> bool {
        let was_away = std::mem::take(&mut self.0);
        if was_away {
            say("connected again");
        }
        was_away
    }
}
