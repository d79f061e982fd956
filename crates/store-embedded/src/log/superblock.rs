//! The superblock and the file of the synced position.
//!
//! Superblock invariants: two slots, both written and synced (one after the other) before anything relies on them, so
//! that either slot alone is enough; no number at or above `lsn_limit` was ever given out. The synced file is written
//! without a sync and only after the data is synced: it can lag, never claim too much; it survives the process, and
//! makes damage in the last acknowledged group differ from a torn tail.

use std::path::Path;
use std::sync::Arc;

use tailrace_core::Lsn;
use xxhash_rust::xxh3::xxh3_64;

use super::chain::Freed;
use super::frame::{Position, SegmentNo, corrupt, u32_at, u64_at};
use crate::files::{File, Files, read_all};
use tailrace_store::StoreError;

/// The number of the format that this code writes; it opens this and older ones.
pub const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"TRAILRSB";
const SLOT_AT: [u64; 2] = [0, 4096];
const FILE_BYTES: u64 = 8192;
/// Segments that are freed with one change of the superblock; a slot fits into a sector with them.
pub(super) const FREEING_MAX: usize = 32;
const FREEING_AT: usize = 96;
const CHECKSUM_AT: usize = FREEING_AT + 8 * FREEING_MAX;
const SLOT_BYTES: usize = CHECKSUM_AT + 8;
/// Where the checksum stood while a superblock did not say what was being freed.
const EARLIER_CHECKSUM_AT: usize = 80;
const NAME: &str = "superblock";
const SYNCED_NAME: &str = "synced";
const SYNCED_MAGIC: &[u8; 8] = b"TRSYNCED";
const SYNCED_SLOT_BYTES: usize = 24;
const SYNCED_SLOT_AT: [u64; 2] = [0, 512];
const SYNCED_FILE_BYTES: u64 = 1024;

/// What the superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub sequence: u64,
    pub uuid: [u8; 16],
    pub generation: u64,
    pub lsn_limit: Lsn,
    /// Everything before is synced.
    pub synced: Position,
    /// What was freed: what is missing of it is no damage.
    pub freed: Freed,
    /// The segments that were being freed when this was written, 0 for none: their files may still be there.
    pub freeing: [SegmentNo; FREEING_MAX],
}

impl Superblock {
    fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = [0; SLOT_BYTES];
        slot[0..8].copy_from_slice(MAGIC);
        slot[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        slot[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        slot[24..40].copy_from_slice(&self.uuid);
        slot[40..48].copy_from_slice(&self.generation.to_le_bytes());
        slot[48..56].copy_from_slice(&self.lsn_limit.0.to_le_bytes());
        slot[56..64].copy_from_slice(&self.synced.0.to_le_bytes());
        slot[64..72].copy_from_slice(&self.freed.segment.0.to_le_bytes());
        slot[72..80].copy_from_slice(&self.freed.last.0.to_le_bytes());
        slot[80..88].copy_from_slice(&self.freed.checksum.to_le_bytes());
        slot[88..96].copy_from_slice(&self.freed.kept_below.to_le_bytes());
        for (i, number) in self.freeing.iter().enumerate() {
            slot[FREEING_AT + 8 * i..FREEING_AT + 8 * i + 8].copy_from_slice(&number.0.to_le_bytes());
        }
        let checksum = xxh3_64(&slot[..CHECKSUM_AT]);
        slot[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        slot
    }

    /// `Ok(None)`: not a valid slot. The format is looked at first only when the checksum holds.
    fn decode(slot: &[u8], file: &Path) -> Result<Option<Self>, StoreError> {
        if &slot[0..8] != MAGIC {
            return Ok(None);
        }
        if xxh3_64(&slot[..CHECKSUM_AT]) != u64_at(slot, CHECKSUM_AT) {
            if xxh3_64(&slot[..EARLIER_CHECKSUM_AT]) == u64_at(slot, EARLIER_CHECKSUM_AT) {
                return Err(StoreError::Io(format!(
                    "{} has an earlier layout, from before the first release, which is not read any more: nothing is \
                     damaged, and nothing was changed",
                    file.display()
                )));
            }
            return Ok(None);
        }
        let format = u32_at(slot, 8);
        if format > FORMAT {
            return Err(StoreError::NewerFormat(format!(
                "{} has format {format}, and this version reads formats up to {FORMAT}: use a newer one",
                file.display()
            )));
        }
        Ok(Some(Self {
            sequence: u64_at(slot, 16),
            uuid: slot[24..40].try_into().expect("invariant: sixteen bytes"),
            generation: u64_at(slot, 40),
            lsn_limit: Lsn(u64_at(slot, 48)),
            synced: Position(u64_at(slot, 56)),
            freed: Freed {
                segment: SegmentNo(u64_at(slot, 64)),
                last: Lsn(u64_at(slot, 72)),
                checksum: u64_at(slot, 80),
                kept_below: u64_at(slot, 88),
            },
            freeing: std::array::from_fn(|i| SegmentNo(u64_at(slot, FREEING_AT + 8 * i))),
        }))
    }
}

/// The open superblock.
#[derive(Debug)]
pub(super) struct SuperblockFile {
    file: Arc<dyn File>,
    pub now: Superblock,
}

impl SuperblockFile {
    /// Whether `dir` has one.
    pub fn exists(names: &[String]) -> bool {
        names.iter().any(|name| name == NAME)
    }

    pub fn create(files: &dyn Files, dir: &Path, uuid: [u8; 16]) -> Result<(), StoreError> {
        let temporary = dir.join("superblock.tmp");
        let file = files.create(&temporary)?;
        let first = Superblock {
            sequence: 1,
            uuid,
            generation: 0,
            lsn_limit: Lsn(1),
            synced: Position::default(),
            freed: Freed::default(),
            freeing: [SegmentNo::default(); FREEING_MAX],
        };
        let mut content = vec![0; FILE_BYTES as usize];
        for at in SLOT_AT {
            content[at as usize..at as usize + SLOT_BYTES].copy_from_slice(&first.encode());
        }
        file.write_at(&content, 0)?;
        file.sync_data()?;
        files.rename(&temporary, &dir.join(NAME))?;
        files.sync_dir(dir)?;
        Ok(())
    }

    /// The slots of `dir`'s superblock, for the check: offset, and whether it is valid.
    pub fn slots(files: &dyn Files, dir: &Path) -> Result<Vec<(u64, Option<Superblock>)>, StoreError> {
        let path = dir.join(NAME);
        let bytes = read_all(&*files.open(&path)?)?;
        if bytes.len() as u64 != FILE_BYTES {
            let found = bytes.len().to_string();
            return Err(corrupt(&path, 0, &format!("a superblock of {FILE_BYTES} bytes"), &found));
        }
        let slot = |at: u64| &bytes[at as usize..at as usize + SLOT_BYTES];
        SLOT_AT.iter().map(|at| Ok((*at, Superblock::decode(slot(*at), &path)?))).collect()
    }

    pub fn open(files: &dyn Files, dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let slots = Self::slots(files, dir)?;
        let newest = slots.iter().filter_map(|(_, slot)| *slot).max_by_key(|slot| slot.sequence);
        let Some(now) = newest else {
            return Err(corrupt(&path, 0, "a superblock with a valid checksum in one of two slots", "none"));
        };
        for (at, slot) in slots {
            if slot.is_none() {
                tracing::warn!(file = %path.display(), offset = at, "a superblock slot is damaged; the other one is used");
            }
        }
        Ok(Self { file: files.open(&path)?, now })
    }

    /// Writes both slots, each durable before the next is touched: the older one first, so that the newest state
    /// that was complete survives a cut.
    pub fn write(&mut self, mut next: Superblock) -> Result<(), StoreError> {
        next.sequence = self.now.sequence + 1;
        for at in SLOT_AT {
            self.file.write_at(&next.encode(), at)?;
            self.file.sync_data()?;
        }
        self.now = next;
        Ok(())
    }
}

/// The open file of the synced position.
#[derive(Debug)]
pub(super) struct SyncedFile {
    file: Arc<dyn File>,
    turn: usize,
}

impl SyncedFile {
    pub fn create(files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
        let temporary = dir.join("synced.tmp");
        let file = files.create(&temporary)?;
        file.zero_fill(0, SYNCED_FILE_BYTES)?;
        file.sync_data()?;
        // The superblock is made next, and its directory synced then: without a superblock there is no log yet.
        files.rename(&temporary, &dir.join(SYNCED_NAME))?;
        Ok(())
    }

    /// Opens it and tells what it claims; a slot that does not verify claims nothing (it is never synced on purpose).
    pub fn open(files: &dyn Files, dir: &Path) -> Result<(Self, Position), StoreError> {
        let file = files.open(&dir.join(SYNCED_NAME))?;
        let mut bytes = vec![0; SYNCED_FILE_BYTES as usize];
        file.read_at(&mut bytes, 0)?;
        let claim = |at: u64| {
            let slot = &bytes[at as usize..at as usize + SYNCED_SLOT_BYTES];
            (&slot[..8] == SYNCED_MAGIC && xxh3_64(&slot[..16]) == u64_at(slot, 16)).then(|| u64_at(slot, 8))
        };
        let claims = SYNCED_SLOT_AT.map(|at| claim(at).unwrap_or(0));
        let turn = usize::from(claims[0] > claims[1]);
        Ok((Self { file, turn }, Position(claims[0].max(claims[1]))))
    }

    /// True if neither slot verifies though something was written: a cut tears at most the one that was being written.
    pub fn is_damaged(files: &dyn Files, dir: &Path) -> Result<bool, StoreError> {
        let bytes = read_all(&*files.open(&dir.join(SYNCED_NAME))?)?;
        let slots = SYNCED_SLOT_AT.map(|at| bytes.get(at as usize..at as usize + SYNCED_SLOT_BYTES).unwrap_or(&[1]));
        let verifies = |slot: &&[u8]| {
            slot.len() == SYNCED_SLOT_BYTES && &slot[..8] == SYNCED_MAGIC && xxh3_64(&slot[..16]) == u64_at(slot, 16)
        };
        Ok(!slots.iter().any(verifies) && slots.iter().any(|slot| slot.iter().any(|byte| *byte != 0)))
    }

    /// Claims that everything before `position` is synced. Call it after the sync.
    pub fn claim(&mut self, position: Position) -> Result<(), StoreError> {
        let mut slot = [0; SYNCED_SLOT_BYTES];
        slot[0..8].copy_from_slice(SYNCED_MAGIC);
        slot[8..16].copy_from_slice(&position.0.to_le_bytes());
        let checksum = xxh3_64(&slot[..16]);
        slot[16..24].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_at(&slot, SYNCED_SLOT_AT[self.turn])?;
        self.turn = 1 - self.turn;
        Ok(())
    }
}
