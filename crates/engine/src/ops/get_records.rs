//! GetRecords. Source: docs/spec/streams.md 7.

use tailrace_api::streams::{GetRecordsAnswer, GetRecordsRequest};
use tailrace_core::limits::{GET_RECORDS_BYTES_MAX, SHARD_ITERATOR_LIFE};
use tailrace_core::{ApiError, ErrorCode, StreamArn};
use tailrace_store::keyspace::StreamKey;

use super::get_shard_iterator::{shard_failure, trimmed};
use crate::caller::Caller;
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::descriptor::no_such_stream;
use crate::streams::iterator::ShardIterator;
use crate::streams::record::StreamRecord;

/// Runs GetRecords.
///
/// # Errors
/// What the client is to read.
pub async fn get_records(
    db: &Db,
    request: GetRecordsRequest,
    _caller: &Caller<'_>,
) -> Result<GetRecordsAnswer, ApiError> {
    let invalid = || ApiError::validation("Invalid ShardIterator");
    let (arn, iterator) = ShardIterator::read(&request.shard_iterator, &db.iterator_secret).ok_or_else(invalid)?;
    let now_ms = db.clock.now();
    if now_ms > iterator.issued_ms.plus(SHARD_ITERATOR_LIFE) {
        return Err(ApiError::new(
            ErrorCode::ExpiredIteratorException,
            "The provided iterator exceeds the maximum age allowed.",
        ));
    }
    // The token's seal makes sure that its ARN is that of the stream; what is asked is whether it is still known.
    let stream = [StreamKey { stream: iterator.stream }.encode()];
    if let [None] = db.store.get(&stream).await.map_err(|e| store_failure(&e))?[..] {
        return Err(no_such_stream(arn));
    }
    let page = db.store.read_log(iterator.shard, iterator.after, request.limit, GET_RECORDS_BYTES_MAX).await;
    let page = page.map_err(shard_failure)?;
    if !iterator.untrimmed && iterator.after.next() < page.horizon {
        return Err(trimmed());
    }
    // Cheap: the images stay the bytes that were read. What takes long is to write them.
    let writer = db.record_writer();
    let records = page.records.into_iter().map(|record| writer.record(&StreamRecord::read(record)?));
    let records = records.collect::<Result<Vec<_>, _>>().map_err(|e| store_failure(&e))?;
    let next_shard_iterator = (!page.ended).then(|| {
        let next = ShardIterator { after: page.next, untrimmed: !page.more, issued_ms: now_ms, ..iterator };
        next.token(&StreamArn::new(arn), &db.iterator_secret, db.rng.next_u64())
    });
    Ok(GetRecordsAnswer { records, next_shard_iterator })
}
