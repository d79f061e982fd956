//! What an answer tells of the item collections that were written: those of tables with local indexes.
//! Source: docs/spec/dynamodb-api.md 7.4.

use serde::Serialize;
use tailrace_core::{Item, Json};

use crate::member;

/// An entry of `ItemCollectionMetrics`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemCollectionMetrics {
    /// The partition key.
    pub item_collection_key: Item,
    #[serde(rename = "SizeEstimateRangeGB")]
    size_estimate_range_gb: [f64; 2],
}

impl ItemCollectionMetrics {
    /// The metrics of the collection of this partition key. Its size has no limit here; the estimate is that of a small one.
    pub fn of(item_collection_key: Item) -> ItemCollectionMetrics {
        ItemCollectionMetrics { item_collection_key, size_estimate_range_gb: [0.0, 1.0] }
    }

    /// Whether a request asks for them: `ReturnItemCollectionMetrics` is `SIZE`.
    pub(crate) fn asked(body: &Json) -> bool {
        member::text(body, "ReturnItemCollectionMetrics") == Some("SIZE")
    }
}
