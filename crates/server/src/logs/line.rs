//! A kept line: one JSON document, one line of a file.

use serde::{Deserialize, Serialize};
use tailrace_engine::streams::label;
use tailrace_lambda::{LogLine, LogStream};

/// A line as it is kept, and as the command line and `/_admin/logs` have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptLine {
    /// When it was read: UTC, to the millisecond, `2026-01-31T12:00:00.000Z`.
    pub time: String,
    /// The invocation that was open, or else the last one that was; missing before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// `stdout` or `stderr` of the function; `platform`: START, END and REPORT; `notice`: Tailrace itself.
    pub stream: String,
    /// The text; it may have line breaks.
    pub text: String,
}

impl KeptLine {
    pub(super) fn of(line: &LogLine) -> KeptLine {
        let stream = match line.stream {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
            LogStream::Platform => "platform",
            LogStream::Notice => "notice",
        };
        KeptLine {
            time: format!("{}Z", label::text(line.time_ms)),
            request_id: line.request_id.as_deref().map(str::to_owned),
            stream: stream.to_owned(),
            text: line.text.clone(),
        }
    }

    /// Reads a line of a file. One that is no document (a power cut ended it) is its own text.
    pub(super) fn read(bytes: &[u8]) -> KeptLine {
        serde_json::from_slice(bytes).unwrap_or_else(|_| KeptLine {
            time: "-".to_owned(),
            request_id: None,
            stream: "damaged".to_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        })
    }
}

/// Some of a function's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// The lines, oldest first.
    pub lines: Vec<KeptLine>,
    /// The place behind them: what to ask for the next page with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<super::Place>,
    /// There is more behind it already.
    pub more: bool,
    /// What was asked for is not kept any more: older lines than these are gone.
    pub gap: bool,
}
