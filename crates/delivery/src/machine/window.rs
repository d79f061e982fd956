//! Tumbling windows of a shard: which one a record is in, the state that is carried from call to call, and when a window ends.
//! Source: docs/spec/event-source-mapping.md 9.
//!
//! Invariants: one window is open at a time, and a batch is of one window. The state is that of the last call whose records are
//! done: it is in the commit that says so. A window ends with a call of its own, and nothing behind it is handed out before
//! that call succeeded or was given up.
//!
//! What it does not do: it looks into no state.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tailrace_core::limits::{TUMBLING_WINDOW_GRACE, WINDOW_STATE_BYTES_MAX};
use tailrace_core::{EpochMs, RecordNo};

/// The state with which a window begins.
const NO_STATE: &str = "{}";

/// What a checkpoint keeps of a shard's windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windows {
    /// Windows up to here are over: a record that is older, after a clock was set back, is in the next one.
    pub done_until_ms: EpochMs,
    /// The one that is open.
    pub open: Option<OpenWindow>,
}

/// A window that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Its first instant.
    pub start_ms: EpochMs,
    /// The first instant behind it.
    pub end_ms: EpochMs,
    /// What the target answered last, as JSON.
    #[serde(with = "shared_text")]
    pub state: Arc<str>,
    /// The state has become too large: the window is to end before its time.
    pub terminated_early: bool,
    /// Failed tries of its final call.
    pub final_failures: u32,
    /// The last record that was handed out in it: its final call is held to the age of that one. Checkpoints from before it was
    /// kept have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<RecordNo>,
}

/// What a call is told of its window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowCall {
    /// The window's first instant.
    pub start_ms: EpochMs,
    /// The first instant behind it.
    pub end_ms: EpochMs,
    /// The state so far, as JSON.
    pub state: Arc<str>,
    /// It is the window's last call. It brings no records.
    pub is_final: bool,
    /// The window ends before its time.
    pub terminated_early: bool,
}

/// A shard as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// The wall clock.
    pub now: EpochMs,
    /// Everything that is published was read.
    pub caught_up: bool,
    /// Nothing will come any more.
    pub ended: bool,
    /// The time of the newest record that was read, wanted or not.
    pub newest: EpochMs,
}

impl Seen {
    /// No record before this end of a window can come any more.
    pub fn is_past(self, end: EpochMs) -> bool {
        self.newest >= end || (self.caught_up && self.now >= closes_ms(end))
    }
}

/// When a window with this end is over if nothing comes. Records of its last moments may still be on their way into the log.
pub(crate) fn closes_ms(end: EpochMs) -> EpochMs {
    end.plus(TUMBLING_WINDOW_GRACE)
}

/// A text that several hold, stored as a text.
mod shared_text {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        Ok(String::deserialize(deserializer)?.into())
    }
}

impl Windows {
    /// The bounds of the window that a record of this time is in.
    pub fn of(&self, time: EpochMs, length: Duration) -> (EpochMs, EpochMs) {
        let time = time.max(self.done_until_ms).0;
        let length_ms = length.as_millis() as u64;
        let start_ms = time - time % length_ms;
        (EpochMs(start_ms), EpochMs(start_ms + length_ms))
    }

    /// The window of a batch whose first record has this time: the open one, or a new one.
    pub fn enter(&mut self, time: EpochMs, length: Duration) -> &mut OpenWindow {
        let (start_ms, end_ms) = self.of(time, length);
        self.open.get_or_insert_with(|| OpenWindow {
            start_ms,
            end_ms,
            state: NO_STATE.into(),
            terminated_early: false,
            final_failures: 0,
            last: None,
        })
    }

    /// The end of the window that comes next: of the open one, or of the one that a record of this time would open.
    pub fn next_end(&self, time: EpochMs, length: Duration) -> EpochMs {
        self.open.as_ref().map_or_else(|| self.of(time, length).1, |open| open.end_ms)
    }

    /// The open window is over: no record of it can come any more, or it cannot go on.
    pub(crate) fn is_over(&self, length: Option<Duration>, seen: Seen) -> bool {
        self.open.as_ref().is_some_and(|open| {
            let as_long = length.is_some_and(|length| open.start_ms.plus(length) == open.end_ms);
            open.terminated_early || !as_long || seen.ended || seen.is_past(open.end_ms)
        })
    }

    /// The open window has ended: with its final call, or without one that succeeded.
    pub fn close(&mut self) -> Option<OpenWindow> {
        let open = self.open.take()?;
        if !open.terminated_early {
            self.done_until_ms = self.done_until_ms.max(open.end_ms);
        }
        Some(open)
    }
}

impl WindowCall {
    /// The only call of a window that nothing was in before, and nothing will be in behind.
    pub fn alone(time: EpochMs, length: Duration) -> WindowCall {
        Windows::default().enter(time, length).call(true)
    }
}

impl OpenWindow {
    /// A batch of it goes out, with this record at its end.
    pub(crate) fn reaches(&mut self, last: RecordNo) {
        self.last = self.last.max(Some(last));
    }

    /// It has become too old, as a record does: by the rule, or since the stream keeps nothing of it any more.
    pub(crate) fn is_too_old(&self, record_age_max: Option<Duration>, now: EpochMs, horizon: RecordNo) -> bool {
        record_age_max.is_some_and(|max| now.since(self.end_ms) > max) || self.last.is_some_and(|last| last < horizon)
    }

    /// Takes a state over.
    pub fn take(&mut self, state: Arc<str>) {
        self.terminated_early = state.len() > WINDOW_STATE_BYTES_MAX;
        self.state = state;
    }

    /// What a call is told.
    pub fn call(&self, is_final: bool) -> WindowCall {
        let OpenWindow { start_ms, end_ms, ref state, terminated_early, .. } = *self;
        WindowCall { start_ms, end_ms, state: state.clone(), is_final, terminated_early }
    }
}
