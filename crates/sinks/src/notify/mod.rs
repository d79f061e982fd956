//! Messages to people and programs: web addresses, mails, SNS and SQS. Source: docs/spec/sinks.md 1.
//!
//! # At least once
//!
//! Nobody can say whether a request whose answer is lost was taken, so a message may come twice, and its id says so: the `eventID` of
//! its record, the same on every repeat. Messages of one partition key are sent one after the other, each when the one before it is
//! settled, and so a receiver sees a key's changes in order; after a repeat it may see some of them again, in order.
//!
//! # One flush
//!
//! Each record is a message, or with a `digest` all of them are one. A message is settled when the receiver took it, or will never take
//! it: then its records are rejected. When one is to come again, no more are begun, and the flush is an error. What of it is settled
//! is remembered until it comes again, so that within a process no message that was taken is sent twice; a crash forgets it. A mail's
//! repeat costs a person's patience, so that a flush of mails has one. A flush that is told to stop begins no more, but for what is
//! before messages that were begun, and says how far it came, up to the first
//! record that is rejected: what was taken before that does not come again.
//!
//! A digest is a function of its records: its flush is planned.

mod address;
mod aws;
mod config;
mod http;
mod lanes;
mod mail;
mod message;
mod queue;
mod signature;
mod template;
#[cfg(test)]
mod tests;
mod throttle;
mod webhook;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tailrace_core::clock::{Clock, ManualClock};
use tailrace_core::{MonotonicMs, ShardNo};
use tailrace_delivery::{Stopping, Waits};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;
use tokio::sync::MutexGuard;

use address::Destination;
pub use config::{Config, ConfigError, Digest, MailConfig, StartTls, Throttle};
use lanes::Lanes;
use mail::{Letters, Mail};
use message::{Made, Maker, Message};
use queue::Queue;
use template::Templates;
use throttle::Gate;
use webhook::Webhook;

use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Rejected, Sink, SinkError};

/// Requests of one flush at a time, if nothing is said.
const CONCURRENCY: usize = 8;
/// Most bytes of a text to a web address. Our reason: an item has 400 KB, a record two images, and JSON some more.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// Most bytes of a mail's text. Our reason: servers take 10 MB.
const LETTER_BYTES_MAX: usize = 4 << 20;
/// Longest that a flush waits for its receiver before it is an error, and goes on when it is told to stop.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Most flushes of which it is remembered what is settled: one a shard.
const REMEMBERED_MAX: usize = 4096;

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    /// It was taken.
    Done,
    /// It never will be.
    Rejected(String),
    /// Nobody knows, or not now: perhaps not before a while.
    Again { error: String, after: Option<Duration> },
}

impl Sent {
    fn again(error: String) -> Sent {
        Sent::Again { error, after: None }
    }
}

/// The sink.
#[derive(Clone)]
pub struct Notify(Arc<Inner>);

struct Inner {
    door: Door,
    maker: Maker,
    bounds: Bounds,
    concurrency: usize,
    tries_max: u32,
    clock: Arc<dyn Clock>,
    /// Held by whoever has the turn; others wait in the order in which they came.
    gate: Option<tokio::sync::Mutex<Gate>>,
    /// The receiver asked for a pause until then.
    pause: Mutex<MonotonicMs>,
    /// [`WAIT_MAX`].
    wait_max: Duration,
    /// What is settled of flushes that are to come again.
    memory: Mutex<HashMap<Place, Memory>>,
}

/// Whose flush it is; one at a time is under way.
type Place = (String, ShardNo, Option<u64>);

/// What is known of messages that were tried, by their ids.
type Memory = HashMap<String, Tried>;

#[derive(Clone, Debug, Default)]
struct Tried {
    failures: u32,
    /// It was taken, or never will be: why.
    settled: Option<Result<(), String>>,
}

/// Who takes messages.
enum Door {
    Webhook(Box<Webhook>),
    Mail(Box<Mail>),
    Queue(Box<Queue>),
}

impl Door {
    fn batch_max(&self) -> usize {
        match self {
            Door::Webhook(_) | Door::Mail(_) => 1,
            Door::Queue(_) => queue::BATCH_MAX,
        }
    }

    fn batch_bytes_max(&self) -> usize {
        match self {
            Door::Webhook(_) | Door::Mail(_) => usize::MAX,
            Door::Queue(_) => queue::BYTES_MAX,
        }
    }

    async fn send(&self, messages: &[&Message]) -> Vec<Sent> {
        let mut sent = Vec::with_capacity(messages.len());
        match self {
            Door::Queue(queue) => return queue.send(messages).await,
            Door::Webhook(webhook) => {
                for message in messages {
                    sent.push(webhook.send(message).await);
                }
            }
            Door::Mail(mail) => {
                for message in messages {
                    sent.push(mail.send(message).await);
                }
            }
        }
        sent
    }
}

impl Config {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// Something is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Nothing is asked when a sink is made, neither the network nor a clock.
        Notify::new(self, RecordWriter::of_directory("", ""), Arc::new(ManualClock::default())).map(drop)
    }
}

impl Notify {
    /// A sink. `records` writes the events of the data directory; the clock tells when requests are sent, and how many were lately.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn new(config: &Config, records: RecordWriter, clock: Arc<dyn Clock>) -> Result<Notify, ConfigError> {
        let templates = Templates::new(config)?;
        let letters = config.mail.as_ref().map(Letters::new).transpose()?;
        let (door, bytes_max, records_max) = match config.destination()? {
            Destination::Webhook(url) => {
                (Door::Webhook(Box::new(Webhook::new(config, url, clock.clone())?)), TEXT_BYTES_MAX, config::RECORDS)
            }
            Destination::Mail(mailer) => (Door::Mail(Box::new(Mail::new(config, mailer)?)), LETTER_BYTES_MAX, 1),
            Destination::Queue(queue) => {
                (Door::Queue(Box::new(Queue::new(config, queue)?)), queue::BYTES_MAX, config::RECORDS)
            }
        };
        let bounds = match (config.digest, config.throttle) {
            (Some(Digest { seconds, records }), _) => {
                let window = Duration::from_secs(seconds);
                Bounds { records_max: records, bytes_max: bytes_max.min(config::FLUSH_BYTES), window }
            }
            (None, throttle) => {
                // So that a flush is done within one span.
                let records_max = throttle.map_or(records_max, |throttle| records_max.min(throttle.messages));
                Bounds { records_max, bytes_max: config::FLUSH_BYTES, window: Duration::ZERO }
            }
        };
        let concurrency = if config.mail.is_some() { 1 } else { config.concurrency.unwrap_or(CONCURRENCY) };
        let is_digest = config.digest.is_some();
        let maker = Maker { templates, values: config.values.0, is_digest, bytes_max, records, letters };
        Ok(Notify(Arc::new(Inner {
            door,
            maker,
            bounds,
            concurrency,
            tries_max: config.tries_max.unwrap_or(u32::MAX),
            clock,
            gate: config.throttle.map(|throttle| tokio::sync::Mutex::new(Gate::new(throttle))),
            pause: Mutex::new(MonotonicMs(0)),
            wait_max: WAIT_MAX,
            memory: Mutex::default(),
        })))
    }
}

impl Sink for Notify {
    fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    fn plans(&self) -> bool {
        self.0.maker.is_digest
    }

    fn needs(&self) -> Images {
        Images::default()
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        self.0.maker.records.event_bytes(record, &tailrace_core::StreamArn::new(""))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = self.0.clone();
        async move { inner.flush(flush).await }.boxed()
    }
}

impl Inner {
    async fn flush(self: Arc<Self>, flush: Flush) -> Result<Flushed, SinkError> {
        self.wait_for_receiver(&flush.stopping).await?;
        let flush = Arc::new(flush);
        let making = tokio::task::spawn_blocking({
            let (inner, flush) = (self.clone(), flush.clone());
            move || inner.maker.make(&flush)
        });
        let Made { messages, rejected } = making.await.map_err(|error| SinkError(error.to_string()))??;
        let page = match flush.origin {
            Origin::Snapshot { page } => Some(page),
            Origin::Stream | Origin::Retry => None,
        };
        let place = (flush.source.table.clone(), flush.shard.no, page);
        // A record that is retried at an operator's word is sent again whatever was known of it.
        let known = if flush.origin == Origin::Retry { None } else { self.memory.lock().remove(&place) };
        let mut memory = known.unwrap_or_default();
        memory.retain(|id, _| messages.iter().any(|message| message.id == *id));
        let mut flushed = Flushed { rejected, ..Flushed::default() };
        let end = self.send(&flush, &messages, &mut memory, &mut flushed.bytes).await;
        if end != End::Settled && flush.origin != Origin::Retry {
            let mut all = self.memory.lock();
            if all.len() >= REMEMBERED_MAX {
                all.clear();
            }
            all.insert(place, memory.clone());
        }
        if let End::Failed(error) = end {
            return Err(SinkError(error));
        }
        let mut open = None;
        for message in messages {
            match memory.remove(&message.id).and_then(|tried| tried.settled) {
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    flushed.rejected.extend(message.records.map(|index| Rejected { index, error: error.clone() }));
                }
                None => open = open.min(Some(message.records.start)).or(Some(message.records.start)),
            }
        }
        flushed.rejected.sort_unstable_by_key(|rejected| rejected.index);
        if end == End::Stopped
            && let Some(open) = open
        {
            // What is rejected is told by a flush that is whole.
            let rejected = std::mem::take(&mut flushed.rejected).first().map_or(open, |rejected| rejected.index);
            flushed.stopped_at = Some(open.min(rejected));
        }
        Ok(flushed)
    }

    /// Sends what is not settled.
    async fn send(&self, flush: &Flush, messages: &[Message], memory: &mut Memory, bytes: &mut u64) -> End {
        let is_open = |index: &usize| memory.get(&messages[*index].id).is_none_or(|tried| tried.settled.is_none());
        let mut lanes = Lanes::new(messages, (0..messages.len()).filter(is_open));
        let (mut under_way, mut error, mut stopped, mut begun) = (FuturesUnordered::new(), None, false, 0);
        let (mut turn, mut stop) = (pin!(self.turn(flush)), pin!(flush.stopping.told()));
        let mut last_begin = pin!(None);
        loop {
            let may_begin = error.is_none() && under_way.len() < self.concurrency && !lanes.is_empty();
            if !may_begin {
                if under_way.is_empty() {
                    break;
                }
                // Whoever is not asked any more must not have the turn.
                turn.set(self.turn(flush));
            }
            tokio::select! {
                biased;
                Some((batch, sent)) = under_way.next() => {
                    self.note(messages, memory, &mut lanes, (batch, sent), bytes, &mut error);
                }
                () = &mut stop, if !stopped => {
                    stopped = true;
                    // What is before a message that was begun would be sent again with it.
                    lanes.retain(|index| index < begun);
                    last_begin.set(Some(tokio::time::sleep(self.wait_max)));
                }
                () = async { last_begin.as_mut().as_pin_mut().expect("asked for when there is one").await },
                    if last_begin.is_some() =>
                {
                    lanes.retain(|_| false);
                    last_begin.set(None);
                }
                free = &mut turn, if may_begin => {
                    match free {
                        Ok(gate) => {
                            let batch = self.choose(&mut lanes, messages, gate);
                            begun = batch.iter().fold(begun, |begun, index| begun.max(index + 1));
                            under_way.push(async move {
                                let chosen: Vec<&Message> = batch.iter().map(|index| &messages[*index]).collect();
                                let sent = self.door.send(&chosen).await;
                                (batch, sent)
                            });
                        }
                        Err(wait) => error = Some(wait),
                    }
                    turn.set(self.turn(flush));
                }
            }
        }
        match error {
            _ if stopped => End::Stopped,
            Some(error) => End::Failed(error),
            None => End::Settled,
        }
    }

    /// What became of messages that were sent.
    fn note(
        &self,
        messages: &[Message],
        memory: &mut Memory,
        lanes: &mut Lanes,
        (batch, sent): (Vec<usize>, Vec<Sent>),
        bytes: &mut u64,
        failed: &mut Option<String>,
    ) {
        for (index, sent) in batch.into_iter().zip(sent) {
            let message = &messages[index];
            let tried = memory.entry(message.id.clone()).or_default();
            match sent {
                Sent::Done => tried.settled = Some(Ok(())),
                Sent::Rejected(error) => tried.settled = Some(Err(error)),
                Sent::Again { error, after } => {
                    tried.failures += 1;
                    if let Some(after) = after {
                        let until = self.clock.monotonic().plus(after);
                        let mut pause = self.pause.lock();
                        *pause = until.max(*pause);
                        // Whoever says when wants nothing before.
                        *failed = Some(error.clone());
                    }
                    if tried.failures >= self.tries_max {
                        tried.settled = Some(Err(format!("given up after {} tries: {error}", tried.failures)));
                    } else {
                        *failed = Some(error);
                    }
                }
            }
            if tried.settled.is_some() {
                *bytes += lanes::size(message) as u64;
                lanes.settled(message.group);
            }
        }
    }

    /// Waits until the throttle lets a message of the flush through: whoever came first goes first, so that no shard waits for ever.
    ///
    /// # Errors
    /// A person waits for the end of this flush, and it would be long.
    async fn turn(&self, flush: &Flush) -> Result<Option<MutexGuard<'_, Gate>>, String> {
        let Some(gate) = &self.gate else { return Ok(None) };
        if let Ok(mut gate) = gate.try_lock()
            && gate.free(self.clock.monotonic()).is_ok()
        {
            return Ok(Some(gate));
        }
        let _waits = Waiting::begin(&flush.waits);
        let mut gate = match flush.origin {
            // Whoever has the turn may wait for long.
            Origin::Retry => tokio::time::timeout(self.wait_max, gate.lock())
                .await
                .map_err(|_| "the throttle has others wait for their turn".to_owned())?,
            Origin::Stream | Origin::Snapshot { .. } => gate.lock().await,
        };
        while let Err(wait) = gate.free(self.clock.monotonic()) {
            tokio::time::sleep(wait.min(self.wait_max)).await;
            if flush.origin == Origin::Retry && wait > self.wait_max {
                let left = (wait - self.wait_max).as_secs();
                return Err(format!("the throttle lets the next message through in {left} s"));
            }
        }
        Ok(Some(gate))
    }

    /// Messages to send now.
    fn choose(&self, lanes: &mut Lanes, messages: &[Message], gate: Option<MutexGuard<'_, Gate>>) -> Vec<usize> {
        let (count_max, bytes_max) = (self.door.batch_max(), self.door.batch_bytes_max());
        let Some(mut gate) = gate else { return lanes.next(messages, count_max, bytes_max) };
        let now = self.clock.monotonic();
        // Whoever has the turn was let through.
        let free = gate.free(now).unwrap_or(1);
        let batch = lanes.next(messages, count_max.min(free), bytes_max);
        gate.note(batch.len(), now);
        batch
    }

    /// Waits as long as the receiver asked for, if that is not long.
    async fn wait_for_receiver(&self, stopping: &Stopping) -> Result<(), SinkError> {
        let wait = Duration::from_millis(self.pause.lock().0.saturating_sub(self.clock.monotonic().0));
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait.min(self.wait_max)) => {}
                () = stopping.told() => {}
            }
        }
        match wait.saturating_sub(self.wait_max) {
            Duration::ZERO => Ok(()),
            wait => Err(SinkError(format!(
                "the receiver asked for a pause (Retry-After), of which {} s are left",
                wait.as_secs()
            ))),
        }
    }
}

/// How the messages of a flush ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// Each is settled.
    Settled,
    /// It was told to stop: some may not be begun.
    Stopped,
    /// Some are to come again: why.
    Failed(String),
}

/// A flush that waits for its turn.
struct Waiting<'a>(&'a Waits);

impl<'a> Waiting<'a> {
    fn begin(waits: &'a Waits) -> Waiting<'a> {
        waits.set(true);
        Waiting(waits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
