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
//! before messages that were begun, and says how far it came: what was taken or rejected before that does not come again.
//!
//! A digest is a function of its records: its flush is planned, and one that is told to stop comes again as it is.
//!
//! A message is made when its turn comes: of a flush there are in memory those of as many requests as are under way, and of one more.

mod address;
mod config;
mod http;
mod lanes;
mod mail;
mod message;
mod queue;
mod seen;
mod signature;
mod template;
#[cfg(test)]
pub(crate) mod tests;
mod throttle;
mod webhook;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
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
use tokio::task::JoinError;

use address::Destination;
pub use config::{Config, ConfigError, Digest, MailConfig, StartTls, Throttle};
use lanes::Lanes;
use mail::{Letters, Mail};
use message::{Due, Made, Maker, Message};
use queue::Queue;
use template::Templates;
use throttle::Gate;
use webhook::Webhook;

use crate::computed::{computed, stored_bytes};
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
                let bytes_max = if queue.is_topic { queue::BYTES_MAX } else { queue::QUEUED_BYTES_MAX };
                (Door::Queue(Box::new(Queue::new(config, queue)?)), bytes_max, config::RECORDS)
            }
        };
        let several_bytes_max = bytes_max.min(door.batch_bytes_max());
        let bounds = match (config.digest, config.throttle) {
            (Some(Digest { seconds, records }), _) => {
                let window = Duration::from_secs(seconds);
                Bounds { records_max: records, bytes_max: several_bytes_max.min(config::FLUSH_BYTES), window }
            }
            (None, throttle) => {
                // So that a flush is done within one span.
                let records_max = throttle.map_or(records_max, |throttle| records_max.min(throttle.messages));
                Bounds { records_max, bytes_max: config::FLUSH_BYTES, window: Duration::ZERO }
            }
        };
        let concurrency = if config.mail.is_some() { 1 } else { config.concurrency.unwrap_or(CONCURRENCY) };
        let is_digest = config.digest.is_some();
        let maker =
            Maker { templates, values: config.values.0, is_digest, bytes_max, several_bytes_max, records, letters };
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
        let (inner, of) = (self.clone(), flush.clone());
        let looking = computed(stored_bytes(&flush.records), move || inner.maker.due(&of));
        let due = looking.await.map_err(|error| SinkError(error.to_string()))??;
        let page = match flush.origin {
            Origin::Snapshot { page, .. } => Some(page),
            Origin::Stream | Origin::Retry => None,
        };
        let place = (flush.source.table.clone(), flush.shard.no, page);
        // A record that is retried at an operator's word is sent again whatever was known of it.
        let known = if flush.origin == Origin::Retry { None } else { self.memory.lock().remove(&place) };
        let mut course = Course::new(flush.records.len(), known.unwrap_or_default());
        let end = self.send(&flush, due, &mut course).await;
        if end != End::Settled && flush.origin != Origin::Retry {
            let mut all = self.memory.lock();
            if all.len() >= REMEMBERED_MAX {
                all.clear();
            }
            all.insert(place, std::mem::take(&mut course.memory));
        }
        match end {
            End::Failed(error) => Err(SinkError(error)),
            End::Settled | End::Stopped => Ok(course.flushed(self.maker.is_digest)),
        }
    }

    /// Makes messages. They come to as much as is sent at once.
    fn make(self: &Arc<Self>, flush: &Arc<Flush>, due: Vec<Due>) -> BoxFuture<'static, Result<Vec<Made>, JoinError>> {
        // A template may take as long as its fuel lasts.
        let bytes = match self.maker.templates.is_empty() {
            true => due.iter().map(|due| stored_bytes(&flush.records[due.records.clone()])).sum(),
            false => usize::MAX,
        };
        let (inner, flush) = (self.clone(), flush.clone());
        computed(bytes, move || due.into_iter().map(|due| inner.maker.make(&flush, due)).collect()).boxed()
    }

    /// Makes and sends what is not settled.
    async fn send(self: &Arc<Self>, flush: &Arc<Flush>, due: Vec<Due>, course: &mut Course) -> End {
        let mut lanes = Lanes::new(due.into_iter().filter(|due| !course.is_settled(due)));
        // Made and not begun: no more than one request takes.
        let mut made: VecDeque<Message> = VecDeque::new();
        let mut making: Option<BoxFuture<'static, Result<Vec<Made>, JoinError>>> = None;
        let (mut under_way, mut error, mut stopped) = (FuturesUnordered::new(), None, false);
        // Where the last record ends that was begun, and where the last one may begin.
        let (mut begun, mut limit) = (0, usize::MAX);
        let (mut turn, mut stop) = (pin!(self.turn(flush)), pin!(flush.stopping.told()));
        let mut last_begin = pin!(None);
        loop {
            let has_room = error.is_none() && under_way.len() < self.concurrency;
            if has_room && made.is_empty() && making.is_none() && !lanes.is_empty() {
                making = Some(self.make(flush, lanes.next(self.door.batch_max())));
            }
            let may_begin = has_room && !made.is_empty();
            if !may_begin {
                if under_way.is_empty() && making.is_none() {
                    break;
                }
                // Whoever is not asked any more must not have the turn.
                turn.set(self.turn(flush));
            }
            tokio::select! {
                biased;
                Some((batch, sent)) = under_way.next() => self.note(course, &mut lanes, (batch, sent), &mut error),
                result = async { making.as_mut().expect("asked for when there is one").await }, if making.is_some() => {
                    making = None;
                    match result {
                        Ok(all) => all.into_iter().for_each(|one| take(one, course, &mut lanes, &mut made, &mut error)),
                        Err(failed) => error = Some(failed.to_string()),
                    }
                }
                () = &mut stop, if !stopped => {
                    // What is before a message that was begun would be sent again with it.
                    (stopped, limit) = (true, begun);
                    last_begin.set(Some(tokio::time::sleep(self.wait_max)));
                }
                () = async { last_begin.as_mut().as_pin_mut().expect("asked for when there is one").await },
                    if last_begin.is_some() =>
                {
                    limit = 0;
                    last_begin.set(None);
                }
                free = &mut turn, if may_begin => {
                    match free {
                        Ok(gate) => {
                            let batch = self.choose(&mut made, gate);
                            begun = batch.iter().fold(begun, |begun, message| begun.max(message.due.records.end));
                            under_way.push(async move {
                                let sent = self.door.send(&batch.iter().collect::<Vec<_>>()).await;
                                (batch, sent)
                            });
                        }
                        Err(wait) => error = Some(wait),
                    }
                    turn.set(self.turn(flush));
                }
            }
            if stopped {
                lanes.retain(|due| due.records.start < limit);
                made.retain(|message| message.due.records.start < limit);
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
        course: &mut Course,
        lanes: &mut Lanes,
        (batch, sent): (Vec<Message>, Vec<Sent>),
        failed: &mut Option<String>,
    ) {
        for (message, sent) in batch.into_iter().zip(sent) {
            let tried = course.memory.entry(message.due.id.clone()).or_default();
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
            if let Some(fate) = tried.settled.clone() {
                course.bytes += message.bytes() as u64;
                course.settle(&message.due.records, fate);
                lanes.settled(message.due.group);
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

    /// Messages to send now, in one request: as many, and with as many bytes, as it takes, but at least one.
    fn choose(&self, made: &mut VecDeque<Message>, gate: Option<MutexGuard<'_, Gate>>) -> Vec<Message> {
        let now = self.clock.monotonic();
        let (mut gate, mut count_max) = (gate, self.door.batch_max());
        if let Some(gate) = &mut gate {
            // Whoever has the turn was let through.
            count_max = count_max.min(gate.free(now).unwrap_or(1));
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < count_max
            && let Some(message) = made.front()
        {
            bytes += message.bytes();
            if !batch.is_empty() && bytes > self.door.batch_bytes_max() {
                break;
            }
            batch.extend(made.pop_front());
        }
        if let Some(gate) = &mut gate {
            gate.note(batch.len(), now);
        }
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

/// What became of a message when its turn to be made had come.
fn take(one: Made, course: &mut Course, lanes: &mut Lanes, made: &mut VecDeque<Message>, failed: &mut Option<String>) {
    match one {
        Made::Message(message) => made.push_back(message),
        Made::Halves(halves) => {
            let group = halves[0].group;
            let open = halves.into_iter().filter(|due| !course.is_settled(due)).collect();
            lanes.becomes(group, open);
        }
        Made::Refused(due, error) => {
            course.settle(&due.records, Err(error));
            lanes.settled(due.group);
        }
        Made::Damaged(SinkError(error)) => *failed = Some(error),
    }
}

/// How far a flush is.
struct Course {
    /// What became of each record: it was taken, or never will be, and why; `None`: it is open.
    fates: Vec<Option<Result<(), String>>>,
    /// What is known of messages that were not looked at yet.
    known: Memory,
    /// What is known of the others.
    memory: Memory,
    /// Of messages that are settled.
    bytes: u64,
}

impl Course {
    fn new(records: usize, known: Memory) -> Course {
        Course { fates: vec![None; records], known, memory: Memory::new(), bytes: 0 }
    }

    /// Whether a message was settled when the flush came before.
    fn is_settled(&mut self, due: &Due) -> bool {
        let Some(tried) = self.known.remove(&due.id) else { return false };
        let fate = tried.settled.clone();
        self.memory.insert(due.id.clone(), tried);
        fate.map(|fate| self.settle(&due.records, fate)).is_some()
    }

    fn settle(&mut self, records: &Range<usize>, fate: Result<(), String>) {
        self.fates[records.clone()].fill(Some(fate));
    }

    /// The answer to a flush that did not fail.
    fn flushed(self, is_digest: bool) -> Flushed {
        let stopped_at = self.fates.iter().position(Option::is_none);
        if is_digest && stopped_at.is_some() {
            // Its bounds are durable, and it comes again as it is.
            return Flushed { stopped_at: Some(0), bytes: self.bytes, ..Flushed::default() };
        }
        let known = self.fates.into_iter().map_while(|fate| fate).enumerate();
        let rejected = known.filter_map(|(index, fate)| fate.err().map(|error| Rejected { index, error }));
        Flushed { rejected: rejected.collect(), bytes: self.bytes, stopped_at, behind: None }
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
