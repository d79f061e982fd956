//! A running server: how it starts and how it stops.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_core::clock::Clock;
use tailrace_core::limits;
use tailrace_core::rng::Rng;
use tailrace_engine::Db;
use tailrace_firehose::DeliveryStreams;
use tailrace_lambda::Functions;
use tailrace_mapping::Room;
use tailrace_sinks::destinations::Destinations;
use tailrace_sinks::runtime::{OpenError, Sinks};
use tailrace_sinks::spec::SpecError;
use tailrace_store::StoreError;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::api::ServerApi;
use crate::apply::ApplyError;
use crate::background::Background;
use crate::buckets::Buckets;
use crate::code::Code;
use crate::config::Config;
use crate::lambda_api::LambdaApi;
use crate::logs::{self, FunctionLogWriter, FunctionLogs};
use crate::mappings::Mappings;
use crate::reload::Applied;
use crate::report::Event;
use crate::template::{self, TemplateFileError, Templates};
use crate::{apply, delivery_streams, files, functions, holder, kinesis, open_files, sinks, store};

/// Why the server does not start: one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port is taken, or the address is not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value of `--allowed-host` that is no host.
    #[error("{0:?} is not a host name: allow hosts by their names or addresses, without a path")]
    AllowedHost(String),
    /// The data directory cannot be made.
    #[error("cannot use the data directory {}: {}", path.display(), source)]
    DataDir {
        /// The directory.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store does not open, or a commit of the start failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The thread that opens the store ended with a panic.
    #[error("the store did not open: {0}")]
    StoreThread(String),
    /// The data directory was made with other ARNs.
    #[error(
        "the data directory {} belongs to the region and account {former}, and was to be started with {wanted}: start it with \
         those, or use another directory",
        path.display()
    )]
    OtherArns {
        /// The directory.
        path: std::path::PathBuf,
        /// Region and account that it belongs to.
        former: String,
        /// Those of this start.
        wanted: String,
    },
    /// The directory of the functions' processes.
    #[error(transparent)]
    Functions(#[from] tailrace_lambda::OpenError),
    /// The template cannot be used.
    #[error(transparent)]
    Template(#[from] TemplateFileError),
    /// The template cannot be applied.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// `tailrace.yaml` cannot be used.
    #[error(transparent)]
    SinksFile(#[from] sinks::ConfigFileError),
    /// A sink cannot be made.
    #[error(transparent)]
    Sinks(SpecError),
}

impl StartError {
    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            StartError::Listen { .. } => Code::Listen,
            StartError::AllowedHost(_) => Code::Setting,
            StartError::DataDir { .. } => Code::DataDirectory,
            StartError::Store(error) => Code::of_store(error),
            StartError::StoreThread(_) => Code::Internal,
            StartError::OtherArns { .. } => Code::OtherRegion,
            StartError::Functions(_) => Code::FunctionDirectory,
            StartError::Template(
                TemplateFileError::NotFound { .. }
                | TemplateFileError::Stacks { .. }
                | TemplateFileError::NoStacks { .. },
            ) => Code::NoTemplate,
            StartError::Template(TemplateFileError::Unreadable { .. }) => Code::TemplateUnreadable,
            StartError::Template(TemplateFileError::Malformed { .. } | TemplateFileError::Else { .. }) => {
                Code::TemplateMalformed
            }
            StartError::Template(TemplateFileError::Content(_)) => Code::TemplateContent,
            StartError::Apply(ApplyError::Store(error)) => Code::of_store(error),
            StartError::Apply(_) => Code::TemplateNotApplied,
            StartError::SinksFile(_) | StartError::Sinks(_) => Code::SinksFile,
        }
    }
}

/// A running server. Stop it with [`Server::stop`]; dropping it stops nothing in order.
pub struct Server {
    address: SocketAddr,
    pub(crate) db: Arc<Db>,
    pub(crate) functions: Functions,
    pub(crate) mappings: Arc<Mappings>,
    sinks: Sinks,
    pub(crate) delivery_streams: DeliveryStreams,
    destinations: Destinations,
    lambda: Arc<LambdaApi>,
    ready: Arc<AtomicBool>,
    stop_serving: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    logs: JoinHandle<()>,
    kept_logs: FunctionLogs,
    background: Background,
    /// What the template was read with.
    pub(crate) template_options: template::Options,
    pub(crate) buckets: Buckets,
    pub(crate) applied: tokio::sync::Mutex<Applied>,
}

impl Server {
    /// Starts: see the crate's invariants for the order. What happens from then on is told through `events`.
    ///
    /// # Errors
    /// The first thing that stands in the way.
    pub fn start(
        config: Config,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        events: mpsc::Sender<Event>,
    ) -> BoxFuture<'static, Result<Server, StartError>> {
        // Boxed here: the code of a future is made where it is polled, and that of all that a server does would be made again in each
        // crate, and each place, that starts one.
        Server::begin(config, clock, rng, events).boxed()
    }

    async fn begin(
        config: Config,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        events: mpsc::Sender<Event>,
    ) -> Result<Server, StartError> {
        if let Some(bad) = config.allowed_hosts.iter().find(|host| tailrace_wire::host_name(host).is_none()) {
            return Err(StartError::AllowedHost(bad.clone()));
        }
        let (connections_max, lowered) = open_files::connections_max(config.wire.connections_max);
        if let Some(line) = lowered {
            let _ = events.try_send(Event::Notice(line));
        }
        let wanted = SocketAddr::new(config.host, config.port);
        let listen_failed = |source| StartError::Listen { address: wanted, source };
        // A port that is taken is known before anything is touched. Early clients wait in the backlog.
        let listener = listen(wanted).map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;
        let mut sinks_file = match sinks_path(&config)? {
            Some(path) => sinks::read(&path)?,
            None => sinks::SinksFile::default(),
        };
        for line in std::mem::take(&mut sinks_file.doubts) {
            let _ = events.try_send(Event::Notice(line));
        }
        let kinesis = kinesis::Place::new(&sinks_file.kinesis, &sinks_file.base, config.kinesis_endpoint.as_deref());
        if let Some(place) = &kinesis {
            place.check().map_err(StartError::Sinks)?;
        }
        let template_options = template_options(&config, kinesis.is_some());
        let plan = match &config.templates {
            Some(templates) => Some(template::read(templates, &template_options)?),
            None => None,
        };
        if let Some(plan) = &plan {
            sinks_file.add(&plan.sinks).map_err(StartError::Sinks)?;
        }
        let data_dir_failed = |source| StartError::DataDir { path: config.data_dir.clone(), source };
        std::fs::create_dir_all(&config.data_dir).map_err(data_dir_failed)?;
        let data_dir = config.data_dir.canonicalize().map_err(data_dir_failed)?;
        let store = store::open(&data_dir, Arc::clone(&clock), rng.as_ref(), config.last_words).await;
        let store = store.map_err(|error| match error {
            StartError::Store(error) => StartError::Store(holder::told(error, &data_dir)),
            error => error,
        })?;
        holder::note(&data_dir, address);
        let engine = tailrace_engine::Settings { kinesis_destinations: kinesis.is_some(), ..config.engine.clone() };
        let db = Db::open(store.engine, Arc::clone(&clock), Arc::clone(&rng), engine).await;
        let db = Arc::new(db?);
        same_arns(&db, &data_dir)?;
        if let Some(warning) = store.warning {
            let _ = events.try_send(Event::Notice(warning));
        }

        let (log_sender, log_receiver) = mpsc::channel(limits::FUNCTION_LOG_LINES_QUEUED_MAX);
        let mut function_settings = tailrace_lambda::Settings::new(data_dir.join("functions"));
        function_settings.environment = config
            .function_environment(address.port())
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        function_settings.node_path = node_path(&config);
        let functions = Functions::open(function_settings, Arc::clone(&clock), Arc::clone(&rng), log_sender)?;
        let (kept_logs, log_writer) = FunctionLogs::open(logs::directory(&data_dir), events.clone());
        let logs = tokio::spawn(forward_logs(log_receiver, log_writer, events.clone()));
        let refused = functions::load(db.store().as_ref(), &functions).await;
        for line in refused? {
            let _ = events.try_send(Event::Notice(line));
        }
        let notices = events.clone();
        let tell = move |line: String| drop(notices.try_send(Event::Notice(format!("template: {line}"))));
        // A template's tables may wait for what is done behind the operations: the filling of an index.
        let background = Background::start(&db);
        let mut made = None;
        let applied = tokio::sync::Mutex::new(plan.clone().map(Applied::new).unwrap_or_default());
        let buckets = Buckets::new(config.template_values.s3_endpoint.clone(), data_dir.join("functions/objects"));
        if let Some(mut plan) = plan {
            plan.skipped.iter().cloned().for_each(&tell);
            let begun = match buckets.fetch(&mut plan, &tell).await {
                Ok(()) => apply::begin(plan, &db, &functions, &tell).await,
                Err(why) => Err(why),
            };
            match begun {
                Ok(begun) => made = Some(begun),
                Err(why) => return Err(undo(background, &db, StartError::Apply(why)).await),
            }
        }
        let unused = functions.clone();
        let _ = tokio::task::spawn_blocking(move || unused.sweep_packages(0)).await;
        let configured = (&sinks_file.firehose, sinks_file.base.as_path());
        // What all of them read ahead is bounded together.
        let room = Room::default();
        let given = (&clock, &rng, &room);
        let streams = delivery_streams::load(&db, given, functions.clone(), configured, &data_dir, events.clone());
        let delivery_streams = match streams.await {
            Ok(streams) => streams,
            Err(error) => return Err(undo(background, &db, error.into()).await),
        };
        let runtime = config.background.clone().unwrap_or_else(Handle::current);
        let given = (&clock, &rng, &room, &runtime);
        let sinks = sinks::load(&db, given, &sinks_file, &data_dir, delivery_streams.putter(), events.clone()).await;
        let sinks = match sinks {
            Ok(sinks) => sinks,
            Err(OpenError::Spec(error)) => return Err(undo(background, &db, StartError::Sinks(error)).await),
            Err(OpenError::Store(error)) => return Err(undo(background, &db, StartError::Store(error)).await),
        };
        let destinations = match kinesis::load(&db, given, kinesis, events.clone()).await {
            Ok(destinations) => destinations,
            Err(error) => {
                let error = StoreError::Io(format!("the Kinesis destinations of tables: {error}"));
                return Err(undo(background, &db, error.into()).await);
            }
        };
        background.trim();
        let told = events.clone();
        let mappings =
            Mappings::load(Arc::clone(&db), functions.clone(), Arc::clone(&clock), Arc::clone(&rng), room, events);
        let mappings = Arc::new(mappings.await?);
        let lambda = LambdaApi::new(&db, Arc::clone(&mappings), functions.clone(), clock, Arc::clone(&rng), told);
        let lambda = Arc::new(lambda);

        let ready = Arc::new(AtomicBool::new(false));
        let api = ServerApi {
            db: Arc::clone(&db),
            mappings: Arc::clone(&mappings),
            sinks: sinks.clone(),
            delivery_streams: delivery_streams.clone(),
            logs: kept_logs.clone(),
            jobs: background.jobs().clone(),
            lambda: Arc::clone(&lambda),
            ready: Arc::clone(&ready),
        };
        let mut wire = config.wire.clone();
        wire.region = config.engine.region.clone();
        wire.extra_hosts = config.allowed_hosts.clone();
        wire.connections_max = connections_max;
        let (stop_serving, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            match tailrace_wire::serve(listener, api, wire, rng.as_ref(), stopped).await {
                Ok(report) if report.connections_cut + report.requests_left > 0 => {
                    tracing::warn!(?report, "the stop did not wait for everything");
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the listener failed"),
            }
        });
        let server = Server {
            address,
            db,
            functions,
            mappings,
            sinks,
            delivery_streams,
            destinations,
            lambda,
            ready,
            stop_serving,
            serving,
            logs,
            kept_logs,
            background,
            template_options,
            buckets,
            applied,
        };
        if let Some(made) = made {
            let streams = apply::delivery_streams(made.delivery_streams(), &server.delivery_streams, &tell).await;
            let applied = match streams {
                Ok(()) => apply::mappings(made, &server.db, &server.mappings, &tell).await,
                Err(why) => Err(why),
            };
            if let Err(why) = applied {
                server.stop().await?;
                return Err(StartError::Apply(why));
            }
        }
        server.mappings.start().await;
        server.sinks.start().await;
        server.delivery_streams.start().await;
        server.destinations.start().await;
        let used: BTreeSet<String> =
            server.mappings.overview().await?.into_iter().map(|mapping| mapping.function).collect();
        let functions = server.functions.clone();
        // Not waited for: to ask a program what it is takes a moment.
        tokio::spawn(async move {
            for name in used {
                functions.look_for_interpreter(&name).await;
            }
        });
        server.ready.store(true, Ordering::Release);
        Ok(server)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The database.
    pub fn db(&self) -> &Arc<Db> {
        &self.db
    }

    /// The functions whose memory nothing limits on this machine.
    pub fn without_memory_limit(&self) -> tailrace_lambda::Unlimited {
        self.functions.without_memory_limit()
    }

    /// The mappings.
    pub fn mappings(&self) -> &Arc<Mappings> {
        &self.mappings
    }

    /// The delivery streams.
    pub fn delivery_streams(&self) -> &DeliveryStreams {
        &self.delivery_streams
    }

    /// The Kinesis destinations of tables.
    pub fn destinations(&self) -> &Destinations {
        &self.destinations
    }

    /// The sinks.
    pub fn sinks(&self) -> &Sinks {
        &self.sinks
    }

    /// Stops: delivery streams, sinks and mappings drain, then functions end, then requests finish, then the store closes.
    ///
    /// # Errors
    /// The store did not close well.
    pub fn stop(self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.end().boxed()
    }

    async fn end(self) -> Result<(), StoreError> {
        self.ready.store(false, Ordering::Release);
        self.background.stop().await;
        let flushes = async {
            tokio::join!(self.sinks.shutdown(), self.delivery_streams.shutdown(), self.destinations.shutdown())
        };
        if tokio::time::timeout(SINK_DRAIN, flushes).await.is_err() {
            tracing::warn!(
                "not every flush of a sink or a delivery stream ended in time; a later start sends it again"
            );
        }
        if tokio::time::timeout(FUNCTION_DRAIN, self.mappings.stop()).await.is_err() {
            // What still runs is ended, so that its batch comes back to its mapping; a later start delivers it again.
            self.functions.stop(Duration::ZERO).await;
            if tokio::time::timeout(CHECKPOINT_DRAIN, self.mappings.stop()).await.is_err() {
                tracing::warn!("not every checkpoint could be written; a later start delivers its records again");
            }
        }
        self.functions.stop(FUNCTION_DRAIN).await;
        let events = self.lambda.stop();
        if events > 0 {
            tracing::warn!(events, "events of functions that nobody waits for were not done, and are gone");
        }
        self.kept_logs.end_waits();
        drop(self.stop_serving);
        let _ = self.serving.await;
        let closed = self.db.store().shutdown().await;
        drop((self.functions, self.mappings, self.lambda, self.delivery_streams, self.destinations));
        // The last lines that functions printed are still on their way; they end with the last of the handles.
        let _ = tokio::time::timeout(LAST_LINES, self.logs).await;
        closed
    }
}

/// How long a checkpoint is waited for once no function runs: a disk without room must not hold up the end.
const CHECKPOINT_DRAIN: Duration = Duration::from_secs(2);

/// How long a flush that is under way is waited for.
const SINK_DRAIN: Duration = Duration::from_secs(5);

/// How long functions that run are waited for.
const FUNCTION_DRAIN: Duration = limits::HTTP_SHUTDOWN_DEFAULT;

/// How long a stop waits for the last lines that functions printed.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Region and account are in every ARN: with others, mappings, functions and clients would refer to what is no longer there,
/// and a template would map each stream a second time, from its beginning.
fn same_arns(db: &Db, data_dir: &Path) -> Result<(), StartError> {
    let Some(former) = db.former_arn_scope() else { return Ok(()) };
    Err(StartError::OtherArns {
        path: data_dir.to_owned(),
        former: former.to_owned(),
        wanted: db.settings().arn_scope(),
    })
}

/// Listens as the library would, but for the backlog.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that was stopped leaves connections behind that would keep its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::HTTP_BACKLOG)
}

/// Ends what a start that fails has begun.
async fn undo(background: Background, db: &Db, why: StartError) -> StartError {
    background.stop().await;
    match db.store().shutdown().await {
        Ok(()) => why,
        Err(error) => error.into(),
    }
}

/// The files of templates.
fn template_files(config: &Config) -> impl Iterator<Item = &Path> {
    config.templates.iter().flat_map(Templates::files)
}

/// The configuration of sinks: the one that was named, or the one beside a template; beside none that a tool has built, the one of the
/// project which that is of.
///
/// # Errors
/// Several templates have one each: the sinks of one would be missing.
pub fn sinks_path(config: &Config) -> Result<Option<PathBuf>, StartError> {
    if config.sinks.is_some() {
        return Ok(config.sinks.clone());
    }
    let of_template = |file: &Path| {
        let directory = files::directory_of(file);
        sinks::beside(directory).or_else(|| sinks::beside(&template::home_of(&directory.canonicalize().ok()?)))
    };
    let beside: BTreeSet<PathBuf> = template_files(config).filter_map(of_template).collect();
    if beside.len() > 1 {
        let files: Vec<String> = beside.iter().map(|file| file.display().to_string()).collect();
        let text =
            format!("several templates have a configuration beside them: choose with --config {}", files.join(" or "));
        return Err(StartError::Sinks(SpecError(text)));
    }
    Ok(beside.into_iter().next())
}

fn template_options(config: &Config, delivers_to_kinesis: bool) -> template::Options {
    template::Options {
        region: config.engine.region.clone(),
        account_id: config.engine.account_id.clone(),
        parameters: config.template_values.parameters.clone(),
        shared_parameters: config.template_values.shared_parameters.clone(),
        parameters_file_beside: template_files(config)
            .find_map(template::parameters_file_beside)
            .filter(|_| !config.template_values.has_file),
        resources: config.template_values.resources.clone(),
        read: template::read_included,
        locate: template::locate,
        fetches: config.template_values.s3_endpoint.is_some(),
        delivers_to_kinesis,
        ..template::Options::default()
    }
}

/// Where Node.js functions look last for packages: in the projects of the templates, beside the templates, where a tool may have
/// built them, and where the server was started.
fn node_path(config: &Config) -> Vec<PathBuf> {
    let beside = template_files(config).filter_map(|path| path.canonicalize().ok()?.parent().map(Path::to_owned));
    let places = beside.flat_map(|beside| [template::home_of(&beside), beside]);
    let mut directories: Vec<PathBuf> = Vec::new();
    for directory in places.chain(std::env::current_dir().ok()) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    directories.into_iter().map(|directory| directory.join("node_modules")).collect()
}

/// Keeps what functions write, and tells it on.
async fn forward_logs(
    mut lines: mpsc::Receiver<tailrace_lambda::LogLine>,
    log_writer: FunctionLogWriter,
    events: mpsc::Sender<Event>,
) {
    while let Some(line) = lines.recv().await {
        log_writer.keep(&line);
        // Whether anybody watches or not.
        let _ = events.send(Event::Log(line)).await;
    }
    log_writer.finish().await;
}
