//! Requests that are over while the rest of their flush is not: rows, so that what was given up stays so, with the same words, and what was
//! taken is not sent again. Of an index a request is a part of the flush: its documents are over. docs/format.md, Delivery streams.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, MappingId};
use tailrace_delivery::{each, read_row};
use tailrace_store::keyspace::RequestKey;
use tailrace_store::{Decision, Engine, Key, StoreError, Write, commit};

use crate::outcome::Failure;
use crate::transform::Flush;

const ROW_VERSION: u32 = 1;
const WHAT: &str = "a request of a delivery stream";
/// Rows that one commit removes.
const DELETES_AT_ONCE: usize = 100;

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Its id.
    pub id: String,
    /// The version of the destination.
    pub version: u32,
    /// Why it was given up; `None`: it was taken.
    pub failed: Option<Failure>,
    /// Its documents that were given up, by their place in it.
    pub documents: BTreeMap<u32, Failure>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    v: u32,
    id: String,
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Failed>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    documents: BTreeMap<u32, Failed>,
}

#[derive(Serialize, Deserialize)]
struct Failed {
    code: String,
    message: String,
    attempts: u32,
    ended_ms: EpochMs,
}

impl From<Failed> for Failure {
    fn from(Failed { code, message, attempts, ended_ms }: Failed) -> Failure {
        Failure { code, message, attempts, ended_ms }
    }
}

impl From<&Failure> for Failed {
    fn from(failure: &Failure) -> Failed {
        let Failure { code, message, attempts, ended_ms } = failure.clone();
        Failed { code, message, attempts, ended_ms }
    }
}

/// The requests of a flush that are over, by their number; those of other flushes are removed.
///
/// # Errors
/// The store's.
pub async fn all(store: &dyn Engine, flush: Flush) -> Result<BTreeMap<u32, Over>, StoreError> {
    remove(store, flush.consumer, Some(flush)).await?;
    let mut all = BTreeMap::new();
    each(store, RequestKey::range(flush.consumer), |key, value| {
        let key = RequestKey::decode(&key).ok_or_else(|| StoreError::Corrupt(format!("the key of {WHAT}")))?;
        let Row { id, version, failed, documents, .. } = read_row(WHAT, ROW_VERSION, &value)?;
        let documents = documents.into_iter().map(|(place, failed)| (place, failed.into())).collect();
        all.insert(key.request, Over { id, version, failed: failed.map(Failure::from), documents });
        Ok(())
    })
    .await?;
    Ok(all)
}

/// Notes that a request is over.
///
/// # Errors
/// The store's.
pub async fn note(store: &dyn Engine, flush: Flush, request: u32, over: &Over) -> Result<(), StoreError> {
    let key = RequestKey { consumer: flush.consumer, shard: flush.shard, first: flush.first, request }.encode();
    let row = Row {
        v: ROW_VERSION,
        id: over.id.clone(),
        version: over.version,
        failed: over.failed.as_ref().map(Failed::from),
        documents: over.documents.iter().map(|(place, failure)| (*place, failure.into())).collect(),
    };
    let value = serde_json::to_vec(&row).expect("invariant: a row has only string keys");
    let put = || vec![Write::Put { key: key.clone(), value: value.clone().into() }];
    commit(store, &[], std::slice::from_ref(&key), |_| Decision::Apply(put(), ())).await.map(|_| ())
}

/// Removes what is known of a consumer's requests, but for those of one flush.
///
/// # Errors
/// The store's.
pub async fn remove(store: &dyn Engine, consumer: MappingId, kept: Option<Flush>) -> Result<(), StoreError> {
    let mut keys: Vec<Key> = Vec::new();
    each(store, RequestKey::range(consumer), |key, _| {
        let of = RequestKey::decode(&key);
        if of.is_none_or(|of| kept.is_none_or(|kept| (kept.shard, kept.first) != (of.shard, of.first))) {
            keys.push(key);
        }
        Ok(())
    })
    .await?;
    for keys in keys.chunks(DELETES_AT_ONCE) {
        let deletes = || keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
        commit(store, &[], keys, |_| Decision::Apply(deletes(), ())).await?;
    }
    Ok(())
}
