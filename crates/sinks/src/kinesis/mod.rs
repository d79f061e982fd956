//! A data stream of Kinesis: each change as the Kinesis destination of a table sends it. Source: docs/spec/sinks.md 5.
//!
//! # At least once, in order
//!
//! Nobody can say whether a request whose answer is lost was taken, so a record may come twice, with the same `eventID`. PutRecords takes some
//! records of a request and not others, so a request has one record of an item at most, and the next change of an item is sent when the one
//! before it was taken, or never will be.
//!
//! # One flush
//!
//! One request at a time, each with the first open record of every item. What a server did not take of it is sent again, alone: a few times after
//! moments, then the flush is an error. What was taken is remembered until its records come again ([`Memory`]), in a flush of whatever end, so
//! that within a process no record that was taken is sent twice; a crash forgets it. A record that is larger than a data stream takes is rejected. A stop breaks a request off
//! that is not answered soon.

mod config;
mod put;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::{RecordNo, ShardNo, StreamArn};
use tailrace_engine::TimePrecision;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

pub use config::{Config, ConfigError};
use put::{Answered, BYTES_MAX, Put, Putter, RECORD_BYTES_MAX, RECORDS_MAX};
use record::PartitionKey;

use crate::computed::{computed, stored_bytes};
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Rejected, Sink, SinkError};

/// How often records of a flush are sent again that a server did not take out of a request, before the flush is an error.
const REPEATS_MAX: u32 = 5;
/// How long the first repeat waits; each next one twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// Between the begins of two flushes of a shard at least, unless one is full: under load a request has some hundred records instead of a few,
/// and the first change after a quiet moment is sent at once. Our reason: a request takes AWS as long.
const PACE: Duration = Duration::from_millis(10);
/// Longest that a stop waits for an answer. Our reason: most have come by then, and a stop of the server waits for no longer either.
const STOP_WAIT: Duration = Duration::from_secs(5);
/// Most flushes of which it is remembered what was taken: one a shard.
const REMEMBERED_MAX: usize = 4096;

/// Whose flush it is; one at a time is under way.
type Place = (String, ShardNo, Option<u64>);

/// Records that were taken, by their ids.
type Taken = HashMap<[u8; 16], RecordNo>;

/// What was taken of records that are to come again. A clone is the same, and a sink that takes another's place goes on with it.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<Place, Taken>>>);

impl Memory {
    fn take(&self, place: &Place) -> Taken {
        self.0.lock().remove(place).unwrap_or_default()
    }

    fn keep(&self, place: Place, taken: Taken) {
        if taken.is_empty() {
            return;
        }
        let mut all = self.0.lock();
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert(place, taken);
    }
}

/// The sink.
pub struct Kinesis(Arc<Inner>);

struct Inner {
    putter: Putter,
    precision: TimePrecision,
    records: RecordWriter,
    records_of_items: RecordWriter,
    /// [`PAUSE`].
    pause: Duration,
    /// [`STOP_WAIT`].
    stop_wait: Duration,
    memory: Memory,
}

impl Config {
    /// Says what is wrong with it.
    ///
    /// # Errors
    /// Something is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        // Nothing is asked when a sink is made.
        Putter::new(self).map(drop)
    }
}

impl Kinesis {
    /// A sink into the data stream that the settings name. `records` writes the records of the data directory; `memory` is what sinks before it
    /// have left.
    ///
    /// # Errors
    /// The settings cannot be right.
    pub fn new(config: &Config, records: RecordWriter, memory: Memory) -> Result<Kinesis, ConfigError> {
        Ok(Kinesis(Arc::new(Inner {
            putter: Putter::new(config)?,
            precision: config.precision,
            records_of_items: records.of_items(),
            records,
            pause: PAUSE,
            stop_wait: STOP_WAIT,
            memory,
        })))
    }
}

impl Sink for Kinesis {
    fn bounds(&self) -> Bounds {
        Bounds { records_max: RECORDS_MAX, bytes_max: BYTES_MAX, window: Duration::ZERO }
    }

    fn pace(&self) -> Duration {
        PACE
    }

    fn plans(&self) -> bool {
        false
    }

    fn needs(&self) -> Images {
        Images { old: true, new: true }
    }

    /// That of the record in an event, which is as long but for some hundred bytes.
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        self.0.records.event_bytes(record, &StreamArn::new(""))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = Arc::clone(&self.0);
        async move { inner.flush(flush).await }.boxed()
    }
}

impl Inner {
    async fn flush(self: Arc<Self>, flush: Flush) -> Result<Flushed, SinkError> {
        let flush = Arc::new(flush);
        let (inner, of) = (Arc::clone(&self), Arc::clone(&flush));
        let bytes = stored_bytes(&flush.records);
        let made = computed(bytes, move || inner.make(&of)).await.map_err(|error| SinkError(error.to_string()))?;
        let puts = made.map_err(|error| SinkError(error.to_string()))?;
        let page = match flush.origin {
            Origin::Snapshot { page, .. } => Some(page),
            Origin::Stream | Origin::Retry => None,
        };
        let place = (flush.source.table.clone(), flush.shard.no, page);
        // A record that is retried at an operator's word is sent whatever was known of it.
        let is_retry = flush.origin == Origin::Retry;
        let mut known = if is_retry { Taken::new() } else { self.memory.take(&place) };
        let mut course = Course::new(puts, &known);
        let done = self.put_all(&flush, &mut course).await;
        if !is_retry {
            // A flush of the stream may end before the one of which this is known; one of a page ends where the page does.
            known.retain(|_, number| flush.origin == Origin::Stream && *number > flush.last());
            if course.is_open() {
                known.extend(course.taken(&flush));
            }
            self.memory.keep(place, known);
        }
        done.map(|()| course.flushed())
    }

    /// The records of a flush. It computes.
    fn make(&self, flush: &Flush) -> Result<Vec<Put>, StoreError> {
        let writer = match flush.origin {
            Origin::Snapshot { .. } => &self.records_of_items,
            Origin::Stream | Origin::Retry => &self.records,
        };
        let put = |(index, one): (usize, &StreamRecord)| {
            let mut data = Vec::new();
            record::write(one, (writer, self.precision, &flush.source.table), &mut data)?;
            Ok(Put { index, id: writer.event_id(one).0, key: PartitionKey::of(one)?, data })
        };
        flush.records.iter().enumerate().map(put).collect()
    }

    /// Puts what is open, until everything is settled or the flush is told to stop.
    ///
    /// # Errors
    /// Something has to come again, and not at once.
    async fn put_all(self: &Arc<Self>, flush: &Flush, course: &mut Course) -> Result<(), SinkError> {
        let mut repeats = 0;
        let mut patience = pin!(async {
            flush.stopping.told().await;
            tokio::time::sleep(self.stop_wait).await;
        });
        loop {
            let batch = course.next();
            if batch.is_empty() || flush.stopping.told().now_or_never().is_some() {
                return Ok(());
            }
            if let Some(error) = self.put(batch, course, patience.as_mut()).await? {
                repeats += 1;
                if repeats > REPEATS_MAX {
                    return Err(SinkError(error));
                }
                tokio::select! {
                    () = tokio::time::sleep(self.pause * (1 << (repeats - 1))) => {}
                    () = flush.stopping.told() => {}
                }
            }
        }
    }

    /// Puts a batch, and where a server refuses it as a whole, its halves, until the record that is to blame is alone. The answer: what was
    /// said of a record that was not taken. When `patience` is over, nothing is waited for any more.
    async fn put(
        self: &Arc<Self>,
        batch: Vec<usize>,
        course: &mut Course,
        mut patience: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<String>, SinkError> {
        let (mut parts, mut failed) = (vec![batch], None);
        while let Some(part) = parts.pop() {
            let (inner, puts, chosen) = (Arc::clone(self), Arc::clone(&course.puts), part.clone());
            let write = move || inner.putter.body(&chosen.iter().map(|at| &puts[*at]).collect::<Vec<_>>());
            let bytes = part.iter().map(|at| course.puts[*at].bytes()).sum();
            let body = computed(bytes, write).await;
            let body = body.map_err(|error| SinkError(error.to_string()))?;
            let answered = tokio::select! {
                biased;
                answered = self.putter.put(body, part.len()) => answered?,
                // Nobody knows whether it is taken: it comes again.
                () = &mut patience => return Ok(None),
            };
            match answered {
                Answered::Each(outcomes) => {
                    for (at, outcome) in part.into_iter().zip(outcomes) {
                        match outcome {
                            Ok(()) => course.fates[at] = Some(Ok(())),
                            Err(error) => failed = Some(error),
                        }
                    }
                }
                Answered::Refused(error) => match part.split_at(part.len() / 2) {
                    ([], [one]) => course.fates[*one] = Some(Err(error)),
                    (first, second) => parts.extend([second.to_vec(), first.to_vec()]),
                },
            }
        }
        Ok(failed)
    }
}

/// How far a flush is.
struct Course {
    /// Its records, one for each.
    puts: Arc<Vec<Put>>,
    /// What became of each: it was taken, or never will be, and why; `None`: it is open.
    fates: Vec<Option<Result<(), String>>>,
}

impl Course {
    fn new(puts: Vec<Put>, taken: &Taken) -> Course {
        let fate = |put: &Put| match put.bytes() {
            bytes if bytes > RECORD_BYTES_MAX => {
                Some(Err(format!("a record of {bytes} bytes; {RECORD_BYTES_MAX} are the most")))
            }
            _ => taken.contains_key(&put.id).then_some(Ok(())),
        };
        Course { fates: puts.iter().map(fate).collect(), puts: Arc::new(puts) }
    }

    /// What may be sent in one request: the first open record of each item, as far as there is room.
    fn next(&self) -> Vec<usize> {
        let (mut batch, mut bytes, mut items) = (Vec::new(), 0, HashSet::new());
        for (at, put) in self.puts.iter().enumerate().filter(|(at, _)| self.fates[*at].is_none()) {
            if !items.insert(put.key) {
                continue;
            }
            bytes += put.bytes();
            if batch.len() == RECORDS_MAX || bytes > BYTES_MAX {
                // Nothing behind it: a later record of an item that had no room must wait for it.
                break;
            }
            batch.push(at);
        }
        batch
    }

    /// Something of it is to come again.
    fn is_open(&self) -> bool {
        self.fates.iter().any(Option::is_none)
    }

    fn taken(&self, flush: &Flush) -> Taken {
        let taken = self.puts.iter().zip(&self.fates).filter(|(_, fate)| matches!(fate, Some(Ok(()))));
        taken.filter_map(|(put, _)| Some((put.id, flush.records.get(put.index)?.number))).collect()
    }

    /// The answer to a flush that did not fail.
    fn flushed(self) -> Flushed {
        let stopped_at = self.fates.iter().position(Option::is_none);
        let settled = self.puts.iter().zip(self.fates).map_while(|(put, fate)| Some((put, fate?)));
        let (mut bytes, mut rejected) = (0, Vec::new());
        for (put, fate) in settled {
            match fate {
                Ok(()) => bytes += put.data.len() as u64,
                Err(error) => rejected.push(Rejected { index: put.index, error }),
            }
        }
        Flushed { rejected, bytes, stopped_at, behind: None }
    }
}
