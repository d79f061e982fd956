//! DescribeStream. Source: docs/spec/streams.md 4 and 5.

use serde::Serialize;
use tailrace_core::limits::LIST_PAGE_MAX;
use tailrace_core::{ApiError, Json, SequenceNumber, StreamArn, ViewType};

use crate::tables::KeySchemaElement;
use crate::{Reading, Timestamp, member};

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribeStreamRequest {
    /// The stream.
    pub stream_arn: StreamArn,
    /// Shards of a page, at most.
    pub limit: usize,
    /// The page begins behind this shard.
    pub exclusive_start_shard_id: Option<String>,
    /// Only the children of this shard: a `ShardFilter` of the one type that there is, CHILD_SHARDS.
    pub children_of: Option<String>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeStreamAnswer {
    /// The stream.
    pub stream_description: StreamDescription,
}

/// `StreamStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StreamStatus {
    /// It takes records.
    Enabled,
    /// It can only be read.
    Disabled,
}

/// `StreamDescription`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StreamDescription {
    /// Its ARN.
    pub stream_arn: StreamArn,
    /// Its label.
    pub stream_label: String,
    /// Its status.
    pub stream_status: StreamStatus,
    /// What its records hold.
    pub stream_view_type: ViewType,
    /// When it was enabled.
    pub creation_request_date_time: Timestamp,
    /// Its table's name.
    pub table_name: String,
    /// Its table's key.
    pub key_schema: Vec<KeySchemaElement>,
    /// A page of its shards, in the order of their ids.
    pub shards: Vec<Shard>,
    /// The last one's id, if more remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_evaluated_shard_id: Option<String>,
}

/// `Shard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Shard {
    /// Its id.
    pub shard_id: String,
    /// Its records' numbers.
    pub sequence_number_range: SequenceNumberRange,
    /// The shard that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_shard_id: Option<String>,
}

/// `SequenceNumberRange`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SequenceNumberRange {
    /// No record that can be read has a lower one.
    #[serde(serialize_with = "number")]
    pub starting_sequence_number: SequenceNumber,
    /// No record has a higher one; absent of an open shard.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_number")]
    pub ending_sequence_number: Option<SequenceNumber>,
}

pub(super) fn number<S: serde::Serializer>(number: &SequenceNumber, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn some_number<S: serde::Serializer>(number: &Option<SequenceNumber>, serializer: S) -> Result<S::Ok, S::Error> {
    match number {
        Some(number) => serializer.collect_str(number),
        None => serializer.serialize_none(),
    }
}

impl DescribeStreamRequest {
    /// A request for the first page of this stream.
    pub fn of(stream_arn: impl Into<String>) -> DescribeStreamRequest {
        DescribeStreamRequest {
            stream_arn: StreamArn::new(stream_arn.into()),
            limit: LIST_PAGE_MAX,
            exclusive_start_shard_id: None,
            children_of: None,
        }
    }

    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<DescribeStreamRequest, ApiError> {
        // That the filter's type is CHILD_SHARDS is made sure of by the model.
        let children_of = body.get("ShardFilter").and_then(|filter| member::text(filter, "ShardId"));
        Ok(DescribeStreamRequest {
            stream_arn: StreamArn::new(member::text(&body, "StreamArn").unwrap_or_default().to_owned()),
            limit: member::limit(&body, LIST_PAGE_MAX),
            exclusive_start_shard_id: member::text(&body, "ExclusiveStartShardId").map(str::to_owned),
            children_of: children_of.map(str::to_owned),
        })
    }
}
