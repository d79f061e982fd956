//! The tree by itself: interleavings that the engine's tests cannot bring about.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// What a test does at a point of the tree's code.
type Hook = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Points at which a test may hold a thread up.
#[derive(Default)]
pub(crate) struct Hooks {
    view_replaced: Hook,
    tables_listed: Hook,
}

impl Hooks {
    pub fn view_replaced(&self) {
        run(&self.view_replaced);
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
    let (view, snapshot) = tree.snapshot();
    tree.apply([(key(99), Some(Bytes::from_static(b"later")))]);
    let (replaced, go_on) = hold_up(&tree.hooks.view_replaced);
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(tree.seal_if_due(Lsn(2), true)));
        replaced.recv().unwrap();
        // Of the views that have these tables, only the one that the reader took before is left.
        tree.tables.major_compact(u64::MAX, Seqno::MAX).unwrap();
        tree.list_tables(None);
        tree.remove_orphans();
        drop(go_on);
    });
    for n in 0..50 {
        assert_eq!(view.get(&key(n), snapshot).unwrap().as_deref(), Some(&b"new"[..]), "{n}");
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
