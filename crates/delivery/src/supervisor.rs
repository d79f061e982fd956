//! The supervisor of one consumer: a task for each shard whose parent is finished, and never a dead one in silence.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tailrace_core::limits::BACKOFF_MAX;
use tailrace_store::{ShardNo, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::checkpoints;
use crate::consumer::{Control, Core};
use crate::observer::{DeliveryEvent, Shard};
use crate::shard::{self, End};

/// Runs the consumer until it is told to stop. Failures are told and tried again with back-off.
pub(crate) async fn run(core: Arc<Core>, mut control: watch::Receiver<Control>) {
    let _reads = core.context.pages.enter(core.source.stream);
    let mut shards = Shards { tasks: JoinSet::new(), running: BTreeSet::new() };
    let mut failures = 0;
    loop {
        match shards.run(&core, &mut control).await {
            Ok(()) | Err(StoreError::Closed) => break,
            Err(error) => {
                failures += 1;
                core.trouble(None, format!("cannot look for shards: {error}"));
                tokio::select! {
                    () = core.context.pause(failures) => {}
                    _ = control.wait_for(|control| control.stop) => {}
                }
            }
        }
    }
    // Their futures end by themselves: they were told to stop, or the store is closed.
    while shards.tasks.join_next().await.is_some() {}
}

struct Shards {
    tasks: JoinSet<(Shard, End)>,
    running: BTreeSet<ShardNo>,
}

impl Shards {
    async fn run(&mut self, core: &Arc<Core>, control: &mut watch::Receiver<Control>) -> Result<(), StoreError> {
        loop {
            let stop = control.borrow_and_update().stop;
            if !stop {
                self.start_ready(core, control).await?;
            } else if self.tasks.is_empty() {
                return Ok(());
            }
            tokio::select! {
                Some(joined) = self.tasks.join_next() => {
                    let Ok((shard, end)) = joined else { continue };
                    self.running.remove(&shard.no);
                    core.hide(shard.no);
                    match end {
                        End::Finished => {
                            core.finished.lock().insert(shard.no);
                        }
                        End::TakenOver => {
                            core.elsewhere.lock().insert(shard.no);
                            core.tell(DeliveryEvent::TakenOver { shard });
                        }
                        End::Gone => return Ok(()),
                        End::Stopped => {}
                    }
                    core.context.changed();
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
    async fn start_ready(&mut self, core: &Arc<Core>, control: &watch::Receiver<Control>) -> Result<(), StoreError> {
        let store = core.context.store.as_ref();
        let shards = store.shards(core.source.stream).await?;
        let checkpoints = checkpoints::all(store, core.id).await?;
        let finished: BTreeSet<ShardNo> =
            checkpoints.iter().filter(|(_, checkpoint)| checkpoint.finished).map(|(shard, _)| *shard).collect();
        let listed: BTreeSet<ShardNo> = shards.iter().map(|info| info.shard).collect();
        for info in &shards {
            let after_parent = info.parent.is_none_or(|p| finished.contains(&p) || !listed.contains(&p));
            let is_over = finished.contains(&info.shard) || core.elsewhere.lock().contains(&info.shard);
            if after_parent && !is_over && self.running.insert(info.shard) {
                self.tasks.spawn(keep_running(core.clone(), Shard::of(info), control.clone()));
            }
        }
        *core.finished.lock() = finished;
        core.context.changed();
        Ok(())
    }
}

async fn keep_running(core: Arc<Core>, shard: Shard, mut control: watch::Receiver<Control>) -> (Shard, End) {
    let mut failures = 0;
    loop {
        let from = core.context.clock.monotonic();
        let run = AssertUnwindSafe(shard::run(core.clone(), shard.clone(), control.clone()));
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
        failures = if core.context.clock.monotonic().since(from) > BACKOFF_MAX { 1 } else { failures + 1 };
        core.trouble(Some(&shard), error);
        tokio::select! {
            () = core.context.pause(failures) => {}
            _ = control.wait_for(|control| control.stop) => return (shard, End::Stopped),
        }
    }
}
