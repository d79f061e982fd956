//! How an answer tells what an operation is charged. Source: docs/spec/dynamodb-api.md 7.4.
//!
//! There are no indexes yet, so there is one arm.

use std::collections::BTreeMap;

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

    /// The members of a transaction's answer, which tell also whether they are reads or writes. `charged`: by table.
    pub fn transaction(self, charged: &BTreeMap<String, f64>, kind: UnitKind) -> Option<Vec<ConsumedCapacity>> {
        let of = |(table, units): (&String, &f64)| self.answer(table, *units).map(|consumed| consumed.of_kind(kind));
        (self != CapacityDetail::None).then(|| charged.iter().filter_map(of).collect())
    }

    /// The member of an answer.
    pub fn answer(self, table: &str, units: f64) -> Option<ConsumedCapacity> {
        (self != CapacityDetail::None).then(|| ConsumedCapacity {
            table_name: table.to_owned(),
            capacity_units: units,
            read_capacity_units: None,
            write_capacity_units: None,
            table: (self == CapacityDetail::Indexes).then(|| Arm::of(units)),
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
    read_capacity_units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_capacity_units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<Arm>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Arm {
    capacity_units: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    read_capacity_units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_capacity_units: Option<f64>,
}

/// What units are, where an answer says so: those of transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Read units.
    Reads,
    /// Write units.
    Writes,
}

impl UnitKind {
    fn split(self, units: f64) -> (Option<f64>, Option<f64>) {
        match self {
            UnitKind::Reads => (Some(units), None),
            UnitKind::Writes => (None, Some(units)),
        }
    }
}

impl ConsumedCapacity {
    /// Says of all units that they are of this kind.
    fn of_kind(mut self, kind: UnitKind) -> ConsumedCapacity {
        (self.read_capacity_units, self.write_capacity_units) = kind.split(self.capacity_units);
        for arm in self.table.iter_mut() {
            (arm.read_capacity_units, arm.write_capacity_units) = kind.split(arm.capacity_units);
        }
        self
    }
}

impl Arm {
    fn of(units: f64) -> Arm {
        Arm { capacity_units: units, read_capacity_units: None, write_capacity_units: None }
    }
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
