//! The tick: records older than the retention go, streams that were disabled that long ago are forgotten, and the items
//! of deleted tables are reclaimed if that was interrupted. Source: docs/spec/streams.md 12.

use tailrace_core::ApiError;
use tailrace_store::keyspace::{ItemKey, SettingKey, StreamKey, StreamNameKey, TableId};
use tailrace_store::{Decision, Key, LogPosition, PageLimit, ShardInfo, StoreError, Write, commit};

use super::descriptor::Stream;
use crate::db::Db;
use crate::failure::store_failure;

const RECLAIM_PREFIX: &str = "reclaim/";

/// The row that says that the items of a deleted table are still to be reclaimed. It is a setting, since it is the engine's
/// own mark: the store writes down what it has begun, this is what it has perhaps not begun.
pub(crate) fn reclaim_key(table: TableId) -> Key {
    SettingKey::key(&format!("{RECLAIM_PREFIX}{:020}", table.0))
}

/// Hands the items of a deleted table to the store, then forgets the mark.
pub(crate) async fn reclaim(db: &Db, table: TableId) -> Result<(), StoreError> {
    db.store.reclaim(ItemKey::table_range(table)).await?;
    let keys = [reclaim_key(table)];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        Some(_) => Decision::Apply(vec![Write::Delete { key: keys[0].clone() }], ()),
        None => Decision::Reject(()),
    })
    .await?;
    Ok(())
}

impl Db {
    /// Does what time makes due at `now_ms`. Called by the server's tick; safe to repeat and to interrupt.
    ///
    /// # Errors
    /// The store's failure; what is left is done by the next call.
    pub async fn enforce_retention(&self, now_ms: u64) -> Result<(), ApiError> {
        let cutoff_ms = now_ms.saturating_sub(self.settings.stream_retention_ms);
        for stream in self.streams().await? {
            if stream.disabled_ms.is_some_and(|ms| ms <= cutoff_ms) {
                forget(self, &stream).await.map_err(|e| store_failure(&e))?;
                continue;
            }
            for shard in self.store.shards(stream.id).await.map_err(|e| store_failure(&e))? {
                trim(self, &shard, cutoff_ms).await.map_err(|e| store_failure(&e))?;
            }
        }
        finish_reclaims(self).await.map_err(|e| store_failure(&e))
    }
}

async fn trim(db: &Db, shard: &ShardInfo, cutoff_ms: u64) -> Result<(), StoreError> {
    // The horizon moves to right behind the last record that is too old, not to the first one that stays: a reader who
    // has read all the old ones is never behind it, whatever lies between.
    let last_expired = match db.store.position(shard.shard, LogPosition::Time(cutoff_ms)).await {
        Err(StoreError::NoSuchShard(_)) => return Ok(()),
        position => position?,
    };
    if last_expired < shard.first.max(shard.horizon) {
        return Ok(());
    }
    db.store.trim(shard.shard, last_expired.next()).await
}

/// Forgets a stream whose life after its end is over.
async fn forget(db: &Db, stream: &Stream) -> Result<(), StoreError> {
    let keys = [StreamKey { stream: stream.id }.encode(), StreamNameKey::key(&stream.table, &stream.label)];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        None => Decision::Reject(()),
        Some(_) => {
            let rows = keys.iter().map(|key| Write::Delete { key: key.clone() });
            Decision::Apply(rows.chain([Write::DropStream { stream: stream.id }]).collect(), ())
        }
    })
    .await?;
    Ok(())
}

async fn finish_reclaims(db: &Db) -> Result<(), StoreError> {
    let page = PageLimit { rows_max: 1000, cost_max: usize::MAX, cost: |_, _| 0 };
    let marks = db.store.page(SettingKey::range(), page).await?;
    for (key, _) in marks.rows {
        let name = SettingKey::decode(&key).map(|setting| setting.name).unwrap_or_default();
        if let Some(table) = name.strip_prefix(RECLAIM_PREFIX).and_then(|id| id.parse().ok()) {
            reclaim(db, TableId(table)).await?;
        }
    }
    Ok(())
}
