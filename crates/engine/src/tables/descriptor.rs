//! A table's descriptor: the row that makes a table exist. Stored as versioned JSON (docs/format.md, Table descriptor).
//!
//! Invariants: a table's id is never reused; a descriptor that exists belongs to a table that is there (deleting is one
//! commit), whatever state it is told to be in (`states`). Whether a table has changed since it was read is told by the bytes
//! of its row, which a newer program may have written with members that this one does not know; they are kept.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
pub use tailrace_api::tables::BillingMode;
use tailrace_api::tables::TableClass;
pub use tailrace_core::ViewType;
use tailrace_core::key::KeyAttribute;
use tailrace_core::limits::{WARM_READ_UNITS, WARM_WRITE_UNITS};
use tailrace_core::{EpochMs, KeySchema, TtlGeneration};
use tailrace_store::StreamId;
use tailrace_store::keyspace::TableId;

use super::index::{Index, IndexKind};
use super::states::Transition;
use crate::json_row;

/// The version that this code writes.
const DESCRIPTOR_VERSION: u32 = 1;

/// Billing and when it last became on-demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billing {
    /// The mode.
    pub mode: BillingMode,
    /// The last change to PAY_PER_REQUEST; `None`: it was never on-demand.
    pub on_demand_since_ms: Option<EpochMs>,
}

/// Provisioned units; zero for an on-demand table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throughput {
    /// Read capacity units.
    pub read: i64,
    /// Write capacity units.
    pub write: i64,
    /// The last increase.
    pub increased_ms: Option<EpochMs>,
    /// The last decrease.
    pub decreased_ms: Option<EpochMs>,
    /// Decreases on the UTC day of the last one.
    pub decreases_that_day: u32,
}

/// Limits of an on-demand table; only those that were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnDemandThroughput {
    /// Read request units.
    pub read: Option<i64>,
    /// Write request units.
    pub write: Option<i64>,
}

/// The throughput that the table can take at once, as AWS would tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmThroughput {
    /// Read units per second.
    pub read: i64,
    /// Write units per second.
    pub write: i64,
}

/// A class that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableClassSetting {
    /// The class.
    pub class: TableClass,
    /// When it was set.
    pub updated_ms: Option<EpochMs>,
}

/// The enabled stream of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStream {
    /// Its number.
    pub id: StreamId,
    /// What its records hold.
    pub view: ViewType,
}

/// A table's descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    version: u32,
    /// The name.
    pub name: String,
    /// The number in the keyspace.
    pub id: TableId,
    /// The `TableId` of the API: a UUID of this incarnation.
    pub uuid: String,
    /// Creation.
    pub created_ms: EpochMs,
    /// The primary key.
    pub key: KeySchema,
    /// Billing.
    pub billing: Billing,
    /// Provisioned units.
    pub throughput: Throughput,
    /// Limits of on-demand throughput, if any were set.
    pub on_demand: Option<OnDemandThroughput>,
    /// Warm throughput.
    pub warm: WarmThroughput,
    /// Whether the table refuses to be deleted.
    pub deletion_protection: bool,
    /// The class, if one was asked for.
    pub class: Option<TableClassSetting>,
    /// The enabled stream.
    pub stream: Option<TableStream>,
    /// The label of the latest stream, enabled or not.
    pub latest_stream_label: Option<String>,
    /// The types of all key attributes, of the table and of its indexes, by name.
    #[serde(default)]
    pub attributes: Vec<KeyAttribute>,
    /// The secondary indexes, in the order in which they were asked for: local ones first.
    #[serde(default)]
    pub indexes: Vec<Index>,
    /// How many indexes the table has had: the number of the next one is one more.
    #[serde(default)]
    pub indexes_made: u32,
    /// What is told as under way: nothing, but for a short time with `--aws-like-states`.
    #[serde(default)]
    pub transitions: Vec<Transition>,
    /// The attribute that says when an item expires, if items do. Written also when there is none: a member that is left out is
    /// kept from the row before.
    #[serde(default)]
    pub time_to_live: Option<TimeToLive>,
    /// How many times to live the table has had: the number of the next one is one more.
    #[serde(default)]
    pub times_to_live_made: u32,
    /// The records of its streams keep who asked for the change: an audit trail is made from them.
    #[serde(default)]
    pub audit: bool,
    /// Streams of Tailrace's own that have each change with both images, whatever the table's stream has: one for each Kinesis
    /// destination.
    #[serde(default)]
    pub captures: Vec<StreamId>,
}

/// Why the value of a row is no descriptor of a table.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorError {
    /// It is not of the form of one.
    #[error(transparent)]
    Form(#[from] serde_json::Error),
    /// It is of another version.
    #[error("version {0} is unknown; {DESCRIPTOR_VERSION} was expected")]
    Version(u32),
    /// It is of a table whose items were not counted from its first one on: what is told of it would be wrong.
    #[error("it has an earlier layout, from before the first release, which is not read any more; nothing is damaged")]
    Earlier,
}

/// That items expire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeToLive {
    /// The attribute: a top-level number, seconds since the epoch.
    pub attribute: String,
    /// The number in the keys of the expiries' rows.
    pub generation: TtlGeneration,
}

impl Table {
    /// A new on-demand table without a stream.
    pub fn new(name: String, id: TableId, uuid: String, created_ms: EpochMs, key: KeySchema) -> Table {
        let mut attributes: Vec<KeyAttribute> = key.attributes().cloned().collect();
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Table {
            version: DESCRIPTOR_VERSION,
            name,
            id,
            uuid,
            created_ms,
            key,
            billing: Billing { mode: BillingMode::PayPerRequest, on_demand_since_ms: Some(created_ms) },
            throughput: Throughput::default(),
            on_demand: None,
            warm: WarmThroughput { read: WARM_READ_UNITS, write: WARM_WRITE_UNITS },
            deletion_protection: false,
            class: None,
            stream: None,
            latest_stream_label: None,
            attributes,
            indexes: Vec::new(),
            indexes_made: 0,
            transitions: Vec::new(),
            time_to_live: None,
            times_to_live_made: 0,
            audit: false,
            captures: Vec::new(),
        }
    }

    /// Whether it has a local index: then its partitions are item collections.
    pub fn has_local_index(&self) -> bool {
        self.indexes.iter().any(|index| index.kind == IndexKind::Local)
    }

    /// The indexes that items are entered in: those that are not being deleted.
    pub fn live_indexes(&self) -> impl Iterator<Item = &Index> {
        self.indexes.iter().filter(|index| index.takes_entries())
    }

    /// The value of a row that is new.
    pub fn encode(&self) -> Bytes {
        json_row::encode(self)
    }

    /// The value of the row that stands for `stored` from now on: what a newer program added to that stays.
    pub fn encode_over(&self, stored: &Bytes) -> Bytes {
        json_row::encode_over(stored, self)
    }

    /// Reads a row's value.
    ///
    /// # Errors
    /// Why the bytes are no descriptor of a version that this code knows.
    pub fn decode(value: &[u8]) -> Result<Table, DescriptorError> {
        let table: Table = serde_json::from_slice(value)?;
        if table.version != DESCRIPTOR_VERSION {
            return Err(DescriptorError::Version(table.version));
        }
        // Its key attributes are among them.
        if table.attributes.is_empty() {
            return Err(DescriptorError::Earlier);
        }
        Ok(table)
    }
}
