//! Checks of streams that are made, split, ended and forgotten by many at the same time.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;

use super::*;
use crate::keyspace::{KeyKind, prefix_range};

pub(super) const CHECKS: &[(&str, Check)] =
    &[("a stream that is made, split, ended and forgotten in races leaves nothing", |s| races(s).boxed())];

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
