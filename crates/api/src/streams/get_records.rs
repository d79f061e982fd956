//! GetRecords. Source: docs/spec/streams.md 7.

use bytes::Bytes;
use tailrace_core::codec::CodecError;
use tailrace_core::json_text::JsonText;
use tailrace_core::limits::GET_RECORDS_MAX;
use tailrace_core::{ApiError, Json};

use super::record::Record;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRecordsAnswer {
    /// The records.
    pub records: Vec<Record>,
    /// Where to go on; absent at the end of a closed shard.
    pub next_shard_iterator: Option<String>,
}

/// What is written around the images of a record, bytes.
const AROUND_IMAGES_BYTES: usize = 400;

impl GetRecordsAnswer {
    /// About how many bytes its JSON has.
    pub fn json_bytes(&self) -> usize {
        let images = |record: &Record| record.new_image.iter().chain(&record.old_image).map(Bytes::len).sum::<usize>();
        self.records.iter().map(|record| AROUND_IMAGES_BYTES + 2 * (record.keys.len() + images(record))).sum()
    }

    /// The body.
    ///
    /// # Errors
    /// A record's keys or images are no stored item.
    pub fn to_json(&self) -> Result<Vec<u8>, CodecError> {
        let mut out = Vec::with_capacity(self.json_bytes());
        out.raw(br#"{"Records":["#);
        for (index, record) in self.records.iter().enumerate() {
            if index > 0 {
                out.raw(b",");
            }
            record.write_json(&mut out)?;
        }
        out.raw(b"]");
        if let Some(next) = &self.next_shard_iterator {
            out.raw(br#","NextShardIterator":"#);
            out.string(next);
        }
        out.raw(b"}");
        Ok(out)
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
