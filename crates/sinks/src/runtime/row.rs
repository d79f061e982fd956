//! The row of a sink: what it is to be, and the consumers that it has. Versioned JSON (docs/format.md, Sinks).
//!
//! Invariants: a consumer is in the row before it has a row of its own, and is taken out of it, into `dropping`, in the commit that
//! replaces it: a crash forgets none. A row is changed only from what whoever changes it has seen.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tailrace_core::{EpochMs, KeySchema, MappingId, StreamArn, StreamId, TableId, ViewType};
use tailrace_delivery::{each, read_row};
use tailrace_store::keyspace::SinkKey;
use tailrace_store::{Decision, Engine, Key, StoreError, Write, commit};

use crate::spec::SinkSpec;

/// The stored form's version.
const ROW_VERSION: u32 = 1;

/// A sink's row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SinkRow {
    v: u32,
    /// Its name.
    pub name: String,
    /// Nothing is delivered; its place is kept.
    pub paused: bool,
    /// What it is.
    pub live: Generation,
    /// What it is to become, while that is built beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<Generation>,
    /// Consumers, and snapshots, that are over, whose rows are to be removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropping: Vec<String>,
    /// When it was changed last.
    pub modified_ms: EpochMs,
    /// It is no more; the row keeps its versions from being given again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
    /// It is an audit trail that was taken out of the configuration, and has that as its last entry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
}

/// A configuration with what it has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Rises with each; from 1.
    pub version: u32,
    /// The configuration as the user wrote it, secrets as references.
    pub config: Value,
    /// Where its records come from, as far as the tables have been found.
    pub sources: Vec<SourceRow>,
    /// What it was built beside is over, and the target is to show it instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swap: bool,
    /// It begins with a snapshot, whatever its configuration says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rebuild: bool,
    /// Where it begins, if not where its configuration says: at this time of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_ms: Option<EpochMs>,
    /// The configurations under which flushes may be planned still, which go before this one until they are over, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_several")]
    pub earlier: Vec<Earlier>,
}

/// Rows had one at most.
fn one_or_several<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Earlier>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Several(Vec<Earlier>),
        One(Earlier),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Several(earlier) => earlier,
        Form::One(earlier) => vec![earlier],
    })
}

/// A configuration that was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// Its version.
    pub version: u32,
    /// What it was.
    pub config: Value,
    /// The tables of which nothing is planned under it any more, or never was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<String>,
}

/// A table that records come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRow {
    /// Its name.
    pub table: String,
    /// Its number.
    pub table_id: TableId,
    /// Its stream.
    pub stream: StreamId,
    /// The stream's ARN.
    pub stream_arn: StreamArn,
    /// Its primary key.
    pub key: KeySchema,
    /// What the stream's records hold.
    pub view: ViewType,
    /// The consumer, a uuid: its checkpoints and parked records are under it.
    pub consumer: String,
    /// It begins with a snapshot of the table.
    pub snapshot: bool,
    /// The uuid under which the rows of the snapshot are, where that is not the consumer's: it was asked for while the consumer had a place
    /// in the stream already, which it keeps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// The version of the sink under which it began.
    pub since: u32,
}

impl SourceRow {
    /// The consumer's id.
    ///
    /// # Errors
    /// Corrupt.
    pub fn consumer_id(&self) -> Result<MappingId, StoreError> {
        consumer_id(&self.consumer)
    }

    /// Under which id the rows of its snapshot are.
    ///
    /// # Errors
    /// Corrupt.
    pub fn snapshot_id(&self) -> Result<MappingId, StoreError> {
        consumer_id(self.again.as_ref().unwrap_or(&self.consumer))
    }

    /// Every uuid under which it has rows.
    pub fn uuids(&self) -> impl Iterator<Item = String> {
        std::iter::once(&self.consumer).chain(&self.again).cloned()
    }

    /// A snapshot is to come once more, and nothing of the stream is left out for it. The answer: the uuid whose rows are over.
    pub fn begin_again(&mut self, since: u32, uuid: String) -> Option<String> {
        (self.snapshot, self.since) = (true, since);
        self.again.replace(uuid)
    }
}

/// Reads the uuid of a consumer.
///
/// # Errors
/// Corrupt.
pub fn consumer_id(uuid: &str) -> Result<MappingId, StoreError> {
    MappingId::parse(uuid).ok_or_else(|| corrupt(format!("{uuid:?} is no uuid")))
}

impl Generation {
    /// One that has done nothing yet.
    pub fn new(version: u32, config: Value) -> Generation {
        Generation {
            version,
            config,
            sources: Vec::new(),
            swap: false,
            rebuild: false,
            replay_ms: None,
            earlier: Vec::new(),
        }
    }

    /// Forgets the configurations under which nothing is planned any more.
    pub fn forget_finished(&mut self) {
        let Generation { sources, earlier, .. } = self;
        earlier.retain(|earlier| !sources.iter().all(|source| earlier.finished.contains(&source.table)));
    }

    /// Every uuid under which it has rows.
    pub fn uuids(&self) -> impl Iterator<Item = String> {
        self.sources.iter().flat_map(SourceRow::uuids)
    }
}

impl SinkRow {
    /// The version that the next generation has.
    pub fn next_version(&self) -> u32 {
        self.building.as_ref().map_or(self.live.version, |building| building.version.max(self.live.version)) + 1
    }

    /// Replaces what is live, or what is built beside it; the consumers of what it replaces are to be dropped.
    pub fn replace(&mut self, generation: Generation, beside: bool) {
        let slot = if beside {
            self.building.replace(generation)
        } else {
            Some(std::mem::replace(&mut self.live, generation))
        };
        self.dropping.extend(slot.iter().flat_map(Generation::uuids));
    }

    /// What was built beside takes the place of what was live; the target is still to be told.
    pub fn take_over(&mut self) {
        if let Some(mut building) = self.building.take() {
            building.swap = true;
            self.replace(building, false);
        }
    }

    /// A new sink, behind the versions of one that was removed. What its target shows now, it is to show instead.
    pub fn new(name: &str, config: Value, removed: Option<&SinkRow>, modified_ms: EpochMs) -> SinkRow {
        let swap = SinkSpec::read(name, &config).is_ok_and(|spec| spec.kind.builds_beside());
        let version = removed.map_or(1, SinkRow::next_version);
        SinkRow {
            v: ROW_VERSION,
            name: name.to_owned(),
            paused: false,
            live: Generation { swap, ..Generation::new(version, config) },
            building: None,
            dropping: Vec::new(),
            modified_ms,
            removed: false,
            ended: false,
        }
    }

    /// The generation of a version.
    pub fn generation(&mut self, version: u32) -> Option<&mut Generation> {
        let all = std::iter::once(&mut self.live).chain(&mut self.building);
        all.into_iter().find(|generation| generation.version == version)
    }

    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("invariant: a sink's row has only string keys").into()
    }

    fn decode(value: &[u8]) -> Result<SinkRow, StoreError> {
        read_row(WHAT, ROW_VERSION, value)
    }
}

/// What it is called in errors.
const WHAT: &str = "the row of a sink";

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{WHAT}: {error}"))
}

/// A row with its bytes.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The row.
    pub row: SinkRow,
    bytes: Bytes,
}

/// Every sink.
pub async fn all(store: &dyn Engine) -> Result<Vec<Stored>, StoreError> {
    let mut sinks = Vec::new();
    each(store, SinkKey::range(), |_, bytes| {
        sinks.push(Stored { row: SinkRow::decode(&bytes)?, bytes });
        Ok(())
    })
    .await?;
    Ok(sinks)
}

/// Writes `row`, with `beside` in the same commit, if what is there is what was seen. `None`: it is not.
pub async fn put(
    store: &dyn Engine,
    seen: Option<&Stored>,
    row: SinkRow,
    beside: &[(Key, Bytes)],
) -> Result<Option<Stored>, StoreError> {
    let bytes = row.encode();
    let mut keys = vec![SinkKey::key(&row.name)];
    keys.extend(beside.iter().map(|(key, _)| key.clone()));
    let before = seen.map(|seen| seen.bytes.clone());
    let committed = commit(store, &[], &keys, |reads| {
        if reads.exclusive[0] != before {
            return Decision::Reject(false);
        }
        let mut writes = vec![Write::Put { key: keys[0].clone(), value: bytes.clone() }];
        writes.extend(beside.iter().map(|(key, value)| Write::Put { key: key.clone(), value: value.clone() }));
        Decision::Apply(writes, true)
    });
    Ok(committed.await?.answer.then(|| Stored { row, bytes: bytes.clone() }))
}
