//! The command line `tailrace`. Data goes to stdout, talk to stderr.
//!
//! Exit codes: 0 done; 1 could not (one line says why, with a code that `docs/errors/` explains); 2 the command line is wrong; 3 `up --exit-when-drained` ended
//! with a shard that a failing record, or a function that cannot be invoked, blocks.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod audit;
mod bar;
mod check;
mod client;
mod data;
mod deliveries;
mod delivery_streams;
mod diff;
mod failure;
mod follow;
mod healthcheck;
mod init;
mod logs;
mod manual;
mod mappings;
mod output;
mod parked;
mod picture;
mod plain;
mod play;
mod project;
mod run;
mod say;
mod show;
mod signals;
mod sinks;
mod sinks_watch;
mod style;
mod table;
mod tail;
mod template_args;
mod watch;

use std::process::ExitCode;

use args::Command;
use clap::Parser;
pub use failure::Failure;
use tailrace_core::limits::LAST_WORDS;
use tailrace_server::Code;

/// A write's memory is taken on one thread and given back on another, among buffers of kilobytes: at each of those the C library's
/// allocator gathers all its small free pieces, which took a seventh of the processor time of a PutItem.
#[global_allocator]
static ALLOCATOR: tailrace_server::Allocator = tailrace_server::Allocator;

/// Stack of a thread that runs requests. A request's JSON may nest 2,000 levels, and a build without optimisation takes
/// about a kilobyte for each.
pub(crate) const STACK_BYTES: usize = 8 * 1024 * 1024;

/// What a command ends with.
pub type Outcome = Result<ExitCode, Failure>;

/// The process: reads its command line, and ends with what the command ends with.
pub fn main() -> ExitCode {
    let args::Cli { command, quiet, color } = args::Cli::parse();
    style::choose(quiet, color);
    std::panic::set_hook(Box::new(tell_panic));
    if matches!(command, Command::Up(_) | Command::Serve(_)) {
        // Before there is another thread: each has it from the one that started it.
        tailrace_priority::of_server();
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.enable_all().thread_stack_size(STACK_BYTES).build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::new(Code::System, error)),
    };
    let outcome = runtime.block_on(async {
        match command {
            Command::Up(args) => run::up(args).await,
            Command::Serve(args) => run::serve(args).await,
            Command::Tail(args) => tail::run(args).await,
            Command::Mappings(args) => mappings::run(args).await,
            Command::Sinks(args) => sinks::run(args).await,
            Command::DeliveryStreams(args) => delivery_streams::run(args).await,
            Command::Config(command) => sinks::config(&command),
            Command::Parked(args) => parked::run(args).await,
            Command::Logs(args) => logs::run(args).await,
            Command::Init(args) => init::run(&args),
            Command::Tables(args) => data::tables(args).await,
            Command::Query(args) => data::query(args).await,
            Command::Put(args) => data::put(args).await,
            Command::Invoke(args) => data::invoke(args).await,
            Command::Completions { shell } => manual::completions(shell),
            Command::Man { dir } => manual::pages(&dir),
            Command::Healthcheck(args) => healthcheck::run(args).await,
            Command::Check(args) => check::run(&args),
            Command::Audit(args) => audit::run(args).await,
        }
    });
    // Whatever still runs (a read of a client that never ends) must not hold up the exit.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => {
            output::flush(LAST_WORDS);
            code
        }
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    say::last_words(format_args!("tailrace: {failure}"));
    ExitCode::FAILURE
}

/// As the standard library would, but for the wait for a reader of stderr.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let text = format!("thread '{}' {panic}", thread.name().unwrap_or("unnamed"));
    let trace = std::backtrace::Backtrace::capture();
    let text = match trace.status() {
        std::backtrace::BacktraceStatus::Captured => format!("{text}\n{trace}"),
        _ => text,
    };
    // The main thread's panic ends the process.
    if thread.name() == Some("main") { say::last_words(text) } else { say::complain(text) }
}
