//! Rows that a flush has beside its checkpoint: what a function has made of its records, and which of its requests are over.
//!
//! Invariants: only the owner of a shard writes and removes rows of the shard's flushes, and it reads them once those of its other flushes
//! are gone. A server whose shard another one has claimed changes none, whatever it still waits for.

use tailrace_core::{MappingId, RecordNo, ShardNo};
use tailrace_delivery::{Fence, Standing, each};
use tailrace_store::{Decision, Engine, Key, KeyRange, StoreError, Write, commit};

use crate::transform::{Flush, NotYet};

/// Rows that one commit removes.
const DELETES_AT_ONCE: usize = 100;

/// The flush that the key of a row names.
pub type FlushOf = fn(&Key) -> Option<(ShardNo, RecordNo)>;

/// Commits puts and deletes as the owner of the flush's shard.
///
/// # Errors
/// Another server owns it, and nothing was written; or the store's.
pub async fn write(store: &dyn Engine, fence: &Fence, writes: &[Write]) -> Result<(), NotYet> {
    match fence.commit(store, writes).await? {
        Standing::Held => Ok(()),
        Standing::TakenOver => Err(NotYet::NotInvoked("another server delivers the delivery stream".to_owned())),
        Standing::Gone => Err(NotYet::NotInvoked("the delivery stream is deleted".to_owned())),
    }
}

/// Removes the rows of a shard's other flushes, which are over.
///
/// # Errors
/// As of [`write`].
pub async fn forget_others(
    store: &dyn Engine,
    fence: &Fence,
    flush: Flush,
    range: KeyRange,
    flush_of: FlushOf,
) -> Result<(), NotYet> {
    let mut deletes = Vec::new();
    each(store, range, |key, _| {
        // Rows of other shards are their owners'; what is no such key is told when it is read.
        if flush_of(&key).is_some_and(|(shard, first)| shard == flush.shard && first != flush.first) {
            deletes.push(Write::Delete { key });
        }
        Ok(())
    })
    .await?;
    for deletes in deletes.chunks(DELETES_AT_ONCE) {
        write(store, fence, deletes).await?;
    }
    Ok(())
}

/// Removes all rows of a consumer that is deleted: its shards have no owners any more.
///
/// # Errors
/// The store's.
pub async fn remove(
    store: &dyn Engine,
    range: fn(MappingId) -> KeyRange,
    consumer: MappingId,
) -> Result<(), StoreError> {
    let mut keys = Vec::new();
    each(store, range(consumer), |key, _| {
        keys.push(key);
        Ok(())
    })
    .await?;
    for keys in keys.chunks(DELETES_AT_ONCE) {
        let deletes = || keys.iter().map(|key| Write::Delete { key: key.clone() }).collect();
        commit(store, &[], keys, |_| Decision::Apply(deletes(), ())).await?;
    }
    Ok(())
}
