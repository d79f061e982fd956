//! A stream's descriptor: what stays of a stream when its table is gone, and how streams are found. Stored as versioned JSON
//! (docs/format.md, Stream descriptor); how it comes and goes is `life`'s.
//!
//! Invariant: a stream without `disabled_ms` is the enabled stream of its table.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::{ApiError, EpochMs, ErrorCode, KeySchema, StreamArn};
use tailrace_store::keyspace::{StreamKey, StreamNameKey, TableId};
use tailrace_store::{PageLimit, ShardInfo, StreamId};

use super::shard_id::ShardId;
use crate::db::Db;
use crate::failure::{corrupt_row, store_failure};
use crate::names::StreamArnParts;
use crate::settings::Settings;
use crate::table::{Table, TableStream, ViewType};

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
    /// When it was enabled.
    pub created_ms: EpochMs,
    /// When it was disabled.
    pub disabled_ms: Option<EpochMs>,
}

impl Stream {
    /// Its ARN.
    pub fn arn(&self, settings: &Settings) -> StreamArn {
        settings.stream_arn(&self.table, &self.label)
    }

    /// The enabled stream of `table`.
    pub(crate) fn new(table: &Table, enabled: &TableStream, label: String, created_ms: EpochMs) -> Stream {
        Stream {
            version: DESCRIPTOR_VERSION,
            id: enabled.id,
            table: table.name.clone(),
            table_id: table.id,
            label,
            view: enabled.view,
            key: table.key.clone(),
            created_ms,
            disabled_ms: None,
        }
    }

    /// Reads a row's value. `None`: it is no descriptor of a version that this code knows.
    pub(crate) fn decode(value: &[u8]) -> Option<Stream> {
        serde_json::from_slice(value).ok().filter(|stream: &Stream| stream.version == DESCRIPTOR_VERSION)
    }
}

/// The text of a shard's id.
pub fn shard_id(shard: &ShardInfo) -> String {
    ShardId::of(shard).to_string()
}

/// A page of streams: those of one table or of all, behind an ARN's table and label.
pub(crate) async fn list(
    db: &Db,
    table: Option<&str>,
    behind: Option<StreamArnParts<'_>>,
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

/// The error for a stream that is unknown, or known no more.
pub(crate) fn no_such_stream(arn: &str) -> ApiError {
    ApiError::not_found(format!("Requested resource not found: Stream: {arn} not found"))
}

impl Db {
    /// The oldest stream that there is of a table's name and that was made after the one with this ARN, enabled or not, of this
    /// table or of one that was made anew under its name.
    ///
    /// # Errors
    /// ValidationException for what is no stream's ARN, or the store's failure.
    pub async fn stream_after(&self, arn: &str) -> Result<Option<Stream>, ApiError> {
        let parsed =
            StreamArnParts::parse(arn).ok_or_else(|| ApiError::validation(format!("Invalid StreamArn: {arn}")))?;
        let table = parsed.table;
        let (next, _) = list(self, Some(table), Some(parsed), 1).await?;
        let Some(StreamNameKey { table, label }) = next.into_iter().next() else { return Ok(None) };
        match self.stream(self.settings.stream_arn(&table, &label).as_str()).await {
            // It was forgotten since.
            Err(error) if error.code == ErrorCode::ResourceNotFoundException => Ok(None),
            found => found.map(Some),
        }
    }

    /// The stream of an ARN.
    ///
    /// # Errors
    /// ValidationException for what is no stream's ARN, ResourceNotFoundException for an unknown stream, or the store's failure.
    pub async fn stream(&self, arn: &str) -> Result<Stream, ApiError> {
        let parsed =
            StreamArnParts::parse(arn).ok_or_else(|| ApiError::validation(format!("Invalid StreamArn: {arn}")))?;
        let unknown = || no_such_stream(arn);
        if self.settings.stream_arn(parsed.table, parsed.label) != arn {
            return Err(unknown());
        }
        let keys = [StreamNameKey::key(parsed.table, parsed.label)];
        let mut rows = self.store.get(&keys).await.map_err(|e| store_failure(&e))?;
        let number = rows.pop().flatten().ok_or_else(unknown)?;
        read_by_number(self, &number).await?.ok_or_else(unknown)
    }
}
