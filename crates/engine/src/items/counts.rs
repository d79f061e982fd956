//! How the changes of a commit change the counts of their tables and indexes: one write for each count that changes. Pure.

use tailrace_store::Write;
use tailrace_store::keyspace::{CountChange, ItemSet};

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

#[cfg(test)]
mod tests {
    use tailrace_core::TableId;

    use super::*;

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
