//! A task with what is known of its runs, and the handles to start, pause and watch it.
//!
//! A pause holds until it is lifted or the process ends; it does not interrupt a tick. A pass that was asked for runs all the
//! same: first what is left of the one that is under way, then a whole one.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
use parking_lot::Mutex;
use serde::Serialize;
use tailrace_core::EpochMs;
use tokio::sync::Notify;

use super::{Failures, Progress, Task};
use crate::db::Db;

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Nothing, until a pass is due.
    Waiting,
    /// A pass is under way, or about to begin.
    Running,
    /// Nothing, until it is resumed or a pass is asked for. A pass that was under way waits where it is.
    Paused,
}

/// What an operator can know of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The task.
    pub name: &'static str,
    /// What it is doing.
    pub state: JobState,
    /// Whole passes since the start.
    pub passes: u64,
    /// The end of the last tick.
    pub last_run_ms: Option<EpochMs>,
    /// The end of the last whole pass.
    pub last_pass_ms: Option<EpochMs>,
    /// What failed in the last whole pass.
    pub last_error: Option<String>,
    /// What is left of the pass that is under way.
    pub left: Option<String>,
}

/// How long to wait for the next tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The pass goes on: only let others go first.
    Next,
    /// Until a pass is due again, milliseconds, or until the task is triggered.
    Interval(Duration),
    /// Until the task is resumed, or a pass is asked for.
    Resumed,
}

/// A task that runs.
pub struct Job {
    db: Arc<Db>,
    task: Box<dyn Task>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    paused: bool,
    /// A pass that has not begun was asked for.
    asked: bool,
    /// The pass that is under way was asked for.
    granted: bool,
    /// A tick is under way.
    ticking: bool,
    /// Of the pass that is under way.
    failures: Failures,
    passes: u64,
    last_run_ms: Option<EpochMs>,
    last_pass_ms: Option<EpochMs>,
    last_error: Option<String>,
    /// What is left of the pass that is under way; `None` between passes.
    left: Option<String>,
}

impl State {
    /// Whether a tick may begin now.
    fn begin(&mut self) -> bool {
        if self.left.is_none() && std::mem::take(&mut self.asked) {
            self.granted = true;
        }
        self.ticking = !self.paused || self.granted || self.asked;
        self.ticking
    }

    fn doing(&self) -> JobState {
        match self {
            State { ticking: true, .. } | State { granted: true, .. } | State { asked: true, .. } => JobState::Running,
            State { paused: true, .. } => JobState::Paused,
            State { left: Some(_), .. } => JobState::Running,
            State { left: None, .. } => JobState::Waiting,
        }
    }
}

impl Job {
    /// A job for `task`, which has not run yet.
    pub fn new(db: Arc<Db>, task: Box<dyn Task>) -> Job {
        Job { db, task, state: Mutex::default(), wake: Notify::new() }
    }

    /// The task's name.
    pub fn name(&self) -> &'static str {
        self.task.name()
    }

    /// Runs the next tick, unless the job is paused. For one caller at a time. Dropping the future loses nothing that counts: the
    /// tick is begun again.
    pub async fn run(&self) -> Wait {
        if !self.state.lock().begin() {
            return Wait::Resumed;
        }
        let tick = self.task.tick(&self.db, self.db.clock.now()).await;
        let now_ms = self.db.clock.now();
        let mut state = self.state.lock();
        (state.ticking, state.last_run_ms) = (false, Some(now_ms));
        state.failures.append(tick.failures);
        match tick.progress {
            Progress::More(left) => {
                state.left = Some(left);
                Wait::Next
            }
            Progress::Done => {
                let failures = std::mem::take(&mut state.failures);
                let error = (!failures.is_empty()).then(|| failures.to_string());
                // Once, not with every pass: a full disk may stay so for days.
                if let Some(failures) = error.as_ref().filter(|_| error != state.last_error) {
                    tracing::warn!(task = self.name(), %failures, "not all could be done; it is tried again");
                }
                (state.left, state.last_error, state.granted) = (None, error, false);
                (state.passes, state.last_pass_ms) = (state.passes + 1, Some(now_ms));
                if state.asked { Wait::Next } else { Wait::Interval(self.task.interval(&self.db.settings)) }
            }
        }
    }

    /// Resolves when a pass was asked for or the job was resumed since this last resolved, or something is due at once.
    pub async fn woken(&self) {
        select(pin!(self.wake.notified()), self.task.due(&self.db)).await;
    }

    /// As [`Job::woken`], but for what is due, which a paused job leaves.
    pub async fn resumed(&self) {
        self.wake.notified().await;
    }

    /// Asks for a pass: it begins at once, or right after the one that is under way, and also if the job is paused.
    pub fn trigger(&self) {
        self.state.lock().asked = true;
        self.wake.notify_one();
    }

    /// No tick begins from now on, but for passes that are asked for.
    pub fn pause(&self) {
        self.state.lock().paused = true;
    }

    /// Ticks begin again.
    pub fn resume(&self) {
        self.state.lock().paused = false;
        self.wake.notify_one();
    }

    /// What is known of it.
    pub fn status(&self) -> JobStatus {
        let state = self.state.lock();
        JobStatus {
            name: self.name(),
            state: state.doing(),
            passes: state.passes,
            last_run_ms: state.last_run_ms,
            last_pass_ms: state.last_pass_ms,
            last_error: state.last_error.clone(),
            left: state.left.clone(),
        }
    }
}
