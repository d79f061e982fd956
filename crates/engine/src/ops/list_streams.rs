//! ListStreams, in the order of the ARNs, so that a page goes on behind any ARN. Source: docs/spec/streams.md 3.

use serde::Serialize;
use tailrace_core::ApiError;
use tailrace_core::limits::LIST_PAGE_MAX;

use super::Request;
use crate::db::Db;
use crate::names::StreamArn;
use crate::streams::descriptor;

/// The streams, and the last one's ARN if more remain.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    streams: Vec<Stream>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_stream_arn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    stream_arn: String,
    table_name: String,
    stream_label: String,
}

/// ListStreams.
pub(crate) async fn list_streams(db: &Db, request: Request<'_>) -> Result<Answer, ApiError> {
    let limit = request.integer("Limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(LIST_PAGE_MAX);
    let behind = match request.text("ExclusiveStartStreamArn") {
        Some(arn) => {
            let invalid = || ApiError::validation(format!("Invalid StreamArn: {arn}"));
            Some(StreamArn::parse(arn).ok_or_else(invalid)?)
        }
        None => None,
    };
    let (found, more) = descriptor::list(db, request.text("TableName"), behind, limit).await?;
    let streams: Vec<Stream> = found
        .into_iter()
        .map(|stream| Stream {
            stream_arn: db.settings.stream_arn(&stream.table, &stream.label),
            table_name: stream.table,
            stream_label: stream.label,
        })
        .collect();
    let last_evaluated_stream_arn = streams.last().filter(|_| more).map(|stream| stream.stream_arn.clone());
    Ok(Answer { streams, last_evaluated_stream_arn })
}
