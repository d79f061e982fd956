//! The event source mappings of the server: the runner, wired to the engine's streams, the functions and the events.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{ErrorCode, SequenceNumber, StreamArn, limits};
use tailrace_engine::Db;
use tailrace_engine::streams::label;
use tailrace_lambda::{Functions, InvokeContext, InvokeOutcome};
use tailrace_mapping as runner;
use tailrace_mapping::{
    AnswerFault, CreateMapping, MappingError, MappingEvent, MappingStatus, Observer, Parameters, Room, ShardState,
    ShardStatus, StreamSource, SystemTimer,
};
use tailrace_store::StoreError;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::report::{Event, InvokeAnswer, InvokeRequest};
use crate::template::MappingPlan;

/// How far the mappings have come, for whoever waits for an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every published record is processed, durably.
    Drained,
    /// Failing records block these shards, and everything else is processed.
    Blocked(Vec<ShardStatus>),
}

/// What the last start knew of a template's mapping.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The mapping that it made.
    pub uuid: Option<&'a str>,
    /// The function's name then.
    pub function: Option<&'a str>,
}

/// The mappings of the data directory, and their runners.
pub struct Mappings {
    pub(crate) runner: Arc<runner::Mappings>,
    pub(crate) clock: Arc<dyn Clock>,
    functions: Functions,
    region: String,
    account_id: String,
    following: JoinHandle<()>,
}

impl Mappings {
    /// Reads the mappings. None runs before [`Self::start`], or before it is made or changed.
    ///
    /// # Errors
    /// The store's.
    pub async fn load(
        db: Arc<Db>,
        functions: Functions,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        room: Room,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, StoreError> {
        let (region, account_id) = (db.settings().region.clone(), db.settings().account_id.clone());
        let dependencies = runner::Dependencies {
            store: Arc::clone(db.store()),
            timer: Arc::new(SystemTimer(Arc::clone(&clock))),
            clock: Arc::clone(&clock),
            rng,
            room,
            streams: Arc::new(EngineStreams(Arc::clone(&db))),
            records: db.record_writer(),
            invoker: Arc::new(Arc::new(functions.clone())),
            observer: Arc::new(EventForwarder { events }),
            region: region.clone(),
            account_id: account_id.clone(),
        };
        let changes = functions.code_changes();
        let runner = Arc::new(runner::Mappings::load(dependencies).await?);
        let following = tokio::spawn(follow_code(Arc::clone(&runner), functions.clone(), changes));
        Ok(Self { runner, clock, functions, region, account_id, following })
    }

    /// Whether every published record is processed, durably, in every enabled mapping.
    ///
    /// # Errors
    /// The store's.
    pub async fn is_drained(&self) -> Result<bool, StoreError> {
        self.runner.is_drained().await
    }

    /// Changes whenever the state of a mapping may have changed.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.runner.changes()
    }

    /// Starts what is enabled.
    pub async fn start(&self) {
        self.runner.start().await;
    }

    /// Makes the mapping that a template asks for, or gives the one that is there the template's rules. Where it is in
    /// the stream it stays. Its uuid.
    ///
    /// # Errors
    /// As CreateEventSourceMapping and UpdateEventSourceMapping have them.
    pub async fn ensure(
        &self,
        plan: &MappingPlan,
        stream_arn: &StreamArn,
        known: Known<'_>,
    ) -> Result<String, MappingError> {
        let optional = |value: Option<u32>| Some(value.map_or(-1, i64::from));
        let parameters = Parameters {
            enabled: Some(plan.enabled),
            batch_size: Some(plan.batch_size.into()),
            batching_window_s: Some(plan.batching_window_s.into()),
            parallelization_factor: Some(plan.parallelization_factor.into()),
            record_age_max_s: optional(plan.record_age_max_s),
            retry_attempts_max: optional(plan.retry_attempts_max),
            bisect_on_error: Some(plan.bisect_on_error),
            response_types: Some(if plan.report_item_failures {
                vec!["ReportBatchItemFailures".to_owned()]
            } else {
                Vec::new()
            }),
            bare_records: Some(plan.bare_records),
            filters: Some(plan.filters.iter().cloned().map(Some).collect()),
            tumbling_window_s: Some(plan.tumbling_window_s.into()),
            metrics: Some(plan.metrics.clone()),
            kms_key_arn: Some(plan.kms_key_arn.clone().unwrap_or_default()),
            tags: Some(plan.tags.clone()),
            ..Parameters::default()
        };
        let function = Some(plan.function.as_str());
        let own = known.uuid.filter(|uuid| self.has(uuid));
        let by_name = || self.find(&plan.function, stream_arn);
        let there = own.map(str::to_owned).or_else(by_name);
        // Without its uuid it is known by its function alone. One whose uuid is known and gone was deleted.
        let earlier = known.function.filter(|_| known.uuid.is_none());
        let there = there.or_else(|| self.find(earlier?, stream_arn));
        let there = match (there, earlier) {
            (Some(uuid), _) => Some((uuid, function)),
            // An earlier version of the program took those of versions and aliases for it, too.
            (None, Some(earlier)) => {
                let adopted = self.find_of_any_version(earlier, stream_arn);
                adopted.map(|uuid| (uuid, function.filter(|function| *function != earlier)))
            }
            (None, None) => None,
        };
        let done = match there {
            Some((uuid, function)) => self.runner.update(&uuid, function, &parameters).await,
            None => {
                let request = CreateMapping {
                    function: Some(plan.function.clone()),
                    event_source_arn: Some(stream_arn.to_string()),
                    starting_position: Some(plan.starting_position.name().to_owned()),
                    parameters: parameters.clone(),
                };
                self.runner.create(request).await
            }
        };
        let mapping = match done {
            // Calls of the API gave its function to another one, which has the template's rules from now on.
            Err(MappingError::Conflict { uuid, .. }) => self.runner.update(&uuid, None, &parameters).await?,
            done => done?,
        };
        self.runner.function_changed(&plan.function);
        Ok(mapping.uuid())
    }

    /// Disables the mapping that a template had of a function and a stream: that of `uuid`, if it is known. Its place is kept. False:
    /// it is not there, or not enabled.
    ///
    /// # Errors
    /// As UpdateEventSourceMapping has them.
    pub async fn disable(
        &self,
        function: &str,
        stream_arn: &StreamArn,
        uuid: Option<&str>,
    ) -> Result<bool, MappingError> {
        let by_name = || self.find(function, stream_arn).or_else(|| self.find_of_any_version(function, stream_arn));
        let uuid = uuid.map(str::to_owned).or_else(by_name);
        let Some(uuid) = uuid.filter(|uuid| self.runner.get(uuid).is_ok_and(|mapping| mapping.enabled)) else {
            return Ok(false);
        };
        let disabled = Parameters { enabled: Some(false), ..Parameters::default() };
        self.runner.update(&uuid, None, &disabled).await?;
        Ok(true)
    }

    /// There is a mapping of this uuid.
    pub fn has(&self, uuid: &str) -> bool {
        self.runner.get(uuid).is_ok()
    }

    /// The mapping of a function as it is named without a version or an alias: those have mappings of their own.
    fn find(&self, function: &str, stream_arn: &StreamArn) -> Option<String> {
        let wanted = self.unqualified(function);
        self.find_of(stream_arn, |mapping| mapping.function.arn.as_str() == wanted)
    }

    /// The mapping of a function, whatever version or alias it names.
    fn find_of_any_version(&self, function: &str, stream_arn: &StreamArn) -> Option<String> {
        self.find_of(stream_arn, |mapping| mapping.function.name == function)
    }

    fn find_of(&self, stream_arn: &StreamArn, is_it: impl Fn(&runner::Mapping) -> bool) -> Option<String> {
        let list = self.runner.list();
        list.iter().find(|mapping| mapping.source.arn == *stream_arn && is_it(mapping)).map(runner::Mapping::uuid)
    }

    fn unqualified(&self, function: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{function}", self.region, self.account_id)
    }

    /// Every mapping as it is configured.
    pub fn list(&self) -> Vec<runner::Mapping> {
        self.runner.list()
    }

    /// Every function.
    pub fn functions(&self) -> Vec<tailrace_lambda::FunctionConfig> {
        self.functions.list()
    }

    /// Runs a function on an event, and waits for what it answers.
    pub async fn invoke(&self, request: InvokeRequest) -> InvokeAnswer {
        let payload = request.event.to_string().into();
        let outcome = self.functions.invoke(&request.function, payload, InvokeContext::default()).await;
        let json = |payload: &[u8]| serde_json::from_slice(payload).unwrap_or(serde_json::Value::Null);
        match outcome {
            InvokeOutcome::Success { payload, duration, .. } => {
                InvokeAnswer { payload: json(&payload), error: None, duration }
            }
            InvokeOutcome::FunctionError { payload, kind, duration, .. } => {
                InvokeAnswer { payload: json(&payload), error: Some(format!("{kind:?}")), duration }
            }
            InvokeOutcome::Throttled { .. } => {
                let function = self.functions.get(&request.function);
                let is_off = function.is_some_and(|function| function.reserved_concurrency == Some(0));
                InvokeAnswer::refused(match is_off {
                    true => "it is switched off: its ReservedConcurrentExecutions are 0",
                    false => "all its places are taken: try again",
                })
            }
            InvokeOutcome::NotInvocable { reason } => InvokeAnswer::refused(reason),
        }
    }

    /// Every mapping as it stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn overview(&self) -> Result<Vec<MappingStatus>, StoreError> {
        self.runner.overview().await
    }

    /// How many records are parked, all mappings together.
    ///
    /// # Errors
    /// The store's.
    pub async fn parked_records(&self) -> Result<u64, StoreError> {
        let mappings = self.overview().await?;
        Ok(mappings.iter().flat_map(|mapping| &mapping.shards).map(|shard| shard.parked_records).sum())
    }

    /// Waits until everything is processed, but for what is blocked.
    ///
    /// # Errors
    /// The store's.
    pub async fn settled(&self) -> Result<Progress, StoreError> {
        let mut changes = self.runner.changes();
        loop {
            changes.borrow_and_update();
            if let Some(progress) = self.progress().await? {
                return Ok(progress);
            }
            changes.changed().await.map_err(|_| StoreError::Closed)?;
        }
    }

    /// As [`Self::settled`], at this moment; `None`: something is under way.
    ///
    /// # Errors
    /// The store's.
    pub async fn progress(&self) -> Result<Option<Progress>, StoreError> {
        if self.is_drained().await? {
            return Ok(Some(Progress::Drained));
        }
        let is_blocked = |mapping: &MappingStatus| mapping.shards.iter().any(|shard| shard.blocked);
        if !self.runner.status().iter().any(is_blocked) {
            return Ok(None);
        }
        let mappings = self.overview().await?;
        let runs = |mapping: &&MappingStatus| mapping.state.runs();
        let shards = || mappings.iter().filter(runs).flat_map(|mapping| &mapping.shards);
        // What waits behind a blocked parent waits as long as that.
        let is_done = |shard: &ShardStatus| shard.drained || shard.state == ShardState::Waiting;
        let blocked: Vec<ShardStatus> = shards().filter(|shard| shard.blocked).cloned().collect();
        let is_all = !blocked.is_empty() && shards().all(|shard| shard.blocked || is_done(shard));
        Ok(is_all.then_some(Progress::Blocked(blocked)))
    }

    /// Hands out nothing more, waits for what is under way, and makes checkpoints durable.
    pub async fn stop(&self) {
        self.following.abort();
        // A batch that waits for a function to be startable again is not under way.
        self.functions.end_pauses();
        self.runner.shutdown().await;
    }
}

/// Retries at once what waits for a function whose code has changed. An invocation looks at the code by itself; for a
/// function that fails nobody may invoke it for a minute, so its code is looked at here.
async fn follow_code(runner: Arc<runner::Mappings>, functions: Functions, mut changes: broadcast::Receiver<String>) {
    let mut tick = tokio::time::interval(limits::FUNCTION_CODE_LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = changes.recv() => match changed {
                Ok(function) => runner.function_changed(&function),
                Err(RecvError::Lagged(_)) => failing(&runner).iter().for_each(|name| runner.function_changed(name)),
                Err(RecvError::Closed) => return,
            },
            _ = tick.tick() => {
                for function in failing(&runner) {
                    // A change comes back through the channel.
                    functions.look_at_code(&function).await;
                }
            }
        }
    }
}

fn failing(runner: &runner::Mappings) -> BTreeSet<String> {
    runner.failing_functions().into_iter().collect()
}

/// The engine's streams, as the runner looks for them.
struct EngineStreams(Arc<Db>);

impl runner::Streams for EngineStreams {
    fn find<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<Option<StreamSource>, StoreError>> {
        async move {
            match self.0.stream(arn).await {
                Ok(stream) => Ok(Some(StreamSource {
                    id: stream.id,
                    arn: StreamArn::new(arn.to_owned()),
                    partition_key: stream.key.hash.name.clone(),
                })),
                Err(error) if error.code == ErrorCode::InternalServerError => Err(StoreError::Io(error.to_string())),
                Err(_) => Ok(None),
            }
        }
        .boxed()
    }
}

/// Tells the events of the runner on. When nobody takes them, they are dropped: the runner does not wait for a terminal.
struct EventForwarder {
    events: mpsc::Sender<Event>,
}

impl Observer for EventForwarder {
    fn on_event(&self, event: &MappingEvent) {
        let _ = self.events.try_send(shown(event));
    }
}

/// The event as an operator sees it.
fn shown(event: &MappingEvent) -> Event {
    match event {
        MappingEvent::Batch { mapping, function, table, shard, records, failed, error, retry, .. } => Event::Batch {
            mapping: mapping.clone(),
            function: function.clone(),
            table: table.clone(),
            shard: shard.id.to_string(),
            records: *records,
            failed: *failed,
            error: error.clone(),
            retry: *retry,
        },
        MappingEvent::Parked { function, table, shard, records, reason, error, .. } => {
            let (noun, fate) = match records {
                1 => ("record", "was given up and is parked"),
                _ => ("records", "were given up and are parked"),
            };
            let why = if error.is_empty() { reason.as_str() } else { error };
            Event::Notice(format!("{records} {noun} of {table} ({}) for {function} {fate}: {why}", shard.id))
        }
        MappingEvent::AnswerIgnored { function, shard, fault, .. } => {
            let reporting = if *fault == AnswerFault::NotAskedFor { "off" } else { "on" };
            Event::Notice(format!(
                "{function} answered a batch of {} with {fault}; ReportBatchItemFailures is {reporting}, and the batch counts as \
                 processed",
                shard.id
            ))
        }
        MappingEvent::WindowLost { function, shard, start_ms, error, .. } => Event::Notice(format!(
            "what {function} had gathered of {} in the window from {} on is lost: its last call was given up: {error}",
            shard.id,
            label::text(*start_ms)
        )),
        MappingEvent::Trimmed { shard, after, horizon, .. } => Event::Notice(format!(
            "records of {} between {} and {} may have been trimmed before they were read",
            shard.id,
            SequenceNumber(*after),
            SequenceNumber(*horizon)
        )),
        MappingEvent::Lost { shard, numbers, .. } => Event::Notice(format!(
            "records of {} from {} to {} are passed over: they lay in a piece of the log that was set aside",
            shard.id,
            SequenceNumber(*numbers.start()),
            SequenceNumber(*numbers.end())
        )),
        MappingEvent::Damaged { mapping, table, shard, error, .. } => Event::Notice(format!(
            "{} of {table} is held up by a damaged record: {error}; tailrace parked {mapping} --skip sets it aside",
            shard.id
        )),
        MappingEvent::TakenOver { mapping, shard } => {
            Event::Notice(format!("another server has taken {} of mapping {mapping} over", shard.id))
        }
        MappingEvent::Trouble { mapping, shard, error } => {
            let shard = shard.as_ref().map(|shard| format!(" with {}", shard.id)).unwrap_or_default();
            Event::Notice(format!("mapping {mapping} has a problem{shard}: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use tailrace_core::ShardNo;
    use tailrace_mapping::{GiveUp, Shard};

    use super::*;

    #[test]
    fn what_was_parked_is_told_with_table_function_and_reason() {
        for (records, reason, error, text) in [
            (
                1,
                GiveUp::RetryAttemptsExhausted,
                "KeyError: 'x'",
                "1 record of Scores (shardId-3) for level-up was given up and is parked: KeyError: 'x'",
            ),
            (
                2,
                GiveUp::RecordAgeExceeded,
                "",
                "2 records of Scores (shardId-3) for level-up were given up and are parked: RecordAgeExceeded",
            ),
        ] {
            let event = MappingEvent::Parked {
                mapping: "u".into(),
                function: "level-up".into(),
                table: "Scores".into(),
                shard: Shard { no: ShardNo(3), id: "shardId-3".into() },
                records,
                reason,
                error: error.into(),
            };
            assert_eq!(shown(&event), Event::Notice(text.into()));
        }
    }
}
