//! The life of a stream: it is opened in the commit that enables it, sealed in the one that disables it or deletes its table,
//! and forgotten when its records may go.
//!
//! Invariants: a stream is opened and sealed in the commit that changes its table; a label is used once for a table's name.

use bytes::Bytes;
use tailrace_core::{ApiError, EpochMs};
use tailrace_store::keyspace::{CounterKey, StreamKey, StreamNameKey};
use tailrace_store::{BucketRange, Decision, Key, PageLimit, StoreError, Write, commit};

use super::descriptor::Stream;
use super::label;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::json_row;
use crate::table::Table;

/// An instant for the label of a new stream: later than those of all streams that the table's name ever had and that are
/// still known.
pub(crate) async fn next_label(db: &Db, table: &str, now_ms: EpochMs) -> Result<EpochMs, ApiError> {
    let last = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(StreamNameKey::table_range(table).reversed(), last).await;
    let page = page.map_err(|e| store_failure(&e))?;
    let Some((key, _)) = page.rows.first() else { return Ok(now_ms) };
    let latest_ms = StreamNameKey::decode(key).and_then(|latest| label::instant(&latest.label));
    Ok(now_ms.max(latest_ms.ok_or_else(|| corrupt_row("the label of a stream"))?.next()))
}

/// The writes that open the stream that `table` names, the counter included.
pub(crate) fn open(table: &Table, created_ms: EpochMs, shards: usize) -> Vec<Write> {
    let (Some(enabled), Some(label)) = (&table.stream, &table.latest_stream_label) else { return Vec::new() };
    debug_assert_eq!(*label, label::text(created_ms));
    let stream = Stream::new(table, enabled, label.clone(), created_ms);
    vec![
        Write::Put { key: CounterKey::Stream.encode(), value: CounterKey::value(enabled.id.0 + 1) },
        Write::Put { key: StreamKey { stream: enabled.id }.encode(), value: json_row::encode(&stream) },
        Write::Put {
            key: StreamNameKey::key(&table.name, label),
            value: Bytes::copy_from_slice(&enabled.id.0.to_be_bytes()),
        },
        Write::OpenStream { stream: enabled.id, ranges: bucket_ranges(shards) },
    ]
}

/// The writes that seal a stream whose descriptor's row is `row`; `None`: the row is no descriptor.
pub(crate) fn seal(key: &Key, row: Option<&Bytes>, now_ms: EpochMs) -> Option<Vec<Write>> {
    let row = row?;
    let mut stream = Stream::decode(row)?;
    stream.disabled_ms = Some(now_ms);
    let row = Write::Put { key: key.clone(), value: json_row::encode_over(row, &stream) };
    Some(vec![row, Write::SealStream { stream: stream.id }])
}

/// Forgets a stream whose life after its end is over.
///
/// # Errors
/// The store's.
pub(crate) async fn forget(db: &Db, stream: &Stream) -> Result<(), StoreError> {
    let keys = [StreamKey { stream: stream.id }.encode(), StreamNameKey::key(&stream.table, &stream.label)];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        None => Decision::Reject(()),
        Some(_) => {
            let rows = keys.iter().map(|key| Write::Delete { key: key.clone() });
            Decision::Apply(rows.chain([Write::DropStream { stream: stream.id }]).collect(), ())
        }
    })
    .await?;
    Ok(())
}

/// All buckets in `count` ranges of nearly equal length.
pub(super) fn bucket_ranges(count: usize) -> Vec<BucketRange> {
    let count = count.clamp(1, tailrace_core::limits::SHARDS_PER_STREAM_MAX) as u32;
    (0..count).filter_map(|number| BucketRange::part(number, count)).collect()
}

#[cfg(test)]
mod tests {
    use tailrace_core::Bucket;

    use super::*;

    #[test]
    fn the_shards_of_a_stream_cover_every_bucket_once() {
        for count in [1, 2, 3, 4, 7, 256] {
            let ranges = bucket_ranges(count);
            assert_eq!(ranges.len(), count);
            assert_eq!((ranges[0].first, ranges[count - 1].last), (Bucket::FIRST, Bucket::LAST));
            assert!(ranges.windows(2).all(|w| w[0].last.0 + 1 == w[1].first.0));
        }
    }
}
