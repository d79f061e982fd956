//! What a shard's state machine knows durably: `{ low_water, lanes, done[lane], attempt[lane] }`, and its stored form.
//!
//! A checkpoint never claims more than was done: `done[lane]` covers a record only after the target accepted it or
//! a parked copy went into the same commit. The stored form is JSON with a version; docs/format.md describes it.

use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, RecordNo};

use super::window::Windows;

/// The stored form's version.
pub const CHECKPOINT_VERSION: u32 = 1;

/// A shard's progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The stored form's version.
    v: u32,
    /// Every record up to this number is done: reading starts behind it.
    pub low_water: RecordNo,
    /// Per lane: every record of the lane up to this number is done.
    pub done: Vec<RecordNo>,
    /// Per lane: the batch that failed last, or is planned, and is not over.
    pub attempts: Vec<Option<Attempt>>,
    /// The shard is sealed and everything of it is done: its children may start.
    pub finished: bool,
    /// How often records may have been trimmed before they were read.
    #[serde(default)]
    pub trimmed_gaps: u64,
    /// The result of the last invocation.
    #[serde(default)]
    pub last: Option<LastResult>,
    /// Its tumbling windows, once it has had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// What the target has taken, where that is noted ([`Rules::mark`](super::Rules::mark)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<Taken>,
}

/// What a target has taken. Unlike what is done this covers no record that the target never had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The mark of the rules under which it took it.
    pub mark: u32,
    /// The last record.
    pub last: RecordNo,
}

/// A failing batch, or one that was planned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its first record.
    pub first: RecordNo,
    /// Its last record.
    pub last: RecordNo,
    /// Failed invocations since the last progress.
    pub invocations: u32,
    /// When it first failed, wall-clock milliseconds.
    pub first_failed_ms: EpochMs,
    /// The last error.
    pub error: String,
    /// Last records of the pieces that bisecting left for later; the next one is last.
    pub bisect: Vec<RecordNo>,
    /// The version under which the batch was planned, where batches are ([`Rules::plan`](super::Rules::plan)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<u32>,
}

/// The result of an invocation, as a mapping's LastProcessingResult shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastResult {
    /// When, wall-clock milliseconds.
    pub at_ms: EpochMs,
    /// `None`: the batch was processed.
    pub error: Option<String>,
    /// The error is that the target could not be invoked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub not_invoked: bool,
}

/// A stored checkpoint that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Written by a newer version.
    #[error("checkpoint of version {0}, but this program reads versions up to {CHECKPOINT_VERSION}")]
    Newer(u32),
    /// Not a checkpoint.
    #[error("damaged checkpoint: {0}")]
    Damaged(String),
}

impl Checkpoint {
    /// Nothing is done yet; reading starts behind `after`.
    pub fn starting_after(after: RecordNo, lanes: u16) -> Self {
        let lanes = usize::from(lanes);
        Self {
            v: CHECKPOINT_VERSION,
            low_water: after,
            done: vec![after; lanes],
            attempts: vec![None; lanes],
            finished: false,
            trimmed_gaps: 0,
            last: None,
            windows: None,
            taken: None,
        }
    }

    /// Forgets what is planned, so that it is planned anew. The target may have taken it: that it was planned for is noted as [`Taken`]. False:
    /// nothing is planned.
    pub fn forget_plans(&mut self) -> bool {
        let mut planned = None;
        for attempt in &mut self.attempts {
            if let Some(mark) = attempt.as_ref().and_then(|attempt| attempt.plan) {
                (planned, *attempt) = (Some(mark), None);
            }
        }
        let Some(mark) = planned else { return false };
        self.taken.get_or_insert(Taken { mark, last: RecordNo::ZERO });
        true
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("invariant: a checkpoint has only string keys")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// A newer version, or bytes that are no checkpoint.
    pub fn decode(bytes: &[u8]) -> Result<Self, CheckpointError> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        let damaged = |e: serde_json::Error| CheckpointError::Damaged(e.to_string());
        let Versioned { v } = serde_json::from_slice(bytes).map_err(damaged)?;
        if v > CHECKPOINT_VERSION {
            return Err(CheckpointError::Newer(v));
        }
        let checkpoint: Self = serde_json::from_slice(bytes).map_err(damaged)?;
        let (lanes, low) = (checkpoint.done.len(), checkpoint.low_water);
        if lanes == 0 || lanes != checkpoint.attempts.len() || checkpoint.done.iter().any(|done| *done < low) {
            return Err(CheckpointError::Damaged("lanes that contradict each other".into()));
        }
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::window::OpenWindow;

    #[test]
    fn reads_what_it_wrote() {
        let mut checkpoint = Checkpoint::starting_after(RecordNo(7), 2);
        checkpoint.done[1] = RecordNo(19);
        checkpoint.attempts[0] = Some(Attempt {
            first: RecordNo(8),
            last: RecordNo(11),
            invocations: 2,
            first_failed_ms: EpochMs(1_700_000_000_000),
            error: "ValueError: \"x\"".into(),
            bisect: vec![RecordNo(30), RecordNo(15)],
            plan: None,
        });
        checkpoint.last = Some(LastResult { at_ms: EpochMs(5), error: None, not_invoked: false });
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint.clone()));
        checkpoint.windows = Some(Windows {
            done_until_ms: EpochMs(60_000),
            open: Some(OpenWindow {
                start_ms: EpochMs(60_000),
                end_ms: EpochMs(120_000),
                state: r#"{"sum":[1,"x"]}"#.into(),
                terminated_early: true,
                final_failures: 3,
                last: Some(RecordNo(7)),
            }),
        });
        checkpoint.taken = Some(Taken { mark: 2, last: RecordNo(11) });
        checkpoint.attempts[1] = Some(Attempt { plan: Some(3), ..checkpoint.attempts[0].clone().expect("some") });
        checkpoint.last = Some(LastResult { at_ms: EpochMs(6), error: Some("throttled".into()), not_invoked: true });
        assert_eq!(Checkpoint::decode(&checkpoint.encode()), Ok(checkpoint));
    }

    #[test]
    fn what_was_planned_may_be_at_the_target_still() {
        let mut checkpoint = Checkpoint::starting_after(RecordNo(7), 1);
        assert!(!checkpoint.forget_plans());
        let attempt = Attempt {
            first: RecordNo(8),
            last: RecordNo(11),
            invocations: 1,
            first_failed_ms: EpochMs(1),
            error: "away".into(),
            bisect: Vec::new(),
            plan: Some(3),
        };
        checkpoint.attempts[0] = Some(attempt.clone());
        assert!(checkpoint.forget_plans());
        assert_eq!((checkpoint.taken, &checkpoint.attempts[0]), (Some(Taken { mark: 3, last: RecordNo::ZERO }), &None));
        let before = Some(Taken { mark: 1, last: RecordNo(7) });
        (checkpoint.taken, checkpoint.attempts[0]) = (before, Some(attempt));
        assert!(checkpoint.forget_plans());
        assert_eq!(checkpoint.taken, before);
    }

    /// The bytes of version 1: they must be readable for ever.
    #[test]
    fn the_stored_form_of_version_1_stays() {
        let stored = r#"{"v":1,"low_water":7,"done":[7],"attempts":[{"first":8,"last":9,"invocations":1,"first_failed_ms":3,"error":"e","bisect":[12]}],"finished":false,"trimmed_gaps":2,"last":{"at_ms":4,"error":"e"}}"#;
        let read = Checkpoint::decode(stored.as_bytes()).expect("readable");
        assert_eq!(String::from_utf8_lossy(&read.encode()), stored);
    }

    #[test]
    fn a_newer_version_and_damage_are_named() {
        assert_eq!(Checkpoint::decode(br#"{"v":2,"shape":"unknown"}"#), Err(CheckpointError::Newer(2)));
        assert!(matches!(Checkpoint::decode(b"{"), Err(CheckpointError::Damaged(_))));
        let fewer = br#"{"v":1,"low_water":7,"done":[3],"attempts":[null],"finished":false}"#;
        assert!(matches!(Checkpoint::decode(fewer), Err(CheckpointError::Damaged(_))));
    }
}
