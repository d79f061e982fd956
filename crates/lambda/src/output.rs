//! What one process prints on one of its pipes: cut into lines, each with the invocation that it belongs to.
//!
//! Invariants
//! - What an invocation wrote before it answered is read before the next one is handed over (`settle`), so that no line of
//!   output holds a piece of two invocations, nor has the id of the wrong one.
//! - A line that has no end is shown all the same: when its invocation ends, when the pipe does, when nothing more of it
//!   came for `FUNCTION_LOG_PARTIAL_WAIT`, and `FUNCTION_LOG_PARTIAL_WAIT_MAX` behind its beginning.
//! - What is read and not yet taken by the log is bounded by `FUNCTION_OUTPUT_HELD_BYTES_MAX` and a pipe's worth; over that
//!   the pipe is left full, and its lines count to whichever invocation is open when they are read.
//!
//! What it does not do: it knows neither processes nor what becomes of a line (see `logs`).

use std::collections::VecDeque;
use std::future::pending;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;

use bytes::BytesMut;
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tokio::net::unix::pipe;
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::logs::{Line, LogSender, LogStream, OpenTail};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;

/// One pipe of a process.
pub(crate) struct Output {
    stream: LogStream,
    pipe: pipe::Receiver,
    clock: Arc<dyn Clock>,
    /// Where what the open invocation writes goes as well.
    tail: OpenTail,
    held: Mutex<Held>,
    /// Lines were put behind the others, or the pipe has ended.
    more: Notify,
}

type RequestId = Option<Arc<str>>;

#[derive(Default)]
struct Held {
    /// The beginning of a line.
    pending: BytesMut,
    lines: VecDeque<Line>,
    line_bytes: usize,
    ended: bool,
    /// The pipe has ended and nobody takes lines any more: those of the host go straight there.
    direct: Option<LogSender>,
}

/// What a read of the pipe came to.
enum Read {
    Some,
    Nothing,
    End,
}

impl Output {
    pub(crate) fn new(stream: LogStream, pipe: pipe::Receiver, clock: Arc<dyn Clock>, tail: OpenTail) -> Output {
        Output { stream, pipe, clock, tail, held: Mutex::default(), more: Notify::new() }
    }

    /// Reads the pipe to its end, and sends its lines. `request_id` tells whose they are at that moment.
    pub(crate) async fn forward(&self, logs: LogSender, request_id: impl Fn() -> RequestId) {
        // From the beginning of a line that has no end yet.
        let mut latest: Option<Pin<Box<Sleep>>> = None;
        loop {
            while let Some(line) = self.next_line() {
                logs.send(line).await;
                latest = None;
            }
            let is_partial = {
                let mut held = self.held.lock();
                if !held.lines.is_empty() {
                    continue;
                }
                if held.ended {
                    // The process may go on without the pipe.
                    held.direct = Some(logs);
                    return;
                }
                !held.pending.is_empty()
            };
            let sleep = || Box::pin(tokio::time::sleep(limits::FUNCTION_LOG_PARTIAL_WAIT_MAX));
            latest = is_partial.then(|| latest.unwrap_or_else(sleep));
            let cut = async {
                match &mut latest {
                    Some(latest) => tokio::select! {
                        () = latest => true,
                        () = tokio::time::sleep(limits::FUNCTION_LOG_PARTIAL_WAIT) => false,
                    },
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                is_latest = cut => {
                    let mut held = self.held.lock();
                    // Nobody may have looked for a while.
                    let read = self.take(&mut held, request_id(), |pipe, buffer| pipe.try_read(buffer));
                    if is_latest || matches!(read, Read::Nothing) {
                        let whole = whole_characters(&held.pending);
                        self.cut(&mut held, request_id(), whole);
                    }
                    latest = None;
                }
                ready = self.pipe.readable() => {
                    let mut held = self.held.lock();
                    match ready {
                        // Under the lock: whoever settles meanwhile waits, and what is read here has its owner's id.
                        Ok(()) => drop(self.take(&mut held, request_id(), |pipe, buffer| pipe.try_read(buffer))),
                        Err(_) => held.ended = true,
                    }
                }
                () = self.more.notified() => {}
            }
        }
    }

    /// Reads what the process has written until now, all of which belongs to this invocation, and puts lines of the
    /// host's behind it. Call it when an invocation has ended, before its process gets another one.
    pub(crate) fn settle(&self, request_id: RequestId, behind: Vec<String>) {
        let mut held = self.held.lock();
        let mut room = limits::FUNCTION_OUTPUT_HELD_BYTES_MAX.saturating_sub(held.line_bytes);
        while room > 0 && !held.ended {
            let before = held.line_bytes + held.pending.len();
            // Not by way of the runtime, which may not know yet that there is something.
            let read = |pipe: &pipe::Receiver, buffer: &mut [u8]| Ok(rustix::io::read(pipe, buffer)?);
            match self.take(&mut held, request_id.clone(), read) {
                Read::Some => {
                    room = room.saturating_sub((held.line_bytes + held.pending.len()).abs_diff(before).max(1))
                }
                Read::Nothing | Read::End => break,
            }
        }
        self.cut_rest(&mut held, request_id.clone());
        for text in behind {
            self.enqueue(&mut held, LogStream::Platform, request_id.clone(), text);
        }
        drop(held);
        self.more.notify_one();
    }

    /// Puts a line of the host's behind the others.
    pub(crate) fn push(&self, request_id: RequestId, text: String) {
        self.enqueue(&mut self.held.lock(), LogStream::Platform, request_id, text);
        self.more.notify_one();
    }

    fn take(
        &self,
        held: &mut Held,
        request_id: RequestId,
        read: impl Fn(&pipe::Receiver, &mut [u8]) -> std::io::Result<usize>,
    ) -> Read {
        let mut buffer = [0; READ_BYTES];
        match read(&self.pipe, &mut buffer) {
            Ok(0) => {
                held.ended = true;
                self.cut_rest(held, request_id);
                Read::End
            }
            Ok(count) => {
                held.pending.extend_from_slice(&buffer[..count]);
                while let Some(line) = take_line(&mut held.pending) {
                    self.enqueue(held, self.stream, request_id.clone(), text_of(&line));
                }
                Read::Some
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => {
                held.ended = true;
                Read::End
            }
        }
    }

    fn next_line(&self) -> Option<Line> {
        let mut held = self.held.lock();
        let line = held.lines.pop_front()?;
        held.line_bytes -= line.text.len();
        Some(line)
    }

    fn enqueue(&self, held: &mut Held, stream: LogStream, request_id: RequestId, text: String) {
        if let Some(tail) = &*self.tail.lock() {
            tail.push(&text);
        }
        let line = Line { time_ms: self.clock.now(), stream, request_id, text };
        if let Some(logs) = &held.direct {
            return logs.offer(line);
        }
        held.line_bytes += line.text.len();
        held.lines.push_back(line);
    }

    /// What has no line end is a line now.
    fn cut_rest(&self, held: &mut Held, request_id: RequestId) {
        let all = held.pending.len();
        self.cut(held, request_id, all);
    }

    /// So many bytes of what has no line end are a line now.
    fn cut(&self, held: &mut Held, request_id: RequestId, count: usize) {
        if count > 0 {
            let line = held.pending.split_to(count);
            self.enqueue(held, self.stream, request_id, text_of(&line));
        }
    }
}

/// How many bytes there are before a character that is there in part.
fn whole_characters(bytes: &[u8]) -> usize {
    match str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        // What is no text stays none.
        _ => bytes.len(),
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
    use tailrace_core::EpochMs;
    use tailrace_core::clock::ManualClock;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::logs::{LogLine, LogTail};

    fn clock() -> Arc<dyn Clock> {
        Arc::new(ManualClock::at(EpochMs(1_000)))
    }

    fn id(text: &str) -> RequestId {
        Some(text.into())
    }

    struct Bench {
        output: Arc<Output>,
        writer: Option<pipe::Sender>,
        open: Arc<Mutex<RequestId>>,
        lines: mpsc::Receiver<LogLine>,
        task: tokio::task::JoinHandle<()>,
    }

    fn bench(capacity: usize) -> Bench {
        let (writer, reader) = pipe::pipe().unwrap();
        let output = Arc::new(Output::new(LogStream::Stdout, reader, clock(), OpenTail::default()));
        let (sender, lines) = mpsc::channel(capacity);
        let open = Arc::new(Mutex::new(id("r-1")));
        let (own, owner) = (output.clone(), open.clone());
        let task =
            tokio::spawn(
                async move { own.forward(LogSender::new(sender, "f", clock()), || owner.lock().clone()).await },
            );
        Bench { output, writer: Some(writer), open, lines, task }
    }

    impl Bench {
        async fn write(&mut self, bytes: &[u8]) {
            self.writer.as_mut().unwrap().write_all(bytes).await.unwrap();
        }

        async fn line(&mut self) -> (LogStream, String, String) {
            let line = self.lines.recv().await.unwrap();
            assert_eq!(line.time_ms, EpochMs(1_000));
            (line.stream, line.request_id.unwrap().to_string(), line.text)
        }
    }

    /// All that a pipe gives for these bytes.
    async fn forward(bytes: &[u8], capacity: usize) -> Vec<(LogStream, String)> {
        let mut bench = bench(capacity);
        let mut writer = bench.writer.take().unwrap();
        let bytes = bytes.to_vec();
        tokio::spawn(async move { writer.write_all(&bytes).await.unwrap() });
        // It could tell more as long as it is there.
        drop(bench.output);
        let mut seen = Vec::new();
        while let Some(line) = bench.lines.recv().await {
            seen.push((line.stream, line.text));
        }
        bench.task.await.unwrap();
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
        assert!(seen.len() >= 2, "{}", seen.len());
        assert_eq!(seen.iter().map(|(_, text)| text.as_str()).collect::<String>(), line);
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_costs_lines_and_is_told_how_many() {
        let mut bench = bench(2);
        bench.write(b"1\n2\n3\n4\n").await;
        // Both that did not fit have waited their time, one of them in vain.
        while bench.lines.len() < 2 || !bench.output.held.lock().lines.is_empty() {
            tokio::time::sleep(limits::FUNCTION_LOG_WAIT).await;
        }
        tokio::time::sleep(limits::FUNCTION_LOG_WAIT * 2).await;
        assert_eq!(bench.line().await.2, "1");
        assert_eq!(bench.line().await.2, "2");
        bench.write(b"5\n").await;
        let notice = bench.lines.recv().await.unwrap();
        assert_eq!(notice.stream, LogStream::Notice);
        assert!(notice.text.starts_with("2 lines of output were dropped"), "{}", notice.text);
        assert_eq!(bench.line().await.2, "5");
    }

    /// What an invocation left without a line end is its own line, however fast the next one begins to write.
    #[tokio::test]
    async fn what_two_invocations_write_is_never_one_line() {
        let mut bench = bench(16);
        bench.write(b"first").await;
        bench.output.settle(id("r-1"), vec!["END r-1".to_owned()]);
        *bench.open.lock() = id("r-2");
        bench.write(b"second\n").await;
        assert_eq!(bench.line().await, (LogStream::Stdout, "r-1".into(), "first".into()));
        assert_eq!(bench.line().await, (LogStream::Platform, "r-1".into(), "END r-1".into()));
        assert_eq!(bench.line().await, (LogStream::Stdout, "r-2".into(), "second".into()));
    }

    /// docs/spec/lambda-runtime.md 10: what an invocation wrote until its answer is in its tail.
    #[tokio::test]
    async fn the_tail_of_an_invocation_has_its_own_lines() {
        let mut bench = bench(16);
        let tail = LogTail::default();
        *bench.output.tail.lock() = Some(tail.clone());
        bench.write(b"one\ntwo").await;
        bench.output.settle(id("r-1"), vec!["END r-1".to_owned()]);
        *bench.output.tail.lock() = None;
        bench.write(b"three\n").await;
        while bench.line().await.2 != "three" {}
        assert_eq!(tail.bytes(), b"one\ntwo\nEND r-1\n");
    }

    /// A function may close its output and go on: what is said of its invocations is told, and nothing is kept of it.
    #[tokio::test]
    async fn lines_behind_the_end_of_a_pipe_are_told_and_not_held() {
        let mut bench = bench(16);
        drop(bench.writer.take());
        (&mut bench.task).await.unwrap();
        for n in 0..3 {
            bench.output.settle(id("r-1"), vec![format!("REPORT {n}")]);
            assert_eq!(bench.line().await, (LogStream::Platform, "r-1".into(), format!("REPORT {n}")));
        }
        let held = bench.output.held.lock();
        assert_eq!((held.lines.len(), held.line_bytes), (0, 0));
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_shown_while_the_process_goes_on() {
        let mut bench = bench(16);
        bench.write(b"connecting ...").await;
        assert_eq!(bench.line().await.2, "connecting ...");
        bench.write(b" connected\n").await;
        assert_eq!(bench.line().await.2, " connected");
    }

    /// As dots that show how far something is.
    #[tokio::test]
    async fn a_line_that_never_ends_is_shown_while_it_is_written() {
        let mut bench = bench(16);
        let mut pace = tokio::time::interval(limits::FUNCTION_LOG_PARTIAL_WAIT / 5);
        let shown = loop {
            tokio::select! {
                biased;
                line = bench.lines.recv() => break line.unwrap().text,
                _ = pace.tick() => bench.writer.as_mut().unwrap().write_all(b".").await.unwrap(),
            }
        };
        assert!(shown.starts_with('.'), "{shown}");
    }

    #[test]
    fn a_character_is_not_cut() {
        for (bytes, whole) in
            [(&b"abc"[..], 3), (b"a\xc3\xa9", 3), (b"a\xc3", 1), (b"a\xe2\x82", 1), (b"\xf0\x9f", 0), (b"a\xffb", 3)]
        {
            assert_eq!(whole_characters(bytes), whole, "{bytes:?}");
        }
    }

    /// A process that writes without an end holds nobody up that wants it settled, and costs a bounded piece of memory.
    #[tokio::test]
    async fn endless_output_settles_in_a_bounded_piece() {
        let (writer, reader) = pipe::pipe().unwrap();
        let output = Output::new(LogStream::Stdout, reader, clock(), OpenTail::default());
        let endless = tokio::task::spawn_blocking(move || {
            let writer = writer.into_blocking_fd().unwrap();
            while rustix::io::write(&writer, &[b'x'; 8192]).is_ok() {}
        });
        for _ in 0..20 {
            tokio::task::yield_now().await;
            output.settle(id("r-1"), Vec::new());
        }
        assert!(output.held.lock().line_bytes <= limits::FUNCTION_OUTPUT_HELD_BYTES_MAX + READ_BYTES * 2);
        drop(output);
        endless.await.unwrap();
    }
}
