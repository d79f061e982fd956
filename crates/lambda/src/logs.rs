//! What functions print, line by line.
//!
//! The lines go into one bounded channel. A reader that falls behind holds a function up for at most
//! `FUNCTION_LOG_WAIT` per pipe read; then lines are dropped, counted, and one notice says how many. So a
//! terminal that stands still never turns into a timeout of the function, and a terminal that is merely slow loses
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use tailrace_core::limits;
use tokio::io::{AsyncRead, AsyncReadExt};
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

    /// Sends one line; waits at most `FUNCTION_LOG_WAIT` for the reader, and not at all while lines are being
    /// dropped.
    async fn send(&self, stream: LogStream, request_id: Option<Arc<str>>, text: String) {
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

    /// Reads a pipe to its end and sends what it holds, line by line. `request_id` tells whose line it is.
    pub(crate) async fn forward(
        self,
        stream: LogStream,
        mut pipe: impl AsyncRead + Unpin,
        request_id: impl Fn() -> Option<Arc<str>>,
    ) {
        let mut pending = BytesMut::with_capacity(8192);
        loop {
            match pipe.read_buf(&mut pending).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
            while let Some(line) = take_line(&mut pending) {
                self.send(stream, request_id(), text_of(&line)).await;
            }
        }
        if !pending.is_empty() {
            self.send(stream, request_id(), text_of(&pending)).await;
        }
    }
}

/// The next whole line, or the longest allowed piece of one.
fn take_line(pending: &mut BytesMut) -> Option<BytesMut> {
    let window = pending.len().min(limits::FUNCTION_LOG_LINE_BYTES_MAX + 1);
    match pending[..window].iter().position(|&byte| byte == b'\n') {
        Some(end) => {
            let mut line = pending.split_to(end + 1);
            line.truncate(end);
            Some(line)
        }
        None if pending.len() > limits::FUNCTION_LOG_LINE_BYTES_MAX => {
            let mut cut = limits::FUNCTION_LOG_LINE_BYTES_MAX;
            // Never in the middle of a character; four steps are enough for any.
            while cut > limits::FUNCTION_LOG_LINE_BYTES_MAX - 4
                && pending.get(cut).is_some_and(|byte| byte & 0xC0 == 0x80)
            {
                cut -= 1;
            }
            Some(pending.split_to(cut))
        }
        None => None,
    }
}

fn text_of(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line).replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn forward(output: &[u8], capacity: usize) -> Vec<(LogStream, String)> {
        let (sender, mut lines) = mpsc::channel(capacity);
        LogSender::new(sender, "f").forward(LogStream::Stdout, output, || None).await;
        let mut seen = Vec::new();
        while let Some(line) = lines.recv().await {
            seen.push((line.stream, line.text));
        }
        seen
    }

    #[tokio::test]
    async fn output_is_cut_into_lines() {
        let seen = forward("a\n\nb\u{e9}\rc\r\nlast".as_bytes(), 16).await;
        let texts: Vec<_> = seen.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["a", "", "b\u{e9}\nc", "last"]);
    }

    #[tokio::test]
    async fn a_long_line_is_split_between_characters() {
        let line = format!("x{}", "\u{e9}".repeat(limits::FUNCTION_LOG_LINE_BYTES_MAX / 2 + 10));
        let seen = forward(line.as_bytes(), 16).await;
        assert_eq!(seen.len(), 2);
        assert_eq!(seen.iter().map(|(_, text)| text.as_str()).collect::<String>(), line);
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_costs_lines_and_is_told_how_many() {
        let (sender, mut lines) = mpsc::channel(2);
        let sender = LogSender::new(sender, "f");
        sender.clone().forward(LogStream::Stdout, &b"1\n2\n3\n4\n"[..], || None).await;
        assert_eq!(lines.recv().await.unwrap().text, "1");
        assert_eq!(lines.recv().await.unwrap().text, "2");
        sender.forward(LogStream::Stdout, &b"5\n"[..], || None).await;
        let notice = lines.recv().await.unwrap();
        assert_eq!(notice.stream, LogStream::Notice);
        assert!(notice.text.starts_with("2 lines of output were dropped"), "{}", notice.text);
        assert_eq!(lines.recv().await.unwrap().text, "5");
    }
}
