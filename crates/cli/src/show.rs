//! Shows what happens in a server: functions' output on stdout, everything else on stderr.

use std::io::Write;

use tailrace_lambda::LogStream;
use tailrace_server::Event;

use crate::check::count;

/// Shows an event. False: the reader of stdout has gone.
pub fn event(event: &Event) -> bool {
    match event {
        Event::Log(line) => {
            let mut shown = true;
            for text in line.text.split('\n') {
                match line.stream {
                    LogStream::Stdout => {
                        let mut stdout = std::io::stdout().lock();
                        shown &= writeln!(stdout, "[{}] {text}", line.function).and_then(|()| stdout.flush()).is_ok();
                    }
                    LogStream::Stderr | LogStream::Notice => eprintln!("[{}] {text}", line.function),
                }
            }
            shown
        }
        Event::Batch { function, shard, records, error: None } => {
            eprintln!("{} of shard {shard} delivered to {function}", count(*records, "record"));
            true
        }
        Event::Batch { function, shard, records, error: Some(error) } => {
            eprintln!("{} of shard {shard} failed in {function}: {error}", count(*records, "record"));
            true
        }
        Event::Notice(text) => {
            eprintln!("{text}");
            true
        }
    }
}
