//! Plays a `writes.ndjson`, each line once per data directory.
//!
//! A line is `{"<Operation>": <request>}`, of the operations that write items and no others. It is known by its text and by
//! how often that stands in the file up to it, so that a file that grew, shrank, was edited or moved, or a second file, plays
//! exactly what was not played yet. A text that stands twice in the file is two lines.
//!
//! A line is made by the engine like any client's request, with an idempotency mark that is part of the very commit of its
//! write: after a crash at any moment both are there or neither is, whatever a function wrote to the same item meanwhile.
//! Of a BatchWriteItem each item has a mark until the line has one, so that no item is written twice.
//!
//! The file is read twice, a group of lines at a time: once to say how much there is to play, and once to play it.
//!
//! A line whose condition failed was decided, and is marked like one that wrote. A line that was refused before anything
//! was decided (there is no such table), or is no write, is named and passed over, at every start until it is mended.

mod lines;
mod progress;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tailrace_core::limits::HTTP_LARGE_BODY_BYTES;
use tailrace_core::{ApiError, ErrorCode};
use tailrace_engine::{Caller, Client, Db, IdempotencyMark, marked, ops};
use tailrace_server::{Code, files};
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Key, Write, commit};

use crate::Failure;
use crate::check::count;
use crate::output::blocking;
use crate::play::progress::Progress;
use crate::say::{complain, on_one_line, say};
use lines::{Line, LineError, Lines};

/// The name of the file in the directory of `up`.
pub const FILE_NAME: &str = "writes.ndjson";

/// The setting that names the file that was played last.
const FROM: &str = "played-from";

/// Plays what has not been played yet, if there is such a file, and tells of it.
///
/// # Errors
/// The file cannot be read, or the store not be written.
pub async fn play(path: &Path, db: &Arc<Db>) -> Result<(), Failure> {
    if !path.exists() {
        return Ok(());
    }
    let (mut all, mut pending) = (0, 0);
    let mut lines = open(path)?;
    loop {
        let group = next_group(&mut lines, path)?;
        if group.is_empty() {
            break;
        }
        all += group.len();
        pending += not_played(group, db).await?.len();
    }
    tell_what_was_played(path, all, pending, db).await?;
    if pending == 0 {
        return Ok(());
    }
    play_lines(path, pending, db).await
}

/// Plays the lines that are not played; `pending` is how many there were a moment ago.
async fn play_lines(path: &Path, pending: usize, db: &Arc<Db>) -> Result<(), Failure> {
    let (mut played, mut refused) = (0, 0);
    let mut progress = Progress::of(pending);
    let mut lines = open(path)?;
    loop {
        let group = next_group(&mut lines, path)?;
        if group.is_empty() {
            break;
        }
        for line in not_played(group, db).await? {
            progress.tell(played + refused).await;
            match play_line(&line, db).await? {
                Ok(()) => played += 1,
                Err(why) => {
                    refused += 1;
                    complain(format_args!("{FILE_NAME}:{}: {}", line.number, on_one_line(why)));
                }
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

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Writes, format_args!("cannot read {}: {error}", path.display()))
}

fn open(path: &Path) -> Result<Lines<BufReader<File>>, Failure> {
    let opened = blocking(|| files::check_regular(path).and_then(|()| File::open(path)));
    opened.map(|file| Lines::of(BufReader::new(file))).map_err(|error| unreadable(path, &error))
}

fn next_group(lines: &mut Lines<BufReader<File>>, path: &Path) -> Result<Vec<Line>, Failure> {
    blocking(|| lines.next_group()).map_err(|error| unreadable(path, &error))
}

/// Why a line was not played.
enum Refused {
    /// It is no write.
    Line(LineError),
    /// The write was refused.
    Write { operation: &'static str, error: ApiError },
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Line(error) => error.fmt(f),
            Refused::Write { operation, error } => write!(f, "{operation}: {error}"),
        }
    }
}

/// Plays a line; the inner error: it was refused.
async fn play_line(line: &Line, db: &Arc<Db>) -> Result<Result<(), Refused>, Failure> {
    let (operation, request) = match line.parse() {
        Ok(parsed) => parsed,
        Err(error) => return Ok(Err(Refused::Line(error))),
    };
    match write(operation, request, &line.mark(), db).await {
        Ok(()) => Ok(Ok(())),
        // The store's trouble is not the line's fault: a later start plays it.
        Err(error) if error.code == ErrorCode::InternalServerError => Err(Failure::new(
            Code::Writes,
            format_args!("cannot play {FILE_NAME}:{}: {}", line.number, on_one_line(error)),
        )),
        Err(error) => Ok(Err(Refused::Write { operation, error })),
    }
}

async fn write(operation: &'static str, body: &str, mark: &IdempotencyMark, db: &Arc<Db>) -> Result<(), ApiError> {
    let request = if body.len() < HTTP_LARGE_BODY_BYTES {
        ops::read_write(db, operation, body.as_bytes())
    } else {
        // As for a client's request: to read it takes too long for the threads that serve others.
        let (db, body) = (Arc::clone(db), body.to_owned());
        let read = tokio::task::spawn_blocking(move || ops::read_write(&db, operation, body.as_bytes()));
        read.await.map_err(|error| ApiError::new(ErrorCode::InternalServerError, error.to_string()))?
    };
    let caller = Caller::Client(Client { operation, ..Client::default() });
    ops::write_once(db, &request?, mark, &caller).await
}

/// Those of a group that have no mark.
async fn not_played(group: Vec<Line>, db: &Db) -> Result<Vec<Line>, Failure> {
    let marks: Vec<IdempotencyMark> = group.iter().map(Line::mark).collect();
    let played = marked(db, &marks).await.map_err(|error| Failure::new(Code::Writes, on_one_line(error)))?;
    Ok(group.into_iter().zip(played).filter(|(_, played)| !played).map(|(line, _)| line).collect())
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
