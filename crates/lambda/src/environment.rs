//! One execution environment: a process, its listener, and the one invocation that may be open in it.
//!
//! The state is one small machine behind a mutex, moved by four parties: the pool assigns a job, the runtime's calls
//! (see `host`) take it and answer it, the runner watches the process and the clock.
//!
//! Invariants
//! - A job leaves the machine exactly once: by an answer, by the runner, or back to the pool undelivered.
//! - A job's outcome is reported only when the process has answered it, or is dead.
//! - A job that was never handed over is not the function's failure: if the process dies before, the job goes to
//!   another process. The exception is a first start: then the failed start is the job's outcome.
//! - From its answer to its next request for an event the process is the runtime's, within the timeout of what it answered: it is
//!   ended neither for a job that waits for it nor because it is not needed any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tailrace_core::EpochMs;
use tailrace_core::function::Family;
use tailrace_core::limits;
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;

use crate::cgroup::Cgroup;
use crate::document;
use crate::end::{End, Kill};
use crate::entrypoint::BadEntrypoint;
use crate::functions::{Function, Generation, Pool};
use crate::host::{self, Answer, Refusal};
use crate::invoke::{FunctionErrorKind, InvokeContext, InvokeOutcome, NotInvocable};
use crate::launch::{self, Identity, Launch, LaunchError, Place};
use crate::logs::{LogStream, OpenTail};
use crate::missing;
use crate::output::Output;
use crate::process::{Process, SpawnError};
use crate::report::{self, Failed, Report};
use crate::slots::Permits;
use crate::start::Confinement;
use crate::sweeper;
use crate::turns::Turn;

/// An invocation on its way.
pub(crate) struct Job {
    pub(crate) request_id: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) context: InvokeContext,
    pub(crate) reply: oneshot::Sender<InvokeOutcome>,
    /// Set when a start ran over its limit: the second start counts inside of the timeout, from this time on.
    pub(crate) second_start_ns: Option<u64>,
    /// Given back right before the outcome is sent, so that whoever reacts to it finds them free.
    pub(crate) permits: Permits,
}

impl Job {
    fn fail(self, payload: Bytes, kind: FunctionErrorKind, duration: Duration) {
        let request_id = self.request_id.to_string();
        self.finish(InvokeOutcome::FunctionError { payload, kind, request_id, duration });
    }

    pub(crate) fn refuse(self, reason: NotInvocable) {
        self.finish(InvokeOutcome::NotInvocable { reason });
    }

    fn finish(self, outcome: InvokeOutcome) {
        drop(self.permits);
        // Nobody may wait any more; the function has run all the same.
        let _ = self.reply.send(outcome);
    }
}

/// What the runtime gets for its `next`.
pub(crate) struct Delivery {
    pub(crate) request_id: Arc<str>,
    pub(crate) payload: Bytes,
    pub(crate) deadline_ms: EpochMs,
    pub(crate) context: InvokeContext,
}

/// The open invocation.
struct Running {
    job: Box<Job>,
    started_ns: u64,
    deadline_ns: u64,
}

enum Phase {
    /// The runtime has not asked for its first event.
    Starting,
    /// The runtime has answered and has not asked for the next event: the process is its own until then, or until this time.
    Away { until_ns: u64 },
    /// The runtime waits for an event.
    Waiting(oneshot::Sender<Delivery>),
    /// An invocation is open.
    Busy(Running),
    /// The process is dead or dying.
    Closed,
}

struct State {
    phase: Phase,
    /// Assigned and not yet handed over; only while `Starting` or `Away`. One that waits for a runtime that is away too long goes to
    /// another process, if the function may have one more.
    pending: Option<Box<Job>>,
    /// When the phase or the assignment began; limits of the start, of the wait for a runtime and of idleness count from here.
    since_ns: u64,
    /// The runtime has asked for its first event.
    started: bool,
    /// How long that took, until the first report tells it.
    init: Option<Duration>,
    /// What the runtime posted to `init/error`.
    init_error: Option<Bytes>,
    /// An invocation that was broken off by the runtime; it is reported once the process is dead.
    broken: Option<Running>,
    /// The process shall go: at once, or when it is idle.
    stop: Stop,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    No,
    WhenIdle,
    Now,
}

/// An environment: shared by the pool, the listener and the runner.
pub(crate) struct Environment {
    pub(crate) token: String,
    pub(crate) port: OnceLock<u16>,
    pub(crate) function: Arc<Function>,
    pool: Arc<Pool>,
    generation: Generation,
    created_ns: u64,
    state: Mutex<State>,
    /// The invocation that output belongs to: the open one, or the last one, or that which waits for the start. Locked last.
    current: Mutex<Option<Arc<str>>>,
    /// Where what the open invocation writes goes as well, if its caller wants to see it.
    tail: OpenTail,
    /// Its pipes, stdout first, once it is started.
    outputs: OnceLock<Vec<Arc<Output>>>,
    pid: OnceLock<i32>,
    /// Its turn to start, until it has started or has had it for long enough.
    turn: Mutex<Option<Turn>>,
    /// The control group of the process, until that is dead.
    cgroup: Mutex<Option<Cgroup>>,
    /// The most memory that was seen in use, bytes.
    peak_bytes: AtomicU64,
    changed: Notify,
}

/// What the runner shall do next.
enum Step {
    /// Nothing before this time has passed.
    Wait(Duration),
    /// The job waits for a runtime that is away: another process may take it.
    Elsewhere,
    /// End the process; no job can come to it any more.
    Kill { grace: Duration, end: Kill },
}

impl Environment {
    /// A new environment whose runner is started; `job` is its first work.
    pub(crate) fn start(pool: &Arc<Pool>, function: &Arc<Function>, job: Option<Box<Job>>) -> Arc<Environment> {
        let environment = Arc::new(Environment {
            token: pool.rng.uuid(),
            port: OnceLock::new(),
            function: function.clone(),
            pool: pool.clone(),
            generation: function.generation(),
            created_ns: pool.clock.monotonic_ns(),
            current: Mutex::new(job.as_ref().map(|job| job.request_id.clone())),
            // What is written before the first invocation is seen with that one.
            tail: Arc::new(Mutex::new(job.as_ref().and_then(|job| job.context.log_tail.clone()))),
            outputs: OnceLock::new(),
            pid: OnceLock::new(),
            turn: Mutex::default(),
            cgroup: Mutex::default(),
            peak_bytes: AtomicU64::new(0),
            state: Mutex::new(State {
                phase: Phase::Starting,
                pending: job,
                since_ns: pool.clock.monotonic_ns(),
                started: false,
                init: None,
                init_error: None,
                broken: None,
                stop: if function.is_retired() { Stop::WhenIdle } else { Stop::No },
            }),
            changed: Notify::new(),
        });
        function.environments.lock().push(environment.clone());
        if pool.is_drained() {
            environment.stop_now();
        }
        let alive = pool.alive();
        let runner = environment.clone();
        tokio::spawn(async move {
            runner.run().await;
            drop(alive);
        });
        environment
    }

    /// Gives the environment a job; back if it cannot take one.
    pub(crate) fn assign(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        let mut state = self.state.lock();
        if state.pending.is_some() || state.stop != Stop::No {
            return Err(job);
        }
        match std::mem::replace(&mut state.phase, Phase::Closed) {
            Phase::Waiting(waiter) => self.hand_over(&mut state, job, waiter),
            phase @ (Phase::Starting | Phase::Away { .. }) => {
                state.phase = phase;
                state.since_ns = self.pool.clock.monotonic_ns();
                self.current.lock().get_or_insert_with(|| job.request_id.clone());
                state.pending = Some(job);
            }
            phase @ (Phase::Busy(_) | Phase::Closed) => {
                state.phase = phase;
                return Err(job);
            }
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn hand_over(&self, state: &mut State, job: Box<Job>, waiter: oneshot::Sender<Delivery>) {
        let (running, delivery) = self.open(job);
        match waiter.send(delivery) {
            Ok(()) => state.phase = Phase::Busy(running),
            // The connection is gone; the runtime will ask again, or end.
            Err(_) => {
                state.since_ns = self.pool.clock.monotonic_ns();
                state.pending = Some(running.job);
                let until_ns = state.since_ns + self.pool.settings.init_limit.as_nanos() as u64;
                state.phase = Phase::Away { until_ns };
            }
        }
    }

    /// Opens an invocation: output is its own from here on, and what is left of another one's comes before.
    fn open(&self, job: Box<Job>) -> (Running, Delivery) {
        let request_id = job.request_id.clone();
        let before = self.current.lock().clone();
        for output in self.outputs.get().into_iter().flatten() {
            output.settle(before.clone(), Vec::new());
        }
        *self.current.lock() = Some(request_id.clone());
        self.tail.lock().clone_from(&job.context.log_tail);
        if self.peak_bytes.load(Ordering::Relaxed) == 0 {
            // A process that ends in its first invocation can no longer be asked.
            self.measure();
        }
        if let Some(output) = self.outputs.get().and_then(|outputs| outputs.first()) {
            let config = &self.function.config;
            let line = report::start(&request_id, &config.version, &config.logging, self.pool.clock.now());
            line.into_iter().for_each(|line| output.push(Some(request_id.clone()), line));
        }
        let now_ns = self.pool.clock.monotonic_ns();
        let timeout_ns = u64::from(self.function.config.timeout_s) * 1_000_000_000;
        let started_ns = job.second_start_ns.unwrap_or(now_ns);
        let deadline_ns = started_ns + timeout_ns;
        let left = Duration::from_nanos(deadline_ns.saturating_sub(now_ns));
        let delivery = Delivery {
            request_id: job.request_id.clone(),
            payload: job.payload.clone(),
            deadline_ms: self.pool.clock.now().plus(left),
            context: job.context.clone(),
        };
        (Running { job, started_ns, deadline_ns }, delivery)
    }

    /// The runtime asks for an event.
    pub(crate) async fn next(&self) -> Result<Delivery, Refusal> {
        let waiter = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut state.phase, Phase::Closed) {
                Phase::Closed => return Err(Refusal::Closed),
                Phase::Busy(running) => {
                    // It will never answer the open one: the process starts afresh.
                    state.broken = Some(running);
                    drop(state);
                    self.changed.notify_one();
                    return Err(Refusal::State);
                }
                Phase::Starting => {
                    state.started = true;
                    self.turn.lock().take();
                    let since_ns = self.pool.clock.monotonic_ns().saturating_sub(state.since_ns);
                    state.init = Some(Duration::from_nanos(since_ns));
                    self.function.started_well();
                }
                // A call that waits already is superseded: its connection may be gone without our knowing it.
                Phase::Away { .. } | Phase::Waiting(_) => {}
            }
            self.changed.notify_one();
            if let Some(job) = state.pending.take() {
                let (running, delivery) = self.open(job);
                state.phase = Phase::Busy(running);
                return Ok(delivery);
            }
            let (waiter, delivery) = oneshot::channel();
            state.phase = Phase::Waiting(waiter);
            state.since_ns = self.pool.clock.monotonic_ns();
            delivery
        };
        waiter.await.map_err(|_| match self.state.lock().phase {
            Phase::Closed => Refusal::Closed,
            _ => Refusal::State,
        })
    }

    /// Whether a post for `request_id` would be taken now.
    pub(crate) fn expects(&self, request_id: &str) -> Result<(), Refusal> {
        match &self.state.lock().phase {
            Phase::Busy(running) if *running.job.request_id == *request_id => Ok(()),
            Phase::Busy(_) => Err(Refusal::RequestId),
            Phase::Closed => Err(Refusal::Closed),
            _ => Err(Refusal::State),
        }
    }

    /// The runtime answers the open invocation.
    pub(crate) fn answer(self: &Arc<Self>, request_id: &str, answer: Answer) -> Result<(), Refusal> {
        self.expects(request_id)?;
        let (running, init) = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut state.phase, Phase::Closed) {
                Phase::Busy(running) if *running.job.request_id == *request_id => {
                    state.since_ns = self.pool.clock.monotonic_ns();
                    let at_least_ns = state.since_ns + limits::FUNCTION_AWAY_MIN.as_nanos() as u64;
                    state.phase = Phase::Away { until_ns: running.deadline_ns.max(at_least_ns) };
                    (running, state.init.take())
                }
                // The runner was faster.
                phase => {
                    state.phase = phase;
                    return Err(Refusal::State);
                }
            }
        };
        let duration = Duration::from_nanos(self.pool.clock.monotonic_ns().saturating_sub(running.started_ns));
        let failed = match &answer {
            Answer::Result(_) => None,
            Answer::Error(payload) => Some(Failed::Answered(document::error_type(payload))),
            Answer::TooLarge => Some(Failed::Answered(document::error_type(&document::response_too_large()))),
        };
        // While no other invocation can come: all that is printed is this one's.
        self.settle(&running.job.request_id, duration, init, failed);
        // Before the reply: whoever reacts to it with the next invocation finds this environment.
        self.function.release(self);
        self.changed.notify_one();
        match answer {
            Answer::Result(payload) => {
                let request_id = running.job.request_id.to_string();
                running.job.finish(InvokeOutcome::Success { payload, request_id, duration });
            }
            Answer::Error(payload) => running.job.fail(payload, FunctionErrorKind::Handler, duration),
            Answer::TooLarge => {
                running.job.fail(document::response_too_large(), FunctionErrorKind::ResponseTooLarge, duration);
            }
        }
        Ok(())
    }

    /// The runtime cannot load the function.
    pub(crate) fn init_error(&self, error: Bytes) -> Result<(), Refusal> {
        self.function.tell_once(|config| missing::hint(config, &error));
        self.measure();
        let mut state = self.state.lock();
        match state.phase {
            Phase::Starting => {
                state.init_error = Some(error);
                state.since_ns = self.pool.clock.monotonic_ns();
                // From now on the process only has to end.
                state.phase = Phase::Closed;
                drop(state);
                self.changed.notify_one();
                Ok(())
            }
            Phase::Closed => Err(Refusal::Closed),
            _ => Err(Refusal::State),
        }
    }

    /// The runtime has answered a while ago and has not asked for the next event.
    pub(crate) fn is_late(&self) -> bool {
        let state = self.state.lock();
        let away_ns = self.pool.clock.monotonic_ns().saturating_sub(state.since_ns);
        matches!(state.phase, Phase::Away { .. }) && away_ns >= limits::FUNCTION_AWAY_WAIT.as_nanos() as u64
    }

    /// Gives the job that waits for the runtime to another process, if the function may have one more. This one is free again, for
    /// when the runtime comes back.
    fn send_elsewhere(self: &Arc<Self>) -> bool {
        if !self.pool.has_room(&self.function) {
            return false;
        }
        let job = {
            let mut state = self.state.lock();
            match state.phase {
                Phase::Away { .. } => state.pending.take(),
                _ => None,
            }
        };
        let Some(job) = job else { return false };
        self.function.take_back(self);
        self.pool.dispatch(&self.function.config.name, job);
        true
    }

    /// Lets the process go when it has no work.
    pub(crate) fn retire(&self) {
        self.request_stop(Stop::WhenIdle);
    }

    /// Lets the process go at once; an open invocation is reported as one that the process did not survive.
    pub(crate) fn stop_now(&self) {
        self.request_stop(Stop::Now);
    }

    fn request_stop(&self, stop: Stop) {
        let mut state = self.state.lock();
        state.stop = state.stop.max(stop);
        drop(state);
        self.changed.notify_one();
    }

    /// Takes what an invocation has printed, and puts its report behind that.
    fn settle(&self, request_id: &Arc<str>, duration: Duration, init: Option<Duration>, failed: Option<Failed>) {
        let peak_bytes = self.measure();
        let memory_mb = self.function.config.memory_mb;
        let report = Report { request_id, duration, memory_mb, peak_bytes, init, failed };
        let mut behind = report.lines(&self.function.config.logging, self.pool.clock.now());
        // stdout comes last: the report is behind both.
        let outputs = self.outputs.get().map(Vec::as_slice).unwrap_or_default();
        for (at, output) in outputs.iter().enumerate().rev() {
            output.settle(Some(request_id.clone()), if at == 0 { std::mem::take(&mut behind) } else { Vec::new() });
        }
    }

    /// The most memory that the process has had, as far as that can be seen.
    fn measure(&self) -> u64 {
        let of_group = self.cgroup.lock().as_ref().and_then(Cgroup::peak_bytes);
        let seen = of_group.or_else(|| self.pid.get().map(|&pid| report::peak_bytes(pid)));
        self.peak_bytes.fetch_max(seen.unwrap_or_default(), Ordering::Relaxed).max(seen.unwrap_or_default())
    }

    /// The life of the environment, from its start to the report of its end.
    async fn run(self: Arc<Self>) {
        let end = self.live().await;
        self.turn.lock().take();
        let temporary = self.pool.directories.temporary.join(&self.token);
        // Not waited for: it may be large, and the next start clears what is left of it.
        drop(tokio::task::spawn_blocking(move || crate::launch::remove_tree(&temporary)));
        self.function.forget(&self);
        self.report(end);
    }

    async fn live(self: &Arc<Self>) -> End {
        let since_ns = self.pool.clock.monotonic_ns();
        let turn = self.pool.turns.take(&self.changed, || self.is_wanted()).await;
        *self.turn.lock() = turn;
        // The wait is not the function's: a timeout that runs already goes on from where it was.
        if let Some(start_ns) = self.state.lock().pending.as_mut().and_then(|job| job.second_start_ns.as_mut()) {
            *start_ns += self.pool.clock.monotonic_ns().saturating_sub(since_ns);
        }
        if !self.is_wanted() {
            return End::NotStarted;
        }
        let (listener, mut process) = match self.spawn().await {
            Ok(started) => started,
            Err(end) => return end,
        };
        self.state.lock().since_ns = self.pool.clock.monotonic_ns();
        let mut tasks = JoinSet::new();
        let pipes =
            process.take_output().map(|(stdout, stderr)| [(LogStream::Stdout, stdout), (LogStream::Stderr, stderr)]);
        let pipes = pipes.into_iter().flatten().filter_map(|(stream, fd)| {
            let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(fd).ok()?;
            Some(Arc::new(Output::new(stream, pipe, self.pool.clock.clone(), self.tail.clone())))
        });
        for output in self.outputs.get_or_init(|| pipes.collect()) {
            let (output, logs, environment) = (output.clone(), self.function.logs.clone(), self.clone());
            tasks.spawn(async move { output.forward(logs, || environment.current.lock().clone()).await });
        }
        let host = tokio::spawn(host::serve(listener, self.clone()));
        let end = self.watch(&mut process).await;
        // Dead now, with its group: no call of it can come any more.
        host.abort();
        // Awaited: what the process left behind is gone before the outcome is reported, unless it does not go.
        let environment = self.clone();
        let swept = sweeper::run(move || environment.sweep());
        if tokio::time::timeout(limits::FUNCTION_SWEEP_WAIT, swept).await.is_err() {
            tracing::warn!(function = %self.function.config.name, "what a process left behind does not end");
        }
        // What it printed last is in the pipes. A process that left the group may hold them open: it is not waited for.
        let drain = limits::FUNCTION_LOG_WAIT * 2;
        let _ = tokio::time::timeout(drain, async { while tasks.join_next().await.is_some() {} }).await;
        end
    }

    /// Ends what the dead process has left behind. It waits for the kernel, also to take its locks: call it on a thread of its own,
    /// which goes on at the priority of functions: one that ends again and again, and leaves much behind each time, is not to hold up
    /// the database.
    fn sweep(&self) {
        let cgroup = self.cgroup.lock().take();
        if let Some(cgroup) = &cgroup {
            cgroup.kill();
        }
        // Behind that: what is dead now does not run beside the next attempt, however long the rest takes.
        tailrace_priority::of_functions();
        if cgroup.as_ref().is_some_and(Cgroup::ran_out_of_memory) {
            let memory_mb = self.function.config.memory_mb;
            self.function
                .logs
                .notice(format!("it was killed: it needs more than the {memory_mb} MB of its MemorySize"));
        }
        self.pool.ledger.remove(&self.token);
        // What the group killed is no longer known by its environment while it dies.
        cgroup.as_ref().inspect(|cgroup| cgroup.wait_until_empty());
    }

    fn is_wanted(&self) -> bool {
        let state = self.state.lock();
        state.stop == Stop::No || (state.stop == Stop::WhenIdle && state.pending.is_some())
    }

    async fn spawn(self: &Arc<Self>) -> Result<(TcpListener, Process), End> {
        let cannot = |text: String| End::CannotStart(text);
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|error| cannot(format!("cannot listen on 127.0.0.1: {error}")))?;
        let port = listener.local_addr().map_err(|error| cannot(error.to_string()))?.port();
        let _ = self.port.set(port);
        let config = &self.function.config;
        let log_stream = launch::log_stream_name(self.pool.clock.now(), &config.version, &self.token);
        let (launch, confinement) = self.prepare(port, log_stream).await.map_err(|error| match error {
            LaunchError::InvalidEntrypoint(bad) => End::InvalidEntrypoint(bad),
            LaunchError::CannotStart(text) => End::CannotStart(text),
        })?;
        let spawned = self.pool.spawner.spawn(&launch.command, &self.token, confinement);
        let started = tokio::time::timeout(self.pool.settings.init_limit, spawned).await;
        let started = started.unwrap_or_else(|_| Err(SpawnError::Start(std::io::ErrorKind::TimedOut.into())));
        let process = started.map_err(|error| match error {
            SpawnError::Start(error) => {
                match launch.bootstrap.and_then(|bootstrap| BadEntrypoint::refused(&bootstrap, &error)) {
                    Some(bad) => End::InvalidEntrypoint(bad),
                    None => cannot(format!("cannot start a process for function {}: {error}", config.name)),
                }
            }
            SpawnError::Record(error) => {
                cannot(format!("cannot record a process of function {}: {error}", config.name))
            }
        })?;
        let _ = self.pid.set(process.pid());
        Ok((listener, process))
    }

    /// Makes ready what a process needs.
    async fn prepare(self: &Arc<Self>, port: u16, log_stream: String) -> Result<(Launch, Confinement), LaunchError> {
        let config = &self.function.config;
        let place = self.aside(|this| Place::prepare(&this.function.config, &this.pool.directories, &this.token));
        let place = place.await?;
        let found = launch::find_program(config, &self.pool.settings, &self.pool.interpreters).await;
        let (program, remark) = found?;
        let launch = self.aside(move |this| {
            let (config, settings, directories) = (&this.function.config, &this.pool.settings, &this.pool.directories);
            let identity = Identity { token: &this.token, port, log_stream };
            let launch = launch::prepare(config, settings, directories, (&place, &program), &identity)?;
            Ok((launch, this.confinement()))
        });
        let launch = launch.await?;
        if let Some(remark) = remark {
            self.function.warn_once(remark);
        }
        Ok(launch)
    }

    /// Does what waits for the disk where that holds up nobody.
    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Environment) -> Result<T, LaunchError> + Send + 'static,
    ) -> Result<T, LaunchError> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&this)).await;
        done.unwrap_or_else(|error| Err(LaunchError::CannotStart(error.to_string())))
    }

    /// What holds the process: a control group if there is one; else, where the runtime bears it, a limit of its data. To make a group
    /// waits for the kernel's lock on all of them.
    fn confinement(&self) -> Confinement {
        let config = &self.function.config;
        let cgroup = self.pool.cgroups.create(&self.token, config.memory_mb);
        let entrance = cgroup.as_ref().and_then(Cgroup::entrance);
        *self.cgroup.lock() = cgroup;
        let limited = Family::bears_data_limit(&config.runtime) && !self.pool.cgroups.limits_memory();
        let data_bytes = u64::from(config.memory_mb) * 1024 * 1024 + limits::FUNCTION_DATA_BYTES_SPARE;
        Confinement { entrance, data_bytes: limited.then_some(data_bytes) }
    }

    /// Watches the process and the clock until the process is dead.
    async fn watch(self: &Arc<Self>, process: &mut Process) -> End {
        loop {
            let wait = match self.step() {
                Step::Wait(wait) => wait,
                Step::Elsewhere if self.send_elsewhere() => continue,
                // It waits on, and there may be room later.
                Step::Elsewhere => limits::FUNCTION_AWAY_WAIT,
                Step::Kill { grace, end } => {
                    self.measure();
                    return End::Killed(end, process.terminate(grace).await);
                }
            };
            tokio::select! {
                () = process.ended() => {
                    self.measure();
                    return End::Exited(process.finish().await);
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn step(&self) -> Step {
        let mut state = self.state.lock();
        let settings = &self.pool.settings;
        let timeout_ns = u64::from(self.function.config.timeout_s) * 1_000_000_000;
        let init_ns = settings.init_limit.as_nanos() as u64;
        let timeout_grace = limits::FUNCTION_TIMEOUT_GRACE;
        let stop_grace = limits::FUNCTION_STOP_GRACE;
        let retiring = state.stop == Stop::WhenIdle && state.pending.is_none();
        let now_ns = self.pool.clock.monotonic_ns();
        let (deadline_ns, grace, end) = match &state.phase {
            _ if state.stop == Stop::Now => (0, stop_grace, Kill::Stop),
            Phase::Starting if retiring => (0, timeout_grace, Kill::Stop),
            Phase::Starting => match state.pending.as_ref().and_then(|job| job.second_start_ns) {
                Some(start_ns) => (start_ns + timeout_ns, timeout_grace, Kill::Timeout),
                None => (state.since_ns + init_ns, timeout_grace, Kill::StartOverrun),
            },
            Phase::Busy(running) => (running.deadline_ns, timeout_grace, Kill::Timeout),
            // What it does behind its answer belongs to what it answered, also while nothing waits for it or it is to go.
            &Phase::Away { until_ns } => {
                let elsewhere_ns = state.since_ns + limits::FUNCTION_AWAY_WAIT.as_nanos() as u64;
                match state.pending.is_some() && now_ns < until_ns {
                    true if now_ns >= elsewhere_ns => return Step::Elsewhere,
                    true => return Step::Wait(Duration::from_nanos(elsewhere_ns.min(until_ns) - now_ns)),
                    false => (until_ns, timeout_grace, Kill::AwayOverrun),
                }
            }
            Phase::Waiting(_) if retiring => (0, stop_grace, Kill::Stop),
            Phase::Waiting(_) => (state.since_ns + settings.idle_limit.as_nanos() as u64, stop_grace, Kill::Stop),
            // A runtime that reported its own failure ends by itself, with its own exit code.
            Phase::Closed if state.init_error.is_some() => {
                (state.since_ns + stop_grace.as_nanos() as u64, timeout_grace, Kill::Stop)
            }
            Phase::Closed => (0, timeout_grace, Kill::Broken),
        };
        if now_ns < deadline_ns {
            return Step::Wait(Duration::from_nanos(deadline_ns - now_ns));
        }
        // Decided under the lock: an answer or a job that comes from here on is too late.
        if let Phase::Busy(running) = std::mem::replace(&mut state.phase, Phase::Closed) {
            state.broken = Some(running);
        }
        Step::Kill { grace, end }
    }

    /// Reports the end to the job that was here, or gives the job back to the pool.
    fn report(&self, end: End) {
        let (open, pending, init_error, started, stop, init) = {
            let mut state = self.state.lock();
            let open = match std::mem::replace(&mut state.phase, Phase::Closed) {
                Phase::Busy(running) => Some(running),
                _ => state.broken.take(),
            };
            (open, state.pending.take(), state.init_error.take(), state.started, state.stop, state.init.take())
        };
        if let Some(running) = open {
            let duration = self.duration(running.started_ns, &end);
            if let Some(failed) = end.failed() {
                self.report_lines(&running.job.request_id, duration, init, failed);
            }
            self.report_open(running.job, &end, duration);
        }
        if started {
            if let End::Killed(Kill::AwayOverrun, _) = end {
                let timeout_s = self.function.config.timeout_s;
                self.function.logs.notice(format!(
                    "a process was ended: its runtime did not come back for the next event in time (it has {timeout_s} s, the Timeout, \
                     for an event and what it does behind its answer)"
                ));
            }
            if let Some(job) = pending {
                // Never handed over: another process takes it. At a stop that process is not started, and says so.
                self.pool.dispatch(&self.function.config.name, job);
            }
            return;
        }
        if let End::InvalidEntrypoint(bad) = &end {
            self.function.warn_once(bad.why.clone());
        }
        if stop != Stop::Now && !matches!(end, End::NotStarted | End::Killed(Kill::Stop, _)) {
            self.function.started_badly(self.generation, &*self.pool.clock);
        }
        match pending {
            Some(job) => self.report_failed_start(job, end, init_error),
            None => self.function.logs.notice(match end {
                End::CannotStart(text) => text,
                // Told above.
                End::InvalidEntrypoint(_) => return,
                End::Exited(status) => format!("the process ended before it asked for an event: {status}"),
                End::Killed(Kill::StartOverrun, _) => "the process did not ask for an event in time".to_owned(),
                End::Killed(..) | End::NotStarted => return,
            }),
        }
    }

    /// What the log tells of an invocation that its process did not survive: its pipes are read to their ends.
    fn report_lines(&self, request_id: &Arc<str>, duration: Duration, init: Option<Duration>, failed: Failed) {
        let (memory_mb, peak_bytes) = (self.function.config.memory_mb, self.peak_bytes.load(Ordering::Relaxed));
        let report = Report { request_id, duration, memory_mb, peak_bytes, init, failed: Some(failed) };
        for line in report.lines(&self.function.config.logging, self.pool.clock.now()) {
            self.say(request_id, line);
        }
    }

    /// Writes a line of the platform behind all that the process has written.
    fn say(&self, request_id: &Arc<str>, line: String) {
        if let Some(tail) = &*self.tail.lock() {
            tail.push(&line);
        }
        self.function.logs.platform(request_id, line);
    }

    /// How long an invocation took: no longer than it may, though the end of its process comes later.
    fn duration(&self, started_ns: u64, end: &End) -> Duration {
        let duration = Duration::from_nanos(self.pool.clock.monotonic_ns().saturating_sub(started_ns));
        match end {
            End::Killed(Kill::Timeout, _) => duration.min(Duration::from_secs(self.function.config.timeout_s.into())),
            _ => duration,
        }
    }

    fn report_open(&self, job: Box<Job>, end: &End, duration: Duration) {
        let request_id = job.request_id.clone();
        match end {
            End::Killed(Kill::Timeout, _) => {
                let payload = document::timed_out(&request_id, self.function.config.timeout_s);
                job.fail(payload, FunctionErrorKind::Timeout, duration);
            }
            End::Killed(Kill::Broken, _) => {
                job.fail(document::broke_protocol(&request_id), FunctionErrorKind::Exit, duration);
            }
            End::NotStarted | End::Killed(Kill::Stop, _) => job.refuse(NotInvocable::Stopping),
            End::Killed(_, status) | End::Exited(status) => {
                job.fail(document::exited(&request_id, *status), FunctionErrorKind::Exit, duration);
            }
            End::CannotStart(text) => job.refuse(NotInvocable::CannotStart(text.clone())),
            End::InvalidEntrypoint(bad) => {
                job.fail(document::invalid_entrypoint(&request_id, &bad.error), FunctionErrorKind::Init, duration);
            }
        }
    }

    /// The job whose process never asked for an event. What that wrote is told before the lines of the invocation.
    fn report_failed_start(&self, mut job: Box<Job>, end: End, init_error: Option<Bytes>) {
        if init_error.is_none() && matches!(end, End::Killed(Kill::StartOverrun, _)) {
            // One more try, inside of the function's timeout.
            job.second_start_ns = Some(self.pool.clock.monotonic_ns());
            self.function.started_well();
            return self.pool.dispatch(&self.function.config.name, job);
        }
        let duration = self.duration(job.second_start_ns.unwrap_or(self.created_ns), &end);
        let failed = match &init_error {
            Some(document) => {
                let error_type = document::error_type(document).unwrap_or_else(|| "Runtime.Unknown".to_owned());
                Some(Failed::Process(error_type))
            }
            None => end.failed(),
        };
        if let Some(failed) = failed {
            // It may have come when the process was on its way already.
            self.tail.lock().clone_from(&job.context.log_tail);
            let config = &self.function.config;
            let line = report::start(&job.request_id, &config.version, &config.logging, self.pool.clock.now());
            line.into_iter().for_each(|line| self.say(&job.request_id, line));
            self.report_lines(&job.request_id, duration, None, failed);
        }
        match init_error {
            Some(document) => job.fail(document, FunctionErrorKind::Init, duration),
            None => self.report_open(job, &end, duration),
        }
    }
}
