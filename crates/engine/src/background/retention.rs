//! Records older than the retention go, and streams that were disabled that long ago are forgotten; what a sink still needs
//! ([`Pins`](crate::Pins)) stays, up to a longer time.
//! Source: docs/spec/streams.md 12.
//!
//! A pass goes through the streams by number, and through a stream's shards by number.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use tailrace_core::limits::{
    RETENTION_INTERVAL, RETENTION_INTERVAL_MIN, RETENTION_SHARDS_PER_TICK, RETENTION_STREAMS_PER_TICK,
};
use tailrace_core::{EpochMs, RecordNo, ShardNo, StreamId};
use tailrace_store::keyspace::StreamKey;
use tailrace_store::{KeyRange, LogPosition, PageLimit, ShardInfo, StoreError};

use super::{Failures, Progress, Task, Tick};
use crate::db::Db;
use crate::settings::Settings;
use crate::streams::descriptor::{Stream, shard_id};
use crate::streams::life;

/// The pass over all streams.
#[derive(Default)]
pub struct Retention {
    place: Mutex<Place>,
}

/// Where a tick begins: with the shards behind `behind` of the first stream from `stream` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    stream: StreamId,
    behind: ShardNo,
}

impl Place {
    const START: Place = Place { stream: StreamId(0), behind: ShardNo(0) };

    fn behind(stream: StreamId) -> Place {
        Place { stream: StreamId(stream.0.saturating_add(1)), behind: ShardNo(0) }
    }
}

/// The instants before which records go.
#[derive(Clone, Copy, Debug)]
struct Cutoff {
    /// Those that nobody needs.
    expired_ms: EpochMs,
    /// All others.
    pinned_ms: EpochMs,
}

impl Cutoff {
    fn of(self, is_needed: bool) -> EpochMs {
        if is_needed { self.pinned_ms } else { self.expired_ms }
    }
}

impl Default for Place {
    fn default() -> Self {
        Place::START
    }
}

/// What the job is called that trims streams.
pub const NAME: &str = "retention";

impl Task for Retention {
    fn name(&self) -> &'static str {
        NAME
    }

    fn interval(&self, settings: &Settings) -> Duration {
        // A short retention would otherwise last a minute.
        settings.stream_retention.clamp(RETENTION_INTERVAL_MIN, RETENTION_INTERVAL)
    }

    fn tick<'a>(&'a self, db: &'a Db, now_ms: EpochMs) -> BoxFuture<'a, Tick> {
        async move {
            let cutoff = Cutoff {
                expired_ms: now_ms.minus(db.settings.stream_retention),
                pinned_ms: now_ms.minus(db.settings.stream_retention.max(db.settings.pinned_retention)),
            };
            let place = std::mem::take(&mut *self.place.lock());
            let mut failures = Failures::default();
            let progress = match go_on(db, place, cutoff, &mut failures).await {
                Ok(Some(next)) => {
                    *self.place.lock() = next;
                    Progress::More(format!("streams from number {} on", next.stream.0))
                }
                Ok(None) => Progress::Done,
                Err(error) => {
                    failures.note("streams", error);
                    Progress::Done
                }
            };
            Tick { progress, failures }
        }
        .boxed()
    }
}

/// One tick: where the next one begins, `None` at the end of the pass.
async fn go_on(db: &Db, place: Place, cutoff: Cutoff, failures: &mut Failures) -> Result<Option<Place>, StoreError> {
    let start = StreamKey { stream: place.stream }.encode();
    let range = KeyRange { start: Bound::Included(start.0), ..StreamKey::range() };
    let limit = PageLimit { rows_max: RETENTION_STREAMS_PER_TICK, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(range, limit).await?;
    let mut shards_left = RETENTION_SHARDS_PER_TICK;
    let mut next = place;
    for (key, row) in &page.rows {
        let Some(StreamKey { stream: id }) = StreamKey::decode(key) else {
            failures.note("streams", "corrupt data: the key of a descriptor");
            continue;
        };
        let behind = if id == place.stream { place.behind } else { ShardNo(0) };
        next = Place { stream: id, behind };
        if shards_left == 0 {
            return Ok(Some(next));
        }
        let Some(stream) = Stream::decode(row) else {
            failures.note(format_args!("the descriptor of stream {}", id.0), "corrupt data");
            continue;
        };
        let done = match db.pinned.of(&stream).await {
            Err(error) => Err(error),
            Ok(needed) if stream.disabled_ms.is_some_and(|ms| ms <= cutoff.of(!needed.is_empty())) => {
                shards_left -= 1;
                life::forget(db, &stream).await.map(|()| None)
            }
            Ok(needed) => trim(db, &stream, behind, (cutoff, &needed), &mut shards_left, failures).await,
        };
        match done {
            Ok(None) => {}
            Ok(Some(behind)) => return Ok(Some(Place { stream: id, behind })),
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => failures.note(stream.arn(&db.settings), error),
        }
    }
    Ok(page.limited.then(|| Place::behind(next.stream)))
}

/// Trims shards of a stream, as many as are left to the tick: the last one, if there are more behind it.
async fn trim(
    db: &Db,
    stream: &Stream,
    behind: ShardNo,
    (cutoff, needed): (Cutoff, &BTreeMap<ShardNo, RecordNo>),
    shards_left: &mut usize,
    failures: &mut Failures,
) -> Result<Option<ShardNo>, StoreError> {
    let mut shards = db.store.shards(stream.id).await?;
    shards.retain(|shard| shard.shard > behind);
    let more = shards.len() > *shards_left;
    shards.truncate(*shards_left);
    *shards_left -= shards.len();
    // Together: their commits share a sync.
    let trimmed =
        join_all(shards.iter().map(|shard| trim_shard(db, shard, cutoff, needed.get(&shard.shard).copied()))).await;
    for (shard, trimmed) in shards.iter().zip(trimmed) {
        match trimmed {
            Err(StoreError::Closed) => return Err(StoreError::Closed),
            Err(error) => failures.note(format_args!("{} {}", stream.arn(&db.settings), shard_id(shard)), error),
            Ok(()) => {}
        }
    }
    Ok(shards.last().filter(|_| more).map(|last| last.shard))
}

async fn trim_shard(db: &Db, shard: &ShardInfo, cutoff: Cutoff, done: Option<RecordNo>) -> Result<(), StoreError> {
    match trimmed_to(db, shard, cutoff, done).await {
        Ok(last_expired) if last_expired < shard.first.max(shard.horizon) => Ok(()),
        Err(StoreError::NoSuchShard(_)) => Ok(()),
        Err(error) => Err(error),
        Ok(last_expired) => match db.store.trim(shard.shard, last_expired.next()).await {
            Err(StoreError::NoSuchShard(_)) => Ok(()),
            trimmed => trimmed,
        },
    }
}

/// The last record that goes.
async fn trimmed_to(
    db: &Db,
    shard: &ShardInfo,
    cutoff: Cutoff,
    done: Option<RecordNo>,
) -> Result<RecordNo, StoreError> {
    // The horizon moves to right behind the last record that is too old, not to the first one that stays: a reader who
    // has read all the old ones is never behind it, whatever lies between.
    let expired = db.store.position(shard.shard, LogPosition::Time(cutoff.expired_ms)).await?;
    match done.filter(|done| *done < expired) {
        None => Ok(expired),
        Some(done) => Ok(done.max(db.store.position(shard.shard, LogPosition::Time(cutoff.pinned_ms)).await?)),
    }
}
