//! A page that is read in turns: it stops when its effort is spent and goes on where it stopped, perhaps on another
//! thread, at the same point in time.
//!
//! Deleted rows that it walks over in number are remembered as a gap (`gaps`), and gaps are jumped over.

use std::ops::Bound;

use bytes::Bytes;

use super::effort::{Effort, ROW_BYTES_PER_STEP, Stop};
use super::gaps::{Range, Watch, behind};
use super::merge::{Bounds, Merge};
use super::{Snapshot, Tree};
use tailrace_store::{Key, KeyRange, Page, PageLimit, StoreError};

/// Deleted keys in a row after which it is worth to remember them.
const DEAD_KEYS_MIN: u32 = 32;

/// Rows that a page has room for from its start.
const ROWS_EXPECTED_MAX: usize = 128;

/// A page that is being read.
pub(crate) struct Paging {
    snapshot: Snapshot,
    /// What is left of the range.
    bounds: Bounds,
    reverse: bool,
    limit: PageLimit,
    cost: usize,
    page: Page,
    dead: Dead,
    watch: Option<Watch>,
    /// How many turns it takes at once, so that it comes further each time.
    turns: u64,
}

/// The deleted keys that the page has come to since the last live one.
#[derive(Default)]
struct Dead {
    /// How many of them were walked over.
    keys: u32,
    /// Those that were walked over since the last jump.
    stepped: u32,
    /// What holds no live row: from the lower key on, below the upper one. Both empty: there is nothing.
    from: Vec<u8>,
    to: Vec<u8>,
}

/// Why a walk ended.
enum Walked {
    /// The page is complete.
    Done,
    /// Its bounds have moved over a gap.
    Jumped,
}

impl Paging {
    /// Begins to read a page of the newest published group.
    pub fn new(tree: &Tree, range: KeyRange, limit: PageLimit) -> Paging {
        Paging::at(tree.snapshot(), range, limit)
    }

    /// Begins to read a page at a point in time.
    pub fn at(snapshot: Snapshot, range: KeyRange, limit: PageLimit) -> Paging {
        let KeyRange { start, end, reverse } = range;
        let bounds = Bounds { start, end };
        let rows = Vec::with_capacity(limit.rows_max.min(ROWS_EXPECTED_MAX));
        let page = Page { rows, at: snapshot.point(), limited: false };
        let dead = Dead::default();
        Paging { snapshot, bounds, reverse, limit, cost: 0, page, dead, watch: None, turns: 1 }
    }

    /// Reads on. True: the page is complete.
    pub fn run(&mut self, tree: &Tree, effort: &mut Effort) -> Result<bool, StoreError> {
        loop {
            let walked = self.walk(tree, effort);
            #[cfg(test)]
            tree.hooks.took(effort);
            match walked {
                Ok(Walked::Jumped) => {}
                Ok(Walked::Done) => {
                    self.remember();
                    return Ok(true);
                }
                Err(Stop::Aside) => {
                    self.remember();
                    return Ok(false);
                }
                Err(stop) => return Err(tree.failed(stop)),
            }
        }
    }

    /// Reads on for a turn on a reader thread. True: the page is complete.
    pub fn run_turn(&mut self, tree: &Tree) -> Result<bool, StoreError> {
        let before = self.bounds.clone();
        let done = self.run(tree, &mut Effort::turns(self.turns))?;
        if self.bounds == before {
            // Each turn begins with a block of every run. If that alone is more than a turn, and the cache does not keep
            // what was read for it, further ones would come no further either.
            self.turns = self.turns.saturating_mul(2);
        }
        Ok(done)
    }

    #[cfg(test)]
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// The page, once it is complete.
    pub fn into_page(self) -> Page {
        self.page
    }

    fn walk(&mut self, tree: &Tree, effort: &mut Effort) -> Result<Walked, Stop> {
        let (view, bounds) = (self.snapshot.view.clone(), self.bounds.clone());
        let guard = crossbeam_epoch::pin();
        let mut rows = view.merge(&bounds, (self.snapshot.seqno, self.reverse), &guard, effort)?;
        let walked = self.take(tree, &mut rows, effort);
        if matches!(walked, Err(Stop::Aside)) {
            self.bounds.clone_from(&self.left(&bounds));
        }
        walked
    }

    /// What is left of the bounds behind the last key that was passed.
    fn left(&self, bounds: &Bounds) -> Bounds {
        let mut left = bounds.clone();
        let edge = match (self.dead.is_empty(), self.reverse, self.page.rows.last()) {
            (false, false, _) => Bound::Included(Bytes::copy_from_slice(&self.dead.to)),
            (false, true, _) => Bound::Excluded(Bytes::copy_from_slice(&self.dead.from)),
            (true, _, Some((key, _))) => Bound::Excluded(key.0.clone()),
            (true, _, None) => return left,
        };
        if self.reverse {
            left.end = edge;
        } else {
            left.start = edge;
        }
        left
    }

    fn take(&mut self, tree: &Tree, rows: &mut Merge<'_, '_>, effort: &mut Effort) -> Result<Walked, Stop> {
        while let Some(key) = rows.key() {
            if rows.is_alive() {
                if self.page.rows.len() >= self.limit.rows_max || self.cost >= self.limit.cost_max {
                    self.page.limited = true;
                    break;
                }
                let Some((key, value)) = rows.row() else { break };
                // Before anything is forgotten: a stop here goes on behind the deleted keys.
                effort.take(value.len() as u64 / ROW_BYTES_PER_STEP)?;
                self.remember();
                self.dead.clear();
                self.cost = self.cost.saturating_add((self.limit.cost)(&key, &value));
                self.page.rows.push((Key(key), value));
            } else {
                if self.dead.stepped.is_multiple_of(DEAD_KEYS_MIN)
                    && let Some(gap) = tree.gaps.find(key, self.snapshot.seqno)
                {
                    self.jump(gap);
                    return Ok(Walked::Jumped);
                }
                self.dead.step(key, self.reverse);
                if self.dead.keys == DEAD_KEYS_MIN && self.watch.is_none() {
                    self.watch = tree.gaps.watch(
                        self.dead.and_on(self.reverse, &self.bounds),
                        self.snapshot.seqno,
                        self.snapshot.epoch,
                    );
                }
            }
            rows.advance(effort)?;
        }
        Ok(Walked::Done)
    }

    /// Moves the bounds over a gap. What of it lies behind the range is not watched, and is no part of what was passed.
    fn jump(&mut self, gap: Range) {
        let Range { from, to: Some(to) } = gap else { return };
        let range = range_of(&self.bounds);
        let (first, near, far) = (self.dead.is_empty(), from.clone(), to.clone());
        self.dead.stepped = 0;
        if self.reverse {
            let from = from.max(range.from);
            self.dead.extend(Some(&from[..]), first.then_some(&far[..]));
            self.bounds.end = Bound::Excluded(from);
        } else {
            let to = range.to.map_or(to.clone(), |end| to.min(end));
            self.dead.extend(first.then_some(&near[..]), Some(&to[..]));
            self.bounds.start = Bound::Included(to);
        }
    }

    /// Makes the deleted keys that were passed known to other readers, if there are enough of them.
    fn remember(&self) {
        if let Some(watch) = self.watch.as_ref().filter(|_| self.dead.keys >= DEAD_KEYS_MIN) {
            watch.found(Bytes::copy_from_slice(&self.dead.from), Bytes::copy_from_slice(&self.dead.to));
        }
    }
}

impl Dead {
    fn is_empty(&self) -> bool {
        self.to.is_empty()
    }

    fn clear(&mut self) {
        (self.keys, self.stepped) = (0, 0);
        self.from.clear();
        self.to.clear();
    }

    /// Passes a deleted key.
    fn step(&mut self, key: &[u8], reverse: bool) {
        self.keys += 1;
        self.stepped += 1;
        let first = self.is_empty();
        self.extend((first || reverse).then_some(key), None);
        if first || !reverse {
            self.to.clear();
            self.to.extend_from_slice(key);
            // The key right behind this one.
            self.to.push(0);
        }
    }

    fn extend(&mut self, from: Option<&[u8]>, to: Option<&[u8]>) {
        for (edge, new) in [(&mut self.from, from), (&mut self.to, to)] {
            if let Some(new) = new {
                edge.clear();
                edge.extend_from_slice(new);
            }
        }
    }

    /// What was passed, and what is left of the range.
    fn and_on(&self, reverse: bool, bounds: &Bounds) -> Range {
        let range = range_of(bounds);
        match reverse {
            true => Range { from: range.from, to: Some(Bytes::copy_from_slice(&self.to)) },
            false => Range { from: Bytes::copy_from_slice(&self.from), to: range.to },
        }
    }
}

fn range_of(bounds: &Bounds) -> Range {
    let from = match &bounds.start {
        Bound::Included(start) => start.clone(),
        Bound::Excluded(start) => behind(start),
        Bound::Unbounded => Bytes::new(),
    };
    let to = match &bounds.end {
        Bound::Included(end) => Some(behind(end)),
        Bound::Excluded(end) => Some(end.clone()),
        Bound::Unbounded => None,
    };
    Range { from, to }
}
