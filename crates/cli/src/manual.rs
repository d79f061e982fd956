//! `tailrace completions` and `tailrace man`: made from the definition of the command line, so that they never differ from it.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use tailrace_server::Code;

use crate::args::Cli;
use crate::say::{print, say};
use crate::{Failure, Outcome};

/// `tailrace completions SHELL`.
pub fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tailrace", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// `tailrace man DIR`: a page for the program and one for each command.
pub fn pages(dir: &Path) -> Outcome {
    let failed =
        |error: std::io::Error| Failure::new(Code::Setting, format_args!("cannot write {}: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), dir).map_err(failed)?;
    say(format_args!(
        "man pages are in {}; man -l {} shows the first",
        dir.display(),
        dir.join("tailrace.1").display()
    ));
    Ok(ExitCode::SUCCESS)
}
