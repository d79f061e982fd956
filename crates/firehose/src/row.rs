//! The row of a delivery stream. Versioned JSON (docs/format.md, Delivery streams).
//!
//! Invariants: a row is changed only from what whoever changes it has seen; the log's stream is opened in the commit that makes the row, and
//! dropped in the one that marks it as deleted, after which the row stays until everything else is gone; a record of what was done and who asked
//! is in the commit of the change.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tailrace_core::{EpochMs, MappingId, StreamId};
use tailrace_delivery::{each, read_row};
use tailrace_engine::Caller;
use tailrace_engine::control::{self, Action};
use tailrace_engine::streams::hidden;
use tailrace_store::keyspace::DeliveryStreamKey;
use tailrace_store::{Decision, Engine, Reads, StoreError, Write, commit};

use crate::config::{self, Config, Kind};
use crate::remote::Remote;

/// The newest version of the stored form. A kind of destination has the version with which it came, so that no older program takes it for
/// what it is not.
const ROW_VERSION: u32 = 4;

/// A delivery stream's row. It may have an access key or a password in it, so nothing shows it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    v: u32,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created_ms: EpochMs,
    /// When its destination was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_ms: Option<EpochMs>,
    /// The version of its destination, from 1.
    pub version: u32,
    /// The stream of the log that has its records.
    pub stream: StreamId,
    /// Its consumer, a uuid.
    pub consumer: String,
    /// What the destination is.
    #[serde(default, skip_serializing_if = "is_bucket")]
    kind: Kind,
    /// Where the records go: the members of its configuration.
    destination: Map<String, Value>,
    /// The encryption that was asked for; nothing is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Option<String>>,
    /// It is deleted, and what it had is being removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// What is done to a row, and who asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The operation.
    pub operation: &'a str,
    /// Who.
    pub caller: &'a Caller<'a>,
}

/// Stands for what may be a secret.
const HIDDEN: &str = "***";

/// Encryption, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Encryption {
    /// `AWS_OWNED_CMK` or `CUSTOMER_MANAGED_CMK`.
    pub key_type: String,
    /// The key of a customer.
    #[serde(rename = "KeyARN", default, skip_serializing_if = "Option::is_none")]
    pub key_arn: Option<String>,
}

fn is_bucket(kind: &Kind) -> bool {
    *kind == Kind::S3
}

/// A row with its bytes.
#[derive(Clone)]
pub struct Stored {
    /// The row.
    pub row: Row,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What it is called in errors.
const WHAT: &str = "the row of a delivery stream";

fn corrupt(error: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("{WHAT}: {error}"))
}

impl Row {
    /// A new one. The number of its stream is that of the commit that makes it.
    pub fn new(name: &str, destination: Config, consumer: String, created_ms: EpochMs) -> Row {
        let mut row = Row {
            v: ROW_VERSION,
            name: name.to_owned(),
            created_ms,
            updated_ms: None,
            version: 1,
            stream: StreamId(0),
            consumer,
            kind: Kind::default(),
            destination: Map::new(),
            encryption: None,
            tags: BTreeMap::new(),
            deleted: false,
        };
        row.set_config(destination);
        row
    }

    /// The destination.
    pub fn config(&self) -> Config {
        Config { kind: self.kind, members: self.destination.clone() }
    }

    /// Replaces the destination.
    pub fn set_config(&mut self, config: Config) {
        self.v = match config.kind {
            Kind::S3 => 1,
            Kind::HttpEndpoint => 2,
            Kind::OpenSearch | Kind::Elasticsearch => 3,
            Kind::OpenSearchServerless | Kind::Redshift => ROW_VERSION,
        };
        (self.kind, self.destination) = (config.kind, config.members);
    }

    /// What it is, as somebody else may see it: as it is described, without what may be a secret.
    pub fn shown(&self) -> Value {
        let config = self.config();
        let mut destination = Value::Object(config::descriptions(&config));
        let endpoint = "/HttpEndpointDestinationDescription";
        if let Some(url) = destination.pointer_mut(&format!("{endpoint}/EndpointConfiguration/Url")) {
            let remote = config::read(&config).ok().and_then(|destination| destination.remote);
            *url = remote.as_ref().map_or_else(|| HIDDEN.to_owned(), Remote::shown).into();
        }
        let attributes = destination.pointer_mut(&format!("{endpoint}/RequestConfiguration/CommonAttributes"));
        for attribute in attributes.and_then(Value::as_array_mut).into_iter().flatten() {
            attribute["AttributeValue"] = HIDDEN.into();
        }
        json!({
            "DeliveryStreamName": self.name,
            "VersionId": self.version.to_string(),
            "DeliveryStreamEncryptionConfiguration": self.encryption,
            "Tags": self.tags,
            "Destination": destination,
        })
    }

    /// The record of a change, if anybody wants to know.
    fn record(reads: &Reads<'_>, asked: Asked<'_>, before: Option<&Row>, after: Option<&Row>) -> Option<Write> {
        let row = reads.shared[0].as_ref()?;
        let resource = format!("deliverystream/{}", before.or(after)?.name);
        let [before, after] = [before, after].map(|row| row.map(|row| row.shown().to_string()));
        let (before, after) = (before.as_deref().map(str::as_bytes), after.as_deref().map(str::as_bytes));
        control::record(Some(row), &Action { name: asked.operation, resource: &resource, before, after }, asked.caller)
    }

    /// Reads a row.
    ///
    /// # Errors
    /// Corrupt, or of a newer program.
    pub fn decode(value: &[u8]) -> Result<Row, StoreError> {
        read_row(WHAT, ROW_VERSION, value)
    }

    fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("invariant: a row has only string keys").into()
    }

    /// The consumer's id.
    ///
    /// # Errors
    /// Corrupt.
    pub fn consumer_id(&self) -> Result<MappingId, StoreError> {
        MappingId::parse(&self.consumer).ok_or_else(|| corrupt(format!("{:?} is no uuid", self.consumer)))
    }
}

/// Every row, by name.
///
/// # Errors
/// The store's.
pub async fn all(store: &dyn Engine) -> Result<Vec<Stored>, StoreError> {
    let mut rows = Vec::new();
    each(store, DeliveryStreamKey::range(), |_, bytes| {
        rows.push(Stored { row: Row::decode(&bytes)?, bytes });
        Ok(())
    })
    .await?;
    Ok(rows)
}

/// Why no row was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMade {
    /// There is one of its name already.
    Exists,
    /// There are so many, and no more may be.
    Full(usize),
}

/// Makes a row and the stream of the log, if there are fewer than `rows_max`.
///
/// # Errors
/// The store's.
pub async fn create(
    store: &dyn Engine,
    row: Row,
    stream_name: &str,
    rows_max: usize,
    asked: Asked<'_>,
) -> Result<Result<Stored, NotMade>, StoreError> {
    let keys = [DeliveryStreamKey::key(&row.name), hidden::counter_key()];
    let shared = [control::key()];
    loop {
        // Whoever makes a stream raises the counter: while it stands, there are no more rows than were counted behind it.
        let counted_at = store.get(std::slice::from_ref(&keys[1])).await?.pop().flatten();
        let mut count = 0;
        each(store, DeliveryStreamKey::range(), |_, _| {
            count += 1;
            Ok(())
        })
        .await?;
        let made = commit(store, &shared, &keys, |reads| {
            if reads.exclusive[0].is_some() {
                return Decision::Reject(Ok(Some(Err(NotMade::Exists))));
            }
            if reads.exclusive[1] != counted_at {
                return Decision::Reject(Ok(None));
            }
            if count >= rows_max {
                return Decision::Reject(Ok(Some(Err(NotMade::Full(count)))));
            }
            let Some(stream) = hidden::next_id(reads.exclusive[1].as_ref()) else {
                return Decision::Reject(Err(corrupt("the counter of streams")));
            };
            let row = Row { stream, ..row.clone() };
            let bytes = row.encode();
            let put = Write::Put { key: keys[0].clone(), value: bytes.clone() };
            let opened = hidden::open(stream, stream_name, crate::records::PARTITION, row.created_ms);
            let noted = Row::record(reads, asked, None, Some(&row));
            let writes = opened.into_iter().chain([put]).chain(noted).collect();
            Decision::Apply(writes, Ok(Some(Ok(Stored { row, bytes }))))
        });
        if let Some(decided) = made.await?.answer? {
            return Ok(decided);
        }
    }
}

/// Writes a row in the place of what was seen. `None`: that is there no more.
///
/// # Errors
/// The store's.
pub async fn change(
    store: &dyn Engine,
    seen: &Stored,
    row: Row,
    asked: Asked<'_>,
) -> Result<Option<Stored>, StoreError> {
    let keys = [DeliveryStreamKey::key(&row.name), hidden::descriptor_key(row.stream)];
    let bytes = row.encode();
    let shared = [control::key()];
    let changed = commit(store, &shared, &keys, |reads| {
        if reads.exclusive[0].as_ref() != Some(&seen.bytes) {
            return Decision::Reject(false);
        }
        let mut writes = vec![Write::Put { key: keys[0].clone(), value: bytes.clone() }];
        if row.deleted && !seen.row.deleted {
            writes.extend(hidden::drop(row.stream));
        }
        writes.extend(Row::record(reads, asked, Some(&seen.row), Some(&row).filter(|row| !row.deleted)));
        Decision::Apply(writes, true)
    });
    Ok(changed.await?.answer.then_some(Stored { row, bytes }))
}

/// Removes a row, if it is still what was seen: one that has another in its place was removed before.
///
/// # Errors
/// The store's.
pub async fn remove(store: &dyn Engine, seen: &Stored) -> Result<(), StoreError> {
    let key = DeliveryStreamKey::key(&seen.row.name);
    let removed = commit(store, &[], std::slice::from_ref(&key), |reads| {
        if reads.exclusive[0].as_ref() != Some(&seen.bytes) {
            return Decision::Reject(());
        }
        Decision::Apply(vec![Write::Delete { key: key.clone() }], ())
    });
    removed.await.map(|_| ())
}
