//! `ItemCollectionMetrics`: which item collections a write touched, of tables with a local secondary index.
//! Source: docs/spec/dynamodb-api.md 7.4.

use serde::Serialize;
use tailrace_core::{Item, Json};

use crate::member;

/// An item collection that a write touched.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ItemCollectionMetrics {
    /// The partition key.
    pub item_collection_key: Item,
    /// Between how many GB the collection is estimated to have.
    #[serde(rename = "SizeEstimateRangeGB")]
    pub size_estimate_range_gb: [f64; 2],
}

impl ItemCollectionMetrics {
    /// Those of the collection with this key. Its size is not measured: it is told as that of a small one.
    pub fn of(item_collection_key: Item) -> ItemCollectionMetrics {
        ItemCollectionMetrics { item_collection_key, size_estimate_range_gb: [0.0, 1.0] }
    }

    /// Whether a request asks for them: `ReturnItemCollectionMetrics` is `SIZE`.
    pub(crate) fn asked(body: &Json) -> bool {
        member::text(body, "ReturnItemCollectionMetrics") == Some("SIZE")
    }
}
