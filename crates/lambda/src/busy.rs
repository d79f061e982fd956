//! A start of a program that is open for writing.
//!
//! A build writes the program, or a process that was forked meanwhile still has the file open in which it was written: both come to an end.

use std::io::{Error, ErrorKind};
use std::pin::Pin;

use tailrace_core::limits::{FUNCTION_BUSY_PAUSE, FUNCTION_BUSY_WAIT};
use tokio::time::{Sleep, sleep};

/// How long the starts of one program are repeated: for at most [`FUNCTION_BUSY_WAIT`].
pub(crate) struct Patience(Pin<Box<Sleep>>);

impl Patience {
    /// From now on.
    pub(crate) fn new() -> Patience {
        Patience(Box::pin(sleep(FUNCTION_BUSY_WAIT)))
    }

    /// Whether the program is to be started again, after a pause: a start has failed since it is open for writing.
    pub(crate) async fn waits(&mut self, error: &Error) -> bool {
        let is_over = error.kind() != ErrorKind::ExecutableFileBusy || self.0.is_elapsed();
        if !is_over {
            tokio::select! {
                () = &mut self.0 => {}
                () = sleep(FUNCTION_BUSY_PAUSE) => {}
            }
        }
        !is_over
    }
}
