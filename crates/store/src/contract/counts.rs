//! Checks of counts: each change counts once, whatever becomes of the power, and is seen together with its commit.

use futures_util::FutureExt;
use tailrace_core::{IndexId, TableId};

use super::*;
use crate::keyspace::{CountChange, ItemCount, ItemCountKey, ItemSet};

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("counts of many commits at once add up, and stay so through crashes", |s| added(s).boxed()),
    ("a count is of the same point in time as the rows that it counts", |s| together(s).boxed()),
    ("a count is neither visible nor kept before its commit is durable", |s| held(s).boxed()),
    ("a count that is deleted begins again", |s| deleted(s).boxed()),
    ("rows are counted as of the moment of another row, beside writers", |s| tallied(s).boxed()),
];

fn set(index: u32) -> ItemSet {
    ItemSet { table: TableId(7), index: IndexId(index) }
}

fn count(index: u32, rows: i64, bytes: i64) -> Write {
    Write::Count { set: set(index), by: CountChange { rows, bytes } }
}

fn delete(index: u32) -> Write {
    Write::Delete { key: ItemCountKey { set: set(index) }.encode() }
}

/// Rows and bytes; both 0 if there is no row.
async fn counted(engine: &dyn Engine, index: u32) -> (u64, u64) {
    let value = engine.get(&[ItemCountKey { set: set(index) }.encode()]).await.unwrap().remove(0);
    let ItemCount { rows, bytes } = ItemCount::read(value.as_ref()).unwrap();
    (rows, bytes)
}

async fn added(subject: &mut dyn Subject) {
    let all = 8 * 25;
    for round in 1..4u64 {
        let engine = subject.engine();
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let engine = engine.clone();
                tokio::spawn(async move {
                    for n in 0..25 {
                        let mut writes = vec![count(0, 2, 10 + n), count(1, 1, 3), count(0, -1, -n)];
                        if n % 2 == 0 {
                            writes.push(put(&format!("item {task} {n}"), "x"));
                        }
                        write(&*engine, writes).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let expected = [(all * round, 10 * all * round), (all * round, 3 * all * round), (0, 0)];
        for crash in 0..3 {
            let engine = subject.engine();
            for (index, expected) in (0..).zip(expected) {
                assert_eq!(counted(&*engine, index).await, expected, "index {index}, round {round}, crash {crash}");
            }
            let page = rows(&*engine, ItemCountKey::with_indexes(TableId(7)), 9).await;
            assert_eq!(page.rows.len(), 2, "what was never counted has no row");
            drop(engine);
            subject.crash();
        }
    }
}

async fn together(subject: &mut dyn Subject) {
    const ROWS: u64 = 120;
    let engine = subject.engine();
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let engine = engine.clone();
            tokio::spawn(async move {
                for n in (writer..ROWS).step_by(4) {
                    write(&*engine, vec![count(0, 1, 5), put(&format!("{n:03}"), "12345")]).await.unwrap();
                    let (rows, bytes) = counted(&*engine, 0).await;
                    assert!(rows > n / 4, "an answered commit is counted");
                    assert_eq!(bytes, rows * 5);
                }
            })
        })
        .collect();
    let mut keys: Vec<Key> = (0..ROWS).map(|n| key(&format!("{n:03}"))).collect();
    keys.push(ItemCountKey { set: set(0) }.encode());
    let mut seen = 0;
    while seen < ROWS {
        let values = engine.get(&keys).await.unwrap();
        seen = values[..ROWS as usize].iter().flatten().count() as u64;
        let told = ItemCount::read(values.last().unwrap().as_ref()).unwrap();
        assert_eq!(told, ItemCount { rows: seen, bytes: 5 * seen });
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn held(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write(&*engine, vec![count(0, 1, 10)]).await.unwrap();
    subject.hold_syncs(true);
    let mut tasks: Vec<_> = (0..3).map(|_| write_later(subject, vec![count(0, 1, 10)])).collect();
    assert!(is_waiting(&mut tasks[0]).await);
    assert_eq!(counted(&*engine, 0).await, (1, 10), "a count is visible before its sync");
    subject.hold_syncs(false);
    for task in tasks.drain(..) {
        task.await.unwrap().unwrap();
    }
    assert_eq!(counted(&*engine, 0).await, (4, 40));
    subject.hold_syncs(true);
    let mut lost = write_later(subject, vec![count(0, 1, 10)]);
    assert!(is_waiting(&mut lost).await);
    drop(engine);
    subject.crash();
    assert!(lost.await.unwrap().is_err());
    assert_eq!(counted(&*subject.engine(), 0).await, (4, 40));
}

async fn deleted(subject: &mut dyn Subject) {
    let engine = subject.engine();
    write(&*engine, vec![count(0, 5, 50), delete(0), count(0, 2, 20), count(1, 1, 1)]).await.unwrap();
    assert_eq!(counted(&*engine, 0).await, (2, 20), "of what one commit does, the last counts");
    // In one group, if the engine has groups.
    subject.hold_syncs(true);
    let pieces = [vec![count(0, 9, 90)], vec![delete(0)], vec![count(0, 3, 30)], vec![count(1, 1, 1)], vec![delete(1)]];
    let mut tasks = Vec::new();
    for writes in pieces {
        tasks.push(write_later(subject, writes));
        // The next comes behind it.
        assert!(is_waiting(tasks.last_mut().unwrap()).await);
    }
    subject.hold_syncs(false);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for _ in 0..2 {
        let engine = subject.engine();
        assert_eq!(counted(&*engine, 0).await, (3, 30));
        let rows = rows(&*engine, ItemCountKey::with_indexes(TableId(7)), 9).await.rows;
        assert_eq!(rows.len(), 1, "a deleted row is gone");
        drop(engine);
        subject.crash();
    }
}

async fn tallied(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let row = |n: u64| put(&format!("r{n:05}"), vec![b'x'; n as usize % 7]);
    for piece in 0..5 {
        write(&*engine, (0..500).map(|n| row(500 * piece + n)).collect()).await.unwrap();
    }
    write(&*engine, vec![put("q", "no"), put("s", "no")]).await.unwrap();
    let range = || crate::keyspace::prefix_range(key("r").as_bytes());
    let at = ItemCountKey { set: set(0) }.encode();
    let tally = engine.tally(range(), <[u8]>::len, &at).await.unwrap();
    let expected = ItemCount { rows: 2500, bytes: (0..2500).map(|n| n % 7).sum() };
    assert_eq!(tally, Tally { count: expected, value: None });
    // From here on every change is counted: what the count lacks stays the same, whenever it is looked at.
    let writer = {
        let engine = engine.clone();
        tokio::spawn(async move {
            for n in 2500..2600 {
                write(&*engine, vec![put(&format!("r{n:05}"), "abc"), count(0, 1, 3)]).await.unwrap();
            }
        })
    };
    let mut looks = 0;
    while !writer.is_finished() || looks == 0 {
        let Tally { count, value } = engine.tally(range(), <[u8]>::len, &at).await.unwrap();
        let lacks = CountChange::between(ItemCount::read(value.as_ref()).unwrap(), count);
        assert_eq!(ItemCount::default().changed(lacks), expected);
        looks += 1;
    }
    writer.await.unwrap();
    let empty = crate::keyspace::prefix_range(key("t").as_bytes());
    assert_eq!(engine.tally(empty, <[u8]>::len, &key("q")).await.unwrap().count, ItemCount::default());
    assert_eq!(engine.tally(range(), <[u8]>::len, &key("q")).await.unwrap().value.as_deref(), Some(&b"no"[..]));
}
