//! What work costs when there is much: moved records, many shards, many segments.

use std::collections::BTreeMap;
use std::path::Path;

use tailrace_core::Lsn;
use tailrace_core::rng::{Rng, SeededRng};

use super::*;
use crate::log::check;
use crate::log::looked::looks;

#[test]
fn a_page_of_moved_records_reads_what_it_returns_and_not_what_was_moved_with_it() {
    let disk = SimFiles::new();
    let settings = LogSettings { segment_bytes: 512 * 1024, clean_live_percent: 30, ..settings() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), settings, [7; 16], Lsn::ZERO).unwrap();
    let mut last = Lsn::ZERO;
    for n in 0..900 {
        last = write(&log, EpochMs(1000 + n), &[commit(if n % 20 == 7 { 3 } else { 1 }, n, 1000)]).unwrap()[0];
        log.keep().unwrap();
    }
    log.set_shards(BTreeMap::from([(ShardNo(1), last.next()), (ShardNo(3), Lsn::ZERO)]));
    log.set_persisted(last);
    for _ in 0..10 {
        log.keep().unwrap();
    }
    assert!(log.usage().segments <= 2, "what is live was moved: {:?}", log.usage());
    let mut after = Lsn::ZERO;
    let mut pages = 0;
    loop {
        let before = disk.bytes_read();
        let page = log.read(ShardNo(3), after, 1, usize::MAX, last).unwrap();
        let read = disk.bytes_read() - before;
        // The first page may have to read the index.
        assert!(pages == 0 || read < 3000, "page {pages} has read {read} bytes");
        pages += page.records.len();
        after = page.next;
        if !page.more {
            break;
        }
    }
    assert_eq!(pages, 45);
}

/// Noting a record must not look through the shards that the segment has already: with 16,000 of them that is the
/// difference between milliseconds and seconds a group. What it looks at is its own run, and its frame's segment and origin.
#[test]
fn a_group_of_many_shards_is_noted_without_a_search() {
    let disk = SimFiles::new();
    let settings = LogSettings { segment_bytes: 64 * 1024 * 1024, ..settings() };
    let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), settings, [7; 16], Lsn::ZERO).unwrap();
    let append = |shard| LoggedWrite::Append {
        shard: ShardNo(shard),
        meta: Bytes::from_static(b"meta"),
        old: None,
        new: LoggedImage::None,
    };
    let commits: Vec<Vec<LoggedWrite>> =
        (0..16).map(|c| (0..1000).map(|i| append(1 + c * 1000 + i)).collect()).collect();
    let mut most = 0;
    for n in 0..30 {
        let before = looks();
        write(&log, EpochMs(n), &commits).unwrap();
        most = most.max(looks() - before);
    }
    assert!(most <= 16_000 + 16 * 10, "a group of 16 commits with 16,000 records looks at {most}");
    assert_eq!(records(&log, 7777).unwrap().len(), 30);
}

/// A log of many sealed segments, each with a record of every shard.
fn retained(segments: usize, shards: u64) -> (SimFiles, Arc<Log>, Lsn) {
    let disk = SimFiles::new();
    let log = open(&disk);
    log.set_shards((1..=shards).map(|shard| (ShardNo(shard), Lsn::ZERO)).collect());
    let mut last = Lsn::ZERO;
    for n in 0.. {
        let commits: Vec<_> = (1..=shards).map(|shard| commit(shard, n, 10)).collect();
        last = *write(&log, EpochMs(n), &commits).unwrap().last().unwrap();
        log.keep().unwrap();
        if log.usage().segments > segments {
            break;
        }
    }
    log.set_persisted(last);
    log.keep().unwrap();
    (disk, log, last)
}

#[test]
fn a_tick_a_page_and_a_group_take_as_much_among_many_segments_as_among_few_and_memory_stays_small() {
    let cost = |segments: usize| {
        let (disk, log, last) = retained(segments, 50);
        // Bytes read, and segments, origins and runs looked at in memory.
        let mut before = (disk.bytes_read(), looks());
        let mut taken = || {
            let now = (disk.bytes_read(), looks());
            let taken = (now.0 - before.0, now.1 - before.1);
            before = (disk.bytes_read(), looks());
            taken
        };
        let middle = log.position_at_time(ShardNo(1), EpochMs(2), last).unwrap();
        let position = taken();
        log.set_horizon(ShardNo(1), middle);
        log.set_horizon(ShardNo(2), middle);
        log.keep().unwrap();
        let tick = taken();
        let page = log.read(ShardNo(7), Lsn(last.0 / 2), 3, usize::MAX, last).unwrap();
        assert_eq!(page.records.len(), 3);
        let page = taken();
        write(&log, EpochMs(1 << 20), &[commit(7, 0, 10)]).unwrap();
        let group = taken();
        // Nothing is due.
        log.keep().unwrap();
        let idle = taken();
        (
            [("position", position), ("tick", tick), ("page", page), ("group", group), ("idle tick", idle)],
            log.memory_bytes(),
        )
    };
    let ((few, few_bytes), (many, many_bytes)) = (cost(20), cost(200));
    for ((what, few), (_, many)) in few.into_iter().zip(many) {
        assert!(many.0 <= few.0 * 2 && many.0 < 64 * 1024, "a {what} reads {} bytes of few, {} of many", few.0, many.0);
        assert!(many.1 <= few.1 + 4, "a {what} looks at {} of few, at {} of many", few.1, many.1);
    }
    // 50 shards in 200 segments are 10,000 runs: what is in memory of each is much less than a run.
    let grown = many_bytes - few_bytes;
    assert!(grown < 180 * 1000 + 50 * 4 * 30, "{few_bytes} bytes of few, {many_bytes} of many");
}

/// A log with its model: the live records of each shard.
struct Modelled {
    disk: SimFiles,
    log: Arc<Log>,
    live: BTreeMap<u64, Vec<(Lsn, EpochMs)>>,
    horizons: BTreeMap<ShardNo, Lsn>,
    last: Lsn,
}

impl Modelled {
    fn open(disk: SimFiles, persisted: Lsn) -> (SimFiles, Arc<Log>) {
        let settings = LogSettings { clean_live_percent: 40, ..settings() };
        let log = Log::open(Arc::new(disk.clone()), Path::new(DIR), settings, [7; 16], persisted).unwrap();
        (disk, log)
    }

    fn new() -> Self {
        let (disk, log) = Self::open(SimFiles::new(), Lsn::ZERO);
        let mut new = Self { disk, log, live: BTreeMap::new(), horizons: BTreeMap::new(), last: Lsn::ZERO };
        new.log.set_shards(BTreeMap::new());
        (1..=6).for_each(|shard| new.begin(shard));
        new
    }

    fn begin(&mut self, shard: u64) {
        self.live.insert(shard, Vec::new());
        self.horizons.insert(ShardNo(shard), Lsn::ZERO);
        self.log.set_horizon(ShardNo(shard), Lsn::ZERO);
    }

    fn append(&mut self, shard: u64, n: u64, bytes: usize) {
        let lsn = write(&self.log, EpochMs(n), &[commit(shard, n, bytes)]).unwrap()[0];
        self.live.get_mut(&shard).unwrap().push((lsn, EpochMs(n)));
        self.last = lsn;
    }

    fn trim(&mut self, shard: u64, horizon: Lsn) {
        self.log.set_horizon(ShardNo(shard), horizon);
        let at = self.horizons.get_mut(&ShardNo(shard)).unwrap();
        *at = (*at).max(horizon);
        self.live.get_mut(&shard).unwrap().retain(|(lsn, _)| lsn >= at);
    }

    fn drop_shard(&mut self, shard: u64) {
        self.log.drop_shard(ShardNo(shard));
        self.horizons.remove(&ShardNo(shard));
        self.live.remove(&shard);
    }

    fn restart(&mut self) {
        self.log.set_persisted(self.last);
        let disk = self.disk.killed();
        assert_eq!(check(&disk, Path::new(DIR)).unwrap().faults, []);
        (self.disk, self.log) = Self::open(disk, self.last);
        self.log.set_shards(self.horizons.clone());
    }

    fn verify(&self, what: &str) {
        for (shard, live) in &self.live {
            let found = records(&self.log, *shard).unwrap();
            let found: Vec<_> = found.iter().map(|record| (Lsn(record.number.0), record.time_ms)).collect();
            assert_eq!(&found, live, "{what}, shard {shard}");
            let horizon = Lsn(self.horizons[&ShardNo(*shard)].0.saturating_sub(1));
            for (_, time) in live.iter().step_by(3) {
                let before = live.iter().rev().find(|(_, of)| of < time).map_or(horizon, |(lsn, _)| *lsn);
                let position = self.log.position_at_time(ShardNo(*shard), *time, self.last).unwrap();
                assert_eq!(position.max(horizon), before.max(horizon), "{what}, shard {shard}, time {time}");
            }
        }
    }
}

#[test]
fn whatever_is_trimmed_dropped_moved_and_reopened_live_records_stay_and_dead_ones_take_no_room() {
    for seed in 0..40 {
        let rng = SeededRng::new(seed);
        let pick = |n: u64| rng.next_u64() % n;
        let mut model = Modelled::new();
        let mut newest = 6;
        for n in 0..400 {
            let shards: Vec<u64> = model.live.keys().copied().collect();
            let shard = shards[pick(shards.len() as u64) as usize];
            // A quiet shard has a record in few segments.
            if !shard.is_multiple_of(3) || pick(20) == 0 {
                model.append(shard, n, 10 + pick(1500) as usize);
            }
            match pick(40) {
                0..6 => model.log.keep().unwrap(),
                6..9 => {
                    let live = &model.live[&shard];
                    let horizon = match live.get(pick(1 + live.len() as u64) as usize) {
                        Some((lsn, _)) => *lsn,
                        None => model.last.next(),
                    };
                    model.trim(shard, horizon);
                }
                9 => model.log.set_persisted(model.last),
                10 if shards.len() > 2 => {
                    model.drop_shard(shard);
                    newest += 1;
                    model.begin(newest);
                }
                11 if pick(3) == 0 => model.restart(),
                _ => {}
            }
            if n % 20 == 0 {
                model.verify(&format!("seed {seed}, round {n}"));
            }
        }
        model.verify(&format!("seed {seed}"));
        model.log.set_persisted(model.last);
        for shard in model.live.keys().copied().collect::<Vec<_>>() {
            model.trim(shard, model.last.next());
        }
        for _ in 0..3 {
            model.log.keep().unwrap();
        }
        assert!(model.log.usage().segments <= 2, "seed {seed}: {:?}", model.log.usage());
        model.restart();
    }
}
