//! Plays a `writes.ndjson` over the wire, each line once per data directory.
//!
//! A line is `{"<Operation>": <request>}`. How far the play has come is kept in the store itself, after each line. A crash
//! between a line and its mark leaves one line in doubt. PutItem, DeleteItem and the batches of them may simply be repeated:
//! what changes nothing emits nothing. An UpdateItem may count up, so before it the mark also keeps what the item looked
//! like: if the item still looks so, the line was not applied, and is played; if not, it was, and is skipped.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};
use tailrace_engine::Db;
use tailrace_store::keyspace::SettingKey;
use tailrace_store::{Decision, Write, commit};

use crate::Failure;
use crate::client::{Client, DYNAMODB};

/// The name of the file in the directory of `up`.
pub const FILE_NAME: &str = "writes.ndjson";

const MARK: &str = "played/writes.ndjson";

/// How far the play has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Mark {
    /// Lines that are done.
    lines: usize,
    /// The item that the next line updates, as it was before; absent when the line has not begun or is no update.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
}

/// Plays what has not been played yet. Answers the number of lines that it sent.
///
/// # Errors
/// The file cannot be read, the server not be reached, or the mark not be kept. A line that the service refuses is told
/// and passed, like in any client's log of writes.
pub async fn play(path: &Path, client: &mut Client, db: &Db) -> Result<usize, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure(format!("cannot read {}: {e}", path.display())))?;
    let mut mark = read_mark(db).await?;
    let mut sent = 0;
    for (index, line) in text.lines().enumerate().skip(mark.lines) {
        if !line.trim().is_empty() {
            let name = format!("{}:{}", path.file_name().unwrap_or_default().to_string_lossy(), index + 1);
            match parse(line) {
                Ok((operation, request)) => {
                    sent += usize::from(play_line(&name, &operation, &request, client, db, &mut mark).await?);
                }
                Err(why) => eprintln!("{name}: {why}"),
            }
        }
        mark = Mark { lines: index + 1, before: None };
        keep_mark(db, &mark).await?;
    }
    Ok(sent)
}

async fn play_line(
    name: &str,
    operation: &str,
    request: &Value,
    client: &mut Client,
    db: &Db,
    mark: &mut Mark,
) -> Result<bool, Failure> {
    if operation == "UpdateItem" {
        let ask = json!({ "TableName": request["TableName"], "Key": request["Key"], "ConsistentRead": true });
        // Where there is no reading it, there is no updating it either.
        let now =
            client.call(DYNAMODB, "GetItem", &ask).await?.map(|answer| answer["Item"].clone()).unwrap_or_default();
        match &mark.before {
            Some(before) if *before != now => return Ok(false),
            Some(_) => {}
            None => {
                mark.before = Some(now);
                keep_mark(db, mark).await?;
            }
        }
    }
    if let Err(error) = client.call(DYNAMODB, operation, request).await? {
        eprintln!("{name}: {operation}: {error}");
    }
    Ok(true)
}

fn parse(line: &str) -> Result<(String, Value), String> {
    let value: Value = serde_json::from_str(line).map_err(|e| format!("not JSON: {e}"))?;
    match value {
        Value::Object(members) if members.len() == 1 => Ok(members.into_iter().next().expect("invariant: one member")),
        _ => Err("not of the form {\"PutItem\": {...}}".to_owned()),
    }
}

async fn read_mark(db: &Db) -> Result<Mark, Failure> {
    let mut values = db.store().get(&[SettingKey::key(MARK)]).await?;
    match values.pop().flatten() {
        Some(bytes) => {
            // `null` is an item that was not there: kept apart from an absent member.
            let value: Value = serde_json::from_slice(&bytes)?;
            let lines = value["lines"].as_u64().unwrap_or_default();
            Ok(Mark { lines: usize::try_from(lines)?, before: value.get("before").cloned() })
        }
        None => Ok(Mark::default()),
    }
}

async fn keep_mark(db: &Db, mark: &Mark) -> Result<(), Failure> {
    let key = SettingKey::key(MARK);
    let value = Bytes::from(serde_json::to_vec(mark)?);
    let keys = [key.clone()];
    commit(db.store().as_ref(), &[], &keys, |_| {
        Decision::Apply(vec![Write::Put { key: key.clone(), value: value.clone() }], ())
    })
    .await?;
    Ok(())
}
