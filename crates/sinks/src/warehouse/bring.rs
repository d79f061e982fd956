//! A flush into a database that takes rows over the connection.
//!
//! One transaction: the target's generation and the shard's progress are asked and held; rows go into a table of the session
//! by COPY and from there into the target; what is not taken is put down; the progress moves; COMMIT.
//! Values that no column takes were found before (`super::records`). What the database still refuses, because of a rule of the
//! table's own, is found by halves, each inside of a savepoint, and rejected alone; then the item's change before it gets its turn.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use super::config::Mode;
use super::ledger::{Progress, Refused, generation_since};
use super::records::{Rows, item_id, number};
use super::session::{Meaning, Session, field, number as read, rows};
use super::standing::{Fresh, Standing, lost_behind, place, progress_name, standing};
use super::tables::Ready;
use super::{Inner, Trouble};
use crate::sink::{Flush, Flushed, Origin, Rejected};

/// What was loaded.
#[derive(Debug, Default)]
struct Loaded {
    refused: Vec<(usize, String)>,
    bytes: u64,
}

/// The records of a flush that the target does not take, by their index.
pub(super) type Reasons = BTreeMap<usize, String>;

pub(super) fn flushed(reasons: Reasons, bytes: u64) -> Flushed {
    let rejected = reasons.into_iter().map(|(index, error)| Rejected { index, error }).collect();
    Flushed { rejected, bytes, ..Flushed::default() }
}

/// What is put down of records that are not taken. In a table of items one whose item has a later record in the flush, which is
/// taken, has nothing to bring any more.
pub(super) fn refusals(flush: &Flush, mode: Mode, reasons: &Reasons) -> Vec<(i64, Refused)> {
    if reasons.is_empty() {
        return Vec::new();
    }
    let mut last_taken = HashMap::new();
    if mode == Mode::Merge {
        for (index, record) in flush.records.iter().enumerate() {
            if !reasons.contains_key(&index) {
                last_taken.insert(&record.meta.keys, index);
            }
        }
    }
    let refusal = |(index, error): (&usize, &String)| {
        let record = flush.records.get(*index)?;
        let live = last_taken.get(&record.meta.keys).is_none_or(|later| later < index);
        let refused = Refused { item: item_id(record), number: number(record), error: error.clone(), live };
        Some((place(flush, *index), refused))
    };
    reasons.iter().filter_map(refusal).collect()
}

/// Items that are asked for at once.
const ITEMS_PER_ASK: usize = 1000;

impl Inner {
    /// Brings a flush of the stream or a snapshot.
    pub(super) async fn bring(
        &self,
        session: &mut dyn Session,
        flush: &Flush,
        ready: &Ready,
        made: &Rows,
    ) -> Result<Flushed, Trouble> {
        let (target, generation) = (&ready.target, ready.generation);
        let shard = progress_name(flush);
        let seen = self.begin(session, ready, flush, &shard).await?;
        let behind = lost_behind(flush, seen)?;
        if behind.is_some() {
            self.run(session, "ROLLBACK").await?;
            return Ok(Flushed { behind, ..Flushed::default() });
        }
        let Standing { fresh, to } = standing(flush, target.layout.mode, seen)?;
        let is_fresh = |index: usize| flush.records.get(index).is_some_and(|record| fresh.has(number(record)));
        let mut reasons: Reasons = made.refused.iter().filter(|(index, _)| is_fresh(*index)).cloned().collect();
        let mut bytes = 0;
        if fresh != Fresh::None {
            let (newest, older) = made.newest(target.layout.mode, is_fresh);
            let loaded = self.load(session, ready, generation, made, newest, &older).await?;
            reasons.extend(loaded.refused);
            bytes = loaded.bytes;
            self.outlive(session, flush, ready, &reasons, is_fresh).await?;
            for statement in target.reject(generation, &shard, &refusals(flush, target.layout.mode, &reasons)) {
                self.run(session, &statement).await?;
            }
        }
        if fresh != Fresh::All {
            reasons.extend(self.refused_before(session, flush, ready, &shard, is_fresh).await?);
        }
        self.commit(session, ready, &shard, seen, to).await?;
        Ok(flushed(reasons, bytes))
    }

    /// Begins the transaction: nobody else moves the shard's progress, or begins a new generation, until it ends.
    async fn begin(
        &self,
        session: &mut dyn Session,
        ready: &Ready,
        flush: &Flush,
        shard: &str,
    ) -> Result<Progress, Trouble> {
        let (target, generation) = (&ready.target, ready.generation);
        let begin = format!("BEGIN; {}; {}", target.ask_generation(), target.ask_progress(generation, shard, true));
        for _ in 0..2 {
            let answers = self.run(session, &begin).await?;
            self.same_generation(ready, rows(&answers, 1))?;
            if let Some(row) = rows(&answers, 2).first() {
                return Ok(Progress { last: read(row, 0)?, epoch: read(row, 1)? });
            }
            self.run(session, "ROLLBACK").await?;
            self.open_progress(session, ready, flush, shard).await?;
        }
        Err(Trouble::Stop(format!("the progress of shard {shard} cannot be kept in {}", target.shown())))
    }

    /// Makes the progress of a shard in this generation: with what earlier versions of the sink have brought of it, and have not taken, if
    /// this one goes on behind them.
    pub(super) async fn open_progress(
        &self,
        session: &mut dyn Session,
        ready: &Ready,
        flush: &Flush,
        shard: &str,
    ) -> Result<(), Trouble> {
        let (target, generation) = (&ready.target, ready.generation);
        let before = flush.taken.filter(|taken| flush.origin == Origin::Stream && taken.mark != flush.version);
        let mut last = -1;
        if let Some(taken) = before {
            // What an answer was lost of may have come under a version between.
            let since = generation_since(generation, taken.mark);
            let answers = self.run(session, &target.ask_progress_before(since, generation, shard)).await?;
            last = rows(&answers, 0).first().map_or(Ok(last), |row| read(row, 0))?;
            // Before the progress is there, by which nobody comes here again.
            let told = i64::try_from(taken.last.0).unwrap_or(i64::MAX);
            self.run(session, &target.inherit_rejected(since, generation, shard, told)).await?;
        }
        self.run(session, &target.open_progress(&ready.holder, generation, shard, last)).await.map(drop)
    }

    /// Whether the target is still in the generation that was claimed.
    pub(super) fn same_generation(&self, ready: &Ready, answer: &[Vec<Option<String>>]) -> Result<(), Trouble> {
        let now: Option<i64> = answer.first().map(|row| read(row, 0)).transpose()?;
        if now == Some(ready.generation) {
            return Ok(());
        }
        // Who it belongs to now is asked the next time.
        self.forget(ready);
        Err(Trouble::Again(format!(
            "the table {} is not filled by this version of the sink any more",
            ready.target.shown()
        )))
    }

    /// The reasons of records that an earlier flush went past.
    pub(super) async fn refused_before(
        &self,
        session: &mut dyn Session,
        flush: &Flush,
        ready: &Ready,
        shard: &str,
        is_fresh: impl Fn(usize) -> bool,
    ) -> Result<Reasons, Trouble> {
        let before: Vec<usize> = (0..flush.records.len()).filter(|index| !is_fresh(*index)).collect();
        let (Some(first), Some(last)) = (before.first(), before.last()) else { return Ok(Reasons::new()) };
        let (first, last) = (place(flush, *first), place(flush, *last));
        let answers = self.run(session, &ready.target.ask_rejected(ready.generation, shard, first, last)).await?;
        let mut known = HashMap::new();
        for row in rows(&answers, 0) {
            known.insert((field(row, 0)?.to_owned(), read::<i64>(row, 1)?), field(row, 2)?.to_owned());
        }
        if known.is_empty() {
            return Ok(Reasons::new());
        }
        let reason = |index: usize| {
            let record = flush.records.get(index)?;
            known.get(&(item_id(record), number(record))).map(|error| (index, error.clone()))
        };
        Ok(before.into_iter().filter_map(reason).collect())
    }

    /// Puts down of records that were not taken before which have nothing to bring any more, as their item has changed.
    pub(super) async fn outlive(
        &self,
        session: &mut dyn Session,
        flush: &Flush,
        ready: &Ready,
        reasons: &Reasons,
        is_fresh: impl Fn(usize) -> bool,
    ) -> Result<(), Trouble> {
        let target = &ready.target;
        if target.layout.mode == Mode::Append || rows(&self.run(session, &target.ask_live()).await?, 0).is_empty() {
            return Ok(());
        }
        let taken = (0..flush.records.len()).filter(|index| is_fresh(*index) && !reasons.contains_key(index));
        let mut last = HashMap::new();
        for record in taken.filter_map(|index| flush.records.get(index)) {
            last.insert(item_id(record), number(record));
        }
        let items: Vec<&str> = last.keys().map(String::as_str).collect();
        for part in items.chunks(ITEMS_PER_ASK) {
            let answers = self.run(session, &target.ask_live_of(part)).await?;
            for row in rows(&answers, 0) {
                let (item, refused): (&str, i64) = (field(row, 0)?, read(row, 1)?);
                if let Some(taken) = last.get(item).filter(|taken| **taken > refused) {
                    self.run(session, &target.outlive(item, *taken)).await?;
                }
            }
        }
        Ok(())
    }

    /// Moves the progress and ends the transaction.
    pub(super) async fn commit(
        &self,
        session: &mut dyn Session,
        ready: &Ready,
        shard: &str,
        seen: Progress,
        to: Progress,
    ) -> Result<(), Trouble> {
        if seen != to {
            let moved = self.run(session, &ready.target.move_progress(ready.generation, shard, seen, to)).await?;
            if moved.first().is_none_or(|answer| answer.affected != 1) {
                return Err(Trouble::Again(format!("the progress of shard {shard} was moved by somebody else")));
            }
        }
        // If its answer is lost, the next try asks the progress whether it was done.
        self.run(session, "COMMIT").await.map(drop)
    }

    /// Loads rows, by positions, into the target; `older`: which one gets its turn when one is refused.
    async fn load(
        &self,
        session: &mut dyn Session,
        ready: &Ready,
        generation: i64,
        made: &Rows,
        newest: Vec<usize>,
        older: &HashMap<usize, usize>,
    ) -> Result<Loaded, Trouble> {
        let target = &ready.target;
        let mut loaded = Loaded::default();
        if newest.is_empty() {
            return Ok(loaded);
        }
        if target.layout.mode == Mode::Merge {
            self.run(session, &target.create_stage()?).await?;
        }
        let mut work = vec![newest];
        let mut is_first = true;
        while let Some(mut part) = work.pop() {
            let rows = Bytes::from(made.load(&part));
            let length = rows.len() as u64;
            match self.load_part(session, ready, generation, rows, is_first).await? {
                None => loaded.bytes += length,
                Some(error) if part.len() == 1 => {
                    let position = part[0];
                    loaded.refused.push((made.rows[position].index, error));
                    work.extend(older.get(&position).map(|before| vec![*before]));
                }
                Some(_) => {
                    let second = part.split_off(part.len() / 2);
                    work.extend([second, part]);
                }
            }
            is_first = false;
        }
        Ok(loaded)
    }

    /// Loads rows, all or none: then why.
    async fn load_part(
        &self,
        session: &mut dyn Session,
        ready: &Ready,
        generation: i64,
        loaded: Bytes,
        is_first: bool,
    ) -> Result<Option<String>, Trouble> {
        let target = &ready.target;
        let is_merge = target.layout.mode == Mode::Merge;
        let clear = if is_merge && !is_first { format!("DELETE FROM {}; ", target.stage()) } else { String::new() };
        self.run(session, &format!("{clear}SAVEPOINT tailrace")).await?;
        let names: Vec<String> = target.loaded_names().iter().map(|name| target.quoted(name)).collect();
        let copy = format!("COPY {} ({}) FROM STDIN", target.load_into(), names.join(", "));
        let merge = if is_merge { format!("{}; ", target.merge(generation)) } else { String::new() };
        let mut done = session.copy(&copy, loaded, self.limits.statement).await.map(drop);
        if done.is_ok() {
            // A constraint that is deferred would fail at the end, and nobody knew by which row.
            let load = format!("{merge}SET CONSTRAINTS ALL IMMEDIATE; RELEASE SAVEPOINT tailrace");
            done = session.run(&load, self.limits.statement).await.map(drop);
        }
        match done {
            Ok(()) => Ok(None),
            Err(failure) if failure.meaning() == Meaning::Data || failure.refuses_null_of(&target.loaded_names()) => {
                self.run(session, "ROLLBACK TO SAVEPOINT tailrace; RELEASE SAVEPOINT tailrace").await?;
                Ok(Some(failure.text().to_owned()))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Brings records that were not taken before, each at most once.
    pub(super) async fn bring_again(
        &self,
        session: &mut dyn Session,
        flush: &Flush,
        ready: &Ready,
        made: &Rows,
    ) -> Result<Flushed, Trouble> {
        let target = &ready.target;
        let answers = self.run(session, &format!("BEGIN; {}", target.ask_generation())).await?;
        self.same_generation(ready, rows(&answers, 1))?;
        let (mut reasons, mut bytes) = (Reasons::new(), 0);
        for (index, record) in flush.records.iter().enumerate() {
            let (item, number) = (item_id(record), number(record));
            let answers = self.run(session, &target.ask_refused(&item, number)).await?;
            // Not on the list: it was brought before.
            let Some(row) = rows(&answers, 0).first() else { continue };
            // Among the rows it is as old as it was then.
            let generation = read(row, 0)?;
            if let Some((_, error)) = made.refused.iter().find(|(refused, _)| *refused == index) {
                reasons.insert(index, error.clone());
                continue;
            }
            let position: Vec<usize> = (0..made.rows.len()).filter(|at| made.rows[*at].index == index).collect();
            let loaded = self.load(session, ready, generation, made, position, &HashMap::new()).await?;
            if loaded.refused.is_empty() {
                self.run(session, &target.take_rejected(&item, number)).await?;
            }
            reasons.extend(loaded.refused);
            bytes += loaded.bytes;
        }
        self.run(session, "COMMIT").await?;
        Ok(flushed(reasons, bytes))
    }
}
