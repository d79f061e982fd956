//! What a commit is in the log: its writes as bytes, and back.
//!
//! Invariants: `decode(encode(writes)) == writes`; equal writes have equal bytes; decoding never panics and never
//! allocates more than the bytes it was given allow. The numbers and checksums around the body are `frame`'s.

use bytes::Bytes;
use tailrace_core::{Bucket, EpochMs, IndexId, Lsn, TableId};

use tailrace_store::keyspace::{CountChange, ItemSet};
use tailrace_store::{BucketRange, ShardNo, StreamId};

/// Where a logged record's new image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedImage {
    /// The record has none.
    None,
    /// The value of the put at this index of the commit's writes: stored once.
    OfWrite(u32),
    /// Stored with the record (a moved record has no `Put` beside it).
    Inline(Bytes),
}

/// One change of a commit, as the log keeps it: everything resolved, so that replay needs no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoggedWrite {
    /// Sets a key.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// Sets a key to the value of an earlier `Put` of the commit with some bytes around it: stored once, so that the full
    /// projections of a large item cost their keys. See [`value_of`].
    PutOfWrite {
        /// The key.
        key: Bytes,
        /// The index of the `Put` among the commit's writes.
        write: u32,
        /// What stands before its value.
        prefix: Bytes,
        /// What stands behind it.
        suffix: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Changes the count of a table or an index: what it comes to is known when the commits before it are.
    Count {
        /// The table, or its index.
        set: ItemSet,
        /// By how much.
        by: CountChange,
    },
    /// A stream record. The i-th one of a commit has the number `lsn + i`.
    Append {
        /// The shard that it was resolved to.
        shard: ShardNo,
        /// What the layer above stores of the change.
        meta: Bytes,
        /// The item before.
        old: Option<Bytes>,
        /// The item after.
        new: LoggedImage,
    },
    /// A shard opens.
    OpenShard {
        /// The shard.
        shard: ShardNo,
        /// Its stream.
        stream: StreamId,
        /// Its buckets.
        range: BucketRange,
        /// The shard it comes from.
        parent: Option<ShardNo>,
        /// Creation.
        created_ms: EpochMs,
    },
    /// A shard closes: it holds no number above `last`.
    SealShard {
        /// The shard.
        shard: ShardNo,
        /// The last number that it may hold.
        last: Lsn,
    },
    /// A shard's records are readable no more.
    DropShard {
        /// The shard.
        shard: ShardNo,
    },
    /// Records of a shard below `horizon` are readable no more.
    Trim {
        /// The shard.
        shard: ShardNo,
        /// The first readable number.
        horizon: Lsn,
    },
}

/// A commit as the log takes and gives it; its number comes from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedCommit {
    /// The commit's time.
    pub time_ms: EpochMs,
    /// Its writes, in order.
    pub writes: Vec<LoggedWrite>,
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const APPEND: u8 = 3;
const OPEN_SHARD: u8 = 4;
const SEAL_SHARD: u8 = 5;
const DROP_SHARD: u8 = 6;
const TRIM: u8 = 7;
const PUT_OF_WRITE: u8 = 8;
const COUNT: u8 = 9;

const OLD: u8 = 1;
const NEW_OF_WRITE: u8 = 2;
const NEW_INLINE: u8 = 4;

impl LoggedCommit {
    /// How many numbers the commit takes: one for each record, at least one.
    pub fn span(&self) -> u64 {
        span(&self.writes)
    }
}

/// How many numbers these writes take: one for each record, at least one.
pub fn span(writes: &[LoggedWrite]) -> u64 {
    (writes.iter().filter(|write| matches!(write, LoggedWrite::Append { .. })).count() as u64).max(1)
}

/// An upper bound of the frame's bytes of a commit of these writes; what to reserve for it.
pub fn frame_bytes_bound(writes: &[LoggedWrite]) -> usize {
    const FIELD_BYTES_MAX: usize = 10;
    let fields = |n: usize| 1 + n * FIELD_BYTES_MAX;
    let body: usize = writes
        .iter()
        .map(|write| match write {
            LoggedWrite::Put { key, value } => fields(2) + key.len() + value.len(),
            LoggedWrite::PutOfWrite { key, prefix, suffix, .. } => fields(4) + key.len() + prefix.len() + suffix.len(),
            LoggedWrite::Delete { key } => fields(1) + key.len(),
            LoggedWrite::Count { .. } => fields(4),
            LoggedWrite::Append { meta, old, new, .. } => {
                let inline = if let LoggedImage::Inline(bytes) = new { bytes.len() } else { 0 };
                fields(5) + meta.len() + old.as_ref().map_or(0, Bytes::len) + inline
            }
            LoggedWrite::OpenShard { .. } => fields(6),
            LoggedWrite::SealShard { .. } | LoggedWrite::Trim { .. } => fields(2),
            LoggedWrite::DropShard { .. } => fields(1),
        })
        .sum();
    super::frame::HEADER_BYTES + FIELD_BYTES_MAX + body + super::frame::ALIGN_BYTES
}

/// Appends the body of a commit to `out`.
pub fn encode(writes: &[LoggedWrite], out: &mut Vec<u8>) {
    put_varint(out, writes.len() as u64);
    for write in writes {
        encode_write(write, out);
    }
}

fn encode_write(write: &LoggedWrite, out: &mut Vec<u8>) {
    match write {
        LoggedWrite::Put { key, value } => {
            out.push(PUT);
            put_bytes(out, key);
            put_bytes(out, value);
        }
        LoggedWrite::PutOfWrite { key, write, prefix, suffix } => {
            out.push(PUT_OF_WRITE);
            put_bytes(out, key);
            put_varint(out, u64::from(*write));
            put_bytes(out, prefix);
            put_bytes(out, suffix);
        }
        LoggedWrite::Delete { key } => {
            out.push(DELETE);
            put_bytes(out, key);
        }
        LoggedWrite::Count { set, by } => {
            out.push(COUNT);
            put_varint(out, set.table.0);
            put_varint(out, u64::from(set.index.0));
            put_signed(out, by.rows);
            put_signed(out, by.bytes);
        }
        LoggedWrite::Append { shard, meta, old, new } => {
            out.push(APPEND);
            put_varint(out, shard.0);
            let image = match new {
                LoggedImage::None => 0,
                LoggedImage::OfWrite(_) => NEW_OF_WRITE,
                LoggedImage::Inline(_) => NEW_INLINE,
            };
            out.push(image | if old.is_some() { OLD } else { 0 });
            put_bytes(out, meta);
            if let Some(old) = old {
                put_bytes(out, old);
            }
            match new {
                LoggedImage::None => {}
                LoggedImage::OfWrite(index) => put_varint(out, u64::from(*index)),
                LoggedImage::Inline(bytes) => put_bytes(out, bytes),
            }
        }
        LoggedWrite::OpenShard { shard, stream, range, parent, created_ms } => {
            out.push(OPEN_SHARD);
            put_varint(out, shard.0);
            put_varint(out, stream.0);
            put_varint(out, u64::from(range.first.0));
            put_varint(out, u64::from(range.last.0));
            // 0 is "no parent"; a parent is stored one higher.
            put_varint(out, parent.map_or(0, |parent| parent.0.wrapping_add(1)));
            put_varint(out, created_ms.0);
        }
        LoggedWrite::SealShard { shard, last } => {
            out.push(SEAL_SHARD);
            put_varint(out, shard.0);
            put_varint(out, last.0);
        }
        LoggedWrite::DropShard { shard } => {
            out.push(DROP_SHARD);
            put_varint(out, shard.0);
        }
        LoggedWrite::Trim { shard, horizon } => {
            out.push(TRIM);
            put_varint(out, shard.0);
            put_varint(out, horizon.0);
        }
    }
}

/// The writes of a commit's body. `None`: these bytes are no such body.
pub fn decode(body: &Bytes) -> Option<Vec<LoggedWrite>> {
    let mut from = Reader::new(body);
    let count = from.varint()?;
    // Each write takes at least two bytes: the count bounds no allocation beyond the body's own size.
    if count > body.len() as u64 {
        return None;
    }
    let writes = (0..count).map(|_| decode_write(&mut from)).collect::<Option<Vec<_>>>()?;
    let refers_back = |(i, write): (usize, &LoggedWrite)| match write {
        LoggedWrite::PutOfWrite { write, .. } => {
            writes[..i].get(*write as usize).is_some_and(|put| matches!(put, LoggedWrite::Put { .. }))
        }
        _ => true,
    };
    (from.only_zeros_left() && writes.iter().enumerate().all(refers_back)).then_some(writes)
}

/// The value that the write at `index` sets. `None`: it sets none, or refers to one that is not an earlier `Put`.
pub fn value_of(writes: &[LoggedWrite], index: usize) -> Option<Bytes> {
    match writes.get(index)? {
        LoggedWrite::Put { value, .. } => Some(value.clone()),
        LoggedWrite::PutOfWrite { write, prefix, suffix, .. } => match writes[..index].get(*write as usize)? {
            LoggedWrite::Put { value, .. } if prefix.is_empty() && suffix.is_empty() => Some(value.clone()),
            LoggedWrite::Put { value, .. } => Some(Bytes::from([&prefix[..], &value[..], &suffix[..]].concat())),
            _ => None,
        },
        _ => None,
    }
}

/// The length of what [`value_of`] gives, 0 for nothing.
pub(super) fn value_len(writes: &[LoggedWrite], index: usize) -> usize {
    match writes.get(index) {
        Some(LoggedWrite::Put { value, .. }) => value.len(),
        Some(LoggedWrite::PutOfWrite { write, prefix, suffix, .. }) if (*write as usize) < index => {
            prefix.len() + suffix.len() + value_len(&writes[..index], *write as usize)
        }
        _ => 0,
    }
}

/// The writes with every [`LoggedWrite::PutOfWrite`] as the `Put` that it stands for.
pub fn resolved(mut writes: Vec<LoggedWrite>) -> Vec<LoggedWrite> {
    for i in 0..writes.len() {
        if matches!(writes[i], LoggedWrite::PutOfWrite { .. })
            && let Some(value) = value_of(&writes, i)
            && let LoggedWrite::PutOfWrite { key, .. } = &mut writes[i]
        {
            writes[i] = LoggedWrite::Put { key: std::mem::take(key), value };
        }
    }
    writes
}

fn decode_write(from: &mut Reader<'_>) -> Option<LoggedWrite> {
    Some(match from.byte()? {
        PUT => LoggedWrite::Put { key: from.bytes()?, value: from.bytes()? },
        PUT_OF_WRITE => LoggedWrite::PutOfWrite {
            key: from.bytes()?,
            write: u32::try_from(from.varint()?).ok()?,
            prefix: from.bytes()?,
            suffix: from.bytes()?,
        },
        DELETE => LoggedWrite::Delete { key: from.bytes()? },
        COUNT => LoggedWrite::Count {
            set: ItemSet { table: TableId(from.varint()?), index: IndexId(u32::try_from(from.varint()?).ok()?) },
            by: CountChange { rows: from.signed()?, bytes: from.signed()? },
        },
        APPEND => {
            let shard = ShardNo(from.varint()?);
            let flags = from.byte()?;
            let meta = from.bytes()?;
            let old = if flags & OLD != 0 { Some(from.bytes()?) } else { None };
            let new = match flags & !OLD {
                0 => LoggedImage::None,
                NEW_OF_WRITE => LoggedImage::OfWrite(u32::try_from(from.varint()?).ok()?),
                NEW_INLINE => LoggedImage::Inline(from.bytes()?),
                _ => return None,
            };
            LoggedWrite::Append { shard, meta, old, new }
        }
        OPEN_SHARD => LoggedWrite::OpenShard {
            shard: ShardNo(from.varint()?),
            stream: StreamId(from.varint()?),
            range: BucketRange {
                first: Bucket(u16::try_from(from.varint()?).ok()?),
                last: Bucket(u16::try_from(from.varint()?).ok()?),
            },
            parent: from.varint()?.checked_sub(1).map(ShardNo),
            created_ms: EpochMs(from.varint()?),
        },
        SEAL_SHARD => LoggedWrite::SealShard { shard: ShardNo(from.varint()?), last: Lsn(from.varint()?) },
        DROP_SHARD => LoggedWrite::DropShard { shard: ShardNo(from.varint()?) },
        TRIM => LoggedWrite::Trim { shard: ShardNo(from.varint()?), horizon: Lsn(from.varint()?) },
        _ => return None,
    })
}

/// Appends `n` in little-endian groups of seven bits.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a number so that those near zero are short: 0, -1, 1, -2 ... as 0, 1, 2, 3 ...
fn put_signed(out: &mut Vec<u8>, n: i64) {
    put_varint(out, ((n << 1) ^ (n >> 63)) as u64);
}

/// Appends a length and the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the functions above wrote; slices share the memory of the source.
pub(crate) struct Reader<'a> {
    source: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Bytes) -> Self {
        Self { source, at: 0 }
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let byte = *self.source.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                return None;
            }
            n |= group << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let n = self.varint()?;
        Some((n >> 1) as i64 ^ -((n & 1) as i64))
    }

    /// The span of the next length-prefixed bytes, without taking a share of the memory.
    pub(crate) fn skip_bytes(&mut self) -> Option<std::ops::Range<usize>> {
        let len = usize::try_from(self.varint()?).ok()?;
        let end = self.at.checked_add(len).filter(|end| *end <= self.source.len())?;
        let range = self.at..end;
        self.at = end;
        Some(range)
    }

    pub(crate) fn bytes(&mut self) -> Option<Bytes> {
        let range = self.skip_bytes()?;
        Some(self.source.slice(range))
    }

    pub(crate) fn only_zeros_left(&self) -> bool {
        self.source[self.at..].iter().all(|byte| *byte == 0)
    }
}
