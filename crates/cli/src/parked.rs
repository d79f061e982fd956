//! `tailrace parked`: the records that were given up, and what is to become of them.

use std::process::ExitCode;
use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tailrace_core::limits;
use tailrace_server::{Code, MappingReport, ParkedPage, ParkedReport};

use crate::args::{Output, ParkedArgs};
use crate::check::count;
use crate::client::{Client, DYNAMODB};
use crate::say::{on_one_line, print, say};
use crate::table::table;
use crate::{Failure, Outcome};

#[derive(Deserialize)]
struct MappingsPage {
    mappings: Vec<MappingReport>,
}

/// How long a redrive may take: a function that is started for it, and its longest timeout.
const REDRIVE: Duration =
    Duration::from_millis(limits::FUNCTION_TIMEOUT_MAX_S as u64 * 1000 + 2 * limits::FUNCTION_INIT_DEFAULT_MS);

/// What is done with each record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Show,
    Redrive,
    Discard,
}

/// Runs the command.
pub async fn run(args: ParkedArgs) -> Outcome {
    let deed = match (args.redrive, args.discard) {
        (true, _) => Deed::Redrive,
        (false, true) => Deed::Discard,
        (false, false) => Deed::Show,
    };
    // A redrive is answered when the function has ended.
    let mut client = Client::new(&args.read.client.endpoint())?.patient(REDRIVE);
    let mappings = mappings(&mut client, args.mapping.as_deref()).await?;
    let (mut shown, mut done, mut refused) = (Vec::new(), 0, 0);
    for mapping in &mappings {
        let mut after = None;
        'mapping: loop {
            let page = page(&mut client, mapping, after.as_deref()).await?;
            for record in &page.parked {
                let error = match deed {
                    Deed::Show => None,
                    Deed::Redrive => redrive(&mut client, record).await?,
                    Deed::Discard => discard(&mut client, record).await?,
                };
                if args.read.output == Output::Json {
                    print(line(deed, record, error.as_deref())?)?;
                }
                match error {
                    None => done += 1,
                    Some(error) => {
                        refused += 1;
                        say(format_args!("{} did not take {}: {error}", record.function, record.sequence_number));
                        // The ones behind it may depend on it.
                        break 'mapping;
                    }
                }
            }
            shown.extend(page.parked);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    match (deed, args.read.output) {
        (Deed::Show, Output::Text) => drop(print(table(COLUMNS, shown.iter().map(row)))?),
        (Deed::Show, Output::Json) => {}
        (Deed::Redrive, _) => say(format_args!("{} redriven", count(done, "record"))),
        (Deed::Discard, _) => say(format_args!("{} discarded", count(done, "record"))),
    }
    Ok(if refused > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The uuids of the mappings that `name` means: a uuid or the beginning of one, a function, or a table.
async fn mappings(client: &mut Client, name: Option<&str>) -> Result<Vec<String>, Failure> {
    let body = get(client, "/_admin/mappings").await?;
    let all = serde_json::from_slice::<MappingsPage>(&body)?.mappings;
    let is_meant = |mapping: &MappingReport| {
        name.is_none_or(|name| mapping.uuid.starts_with(name) || mapping.function == name || mapping.table == name)
    };
    let meant: Vec<String> = all.into_iter().filter(is_meant).map(|mapping| mapping.uuid).collect();
    match name {
        Some(name) if meant.is_empty() => {
            Err(Failure::new(Code::Refused, format_args!("no mapping has the uuid, function or table {name}")))
        }
        _ => Ok(meant),
    }
}

async fn page(client: &mut Client, mapping: &str, after: Option<&str>) -> Result<ParkedPage, Failure> {
    let after = after.map(|after| format!("&after={after}")).unwrap_or_default();
    let body = get(client, &format!("/_admin/parked?mapping={mapping}{after}")).await?;
    Ok(serde_json::from_slice(&body)?)
}

async fn get(client: &mut Client, path: &str) -> Result<bytes::Bytes, Failure> {
    match client.get(path).await? {
        (StatusCode::OK, body) => Ok(body),
        (_, body) => Err(Failure::new(Code::Refused, String::from_utf8_lossy(&body))),
    }
}

/// `None`: the function accepted the record.
async fn redrive(client: &mut Client, record: &ParkedReport) -> Result<Option<String>, Failure> {
    let answer = client.call(DYNAMODB, "TailraceRedriveParkedRecord", &name(record)).await?;
    let answer = answer.map_err(|error| Failure::new(Code::Refused, error))?;
    let accepted = answer["Accepted"] == json!(true);
    Ok((!accepted).then(|| answer["Error"].as_str().unwrap_or("no error told").to_owned()))
}

async fn discard(client: &mut Client, record: &ParkedReport) -> Result<Option<String>, Failure> {
    let answer = client.call(DYNAMODB, "TailraceDiscardParkedRecord", &name(record)).await?;
    answer.map(|_| None).map_err(|error| Failure::new(Code::Refused, error))
}

fn name(record: &ParkedReport) -> serde_json::Value {
    json!({ "Mapping": record.mapping, "Shard": record.shard, "SequenceNumber": record.sequence_number })
}

fn line(deed: Deed, record: &ParkedReport, error: Option<&str>) -> Result<String, Failure> {
    let mut line = serde_json::to_value(record)?;
    match deed {
        Deed::Show => {}
        Deed::Redrive => line["redriven"] = json!({ "accepted": error.is_none(), "error": error }),
        Deed::Discard => line["discarded"] = json!(true),
    }
    Ok(line.to_string())
}

const COLUMNS: [&str; 8] = ["MAPPING", "FUNCTION", "TABLE", "SHARD", "SEQUENCE NUMBER", "REASON", "AGE", "ERROR"];

fn row(record: &ParkedReport) -> [String; COLUMNS.len()] {
    // An error is one row's: its line breaks are not the table's.
    let error = on_one_line(&record.error);
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    [
        record.mapping.clone(),
        record.function.clone(),
        record.table.clone(),
        or_dash(&record.shard_id),
        record.sequence_number.clone(),
        record.reason.clone(),
        age(record.age_ms),
        or_dash(&error),
    ]
}

fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let record = ParkedReport {
            mapping: "0a1b".into(),
            function: "level-up".into(),
            table: "Scores".into(),
            shard: 3,
            shard_id: String::new(),
            sequence_number: "100000000000000000007".into(),
            reason: "RetryAttemptsExhausted".into(),
            error: "KeyError:\n  'Score'".into(),
            invocations: 2,
            age_ms: 61_000,
            keys: json!({ "Id": { "S": "a" } }),
        };
        let expect = "\
MAPPING  FUNCTION  TABLE   SHARD  SEQUENCE NUMBER        REASON                  AGE   ERROR
0a1b     level-up  Scores  -      100000000000000000007  RetryAttemptsExhausted  1m1s  KeyError: 'Score'
";
        assert_eq!(table(COLUMNS, [row(&record)]) + "\n", expect);
    }
}
