//! How much is said, and in which colours: `--quiet`, `--color`, `NO_COLOR`.
//!
//! What it does not do: it writes nothing.

use std::borrow::Cow;
use std::sync::OnceLock;

use clap::ValueEnum;

use crate::output::{self, Out};

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal that knows them, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

static CHOSEN: OnceLock<(bool, Color)> = OnceLock::new();

/// What the command line asks for; before it, talk without colours but on a terminal.
pub fn choose(quiet: bool, color: Color) {
    let _ = CHOSEN.set((quiet, color));
}

/// Only errors are said.
pub fn is_quiet() -> bool {
    CHOSEN.get().is_some_and(|(quiet, _)| *quiet)
}

/// Whether there are colours on this way out.
pub fn colours(out: Out) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    let no_color = is_dumb || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    CHOSEN.get().map(|(_, color)| *color).unwrap_or_default().is_shown(no_color, output::is_terminal(out))
}

impl Color {
    fn is_shown(self, no_color: bool, terminal: bool) -> bool {
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => !no_color && terminal,
        }
    }
}

/// A text of stderr that something is wrong in.
pub fn wrong(text: &str) -> Cow<'_, str> {
    painted(text, "31")
}

/// A text of stderr that is to be seen first.
pub fn strong(text: &str) -> Cow<'_, str> {
    painted(text, "1")
}

fn painted<'a>(text: &'a str, code: &str) -> Cow<'a, str> {
    match colours(Out::Stderr) {
        true => Cow::Owned(format!("\x1b[{code}m{text}\x1b[0m")),
        false => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_colours_unless_no_color_is_set_and_the_flag_decides_before_both() {
        assert!(Color::Auto.is_shown(false, true));
        assert!(!Color::Auto.is_shown(true, true));
        assert!(!Color::Auto.is_shown(false, false));
        assert!(Color::Always.is_shown(true, false));
        assert!(!Color::Never.is_shown(false, true));
    }
}
