//! The lines that AWS writes around each invocation. Source: docs/spec/lambda-runtime.md 10.

use std::time::Duration;

/// Before the event is handed over.
pub(crate) fn start(request_id: &str, version: &str) -> String {
    format!("START RequestId: {request_id} Version: {version}")
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
    /// How it ended, if not with an answer.
    pub(crate) status: Option<&'a str>,
}

impl Report<'_> {
    /// The lines END and REPORT.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Report { request_id, duration, memory_mb, peak_bytes, .. } = self;
        let ms = |duration: &Duration| duration.as_secs_f64() * 1e3;
        let mut report = format!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {:.0} ms\tMemory Size: {memory_mb} MB\t\
             Max Memory Used: {} MB\t",
            ms(duration),
            ms(duration).ceil(),
            peak_bytes.div_ceil(1024 * 1024),
        );
        if let Some(init) = &self.init {
            report += &format!("Init Duration: {:.2} ms\t", ms(init));
        }
        if let Some(status) = self.status {
            report += &format!("Status: {status}\t");
        }
        vec![format!("END RequestId: {request_id}"), report]
    }
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
        assert_eq!(start("r-1", "$LATEST"), "START RequestId: r-1 Version: $LATEST");
        let mut report = Report {
            request_id: "r-1",
            duration: Duration::from_micros(3010),
            memory_mb: 128,
            peak_bytes: 36 * 1024 * 1024 - 7,
            init: Some(Duration::from_micros(110_100)),
            status: None,
        };
        let end = "END RequestId: r-1";
        let line = "REPORT RequestId: r-1\tDuration: 3.01 ms\tBilled Duration: 4 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t";
        assert_eq!(report.lines(), [end.to_owned(), format!("{line}Init Duration: 110.10 ms\t")]);
        report.init = None;
        assert_eq!(report.lines(), [end, line]);
        report.status = Some("timeout");
        assert_eq!(report.lines(), [end.to_owned(), format!("{line}Status: timeout\t")]);
    }

    #[test]
    fn the_memory_of_a_process_is_read_and_of_none_is_nothing() {
        assert!(peak_bytes(std::process::id() as i32) > 1024 * 1024);
        assert_eq!(peak_bytes(i32::MAX), 0);
    }
}
