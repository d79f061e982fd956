//! Gaps: ranges of keys that are known to hold no live row, so that whoever reads over a deleted range (a queue's head)
//! does not walk over its tombstones again. Found by readers, in memory only, bounded.
//!
//! Invariants:
//! - A gap with the number `since` holds no live key in any snapshot from `since` up to the newest published one: every
//!   group's puts are cut out of the gaps before the group is published, both under one lock.
//! - A reader that finds one watches its range first. A watch knows of every put into the range that is newer than the
//!   reader's snapshot: of those before it from the list of the newest puts, of later ones as they come.
//! - What removes rows and may bring older ones to light (whole files go) forgets the gaps of the range; a reader whose
//!   view may be from before that finds none.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Seqno;

/// Gaps that are remembered. Our reason: one for each queue that is read, a few KiB each at most.
const GAPS_MAX: usize = 256;
/// Puts that are remembered for readers that begin to watch. Our reason: many more than come while a reader walks over
/// the few tombstones after which it does.
const RECENT_PUTS_MAX: usize = 1024;
/// Puts into a watched range after which the watch is of no use. Our reason: bounds memory and cuts.
const WATCHED_PUTS_MAX: usize = 4096;

/// Keys from `from` on, below `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub from: Bytes,
    /// `None`: without an end.
    pub to: Option<Bytes>,
}

impl Range {
    fn contains(&self, key: &[u8]) -> bool {
        &self.from[..] <= key && self.to.as_ref().is_none_or(|to| key < &to[..])
    }

    fn overlaps(&self, from: &[u8], to: &[u8]) -> bool {
        &self.from[..] < to && self.to.as_ref().is_none_or(|end| from < &end[..])
    }
}

/// The key right behind `key`.
pub(super) fn behind(key: &[u8]) -> Bytes {
    Bytes::from([key, &[0]].concat())
}

#[derive(Debug)]
struct Gap {
    to: Bytes,
    since: Seqno,
    /// When it was found, counted.
    age: u64,
}

#[derive(Debug)]
struct Watched {
    range: Range,
    puts: Vec<Bytes>,
    useless: bool,
}

#[derive(Debug, Default)]
struct Inner {
    /// By `from`, without overlap.
    gaps: BTreeMap<Bytes, Gap>,
    recent: VecDeque<(Seqno, Bytes)>,
    /// Puts of groups up to this one may be missing in `recent`.
    forgotten: Seqno,
    watches: HashMap<u64, Watched>,
    counter: u64,
}

#[derive(Debug, Default)]
pub(super) struct Gaps {
    inner: Mutex<Inner>,
    /// How many gaps there are: most readers need not look.
    count: AtomicUsize,
    /// Counts what brings older rows to light.
    epoch: AtomicU64,
}

impl Gaps {
    /// To be read before a view is taken, for [`Gaps::watch`].
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Publishes a group, of which `puts` are the keys that it puts: stores its number while no gap holds any of them.
    pub fn publish(&self, published: &AtomicU64, seqno: Seqno, puts: Vec<Bytes>) {
        let mut inner = self.inner.lock();
        for key in puts {
            inner.cut(&key);
            for watch in inner.watches.values_mut().filter(|watch| watch.range.contains(&key)) {
                watch.note(&key);
            }
            inner.recent.push_back((seqno, key));
            if inner.recent.len() > RECENT_PUTS_MAX {
                inner.forgotten = inner.recent.pop_front().map_or(seqno, |(seqno, _)| seqno);
            }
        }
        self.count.store(inner.gaps.len(), Ordering::Relaxed);
        published.store(seqno, Ordering::Release);
    }

    /// The gap that holds `key` in a snapshot.
    pub fn find(&self, key: &[u8], snapshot: Seqno) -> Option<Range> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let inner = self.inner.lock();
        let (from, gap) =
            inner.gaps.range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key))).next_back()?;
        (key < &gap.to[..] && gap.since <= snapshot).then(|| Range { from: from.clone(), to: Some(gap.to.clone()) })
    }

    /// Begins to watch a range for a reader of `snapshot`. `None`: what was put since then is not known any more.
    pub fn watch(self: &Arc<Gaps>, range: Range, snapshot: Seqno, epoch: u64) -> Option<Watch> {
        let mut inner = self.inner.lock();
        if inner.forgotten > snapshot || self.epoch() != epoch {
            return None;
        }
        let mut watched = Watched { range, puts: Vec::new(), useless: false };
        for (_, key) in inner.recent.iter().rev().take_while(|(seqno, _)| *seqno > snapshot) {
            if watched.range.contains(key) {
                watched.note(key);
            }
        }
        inner.counter += 1;
        let id = inner.counter;
        inner.watches.insert(id, watched);
        Some(Watch { gaps: self.clone(), id, snapshot })
    }

    /// Forgets what is known of a range: rows of it may come to light.
    pub fn forget(&self, from: &[u8], to: &[u8]) {
        let mut inner = self.inner.lock();
        self.epoch.fetch_add(1, Ordering::Release);
        inner.gaps.retain(|start, gap| !(&start[..] < to && from < &gap.to[..]));
        for watch in inner.watches.values_mut().filter(|watch| watch.range.overlaps(from, to)) {
            watch.useless = true;
        }
        self.count.store(inner.gaps.len(), Ordering::Relaxed);
    }
}

impl Watched {
    fn note(&mut self, key: &Bytes) {
        if self.puts.len() < WATCHED_PUTS_MAX {
            self.puts.push(key.clone());
        } else {
            self.useless = true;
        }
    }
}

impl Inner {
    /// Cuts a key that is put out of the gap that holds it.
    fn cut(&mut self, key: &[u8]) {
        let Some((from, gap)) =
            self.gaps.range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(key))).next_back()
        else {
            return;
        };
        if key >= &gap.to[..] {
            return;
        }
        let from = from.clone();
        let Some(Gap { to, since, age }) = self.gaps.remove(&from) else { return };
        if from < key {
            self.gaps.insert(from, Gap { to: Bytes::copy_from_slice(key), since, age });
        }
        let rest = behind(key);
        if rest < to {
            self.gaps.insert(rest, Gap { to, since, age });
        }
        self.shrink();
    }

    /// Adds a gap, together with those that it meets.
    fn add(&mut self, mut from: Bytes, mut to: Bytes, mut since: Seqno) {
        let met: Vec<Bytes> = self
            .gaps
            .range::<[u8], _>((std::ops::Bound::Unbounded, std::ops::Bound::Included(&to[..])))
            .rev()
            .take_while(|(_, gap)| gap.to >= from)
            .map(|(start, _)| start.clone())
            .collect();
        for start in met {
            let Some(gap) = self.gaps.remove(&start) else { continue };
            from = from.min(start);
            to = to.max(gap.to);
            since = since.max(gap.since);
        }
        self.counter += 1;
        self.gaps.insert(from, Gap { to, since, age: self.counter });
        self.shrink();
    }

    /// Forgets the oldest gaps when there are too many.
    fn shrink(&mut self) {
        while self.gaps.len() > GAPS_MAX {
            let oldest = self.gaps.iter().min_by_key(|(_, gap)| gap.age).map(|(from, _)| from.clone());
            if let Some(oldest) = oldest {
                self.gaps.remove(&oldest);
            }
        }
    }
}

/// A range that is watched for a reader, until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    gaps: Arc<Gaps>,
    id: u64,
    snapshot: Seqno,
}

impl Watch {
    /// The reader has found no live row from `from` on, below `to`, which lie in the watched range.
    pub fn found(&self, from: Bytes, to: Bytes) {
        let mut inner = self.gaps.inner.lock();
        let Some(watched) = inner.watches.get(&self.id).filter(|watched| !watched.useless) else { return };
        debug_assert!(watched.range.from <= from && watched.range.to.as_ref().is_none_or(|end| to <= *end));
        let mut puts: Vec<Bytes> = watched.puts.iter().filter(|key| from <= **key && **key < to).cloned().collect();
        puts.sort_unstable();
        let mut start = from;
        for key in puts {
            if start < key {
                inner.add(start.clone(), key.clone(), self.snapshot);
            }
            start = start.max(behind(&key));
        }
        if start < to {
            inner.add(start, to, self.snapshot);
        }
        self.gaps.count.store(inner.gaps.len(), Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.gaps.inner.lock().watches.remove(&self.id);
    }
}
