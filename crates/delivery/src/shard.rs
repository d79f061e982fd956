//! The task of one consumer and shard: it performs what the state machine asks for, and tells it what came of it.
//!
//! It decides nothing. It sleeps until the log, the target, the store, the clock or its supervisor has something.

use std::collections::HashMap;
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
    Action, Answer, Checkpoint, Input, Invocation, InvocationId, Now, Outcome, Parked, ParkedSize, ShardMachine,
};
use crate::observer::{DeliveryEvent, Retry, Shard};
use crate::ownership::{Fence, Ownership, Standing};
use crate::parked;
use crate::reader::{self, Crowded, Found, Wanted};
use crate::room::{PageRoom, ShardRoom};
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

type Fetch = BoxFuture<'static, Result<(Found, Standing), StoreError>>;
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
    while let Some(Returned { answer, event, .. }) = invocations.next().await {
        // What comes back as it went out is no failure of anybody's.
        if !matches!(answer.outcome, Outcome::NotInvoked(_)) {
            told.tell(event);
        }
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
    let room = Arc::new(core.context.room.enter());
    // What was read and is not in the machine yet has its own.
    let mut page: Option<PageRoom> = None;
    let mut fetch: Option<Fetch> = None;
    // What is to be read later, and when.
    let mut later: Option<(Wanted, MonotonicMs)> = None;
    let mut commit: Option<Commit> = None;
    let mut told_damage = None;
    let waits = core.waits(&shard);
    let stopping = Stopping::watching(control.clone(), |control| control.stop);
    // Of each batch that is out: true once it was recalled.
    let mut recalls: HashMap<InvocationId, watch::Sender<bool>> = HashMap::new();
    let mut over = None;
    // Records up to here may be parked a second time, in the place of the first.
    let mut parked_again = None;
    let read = |wanted| read_as_owner(core.clone(), shard.clone(), room.clone(), wanted, fence.clone()).boxed();
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
                    Action::Fetch { after, records_max, bytes_max, wait, at_once, not_before } => {
                        let crowded = if at_once { Crowded::Read } else { Crowded::Tell };
                        let wanted = Wanted { after, records_max, bytes_max, wait, crowded };
                        (fetch, later) = match not_before {
                            Some(at) => (None, Some((Wanted { wait: false, ..wanted }, at))),
                            None => (Some(read(wanted)), None),
                        };
                    }
                    Action::Invoke(invocation) => {
                        let (recall, recalled) = watch::channel(false);
                        recalls.insert(invocation.id, recall);
                        let recalled = stopping.or(Stopping::watching(recalled, |recalled| *recalled));
                        let given = (shard.clone(), fence.clone(), waits.clone(), stopping.clone(), recalled);
                        invocations.push(invoke(core.clone(), given, invocation).boxed());
                    }
                    Action::Recall(id) => {
                        if let Some(recall) = recalls.get(&id) {
                            recall.send_replace(true);
                        }
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
        room.holds(machine.held_bytes());
        drop(page.take());
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
        let wake = machine.next_wake().into_iter().chain(later.as_ref().map(|(_, at)| *at)).min();
        let timer = wake.map(|at| core.context.timer.sleep_until(at));
        let mut found_now = None;
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
                        if let Some(until) = parked_again {
                            let mut removed = core.removed.lock().await;
                            removed.remove(&shard.no);
                            let (parked, _) = parked::summary(store, core.id, shard.no).await?;
                            inputs.push(Input::ParkedIs(parked));
                            parked_again = Some(until).filter(|until| machine.status().position < *until);
                        }
                        inputs.push(Input::Committed);
                    }
                    Standing::TakenOver => return Ok(End::TakenOver),
                    Standing::Gone => return Ok(End::Gone),
                }
            }
            Some(Returned { id, lane, answer, event }) = invocations.next() => {
                let jitter = core.context.rng.next_u64() as u32;
                let recalled = recalls.remove(&id).is_some_and(|recall| *recall.borrow());
                // What comes back because it was wanted back is no failure of anybody's. A target may have been told to stop
                // before this loop was.
                let recalled = recalled || control.borrow().stop;
                let came_back = matches!(answer.outcome, Outcome::NotInvoked(_)) && recalled;
                if matches!(answer.outcome, Outcome::Behind { .. }) {
                    parked_again = parked_again.max(Some(machine.status().read));
                }
                over = (!came_back).then_some((lane, event));
                inputs.push(Input::Invoked { id, answer, jitter });
            }
            found = or_never(&mut fetch) => {
                fetch = None;
                found_now = Some(found?);
            }
            () = async { match timer { Some(timer) => timer.await, None => pending().await } } => {
                // No machine wants to be stepped again and again; if one did, others have their turn.
                tokio::task::yield_now().await;
                if let Some((wanted, _)) = later.take() {
                    // Before the tick: what is there when a window ends is in its batch.
                    found_now = Some(read(wanted).await?);
                }
                // A retry is due: it is not this runner's any more if another one has claimed the shard,
                match fence.standing(store).await? {
                    Standing::Held => {}
                    Standing::TakenOver => return Ok(End::TakenOver),
                    Standing::Gone => return Ok(End::Gone),
                }
                // and a record that the stream dropped meanwhile is to be given up.
                match core.context.store.position(shard.no, LogPosition::Horizon).await {
                    Ok(before) => inputs.push(Input::Horizon(before.next())),
                    Err(StoreError::NoSuchShard(_)) => {}
                    Err(error) => return Err(error),
                }
                inputs.push(Input::Tick);
            }
        }
        match found_now {
            Some((Found::Read(read, its_room), Standing::Held)) => {
                page = Some(its_room);
                inputs.insert(0, Input::Fetched(read));
            }
            Some((Found::Crowded(wanted), Standing::Held)) => {
                fetch = Some(read(wanted));
                inputs.insert(0, Input::Crowded);
            }
            Some((_, Standing::TakenOver)) => return Ok(End::TakenOver),
            Some((_, Standing::Gone)) => return Ok(End::Gone),
            None => {}
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
    if from.changes != to.changes {
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
        // A shard that came after its consumer is read from its first record: where the others begin was fixed with the consumer.
        None => {
            let shards = store.shards(core.source.stream).await?;
            let info = shards.iter().find(|info| info.shard == shard.no).ok_or(StoreError::NoSuchShard(shard.no))?;
            Checkpoint::starting_after(info.first.before(), lanes)
        }
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
    room: Arc<ShardRoom>,
    wanted: Wanted,
    fence: Fence,
) -> Result<(Found, Standing), StoreError> {
    let found = reader::read(core.clone(), shard, room, wanted).await?;
    let standing = match &found {
        Found::Read(read, _) if !read.records.is_empty() => fence.standing(core.context.store.as_ref()).await?,
        _ => Standing::Held,
    };
    Ok((found, standing))
}

async fn invoke(
    core: Arc<Core>,
    (shard, fence, waits, stopping, recalled): (Shard, Fence, Waits, Stopping, Stopping),
    invocation: Invocation,
) -> Returned {
    let Invocation { id, lane, failed_before, plan, taken, records, window } = invocation;
    let (of, count) = (shard.clone(), records.len());
    let records: Result<Vec<StreamRecord>, StoreError> =
        records.into_iter().map(|record| StreamRecord::read(record.logged)).collect();
    let outcome = match records {
        Ok(records) => {
            let redriven = false;
            let batch = Batch {
                shard,
                failed_before,
                plan,
                taken,
                epoch: fence.epoch(),
                fence: Some(fence),
                redriven,
                records,
                window,
                waits,
                stopping,
                recalled,
            };
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
