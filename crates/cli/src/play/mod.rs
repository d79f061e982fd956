//! Plays a `writes.ndjson`, each line once per data directory.
//!
//! A line is `{"<Operation>": <request>}`, of the operations that write items and no others. It is known by its text:
//! the store keeps how often each text was played, so that a file that grew, shrank, was edited or moved, or a second
//! file, plays exactly what was not played yet. A text that stands twice in the file is two lines.
//!
//! Lines are sent over the wire like any client's. The mark of a line is part of the very commit that its operation makes
//! ([`MarkedEngine`], behind a listener for the player alone): after a crash at any
//! moment both are there or neither is, whatever a function wrote to the same item meanwhile. A BatchWriteItem is a commit for
//! each of its items, and is marked right after them: a crash within it repeats that one line, and what is already so
//! emits nothing.
//!
//! A line whose condition failed was decided, and is marked like one that wrote. A line that was refused before anything
//! was decided (there is no such table), or is no write, is named and passed over, at every start until it is mended.

mod lines;
mod marked;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tailrace_engine::Db;
use tailrace_server::{Beside, Server};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Key, Write, commit};

use crate::Failure;
use crate::check::count;
use crate::client::{Client, DYNAMODB};
use crate::say::{on_one_line, say};
use lines::Line;
use marked::MarkedEngine;

/// The name of the file in the directory of `up`.
pub const FILE_NAME: &str = "writes.ndjson";

/// The setting that names the file that was played last.
const FROM: &str = "played-from";

/// Plays what has not been played yet, if there is such a file, and tells of it.
///
/// # Errors
/// The file cannot be read, or the store not be written.
pub async fn play(path: &Path, server: &Server) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let db = server.db();
    let file = read(path)?;
    let pending = pending(path, &file, db).await?;
    if pending.is_empty() {
        return Ok(());
    }
    let (marked, engine) = marked(db).await?;
    let (plain, marked) = (server.serve_beside(Arc::clone(db))?, server.serve_beside(marked)?);
    let client = |at: &Beside| Client::new(&format!("http://{}", at.address));
    play_lines(path, &pending, Player { db, plain: client(&plain)?, marked: client(&marked)?, engine }).await
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|e| Failure(format!("cannot read {}: {e}", path.display())))
}

/// The lines of the file that are to be played.
async fn pending<'a>(path: &Path, file: &'a [u8], db: &Db) -> Result<Vec<Line<'a>>, Failure> {
    let lines = lines::read(file);
    let all = lines.len();
    let pending = not_played(lines, db).await?;
    tell_what_was_played(path, all, pending.len(), db).await?;
    Ok(pending)
}

async fn play_lines<C: Call>(path: &Path, pending: &[Line<'_>], mut player: Player<'_, C>) -> Result<(), Failure> {
    let (mut played, mut refused) = (0, 0);
    for line in pending {
        match player.play(line).await? {
            Ok(()) => played += 1,
            Err(why) => {
                refused += 1;
                say(format_args!("{FILE_NAME}:{}: {}", line.number, on_one_line(why)));
            }
        }
    }
    let refused = match refused {
        0 => String::new(),
        refused => format!("; {} refused", count(refused, "line")),
    };
    say(format_args!("played {} from {}{refused}", count(played, "write"), path.display()));
    Ok(())
}

/// The lines whose text stands more often in the file, up to them, than it was played.
async fn not_played<'a>(lines: Vec<Line<'a>>, db: &Db) -> Result<Vec<Line<'a>>, Failure> {
    const LINES_PER_READ: usize = 1000;
    let mut pending = Vec::new();
    let mut lines = lines.into_iter().peekable();
    while lines.peek().is_some() {
        let some: Vec<Line<'a>> = lines.by_ref().take(LINES_PER_READ).collect();
        let keys: Vec<Key> = some.iter().map(|line| line.mark_key()).collect();
        let marks = db.store().get(&keys).await?;
        for (line, mark) in some.into_iter().zip(marks) {
            if line.occurrence > times_played(mark.as_ref())? {
                pending.push(line);
            }
        }
    }
    Ok(pending)
}

fn times_played(mark: Option<&Bytes>) -> Result<u64, Failure> {
    let Some(mark) = mark else { return Ok(0) };
    let text = std::str::from_utf8(mark).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| Failure("a mark of a played line in the data directory is no number".to_owned()))
}

/// One line for whoever wonders why not all of his file is played; none for the second start of the same file.
async fn tell_what_was_played(path: &Path, all: usize, pending: usize, db: &Db) -> Result<(), Failure> {
    let skipped = all - pending;
    let here = path.canonicalize().unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned();
    let from = db.store().get(&[SettingKey::key(FROM)]).await?.pop().flatten();
    let from = from.map(|from| String::from_utf8_lossy(&from).into_owned());
    let elsewhere = from.as_ref().filter(|from| **from != here);
    if skipped > 0 && (pending > 0 || elsewhere.is_some()) {
        let origin = elsewhere.map(|from| format!(" from {from}")).unwrap_or_default();
        say(format_args!(
            "lines of {} played into this data directory before{origin}: {skipped} of {all}; to play: {pending}",
            path.display()
        ));
    }
    if from.as_ref() != Some(&here) {
        keep(db, SettingKey::key(FROM), Bytes::from(here)).await?;
    }
    Ok(())
}

async fn keep(db: &Db, key: Key, value: Bytes) -> Result<(), Failure> {
    let keys = [key];
    commit(db.store().as_ref(), &[], &keys, |_| {
        Decision::Apply(vec![Write::Put { key: keys[0].clone(), value: value.clone() }], ())
    })
    .await?;
    Ok(())
}

/// The database with a store that adds marks.
async fn marked(db: &Db) -> Result<(Arc<Db>, Arc<MarkedEngine>), Failure> {
    let engine = Arc::new(MarkedEngine::new(Arc::clone(db.store())));
    let store = Arc::clone(&engine);
    let marked = Db::open(store, Arc::clone(db.clock()), Arc::clone(db.rng()), db.settings().clone()).await?;
    Ok((Arc::new(marked), engine))
}

/// How an operation gets to a database; the inner error: it was refused.
trait Call {
    fn call<'a>(
        &'a mut self,
        operation: &'a str,
        request: &'a Value,
    ) -> BoxFuture<'a, Result<Result<(), String>, Failure>>;
}

impl Call for Client {
    fn call<'a>(
        &'a mut self,
        operation: &'a str,
        request: &'a Value,
    ) -> BoxFuture<'a, Result<Result<(), String>, Failure>> {
        async move {
            match Client::call(self, DYNAMODB, operation, request).await? {
                Ok(_) => Ok(Ok(())),
                // The store's trouble is not the line's fault: a later start plays it.
                Err(error) if error.status.is_server_error() => Err(Failure(on_one_line(error))),
                Err(error) => Ok(Err(format!("{operation}: {error}"))),
            }
        }
        .boxed()
    }
}

/// Runs lines with their marks.
struct Player<'a, C> {
    db: &'a Db,
    plain: C,
    marked: C,
    engine: Arc<MarkedEngine>,
}

impl<C: Call> Player<'_, C> {
    /// Plays a line; the inner error: it was refused.
    async fn play(&mut self, line: &Line<'_>) -> Result<Result<(), String>, Failure> {
        let (key, value) = (line.mark_key(), Bytes::from(line.occurrence.to_string()));
        let (answer, made_the_mark) = match line.parse() {
            Ok((operation @ lines::BATCH, request)) => (self.plain.call(operation, &request).await, false),
            Ok((operation, request)) => {
                self.engine.begin(key.clone(), value.clone());
                let answer = self.marked.call(operation, &request).await;
                (answer, self.engine.end())
            }
            Err(why) => (Ok(Err(why)), false),
        };
        let answer =
            answer.map_err(|Failure(why)| Failure(format!("cannot play {FILE_NAME}:{}: {why}", line.number)))?;
        // A line that was refused before anything was decided changed nothing: every start tries and names it again.
        if !made_the_mark && answer.is_ok() {
            keep(self.db, key, value).await?;
        }
        Ok(answer)
    }
}
