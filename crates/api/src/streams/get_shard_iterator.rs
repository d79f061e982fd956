//! GetShardIterator. Source: docs/spec/streams.md 6.

use serde::Serialize;
use tailrace_core::{ApiError, EpochMs, Json, SequenceNumber, StreamArn};

use crate::{Reading, Timestamp, member};

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetShardIteratorRequest {
    /// The stream.
    pub stream_arn: StreamArn,
    /// The shard.
    pub shard_id: String,
    /// Where in the shard.
    pub position: ShardIteratorType,
}

/// `ShardIteratorType`, with the parameter that each needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardIteratorType {
    /// At the oldest record.
    TrimHorizon,
    /// Behind the newest record.
    Latest,
    /// At the record of this number, which was sent as this text.
    AtSequenceNumber(SequenceNumber, String),
    /// Behind the record of this number, which was sent as this text.
    AfterSequenceNumber(SequenceNumber, String),
    /// At the first record that is not older than this.
    AtTimestamp(Timestamp),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetShardIteratorAnswer {
    /// The token.
    pub shard_iterator: String,
}

impl GetShardIteratorRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// A parameter that the type needs is absent or malformed, or one that it does not take is there.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<GetShardIteratorRequest, ApiError> {
        let kind = member::text(&body, "ShardIteratorType").unwrap_or_default();
        let number = number(&body, kind)?;
        let timestamp = timestamp(&body, kind)?;
        let position = match (number, timestamp) {
            (Some((number, text)), _) if kind == "AT_SEQUENCE_NUMBER" => {
                ShardIteratorType::AtSequenceNumber(number, text)
            }
            (Some((number, text)), _) => ShardIteratorType::AfterSequenceNumber(number, text),
            (None, Some(timestamp)) => ShardIteratorType::AtTimestamp(timestamp),
            (None, None) if kind == "LATEST" => ShardIteratorType::Latest,
            (None, None) => ShardIteratorType::TrimHorizon,
        };
        Ok(GetShardIteratorRequest {
            stream_arn: StreamArn::new(member::text(&body, "StreamArn").unwrap_or_default().to_owned()),
            shard_id: member::text(&body, "ShardId").unwrap_or_default().to_owned(),
            position,
        })
    }
}

fn number(body: &Json, kind: &str) -> Result<Option<(SequenceNumber, String)>, ApiError> {
    match (kind, member::text(body, "SequenceNumber")) {
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => {
            Err(ApiError::validation(format!("A SequenceNumber is required when ShardIteratorType is {kind}")))
        }
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", Some(text)) => match SequenceNumber::parse(text) {
            Some(number) => Ok(Some((number, text.to_owned()))),
            None => Err(ApiError::validation(format!("Invalid SequenceNumber: {text}"))),
        },
        (_, Some(_)) => Err(ApiError::validation(format!(
            "A SequenceNumber must not be specified when ShardIteratorType is {kind}"
        ))),
        (_, None) => Ok(None),
    }
}

fn timestamp(body: &Json, kind: &str) -> Result<Option<Timestamp>, ApiError> {
    let seconds = match body.get("Timestamp") {
        Some(Json::Integer(text) | Json::Decimal(text)) => text.parse::<f64>().ok(),
        _ => None,
    };
    match (kind, seconds) {
        ("AT_TIMESTAMP", None) => {
            Err(ApiError::validation("A Timestamp is required when ShardIteratorType is AT_TIMESTAMP"))
        }
        // Down to the millisecond, so that an instant of now is not one of the next. Times of this size are off by less
        // than a thousandth of one when they are written in binary.
        ("AT_TIMESTAMP", Some(seconds)) => Ok(Some(Timestamp(EpochMs((seconds * 1000.0 + 0.001).floor() as u64)))),
        (_, Some(_)) => {
            Err(ApiError::validation(format!("A Timestamp must not be specified when ShardIteratorType is {kind}")))
        }
        (_, None) => Ok(None),
    }
}
