//! The event source mappings of the server: the runner, wired to the engine's streams, the functions and the events.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{ErrorCode, RecordNo, limits};
use tailrace_engine::Db;
use tailrace_lambda::Functions;
use tailrace_mapping as runner;
use tailrace_mapping::{CreateMapping, MappingEvent, MappingOverview, Observer, Parameters, StreamSource, SystemTimer};
use tailrace_store::{ShardNo, StoreError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::report::{Event, MappingReport, ShardReport};
use crate::template::{MappingPlan, StartingPosition};

/// Failed invocations of a batch after which its shard counts as blocked, where no rule will ever give it up and at least one
/// of them was in this run: the function may have been mended in between.
const BLOCKED_AFTER_FAILURES: u32 = 3;

/// Tries in a row to invoke a function that cannot be invoked, after which its shard counts as blocked, where no bound on age will
/// give the batch up: the machine lacks something, or the function is switched off.
const BLOCKED_AFTER_NOT_INVOKED: u32 = 3;

/// How far the mappings have come, for whoever waits for an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every published record is processed, durably.
    Drained,
    /// Failing records block these shards, and everything else is processed.
    Blocked(Vec<ShardReport>),
}

/// The mappings of the data directory, and their runners.
pub struct Mappings {
    pub(crate) runner: Arc<runner::Mappings>,
    pub(crate) clock: Arc<dyn Clock>,
    functions: Functions,
    following: JoinHandle<()>,
    /// Parked records that are with their functions again: mapping, shard, number.
    pub(crate) redriving: Mutex<HashSet<(String, u64, RecordNo)>>,
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
        events: mpsc::Sender<Event>,
    ) -> Result<Self, StoreError> {
        let dependencies = runner::Dependencies {
            store: Arc::clone(db.store()),
            timer: Arc::new(SystemTimer(Arc::clone(&clock))),
            clock: Arc::clone(&clock),
            rng,
            streams: Arc::new(EngineStreams(Arc::clone(&db))),
            records: db.record_writer(),
            invoker: Arc::new(Arc::new(functions.clone())),
            observer: Arc::new(Teller { events }),
            region: db.settings().region.clone(),
            account_id: db.settings().account_id.clone(),
        };
        let changes = functions.code_changes();
        let runner = Arc::new(runner::Mappings::load(dependencies).await?);
        let following = tokio::spawn(follow_code(Arc::clone(&runner), functions.clone(), changes));
        Ok(Self { runner, clock, functions, following, redriving: Mutex::default() })
    }

    /// Starts what is enabled.
    pub async fn start(&self) {
        self.runner.start().await;
    }

    /// Makes the mapping that a template asks for, or gives the one that is there the template's rules. Where it is in
    /// the stream it stays. `earlier` is the function under which an earlier template had it.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn ensure(&self, plan: &MappingPlan, stream_arn: &str, earlier: Option<&str>) -> Result<(), String> {
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
            ..Parameters::default()
        };
        let renamed = || earlier.and_then(|function| self.find(function, stream_arn));
        let done = match (self.find(&plan.function, stream_arn), renamed()) {
            (Some(mapping), _) => self.runner.update(&mapping.uuid, None, &parameters).await,
            (None, Some(mapping)) => self.runner.update(&mapping.uuid, Some(&plan.function), &parameters).await,
            (None, None) => {
                let position = match plan.starting_position {
                    StartingPosition::TrimHorizon => "TRIM_HORIZON",
                    StartingPosition::Latest => "LATEST",
                };
                let request = CreateMapping {
                    function: plan.function.clone(),
                    event_source_arn: Some(stream_arn.to_owned()),
                    starting_position: Some(position.to_owned()),
                    parameters,
                };
                self.runner.create(request).await
            }
        };
        done.map_err(|error| error.to_string())?;
        self.runner.function_changed(&plan.function);
        Ok(())
    }

    /// Disables a function's mapping of a stream; its place is kept. False: it is not there, or not enabled.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn disable(&self, function: &str, stream_arn: &str) -> Result<bool, String> {
        let Some(mapping) = self.find(function, stream_arn).filter(|mapping| mapping.enabled) else { return Ok(false) };
        let disabled = Parameters { enabled: Some(false), ..Parameters::default() };
        self.runner.update(&mapping.uuid, None, &disabled).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    fn find(&self, function: &str, stream_arn: &str) -> Option<runner::Mapping> {
        let is_it = |mapping: &runner::Mapping| mapping.source.arn == stream_arn && mapping.function == function;
        self.runner.list().into_iter().find(is_it)
    }

    /// Every mapping as it stands.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn report(&self) -> Result<Vec<MappingReport>, String> {
        let blocked = self.blocked();
        let mappings = self.runner.overview().await.map_err(|e| e.to_string())?;
        let report = |mapping: MappingOverview| MappingReport {
            shards: mapping
                .shards
                .into_iter()
                .map(|shard| ShardReport {
                    blocked: blocked.contains(&(mapping.uuid.clone(), shard.shard)),
                    shard_id: shard.shard_id,
                    position: shard.position,
                    state: shard.state.to_owned(),
                    pending_records: shard.lag_records,
                    pending_is_more: shard.lag_is_more,
                    lag_ms: shard.lag_ms,
                    parked_records: shard.parked,
                    last_error: shard.error.or_else(|| mapping.trouble.clone()),
                    drained: shard.drained,
                })
                .collect(),
            uuid: mapping.uuid,
            stream_arn: mapping.stream_arn,
            table: mapping.table,
            function: mapping.function,
            state: mapping.state.to_owned(),
            last_processing_result: mapping.last_processing_result,
        };
        Ok(mappings.into_iter().map(report).collect())
    }

    /// How many records are parked, all mappings together.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn parked_records(&self) -> Result<u64, String> {
        let reports = self.report().await?;
        Ok(reports.iter().flat_map(|mapping| &mapping.shards).map(|shard| shard.parked_records).sum())
    }

    /// Waits until everything is processed, but for what is blocked.
    ///
    /// # Errors
    /// One line for the operator.
    pub async fn settled(&self) -> Result<Progress, String> {
        let mut drained = std::pin::pin!(self.runner.drained());
        let mut changes = self.runner.changes();
        loop {
            tokio::select! {
                biased;
                done = &mut drained => return done.map(|()| Progress::Drained).map_err(|e| e.to_string()),
                changed = changes.changed() => changed.map_err(|_| "the mappings have stopped".to_owned())?,
            }
            if self.blocked().is_empty() {
                continue;
            }
            let reports = self.report().await?;
            let shards = || reports.iter().filter(|m| m.state == "Enabled").flat_map(|m| &m.shards);
            // What waits behind a blocked parent waits as long as that.
            let is_done = |shard: &ShardReport| shard.drained || shard.state == "waiting";
            if shards().all(|shard| shard.blocked || is_done(shard)) {
                return Ok(Progress::Blocked(shards().filter(|shard| shard.blocked).cloned().collect()));
            }
        }
    }

    fn blocked(&self) -> Vec<(String, ShardNo)> {
        let for_good = |b: &runner::Blocked| {
            b.parked_full
                || (!b.bounded && b.failed >= BLOCKED_AFTER_FAILURES && b.failed_here > 0)
                || (!b.ages && b.not_invoked >= BLOCKED_AFTER_NOT_INVOKED)
        };
        self.runner.blocked().into_iter().filter(for_good).map(|b| (b.mapping, ShardNo(b.shard))).collect()
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
    let mut tick = tokio::time::interval(Duration::from_millis(limits::FUNCTION_CODE_LOOK_MS));
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
    runner.blocked().into_iter().map(|blocked| blocked.function).collect()
}

/// The engine's streams, as the runner looks for them.
struct EngineStreams(Arc<Db>);

impl runner::Streams for EngineStreams {
    fn find<'a>(&'a self, arn: &'a str) -> BoxFuture<'a, Result<Option<StreamSource>, StoreError>> {
        async move {
            match self.0.stream(arn).await {
                Ok(stream) => Ok(Some(StreamSource {
                    id: stream.id,
                    arn: arn.to_owned(),
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
struct Teller {
    events: mpsc::Sender<Event>,
}

impl Observer for Teller {
    fn on_event(&self, event: &MappingEvent) {
        let _ = self.events.try_send(shown(event));
    }
}

/// The event as an operator sees it.
fn shown(event: &MappingEvent) -> Event {
    match event {
        MappingEvent::Batch { function, shard, records, error, .. } => {
            Event::Batch { function: function.clone(), shard: shard.0, records: *records, error: error.clone() }
        }
        MappingEvent::Parked { function, table, shard, records, reason, error, .. } => {
            let (noun, fate) = match records {
                1 => ("record", "was given up and is parked"),
                _ => ("records", "were given up and are parked"),
            };
            let why = if error.is_empty() { reason.as_str() } else { error };
            Event::Notice(format!("{records} {noun} of {table} (shard {}) for {function} {fate}: {why}", shard.0))
        }
        MappingEvent::AnswerIgnored { function, shard, .. } => Event::Notice(format!(
            "{function} answered a batch of shard {} with something that is not JSON; ReportBatchItemFailures is on, and \
             the batch counts as processed",
            shard.0
        )),
        MappingEvent::Trimmed { shard, after, horizon, .. } => Event::Notice(format!(
            "records of shard {} between {after} and {horizon} may have been trimmed before they were read",
            shard.0
        )),
        MappingEvent::Trouble { mapping, error, .. } => {
            Event::Notice(format!("mapping {mapping} has a problem: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use tailrace_mapping::GiveUp;

    use super::*;

    #[test]
    fn what_was_parked_is_told_with_table_function_and_reason() {
        for (records, reason, error, text) in [
            (
                1,
                GiveUp::RetryAttemptsExhausted,
                "KeyError: 'x'",
                "1 record of Scores (shard 3) for level-up was given up and is parked: KeyError: 'x'",
            ),
            (
                2,
                GiveUp::RecordAgeExceeded,
                "",
                "2 records of Scores (shard 3) for level-up were given up and are parked: RecordAgeExceeded",
            ),
        ] {
            let event = MappingEvent::Parked {
                mapping: "u".into(),
                function: "level-up".into(),
                table: "Scores".into(),
                shard: ShardNo(3),
                records,
                reason,
                error: error.into(),
            };
            assert_eq!(shown(&event), Event::Notice(text.into()));
        }
    }
}
