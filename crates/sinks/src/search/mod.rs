//! OpenSearch and Elasticsearch: the items of a table as the documents of an index, or the changes of tables as the entries of a
//! log. Source: docs/spec/sinks.md 3.
//!
//! # Exactly once
//!
//! An item's document has the number of the record that wrote it as its external version. The target refuses what is not newer
//! than what it has, and knows the versions of deleted documents for `index.gc_deletes`; so a repeat, in any order and in other
//! bulks, changes nothing. For that no flush is planned: [`Sink::plans`] is false. An entry of a log has the record's `eventID`
//! as its id and is created once.
//!
//! A repeat from the checkpoint that comes later than `gc_deletes` may bring back a document that was deleted after it, until the
//! delete, which follows in the same shard, is repeated too.
//!
//! # One flush
//!
//! One bulk after the other. What is refused for the moment (429, 5xx) is sent again alone, a few times within moments; if it is
//! refused still, the flush is an error, and comes again whole: what was done is a version conflict then, which is done. A bulk
//! that is too large (413) is halved, and later ones are not made larger.
//!
//! # A rebuild
//!
//! The runtime makes a second sink for the next build, brings a snapshot and the stream to it as to any sink, and when that has
//! caught up ends the first one and calls [`Sink::swap`]: the alias is moved, and former builds are removed, in one change of the
//! cluster. Until then searches find the former build. A bulk of the former sink after that could make its index again, without
//! an alias: so it ends before.

mod answer;
mod bulk;
mod client;
mod cluster;
mod config;
mod document;
mod id;
mod index;
mod rotation;
mod types;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_core::codec::StoredItem;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

use answer::Outcome;
pub use answer::Refusal;
use bulk::{Bulk, Style, Work};
use client::{Answered, BULK, Client};
pub use cluster::{Cluster, ClusterConfig, Document, Documents, Indexed};
use config::BOUNDS;
pub use config::{Auth, AwsAuth, AwsService, Config, ConfigError, Mode, check_index_name};
use index::{Owner, Place, Recipe};
pub use rotation::Rotation;
pub use types::Coercion;
use types::Types;

use crate::sink::{Bounds, Flush, Flushed, Images, Rejected, Sink, SinkError, SourceTable};

/// How often a document is sent in one flush, if the target refuses it for the moment.
const TRIES_MAX: u32 = 4;

/// The pause before the second try; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// The size to which bulks shrink that were too large, bytes; a single one may have to be smaller.
const BULK_BYTES_MIN: usize = 64 * 1024;

/// The halvings of a bulk's size after failures of its flush, one for every second failure. Our reason: a bulk may be what a
/// cluster in need cannot take in time.
const SHRINKS_MAX: u32 = 5;

/// Bytes that a document has in a bulk besides its item's: its line, names and quotes.
const DOCUMENT_BYTES: usize = 160;

/// Names of a log's indexes that are known to be there. Our reason: a flush is of few hours.
const KNOWN_INDEXES_MAX: usize = 64;

/// The sink.
#[derive(Clone)]
pub struct Search(Arc<Inner>);

struct Inner {
    config: Config,
    client: Client,
    style: Arc<Style>,
    recipe: Recipe,
    place: Place,
    pause: Duration,
    bounds: Bounds,
    /// Bytes that a bulk may have: less than the user says if the target takes less.
    bytes_max: AtomicUsize,
    /// The indexes of the log that were made, or found.
    known: Mutex<BTreeSet<String>>,
    /// The table whose items the index has.
    table: Mutex<Option<String>>,
    /// The sink's name.
    name: String,
    /// The mark of the data directory.
    origin: String,
}

impl Search {
    /// The sink `name`. `build` says which index of items it writes to, if there is an alias: 1 at first, and one more with each rebuild.
    /// `records` is the writer of the data directory.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn new(config: Config, name: &str, build: u32, records: RecordWriter) -> Result<Search, ConfigError> {
        config.validate()?;
        let bounds = config.bounds()?;
        let destination = config.destination()?;
        let client = Client::new(&config.access(), &destination.cluster)?;
        let types = Types::new(&config.types);
        let origin = records.origin();
        let recipe = Recipe::new(&config, &destination.index, (build, &origin), &types);
        let place = match config.mode {
            Mode::Items => Place::new(&config, destination.index, build),
            Mode::Log => Place { index: destination.index, alias: None, build },
        };
        let (mode, rotation, gzip) = (config.mode, config.rotation, config.gzip);
        let style = Style { mode, rotation, index: place.index.clone(), types, gzip, records };
        Ok(Search(Arc::new(Inner {
            bytes_max: AtomicUsize::new(bounds.bytes_max),
            bounds,
            style: Arc::new(style),
            pause: PAUSE,
            known: Mutex::default(),
            table: Mutex::default(),
            name: name.to_owned(),
            origin,
            config,
            client,
            recipe,
            place,
        })))
    }
}

impl Sink for Search {
    fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    fn plans(&self) -> bool {
        false
    }

    fn needs(&self) -> Images {
        match self.0.config.mode {
            Mode::Items => Images { old: false, new: true },
            Mode::Log => Images::default(),
        }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        let images = match self.0.config.mode {
            Mode::Items => [&record.new, &None],
            Mode::Log => [&record.new, &record.old],
        };
        let mut size = DOCUMENT_BYTES;
        for image in images.into_iter().flatten() {
            let item = StoredItem::new(image);
            size += item.map_err(|error| StoreError::Corrupt(format!("a stream record: {error}")))?.size();
        }
        Ok(size)
    }

    fn prepare(&self, source: Arc<SourceTable>) -> BoxFuture<'static, Result<(), SinkError>> {
        let inner = self.0.clone();
        async move { inner.prepare(&source).await }.boxed()
    }

    fn swap(&self) -> BoxFuture<'static, Result<(), SinkError>> {
        let inner = self.0.clone();
        async move {
            let table = inner.table.lock().clone().unwrap_or_default();
            inner.place.swap(&inner.client, &inner.owner(table)).await
        }
        .boxed()
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = self.0.clone();
        async move { inner.flush(flush).await }.boxed()
    }
}

impl Inner {
    async fn prepare(&self, source: &SourceTable) -> Result<(), SinkError> {
        match (self.config.mode, self.config.rotation) {
            (Mode::Items, _) => {
                let first = self.table.lock().get_or_insert_with(|| source.table.clone()).clone();
                if first != source.table {
                    let SourceTable { table, .. } = source;
                    let index = &self.place.index;
                    return Err(SinkError(format!(
                        "{index} has the items of {first}: those of {table} would be mistaken for them. Give {table} a sink of \
                         its own, or say mode: log"
                    )));
                }
                self.place.prepare(&self.client, &self.recipe, &self.owner(first)).await
            }
            (Mode::Log, Rotation::NoRotation) => self.know(&self.place.index).await,
            // An index is made when the first record for it comes.
            (Mode::Log, _) => Ok(()),
        }
    }

    fn owner(&self, table: String) -> Owner {
        Owner { origin: self.origin.clone(), sink: self.name.clone(), table }
    }

    /// Sees to it that an index of the log is there.
    async fn know(&self, index: &str) -> Result<(), SinkError> {
        if self.known.lock().contains(index) {
            return Ok(());
        }
        self.recipe.make(&self.client, index, None, None).await?;
        let mut known = self.known.lock();
        if known.len() == KNOWN_INDEXES_MAX {
            known.clear();
        }
        known.insert(index.to_owned());
        Ok(())
    }

    async fn flush(&self, flush: Flush) -> Result<Flushed, SinkError> {
        let shrinks = (flush.failed_before / 2).min(SHRINKS_MAX);
        let mut bytes_max = (self.bytes_max.load(Ordering::Relaxed) >> shrinks).max(1);
        let work = Arc::new(Work { flush, style: self.style.clone() });
        let (mut next, rejected) = work.sort();
        let (mut flushed, all) = (Flushed { rejected, ..Flushed::default() }, next.len());
        let mut tried = 0;
        loop {
            tried += 1;
            let (mut again, mut why) = (Vec::new(), String::new());
            while !next.is_empty() {
                let (bulk, rest) = self.bulk(&work, next, bytes_max).await?;
                if self.config.mode == Mode::Log {
                    self.know(&bulk.index).await?;
                }
                flushed.bytes += bulk.body.bytes.len() as u64;
                let settled = self.send(&bulk).await?.settled(bulk.records.len(), bulk.bytes);
                let Some(outcomes) = settled.map_err(|refusal| SinkError(format!("{BULK}: {refusal}")))? else {
                    bytes_max = bulk.bytes / 2;
                    self.bytes_max.fetch_min(bytes_max.max(BULK_BYTES_MIN), Ordering::Relaxed);
                    next = [bulk.records, rest].concat();
                    continue;
                };
                next = rest;
                for (record, outcome) in bulk.records.into_iter().zip(outcomes) {
                    match outcome {
                        Outcome::Done => {}
                        Outcome::Again(refusal) => {
                            again.push(record);
                            why = refusal.to_string();
                        }
                        Outcome::Rejected(refusal) => {
                            flushed.rejected.push(Rejected { index: record, error: refusal.to_string() });
                        }
                        Outcome::NoIndex(refusal) => return Err(self.no_index(&bulk.index, &refusal)),
                    }
                }
            }
            if again.is_empty() {
                flushed.rejected.sort_unstable_by_key(|rejected| rejected.index);
                return Ok(flushed);
            }
            if tried == TRIES_MAX {
                let left = again.len();
                return Err(SinkError(format!("{left} of {all} documents were refused {tried} times: {why}")));
            }
            tokio::time::sleep(self.pause * (1 << (tried - 1))).await;
            next = again;
        }
    }

    /// A bulk of the first of `records`, made where it holds nobody up, and the rest.
    async fn bulk(
        &self,
        work: &Arc<Work>,
        mut records: Vec<usize>,
        bytes_max: usize,
    ) -> Result<(Bulk, Vec<usize>), SinkError> {
        let work = work.clone();
        let make = move || {
            let bulk = work.bulk(&records, bytes_max)?;
            let rest = records.split_off(bulk.records.len());
            Ok((bulk, rest))
        };
        let made = tokio::task::spawn_blocking(make).await;
        made.map_err(|error| SinkError(format!("a bulk was not made: {error}")))?
    }

    async fn send(&self, bulk: &Bulk) -> Result<Answered, SinkError> {
        let (index, seconds) = (&bulk.index, self.config.timeout_seconds.div_ceil(2));
        let path = format!("{index}/_bulk?refresh=false&timeout={seconds}s&filter_path={}", answer::MEMBERS);
        self.client.bulk(&path, bulk.body.clone(), bulk.ops.clone()).await
    }

    /// An index of a log is made again; an index of items is not: it would be without the items of before.
    fn no_index(&self, index: &str, reason: &Refusal) -> SinkError {
        self.known.lock().remove(index);
        match self.config.mode {
            Mode::Items => {
                SinkError(format!("the index {index} is gone; a rebuild of the sink makes it anew: {reason}"))
            }
            Mode::Log => SinkError(format!("the index {index} is gone, and is made anew: {reason}")),
        }
    }
}

#[cfg(test)]
mod tests;
