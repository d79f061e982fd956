//! How an answer tells what an operation is charged. Source: docs/spec/dynamodb-api.md 7.4.
//!
//! There are no indexes yet, so there is one arm.

use serde::Serialize;
use tailrace_core::Json;

use crate::member;

/// `ReturnConsumedCapacity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CapacityDetail {
    /// Nothing is told.
    #[default]
    None,
    /// The sum.
    Total,
    /// Table and indexes each.
    Indexes,
}

impl CapacityDetail {
    /// Reads the member of a request.
    pub(crate) fn of(body: &Json) -> CapacityDetail {
        match member::text(body, "ReturnConsumedCapacity") {
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
pub struct ConsumedCapacity {
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

impl ConsumedCapacity {
    /// Adds what another read of the same table is charged.
    pub fn add(&mut self, other: ConsumedCapacity) {
        self.capacity_units += other.capacity_units;
        if let (Some(sum), Some(more)) = (&mut self.table, other.table) {
            sum.capacity_units += more.capacity_units;
        }
    }

    /// The table.
    pub fn table_name(&self) -> &str {
        &self.table_name
    }
}
