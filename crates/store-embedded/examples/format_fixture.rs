//! Writes a small data directory of the present format, for `tests/formats.rs`: one is kept for each format, for ever.
//!
//!     cargo run -p tailrace-store-embedded --example format_fixture -- crates/store-embedded/tests/fixtures/format-N

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::clock::ManualClock;
use tailrace_core::{Bucket, EpochMs, IndexId, TableId};
use tailrace_store::keyspace::{CountChange, ItemSet};
use tailrace_store::{BucketRange, Decision, Engine, Key, NewImage, StoreError, StreamId, Write, commit};
use tailrace_store_embedded::log::LogSettings;
use tailrace_store_embedded::{EmbeddedEngine, Options};

async fn put(engine: &dyn Engine, n: u32) -> Result<(), StoreError> {
    let key = [Key(Bytes::from(format!("\x40item {:02}", n % 20)))];
    let done = commit(engine, &[], &key, |reads| {
        let (old, meta) = (reads.exclusive[0].clone(), Bytes::from(format!("{n}")));
        let put = Write::Put { key: key[0].clone(), value: Bytes::from(format!("value {n:03}")) };
        let bucket = Bucket((n % 20 * 3000) as u16);
        let by = CountChange { rows: i64::from(old.is_none()), bytes: i64::from(n) - 50 };
        let count = Write::Count { set: ItemSet { table: TableId(300), index: IndexId(200) }, by };
        // A row of its own for each write, of which every third goes with the next one.
        let copy = |n: u32| Key(Bytes::from(format!("\x40copy {n:02}")));
        let mut writes = vec![put, Write::PutSame { key: copy(n), of: 0 }, count];
        if n % 3 == 1 {
            writes.push(Write::Delete { key: copy(n - 1) });
        }
        writes.push(Write::Append { stream: StreamId(1), bucket, meta, old, new: NewImage::OfWrite(0) });
        Decision::Apply(writes, ())
    });
    done.await.map(|_| ())
}

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let Some(dir) = std::env::args().nth(1).map(PathBuf::from) else {
        return Err(StoreError::Invalid("say where the data directory is to be made".to_owned()));
    };
    let options = || {
        let mut options = Options::new(Arc::new(ManualClock::at(EpochMs(1_800_000_000_000))), [9; 16]);
        options.log = LogSettings { segment_bytes: 64 * 1024, ..LogSettings::default() };
        options
    };
    let engine = EmbeddedEngine::open(&dir, options())?;
    let marker = [Key(Bytes::from_static(b"\x01stream"))];
    let ranges = vec![
        BucketRange { first: Bucket(0), last: Bucket(32767) },
        BucketRange { first: Bucket(32768), last: Bucket(65535) },
    ];
    commit(engine.as_ref(), &[], &marker, |_| {
        let put = Write::Put { key: marker[0].clone(), value: Bytes::from_static(b"open") };
        Decision::Apply(vec![put, Write::OpenStream { stream: StreamId(1), ranges: ranges.clone() }], ())
    })
    .await?;
    for n in 0..60 {
        put(engine.as_ref(), n).await?;
    }
    engine.shutdown().await?;
    drop(engine);
    // The second life ends as a kill does: its writes are in the log alone.
    let engine = EmbeddedEngine::open(&dir, options())?;
    for n in 60..100 {
        put(engine.as_ref(), n).await?;
    }
    Ok(())
}
