//! The tree by itself: interleavings that the engine's tests cannot bring about.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};

use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::*;

/// What a test does at a point of the tree's code.
type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Points at which a test may hold a thread up.
#[derive(Default)]
pub(crate) struct Hooks {
    view_taken: Hook,
    view_replaced: Hook,
    tables_listed: Hook,
    pub disk: Arc<Disk>,
    /// Most steps that one effort took on a thread of the runtime.
    pub steps: AtomicU64,
}

/// What tables' readers do with the disk.
#[derive(Default)]
pub(crate) struct Disk {
    /// Waits for it on threads of the runtime.
    pub waits: AtomicU64,
    /// The system says of nothing that it has it in memory.
    pub cold: AtomicBool,
}

/// Does something if this is a thread of the runtime, or one of its tests.
pub(super) fn on_runtime<T>(then: impl FnOnce() -> T) {
    if tokio::runtime::Handle::try_current().is_ok() {
        then();
    }
}

impl Hooks {
    pub fn view_taken(&self) {
        run(&self.view_taken);
    }

    pub fn view_replaced(&self) {
        run(&self.view_replaced);
    }

    pub fn took(&self, effort: &Effort) {
        on_runtime(|| self.steps.fetch_max(effort.taken, Ordering::Relaxed));
    }

    pub fn tables_listed(&self) {
        run(&self.tables_listed);
    }
}

fn run(hook: &Hook) {
    let hook = hook.lock().take();
    if let Some(hook) = hook {
        hook();
    }
}

fn key(n: usize) -> Bytes {
    Bytes::from(format!("\x40key {n:06}"))
}

/// Puts rows and writes them to a table of their own.
fn table_of(tree: &Tree, rows: std::ops::Range<usize>, value: &str) {
    tree.apply(rows.map(|n| (key(n), Some(Bytes::from(value.to_owned())))));
    assert!(tree.seal_if_due(Lsn(1), true));
    tree.flush(&mut |_| {}).unwrap();
}

/// Holds the thread that comes to a hook up: says when it has come, and goes on when the sender is dropped.
fn hold_up(hook: &Hook) -> (Receiver<()>, Sender<()>) {
    let (come, has_come) = channel();
    let (go_on, may_go_on) = channel::<()>();
    *hook.lock() = Some(Box::new(move || {
        come.send(()).unwrap();
        may_go_on.recv().ok();
    }));
    (has_come, go_on)
}

#[test]
fn a_replaced_view_keeps_its_files_from_the_first_moment() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
    table_of(&tree, 0..50, "old");
    table_of(&tree, 0..50, "new");
    let snapshot = tree.snapshot();
    tree.apply([(key(99), Some(Bytes::from_static(b"later")))]);
    let (replaced, go_on) = hold_up(&tree.hooks.view_replaced);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(tree.seal_if_due(Lsn(2), true)));
        replaced.recv().unwrap();
        // Of the views that have these tables, only the one that the reader took before is left.
        tree.tables.major_compact(u64::MAX, Seqno::MAX).unwrap();
        tree.list_tables(None).unwrap();
        tree.remove_orphans();
        drop(go_on);
    });
    for n in 0..50 {
        assert_eq!(
            tree.get_at(&snapshot, &key(n), &mut Effort::unbounded()).unwrap().as_deref(),
            Some(&b"new"[..]),
            "{n}"
        );
    }
}

#[test]
fn tables_that_are_being_listed_keep_their_files() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
    table_of(&tree, 0..50, "old");
    tree.apply((0..50).map(|n| (key(n), Some(Bytes::from_static(b"new")))));
    assert!(tree.seal_if_due(Lsn(2), true));
    let (listed, go_on) = hold_up(&tree.hooks.tables_listed);
    std::thread::scope(|scope| {
        scope.spawn(|| tree.flush(&mut |_| {}).unwrap());
        listed.recv().unwrap();
        tree.tables.major_compact(u64::MAX, Seqno::MAX).unwrap();
        tree.remove_orphans();
        drop(go_on);
    });
    for n in 0..50 {
        assert_eq!(tree.get(&key(n)).unwrap().as_deref(), Some(&b"new"[..]), "{n}");
    }
}

const ALL: PageLimit = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
const ONE: PageLimit = PageLimit { rows_max: 1, ..ALL };

fn range(from: usize, to: usize, reverse: bool) -> KeyRange {
    KeyRange { start: Bound::Included(key(from)), end: Bound::Excluded(key(to)), reverse }
}

/// A page and the steps that it took.
fn counted(tree: &Tree, range: KeyRange, limit: PageLimit) -> (Page, u64) {
    let (mut paging, mut effort) = (Paging::new(tree, range, limit), Effort::unbounded());
    assert!(paging.run(tree, &mut effort).unwrap());
    (paging.into_page(), effort.taken)
}

fn keys(page: &Page) -> Vec<Bytes> {
    page.rows.iter().map(|(key, _)| key.0.clone()).collect()
}

fn delete(tree: &Tree, rows: std::ops::Range<usize>) {
    tree.apply(rows.map(|n| (key(n), None)));
}

/// A deleted range between 0 and 19,999, read from the end where it begins; the only row of it is at the other end.
fn check_deleted_range(reverse: bool) {
    let dir = tempfile::tempdir().unwrap();
    let open = || Tree::open(dir.path(), 1 << 20, 1 << 20).unwrap().0;
    let (tree, value) = (open(), Bytes::from_static(b"an item"));
    let put = |tree: &Tree, n: usize| tree.apply([(key(n), Some(value.clone()))]);
    for n in 0..20 {
        tree.apply((n * 1000..(n + 1) * 1000).map(|n| (key(n), Some(value.clone()))));
        tree.seal_if_due(Lsn(1), n % 8 == 7);
    }
    tree.flush(&mut |_| {}).unwrap();
    let last = if reverse { 0 } else { 19_999 };
    delete(&tree, if reverse { 1..20_000 } else { 0..19_999 });
    let read = |tree: &Tree| counted(tree, range(0, 20_000, reverse), ONE);
    let (page, first) = read(&tree);
    assert_eq!(keys(&page), [key(last)]);
    let (page, second) = read(&tree);
    assert_eq!(keys(&page), [key(last)]);
    assert!(first > 19_000 && second < 200, "{first} {second}");
    put(&tree, 10_000);
    let (page, third) = read(&tree);
    assert_eq!(keys(&page), [key(10_000)]);
    assert!(third < 200, "{third}");
    delete(&tree, 10_000..10_001);
    let (page, fourth) = read(&tree);
    assert_eq!(keys(&page), [key(last)]);
    assert!(fourth < 400, "{fourth}");
    let (page, part) = counted(&tree, range(5_000, 15_000, !reverse), ONE);
    assert!(page.rows.is_empty() && part < 400, "{part}");
    tree.seal_if_due(Lsn(2), true);
    tree.flush(&mut |_| {}).unwrap();
    drop(tree);
    let tree = open();
    let (page, walked) = read(&tree);
    assert_eq!(keys(&page), [key(last)]);
    assert!(walked > 19_000, "{walked}");
    put(&tree, 5_000);
    assert_eq!(keys(&read(&tree).0), [key(5_000)]);
}

#[test]
fn a_deleted_range_is_walked_over_once_and_what_is_put_into_it_is_seen_at_once() {
    check_deleted_range(false);
    check_deleted_range(true);
}

#[test]
fn a_queue_is_read_from_its_head_at_a_bounded_cost() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), 256 << 10, 1 << 20).unwrap();
    let (mut worst, mut all) = (0, 0);
    for n in 0..4_000 {
        tree.apply([(key(n), Some(Bytes::from_static(b"an item")))]);
        if tree.seal_if_due(Lsn(n as u64 + 1), false) {
            tree.flush(&mut |_| {}).unwrap();
        }
        if n < 10 {
            continue;
        }
        let (page, steps) = counted(&tree, range(0, 999_999, false), ONE);
        assert_eq!(keys(&page), [key(n - 10)]);
        (worst, all) = (worst.max(steps), all + steps);
        delete(&tree, n - 10..n - 9);
    }
    assert!(worst < 400 && all / 4_000 < 100, "{worst} {all}");
}

#[test]
fn rows_that_come_to_light_when_files_are_dropped_are_not_taken_for_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
    // The rows are in a table that reaches out of the range, their tombstones in one that does not.
    table_of(&tree, 0..201, "a row");
    let tombstones = Memtable::new(0, 1);
    for n in 100..200 {
        tombstones.insert(&key(n), None, 9);
    }
    let (tables, _) = tree.tables.flush_to_tables(tombstones.newest(&crossbeam_epoch::pin()).map(Ok)).unwrap().unwrap();
    tree.tables.register_tables(&tables, None, None, &[], Seqno::MAX).unwrap();
    tree.list_tables(None).unwrap();
    assert_eq!(keys(&counted(&tree, range(100, 300, false), ONE).0), [key(200)]);
    // A tombstone that stays, so that readers ask whether a gap begins there.
    delete(&tree, 100..101);
    let mut slow = Paging::new(&tree, range(100, 300, false), ONE);
    tree.drop_files(&Bytes::from_static(b"\x40key 000100"), &Bytes::from_static(b"\x40key 000200")).unwrap();
    // Of the view from before, this one must not tell the others what it finds.
    assert!(slow.run(&tree, &mut Effort::unbounded()).unwrap());
    assert_eq!(keys(&slow.into_page()), [key(200)]);
    let found = tree.page(&range(100, 200, false), ALL).unwrap().rows.len();
    let there = (100..200).filter(|n| tree.get(&key(*n)).unwrap().is_some()).count();
    assert_eq!(found, there);
    assert!(there > 0, "the tombstones were not dropped before the rows");
}

#[test]
fn what_was_written_since_a_point_is_known_until_it_is_in_a_table() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
    let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let since = |point, n| tree.get_since(&tree.snapshot(), point, &key(n), || value("seen"));
    table_of(&tree, 0..3, "in a table");
    tree.apply([(key(0), value("before")), (key(1), value("before"))]);
    let point = tree.snapshot().point();
    assert_eq!((since(point, 0), since(point, 2)), (Some(value("before")), Some(value("seen"))));
    tree.apply([(key(0), value("after"))]);
    assert!(tree.seal_if_due(Lsn(2), true));
    tree.apply([(key(1), None)]);
    assert_eq!([0, 1, 2].map(|n| since(point, n)), [Some(value("after")), Some(None), Some(value("seen"))]);
    tree.flush(&mut |_| {}).unwrap();
    assert_eq!([0, 1, 2].map(|n| since(point, n)), [None, None, None]);
    let point = tree.snapshot().point();
    assert_eq!([0, 1].map(|n| since(point, n)), [Some(value("seen")), Some(None)]);
}

#[test]
fn what_is_put_behind_a_reader_is_not_taken_for_deleted() {
    for reverse in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
        tree.apply((0..1000).map(|n| (key(n), Some(Bytes::from_static(b"an item")))));
        delete(&tree, 1..999);
        let mut slow = Paging::new(&tree, range(1, 999, reverse), ONE);
        // Before it comes to watch, while it walks, and behind where it is.
        tree.apply([(key(500), Some(Bytes::from_static(b"early")))]);
        assert!(!slow.run(&tree, &mut Effort::new(300, true)).unwrap());
        tree.apply([(key(if reverse { 990 } else { 10 }), Some(Bytes::from_static(b"late")))]);
        assert!(slow.run(&tree, &mut Effort::unbounded()).unwrap());
        assert!(slow.into_page().rows.is_empty(), "it reads as of when it began");
        let (page, steps) = counted(&tree, range(1, 999, reverse), ALL);
        let late = if reverse { [key(990), key(500)] } else { [key(10), key(500)] };
        assert_eq!(keys(&page), late);
        assert!(steps < 200, "{steps}");
    }
}

/// One step of a life of a tree.
#[derive(Clone, Debug)]
enum Act {
    Put(Vec<u16>),
    Delete { from: u16, count: u16 },
    Seal,
    Flush,
    Compact,
    Reopen,
    Page { from: Bound<u16>, to: Bound<u16>, reverse: bool, rows_max: usize, steps: u64, turns_later: u8 },
}

fn act() -> impl Strategy<Value = Act> {
    let row = || 0..400u16;
    let bound = || {
        prop_oneof![
            3 => row().prop_map(Bound::Included),
            2 => row().prop_map(Bound::Excluded),
            1 => Just(Bound::Unbounded)
        ]
    };
    let limit = prop_oneof![Just(1), 2..8usize, Just(usize::MAX)];
    let page = (bound(), bound(), any::<bool>(), limit, 40..2_000u64, 0..4u8);
    prop_oneof![
        4 => proptest::collection::vec(row(), 1..30).prop_map(Act::Put),
        4 => (row(), 1..200u16).prop_map(|(from, count)| Act::Delete { from, count }),
        2 => Just(Act::Seal),
        1 => Just(Act::Flush),
        1 => Just(Act::Compact),
        1 => Just(Act::Reopen),
        8 => page.prop_map(|(from, to, reverse, rows_max, steps, turns_later)| {
            Act::Page { from, to, reverse, rows_max, steps, turns_later }
        }),
    ]
}

/// A page that is being read, and what it must come to.
struct Pending {
    paging: Paging,
    rows: Vec<(Bytes, Bytes)>,
    limited: bool,
    steps: u64,
    turns_later: u8,
}

impl Pending {
    /// Reads on by a turn. True: the page is complete, and right.
    fn turn(&mut self, tree: &Tree) -> bool {
        // A turn must be enough to begin with.
        self.steps = self.steps.saturating_mul(2);
        if !self.paging.run(tree, &mut Effort::new(self.steps, !self.steps.is_multiple_of(3))).unwrap() {
            return false;
        }
        let page = self.paging.page();
        let rows: Vec<_> = page.rows.iter().map(|(key, value)| (key.0.clone(), value.clone())).collect();
        assert_eq!((rows, page.limited), (std::mem::take(&mut self.rows), self.limited));
        true
    }
}

fn expected(model: &BTreeMap<Bytes, Bytes>, range: &KeyRange, rows_max: usize) -> (Vec<(Bytes, Bytes)>, bool) {
    if range.is_empty() {
        return (Vec::new(), false);
    }
    let rows = model.range((range.start.clone(), range.end.clone())).map(|(key, value)| (key.clone(), value.clone()));
    let mut rows: Vec<_> = if range.reverse { rows.rev().collect() } else { rows.collect() };
    let limited = rows.len() > rows_max;
    rows.truncate(rows_max);
    (rows, limited)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_tree_reads_as_a_map_does(acts in proptest::collection::vec(act(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let open = || Tree::open(dir.path(), 16 << 10, 64 << 10).unwrap().0;
        let (mut tree, mut model, mut pages) = (open(), BTreeMap::new(), Vec::<Pending>::new());
        for (n, act) in acts.into_iter().enumerate() {
            match act {
                Act::Put(rows) => {
                    let value = Bytes::from(format!("value {n}"));
                    let rows: HashMap<Bytes, Option<Bytes>> =
                        rows.into_iter().map(|row| (key(row.into()), Some(value.clone()))).collect();
                    model.extend(rows.keys().map(|key| (key.clone(), value.clone())));
                    tree.apply(rows);
                }
                Act::Delete { from, count } => {
                    let rows = usize::from(from)..usize::from(from + count);
                    model.retain(|row, _| *row < key(rows.start) || *row >= key(rows.end));
                    delete(&tree, rows);
                }
                Act::Seal => drop(tree.seal_if_due(Lsn(n as u64 + 1), true)),
                Act::Flush => tree.flush(&mut |_| {}).unwrap(),
                Act::Compact => tree.compact(&|| false, &mut || ()).unwrap(),
                Act::Reopen => {
                    tree.seal_if_due(Lsn(n as u64 + 1), true);
                    tree.flush(&mut |_| {}).unwrap();
                    pages.clear();
                    drop(tree);
                    tree = open();
                }
                Act::Page { from, to, reverse, rows_max, steps, turns_later } => {
                    let end = |row: Bound<u16>, all: &str| match row.map(|row| key(row.into())) {
                        Bound::Unbounded => Bound::Excluded(Bytes::from(all.to_owned())),
                        bound => bound,
                    };
                    // The tree has a row of its own, in front of all keys.
                    let range = KeyRange { start: end(from, "\x40"), end: end(to, "\x41"), reverse };
                    let (rows, limited) = expected(&model, &range, rows_max);
                    let paging = Paging::new(&tree, range, PageLimit { rows_max, ..ALL });
                    pages.push(Pending { paging, rows, limited, steps, turns_later });
                }
            }
            pages.retain_mut(|page| match page.turns_later.checked_sub(1) {
                Some(later) => {
                    page.turns_later = later;
                    true
                }
                None => !page.turn(&tree),
            });
            for row in (0..400).step_by(7) {
                assert_eq!(tree.get(&key(row)).unwrap().as_ref(), model.get(&key(row)), "{row}");
            }
        }
    }
}

#[test]
fn readers_of_a_queue_that_is_written_find_its_head() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), 64 << 10, 1 << 20).unwrap();
    let (deleted, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    tree.apply([(key(0), Some(Bytes::from_static(b"an item")))]);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (tree, deleted, stop) = (&tree, &deleted, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let before = deleted.load(Ordering::Acquire);
                    let mut paging = Paging::new(tree, range(0, 999_999, false), ONE);
                    let mut turns = 0;
                    while !paging.run(tree, &mut Effort::new(300 * (reader + 1) + turns, true)).unwrap() {
                        turns += 100;
                    }
                    let after = deleted.load(Ordering::Acquire);
                    let page = paging.into_page();
                    let head = page.rows.first().map(|(row, _)| row.0.clone()).expect("the queue is never empty");
                    // One group more may be published than the count says.
                    assert!(
                        key(before as usize) <= head && head <= key(after as usize + 40),
                        "{before} {head:?} {after}"
                    );
                }
            });
        }
        scope.spawn(|| {
            for n in 1..2_000usize {
                let last = n * 20;
                tree.apply((last - 20..=last + 20).map(|row| (key(row), Some(Bytes::from_static(b"an item")))));
                tree.apply((last - 20..last).map(|row| (key(row), None)));
                deleted.store(last as u64, Ordering::Release);
                if tree.seal_if_due(Lsn(n as u64), false) {
                    tree.flush(&mut |_| {}).unwrap();
                }
                if n % 500 == 0 {
                    tree.compact(&|| false, &mut || ()).unwrap();
                }
            }
            stop.store(true, Ordering::Release);
        });
    });
}

fn descriptor(name: &str) -> Bytes {
    tailrace_store::keyspace::TableKey::key(name).0
}

#[test]
fn a_descriptor_that_was_read_is_not_searched_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
    let value = |n: u64| Some(Bytes::from(n.to_string()));
    tree.apply([(descriptor("users"), value(1))]);
    table_of(&tree, 0..50, "items");
    let steps = |expected: Option<Bytes>| {
        let mut effort = Effort::turns(1);
        assert_eq!(tree.get_at(&tree.snapshot(), &descriptor("users"), &mut effort).unwrap(), expected);
        effort.taken
    };
    assert_ne!(steps(value(1)), 0);
    assert_eq!(steps(value(1)), 0);
    // Other rows change nothing; the descriptor's own change is seen at once, and so is its end.
    table_of(&tree, 0..50, "more");
    assert_eq!(steps(value(1)), 0);
    tree.apply([(descriptor("users"), value(2))]);
    assert_ne!(steps(value(2)), 0);
    assert_eq!(steps(value(2)), 0);
    tree.apply([(descriptor("users"), None)]);
    steps(None);
    assert_eq!(steps(None), 0);
}

#[test]
fn a_descriptor_is_never_older_than_what_was_published_before_it_is_read() {
    const CHANGES: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap();
    let published = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let before = published.load(Ordering::Acquire);
                    let found = tree.get(&descriptor("users")).unwrap();
                    let found = found.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap());
                    assert!(found >= before, "{found} was read, and {before} was published");
                    if before == CHANGES {
                        return;
                    }
                }
            });
        }
        for n in 1..=CHANGES {
            tree.apply([(descriptor("users"), Some(Bytes::from(n.to_string()))), (key(0), Some(Bytes::new()))]);
            published.store(n, Ordering::Release);
        }
    });
}

/// Has a reader held up between view and number until the applier has changed the view and published `changes`, or waits
/// for the reader; then gives the reader's snapshot.
fn snapshot_while_the_view_changes(tree: &Arc<Tree>, changes: Vec<Change>) -> Snapshot {
    let (begin, begun) = channel::<()>();
    let done = Arc::new(AtomicBool::new(false));
    let applier = std::thread::spawn({
        let (tree, done) = (tree.clone(), done.clone());
        move || {
            begun.recv().unwrap();
            assert!(tree.seal_if_due(Lsn(1), true));
            tree.apply(changes);
            done.store(true, Ordering::Release);
        }
    });
    let reader = tree.clone();
    *tree.hooks.view_taken.lock() = Some(Box::new(move || {
        begin.send(()).unwrap();
        // A view that cannot be taken any more is one that the applier waits to replace.
        while !done.load(Ordering::Acquire) && reader.view.try_read().is_some() {
            std::thread::yield_now();
        }
    }));
    let snapshot = tree.snapshot();
    applier.join().unwrap();
    snapshot
}

#[test]
fn a_descriptor_is_not_remembered_as_it_was_before_the_view_changed() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Arc::new(Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap().0);
    let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    tree.apply([(descriptor("users"), value("old"))]);
    let snapshot = snapshot_while_the_view_changes(&tree, vec![(descriptor("users"), value("new"))]);
    tree.get_at(&snapshot, &descriptor("users"), &mut Effort::unbounded()).unwrap();
    assert_eq!(tree.get(&descriptor("users")).unwrap(), value("new"));
}

#[test]
fn a_row_that_was_put_as_the_view_changed_is_in_no_gap() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Arc::new(Tree::open(dir.path(), u64::MAX, 1 << 20).unwrap().0);
    tree.apply((0..100).map(|row| (key(row), None)));
    let snapshot = snapshot_while_the_view_changes(&tree, vec![(key(50), Some(Bytes::from_static(b"an item")))]);
    let mut paging = Paging::at(snapshot, range(0, 999_999, false), ONE);
    assert!(paging.run(&tree, &mut Effort::unbounded()).unwrap());
    let page = tree.page(&range(0, 999_999, false), ONE).unwrap();
    assert_eq!(page.rows.len(), 1, "the row is hidden by what the reader remembered");
}

#[test]
fn a_page_over_more_large_rows_than_a_turn_reads_comes_to_its_end_without_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let (tree, _) = Tree::open(dir.path(), u64::MAX, 0).unwrap();
    // What does not get smaller on the disk: to look at the first block of each run takes two turns.
    let mut random = xxh3_64(b"seed");
    let mut value = || -> Bytes {
        let words = (0..50_000).flat_map(|_| {
            random = xxh3_64(&random.to_le_bytes());
            random.to_le_bytes()
        });
        words.collect()
    };
    for n in 0..16 {
        tree.apply([(key(n), Some(value()))]);
        assert!(tree.seal_if_due(Lsn(1), true));
        tree.flush(&mut |_| {}).unwrap();
    }
    let mut paging = Paging::new(&tree, range(0, 999_999, false), ALL);
    let turns = (0..100).take_while(|_| !paging.run_turn(&tree).unwrap()).count();
    assert!(turns < 100, "it is never done");
    assert_eq!(paging.into_page().rows.len(), 16);
}
