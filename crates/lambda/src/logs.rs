//! The way of the lines that functions print (see `output`) to whoever shows or keeps them.
//!
//! The lines go into one bounded channel. A reader that falls behind holds a function up for at most
//! `FUNCTION_LOG_WAIT` per pipe read; then lines are dropped, counted, and one notice says how many. So a
//! terminal that stands still never turns into a timeout of the function, and a terminal that is merely slow loses
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tailrace_core::limits;
use tokio::sync::mpsc;

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
    /// What AWS writes around each invocation: START, END and REPORT. Source: docs/spec/lambda-runtime.md 10.
    Platform,
}

/// The way of one function's lines into the channel.
#[derive(Clone)]
pub(crate) struct LogSender {
    lines: mpsc::Sender<LogLine>,
    function: Arc<str>,
    dropped: Arc<AtomicU64>,
}

impl LogSender {
    pub(crate) fn new(lines: mpsc::Sender<LogLine>, function: &str) -> Self {
        Self { lines, function: function.into(), dropped: Arc::new(AtomicU64::new(0)) }
    }

    /// Says something about the function; dropped when the channel is full.
    pub(crate) fn notice(&self, text: String) {
        tracing::info!(function = %self.function, "{text}");
        let _ = self.lines.try_send(self.line(LogStream::Notice, None, text));
    }

    /// Says what AWS says of an invocation; dropped when the channel is full.
    pub(crate) fn platform(&self, request_id: &Arc<str>, text: String) {
        let _ = self.lines.try_send(self.line(LogStream::Platform, Some(request_id.clone()), text));
    }

    /// Sends one line; waits at most `FUNCTION_LOG_WAIT` for the reader, and not at all while lines are being
    /// dropped.
    pub(crate) async fn send(&self, stream: LogStream, request_id: Option<Arc<str>>, text: String) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            let notice = format!("{dropped} lines of output were dropped: nobody read them in time");
            if self.lines.try_send(self.line(LogStream::Notice, None, notice)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.dropped.fetch_sub(dropped, Ordering::Relaxed);
        }
        let line = self.line(stream, request_id, text);
        let wait = limits::FUNCTION_LOG_WAIT;
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = self.lines.send_timeout(line, wait).await {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn line(&self, stream: LogStream, request_id: Option<Arc<str>>, text: String) -> LogLine {
        LogLine { function: self.function.clone(), request_id, stream, text }
    }
}
