//! The supervisor of one mapping: a task for each shard whose parent is finished, and never a dead one in silence.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tailrace_core::limits::BACKOFF_MS_MAX;
use tailrace_store::{ShardNo, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::shard::{self, End};
use super::{Control, Shared, Work, rows};

/// Runs the mapping until it is told to stop. Failures are told and tried again with back-off.
pub(super) async fn run(shared: Arc<Shared>, work: Arc<Work>, mut control: watch::Receiver<Control>) {
    let mut shards = Shards { tasks: JoinSet::new(), running: BTreeSet::new() };
    let mut failures = 0;
    loop {
        match shards.run(&shared, &work, &mut control).await {
            Ok(()) | Err(StoreError::Closed) => break,
            Err(error) => {
                failures += 1;
                shared.trouble(&work, None, format!("cannot look for shards: {error}"));
                tokio::select! {
                    () = shared.pause(failures) => {}
                    _ = control.wait_for(|control| control.stop) => {}
                }
            }
        }
    }
    // Their futures end by themselves: they were told to stop, or the store is closed.
    while shards.tasks.join_next().await.is_some() {}
}

struct Shards {
    tasks: JoinSet<(ShardNo, End)>,
    running: BTreeSet<ShardNo>,
}

impl Shards {
    async fn run(
        &mut self,
        shared: &Arc<Shared>,
        work: &Arc<Work>,
        control: &mut watch::Receiver<Control>,
    ) -> Result<(), StoreError> {
        loop {
            let stop = control.borrow_and_update().stop;
            if !stop {
                self.start_ready(shared, work, control).await?;
            } else if self.tasks.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next() => {
                    let Ok((shard, end)) = joined else { continue };
                    self.running.remove(&shard);
                    work.shown.lock().remove(&shard);
                    match end {
                        End::Finished => {
                            work.finished.lock().insert(shard);
                        }
                        End::Gone => return Ok(()),
                        End::Stopped => {}
                    }
                    shared.changed();
                }
                changed = control.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Starts every shard that is not finished and whose parent is: a child comes after its parent.
    async fn start_ready(
        &mut self,
        shared: &Arc<Shared>,
        work: &Arc<Work>,
        control: &watch::Receiver<Control>,
    ) -> Result<(), StoreError> {
        let shards = shared.store.shards(work.source.id).await?;
        let checkpoints = rows::checkpoints(shared.store.as_ref(), work.id).await?;
        let finished: BTreeSet<ShardNo> =
            checkpoints.iter().filter(|(_, checkpoint)| checkpoint.finished).map(|(shard, _)| *shard).collect();
        let listed: BTreeSet<ShardNo> = shards.iter().map(|info| info.shard).collect();
        for info in &shards {
            let after_parent = info.parent.is_none_or(|p| finished.contains(&p) || !listed.contains(&p));
            let shard = info.shard;
            if after_parent && !finished.contains(&shard) && self.running.insert(shard) {
                self.tasks.spawn(keep_running(shared.clone(), work.clone(), shard, control.clone()));
            }
        }
        *work.finished.lock() = finished;
        shared.changed();
        Ok(())
    }
}

async fn keep_running(
    shared: Arc<Shared>,
    work: Arc<Work>,
    shard: ShardNo,
    mut control: watch::Receiver<Control>,
) -> (ShardNo, End) {
    let mut failures = 0;
    loop {
        let from_ms = shared.mono_ms();
        let run = AssertUnwindSafe(shard::run(shared.clone(), work.clone(), shard, control.clone()));
        let error = match run.catch_unwind().await {
            Ok(Ok(end)) => return (shard, end),
            Ok(Err(StoreError::Closed)) => return (shard, End::Stopped),
            Ok(Err(StoreError::NoSuchShard(_))) => return (shard, End::Finished),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("the shard's task panicked: {}", text.unwrap_or("no message"))
            }
        };
        // A task that ran for long failed of something new: its pauses begin again with the shortest.
        failures = if shared.mono_ms() - from_ms > BACKOFF_MS_MAX { 1 } else { failures + 1 };
        shared.trouble(&work, Some(shard), error);
        tokio::select! {
            () = shared.pause(failures) => {}
            _ = control.wait_for(|control| control.stop) => return (shard, End::Stopped),
        }
    }
}
