//! How an answer tells what an operation is charged. Source: docs/spec/dynamodb-api.md 7.4.
//!
//! What is charged has an arm for the table and one for each index that was read or written.

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

    /// The member of an answer.
    pub fn answer(self, table: &str, charge: impl Into<Charge>) -> Option<ConsumedCapacity> {
        if self == CapacityDetail::None {
            return None;
        }
        let charge = charge.into();
        let capacity_units = charge.total();
        let arms = |units: BTreeMap<String, f64>| -> BTreeMap<String, Arm> {
            let told = if self == CapacityDetail::Indexes { units } else { BTreeMap::new() };
            told.into_iter().map(|(name, capacity_units)| (name, Arm { capacity_units })).collect()
        };
        Some(ConsumedCapacity {
            table_name: table.to_owned(),
            capacity_units,
            table: (self == CapacityDetail::Indexes).then_some(Arm { capacity_units: charge.table }),
            local_secondary_indexes: arms(charge.local),
            global_secondary_indexes: arms(charge.global),
        })
    }
}

/// What an operation is charged at a table and its indexes, units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Charge {
    /// At the table itself.
    pub table: f64,
    /// At local indexes, by name; those that were touched.
    pub local: BTreeMap<String, f64>,
    /// At global indexes, likewise.
    pub global: BTreeMap<String, f64>,
}

impl Charge {
    /// The sum.
    pub fn total(&self) -> f64 {
        self.table + self.local.values().sum::<f64>() + self.global.values().sum::<f64>()
    }
}

impl From<f64> for Charge {
    fn from(table: f64) -> Charge {
        Charge { table, ..Charge::default() }
    }
}

impl std::ops::AddAssign for Charge {
    fn add_assign(&mut self, other: Charge) {
        self.table += other.table;
        for (sum, more) in [(&mut self.local, other.local), (&mut self.global, other.global)] {
            more.into_iter().for_each(|(name, units)| *sum.entry(name).or_default() += units);
        }
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    local_secondary_indexes: BTreeMap<String, Arm>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    global_secondary_indexes: BTreeMap<String, Arm>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Arm {
    capacity_units: f64,
}
