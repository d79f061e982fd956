//! The rows of what is deleted are handed to the store, which frees their space: those of tables, of indexes, of dropped versions of
//! views, and of times to live. Whoever drops them does so himself, right behind the commit, and a pass of the background where
//! that failed.
//!
//! Invariant: what says that rows are to go, a mark or a row, goes behind them. Each may be repeated.

use tailrace_core::TableId;
use tailrace_store::keyspace::{
    DeletedIndexKey, DeletedTableKey, DroppedViewKey, ExpiryKey, ItemCountKey, ItemKey, ItemSet, TimeToLiveKey,
    ViewRowKey, ViewVersion,
};
use tailrace_store::{Decision, Key, PageLimit, StoreError, Write, commit};

use crate::db::Db;

/// Hands the items of a deleted table to the store, then forgets the table's mark and its counts.
///
/// # Errors
/// The store's; the next pass tries again.
pub(crate) async fn reclaim_table(db: &Db, table: TableId) -> Result<(), StoreError> {
    db.store.reclaim(ItemKey::with_indexes(table)).await?;
    let all = PageLimit { rows_max: usize::MAX, cost_max: usize::MAX, cost: |_, _| 0 };
    let counts = db.store.page(ItemCountKey::with_indexes(table), all).await?.rows;
    forget(db, DeletedTableKey { table }.encode(), counts.into_iter().map(|(key, _)| key)).await
}

/// Hands the rows of a deleted index to the store, then forgets the index's mark and its count.
///
/// # Errors
/// The store's; the next pass tries again.
pub(crate) async fn reclaim_index(db: &Db, set: ItemSet) -> Result<(), StoreError> {
    db.store.reclaim(ItemKey::table_range(set)).await?;
    forget(db, DeletedIndexKey { set }.encode(), [ItemCountKey { set }.encode()]).await
}

/// Hands the rows of a dropped version of a view to the store, then forgets its mark.
///
/// # Errors
/// The store's; the next pass tries again.
pub async fn reclaim_view(db: &Db, version: ViewVersion) -> Result<(), StoreError> {
    db.store.reclaim(ViewRowKey::range(version)).await?;
    forget(db, DroppedViewKey { version }.encode(), []).await
}

/// Hands the expiries of a time to live that has ended, or whose table is gone, to the store; then forgets it.
///
/// # Errors
/// The store's; the next pass tries again.
pub(crate) async fn reclaim_expiries(db: &Db, key: TimeToLiveKey) -> Result<(), StoreError> {
    db.store.reclaim(ExpiryKey::range(key.table, key.generation)).await?;
    let keys = [key.encode()];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        Some(_) => Decision::Apply(vec![Write::Delete { key: keys[0].clone() }], ()),
        None => Decision::Reject(()),
    })
    .await?;
    Ok(())
}

/// Removes a mark, and with it the counts of what it stood for.
async fn forget(db: &Db, mark: Key, counts: impl IntoIterator<Item = Key>) -> Result<(), StoreError> {
    let counts: Vec<Key> = counts.into_iter().collect();
    let keys = [mark];
    commit(db.store.as_ref(), &[], &keys, |reads| match reads.exclusive[0] {
        Some(_) => {
            let rows = keys.iter().chain(&counts);
            Decision::Apply(rows.map(|key| Write::Delete { key: key.clone() }).collect(), ())
        }
        None => Decision::Reject(()),
    })
    .await?;
    Ok(())
}
