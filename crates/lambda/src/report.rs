//! The lines that AWS writes around each invocation. Source: docs/spec/lambda-runtime.md 10.

use std::time::Duration;

use serde_json::json;
use tailrace_core::EpochMs;
use tailrace_core::function::{LogLevel, Logging};

use crate::launch::civil_date;

/// How an invocation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It took longer than it may.
    Timeout,
    /// Its process ended, or did not start; with the type of the error.
    Process(String),
    /// Its process answered with an error; with the type of that, if it has one. Only JSON tells it.
    Answered(Option<String>),
}

impl Failed {
    pub(crate) fn exit() -> Failed {
        Failed::Process("Runtime.ExitError".to_owned())
    }
}

/// Before the event is handed over; `None`: the function wants no such lines.
pub(crate) fn start(request_id: &str, version: &str, logging: &Logging, now: EpochMs) -> Option<String> {
    if !logging.json {
        return Some(format!("START RequestId: {request_id} Version: {version}"));
    }
    tells(logging, LogLevel::Info)
        .then(|| line(now, "platform.start", json!({ "requestId": request_id, "version": version })))
}

/// What is told of an invocation behind its end.
pub(crate) struct Report<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) duration: Duration,
    pub(crate) memory_mb: u32,
    /// The most memory that its process has had, bytes.
    pub(crate) peak_bytes: u64,
    /// From the start of the process to its first request for an event, with the first invocation.
    pub(crate) init: Option<Duration>,
    /// How it failed, if it did.
    pub(crate) failed: Option<Failed>,
}

impl Report<'_> {
    /// The lines END and REPORT, or the record that JSON has in their place.
    pub(crate) fn lines(&self, logging: &Logging, now: EpochMs) -> Vec<String> {
        if logging.json { self.record(logging, now).into_iter().collect() } else { self.texts() }
    }

    fn texts(&self) -> Vec<String> {
        let Report { request_id, memory_mb, .. } = self;
        let mut report = format!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {:.0} ms\tMemory Size: {memory_mb} MB\t\
             Max Memory Used: {} MB\t",
            ms(self.duration),
            ms(self.duration).ceil(),
            self.peak_mb(),
        );
        if let Some(init) = self.init {
            report += &format!("Init Duration: {:.2} ms\t", ms(init));
        }
        match &self.failed {
            Some(Failed::Timeout) => report += "Status: timeout\t",
            Some(Failed::Process(error_type)) => report += &format!("Status: error\tError Type: {error_type}\t"),
            Some(Failed::Answered(_)) | None => {}
        }
        vec![format!("END RequestId: {request_id}"), report]
    }

    fn record(&self, logging: &Logging, now: EpochMs) -> Option<String> {
        let level = if self.failed.is_some() { LogLevel::Warn } else { LogLevel::Info };
        if !tells(logging, level) {
            return None;
        }
        let hundredths = |duration: Duration| (ms(duration) * 100.0).round() / 100.0;
        let mut metrics = json!({
            "durationMs": hundredths(self.duration),
            "billedDurationMs": ms(self.duration).ceil() as u64,
            "memorySizeMB": self.memory_mb,
            "maxMemoryUsedMB": self.peak_mb(),
        });
        if let Some(init) = self.init {
            metrics["initDurationMs"] = json!(hundredths(init));
        }
        let mut record = json!({ "requestId": self.request_id, "metrics": metrics });
        let (status, error_type) = match &self.failed {
            None => ("success", None),
            Some(Failed::Timeout) => ("timeout", None),
            Some(Failed::Process(error_type)) => ("error", Some(error_type)),
            Some(Failed::Answered(error_type)) => ("error", error_type.as_ref()),
        };
        record["status"] = status.into();
        if let Some(error_type) = error_type {
            record["errorType"] = error_type.as_str().into();
        }
        Some(line(now, "platform.report", record))
    }

    fn peak_mb(&self) -> u64 {
        self.peak_bytes.div_ceil(1024 * 1024)
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Whether lines of the platform of this level are wanted.
fn tells(logging: &Logging, level: LogLevel) -> bool {
    level >= logging.system_level.unwrap_or(LogLevel::Info)
}

/// A line of the platform's in JSON.
fn line(now: EpochMs, kind: &str, record: serde_json::Value) -> String {
    let (year, month, day) = civil_date(now.seconds() / 86_400);
    let (second, milli) = (now.seconds() % 86_400, now.0 % 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let time = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z");
    json!({ "time": time, "type": kind, "record": record }).to_string()
}

/// The most memory that a process has had, bytes; 0: it is gone.
pub(crate) fn peak_bytes(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of section 10, byte for byte.
    #[test]
    fn the_lines_are_those_of_aws() {
        let (text, now) = (Logging::default(), EpochMs(0));
        assert_eq!(start("r-1", "$LATEST", &text, now).unwrap(), "START RequestId: r-1 Version: $LATEST");
        let mut report = Report {
            request_id: "r-1",
            duration: Duration::from_micros(3010),
            memory_mb: 128,
            peak_bytes: 36 * 1024 * 1024 - 7,
            init: Some(Duration::from_micros(110_100)),
            failed: None,
        };
        let end = "END RequestId: r-1";
        let line = "REPORT RequestId: r-1\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t";
        assert_eq!(report.lines(&text, now), [end.to_owned(), format!("{line}Init Duration: 110.10 ms\t")]);
        report.init = None;
        assert_eq!(report.lines(&text, now), [end, line]);
        report.failed = Some(Failed::Answered(Some("ValueError".to_owned())));
        assert_eq!(report.lines(&text, now), [end, line]);
        report.failed = Some(Failed::Timeout);
        assert_eq!(report.lines(&text, now), [end.to_owned(), format!("{line}Status: timeout\t")]);
    }

    /// Section 10: as JSON, and by the level that is asked for.
    #[test]
    fn the_lines_are_records_where_json_is_asked_for() {
        let mut logging = Logging { json: true, ..Logging::default() };
        let now = EpochMs(1_767_225_599_007);
        let time = "2025-12-31T23:59:59.007Z";
        let read = |line: String| serde_json::from_str::<serde_json::Value>(&line).unwrap();
        let started =
            json!({ "time": time, "type": "platform.start", "record": { "requestId": "r-1", "version": "$LATEST" } });
        assert_eq!(read(start("r-1", "$LATEST", &logging, now).unwrap()), started);
        let mut report = Report {
            request_id: "r-1",
            duration: Duration::from_micros(3010),
            memory_mb: 128,
            peak_bytes: 36 << 20,
            init: Some(Duration::from_micros(110_100)),
            failed: None,
        };
        let mut record = json!({ "requestId": "r-1", "status": "success", "metrics": {
            "durationMs": 3.01, "billedDurationMs": 4, "memorySizeMB": 128, "maxMemoryUsedMB": 36, "initDurationMs": 110.1,
        } });
        let lines = |report: &Report<'_>, logging: &Logging| -> Vec<_> {
            report.lines(logging, now).into_iter().map(read).collect()
        };
        assert_eq!(lines(&report, &logging), [json!({ "time": time, "type": "platform.report", "record": record })]);
        logging.system_level = Some(LogLevel::Warn);
        assert_eq!((start("r-1", "$LATEST", &logging, now), lines(&report, &logging)), (None, vec![]));
        record["status"] = json!("error");
        for (failed, error_type) in
            [(Failed::exit(), "Runtime.ExitError"), (Failed::Answered(Some("ValueError".to_owned())), "ValueError")]
        {
            report.failed = Some(failed);
            record["errorType"] = json!(error_type);
            let expected = json!({ "time": time, "type": "platform.report", "record": record });
            assert_eq!(lines(&report, &logging), [expected]);
        }
    }

    #[test]
    fn the_memory_of_a_process_is_read_and_of_none_is_nothing() {
        assert!(peak_bytes(std::process::id() as i32) > 1024 * 1024);
        assert_eq!(peak_bytes(i32::MAX), 0);
    }
}
