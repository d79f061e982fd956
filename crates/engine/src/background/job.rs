//! A task with what is known of its runs, and the handles to start, pause and watch it.
//!
//! A pause holds until it is lifted or the process ends; it does not interrupt a tick.

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

/// What an operator can know of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct JobStatus {
    /// The task.
    pub name: &'static str,
    /// It does nothing until it is resumed.
    pub paused: bool,
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
    /// Until the task is resumed.
    Resumed,
}

/// A task that runs.
pub struct Job {
    db: Arc<Db>,
    task: Box<dyn Task>,
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    status: JobStatus,
    /// Of the pass that is under way.
    failures: Failures,
}

impl Job {
    /// A job for `task`, which has not run yet.
    pub fn new(db: Arc<Db>, task: Box<dyn Task>) -> Job {
        let status = JobStatus { name: task.name(), ..JobStatus::default() };
        let state = Mutex::new(State { status, failures: Failures::default() });
        Job { db, task, state, wake: Notify::new() }
    }

    /// Runs the next tick, unless the job is paused. For one caller at a time. Dropping the future loses nothing that counts: the
    /// tick is begun again.
    pub async fn run(&self) -> Wait {
        if self.state.lock().status.paused {
            return Wait::Resumed;
        }
        let tick = self.task.tick(&self.db, self.db.clock.now()).await;
        let now_ms = self.db.clock.now();
        let mut state = self.state.lock();
        state.status.last_run_ms = Some(now_ms);
        state.failures.append(tick.failures);
        match tick.progress {
            Progress::More(left) => {
                state.status.left = Some(left);
                Wait::Next
            }
            Progress::Done => {
                let failures = std::mem::take(&mut state.failures);
                let error = (!failures.is_empty()).then(|| failures.to_string());
                // Once, not with every pass: a full disk may stay so for days.
                if let Some(failures) = error.as_ref().filter(|_| error != state.status.last_error) {
                    tracing::warn!(task = state.status.name, %failures, "not all could be done; it is tried again");
                }
                state.status.left = None;
                state.status.last_pass_ms = Some(now_ms);
                state.status.last_error = error;
                Wait::Interval(self.task.interval(&self.db.settings))
            }
        }
    }

    /// Resolves when the job was triggered or resumed since this last resolved, or something is due at once.
    pub async fn woken(&self) {
        select(pin!(self.wake.notified()), self.task.due(&self.db)).await;
    }

    /// Lets a pass begin at once, or right after the one that is under way.
    pub fn trigger(&self) {
        self.wake.notify_one();
    }

    /// No tick begins from now on.
    pub fn pause(&self) {
        self.state.lock().status.paused = true;
    }

    /// Ticks begin again.
    pub fn resume(&self) {
        self.state.lock().status.paused = false;
        self.wake.notify_one();
    }

    /// What is known of it.
    pub fn status(&self) -> JobStatus {
        self.state.lock().status.clone()
    }
}
