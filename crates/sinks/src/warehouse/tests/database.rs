//! A database that is played: it knows the statements of this sink, and no others, and fails where it is told to.

#![allow(clippy::type_complexity, reason = "a test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::redshift::Bucket;
use crate::warehouse::session::{Answer, Connector, Failure, Session};

/// What goes wrong at a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is lost, and the statement is not done.
    LostBefore,
    /// The statement is done, and the connection is lost before its answer.
    LostAfter,
    /// Another transaction was in the way.
    Conflict,
    /// The disk is full.
    Full,
}

/// Chance, from a seed.
pub struct Whims(u64);

impl Default for Whims {
    fn default() -> Whims {
        Whims(7)
    }
}

impl Whims {
    /// One of fifty.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % 50
    }
}

/// A row of the target: number, generation, and the load's cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub lsn: i64,
    pub generation: i64,
    pub cells: Vec<String>,
}

/// What is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// By key.
    pub rows: BTreeMap<String, Row>,
    /// The change log.
    pub log: Vec<Vec<String>>,
    /// By generation and shard: (last number, epoch).
    pub progress: BTreeMap<(i64, String), (i64, i64)>,
    /// Generation, sink, source, stream, version.
    pub holder: Option<(i64, [String; 4])>,
    pub swept: i64,
    /// By generation, item and number: (shard, place, error), and whether it is live.
    pub rejected: BTreeMap<(i64, String, i64), (String, i64, String, bool)>,
    pub tables: Vec<String>,
}

#[derive(Default)]
struct State {
    committed: Committed,
    /// Statements that were run, and whether to keep them.
    statements: Vec<String>,
    /// The number of the next statement.
    at: usize,
    faults: BTreeMap<usize, Fault>,
    /// Rows of the load that have this text are refused by the target.
    refuses: Option<String>,
    connections: usize,
    /// Statements fail by chance.
    whims: Option<Whims>,
    /// It is Redshift, and loads from here.
    bucket: Option<Arc<Bucket>>,
}

/// The database; clones share it. One transaction at a time: the others wait.
#[derive(Clone, Default)]
pub struct Database(Arc<Mutex<State>>, Arc<tokio::sync::Mutex<()>>);

impl Database {
    /// With its target table and those beside it.
    pub fn new() -> Database {
        Database::default()
    }

    /// As that, and a statement in fifty fails in one of the ways there are.
    pub fn moody() -> Database {
        let database = Database::new();
        database.0.lock().whims = Some(Whims::default());
        database
    }

    /// It is Redshift, whose loads are in a bucket.
    pub fn that_loads_from(self, bucket: &Arc<Bucket>) -> Database {
        self.0.lock().bucket = Some(bucket.clone());
        self
    }

    /// Rows with this text are refused when they are merged.
    pub fn refuse(&self, text: &str) {
        self.0.lock().refuses = Some(text.to_owned());
    }

    pub fn refuse_nothing(&self) {
        self.0.lock().refuses = None;
    }

    /// Something goes wrong at the statement of this number, from 0, counted from now on.
    pub fn fail_at(&self, statement: usize, fault: Fault) {
        let mut state = self.0.lock();
        let at = state.at + statement;
        state.faults.insert(at, fault);
    }

    pub fn committed(&self) -> Committed {
        self.0.lock().committed.clone()
    }

    pub fn change(&self, change: impl FnOnce(&mut Committed)) {
        change(&mut self.0.lock().committed);
    }

    /// The statements since the last time.
    pub fn statements(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().statements)
    }

    pub fn connections(&self) -> usize {
        self.0.lock().connections
    }

    /// The keys of the table, with the cell of the promoted column.
    pub fn totals(&self) -> Vec<(String, String)> {
        self.committed().rows.into_iter().map(|(key, row)| (key, row.cells[2].clone())).collect()
    }
}

impl Connector for Database {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        self.0.lock().connections += 1;
        let session =
            Play { database: self.clone(), open: true, turn: None, own: None, saved: None, stage: Vec::new() };
        async { Ok(Box::new(session) as Box<dyn Session>) }.boxed()
    }
}

struct Play {
    database: Database,
    open: bool,
    /// Held in a transaction.
    turn: Option<tokio::sync::OwnedMutexGuard<()>>,
    /// What the transaction sees, once it has begun.
    own: Option<Committed>,
    saved: Option<(Committed, Vec<Vec<String>>)>,
    stage: Vec<Vec<String>>,
}

impl Session for Play {
    fn run<'a>(&'a mut self, sql: &'a str, _: Duration) -> BoxFuture<'a, Result<Vec<Answer>, Failure>> {
        async move {
            if self.turn.is_none() {
                self.turn = Some(self.database.1.clone().lock_owned().await);
            }
            let done = self.faulty(sql, |play| sql.split("; ").map(|one| play.statement(one)).collect());
            if self.own.is_none() || !self.open {
                self.turn = None;
            }
            done
        }
        .boxed()
    }

    fn copy<'a>(&'a mut self, sql: &'a str, rows: Bytes, _: Duration) -> BoxFuture<'a, Result<u64, Failure>> {
        async move {
            self.faulty(sql, |play| {
                let text = String::from_utf8(rows.to_vec()).unwrap();
                let rows = text.lines().map(|line| line.split('\t').map(str::to_owned).collect());
                if sql.contains("_tailrace_stage_") {
                    play.stage.extend(rows);
                } else {
                    let rows: Vec<Vec<String>> = rows.collect();
                    play.check(rows.iter())?;
                    play.own().log.extend(rows);
                }
                Ok(0)
            })
        }
        .boxed()
    }

    fn is_open(&self) -> bool {
        self.open
    }
}

fn refused(code: &str, text: &str) -> Failure {
    Failure::Refused { code: code.to_owned(), text: text.to_owned() }
}

/// The texts between quotes.
fn texts(sql: &str) -> Vec<&str> {
    sql.split('\'').skip(1).step_by(2).collect()
}

/// The number behind a word.
fn after<'a>(sql: &'a str, word: &str) -> Option<&'a str> {
    let rest = sql.split_once(word)?.1;
    Some(rest.split([' ', ',', ')']).next().unwrap_or(rest))
}

fn number(sql: &str, word: &str) -> i64 {
    after(sql, word).and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number behind {word} in {sql}"))
}

fn answer(rows: Vec<Vec<String>>) -> Answer {
    Answer {
        affected: rows.len() as u64,
        rows: rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect(),
    }
}

fn affected(affected: usize) -> Answer {
    Answer { affected: affected as u64, rows: Vec::new() }
}

impl Play {
    fn faulty<T>(&mut self, sql: &str, run: impl FnOnce(&mut Play) -> Result<T, Failure>) -> Result<T, Failure> {
        assert!(self.open, "a lost session is used: {sql}");
        let fault = {
            let mut state = self.database.0.lock();
            state.statements.push(sql.to_owned());
            let at = state.at;
            state.at += 1;
            let whim = state.whims.as_mut().and_then(|whims| (whims.next() == 0).then(|| whims.next()));
            let faults = [Fault::LostBefore, Fault::LostAfter, Fault::Conflict, Fault::Full];
            state.faults.remove(&at).or(whim.map(|whim| faults[whim as usize % faults.len()]))
        };
        let lost = || Failure::Lost("connection closed".to_owned());
        match fault {
            None => run(self),
            Some(Fault::Conflict) => Err(refused("40001", "could not serialize access")),
            Some(Fault::Full) => Err(refused("53100", "no space left on device")),
            Some(Fault::LostBefore) => {
                self.open = false;
                Err(lost())
            }
            Some(Fault::LostAfter) => {
                let _ = run(self);
                self.open = false;
                Err(lost())
            }
        }
    }

    fn own(&mut self) -> &mut Committed {
        self.own.get_or_insert_with(|| self.database.committed())
    }

    fn check<'a>(&self, mut rows: impl Iterator<Item = &'a Vec<String>>) -> Result<(), Failure> {
        let refuses = self.database.0.lock().refuses.clone();
        match refuses {
            Some(text) if rows.any(|row| row.iter().any(|cell| cell.contains(&text))) => {
                Err(refused("23514", "new row violates check constraint"))
            }
            _ => Ok(()),
        }
    }

    fn statement(&mut self, sql: &str) -> Result<Answer, Failure> {
        let texts: Vec<String> = texts(sql).into_iter().map(str::to_owned).collect();
        let has = |part: &str| sql.contains(part);
        if sql.starts_with("COPY") {
            return self.load(sql, &texts[0]).map(|()| Answer::default());
        }
        // Outside of a transaction each statement is one of its own.
        let begun = self.own.is_some();
        let answered = if sql == "BEGIN" {
            self.own();
            return Ok(Answer::default());
        } else if sql == "COMMIT" {
            let own = self.own.take().expect("no transaction");
            self.database.0.lock().committed = own;
            self.stage.clear();
            return Ok(Answer::default());
        } else if sql == "ROLLBACK" {
            self.own = None;
            self.stage.clear();
            return Ok(Answer::default());
        } else if sql.starts_with("SAVEPOINT") {
            self.saved = Some((self.own().clone(), self.stage.clone()));
            Answer::default()
        } else if sql.starts_with("ROLLBACK TO") {
            let (own, stage) = self.saved.clone().expect("no savepoint");
            (self.own, self.stage) = (Some(own), stage);
            Answer::default()
        } else if sql.starts_with("SET ")
            || sql.starts_with("RELEASE")
            || has("advisory")
            || has("TEMP TABLE")
            || sql.starts_with("LOCK TABLE")
        {
            Answer::default()
        } else if sql.starts_with("DROP TABLE") {
            self.stage.clear();
            Answer::default()
        } else if has("current_schema") {
            answer(vec![vec!["public".to_owned()]])
        } else if has("pg_attribute") && !has("pg_index") {
            self.describe()
        } else if has("pg_index") {
            answer(vec![vec!["1".to_owned()]])
        } else if sql.starts_with("CREATE TABLE") {
            let name = sql.split('"').nth(3).unwrap().to_owned();
            self.own().tables.push(name);
            Answer::default()
        } else if has("_tailrace_targets") {
            self.targets(sql, texts)
        } else if has("_tailrace_progress") {
            self.progress(sql, &texts)
        } else if has("_tailrace_rejected") {
            self.rejected(sql, &texts)
        } else {
            self.rows(sql)?
        };
        if !begun && let Some(own) = self.own.take() {
            self.database.0.lock().committed = own;
        }
        Ok(answered)
    }

    /// Redshift's load.
    fn load(&mut self, sql: &str, manifest: &str) -> Result<(), Failure> {
        let bucket = self.database.0.lock().bucket.clone().expect("a bucket");
        let names = sql.split_once('(').unwrap().1.split_once(')').unwrap().0;
        let names: Vec<String> = names.split(", ").map(|name| name.trim_matches('"').to_owned()).collect();
        let rows = bucket.rows(manifest, &names);
        if sql.contains("_tailrace_stage_") {
            self.stage.extend(rows);
        } else {
            self.check(rows.iter())?;
            self.own().log.extend(rows);
        }
        Ok(())
    }

    fn describe(&mut self) -> Answer {
        let is_redshift = self.database.0.lock().bucket.is_some();
        let column = |(table, name, sql): (&str, &str, &str)| [table, name, sql, "f", "f"].map(str::to_owned).to_vec();
        let mut rows = Vec::new();
        for table in self.own().tables.clone() {
            let merged = [
                ("pk", "text"),
                ("total", "numeric(6,2)"),
                ("doc", "jsonb"),
                ("_event_time", "timestamp with time zone"),
                ("_lsn", "bigint"),
                ("_generation", "bigint"),
                ("new_image", "jsonb"),
                ("old_image", "jsonb"),
                ("_event", "character varying(16)"),
                ("_is_ttl", "boolean"),
                ("_shard", "character varying(64)"),
            ];
            let of_redshift = |sql| match sql {
                "text" => "character varying(2048)",
                "jsonb" => "super",
                "timestamp with time zone" => "timestamp without time zone",
                sql => sql,
            };
            let named = |(name, sql)| (name, if is_redshift { of_redshift(sql) } else { sql });
            rows.extend(merged.map(named).map(|(name, sql)| column((&table, name, sql))));
        }
        answer(rows)
    }

    fn targets(&mut self, sql: &str, texts: Vec<String>) -> Answer {
        let own = self.own();
        if sql.starts_with("SELECT generation, sink") {
            let row = |(generation, texts): &(i64, [String; 4])| {
                std::iter::once(generation.to_string()).chain(texts.clone()).collect()
            };
            return answer(own.holder.iter().map(row).collect());
        }
        if sql.starts_with("SELECT generation") {
            let swept = own.swept.to_string();
            return answer(
                own.holder.iter().map(|(generation, _)| vec![generation.to_string(), swept.clone()]).collect(),
            );
        }
        if let Some(swept) = after(sql, "SET swept = ") {
            own.swept = swept.parse().unwrap();
            return affected(1);
        }
        if sql.starts_with("UPDATE") && !sql.contains(" version = ") {
            let is_in = own.holder.as_ref().is_some_and(|(in_it, _)| *in_it == number(sql, "SET generation = "));
            return affected(usize::from(is_in));
        }
        let (generation, version, texts) = if sql.starts_with("INSERT") {
            (number(sql, "'orders', "), sql.rsplit(", ").nth(1).unwrap().to_owned(), &texts[1..4])
        } else {
            (number(sql, "SET generation = "), after(sql, " version = ").unwrap().to_owned(), &texts[..3])
        };
        let [sink, source, label] = texts else { panic!("{sql}") };
        own.holder = Some((generation, [sink.clone(), source.clone(), label.clone(), version]));
        affected(1)
    }

    fn progress(&mut self, sql: &str, texts: &[String]) -> Answer {
        let own = self.own();
        if sql.starts_with("INSERT") {
            let generation = number(sql, "'orders', ");
            let last = number(sql, &format!("'{}', {}, ", texts[2], number(sql, &format!("'{}', ", texts[2]))));
            own.progress.entry((generation, texts[1].clone())).or_insert((last, 0));
            return affected(1);
        }
        if sql.contains("generation >= ") {
            let (since, before) = (number(sql, "generation >= "), number(sql, "generation < "));
            let fits = |(of, shard): &&(i64, String)| (since..before).contains(of) && *shard == texts[1];
            let newest = own.progress.keys().filter(fits).max().map(|key| own.progress[key].0);
            return answer(newest.map(|last| vec![last.to_string()]).into_iter().collect());
        }
        if sql.starts_with("DELETE") {
            let generation = number(sql, "generation < ");
            own.progress.retain(|(of, _), _| *of >= generation);
            return affected(0);
        }
        let key = (number(sql, " generation = "), texts[1].clone());
        let there = own.progress.get(&key).copied();
        if sql.starts_with("SELECT") {
            let row = |(last, epoch): (i64, i64)| vec![last.to_string(), epoch.to_string()];
            return answer(there.map(row).into_iter().collect());
        }
        let (to, seen) = sql.split_once(" WHERE ").unwrap();
        let pair = |sql: &str| (number(sql, "last_number = "), number(sql, "epoch = "));
        if there != Some(pair(seen)) {
            return affected(0);
        }
        own.progress.insert(key, pair(to));
        affected(1)
    }

    fn rejected(&mut self, sql: &str, texts: &[String]) -> Answer {
        let own = self.own();
        if sql.starts_with("INSERT") {
            for row in sql.split("VALUES (").nth(1).unwrap().split("), (") {
                let parts: Vec<&str> = row.splitn(8, ", ").collect();
                let unquoted = |text: &str| text.trim_end_matches(')').trim_matches('\'').to_owned();
                let whole = |part: usize| parts[part].parse::<i64>().unwrap();
                let key = (whole(3), unquoted(parts[1]), whole(2));
                own.rejected.insert(key, (unquoted(parts[4]), whole(5), unquoted(parts[7]), parts[6] == "true"));
            }
            return affected(1);
        }
        let live = own.rejected.iter().filter(|(_, (.., live))| *live).map(|(key, _)| key);
        if sql.starts_with("SELECT 1") {
            return answer(live.take(1).map(|_| vec!["1".to_owned()]).collect());
        }
        if sql.starts_with("SELECT item") && sql.contains(" live ") {
            let wanted = live.filter(|(_, item, _)| texts[1..].contains(item));
            return answer(wanted.map(|(_, item, number)| vec![item.clone(), number.to_string()]).collect());
        }
        if sql.starts_with("SELECT generation") {
            let wanted = number(sql, " number = ");
            let row = |(generation, item, number): &(i64, String, i64)| {
                (*item == texts[1] && *number == wanted).then(|| vec![generation.to_string()])
            };
            return answer(live.rev().filter_map(row).collect());
        }
        if sql.starts_with("SELECT item") {
            let generation = number(sql, " generation = ");
            let first = number(sql, "BETWEEN ");
            let last: i64 = sql.rsplit(' ').next().unwrap().parse().unwrap();
            let row = |((of, item, number), (shard, place, error, _)): (
                &(i64, String, i64),
                &(String, i64, String, bool),
            )| {
                let is = *of == generation && *shard == texts[1] && (first..=last).contains(place);
                is.then(|| vec![item.clone(), number.to_string(), error.clone()])
            };
            return answer(own.rejected.iter().filter_map(row).collect());
        }
        if let Some(generation) = after(sql, "SET generation = ") {
            let generation: i64 = generation.parse().unwrap();
            let (since, told) = (number(sql, "generation >= "), number(sql, "place > "));
            let moved = |(of, item, number): (i64, String, i64),
                         (shard, place, error, live): (String, i64, String, bool)| {
                let is_moved = (since..generation).contains(&of) && shard == texts[1] && place > told;
                ((if is_moved { generation } else { of }, item, number), (shard, place, error, live))
            };
            own.rejected = std::mem::take(&mut own.rejected).into_iter().map(|(key, row)| moved(key, row)).collect();
            return affected(1);
        }
        if sql.starts_with("UPDATE") {
            let most = number(sql, " number <= ");
            for ((_, item, number), (.., live)) in &mut own.rejected {
                *live &= *item != texts[1] || *number > most;
            }
            return affected(1);
        }
        let before = own.rejected.len();
        if let Some(generation) = after(sql, "generation < ") {
            let generation: i64 = generation.parse().unwrap();
            own.rejected.retain(|(of, _, _), _| *of >= generation);
        } else if !sql.contains("AND (") {
            let wanted = number(sql, " number = ");
            own.rejected.retain(|(_, item, number), _| *item != texts[1] || *number != wanted);
        }
        // With the parenthesis it is what is written again right away.
        affected(before - own.rejected.len())
    }

    /// The table of items, and the staged rows: `_op`, `pk`, `total`, `doc`, `_event_time`, `_lsn`.
    fn rows(&mut self, sql: &str) -> Result<Answer, Failure> {
        let stage = self.stage.clone();
        let lsn = |row: &Vec<String>| row[5].parse::<i64>().unwrap();
        if sql.starts_with("DELETE FROM \"_tailrace_stage_") {
            self.stage.clear();
        } else if sql.starts_with("DELETE") && sql.contains("USING") {
            let generation = number(sql, "\"_generation\" < ");
            for row in &stage {
                let is_older = |there: &Row| (there.generation, there.lsn) < (generation, lsn(row));
                if self.own().rows.get(&row[1]).is_some_and(is_older) {
                    self.own().rows.remove(&row[1]);
                }
            }
        } else if sql.starts_with("DELETE") {
            let generation = number(sql, "\"_generation\" < ");
            self.own().rows.retain(|_, row| row.generation >= generation);
        } else if sql.starts_with("INSERT") {
            self.check(stage.iter())?;
            let generation = number(sql, "s.\"_lsn\", ");
            for row in &stage {
                let made = Row { lsn: lsn(row), generation, cells: row.clone() };
                if row[0] != "REMOVE" {
                    self.own().rows.entry(row[1].clone()).or_insert(made);
                }
            }
        } else {
            panic!("a statement that nobody knows: {sql}");
        }
        Ok(Answer::default())
    }
}
