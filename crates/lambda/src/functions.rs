//! The registry of functions, and the way of an invocation to a process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tailrace_core::clock::Clock;
use tailrace_core::function::{ConfigError, Family, FunctionConfig};
use tailrace_core::limits;
use tailrace_core::rng::Rng;
use tokio::sync::{Notify, Semaphore, TryAcquireError, broadcast, mpsc, oneshot, watch};

use crate::cgroup::Cgroups;
use crate::code::{CodeFacts, CodeStamp};
use crate::environment::{Environment, Job};
use crate::interpreters::Interpreters;
use crate::invoke::{InvokeContext, InvokeOutcome, NotInvocable, OnWait, ThrottleReason, Withdraw};
use crate::launch::{self, Directories};
use crate::ledger::Ledger;
use crate::logs::{LogLine, LogSender};
use crate::look::Watch;
use crate::package::Packages;
use crate::process::Spawner;
use crate::slots::{NoSlot, Permits, Slots};
use crate::turns::Turns;

/// Which client runs Python handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PythonClient {
    /// `awslambdaric` where the interpreter can import it, our own otherwise.
    #[default]
    Auto,
    /// Our own.
    Own,
    /// `awslambdaric`.
    Awslambdaric,
}

/// How functions are run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A directory of this crate's own: the clients of Python, Node.js and Java, the ledger of processes, temporary directories.
    pub state_dir: PathBuf,
    /// Variables for every function, such as `AWS_ENDPOINT_URL_DYNAMODB`, `AWS_REGION` and the credentials.
    pub environment: BTreeMap<String, String>,
    /// The Python interpreter; `None`: `python3.N` of the runtime from PATH, else `python3`.
    pub python: Option<PathBuf>,
    /// Which client runs Python handlers.
    pub python_client: PythonClient,
    /// Node.js; `None`: of those in PATH the one of the runtime's major version, else the first.
    pub node: Option<PathBuf>,
    /// Java; `None`: of those in JAVA_HOME and PATH the one of the runtime's version, else the next later one.
    pub java: Option<PathBuf>,
    /// Directories of packages (`.../node_modules`) where Node.js functions look last.
    pub node_path: Vec<PathBuf>,
    /// Most invocations at once, all functions together.
    pub concurrency_max: usize,
    /// The longest that a process may take to ask for its first event.
    pub init_limit: Duration,
    /// The longest that a process which starts may keep others from starting.
    pub start_turn: Duration,
    /// A process without work for so long is stopped.
    pub idle_limit: Duration,
}

impl Settings {
    /// The defaults, with a state directory.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            environment: BTreeMap::new(),
            python: None,
            python_client: PythonClient::Auto,
            node: None,
            java: None,
            node_path: Vec::new(),
            concurrency_max: limits::FUNCTION_CONCURRENCY_DEFAULT_MAX,
            init_limit: limits::FUNCTION_INIT_DEFAULT,
            start_turn: limits::FUNCTION_START_TURN,
            idle_limit: limits::FUNCTION_IDLE_DEFAULT,
        }
    }
}

/// Why the pool cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot prepare the function directory {path}: {source}")]
pub struct OpenError {
    /// The path.
    pub path: PathBuf,
    /// What the system said.
    pub source: std::io::Error,
}

/// Functions that may take more memory than they are given: their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlimited {
    /// Those whose runtime limits its heap, and nothing else that it takes.
    pub beside_the_heap: Vec<String>,
    /// Those that nothing limits.
    pub wholly: Vec<String>,
}

/// The functions and their processes: a cheap handle.
#[derive(Clone)]
pub struct Functions {
    pool: Arc<Pool>,
}

/// What all functions share.
pub(crate) struct Pool {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) directories: Directories,
    pub(crate) interpreters: Interpreters,
    pub(crate) spawner: Spawner,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) cgroups: Cgroups,
    packages: Arc<Packages>,
    logs: mpsc::Sender<LogLine>,
    /// A slot for each invocation; closed by `stop`.
    slots: Slots,
    pub(crate) turns: Turns,
    /// A permit for each function whose code is looked at.
    looks: Semaphore,
    functions: RwLock<BTreeMap<String, Arc<Function>>>,
    /// Replaced and removed configurations; those whose last invocation has ended are gone from here.
    retired: Mutex<Vec<Weak<Function>>>,
    /// Names of functions whose code has changed.
    code_changes: broadcast::Sender<String>,
    /// Nobody waits any more until a function may be started again.
    pauses_over: watch::Sender<bool>,
    /// The drain is over: no process is started any more.
    drained: AtomicBool,
    /// Environments whose runner has not ended.
    alive: watch::Sender<usize>,
}

/// One configuration of a function and one state of its code, with its environments.
pub(crate) struct Function {
    pub(crate) config: FunctionConfig,
    pub(crate) logs: LogSender,
    /// A permit for each invocation.
    slots: Arc<Semaphore>,
    /// Environments without a job; the last one used is the first to be used again.
    idle: Mutex<Vec<Arc<Environment>>>,
    /// All of its environments.
    pub(crate) environments: Mutex<Vec<Arc<Environment>>>,
    restart: Mutex<Restart>,
    /// Told when a start may be tried again sooner, or need not be: a process started well or came free, or the
    /// configuration was replaced.
    eased: Notify,
    retired: AtomicBool,
    /// What was told last of how it starts.
    warned: Mutex<String>,
    /// What is missing was told.
    told: AtomicBool,
    /// The code that its environments run.
    code: CodeStamp,
    /// How it is watched: the same for all configurations of this name.
    watch: Arc<Watch>,
}

/// The pause before the next start, after starts that failed.
#[derive(Default)]
struct Restart {
    pause: Duration,
    not_before_ns: u64,
    generation: Generation,
}

/// Starts between two changes of the pause. Those that failed together lengthen it once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Functions {
    /// Prepares the state directory, kills what an earlier server left running, and is ready for functions. Call it
    /// inside of a tokio runtime, with the data directory's lock held.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        logs: mpsc::Sender<LogLine>,
    ) -> Result<Functions, OpenError> {
        let path = settings.state_dir.clone();
        let failed = |source| OpenError { path: path.clone(), source };
        let directories = Directories::prepare(&settings.state_dir).map_err(failed)?;
        let ledger = Arc::new(Ledger::open(directories.processes.clone()).map_err(failed)?);
        directories.clear_temporary().map_err(failed)?;
        let packages = Packages::open(&directories.packages, &directories.pycache).map_err(failed)?;
        let spawner = Spawner::start(ledger.clone()).map_err(failed)?;
        let (slots, turns) = (Slots::new(settings.concurrency_max), Turns::new(settings.start_turn));
        let interpreters = Interpreters::new(clock.clone());
        let pool = Pool {
            settings,
            clock,
            rng,
            directories,
            interpreters,
            spawner,
            ledger,
            cgroups: Cgroups::open(),
            packages: Arc::new(packages),
            logs,
            slots,
            turns,
            looks: Semaphore::new(limits::FUNCTION_CODE_LOOKS_MAX),
            functions: RwLock::default(),
            retired: Mutex::default(),
            code_changes: broadcast::Sender::new(limits::FUNCTION_CODE_CHANGES_QUEUED_MAX),
            pauses_over: watch::Sender::new(false),
            drained: AtomicBool::new(false),
            alive: watch::Sender::new(0),
        };
        Ok(Functions { pool: Arc::new(pool) })
    }

    /// What makes directories of packages; those belong into the configurations of functions.
    pub fn packages(&self) -> &Arc<Packages> {
        &self.pool.packages
    }

    /// Removes the packages that no function uses, but for the `kept` newest. It writes to the disk: call it where blocking is
    /// no matter.
    pub fn sweep_packages(&self, kept: usize) {
        let used: BTreeSet<PathBuf> = {
            let functions = self.pool.functions.read();
            let configs = functions.values().map(|function| &function.config);
            configs.flat_map(|config| [&config.code_dir].into_iter().chain(&config.layers)).cloned().collect()
        };
        self.pool.packages.sweep(&used, kept);
    }

    /// Adds a function, or replaces the one of the same name. Invocations that run finish with the old configuration;
    /// later ones see the new one.
    pub fn put(&self, config: FunctionConfig) -> Result<(), ConfigError> {
        config.validate()?;
        let name = config.name.clone();
        let is_there = |function: &Arc<Function>| function.config == config;
        if self.pool.function(&name).as_ref().is_some_and(is_there) {
            return Ok(());
        }
        // Before the lock: the disk may be slow, and others look for their functions.
        let (code, data) = CodeStamp::of_function(&config, &self.pool.directories.state);
        let mut functions = self.pool.functions.write();
        let known = functions.get(&name);
        if known.is_some_and(is_there) {
            return Ok(());
        }
        let watch = known.map_or_else(|| Watch::new(self.pool.clock.clone()), |known| known.watch.clone());
        watch.begin_with(&data);
        let function = Arc::new(Function::new(config, code, watch, &self.pool));
        if code.is_cut {
            function.logs.notice(format!(
                "the directory {} has more than {} entries: changes of what lies deepest are not seen",
                function.config.code_dir.display(),
                limits::FUNCTION_CODE_ENTRIES_MAX
            ));
        }
        if code.are_layers_cut {
            function.logs.notice(format!(
                "the layers of {name} have more than {} entries: changes of what lies deepest are not seen",
                limits::FUNCTION_CODE_ENTRIES_MAX
            ));
        }
        let old = functions.insert(name, function);
        drop(functions);
        if let Some(old) = old {
            self.pool.retire(&old);
        }
        Ok(())
    }

    /// Forgets a function; its processes stop once they are done. False: there was none.
    pub fn remove(&self, name: &str) -> bool {
        let old = self.pool.functions.write().remove(name);
        match old {
            Some(old) => {
                self.pool.retire(&old);
                true
            }
            None => false,
        }
    }

    /// The functions that may take more memory than they are given, where no control group can be made that limits it.
    pub fn without_memory_limit(&self) -> Unlimited {
        let mut unlimited = Unlimited::default();
        if !self.pool.cgroups.limits_memory() {
            for function in self.pool.functions.read().values() {
                let name = function.config.name.clone();
                match Family::of(&function.config.runtime) {
                    Some(Family::Python) => {}
                    Some(Family::Node | Family::Java) => unlimited.beside_the_heap.push(name),
                    Some(Family::Provided) | None => unlimited.wholly.push(name),
                }
            }
        }
        unlimited
    }

    /// A function's configuration.
    pub fn get(&self, name: &str) -> Option<FunctionConfig> {
        self.pool.function(name).map(|function| function.config.clone())
    }

    /// What was last seen of a function's code.
    pub fn code(&self, name: &str) -> Option<CodeFacts> {
        self.pool.function(name).map(|function| function.code.facts)
    }

    /// All configurations, by name.
    pub fn list(&self) -> Vec<FunctionConfig> {
        self.pool.functions.read().values().map(|function| function.config.clone()).collect()
    }

    /// Starts a process for the function ahead of its first event, if it has none. What goes wrong is told as a
    /// notice, and again by the first invocation.
    pub fn warm(&self, name: &str) {
        let Some(function) = self.pool.function(name) else { return };
        if function.config.reserved_concurrency == Some(0) || self.pool.slots.is_closed() {
            return;
        }
        if function.environments.lock().is_empty() && function.restart_pause(&*self.pool.clock).is_zero() {
            let environment = Environment::start(&self.pool, &function, None);
            function.release(&environment);
        }
    }

    /// Looks for the function's interpreter ahead of its first event, and tells as a notice when there is none, or not the one of
    /// its runtime. The first invocation finds it the sooner.
    pub async fn look_for_interpreter(&self, name: &str) {
        let Some(function) = self.pool.function(name) else { return };
        let told = launch::interpreter(&function.config, &self.pool.settings, &self.pool.interpreters).await;
        if let Some(text) = told {
            function.warn_once(text);
        }
    }

    /// Looks whether the function's code has changed since its processes were started, at most every
    /// `FUNCTION_CODE_LOOK`. True: it has; what is idle goes, what runs finishes, and from now on invocations see the new
    /// code. An invocation looks by itself; call this for a function that waits to be retried.
    pub async fn look_at_code(&self, name: &str) -> bool {
        match self.pool.function(name) {
            Some(function) => self.pool.look_at_code(function).await,
            None => false,
        }
    }

    /// The names of functions whose code changes from now on.
    pub fn code_changes(&self) -> broadcast::Receiver<String> {
        self.pool.code_changes.subscribe()
    }

    /// Runs the function on an event, and waits for the outcome. Dropping the future does not stop the function.
    pub async fn invoke(&self, name: &str, payload: Bytes, mut context: InvokeContext) -> InvokeOutcome {
        let not_invocable = |reason| InvokeOutcome::NotInvocable { reason };
        if payload.len() > limits::INVOKE_PAYLOAD_BYTES_MAX {
            return not_invocable(NotInvocable::PayloadTooLarge { bytes: payload.len() });
        }
        let turn = self.turn(name, &context);
        let turn = match context.withdraw.clone() {
            None => turn.await,
            Some(Withdraw(withdraw)) => tokio::select! {
                biased;
                turn = turn => turn,
                () = withdraw() => Err(not_invocable(NotInvocable::Withdrawn)),
            },
        };
        let (function, permits) = match turn {
            Ok(turn) => turn,
            Err(outcome) => return outcome,
        };
        let request_id = context.request_id.take().unwrap_or_else(|| self.pool.rng.uuid());
        context.invoked_arn.get_or_insert_with(|| function.config.arn.clone());
        context.trace_id.get_or_insert_with(|| self.pool.trace_id());
        let (reply, outcome) = oneshot::channel();
        let (request_id, second_start_ns) = (request_id.into(), None);
        self.pool
            .dispatch_to(&function, Box::new(Job { request_id, payload, context, reply, second_start_ns, permits }));
        // A reply that is dropped belongs to an environment whose runner was cancelled: the runtime is ending.
        outcome.await.unwrap_or(not_invocable(NotInvocable::Stopping))
    }

    /// Waits until an invocation of the function may go to a process: the function as it is then, and what the invocation holds.
    /// Otherwise how it ended. Whoever drops the future has waited for nothing.
    async fn turn(&self, name: &str, context: &InvokeContext) -> Result<(Arc<Function>, Permits), InvokeOutcome> {
        let not_invocable = |reason| Err(InvokeOutcome::NotInvocable { reason });
        loop {
            let Some(function) = self.pool.function(name) else {
                return not_invocable(NotInvocable::Unknown(name.to_owned()));
            };
            if self.pool.look_at_code(function.clone()).await {
                continue;
            }
            // Before the permits: functions that can be started are not to wait for one that cannot.
            if !self.pool.wait_for_start(&function).await {
                return not_invocable(NotInvocable::Stopping);
            }
            // `None`: the configuration changed while this invocation waited, and the new one has limits of its own.
            let Some(permits) = self.permits(&function, context).await? else { continue };
            // It changed while a slot of the server was waited for, or a start failed meanwhile.
            if !function.is_retired() && !function.is_paused(&*self.pool.clock) {
                return Ok((function, permits));
            }
        }
    }

    /// A slot of the function and a slot of the server; `None`: the function was replaced meanwhile.
    async fn permits(&self, function: &Function, context: &InvokeContext) -> Result<Option<Permits>, InvokeOutcome> {
        let throttled = |reason| Err(InvokeOutcome::Throttled { reason });
        let stopping = Err(InvokeOutcome::NotInvocable { reason: NotInvocable::Stopping });
        let queue = context.queue && function.config.reserved_concurrency != Some(0);
        // Held while it waits, for whoever shows that it does.
        let waits = || context.on_wait.as_ref().map(OnWait::begin);
        let of_function = match function.slots.clone().try_acquire_owned() {
            Err(TryAcquireError::NoPermits) if queue => {
                let _waits = waits();
                function.slots.clone().acquire_owned().await.map_err(|_| TryAcquireError::Closed)
            }
            other => other,
        };
        let of_function = match of_function {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits) => return throttled(ThrottleReason::ReservedConcurrency),
            Err(TryAcquireError::Closed) if self.pool.slots.is_closed() => return stopping,
            Err(TryAcquireError::Closed) => return Ok(None),
        };
        let name = Arc::from(function.config.name.as_str());
        let of_server = match self.pool.slots.try_acquire(&name) {
            Err(NoSlot::Full) if queue => {
                let _waits = waits();
                self.pool.slots.acquire(&name).await
            }
            other => other,
        };
        match of_server {
            Ok(slot) => Ok(Some((of_function, slot, function.watch.run()))),
            Err(NoSlot::Full) => throttled(ThrottleReason::ServerConcurrency),
            Err(NoSlot::Closed) => stopping,
        }
    }

    /// Lets nobody wait any more until a function that failed to start may be started again: such an invocation is
    /// answered with `NotInvocable::Stopping`. Call it when a stop begins; others still run.
    pub fn end_pauses(&self) {
        self.pool.pauses_over.send_replace(true);
    }

    /// Refuses new invocations, waits up to `drain` for the running ones, then stops every process. An invocation
    /// that still runs then is answered with `NotInvocable::Stopping`. Call it before the tokio runtime ends. It comes back
    /// `FUNCTION_STOP_MAX` after the drain at the latest, whatever the processes do.
    pub async fn stop(&self, drain: Duration) {
        self.end_pauses();
        self.pool.slots.close();
        let functions: Vec<_> = self.pool.functions.read().values().cloned().collect();
        functions.iter().for_each(|function| self.pool.retire(function));
        let mut alive = self.pool.alive.subscribe();
        let drained = tokio::time::timeout(drain, alive.wait_for(|&count| count == 0)).await.is_ok();
        if !drained {
            self.pool.stop_now();
            let limit = limits::FUNCTION_STOP_MAX;
            if tokio::time::timeout(limit, alive.wait_for(|&count| count == 0)).await.is_err() {
                tracing::warn!("not every process of a function ended; they are looked for at the next start");
            }
        }
    }
}

impl Pool {
    fn function(&self, name: &str) -> Option<Arc<Function>> {
        self.functions.read().get(name).cloned()
    }

    /// See [`Functions::look_at_code`].
    async fn look_at_code(self: &Arc<Self>, function: Arc<Function>) -> bool {
        let Some(looking) = function.watch.begin() else { return false };
        let (pool, looked_at) = (self.clone(), function.clone());
        let look = move || CodeStamp::of_function(&looked_at.config, &pool.directories.state);
        let Some((code, data)) = looking.look(&self.looks, look).await else { return false };
        let what = if code != function.code {
            function.watch.begin_with(&data);
            "the code has changed; the next invocation runs it".to_owned()
        } else if let Some(data) = function.watch.written(&data) {
            format!("{} has changed; the next invocation starts with it", data.name())
        } else {
            return false;
        };
        let name = &function.config.name;
        let new = Arc::new(Function::new(function.config.clone(), code, function.watch.clone(), self));
        new.warned.lock().clone_from(&function.warned.lock());
        {
            let mut functions = self.functions.write();
            match functions.get_mut(name) {
                Some(current) if Arc::ptr_eq(current, &function) => *current = new.clone(),
                // Replaced or removed meanwhile.
                _ => return false,
            }
        }
        self.retire(&function);
        new.logs.notice(what);
        // Without a receiver nobody wants to know.
        let _ = self.code_changes.send(name.clone());
        true
    }

    /// Waits until a process is free or may be started; false: there will be none, the server is stopping.
    async fn wait_for_start(&self, function: &Function) -> bool {
        let mut over = self.pauses_over.subscribe();
        loop {
            let mut eased = std::pin::pin!(function.eased.notified());
            // What happens from here on is not missed.
            eased.as_mut().enable();
            if !function.is_paused(&*self.clock) {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep(function.restart_pause(&*self.clock)) => {}
                () = eased => {}
                _ = over.wait_for(|over| *over) => return false,
            }
        }
    }

    /// Gives a job that came back to the function of this name, in its newest configuration.
    pub(crate) fn dispatch(self: &Arc<Self>, name: &str, job: Box<Job>) {
        match self.function(name) {
            Some(function) => self.dispatch_to(&function, job),
            None => job.refuse(NotInvocable::Unknown(name.to_owned())),
        }
    }

    fn dispatch_to(self: &Arc<Self>, function: &Arc<Function>, mut job: Box<Job>) {
        while let Some(environment) = function.next_idle(|| self.has_room(function)) {
            match environment.assign(job) {
                Ok(()) => return,
                Err(back) => job = back,
            }
        }
        self.make_room();
        Environment::start(self, function, Some(job));
    }

    /// Whether the function may have one more process beside those that have answered and work on.
    pub(crate) fn has_room(&self, function: &Function) -> bool {
        let own_max = function.config.reserved_concurrency.map_or(usize::MAX, |slots| slots as usize);
        let (own, all) = (function.environments.lock().len(), *self.alive.borrow());
        let has_idle = |other: &Arc<Function>| other.idle.lock().iter().any(|environment| !environment.is_late());
        own < own_max && (all < self.settings.concurrency_max || self.functions.read().values().any(has_idle))
    }

    /// The bound of invocations bounds the busy processes; idle ones of other functions make room for a new one.
    fn make_room(&self) {
        if *self.alive.borrow() < self.settings.concurrency_max {
            return;
        }
        let take = |is_to_go: fn(&Environment) -> bool| {
            self.functions.read().values().find_map(|function| {
                let mut idle = function.idle.lock();
                idle.iter().position(|environment| is_to_go(environment)).map(|at| idle.remove(at))
            })
        };
        if let Some(environment) = take(|environment| !environment.is_late()) {
            environment.retire();
        } else if let Some(environment) = take(Environment::is_late) {
            // What works on behind its answer is in nobody's count: it is broken off before there are more processes than there may be.
            environment.stop_now();
        }
    }

    fn retire(&self, function: &Arc<Function>) {
        function.retire();
        let mut retired = self.retired.lock();
        retired.retain(|other| other.strong_count() > 0);
        retired.push(Arc::downgrade(function));
    }

    /// Ends the processes of every retired configuration.
    fn stop_now(&self) {
        // Before the look at the lists: an environment that is not in one of them yet looks at this itself.
        self.drained.store(true, Ordering::SeqCst);
        let retired: Vec<_> = self.retired.lock().iter().filter_map(Weak::upgrade).collect();
        for function in retired {
            for environment in function.environments.lock().iter() {
                environment.stop_now();
            }
        }
    }

    /// Whether every process has to go now.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::SeqCst)
    }

    /// Counts an environment until the guard is dropped.
    pub(crate) fn alive(self: &Arc<Self>) -> Alive {
        self.alive.send_modify(|count| *count += 1);
        Alive(self.clone())
    }

    /// A trace header that is not sampled.
    fn trace_id(&self) -> String {
        let seconds = self.clock.now().seconds();
        let root: String = self.rng.uuid().chars().filter(|&c| c != '-').take(24).collect();
        format!("Root=1-{seconds:08x}-{root};Parent={:016x};Sampled=0", self.rng.next_u64())
    }
}

/// An environment that is counted.
pub(crate) struct Alive(Arc<Pool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.send_modify(|count| *count -= 1);
    }
}

impl Function {
    fn new(config: FunctionConfig, code: CodeStamp, watch: Arc<Watch>, pool: &Pool) -> Function {
        let slots = config.reserved_concurrency.map_or(pool.settings.concurrency_max, |slots| slots as usize);
        Function {
            logs: LogSender::new(pool.logs.clone(), &config.name, pool.clock.clone()),
            slots: Arc::new(Semaphore::new(slots.min(Semaphore::MAX_PERMITS))),
            config,
            idle: Mutex::default(),
            environments: Mutex::default(),
            restart: Mutex::default(),
            eased: Notify::new(),
            retired: AtomicBool::new(false),
            warned: Mutex::default(),
            told: AtomicBool::new(false),
            code,
            watch,
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// No new invocation comes to this configuration; its processes go once they are done.
    fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.slots.close();
        self.eased.notify_waiters();
        self.idle.lock().clear();
        for environment in self.environments.lock().iter() {
            environment.retire();
        }
    }

    /// An environment has no job any more.
    pub(crate) fn release(&self, environment: &Arc<Environment>) {
        if self.is_retired() {
            environment.retire();
        } else {
            self.idle.lock().push(environment.clone());
            self.eased.notify_waiters();
        }
    }

    /// An environment has no job any more, and its runtime is away: others go first.
    pub(crate) fn take_back(&self, environment: &Arc<Environment>) {
        if self.is_retired() {
            environment.retire();
        } else {
            self.idle.lock().insert(0, environment.clone());
        }
    }

    /// The environment for the next job, if it is not to have a new one: the last that was used and whose runtime is there, or will be
    /// in a moment; without room for a new one also one whose runtime is away.
    fn next_idle(&self, has_room: impl FnOnce() -> bool) -> Option<Arc<Environment>> {
        {
            let mut idle = self.idle.lock();
            if let Some(at) = idle.iter().rposition(|environment| !environment.is_late()) {
                return Some(idle.remove(at));
            }
            if idle.is_empty() {
                return None;
            }
        }
        // Not under the lock: it looks at other functions, too.
        if has_room() { None } else { self.idle.lock().pop() }
    }

    /// An environment has ended.
    pub(crate) fn forget(&self, environment: &Arc<Environment>) {
        self.idle.lock().retain(|other| !Arc::ptr_eq(other, environment));
        self.environments.lock().retain(|other| !Arc::ptr_eq(other, environment));
    }

    /// The generation that a start of now belongs to.
    pub(crate) fn generation(&self) -> Generation {
        self.restart.lock().generation
    }

    /// A process asked for its first event.
    pub(crate) fn started_well(&self) {
        let mut restart = self.restart.lock();
        *restart = Restart { generation: Generation(restart.generation.0 + 1), ..Restart::default() };
        drop(restart);
        self.eased.notify_waiters();
    }

    /// A process ended before it asked for its first event: the next start waits. Of a generation the first counts.
    pub(crate) fn started_badly(&self, generation: Generation, clock: &dyn Clock) {
        let mut restart = self.restart.lock();
        if restart.generation != generation {
            return;
        }
        restart.generation.0 += 1;
        restart.pause =
            (restart.pause * 2).clamp(limits::FUNCTION_RESTART_PAUSE_MIN, limits::FUNCTION_RESTART_PAUSE_MAX);
        restart.not_before_ns = clock.monotonic_ns() + restart.pause.as_nanos() as u64;
    }

    /// An invocation would have to start a process, and must not yet.
    fn is_paused(&self, clock: &dyn Clock) -> bool {
        !self.is_retired() && self.idle.lock().is_empty() && !self.restart_pause(clock).is_zero()
    }

    /// How long the next start has to wait.
    fn restart_pause(&self, clock: &dyn Clock) -> Duration {
        Duration::from_nanos(self.restart.lock().not_before_ns.saturating_sub(clock.monotonic_ns()))
    }

    /// Tells the user what is missing, once for this state of the code.
    pub(crate) fn tell_once(&self, hint: impl FnOnce(&FunctionConfig) -> Option<String>) {
        if let Some(text) = hint(&self.config)
            && !self.told.swap(true, Ordering::SeqCst)
        {
            self.logs.notice(text);
        }
    }

    /// Tells the user something about how it starts, unless that is what was told last.
    pub(crate) fn warn_once(&self, text: String) {
        let mut warned = self.warned.lock();
        if *warned != text {
            warned.clone_from(&text);
            self.logs.notice(text);
        }
    }
}
