//! `tailrace up` and `tailrace serve`: a server in this process, until it is told to stop.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tailrace_server::clock::{SystemClock, SystemRng};
use tailrace_server::mappings::Progress;
use tailrace_server::{Config, Event, Server, template};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::{ServerArgs, UpArgs};
use crate::client::Client;
use crate::{Failure, Outcome, play, show};

/// Events that wait to be shown. A terminal that stands still holds up functions for a bounded time, and nothing else.
const EVENTS_QUEUED_MAX: usize = 1024;

/// `up --exit-when-drained` ended with a shard that a failing record blocks.
const EXIT_BLOCKED: u8 = 3;

/// `up --exit-when-drained` ended with everything processed but for records that were given up.
const EXIT_PARKED: u8 = 4;

/// `tailrace serve`.
pub async fn serve(args: ServerArgs) -> Outcome {
    log_to_stderr();
    let config = args.config(Path::new(".tailrace"))?;
    let (server, shower) = start(config).await?;
    eprintln!("listening on http://{}", server.address());
    stop_signal().await?;
    stop(server, shower).await?;
    Ok(ExitCode::SUCCESS)
}

/// `tailrace up`.
pub async fn up(args: UpArgs) -> Outcome {
    log_to_stderr();
    std::fs::read_dir(&args.dir).map_err(|e| Failure(format!("cannot read {}: {e}", args.dir.display())))?;
    let mut config = args.server.config(&args.dir.join(".tailrace"))?;
    if config.template.is_none() {
        config.template = Some(template::find(&args.dir)?);
    }
    let environment = config.clone();
    let (server, shower) = start(config).await?;
    eprintln!("listening on http://{}; point any AWS SDK or CLI at it with:", server.address());
    print_environment(&environment, server.address().port())?;

    let drained = async {
        let writes = args.dir.join(play::FILE_NAME);
        if writes.exists() {
            let endpoint = environment.client_environment(server.address().port()).swap_remove(0).1;
            let sent = play::play(&writes, &mut Client::new(&endpoint)?, server.db()).await?;
            if sent > 0 {
                eprintln!("played {sent} writes from {}", writes.display());
            }
        }
        if !args.exit_when_drained {
            return std::future::pending().await;
        }
        wait_until_drained(&server).await
    };
    let ended = tokio::select! {
        ended = drained => ended,
        signal = stop_signal() => signal.map(|()| Ended { code: ExitCode::SUCCESS, parked: 0 }),
    };
    stop(server, shower).await?;
    let Ended { code, parked } = ended?;
    // Behind everything else that there is to say.
    match parked {
        0 => {}
        1 => eprintln!("1 record parked (tailrace parked shows it)"),
        _ => eprintln!("{parked} records parked (tailrace parked shows them)"),
    }
    Ok(code)
}

/// How the wait for a drain ended.
struct Ended {
    code: ExitCode,
    /// Records that were given up.
    parked: u64,
}

async fn start(config: Config) -> Result<(Server, tokio::task::JoinHandle<()>), Failure> {
    let (events, receiver) = mpsc::channel(EVENTS_QUEUED_MAX);
    let shower = tokio::spawn(show_all(receiver));
    let rng = Arc::new(SystemRng::open()?);
    let server = Server::start(config, Arc::new(SystemClock::default()), rng, events).await?;
    Ok((server, shower))
}

/// Shows events until the server is gone; when nobody reads stdout any more it goes on taking them, so that the
/// server is not held up.
async fn show_all(mut events: mpsc::Receiver<Event>) {
    let mut reader = true;
    while let Some(event) = events.recv().await {
        if reader {
            reader = show::event(&event);
        }
    }
}

async fn stop(server: Server, shower: tokio::task::JoinHandle<()>) -> Result<(), Failure> {
    let stopped = tokio::select! {
        stopped = server.stop() => stopped.map_err(Failure),
        again = stop_signal() => again.and(Err(Failure("interrupted while stopping".to_owned()))),
    };
    // Everything that was to be shown has been sent by now; senders that linger must not hold up the exit.
    let _ = tokio::time::timeout(Duration::from_secs(1), shower).await;
    stopped
}

async fn stop_signal() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn wait_until_drained(server: &Server) -> Result<Ended, Failure> {
    let progress = server.mappings().settled().await.map_err(Failure)?;
    let parked = server.mappings().parked_records().await.map_err(Failure)?;
    let code = match progress {
        Progress::Drained if parked > 0 => ExitCode::from(EXIT_PARKED),
        Progress::Drained => ExitCode::SUCCESS,
        Progress::Blocked(shards) => {
            for shard in shards {
                let error = shard.last_error.as_deref().unwrap_or("no error told");
                eprintln!("{} is blocked after {}: {error}", shard.shard_id, shard.position);
            }
            ExitCode::from(EXIT_BLOCKED)
        }
    };
    Ok(Ended { code, parked })
}

fn print_environment(config: &Config, port: u16) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    for (name, value) in config.client_environment(port) {
        writeln!(stdout, "export {name}={value}")?;
    }
    stdout.flush()?;
    Ok(())
}

/// What the server itself has to say: warnings and worse, or what `RUST_LOG` asks for.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
