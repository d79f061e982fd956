//! A flush on its way into a version of a view: split into parts, each of which is one commit that changes the groups, their side
//! structures, the items that show them and the progress of the version, or nothing of it.
//!
//! What a part comes to is worked out before its commit, from what is published; the commit's body compares what it finds with what
//! that was worked out from, and decides nothing if it differs, so that it is worked out again. One flush of a version goes through
//! this at a time, so in one process it never differs.

use bytes::Bytes;
use tailrace_engine::{CommittedRows, DecidedRows, DeclaredRows, ItemAt, commit_with_rows};
use tailrace_store::keyspace::{GroupKey, ViewKey, ViewRow, ViewRowKey, ViewVersion};
use tailrace_store::{Key, KeyRange, PageLimit, Write};

use super::delta::{Deltas, GroupDelta, MeasureDelta};
use super::group::{GroupState, Lacks, Refill, push_varint, read_varint};
use super::limits::{MEMBERS_PER_PAGE, ROUNDS_MAX};
use super::progress::Progress;
use super::registry::{self, Standing, ViewEntry};
use super::{Inner, Place, failed};
use crate::sink::{Flush, Flushed, SinkError};

/// What became of a part.
enum Part {
    /// It is applied; so many bytes were written for it.
    Done(u64),
    /// The version is elsewhere than it was thought to be: somebody else applied records.
    Elsewhere,
    /// The version is live, and is not known to have a table.
    Misplaced,
    /// It changes nothing, and neither does it if it is applied again.
    Nothing,
    /// It is more than one commit takes.
    TooLarge,
}

/// A group that changes.
struct Changing {
    group: GroupKey,
    row: Key,
    delta: GroupDelta,
}

/// What a part comes to.
#[derive(Default)]
struct Prepared {
    items: Vec<ItemAt>,
    new_items: Vec<Option<Bytes>>,
    rows: Vec<Write>,
    bytes: u64,
}

impl Inner {
    /// Applies what of a flush is not applied yet. `None`: the version is not what `place` says any more.
    pub(super) async fn apply(&self, place: &Place, flush: &Flush) -> Result<Option<Flushed>, SinkError> {
        let progress_key = Progress::key(place.rows, flush);
        let mut bytes = 0;
        let mut records_max = flush.records.len();
        let mut rounds_left = ROUNDS_MAX;
        loop {
            let found = self.get(std::slice::from_ref(&progress_key)).await?.pop().flatten();
            let mut before = found.clone();
            let mut applied = Progress::decode(found.as_ref(), flush.origin)?.applied(flush)?;
            while applied < flush.records.len() {
                let (deltas, end) = gather(place, flush, applied, records_max)?;
                let after = Progress::behind(flush, end).encode();
                let put = Write::Put { key: progress_key.clone(), value: after.clone() };
                match self.apply_part(place, deltas, (&progress_key, before.as_ref()), put).await? {
                    Part::Done(written) => {
                        bytes += written;
                        (before, applied) = (Some(after), end);
                    }
                    Part::Nothing => applied = end,
                    Part::Elsewhere => break,
                    Part::Misplaced => return Ok(None),
                    Part::TooLarge if end - applied == 1 => {
                        let number = flush.records[applied].number;
                        return Err(SinkError(format!("what record {number} changes is more than one commit takes")));
                    }
                    Part::TooLarge => records_max = (end - applied) / 2,
                }
            }
            if applied >= flush.records.len() {
                return Ok(Some(Flushed { bytes, ..Flushed::default() }));
            }
            rounds_left -= 1;
            if rounds_left == 0 {
                return Err(SinkError(format!("others keep moving the view {}", self.name)));
            }
        }
    }

    /// Applies deltas and moves the progress, if it still is what it was.
    async fn apply_part(
        &self,
        place: &Place,
        deltas: Deltas,
        (progress_key, before): (&Key, Option<&Bytes>),
        progress: Write,
    ) -> Result<Part, SinkError> {
        let changing: Vec<Changing> = deltas
            .into_groups()
            .map(|(group, delta)| {
                let group = GroupKey::read(group.into()).expect("invariant: it was made as a group's key");
                Changing { row: ViewRowKey::group(place.rows, &group), group, delta }
            })
            .collect();
        if changing.is_empty() {
            return Ok(Part::Nothing);
        }
        let view_key = ViewKey::key(&self.name);
        let distinct = distinct_rows(place.rows, &changing);
        let mut rows = vec![progress_key.clone()];
        rows.extend(changing.iter().map(|changing| changing.row.clone()));
        rows.extend(distinct.iter().map(|distinct| distinct.key.clone()));
        let read: Vec<Key> = std::iter::once(&view_key).chain(&rows).cloned().collect();
        let _turn = self.turn.lock().await;
        for _ in 0..ROUNDS_MAX {
            let mut seen = self.get(&read).await?;
            let entry = seen.remove(0);
            if seen[0].as_ref() != before {
                return Ok(Part::Elsewhere);
            }
            // While it is built it has no table, and what it has when it is live was found out then.
            if (self.standing(place.rows, entry.as_ref())? == Standing::Live) != place.table.is_some() {
                return Ok(Part::Misplaced);
            }
            let (groups, counts) = seen[1..].split_at(changing.len());
            let prepared = self.prepare_part(place, &changing, groups, (&distinct, counts)).await?;
            let declared =
                DeclaredRows { items: &prepared.items, shared: std::slice::from_ref(&view_key), exclusive: &rows };
            let committed = commit_with_rows(&self.db, place.table.as_ref(), declared, |now| {
                if now.shared[0] != entry || now.exclusive != seen {
                    return DecidedRows::Nothing(false);
                }
                let items = prepared.new_items.iter().cloned().enumerate().collect();
                let rows = prepared.rows.iter().chain([&progress]).cloned().collect();
                DecidedRows::Write { items, rows, answer: true }
            });
            match committed.await.map_err(failed)? {
                CommittedRows::Done(true) => return Ok(Part::Done(prepared.bytes)),
                CommittedRows::Done(false) => {}
                CommittedRows::TooLarge => return Ok(Part::TooLarge),
            }
        }
        Err(SinkError(format!("others keep changing the groups of the view {}", self.name)))
    }

    /// What the version is, by its view's row.
    pub(super) fn standing(&self, rows: ViewVersion, entry: Option<&Bytes>) -> Result<Standing, SinkError> {
        let entry = entry.map(|entry| ViewEntry::decode(&self.name, entry)).transpose()?;
        let standing = entry.and_then(|entry| entry.standing(rows));
        standing.ok_or_else(|| registry::replaced(&self.name, self.version))
    }

    /// What the changes come to, given the rows of their groups and of distinct values; the items too if there is a table.
    async fn prepare_part(
        &self,
        place: &Place,
        changing: &[Changing],
        groups: &[Option<Bytes>],
        (distinct, counts): (&[DistinctRow], &[Option<Bytes>]),
    ) -> Result<Prepared, SinkError> {
        let (shape, measures) = (&place.shape, &place.shape.definition.measures);
        let corrupt = |what: &str| SinkError(format!("corrupt data: {what} of the view {}", self.name));
        let mut prepared = Prepared::default();
        let mut more = vec![vec![0i64; measures.len()]; changing.len()];
        for (row, count) in distinct.iter().zip(counts) {
            let before = match count {
                Some(count) => read_count(count).ok_or_else(|| corrupt("a count of a distinct value"))?,
                None => 0,
            };
            let after =
                before.checked_add_signed(row.by).ok_or_else(|| self.lost(&changing[row.changing].group, place))?;
            more[row.changing][row.measure] += i64::from(after > 0) - i64::from(before > 0);
            prepared.push(match after {
                0 => Write::Delete { key: row.key.clone() },
                after => Write::Put { key: row.key.clone(), value: count_value(after) },
            });
        }
        for ((Changing { group, row, delta }, before), more) in changing.iter().zip(groups).zip(&more) {
            let before = match before {
                Some(row) => GroupState::decode(row, measures).ok_or_else(|| corrupt("a group"))?,
                None => GroupState::empty(measures),
            };
            let mut refills = vec![None; measures.len()];
            for (number, (measure, delta)) in measures.iter().zip(&delta.measures).enumerate() {
                if let Some(lacks) = before.lacks(number, measure, delta) {
                    refills[number] = Some(self.refill(place.rows, group, number, delta, lacks).await?);
                }
                if let MeasureDelta::Ordered(members) = delta {
                    for (member, by) in members.iter().filter(|(_, by)| **by != 0) {
                        let key = ViewRowKey::member(place.rows, group, structure(number), member);
                        prepared.push(match by {
                            1.. => Write::Put { key, value: Bytes::new() },
                            _ => Write::Delete { key },
                        });
                    }
                }
            }
            let after = before.changed(measures, delta, &refills, more).map_err(|_| self.lost(group, place))?;
            prepared.push(match &after {
                Some(after) => Write::Put { key: row.clone(), value: after.encode() },
                None => Write::Delete { key: row.clone() },
            });
            if let Some(table) = &place.table {
                let key = shape.key_of(group).ok_or_else(|| corrupt("the key of a group"))?;
                prepared.items.push(ItemAt::of_key(table, key).map_err(failed)?);
                let item = after.map(|after| after.item(shape, group).ok_or_else(|| corrupt("a group")));
                prepared.new_items.push(item.transpose()?);
            }
        }
        prepared.bytes += prepared.new_items.iter().flatten().map(|item| item.len() as u64).sum::<u64>();
        Ok(prepared)
    }

    /// Reads what a group lacks of an ordered structure: members that the delta does not take away.
    async fn refill(
        &self,
        rows: ViewVersion,
        group: &GroupKey,
        measure: usize,
        delta: &MeasureDelta,
        lacks: Lacks,
    ) -> Result<Refill, SinkError> {
        let range = || ViewRowKey::members(rows, group, structure(measure));
        let mut refill = Refill::default();
        if lacks.low {
            refill.low = self.members(range(), delta, 1).await?.pop();
        }
        if lacks.high > 0 {
            refill.high = self.members(range().reversed(), delta, lacks.high).await?;
        }
        Ok(refill)
    }

    /// The first members of a range that the delta does not take away, at most `count`.
    async fn members(
        &self,
        mut range: KeyRange,
        delta: &MeasureDelta,
        count: usize,
    ) -> Result<Vec<Vec<u8>>, SinkError> {
        let MeasureDelta::Ordered(changed) = delta else { return Ok(Vec::new()) };
        let mut members = Vec::with_capacity(count);
        // Mostly what goes is not in the way.
        let mut rows_max = (count + 1).min(MEMBERS_PER_PAGE);
        loop {
            let limit = PageLimit { rows_max, cost_max: usize::MAX, cost: |_, _| 0 };
            let page = self.db.store().page(range.clone(), limit).await.map_err(failed)?;
            for (key, _) in &page.rows {
                let Some(ViewRowKey { row: ViewRow::Member { member, .. }, .. }) = ViewRowKey::decode(key) else {
                    return Err(SinkError(format!("corrupt data: a member of a group of the view {}", self.name)));
                };
                if changed.get(&member[..]).is_none_or(|by| *by >= 0) {
                    members.push(member.to_vec());
                }
                if members.len() == count {
                    return Ok(members);
                }
            }
            match page.rows.last() {
                Some((last, _)) if page.limited => range = range.after(last),
                _ => return Ok(members),
            }
            rows_max = MEMBERS_PER_PAGE;
        }
    }

    pub(super) async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, SinkError> {
        self.db.store().get(keys).await.map_err(failed)
    }

    /// The error of a group from which more was taken than there was.
    fn lost(&self, group: &GroupKey, place: &Place) -> SinkError {
        let key = place.shape.key_of(group).unwrap_or_default();
        SinkError(format!("the view {}, group {key:?}: {}", self.name, super::group::LostChange))
    }
}

impl Prepared {
    fn push(&mut self, write: Write) {
        self.bytes += match &write {
            Write::Put { key, value } => key.as_bytes().len() + value.len(),
            Write::Delete { key } => key.as_bytes().len(),
            _ => 0,
        } as u64;
        self.rows.push(write);
    }
}

/// Deltas of as many records as one commit should apply, from the index `from` on, at least one and at most `records_max`; and the
/// index behind them.
fn gather(place: &Place, flush: &Flush, from: usize, records_max: usize) -> Result<(Deltas, usize), SinkError> {
    let mut deltas = Deltas::default();
    let mut end = from;
    while end < flush.records.len() && end - from < records_max.max(1) && !deltas.is_full() {
        let record = &flush.records[end];
        let added = deltas.add(&place.shape, record);
        added.map_err(|error| SinkError(format!("corrupt data: record {}: {error}", record.number)))?;
        end += 1;
    }
    Ok((deltas, end))
}

/// The row of a distinct value that changes.
struct DistinctRow {
    /// The index of its group.
    changing: usize,
    measure: usize,
    key: Key,
    by: i64,
}

fn distinct_rows(rows: ViewVersion, changing: &[Changing]) -> Vec<DistinctRow> {
    let mut distinct = Vec::new();
    for (at, Changing { group, delta, .. }) in changing.iter().enumerate() {
        for (measure, delta) in delta.measures.iter().enumerate() {
            let MeasureDelta::Distinct(values) = delta else { continue };
            for (value, by) in values.iter().filter(|(_, by)| **by != 0) {
                let key = ViewRowKey::member(rows, group, structure(measure), value);
                distinct.push(DistinctRow { changing: at, measure, key, by: *by });
            }
        }
    }
    distinct
}

/// The number of a measure's structure.
fn structure(measure: usize) -> u8 {
    u8::try_from(measure).expect("invariant: a view has few measures")
}

fn count_value(count: u64) -> Bytes {
    let mut out = Vec::with_capacity(2);
    push_varint(&mut out, count);
    out.into()
}

fn read_count(value: &[u8]) -> Option<u64> {
    let mut rest = value;
    read_varint(&mut rest).filter(|_| rest.is_empty())
}
