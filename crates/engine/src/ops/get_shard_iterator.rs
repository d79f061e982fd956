//! GetShardIterator: a position, fixed now. Source: docs/spec/streams.md 6.

use tailrace_api::streams::{GetShardIteratorAnswer, GetShardIteratorRequest, ShardIteratorType};
use tailrace_core::limits::TIMESTAMP_AHEAD_MAX;
use tailrace_core::{ApiError, ErrorCode, RecordNo, SequenceNumber, StreamArn};
use tailrace_store::{LogPosition, ShardInfo, StoreError};

use crate::caller::Caller;
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::iterator::ShardIterator;
use crate::streams::shard_id::ShardId;

/// The error for a shard that is unknown, or known no more.
pub(super) fn no_such_shard() -> ApiError {
    ApiError::not_found("Requested resource not found: Shard does not exist")
}

/// The error for a position behind the horizon.
pub(super) fn trimmed() -> ApiError {
    ApiError::new(
        ErrorCode::TrimmedDataAccessException,
        "The operation attempted to read past the oldest stream record in a shard. The data you are trying to access has \
         been trimmed.",
    )
}

/// Failures of the store as the stream operations answer them.
pub(super) fn shard_failure(failure: StoreError) -> ApiError {
    match failure {
        StoreError::NoSuchShard(_) => no_such_shard(),
        failure => store_failure(&failure),
    }
}

/// Runs GetShardIterator.
///
/// # Errors
/// What the client is to read.
pub async fn get_shard_iterator(
    db: &Db,
    request: GetShardIteratorRequest,
    _caller: &Caller<'_>,
) -> Result<GetShardIteratorAnswer, ApiError> {
    let arn = request.stream_arn.as_str();
    if let ShardIteratorType::AtTimestamp(timestamp) = request.position
        && timestamp.0 > db.clock.now().plus(TIMESTAMP_AHEAD_MAX)
    {
        return Err(ApiError::validation("The Timestamp must not be in the future"));
    }
    let stream = db.stream(arn).await?;
    let shards = db.store.shards(stream.id).await.map_err(|e| store_failure(&e))?;
    let wanted = ShardId::parse(&request.shard_id).ok_or_else(no_such_shard)?;
    let shard = shards.iter().find(|shard| ShardId::of(shard) == wanted).ok_or_else(no_such_shard)?;
    let at = async |position| db.store.position(shard.shard, position).await.map_err(shard_failure);
    let (after, untrimmed) = match &request.position {
        ShardIteratorType::TrimHorizon => (at(LogPosition::Horizon).await?, true),
        ShardIteratorType::Latest => (at(LogPosition::End).await?, true),
        ShardIteratorType::AtTimestamp(timestamp) => (at(LogPosition::Time(timestamp.0)).await?, true),
        ShardIteratorType::AtSequenceNumber(number, text) => (behind(db, shard, *number, number.0, text).await?, false),
        ShardIteratorType::AfterSequenceNumber(number, text) => {
            (behind(db, shard, *number, number.0.next(), text).await?, false)
        }
    };
    let issued_ms = db.clock.now();
    let iterator = ShardIterator { stream: stream.id, shard: shard.shard, after, untrimmed, issued_ms };
    Ok(GetShardIteratorAnswer {
        shard_iterator: iterator.token(&StreamArn::new(arn), &db.iterator_secret, db.rng.next_u64()),
    })
}

/// The number to read after, for a first record at `first_wanted`: the sequence number, which was sent as `text`, or the one
/// behind it. The sequence number must lie within the shard.
async fn behind(
    db: &Db,
    shard: &ShardInfo,
    number: SequenceNumber,
    first_wanted: RecordNo,
    text: &str,
) -> Result<RecordNo, ApiError> {
    let last = match shard.sealed {
        Some(last) => last,
        None => db.store.position(shard.shard, LogPosition::End).await.map_err(shard_failure)?,
    };
    let start = shard.first.max(shard.horizon);
    if first_wanted < start {
        return Err(trimmed());
    }
    // An idle shard begins at a number that no record has yet.
    if number.0 > last && number.0 > start {
        return Err(ApiError::validation(format!("Invalid SequenceNumber: {text} is beyond the shard's range")));
    }
    Ok(first_wanted.before())
}
