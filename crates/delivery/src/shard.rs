//! The task of one consumer and shard: it performs what the state machine asks for, and tells it what came of it.
//!
//! It decides nothing. It sleeps until the log, the target, the store, the clock or its supervisor has something.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tailrace_core::{MonotonicMs, RecordNo, SequenceNumber};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::{LogPosition, StoreError};
use tokio::sync::watch;

use crate::consumer::{Control, Core};
use crate::machine::{
    Action, Answer, Checkpoint, Input, Invocation, InvocationId, LogRead, Now, Outcome, Parked, ParkedSize,
    ShardMachine,
};
use crate::observer::{DeliveryEvent, Retry, Shard};
use crate::ownership::{Fence, Ownership, Standing};
use crate::parked;
use crate::reader::{self, Wanted};
use crate::target::{Batch, Stopping, Waits};

/// How a shard's task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The shard is processed to its end.
    Finished,
    /// It was told to stop.
    Stopped,
    /// Another runner owns the shard.
    TakenOver,
    /// The consumer is gone.
    Gone,
}

type Fetch = BoxFuture<'static, Result<(LogRead, Standing), StoreError>>;
type Commit = BoxFuture<'static, (Ownership, Result<Standing, StoreError>)>;
type Invocations = FuturesUnordered<BoxFuture<'static, Returned>>;

/// An invocation that is over.
struct Returned {
    id: InvocationId,
    lane: u16,
    answer: Answer,
    /// What is told of it, but for when it is tried again.
    event: DeliveryEvent,
}

/// Runs until the shard is finished or the consumer is to stop. It ends, however it ends, with nothing under way at the
/// target: whoever starts the shard again hands the same records out, and never beside a call that still runs.
pub(crate) async fn run(core: Arc<Core>, shard: Shard, control: watch::Receiver<Control>) -> Result<End, StoreError> {
    let mut invocations = Invocations::new();
    let told = core.clone();
    let ended = deliver(core, shard, control, &mut invocations).await;
    while let Some(Returned { event, .. }) = invocations.next().await {
        told.tell(event);
    }
    ended
}

async fn deliver(
    core: Arc<Core>,
    shard: Shard,
    mut control: watch::Receiver<Control>,
    invocations: &mut Invocations,
) -> Result<End, StoreError> {
    let mut wanted = control.borrow_and_update().clone();
    let store = core.context.store.as_ref();
    let claim = Ownership::claim(store, core.id, &core.row, &shard, &core.context.runner);
    let Some(ownership) = claim.await? else { return Ok(End::Gone) };
    let (checkpoint, parked) = begin(&core, &shard, &ownership, wanted.rules.lanes).await?;
    if checkpoint.finished {
        return Ok(End::Finished);
    }
    let fence = ownership.fence();
    let mut ownership = Some(ownership);
    let mut machine = ShardMachine::new((*wanted.rules).clone(), core.target.batch_bytes_max(), checkpoint, parked);
    let mut fetch: Option<Fetch> = None;
    let mut commit: Option<Commit> = None;
    let mut told_damage = None;
    let waits = core.waits(&shard);
    let stopping = Stopping::when({
        let control = control.clone();
        move || {
            let mut control = control.clone();
            // Whoever would say so is gone: that is a stop as well.
            async move { drop(control.wait_for(|control| control.stop).await) }
        }
    });
    let mut over = None;
    let mut inputs = vec![Input::Tick];
    if wanted.stop {
        inputs.push(Input::Stop);
    }
    loop {
        for input in std::mem::take(&mut inputs) {
            let now = core.context.now();
            let actions = machine.step(input, now);
            if let Some((lane, event)) = over.take() {
                core.tell(with_retry(event, machine.retry_at(lane), now));
            }
            for action in actions {
                match action {
                    Action::Fetch { after, records_max, bytes_max, wait } => {
                        let wanted = Wanted { after, records_max, bytes_max, wait };
                        fetch = Some(read_as_owner(core.clone(), shard.clone(), wanted, fence.clone()).boxed());
                    }
                    Action::Invoke(invocation) => {
                        let given = (shard.clone(), fence.epoch(), waits.clone(), stopping.clone());
                        invocations.push(invoke(core.clone(), given, invocation).boxed());
                    }
                    Action::Commit { checkpoint, parked } => {
                        let ownership = ownership.take().expect("invariant: one commit is under way at a time");
                        commit = Some(save(core.clone(), shard.clone(), ownership, checkpoint, parked).boxed());
                    }
                    Action::WindowLost { window, error } => {
                        let (start_ms, end_ms) = (window.start_ms, window.end_ms);
                        tracing::error!(
                            consumer = %core.id, shard = &*shard.id, %error, state = &*window.state,
                            "the final call of a window was given up"
                        );
                        core.tell(DeliveryEvent::WindowLost { shard: shard.clone(), start_ms, end_ms, error });
                    }
                    Action::Trimmed { after, horizon } => {
                        core.tell(DeliveryEvent::Trimmed { shard: shard.clone(), after, horizon });
                    }
                    Action::Finished => return Ok(End::Finished),
                    Action::Stopped => return Ok(End::Stopped),
                }
            }
        }
        let status = machine.status();
        if status.damaged != told_damage {
            told_damage = status.damaged;
            tell_damage(&core, &shard, status.damaged, status.error.as_deref());
            // The operator may have said what to do with it before: to an earlier run of the shard.
            if let Some(number) = status.damaged.filter(|_| wanted.skips.get(&shard.no).copied() == status.damaged) {
                inputs.push(Input::SkipDamaged(number));
                continue;
            }
        }
        core.show(&shard, status);
        let timer = machine.next_wake().map(|at| core.context.timer.sleep_until(at));
        tokio::select! {
            biased;
            changed = control.changed() => {
                if changed.is_err() {
                    return Ok(End::Stopped);
                }
                let next = control.borrow_and_update().clone();
                inputs = changes(&wanted, &next, &shard);
                wanted = next;
                let removed = core.removed.lock().await.remove(&shard.no);
                inputs.extend(removed.map(Input::ParkedRemoved));
            }
            (held, saved) = or_never(&mut commit) => {
                commit = None;
                match saved? {
                    Standing::Held => {
                        ownership = Some(held);
                        *core.trouble.lock() = None;
                        inputs.push(Input::Committed);
                    }
                    Standing::TakenOver => return Ok(End::TakenOver),
                    Standing::Gone => return Ok(End::Gone),
                }
            }
            Some(Returned { id, lane, answer, event }) = invocations.next() => {
                let jitter = core.context.rng.next_u64() as u32;
                inputs.push(Input::Invoked { id, answer, jitter });
                over = Some((lane, event));
            }
            read = or_never(&mut fetch) => {
                fetch = None;
                match read? {
                    (read, Standing::Held) => inputs.push(Input::Fetched(read)),
                    (_, Standing::TakenOver) => return Ok(End::TakenOver),
                    (_, Standing::Gone) => return Ok(End::Gone),
                }
            }
            () = async { match timer { Some(timer) => timer.await, None => pending().await } } => {
                // No machine wants to be stepped again and again; if one did, others have their turn.
                tokio::task::yield_now().await;
                // A retry is due: a record that the stream dropped meanwhile is to be given up.
                match core.context.store.position(shard.no, LogPosition::Horizon).await {
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

fn changes(from: &Control, to: &Control, shard: &Shard) -> Vec<Input> {
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
    let skip = |control: &Control| control.skips.get(&shard.no).copied();
    if skip(from) != skip(to) {
        inputs.extend(skip(to).map(Input::SkipDamaged));
    }
    inputs
}

fn tell_damage(core: &Core, shard: &Shard, damaged: Option<RecordNo>, error: Option<&str>) {
    let Some(number) = damaged else { return };
    let error = error.unwrap_or_default().to_owned();
    tracing::error!(consumer = %core.id, shard = &*shard.id, number = %SequenceNumber(number), %error, "a damaged record");
    core.tell(DeliveryEvent::Damaged { shard: shard.clone(), number, error });
}

/// Where the shard goes on, and what of it is parked.
async fn begin(
    core: &Core,
    shard: &Shard,
    ownership: &Ownership,
    lanes: u16,
) -> Result<(Checkpoint, ParkedSize), StoreError> {
    let store = core.context.store.as_ref();
    let checkpoint = match ownership.checkpoint()? {
        Some(checkpoint) => checkpoint,
        // A shard without a checkpoint is read from its oldest record: LATEST has fixed the ones of its time.
        None => Checkpoint::starting_after(store.position(shard.no, LogPosition::Horizon).await?, lanes),
    };
    let mut removed = core.removed.lock().await;
    removed.remove(&shard.no);
    let (parked, _) = parked::summary(store, core.id, shard.no).await?;
    Ok((checkpoint, parked))
}

/// Reads, and looks whether this runner is still the owner before it hands records out.
async fn read_as_owner(
    core: Arc<Core>,
    shard: Shard,
    wanted: Wanted,
    fence: Fence,
) -> Result<(LogRead, Standing), StoreError> {
    let read = reader::read(core.clone(), shard, wanted).await?;
    let standing = match read.records.is_empty() {
        true => Standing::Held,
        false => fence.standing(core.context.store.as_ref()).await?,
    };
    Ok((read, standing))
}

async fn invoke(
    core: Arc<Core>,
    (shard, epoch, waits, stopping): (Shard, u64, Waits, Stopping),
    invocation: Invocation,
) -> Returned {
    let Invocation { id, lane, failed_before, plan, records, window } = invocation;
    let (of, count) = (shard.clone(), records.len());
    let records: Result<Vec<StreamRecord>, StoreError> =
        records.into_iter().map(|record| StreamRecord::read(record.logged)).collect();
    let outcome = match records {
        Ok(records) => {
            let batch = Batch { shard, failed_before, plan, epoch, redriven: false, records, window, waits, stopping };
            let (answer, event) = core.deliver(batch).await;
            return Returned { id, lane, answer, event };
        }
        // They were read before, when they were measured.
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let event = DeliveryEvent::batch(of, count, &outcome, Duration::ZERO);
    Returned { id, lane, answer: outcome.into(), event }
}

fn with_retry(mut event: DeliveryEvent, at: Option<MonotonicMs>, now: Now) -> DeliveryEvent {
    if let (DeliveryEvent::Batch { retry, .. }, Some(at)) = (&mut event, at) {
        let after = at.since(now.monotonic);
        *retry = Some(Retry { at_ms: now.wall.plus(after), after });
    }
    event
}

/// Commits until it is done: a disk without room has room again some time, and until then the shard says why it waits.
async fn save(
    core: Arc<Core>,
    shard: Shard,
    mut ownership: Ownership,
    checkpoint: Checkpoint,
    parked: Vec<Parked>,
) -> (Ownership, Result<Standing, StoreError>) {
    let mut failures = 0;
    let saved = loop {
        match ownership.save(core.context.store.as_ref(), &checkpoint, &parked).await {
            Err(StoreError::Full(error)) => {
                failures += 1;
                core.trouble(Some(&shard), format!("the checkpoint waits for room: {error}"));
                core.context.pause(failures).await;
            }
            saved => break saved,
        }
    };
    if let (Ok(Standing::Held), Some(last)) = (&saved, parked.last()) {
        let (records, reason, error) = (parked.len(), last.reason, last.error.clone());
        core.tell(DeliveryEvent::Parked { shard, records, reason, error });
    }
    (ownership, saved)
}
