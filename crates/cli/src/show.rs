//! Shows what happens in a server: functions' output on stdout, everything else on stderr.
//!
//! A server serves whether anyone watches or not: a line that cannot be written, or that nobody reads in time, is dropped
//! and counted, and the next one is tried again (a disk may have room again). The loss of one of the two ways out never
//! silences the other.

use std::fmt::Display;

use tailrace_engine::streams::label;
use tailrace_lambda::LogStream;
use tailrace_mapping::Retry;
use tailrace_server::Event;

use crate::check::count;
use crate::mappings::UUID_SHOWN;
use crate::output::{self, Out};
use crate::say::{on_one_line, printable};
use crate::style;

/// Shows an event. A reader that is merely slow holds it up for a moment, so that nothing is lost.
pub async fn event(event: &Event) {
    let text = match event {
        Event::Log(line) => {
            let out = match line.stream {
                LogStream::Stdout => Out::Stdout,
                LogStream::Stderr | LogStream::Notice => Out::Stderr,
                // For the log: here it would be noise around each line.
                LogStream::Platform => return,
            };
            for text in line.text.split('\n') {
                // A terminal obeys what it is told; a file and a pipe get what the function wrote.
                let text = if output::is_terminal(out) { printable(text) } else { text.into() };
                output::send(out, format!("[{}] {text}", line.function)).await;
            }
            return;
        }
        Event::Batch { function, shard, records, error: None, .. } => {
            format!("{} of {shard} delivered to {function}", count(*records, "record"))
        }
        Event::Batch { mapping, function, table, shard, records, failed, error: Some(error), retry } => {
            let of = count(*records, "record");
            let what = if failed < records { format!("{failed} of {of}") } else { of };
            let mapping: String = mapping.chars().take(UUID_SHOWN).collect();
            let text =
                format!("{what} of {table} ({shard}, mapping {mapping}) failed in {function}: {}", on_one_line(error));
            let again = retry.as_ref().map(again).unwrap_or_default();
            format!("{}{again}", style::wrong(&text))
        }
        Event::Flush { sink, table, records, error: None } => {
            format!("{} of {table} delivered to {sink}", count(*records, "record"))
        }
        Event::Flush { sink, table, records, error: Some(error) } => {
            let what = count(*records, "record");
            style::wrong(&format!("{what} of {table} not delivered to {sink}, tried again: {}", on_one_line(error)))
                .to_string()
        }
        // There is a handler's error in some.
        Event::Notice(text) => on_one_line(text),
    };
    output::send(Out::Stderr, text).await;
}

/// When a failed batch is tried again, behind its error.
fn again(retry: &Retry) -> String {
    let instant = label::text(retry.at_ms);
    // The day is today's.
    let time = instant.split('T').next_back().unwrap_or_default();
    format!("; tried again in {:.1} s, at {time}Z", retry.after.as_secs_f64())
}

/// Shows a line of data of a server.
pub fn data(line: impl Display) {
    output::offer(Out::Stdout, line.to_string());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tailrace_core::EpochMs;

    use super::*;

    #[test]
    fn the_next_try_is_told_by_its_time() {
        let retry = Retry { at_ms: EpochMs(1_785_499_201_623), after: Duration::from_millis(1_520) };
        assert_eq!(again(&retry), "; tried again in 1.5 s, at 12:00:01.623Z");
    }
}
