//! The tasks of a sink: one for each of its tables. It finds the table, makes the target ready, brings the snapshot there if there is to
//! be one, finishes what an earlier configuration had planned, and then lets the consumer run.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tailrace_core::codec::StoredItem;
use tailrace_core::key::{KeyAttribute as CoreKey, ScalarType};
use tailrace_core::limits::{BACKOFF_FIRST, BACKOFF_MAX};
use tailrace_core::{ErrorCode, MappingId};
use tailrace_delivery::{
    Consumer, Definition, DeliveryEvent, Observer, Rules, Shard, Source, Stopping, Waits, checkpoints,
};
use tailrace_engine::{Caller, control};
use tailrace_store::StoreError;
use tailrace_store::keyspace::SinkKey;

use super::row::{Earlier, SinkRow, SourceRow, consumer_id};
use super::snapshot::{self, Reaches, RejectedItem, Scope};
use super::source::{self, find_source};
use super::target::{Door, SinkTarget, Version};
use super::{Entry, Happening, Held, Inner, Phase, Running, SourceRun};
use crate::sink::{Flush, KeyAttribute, KeyKind, Origin, SourceTable};
use crate::spec::{self, Filtering, Kind, SinkSpec};

/// Between two looks whether what is built beside has caught up.
const CAUGHT_UP_LOOK: Duration = Duration::from_millis(100);
/// How often a table that is not there is looked for.
const TABLE_LOOK: Duration = Duration::from_secs(1);

/// Why a table does not go on that no task has looked at.
pub(super) const NOT_BEGUN: &str = "it has not begun";

/// Why a step of a task was not done.
pub(super) enum Stuck {
    /// It was told to stop.
    Stopped,
    /// Something is missing that may come.
    Waits(String),
    /// It failed.
    Failed(String),
}

impl From<StoreError> for Stuck {
    fn from(error: StoreError) -> Stuck {
        Stuck::Failed(error.to_string())
    }
}

/// Runs a generation, if it does not yet.
pub(super) async fn start(inner: &Arc<Inner>, entry: &Arc<Entry>, running: &Arc<Running>) {
    let mut tasks = running.tasks.lock().await;
    if tasks.is_some() {
        return;
    }
    running.stop.send_replace(false);
    let mut set = tokio::task::JoinSet::new();
    for table in &running.spec.sources() {
        let (inner, entry, running, table) = (inner.clone(), entry.clone(), running.clone(), table.clone());
        let runtime = inner.runtime.clone();
        set.spawn_on(async move { drive(&inner, &entry, &running, &table).await }, &runtime);
    }
    let is_building = entry.row().building.is_some_and(|building| building.version == running.version.number);
    if is_building {
        let (inner, entry, running) = (inner.clone(), entry.clone(), running.clone());
        let runtime = inner.runtime.clone();
        set.spawn_on(async move { take_over_when_caught_up(&inner, &entry, &running).await }, &runtime);
    }
    *tasks = Some(set);
    drop(tasks);
    start_swap(inner, entry, running).await;
}

/// Runs one table of a generation that does not run. False: it runs, or the server stops.
pub(super) async fn start_only(
    inner: &Arc<Inner>,
    entry: &Arc<Entry>,
    running: &Arc<Running>,
    table: &'static str,
) -> bool {
    let mut tasks = running.tasks.lock().await;
    if tasks.is_some() {
        return false;
    }
    running.stop.send_replace(false);
    // Whoever shuts down says so first, and then stops what runs: one of the two is seen.
    if inner.is_closing.load(SeqCst) {
        running.stop.send_replace(true);
        return false;
    }
    let (inner, entry, this) = (inner.clone(), entry.clone(), running.clone());
    let mut set = tokio::task::JoinSet::new();
    let runtime = inner.runtime.clone();
    set.spawn_on(async move { drive(&inner, &entry, &this, table).await }, &runtime);
    *tasks = Some(set);
    true
}

/// Tells the target to show this generation, if that is still to be done.
pub(super) async fn start_swap(inner: &Arc<Inner>, entry: &Arc<Entry>, running: &Arc<Running>) {
    let live = entry.row().live;
    if !live.swap || live.version != running.version.number {
        return;
    }
    if let Some(set) = running.tasks.lock().await.as_mut() {
        let (inner, entry, running) = (inner.clone(), entry.clone(), running.clone());
        let runtime = inner.runtime.clone();
        set.spawn_on(async move { swap(&inner, &entry, &running).await }, &runtime);
    }
}

async fn swap(inner: &Inner, entry: &Entry, running: &Running) {
    let mut stop = running.stop.subscribe();
    // Not before all items are there.
    let mut changes = inner.context.changes();
    loop {
        changes.borrow_and_update();
        let is_whole = {
            let sources = running.sources.lock();
            let streams = |table: &String| sources.get(table).is_some_and(|source| source.phase == Phase::Streaming);
            running.spec.sources().iter().all(streams)
        };
        if is_whole {
            break;
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
    let (mut failures, number) = (0, running.version.number);
    // The first one is shown from the beginning.
    let is_other = number > 1;
    loop {
        let swapped = async {
            running.version.sink.swap().await.map_err(|error| error.to_string())?;
            let noted = entry.change(inner.store(), &[], |row| row.live.swap &= row.live.version != number);
            noted.await.map_err(|error| error.to_string())
        };
        match swapped.await {
            Ok(()) => {
                if is_other {
                    let text = format!("version {number} has caught up, and is the one that is shown");
                    inner.notice(&entry.name, text);
                }
                return;
            }
            Err(error) => *running.stats.last.lock() = Some((inner.context.clock.now(), Some(error))),
        }
        failures += 1;
        let pause = back_off(failures, inner.rng.next_u64());
        tokio::select! {
            () = inner.context.timer.sleep_until(inner.context.clock.monotonic().plus(pause)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

pub(super) fn begin_to_stop(running: &Running) {
    running.stop.send_replace(true);
    for source in running.sources.lock().values() {
        if let Some(held) = &source.held {
            held.consumer.begin_to_stop();
        }
    }
}

/// Stops a generation: nothing of it is under way when this returns.
pub(super) async fn stop(running: &Running) {
    let mut tasks = running.tasks.lock().await;
    begin_to_stop(running);
    if let Some(mut set) = tasks.take() {
        while set.join_next().await.is_some() {}
    }
}

/// Removes the rows of consumers that generations before have left.
pub(super) async fn clean(inner: &Inner, entry: &Entry) {
    for uuid in entry.row().dropping {
        let removed = async {
            delete_consumer(inner, consumer_id(&uuid)?).await?;
            entry.change(inner.store(), &[], |row| row.dropping.retain(|other| *other != uuid)).await
        };
        if let Err(error) = removed.await {
            // The next start, or change, tries again.
            tracing::warn!(sink = entry.name, consumer = uuid, %error, "rows of a sink that are not needed any more stay for now");
        }
    }
}

pub(super) async fn delete_consumer(inner: &Inner, consumer: MappingId) -> Result<(), StoreError> {
    Consumer::delete_rows(&inner.context, consumer).await?;
    snapshot::delete(inner.store(), consumer).await
}

async fn drive(inner: &Arc<Inner>, entry: &Arc<Entry>, running: &Arc<Running>, table: &str) {
    let mut stop = running.stop.subscribe();
    let mut failures = 0;
    let mut told: Option<(String, String)> = None;
    loop {
        let error = match run(inner, entry, running, table).await {
            Ok(()) | Err(Stuck::Stopped) => return,
            Err(Stuck::Waits(reason)) => {
                let text = match told.take().filter(|(before, _)| *before == reason) {
                    Some((_, text)) => text,
                    None => {
                        let is_missing = reason == source::missing(table);
                        let near = if is_missing { source::near(inner, table).await } else { None };
                        let meant = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                        let text = format!("{reason}{meant}");
                        inner.notice(&entry.name, format!("it waits: {text}"));
                        text
                    }
                };
                show(inner, running, table, Phase::Waiting(text.clone()));
                told = Some((reason, text));
                failures = 0;
                None
            }
            Err(Stuck::Failed(error)) => Some(error),
        };
        let pause = match error {
            None => TABLE_LOOK,
            Some(error) => {
                failures += 1;
                *running.stats.last.lock() = Some((inner.context.clock.now(), Some(error)));
                inner.context.changed();
                back_off(failures, inner.rng.next_u64())
            }
        };
        tokio::select! {
            () = inner.context.timer.sleep_until(inner.context.clock.monotonic().plus(pause)) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// 1 to 60 s, spread by up to a half. Source: docs/spec/sinks.md 1, "Outage".
pub(super) fn back_off(failures: u32, random: u64) -> Duration {
    let length = (BACKOFF_FIRST * (1 << (failures - 1).min(16))).min(BACKOFF_MAX);
    length / 2 + length.mul_f64((random >> 11) as f64 / (1u64 << 53) as f64 / 2.0)
}

fn show(inner: &Inner, running: &Running, table: &str, phase: Phase) {
    let mut sources = running.sources.lock();
    match sources.get_mut(table) {
        Some(source) => source.phase = phase,
        None => {
            sources.insert(table.to_owned(), SourceRun { phase, held: None });
        }
    }
    drop(sources);
    inner.context.changed();
}

/// Until it is told to stop.
async fn run(inner: &Arc<Inner>, entry: &Arc<Entry>, running: &Arc<Running>, table: &str) -> Result<(), Stuck> {
    let source = find_source(inner, entry, running, table).await?;
    if running.spec.kind == Kind::Audit && table != control::TABLE {
        match inner.db.set_audit(table, true, &Caller::default()).await {
            // What it left behind is entered all the same.
            Err(error) if error.code == ErrorCode::ResourceNotFoundException => {}
            set => set.map_err(|error| Stuck::Failed(error.to_string()))?,
        }
    }
    let Held { target, consumer } = begin(inner, entry, running, &source)?;
    let scope = Scope {
        consumer: source.consumer_id()?,
        table: source.table_id,
        key: source.key.clone(),
        stream: source.stream,
    };
    let reaches = async || Ok::<_, StoreError>(Arc::new(Reaches::of(inner.store(), &scope).await?));
    let finish = async |up_to: u32| {
        for earlier in earlier(entry, running).iter().filter(|earlier| earlier.version < up_to) {
            if !earlier.finished.iter().any(|other| other == table) {
                finish_earlier(inner, entry, running, &target, &consumer, earlier).await?;
            }
        }
        Ok::<_, Stuck>(())
    };
    let ended = async {
        if source.again.is_some() {
            // What was planned before the snapshot was asked for goes before it.
            *target.reaches.write() = reaches().await?;
            finish(source.since).await?;
            // A first snapshot that has not come to its end is taken up by this one: changes that its pages reach to have not come with them.
            if !snapshot::progress(inner.store(), scope.consumer).await?.done {
                snapshot::forget_reaches(inner.store(), scope.consumer).await?;
            }
        }
        if source.snapshot {
            let scope = Scope { consumer: source.snapshot_id()?, ..scope.clone() };
            take_snapshot((inner, entry, running), &source, &scope, &target).await?;
            if source.again.is_some() {
                // What it has already comes as a change all the same.
                snapshot::forget_reaches(inner.store(), scope.consumer).await?;
            }
            *target.reaches.write() = reaches().await?;
        }
        finish(u32::MAX).await?;
        // Behind what was planned under a version before: the target is this version's from here on.
        if source.snapshot {
            let ended = running.version.sink.snapshot_done(target.source.clone(), source.since, running.version.number);
            ended.await.map_err(|error| Stuck::Failed(error.to_string()))?;
        }
        let live = entry.row().live;
        if live.swap && live.version == running.version.number {
            // So that it can be shown, whether there is a change or not.
            let prepared = running.version.prepare(&target.source).await;
            prepared.map_err(|error| Stuck::Failed(error.to_string()))?;
        }
        consumer.configure(rules(&running.version));
        if let Some((_, error)) = running.stats.last.lock().as_mut() {
            // What failed on the way here has not, in the end.
            *error = None;
        }
        show(inner, running, table, Phase::Streaming);
        consumer.start().await;
        forget_reaches_when_passed(inner, running, &scope, &target, &consumer).await?;
        until_replaced(inner, running, &source).await
    };
    let ended = ended.await;
    consumer.stop().await;
    ended
}

/// Until it is told to stop, or the table has another stream and all of this one is delivered.
async fn until_replaced(inner: &Inner, running: &Running, source: &SourceRow) -> Result<(), Stuck> {
    let mut stop = running.stop.subscribe();
    if source.table == control::TABLE {
        let _ = stop.wait_for(|stop| *stop).await;
        return Ok(());
    }
    let mut told = false;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
            () = inner.context.timer.sleep_until(inner.context.clock.monotonic().plus(TABLE_LOOK)) => {}
        }
        // First what costs nothing as long as the stream goes on.
        if !has_ended(inner, source).await? {
            continue;
        }
        if inner.stream_after(source).await.map_err(|error| Stuck::Failed(error.to_string()))?.is_some() {
            if forgets(inner, running, source).await? {
                if !told {
                    told = true;
                    let text = format!(
                        "{} has a new stream, which is followed when what is set aside of the former one is retried or discarded",
                        source.table
                    );
                    inner.notice(&running.spec.name, text);
                }
                continue;
            }
            return Err(Stuck::Waits(format!("{} has a new stream", source.table)));
        }
    }
}

/// Whether everything that the stream has, or ever will have, is delivered.
pub(super) async fn has_ended(inner: &Inner, source: &SourceRow) -> Result<bool, StoreError> {
    let shards = inner.store().shards(source.stream).await?;
    if shards.iter().any(|info| info.sealed.is_none()) {
        return Ok(false);
    }
    let checkpoints = checkpoints(inner.store(), source.consumer_id()?).await?;
    Ok(shards.iter().all(|info| checkpoints.get(&info.shard).is_some_and(|checkpoint| checkpoint.finished)))
}

/// Whether records are set aside that would be nowhere if the table's new stream took this one's place.
pub(super) async fn forgets(inner: &Inner, running: &Running, source: &SourceRow) -> Result<bool, Stuck> {
    let keeps = running.spec.kind.filtering() == Filtering::Records;
    Ok(keeps && super::operations::parked_records(inner, source).await? > 0)
}

pub(super) fn rules(version: &Version) -> Rules {
    let bounds = version.sink.bounds();
    Rules {
        batch_records_max: bounds.records_max.max(1),
        window: bounds.window,
        pace: version.sink.pace(),
        plan: version.sink.plans().then_some(version.number),
        mark: Some(version.number),
        ..Rules::default()
    }
}

pub(crate) fn key_attribute(key: &CoreKey) -> KeyAttribute {
    let kind = match key.scalar {
        ScalarType::S => KeyKind::S,
        ScalarType::N => KeyKind::N,
        ScalarType::B => KeyKind::B,
    };
    KeyAttribute { name: key.name.clone(), kind }
}

/// What a source is delivered with from here on: what there is of it, as if it were new.
fn begin(inner: &Arc<Inner>, entry: &Entry, running: &Running, source: &SourceRow) -> Result<Held, StoreError> {
    let id = source.consumer_id()?;
    let mut sources = running.sources.lock();
    let known = sources.get(&source.table).and_then(|known| known.held.clone());
    let held = match known.filter(|known| known.consumer.id() == id) {
        Some(held) => held,
        None => make(inner, entry, running, source)?,
    };
    *held.target.version.write() = running.version.clone();
    *held.target.reaches.write() = Arc::default();
    sources.insert(source.table.clone(), SourceRun { phase: Phase::Preparing, held: Some(held.clone()) });
    Ok(held)
}

/// The consumer of a source, which does not run if nothing was made of it yet.
pub(super) fn consumer_of(
    inner: &Arc<Inner>,
    entry: &Entry,
    running: &Running,
    source: &SourceRow,
) -> Result<Arc<Consumer>, StoreError> {
    let mut sources = running.sources.lock();
    let known = sources.get(&source.table).and_then(SourceRun::consumer);
    let id = source.consumer_id()?;
    if let Some(consumer) = known.clone().filter(|consumer| consumer.id() == id) {
        return Ok(consumer);
    }
    let held = make(inner, entry, running, source)?;
    if known.is_some() {
        // That of a former stream may still run: it is not for this look to end it.
        return Ok(held.consumer);
    }
    let begun = || SourceRun { phase: Phase::Waiting(NOT_BEGUN.to_owned()), held: None };
    sources.entry(source.table.clone()).or_insert_with(begun).held = Some(held.clone());
    Ok(held.consumer)
}

fn make(inner: &Arc<Inner>, entry: &Entry, running: &Running, source: &SourceRow) -> Result<Held, StoreError> {
    let shown = SourceTable {
        table: source.table.clone(),
        stream_arn: source.stream_arn.clone(),
        partition_key: key_attribute(&source.key.hash),
        sort_key: source.key.range.as_ref().map(key_attribute),
        view: source.view,
    };
    let (weak, name, table) = (Arc::downgrade(inner), entry.name.clone(), source.table.clone());
    let flushed = move |records: usize, error: Option<String>| {
        if let Some(inner) = weak.upgrade() {
            inner.context.changed();
            (inner.observe)(&name, Happening::Flush { table: table.clone(), records, error });
        }
    };
    let (weak, name) = (Arc::downgrade(inner), entry.name.clone());
    let notice = move |text: String| {
        if let Some(inner) = weak.upgrade() {
            inner.notice(&name, text);
        }
    };
    let target = Arc::new(SinkTarget {
        name: entry.name.as_str().into(),
        source: Arc::new(shown),
        version: parking_lot::RwLock::new(running.version.clone()),
        reaches: parking_lot::RwLock::default(),
        stats: running.stats.clone(),
        clock: inner.context.clock.clone(),
        flushed: Arc::new(flushed),
        notice: Arc::new(notice),
    });
    let definition = Definition {
        id: source.consumer_id()?,
        row: SinkKey::key(&entry.name),
        source: Source { stream: source.stream, partition_key: source.key.hash.name.clone() },
        target: Arc::new(Door(target.clone())),
        observer: Arc::new(Events {
            inner: Arc::downgrade(inner),
            sink: entry.name.clone(),
            table: source.table.clone(),
        }),
    };
    let consumer = Arc::new(Consumer::new(inner.context.clone(), definition, rules(&running.version)));
    Ok(Held { target, consumer })
}

async fn take_snapshot(
    (inner, entry, running): (&Inner, &Entry, &Running),
    source: &SourceRow,
    scope: &Scope,
    target: &SinkTarget,
) -> Result<(), Stuck> {
    let done = snapshot::progress(inner.store(), scope.consumer).await?.done;
    if done {
        return Ok(());
    }
    let shards = inner.store().shards(scope.stream).await?;
    let Some(first) = shards.first().map(Shard::of) else {
        let text =
            format!("the stream of {} is gone: set StreamSpecification, then rebuild {}", source.table, entry.name);
        return Err(Stuck::Waits(text));
    };
    let version = &running.version;
    version.prepare(&target.source).await.map_err(|error| Stuck::Failed(error.to_string()))?;
    let stopping = Stopping::watching(running.stop.subscribe(), |stop| *stop);
    loop {
        show(inner, running, &source.table, Phase::Snapshot);
        if *running.stop.borrow() {
            return Err(Stuck::Stopped);
        }
        let (bounds, now_ms) = (version.sink.bounds(), inner.context.clock.now());
        let Some(page) = snapshot::stage(inner.store(), scope, (version.number, bounds), now_ms).await? else {
            return Ok(());
        };
        // A page that may be at the target under a name of the version before gets it again.
        let before = earlier(entry, running).into_iter().find(|earlier| earlier.version == page.version);
        let before = before.map(|earlier| version_before(inner, entry, running, &earlier)).transpose()?;
        let version = before.as_ref().filter(|_| version.sink.plans()).unwrap_or(version);
        let (mut records, mut places) = (Vec::with_capacity(page.records.len()), Vec::new());
        for (place, record) in page.records.iter().enumerate() {
            if version.shown_as(record, &target.source.stream_arn)?.is_some() {
                records.push(record.clone());
                places.push(place);
            }
        }
        let (mut rejected, mut taken) = (Vec::new(), page.records.len());
        if !records.is_empty() {
            let keys: Vec<Bytes> = records.iter().map(|record| record.meta.keys.clone()).collect();
            let flush = Flush {
                sink: target.name.clone(),
                version: version.number,
                source: target.source.clone(),
                shard: first.clone(),
                origin: Origin::Snapshot { page: page.page, made_by: page.version },
                epoch: 0,
                taken: None,
                failed_before: 0,
                records,
                waits: Waits::default(),
                stopping: stopping.clone(),
            };
            let flushed = target.send(version, flush).await.map_err(|error| Stuck::Failed(error.to_string()))?;
            // What passes over the filter before it is over, too.
            taken = flushed.stopped_at.and_then(|index| places.get(index).copied()).unwrap_or(taken);
            for item in flushed.rejected {
                let key = keys.get(item.index).and_then(|keys| StoredItem::new(keys).ok());
                let key = key.and_then(|key| serde_json::to_string(&key).ok()).unwrap_or_default();
                rejected.push(RejectedItem { key, error: item.error });
            }
        }
        snapshot::confirm(inner.store(), scope, &page, taken, &rejected).await?;
        if let Some(RejectedItem { key, error }) = rejected.last() {
            let (table, others) = (&source.table, rejected.len() - 1);
            let others = if others > 0 { format!(" ({others} others before it)") } else { String::new() };
            let text = format!(
                "the item {key} of {table} was rejected and is not at the target{others}: {error}; write it again, or rebuild"
            );
            inner.notice(&target.name, text);
        }
        if taken < page.records.len() {
            return Err(Stuck::Stopped);
        }
    }
}

/// The configurations that were replaced and under which something may be planned still.
fn earlier(entry: &Entry, running: &Running) -> Vec<Earlier> {
    let mut row = entry.row();
    row.generation(running.version.number).map(|generation| std::mem::take(&mut generation.earlier)).unwrap_or_default()
}

/// The sink as it was: what it makes is as the replaced configuration says, and the target is reached as the present one does.
fn version_before(inner: &Inner, entry: &Entry, running: &Running, earlier: &Earlier) -> Result<Arc<Version>, Stuck> {
    let failed = |error: &dyn std::fmt::Display| Stuck::Failed(error.to_string());
    let mut row = entry.row();
    let now = row.generation(running.version.number).map(|generation| &generation.config);
    let config = spec::reached_as(&earlier.config, now.unwrap_or(&earlier.config));
    let spec = SinkSpec::read(&entry.name, &config).map_err(|error| failed(&error))?;
    inner.version(&spec, earlier.version).map_err(|error| failed(&error))
}

/// Hands out what was planned under the configuration before, and nothing else, until none of it is left.
async fn finish_earlier(
    inner: &Inner,
    entry: &Entry,
    running: &Running,
    target: &SinkTarget,
    consumer: &Consumer,
    earlier: &Earlier,
) -> Result<(), Stuck> {
    show(inner, running, &target.source.table, Phase::Finishing);
    let before = version_before(inner, entry, running, earlier)?;
    *target.version.write() = before.clone();
    consumer.configure(Rules { hold: true, ..rules(&before) });
    let mut changes = inner.context.changes();
    let mut stop = running.stop.subscribe();
    consumer.start().await;
    loop {
        changes.borrow_and_update();
        let checkpoints = consumer.checkpoints().await?;
        let planned = |checkpoint: &tailrace_delivery::Checkpoint| {
            checkpoint.attempts.iter().flatten().any(|attempt| attempt.plan == Some(earlier.version))
        };
        if !checkpoints.values().any(planned) {
            break;
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return Err(Stuck::Stopped),
        }
    }
    consumer.stop().await;
    *target.version.write() = running.version.clone();
    let (number, table) = (running.version.number, target.source.table.clone());
    let finished = |row: &mut SinkRow| {
        let Some(generation) = row.generation(number) else { return };
        if let Some(finished) = generation.earlier.iter_mut().find(|other| other.version == earlier.version) {
            finished.finished.push(table);
        }
        generation.forget_finished();
    };
    Ok(entry.change(inner.store(), &[], finished).await?)
}

/// Forgets what the snapshot's pages reach to, once every record of their time was passed.
async fn forget_reaches_when_passed(
    inner: &Inner,
    running: &Running,
    scope: &Scope,
    target: &SinkTarget,
    consumer: &Consumer,
) -> Result<(), Stuck> {
    let reaches = target.reaches.read().clone();
    if reaches.is_empty() {
        return Ok(());
    }
    let mut stop = running.stop.subscribe();
    let mut changes = inner.context.changes();
    loop {
        changes.borrow_and_update();
        let checkpoints = consumer.checkpoints().await?;
        let shards = inner.store().shards(scope.stream).await?;
        let is_passed = |shard| match (reaches.end(shard), checkpoints.get(&shard)) {
            (None, _) => true,
            (Some(end), Some(checkpoint)) => checkpoint.finished || checkpoint.low_water >= end,
            (Some(_), None) => false,
        };
        if shards.iter().all(|info| is_passed(info.shard)) {
            break;
        }
        tokio::select! {
            _ = changes.changed() => {}
            _ = stop.wait_for(|stop| *stop) => return Err(Stuck::Stopped),
        }
        // A busy shard changes often; its checkpoint need not be looked at each time.
        let pause = inner.context.clock.monotonic().plus(TABLE_LOOK);
        tokio::select! {
            () = inner.context.timer.sleep_until(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return Err(Stuck::Stopped),
        }
    }
    snapshot::forget_reaches(inner.store(), scope.consumer).await?;
    *target.reaches.write() = Arc::default();
    Ok(())
}

/// Lets what is built beside take its place when all of its tables have caught up.
async fn take_over_when_caught_up(inner: &Arc<Inner>, entry: &Arc<Entry>, running: &Arc<Running>) {
    let mut stop = running.stop.subscribe();
    let mut changes = inner.context.changes();
    loop {
        changes.borrow_and_update();
        match has_caught_up(running).await {
            Ok(true) => break,
            Ok(false) => {}
            Err(error) => tracing::warn!(sink = entry.name, %error, "it is not known whether a sink has caught up"),
        }
        tokio::select! {
            () = async {
                let _ = changes.changed().await;
                inner.context.timer.sleep_until(inner.context.clock.monotonic().plus(CAUGHT_UP_LOOK)).await;
            } => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
    let (inner, entry, running) = (inner.clone(), entry.clone(), running.clone());
    // Not a task of the generation: it goes on while those of the old one end.
    tokio::spawn(async move { super::operations::take_over(&inner, &entry, &running).await }.boxed());
}

async fn has_caught_up(running: &Running) -> Result<bool, StoreError> {
    let tables = running.spec.sources();
    let streams: Vec<_> = {
        let sources = running.sources.lock();
        let streams = |source: &SourceRun| source.consumer().filter(|_| source.phase == Phase::Streaming);
        tables.iter().filter_map(|table| sources.get(table).and_then(streams)).collect()
    };
    for consumer in &streams {
        if !consumer.is_drained().await? {
            return Ok(false);
        }
    }
    Ok(streams.len() == tables.len())
}

/// Tells the events of a consumer on.
struct Events {
    inner: std::sync::Weak<Inner>,
    sink: String,
    table: String,
}

impl Observer for Events {
    fn on_event(&self, event: DeliveryEvent) {
        let Some(inner) = self.inner.upgrade() else { return };
        let table = &self.table;
        let text = match event {
            DeliveryEvent::Parked { records, error, .. } => {
                format!("{records} of {table} will never be taken, and are set aside: {error}")
            }
            DeliveryEvent::Trimmed { .. } => {
                format!("records of {table} may be lost: they were trimmed before they were read; rebuild it")
            }
            DeliveryEvent::Lost { .. } => format!("records of {table} are lost: their piece of the log was set aside"),
            DeliveryEvent::Damaged { error, .. } => format!("a damaged record of {table} holds it up: {error}"),
            DeliveryEvent::TakenOver { .. } => format!("another server has taken {table} over"),
            DeliveryEvent::Trouble { error, .. } => format!("a problem with {table}: {error}"),
            DeliveryEvent::WindowLost { .. } | DeliveryEvent::Batch { .. } => return,
        };
        inner.notice(&self.sink, text);
    }
}
