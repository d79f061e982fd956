//! How the changes of a commit change the counts of their tables and indexes: one write for each count that changes; and
//! what the count of an index lacks that was filled beside writers.

use bytes::Bytes;
use tailrace_core::codec::stored_size;
use tailrace_store::keyspace::{CountChange, ItemCount, ItemCountKey, ItemKey, ItemSet};
use tailrace_store::{Decision, Engine, StoreError, Write, commit};

use crate::db::StoredTable;

/// The counts that a commit changes; few, one for each table and index that it writes.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    changed: Vec<(ItemSet, CountChange)>,
}

impl Counts {
    /// Notes that a row of a table or an index was so large before, and is now, in bytes as `stored_size` counts them; `None`:
    /// there is none.
    pub fn note(&mut self, set: ItemSet, before: Option<usize>, after: Option<usize>) {
        let (rows, bytes) =
            (|row: Option<usize>| i64::from(row.is_some()), |row: Option<usize>| row.unwrap_or(0) as i64);
        let by = CountChange { rows: rows(after) - rows(before), bytes: bytes(after) - bytes(before) };
        match self.changed.iter_mut().find(|(changed, _)| *changed == set) {
            Some((_, sum)) => *sum += by,
            None => self.changed.push((set, by)),
        }
    }

    /// The writes. What comes and goes in the same commit changes no count.
    pub fn writes(self) -> impl Iterator<Item = Write> {
        self.changed.into_iter().filter(|(_, by)| !by.is_none()).map(|(set, by)| Write::Count { set, by })
    }
}

/// What the count of an index lacks whose rows are all there, and whose changes are counted since some commit before this
/// call: the same whenever it is asked for, until the write is made. Whoever makes it must make it once.
///
/// # Errors
/// The store's.
pub(crate) async fn lacking(store: &dyn Engine, set: ItemSet) -> Result<Write, StoreError> {
    let key = ItemCountKey { set }.encode();
    let tally = store.tally(ItemKey::table_range(set), stored_size, &key).await?;
    let damaged = || StoreError::Corrupt(format!("the count of table {}, index {}", set.table.0, set.index.0));
    let counted = ItemCount::read(tally.value.as_ref()).ok_or_else(damaged)?;
    Ok(Write::Count { set, by: CountChange::between(counted, tally.count) })
}

/// What a count that is made anew begins with: no table comes near it, so that one that was not finished is told from a whole one.
const PARTIAL: ItemCount = ItemCount { rows: 1 << 62, bytes: 0 };

/// The count of a row, or of none. `None`: it cannot be read, or lacks what was there before it was begun.
pub(crate) fn whole(row: Option<&Bytes>) -> Option<ItemCount> {
    ItemCount::read(row).filter(|count| count.rows < PARTIAL.rows / 2)
}

/// Counts the rows of a table, or of an index that is active, anew, if its count is not whole. Changes are counted from the first
/// commit on, and the second adds what was there before; whoever finds only the first made goes on with the second. Only one may
/// be under way in a process, to its end: the second commit does not see another one of its kind that is not visible yet.
///
/// # Errors
/// The store's.
pub(crate) async fn count_anew(store: &dyn Engine, table: &StoredTable, set: ItemSet) -> Result<(), StoreError> {
    let (shared, exclusive) = ([table.row_key.clone()], [ItemCountKey { set }.encode()]);
    let begun = commit(store, &shared, &exclusive, |reads| {
        let row = reads.exclusive[0].as_ref();
        // The count of a table that is gone goes with its rows.
        if whole(row).is_some() || reads.shared[0].as_ref() != Some(&table.row) {
            return Decision::Reject(false);
        }
        if ItemCount::read(row).is_some() {
            return Decision::Reject(true);
        }
        Decision::Apply(vec![Write::Put { key: exclusive[0].clone(), value: PARTIAL.value() }], true)
    });
    if begun.await?.answer {
        tracing::error!(table = %table.name, index = set.index.0, "the count of a table's items could not be read: they are counted anew");
        let lacks = lacking(store, set).await?;
        let finished = commit(store, &[], &exclusive, |reads| {
            let partial = whole(reads.exclusive[0].as_ref()).is_none();
            if partial { Decision::Apply(vec![lacks.clone()], ()) } else { Decision::Reject(()) }
        });
        finished.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tailrace_core::clock::ManualClock;
    use tailrace_core::{Bucket, IndexId, TableId};
    use tailrace_store::{Key, ModelEngine};

    use super::*;

    /// Rows from before are not counted; each change after that is.
    #[tokio::test]
    async fn what_the_count_of_a_filled_index_lacks_makes_it_exact_whatever_is_written_meanwhile() {
        let store = ModelEngine::new(std::sync::Arc::new(ManualClock::at(tailrace_core::EpochMs(1_000))));
        let set = ItemSet { table: TableId(1), index: IndexId(2) };
        let row = |n: u8| ItemKey::key(set, Bucket(0), &[n], &[]);
        let item = tailrace_core::Item::from([("pk".to_owned(), tailrace_core::AttributeValue::S("abc".to_owned()))]);
        let value = Bytes::from(tailrace_core::codec::encode_stored(&item));
        let put = |n| Write::Put { key: row(n), value: value.clone() };
        let count = |before: Option<usize>, after: Option<usize>| {
            let mut counts = Counts::default();
            counts.note(set, before, after);
            counts.writes().next().unwrap()
        };
        let (engine, size) = (store.as_ref(), stored_size(&value));
        let make = async |writes: Vec<Write>| {
            let keys: [Key; 0] = [];
            commit(engine, &[], &keys, |_| Decision::Apply(writes.clone(), ())).await.unwrap();
        };
        make((0..10).map(put).collect()).await;
        make(vec![Write::Delete { key: row(3) }, count(Some(size), None)]).await;
        let lacks = lacking(engine, set).await.unwrap();
        make(vec![Write::Delete { key: row(4) }, count(Some(size), None)]).await;
        make(vec![put(11), count(None, Some(size))]).await;
        assert_eq!(lacking(engine, set).await.unwrap(), lacks);
        make(vec![lacks]).await;
        let found = engine.get(&[ItemCountKey { set }.encode()]).await.unwrap().remove(0);
        assert_eq!(ItemCount::read(found.as_ref()), Some(ItemCount { rows: 9, bytes: 9 * size as u64 }));
    }

    #[test]
    fn changes_of_one_table_are_added_up_and_no_change_is_no_write() {
        let (a, b): (ItemSet, ItemSet) = (TableId(1).into(), TableId(2).into());
        let mut counts = Counts::default();
        counts.note(a, None, Some(10));
        counts.note(b, Some(7), Some(7));
        counts.note(a, Some(30), None);
        counts.note(a, Some(5), Some(8));
        let writes: Vec<Write> = counts.writes().collect();
        assert_eq!(writes, [Write::Count { set: a, by: CountChange { rows: 0, bytes: -17 } }]);
    }
}
