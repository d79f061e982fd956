//! Requests that are over while the rest of their flush is not: rows, so that what was given up stays so, with the same words, and what was
//! taken is not sent again. Of an index a request is a part of the flush: its documents are over. docs/format.md, Delivery streams.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tailrace_core::{EpochMs, RecordNo, ShardNo};
use tailrace_delivery::{Fence, each, read_row};
use tailrace_store::keyspace::RequestKey;
use tailrace_store::{Engine, Key, StoreError, Write};

use crate::beside;
use crate::outcome::Failure;
use crate::transform::{Flush, NotYet};

const ROW_VERSION: u32 = 1;
const WHAT: &str = "a request of a delivery stream";

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

/// The requests of a flush that are over, by their number; those of the shard's other flushes are removed.
///
/// # Errors
/// Another server owns the shard, or the store's.
pub async fn all(store: &dyn Engine, flush: Flush, fence: &Fence) -> Result<BTreeMap<u32, Over>, NotYet> {
    let range = RequestKey::range(flush.consumer);
    beside::forget_others(store, fence, flush, range.clone(), flush_of).await?;
    let mut all = BTreeMap::new();
    each(store, range, |key, value| {
        let key = RequestKey::decode(&key).ok_or_else(|| StoreError::Corrupt(format!("the key of {WHAT}")))?;
        if (key.shard, key.first) != (flush.shard, flush.first) {
            return Ok(());
        }
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
/// Another server owns the shard, or the store's.
pub async fn note(
    store: &dyn Engine,
    (flush, fence): (Flush, &Fence),
    request: u32,
    over: &Over,
) -> Result<(), NotYet> {
    let key = RequestKey { consumer: flush.consumer, shard: flush.shard, first: flush.first, request }.encode();
    let row = Row {
        v: ROW_VERSION,
        id: over.id.clone(),
        version: over.version,
        failed: over.failed.as_ref().map(Failed::from),
        documents: over.documents.iter().map(|(place, failure)| (*place, failure.into())).collect(),
    };
    let value = serde_json::to_vec(&row).expect("invariant: a row has only string keys").into();
    beside::write(store, fence, &[Write::Put { key, value }]).await
}

fn flush_of(key: &Key) -> Option<(ShardNo, RecordNo)> {
    RequestKey::decode(key).map(|of| (of.shard, of.first))
}
