//! How the process of an environment ended, and what that makes of an invocation in it.

use std::process::ExitStatus;

use crate::entrypoint::BadEntrypoint;
use crate::report::Failed;

/// Why a process was ended.
#[derive(Clone, Copy)]
pub(crate) enum Kill {
    /// It did not ask for its first event in time.
    StartOverrun,
    /// It did not come back for the next event before the timeout of the one before had passed.
    AwayOverrun,
    /// The function's timeout passed.
    Timeout,
    /// It asked for work with an invocation open.
    Broken,
    /// Nobody needs it.
    Stop,
}

/// How an environment ended.
pub(crate) enum End {
    /// Nobody needed it before it was started.
    NotStarted,
    CannotStart(String),
    InvalidEntrypoint(BadEntrypoint),
    Exited(ExitStatus),
    Killed(Kill, ExitStatus),
}

impl End {
    /// How it fails what was open in the process; `None`: that is not the function's doing, and is not told.
    pub(crate) fn failed(&self) -> Option<Failed> {
        match self {
            End::NotStarted | End::CannotStart(_) | End::Killed(Kill::Stop, _) => None,
            End::InvalidEntrypoint(_) => Some(Failed::Process("Runtime.InvalidEntrypoint".to_owned())),
            End::Killed(Kill::Timeout, _) => Some(Failed::Timeout),
            End::Killed(..) | End::Exited(_) => Some(Failed::exit()),
        }
    }
}
