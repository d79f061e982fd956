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

    /// The members of a transaction's answer, which tell also whether they are reads or writes. `charged`: by table.
    pub fn transaction(self, charged: BTreeMap<String, Charge>, kind: UnitKind) -> Option<Vec<ConsumedCapacity>> {
        let of = |(table, charge): (String, Charge)| self.answer(&table, charge).map(|consumed| consumed.of_kind(kind));
        (self != CapacityDetail::None).then(|| charged.into_iter().filter_map(of).collect())
    }

    /// The member of an answer.
    pub fn answer(self, table: &str, charge: impl Into<Charge>) -> Option<ConsumedCapacity> {
        self.answer_with(table, || charge.into())
    }

    /// The member of an answer, whose charge is worked out if it is asked for.
    pub fn answer_with(self, table: &str, charge: impl FnOnce() -> Charge) -> Option<ConsumedCapacity> {
        if self == CapacityDetail::None {
            return None;
        }
        let charge = charge();
        let capacity_units = charge.total();
        let arms = |units: BTreeMap<String, f64>| -> BTreeMap<String, Arm> {
            let told = if self == CapacityDetail::Indexes { units } else { BTreeMap::new() };
            told.into_iter().map(|(name, capacity_units)| (name, Arm::of(capacity_units))).collect()
        };
        Some(ConsumedCapacity {
            table_name: table.to_owned(),
            capacity_units,
            read_capacity_units: None,
            write_capacity_units: None,
            table: (self == CapacityDetail::Indexes).then(|| Arm::of(charge.table)),
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
    read_capacity_units: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_capacity_units: Option<f64>,
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
        let indexes = self.local_secondary_indexes.values_mut().chain(self.global_secondary_indexes.values_mut());
        for arm in self.table.iter_mut().chain(indexes) {
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
    /// Adds what another operation on the same table is charged.
    pub fn add(&mut self, other: ConsumedCapacity) {
        self.capacity_units += other.capacity_units;
        if let (Some(sum), Some(more)) = (&mut self.table, other.table) {
            sum.capacity_units += more.capacity_units;
        }
        for (sums, more) in [
            (&mut self.local_secondary_indexes, other.local_secondary_indexes),
            (&mut self.global_secondary_indexes, other.global_secondary_indexes),
        ] {
            for (name, arm) in more {
                sums.entry(name).or_insert_with(|| Arm::of(0.0)).capacity_units += arm.capacity_units;
            }
        }
    }

    /// The table.
    pub fn table_name(&self) -> &str {
        &self.table_name
    }
}
