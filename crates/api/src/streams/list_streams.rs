//! ListStreams. Source: docs/spec/streams.md 3.

use serde::Serialize;
use tailrace_core::limits::LIST_PAGE_MAX;
use tailrace_core::{ApiError, Json, StreamArn};

use crate::{Reading, member};

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListStreamsRequest {
    /// Only streams of tables of this name.
    pub table_name: Option<String>,
    /// The page begins behind this ARN, whether or not there is such a stream.
    pub exclusive_start_stream_arn: Option<StreamArn>,
    /// Streams of a page, at most.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListStreamsAnswer {
    /// The streams, in the order of their ARNs.
    pub streams: Vec<Stream>,
    /// The last one's ARN, if more remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_stream_arn: Option<StreamArn>,
}

/// A stream of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Stream {
    /// Its ARN.
    pub stream_arn: StreamArn,
    /// Its table's name.
    pub table_name: String,
    /// Its label.
    pub stream_label: String,
}

impl Default for ListStreamsRequest {
    fn default() -> Self {
        Self { table_name: None, exclusive_start_stream_arn: None, limit: LIST_PAGE_MAX }
    }
}

impl ListStreamsRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<ListStreamsRequest, ApiError> {
        Ok(ListStreamsRequest {
            table_name: member::text(&body, "TableName").map(str::to_owned),
            exclusive_start_stream_arn: member::text(&body, "ExclusiveStartStreamArn").map(StreamArn::new),
            limit: member::limit(&body, LIST_PAGE_MAX),
        })
    }
}
