//! Shows what happens in a server: functions' output on stdout, everything else on stderr.
//!
//! A server serves whether anyone watches or not: a line that cannot be written, or that nobody reads in time, is dropped
//! and counted, and the next one is tried again (a disk may have room again). The loss of one of the two ways out never
//! silences the other.

use std::fmt::Display;

use tailrace_lambda::LogStream;
use tailrace_server::Event;

use crate::check::count;
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
        Event::Batch { function, shard, records, failed, error: Some(error) } if failed < records => {
            style::wrong(&format!(
                "{failed} of {} of {shard} failed in {function}: {}",
                count(*records, "record"),
                on_one_line(error)
            ))
            .into_owned()
        }
        Event::Batch { function, shard, records, error: Some(error), .. } => {
            let text = format!("{} of {shard} failed in {function}: {}", count(*records, "record"), on_one_line(error));
            style::wrong(&text).into_owned()
        }
        Event::Notice(text) => text.clone(),
    };
    output::send(Out::Stderr, text).await;
}

/// Shows a line of data of a server.
pub fn data(line: impl Display) {
    output::offer(Out::Stdout, line.to_string());
}
