//! `tailrace mappings`: per mapping and shard the position, lag, state and last error.

use std::process::ExitCode;

use hyper::StatusCode;
use serde::Deserialize;
use tailrace_server::{MappingReport, ShardReport};

use crate::Outcome;
use crate::args::{Output, ReadArgs};
use crate::client::Client;
use crate::say::{on_one_line, print};
use crate::table::table;

#[derive(Deserialize)]
struct Page {
    mappings: Vec<MappingReport>,
}

/// Runs the command.
pub async fn run(args: ReadArgs) -> Outcome {
    let mut client = Client::new(&args.client.endpoint())?;
    let (status, body) = client.get("/_admin/mappings").await?;
    let text = String::from_utf8_lossy(&body);
    // Another server that speaks the same API answers any path with a page of its own.
    let page = serde_json::from_slice::<Page>(&body).ok().filter(|_| status == StatusCode::OK);
    let page = page.ok_or_else(|| client.refused(status, &text))?;
    match args.output {
        Output::Json => print(&text)?,
        Output::Text => print(table(COLUMNS, rows(&page.mappings)))?,
    };
    Ok(ExitCode::SUCCESS)
}

const COLUMNS: [&str; 9] =
    ["TABLE", "FUNCTION", "SHARD", "STATE", "POSITION", "PENDING", "LAG", "PARKED", "LAST ERROR"];

fn rows(mappings: &[MappingReport]) -> impl Iterator<Item = [String; COLUMNS.len()]> {
    mappings.iter().flat_map(|mapping| mapping.shards.iter().map(move |shard| row(mapping, shard)))
}

fn row(mapping: &MappingReport, shard: &ShardReport) -> [String; COLUMNS.len()] {
    let state = if mapping.state == "Enabled" { shard.state.clone() } else { mapping.state.clone() };
    let error = on_one_line(shard.last_error.as_deref().unwrap_or("-"));
    [
        mapping.table.clone(),
        mapping.function.clone(),
        shard.shard_id.clone(),
        state,
        shard.position.clone(),
        format!("{}{}", shard.pending_records, if shard.pending_is_more { "+" } else { "" }),
        duration(shard.lag_ms),
        shard.parked_records.to_string(),
        error,
    ]
}

fn duration(ms: u64) -> String {
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

    #[test]
    fn the_table_lines_up() {
        let shard = ShardReport {
            shard_id: "shardId-1".into(),
            position: "100000000000000000007".into(),
            state: "retrying".into(),
            pending_records: 3,
            pending_is_more: true,
            lag_ms: 61_000,
            parked_records: 0,
            last_error: Some("KeyError:\n  'Score'".into()),
            blocked: true,
            drained: false,
        };
        let mapping = MappingReport {
            uuid: "u".into(),
            stream_arn: "arn".into(),
            table: "GameScores".into(),
            function: "level-up".into(),
            state: "Enabled".into(),
            last_processing_result: "PROBLEM: Function call failed".into(),
            shards: vec![shard],
        };
        let expect = "\
TABLE       FUNCTION  SHARD      STATE     POSITION               PENDING  LAG   PARKED  LAST ERROR
GameScores  level-up  shardId-1  retrying  100000000000000000007  3+       1m1s  0       KeyError: 'Score'
";
        assert_eq!(table(COLUMNS, rows(&[mapping])) + "\n", expect);
    }
}
