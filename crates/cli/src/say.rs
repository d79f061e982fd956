//! The two ways out: talk on stderr, data on stdout.
//!
//! Nothing else in this crate writes to either (the lints of the crate see to it): `eprintln!` and `println!` panic when
//! the other end of a pipe is gone or a disk is full, and what the user no longer reads must never stop a server.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;

use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::Failure;

/// Who still reads stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The line was taken.
    There,
    /// The pipe is closed: the reader has had enough, which is no fault.
    Gone,
}

/// Tells the user something, as one line on stderr. Whether anyone hears it makes no difference.
pub fn say(text: impl Display) {
    // One write, so that lines of several tasks never mix.
    let _ = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Writes a line of data to stdout.
///
/// # Errors
/// The line cannot be written, though someone is there to read: a full disk.
pub fn print(line: impl Display) -> Result<Reader, Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure(format!("cannot write to stdout: {error}"))),
    }
}

/// Resolves when nobody reads stdout any more, without a line to try it with. Never for what has no reader: a file.
pub async fn reader_gone() {
    // Only waited on, never written through: it may stay as blocking as it is.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd_unchecked);
    match stdout {
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// A text of someone else's as part of one line: its line breaks are not ours.
pub fn on_one_line(text: impl Display) -> String {
    text.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
