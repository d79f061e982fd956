//! DescribeStream. Source: docs/spec/streams.md 4 and 5.

use serde::Serialize;
use tailrace_core::limits::LIST_PAGE_MAX;
use tailrace_core::{ApiError, Json, SequenceNumber};
use tailrace_store::ShardInfo;

use super::Request;
use super::description::{KeySchemaElement, key_schema, seconds};
use crate::db::Db;
use crate::failure::store_failure;
use crate::streams::descriptor::shard_id;
use crate::table::ViewType;

/// `{"StreamDescription": ...}`
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Answer {
    stream_description: StreamDescription,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription {
    stream_arn: String,
    stream_label: String,
    stream_status: &'static str,
    stream_view_type: ViewType,
    creation_request_date_time: f64,
    table_name: String,
    key_schema: Vec<KeySchemaElement>,
    shards: Vec<Shard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_shard_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shard {
    shard_id: String,
    sequence_number_range: SequenceNumberRange,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<String>,
}

/// DescribeStream.
pub(crate) async fn describe_stream(db: &Db, request: Request<'_>) -> Result<Answer, ApiError> {
    let arn = request.text("StreamArn").unwrap_or_default();
    let stream = db.stream(arn).await?;
    let limit = request.integer("Limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(LIST_PAGE_MAX);
    let all = db.store.shards(stream.id).await.map_err(|e| store_failure(&e))?;
    let parent = |shard: &ShardInfo| all.iter().find(|other| Some(other.shard) == shard.parent).map(shard_id);
    let mut shards: Vec<(String, &ShardInfo)> = all.iter().map(|shard| (shard_id(shard), shard)).collect();
    shards.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(start) = request.text("ExclusiveStartShardId") {
        // Nothing comes after a shard that there is not, wherever its id would stand.
        let known = shards.iter().any(|(id, _)| id == start);
        shards.retain(|(id, _)| known && id.as_str() > start);
    }
    // The one type of filter that there is, CHILD_SHARDS, is made sure of by the model.
    let of = request.body.get("ShardFilter").and_then(|filter| filter.get("ShardId")).and_then(Json::as_str);
    if let Some(of) = of {
        shards.retain(|(_, shard)| parent(shard).as_deref() == Some(of));
    }
    let more = shards.len() > limit;
    shards.truncate(limit);
    let last_evaluated_shard_id = shards.last().filter(|_| more).map(|(id, _)| id.clone());
    let shards = shards
        .into_iter()
        .map(|(shard_id, shard)| Shard {
            shard_id,
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: SequenceNumber(shard.first.max(shard.horizon)).to_string(),
                ending_sequence_number: shard.sealed.map(|lsn| SequenceNumber(lsn).to_string()),
            },
            parent_shard_id: parent(shard),
        })
        .collect();
    Ok(Answer {
        stream_description: StreamDescription {
            stream_arn: arn.to_owned(),
            stream_label: stream.label,
            stream_status: if stream.disabled_ms.is_some() { "DISABLED" } else { "ENABLED" },
            stream_view_type: stream.view,
            creation_request_date_time: seconds(stream.created_ms),
            table_name: stream.table,
            key_schema: key_schema(&stream.key),
            shards,
            last_evaluated_shard_id,
        },
    })
}
