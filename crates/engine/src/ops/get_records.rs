//! GetRecords. Source: docs/spec/streams.md 7.

use tailrace_core::limits::{GET_RECORDS_BYTES_MAX, GET_RECORDS_MAX, SHARD_ITERATOR_LIFE_MS};
use tailrace_core::{ApiError, ErrorCode};

use super::Request;
use super::get_shard_iterator::{shard_failure, trimmed};
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::iterator::ShardIterator;
use crate::streams::record::StreamRecord;

/// GetRecords: the answer's body.
pub(crate) async fn get_records(db: &Db, request: Request<'_>) -> Result<Vec<u8>, ApiError> {
    let token = request.text("ShardIterator").unwrap_or_default();
    let invalid = || ApiError::validation("Invalid ShardIterator");
    let (arn, iterator) = ShardIterator::read(token, &db.iterator_secret).ok_or_else(invalid)?;
    let now_ms = db.clock.now_ms();
    if now_ms > iterator.issued_ms + SHARD_ITERATOR_LIFE_MS {
        return Err(ApiError::new(
            ErrorCode::ExpiredIteratorException,
            "The provided iterator exceeds the maximum age allowed.",
        ));
    }
    let stream = db.stream(arn).await?;
    if stream.id != iterator.stream {
        return Err(invalid());
    }
    let limit = request.integer("Limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(GET_RECORDS_MAX);
    let page =
        db.store.read_log(iterator.shard, iterator.after, limit, GET_RECORDS_BYTES_MAX).await.map_err(shard_failure)?;
    if !iterator.untrimmed && iterator.after.next() < page.horizon {
        return Err(trimmed());
    }
    let writer = db.record_writer();
    let mut body = Vec::with_capacity(1024 + page.records.len() * 768);
    body.extend_from_slice(b"{\"Records\":[");
    for (index, record) in page.records.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        StreamRecord::read(record)
            .and_then(|record| writer.write_api(&record, &mut body))
            .map_err(|e| store_failure(&e))?;
    }
    body.push(b']');
    if !page.ended {
        let next = ShardIterator { after: page.next, untrimmed: !page.more, issued_ms: now_ms, ..iterator };
        body.extend_from_slice(b",\"NextShardIterator\":\"");
        // A token has no character that JSON escapes.
        body.extend_from_slice(next.token(arn, &db.iterator_secret, db.rng.next_u64()).as_bytes());
        body.push(b'"');
    }
    body.push(b'}');
    Ok(body)
}
