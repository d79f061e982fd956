//! What is done behind the operations: one task a file, each a tick that does a bounded part of what is due.
//!
//! Invariants
//! - A tick is safe to repeat and to interrupt: what was done stands in rows (a shard's horizon, a mark that has gone), and what
//!   is left follows from rows. A task's place in its pass is kept in memory only to spare it looking again.
//! - A tick looks at a bounded number of rows and shards, so that a pass over many is many ticks with a pause between them.
//! - One bad row never holds up the others: a pass goes on past it, and tells of all failures at its end.
//! - Tasks do not wait for each other: each [`Job`] is run by a task of its own.
//!
//! What it does not do: it does not sleep and reads no clock but the database's; whoever runs the jobs waits between ticks.

pub mod backfill;
pub mod expire;
pub mod expiry_fill;
mod failures;
mod job;
pub mod marks;
pub mod reclaim;
pub mod removal;
pub mod retention;

use std::time::Duration;

pub use failures::Failures;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
pub use job::{Job, JobState, JobStatus, Wait};
use tailrace_core::EpochMs;

use crate::db::Db;
use crate::settings::Settings;

/// Where a pass stands after a tick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The pass is not over; what is next, in a few words for the operator.
    More(String),
    /// Everything was looked at.
    Done,
}

/// What a tick did.
#[derive(Debug)]
pub struct Tick {
    /// Where the pass stands.
    pub progress: Progress,
    /// What could not be done; the next pass tries it again.
    pub failures: Failures,
}

/// Something that is done in passes, a bounded tick at a time.
pub trait Task: Send + Sync + 'static {
    /// Its name for the operator.
    fn name(&self) -> &'static str;

    /// From the end of a pass to the beginning of the next.
    fn interval(&self, settings: &Settings) -> Duration;

    /// Resolves when something came up that is due at once.
    fn due<'a>(&'a self, _db: &'a Db) -> BoxFuture<'a, ()> {
        std::future::pending().boxed()
    }

    /// Does the next part of what is due at `now_ms`. Not to be called while another tick of the task is under way.
    fn tick<'a>(&'a self, db: &'a Db, now_ms: EpochMs) -> BoxFuture<'a, Tick>;
}

/// Every task.
pub fn tasks() -> Vec<Box<dyn Task>> {
    vec![
        Box::new(retention::Retention::default()),
        Box::new(reclaim::Reclaim::default()),
        Box::new(marks::Marks),
        Box::new(backfill::Backfill::default()),
        Box::new(removal::Removal::default()),
        Box::new(expiry_fill::ExpiryFill::default()),
        Box::new(expire::Expire::default()),
    ]
}
