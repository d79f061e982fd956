//! GetShardIterator: a position, fixed now. Source: docs/spec/streams.md 6.

use serde::Serialize;
use tailrace_core::limits::TIMESTAMP_AHEAD_MS_MAX;
use tailrace_core::{ApiError, ErrorCode, Json, RecordNo, SequenceNumber};
use tailrace_store::{LogPosition, ShardInfo, StoreError};

use super::Request;
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::descriptor::shard_id;
use crate::streams::iterator::ShardIterator;

/// The token.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    shard_iterator: String,
}

/// The error for a shard that is unknown, or known no more.
pub(crate) fn no_such_shard() -> ApiError {
    ApiError::not_found("Requested resource not found: Shard does not exist")
}

/// The error for a position behind the horizon.
pub(crate) fn trimmed() -> ApiError {
    ApiError::new(
        ErrorCode::TrimmedDataAccessException,
        "The operation attempted to read past the oldest stream record in a shard. The data you are trying to access has \
         been trimmed.",
    )
}

/// Failures of the store as the stream operations answer them.
pub(crate) fn shard_failure(failure: StoreError) -> ApiError {
    match failure {
        StoreError::NoSuchShard(_) => no_such_shard(),
        failure => store_failure(&failure),
    }
}

/// GetShardIterator.
pub(crate) async fn get_shard_iterator(db: &Db, request: Request<'_>) -> Result<Answer, ApiError> {
    let arn = request.text("StreamArn").unwrap_or_default();
    let kind = request.text("ShardIteratorType").unwrap_or_default();
    let number = number(&request, kind)?;
    let time_ms = time_ms(db, &request, kind)?;
    let stream = db.stream(arn).await?;
    let wanted = request.text("ShardId").unwrap_or_default();
    let shards = db.store.shards(stream.id).await.map_err(|e| store_failure(&e))?;
    let shard = shards.iter().find(|shard| shard_id(shard) == wanted).ok_or_else(no_such_shard)?;
    let position = |position| db.store.position(shard.shard, position);
    let (after, untrimmed) = match (number, time_ms) {
        (Some(number), _) => {
            let text = request.text("SequenceNumber").unwrap_or_default();
            (behind(db, shard, kind, number, text).await?, false)
        }
        (None, Some(ms)) => (position(LogPosition::Time(ms)).await.map_err(shard_failure)?, true),
        (None, None) if kind == "LATEST" => (position(LogPosition::End).await.map_err(shard_failure)?, true),
        (None, None) => (position(LogPosition::Horizon).await.map_err(shard_failure)?, true),
    };
    let issued_ms = db.clock.now_ms();
    let iterator = ShardIterator { stream: stream.id, shard: shard.shard, after, untrimmed, issued_ms };
    Ok(Answer { shard_iterator: iterator.token(arn, &db.iterator_secret, db.rng.next_u64()) })
}

fn number(request: &Request<'_>, kind: &str) -> Result<Option<SequenceNumber>, ApiError> {
    match (kind, request.text("SequenceNumber")) {
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => {
            Err(ApiError::validation(format!("A SequenceNumber is required when ShardIteratorType is {kind}")))
        }
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", Some(text)) => match SequenceNumber::parse(text) {
            Some(number) => Ok(Some(number)),
            None => Err(ApiError::validation(format!("Invalid SequenceNumber: {text}"))),
        },
        (_, Some(_)) => Err(ApiError::validation(format!(
            "A SequenceNumber must not be specified when ShardIteratorType is {kind}"
        ))),
        (_, None) => Ok(None),
    }
}

fn time_ms(db: &Db, request: &Request<'_>, kind: &str) -> Result<Option<u64>, ApiError> {
    let seconds = match request.body.get("Timestamp") {
        Some(Json::Integer(text) | Json::Decimal(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    match (kind, seconds) {
        ("AT_TIMESTAMP", None) => {
            Err(ApiError::validation("A Timestamp is required when ShardIteratorType is AT_TIMESTAMP"))
        }
        ("AT_TIMESTAMP", Some(seconds)) => {
            // Down to the millisecond, so that an instant of now is not one of the next. Times of this size are off by less
            // than a thousandth of one when they are written in binary.
            let ms = (seconds * 1000.0 + 0.001).floor() as u64;
            if ms > db.clock.now_ms() + TIMESTAMP_AHEAD_MS_MAX {
                return Err(ApiError::validation("The Timestamp must not be in the future"));
            }
            Ok(Some(ms))
        }
        (_, Some(_)) => {
            Err(ApiError::validation(format!("A Timestamp must not be specified when ShardIteratorType is {kind}")))
        }
        (_, None) => Ok(None),
    }
}

/// The number to read after for a sequence number, which was sent as `text`, if it lies within the shard.
async fn behind(
    db: &Db,
    shard: &ShardInfo,
    kind: &str,
    number: SequenceNumber,
    text: &str,
) -> Result<RecordNo, ApiError> {
    let last = match shard.sealed {
        Some(last) => last,
        None => db.store.position(shard.shard, LogPosition::End).await.map_err(shard_failure)?,
    };
    let start = shard.first.max(shard.horizon);
    let first_wanted = if kind == "AT_SEQUENCE_NUMBER" { number.0 } else { number.0.next() };
    if first_wanted < start {
        return Err(trimmed());
    }
    // An idle shard begins at a number that no record has yet.
    if number.0 > last && number.0 > start {
        return Err(ApiError::validation(format!("Invalid SequenceNumber: {text} is beyond the shard's range")));
    }
    Ok(RecordNo(first_wanted.0 - 1))
}
