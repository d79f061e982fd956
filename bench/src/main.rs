//! `tailrace-bench`: measures the budgets on the real binary, over HTTP, with the load generator beside it, and each rate
//! beside that of a bare HTTP server measured in the same run.

mod bare;
mod cost;
mod cpu;
mod functions;
mod generator;
mod histogram;
mod lines;
mod mappings;
mod process;
mod report;
mod search;
mod service;
mod sinks;
mod suite;
mod tables;
mod target;
mod zoo;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measure the budgets of Tailrace.
#[derive(Debug, Parser)]
struct Cli {
    /// A part of the bench that runs as a process of its own
    #[command(subcommand)]
    part: Option<Part>,
    /// The server's binary; a release build
    #[arg(long, default_value = "target/release/tailrace")]
    binary: PathBuf,
    /// Where data directories are made; on the disk that is to be measured
    #[arg(long, default_value = ".")]
    scratch: PathBuf,
    /// Seconds for each rate
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rounds; the figures are medians of them
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also with 10 million keys
    #[arg(long)]
    long: bool,
    /// Keys of the long form
    #[arg(long, default_value_t = 10_000_000)]
    items: u64,
    /// Without the lines that run functions, in Python and Node.js
    #[arg(long)]
    no_functions: bool,
    /// The program that starts PostgreSQL and OpenSearch for their lines, as `cargo xtask bench` gives it
    #[arg(long, value_name = "PROGRAM")]
    services: Option<PathBuf>,
    /// A PostgreSQL that runs already, postgres://...; its tables tailrace_bench and tailrace_bench_cost are filled
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// An OpenSearch that runs already, opensearch+http://...; its indexes tailrace-bench-v1 and tailrace-bench-plain are filled
    #[arg(long, value_name = "URL")]
    search: Option<String>,
    /// Without the lines that need this server
    #[arg(long, value_enum, value_delimiter = ',', value_name = "SERVER")]
    without: Vec<suite::Without>,
    /// Just the lines whose name contains this, and what they are held against
    #[arg(long)]
    only: Option<String>,
    /// Also write the report here
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The bare HTTP server
    Bare {
        /// Port
        #[arg(long)]
        port: u16,
    },
    /// What takes everything that sinks send, at once
    Target {
        /// Port of its HTTP
        #[arg(long)]
        port: u16,
        /// Port of its mails
        #[arg(long)]
        mail_port: u16,
    },
    /// One kind of load on a server that runs already, for a profiler to look at
    Load {
        /// The server's port on 127.0.0.1
        #[arg(long)]
        port: u16,
        /// What to send
        #[arg(long, value_enum)]
        operation: suite::Operation,
        /// Connections
        #[arg(long, default_value_t = 16)]
        connections: usize,
        /// Seconds
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Keys of the table
        #[arg(long, default_value_t = suite::SMALL_KEYS)]
        keys: u64,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tailrace-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> std::io::Result<()> {
    match cli.part {
        Some(Part::Bare { port }) => return bare::serve(port),
        Some(Part::Target { port, mail_port }) => return target::serve(port, mail_port),
        Some(Part::Load { port, operation, connections, seconds, keys }) => {
            let measure = suite::load(port, operation, connections, keys, Duration::from_secs_f64(seconds))?;
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| measure.latency.percentile_ms(share));
            let (max, stall) = (measure.latency.max_ms(), measure.stall_ms);
            println!(
                "{:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms, longest stall {stall:.2} ms",
                measure.rate
            );
            return Ok(());
        }
        None => {}
    }
    let plan = suite::Plan {
        binary: cli.binary,
        scratch: cli.scratch.canonicalize()?,
        rounds: cli.rounds,
        time: Duration::from_secs_f64(cli.seconds),
        long_items: cli.long.then_some(cli.items),
        functions: !cli.no_functions,
        services: service::Services { program: cli.services, postgres: cli.postgres, search: cli.search },
        without: cli.without,
        only: cli.only,
    };
    let command = std::env::args().collect::<Vec<_>>().join(" ");
    let (lines, failures) = suite::run(&plan);
    let report = report::Report { command, machine: report::machine(), lines };
    print!("{}", report.table());
    if let Some(path) = cli.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    // A budget that is missed is told and no more: rates are the machine's, too.
    match failures {
        0 => Ok(()),
        count => Err(std::io::Error::other(format!("{count} lines could not be measured"))),
    }
}
