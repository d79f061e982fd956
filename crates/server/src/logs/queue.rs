//! Lines on their way to the files.
//!
//! Invariants: whoever adds never waits. A function's lines that wait take at most `KEPT_LOG_QUEUED_BYTES_OF_ONE_MAX`, all together
//! `KEPT_LOG_QUEUED_BYTES_MAX`; what is beyond is counted, function by function, and told behind what was kept. What Tailrace
//! itself says of a function (START, END, REPORT) is kept beside a flood of the function's own lines.

use std::collections::BTreeMap;
use std::mem::{size_of, take};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tailrace_core::limits;
use tailrace_lambda::{LogLine, LogStream};

#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<LogLine>,
    /// Bytes of all of them, and of those of each function that it printed itself.
    bytes: usize,
    printed: BTreeMap<Arc<str>, usize>,
    /// What was not taken since: how many lines, and the last of them, without its text.
    lost: BTreeMap<Arc<str>, (u64, LogLine)>,
    is_over: bool,
}

impl Queue {
    /// Adds a line, or counts it.
    pub(super) fn add(&self, line: &LogLine) {
        let mut waiting = self.waiting.lock();
        let size = line.text.len() + size_of::<LogLine>();
        let is_printed = matches!(line.stream, LogStream::Stdout | LogStream::Stderr);
        let printed = waiting.printed.get(&line.function).copied().unwrap_or_default();
        let is_room = waiting.bytes + size <= limits::KEPT_LOG_QUEUED_BYTES_MAX;
        if is_room && (!is_printed || printed + size <= limits::KEPT_LOG_QUEUED_BYTES_OF_ONE_MAX) {
            waiting.bytes += size;
            if is_printed {
                waiting.printed.insert(line.function.clone(), printed + size);
            }
            waiting.lines.push(line.clone());
        } else {
            let last = LogLine { text: String::new(), request_id: None, stream: LogStream::Notice, ..line.clone() };
            let before = waiting.lost.get(&line.function).map_or(0, |(lines, _)| *lines);
            waiting.lost.insert(line.function.clone(), (before + 1, last));
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// There will be no more.
    pub(super) fn end(&self) {
        self.waiting.lock().is_over = true;
        self.changed.notify_one();
    }

    /// Waits for lines and takes all, at the end what was lost behind them; `None`: all was taken, and there will be no more.
    pub(super) fn take(&self) -> Option<Vec<LogLine>> {
        let mut waiting = self.waiting.lock();
        while waiting.lines.is_empty() && waiting.lost.is_empty() {
            if waiting.is_over {
                return None;
            }
            self.changed.wait(&mut waiting);
        }
        (waiting.bytes, waiting.printed) = (0, BTreeMap::new());
        let mut lines = take(&mut waiting.lines);
        for (lost, last) in take(&mut waiting.lost).into_values() {
            let text = format!("{lost} lines were not kept: they came faster than they could be written");
            lines.push(LogLine { text, ..last });
        }
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use tailrace_core::EpochMs;

    use super::*;

    fn line(function: &str, stream: LogStream, bytes: usize) -> LogLine {
        let text = "x".repeat(bytes);
        LogLine { function: function.into(), request_id: Some("r".into()), time_ms: EpochMs(1), stream, text }
    }

    fn told(lines: &[LogLine]) -> Vec<(&str, &str)> {
        let notices = lines.iter().filter(|line| line.stream == LogStream::Notice);
        notices.map(|line| (&*line.function, line.text.as_str())).collect()
    }

    #[test]
    fn a_loud_function_loses_its_own_lines_and_is_told_of_them() {
        let queue = Queue::default();
        for _ in 0..100 {
            queue.add(&line("loud", LogStream::Stdout, limits::KEPT_LOG_QUEUED_BYTES_OF_ONE_MAX / 80));
            queue.add(&line("calm", LogStream::Stderr, 10));
        }
        queue.add(&line("loud", LogStream::Platform, 10));
        let lines = queue.take().unwrap();
        let of = |function: &str| lines.iter().filter(|line| &*line.function == function).count();
        assert_eq!(of("calm"), 100);
        // 79 that fit, what is said of it, and the notice.
        assert_eq!(of("loud"), 79 + 2);
        assert_eq!(told(&lines), [("loud", "21 lines were not kept: they came faster than they could be written")]);
        // What was taken has left the queue.
        queue.add(&line("loud", LogStream::Stdout, 10));
        assert_eq!(queue.take().unwrap().len(), 1);
    }

    #[test]
    fn all_functions_together_have_a_bound_and_the_last_loss_is_told_too() {
        let queue = Queue::default();
        let size = limits::FUNCTION_LOG_LINE_BYTES_MAX;
        let fit = limits::KEPT_LOG_QUEUED_BYTES_MAX / (size + size_of::<LogLine>());
        for n in 0..fit + 3 {
            queue.add(&line(&format!("f{}", n % 64), LogStream::Stdout, size));
        }
        queue.end();
        let lines = queue.take().unwrap();
        assert_eq!(lines.len(), fit + 3);
        assert_eq!(told(&lines).len(), 3);
        assert!(queue.take().is_none());
    }
}
