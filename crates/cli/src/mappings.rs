//! `tailrace mappings`: one line a mapping with state, lag and last result; with `-v` one a shard.
//!
//! A shard of a stream that has ended and is read has no row, unless records of it are parked: nothing will ever come of it.
//! A mapping of which no shard is left has a row of its own, which says why nothing is delivered, unless another one of the
//! table and the function has taken its place.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tailrace_mapping::{MappingState, MappingStatus, ShardState, ShardStatus};
use tailrace_server::{Code, MappingsPage};

use crate::args::{Output, ReadArgs};
use crate::client::Client;
use crate::follow::{Away, until_left};
use crate::output::{self, Out};
use crate::say::{Reader, on_one_line, print};
use crate::table::table;
use crate::{Failure, Outcome};

/// `mappings`.
#[derive(Debug, Args)]
pub struct MappingsArgs {
    /// A line for each shard: position, lag, state, last error
    #[arg(long, short)]
    pub verbose: bool,
    /// Show them again each second, as they change, until Ctrl-C; goes on when the server has been away
    #[arg(long)]
    pub watch: bool,
    /// The client's flags.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the command.
pub async fn run(args: MappingsArgs) -> Outcome {
    let mut client = Client::new(&args.read.client.endpoint())?;
    if !args.watch {
        print(shown(&mut client, &args).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    until_left(watch(client, args)).await
}

/// Shows what has changed: in place of what was there on a terminal, else behind it. A server that goes away is waited for.
async fn watch(mut client: Client, args: MappingsArgs) -> Result<(), Failure> {
    let clear = if output::is_terminal(Out::Stdout) { "\x1b[H\x1b[2J" } else { "" };
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut former, mut away) = (None, Away::default());
    loop {
        looks.tick().await;
        let text = match shown(&mut client, &args).await {
            Ok(text) => text,
            // The first word with a server decides whether there is one.
            Err(failure) if former.is_some() && failure.code() == Code::NoServer => {
                away.lost(failure.text()).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        // Where each look wipes the one before, the table is what says that the server is back.
        let was_away = away.back();
        if was_away || former.as_ref() != Some(&text) {
            if print(format_args!("{clear}{text}"))? == Reader::Gone {
                return Ok(());
            }
            former = Some(text);
        }
    }
}

/// What is shown.
async fn shown(client: &mut Client, args: &MappingsArgs) -> Result<String, Failure> {
    let (page, text) = client.page::<MappingsPage>("/_admin/mappings").await?;
    Ok(match args.read.output {
        Output::Json => text,
        Output::Text if args.verbose => table(COLUMNS, rows(&page.mappings)),
        Output::Text => table(SUMMARY, page.mappings.iter().map(summary)),
    })
}

const SUMMARY: [&str; 8] = ["UUID", "TABLE", "FUNCTION", "STATE", "PENDING", "LAG", "PARKED", "LAST RESULT"];

/// Characters of a uuid that are shown: `tailrace parked` takes them.
pub const UUID_SHOWN: usize = 8;

/// A mapping in one line: what its shards do, together.
fn summary(mapping: &MappingStatus) -> [String; SUMMARY.len()] {
    let shards = || mapping.shards.iter();
    let state = match mapping.state {
        MappingState::Enabled => shards().map(|shard| shard.state).max_by_key(|state| rank(*state)),
        _ => None,
    };
    let state = state.map_or_else(|| mapping.state.as_str().to_owned(), |state| state.to_string());
    let pending: usize = shards().map(|shard| shard.pending_records).sum();
    let more = if shards().any(|shard| shard.pending_is_more) { "+" } else { "" };
    let parked: u64 = shards().map(|shard| shard.parked_records).sum();
    let error = shards().filter(|shard| !shard.state.is_over()).find_map(|shard| shard.last_error.as_deref());
    [
        mapping.uuid.chars().take(UUID_SHOWN).collect(),
        mapping.table.clone(),
        mapping.function.clone(),
        state,
        format!("{pending}{more}"),
        duration(shards().map(|shard| shard.lag).max().unwrap_or_default()),
        parked.to_string(),
        on_one_line(error.unwrap_or(&mapping.last_processing_result)),
    ]
}

/// What is shown of shards that do different things: what a person has to see first.
fn rank(state: ShardState) -> usize {
    const ORDER: [ShardState; 11] = [
        ShardState::StreamEnded,
        ShardState::Finished,
        ShardState::Elsewhere,
        ShardState::Waiting,
        ShardState::Idle,
        ShardState::Starting,
        ShardState::Invoking,
        ShardState::Queued,
        ShardState::Retrying,
        ShardState::Blocked,
        ShardState::Damaged,
    ];
    ORDER.iter().position(|known| *known == state).unwrap_or_default()
}

const COLUMNS: [&str; 10] =
    ["UUID", "TABLE", "FUNCTION", "SHARD", "STATE", "POSITION", "PENDING", "LAG", "PARKED", "LAST ERROR"];

fn rows(mappings: &[MappingStatus]) -> impl Iterator<Item = [String; COLUMNS.len()]> {
    let is_over = |shard: &ShardStatus| shard.state == ShardState::StreamEnded && shard.parked_records == 0;
    mappings.iter().flat_map(move |mapping| {
        let shards = mapping.shards.iter().filter(move |shard| !is_over(shard)).map(move |shard| row(mapping, shard));
        let rows: Vec<_> = shards.collect();
        let names = (&mapping.table, &mapping.function);
        let is_replaced = || {
            let others = mappings.iter().filter(|other| (&other.table, &other.function) == names);
            others.flat_map(|other| &other.shards).any(|shard| !is_over(shard))
        };
        if rows.is_empty() && !is_replaced() { vec![row_without_shard(mapping)] } else { rows }
    })
}

fn row_without_shard(mapping: &MappingStatus) -> [String; COLUMNS.len()] {
    let state = match mapping.state {
        MappingState::Enabled if !mapping.shards.is_empty() => ShardState::StreamEnded.to_string(),
        state => state.as_str().to_owned(),
    };
    let none = || "-".to_owned();
    let (uuid, table, function) = (mapping.uuid.clone(), mapping.table.clone(), mapping.function.clone());
    let why = on_one_line(&mapping.last_processing_result);
    [uuid, table, function, none(), state, none(), "0".to_owned(), none(), "0".to_owned(), why]
}

fn row(mapping: &MappingStatus, shard: &ShardStatus) -> [String; COLUMNS.len()] {
    let state = match mapping.state {
        MappingState::Enabled => shard.state.to_string(),
        state => state.as_str().to_owned(),
    };
    let error = on_one_line(shard.last_error.as_deref().unwrap_or("-"));
    [
        mapping.uuid.clone(),
        mapping.table.clone(),
        mapping.function.clone(),
        shard.shard_id.clone(),
        state,
        shard.position.clone(),
        format!("{}{}", shard.pending_records, if shard.pending_is_more { "+" } else { "" }),
        duration(shard.lag),
        shard.parked_records.to_string(),
        error,
    ]
}

/// A length of time, short.
pub fn duration(length: Duration) -> String {
    let ms = length.as_millis();
    match ms {
        0 => "-".to_owned(),
        1..=999 => format!("{ms}ms"),
        1_000..=59_999 => format!("{}s", ms / 1000),
        60_000..=3_599_999 => format!("{}m{}s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{}h{}m", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"{"mappings":[{"uuid":"0a1b","streamArn":"arn","table":"GameScores","function":"level-up",
        "state":"Enabled","lastProcessingResult":"PROBLEM: Function call failed","added":1,"shards":[
        {"shard":1,"shardId":"shardId-1","position":"100000000000000000007","state":"retrying","lagRecords":3,
         "lagIsMore":true,"lagMs":61000,"parked":0,"error":"KeyError:\n  'Score'","drained":false,"blocked":true},
        {"shard":2,"shardId":"shardId-2","position":"100000000000000000009","state":"stream ended","lagRecords":0,
         "lagIsMore":false,"lagMs":0,"parked":0,"drained":true,"blocked":false},
        {"shard":3,"shardId":"shardId-3","position":"100000000000000000009","state":"stream ended","lagRecords":0,
         "lagIsMore":false,"lagMs":0,"parked":2,"error":"parked: Damaged","drained":true,"blocked":false}]},
        {"uuid":"1b2c","streamArn":"arn","table":"GameScores","function":"level-up","state":"Enabled",
        "lastProcessingResult":"PROBLEM: the stream is disabled or its table was deleted","shards":[]},
        {"uuid":"2c3d","streamArn":"arn","table":"Gone","function":"watch","state":"Enabled",
        "lastProcessingResult":"PROBLEM: the stream is disabled or its table was deleted","shards":[
        {"shard":4,"shardId":"shardId-4","position":"100000000000000000009","state":"stream ended","lagRecords":0,
         "lagIsMore":false,"lagMs":0,"parked":0,"drained":true,"blocked":false}]}]}"#;

    #[test]
    fn a_mapping_is_one_line_that_shows_its_worst_shard() {
        let page: MappingsPage = serde_json::from_str(PAGE).unwrap();
        let expect = "\
UUID  TABLE       FUNCTION  STATE         PENDING  LAG   PARKED  LAST RESULT
0a1b  GameScores  level-up  retrying      3+       1m1s  2       KeyError: 'Score'
1b2c  GameScores  level-up  Enabled       0        -     0       PROBLEM: the stream is disabled or its table was deleted
2c3d  Gone        watch     stream ended  0        -     0       PROBLEM: the stream is disabled or its table was deleted
";
        assert_eq!(table(SUMMARY, page.mappings.iter().map(summary)) + "\n", expect);
    }

    #[test]
    fn the_table_lines_up_and_leaves_out_what_is_over() {
        let page: MappingsPage = serde_json::from_str(PAGE).unwrap();
        let expect = "\
UUID  TABLE       FUNCTION  SHARD      STATE         POSITION               PENDING  LAG   PARKED  LAST ERROR
0a1b  GameScores  level-up  shardId-1  retrying      100000000000000000007  3+       1m1s  0       KeyError: 'Score'
0a1b  GameScores  level-up  shardId-3  stream ended  100000000000000000009  0        -     2       parked: Damaged
2c3d  Gone        watch     -          stream ended  -                      0        -     0       PROBLEM: the stream is disabled or its table was deleted
";
        assert_eq!(table(COLUMNS, rows(&page.mappings)) + "\n", expect);
    }
}
