//! The pages below `/_admin/`: JSON for the command line and for scripts.

use bytes::Bytes;
use serde::Serialize;
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

fn page(status: u16, document: &impl Serialize) -> Page {
    let json = serde_json::to_vec(document).expect("invariant: reports can be written as JSON");
    Page { status, json: Bytes::from(json) }
}
