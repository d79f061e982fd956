//! Which segments there are, where each shard's runs are, and which of them are still needed.
//!
//! A run is found by its shard and its origin, the segment that its records were appended in; origins are in the order of
//! their numbers and times, so a place in a shard is found by looking for the origin. Where the records of an origin are now,
//! in that segment or in one that they were moved to, is one entry here. The runs themselves are in the index files.
//!
//! Invariants: what is noted for a shard are its live runs and no others, but for those that died since the keeper looked;
//! a segment knows how many live runs it has; runs that are moved take their source's place in one step; nothing counts as
//! dead before the shards and the tree's position are known. What a group or a tick costs here grows with what it changes
//! and at most with the logarithm of the number of segments.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tailrace_core::{EpochMs, Lsn};

use super::chain::Freed;
use super::frame::{Header, Position, SegmentNo};
use super::index::{Origin, Run, RunAt};
use super::looked::LookedMap;
use super::postings::Postings;
use super::segment::{Noted, Segment};
use tailrace_store::{ShardNo, StoreError};

/// Runs that are looked at while the directory is locked once.
const RUNS_AT_ONCE: usize = 1024;

/// Records that were appended in one segment.
#[derive(Debug)]
struct Placed {
    origin: Origin,
    /// The segment that they are in now.
    host: SegmentNo,
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    segments: LookedMap<SegmentNo, Segment>,
    origins: LookedMap<SegmentNo, Placed>,
    by_first: BTreeMap<Lsn, SegmentNo>,
    by_time: BTreeSet<(EpochMs, SegmentNo)>,
    shards: HashMap<ShardNo, Postings>,
    horizons: Option<BTreeMap<ShardNo, Lsn>>,
    persisted: Lsn,
    /// Shards whose horizon has moved since the keeper looked for runs that are dead now.
    moved_horizons: BTreeSet<ShardNo>,
    /// The first of them, if it was looked at in part, and the origin that comes next.
    looked_up_to: Option<(ShardNo, SegmentNo)>,
    /// Shards that may have dead runs in segments without an index: looked at again when there is one.
    later: BTreeSet<ShardNo>,
    /// Indexed segments of which something died since the cleaner looked at them.
    stale: BTreeSet<SegmentNo>,
    /// Indexed segments without a live run.
    idle: BTreeSet<SegmentNo>,
    unindexed: BTreeSet<SegmentNo>,
    bytes: u64,
}

impl Directory {
    /// `keys`: the runs in the index of a segment.
    pub fn new(
        segments: BTreeMap<SegmentNo, Segment>,
        persisted: Lsn,
        mut keys: impl FnMut(SegmentNo) -> Result<Vec<RunAt>, StoreError>,
    ) -> Result<Self, StoreError> {
        let mut directory = Self { persisted, ..Self::default() };
        let mut sources = BTreeSet::new();
        // Backwards, so that it is known of each segment whether its records were moved to a later one.
        for (number, mut segment) in segments.into_iter().rev() {
            sources.extend(segment.index.sources.iter().copied());
            segment.superseded = sources.contains(&number);
            if !segment.superseded {
                segment.index.origins.iter().for_each(|origin| directory.place(*origin, number));
                let runs = if segment.indexed { keys(number)? } else { segment.runs.keys().collect() };
                for at in runs {
                    let is_new = directory.shards.entry(at.shard).or_default().insert(at.origin);
                    segment.live_runs += usize::from(is_new);
                }
            }
            directory.insert(number, segment);
        }
        Ok(directory)
    }

    fn place(&mut self, origin: Origin, host: SegmentNo) {
        self.by_first.insert(origin.first, origin.number);
        self.by_time.insert((origin.first_time_ms, origin.number));
        self.origins.insert(origin.number, Placed { origin, host });
    }

    fn displace(&mut self, number: SegmentNo) {
        if let Some(Placed { origin, .. }) = self.origins.remove(&number) {
            self.by_first.remove(&origin.first);
            self.by_time.remove(&(origin.first_time_ms, number));
        }
    }

    /// Adds a segment.
    pub fn insert(&mut self, number: SegmentNo, segment: Segment) {
        self.bytes += segment.bytes;
        match segment.indexed {
            true => self.index_changed(number, &segment),
            false => drop(self.unindexed.insert(number)),
        }
        self.segments.insert(number, segment);
    }

    fn index_changed(&mut self, number: SegmentNo, segment: &Segment) {
        match segment.superseded || segment.live_runs == 0 {
            true => self.idle.insert(number),
            false => self.stale.insert(number),
        };
    }

    pub fn get(&self, number: SegmentNo) -> Option<&Segment> {
        self.segments.get(&number)
    }

    /// All segments, in order.
    pub fn all(&self) -> impl Iterator<Item = (SegmentNo, &Segment)> {
        self.segments.iter().map(|(number, segment)| (*number, segment))
    }

    /// Nothing more is written to the segment.
    pub fn seal(&mut self, number: SegmentNo) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.sealed = true;
        }
    }

    pub fn set_horizons(&mut self, horizons: BTreeMap<ShardNo, Lsn>) {
        self.horizons = Some(horizons);
        self.moved_horizons.extend(self.shards.keys());
        self.looked_up_to = None;
    }

    pub fn set_horizon(&mut self, shard: ShardNo, horizon: Lsn) {
        let at = self.horizons.get_or_insert_default().entry(shard).or_default();
        if horizon > *at {
            *at = horizon;
            self.horizon_moved(shard);
        }
    }

    pub fn drop_shard(&mut self, shard: ShardNo) {
        self.horizons.get_or_insert_default().remove(&shard);
        self.horizon_moved(shard);
    }

    /// All runs of the shard are to be looked at, also those that were already.
    fn horizon_moved(&mut self, shard: ShardNo) {
        self.moved_horizons.insert(shard);
        self.looked_up_to.take_if(|(of, _)| *of == shard);
    }

    pub fn set_persisted(&mut self, lsn: Lsn) {
        self.persisted = self.persisted.max(lsn);
    }

    pub fn horizon(&self, shard: ShardNo) -> Lsn {
        self.horizons.as_ref().and_then(|all| all.get(&shard)).copied().unwrap_or(Lsn::ZERO)
    }

    /// How many segments there are, and the bytes of their files.
    pub fn usage(&self) -> (usize, u64) {
        (self.segments.len(), self.bytes)
    }

    /// See [`super::Log::memory_bytes`].
    pub fn memory_bytes(&self) -> usize {
        /// A segment, its origin, and their places in the maps, which are three quarters full.
        const SEGMENT_BYTES: usize = 640;
        const SHARD_BYTES: usize = 160;
        const WORD_BYTES: usize = 24;
        let words: usize = self.shards.values().map(Postings::words).sum();
        self.segments.len() * SEGMENT_BYTES + self.shards.len() * SHARD_BYTES + words * WORD_BYTES
    }

    /// The origin from which on a shard's runs may hold numbers above `after`.
    pub fn origin_after(&self, after: Lsn) -> SegmentNo {
        let Some((_, number)) = self.by_first.range(..=after.next()).next_back() else { return SegmentNo::default() };
        let is_past = self.origins.get(number).is_some_and(|placed| placed.origin.last <= after);
        if is_past { number.next() } else { *number }
    }

    /// The last origin that begins before `time_ms`.
    pub fn origin_before(&self, time_ms: EpochMs) -> Option<SegmentNo> {
        self.by_time.range(..(time_ms, SegmentNo::default())).next_back().map(|(_, number)| *number)
    }

    /// The first run of `shard` from this origin on.
    pub fn run_from(&self, shard: ShardNo, origin: SegmentNo) -> Option<RunAt> {
        let origin = self.shards.get(&shard)?.next(origin)?;
        Some(RunAt { shard, origin })
    }

    /// The last run of `shard` up to this origin.
    pub fn run_up_to(&self, shard: ShardNo, origin: SegmentNo) -> Option<RunAt> {
        let origin = self.shards.get(&shard)?.previous(origin)?;
        Some(RunAt { shard, origin })
    }

    /// The segment that a run is in now.
    pub fn host_of(&self, at: RunAt) -> Option<&Segment> {
        self.segments.get(&self.origins.get(&at.origin)?.host)
    }

    /// Whether a run of this segment may still be read.
    pub fn is_live(&self, at: RunAt, segment: SegmentNo) -> bool {
        self.shards.get(&at.shard).is_some_and(|postings| postings.contains(at.origin))
            && self.origins.get(&at.origin).is_some_and(|placed| placed.host == segment)
    }

    /// Adds a synced frame to its segment, and its runs to their shards.
    pub fn note(&mut self, place: Position, header: &Header, content: &Noted) {
        let (number, offset) = (place.segment(), place.offset());
        let segment = self.segments.get_mut(&number).expect("invariant: the writer's segment is in the directory");
        let begun = segment.note(offset, header, content);
        segment.live_runs += begun.len();
        let spanned = |of: SegmentNo| segment.index.origins.iter().rfind(|origin| origin.number == of).copied();
        match content {
            Noted::Records(records) if records.is_empty() => {}
            Noted::Records(_) => match self.origins.get_mut(&number) {
                Some(placed) => placed.origin.last = header.last(),
                None => {
                    let origin = spanned(number).expect("invariant: a record's origin is noted with it");
                    self.place(origin, number);
                }
            },
            Noted::Moved { source, gone, .. } => {
                for at in &begun {
                    if let Some(placed) = self.origins.get_mut(&at.origin) {
                        placed.host = number;
                    }
                }
                for at in gone {
                    self.take(*at);
                }
                self.supersede(*source);
            }
        }
        for at in begun {
            self.shards.entry(at.shard).or_default().insert(at.origin);
            // Dead before it is indexed: only a horizon ahead of the log does that.
            if header.last() < self.horizon(at.shard) {
                self.later.insert(at.shard);
            }
        }
    }

    /// Takes a run out of its shard's; says whether it was there.
    fn take(&mut self, at: RunAt) -> bool {
        let Some(postings) = self.shards.get_mut(&at.shard) else { return false };
        let was = postings.remove(at.origin);
        if postings.is_empty() {
            self.shards.remove(&at.shard);
        }
        was
    }

    /// The segment's live runs are in another one now.
    fn supersede(&mut self, source: SegmentNo) {
        let Some(segment) = self.segments.get_mut(&source) else { return };
        segment.superseded = true;
        segment.live_runs = 0;
        if segment.indexed {
            self.idle.insert(source);
        }
        self.stale.remove(&source);
        self.displace_hosted(source);
    }

    /// Forgets the origins that are still said to be in the segment.
    fn displace_hosted(&mut self, host: SegmentNo) {
        let Some(segment) = self.segments.get(&host) else { return };
        let hosted = segment.index.origins.iter().map(|origin| origin.number);
        let still = hosted.filter(|number| self.origins.get(number).is_some_and(|placed| placed.host == host));
        let still: Vec<SegmentNo> = still.collect();
        still.into_iter().for_each(|number| self.displace(number));
    }

    /// Takes a segment out; its runs are readable no more.
    pub fn remove(&mut self, number: SegmentNo) -> Option<Segment> {
        self.displace_hosted(number);
        for set in [&mut self.stale, &mut self.idle, &mut self.unindexed] {
            set.remove(&number);
        }
        let removed = self.segments.remove(&number)?;
        self.bytes -= removed.bytes;
        Some(removed)
    }

    /// The first sealed segment without an index.
    pub fn to_index(&self) -> Option<&Segment> {
        let waiting = self.unindexed.iter().filter_map(|number| self.segments.get(number));
        waiting.filter(|segment| segment.sealed && !segment.is_empty()).min_by_key(|segment| segment.index.segment)
    }

    /// The segment's index is durable: its runs need not be in memory any more.
    pub fn indexed(&mut self, number: SegmentNo) {
        self.unindexed.remove(&number);
        self.moved_horizons.append(&mut self.later);
        self.looked_up_to = None;
        if let Some(mut segment) = self.segments.remove(&number) {
            (segment.indexed, segment.file, segment.runs) = (true, None, Default::default());
            self.index_changed(number, &segment);
            self.segments.insert(number, segment);
        }
    }

    /// Looks for runs that died of moved horizons, some at once; false when there is nothing left to look at. Where only
    /// the run itself can tell, it is left to the caller: a run, and the horizon that it may lie below.
    pub fn bury_dead(&mut self, doubtful: &mut Vec<(RunAt, Lsn)>) -> bool {
        let Some(horizons) = &self.horizons else { return false };
        let mut left = RUNS_AT_ONCE;
        let (mut dead, mut later) = (Vec::new(), Vec::new());
        while let Some(shard) = self.moved_horizons.first().copied() {
            // A shard without a horizon was dropped.
            let horizon = horizons.get(&shard).copied().unwrap_or(Lsn(u64::MAX));
            let mut next =
                self.looked_up_to.take_if(|(of, _)| *of == shard).map_or(SegmentNo::default(), |(_, next)| next);
            while let Some(at) = self.run_from(shard, next).filter(|_| left > 0) {
                (next, left) = (at.origin.next(), left - 1);
                let Some(Placed { origin, host }) = self.origins.get(&at.origin) else { continue };
                if origin.first >= horizon {
                    break;
                }
                match self.segments.get(host) {
                    Some(segment) if !segment.indexed => later.push(shard),
                    _ if origin.last < horizon => dead.push(at),
                    _ => doubtful.push((at, horizon)),
                }
            }
            if left == 0 {
                // What stays for now, since it waits for an index, must not be all that is ever looked at.
                self.looked_up_to = Some((shard, next));
                break;
            }
            self.moved_horizons.pop_first();
        }
        self.later.extend(later);
        dead.into_iter().for_each(|at| self.bury(at));
        left == 0
    }

    /// The run is dead.
    pub fn bury(&mut self, at: RunAt) {
        if !self.take(at) {
            return;
        }
        let Some(host) = self.origins.get(&at.origin).map(|placed| placed.host) else { return };
        let Some(segment) = self.segments.get_mut(&host) else { return };
        segment.live_runs -= 1;
        if segment.live_runs == 0 && segment.indexed {
            self.idle.insert(host);
            self.stale.remove(&host);
        } else if segment.indexed {
            self.stale.insert(host);
        }
    }

    /// Something of the run is dead.
    pub fn cut(&mut self, at: RunAt) {
        if let Some(host) = self.origins.get(&at.origin).map(|placed| placed.host)
            && self.segments.get(&host).is_some_and(|segment| segment.indexed && segment.live_runs > 0)
        {
            self.stale.insert(host);
        }
    }

    /// What the log ends with must stay, since it shows that nothing behind it is missing.
    fn newest(&self) -> Option<SegmentNo> {
        self.segments.iter().rev().find(|(_, segment)| !segment.is_empty()).map(|(number, _)| *number)
    }

    /// Those of the segments whose every frame is in the tree, without the newest.
    fn settled(&self, among: &BTreeSet<SegmentNo>) -> impl Iterator<Item = SegmentNo> {
        let newest = self.newest();
        let known = self.horizons.is_some();
        let is_settled = |segment: &Segment| segment.sealed && segment.index.last <= self.persisted;
        among
            .iter()
            .copied()
            .filter(move |number| known && Some(*number) != newest && self.segments.get(number).is_some_and(is_settled))
    }

    /// Sealed segments without a frame: the first frame was larger than the segment, or a crash came before it.
    pub fn empty(&self) -> Vec<SegmentNo> {
        let waiting = self.unindexed.iter().filter_map(|number| self.segments.get(number));
        waiting.filter(|segment| segment.sealed && segment.is_empty()).map(|segment| segment.index.segment).collect()
    }

    /// Segments that nothing needs any more, oldest first. Opening reads the frames from the first segment without an
    /// index on, and nothing may be missing there: so none is dead behind one that has no index yet.
    pub fn dead(&self, max: usize) -> Vec<SegmentNo> {
        let mut unindexed = self.unindexed.iter();
        let first = unindexed.find(|number| self.segments.get(number).is_some_and(|segment| !segment.is_empty()));
        let first = first.copied().unwrap_or(SegmentNo(u64::MAX));
        self.settled(&self.idle).take_while(|number| *number < first).take(max).collect()
    }

    /// What is freed once these segments are, too; they are in order.
    pub fn freed_with(&self, before: Freed, dead: &[SegmentNo]) -> Freed {
        let mut freed = before;
        for segment in dead.iter().filter_map(|number| self.segments.get(number)) {
            let index = &segment.index;
            freed.last = freed.last.max(index.last);
            if index.segment > freed.segment {
                (freed.segment, freed.checksum) = (index.segment, index.last_checksum);
            }
        }
        let passed = self.segments.range(before.segment..freed.segment).count() as u64;
        let gone = dead.iter().filter(|number| **number < freed.segment).count() as u64;
        freed.kept_below = before.kept_below + passed - gone;
        freed
    }

    /// The oldest segment that the cleaner should look at.
    pub fn to_clean(&self) -> Option<SegmentNo> {
        self.settled(&self.stale).next()
    }

    /// The cleaner has looked at the segment.
    pub fn cleaned(&mut self, number: SegmentNo) {
        self.stale.remove(&number);
    }

    /// Bytes of the records of a run that may still be read; an estimate for the run that the horizon cuts: its records are
    /// taken to be spread evenly over its numbers.
    pub fn live_bytes(&self, run: &Run) -> u64 {
        let horizon = self.horizon(run.at.shard).0;
        let (first, last) = (run.first.0, run.last.0);
        if horizon <= first {
            return run.bytes;
        }
        let share = u128::from((last + 1).saturating_sub(horizon)) * u128::from(run.bytes);
        (share / u128::from(last - first + 1)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Kind, Position};
    use super::super::moved::MovedNote;
    use super::super::segment::FIRST_FRAME_AT;
    use super::*;

    const SHARD: ShardNo = ShardNo(7);

    /// The records of a shard, one for each of so many origins, moved to one segment that has no index yet.
    fn moved_to_one_segment(count: u64) -> Directory {
        let host = SegmentNo(count + 1);
        let mut segment = Segment::new(host, None, 1 << 20);
        for origin in 1..=count {
            let offset = FIRST_FRAME_AT + origin * 128;
            let header = Header {
                len: 128,
                checksum: origin,
                generation: 1,
                lsn: Lsn(count + 1),
                prev: origin - 1,
                synced: Position::default(),
                time_ms: EpochMs(1),
                span: 0,
                kind: Kind::Moved,
            };
            let note = MovedNote { lsn: Lsn(origin), time_ms: EpochMs(1), bytes: 1, offset: 64, len: 64 };
            let origin = SegmentNo(origin);
            let runs = vec![(RunAt { shard: SHARD, origin }, vec![note])];
            segment.note(offset, &header, &Noted::Moved { source: origin, runs, gone: Vec::new() });
        }
        segment.sealed = true;
        Directory::new([(host, segment)].into(), Lsn(count), |_| Ok(Vec::new())).unwrap()
    }

    #[test]
    fn more_dead_runs_without_an_index_than_are_looked_at_at_once_hold_nobody_up() {
        let count = 2 * RUNS_AT_ONCE as u64 + 10;
        let mut directory = moved_to_one_segment(count);
        directory.set_horizons([(SHARD, Lsn(count + 1))].into());
        let looks = (0..10).take_while(|_| directory.bury_dead(&mut Vec::new())).count();
        assert!(looks < 10, "the keeper never comes to the index that it waits for");
        directory.indexed(SegmentNo(count + 1));
        while directory.bury_dead(&mut Vec::new()) {}
        assert_eq!(directory.run_from(SHARD, SegmentNo(0)), None, "and none is forgotten");
        assert_eq!(directory.get(SegmentNo(count + 1)).unwrap().live_runs, 0);
    }

    #[test]
    fn a_horizon_that_moves_while_runs_are_looked_at_is_followed_from_the_first_run() {
        let count = 2 * RUNS_AT_ONCE as u64;
        let mut directory = moved_to_one_segment(count);
        directory.indexed(SegmentNo(count + 1));
        directory.set_horizons([(SHARD, Lsn(count))].into());
        // Told of one that only the run itself can decide: it is left for now.
        directory.origins.get_mut(&SegmentNo(1)).unwrap().origin.last = Lsn(count);
        assert!(directory.bury_dead(&mut Vec::new()));
        directory.origins.get_mut(&SegmentNo(1)).unwrap().origin.last = Lsn(1);
        directory.set_horizon(SHARD, Lsn(count + 1));
        while directory.bury_dead(&mut Vec::new()) {}
        assert_eq!(directory.run_from(SHARD, SegmentNo(0)), None);
    }
}
