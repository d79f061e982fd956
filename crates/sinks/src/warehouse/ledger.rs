//! What a sink keeps at the target: how far each shard is, whose the table is, and which records were not taken.
//!
//! # Tables, in the target's schema
//!
//! - `_tailrace_progress`: for a target, a generation and a shard the last number that is there (of a snapshot: the last page),
//!   and the epoch of the owner that brought it. It moves in the transaction that brings the records, and only from what that
//!   transaction has seen. It is what counts, whatever the source's checkpoint says. That of some generations before stays: a sink
//!   whose settings changed goes on from there.
//! - `_tailrace_targets`: for a target the sink, the source and the version that fill it, and its *generation*, which rises with
//!   each newer stream of the source's name and each newer version of the sink. From then on nothing of an older one gets in.
//!   Numbers of records are compared within a generation only. `swept`: no row of an older generation is left.
//! - `_tailrace_rejected`: each record that was not taken, written in the transaction that went past it. A repeat finds there
//!   what it has to reject again, also under a newer version that goes on behind it; a retry takes the row away in the transaction that brings the record, so that it is brought
//!   once. A row whose item has changed since is not `live` any more: a retry has nothing to bring, not even when the item
//!   is gone by now.

use super::layout::{PROGRESS, REJECTED, TARGETS, Target};
use super::sql_type::SqlType;

use super::dialect::{NewColumn, NewTable, NoSuchType};

/// Whose a target is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The sink.
    pub sink: String,
    /// The source table.
    pub source: String,
    /// The label of the source's stream: when it began.
    pub label: String,
    /// The version of the sink's configuration.
    pub version: u32,
}

/// What a sink that comes to a target does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It goes on in this generation.
    Keep(i64),
    /// It begins this one, which is the first.
    First(i64),
    /// It begins this one.
    Next(i64),
    /// It must not, and why.
    Refuse(String),
}

/// Compares who holds a target, and its generation, with who comes.
pub fn claim(held: Option<(&Holder, i64)>, comes: &Holder, target: &Target) -> Claim {
    let Some((held, generation)) = held else { return Claim::First(generation_of(1, comes.version)) };
    let lineage = generation / LINEAGE;
    let shown = target.shown();
    if (&held.sink, &held.source) != (&comes.sink, &comes.source) {
        return Claim::Refuse(format!(
            "the table {shown} is filled by sink {} from table {}: choose another one, or hand it over: {}",
            held.sink,
            held.source,
            target.hand_over(comes),
        ));
    }
    match (&comes.label, comes.version).cmp(&(&held.label, held.version)) {
        std::cmp::Ordering::Equal => Claim::Keep(generation),
        std::cmp::Ordering::Greater if comes.label > held.label => {
            Claim::Next(generation_of(lineage + 1, comes.version))
        }
        std::cmp::Ordering::Greater => Claim::Next(generation_of(lineage, comes.version)),
        std::cmp::Ordering::Less => Claim::Refuse(format!(
            "the table {shown} is filled under version {} of the sink from the stream of {}; this is version {} from that of {}; \
             if this is the right one, hand it over: {}",
            held.version,
            held.label,
            comes.version,
            comes.label,
            target.hand_over(comes),
        )),
    }
}

/// Generations whose progress is kept: a sink whose settings changed goes on from that of the version that it had before.
const GENERATIONS_KEPT: i64 = 16;

/// Generations of one stream: a version each.
const LINEAGE: i64 = 1_000_000_000;

/// The generation of a version under the `lineage`th stream that fills a target.
fn generation_of(lineage: i64, version: u32) -> i64 {
    lineage * LINEAGE + i64::from(version)
}

/// The generation of an earlier version, of the same stream.
pub fn generation_since(generation: i64, version: u32) -> i64 {
    generation_of(generation / LINEAGE, version)
}

/// How far a shard is at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The last number, or page; -1: none.
    pub last: i64,
    /// The newest owner.
    pub epoch: i64,
}

/// A record that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which item: see [`super::records::item_id`].
    pub item: String,
    /// The record's number.
    pub number: i64,
    /// Why.
    pub error: String,
    /// The item has not changed since.
    pub live: bool,
}

/// Longest reason that is kept, characters.
const ERROR_CHARS_MAX: usize = 400;
/// Rows of one INSERT.
const ROWS_PER_INSERT: usize = 500;

impl Target {
    /// The ledger's tables, with the statements that make them.
    ///
    /// # Errors
    /// The database has no such type.
    pub fn ledgers(&self) -> Result<Vec<(&'static str, String)>, NoSuchType> {
        let text = SqlType::Varchar(512);
        #[allow(clippy::type_complexity, reason = "it is read here alone")]
        let tables: [(&str, usize, &[(&str, SqlType)]); 3] = [
            (
                PROGRESS,
                3,
                &[
                    ("target", text),
                    ("generation", SqlType::Bigint),
                    ("shard", text),
                    ("sink", text),
                    ("version", SqlType::Bigint),
                    ("last_number", SqlType::Bigint),
                    ("epoch", SqlType::Bigint),
                ],
            ),
            (
                TARGETS,
                1,
                &[
                    ("target", text),
                    ("generation", SqlType::Bigint),
                    ("sink", text),
                    ("source", text),
                    ("stream", text),
                    ("version", SqlType::Bigint),
                    ("swept", SqlType::Bigint),
                ],
            ),
            (
                REJECTED,
                4,
                &[
                    ("target", text),
                    ("item", text),
                    ("number", SqlType::Bigint),
                    ("generation", SqlType::Bigint),
                    ("shard", text),
                    ("place", SqlType::Bigint),
                    ("live", SqlType::Boolean),
                    ("error", SqlType::Varchar(4096)),
                ],
            ),
        ];
        let make = |(name, keys, columns): (&'static str, usize, &[(&str, SqlType)])| {
            let column = |(name, sql): &(&str, SqlType)| {
                let sql_name = self.dialect.type_name(*sql)?;
                let is_text = matches!(sql, SqlType::Varchar(_));
                Ok(NewColumn { name: self.quoted(name), sql: sql_name, is_text, required: true })
            };
            let columns: Vec<NewColumn> = columns.iter().map(column).collect::<Result<_, NoSuchType>>()?;
            let table = NewTable { name: &self.named(name), columns: &columns, keys, unique: true, sorted_by: None };
            Ok((name, self.dialect.create_table(&table)))
        };
        tables.into_iter().map(make).collect()
    }

    fn literal(&self, text: &str) -> String {
        self.dialect.literal(text)
    }

    fn is_target(&self) -> String {
        format!("target = {}", self.literal(&self.layout.table))
    }

    // ----------------------------------------------------------------------------------------------------- targets

    /// What a person runs to let a sink begin a new generation with what is there.
    pub fn hand_over(&self, comes: &Holder) -> String {
        format!(
            "UPDATE {} SET sink = {}, source = {}, stream = '' WHERE {}",
            self.named(TARGETS),
            self.literal(&comes.sink),
            self.literal(&comes.source),
            self.is_target(),
        )
    }

    /// Begins the transaction that claims the target, and asks whose it is: (generation, sink, source, stream, version).
    pub fn ask_holder(&self) -> String {
        let table = self.named(TARGETS);
        let lock = self.dialect.lock_table(&table).map(|lock| format!("{lock}; ")).unwrap_or_default();
        format!(
            "BEGIN; {lock}SELECT generation, sink, source, stream, version FROM {table} WHERE {}{}",
            self.is_target(),
            self.dialect.for_update(),
        )
    }

    /// Writes who is the first to hold the target, and ends the transaction. Of two that come at once the second one fails here,
    /// and asks again.
    pub fn hold_first(&self, holder: &Holder, generation: i64) -> String {
        let Holder { sink, source, label, version } = holder;
        let [target, sink, source, label] = [&self.layout.table, sink, source, label].map(|text| self.literal(text));
        format!(
            "INSERT INTO {} (target, generation, sink, source, stream, version, swept) \
             VALUES ({target}, {generation}, {sink}, {source}, {label}, {version}, 0); COMMIT",
            self.named(TARGETS),
        )
    }

    /// Writes who holds the target now, and ends the transaction.
    pub fn hold(&self, holder: &Holder, generation: i64) -> String {
        let (targets, progress) = (self.named(TARGETS), self.named(PROGRESS));
        let Holder { sink, source, label, version } = holder;
        let [sink, source, label] = [sink, source, label].map(|text| self.literal(text));
        let is_target = self.is_target();
        format!(
            "UPDATE {targets} SET generation = {generation}, sink = {sink}, source = {source}, stream = {label}, \
             version = {version} WHERE {is_target}; \
             DELETE FROM {progress} WHERE {is_target} AND generation < {}; COMMIT",
            generation - GENERATIONS_KEPT,
        )
    }

    /// Asks which generation the target is in, and keeps it there until the transaction ends, where rows can be held by reading them; where
    /// they cannot, [`Target::stay_in`] is to end the transaction.
    pub fn ask_generation(&self) -> String {
        format!("SELECT generation FROM {} WHERE {}{}", self.named(TARGETS), self.is_target(), self.dialect.for_share())
    }

    /// Writes the generation that the target is in over itself, if it is in that one: no row otherwise. Of two transactions that write a row,
    /// the later one fails under any isolation; one that has read it only does not under SNAPSHOT.
    pub fn stay_in(&self, generation: i64) -> String {
        format!(
            "UPDATE {} SET generation = {generation} WHERE {} AND generation = {generation}",
            self.named(TARGETS),
            self.is_target(),
        )
    }

    /// Begins the transaction that sweeps the target, and asks in which generation it is and up to which one it was swept.
    pub fn ask_swept(&self) -> String {
        format!(
            "BEGIN; SELECT generation, swept FROM {} WHERE {}{}",
            self.named(TARGETS),
            self.is_target(),
            self.dialect.for_update(),
        )
    }

    /// Puts down that no row of an older generation is left.
    pub fn swept(&self, generation: i64) -> String {
        format!("UPDATE {} SET swept = {generation} WHERE {}", self.named(TARGETS), self.is_target())
    }

    // ---------------------------------------------------------------------------------------------------- progress

    fn is_shard(&self, generation: i64, shard: &str) -> String {
        format!("{} AND generation = {generation} AND shard = {}", self.is_target(), self.literal(shard))
    }

    /// Puts down how far a shard is when it is first seen in a generation, if nobody has; -1: nothing of it is there yet.
    pub fn open_progress(&self, holder: &Holder, generation: i64, shard: &str, last: i64) -> String {
        let values = format!(
            "{}, {generation}, {}, {}, {}, {last}, 0",
            self.literal(&self.layout.table),
            self.literal(shard),
            self.literal(&holder.sink),
            holder.version,
        );
        let columns = "target, generation, shard, sink, version, last_number, epoch";
        self.dialect.insert_once(&self.named(PROGRESS), columns, &values, &self.is_shard(generation, shard))
    }

    /// Asks how far a shard is: (last number, epoch); `for_update`: and keeps it there until the transaction ends.
    pub fn ask_progress(&self, generation: i64, shard: &str, for_update: bool) -> String {
        format!(
            "SELECT last_number, epoch FROM {} WHERE {}{}",
            self.named(PROGRESS),
            self.is_shard(generation, shard),
            if for_update { self.dialect.for_update() } else { "" },
        )
    }

    /// Asks how far a shard was in the newest generation from `since` on, and before `generation`, that has brought anything of it.
    pub fn ask_progress_before(&self, since: i64, generation: i64, shard: &str) -> String {
        format!(
            "SELECT last_number FROM {} WHERE {} AND generation >= {since} AND generation < {generation} AND shard = {} \
             ORDER BY generation DESC LIMIT 1",
            self.named(PROGRESS),
            self.is_target(),
            self.literal(shard),
        )
    }

    /// Moves a shard's progress, if it is still what was seen.
    pub fn move_progress(&self, generation: i64, shard: &str, seen: Progress, to: Progress) -> String {
        format!(
            "UPDATE {} SET last_number = {}, epoch = {} WHERE {} AND last_number = {} AND epoch = {}",
            self.named(PROGRESS),
            to.last,
            to.epoch,
            self.is_shard(generation, shard),
            seen.last,
            seen.epoch,
        )
    }

    // --------------------------------------------------------------------------------------------------- rejections

    /// Puts down records of a shard that were not taken, each with the number, or page, that the progress has moved to with it.
    pub fn reject(&self, generation: i64, shard: &str, refused: &[(i64, Refused)]) -> Vec<String> {
        let table = self.named(REJECTED);
        let (target, shard) = (self.literal(&self.layout.table), self.literal(shard));
        let is_same =
            |refused: &Refused| format!("(item = {} AND number = {})", self.literal(&refused.item), refused.number);
        let values = |(place, refused): &(i64, Refused)| {
            let Refused { item, number, error, live } = refused;
            let (item, error) = (self.literal(item), self.literal(&shortened(error)));
            format!("({target}, {item}, {number}, {generation}, {shard}, {place}, {live}, {error})")
        };
        let statement = |refused: &[(i64, Refused)]| {
            let same: Vec<String> = refused.iter().map(|(_, refused)| is_same(refused)).collect();
            let values: Vec<String> = refused.iter().map(values).collect();
            // A page of a snapshot may come twice.
            format!(
                "DELETE FROM {table} WHERE {} AND generation = {generation} AND ({}); \
                 INSERT INTO {table} (target, item, number, generation, shard, place, live, error) VALUES {}",
                self.is_target(),
                same.join(" OR "),
                values.join(", "),
            )
        };
        refused.chunks(ROWS_PER_INSERT).map(statement).collect()
    }

    /// Asks for the records of a shard that were not taken, between two places: (item, number, why).
    pub fn ask_rejected(&self, generation: i64, shard: &str, first: i64, last: i64) -> String {
        format!(
            "SELECT item, number, error FROM {} WHERE {} AND place BETWEEN {first} AND {last}",
            self.named(REJECTED),
            self.is_shard(generation, shard),
        )
    }

    /// Makes those of a shard's records that earlier generations, from `since` on, did not take `generation`'s own, of which nobody may have
    /// heard: those behind `told`. Done again it changes nothing.
    pub fn inherit_rejected(&self, since: i64, generation: i64, shard: &str, told: i64) -> String {
        format!(
            "UPDATE {} SET generation = {generation} WHERE {} AND generation >= {since} AND generation < {generation} AND shard = {} \
             AND place > {told}",
            self.named(REJECTED),
            self.is_target(),
            self.literal(shard),
        )
    }

    /// Asks whether any record is on the list and live.
    pub fn ask_live(&self) -> String {
        format!("SELECT 1 FROM {} WHERE {} AND live LIMIT 1", self.named(REJECTED), self.is_target())
    }

    /// Asks which records of these items are on the list and live: (item, number).
    pub fn ask_live_of(&self, items: &[&str]) -> String {
        let items: Vec<String> = items.iter().map(|item| self.literal(item)).collect();
        format!(
            "SELECT item, number FROM {} WHERE {} AND live AND item IN ({})",
            self.named(REJECTED),
            self.is_target(),
            items.join(", "),
        )
    }

    /// Puts down that the item of a record on the list has changed since. Numbers are compared for one item, as in a merge.
    pub fn outlive(&self, item: &str, number: i64) -> String {
        format!(
            "UPDATE {} SET live = FALSE WHERE {} AND item = {} AND number <= {number}",
            self.named(REJECTED),
            self.is_target(),
            self.literal(item),
        )
    }

    /// Asks under which generation a record was not taken, if it is live, and keeps it on the list until the transaction ends.
    pub fn ask_refused(&self, item: &str, number: i64) -> String {
        format!(
            "SELECT generation FROM {} WHERE {} AND item = {} AND number = {number} AND live ORDER BY generation DESC{}",
            self.named(REJECTED),
            self.is_target(),
            self.literal(item),
            self.dialect.for_update(),
        )
    }

    /// Takes a record off the list: no row if it is not there any more.
    pub fn take_rejected(&self, item: &str, number: i64) -> String {
        format!(
            "DELETE FROM {} WHERE {} AND item = {} AND number = {number}",
            self.named(REJECTED),
            self.is_target(),
            self.literal(item),
        )
    }

    /// Takes the records of earlier generations off the list.
    pub fn forget_rejected(&self, generation: i64) -> String {
        format!("DELETE FROM {} WHERE {} AND generation < {generation}", self.named(REJECTED), self.is_target())
    }
}

/// A reason as it is kept.
pub fn shortened(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(ERROR_CHARS_MAX).collect()
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
