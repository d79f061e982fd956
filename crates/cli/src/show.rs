//! Shows what happens in a server: functions' output on stdout, everything else on stderr.
//!
//! A server serves whether anyone watches or not: a line that cannot be written is dropped, and the next one is tried
//! again (a disk may have room again). The loss of one of the two ways out never silences the other.

use std::fmt::Display;

use tailrace_lambda::LogStream;
use tailrace_server::Event;

use crate::check::count;
use crate::say::{print, say};

/// Shows an event.
pub fn event(event: &Event) {
    match event {
        Event::Log(line) => {
            for text in line.text.split('\n') {
                match line.stream {
                    LogStream::Stdout => data(format_args!("[{}] {text}", line.function)),
                    LogStream::Stderr | LogStream::Notice => say(format_args!("[{}] {text}", line.function)),
                }
            }
        }
        Event::Batch { function, shard, records, error: None } => {
            say(format_args!("{} of {shard} delivered to {function}", count(*records, "record")));
        }
        Event::Batch { function, shard, records, error: Some(error) } => {
            say(format_args!("{} of {shard} failed in {function}: {error}", count(*records, "record")));
        }
        Event::Notice(text) => say(text),
    }
}

/// Shows a line of data of a server.
pub fn data(line: impl Display) {
    let _ = print(line);
}
