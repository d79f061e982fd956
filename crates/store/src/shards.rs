//! The table of shards, and how the writes of a commit are resolved against it. Both engines use it, so that they
//! cannot differ in what a shard is.
//!
//! Invariants: the open shards of a stream cover every bucket at most once; a shard's number and its creation time are above
//! its parent's, its first number is above its parent's last; resolving either changes the table and gives everything
//! that follows from the writes, or changes nothing. Pure: no clock, no lock, no I/O. It numbers no record: how an engine
//! does is given.

use std::collections::BTreeMap;

use bytes::Bytes;
use tailrace_core::{Bucket, BucketRange, EpochMs, RecordNo, ShardNo, StreamId};

use crate::commit::{NewImage, ShardState, Write};
use crate::engine::{Key, ShardInfo};
use crate::error::StoreError;
use crate::keyspace::{CountChange, CounterKey, ItemSet, ShardKey};

/// A write with its shard resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolvedWrite {
    /// `same_as`: the value is that of the `Put` at this index, so that it need not be stored twice.
    Put {
        key: Key,
        value: Bytes,
        same_as: Option<usize>,
    },
    Delete {
        key: Key,
    },
    /// The count is added up when the commit is published.
    Count {
        set: ItemSet,
        by: CountChange,
    },
    Append {
        shard: ShardNo,
        meta: Bytes,
        old: Option<Bytes>,
        new: NewImage,
    },
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
    /// How many records are among the writes.
    pub records: u64,
}

/// The number that the next record of a shard gets, behind the writes of the commit so far. For a shard that is not there yet
/// it is above all that any shard was sealed at ([`ShardInfo::first`]).
pub type NextNumber<'a> = &'a dyn Fn(ShardNo, &[ResolvedWrite]) -> RecordNo;

/// Numbers that all shards share, for [`ShardTable::resolve`]: the commit's first record has this one, the others follow.
pub fn shared_numbers(first: RecordNo) -> impl Fn(ShardNo, &[ResolvedWrite]) -> RecordNo {
    move |_, before| {
        let records = before.iter().filter(|write| matches!(write, ResolvedWrite::Append { .. })).count();
        RecordNo(first.0 + records as u64)
    }
}

/// All shards of a data directory.
#[derive(Clone, Debug, Default)]
pub struct ShardTable {
    shards: BTreeMap<ShardNo, ShardInfo>,
    /// Shards of each stream, by number.
    streams: BTreeMap<StreamId, Vec<ShardNo>>,
    /// The last shard number that was given out.
    last: u64,
    /// How many changes there were.
    changes: u64,
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

    /// How many shards a stream has.
    pub fn count(&self, stream: StreamId) -> usize {
        self.streams.get(&stream).map_or(0, Vec::len)
    }

    /// The shards of a stream as a commit's body sees them.
    pub fn states(&self, stream: StreamId) -> Vec<ShardState> {
        let state = |info: ShardInfo| {
            let ShardInfo { shard, range, parent, created_ms, sealed, horizon, .. } = info;
            ShardState { shard, range, parent, created_ms, open: sealed.is_none(), horizon }
        };
        self.of(stream).into_iter().map(state).collect()
    }

    /// A number that is another one after each change.
    pub fn version(&self) -> u64 {
        self.changes
    }

    /// Follows a change that was resolved elsewhere.
    pub fn apply(&mut self, change: &ShardChange) {
        self.changes += 1;
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

    /// Resolves the writes of a commit at `now_ms`.
    ///
    /// # Errors
    /// `Invalid`, and the table is as it was.
    pub fn resolve(
        &mut self,
        writes: Vec<Write>,
        numbers: NextNumber<'_>,
        now_ms: EpochMs,
    ) -> Result<Resolved, StoreError> {
        let last = self.last;
        let mut resolver = Resolver { writes: Vec::with_capacity(writes.len()), ..Resolver::default() };
        match self.resolve_into(&mut resolver, writes, numbers, now_ms) {
            Ok(()) => Ok(resolver.finish(self)),
            Err(error) => {
                for (shard, before) in resolver.undo.into_iter().rev() {
                    self.apply(&before.map_or(ShardChange::Gone(shard), ShardChange::Set));
                }
                self.last = last;
                Err(error)
            }
        }
    }

    fn resolve_into(
        &mut self,
        resolver: &mut Resolver,
        writes: Vec<Write>,
        numbers: NextNumber<'_>,
        now_ms: EpochMs,
    ) -> Result<(), StoreError> {
        let places = places(&writes)?;
        let place = |of: usize| places.get(of).copied().unwrap_or(of);
        let values: Vec<Option<Bytes>> = shared_values(&writes);
        for write in writes {
            match write {
                Write::Put { key, value } => resolver.writes.push(ResolvedWrite::Put { key, value, same_as: None }),
                Write::PutSame { key, of } => {
                    let value = values.get(of).cloned().flatten().expect("invariant: references are checked");
                    resolver.writes.push(ResolvedWrite::Put { key, value, same_as: Some(place(of)) });
                }
                Write::Delete { key } => resolver.writes.push(ResolvedWrite::Delete { key }),
                Write::Count { set, by } => resolver.writes.push(ResolvedWrite::Count { set, by }),
                Write::Append { stream, bucket, meta, old, new } => {
                    let shard = self.open_shard(stream, bucket)?;
                    let new = match new {
                        NewImage::None => NewImage::None,
                        NewImage::OfWrite(of) => NewImage::OfWrite(place(of)),
                    };
                    resolver.records += 1;
                    resolver.writes.push(ResolvedWrite::Append { shard, meta, old, new });
                }
                Write::OpenStream { stream, ranges } => {
                    if self.streams.contains_key(&stream) {
                        return Err(StoreError::Invalid(format!("stream {} is open already", stream.0)));
                    }
                    check_cover(&ranges, BucketRange::ALL)?;
                    self.open(resolver, stream, &ranges, None, numbers, now_ms);
                }
                Write::Seal { shard, children } => {
                    if resolver.opened.contains(&shard) {
                        return Err(StoreError::Invalid(format!("shard {} is opened in the same commit", shard.0)));
                    }
                    let Some(info) = self.shards.get(&shard).filter(|info| info.sealed.is_none()).cloned() else {
                        continue;
                    };
                    if !children.is_empty() {
                        check_cover(&children, info.range)?;
                    }
                    self.seal(resolver, &info, numbers);
                    let created_ms = now_ms.max(info.created_ms.next());
                    self.open(resolver, info.stream, &children, Some(shard), numbers, created_ms);
                }
                Write::SealStream { stream } => {
                    for info in self.of(stream).iter().filter(|info| info.sealed.is_none()) {
                        self.seal(resolver, info, numbers);
                    }
                }
                Write::ForgetShard { shard } => {
                    let Some(info) = self.shards.get(&shard).cloned() else { continue };
                    if info.sealed.is_none() {
                        return Err(StoreError::Invalid(format!("shard {} is not sealed", shard.0)));
                    }
                    resolver.gone(self, &info);
                }
                Write::DropStream { stream } => {
                    for info in self.of(stream) {
                        resolver.gone(self, &info);
                    }
                }
                Write::Trim { shard, horizon } => {
                    if let Some(info) = self.shards.get(&shard).filter(|info| info.horizon < horizon).cloned() {
                        resolver.set(self, ShardInfo { horizon, ..info });
                    }
                }
            }
        }
        Ok(())
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

    fn open(
        &mut self,
        resolver: &mut Resolver,
        stream: StreamId,
        ranges: &[BucketRange],
        parent: Option<ShardNo>,
        numbers: NextNumber<'_>,
        created_ms: EpochMs,
    ) {
        for range in ranges.iter().copied() {
            self.last += 1;
            let shard = ShardNo(self.last);
            let first = numbers(shard, &resolver.writes);
            let sealed = parent.and_then(|parent| self.get(parent)?.sealed);
            debug_assert!(
                sealed.is_none_or(|last| first > last),
                "shard {shard:?} begins at {first}, not above {sealed:?}"
            );
            resolver.opened.push(shard);
            let info = ShardInfo { shard, stream, range, parent, created_ms, first, sealed: None, horizon: first };
            resolver.set(self, info);
        }
    }

    fn seal(&mut self, resolver: &mut Resolver, info: &ShardInfo, numbers: NextNumber<'_>) {
        // It is below the first number of a shard that never had a chance to get a record, so that the next shard's is above it.
        let last = numbers(info.shard, &resolver.writes).before();
        resolver.set(self, ShardInfo { sealed: Some(last), ..info.clone() });
    }
}

fn check_cover(ranges: &[BucketRange], whole: BucketRange) -> Result<(), StoreError> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.first);
    let mut next = u32::from(whole.first.0);
    let mut covers = true;
    for range in &sorted {
        covers &= u32::from(range.first.0) == next && range.first <= range.last;
        next = u32::from(range.last.0) + 1;
    }
    match covers && next == u32::from(whole.last.0) + 1 {
        true => Ok(()),
        false => Err(StoreError::Invalid(format!("ranges {ranges:?} do not cover {whole:?} once"))),
    }
}

/// Checks what refers to a write by its index, and gives where each write stands among those that are kept: those that
/// change shards are not. Empty: each where it is.
fn places(writes: &[Write]) -> Result<Vec<usize>, StoreError> {
    for (i, write) in writes.iter().enumerate() {
        let (of, what, before) = match write {
            Write::Append { new: NewImage::OfWrite(of), .. } => (*of, "a record's new image", writes.len()),
            // A log is read from its beginning on: what it refers to has been there.
            Write::PutSame { of, .. } => (*of, "a row's value", i),
            _ => continue,
        };
        if !matches!(writes[..before].get(of), Some(Write::Put { .. })) {
            return Err(StoreError::Invalid(format!("{what} is write {of}, which is no Put that it may refer to")));
        }
    }
    if !writes.iter().any(Write::is_structural) {
        return Ok(Vec::new());
    }
    let mut kept = 0;
    let place = |write: &Write| {
        let here = kept;
        kept += usize::from(!write.is_structural());
        here
    };
    Ok(writes.iter().map(place).collect())
}

/// The values of the `Put`s, by index, if any write is to have the same.
fn shared_values(writes: &[Write]) -> Vec<Option<Bytes>> {
    if !writes.iter().any(|write| matches!(write, Write::PutSame { .. })) {
        return Vec::new();
    }
    let value = |write: &Write| match write {
        Write::Put { value, .. } => Some(value.clone()),
        _ => None,
    };
    writes.iter().map(value).collect()
}

#[derive(Default)]
struct Resolver {
    writes: Vec<ResolvedWrite>,
    changes: Vec<ShardChange>,
    rows: BTreeMap<Key, Option<Bytes>>,
    records: u64,
    opened: Vec<ShardNo>,
    /// What the changed shards were before, in the order of the changes.
    undo: Vec<(ShardNo, Option<ShardInfo>)>,
}

impl Resolver {
    fn set(&mut self, table: &mut ShardTable, info: ShardInfo) {
        self.rows.insert(ShardKey::of(&info).encode(), Some(ShardKey::value(&info)));
        self.change(table, info.shard, ShardChange::Set(info));
    }

    fn gone(&mut self, table: &mut ShardTable, info: &ShardInfo) {
        self.rows.insert(ShardKey::of(info).encode(), None);
        self.change(table, info.shard, ShardChange::Gone(info.shard));
    }

    fn change(&mut self, table: &mut ShardTable, shard: ShardNo, change: ShardChange) {
        self.undo.push((shard, table.get(shard).cloned()));
        table.apply(&change);
        self.changes.push(change);
    }

    fn finish(mut self, table: &ShardTable) -> Resolved {
        if !self.opened.is_empty() {
            self.rows.insert(CounterKey::Shard.encode(), Some(CounterKey::value(table.last + 1)));
        }
        self.writes.extend(self.rows.into_iter().map(|(key, value)| match value {
            Some(value) => ResolvedWrite::Put { key, value, same_as: None },
            None => ResolvedWrite::Delete { key },
        }));
        Resolved { writes: self.writes, changes: self.changes, records: self.records }
    }
}
