//! The two ways out: talk on stderr, data on stdout.
//!
//! Nothing else in this crate writes to either (the lints of the crate see to it): `eprintln!` and `println!` panic when
//! the other end of a pipe is gone or a disk is full, and wait for a reader that stands still; and what the user no longer
//! reads must never stop a server. See [`crate::output`] for what happens then.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;

use tailrace_core::limits::LAST_WORDS;
use tailrace_server::Code;
use tokio::io::Interest;
use tokio::net::unix::pipe;

use crate::output::{self, Out};
use crate::{Failure, style};

/// Who still reads stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The line was taken.
    There,
    /// The pipe is closed: the reader has had enough, which is no fault.
    Gone,
}

/// Tells the user something, as one line on stderr. Whether anyone hears it makes no difference; with `--quiet` nobody does.
pub fn say(text: impl Display) {
    if !style::is_quiet() {
        complain(text);
    }
}

/// As [`say`], of what is wrong: `--quiet` does not silence it.
pub fn complain(text: impl Display) {
    output::offer(Out::Stderr, text.to_string());
}

/// Says why the process ends, and waits until everything is said, though not for long.
pub fn last_words(text: impl Display) {
    output::force(Out::Stderr, text.to_string());
    output::flush(LAST_WORDS);
}

/// Writes a line of data to stdout; waits for the reader. Not for a server.
///
/// # Errors
/// The line cannot be written, though someone is there to read: a full disk.
pub fn print(line: impl Display) -> Result<Reader, Failure> {
    match output::write(Out::Stdout, line.to_string()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(Code::Stdout, format_args!("cannot write to stdout: {error}"))),
    }
}

/// What the libraries below log: one event a write, and each a line on stderr.
pub struct Events;

impl Write for Events {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        complain(String::from_utf8_lossy(event.strip_suffix(b"\n").unwrap_or(event)));
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Resolves when nobody reads stdout any more, without a line to try it with. Never for what has no reader: a file.
pub async fn reader_gone() {
    // Only waited on, never written through: it may stay as blocking as it is.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().and_then(pipe::Sender::from_owned_fd_unchecked);
    match stdout {
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// A text of someone else's as part of one line: its line breaks are not ours, nor what it tells the terminal to do.
pub fn on_one_line(text: impl Display) -> String {
    let mut joined = String::new();
    for line in text.to_string().lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() && !joined.is_empty() {
            joined.push_str(if joined.ends_with([':', ';', ',']) { " " } else { "; " });
        }
        joined.push_str(&line);
    }
    printable(&joined).into_owned()
}

/// A text of someone else's, without what a terminal would obey: a control character is shown by its code, tabs aside, and so is what
/// turns the direction of the text around it.
pub fn printable(text: &str) -> Cow<'_, str> {
    let turns = |character: char| matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_obeyed = |character: char| (character.is_control() && character != '\t') || turns(character);
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_obeyed(character) {
            shown.push_str(&format!("\\x{:02x}", u32::from(character)));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_by_its_code() {
        for (text, shown) in [
            ("plain\ttext \u{e9}\u{1f600}", "plain\ttext \u{e9}\u{1f600}"),
            ("\u{1b}[31mred\u{1b}[0m", "\\x1b[31mred\\x1b[0m"),
            ("\u{1b}]0;title\u{7}", "\\x1b]0;title\\x07"),
            ("txt\u{202e}exe", "txt\\x202eexe"),
            ("over\rwritten\u{8}\u{9b}2J\u{7f}", "over\\x0dwritten\\x08\\x9b2J\\x7f"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(on_one_line("two\n\n  lines \u{1b}c\n"), "two; lines \\x1bc");
        assert_eq!(on_one_line("it failed:\nwhy"), "it failed: why");
    }
}
