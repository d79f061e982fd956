//! How far a sink is that was told to begin anew, to replay or to retry: one line that changes on a terminal, with a bar; a line for each
//! state elsewhere.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tailrace_server::Code;
use tailrace_server::sinks::SinkRequest;
use tailrace_sinks::runtime::{Changed, SinkState, SinkStatus, SourceStatus};

use crate::bar::bar;
use crate::client::{Client, DYNAMODB};
use crate::output::{self, Out};
use crate::say::say;
use crate::signals::Signals;
use crate::sinks::{page, word};
use crate::{Failure, Outcome};

/// Between two looks at a sink.
const LOOK: Duration = Duration::from_millis(500);

/// The line that is shown.
struct Line {
    in_place: bool,
    shown: Option<String>,
}

impl Line {
    fn new() -> Line {
        Line { in_place: output::is_terminal(Out::Stderr), shown: None }
    }

    fn show(&mut self, text: String) {
        if let Some(written) = self.next(text) {
            say(written);
        }
    }

    /// What is to be written for a text; nothing if it is there.
    fn next(&mut self, text: String) -> Option<String> {
        if self.shown.as_ref() == Some(&text) {
            return None;
        }
        // What is above the first one is somebody else's.
        let over = if self.in_place && self.shown.is_some() { "\x1b[1A\x1b[2K" } else { "" };
        let written = format!("{over}{text}");
        self.shown = Some(text);
        Some(written)
    }
}

/// What is known of a sink's way.
#[derive(Default)]
struct Way {
    /// Items of its tables; a number that grows old.
    items: u64,
    /// Most records that it was behind.
    behind: u64,
    /// Where no line is written over: states alone, and no number that would be a line each time it moves.
    states: bool,
}

impl Way {
    /// How far it is, in words.
    fn told(&mut self, sink: &SinkStatus) -> String {
        let name = &sink.name;
        let now = sink.building.as_deref().unwrap_or(sink);
        let items: u64 = now.sources.iter().filter_map(|source| source.snapshot_items).sum();
        self.behind = self.behind.max(now.lag_records);
        match now.state {
            SinkState::Snapshot if self.states => format!("{name}: snapshot"),
            SinkState::Snapshot => {
                let all = self.items.max(items);
                format!("{name}: snapshot {} {items} of {all} items", bar(items, all))
            }
            _ if now.is_starting() => format!("{name}: starting"),
            state => {
                let reason = now.reason.as_ref().or(now.last_error.as_ref());
                let reason = reason.map(|text| format!(": {text}")).unwrap_or_default();
                let state = word(state);
                match now.lag_records {
                    0 if !now.sources.iter().all(has_begun) => format!("{name}: {state}, it begins{reason}"),
                    0 => format!("{name}: {state}, 0 records behind{reason}"),
                    _ if self.states => format!("{name}: {state}, records behind{reason}"),
                    lag => {
                        let (done, all) = (self.behind - lag, self.behind);
                        format!("{name}: {state} {} {done} of {all} records{reason}", bar(done, all))
                    }
                }
            }
        }
    }
}

async fn look(client: &mut Client, name: &str) -> Result<SinkStatus, Failure> {
    let (page, _) = page(client).await?;
    let found = page.sinks.into_iter().find(|sink| sink.name == name);
    found.ok_or_else(|| Failure::new(Code::Refused, format_args!("there is no sink {name}")))
}

/// Items of the tables of a sink, as far as that is known.
async fn items(client: &mut Client, sink: &SinkStatus) -> u64 {
    let mut items = 0;
    for source in &sink.sources {
        let described = client.call(DYNAMODB, "DescribeTable", &json!({ "TableName": source.table })).await;
        items += described.ok().and_then(Result::ok).and_then(|all| all["Table"]["ItemCount"].as_u64()).unwrap_or(0);
    }
    items
}

/// Shows how far a sink is until it has caught up.
pub async fn watch(client: &mut Client, name: &str) -> Outcome {
    let mut signals = Signals::listen()?;
    let mut line = Line::new();
    let mut way = Way { states: !line.in_place, ..Way::default() };
    let sink = look(client, name).await?;
    way.items = items(client, &sink).await;
    loop {
        let sink = look(client, name).await?;
        line.show(way.told(&sink));
        if sink.state == SinkState::Paused {
            say(format_args!("{name}: it begins when it is resumed"));
            return Ok(ExitCode::SUCCESS);
        }
        if has_caught_up(&sink) {
            say(format_args!("{name}: version {} has caught up", sink.version));
            return Ok(ExitCode::SUCCESS);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = signals.next() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Retries what was set aside, and shows how far it is: `looks` asks beside `client`, which waits for the answer.
pub async fn retry(client: &mut Client, looks: &mut Client, request: &SinkRequest) -> Result<Changed, Failure> {
    let name = &request.name;
    let (mut line, mut all) = (Line::new(), 0);
    let retried = client.ask("/_admin/sinks", request);
    tokio::pin!(retried);
    loop {
        tokio::select! {
            retried = &mut retried => return retried,
            () = tokio::time::sleep(LOOK) => {}
        }
        // Whoever is told nothing is told what came of it.
        let Ok(sink) = look(looks, name).await else { continue };
        all = all.max(sink.parked);
        let done = all - sink.parked;
        line.show(match line.in_place {
            true => format!("{name}: retrying {} {done} of {all} records", bar(done, all)),
            false => format!("{name}: retrying"),
        });
    }
}

fn has_begun(source: &SourceStatus) -> bool {
    source.waits_for.is_none() && source.snapshot_items.is_none() && !source.shards.is_empty()
}

/// Everything is at the target, and the target shows it.
fn has_caught_up(sink: &SinkStatus) -> bool {
    sink.building.is_none()
        && !sink.swapping
        && sink.state == SinkState::Running
        && sink.lag_records == 0
        && sink.sources.iter().all(has_begun)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sinks::tests::status;

    #[test]
    fn a_sink_has_caught_up_when_its_target_shows_it() {
        let shown = status("");
        assert!(has_caught_up(&shown));
        assert!(!has_caught_up(&SinkStatus { swapping: true, ..shown }));
    }

    #[test]
    fn nothing_is_written_over_but_what_was_written_here() {
        let mut line = Line { in_place: true, shown: None };
        let written = ["a", "a", "b"].map(|text| line.next(text.to_owned()));
        assert_eq!(written, [Some("a".to_owned()), None, Some("\x1b[1A\x1b[2Kb".to_owned())]);
        let mut line = Line { in_place: false, shown: None };
        assert_eq!(["a", "b"].map(|text| line.next(text.to_owned())), [Some("a".to_owned()), Some("b".to_owned())]);
    }

    #[test]
    fn elsewhere_than_on_a_terminal_states_alone_are_told() {
        let mut way = Way { items: 100, states: true, ..Way::default() };
        let mut line = Line { in_place: false, shown: None };
        let snapshot =
            |items: u64| SinkStatus { state: SinkState::Snapshot, ..status(&format!("\"snapshotItems\":{items},")) };
        let behind = |lag_records: u64| SinkStatus { lag_records, ..status("") };
        let seen = [snapshot(10), snapshot(50), behind(40), behind(10), behind(0)];
        let written: Vec<String> = seen.iter().filter_map(|sink| line.next(way.told(sink))).collect();
        assert_eq!(
            written,
            ["search: snapshot", "search: running, records behind", "search: running, 0 records behind"]
        );
    }

    #[test]
    fn a_way_has_a_bar_of_what_is_done() {
        let mut way = Way { items: 100, ..Way::default() };
        let snapshot = SinkStatus { state: SinkState::Snapshot, ..status("\"snapshotItems\":50,") };
        assert_eq!(way.told(&snapshot), "search: snapshot [###############---------------]  50% 50 of 100 items");
        let begins =
            SinkStatus { state: SinkState::Waiting, reason: Some("it has not begun".to_owned()), ..status("") };
        assert_eq!(way.told(&begins), "search: starting");
        let behind = |lag_records: u64| SinkStatus { lag_records, ..status("") };
        assert_eq!(way.told(&behind(40)), "search: running [------------------------------]   0% 0 of 40 records");
        assert_eq!(way.told(&behind(10)), "search: running [######################--------]  75% 30 of 40 records");
        assert_eq!(way.told(&behind(0)), "search: running, 0 records behind");
        // No shard is read yet.
        let mut begins = status("");
        begins.sources[0].shards.clear();
        assert_eq!(way.told(&begins), "search: running, it begins");
    }
}
