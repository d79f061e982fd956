//! When items expire, and the rows that say so in the order of time. Source: docs/spec/dynamodb-api.md 8.2.
//!
//! Invariant: in a table with time to live, every item that was written since it was enabled has exactly the row that its
//! attribute asks for: the row goes in the item's own commit, and one that stays as it was is not written. Items from before get
//! theirs behind the operations (`background::expiry_fill`). Without time to live nothing is looked at.
//!
//! An item expires when the clock is past the attribute, a number of seconds; fractions count, to the millisecond that the clock
//! has. One that is more than five years older than the clock, or no number, or not at the top level, means nothing.

use bytes::Bytes;
use tailrace_core::codec::StoredItem;
use tailrace_core::limits::{TTL_AGE_MAX, TTL_INSTANT_MAX};
use tailrace_core::{ApiError, AttributeValue, EpochMs, TtlGeneration};
use tailrace_store::keyspace::ExpiryKey;
use tailrace_store::{Key, Write};

use super::stored_item::corrupt;
use crate::table::{Table, TimeToLive};

impl TimeToLive {
    /// When the stored item expires, if it ever does: a row is kept for that instant.
    ///
    /// # Errors
    /// The bytes are no item.
    pub(crate) fn instant(&self, stored: &[u8]) -> Result<Option<EpochMs>, ApiError> {
        let value = StoredItem::new(stored).and_then(|item| item.attribute(&self.attribute)).map_err(corrupt)?;
        let Some(AttributeValue::N(seconds)) = value else { return Ok(None) };
        let instant = seconds.whole_scaled(3).map(EpochMs);
        Ok(instant.filter(|instant| (EpochMs(1)..TTL_INSTANT_MAX).contains(instant)))
    }

    /// The key of the row of an item that expires then.
    pub(crate) fn row(&self, table: &Table, instant: EpochMs, item: &Key) -> Key {
        ExpiryKey::key(table.id, self.generation, instant, item)
    }
}

/// The writes that keep the rows of expiries right when an item goes from `old` to `new`, which differ.
pub(super) fn writes(
    table: &Table,
    item: &Key,
    old: Option<&Bytes>,
    new: Option<&Bytes>,
) -> impl Iterator<Item = Write> + use<> {
    let changed = table.time_to_live.as_ref().map(|time_to_live| {
        // What cannot be read is replaced now, and had no row that anybody could find by it.
        let instant = |stored: Option<&Bytes>| stored.and_then(|stored| time_to_live.instant(stored).ok().flatten());
        let (old, new) = (instant(old), instant(new));
        let row = |instant: EpochMs| time_to_live.row(table, instant, item);
        let changed = old != new;
        [
            old.filter(|_| changed).map(|instant| Write::Delete { key: row(instant) }),
            new.filter(|_| changed).map(|instant| Write::Put { key: row(instant), value: Bytes::new() }),
        ]
    });
    changed.into_iter().flatten().flatten()
}

/// The instants at which an item must have expired to be deleted now: from the first on, before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub generation: TtlGeneration,
    pub from: EpochMs,
    pub before: EpochMs,
}

impl Due {
    /// What is due at `now` by a time to live.
    pub fn at(now: EpochMs, generation: TtlGeneration) -> Due {
        Due { generation, from: now.minus(TTL_AGE_MAX), before: now }
    }

    /// The stored item after the sweep has come by: it goes if the table still lets it expire, and it is due as it is now.
    pub fn outcome(&self, table: &Table, old: Option<&Bytes>) -> Result<Option<Bytes>, ApiError> {
        let time_to_live = table.time_to_live.as_ref().filter(|now| now.generation == self.generation);
        let instant = match (time_to_live, old) {
            (Some(time_to_live), Some(old)) => time_to_live.instant(old)?,
            _ => None,
        };
        let due = instant.is_some_and(|instant| (self.from..self.before).contains(&instant));
        Ok(old.filter(|_| !due).cloned())
    }
}

#[cfg(test)]
mod tests {
    use tailrace_core::codec::encode_stored;
    use tailrace_core::key::{KeyAttribute, ScalarType};
    use tailrace_core::{Bucket, Item, KeySchema, Number, TableId};
    use tailrace_store::keyspace::ItemKey;

    use super::*;

    fn table(time_to_live: bool) -> Table {
        let schema = KeySchema { hash: KeyAttribute { name: "pk".to_owned(), scalar: ScalarType::S }, range: None };
        let mut table = Table::new("table".to_owned(), TableId(3), String::new(), EpochMs(0), schema);
        table.time_to_live =
            time_to_live.then(|| TimeToLive { attribute: "ttl".to_owned(), generation: TtlGeneration(2) });
        table
    }

    /// An item that expires then, and differs from others by `n`.
    fn item(ttl: Option<&str>, n: i64) -> Bytes {
        let number = |text: &str| AttributeValue::N(Number::parse(text).unwrap());
        let mut item = Item::from([("n".to_owned(), AttributeValue::N(Number::from(n)))]);
        item.extend(ttl.map(|ttl| ("ttl".to_owned(), number(ttl))));
        encode_stored(&item).into()
    }

    #[test]
    fn a_row_is_written_where_the_expiry_changes_and_only_there() {
        let key = ItemKey::key(TableId(3), Bucket(1), b"a", b"");
        let row = |ms: u64| ExpiryKey::key(TableId(3), TtlGeneration(2), EpochMs(ms), &key);
        let put = |ms: u64| Write::Put { key: row(ms), value: Bytes::new() };
        let delete = |ms: u64| Write::Delete { key: row(ms) };
        let (ten, same, eleven, none) =
            (item(Some("10"), 1), item(Some("10.0001"), 2), item(Some("11.5"), 1), item(None, 1));
        let check = |old: Option<&Bytes>, new: Option<&Bytes>, expected: &[Write]| {
            assert_eq!(writes(&table(true), &key, old, new).collect::<Vec<_>>(), expected);
            assert_eq!(writes(&table(false), &key, old, new).count(), 0);
        };
        check(None, Some(&ten), &[put(10_000)]);
        check(Some(&ten), Some(&same), &[]);
        check(Some(&ten), Some(&eleven), &[delete(10_000), put(11_500)]);
        check(Some(&eleven), Some(&none), &[delete(11_500)]);
        check(Some(&none), None, &[]);
        check(Some(&ten), None, &[delete(10_000)]);
        // What stood there is no item: it is replaced, and nobody asks what it was.
        check(Some(&Bytes::from_static(b"\x05\xff")), Some(&ten), &[put(10_000)]);
    }
}
