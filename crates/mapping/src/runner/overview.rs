//! Every mapping with every shard of its stream, running or not: what `tailrace mappings` and a drain look at.
//!
//! What it does not do: it keeps no state. It looks at what the tasks last said, at the stored checkpoints, and at the log.

use std::collections::BTreeMap;

use serde::Serialize;
use tailrace_core::limits::{GET_RECORDS_MAX, MAPPING_FETCH_BYTES_MAX};
use tailrace_core::{RecordNo as Lsn, SequenceNumber};
use tailrace_engine::streams::descriptor::shard_id;
use tailrace_store::{ShardInfo, ShardNo, StoreError};

use super::status::{last_processing_result, shard_status};
use super::{Mappings, ParkedRecord, Work, rows};
use crate::machine::{Checkpoint, Status};

/// The state of a finished shard of a stream that has ended.
const STREAM_ENDED: &str = "stream ended";

/// Why nothing will come to the mapping any more.
const ENDED: &str = "the stream is disabled or its table was deleted";

fn parked_because(parked: &ParkedRecord) -> String {
    format!("parked: {}", parked.why())
}

/// A mapping with all shards of its stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingOverview {
    /// UUID.
    pub uuid: String,
    /// The function's name.
    pub function: String,
    /// The stream.
    pub stream_arn: String,
    /// The table whose stream it is.
    pub table: String,
    /// `Enabled`, `Disabled`, `Disabling` or `Deleting`.
    pub state: &'static str,
    /// As Lambda shows it.
    pub last_processing_result: String,
    /// The last trouble of the mapping itself.
    pub trouble: Option<String>,
    /// The shards, oldest first.
    pub shards: Vec<ShardOverview>,
}

/// A mapping's place in a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardOverview {
    /// The shard's number.
    #[serde(skip)]
    pub shard: ShardNo,
    /// The shard.
    pub shard_id: String,
    /// Every record up to this sequence number is done, durably.
    pub position: String,
    /// `waiting` (for its parent, or because the mapping is disabled), `starting`, `idle`, `invoking`, `retrying`,
    /// `blocked`, `finished`, or `stream ended` (finished, and no other shard will come).
    pub state: &'static str,
    /// Records that are known and not done.
    pub lag_records: usize,
    /// There may be others behind them.
    pub lag_is_more: bool,
    /// Age of the oldest of them, milliseconds.
    pub lag_ms: u64,
    /// The last error, while it matters; otherwise why records were parked.
    pub error: Option<String>,
    /// Parked records.
    pub parked: u64,
    /// Every record that is published is done, durably.
    pub drained: bool,
}

impl Mappings {
    /// Every mapping with every shard.
    ///
    /// # Errors
    /// The store's.
    pub async fn overview(&self) -> Result<Vec<MappingOverview>, StoreError> {
        let store = self.shared.store.as_ref();
        let mut mappings = Vec::new();
        for status in self.status() {
            let Ok(entry) = self.entry(&status.uuid) else { continue };
            let checkpoints: BTreeMap<ShardNo, Checkpoint> =
                rows::checkpoints(store, entry.work.id).await?.into_iter().collect();
            let mut shards = Vec::new();
            let infos = store.shards(entry.work.source.id).await?;
            let finished = |shard: ShardNo| checkpoints.get(&shard).is_some_and(|checkpoint| checkpoint.finished);
            // A stream that goes on has an open shard. One that was disabled, or whose table was deleted, has none.
            let ended = infos.iter().all(|info| info.sealed.is_some() && finished(info.shard));
            let open_parent = |parent: ShardNo| !finished(parent) && infos.iter().any(|info| info.shard == parent);
            for info in &infos {
                let running = entry.work.shown.lock().get(&info.shard).map(|snapshot| snapshot.status.clone());
                let checkpoint = checkpoints.get(&info.shard);
                let state = match (finished(info.shard), running) {
                    (false, Some(running)) => {
                        shards.push(self.running(&entry.work, info, &running).await?);
                        continue;
                    }
                    (true, _) if ended => STREAM_ENDED,
                    (true, _) => "finished",
                    (false, None) if status.state == "Enabled" && !info.parent.is_some_and(open_parent) => "starting",
                    (false, None) => "waiting",
                };
                shards.push(self.resting(&entry.work, info, checkpoint, state).await?);
            }
            let last_processing_result = match status.shards.is_empty() {
                true if ended => format!("PROBLEM: {ENDED}"),
                // A disabled mapping has no task that knows what came last.
                true => last_processing_result(checkpoints.values().filter_map(|checkpoint| checkpoint.last.as_ref())),
                false => status.last_processing_result,
            };
            mappings.push(MappingOverview {
                table: entry.work.source.table().to_owned(),
                uuid: status.uuid,
                function: status.function,
                stream_arn: status.event_source_arn,
                state: status.state,
                last_processing_result,
                trouble: status.trouble,
                shards,
            });
        }
        Ok(mappings)
    }

    async fn running(&self, work: &Work, info: &ShardInfo, status: &Status) -> Result<ShardOverview, StoreError> {
        let shown = shard_status(info.shard, status, self.shared.clock.now_ms());
        let idle = status.durable && status.caught_up && status.pending_records == 0 && info.sealed.is_none();
        let unread = if idle { self.unread(info.shard, status.read, 1).await?.0 } else { 0 };
        let parked = match shown.error.is_none() && shown.parked > 0 {
            true => rows::first_parked(self.shared.store.as_ref(), work.id, info.shard).await?,
            false => None,
        };
        Ok(ShardOverview {
            shard: info.shard,
            shard_id: shard_id(info),
            position: shown.position,
            state: if shown.state.starts_with("blocked") { "blocked" } else { shown.state },
            lag_records: shown.lag_records + unread,
            lag_is_more: shown.lag_is_more || unread > 0,
            lag_ms: shown.lag_ms,
            error: shown.error.or_else(|| parked.map(|parked| parked_because(&parked))),
            parked: shown.parked,
            drained: idle && unread == 0,
        })
    }

    async fn resting(
        &self,
        work: &Work,
        info: &ShardInfo,
        checkpoint: Option<&Checkpoint>,
        state: &'static str,
    ) -> Result<ShardOverview, StoreError> {
        let after = checkpoint.map_or(Lsn(info.first.0.saturating_sub(1)), |checkpoint| checkpoint.low_water);
        let finished = state == "finished" || state == STREAM_ENDED;
        let (lag_records, oldest_ms) = match finished {
            true => (0, None),
            false => self.unread(info.shard, after, GET_RECORDS_MAX).await?,
        };
        let (parked, first) = rows::parked_summary(self.shared.store.as_ref(), work.id, info.shard).await?;
        let failing = checkpoint.and_then(|checkpoint| checkpoint.attempts.iter().flatten().next());
        let ended = (state == STREAM_ENDED).then(|| ENDED.to_owned());
        let error = failing.map(|attempt| attempt.error.clone());
        Ok(ShardOverview {
            shard: info.shard,
            shard_id: shard_id(info),
            position: SequenceNumber(after).to_string(),
            state,
            lag_records,
            lag_is_more: lag_records == GET_RECORDS_MAX,
            lag_ms: oldest_ms.map_or(0, |oldest| self.shared.clock.now_ms().saturating_sub(oldest)),
            error: error.or_else(|| first.map(|first| parked_because(&first))).or(ended),
            parked,
            drained: finished,
        })
    }

    /// How many records lie behind `after`, at most `max`, and when the oldest was committed.
    async fn unread(&self, shard: ShardNo, after: Lsn, max: usize) -> Result<(usize, Option<u64>), StoreError> {
        match self.shared.store.read_log(shard, after, max, MAPPING_FETCH_BYTES_MAX).await {
            Ok(page) => Ok((page.records.len(), page.records.first().map(|record| record.time_ms))),
            Err(StoreError::NoSuchShard(_)) => Ok((0, None)),
            Err(error) => Err(error),
        }
    }
}
