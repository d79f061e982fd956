//! `tailrace parked`: the records that were given up, and what is to become of them.

use std::process::ExitCode;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use tailrace_core::limits;
use tailrace_mapping::{MappingStatus, ShardStatus};
use tailrace_server::{Code, MappingsPage, ParkedPage, ParkedReport, RecordName, RedriveAnswer};

use crate::args::{Output, ParkedArgs};
use crate::check::count;
use crate::client::Client;
use crate::say::{complain, on_one_line, print, say};
use crate::table::table;
use crate::{Failure, Outcome};

/// How long a redrive may take: a function that is started for it, and its longest timeout.
const REDRIVE: Duration = Duration::from_secs(limits::FUNCTION_TIMEOUT_MAX_S as u64)
    .saturating_add(limits::FUNCTION_INIT_DEFAULT)
    .saturating_add(limits::FUNCTION_INIT_DEFAULT);

/// The command line is wrong: as of all that clap finds.
const EXIT_USAGE: u8 = 2;

/// What is done with each record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Show,
    Redrive,
    Discard,
}

/// Runs the command.
pub async fn run(args: ParkedArgs) -> Outcome {
    let action = match (args.redrive, args.discard) {
        (true, _) => Action::Redrive,
        (false, true) => Action::Discard,
        (false, false) => Action::Show,
    };
    let mut client = Client::new(&args.read.client.endpoint())?;
    if args.mapping.is_none() && (args.discard || args.skip) {
        // Of which mappings it can be is a help alone: without an answer the command line is as wrong.
        let meant = holders(&mut client, args.skip).await.unwrap_or_default();
        complain(lacks_mapping(if args.skip { "--skip" } else { "--discard" }, &meant));
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    // A redrive is answered when the function has ended.
    let mut client = client.patient(REDRIVE);
    let mappings = mappings(&mut client, args.mapping.as_deref()).await?;
    if args.skip {
        return skip(&mut client, &mappings).await;
    }
    let mappings: Vec<String> = mappings.into_iter().map(|mapping| mapping.uuid).collect();
    let (mut shown, mut done, mut refused) = (Vec::new(), 0, 0);
    for mapping in &mappings {
        let mut after = None;
        'mapping: loop {
            let page = page(&mut client, mapping, after.as_deref()).await?;
            for record in &page.parked {
                let error = match action {
                    Action::Show => None,
                    Action::Redrive => redrive(&mut client, record).await?,
                    Action::Discard => discard(&mut client, record).await?,
                };
                if args.read.output == Output::Json {
                    print(line(action, record, error.as_deref())?)?;
                }
                match error {
                    None => done += 1,
                    Some(error) => {
                        refused += 1;
                        complain(format_args!("{} did not take {}: {error}", record.function, record.sequence_number));
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
    match (action, args.read.output) {
        (Action::Show, Output::Text) if shown.is_empty() => say("no record is parked"),
        (Action::Show, Output::Text) => drop(print(table(COLUMNS, shown.iter().map(row)))?),
        (Action::Show, Output::Json) => {}
        (Action::Redrive, _) => say(format_args!("{} redriven", count(done, "record"))),
        (Action::Discard, _) => say(format_args!("{} discarded", count(done, "record"))),
    }
    Ok(if refused > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The mappings that have parked records; `damaged`: those with a shard that stands before a damaged one.
async fn holders(client: &mut Client, damaged: bool) -> Result<Vec<MappingStatus>, Failure> {
    let mut all = mappings(client, None).await?;
    all.retain(|mapping| {
        let is_meant = |shard: &ShardStatus| if damaged { shard.damaged.is_some() } else { shard.parked_records > 0 };
        mapping.shards.iter().any(is_meant)
    });
    Ok(all)
}

/// Says that a mapping has to be named, and which, where one alone can be meant. `flag`: what needs it.
fn lacks_mapping(flag: &str, meant: &[MappingStatus]) -> String {
    let hint = match meant {
        // Its function may have several, of which the others have none.
        [one] => format!("; that of {} is the one to name: tailrace parked {} {flag}", one.function, one.uuid),
        _ if flag == "--skip" => "; tailrace mappings shows them".to_owned(),
        _ => "; tailrace parked shows what is parked".to_owned(),
    };
    format!("tailrace: {flag} needs a mapping: its uuid, its function or its table{hint}")
}

/// Has every damaged record that a shard of the mappings stands before set aside.
async fn skip(client: &mut Client, mappings: &[MappingStatus]) -> Outcome {
    let mut skipped = 0;
    for mapping in mappings {
        for shard in &mapping.shards {
            let Some(sequence_number) = shard.damaged.clone() else { continue };
            let name = RecordName { mapping: mapping.uuid.clone(), shard: shard.shard, sequence_number };
            match client.post("/_admin/damaged/skip", &serde_json::to_value(&name)?).await? {
                (StatusCode::OK, _) => {
                    let RecordName { sequence_number, .. } = name;
                    say(format_args!("{}: {sequence_number} is parked when all before it is done", shard.shard_id));
                    skipped += 1;
                }
                (status, body) => return Err(refusal(client, status, &body)),
            }
        }
    }
    say(format_args!("{} skipped", count(skipped, "damaged record")));
    Ok(ExitCode::SUCCESS)
}

/// The mappings that `name` means: a uuid or the beginning of one, a function, or a table.
async fn mappings(client: &mut Client, name: Option<&str>) -> Result<Vec<MappingStatus>, Failure> {
    let body = get(client, "/_admin/mappings").await?;
    let all = serde_json::from_slice::<MappingsPage>(&body)?.mappings;
    let is_meant = |mapping: &MappingStatus| {
        name.is_none_or(|name| mapping.uuid.starts_with(name) || mapping.function == name || mapping.table == name)
    };
    let meant: Vec<MappingStatus> = all.into_iter().filter(is_meant).collect();
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
    match client.post("/_admin/parked/redrive", &name(record)?).await? {
        (StatusCode::OK, body) => {
            let answer: RedriveAnswer = serde_json::from_slice(&body)?;
            Ok((!answer.accepted).then(|| answer.error.unwrap_or_else(|| "no error told".to_owned())))
        }
        (status @ StatusCode::CONFLICT, body) => Ok(Some(refusal(client, status, &body).text().to_owned())),
        (status, body) => Err(refusal(client, status, &body)),
    }
}

async fn discard(client: &mut Client, record: &ParkedReport) -> Result<Option<String>, Failure> {
    match client.post("/_admin/parked/discard", &name(record)?).await? {
        (StatusCode::OK, _) => Ok(None),
        (status, body) => Err(refusal(client, status, &body)),
    }
}

fn refusal(client: &Client, status: StatusCode, body: &[u8]) -> Failure {
    client.refused(status, &String::from_utf8_lossy(body))
}

fn name(record: &ParkedReport) -> Result<serde_json::Value, Failure> {
    let ParkedReport { mapping, shard, sequence_number, .. } = record.clone();
    Ok(serde_json::to_value(RecordName { mapping, shard, sequence_number })?)
}

fn line(action: Action, record: &ParkedReport, error: Option<&str>) -> Result<String, Failure> {
    let mut line = serde_json::to_value(record)?;
    match action {
        Action::Show => {}
        Action::Redrive => line["redriven"] = json!({ "accepted": error.is_none(), "error": error }),
        Action::Discard => line["discarded"] = json!(true),
    }
    Ok(line.to_string())
}

const COLUMNS: [&str; 9] =
    ["MAPPING", "FUNCTION", "TABLE", "SHARD", "SEQUENCE NUMBER", "KEY", "REASON", "AGE", "ERROR"];

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
        if record.keys.is_null() { "-".to_owned() } else { on_one_line(record.keys.to_string()) },
        record.reason.clone(),
        age(record.age),
        or_dash(&error),
    ]
}

fn age(age: Duration) -> String {
    match age.as_secs() {
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
            shard: tailrace_core::ShardNo(3),
            shard_id: String::new(),
            sequence_number: "100000000000000000007".into(),
            reason: "RetryAttemptsExhausted".into(),
            error: "KeyError:\n  'Score'".into(),
            invocations: 2,
            age: Duration::from_secs(61),
            keys: json!({ "Id": { "S": "a" } }),
        };
        let expect = r#"MAPPING  FUNCTION  TABLE   SHARD  SEQUENCE NUMBER        KEY               REASON                  AGE   ERROR
0a1b     level-up  Scores  -      100000000000000000007  {"Id":{"S":"a"}}  RetryAttemptsExhausted  1m1s  KeyError: 'Score'
"#;
        assert_eq!(table(COLUMNS, [row(&record)]) + "\n", expect);
    }
}
