//! Checks of streams that are made, split, ended and forgotten by many at the same time.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;

use super::*;
use crate::keyspace::{KeyKind, prefix_range};

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a stream that is made, split, ended and forgotten in races leaves nothing", |s| races(s).boxed()),
    ("a page beside the log holds what its number says, and no more", |s| pages_beside_the_log(s).boxed()),
];

/// A writer counts two rows up, with a record each time; a reader looks at them beside the log all the while.
async fn pages_beside_the_log(subject: &mut dyn Subject) {
    const COMMITS: u64 = 400;
    let engine = subject.engine();
    let shard = open_stream(&*engine, 1).await;
    let empty = open_stream(&*engine, 2).await;
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (engine, done) = (engine.clone(), done.clone());
        tokio::spawn(async move {
            for count in 1..=COMMITS {
                let text = format!("{count:06}");
                let rows = [put("count/a", text.clone()), put("count/b", text.clone())];
                write(&*engine, rows.into_iter().chain([append(1, 0, text)]).collect()).await.unwrap();
            }
            done.store(true, Ordering::SeqCst);
        })
    };
    let mut looks = Vec::new();
    loop {
        let last = done.load(Ordering::SeqCst);
        let limit = PageLimit { rows_max: 10, cost_max: usize::MAX, cost: |_, _| 0 };
        let range = prefix_range(key("count/").as_bytes());
        let (page, numbers) = engine.page_beside_log(range, limit, &[shard, empty]).await.unwrap();
        let values: Vec<u64> =
            page.rows.iter().map(|(_, value)| String::from_utf8_lossy(value).parse().unwrap()).collect();
        assert!(values.is_empty() || (values.len() == 2 && values[0] == values[1]), "of one point in time: {values:?}");
        assert_eq!(numbers.len(), 2);
        looks.push((values.first().copied().unwrap_or(0), numbers[0]));
        if last {
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    let records = read_all(&*engine, shard).await;
    for (count, number) in looks {
        let behind = records.iter().filter(|record| record.number <= number).count() as u64;
        assert_eq!(behind, count, "records up to {number:?} are in the rows, and no later ones");
    }
    let unknown = engine.page_beside_log(
        prefix_range(b"x"),
        PageLimit { rows_max: 1, cost_max: 1, cost: |_, _| 0 },
        &[ShardNo(99)],
    );
    assert!(matches!(unknown.await, Err(StoreError::NoSuchShard(_))));
}

const STREAMS: u64 = 150;
/// Names of the rows of streams that are open, and of those that have ended.
const OPEN: &str = "open/";
const ENDED: &str = "ended/";

fn row(state: &str, stream: u64) -> String {
    format!("{state}{stream:04}")
}

/// The streams of a state, by their rows.
async fn streams(engine: &dyn Engine, state: &str) -> Vec<u64> {
    let page = rows(engine, prefix_range(key(state).as_bytes()), usize::MAX).await;
    names(&page).iter().map(|name| name[state.len()..].parse().unwrap()).collect()
}

async fn races(subject: &mut dyn Subject) {
    let engine = subject.engine();
    let made = Arc::new(AtomicBool::new(false));
    let maker = {
        let (engine, made) = (engine.clone(), made.clone());
        tokio::spawn(async move {
            for stream in 0..STREAMS {
                let open = Write::OpenStream { stream: StreamId(stream), ranges: vec![ALL] };
                write(&*engine, vec![put(&row(OPEN, stream), "x"), open]).await.unwrap();
            }
            made.store(true, Ordering::SeqCst);
        })
    };
    let splitter = {
        let (engine, made) = (engine.clone(), made.clone());
        tokio::spawn(async move {
            while !made.load(Ordering::SeqCst) {
                for stream in streams(&*engine, OPEN).await {
                    let shards = engine.shards(StreamId(stream)).await.unwrap();
                    let Some(open) = shards.iter().find(|info| info.sealed.is_none()) else { continue };
                    // By now someone may have ended the stream, or forgotten it.
                    let children = vec![open.range];
                    write(&*engine, vec![Write::Seal { shard: open.shard, children }]).await.unwrap();
                }
                // An engine may answer at once: a task that never gives way would keep the maker from its thread.
                tokio::task::yield_now().await;
            }
        })
    };
    let ender = {
        let (engine, made) = (engine.clone(), made.clone());
        tokio::spawn(async move {
            loop {
                let last = made.load(Ordering::SeqCst);
                for stream in streams(&*engine, OPEN).await {
                    let shards = engine.shards(StreamId(stream)).await.unwrap();
                    assert!(!shards.is_empty(), "the row of stream {stream} is seen, and its shards are not");
                    let seal = Write::SealStream { stream: StreamId(stream) };
                    let rows = [Write::Delete { key: key(&row(OPEN, stream)) }, put(&row(ENDED, stream), "x")];
                    write(&*engine, rows.into_iter().chain([seal]).collect()).await.unwrap();
                    let shards = engine.shards(StreamId(stream)).await.unwrap();
                    assert!(shards.iter().all(|info| info.sealed.is_some()), "stream {stream} has ended");
                }
                if last {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let forgetter = {
        let engine = engine.clone();
        tokio::spawn(async move {
            let mut forgotten = 0;
            while forgotten < STREAMS {
                for stream in streams(&*engine, ENDED).await {
                    let row = Write::Delete { key: key(&row(ENDED, stream)) };
                    write(&*engine, vec![row, Write::DropStream { stream: StreamId(stream) }]).await.unwrap();
                    forgotten += 1;
                }
                tokio::task::yield_now().await;
            }
        })
    };
    for task in [maker, splitter, ender, forgetter] {
        task.await.unwrap();
    }
    for stream in 0..STREAMS {
        assert!(engine.shards(StreamId(stream)).await.unwrap().is_empty(), "stream {stream} is left");
    }
    assert!(rows(&*engine, KeyKind::Shard.range(), 9).await.rows.is_empty());
    drop(engine);
    subject.crash();
    assert!(rows(&*subject.engine(), KeyKind::Shard.range(), 9).await.rows.is_empty());
}
