//! The way of every change into the store: room, latches, the body, the queue.
//!
//! Invariants: whoever holds latches waits for nothing but locks that are held for moments; a commit holds room for its
//! bytes, in the queue and in the log, before it is queued; what a body saw, of rows and of shards, is what there is at the
//! commit's place in the queue.
//!
//! A body runs again only if a declared row had to be fetched from the disk, if there was no room at once for what it wrote (a commit takes one unit before it knows, and the
//! rest, if it needs more, without waiting), or if shards that it declared were changed under it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tailrace_core::limits::{COMMIT_ID_LIFE, COMMIT_QUEUE_UNIT_BYTES, COMMIT_QUEUE_UNITS_MAX, ITEM_BYTES_MAX};
use tailrace_core::{EpochMs, RecordNo};
use tailrace_store::keyspace::CommitKey;
use tailrace_store::shards::{ShardTable, shared_numbers};
use tailrace_store::{
    CommitBody, CommitId, CommitReceipt, CommitRequest, Declared, Key, Outcome, Reads, ShardState, StoreError,
    StreamId, Write,
};

use super::read;
use crate::log::frame_bytes_bound;
use crate::queue::{Reply, Room, Ticket, Tip};
use crate::state::EngineState;

/// How often ids that are too old are looked for: a share of their life.
const ID_SWEEPS_PER_LIFE: u32 = 4;
/// What the commit of a large item takes: the item, and both images of its record.
const COMMIT_OF_AN_ITEM_BYTES: usize = 3 * ITEM_BYTES_MAX;

fn units(bytes: usize) -> u32 {
    let units = u32::try_from(bytes.div_ceil(COMMIT_QUEUE_UNIT_BYTES)).unwrap_or(u32::MAX);
    units.clamp(1, COMMIT_QUEUE_UNITS_MAX)
}

/// Why nothing more may come into memory: what is there cannot go to the disk.
fn refused_by_the_tree(state: &EngineState) -> Option<StoreError> {
    state.chores.trouble().filter(|_| state.is_behind())
}

/// Why the commit of an item would be refused now, if it would be.
pub(super) fn refusal(state: &EngineState) -> Option<StoreError> {
    refused_by_the_tree(state).or_else(|| state.log.refuses(COMMIT_OF_AN_ITEM_BYTES))
}

async fn take_room(state: &EngineState, bytes: usize) -> Result<Room, StoreError> {
    if let Some(why) = refused_by_the_tree(state) {
        return Err(why);
    }
    // Else it would wait until nothing else is in flight, with everybody behind it, only to hear that.
    state.log.check_size(bytes)?;
    let permit = state.queue.room.clone().acquire_many_owned(units(bytes)).await.map_err(|_| StoreError::Closed)?;
    Ok(Room { permit, reservation: state.log.reserve(bytes).await?, bytes })
}

impl Room {
    /// Grows to `bytes` if that needs no waiting. False: it is as it was.
    fn grow(&mut self, state: &EngineState, bytes: usize) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        let more = units(bytes) - units(self.bytes);
        let Ok(permit) = state.queue.room.clone().try_acquire_many_owned(more) else { return false };
        let Some(Ok(reservation)) = state.log.reserve(bytes).now_or_never() else { return false };
        self.permit.merge(permit);
        (self.reservation, self.bytes) = (reservation, bytes);
        true
    }
}

/// What became of one run of a commit's body.
enum Ran {
    /// Declared keys are not in memory: fetch them and run the body again.
    NeedsRead,
    /// The body's writes need this much room: get it and run the body again.
    NeedsRoom(usize),
    Enqueued(tokio::sync::oneshot::Receiver<Reply>),
    /// Nothing to write; what was read is durable once this ticket is settled.
    Nothing(Ticket),
    /// A commit of this id was made; it is durable once this ticket is settled.
    Repeated(Ticket),
}

/// Makes a commit.
pub(crate) async fn submit(state: &Arc<EngineState>, request: CommitRequest<'_>) -> Result<CommitReceipt, StoreError> {
    let CommitRequest { mut declared, mut body } = request;
    let with_id: Vec<Key>;
    if let Some(id) = declared.id {
        with_id = declared.exclusive.iter().cloned().chain([CommitKey { id }.encode()]).collect();
        declared.exclusive = &with_id;
    }
    let mut bytes = COMMIT_QUEUE_UNIT_BYTES;
    let mut fetched = None;
    loop {
        let room = take_room(state, bytes).await?;
        match state.checked(run(state, declared, &mut body, room, fetched.as_ref()))? {
            Ran::NeedsRead => {
                fetched = Some(read::fetch(state, declared.shared.iter().chain(declared.exclusive)).await?);
            }
            Ran::NeedsRoom(needed) => bytes = needed,
            Ran::Nothing(read) => {
                state.published.wait_settled(read).await?;
                return Ok(CommitReceipt::default());
            }
            Ran::Repeated(made) => {
                state.published.wait_settled(made).await?;
                return Err(StoreError::AlreadyCommitted);
            }
            Ran::Enqueued(answer) => return answer.await.unwrap_or(Err(StoreError::Closed)),
        }
    }
}

/// Runs the body under its latches, and enqueues what it decides. Short and blocking: never across an await. The row of the
/// commit's id, if it has one, is the last of the exclusive keys.
fn run(
    state: &EngineState,
    declared: Declared<'_>,
    body: &mut CommitBody<'_>,
    mut room: Room,
    fetched: Option<&read::Fetched>,
) -> Result<Ran, StoreError> {
    let _latched = state.latches.take(declared.shared, declared.exclusive);
    let Some(mut values) = read::declared(state, declared, fetched)? else {
        return Ok(Ran::NeedsRead);
    };
    let mut moment = Moment::of(&state.queue.tip(), declared.streams);
    let now_ms = state.clock.now().max(moment.last_ms);
    if let Some(id) = declared.id {
        if id.is_forgotten(now_ms) {
            return Err(CommitId::forgotten());
        }
        if values.exclusive.pop().flatten().is_some() {
            return Ok(Ran::Repeated(values.newest_read));
        }
    }
    loop {
        let reads = Reads { shared: &values.shared, exclusive: &values.exclusive, streams: &moment.streams, now_ms };
        let Some(mut writes) = body(&reads).filter(|writes| !writes.is_empty()) else {
            return Ok(Ran::Nothing(values.newest_read.max(moment.newest_read)));
        };
        if let Some(id) = declared.id {
            writes.push(Write::Put { key: CommitKey { id }.encode(), value: Bytes::new() });
        }
        let plain = bytes_bound(&writes);
        if !room.grow(state, plain) {
            return Ok(Ran::NeedsRoom(plain));
        }
        let mut tip = state.queue.tip();
        if tip.closed {
            return Err(state.died_of().unwrap_or(StoreError::Closed));
        }
        if moment.is_past(&tip) {
            let now = Moment::of(&tip, declared.streams);
            if now.streams != moment.streams {
                moment = now;
                continue;
            }
        }
        let with_shards = plain + shard_bytes_bound(&writes, &tip.shards);
        if !room.grow(state, with_shards) {
            return Ok(Ran::NeedsRoom(with_shards));
        }
        let time_ms = now_ms.max(tip.last_ms);
        let numbers = shared_numbers(RecordNo(tip.next.0));
        let resolved = tip.shards.resolve(writes, &numbers, time_ms)?;
        if resolved.writes.is_empty() {
            // What was to be done is done already, by commits that may not be durable yet.
            return Ok(Ran::Nothing(tip.ticket));
        }
        let answer = state.queue.push(&mut tip, &state.overlay, time_ms, resolved, room);
        if declared.id.is_some() && tip.ids_swept_ms.plus(COMMIT_ID_LIFE / ID_SWEEPS_PER_LIFE) <= time_ms {
            tip.ids_swept_ms = time_ms;
            drop(tip);
            state.chores.tell(|work| work.reclaim = true);
        }
        return Ok(Ran::Enqueued(answer));
    }
}

/// The queue's end as a body sees it.
struct Moment {
    last_ms: EpochMs,
    streams: Vec<Vec<ShardState>>,
    /// Stands for the streams' shards: another one once any shard has changed.
    version: u64,
    /// The newest commit that may have changed the streams.
    newest_read: Ticket,
}

impl Moment {
    fn of(tip: &Tip, streams: &[StreamId]) -> Moment {
        Moment {
            last_ms: tip.last_ms,
            streams: streams.iter().map(|stream| tip.shards.states(*stream)).collect(),
            version: tip.shards.version(),
            newest_read: if streams.is_empty() { 0 } else { tip.ticket },
        }
    }

    fn is_past(&self, tip: &Tip) -> bool {
        !self.streams.is_empty() && self.version != tip.shards.version()
    }
}

/// What became of the commit of an id.
pub(super) async fn outcome(state: &Arc<EngineState>, id: CommitId) -> Result<Outcome, StoreError> {
    let keys = [CommitKey { id }.encode()];
    let mut fetched = None;
    let found = loop {
        let found = {
            let _latched = state.latches.take(&keys, &[]);
            state.checked(read::declared(state, Declared { shared: &keys, ..Declared::default() }, fetched.as_ref()))?
        };
        match found {
            Some(found) => break found,
            None => fetched = Some(read::fetch(state, keys.iter()).await?),
        }
    };
    if id.is_forgotten(state.clock.now().max(state.queue.tip().last_ms)) {
        return Ok(Outcome::Unknown);
    }
    state.published.wait_settled(found.newest_read).await?;
    Ok(if found.shared[0].is_some() { Outcome::Committed } else { Outcome::NotCommitted })
}

/// An upper bound of the bytes that the writes take in the log, without the rows of shards that they change.
fn bytes_bound(writes: &[Write]) -> usize {
    /// Kinds, lengths and numbers around one write.
    const AROUND_BYTES_MAX: usize = 64;
    let of = |write: &Write| match write {
        Write::Put { key, value } => key.0.len() + value.len(),
        Write::PutSame { key, .. } | Write::Delete { key } => key.0.len(),
        Write::Append { meta, old, .. } => meta.len() + old.as_ref().map_or(0, Bytes::len),
        _ => 0,
    };
    frame_bytes_bound(&[]) + writes.iter().map(|write| of(write) + AROUND_BYTES_MAX).sum::<usize>()
}

/// An upper bound of the bytes of the rows of shards that the writes change.
fn shard_bytes_bound(writes: &[Write], shards: &ShardTable) -> usize {
    /// A shard's row with its key; the numbers in it have bounds.
    const SHARD_ROW_BYTES_MAX: usize = 512;
    let mut opened: HashMap<StreamId, usize> = HashMap::new();
    let mut rows = 0;
    for write in writes {
        rows += match write {
            // The shards, and the counter of shards.
            Write::OpenStream { stream, ranges } => {
                *opened.entry(*stream).or_default() += ranges.len();
                ranges.len() + 1
            }
            // Children of streams that are sealed or dropped in the same commit are counted twice.
            Write::Seal { children, .. } => 2 * children.len() + 2,
            Write::SealStream { stream } | Write::DropStream { stream } => {
                shards.count(*stream) + opened.get(stream).copied().unwrap_or_default()
            }
            Write::ForgetShard { .. } | Write::Trim { .. } => 1,
            _ => 0,
        };
    }
    rows * SHARD_ROW_BYTES_MAX
}
