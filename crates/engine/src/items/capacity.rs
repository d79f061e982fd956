//! What an operation is charged. Source: docs/spec/dynamodb-api.md 7.4.

use tailrace_api::items::Charge;
use tailrace_core::codec::stored_size;

use super::index_entries::{Entry, EntryChange, entry_changes};
use super::plan::Written;
use crate::table::Table;
use crate::tables::index::IndexKind;

const READ_UNIT_BYTES: usize = 4096;
const WRITE_UNIT_BYTES: usize = 1024;

/// Units of a read of `bytes`, rounded up once; at least one block.
pub(crate) fn read_units(bytes: usize, consistent: bool) -> f64 {
    let blocks = bytes.div_ceil(READ_UNIT_BYTES).max(1) as f64;
    if consistent { blocks } else { blocks / 2.0 }
}

/// Units of a write that found `old` bytes and left `new` bytes.
pub(crate) fn write_units(old: usize, new: usize) -> f64 {
    old.max(new).div_ceil(WRITE_UNIT_BYTES).max(1) as f64
}

/// What a write of an item is charged at its table and at the indexes whose entries it changed. `table`: as the write saw it.
pub(crate) fn write_charge(table: &Table, written: &Written) -> Charge {
    let mut charge = Charge::from(written.units());
    // What cannot be told of entries was not written either.
    let changes = entry_changes(table, written.old.as_ref(), written.new.as_ref()).unwrap_or_default();
    // One that stays as it is, is not charged, though it may be written into an index that is being filled.
    for change in changes.into_iter().filter(|change| change.before != change.after) {
        let arm = match change.index.kind {
            IndexKind::Local => &mut charge.local,
            IndexKind::Global => &mut charge.global,
        };
        arm.insert(change.index.name.clone(), entry_units(&change));
    }
    charge
}

/// An entry that moves is removed and written.
fn entry_units(change: &EntryChange<'_>) -> f64 {
    let size = |entry: &Option<Entry>| entry.as_ref().map_or(0, |entry| stored_size(&entry.value));
    let (before, after) = (size(&change.before), size(&change.after));
    match (&change.before, &change.after) {
        (Some(old), Some(new)) if old.key != new.key => write_units(before, 0) + write_units(0, after),
        _ => write_units(before, after),
    }
}

/// Units of the read of an item of `bytes` in a transaction, and of what a token answers instead of a write.
pub(crate) fn transaction_read_units(bytes: usize) -> f64 {
    2.0 * read_units(bytes, true)
}

/// What the write, or the check, of an item in a transaction is charged, from what the same write alone is: twice at the table,
/// the same at the indexes.
pub(crate) fn transaction_write_charge(of_a_write: Charge) -> Charge {
    Charge { table: 2.0 * of_a_write.table, ..of_a_write }
}
