//! The entries of a run: where each record of a shard is in a segment, packed.
//!
//! Invariants: numbers rise and times do not fall along a run; equal runs have equal bytes; what is read back is verified by
//! a checksum, so that walking it needs no further check.

use tailrace_core::{EpochMs, Lsn};
use xxhash_rust::xxh3::xxh3_64;

use super::codec::put_varint;
use super::frame::{u32_at, u64_at};

/// Every so many entries one is stored whole, so that a search needs no walk from the start.
const ENTRIES_PER_RESTART: u32 = 64;
const RESTART_BYTES: usize = 28;

/// A record's place: its number, its time, and its frame; a moved record's own place in the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub lsn: Lsn,
    pub time_ms: EpochMs,
    pub offset: u32,
    pub len: u32,
}

/// The entries of a run, packed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    restarts: Vec<(Entry, u32)>,
    packed: Vec<u8>,
    count: u32,
    last: Entry,
}

impl Entries {
    pub fn push(&mut self, entry: Entry) {
        debug_assert!(self.count == 0 || entry.lsn > self.last.lsn, "a run's numbers rise");
        if self.count.is_multiple_of(ENTRIES_PER_RESTART) {
            self.restarts.push((entry, self.packed.len() as u32));
        } else {
            put_varint(&mut self.packed, entry.lsn.0 - self.last.lsn.0);
            put_varint(&mut self.packed, entry.time_ms.0 - self.last.time_ms.0);
            put_varint(&mut self.packed, u64::from(entry.offset - self.last.offset) / 8);
            put_varint(&mut self.packed, u64::from(entry.len) / 8);
        }
        self.count += 1;
        self.last = entry;
    }

    /// Whether both hold the same entries.
    pub fn same_as(&self, other: &Self) -> bool {
        self.count == other.count && self.restarts == other.restarts && self.packed == other.packed
    }

    pub fn bytes(&self) -> usize {
        self.packed.len() + self.restarts.len() * 32 + 64
    }

    /// Entries in order for which `wanted` holds, from the first one that may (`before` holds for a prefix of the run),
    /// at most `max`.
    pub fn select(&self, before: impl Fn(&Entry) -> bool, wanted: impl Fn(&Entry) -> bool, max: usize) -> Vec<Entry> {
        let mut found = Vec::new();
        self.walk(&before, |entry| {
            if !before(&entry) {
                if !wanted(&entry) || found.len() >= max {
                    return false;
                }
                found.push(entry);
            }
            true
        });
        found
    }

    /// The last entry for which `before` holds (it holds for a prefix of the run).
    pub fn last_of(&self, before: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let mut last = None;
        self.walk(&before, |entry| {
            let is_before = before(&entry);
            if is_before {
                last = Some(entry);
            }
            is_before
        });
        last
    }

    /// Gives `visit` the entries in order until it says no, from the last whole one for which `before` holds.
    fn walk(&self, before: impl Fn(&Entry) -> bool, mut visit: impl FnMut(Entry) -> bool) {
        let block = self.restarts.partition_point(|(entry, _)| before(entry)).saturating_sub(1);
        let Some((mut entry, mut at)) = self.restarts.get(block).map(|(e, p)| (*e, *p as usize)) else { return };
        let mut index = block as u32 * ENTRIES_PER_RESTART;
        while visit(entry) {
            index += 1;
            if index >= self.count {
                return;
            }
            if index.is_multiple_of(ENTRIES_PER_RESTART) {
                (entry, at) = {
                    let (entry, at) = self.restarts[(index / ENTRIES_PER_RESTART) as usize];
                    (entry, at as usize)
                };
            } else {
                entry.lsn.0 += self.varint(&mut at);
                entry.time_ms.0 += self.varint(&mut at);
                entry.offset += self.varint(&mut at) as u32 * 8;
                entry.len = self.varint(&mut at) as u32 * 8;
            }
        }
    }

    /// The packed bytes were made by `push`, or verified by a checksum over what `push` made.
    fn varint(&self, at: &mut usize) -> u64 {
        let (mut n, mut shift) = (0, 0);
        while let Some(byte) = self.packed.get(*at) {
            *at += 1;
            n |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                break;
            }
        }
        n
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        for (entry, at) in &self.restarts {
            out.extend_from_slice(&entry.lsn.0.to_le_bytes());
            out.extend_from_slice(&entry.time_ms.0.to_le_bytes());
            for n in [entry.offset, entry.len, *at] {
                out.extend_from_slice(&n.to_le_bytes());
            }
        }
        out.extend_from_slice(&self.packed);
        let checksum = xxh3_64(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
    }

    pub fn decode(block: &[u8]) -> Option<Self> {
        let end = block.len().checked_sub(8).filter(|end| *end >= 8)?;
        if xxh3_64(&block[..end]) != u64_at(block, end) {
            return None;
        }
        let (count, restarts) = (u32_at(block, 0), u32_at(block, 4) as usize);
        let packed_at = 8 + restarts.checked_mul(RESTART_BYTES)?;
        if packed_at > end {
            return None;
        }
        let restart = |i: usize| {
            let at = 8 + i * RESTART_BYTES;
            let entry = Entry {
                lsn: Lsn(u64_at(block, at)),
                time_ms: EpochMs(u64_at(block, at + 8)),
                offset: u32_at(block, at + 16),
                len: u32_at(block, at + 20),
            };
            (entry, u32_at(block, at + 24))
        };
        let restarts = (0..restarts).map(restart).collect();
        Some(Self { restarts, packed: block[packed_at..end].to_vec(), count, last: Entry::default() })
    }
}
