//! The storage trait, and the words it speaks beside those of commits (`commit`). Two engines implement it from the start:
//! the embedded one, and an in-memory model with crashes; both pass one contract suite, and so must any other. Engines of
//! several nodes come later: so bodies of commits are pure and re-runnable, wake-ups are hints, records are numbered
//! within their shard, and a commit whose outcome was lost can be asked after.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tailrace_core::EpochMs;
pub use tailrace_core::{BucketRange, RecordNo, ShardNo, StreamId};

use crate::commit::{CommitId, CommitReceipt, CommitRequest, Outcome};
use crate::error::StoreError;
use crate::keyspace::ItemCount;

/// A key of the keyspace (`keyspace` builds them). Ordered by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Bytes);

/// A range of keys to page through.
#[derive(Clone, Debug)]
pub struct KeyRange {
    /// Lower end.
    pub start: std::ops::Bound<Bytes>,
    /// Upper end.
    pub end: std::ops::Bound<Bytes>,
    /// Descending order.
    pub reverse: bool,
}

/// When a page ends: after `rows_max` rows, or after the row with which the costs reach `cost_max`.
#[derive(Clone, Copy, Debug)]
pub struct PageLimit {
    /// Most rows.
    pub rows_max: usize,
    /// The sum of costs after which the page ends; the row that reaches it is included.
    pub cost_max: usize,
    /// A row's cost, from its key and value.
    pub cost: fn(&[u8], &[u8]) -> usize,
}

/// A point in time that rows were read at, as the engine numbers it; it means nothing to another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadPoint(pub u64);

/// Rows of one point in time.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Key and value, in the order asked for.
    pub rows: Vec<(Key, Bytes)>,
    /// When they were read: for a commit that declares them ([`Declared::seen`](crate::Declared::seen)).
    pub at: ReadPoint,
    /// The page ended by its limit; there may be more behind it.
    pub limited: bool,
}

/// What a range of rows comes to, and another row, of one point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// How many rows the range has, and how large they are together.
    pub count: ItemCount,
    /// The value of the other row.
    pub value: Option<Bytes>,
}

impl Tally {
    /// That of rows which are all in memory.
    pub(crate) fn of(rows: &BTreeMap<Bytes, Bytes>, range: &KeyRange, size: fn(&[u8]) -> usize, key: &Key) -> Tally {
        let inside = rows.iter().filter(|(key, _)| range.contains(key));
        Tally { count: inside.map(|(_, value)| size(value)).collect(), value: rows.get(&key.0).cloned() }
    }
}

/// A shard as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// Its number.
    pub shard: ShardNo,
    /// Its stream.
    pub stream: StreamId,
    /// Its buckets.
    pub range: BucketRange,
    /// The shard it came from.
    pub parent: Option<ShardNo>,
    /// Creation; a child's is above its parent's.
    pub created_ms: EpochMs,
    /// No record of the shard has a number below this one. It is above what every shard was sealed at that was sealed before
    /// this one was opened, whatever its stream, and though it may be forgotten by now: so of two records of a key the later
    /// one has the higher number, also across a shard and its children, and a table's stream and the next one. Targets that have items rely
    /// on it: a record's number is the version of its item there.
    pub first: RecordNo,
    /// The last number that the shard may hold, once it is sealed: not below that of any of its records. No record may have
    /// exactly this number, and it may be the one before `first`.
    pub sealed: Option<RecordNo>,
    /// Records below this number are trimmed.
    pub horizon: RecordNo,
}

/// A record of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// The shard.
    pub shard: ShardNo,
    /// Its number there.
    pub number: RecordNo,
    /// The commit's time; never falls along a shard.
    pub time_ms: EpochMs,
    /// What the layer above stored.
    pub meta: Bytes,
    /// The item before, as the `Put` that wrote it stored it.
    pub old: Option<Bytes>,
    /// The item after.
    pub new: Option<Bytes>,
}

impl LogRecord {
    /// The bytes that it has, without what they may be a part of.
    pub fn bytes(&self) -> usize {
        let image = |image: &Option<Bytes>| image.as_ref().map_or(0, Bytes::len);
        self.meta.len() + image(&self.old) + image(&self.new)
    }

    /// The same record in memory of its own. A record may be a part of what was read at once, all of which stays in memory with it.
    #[must_use]
    pub fn detached(&self) -> LogRecord {
        let mut all = Vec::with_capacity(self.bytes());
        for part in [Some(&self.meta), self.old.as_ref(), self.new.as_ref()].into_iter().flatten() {
            all.extend_from_slice(part);
        }
        let mut all = Bytes::from(all);
        let meta = all.split_to(self.meta.len());
        let old = self.old.as_ref().map(|old| all.split_to(old.len()));
        let new = self.new.as_ref().map(|new| all.split_to(new.len()));
        LogRecord { shard: self.shard, number: self.number, time_ms: self.time_ms, meta, old, new }
    }
}

/// Records of a shard in order.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The records, each with a number above the asked-for one and not below the horizon.
    pub records: Vec<LogRecord>,
    /// Read on after this number: every record of the shard that is not in this page and comes later has a higher one. It
    /// may be above all of them, also when the page is empty.
    pub next: RecordNo,
    /// The shard is sealed and no record lies behind `next`.
    pub ended: bool,
    /// More records were readable at once than the limit let through.
    pub more: bool,
    /// The shard's horizon.
    pub horizon: RecordNo,
    /// Numbers up to `next` in which records of the shard are lost: they were damaged, and an operator has set them aside.
    pub lost: Vec<std::ops::RangeInclusive<RecordNo>>,
}

/// A position in a shard to read after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPosition {
    /// Before the oldest record that is not trimmed.
    Horizon,
    /// After the newest published record of the shard.
    End,
    /// After the last record before this time, that is not trimmed: exactly the number of that
    /// record. Without one, the position of the horizon.
    Time(EpochMs),
}

/// A storage engine. All methods may be called from many tasks at once.
pub trait Engine: Send + Sync + 'static {
    /// The values of `keys`, all of one point in time, durable.
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>>;

    /// A page of rows, all of one point in time, durable.
    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// As [`Engine::page`], and for each of `shards` the number that parts its records: what the commits of those up to it wrote is
    /// in the rows, what those of later ones wrote is not.
    fn page_beside_log<'a>(
        &'a self,
        range: KeyRange,
        limit: PageLimit,
        shards: &'a [ShardNo],
    ) -> BoxFuture<'a, Result<(Page, Vec<RecordNo>), StoreError>>;

    /// Counts the rows of a range, and reads the row of `key` at the same point in time, durable. `size`: a row's size, from its
    /// value. It takes long, and memory for a page: what was written meanwhile is not in it.
    fn tally<'a>(
        &'a self,
        range: KeyRange,
        size: fn(&[u8]) -> usize,
        key: &'a Key,
    ) -> BoxFuture<'a, Result<Tally, StoreError>>;

    /// Runs the body on what it declared and makes its writes one atomic, durable, visible change. Resolves only when
    /// everything written, and everything the body has read, is durable and published.
    ///
    /// Dropping the future leaves the outcome unknown: the commit is made whole or not at all, and the body runs no more
    /// once the future is gone. Who must know gives the commit an id and asks [`Engine::outcome`].
    ///
    /// A commit whose id was committed before is not made again ([`StoreError::AlreadyCommitted`], the body does not run);
    /// an id that is too old to be remembered is [`StoreError::Invalid`]. A commit that writes nothing leaves no trace of
    /// its id.
    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>>;

    /// What became of the commit of this id, durably.
    fn outcome(&self, id: CommitId) -> BoxFuture<'_, Result<Outcome, StoreError>>;

    /// The shards of a stream, by number; empty for an unknown one. They are published with the rows of their commit: who
    /// sees a row that was written with a stream's opening, sealing or end sees that as well.
    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>>;

    /// Published records of `shard` with numbers above `after`, at most `records_max`, ending before the record with
    /// which the bytes of metas and images would exceed `bytes_max` (but at least one record, if there is one).
    fn read_log(
        &self,
        shard: ShardNo,
        after: RecordNo,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>>;

    /// The number to read after for a position, fixed now.
    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<RecordNo, StoreError>>;

    /// Resolves when the shard may have records above `after`, or is sealed or gone. A hint only: it may resolve early.
    fn wait_log(&self, shard: ShardNo, after: RecordNo) -> BoxFuture<'_, ()>;

    /// Makes `horizon` the first readable number of the shard, durably; an earlier horizon than the present one is ignored.
    /// The same as a commit of [`Write::Trim`](crate::Write::Trim), but that an unknown shard is an error.
    fn trim(&self, shard: ShardNo, horizon: RecordNo) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Removes every key of the range, in the background or at once; the keys must already be unreachable
    /// (a deleted table's items: its number is never used again). Safe to repeat after a crash.
    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Why commits are refused at present, though reads go on; `None`: they are not. What it finds out may be a moment
    /// old: an engine that finds itself refused looks whether it still has to be. An engine around another passes it on.
    fn refuses_commits(&self) -> Option<StoreError> {
        None
    }

    /// Stops taking commits, makes the pending ones durable, and ends the engine's threads.
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}
