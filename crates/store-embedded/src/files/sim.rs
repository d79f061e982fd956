//! A simulated disk: it remembers what was not synced, and a power cut decides sector by sector what is left of it.
//!
//! What it models: data is durable after `sync_data`, a name after `sync_dir`; an unsynced sector may survive in any of
//! the versions that it had since the last sync, in its old one, as zeros, or torn between two; sectors and files are
//! independent of each other, so later writes may survive where earlier ones are lost. The names in a directory survive
//! as a prefix of the unsynced changes (a journaling file system keeps their order). An unsynced length survives like a
//! sector. It counts syncs, fails operations on demand, can hold a sync back, and can lie about syncs (the planted bug
//! "acknowledged before synced"). It deliberately does not model a disk that loses what it has synced: see
//! [`SimFiles::flip_bit`] for that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{File, FileError, FileErrorKind, FileLock, FileOp, Files, SECTOR_BYTES};

/// What is left of one unsynced sector after the power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectorFate {
    /// The version that was synced last.
    Lost,
    /// The newest version.
    Kept,
    /// The version after so many of the unsynced writes (0 is `Lost`), for reordered and repeated writes.
    Version(usize),
    /// Zeros.
    Zeroed,
    /// So many bytes of the newest version, then the synced one.
    Torn(usize),
}

/// An unsynced thing whose fate a power cut decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The file.
    pub path: PathBuf,
    /// The sector's number in it.
    pub sector: u64,
    /// How many unsynced versions the sector has had.
    pub versions: usize,
}

/// An operation that shall fail.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operation.
    pub op: FileOp,
    /// Only on files whose path contains this text.
    pub path_part: String,
    /// After letting so many pass.
    pub after: usize,
    /// So many times.
    pub times: usize,
    /// As what: `Full` or `Other` (EIO) are the usual ones.
    pub kind: FileErrorKind,
}

/// A simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimFiles {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Clone, Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// Names as the running process sees them.
    names: BTreeMap<PathBuf, u64>,
    /// Names as they are on the disk.
    durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since the last sync of their directory, in order.
    name_changes: Vec<NameChange>,
    locks: Vec<PathBuf>,
    faults: Vec<Fault>,
    room_bytes: Option<u64>,
    off: bool,
    lying: bool,
    holding: bool,
    held: usize,
    syncs: u64,
    bytes_read: u64,
    sync_counts: BTreeMap<PathBuf, u64>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    /// Versions of each sector since the last sync, oldest first.
    unsynced: BTreeMap<u64, Vec<[u8; SECTOR_BYTES]>>,
}

impl Inode {
    fn sector_of(data: &[u8], sector: u64) -> [u8; SECTOR_BYTES] {
        let mut bytes = [0; SECTOR_BYTES];
        let start = (sector as usize * SECTOR_BYTES).min(data.len());
        let end = (start + SECTOR_BYTES).min(data.len());
        bytes[..end - start].copy_from_slice(&data[start..end]);
        bytes
    }

    fn write(&mut self, bytes: &[u8], offset: u64) {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[start..end].copy_from_slice(bytes);
        for sector in offset / SECTOR_BYTES as u64..(end as u64).div_ceil(SECTOR_BYTES as u64) {
            let version = Self::sector_of(&self.data, sector);
            self.unsynced.entry(sector).or_default().push(version);
        }
    }

    /// Only the sectors that were written are copied, so that a sync costs what was written since the last.
    fn sync(&mut self) {
        self.durable.resize(self.data.len(), 0);
        for (sector, _) in std::mem::take(&mut self.unsynced) {
            let start = (sector as usize * SECTOR_BYTES).min(self.data.len());
            let end = (start + SECTOR_BYTES).min(self.data.len());
            self.durable[start..end].copy_from_slice(&self.data[start..end]);
        }
    }

    fn survive(&self, path: &Path, fate: &mut dyn FnMut(&Pending) -> SectorFate) -> Vec<u8> {
        let mut left = self.durable.clone();
        for (sector, versions) in &self.unsynced {
            let pending = Pending { path: path.to_path_buf(), sector: *sector, versions: versions.len() };
            let old = Self::sector_of(&self.durable, *sector);
            let newest = versions.last().copied().unwrap_or(old);
            let bytes = match fate(&pending) {
                SectorFate::Lost | SectorFate::Version(0) => continue,
                SectorFate::Kept => newest,
                SectorFate::Version(n) => versions[n.min(versions.len()) - 1],
                SectorFate::Zeroed => [0; SECTOR_BYTES],
                SectorFate::Torn(n) => {
                    let mut torn = old;
                    torn[..n.min(SECTOR_BYTES)].copy_from_slice(&newest[..n.min(SECTOR_BYTES)]);
                    torn
                }
            };
            let start = *sector as usize * SECTOR_BYTES;
            // The file's end is the process's: a sector beyond it was cut off again.
            let end = (start + SECTOR_BYTES).min(self.data.len().max(self.durable.len()));
            if start < end {
                if left.len() < end {
                    left.resize(end, 0);
                }
                left[start..end].copy_from_slice(&bytes[..end - start]);
            }
        }
        left
    }
}

impl Default for SimFiles {
    fn default() -> Self {
        Self::new()
    }
}

impl SimFiles {
    /// An empty disk.
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared::default()) }
    }

    /// The disk as a power cut now would leave it, as a new disk; this one goes on. `fate` decides each unsynced
    /// sector; of the unsynced changes of names the first `names_kept` survive.
    pub fn survivor(&self, names_kept: usize, fate: &mut dyn FnMut(&Pending) -> SectorFate) -> SimFiles {
        let state = self.shared.state.lock();
        let mut names = state.durable_names.clone();
        for change in state.name_changes.iter().take(names_kept) {
            change.apply(&mut names);
        }
        let mut left = State { next_inode: state.next_inode, room_bytes: state.room_bytes, ..State::default() };
        for (path, number) in &names {
            let data = state.inodes[number].survive(path, fate);
            let inode = Inode { durable: data.clone(), data, unsynced: BTreeMap::new() };
            left.inodes.insert(*number, inode);
        }
        left.durable_names = names.clone();
        left.names = names;
        SimFiles { shared: Arc::new(Shared { state: Mutex::new(left), released: Condvar::new() }) }
    }

    /// The disk as after `kill -9`: everything that was written is there, and what was not synced is still not synced.
    pub fn killed(&self) -> SimFiles {
        let mut state = self.shared.state.lock().clone();
        state.locks.clear();
        state.faults.clear();
        (state.holding, state.lying, state.off, state.held) = (false, false, false, 0);
        SimFiles { shared: Arc::new(Shared { state: Mutex::new(state), released: Condvar::new() }) }
    }

    /// How many changes of names are not synced.
    pub fn names_pending(&self) -> usize {
        self.shared.state.lock().name_changes.len()
    }

    /// The unsynced sectors, in the order in which [`SimFiles::survivor`] asks for them.
    pub fn pending(&self) -> Vec<Pending> {
        let mut found = Vec::new();
        self.survivor(usize::MAX, &mut |pending| {
            found.push(pending.clone());
            SectorFate::Lost
        });
        found
    }

    /// Turns this disk off: every further operation fails, and held syncs end with an error.
    pub fn power_off(&self) {
        self.shared.state.lock().off = true;
        self.shared.released.notify_all();
    }

    /// Syncs of data so far.
    pub fn syncs(&self) -> u64 {
        self.shared.state.lock().syncs
    }

    /// Syncs of data of files whose path contains `part`.
    pub fn syncs_of(&self, part: &str) -> u64 {
        let state = self.shared.state.lock();
        state.sync_counts.iter().filter(|(path, _)| path.to_string_lossy().contains(part)).map(|(_, n)| n).sum()
    }

    /// Makes an operation fail.
    pub fn inject(&self, fault: Fault) {
        self.shared.state.lock().faults.push(fault);
    }

    /// Takes back every injected fault.
    pub fn clear_faults(&self) {
        self.shared.state.lock().faults.clear();
    }

    /// Bounds the sum of all files' lengths; `None` lifts the bound.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.shared.state.lock().room_bytes = bytes;
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.shared.state.lock().bytes_read
    }

    /// The sum of all files' lengths.
    pub fn used_bytes(&self) -> u64 {
        self.shared.state.lock().used_bytes()
    }

    /// From now on `sync_data` answers without making anything durable: the planted bug "acknowledged before synced",
    /// which a power-cut test must catch.
    pub fn lie_about_syncs(&self, lying: bool) {
        self.shared.state.lock().lying = lying;
    }

    /// Holds back every `sync_data` until [`SimFiles::release_syncs`], to see what happens before a sync is done.
    pub fn hold_syncs(&self) {
        self.shared.state.lock().holding = true;
    }

    /// Waits until a sync is held back, at most so long; says whether one is.
    pub fn wait_for_held_sync(&self, within: std::time::Duration) -> bool {
        let mut state = self.shared.state.lock();
        self.shared.released.wait_while_for(&mut state, |state| state.held == 0, within);
        state.held > 0
    }

    /// Lets held syncs go on.
    pub fn release_syncs(&self) {
        self.shared.state.lock().holding = false;
        self.shared.released.notify_all();
    }

    /// The paths of all files.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.shared.state.lock().names.keys().cloned().collect()
    }

    /// The content of a file as the process sees it.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.shared.state.lock();
        state.names.get(path).map(|number| state.inodes[number].data.clone())
    }

    /// Replaces a file's content, durably: damage from outside.
    pub fn overwrite(&self, path: &Path, data: Vec<u8>) {
        let mut state = self.shared.state.lock();
        if let Some(number) = state.names.get(path).copied() {
            state.inodes.insert(number, Inode { durable: data.clone(), data, unsynced: BTreeMap::new() });
        }
    }

    /// Flips a bit of what is stored: damage from outside.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) {
        let mut state = self.shared.state.lock();
        if let Some(number) = state.names.get(path).copied()
            && let Some(inode) = state.inodes.get_mut(&number)
        {
            for data in [&mut inode.data, &mut inode.durable] {
                if let Some(byte) = data.get_mut(offset as usize) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            NameChange::Link(path, number) => {
                names.insert(path.clone(), *number);
            }
            NameChange::Unlink(path) => {
                names.remove(path);
            }
            NameChange::Rename(from, to) => {
                if let Some(number) = names.remove(from) {
                    names.insert(to.clone(), number);
                }
            }
        }
    }

    fn touches(&self, dir: &Path) -> bool {
        let (NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(path, _)) = self;
        path.parent() == Some(dir)
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.names.values().map(|number| self.inodes[number].data.len() as u64).sum()
    }

    fn check(&mut self, op: FileOp, path: &Path) -> Result<(), FileError> {
        if self.off {
            return Err(fail(op, path, FileErrorKind::Other, "the power is off"));
        }
        let text = path.to_string_lossy();
        for fault in self.faults.iter_mut().filter(|fault| fault.op == op && text.contains(&fault.path_part)) {
            if fault.after > 0 {
                fault.after -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                let reason = match fault.kind {
                    FileErrorKind::Full => "No space left on device (os error 28)",
                    _ => "Input/output error (os error 5)",
                };
                return Err(fail(op, path, fault.kind, reason));
            }
        }
        Ok(())
    }

    fn room_for(&self, op: FileOp, path: &Path, more: u64) -> Result<(), FileError> {
        match self.room_bytes {
            Some(room) if more > 0 && self.used_bytes() + more > room => {
                Err(fail(op, path, FileErrorKind::Full, "No space left on device (os error 28)"))
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }
}

fn fail(op: FileOp, path: &Path, kind: FileErrorKind, reason: &str) -> FileError {
    FileError { op, path: path.to_path_buf(), kind, reason: reason.to_owned() }
}

#[derive(Debug)]
struct SimFile {
    shared: Arc<Shared>,
    inode: u64,
    path: PathBuf,
    read_only: bool,
}

#[derive(Debug)]
struct SimLock {
    shared: Arc<Shared>,
    path: PathBuf,
}

impl FileLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.shared.state.lock().locks.retain(|held| *held != self.path);
    }
}

impl SimFiles {
    fn handle(&self, inode: u64, path: &Path) -> Arc<dyn File> {
        Arc::new(SimFile { shared: self.shared.clone(), inode, path: path.to_path_buf(), read_only: false })
    }
}

impl Files for SimFiles {
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::Open, path)?;
        match state.names.get(path) {
            Some(inode) => Ok(self.handle(*inode, path)),
            None => Err(fail(FileOp::Open, path, FileErrorKind::NotFound, "No such file or directory (os error 2)")),
        }
    }

    fn open_to_read(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::Open, path)?;
        match state.names.get(path) {
            Some(inode) => Ok(Arc::new(SimFile {
                shared: self.shared.clone(),
                inode: *inode,
                path: path.to_path_buf(),
                read_only: true,
            })),
            None => Err(fail(FileOp::Open, path, FileErrorKind::NotFound, "No such file or directory (os error 2)")),
        }
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::Create, path)?;
        if state.names.contains_key(path) {
            return Err(fail(FileOp::Create, path, FileErrorKind::Exists, "File exists (os error 17)"));
        }
        let inode = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(inode, Inode::default());
        state.change(NameChange::Link(path.to_path_buf(), inode));
        Ok(self.handle(inode, path))
    }

    fn create_dir(&self, path: &Path) -> Result<(), FileError> {
        self.shared.state.lock().check(FileOp::CreateDir, path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::List, dir)?;
        let names = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(names.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::Rename, from)?;
        if !state.names.contains_key(from) {
            return Err(fail(FileOp::Rename, from, FileErrorKind::NotFound, "No such file or directory (os error 2)"));
        }
        state.change(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::Remove, path)?;
        if !state.names.contains_key(path) {
            return Err(fail(FileOp::Remove, path, FileErrorKind::NotFound, "No such file or directory (os error 2)"));
        }
        state.change(NameChange::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::SyncDir, dir)?;
        if state.lying {
            return Ok(());
        }
        let (synced, waiting) = std::mem::take(&mut state.name_changes).into_iter().partition(|c| c.touches(dir));
        state.name_changes = waiting;
        let synced: Vec<NameChange> = synced;
        for change in synced {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn room(&self, _dir: &Path) -> Option<u64> {
        let state = self.shared.state.lock();
        state.room_bytes.map(|room| room.saturating_sub(state.used_bytes()))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn FileLock>, FileError> {
        let mut state = self.shared.state.lock();
        state.check(FileOp::Lock, path)?;
        if state.locks.iter().any(|held| held == path) {
            return Err(fail(FileOp::Lock, path, FileErrorKind::Locked, "Resource temporarily unavailable"));
        }
        state.locks.push(path.to_path_buf());
        Ok(Box::new(SimLock { shared: self.shared.clone(), path: path.to_path_buf() }))
    }

    fn is_locked(&self, path: &Path) -> Result<bool, FileError> {
        Ok(self.shared.state.lock().locks.iter().any(|held| held == path))
    }
}

impl SimFile {
    fn with<T>(&self, op: FileOp, act: impl FnOnce(&mut State) -> Result<T, FileError>) -> Result<T, FileError> {
        let mut state = self.shared.state.lock();
        state.check(op, &self.path)?;
        if self.read_only && matches!(op, FileOp::Write | FileOp::SetLen) {
            return Err(fail(op, &self.path, FileErrorKind::Other, "Bad file descriptor (os error 9)"));
        }
        act(&mut state)
    }

    fn grow(&self, state: &State, op: FileOp, end: u64) -> Result<(), FileError> {
        let len = state.inodes[&self.inode].data.len() as u64;
        state.room_for(op, &self.path, end.saturating_sub(len))
    }
}

impl File for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn size(&self) -> Result<u64, FileError> {
        self.with(FileOp::Len, |state| Ok(state.inodes[&self.inode].data.len() as u64))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), FileError> {
        self.with(FileOp::Read, |state| {
            let data = &state.inodes[&self.inode].data;
            let start = offset as usize;
            let Some(found) = data.get(start..start + buf.len()) else {
                return Err(fail(FileOp::Read, &self.path, FileErrorKind::Short, "failed to fill whole buffer"));
            };
            buf.copy_from_slice(found);
            state.bytes_read += buf.len() as u64;
            Ok(())
        })
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<(), FileError> {
        self.with(FileOp::Write, |state| {
            self.grow(state, FileOp::Write, offset + data.len() as u64)?;
            if let Some(inode) = state.inodes.get_mut(&self.inode) {
                inode.write(data, offset);
            }
            Ok(())
        })
    }

    fn zero_fill(&self, offset: u64, len: u64) -> Result<(), FileError> {
        self.write_at(&vec![0; len as usize], offset)
    }

    fn set_len(&self, len: u64) -> Result<(), FileError> {
        self.with(FileOp::SetLen, |state| {
            self.grow(state, FileOp::SetLen, len)?;
            if let Some(inode) = state.inodes.get_mut(&self.inode) {
                inode.data.resize(len as usize, 0);
            }
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), FileError> {
        let mut state = self.shared.state.lock();
        if state.holding && !state.off {
            state.held += 1;
            self.shared.released.notify_all();
            while state.holding && !state.off {
                self.shared.released.wait(&mut state);
            }
            state.held -= 1;
        }
        state.check(FileOp::Sync, &self.path)?;
        state.syncs += 1;
        *state.sync_counts.entry(self.path.clone()).or_default() += 1;
        if !state.lying
            && let Some(inode) = state.inodes.get_mut(&self.inode)
        {
            inode.sync();
        }
        Ok(())
    }
}
