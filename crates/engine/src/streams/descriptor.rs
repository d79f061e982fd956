//! A stream's descriptor: what stays of a stream when its table is gone, and how streams are opened and closed. Stored as
//! versioned JSON (docs/format.md, Stream descriptor).
//!
//! Invariants: a stream is opened and closed in the commit that changes its table; a label is used once for a table's
//! name; a stream without `disabled_ms` is the enabled stream of its table.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{ApiError, Bucket, KeySchema};
use tailrace_store::keyspace::{CounterKey, StreamKey, StreamNameKey, TableId};
use tailrace_store::{BucketRange, Key, PageLimit, ShardInfo, ShardNo, StreamId, Write};

use super::label;
use crate::db::{Db, Settings};
use crate::failure::{corrupt_row, store_failure};
use crate::json_row;
use crate::names::StreamArn;
use crate::table::{Table, ViewType};

const DESCRIPTOR_VERSION: u32 = 1;

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    version: u32,
    /// Its number.
    pub id: StreamId,
    /// The name of its table.
    pub table: String,
    /// The number of its table.
    pub table_id: TableId,
    /// Its label.
    pub label: String,
    /// What its records hold.
    pub view: ViewType,
    /// The primary key of its table.
    pub key: KeySchema,
    /// When it was enabled, milliseconds since the epoch.
    pub created_ms: u64,
    /// When it was disabled.
    pub disabled_ms: Option<u64>,
}

impl Stream {
    /// Its ARN.
    pub fn arn(&self, settings: &Settings) -> String {
        settings.stream_arn(&self.table, &self.label)
    }

    fn decode(value: &[u8]) -> Option<Stream> {
        serde_json::from_slice(value).ok().filter(|stream: &Stream| stream.version == DESCRIPTOR_VERSION)
    }
}

/// The text of a shard's id. Source: docs/spec/streams.md 5.1.
pub fn shard_id(shard: &ShardInfo) -> String {
    shard_id_text(shard.created_ms, shard.shard)
}

fn shard_id_text(created_ms: u64, shard: ShardNo) -> String {
    format!("shardId-{created_ms:020}-{:08x}", shard.0 as u32)
}

/// An instant for the label of a new stream: later than those of all streams that the table's name ever had and that are
/// still known.
pub(crate) async fn next_label_ms(db: &Db, table: &str, now_ms: u64) -> Result<u64, ApiError> {
    let last = PageLimit { rows_max: 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(StreamNameKey::table_range(table).reversed(), last).await;
    let page = page.map_err(|e| store_failure(&e))?;
    let Some((key, _)) = page.rows.first() else { return Ok(now_ms) };
    let latest_ms = StreamNameKey::decode(key).and_then(|latest| label::instant_ms(&latest.label));
    Ok(now_ms.max(latest_ms.ok_or_else(|| corrupt_row("the label of a stream"))? + 1))
}

/// The shards of a stream that are open.
pub(crate) async fn open_shards(db: &Db, stream: StreamId) -> Result<Vec<ShardNo>, ApiError> {
    let shards = db.store.shards(stream).await.map_err(|e| store_failure(&e))?;
    Ok(shards.iter().filter(|shard| shard.sealed.is_none()).map(|shard| shard.shard).collect())
}

/// The writes that open the stream that `table` names, the counter included.
pub(crate) fn open(table: &Table, created_ms: u64, shards: usize) -> Vec<Write> {
    let (Some(enabled), Some(label)) = (&table.stream, &table.latest_stream_label) else { return Vec::new() };
    debug_assert_eq!(*label, label::text(created_ms));
    let stream = Stream {
        version: DESCRIPTOR_VERSION,
        id: enabled.id,
        table: table.name.clone(),
        table_id: table.id,
        label: label.clone(),
        view: enabled.view,
        key: table.key.clone(),
        created_ms,
        disabled_ms: None,
    };
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

/// The writes that close a stream whose descriptor's row is `row`; `None`: the row is no descriptor.
pub(crate) fn close(key: &Key, row: Option<&Bytes>, shards: &[ShardNo], now_ms: u64) -> Option<Vec<Write>> {
    let row = row?;
    let mut stream = Stream::decode(row)?;
    stream.disabled_ms = Some(now_ms);
    let seals = shards.iter().map(|shard| Write::Seal { shard: *shard, children: Vec::new() });
    Some(
        std::iter::once(Write::Put { key: key.clone(), value: json_row::encode_over(row, &stream) })
            .chain(seals)
            .collect(),
    )
}

/// All buckets in `count` ranges of nearly equal length.
fn bucket_ranges(count: usize) -> Vec<BucketRange> {
    let count = count.clamp(1, tailrace_core::limits::SHARDS_PER_STREAM_MAX) as u32;
    let start = |index: u32| (65_536 * index).div_ceil(count);
    (0..count)
        .map(|i| BucketRange { first: Bucket(start(i) as u16), last: Bucket((start(i + 1) - 1) as u16) })
        .collect()
}

/// A page of streams: those of one table or of all, behind an ARN's table and label.
pub(crate) async fn list(
    db: &Db,
    table: Option<&str>,
    behind: Option<StreamArn<'_>>,
    limit: usize,
) -> Result<(Vec<StreamNameKey>, bool), ApiError> {
    let mut range = match table {
        Some(table) => StreamNameKey::table_range(table),
        None => StreamNameKey::range(),
    };
    if let Some(arn) = behind {
        let after = StreamNameKey::key(arn.table, arn.label);
        if range.contains(after.as_bytes()) {
            range = StreamNameKey::after(range, arn.table, arn.label);
        } else if table.is_some_and(|table| arn.table > table) {
            return Ok((Vec::new(), false));
        }
    }
    let rows = PageLimit { rows_max: limit + 1, cost_max: usize::MAX, cost: |_, _| 0 };
    let page = db.store.page(range, rows).await.map_err(|e| store_failure(&e))?;
    let mut streams = Vec::with_capacity(limit);
    for (key, _) in page.rows.iter().take(limit) {
        streams.push(StreamNameKey::decode(key).ok_or_else(|| corrupt_row("the key of a stream"))?);
    }
    Ok((streams, page.rows.len() > limit))
}

async fn read_by_number(db: &Db, number: &Bytes) -> Result<Option<Stream>, ApiError> {
    let id = <[u8; 8]>::try_from(&number[..]).map_err(|_| corrupt_row("the number of a stream"))?;
    let keys = [StreamKey { stream: StreamId(u64::from_be_bytes(id)) }.encode()];
    let mut rows = db.store.get(&keys).await.map_err(|e| store_failure(&e))?;
    match rows.pop().flatten() {
        None => Ok(None),
        Some(row) => Stream::decode(&row).map(Some).ok_or_else(|| corrupt_row("the descriptor of a stream")),
    }
}

impl Db {
    /// The stream of an ARN.
    ///
    /// # Errors
    /// ValidationException for what is no stream's ARN, ResourceNotFoundException for an unknown stream, or the store's failure.
    pub async fn stream(&self, arn: &str) -> Result<Stream, ApiError> {
        let parsed = StreamArn::parse(arn).ok_or_else(|| ApiError::validation(format!("Invalid StreamArn: {arn}")))?;
        let unknown = || ApiError::not_found(format!("Requested resource not found: Stream: {arn} not found"));
        if self.settings.stream_arn(parsed.table, parsed.label) != arn {
            return Err(unknown());
        }
        let keys = [StreamNameKey::key(parsed.table, parsed.label)];
        let mut rows = self.store.get(&keys).await.map_err(|e| store_failure(&e))?;
        let number = rows.pop().flatten().ok_or_else(unknown)?;
        read_by_number(self, &number).await?.ok_or_else(unknown)
    }

    /// Every stream that is known, enabled or disabled.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn streams(&self) -> Result<Vec<Stream>, ApiError> {
        let mut range = StreamKey::range();
        let mut streams = Vec::new();
        let rows = PageLimit { rows_max: 1000, cost_max: usize::MAX, cost: |_, _| 0 };
        loop {
            let page = self.store.page(range.clone(), rows).await.map_err(|e| store_failure(&e))?;
            for (_, row) in &page.rows {
                streams.push(Stream::decode(row).ok_or_else(|| corrupt_row("the descriptor of a stream"))?);
            }
            match page.rows.last() {
                Some((last, _)) if page.limited => range = range.after(last),
                _ => return Ok(streams),
            }
        }
    }
}

#[cfg(test)]
mod tests {
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
