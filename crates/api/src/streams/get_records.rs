//! GetRecords. Source: docs/spec/streams.md 7.

use serde::Serialize;
use tailrace_core::limits::GET_RECORDS_MAX;
use tailrace_core::{ApiError, Json};

use super::record::Record;
use crate::items::ItemsAnswer;
use crate::{Reading, member};

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRecordsRequest {
    /// The token.
    pub shard_iterator: String,
    /// Records of a page, at most.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRecordsAnswer {
    /// The records.
    pub records: Vec<Record>,
    /// Where to go on; absent at the end of a closed shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_shard_iterator: Option<String>,
}

/// What is written around the images of a record, bytes.
const AROUND_IMAGES_BYTES: usize = 350;

impl ItemsAnswer for GetRecordsAnswer {
    fn item_bytes(&self) -> usize {
        self.records.iter().map(|record| record.size_bytes + AROUND_IMAGES_BYTES).sum()
    }
}

impl GetRecordsRequest {
    /// A request for the page at this position.
    pub fn of(shard_iterator: impl Into<String>) -> GetRecordsRequest {
        GetRecordsRequest { shard_iterator: shard_iterator.into(), limit: GET_RECORDS_MAX }
    }

    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// None so far.
    pub fn read(body: Json, _reading: &Reading<'_>) -> Result<GetRecordsRequest, ApiError> {
        Ok(GetRecordsRequest {
            shard_iterator: member::text(&body, "ShardIterator").unwrap_or_default().to_owned(),
            limit: member::limit(&body, GET_RECORDS_MAX),
        })
    }
}
