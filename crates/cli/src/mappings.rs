//! `tailrace mappings`: per mapping and shard the position, lag, state and last error.
//!
//! A shard of a stream that has ended and is read has no row, unless records of it are parked: nothing will ever come of it.
//! A mapping of which no shard is left has a row of its own, which says why nothing is delivered, unless another one of the
//! table and the function has taken its place.

use std::process::ExitCode;
use std::time::Duration;

use hyper::StatusCode;
use tailrace_mapping::{MappingState, MappingStatus, ShardState, ShardStatus};
use tailrace_server::MappingsPage;

use crate::Outcome;
use crate::args::{Output, ReadArgs};
use crate::client::Client;
use crate::say::{on_one_line, print};
use crate::table::table;

/// Runs the command.
pub async fn run(args: ReadArgs) -> Outcome {
    let mut client = Client::new(&args.client.endpoint())?;
    let (status, body) = client.get("/_admin/mappings").await?;
    let text = String::from_utf8_lossy(&body);
    // Another server that speaks the same API answers any path with a page of its own.
    let page = serde_json::from_slice::<MappingsPage>(&body).ok().filter(|_| status == StatusCode::OK);
    let page = page.ok_or_else(|| client.refused(status, &text))?;
    match args.output {
        Output::Json => print(&text)?,
        Output::Text => print(table(COLUMNS, rows(&page.mappings)))?,
    };
    Ok(ExitCode::SUCCESS)
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

fn duration(length: Duration) -> String {
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
