//! Which segments there are and where each shard's runs are.
//!
//! Invariants: the runs of a shard are kept in the order of their numbers and never overlap; a run that was moved takes
//! its source's place in one step; nothing counts as dead before the shards and the tree's position are known.

use std::collections::{BTreeMap, HashMap};

use tailrace_core::Lsn;

use super::chain::Freed;
use super::frame::Header;
use super::index::Run;
use super::segment::{Noted, Segment};
use tailrace_store::ShardNo;

/// A run's place: segment, and its position among that segment's runs.
pub(super) type RunAt = (u64, usize);

#[derive(Debug, Default)]
pub(super) struct Directory {
    pub segments: BTreeMap<u64, Segment>,
    shards: HashMap<ShardNo, BTreeMap<Lsn, RunAt>>,
    horizons: Option<BTreeMap<ShardNo, Lsn>>,
    persisted: Lsn,
}

impl Directory {
    pub fn new(segments: BTreeMap<u64, Segment>, persisted: Lsn) -> Self {
        let mut directory = Self { segments, persisted, ..Self::default() };
        let sources: Vec<u64> =
            directory.segments.values().flat_map(|segment| segment.index.sources.iter().copied()).collect();
        for source in sources {
            if let Some(segment) = directory.segments.get_mut(&source) {
                segment.superseded = true;
            }
        }
        for (number, segment) in &directory.segments {
            for (i, run) in segment.index.runs.iter().enumerate().filter(|_| !segment.superseded) {
                directory.shards.entry(run.shard).or_default().insert(run.first, (*number, i));
            }
        }
        directory
    }

    pub fn set_horizons(&mut self, horizons: BTreeMap<ShardNo, Lsn>) {
        self.horizons = Some(horizons);
    }

    pub fn set_horizon(&mut self, shard: ShardNo, horizon: Lsn) {
        let at = self.horizons.get_or_insert_default().entry(shard).or_default();
        *at = (*at).max(horizon);
    }

    pub fn drop_shard(&mut self, shard: ShardNo) {
        self.horizons.get_or_insert_default().remove(&shard);
    }

    pub fn set_persisted(&mut self, lsn: Lsn) {
        self.persisted = self.persisted.max(lsn);
    }

    pub fn horizon(&self, shard: ShardNo) -> Lsn {
        self.horizons.as_ref().and_then(|all| all.get(&shard)).copied().unwrap_or(Lsn::ZERO)
    }

    pub fn usage(&self) -> (usize, u64) {
        (self.segments.len(), self.segments.values().map(|segment| segment.bytes).sum())
    }

    pub fn run(&self, at: RunAt) -> Option<&Run> {
        self.segments.get(&at.0)?.index.runs.get(at.1)
    }

    /// The last run of `shard` for which `wanted` holds (a prefix of its runs).
    pub fn last_run(&self, shard: ShardNo, wanted: impl Fn(&Run) -> bool) -> Option<RunAt> {
        self.shards.get(&shard)?.values().rev().copied().find(|at| self.run(*at).is_some_and(&wanted))
    }

    /// The first run of `shard` that holds numbers above `after`: the last one that begins at or before it, or the next.
    pub fn run_after(&self, shard: ShardNo, after: Lsn) -> Option<RunAt> {
        let runs = self.shards.get(&shard)?;
        let before = runs.range(..=after).next_back().map(|(_, at)| *at);
        match before.filter(|at| self.run(*at).is_some_and(|run| run.last > after)) {
            Some(at) => Some(at),
            None => runs.range(after.next()..).next().map(|(_, at)| *at),
        }
    }

    /// Adds a synced frame to its segment, and its runs to their shards.
    pub fn note(&mut self, number: u64, offset: u64, header: &Header, content: &Noted) {
        let segment = self.segments.get_mut(&number).expect("invariant: the writer's segment is in the directory");
        let begun = segment.note(offset, header, content);
        if let Noted::Moved(source, _) = content {
            self.supersede(*source);
        }
        for i in begun {
            if let Some(run) = self.run((number, i)) {
                let (shard, first) = (run.shard, run.first);
                self.shards.entry(shard).or_default().insert(first, (number, i));
            }
        }
    }

    fn supersede(&mut self, source: u64) {
        let Some(segment) = self.segments.get_mut(&source) else { return };
        segment.superseded = true;
        for run in &segment.index.runs {
            if let Some(runs) = self.shards.get_mut(&run.shard) {
                runs.retain(|_, at| at.0 != source);
            }
        }
    }

    /// Takes a segment out; its runs are readable no more.
    pub fn remove(&mut self, number: u64) -> Option<Segment> {
        self.supersede(number);
        let removed = self.segments.remove(&number);
        self.shards.retain(|_, runs| !runs.is_empty());
        removed
    }

    fn is_live(&self, run: &Run) -> bool {
        self.horizons.as_ref().is_none_or(|all| all.get(&run.shard).is_some_and(|horizon| run.last >= *horizon))
    }

    /// Live runs of a segment, with the shard's horizon.
    pub fn live_runs(&self, number: u64) -> Vec<(RunAt, Run, Lsn)> {
        let Some(segment) = self.segments.get(&number) else { return Vec::new() };
        let runs = segment.index.runs.iter().enumerate().filter(|(_, run)| self.is_live(run));
        runs.map(|(i, run)| ((number, i), run.clone(), self.horizon(run.shard))).collect()
    }

    /// Sealed segments whose every frame is in the tree, without the newest segment that holds frames: what the log
    /// ends with must stay, since it shows that nothing behind it is missing.
    fn settled(&self) -> impl Iterator<Item = (u64, &Segment)> {
        let newest = self.segments.iter().rev().find(|(_, segment)| !segment.is_empty()).map(|(n, _)| *n);
        let all = if self.horizons.is_some() { Some(&self.segments) } else { None };
        all.into_iter().flatten().map(|(number, segment)| (*number, segment)).filter(move |(number, segment)| {
            segment.sealed && !segment.is_empty() && segment.index.last <= self.persisted && Some(*number) != newest
        })
    }

    /// Sealed segments without a frame: the first frame was larger than the segment, or a crash came before it.
    pub fn empty(&self) -> Vec<u64> {
        let empty = self.segments.iter().filter(|(_, segment)| segment.sealed && segment.is_empty());
        empty.map(|(number, _)| *number).collect()
    }

    /// Segments that nothing needs any more, oldest first. Opening reads the frames from the first segment without an
    /// index on, and nothing may be missing there: so none is dead behind one that has no index yet.
    pub fn dead(&self, max: usize) -> Vec<u64> {
        let unindexed =
            self.segments.iter().find(|(_, segment)| !segment.indexed && !segment.superseded && !segment.is_empty());
        let unindexed = unindexed.map_or(u64::MAX, |(number, _)| *number);
        let dead = self
            .settled()
            .filter(|(_, segment)| segment.superseded || !segment.index.runs.iter().any(|run| self.is_live(run)));
        dead.map(|(number, _)| number).filter(|number| *number < unindexed).take(max).collect()
    }

    /// What is freed once these segments are, too; they are in order.
    pub fn freed_with(&self, before: Freed, dead: &[u64]) -> Freed {
        let mut freed = before;
        for segment in dead.iter().filter_map(|number| self.segments.get(number)) {
            let index = &segment.index;
            freed.last = freed.last.max(index.last);
            if index.segment > freed.segment {
                (freed.segment, freed.checksum) = (index.segment, index.last_checksum);
            }
        }
        let kept = self.segments.range(..freed.segment).filter(|(number, _)| dead.binary_search(number).is_err());
        freed.kept_below = kept.count() as u64;
        freed
    }

    /// Segments of whose bytes less than `percent` are live, and at most `bytes_max`, oldest first.
    pub fn cleanable(&self, percent: u64, bytes_max: u64) -> Vec<u64> {
        let few = self.settled().filter(|(_, segment)| {
            let runs = segment.index.runs.iter().filter(|run| self.is_live(run));
            let live: u64 = runs.map(|run| self.live_bytes(run)).sum();
            segment.indexed && !segment.superseded && live <= bytes_max && live * 100 < percent * segment.index.end
        });
        few.map(|(number, _)| number).collect()
    }

    /// An estimate for the run that the horizon cuts: its records are taken to be spread evenly over its numbers.
    fn live_bytes(&self, run: &Run) -> u64 {
        let horizon = self.horizon(run.shard).0;
        let (first, last) = (run.first.0, run.last.0);
        if horizon <= first {
            return run.bytes;
        }
        let share = u128::from((last + 1).saturating_sub(horizon)) * u128::from(run.bytes);
        (share / u128::from(last - first + 1)) as u64
    }
}
