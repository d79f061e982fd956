//! Commits: what they declare, what their body sees and decides, and what comes back.
//!
//! A body is pure and may run more than once: it sees the declared rows and shards as they stand at the commit's place in
//! the order of all commits. Shards change only through writes, which the commit resolves: what "the open shards" are is
//! decided there, not when the writes were made up, so that such a write is never wrong because something else came first.

use bytes::Bytes;
use tailrace_core::limits::COMMIT_ID_LIFE;
use tailrace_core::{Bucket, BucketRange, EpochMs, RecordNo, ShardNo, StreamId};

use crate::engine::{Engine, Key, ReadPoint};
use crate::error::StoreError;
use crate::keyspace::{CountChange, ItemSet};

/// Where a record's new image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewImage {
    /// The record has none.
    None,
    /// It is the value of the `Put` at this index of the commit's writes, so that it is stored once.
    OfWrite(usize),
}

/// One change of a commit. A commit's writes are applied together or not at all, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets `key` to `value`.
    Put {
        /// The key.
        key: Key,
        /// Its new value.
        value: Bytes,
    },
    /// Sets `key` to the value of the `Put` at index `of` of the commit's writes, one before this: an engine may store it
    /// once.
    PutSame {
        /// The key.
        key: Key,
        /// Which write; an earlier one.
        of: usize,
    },
    /// Removes `key`.
    Delete {
        /// The key.
        key: Key,
    },
    /// Changes how many rows a table or an index has, and how large they are: the row
    /// [`ItemCountKey`](crate::keyspace::ItemCountKey), in the order of the commits like every other row. It needs no declared key, and commits that change
    /// the same count do not meet.
    ///
    /// The row's value comes to be when the commit is published, so that reads have it exact for their point in time. A
    /// commit's body does not: who declares the row may see it without the changes that are not published yet.
    Count {
        /// The table, or its index.
        set: ItemSet,
        /// By how much.
        by: CountChange,
    },
    /// Appends a record to the open shard of `stream` that holds `bucket`.
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
    /// Closes a shard and opens its children, whose ranges cover its own once. A shard that is sealed or gone stays as it
    /// is, and gets no children: someone else was first.
    Seal {
        /// The shard.
        shard: ShardNo,
        /// The children's ranges; none: the stream ends here.
        children: Vec<BucketRange>,
    },
    /// Closes every shard of the stream that is open, without children. There may be none.
    SealStream {
        /// The stream.
        stream: StreamId,
    },
    /// Forgets a sealed shard: it is listed and readable no more. One that is gone already stays so.
    ForgetShard {
        /// The shard.
        shard: ShardNo,
    },
    /// Forgets every shard of the stream, open ones as well. There may be none.
    DropStream {
        /// The stream.
        stream: StreamId,
    },
    /// Makes `horizon` the first readable number of the shard, unless it is behind that already, or the shard is gone.
    Trim {
        /// The shard.
        shard: ShardNo,
        /// The first readable number.
        horizon: RecordNo,
    },
}

impl Write {
    /// True for writes that change shards.
    pub fn is_structural(&self) -> bool {
        use Write::{Append, Count, Delete, Put, PutSame};
        !matches!(self, Put { .. } | PutSame { .. } | Delete { .. } | Append { .. } | Count { .. })
    }
}

/// What a commit's body decides after it has seen what it declared.
#[derive(Debug)]
pub enum Decision<T> {
    /// Do these writes; then answer `T`.
    Apply(Vec<Write>, T),
    /// Write nothing; answer `T` (a failed condition, a no-op). The answer still waits until everything
    /// that the body has read is durable.
    Reject(T),
}

/// A shard as a commit's body sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardState {
    /// Its number.
    pub shard: ShardNo,
    /// Its buckets.
    pub range: BucketRange,
    /// The shard it came from.
    pub parent: Option<ShardNo>,
    /// Creation.
    pub created_ms: EpochMs,
    /// It takes records; else it is sealed.
    pub open: bool,
    /// Records below this number are trimmed.
    pub horizon: RecordNo,
}

/// What a commit's body sees: for each thing that was declared one entry, in the order in which they were declared.
#[derive(Clone, Copy, Debug)]
pub struct Reads<'a> {
    /// Values of the shared keys.
    pub shared: &'a [Option<Bytes>],
    /// Values of the exclusive keys.
    pub exclusive: &'a [Option<Bytes>],
    /// The shards of the declared streams, by number; none for an unknown stream.
    pub streams: &'a [Vec<ShardState>],
    /// The instant of the commit so far as it is known: wall-clock milliseconds, never behind an earlier commit.
    pub now_ms: EpochMs,
}

/// A commit's body without its answer: pure, re-runnable, quick (it runs while its keys are latched). `None` means rejected.
pub type CommitBody<'a> = Box<dyn FnMut(&Reads<'_>) -> Option<Vec<Write>> + Send + 'a>;

/// The name of a commit, given by its maker: while it is remembered, a commit of the same name is not made again, and
/// [`Engine::outcome`] knows what became of it. Remembered for [`COMMIT_ID_LIFE`](tailrace_core::limits::COMMIT_ID_LIFE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId {
    /// When it was made up, wall-clock milliseconds since the epoch: says how long it is remembered.
    pub made_ms: EpochMs,
    /// Unique among those of this instant: 128 random bits will do.
    pub unique: u128,
}

impl CommitId {
    /// True if a commit of this id may have been made and forgotten by now.
    pub fn is_forgotten(self, now_ms: EpochMs) -> bool {
        self.made_ms < now_ms.minus(COMMIT_ID_LIFE)
    }

    /// Why a commit of such an id is not made.
    pub fn forgotten() -> StoreError {
        StoreError::Invalid("the commit's id is too old to know whether it was made before".to_owned())
    }
}

/// What became of a commit that had a [`CommitId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made, and is durable.
    Committed,
    /// It was not made. It is not under way either, unless its future still lives.
    NotCommitted,
    /// The id is too old to be remembered.
    Unknown,
}

/// What a commit's body is to see, and what must not change between that and its writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Declared<'a> {
    /// The commit's name, if anyone may have to ask what became of it.
    pub id: Option<CommitId>,
    /// Keys that are read and must not change under the body, but are not written by it (a table's descriptor).
    pub shared: &'a [Key],
    /// Keys that are read and may be written. A key that is not declared may be written only if a declared key owns it.
    pub exclusive: &'a [Key],
    /// What was read of the exclusive keys before. The body sees what there is now all the same; an engine need not read again what
    /// did not change since.
    pub seen: Option<Seen<'a>>,
    /// Streams whose shards are read and must not change under the body. Writes that change shards, and appends, need no
    /// declaration.
    pub streams: &'a [StreamId],
}

/// Rows that were read before a commit.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// When: that of the page.
    pub at: ReadPoint,
    /// The value then of each exclusive key, in their order.
    pub values: &'a [Bytes],
}

/// A commit to be made.
pub struct CommitRequest<'a> {
    /// What the body is to see.
    pub declared: Declared<'a>,
    /// The body; `None` means rejected.
    pub body: CommitBody<'a>,
}

impl<'a> CommitRequest<'a> {
    /// A commit that reads and writes keys.
    pub fn new(shared: &'a [Key], exclusive: &'a [Key], body: CommitBody<'a>) -> CommitRequest<'a> {
        CommitRequest { declared: Declared { shared, exclusive, ..Declared::default() }, body }
    }
}

/// Where a record came to lie: its identity together with the data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordId {
    /// The shard.
    pub shard: ShardNo,
    /// The number in the shard.
    pub number: RecordNo,
}

/// The records of a commit, one for each `Append`, in their order: a slice that costs nothing for the usual one or none.
#[derive(Clone, Debug, Default)]
pub enum RecordIds {
    /// No record.
    #[default]
    None,
    /// One.
    One([RecordId; 1]),
    /// Several.
    Many(Vec<RecordId>),
}

impl RecordIds {
    /// Adds one behind the others.
    pub fn push(&mut self, record: RecordId) {
        *self = match std::mem::take(self) {
            RecordIds::None => RecordIds::One([record]),
            RecordIds::One([first]) => RecordIds::Many(vec![first, record]),
            RecordIds::Many(mut records) => {
                records.push(record);
                RecordIds::Many(records)
            }
        };
    }
}

impl std::ops::Deref for RecordIds {
    type Target = [RecordId];

    fn deref(&self) -> &[RecordId] {
        match self {
            RecordIds::None => &[],
            RecordIds::One(one) => one,
            RecordIds::Many(many) => many,
        }
    }
}

impl PartialEq for RecordIds {
    fn eq(&self, other: &RecordIds) -> bool {
        **self == **other
    }
}

impl Eq for RecordIds {}

/// A commit that was made durable (or had nothing to write, with everything that it read durable).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitReceipt {
    /// False: the body rejected, or there was nothing to write.
    pub wrote: bool,
    /// Its records.
    pub records: RecordIds,
}

/// A commit with its body's answer.
#[derive(Clone, Debug)]
pub struct Committed<T> {
    /// The body's answer.
    pub answer: T,
    /// What was written.
    pub receipt: CommitReceipt,
}

/// [`Engine::commit`] with the body's answer: the way the layers above commit.
///
/// # Errors
/// The store's.
pub async fn commit<T: Send>(
    engine: &dyn Engine,
    shared: &[Key],
    exclusive: &[Key],
    body: impl FnMut(&Reads<'_>) -> Decision<T> + Send,
) -> Result<Committed<T>, StoreError> {
    commit_declared(engine, Declared { shared, exclusive, ..Declared::default() }, body).await
}

/// [`commit`] for bodies that see shards, and for commits that have a name.
///
/// # Errors
/// The store's.
pub async fn commit_declared<T: Send>(
    engine: &dyn Engine,
    declared: Declared<'_>,
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
        engine.commit(CommitRequest { declared, body }).await?
    };
    let answer = answer.expect("invariant: an engine runs the body before it answers");
    Ok(Committed { answer, receipt })
}

/// What became of a [`compare_and_set`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swap {
    /// The row has the new value.
    Done,
    /// The row had this value instead of the expected one, and keeps it.
    Differs(Option<Bytes>),
}

/// Sets a row to `new` (`None`: removes it) if it still is what it was expected to be.
///
/// # Errors
/// The store's.
pub async fn compare_and_set(
    engine: &dyn Engine,
    key: &Key,
    expected: Option<&Bytes>,
    new: Option<Bytes>,
) -> Result<Swap, StoreError> {
    let keys = std::slice::from_ref(key);
    let done = commit(engine, &[], keys, |reads| {
        let found = &reads.exclusive[0];
        if found.as_ref() != expected {
            return Decision::Reject(Swap::Differs(found.clone()));
        }
        let key = key.clone();
        match new.clone() {
            Some(value) => Decision::Apply(vec![Write::Put { key, value }], Swap::Done),
            None => Decision::Apply(vec![Write::Delete { key }], Swap::Done),
        }
    });
    Ok(done.await?.answer)
}
