//! The open shards of a stream are sealed, and their children take what comes: AWS does so every few hours. Here an operator asks
//! for it, and tests do. Source: docs/spec/streams.md 5.

use tailrace_core::limits::{SHARDS_KNOWN_PER_STREAM_MAX, SHARDS_PER_STREAM_MAX};
use tailrace_core::{ApiError, BucketRange, ErrorCode};
use tailrace_store::{Decision, Declared, ShardState, Write, commit_declared};

use crate::db::Db;
use crate::failure::store_failure;

/// Into what a shard is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Children {
    /// One child, with all that it had.
    One,
    /// Two, each with half of its buckets.
    Halves,
}

/// Seals the shards of a table's stream that are open, all in one commit: how many those were; none if the table has no stream. A shard of
/// one bucket, and those of a stream that would have more than [`SHARDS_PER_STREAM_MAX`] open, have one child each, whatever is asked for.
///
/// # Errors
/// There is no such table, the stream has [`SHARDS_KNOWN_PER_STREAM_MAX`] shards or more, or the store's failure.
pub async fn roll_over(db: &Db, table: &str, children: Children) -> Result<usize, ApiError> {
    let Some(stream) = db.table(table).await?.stream.as_ref().map(|stream| stream.id) else { return Ok(0) };
    let streams = [stream];
    let declared = Declared { streams: &streams, ..Declared::default() };
    // Who asks at the same time finds the children.
    let sealed = commit_declared(db.store.as_ref(), declared, |reads| {
        let known = &reads.streams[0];
        if known.len() >= SHARDS_KNOWN_PER_STREAM_MAX {
            let text = format!("The stream has {} shards, open and sealed; no more are sealed on request", known.len());
            return Decision::Reject(Err(ApiError::new(ErrorCode::LimitExceededException, text)));
        }
        let open: Vec<&ShardState> = known.iter().filter(|shard| shard.open).collect();
        let is_split = children == Children::Halves && open.len() * 2 <= SHARDS_PER_STREAM_MAX;
        let seal = |shard: &&ShardState| Write::Seal {
            shard: shard.shard,
            children: if is_split { halves(shard.range) } else { vec![shard.range] },
        };
        Decision::Apply(open.iter().map(seal).collect(), Ok(open.len()))
    });
    sealed.await.map_err(|e| store_failure(&e))?.answer
}

fn halves(range: BucketRange) -> Vec<BucketRange> {
    if range.first == range.last {
        return vec![range];
    }
    let middle = range.first.0 + (range.last.0 - range.first.0) / 2;
    let next = tailrace_core::Bucket(middle + 1);
    vec![
        BucketRange { first: range.first, last: tailrace_core::Bucket(middle) },
        BucketRange { first: next, last: range.last },
    ]
}
