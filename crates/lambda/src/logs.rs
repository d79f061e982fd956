//! What functions print, line by line.
//!
//! The lines go into one bounded channel. A reader that falls behind holds a function up for at most
//! `FUNCTION_LOG_WAIT_MS` per pipe read; then lines are dropped, counted, and one notice says how many. So a
//! terminal that stands still never turns into a timeout of the function, and a terminal that is merely slow loses
//! nothing.

use std::sync::Arc;

/// A line that a function printed, or a notice about the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The function's name.
    pub function: Arc<str>,
    /// The invocation that was open, or else the last one that was; `None` before the first.
    pub request_id: Option<Arc<str>>,
    /// Where it was printed.
    pub stream: LogStream,
    /// The text without its line end. A runtime may put line breaks inside of one line (`\r`): they are `\n` here.
    pub text: String,
}

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// The function's standard output.
    Stdout,
    /// The function's standard error.
    Stderr,
    /// Tailrace itself: a process that did not start, lines that were dropped.
    Notice,
}
