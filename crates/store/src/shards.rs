//! The table of shards, and how the writes of a commit are resolved against it. Both engines use it, so that they
//! cannot differ in what a shard is.
//!
//! Invariants: the open shards of a stream cover every bucket at most once; a shard's number, its first number and its
//! creation time are above its parent's last; resolving either changes the table and gives everything that follows
//! from the writes, or changes nothing. Pure: no clock, no lock, no I/O.

use std::collections::BTreeMap;

use bytes::Bytes;
use tailrace_core::{Bucket, Lsn};

use crate::engine::{BucketRange, Key, NewImage, ShardInfo, ShardNo, StoreError, StreamId, Write};
use crate::keyspace::{CounterKey, ShardKey};

/// A write with its shard resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedWrite {
    Put { key: Key, value: Bytes },
    Delete { key: Key },
    Append { shard: ShardNo, meta: Bytes, old: Option<Bytes>, new: NewImage },
}

/// A change of the table: the shard as it now stands, or its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardChange {
    Set(ShardInfo),
    Gone(ShardNo),
}

/// A commit whose writes are resolved. The rows of changed shards are among the writes, behind those of the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub writes: Vec<ResolvedWrite>,
    pub changes: Vec<ShardChange>,
    /// How many numbers the commit takes: one for each record, at least one.
    pub span: u64,
}

/// All shards of a data directory.
#[derive(Clone, Debug, Default)]
pub struct ShardTable {
    shards: BTreeMap<ShardNo, ShardInfo>,
    /// Shards of each stream, by number.
    streams: BTreeMap<StreamId, Vec<ShardNo>>,
    /// The last shard number that was given out.
    last: u64,
}

impl ShardTable {
    /// A table of shards read from their rows, and of the counter's row.
    pub fn new(shards: impl IntoIterator<Item = ShardInfo>, next: u64) -> ShardTable {
        let mut table = ShardTable { last: next.saturating_sub(1), ..ShardTable::default() };
        for info in shards {
            table.last = table.last.max(info.shard.0);
            table.apply(&ShardChange::Set(info));
        }
        table
    }

    pub fn get(&self, shard: ShardNo) -> Option<&ShardInfo> {
        self.shards.get(&shard)
    }

    pub fn all(&self) -> impl Iterator<Item = &ShardInfo> {
        self.shards.values()
    }

    /// The shards of a stream, by number.
    pub fn of(&self, stream: StreamId) -> Vec<ShardInfo> {
        let numbers = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        numbers.iter().filter_map(|number| self.shards.get(number).cloned()).collect()
    }

    /// Follows a change that was resolved elsewhere.
    pub fn apply(&mut self, change: &ShardChange) {
        match change {
            ShardChange::Set(info) => {
                let numbers = self.streams.entry(info.stream).or_default();
                if let Err(at) = numbers.binary_search(&info.shard) {
                    numbers.insert(at, info.shard);
                }
                self.last = self.last.max(info.shard.0);
                self.shards.insert(info.shard, info.clone());
            }
            ShardChange::Gone(shard) => {
                if let Some(info) = self.shards.remove(shard)
                    && let Some(numbers) = self.streams.get_mut(&info.stream)
                {
                    numbers.retain(|number| number != shard);
                    if numbers.is_empty() {
                        self.streams.remove(&info.stream);
                    }
                }
            }
        }
    }

    /// Resolves the writes of the commit that begins with `lsn` at `now_ms`.
    pub fn resolve(&mut self, writes: Vec<Write>, lsn: Lsn, now_ms: u64) -> Result<Resolved, StoreError> {
        // Commits that open, seal or drop shards are rare: they work on a copy, so that an invalid one changes nothing.
        if writes.iter().any(is_structural) {
            let mut copy = self.clone();
            let resolved = copy.resolve_here(writes, lsn, now_ms)?;
            *self = copy;
            Ok(resolved)
        } else {
            self.resolve_here(writes, lsn, now_ms)
        }
    }

    /// Moves the horizon of a shard up. `None`: there is nothing to move.
    pub fn trim(&mut self, shard: ShardNo, horizon: Lsn) -> Result<Option<Resolved>, StoreError> {
        let info = self.shards.get(&shard).ok_or(StoreError::NoSuchShard(shard))?;
        if horizon <= info.horizon {
            return Ok(None);
        }
        let mut resolver = Resolver::default();
        resolver.set(self, ShardInfo { horizon, ..info.clone() });
        Ok(Some(resolver.finish(self)))
    }

    fn resolve_here(&mut self, writes: Vec<Write>, lsn: Lsn, now_ms: u64) -> Result<Resolved, StoreError> {
        let mut resolver = Resolver { writes: Vec::with_capacity(writes.len()), ..Resolver::default() };
        // An image refers to a write by its index among all writes; structural ones are not kept, so indexes move.
        let kept = |write: &&Write| matches!(write, Write::Put { .. } | Write::Delete { .. } | Write::Append { .. });
        let structural = writes.iter().filter(kept).count() < writes.len();
        let places: Vec<usize> = match structural {
            true => (0..writes.len()).map(|index| writes[..index].iter().filter(kept).count()).collect(),
            false => Vec::new(),
        };
        for write in &writes {
            if let Write::Append { new: NewImage::OfWrite(index), .. } = write
                && !matches!(writes.get(*index), Some(Write::Put { .. }))
            {
                return Err(StoreError::Invalid(format!("a record's new image is write {index}, which is no Put")));
            }
        }
        for write in writes {
            let cursor = Lsn(lsn.0 + resolver.records);
            match write {
                Write::Put { key, value } => resolver.writes.push(ResolvedWrite::Put { key, value }),
                Write::Delete { key } => resolver.writes.push(ResolvedWrite::Delete { key }),
                Write::Append { stream, bucket, meta, old, new } => {
                    let shard = self.open_shard(stream, bucket)?;
                    let new = match new {
                        NewImage::None => NewImage::None,
                        NewImage::OfWrite(index) => NewImage::OfWrite(places.get(index).copied().unwrap_or(index)),
                    };
                    resolver.records += 1;
                    resolver.writes.push(ResolvedWrite::Append { shard, meta, old, new });
                }
                Write::OpenStream { stream, ranges } => {
                    if self.streams.contains_key(&stream) {
                        return Err(StoreError::Invalid(format!("stream {} is open already", stream.0)));
                    }
                    let all = BucketRange::ALL;
                    self.open(&mut resolver, stream, &ranges, all, None, cursor, now_ms)?;
                }
                Write::Seal { shard, children } => self.seal(&mut resolver, shard, &children, cursor, now_ms)?,
                Write::DropStream { stream } => {
                    for info in self.of(stream) {
                        if info.sealed.is_none() {
                            return Err(StoreError::Invalid(format!("shard {} is not sealed", info.shard.0)));
                        }
                        resolver.gone(self, &info);
                    }
                }
            }
        }
        Ok(resolver.finish(self))
    }

    fn open_shard(&self, stream: StreamId, bucket: Bucket) -> Result<ShardNo, StoreError> {
        let holds = |info: &&ShardInfo| info.sealed.is_none() && info.range.contains(bucket);
        let numbers = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        // Newest first: a sealed shard of the same bucket is always older than the open one.
        let open = numbers.iter().rev().filter_map(|number| self.shards.get(number)).find(holds);
        open.map(|info| info.shard).ok_or_else(|| {
            StoreError::Invalid(format!("stream {} has no open shard for bucket {}", stream.0, bucket.0))
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn open(
        &mut self,
        resolver: &mut Resolver,
        stream: StreamId,
        ranges: &[BucketRange],
        whole: BucketRange,
        parent: Option<ShardNo>,
        first: Lsn,
        created_ms: u64,
    ) -> Result<(), StoreError> {
        let mut sorted = ranges.to_vec();
        sorted.sort_by_key(|range| range.first);
        let mut next = u32::from(whole.first.0);
        for range in &sorted {
            if u32::from(range.first.0) != next || range.last < range.first {
                return Err(StoreError::Invalid(format!("ranges {ranges:?} do not cover {whole:?} once")));
            }
            next = u32::from(range.last.0) + 1;
        }
        if next != u32::from(whole.last.0) + 1 {
            return Err(StoreError::Invalid(format!("ranges {ranges:?} do not cover {whole:?} once")));
        }
        for range in ranges {
            self.last += 1;
            let shard = ShardNo(self.last);
            let (horizon, range) = (first, *range);
            resolver.opened = true;
            let info = ShardInfo { shard, stream, range, parent, created_ms, first, sealed: None, horizon };
            resolver.set(self, info);
        }
        Ok(())
    }

    fn seal(
        &mut self,
        resolver: &mut Resolver,
        shard: ShardNo,
        children: &[BucketRange],
        cursor: Lsn,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        let info = self.shards.get(&shard).cloned().ok_or(StoreError::NoSuchShard(shard))?;
        if info.sealed.is_some() || info.first >= cursor {
            return Err(StoreError::Invalid(format!("shard {} is sealed, or opened in the same commit", shard.0)));
        }
        let (stream, range, created_ms) = (info.stream, info.range, now_ms.max(info.created_ms + 1));
        resolver.set(self, ShardInfo { sealed: Some(Lsn(cursor.0 - 1)), ..info });
        if children.is_empty() {
            return Ok(());
        }
        self.open(resolver, stream, children, range, Some(shard), cursor, created_ms)
    }
}

#[derive(Default)]
struct Resolver {
    writes: Vec<ResolvedWrite>,
    changes: Vec<ShardChange>,
    rows: BTreeMap<Key, Option<Bytes>>,
    records: u64,
    opened: bool,
}

impl Resolver {
    fn set(&mut self, table: &mut ShardTable, info: ShardInfo) {
        let key = ShardKey { stream: info.stream, shard: info.shard }.encode();
        self.rows.insert(key, Some(encode_row(&info)));
        self.change(table, ShardChange::Set(info));
    }

    fn gone(&mut self, table: &mut ShardTable, info: &ShardInfo) {
        self.rows.insert(ShardKey { stream: info.stream, shard: info.shard }.encode(), None);
        self.change(table, ShardChange::Gone(info.shard));
    }

    fn change(&mut self, table: &mut ShardTable, change: ShardChange) {
        table.apply(&change);
        self.changes.push(change);
    }

    fn finish(mut self, table: &ShardTable) -> Resolved {
        if self.opened {
            self.rows.insert(CounterKey::Shard.encode(), Some(CounterKey::value(table.last + 1)));
        }
        self.writes.extend(self.rows.into_iter().map(|(key, value)| match value {
            Some(value) => ResolvedWrite::Put { key, value },
            None => ResolvedWrite::Delete { key },
        }));
        Resolved { writes: self.writes, changes: self.changes, span: self.records.max(1) }
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    stream: StreamId,
    shard: ShardNo,
    first: Bucket,
    last: Bucket,
    parent: Option<ShardNo>,
    created_ms: u64,
    first_lsn: Lsn,
    sealed: Option<Lsn>,
    horizon: Lsn,
}

fn encode_row(info: &ShardInfo) -> Bytes {
    let row = Row {
        stream: info.stream,
        shard: info.shard,
        first: info.range.first,
        last: info.range.last,
        parent: info.parent,
        created_ms: info.created_ms,
        first_lsn: info.first,
        sealed: info.sealed,
        horizon: info.horizon,
    };
    Bytes::from(serde_json::to_vec(&row).expect("invariant: a shard's row has only numbers"))
}

/// Reads the row of a shard.
pub fn decode_row(value: &[u8]) -> Option<ShardInfo> {
    let row: Row = serde_json::from_slice(value).ok()?;
    Some(ShardInfo {
        shard: row.shard,
        stream: row.stream,
        range: BucketRange { first: row.first, last: row.last },
        parent: row.parent,
        created_ms: row.created_ms,
        first: row.first_lsn,
        sealed: row.sealed,
        horizon: row.horizon,
    })
}

/// True for writes that change the table.
pub fn is_structural(write: &Write) -> bool {
    matches!(write, Write::OpenStream { .. } | Write::Seal { .. } | Write::DropStream { .. })
}

/// The number to read after for the records from `horizon` on.
pub fn before(horizon: Lsn) -> Lsn {
    Lsn(horizon.0.saturating_sub(1))
}
