//! Pages of the log that several consumers read: each is read once, and those who come a little later find it here.
//!
//! Invariants: what is found here is what the store answered, and of numbers that were asked for; a page is kept only while its stream has several
//! readers; what is kept is bounded by [`PAGES_BYTES_MAX`] and forgotten oldest first.
//! What it does not do: it waits for nothing but a read that is under way, and decides nothing about a record.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;
use tailrace_core::{RecordNo, ShardNo, StreamId};
use tailrace_store::{Engine, LogPage, LogRecord, StoreError};

/// Most bytes of pages that are kept, beside the newest. Our reason: some pages of each of a dozen shards that are read at once.
pub(crate) const PAGES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The pages of a context.
#[derive(Default)]
pub(crate) struct Pages {
    kept: Mutex<Kept>,
    /// Held by who reads a shard, while others of its readers wait for what he finds.
    turns: Mutex<HashMap<ShardNo, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Kept {
    readers: HashMap<StreamId, usize>,
    /// The oldest first.
    pages: VecDeque<Page>,
    bytes: usize,
}

struct Page {
    shard: ShardNo,
    after: RecordNo,
    bytes: usize,
    found: Arc<LogPage>,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub records: usize,
    pub bytes: usize,
}

/// A reader of a stream, until it is dropped.
pub(crate) struct Reader {
    pages: Arc<Pages>,
    stream: StreamId,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut kept = self.pages.kept.lock();
        if let Some(readers) = kept.readers.get_mut(&self.stream) {
            *readers -= 1;
            if *readers == 0 {
                kept.readers.remove(&self.stream);
            }
        }
        if kept.readers.values().all(|readers| *readers < 2) {
            (kept.pages, kept.bytes) = (VecDeque::new(), 0);
            drop(kept);
            self.pages.turns.lock().clear();
        }
    }
}

impl Pages {
    /// One more reads the stream.
    pub fn enter(self: &Arc<Pages>, stream: StreamId) -> Reader {
        *self.kept.lock().readers.entry(stream).or_default() += 1;
        Reader { pages: Arc::clone(self), stream }
    }

    fn is_shared(&self, stream: StreamId) -> bool {
        self.kept.lock().readers.get(&stream).is_some_and(|readers| *readers > 1)
    }

    /// As [`Engine::read_log`]; a page that is found here may have fewer records than there are.
    pub async fn read(
        &self,
        store: &dyn Engine,
        stream: StreamId,
        shard: ShardNo,
        after: RecordNo,
        bound: Bound,
    ) -> Result<LogPage, StoreError> {
        if !self.is_shared(stream) {
            return store.read_log(shard, after, bound.records, bound.bytes).await;
        }
        if let Some(found) = self.find(shard, after, bound) {
            return Ok(found);
        }
        let turn = Arc::clone(self.turns.lock().entry(shard).or_default());
        let _turn = turn.lock().await;
        // Somebody may have read it meanwhile.
        if let Some(found) = self.find(shard, after, bound) {
            return Ok(found);
        }
        let page = store.read_log(shard, after, bound.records, bound.bytes).await?;
        if !page.records.is_empty() && page.lost.is_empty() {
            self.keep(shard, after, &page);
        }
        Ok(page)
    }

    /// What a kept page has behind `after`, and no more of it than was asked for: who has little room gets little.
    fn find(&self, shard: ShardNo, after: RecordNo, bound: Bound) -> Option<LogPage> {
        let found = {
            let kept = self.kept.lock();
            let holds = |page: &&Page| page.shard == shard && page.after <= after && after < page.found.next;
            Arc::clone(&kept.pages.iter().rev().find(holds)?.found)
        };
        let behind = found.records.partition_point(|record| record.number <= after);
        let rest = &found.records[behind..];
        if rest.is_empty() && !found.ended {
            // Between its last record and where it ends: nothing was there then, and something may have come since.
            return None;
        }
        let records = rest[..fitting(rest, bound)].to_vec();
        let LogPage { mut next, mut ended, mut more, horizon, .. } = *found;
        if let Some(last) = records.last().filter(|_| records.len() < rest.len()) {
            (next, ended, more) = (last.number, false, true);
        }
        Some(LogPage { records, next, ended, more, horizon, lost: no_numbers() })
    }

    fn keep(&self, shard: ShardNo, after: RecordNo, page: &LogPage) {
        let bytes = page.records.iter().map(|record| record.bytes() + size_of::<LogRecord>()).sum();
        let mut kept = self.kept.lock();
        kept.pages.push_back(Page { shard, after, bytes, found: Arc::new(page.clone()) });
        kept.bytes += bytes;
        while kept.bytes > PAGES_BYTES_MAX && kept.pages.len() > 1 {
            if let Some(oldest) = kept.pages.pop_front() {
                kept.bytes -= oldest.bytes;
            }
        }
    }
}

/// How many of these records are within the bound, as [`Engine::read_log`] has it: one in any case.
fn fitting(records: &[LogRecord], bound: Bound) -> usize {
    let mut bytes = 0;
    let fits = |(index, record): &(usize, &LogRecord)| {
        bytes += record.bytes();
        *index == 0 || (*index < bound.records && bytes <= bound.bytes)
    };
    records.iter().enumerate().take_while(fits).count()
}

fn no_numbers() -> Vec<RangeInclusive<RecordNo>> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tailrace_core::clock::ManualClock;
    use tailrace_core::{Bucket, BucketRange, EpochMs};
    use tailrace_store::{Decision, NewImage, Numbers, Write, commit};

    use super::*;

    const BOUND: Bound = Bound { records: 4, bytes: usize::MAX };

    async fn append(store: &dyn Engine, metas: impl IntoIterator<Item = usize>) {
        for n in metas {
            let (meta, new) = (n.to_string().into(), NewImage::None);
            let write = Write::Append { stream: StreamId(1), bucket: Bucket(0), meta, old: None, new };
            commit(store, &[], &[], |_| Decision::Apply(vec![write.clone()], ())).await.unwrap();
        }
    }

    async fn shard(store: &dyn Engine) -> ShardNo {
        let ranges = vec![BucketRange { first: Bucket(0), last: Bucket(u16::MAX) }];
        let open = Write::OpenStream { stream: StreamId(1), ranges };
        commit(store, &[], &[], |_| Decision::Apply(vec![open.clone()], ())).await.unwrap();
        store.shards(StreamId(1)).await.unwrap()[0].shard
    }

    /// What a reader reads from `after` to the end.
    async fn all(pages: &Pages, store: &dyn Engine, shard: ShardNo, mut after: RecordNo) -> Vec<String> {
        let mut found = Vec::new();
        loop {
            let page = pages.read(store, StreamId(1), shard, after, BOUND).await.unwrap();
            found.extend(page.records.iter().map(|record| String::from_utf8_lossy(&record.meta).into_owned()));
            if !page.more && (page.next == after || page.records.is_empty()) {
                return found;
            }
            after = page.next;
        }
    }

    /// Issue: twenty sinks on one table read the log once.
    #[tokio::test]
    async fn readers_of_one_stream_find_what_another_has_read() {
        for numbers in Numbers::ALL {
            find_what_another_has_read(numbers).await;
        }
    }

    async fn find_what_another_has_read(numbers: Numbers) {
        let store = numbers.engine(Arc::new(ManualClock::at(EpochMs(1))));
        let shard = shard(store.as_ref()).await;
        append(store.as_ref(), 0..10).await;
        let pages = Arc::new(Pages::default());
        let readers: Vec<Reader> = (0..20).map(|_| pages.enter(StreamId(1))).collect();
        let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        for _ in 0..20 {
            assert_eq!(all(&pages, store.as_ref(), shard, RecordNo::ZERO).await, expected);
        }
        assert_eq!(pages.kept.lock().pages.len(), 3, "each page was read once");
        // One who begins inside a page gets the rest of it, and everybody gets what comes.
        let third = store.read_log(shard, RecordNo::ZERO, 3, usize::MAX).await.unwrap().records[2].number;
        assert_eq!(all(&pages, store.as_ref(), shard, third).await, expected[3..]);
        append(store.as_ref(), 10..12).await;
        assert_eq!(all(&pages, store.as_ref(), shard, third).await.len(), 9);
        drop(readers);
        assert_eq!(pages.kept.lock().pages.len(), 0, "nothing is kept for nobody");
        let _one = pages.enter(StreamId(1));
        assert_eq!(all(&pages, store.as_ref(), shard, RecordNo::ZERO).await.len(), 12);
        assert_eq!(pages.kept.lock().pages.len(), 0, "nor for one reader alone");
    }

    /// As a consumer that rests, and is asked how far it is behind, while others read on.
    #[tokio::test]
    async fn what_came_behind_a_kept_page_is_found_from_within_it() {
        let store = Numbers::Shared.engine(Arc::new(ManualClock::at(EpochMs(1))));
        let shard = shard(store.as_ref()).await;
        append(store.as_ref(), 0..2).await;
        let last = store.read_log(shard, RecordNo::ZERO, 2, usize::MAX).await.unwrap().records[1].number;
        // What has other numbers than the stream's moves the end of a page above its last record.
        let key = tailrace_store::keyspace::SettingKey::key("x");
        for n in 0..5 {
            let other = Write::Put { key: key.clone(), value: n.to_string().into() };
            let keys = [key.clone()];
            commit(store.as_ref(), &[], &keys, |_| Decision::Apply(vec![other.clone()], ())).await.unwrap();
        }
        let pages = Arc::new(Pages::default());
        let _readers = [pages.enter(StreamId(1)), pages.enter(StreamId(1))];
        let bound = Bound { records: 100, bytes: usize::MAX };
        let page = pages.read(store.as_ref(), StreamId(1), shard, RecordNo::ZERO, bound).await.unwrap();
        append(store.as_ref(), 2..4).await;
        for after in [last.0, last.0 + 1].map(RecordNo).into_iter().filter(|after| *after < page.next) {
            let found = pages.read(store.as_ref(), StreamId(1), shard, after, bound).await.unwrap();
            assert_eq!(found.records.len(), 2, "after {after:?}, of a page up to {:?}", page.next);
        }
        assert!(last < page.next, "the end of the page is above its last record");
    }

    /// As a shard has that shares the room in memory with others that hold all of it.
    #[tokio::test]
    async fn who_asks_for_little_gets_little_of_a_page_that_is_kept() {
        let store = Numbers::Shared.engine(Arc::new(ManualClock::at(EpochMs(1))));
        let shard = shard(store.as_ref()).await;
        append(store.as_ref(), 0..4).await;
        let pages = Arc::new(Pages::default());
        let _readers = [pages.enter(StreamId(1)), pages.enter(StreamId(1))];
        let large = Bound { records: 100, bytes: usize::MAX };
        let read = async |after, bound| {
            let kept = pages.read(store.as_ref(), StreamId(1), shard, after, bound).await.unwrap();
            let stored = store.read_log(shard, after, bound.records, bound.bytes).await.unwrap();
            let shown = |page: &LogPage| (page.records.len(), page.next, page.more, page.ended);
            assert_eq!(shown(&kept), shown(&stored), "{bound:?}");
            kept
        };
        read(RecordNo::ZERO, large).await;
        let bounds = [(100, 3), (100, 1), (100, 0), (2, 100), (4, 100), (100, 4)];
        for (records, bytes) in bounds {
            let bound = Bound { records, bytes };
            let page = read(RecordNo::ZERO, bound).await;
            read(page.next, bound).await;
        }
        assert_eq!(pages.kept.lock().pages.len(), 1, "the rest is where it was");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let store = Numbers::Shared.engine(Arc::new(ManualClock::at(EpochMs(1))));
        let shard = shard(store.as_ref()).await;
        for n in 0..40 {
            let (meta, new) = (vec![n; 1_000_000].into(), NewImage::None);
            let write = Write::Append { stream: StreamId(1), bucket: Bucket(0), meta, old: None, new };
            commit(store.as_ref(), &[], &[], |_| Decision::Apply(vec![write.clone()], ())).await.unwrap();
        }
        let pages = Arc::new(Pages::default());
        let _readers = [pages.enter(StreamId(1)), pages.enter(StreamId(1))];
        assert_eq!(all(&pages, store.as_ref(), shard, RecordNo::ZERO).await.len(), 40);
        let kept = pages.kept.lock();
        assert!(kept.bytes <= PAGES_BYTES_MAX && kept.pages.len() >= 3, "{} bytes", kept.bytes);
    }
}
