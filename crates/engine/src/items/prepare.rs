//! What comes of changes of large items, found out before the commit and away from the runtime's threads.
//!
//! A commit's body runs under the latches of its keys, on a thread that serves others. To read, change and write an item of
//! many attributes takes milliseconds; so a body that meets a large one decides nothing, the change is worked out for the
//! item that it met, and the commit runs again: if it meets the same item, what was worked out holds.

use bytes::Bytes;
use tailrace_core::expr::{Condition, Update};
use tailrace_core::limits::{PLAN_INLINE_BYTES_MAX, TRANSACTION_PLAN_INLINE_BYTES_MAX};
use tailrace_core::{ApiError, Item};

use super::place::ItemPlace;
use super::plan::{Action, Change};
use crate::aside::aside;

/// What comes of a change, if it meets this item.
pub(crate) struct Prepared {
    old: Option<Bytes>,
    new: Result<Option<Bytes>, ApiError>,
}

impl Prepared {
    /// Whether it is about this item.
    pub fn is_of(&self, old: Option<&Bytes>) -> bool {
        match (&self.old, old) {
            // Mostly the store hands out the very same bytes again.
            (Some(a), Some(b)) => (a.as_ptr(), a.len()) == (b.as_ptr(), b.len()) || a == b,
            (a, b) => a.is_none() && b.is_none(),
        }
    }

    /// The stored item after the change of `old`. `None`: this is about another item.
    pub fn outcome(&self, old: Option<&Bytes>) -> Option<Result<Option<Bytes>, ApiError>> {
        self.is_of(old).then(|| self.new.clone())
    }
}

/// Bytes of an item up to which a commit's body looks into it. Many items that are not large themselves are too much together.
pub(crate) fn inline_bytes_max(changes: &[Change<'_>], olds: &[Option<Bytes>]) -> usize {
    let looked_into = changes.iter().zip(olds).filter(|(change, _)| change.looks_into_the_item());
    let bytes: usize = looked_into.map(|(_, old)| old.as_ref().map_or(0, Bytes::len)).sum();
    if changes.len() > 1 && bytes > TRANSACTION_PLAN_INLINE_BYTES_MAX { 0 } else { PLAN_INLINE_BYTES_MAX }
}

/// Whether a change takes too long for a commit's body.
pub(crate) fn is_long(change: &Change<'_>, old: Option<&Bytes>, inline_bytes_max: usize) -> bool {
    change.looks_into_the_item() && old.is_some_and(|old| old.len() > inline_bytes_max)
}

/// Works out the changes that take long, for the items `olds`.
///
/// # Errors
/// The server is stopping.
pub(crate) async fn prepare(
    changes: &[Change<'_>],
    olds: Vec<Option<Bytes>>,
) -> Result<Vec<Option<Prepared>>, ApiError> {
    let inline_bytes_max = inline_bytes_max(changes, &olds);
    let work: Vec<_> = changes
        .iter()
        .zip(olds)
        .map(|(change, old)| is_long(change, old.as_ref(), inline_bytes_max).then(|| (Work::of(change), old)))
        .collect();
    let done = move || {
        let prepared = work.into_iter().map(|work| {
            let (work, old) = work?;
            let new = work.change().outcome(old.as_ref());
            Some(Prepared { old, new })
        });
        Ok(prepared.collect())
    };
    aside(false, done).await
}

/// A change that can go to another thread.
struct Work {
    place: ItemPlace,
    attributes: Item,
    put: Option<Bytes>,
    update: Option<Option<Update>>,
    check: bool,
    condition: Option<Condition>,
    return_item_on_failure: bool,
}

impl Work {
    fn of(change: &Change<'_>) -> Work {
        let (put, update) = match &change.action {
            Action::Put(new) => (Some(new.clone()), None),
            Action::Update(update) => (None, Some(update.cloned())),
            // What expires does so without a long look.
            Action::Delete | Action::Check | Action::Expire(_) => (None, None),
        };
        Work {
            place: change.place.clone(),
            attributes: change.attributes.clone(),
            put,
            update,
            check: matches!(change.action, Action::Check),
            condition: change.condition.cloned(),
            return_item_on_failure: change.return_item_on_failure,
        }
    }

    fn change(&self) -> Change<'_> {
        Change {
            table: 0,
            place: self.place.clone(),
            attributes: &self.attributes,
            action: match (&self.put, &self.update) {
                (Some(new), _) => Action::Put(new.clone()),
                (None, Some(update)) => Action::Update(update.as_ref()),
                (None, None) if self.check => Action::Check,
                (None, None) => Action::Delete,
            },
            condition: self.condition.as_ref(),
            return_item_on_failure: self.return_item_on_failure,
        }
    }
}
