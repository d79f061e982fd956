//! DescribeStream. Source: docs/spec/streams.md 4 and 5.

use tailrace_api::Timestamp;
use tailrace_api::streams::{
    DescribeStreamAnswer, DescribeStreamRequest, SequenceNumberRange, Shard, StreamDescription, StreamStatus,
};
use tailrace_core::{ApiError, EpochMs, SequenceNumber};
use tailrace_store::{LogPosition, ShardInfo, StoreError};

use crate::caller::Caller;
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::shard_id::ShardId;
use crate::tables::description::key_schema;

/// Runs DescribeStream.
///
/// # Errors
/// What the client is to read.
pub async fn describe_stream(
    db: &Db,
    request: DescribeStreamRequest,
    _caller: &Caller<'_>,
) -> Result<DescribeStreamAnswer, ApiError> {
    let stream = db.stream(request.stream_arn.as_str()).await?;
    let all = db.store.shards(stream.id).await.map_err(|e| store_failure(&e))?;
    let parent = |shard: &ShardInfo| {
        // The store gives the shards by number.
        let found = shard.parent.and_then(|parent| all.binary_search_by_key(&parent, |other| other.shard).ok());
        found.map(|at| ShardId::of(&all[at]))
    };
    let mut page: Vec<(ShardId, &ShardInfo)> = all.iter().map(|shard| (ShardId::of(shard), shard)).collect();
    page.sort_unstable_by_key(|(id, _)| *id);
    // It may be one that is told of no more, since the page before.
    if let Some(start) = &request.exclusive_start_shard_id {
        // Nothing comes after a shard that there is not, wherever its id would stand.
        let at = ShardId::parse(start).and_then(|start| page.binary_search_by_key(&start, |(id, _)| *id).ok());
        page.drain(..at.map_or(page.len(), |at| at + 1));
    }
    if let Some(of) = &request.children_of {
        let of = ShardId::parse(of);
        page.retain(|(_, shard)| of.is_some() && parent(shard) == of);
    }
    let mut told = Vec::with_capacity(page.len().min(request.limit));
    for (id, shard) in page {
        // One more than there may be says that there are more.
        if told.len() > request.limit {
            break;
        }
        if !is_trimmed_whole(db, shard).await? {
            told.push((id, shard));
        }
    }
    let mut page = told;
    let more = page.len() > request.limit;
    page.truncate(request.limit);
    let last_evaluated_shard_id = page.last().filter(|_| more).map(|(id, _)| id.to_string());
    let shards = page
        .into_iter()
        .map(|(id, shard)| Shard {
            shard_id: id.to_string(),
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: SequenceNumber(shard.first.max(shard.horizon)),
                // One that never had a record may be sealed below its first number.
                ending_sequence_number: shard.sealed.map(|last| SequenceNumber(last.max(shard.first))),
            },
            parent_shard_id: parent(shard).map(|parent| parent.to_string()),
        })
        .collect();
    Ok(DescribeStreamAnswer {
        stream_description: StreamDescription {
            stream_arn: request.stream_arn,
            stream_label: stream.label,
            stream_status: if stream.disabled_ms.is_some() { StreamStatus::Disabled } else { StreamStatus::Enabled },
            stream_view_type: stream.view,
            creation_request_date_time: Timestamp(stream.created_ms),
            table_name: stream.table,
            key_schema: key_schema(&stream.key),
            shards,
            last_evaluated_shard_id,
        },
    })
}

/// Whether a shard has ended and has no record any more, and so is told of no longer. One that never had a record is, while its stream is.
async fn is_trimmed_whole(db: &Db, shard: &ShardInfo) -> Result<bool, ApiError> {
    if shard.sealed.is_none() || shard.horizon <= shard.first {
        return Ok(false);
    }
    // That of its last record; before the horizon: there is none.
    match db.store.position(shard.shard, LogPosition::Time(EpochMs(u64::MAX))).await {
        Ok(last) => Ok(last < shard.horizon),
        Err(StoreError::NoSuchShard(_)) => Ok(true),
        Err(error) => Err(store_failure(&error)),
    }
}
