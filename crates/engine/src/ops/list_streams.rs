//! ListStreams, in the order of the ARNs, so that a page goes on behind any ARN. Source: docs/spec/streams.md 3.

use tailrace_api::streams::{ListStreamsAnswer, ListStreamsRequest, Stream};
use tailrace_core::ApiError;

use crate::caller::Caller;
use crate::db::Db;
use crate::names::StreamArnParts;
use crate::streams::descriptor;

/// Runs ListStreams.
///
/// # Errors
/// What the client is to read.
pub async fn list_streams(
    db: &Db,
    request: ListStreamsRequest,
    _caller: &Caller<'_>,
) -> Result<ListStreamsAnswer, ApiError> {
    let behind = match &request.exclusive_start_stream_arn {
        Some(arn) => {
            let invalid = || ApiError::validation(format!("Invalid StreamArn: {arn}"));
            Some(StreamArnParts::parse(arn.as_str()).ok_or_else(invalid)?)
        }
        None => None,
    };
    let (found, more) = descriptor::list(db, request.table_name.as_deref(), behind, request.limit).await?;
    let streams: Vec<Stream> = found
        .into_iter()
        .map(|stream| Stream {
            stream_arn: db.settings.stream_arn(&stream.table, &stream.label),
            table_name: stream.table,
            stream_label: stream.label,
        })
        .collect();
    let last_evaluated_stream_arn = streams.last().filter(|_| more).map(|stream| stream.stream_arn.clone());
    Ok(ListStreamsAnswer { streams, last_evaluated_stream_arn })
}
