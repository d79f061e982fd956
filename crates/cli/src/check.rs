//! `tailrace check DIR`: verifies every byte of a data directory that no server uses.

use std::process::ExitCode;

use crate::args::CheckArgs;
use crate::{Failure, Outcome};

/// Runs the command: each fault is a line on stdout, and any fault is exit code 1.
pub fn run(args: &CheckArgs) -> Outcome {
    let faults = tailrace_server::check_offline(&args.dir).map_err(Failure)?;
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        eprintln!("{}: no fault found", args.dir.display());
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure(format!("{}: {} found", args.dir.display(), count(faults.len(), "fault"))))
}

/// `1 fault`, `2 faults`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
