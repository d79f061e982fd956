//! What an operation is charged, and how the answer tells it. Source: docs/spec/dynamodb-api.md 7.4.
//!
//! Nothing is throttled by it; there are no indexes yet, so there is one arm.

use serde::Serialize;
use tailrace_core::Json;

const READ_UNIT_BYTES: usize = 4096;
const WRITE_UNIT_BYTES: usize = 1024;

/// `ReturnConsumedCapacity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapacityDetail {
    None,
    Total,
    Indexes,
}

impl CapacityDetail {
    /// Reads the member of a request.
    pub fn of(body: &Json) -> CapacityDetail {
        match body.get("ReturnConsumedCapacity").and_then(Json::as_str) {
            Some("TOTAL") => CapacityDetail::Total,
            Some("INDEXES") => CapacityDetail::Indexes,
            _ => CapacityDetail::None,
        }
    }

    /// The member of an answer.
    pub fn answer(self, table: &str, units: f64) -> Option<ConsumedCapacity> {
        (self != CapacityDetail::None).then(|| ConsumedCapacity {
            table_name: table.to_owned(),
            capacity_units: units,
            table: (self == CapacityDetail::Indexes).then_some(Arm { capacity_units: units }),
        })
    }
}

/// `ConsumedCapacity`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ConsumedCapacity {
    table_name: String,
    capacity_units: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Arm>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Arm {
    capacity_units: f64,
}

/// Units of a read of `bytes`, rounded up once; at least one block.
pub(crate) fn read_units(bytes: usize, consistent: bool) -> f64 {
    let blocks = bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64;
    if consistent { blocks } else { blocks / 2.0 }
}

/// Units of a write that found `old` bytes and left `new` bytes.
pub(crate) fn write_units(old: usize, new: usize) -> f64 {
    old.max(new).div_ceil(WRITE_UNIT_BYTES).max(1) as f64
}
