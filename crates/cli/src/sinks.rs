//! `tailrace sinks`: where every sink stands; and what is done to one: pause, resume, rebuild, replay, retry, discard, skip, remove, forget. What takes long is
//! watched until it is done. `tailrace config check` reads a configuration without starting anything.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::StatusCode;
use tailrace_core::EpochMs;
use tailrace_core::clock::Clock;
use tailrace_server::clock::SystemClock;
use tailrace_server::sinks::{self, ForgetRequest, Forgotten, SinkRequest, SinksPage};
use tailrace_server::{Code, ParkedPage, ParkedReport};
use tailrace_sinks::runtime::{Change, Changed, SinkState, SinkStatus, SourceStatus};

use crate::args::{Output, ReadArgs};
use crate::check::count;
use crate::client::Client;
use crate::mappings::duration;
use crate::say::{on_one_line, print, say};
use crate::sinks_watch::{retry, watch};
use crate::table::table;
use crate::{Failure, Outcome};

/// `sinks`.
#[derive(Debug, Args)]
pub struct SinksArgs {
    /// What is to be done; without it they are shown
    #[command(subcommand)]
    pub action: Option<Action>,
    /// A line for each shard
    #[arg(long, short)]
    pub verbose: bool,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What is to be done to a sink.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Deliver nothing more; its place is kept
    Pause(Named),
    /// Go on
    Resume(Named),
    /// Begin anew with a snapshot of its tables, and watch it until it has caught up
    Rebuild(Named),
    /// Deliver again what the stream has from a time on; what keeps every change (objects, messages) gets those twice
    Replay {
        /// Name, and whether to wait.
        #[command(flatten)]
        named: Named,
        /// The time: how long ago, a number with s, m, h or d
        #[arg(long, value_name = "AGO")]
        since: String,
    },
    /// Show what was set aside, and why
    Parked {
        /// Its name in tailrace.yaml
        name: String,
    },
    /// Try again what was set aside
    Retry(Named),
    /// Remove what was set aside for good
    Discard(Named),
    /// Set the damaged records aside that hold it up
    Skip(Named),
    /// Forget the sink and its place; what is at the target stays
    Remove(Named),
    /// Forget a person, for good: what an audit trail with a `subject` holds of them can be read by nobody any more
    Forget {
        /// The trail's name in tailrace.yaml
        name: String,
        /// The value of the attribute that names the person
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Its type: S, N or B (in base64)
        #[arg(long = "type", value_name = "TYPE", default_value = "S", value_parser = ["S", "N", "B"])]
        kind: String,
    },
}

/// A sink by its name.
#[derive(Debug, Args)]
pub struct Named {
    /// Its name in tailrace.yaml
    pub name: String,
    /// Do not wait until it has caught up
    #[arg(long)]
    pub no_wait: bool,
}

/// `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read tailrace.yaml and say what is wrong with it
    Check {
        /// The file, or a directory with one
        #[arg(default_value = ".")]
        path: PathBuf,
    },
    /// Print the JSON schema of tailrace.yaml, for editors
    Schema,
}

/// How long a change may take.
const CHANGE: Duration = Duration::from_secs(3600);

/// Runs `sinks`.
pub async fn run(args: SinksArgs) -> Outcome {
    let mut client = Client::new(&args.read.client.endpoint())?;
    let Some(action) = args.action else {
        let (page, text) = page(&mut client).await?;
        print(match args.read.output {
            Output::Json => text,
            Output::Text if args.verbose => table(SHARDS, page.sinks.iter().flat_map(shards)),
            Output::Text => {
                let now = SystemClock::default().now();
                table(COLUMNS, page.sinks.iter().flat_map(|sink| rows(sink, now)))
            }
        })?;
        return Ok(ExitCode::SUCCESS);
    };
    // What is retried may take as long as the target takes for each record.
    client = client.patient(CHANGE);
    let (named, change) = match action {
        Action::Pause(named) => (named, Change::Pause),
        Action::Resume(named) => (named, Change::Resume),
        Action::Rebuild(named) => (named, Change::Rebuild),
        Action::Replay { named, since } => (named, Change::Replay { from_ms: ago(&since)? }),
        Action::Parked { name } => return parked(&mut client, &name, args.read.output).await,
        Action::Retry(named) => (named, Change::Retry),
        Action::Discard(named) => (named, Change::Discard),
        Action::Skip(named) => (named, Change::Skip),
        Action::Remove(named) => (named, Change::Remove),
        Action::Forget { name, value, kind } => return forget(&mut client, name, &kind, &value).await,
    };
    let request = SinkRequest { name: named.name.clone(), change };
    let changed = match change {
        Change::Retry => retry(&mut client, &mut Client::new(&args.read.client.endpoint())?, &request).await?,
        _ => client.ask("/_admin/sinks", &request).await?,
    };
    let Changed { retried, discarded, skipped, error } = changed;
    match change {
        Change::Retry => {
            say(format_args!("{retried} delivered"));
            if let Some(error) = error {
                return Err(Failure::new(Code::Refused, on_one_line(error)));
            }
        }
        Change::Discard => say(format_args!("{} discarded", count(discarded as usize, "record"))),
        Change::Skip => say(format_args!("{} skipped", count(skipped as usize, "damaged record"))),
        Change::Rebuild | Change::Replay { .. } if !named.no_wait => return watch(&mut client, &named.name).await,
        Change::Remove => {
            say(format_args!("{}: removed; if tailrace.yaml still has it, the next start begins it anew", named.name));
        }
        _ => say(format_args!("{}: done", named.name)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Forgets a person. That there is none of this value is no success: it may be written in another way.
async fn forget(client: &mut Client, name: String, kind: &str, value: &str) -> Outcome {
    let request = ForgetRequest { name, subject: serde_json::json!({ kind: value }) };
    let Forgotten { forgotten } = client.ask("/_admin/sinks/forget", &request).await?;
    if !forgotten {
        let text = format!("{} knows nobody of this value", request.name);
        return Err(Failure::new(Code::Refused, text));
    }
    say(format_args!("{}: forgotten", request.name));
    Ok(ExitCode::SUCCESS)
}

const PARKED: [&str; 6] = ["TABLE", "SHARD", "SEQUENCE NUMBER", "KEY", "REASON", "ERROR"];

/// Shows what a sink has set aside.
async fn parked(client: &mut Client, name: &str, output: Output) -> Outcome {
    let (all, _) = page(client).await?;
    let found = all.sinks.iter().find(|sink| sink.name == name);
    let sink = found.ok_or_else(|| Failure::new(Code::Refused, format_args!("there is no sink {name}")))?;
    let mut shown: Vec<ParkedReport> = Vec::new();
    for source in sink.sources.iter().filter(|source| source.shards.iter().any(|shard| shard.parked_records > 0)) {
        let mut after = String::new();
        loop {
            let path = format!("/_admin/sinks/parked?name={name}&table={}{after}", source.table);
            let (status, body) = client.get(&path).await?;
            if status != StatusCode::OK {
                return Err(client.refused(status, &String::from_utf8_lossy(&body)));
            }
            let ParkedPage { parked, next } = serde_json::from_slice(&body)?;
            shown.extend(parked);
            let Some(next) = next else { break };
            after = format!("&after={next}");
        }
    }
    let rejected: Vec<String> = sink.sources.iter().filter_map(rejected).collect();
    for line in &rejected {
        say(line);
    }
    match output {
        Output::Json => {
            for record in &shown {
                print(serde_json::to_string(record)?)?;
            }
        }
        Output::Text if shown.is_empty() && rejected.is_empty() => say("no record is set aside"),
        Output::Text if shown.is_empty() => {}
        Output::Text => drop(print(table(
            PARKED,
            shown.iter().map(|record| {
                [
                    record.table.clone(),
                    record.shard_id.clone(),
                    record.sequence_number.clone(),
                    record.keys.to_string(),
                    record.reason.clone(),
                    on_one_line(&record.error),
                ]
            }),
        ))?),
    }
    Ok(ExitCode::SUCCESS)
}

/// What the snapshot of a table has left out, in a line.
fn rejected(source: &SourceStatus) -> Option<String> {
    let last = source.snapshot_last_rejected.as_ref().filter(|_| source.snapshot_rejected > 0)?;
    let (items, were) = match source.snapshot_rejected {
        1 => ("1 item".to_owned(), "was"),
        several => (format!("{several} items"), "were"),
    };
    Some(format!(
        "{items} of the snapshot of {} {were} not taken, the last: {}: {} (write them again, or rebuild)",
        source.table,
        last.key,
        on_one_line(&last.error)
    ))
}

/// Runs `config`.
pub fn config(command: &ConfigCommand) -> Outcome {
    let path = match command {
        ConfigCommand::Check { path } => path,
        ConfigCommand::Schema => {
            let text = serde_json::to_string_pretty(&tailrace_sinks::schema::schema());
            print(text.map_err(|error| Failure::new(Code::SinksFile, error))? + "\n")?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let file = match path.is_dir() {
        true => sinks::beside(path).ok_or_else(|| {
            let names = sinks::NAMES.join(", ");
            Failure::new(Code::SinksFile, format_args!("no configuration in {}: looked for {names}", path.display()))
        })?,
        false => path.clone(),
    };
    let read = sinks::read(&file).map_err(|error| Failure::new(Code::SinksFile, error))?;
    let (sinks, file) = (read.sinks.len(), file.display());
    read.doubts.iter().for_each(|line| say(format_args!("{file}: {line}")));
    let wrong = if read.doubts.is_empty() { "nothing wrong" } else { "valid" };
    say(format_args!("{file}: {sinks} {}, {wrong}", if sinks == 1 { "sink" } else { "sinks" }));
    Ok(ExitCode::SUCCESS)
}

pub async fn page(client: &mut Client) -> Result<(SinksPage, String), Failure> {
    client.page("/_admin/sinks").await
}

/// The time so long ago.
fn ago(text: &str) -> Result<EpochMs, Failure> {
    let wrong =
        || Failure::new(Code::Setting, format_args!("--since {text} is no length of time, like 90s, 15m, 2h or 1d"));
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit: u64 = match unit {
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let length = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)?;
    Ok(SystemClock::default().now().minus(Duration::from_millis(length)))
}

const COLUMNS: [&str; 10] =
    ["SINK", "FROM", "TO", "STATE", "BEHIND", "LAG", "FLUSHES", "LAST FLUSH", "ASIDE", "LAST ERROR"];

/// A sink in one line, and the version that is built beside it in another.
fn rows(sink: &SinkStatus, now: EpochMs) -> Vec<[String; COLUMNS.len()]> {
    let mut rows = vec![row(sink, sink.name.clone(), now)];
    rows.extend(
        sink.building.as_deref().map(|building| row(building, format!("{} v{}", building.name, building.version), now)),
    );
    rows
}

fn row(sink: &SinkStatus, name: String, now: EpochMs) -> [String; COLUMNS.len()] {
    let tables: Vec<&str> = sink.sources.iter().map(|source| source.table.as_str()).collect();
    let items = sink.sources.iter().filter_map(|source| source.snapshot_items).reduce(|a, b| a + b);
    let state = match items {
        Some(items) if sink.state == SinkState::Snapshot => format!("snapshot ({items} items)"),
        _ => word(sink.state).to_owned(),
    };
    let rejected: u64 = sink.sources.iter().map(|source| source.snapshot_rejected).sum();
    let error = sink.reason.as_ref().or(sink.last_error.as_ref()).map(on_one_line);
    let told: Vec<String> = lost(sink).into_iter().chain(error).collect();
    [
        name,
        tables.join(","),
        sink.to.clone(),
        state,
        match sink.state {
            // Of what it waits for nobody knows how much that is.
            SinkState::Waiting if sink.lag_records == 0 => "-".to_owned(),
            _ => format!("{}{}", sink.lag_records, if sink.lag_is_more { "+" } else { "" }),
        },
        duration(Duration::from_millis(sink.lag_ms)),
        sink.flushes.to_string(),
        sink.last_flush_ms.map_or_else(|| "-".to_owned(), |at| format!("{} ago", duration(now.since(at)))),
        (sink.parked + rejected).to_string(),
        if told.is_empty() { "-".to_owned() } else { told.join("; ") },
    ]
}

/// That changes were trimmed before the sink had read them. It stays to be told: the target lacks them.
fn lost(sink: &SinkStatus) -> Option<String> {
    let times = match sink.trimmed_gaps {
        0 => return None,
        1 => "once".to_owned(),
        several => format!("{several} times"),
    };
    Some(format!("changes were trimmed before they were read, {times}: rebuild it"))
}

pub fn word(state: SinkState) -> &'static str {
    match state {
        SinkState::Running => "running",
        SinkState::Waiting => "waiting",
        SinkState::Snapshot => "snapshot",
        SinkState::Retrying => "retrying",
        SinkState::Blocked => "blocked",
        SinkState::Paused => "paused",
        SinkState::Unconfigured => "not configured",
    }
}

const SHARDS: [&str; 7] = ["SINK", "TABLE", "SHARD", "STATE", "POSITION", "BEHIND", "LAST ERROR"];

fn shards(sink: &SinkStatus) -> Vec<[String; SHARDS.len()]> {
    let row = |table: &String, shard: &tailrace_mapping::ShardStatus| {
        let error = on_one_line(shard.last_error.as_deref().unwrap_or("-"));
        let behind = format!("{}{}", shard.pending_records, if shard.pending_is_more { "+" } else { "" });
        let (name, id) = (sink.name.clone(), shard.shard_id.clone());
        [name, table.clone(), id, shard.state.to_string(), shard.position.clone(), behind, error]
    };
    sink.sources.iter().flat_map(|source| source.shards.iter().map(|shard| row(&source.table, shard))).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    #[test]
    fn a_sink_is_one_line_and_what_is_built_beside_it_another() {
        let page: SinksPage = serde_json::from_str(
            r#"{"sinks":[{"name":"search","to":"opensearch+http://h:9200/orders","kind":"search","state":"running","version":1,"flushes":7,
            "records":70,"bytes":700,"lastFlushMs":5,"lagRecords":3,"lagIsMore":true,"lagMs":61000,"parked":2,"sources":[
            {"table":"Orders","shards":[]}],"building":{"name":"search","to":"opensearch+http://h:9200/orders","kind":"search",
            "state":"snapshot","version":2,"flushes":1,"records":9,"bytes":9,"lagRecords":0,"lagIsMore":false,"lagMs":0,"parked":0,
            "sources":[{"table":"Orders","snapshotItems":9,"shards":[]}]}}]}"#,
        )
        .unwrap();
        let text = table(COLUMNS, page.sinks.iter().flat_map(|sink| rows(sink, EpochMs(3005))));
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(
            lines[1],
            ["search", "Orders", "opensearch+http://h:9200/orders", "running", "3+", "1m1s", "7", "3s ago", "2", "-"]
        );
        assert_eq!(lines[2][..4], ["search v2", "Orders", "opensearch+http://h:9200/orders", "snapshot (9 items)"]);
    }

    #[test]
    fn what_was_trimmed_before_it_was_read_stays_to_be_told() {
        let told = |gaps: u64, error: Option<&str>| {
            let mut sink = status("");
            (sink.trimmed_gaps, sink.last_error) = (gaps, error.map(str::to_owned));
            row(&sink, String::new(), EpochMs(1)).into_iter().next_back().unwrap()
        };
        assert_eq!((told(0, None), told(0, Some("no\nroute"))), ("-".to_owned(), "no; route".to_owned()));
        assert_eq!(told(1, None), "changes were trimmed before they were read, once: rebuild it");
        let both = "changes were trimmed before they were read, 2 times: rebuild it; no; route";
        assert_eq!(told(2, Some("no\nroute")), both);
    }

    pub fn status(more: &str) -> SinkStatus {
        let text = format!(
            r#"{{"name":"search","to":"opensearch+http://h/orders","kind":"search","state":"running","version":2,"flushes":1,"records":1,
            "bytes":1,"lagRecords":0,"lagIsMore":false,"lagMs":0,"parked":0,"sources":[{{"table":"Orders",{more}"shards":[{{"shard":1,
            "shardId":"shardId-1","position":"1","state":"idle","lagRecords":0,"lagIsMore":false,"lagMs":0,"parked":0,"drained":true,
            "blocked":false}}]}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_a_snapshot_left_out_is_told() {
        assert_eq!(rejected(&status("").sources[0]), None);
        let told = |number: u64| {
            let last = r#""snapshotLastRejected":{"key":"{\"pk\":{\"S\":\"a\"}}","error":"too\nlong"},"#;
            rejected(&status(&format!("\"snapshotRejected\":{number},{last}")).sources[0]).unwrap()
        };
        let behind = r#"not taken, the last: {"pk":{"S":"a"}}: too; long (write them again, or rebuild)"#;
        assert_eq!(told(1), format!("1 item of the snapshot of Orders was {behind}"));
        assert_eq!(told(3), format!("3 items of the snapshot of Orders were {behind}"));
    }

    #[test]
    fn lengths_of_time() {
        assert!(ago("15m").is_ok());
        for wrong in ["15", "m", "1w", "-1s", ""] {
            assert!(ago(wrong).is_err(), "{wrong}");
        }
    }
}
