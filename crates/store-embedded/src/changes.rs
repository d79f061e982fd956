//! What a group of commits comes to: the last version of each key, and one new value of each row of counts.
//!
//! Invariants: commits add to counts without reading them, so that only here, where the group's place behind all that is
//! published is known, a count gets a value; a group that is applied is counted once, by the applier or by the replay that
//! stands for it. A thousand commits that change one count cost one row. A count that cannot be read stays as it is and holds up nobody:
//! it is named, and whoever asks for it next has it counted anew.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use hashbrown::HashTable;
use tailrace_store::StoreError;
use tailrace_store::keyspace::{CountChange, ItemCount, ItemCountKey, ItemSet, KeyKind};

use crate::log::LoggedWrite;
use crate::queue::change;
use crate::tree::{Change, key_hash};

/// What the commits of a group do to a count.
#[derive(Default)]
struct Sum {
    by: CountChange,
    /// What is changed, if it is not the published value: what a write of the row in the group has set it to.
    base: Option<Option<Bytes>>,
}

/// The changes of a group of commits, each in the order of its writes; `published` gives the value of a row behind the group
/// before. `unreadable`: the counts that were named because they cannot be read.
pub(crate) fn changes<'a>(
    commits: impl DoubleEndedIterator<Item = &'a [LoggedWrite]> + ExactSizeIterator,
    mut published: impl FnMut(&Bytes) -> Result<Option<Bytes>, StoreError>,
    unreadable: &mut HashSet<ItemSet>,
) -> Result<Vec<Change>, StoreError> {
    let mut seen: HashTable<&[u8]> = HashTable::with_capacity(commits.len());
    let mut changes = Vec::with_capacity(commits.len());
    let mut sums: HashMap<ItemSet, Sum> = HashMap::new();
    // From the newest to the oldest, so that the first version met of a key is its last one.
    for writes in commits.rev() {
        for (index, write) in writes.iter().enumerate().rev() {
            let key = match write {
                LoggedWrite::Put { key, .. } | LoggedWrite::PutOfWrite { key, .. } | LoggedWrite::Delete { key } => key,
                LoggedWrite::Count { set, by } => {
                    let sum = sums.entry(*set).or_default();
                    if sum.base.is_none() {
                        sum.by += *by;
                    }
                    continue;
                }
                _ => continue,
            };
            let hash = key_hash(key);
            if seen.find(hash, |newer| newer == key).is_some() {
                continue;
            }
            seen.insert_unique(hash, key, |key| key_hash(key));
            let Some((key, value)) = change(writes, index) else { continue };
            match count_of(&key) {
                Some(set) => sums.entry(set).or_default().base = Some(value),
                None => changes.push((key, value)),
            }
        }
    }
    for (set, Sum { by, base }) in sums {
        let key = ItemCountKey { set }.encode().0;
        if by.is_none() {
            changes.extend(base.map(|value| (key, value)));
            continue;
        }
        let before = match &base {
            Some(value) => value.clone(),
            None => published(&key)?,
        };
        match ItemCount::read(before.as_ref()) {
            Some(before) => changes.push((key, Some(before.changed(by).value()))),
            None => {
                changes.extend(base.map(|value| (key, value)));
                if unreadable.insert(set) {
                    let (table, index) = (set.table.0, set.index.0);
                    tracing::error!(
                        table,
                        index,
                        "the count of a table's items cannot be read: it is counted anew when it is asked for"
                    );
                }
            }
        }
    }
    Ok(changes)
}

fn count_of(key: &[u8]) -> Option<ItemSet> {
    if key.first() != Some(&(KeyKind::ItemCount as u8)) {
        return None;
    }
    ItemCountKey::decode(key).map(|key| key.set)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn write() -> impl Strategy<Value = LoggedWrite> {
        let set = |index: u32| ItemSet { index: tailrace_core::IndexId(index), ..tailrace_core::TableId(1).into() };
        let key = move |index| ItemCountKey { set: set(index) }.encode().0;
        let count = (0..3u32, -2..3i64, prop_oneof![-2..3i64, Just(i64::MAX), Just(i64::MIN)]);
        let count = count.prop_map(move |(index, rows, bytes)| LoggedWrite::Count {
            set: set(index),
            by: CountChange { rows, bytes },
        });
        let put = (0..3u32, 0..9u64).prop_map(move |(index, rows)| LoggedWrite::Put {
            key: key(index),
            value: ItemCount { rows, bytes: 7 }.value(),
        });
        let delete = (0..3u32).prop_map(move |index| LoggedWrite::Delete { key: key(index) });
        let other = (0..9u8).prop_map(|n| LoggedWrite::Put { key: Bytes::from(vec![1, n % 2]), value: vec![n].into() });
        prop_oneof![6 => count, 1 => put, 1 => delete, 1 => other]
    }

    /// The rows after the commits, in groups of so many.
    fn applied(commits: &[Vec<LoggedWrite>], group: usize) -> BTreeMap<Bytes, Bytes> {
        let mut rows = BTreeMap::new();
        for group in commits.chunks(group) {
            let published = |key: &Bytes| Ok(rows.get(key).cloned());
            let changes = changes(group.iter().map(Vec::as_slice), published, &mut HashSet::new()).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => rows.insert(key, value),
                    None => rows.remove(&key),
                };
            }
        }
        // That there is none, or that it is of none, means the same.
        rows.retain(|_, value| *value != ItemCount::default().value());
        rows
    }

    #[test]
    fn a_count_that_cannot_be_read_stays_until_it_is_set_and_is_named_once() {
        let set = ItemSet::from(tailrace_core::TableId(1));
        let key = ItemCountKey { set }.encode().0;
        let by = CountChange { rows: 1, bytes: 7 };
        let count = [LoggedWrite::Count { set, by }];
        let put = [LoggedWrite::Put { key: key.clone(), value: ItemCount::default().value() }];
        let published = |_: &Bytes| Ok(Some(Bytes::from_static(b"?")));
        let mut unreadable = HashSet::new();
        assert_eq!(changes([&count[..]].into_iter(), published, &mut unreadable).unwrap(), []);
        assert_eq!(unreadable, HashSet::from([set]));
        let set_anew = changes([&count[..], &put[..], &count[..]].into_iter(), published, &mut unreadable).unwrap();
        assert_eq!(set_anew, [(key, Some(ItemCount::default().changed(by).value()))]);
    }

    proptest! {
        #[test]
        fn counts_come_to_the_same_in_any_groups(
            commits in prop::collection::vec(prop::collection::vec(write(), 0..5), 0..20),
        ) {
            let alone = applied(&commits, 1);
            for group in 2..8 {
                prop_assert_eq!(&applied(&commits, group), &alone, "in groups of {}", group);
            }
        }
    }
}
