//! The pages below `/_admin/`: JSON for the command line and for scripts; and the operations that change what they show.
//!
//! A page is read with GET, which a link in a web page can do as well, so a page changes nothing. What changes something is
//! a POST of JSON with `X-Amz-Target`, which passes the checks of every other operation.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::ApiError;
use tailrace_wire::Page;

use crate::mappings::Mappings;
use crate::report::MappingReport;

#[derive(Serialize)]
struct MappingsPage {
    mappings: Vec<MappingReport>,
}

/// `GET /_admin/mappings`.
pub async fn mappings(mappings: &Mappings) -> Page {
    match mappings.report().await {
        Ok(reports) => page(200, &MappingsPage { mappings: reports }),
        Err(error) => page(500, &serde_json::json!({ "Message": error })),
    }
}

/// `GET /_admin/parked?mapping=UUID&after=NEXT`, both optional.
pub async fn parked(mappings: &Mappings, query: Option<&str>) -> Page {
    let parameter = |wanted: &str| {
        let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    match mappings.parked(parameter("mapping"), parameter("after")).await {
        Ok(found) => page(200, &found),
        Err(error) => page(error.code.http_status(), &serde_json::json!({ "Message": error.to_string() })),
    }
}

/// Hands a parked record to its function again.
const REDRIVE: &str = "TailraceRedriveParkedRecord";
/// Removes a parked record for good.
const DISCARD: &str = "TailraceDiscardParkedRecord";

/// Whether an operation is one of ours.
pub fn knows(operation: &str) -> bool {
    [REDRIVE, DISCARD].contains(&operation)
}

/// The record that an operation is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ParkedRequest {
    mapping: String,
    shard: u64,
    sequence_number: String,
}

/// Runs one of our operations. The answer to a redrive: `{"Accepted": true}`, or false with `Error`.
///
/// # Errors
/// A body that does not name a record, or one that is not parked.
pub async fn operation(mappings: &Mappings, operation: &str, body: &[u8]) -> Result<Bytes, ApiError> {
    let request: ParkedRequest = serde_json::from_slice(body).map_err(|error| {
        ApiError::validation(format!("Mapping, Shard and SequenceNumber name a parked record: {error}"))
    })?;
    let ParkedRequest { mapping, shard, sequence_number } = request;
    let answer = if operation == REDRIVE {
        match mappings.redrive(&mapping, shard, &sequence_number).await? {
            None => serde_json::json!({ "Accepted": true }),
            Some(error) => serde_json::json!({ "Accepted": false, "Error": error }),
        }
    } else {
        mappings.discard(&mapping, shard, &sequence_number).await?;
        serde_json::json!({})
    };
    Ok(Bytes::from(answer.to_string()))
}

fn page(status: u16, document: &impl Serialize) -> Page {
    let json = serde_json::to_vec(document).expect("invariant: reports can be written as JSON");
    Page { status, json: Bytes::from(json) }
}
