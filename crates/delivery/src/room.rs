//! Room in memory for the records that shards read ahead, over all consumers that are given the same.
//!
//! Invariants: what is held and what is being read stay within the bound together, but for what is within a shard's own share:
//! that is there for it whatever others hold, so that no target which does not answer holds up another. What is given back goes
//! to whoever has waited longest.
//! What it does not do: it measures nothing; a page may end a record above what was asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tailrace_core::limits::{READ_AHEAD_BYTES_MAX, READ_AHEAD_SHARE_BYTES};
use tokio::sync::oneshot;

/// Room for the records of several consumers. A clone is the same.
#[derive(Clone)]
pub struct Room(Arc<Mutex<Taken>>);

impl Default for Room {
    fn default() -> Room {
        Room::new(READ_AHEAD_BYTES_MAX)
    }
}

#[derive(Default)]
struct Taken {
    /// The bound.
    most: usize,
    /// Everything that is held or being read.
    bytes: usize,
    /// What each shard holds.
    held: HashMap<u64, usize>,
    /// Who waits for a page, by the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
}

struct Waiting {
    shard: u64,
    bytes: usize,
    granted: oneshot::Sender<usize>,
}

/// A shard's part of the room, until it is dropped.
pub(crate) struct ShardRoom {
    room: Room,
    shard: u64,
}

/// Room for a page that is being read, until it is dropped.
pub(crate) struct PageRoom {
    room: Room,
    /// How much may be read.
    pub bytes: usize,
}

/// A place among those who wait, until it is dropped.
struct Place<'a> {
    room: &'a Room,
    turn: u64,
    granted: oneshot::Receiver<usize>,
}

impl Taken {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn held(&self, shard: u64) -> usize {
        self.held.get(&shard).copied().unwrap_or(0)
    }

    /// The shard holds no more than half of its own share: the other half is there for it.
    fn has_a_share(&self, shard: u64) -> bool {
        self.held(shard) <= READ_AHEAD_SHARE_BYTES / 2
    }

    /// Takes room for a page of a shard; `None`: there is none.
    fn take(&mut self, shard: u64, bytes: usize) -> Option<usize> {
        let bytes = if self.bytes + bytes <= self.most {
            bytes
        } else if self.has_a_share(shard) {
            bytes.min(READ_AHEAD_SHARE_BYTES / 2)
        } else {
            return None;
        };
        self.bytes += bytes;
        Some(bytes)
    }

    /// The same for one that comes, who overtakes nobody.
    fn take_in_turn(&mut self, shard: u64, bytes: usize) -> Option<usize> {
        if self.waiting.is_empty() || self.has_a_share(shard) { self.take(shard, bytes) } else { None }
    }

    /// Grants what fits now: what came first, and that of a shard that has changed.
    fn grant(&mut self, changed: Option<u64>) {
        if let Some(shard) = changed.filter(|shard| self.has_a_share(*shard)) {
            let own = self.waiting.iter().find(|(_, waiting)| waiting.shard == shard).map(|(turn, _)| *turn);
            own.map(|turn| self.try_grant(turn));
        }
        while self.waiting.keys().next().copied().is_some_and(|turn| self.try_grant(turn)) {}
    }

    fn try_grant(&mut self, turn: u64) -> bool {
        let Some(waiting) = self.waiting.get(&turn) else { return false };
        let (shard, bytes) = (waiting.shard, waiting.bytes);
        let Some(bytes) = self.take(shard, bytes) else { return false };
        let gone = self.waiting.remove(&turn).is_none_or(|waiting| waiting.granted.send(bytes).is_err());
        if gone {
            self.bytes -= bytes;
        }
        true
    }
}

impl Room {
    /// So many bytes for all shards together.
    pub fn new(most: usize) -> Room {
        Room(Arc::new(Mutex::new(Taken { most, ..Taken::default() })))
    }

    /// One more shard is read.
    pub(crate) fn enter(&self) -> ShardRoom {
        let shard = self.0.lock().next();
        ShardRoom { room: self.clone(), shard }
    }

    /// Bytes that are held or being read.
    pub fn taken(&self) -> usize {
        self.0.lock().bytes
    }

    fn give_back(&self, bytes: usize) {
        let mut taken = self.0.lock();
        taken.bytes -= bytes;
        taken.grant(None);
    }
}

impl ShardRoom {
    /// So many bytes of the shard's records are in memory now.
    pub fn holds(&self, bytes: usize) {
        let mut taken = self.room.0.lock();
        let before = taken.held(self.shard);
        if before == bytes {
            return;
        }
        taken.bytes = taken.bytes + bytes - before;
        taken.held.insert(self.shard, bytes);
        if bytes < before {
            taken.grant(Some(self.shard));
        }
    }

    /// Takes room for a page of at most so many bytes, and for less where only the shard's own share is left. `None`: there is none.
    pub fn try_page(&self, bytes: usize) -> Option<PageRoom> {
        let bytes = self.room.0.lock().take_in_turn(self.shard, bytes)?;
        Some(self.page_room(bytes))
    }

    /// As [`Self::try_page`], but waits.
    pub async fn page(&self, bytes: usize) -> PageRoom {
        let mut place = {
            let mut taken = self.room.0.lock();
            if let Some(bytes) = taken.take_in_turn(self.shard, bytes) {
                return self.page_room(bytes);
            }
            let (sender, granted) = oneshot::channel();
            let turn = taken.next();
            taken.waiting.insert(turn, Waiting { shard: self.shard, bytes, granted: sender });
            Place { room: &self.room, turn, granted }
        };
        let bytes = (&mut place.granted).await.expect("invariant: who waits is told before he is forgotten");
        self.page_room(bytes)
    }

    /// Takes room for a page whatever others hold.
    pub fn page_at_once(&self, bytes: usize) -> PageRoom {
        self.room.0.lock().bytes += bytes;
        self.page_room(bytes)
    }

    fn page_room(&self, bytes: usize) -> PageRoom {
        PageRoom { room: self.room.clone(), bytes }
    }
}

impl Drop for ShardRoom {
    fn drop(&mut self) {
        let mut taken = self.room.0.lock();
        let held = taken.held.remove(&self.shard).unwrap_or(0);
        taken.bytes -= held;
        taken.grant(None);
    }
}

impl Drop for PageRoom {
    fn drop(&mut self) {
        self.room.give_back(self.bytes);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waited = self.room.0.lock().waiting.remove(&self.turn).is_some();
        // It may have been granted and not taken.
        if let (false, Ok(bytes)) = (waited, self.granted.try_recv()) {
            self.room.give_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    const PAGE: usize = 1024 * 1024;

    /// Fills the room with one shard's records.
    fn full() -> (Room, ShardRoom) {
        let room = Room::default();
        let greedy = room.enter();
        while let Some(page) = greedy.try_page(PAGE) {
            greedy.holds(room.taken());
            drop(page);
        }
        assert_eq!(room.taken(), READ_AHEAD_BYTES_MAX);
        (room, greedy)
    }

    #[test]
    fn a_shard_has_its_share_when_another_holds_everything() {
        let (room, greedy) = full();
        let modest = room.enter();
        let page = modest.try_page(PAGE).unwrap();
        assert_eq!(page.bytes, READ_AHEAD_SHARE_BYTES / 2);
        modest.holds(page.bytes);
        drop(page);
        let page = modest.try_page(PAGE).unwrap();
        modest.holds(READ_AHEAD_SHARE_BYTES);
        drop(page);
        assert!(modest.try_page(PAGE).is_none());
        assert_eq!(room.taken(), READ_AHEAD_BYTES_MAX + READ_AHEAD_SHARE_BYTES);
        drop((modest, greedy));
        assert_eq!(room.taken(), 0);
    }

    fn granted(waiting: &mut [BoxFuture<'_, PageRoom>]) -> (Vec<bool>, Vec<PageRoom>) {
        let pages: Vec<Option<PageRoom>> = waiting.iter_mut().map(FutureExt::now_or_never).collect();
        (pages.iter().map(Option::is_some).collect(), pages.into_iter().flatten().collect())
    }

    #[test]
    fn what_is_given_back_goes_to_whoever_has_waited_longest() {
        let (room, greedy) = full();
        let others: Vec<ShardRoom> = (0..3).map(|_| room.enter()).collect();
        others.iter().for_each(|other| other.holds(PAGE));
        let mut waiting: Vec<_> = others.iter().map(|other| other.page(PAGE).boxed()).collect();
        assert_eq!(granted(&mut waiting).0, [false, false, false]);
        // Who has given up waiting gets nothing.
        drop(waiting.remove(0));
        greedy.holds(READ_AHEAD_BYTES_MAX - 4 * PAGE);
        let (first, _page) = granted(&mut waiting);
        assert_eq!(first, [true, false]);
        drop(waiting.remove(0));
        assert!(others[0].try_page(PAGE).is_none(), "nobody overtakes");
        // One that holds nothing any more waits for nobody.
        others[2].holds(0);
        assert_eq!(granted(&mut waiting).0, [true]);
    }

    #[test]
    fn a_page_that_was_granted_and_never_taken_is_given_back() {
        let (room, greedy) = full();
        let other = room.enter();
        other.holds(PAGE);
        let mut page = Box::pin(other.page(PAGE));
        assert!(page.as_mut().now_or_never().is_none());
        greedy.holds(0);
        assert_eq!(room.taken(), 2 * PAGE, "it is granted");
        drop(page);
        assert_eq!(room.taken(), PAGE);
    }
}
