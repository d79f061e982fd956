//! The task of one mapping and shard: it performs what the state machine asks for, and tells it what came of it.
//!
//! It decides nothing. It sleeps until the log, the function, the store, the clock or its supervisor has something.

use std::future::pending;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tailrace_core::RecordNo as Lsn;
use tailrace_store::keyspace::CheckpointKey;
use tailrace_store::{LogPosition, ShardNo, StoreError};
use tokio::sync::watch;

use super::status::ShardSnapshot;
use super::{Control, Shared, Work, rows};
use crate::config::StreamSource;
use crate::event;
use crate::machine::{Action, Checkpoint, Input, Invocation, InvocationId, LogRead, Now, Outcome, ShardMachine};
use crate::seams::MappingEvent;

/// Records that are turned into events before other tasks get their turn.
const EVENTS_PER_TURN: usize = 100;

/// Wake-ups in a row that bring nothing before the next one is waited for by the clock.
const IDLE_WAKES_MAX: u32 = 1000;

/// How a shard's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The shard is processed to its end.
    Finished,
    /// It was told to stop.
    Stopped,
    /// The mapping is gone.
    Gone,
}

type Fetch = BoxFuture<'static, Result<LogRead, StoreError>>;
type Commit = BoxFuture<'static, Result<bool, StoreError>>;
type Invocations = FuturesUnordered<BoxFuture<'static, (InvocationId, Outcome)>>;

/// Runs until the shard is finished or the mapping is to stop. It ends, however it ends, with nothing of the function
/// under way: whoever starts the shard again hands the same records out, and never beside a call that still runs.
pub(super) async fn run(
    shared: Arc<Shared>,
    work: Arc<Work>,
    shard: ShardNo,
    control: watch::Receiver<Control>,
) -> Result<End, StoreError> {
    let mut invocations = Invocations::new();
    let ended = deliver(shared, work, shard, control, &mut invocations).await;
    while invocations.next().await.is_some() {}
    ended
}

async fn deliver(
    shared: Arc<Shared>,
    work: Arc<Work>,
    shard: ShardNo,
    mut control: watch::Receiver<Control>,
    invocations: &mut Invocations,
) -> Result<End, StoreError> {
    let mut wanted = control.borrow_and_update().clone();
    let (checkpoint, parked) = begin(&shared, &work, shard, wanted.rules.lanes).await?;
    if checkpoint.finished {
        return Ok(End::Finished);
    }
    let mut machine = ShardMachine::new((*wanted.rules).clone(), checkpoint, parked.0, parked.1);
    let mut fetch: Option<Fetch> = None;
    let mut commit: Option<Commit> = None;
    let mut inputs = vec![Input::Tick];
    if wanted.stop {
        inputs.push(Input::Stop);
    }
    loop {
        for input in std::mem::take(&mut inputs) {
            for action in machine.step(input, now(&shared)) {
                match action {
                    Action::Fetch { after, records_max, bytes_max, wait } => {
                        let limits = (records_max, bytes_max);
                        fetch = Some(read(shared.clone(), work.source.clone(), shard, after, limits, wait).boxed());
                    }
                    Action::Invoke(invocation) => {
                        invocations.push(invoke(shared.clone(), work.clone(), shard, invocation).boxed());
                    }
                    Action::Commit { checkpoint, parked } => {
                        let (shared, work) = (shared.clone(), work.clone());
                        commit = Some(save(shared, work, shard, checkpoint, parked).boxed());
                    }
                    Action::Trimmed { after, horizon } => {
                        let mapping = work.uuid.clone();
                        shared.tell(&MappingEvent::Trimmed { mapping, shard, after, horizon });
                    }
                    Action::AnswerIgnored => {
                        let (mapping, function) = (work.uuid.clone(), work.target.lock().function.clone());
                        shared.tell(&MappingEvent::AnswerIgnored { mapping, function, shard });
                    }
                    Action::Finished => return Ok(End::Finished),
                    Action::Stopped => return Ok(End::Stopped),
                }
            }
        }
        work.show(shard, ShardSnapshot::of(&machine));
        shared.changed();
        let timer = machine.next_wake_mono_ms().map(|at| shared.timer.sleep_until(at));
        tokio::select! {
            biased;
            changed = control.changed() => {
                if changed.is_err() {
                    return Ok(End::Stopped);
                }
                let next = control.borrow_and_update().clone();
                inputs = changes(&wanted, &next);
                wanted = next;
                let removed = work.removed.lock().await.remove(&shard);
                if let Some((records, bytes)) = removed {
                    inputs.push(Input::ParkedRemoved { records, bytes });
                }
            }
            committed = or_never(&mut commit) => {
                commit = None;
                match committed? {
                    true => {
                        *work.trouble.lock() = None;
                        inputs.push(Input::Committed);
                    }
                    false => return Ok(End::Gone),
                }
            }
            Some((id, outcome)) = invocations.next() => {
                let jitter = shared.rng.next_u64() as u32;
                inputs.push(Input::Invoked { id, outcome, jitter });
            }
            read = or_never(&mut fetch) => {
                fetch = None;
                inputs.push(Input::Fetched(read?));
            }
            () = async { match timer { Some(timer) => timer.await, None => pending().await } } => {
                // A retry is due: a record that the stream dropped meanwhile is to be given up.
                match shared.store.position(shard, LogPosition::Horizon).await {
                    Ok(before) => inputs.push(Input::Horizon(before.next())),
                    Err(StoreError::NoSuchShard(_)) => {}
                    Err(error) => return Err(error),
                }
                inputs.push(Input::Tick);
            }
        }
    }
}

async fn or_never<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

pub(super) fn now(shared: &Shared) -> Now {
    Now { wall_ms: shared.clock.now_ms(), mono_ms: shared.mono_ms() }
}

fn changes(from: &Control, to: &Control) -> Vec<Input> {
    let mut inputs = Vec::new();
    // First: a change that comes with a stop retries nothing.
    if to.stop {
        inputs.push(Input::Stop);
    }
    if from.rules != to.rules {
        inputs.push(Input::Configure((*to.rules).clone()));
    }
    if from.wakes != to.wakes {
        inputs.push(Input::Wake);
    }
    inputs
}

/// Where the shard goes on, and what of it is parked.
async fn begin(
    shared: &Shared,
    work: &Work,
    shard: ShardNo,
    lanes: u16,
) -> Result<(Checkpoint, (u64, u64)), StoreError> {
    let key = CheckpointKey { mapping: work.id, shard }.encode();
    let stored = shared.store.get(&[key]).await?.pop().flatten();
    let checkpoint = match stored {
        Some(value) => rows::decode_checkpoint(&value)?,
        // A shard without a checkpoint is read from its oldest record: LATEST has fixed the ones of its time.
        None => Checkpoint::starting_after(shared.store.position(shard, LogPosition::Horizon).await?, lanes),
    };
    let mut removed = work.removed.lock().await;
    removed.remove(&shard);
    let parked = rows::parked_size(shared.store.as_ref(), work.id, shard).await?;
    Ok((checkpoint, parked))
}

async fn read(
    shared: Arc<Shared>,
    source: Arc<StreamSource>,
    shard: ShardNo,
    mut after: Lsn,
    (records_max, bytes_max): (usize, usize),
    wait: bool,
) -> Result<LogRead, StoreError> {
    let mut idle_wakes = 0;
    loop {
        if wait {
            shared.store.wait_log(shard, after).await;
        }
        let page = match shared.store.read_log(shard, after, records_max, bytes_max).await {
            Ok(page) => page,
            Err(StoreError::NoSuchShard(_)) => {
                // The stream was dropped: nothing comes behind what was read.
                return Ok(LogRead { next: after, ended: true, ..LogRead::default() });
            }
            Err(error) => return Err(error),
        };
        if wait && page.records.is_empty() && !page.ended {
            // A wake-up is a hint only. One that comes again and again for nothing must not take the processor.
            idle_wakes = if page.next > after { 0 } else { idle_wakes + 1 };
            after = after.max(page.next);
            match idle_wakes {
                0..IDLE_WAKES_MAX => tokio::task::yield_now().await,
                _ => shared.pause(1).await,
            }
            continue;
        }
        let mut records = Vec::with_capacity(page.records.len());
        for (index, logged) in page.records.into_iter().enumerate() {
            if index % EVENTS_PER_TURN == EVENTS_PER_TURN - 1 {
                tokio::task::yield_now().await;
            }
            records.push(event::record(&source, &shared.records, logged)?);
        }
        let (next, more, ended, horizon) = (page.next, page.more, page.ended, page.horizon);
        return Ok(LogRead { records, next, more, ended, horizon });
    }
}

async fn invoke(
    shared: Arc<Shared>,
    work: Arc<Work>,
    shard: ShardNo,
    invocation: Invocation,
) -> (InvocationId, Outcome) {
    let target = work.target.lock().clone();
    let records = invocation.records.len();
    let payload = event::envelope(&invocation.records);
    drop(invocation.records);
    let from_ns = shared.clock.monotonic_ns();
    let outcome = shared.invoker.invoke(target.function.clone(), target.arn, payload).await;
    let duration = std::time::Duration::from_nanos(shared.clock.monotonic_ns().saturating_sub(from_ns));
    let error = match &outcome {
        Outcome::Answered(_) => None,
        Outcome::FunctionError(error) | Outcome::NotInvoked(error) => Some(error.clone()),
    };
    let (mapping, function) = (work.uuid.clone(), target.function);
    shared.tell(&MappingEvent::Batch { mapping, function, shard, records, error, duration });
    (invocation.id, outcome)
}

/// Commits until it is done: a disk without room has room again some time, and until then the shard says why it waits.
async fn save(
    shared: Arc<Shared>,
    work: Arc<Work>,
    shard: ShardNo,
    checkpoint: Checkpoint,
    parked: Vec<crate::machine::Parked>,
) -> Result<bool, StoreError> {
    let mut failures = 0;
    loop {
        match rows::put_checkpoint(shared.store.as_ref(), work.id, shard, &checkpoint, &parked).await {
            Err(StoreError::Full(error)) => {
                failures += 1;
                shared.trouble(&work, Some(shard), format!("the checkpoint waits for room: {error}"));
                shared.pause(failures).await;
            }
            Ok(true) => {
                if let Some(last) = parked.last() {
                    shared.tell(&MappingEvent::Parked {
                        mapping: work.uuid.clone(),
                        function: work.target.lock().function.clone(),
                        table: work.source.table().to_owned(),
                        shard,
                        records: parked.len(),
                        reason: last.reason,
                        error: last.error.clone(),
                    });
                }
                return Ok(true);
            }
            other => return other,
        }
    }
}
