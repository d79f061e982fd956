//! # Sinks
//!
//! A sink brings the changes of tables to one place: objects in a bucket, documents in an index, rows in a warehouse, groups of
//! a view, an audit trail, a web address. It implements [`Sink`]; everything else (reading, flushes, order, retries, back-off,
//! checkpoints, ownership, snapshots, records that are given up, pause and resume) is done around it by the runtime, on
//! `tailrace_delivery`, and is the same for all. Source: docs/spec/sinks.md 1.
//!
//! # What a sink is given
//!
//! A [`Flush`]: consecutive records of one shard of one source table, in the order of their commits, after the sink's `where`,
//! at least one, and at most what [`Sink::bounds`] allow (one record alone may be above). One flush of a shard is under way at
//! a time; flushes of other shards are, at the same time. A child shard is flushed only when its parent is done.
//! With `start: snapshot` the items of the table come first, as INSERTs in flushes of [`Origin::Snapshot`], which hold what the
//! table held at a point of the stream; what the stream has from there on follows, without a gap or a double.
//!
//! # What a sink answers
//!
//! - `Ok(Flushed)`: every record of the flush has its effect at the target, and the effect outlives a crash there as far as
//!   the target ever promises that; but for those in [`Flushed::rejected`], which the target will never take: the runtime parks
//!   them, in the commit of the checkpoint, with the reason, and goes on. They can be looked at and retried.
//! - `Err(SinkError)`: the effect of the flush is not known to be whole. The same flush comes again, after a back-off of 1 to
//!   60 s, for ever. A sink itself retries nothing for longer than moments.
//!
//! # The same flush again
//!
//! It comes after an error, and after a crash at any point. The effect of a repeat must be that of one:
//! - A sink that answers true from [`Sink::plans`] gets the very same records under the same [`Flush::version`] until it has
//!   confirmed them: the bounds are durable before it is called the first time. So make names and bytes at the target a pure
//!   function of the flush ([`Flush::name`], the records, the version's configuration): no clock, no chance.
//! - A sink that answers false may get a flush with another end. It has its own progress at the target, moved in the
//!   target's transaction, or a version at each document, and skips what is there already.
//! - Two servers that wrongly run the same sink are told apart by [`Flush::epoch`], which rises with each owner; the checkpoint
//!   of the older one is refused by the store.
//!
//! # What a sink must not do
//!
//! It keeps no checkpoint, reads no log, never drops a record in silence, holds memory bounded by its flushes, gives every call
//! to the outside a timeout, writes no secret into an error, and does not block its thread.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};
use tailrace_core::{RecordNo, SequenceNumber};
use tailrace_delivery::{Shard, Stopping, Taken, Waits};
use tailrace_engine::ViewType;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::StoreError;

use crate::objects::store::hex;

/// The table that records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTable {
    /// Its name.
    pub table: String,
    /// The ARN of its stream.
    pub stream_arn: tailrace_core::StreamArn,
    /// The name and type (`S`, `N` or `B`) of its partition key.
    pub partition_key: KeyAttribute,
    /// Of its sort key, if it has one.
    pub sort_key: Option<KeyAttribute>,
    /// What its records hold.
    pub view: ViewType,
}

/// Longest name of a table within another name. Our reason: what takes objects takes names of 245 bytes, and the sink's name, what else is in
/// them and what is behind them have up to 123.
const NAME_IN_NAMES_BYTES_MAX: usize = 120;
/// Bytes of a longer name that stay, before its hash.
const NAME_START_BYTES: usize = 32;
const NAME_HASH_BYTES: usize = 16;

impl SourceTable {
    /// The table within names at the target: a long name is its beginning and a hash of it all. The same at any time.
    pub fn name_in_names(&self) -> Cow<'_, str> {
        let table = &self.table;
        if table.len() <= NAME_IN_NAMES_BYTES_MAX {
            return Cow::Borrowed(table);
        }
        let start = &table[..table.floor_char_boundary(NAME_START_BYTES)];
        Cow::Owned(format!("{start}-{}", hex(&Sha256::digest(table)[..NAME_HASH_BYTES])))
    }
}

/// A key attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Its name.
    pub name: String,
    /// `S`, `N` or `B`.
    pub kind: KeyKind,
}

/// The type of a key attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Text.
    S,
    /// A number.
    N,
    /// Binary.
    B,
}

/// When a flush is full, and how long it is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most records.
    pub records_max: usize,
    /// Most bytes, as [`Sink::size`] counts them.
    pub bytes_max: usize,
    /// How long records are gathered before what is there goes out; zero: not at all.
    pub window: Duration,
}

/// Where the records of a flush come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The stream.
    Stream,
    /// The items of the table as they were at a point of the stream: INSERTs. The number of each record is that point's in the
    /// item's shard, and below that of every change that follows; where a log is rebuilt, changes up to it may follow as well.
    Snapshot {
        /// The number of the page of the scan, from 0: unique in the sink's version and table.
        page: u64,
        /// The version of the sink that made the page durable. It stays when a later version sends the page again.
        made_by: u32,
    },
    /// One record that was rejected before, again, at an operator's word. Later changes of its item may be at the target already:
    /// they win. Progress that the target keeps says nothing of it.
    Retry,
}

/// Records to bring to the target.
#[derive(Clone, Debug)]
pub struct Flush {
    /// The sink's name.
    pub sink: Arc<str>,
    /// The version of its configuration under which the flush was planned, from 1.
    pub version: u32,
    /// The table.
    pub source: Arc<SourceTable>,
    /// The shard; of a snapshot, the shard that the items' next changes will be in is not known, and this is the first.
    pub shard: Shard,
    /// Where they come from.
    pub origin: Origin,
    /// Which owner of the shard sends it; a later one has a higher number.
    pub epoch: u64,
    /// The last record of the shard that was at the target before, as far as the checkpoint knows, and the version under which it came
    /// there. A target with progress of its own that is not so far has lost some since: see [`Flushed::behind`].
    pub taken: Option<Taken>,
    /// How often it was tried before and failed; 0 also after a crash.
    pub failed_before: u32,
    /// The records, in order; at least one.
    pub records: Vec<StreamRecord>,
    /// To be told while the flush waits for its turn at the target: the status says so.
    pub waits: Waits,
    /// Says when the sink is to stop. One whose flush takes no longer than its timeouts need not look.
    pub stopping: Stopping,
}

impl Flush {
    /// The number of the first record.
    pub fn first(&self) -> RecordNo {
        self.records.first().map_or(RecordNo::ZERO, |record| record.number)
    }

    /// The number of the last record.
    pub fn last(&self) -> RecordNo {
        self.records.last().map_or(RecordNo::ZERO, |record| record.number)
    }

    /// A name for what the flush makes at the target: `<sink>-v<version>-<shard>-<first>-<last>`, or for a snapshot
    /// `<sink>-v<version>-<table>-snapshot-<page>`, where a [long name](SourceTable::name_in_names) is shortened. The same for a repeat. Source: docs/spec/sinks.md 2.5.
    pub fn name(&self) -> String {
        let Flush { sink, version, shard, .. } = self;
        match self.origin {
            Origin::Stream | Origin::Retry => {
                let (first, last) = (SequenceNumber(self.first()), SequenceNumber(self.last()));
                format!("{sink}-v{version}-{}-{first}-{last}", shard.id)
            }
            Origin::Snapshot { page, .. } => {
                format!("{sink}-v{version}-{}-snapshot-{page:010}", self.source.name_in_names())
            }
        }
    }
}

/// A flush was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Records that the target will never take, by rising index.
    pub rejected: Vec<Rejected>,
    /// Bytes that were sent.
    pub bytes: u64,
    /// It was told to stop: the records from this index on, at least one, may not be at the target and come again. Those before it are, or
    /// are rejected. A sink that plans says 0.
    pub stopped_at: Option<usize>,
    /// Nothing was brought: the target has the records of the shard up to this one only, though it had more ([`Flush::taken`]), as after
    /// a restore from a backup. The records behind it are read again and come first.
    pub behind: Option<RecordNo>,
}

/// A record that the target will never take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its index in the flush.
    pub index: usize,
    /// Why, in the target's words.
    pub error: String,
}

/// A flush was not taken, as far as is known: it comes again. The text is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// Takes flushes. The contract is on the module's page.
pub trait Sink: Send + Sync + 'static {
    /// When a flush is full.
    fn bounds(&self) -> Bounds;

    /// Between the begins of two flushes of a shard at least, unless one is full.
    fn pace(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether the bounds of a flush must be durable before it is sent.
    fn plans(&self) -> bool;

    /// Whether it needs the item before each change, or after it: a stream without is refused when the sink is made.
    fn needs(&self) -> Images;

    /// What `record` adds to a flush in the target's bytes; an estimate will do.
    ///
    /// # Errors
    /// The record's bytes are damaged.
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError>;

    /// Makes the target ready for records of `source`: an index, a table. Called before the first flush of a process and again
    /// until it succeeds; nothing is flushed before.
    fn prepare(&self, source: Arc<SourceTable>) -> BoxFuture<'static, Result<(), SinkError>> {
        let _ = source;
        Box::pin(async { Ok(()) })
    }

    /// Lets what was built beside the version before take its place, where the kind builds beside
    /// ([`Kind::builds_beside`](crate::spec::Kind::builds_beside)): called when this version has caught up, and again after a crash.
    fn swap(&self) -> BoxFuture<'static, Result<(), SinkError>> {
        Box::pin(async { Ok(()) })
    }

    /// All items of a snapshot of `source` that began under version `since` are at the target: what it holds of `source` from versions
    /// before that, and was not brought again, is gone at the source. Called when a snapshot ends and again whenever the process
    /// begins, under the present `version`, before the first flush of the stream; until it succeeds nothing is flushed.
    fn snapshot_done(
        &self,
        source: Arc<SourceTable>,
        since: u32,
        version: u32,
    ) -> BoxFuture<'static, Result<(), SinkError>> {
        let _ = (source, since, version);
        Box::pin(async { Ok(()) })
    }

    /// Brings a flush to the target.
    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>>;

    /// What is to be told of the flushes so far, and was not told yet. Asked after each.
    fn notice(&self) -> Option<String> {
        None
    }
}

/// The images that a sink cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images {
    /// OldImage.
    pub old: bool,
    /// NewImage.
    pub new: bool,
}
