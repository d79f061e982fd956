//! `tailrace up` and `tailrace serve`: a server in this process, until it is told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tailrace_core::limits::DRAIN;
use tailrace_server::clock::{SystemClock, SystemRng};
use tailrace_server::mappings::Progress;
use tailrace_server::template::{DATA_DIRECTORY, StackFile};
use tailrace_server::{Code, Config, Server};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::args::{ServerArgs, UpArgs};
use crate::deliveries::Deliveries;
use crate::project::Project;
use crate::say::{self, complain, on_one_line, say};
use crate::signals::Signals;
use crate::watch::Watch;
use crate::{Failure, Outcome, STACK_BYTES, picture, play, project, show, style};

/// Events that wait to be shown. A terminal that stands still holds up the first of them for a moment, and then nothing.
const EVENTS_QUEUED_MAX: usize = 1024;

/// How long an end waits for the last events to be shown.
const LAST_EVENTS: Duration = Duration::from_secs(1);

/// `up --exit-when-drained` ended with a shard that a failing record blocks.
const EXIT_BLOCKED: u8 = 3;

/// `tailrace serve`.
pub async fn serve(args: ServerArgs) -> Outcome {
    log_to_stderr();
    let (stacks, given) = (args.stacks(), args.template());
    let mut config = args.config(Path::new(DATA_DIRECTORY))?;
    config.templates = given.map(|given| project::in_directory(given, &stacks, say)).transpose()?;
    let environment = config.clone();
    let mut running = Running::start(config).await?;
    say(format_args!("listening on http://{}", running.server.address()));
    picture::show(&running.server, &environment).await?;
    running.signals.next().await;
    running.drain().await?;
    Ok(ExitCode::SUCCESS)
}

/// `tailrace up`.
pub async fn up(args: UpArgs) -> Outcome {
    log_to_stderr();
    let project = Project::find(&args)?;
    let templates = project.templates(args.server.template(), say)?;
    let mut config = args.server.config(&project.home.join(DATA_DIRECTORY))?;
    for StackFile { name, file, .. } in &templates.chosen {
        let stack = if templates.chosen.len() > 1 { format!(": stack {name}") } else { String::new() };
        say(format_args!("template {}{stack}", file.display()));
    }
    config.templates = Some(templates.clone());
    // What is wrong with it, the start tells.
    let of_sinks = tailrace_server::sinks_path(&config).ok().flatten();
    let watch = Watch::start(&templates, &project.writes, of_sinks).await;
    let environment = config.clone();
    let mut running = Running::start(config).await?;
    let server = &running.server;
    say(format_args!("listening on http://{}; point any AWS SDK or CLI at it with:", server.address()));
    if !style::is_quiet() {
        for (name, value) in environment.client_environment(server.address().port()) {
            show::data(format_args!("export {name}={value}"));
        }
    }
    // A run that ends by itself leaves nothing to try.
    if !args.exit_when_drained {
        picture::show(server, &environment).await?;
    }
    let drained = async {
        play::play(&project.writes, server.db()).await?;
        if !args.exit_when_drained {
            return std::future::pending().await;
        }
        wait_until_drained(server).await
    };
    let watching = watch.run(server, !args.exit_when_drained);
    let Ended { code, parked } = tokio::select! {
        ended = drained => {
            running.stop().await?;
            ended?
        }
        never = watching => match never {},
        () = running.signals.next() => {
            running.drain().await?;
            Ended { code: ExitCode::SUCCESS, parked: 0 }
        }
    };
    // Behind everything else that there is to say.
    match parked {
        0 => {}
        1 => say("1 record parked (tailrace parked shows it)"),
        _ => say(format_args!("{parked} records parked (tailrace parked shows them)")),
    }
    Ok(code)
}

/// How the wait for a drain ended.
struct Ended {
    code: ExitCode,
    /// Records that were given up.
    parked: u64,
}

/// A server, what shows its events, and what may end it.
struct Running {
    server: Server,
    shown: JoinHandle<()>,
    signals: Signals,
    /// Ends last, with what is left of it.
    _background: Background,
}

/// The runtime of the sinks: where the processors are taken, they give way to what clients wait for.
struct Background(Option<Runtime>);

impl Background {
    fn start() -> std::io::Result<Background> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.enable_all().thread_name("background").thread_stack_size(STACK_BYTES);
        runtime.on_thread_start(tailrace_priority::of_background).build().map(|runtime| Background(Some(runtime)))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Running {
    async fn start(mut config: Config) -> Result<Running, Failure> {
        let background = Background::start().map_err(|error| Failure::new(Code::System, error))?;
        config.background = background.0.as_ref().map(|runtime| runtime.handle().clone());
        let (events, mut receiver) = mpsc::channel(EVENTS_QUEUED_MAX);
        let shown = tokio::spawn(async move {
            let mut deliveries = Deliveries::default();
            loop {
                tokio::select! {
                    event = receiver.recv() => match event {
                        Some(event) => deliveries.show(&event).await,
                        None => break,
                    },
                    () = deliveries.due() => deliveries.tell().await,
                }
            }
            deliveries.tell().await;
        });
        let rng = Arc::new(SystemRng::open().map_err(|error| Failure::new(Code::System, error))?);
        let server = Server::start(config, Arc::new(SystemClock::default()), rng, events).await?;
        // Only now: whatever is durable is so at any moment, so that a signal may end a start as it stands.
        Ok(Running { server, shown, signals: Signals::listen()?, _background: background })
    }

    /// Stops because the user wants it.
    async fn drain(mut self) -> Result<(), Failure> {
        say("draining; a second Ctrl-C ends at once");
        // What waits for functions is delivered as far as the time allows; the rest is at the next start.
        let settled = tokio::time::timeout(DRAIN, self.server.mappings().settled());
        tokio::select! {
            _settled_or_late = settled => {}
            () = self.signals.next() => return Err(at_once()),
        }
        self.stop().await
    }

    /// Stops in order; a signal meanwhile ends it as it stands.
    async fn stop(mut self) -> Result<(), Failure> {
        let stopped = tokio::select! {
            stopped = self.server.stop() => stopped.map_err(Failure::from),
            () = self.signals.next() => {
                return Err(at_once());
            }
        };
        // Everything that was to be shown has been sent by now; senders that linger must not hold up the exit.
        let _ = tokio::time::timeout(LAST_EVENTS, self.shown).await;
        stopped
    }
}

/// A second signal came.
fn at_once() -> Failure {
    Failure::new(Code::EndedAtOnce, "ended at once; the next start delivers again what was not confirmed")
}

async fn wait_until_drained(server: &Server) -> Result<Ended, Failure> {
    let moved = || {
        let (sinks, streams) = (server.sinks().changes(), server.delivery_streams().changes());
        let (mappings, destinations) = (server.mappings().changes(), server.destinations().changes());
        (*mappings.borrow(), *sinks.borrow(), *streams.borrow(), *destinations.borrow())
    };
    let (progress, sinks, streams) = loop {
        server.mappings().settled().await?;
        tailrace_server::sinks::settled(server.sinks()).await?;
        server.delivery_streams().settled().await?;
        server.destinations().settled().await?;
        // What one of them has made is work for another: a view's table has a stream, and a function may put to a delivery stream.
        // And what was blocked may go on since.
        let before = moved();
        let Some(progress) = server.mappings().progress().await? else { continue };
        let Some(sinks) = tailrace_server::sinks::progress(server.sinks()).await? else { continue };
        let Some(streams) = server.delivery_streams().progress().await? else { continue };
        // Nor has one of them made any between these looks.
        let is_blocked = matches!(progress, Progress::Blocked(_)) || !sinks.is_empty() || !streams.is_empty();
        if is_blocked || moved() == before {
            break (progress, sinks, streams);
        }
    };
    let parked = server.mappings().parked_records().await?;
    let code = match progress {
        Progress::Drained => ExitCode::SUCCESS,
        Progress::Blocked(shards) => {
            for shard in shards {
                let error = shard.last_error.as_deref().unwrap_or("no error told");
                complain(format_args!(
                    "{} is blocked after {}: {}",
                    shard.shard_id,
                    shard.position,
                    on_one_line(error)
                ));
            }
            ExitCode::from(EXIT_BLOCKED)
        }
    };
    for sink in &sinks {
        complain(format_args!("sink {}", on_one_line(sink)));
    }
    for stream in &streams {
        complain(format_args!("delivery stream {}", on_one_line(stream)));
    }
    let not_started = server.not_started().await;
    for mapping in &not_started {
        complain(format_args!("mapping {mapping}: it is not started, since its function cannot run here"));
    }
    let is_done = sinks.is_empty() && streams.is_empty() && not_started.is_empty();
    let code = if is_done { code } else { ExitCode::from(EXIT_BLOCKED) };
    Ok(Ended { code, parked })
}

/// What the server itself has to say: warnings and worse, or what `RUST_LOG` asks for.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    // Our own colours are enough: the library was built without any, and complains when it is asked for them.
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| say::Events).init();
}
