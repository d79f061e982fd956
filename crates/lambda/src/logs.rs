//! The way of the lines that functions print (see `output`) to whoever shows or keeps them.
//!
//! The lines go into one bounded channel. A reader that falls behind holds a function up for at most
//! `FUNCTION_LOG_WAIT` per pipe read; then lines are dropped, counted, and one notice says how many. So a
//! terminal that stands still never turns into a timeout of the function, and a terminal that is merely slow loses
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::{EpochMs, limits};
use tokio::sync::mpsc;

/// A line that a function printed, or a notice about the function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The function's name.
    pub function: Arc<str>,
    /// The invocation that was open, or else the last one that was; `None` before the first.
    pub request_id: Option<Arc<str>>,
    /// When it was read.
    pub time_ms: EpochMs,
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

/// The end of what one invocation wrote, for a caller who wants it with the answer: its last `FUNCTION_LOG_TAIL_BYTES_MAX`. A
/// clone is the same.
#[derive(Clone, Debug, Default)]
pub struct LogTail(Arc<Mutex<Vec<u8>>>);

impl LogTail {
    pub(crate) fn push(&self, text: &str) {
        let mut kept = self.0.lock();
        kept.extend_from_slice(text.as_bytes());
        kept.push(b'\n');
        let surplus = kept.len().saturating_sub(limits::FUNCTION_LOG_TAIL_BYTES_MAX);
        // Seldom, so that a line costs no more than itself.
        if surplus > limits::FUNCTION_LOG_TAIL_BYTES_MAX {
            kept.drain(..surplus);
        }
    }

    /// The text, whole lines but for the first, which may be cut.
    pub fn bytes(&self) -> Vec<u8> {
        let kept = self.0.lock();
        kept[kept.len().saturating_sub(limits::FUNCTION_LOG_TAIL_BYTES_MAX)..].to_vec()
    }
}

/// The tail that the open invocation of an environment wants, if it does.
pub(crate) type OpenTail = Arc<Mutex<Option<LogTail>>>;

/// The way of one function's lines into the channel.
#[derive(Clone)]
pub(crate) struct LogSender {
    lines: mpsc::Sender<LogLine>,
    function: Arc<str>,
    clock: Arc<dyn Clock>,
    dropped: Arc<AtomicU64>,
}

/// A line on its way to the sender.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) time_ms: EpochMs,
    pub(crate) stream: LogStream,
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) text: String,
}

impl LogSender {
    pub(crate) fn new(lines: mpsc::Sender<LogLine>, function: &str, clock: Arc<dyn Clock>) -> Self {
        Self { lines, function: function.into(), clock, dropped: Arc::new(AtomicU64::new(0)) }
    }

    /// Says something about the function; dropped when the channel is full.
    pub(crate) fn notice(&self, text: String) {
        tracing::info!(function = %self.function, "{text}");
        let _ = self.lines.try_send(self.now(LogStream::Notice, None, text));
    }

    /// Says what AWS says of an invocation; dropped when the channel is full.
    pub(crate) fn platform(&self, request_id: &Arc<str>, text: String) {
        let _ = self.lines.try_send(self.now(LogStream::Platform, Some(request_id.clone()), text));
    }

    /// Sends one line; waits at most `FUNCTION_LOG_WAIT` for the reader, and not at all while lines are being
    /// dropped.
    pub(crate) async fn send(&self, line: Line) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            let notice = format!("{dropped} lines of output were dropped: nobody read them in time");
            if self.lines.try_send(self.now(LogStream::Notice, None, notice)).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.dropped.fetch_sub(dropped, Ordering::Relaxed);
        }
        let Line { time_ms, stream, request_id, text } = line;
        let line = LogLine { function: self.function.clone(), request_id, time_ms, stream, text };
        let wait = limits::FUNCTION_LOG_WAIT;
        if let Err(mpsc::error::SendTimeoutError::Timeout(_)) = self.lines.send_timeout(line, wait).await {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends one line if there is room for it at once.
    pub(crate) fn offer(&self, line: Line) {
        let Line { time_ms, stream, request_id, text } = line;
        let line = LogLine { function: self.function.clone(), request_id, time_ms, stream, text };
        if let Err(mpsc::error::TrySendError::Full(_)) = self.lines.try_send(line) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn now(&self, stream: LogStream, request_id: Option<Arc<str>>, text: String) -> LogLine {
        LogLine { function: self.function.clone(), request_id, time_ms: self.clock.now(), stream, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/spec/lambda-runtime.md 10: the last 4 KB.
    #[test]
    fn a_tail_has_the_last_bytes() {
        let tail = LogTail::default();
        assert_eq!(tail.bytes(), b"");
        for n in 0..10_000 {
            tail.push(&n.to_string());
            assert!(tail.0.lock().len() <= 2 * limits::FUNCTION_LOG_TAIL_BYTES_MAX);
        }
        let text = String::from_utf8(tail.bytes()).unwrap();
        assert_eq!(text.len(), limits::FUNCTION_LOG_TAIL_BYTES_MAX);
        assert!(text.ends_with("\n9998\n9999\n"), "{text}");
        tail.push(&"x".repeat(limits::FUNCTION_LOG_LINE_BYTES_MAX));
        assert!(tail.bytes().starts_with(b"xxx") && tail.bytes().ends_with(b"xxx\n"));
    }
}
