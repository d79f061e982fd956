//! The storage trait, and the words it speaks. Two engines implement it from the start: the embedded one, and an
//! in-memory model with crashes; both pass one contract suite. A PostgreSQL engine comes later, so bodies of commits
//! are pure and re-runnable, and wake-ups are hints.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tailrace_core::{Bucket, Lsn};
pub use tailrace_core::{BucketRange, ShardNo, StreamId};

/// A key of the keyspace (`keyspace` builds them). Ordered by its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub Bytes);

/// Where a record's new image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewImage {
    /// The record has none.
    None,
    /// It is the value of the `Put` at this index of the commit's writes, so that it is stored once.
    OfWrite(usize),
}

/// One change of a commit. A commit's writes are applied together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets `key` to `value`.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: Key,
    },
    /// Appends a record to the open shard of `stream` that holds `bucket`. The shard is resolved at commit.
    Append {
        /// The stream.
        stream: StreamId,
        /// The bucket of the item's partition key.
        bucket: Bucket,
        /// What the layer above stores of the change itself (kind, keys ...); opaque here.
        meta: Bytes,
        /// The item before, if the record keeps it.
        old: Option<Bytes>,
        /// The item after, if the record keeps it.
        new: NewImage,
    },
    /// Opens the root shards of a new stream; the ranges cover every bucket once.
    OpenStream {
        /// The stream.
        stream: StreamId,
        /// One shard for each range.
        ranges: Vec<BucketRange>,
    },
    /// Closes a shard and opens its children in the same commit (none when the stream is disabled).
    Seal {
        /// The shard.
        shard: ShardNo,
        /// The children's ranges.
        children: Vec<BucketRange>,
    },
    /// Forgets a stream whose shards are all sealed: its shards are listed and readable no more.
    DropStream {
        /// The stream.
        stream: StreamId,
    },
}

/// What a commit's body decides after it has seen the values of its declared keys.
#[derive(Debug)]
pub enum Decision<T> {
    /// Do these writes; then answer `T`.
    Apply(Vec<Write>, T),
    /// Write nothing; answer `T` (a failed condition, a no-op). The answer still waits until everything
    /// that the body has read is durable.
    Reject(T),
}

/// The values that a commit's body sees: first those of the shared keys, then those of the exclusive keys, in the
/// order in which they were declared.
#[derive(Debug)]
pub struct Reads<'a> {
    /// Values of the shared keys.
    pub shared: &'a [Option<Bytes>],
    /// Values of the exclusive keys.
    pub exclusive: &'a [Option<Bytes>],
    /// The instant of the commit so far as it is known: wall-clock milliseconds, never behind an earlier commit.
    pub now_ms: u64,
}

/// A commit's body without its answer: pure, re-runnable, quick (it runs while its keys are latched).
pub type CommitBody<'a> = Box<dyn FnMut(&Reads<'_>) -> Option<Vec<Write>> + Send + 'a>;

/// A commit to be made.
pub struct CommitRequest<'a> {
    /// Keys that are read and must not change under the body, but are not written by it (a table's descriptor).
    pub shared: &'a [Key],
    /// Keys that are read and may be written. A key that is not declared may be written only if a declared key owns it.
    pub exclusive: &'a [Key],
    /// The body; `None` means rejected.
    pub body: CommitBody<'a>,
}

/// A commit that was made durable (or had nothing to write, with everything that it read durable).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitReceipt {
    /// The first LSN of the commit; `None` if nothing was written. A commit with n records uses n numbers from here
    /// on (at least one): record i of the commit has `lsn + i`.
    pub lsn: Option<Lsn>,
}

/// A commit with its body's answer.
#[derive(Clone, Debug)]
pub struct Committed<T> {
    /// The body's answer.
    pub answer: T,
    /// First LSN of the commit, if it wrote.
    pub lsn: Option<Lsn>,
}

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

/// Rows of one point in time.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Key and value, in the order asked for.
    pub rows: Vec<(Key, Bytes)>,
    /// The page ended by its limit; there may be more behind it.
    pub limited: bool,
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
    /// Creation, milliseconds since the epoch; a child's is above its parent's.
    pub created_ms: u64,
    /// No record of the shard has a number below this one.
    pub first: Lsn,
    /// The last number that the shard may hold, once it is sealed (no record may have exactly this number).
    pub sealed: Option<Lsn>,
    /// Records below this number are trimmed.
    pub horizon: Lsn,
}

/// A record of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its number.
    pub lsn: Lsn,
    /// The commit's time, milliseconds since the epoch; never falls along a shard.
    pub time_ms: u64,
    /// What the layer above stored.
    pub meta: Bytes,
    /// The item before, as the `Put` that wrote it stored it.
    pub old: Option<Bytes>,
    /// The item after.
    pub new: Option<Bytes>,
}

/// Records of a shard in order.
#[derive(Clone, Debug)]
pub struct LogPage {
    /// The records, each with a number above the asked-for one and not below the horizon.
    pub records: Vec<LogRecord>,
    /// Read on after this number.
    pub next: Lsn,
    /// The shard is sealed and no record lies behind `next`.
    pub ended: bool,
    /// More records were readable at once than the limit let through.
    pub more: bool,
    /// The shard's horizon.
    pub horizon: Lsn,
    /// Numbers up to `next` in which records of the shard are lost: they were damaged, and an operator has set them aside.
    pub lost: Vec<std::ops::RangeInclusive<Lsn>>,
}

/// A position in a shard to read after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogPosition {
    /// Before the oldest record that is not trimmed.
    Horizon,
    /// After the newest published record.
    End,
    /// After the last record before this time, milliseconds since the epoch, that is not trimmed: numbers of other shards
    /// that lie behind it are not passed. Without one, the position of the horizon.
    Time(u64),
}

/// Why the store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk: nothing was written, reads go on, and writes work again once there is room.
    #[error("the data directory has no room for more: {0}")]
    Full(String),
    /// What was read is not what was written; the message names file, offset and what was expected.
    #[error("corrupt data: {0}")]
    Corrupt(String),
    /// The operating system refused; the message names the file.
    #[error("{0}")]
    Io(String),
    /// There is no such shard (any more).
    #[error("no such shard: {}", .0.0)]
    NoSuchShard(ShardNo),
    /// A commit broke the contract of `Write` (for example appended to a stream that is not open).
    #[error("invalid commit: {0}")]
    Invalid(String),
    /// The store is shutting down.
    #[error("the store is shutting down")]
    Closed,
}

/// A storage engine. All methods may be called from many tasks at once.
pub trait Engine: Send + Sync + 'static {
    /// The values of `keys`, all of one point in time, durable.
    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StoreError>>;

    /// A page of rows, all of one point in time, durable.
    fn page(&self, range: KeyRange, limit: PageLimit) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Runs the body on the values of the declared keys and makes its writes one atomic, durable, visible change.
    /// Resolves only when everything written, and everything the body has read, is durable and published.
    /// Dropping the future does not take the commit back.
    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>>;

    /// The shards of a stream, by number; empty for an unknown one.
    fn shards(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<ShardInfo>, StoreError>>;

    /// Published records of `shard` with numbers above `after`, at most `records_max`, ending before the record with
    /// which the bytes of metas and images would exceed `bytes_max` (but at least one record, if there is one).
    fn read_log(
        &self,
        shard: ShardNo,
        after: Lsn,
        records_max: usize,
        bytes_max: usize,
    ) -> BoxFuture<'_, Result<LogPage, StoreError>>;

    /// The number to read after for a position, fixed now.
    fn position(&self, shard: ShardNo, position: LogPosition) -> BoxFuture<'_, Result<Lsn, StoreError>>;

    /// Resolves when the shard may have records above `after`, or is sealed or gone. A hint only: it may resolve early.
    fn wait_log(&self, shard: ShardNo, after: Lsn) -> BoxFuture<'_, ()>;

    /// Makes `horizon` the first readable number of the shard, durably; an earlier horizon than the present one is ignored.
    fn trim(&self, shard: ShardNo, horizon: Lsn) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Removes every key of the range, in the background or at once; the keys must already be unreachable
    /// (a deleted table's items: its number is never used again). Safe to repeat after a crash.
    fn reclaim(&self, range: KeyRange) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Stops taking commits, makes the pending ones durable, and ends the engine's threads.
    fn shutdown(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// [`Engine::commit`] with the body's answer: the way the layers above commit.
///
/// # Errors
/// The store's.
pub async fn commit<T: Send>(
    engine: &dyn Engine,
    shared: &[Key],
    exclusive: &[Key],
    mut body: impl FnMut(&Reads<'_>) -> Decision<T> + Send,
) -> Result<Committed<T>, StoreError> {
    let mut answer = None;
    let receipt = {
        let slot = &mut answer;
        let body: CommitBody<'_> = Box::new(move |reads| match body(reads) {
            Decision::Apply(writes, value) => {
                *slot = Some(value);
                Some(writes)
            }
            Decision::Reject(value) => {
                *slot = Some(value);
                None
            }
        });
        engine.commit(CommitRequest { shared, exclusive, body }).await?
    };
    let answer = answer.expect("invariant: an engine runs the body before it answers");
    Ok(Committed { answer, lsn: receipt.lsn })
}
