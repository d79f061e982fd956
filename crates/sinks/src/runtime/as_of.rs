//! Reads of a view that are to know of a write: they wait until the view has what the write's records say.
//! Source: docs/spec/sinks.md 6, "Read semantics".

use std::sync::Arc;
use std::time::Duration;

use tailrace_delivery::Consumer;
use tailrace_store::{RecordId, StoreError};

use super::{Phase, Sinks};
use crate::spec::Kind;

/// How often it is looked at a checkpoint whose commit nothing tells of.
const LOOK: Duration = Duration::from_millis(20);

impl Sinks {
    /// Waits until the view that is shown by the table has applied these records; those of streams that it is not computed from are
    /// none of its business, and a table that shows no view knows of every write. False: it has not by the end of `wait`.
    ///
    /// # Errors
    /// The store's.
    pub async fn as_of(&self, table: &str, records: &[RecordId], wait: Duration) -> Result<bool, StoreError> {
        let clock = &self.inner.context.clock;
        let deadline = clock.monotonic().plus(wait);
        let mut changes = self.inner.context.changes();
        loop {
            changes.borrow_and_update();
            if self.has(table, records).await? {
                return Ok(true);
            }
            let now = clock.monotonic();
            if now >= deadline {
                return Ok(false);
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = self.inner.context.timer.sleep_until(now.plus(LOOK).min(deadline)) => {}
            }
        }
    }

    async fn has(&self, table: &str, records: &[RecordId]) -> Result<bool, StoreError> {
        for entry in self.all() {
            let Some(running) = entry.running.lock().first().cloned() else { continue };
            let shows = running.spec.kind == Kind::View && running.spec.to.strip_prefix("table:") == Some(table);
            if !shows {
                continue;
            }
            let mut left: Vec<&RecordId> = records.iter().collect();
            let live = entry.row().live;
            // The table still has what was shown before.
            let is_shown = !live.swap;
            for source in live.sources {
                let shards = self.inner.store().shards(source.stream).await?;
                let (wanted, others): (Vec<_>, Vec<_>) =
                    left.into_iter().partition(|record| shards.iter().any(|info| info.shard == record.shard));
                left = others;
                if wanted.is_empty() {
                    continue;
                }
                let consumer: Option<Arc<Consumer>> = {
                    let sources = running.sources.lock();
                    // Items of a snapshot that are not there yet may be of these writes.
                    let source =
                        sources.get(&source.table).filter(|source| is_shown && source.phase == Phase::Streaming);
                    source.and_then(super::SourceRun::consumer)
                };
                let Some(consumer) = consumer else { return Ok(false) };
                let checkpoints = consumer.checkpoints().await?;
                let is_done = |record: &&RecordId| {
                    checkpoints.get(&record.shard).is_some_and(|done| done.finished || done.low_water >= record.number)
                };
                if !wanted.iter().all(is_done) {
                    return Ok(false);
                }
            }
            if left.is_empty() {
                continue;
            }
            // What it does not follow yet it does not know.
            for table in &running.spec.from {
                let stream = self.inner.stream_of(table).await.map_err(|error| StoreError::Io(error.to_string()))?;
                let Some(stream) = stream else { continue };
                let shards = self.inner.store().shards(stream).await?;
                if left.iter().any(|record| shards.iter().any(|info| info.shard == record.shard)) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
