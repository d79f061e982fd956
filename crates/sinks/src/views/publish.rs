//! A table comes to show a version of its view: once when the version takes the place of another, and again when the table was
//! deleted and made anew.
//!
//! From the commit on that makes a version the live one, each flush of it writes the items of the groups that it changes. What it does
//! not touch is put there behind it, some groups in each commit, and then the groups go that only the version before had. Each of these
//! commits writes what is so at its place in the order of commits, so that it can be interrupted and repeated; what is there already
//! is not written again. Few groups go in the one commit that makes the version live.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_engine::{CommittedRows, DecidedRows, DeclaredRows, ItemAt, StoredTable, commit_with_rows};
use tailrace_store::keyspace::{GroupKey, ViewKey, ViewRow, ViewRowKey, ViewVersion};
use tailrace_store::{Key, KeyRange, PageLimit, Write};

use super::group::GroupState;
use super::limits::{PUBLISH_BYTES_PER_COMMIT, PUBLISH_GROUPS_PER_COMMIT, ROUNDS_MAX, SWAP_AT_ONCE_GROUPS_MAX};
use super::registry::{self, Publishing, Standing, VersionEntry, ViewEntry};
use super::{Inner, Place, failed};
use crate::sink::SinkError;

/// Groups of a version, a page of them.
struct Page {
    groups: Vec<(GroupKey, Bytes)>,
    /// There may be more behind them.
    limited: bool,
    last: Option<Key>,
}

/// What is to be at the places of some items, if the rows of their groups are what they were.
#[derive(Default)]
struct PlannedItems {
    items: Vec<ItemAt>,
    new: Vec<Option<Bytes>>,
    rows: Vec<Key>,
    seen: Vec<Option<Bytes>>,
}

impl Inner {
    /// Makes the version the live one.
    pub(super) async fn swap(&self, place: &Place) -> Result<(), SinkError> {
        let _turn = self.turn.lock().await;
        for _ in 0..ROUNDS_MAX {
            let entry = registry::read(&self.db, &self.name).await?;
            let (entry, row) = entry.ok_or_else(|| registry::replaced(&self.name, self.version))?;
            let standing = entry.standing(place.rows).ok_or_else(|| registry::replaced(&self.name, self.version))?;
            if standing == Standing::Live {
                let place = Place { shape: place.shape.clone(), rows: place.rows, table: None };
                return self.with_table(place, entry).await.map(|_| ());
            }
            if entry.publishing.is_some() {
                let table = &entry.live.table;
                return Err(SinkError(format!("the table {table} does not show all of the version before yet")));
            }
            // If it was changed meanwhile, it is looked at again.
            self.try_swap(place, &entry, &row).await?;
        }
        Err(SinkError(format!("others keep changing the view {}", self.name)))
    }

    /// Makes the version the live one, if the view's row still is `row`.
    async fn try_swap(&self, place: &Place, entry: &ViewEntry, row: &Bytes) -> Result<(), SinkError> {
        let mut after = entry.clone();
        after.publishing = Some(Publishing { replaced: Some(entry.live.clone()) });
        after.live = after.next.take().ok_or_else(|| registry::replaced(&self.name, self.version))?;
        let table = self.db.find_table(&after.live.table).await.map_err(failed)?;
        let same = |table: &Arc<StoredTable>| {
            let shows = entry.live.table == table.name && entry.live.table_id == Some(table.id);
            shows && table.key == place.shape.key
        };
        let table = table.filter(same);
        after.live.table_id = table.as_ref().map(|table| table.id);
        let shown = match &table {
            Some(table) => self.all_at_once(place, table, &entry.live).await?,
            None => PlannedItems::default(),
        };
        let view_key = ViewKey::key(&self.name);
        let exclusive: Vec<Key> = std::iter::once(&view_key).chain(&shown.rows).cloned().collect();
        let declared = DeclaredRows { items: &shown.items, shared: &[], exclusive: &exclusive };
        let put = Write::Put { key: view_key.clone(), value: after.encode() };
        let committed = commit_with_rows(&self.db, table.as_ref(), declared, |now| {
            if now.exclusive[0].as_ref() != Some(row) || now.exclusive[1..] != shown.seen {
                return DecidedRows::Nothing(());
            }
            let items = shown.new.iter().cloned().enumerate().collect();
            DecidedRows::Write { items, rows: vec![put.clone()], answer: () }
        });
        if committed.await.map_err(failed)? == CommittedRows::TooLarge {
            registry::change(&self.db, &self.name, row, Some(after.encode()), &[]).await?;
        }
        Ok(())
    }

    /// Everything that differs between two versions, if it is little; else nothing.
    async fn all_at_once(
        &self,
        place: &Place,
        table: &StoredTable,
        before: &VersionEntry,
    ) -> Result<PlannedItems, SinkError> {
        let ours = self.page(ViewRowKey::groups(place.rows), SWAP_AT_ONCE_GROUPS_MAX).await?;
        let theirs = self.page(ViewRowKey::groups(before.rows), SWAP_AT_ONCE_GROUPS_MAX).await?;
        let groups = ours.groups.len() + theirs.groups.len();
        if ours.limited || theirs.limited || groups > SWAP_AT_ONCE_GROUPS_MAX {
            return Ok(PlannedItems::default());
        }
        let mut shown = self.shown(place, table, &ours)?;
        let ours: HashSet<&GroupKey> = ours.groups.iter().map(|(group, _)| group).collect();
        for (group, _) in theirs.groups.iter().filter(|(group, _)| !ours.contains(group)) {
            self.hide(place, table, group, &mut shown)?;
        }
        Ok(shown)
    }

    /// Finishes what is to be done until the table shows the version, if it is live.
    pub(super) async fn publish(&self, place: &Place) -> Result<(), SinkError> {
        let Some((entry, row)) = registry::read(&self.db, &self.name).await? else { return Ok(()) };
        let (Some(publishing), Some(table)) = (&entry.publishing, &place.table) else { return Ok(()) };
        if entry.live.rows != place.rows {
            return Ok(());
        }
        let mut range = ViewRowKey::groups(place.rows);
        loop {
            let page = self.page(range.clone(), PUBLISH_GROUPS_PER_COMMIT).await?;
            let shown = self.shown(place, table, &page)?;
            self.show(place, table, shown).await?;
            match page.last {
                Some(last) if page.limited => range = range.after(&last),
                _ => break,
            }
        }
        if let Some(before) = &publishing.replaced
            && before.table_id == Some(table.id)
        {
            self.hide_all(place, table, before.rows).await?;
        }
        let dropped: Vec<ViewVersion> = publishing.replaced.iter().map(|before| before.rows).collect();
        let mut row = Some((entry, row));
        // Meanwhile a next version may have come into the row.
        while let Some((mut entry, before)) = row.filter(|(entry, _)| entry.live.rows == place.rows) {
            entry.publishing = None;
            if registry::change(&self.db, &self.name, &before, Some(entry.encode()), &dropped).await? {
                break;
            }
            row = registry::read(&self.db, &self.name).await?.filter(|(entry, _)| entry.publishing.is_some());
        }
        Ok(())
    }

    /// Removes the items of the groups that a version has and this one has not.
    async fn hide_all(&self, place: &Place, table: &Arc<StoredTable>, before: ViewVersion) -> Result<(), SinkError> {
        let mut range = ViewRowKey::groups(before);
        loop {
            let page = self.page(range.clone(), PUBLISH_GROUPS_PER_COMMIT).await?;
            let mut gone = PlannedItems::default();
            for (group, _) in &page.groups {
                self.hide(place, table, group, &mut gone)?;
            }
            self.show(place, table, gone).await?;
            match page.last {
                Some(last) if page.limited => range = range.after(&last),
                _ => return Ok(()),
            }
        }
    }

    async fn page(&self, range: KeyRange, rows_max: usize) -> Result<Page, SinkError> {
        let limit =
            PageLimit { rows_max, cost_max: PUBLISH_BYTES_PER_COMMIT, cost: |key, value| key.len() + value.len() };
        let page = self.db.store().page(range, limit).await.map_err(failed)?;
        let last = page.rows.last().map(|(key, _)| key.clone());
        let group = |(key, value)| match ViewRowKey::decode(&key) {
            Some(ViewRowKey { row: ViewRow::Group(group), .. }) => Ok((group, value)),
            _ => Err(SinkError(format!("corrupt data: a group of the view {}", self.name))),
        };
        let groups = page.rows.into_iter().map(group).collect::<Result<_, _>>()?;
        Ok(Page { groups, limited: page.limited, last })
    }

    /// The items of groups of this version.
    fn shown(&self, place: &Place, table: &StoredTable, page: &Page) -> Result<PlannedItems, SinkError> {
        let mut shown = PlannedItems::default();
        for (group, row) in &page.groups {
            let state = GroupState::decode(row, &place.shape.definition.measures);
            let item = state.and_then(|state| state.item(&place.shape, group));
            let item = item.ok_or_else(|| SinkError(format!("corrupt data: a group of the view {}", self.name)))?;
            self.add((place, table), group, (Some(item), Some(row.clone())), &mut shown)?;
        }
        Ok(shown)
    }

    /// No item, if the version has no such group.
    fn hide(
        &self,
        place: &Place,
        table: &StoredTable,
        group: &GroupKey,
        shown: &mut PlannedItems,
    ) -> Result<(), SinkError> {
        self.add((place, table), group, (None, None), shown)
    }

    fn add(
        &self,
        (place, table): (&Place, &StoredTable),
        group: &GroupKey,
        (item, seen): (Option<Bytes>, Option<Bytes>),
        shown: &mut PlannedItems,
    ) -> Result<(), SinkError> {
        let corrupt = || SinkError(format!("corrupt data: the key of a group of the view {}", self.name));
        let key = place.shape.key_of(group).ok_or_else(corrupt)?;
        shown.items.push(ItemAt::of_key(table, key).map_err(failed)?);
        shown.new.push(item);
        shown.rows.push(ViewRowKey::group(place.rows, group));
        shown.seen.push(seen);
        Ok(())
    }

    /// Writes the items of those groups whose rows are what they were: the others were changed by a flush, which wrote them. Items
    /// that are too large for one commit go in several.
    async fn show(&self, place: &Place, table: &Arc<StoredTable>, shown: PlannedItems) -> Result<(), SinkError> {
        let shared = [ViewKey::key(&self.name)];
        let mut at = 0;
        let mut step = shown.items.len();
        while at < shown.items.len() {
            let part = at..(at + step).min(shown.items.len());
            let declared = DeclaredRows {
                items: &shown.items[part.clone()],
                shared: &shared,
                exclusive: &shown.rows[part.clone()],
            };
            let committed = commit_with_rows(&self.db, Some(table), declared, |now| {
                let standing = self.standing(place.rows, now.shared[0].as_ref());
                match standing {
                    Ok(Standing::Live) => {}
                    Ok(Standing::Building) => {
                        return DecidedRows::Nothing(Err(registry::replaced(&self.name, self.version)));
                    }
                    Err(error) => return DecidedRows::Nothing(Err(error)),
                }
                let as_seen = now.exclusive.iter().zip(&shown.seen[part.clone()]).map(|(now, seen)| now == seen);
                let items = as_seen.zip(&shown.new[part.clone()]).enumerate();
                let items =
                    items.filter(|(_, (same, _))| *same).map(|(index, (_, new))| (index, new.clone())).collect();
                DecidedRows::Write { items, rows: Vec::new(), answer: Ok(()) }
            });
            match committed.await.map_err(failed)? {
                CommittedRows::Done(done) => {
                    done?;
                    at = part.end;
                }
                CommittedRows::TooLarge if part.len() == 1 => {
                    return Err(SinkError(format!("an item of the view {} is more than one commit takes", self.name)));
                }
                CommittedRows::TooLarge => step = part.len() / 2,
            }
        }
        Ok(())
    }
}
