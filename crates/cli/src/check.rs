//! `tailrace check DIR`: verifies every byte of a data directory. It needs no right to write, and takes no lock.

use std::process::ExitCode;

use serde_json::json;
use tailrace_server::Code;

use crate::args::{CheckArgs, Output};
use crate::say::{Reader, print, say};
use crate::{Failure, Outcome};

/// Runs the command: each fault is a line on stdout, and any fault is exit code 1.
pub fn run(args: &CheckArgs) -> Outcome {
    let report = tailrace_server::check_offline(&args.dir)?;
    let faults = report.faults;
    if report.in_use {
        let dir = args.dir.display();
        say(format_args!("{dir}: in use by another process: what it changes meanwhile may look like a fault"));
    }
    for fault in &faults {
        let reader = match args.output {
            Output::Text => print(fault)?,
            Output::Json => print(json!({ "fault": fault }))?,
        };
        if reader == Reader::Gone {
            break;
        }
    }
    if faults.is_empty() {
        say(format_args!("{}: no fault found", args.dir.display()));
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(Code::FaultsFound, format_args!("{}: {} found", args.dir.display(), count(faults.len(), "fault"))))
}

/// `1 fault`, `2 faults`.
pub fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
