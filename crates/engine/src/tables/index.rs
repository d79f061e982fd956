//! The secondary indexes of a table as its descriptor keeps them. docs/format.md, Table descriptor.
//!
//! Invariants: an index's number is never used again in its table, so that the rows of an index that was deleted are never
//! taken for those of a later one; names are unique in a table, global and local together; a local index is as old as its table.

use serde::{Deserialize, Serialize};
use tailrace_core::IndexId;
use tailrace_core::key::KeyAttribute;

use super::descriptor::{OnDemandThroughput, Throughput, WarmThroughput};

/// Where an index's entries lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IndexKind {
    /// By a partition key of its own.
    Global,
    /// In the partitions of the table.
    Local,
}

/// What an index's entries hold beside the keys of the index and of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IndexProjection {
    /// Every attribute.
    All,
    /// Nothing.
    KeysOnly,
    /// These attributes, in the order in which they were given.
    Include(Vec<String>),
}

/// How far an index is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IndexStatus {
    /// New items are entered; those from before are being entered by the backfill. Not to be read yet.
    Creating,
    /// It holds every item that belongs into it.
    Active,
    /// Nothing is entered any more, and it is not to be read; its rows are being removed.
    Deleting,
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The number in the keys of its rows.
    pub id: IndexId,
    /// The name.
    pub name: String,
    /// Global or local.
    pub kind: IndexKind,
    /// The attributes of its partition key: one to four, of a local index the table's.
    pub hash: Vec<KeyAttribute>,
    /// The attributes of its sort key: none to four, of a local index one.
    pub range: Vec<KeyAttribute>,
    /// What its entries hold.
    pub projection: IndexProjection,
    /// How far it is.
    pub status: IndexStatus,
    /// While it is being filled: every item from before is entered, so that each change of an entry is counted from here on.
    #[serde(default)]
    pub counted: bool,
    /// Provisioned units of a global one; zero if the table is billed by request.
    pub throughput: Throughput,
    /// Limits of on-demand throughput of a global one, if any were set.
    pub on_demand: Option<OnDemandThroughput>,
    /// Warm throughput of a global one.
    pub warm: Option<WarmThroughput>,
}

impl Index {
    /// The key attributes: partition key first.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.hash.iter().chain(&self.range)
    }

    /// Items that are written are entered.
    pub fn takes_entries(&self) -> bool {
        self.status != IndexStatus::Deleting
    }

    /// Its entries are counted with each change: while it is being filled nobody knows whether the old entry is there.
    pub fn is_counted(&self) -> bool {
        match self.status {
            IndexStatus::Creating => self.counted,
            IndexStatus::Active => true,
            IndexStatus::Deleting => false,
        }
    }
}
