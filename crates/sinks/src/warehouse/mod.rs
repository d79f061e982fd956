//! PostgreSQL and Redshift: a table with a row for each item, or a row for each change.
//!
//! # What exactly-once means here
//!
//! A flush is one transaction at the database, and in it moves the shard's progress, from what was seen to the flush's end, under
//! the owner's epoch. So a flush that comes again finds itself there and changes nothing; one that is there in part (a flush of
//! another end) is gone on with; an older owner is kept out; a COMMIT without an answer is asked about in the next try.
//! The source's checkpoint is not looked at.
//!
//! A row of the items' table tells the number of the change that made it, and an older one never replaces it. Rows of items
//! that are gone are gone: order comes from the shard, not from the rows.
//!
//! # Ways
//!
//! `config` reads what a user says, `layout` makes columns of it, `tables` makes the tables and claims the target, `records` makes
//! rows of records, `bring` and `bring_objects` bring them in, `ledger` keeps what is known at the target. `dialect` is the seam
//! between the two databases, `session` that to the network. `load` is the COPY of somebody else: of delivery streams.

mod address;
mod bring;
mod bring_objects;
mod cell;
mod client;
mod config;
mod dialect;
mod document;
mod layout;
mod ledger;
pub mod load;
mod postgres;
mod promoted;
mod records;
mod redshift;
mod session;
mod sql_type;
mod stage;
mod standing;
mod tables;
mod tls;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::StoreError;

use self::address::Engine;
use self::config::Checked;
use self::dialect::{Dialect, Limits, NoSuchType};
use self::ledger::{Holder, generation_since};
use self::postgres::Postgres;
use self::promoted::Promoted;
use self::records::Rows;
use self::redshift::{CopySource, Redshift};
use self::session::{Connector, Failure, Meaning, Pool, Pooled, rows};
use self::tables::{Making, Ready};
use crate::computed::{computed, stored_bytes};
use crate::objects::store::ObjectError;
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Sink, SinkError, SourceTable};

pub use self::config::{Config, ConfigError, Mode, Staging};
pub use self::stage::Stage;

/// How often a transaction is tried at once; then the flush comes again.
const TRIES: usize = 3;
/// The time to remove what a rebuild has left behind: a statement over the whole table.
const SWEEP_TIME: Duration = Duration::from_secs(900);
/// What a row has besides the item, bytes.
const ROW_OVERHEAD: usize = 64;
/// Versions of sources whose targets are claimed; each is there for as long as the process.
const READY_MAX: usize = 1024;

/// The sink.
pub struct Warehouse(Arc<Inner>);

struct Inner {
    name: String,
    config: Config,
    promoted: Vec<Promoted>,
    dialect: Arc<dyn Dialect>,
    /// Where rows are loaded from, if not from the connection.
    objects: Option<Objects>,
    bounds: Bounds,
    limits: Limits,
    pool: Pool,
    /// By stream and version.
    ready: Mutex<HashMap<(String, u32), Ready>>,
    /// Tables are made by one at a time.
    making: tokio::sync::Mutex<()>,
}

struct Objects {
    stage: Arc<dyn Stage>,
    source: CopySource,
    dialect: Redshift,
}

/// A try failed.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// The same may well succeed at once.
    Again(String),
    /// It may later, or when somebody has mended something.
    Stop(String),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Trouble {
        let text = failure.text().to_owned();
        match failure.meaning() {
            Meaning::Again => Trouble::Again(text),
            Meaning::Data | Meaning::Stop => Trouble::Stop(text),
        }
    }
}

impl From<NoSuchType> for Trouble {
    fn from(NoSuchType(error): NoSuchType) -> Trouble {
        Trouble::Stop(error)
    }
}

/// The place was asked as often as it is good for, by whoever puts objects there.
impl From<ObjectError> for Trouble {
    fn from(error: ObjectError) -> Trouble {
        Trouble::Stop(error.to_string())
    }
}

impl Warehouse {
    /// The sink `name` into the database of the configuration; nothing is asked of it yet. `stage`: the place that `staging`
    /// names; only Redshift has one.
    ///
    /// # Errors
    /// The configuration cannot be right, or names files that cannot be read.
    pub fn new(name: &str, config: Config, stage: Option<Arc<dyn Stage>>) -> Result<Warehouse, ConfigError> {
        let checked = config.check()?;
        let mut settings = checked.address.settings.clone();
        if let Some(password) = &config.password {
            settings.password(password.expose());
        }
        let read = |path: &std::path::PathBuf| {
            std::fs::read(path).map_err(|error| ConfigError::Tls(format!("sslrootcert: {}: {error}", path.display())))
        };
        let roots = match (&config.ca, &checked.address.root_file) {
            (Some(pem), _) => Some(pem.clone().into_bytes()),
            (None, Some(path)) => Some(read(path)?),
            (None, None) => None,
        };
        let mode = checked.address.tls(roots.is_some());
        let tls = tls::connector(mode, roots.as_deref())?;
        settings.ssl_mode(mode.negotiation());
        let beginning = dialect(checked.engine).session(&checked.limits);
        let hidden = config.hidden(settings.get_password());
        let server = client::Server::new(settings, tls, checked.limits, beginning, checked.address.hosts(), hidden);
        Warehouse::with(name, config, checked, Arc::new(server), stage)
    }

    fn with(
        name: &str,
        config: Config,
        checked: Checked,
        connector: Arc<dyn Connector>,
        stage: Option<Arc<dyn Stage>>,
    ) -> Result<Warehouse, ConfigError> {
        let objects = match (checked.copy, stage) {
            (None, _) => None,
            (Some(source), Some(stage)) => Some(Objects { stage, source, dialect: Redshift }),
            (Some(_), None) => return Err(ConfigError::Staging("there is no place for objects".to_owned())),
        };
        Ok(Warehouse(Arc::new(Inner {
            name: name.to_owned(),
            promoted: checked.promoted,
            dialect: dialect(checked.engine),
            objects,
            bounds: checked.bounds,
            limits: checked.limits,
            pool: Pool::new(connector, checked.connections),
            ready: Mutex::new(HashMap::new()),
            making: tokio::sync::Mutex::new(()),
            config,
        })))
    }
}

fn dialect(engine: Engine) -> Arc<dyn Dialect> {
    match engine {
        Engine::Postgres => Arc::new(Postgres),
        Engine::Redshift => Arc::new(Redshift),
    }
}

impl Sink for Warehouse {
    fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    /// The rows of items compare numbers, so that any flush will do; those of a change log, and names of objects, do not.
    fn plans(&self) -> bool {
        self.0.config.mode == Mode::Append || self.0.objects.is_some()
    }

    fn needs(&self) -> Images {
        let is_merge = self.0.config.mode == Mode::Merge;
        Images { old: false, new: is_merge || !self.0.promoted.is_empty() }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        let old = if self.0.config.mode == Mode::Append { record.old.as_ref() } else { None };
        let images = record.new.iter().chain(old).map(bytes::Bytes::len);
        Ok(images.sum::<usize>() + record.meta.keys.len() + ROW_OVERHEAD)
    }

    fn prepare(&self, source: Arc<SourceTable>) -> BoxFuture<'static, Result<(), SinkError>> {
        let inner = self.0.clone();
        async move { inner.tried(|| inner.prepare(&source)).await }.boxed()
    }

    fn snapshot_done(
        &self,
        source: Arc<SourceTable>,
        since: u32,
        version: u32,
    ) -> BoxFuture<'static, Result<(), SinkError>> {
        let inner = self.0.clone();
        async move { inner.tried(|| inner.sweep(&source, since, version)).await }.boxed()
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = self.0.clone();
        async move {
            let (flush, made) = (Arc::new(flush), Made::default());
            inner.tried(|| inner.attempt(&flush, &made)).await
        }
        .boxed()
    }
}

/// The rows of a flush, made once for the generation of the first try.
type Made = Mutex<Option<(i64, Arc<Rows>)>>;

impl Inner {
    /// Tries a few times, in a place of the pool.
    async fn tried<T, F: Future<Output = Result<T, Trouble>>>(&self, work: impl Fn() -> F) -> Result<T, SinkError> {
        let _place = self.pool.place().await;
        let mut why = String::new();
        for _ in 0..TRIES {
            match work().await {
                Ok(done) => return Ok(done),
                Err(Trouble::Again(text)) => why = text,
                Err(Trouble::Stop(text)) => return Err(SinkError(text)),
            }
        }
        Err(SinkError(why))
    }

    /// A server that cannot be reached is not called again at once.
    async fn session(&self) -> Result<Pooled<'_>, Trouble> {
        self.pool.session().await.map_err(|failure| Trouble::Stop(failure.text().to_owned()))
    }

    async fn prepare(&self, source: &SourceTable) -> Result<(), Trouble> {
        let mut session = self.session().await?;
        let _making = self.making.lock().await;
        self.make_tables(&mut *session, source, Making::Ahead).await?;
        session.give_back();
        Ok(())
    }

    async fn attempt(&self, flush: &Arc<Flush>, made: &Made) -> Result<Flushed, Trouble> {
        let mut session = self.session().await?;
        let ready = self.ready(&mut *session, &flush.source, flush.version).await?;
        let rows = self.rows(flush, &ready, made).await?;
        let is_retry = flush.origin == Origin::Retry;
        let done = match &self.objects {
            None if is_retry => self.bring_again(&mut *session, flush, &ready, &rows).await,
            None => self.bring(&mut *session, flush, &ready, &rows).await,
            Some(objects) if is_retry => self.bring_objects_again(&mut *session, objects, flush, &ready, &rows).await,
            Some(objects) => self.bring_objects(&mut *session, objects, flush, &ready, &rows).await,
        };
        match done {
            Ok(flushed) => {
                session.give_back();
                Ok(flushed)
            }
            Err(trouble) => {
                // Somebody may have changed the tables, or taken them away: that is looked at the next time.
                self.forget(&ready);
                Err(trouble)
            }
        }
    }

    /// The target of a source under a version, claimed.
    async fn ready(
        &self,
        session: &mut dyn session::Session,
        source: &SourceTable,
        version: u32,
    ) -> Result<Ready, Trouble> {
        let key = (source.stream_arn.as_str().to_owned(), version);
        if let Some(ready) = self.ready.lock().get(&key) {
            return Ok(ready.clone());
        }
        let _making = self.making.lock().await;
        let label = source.stream_arn.as_str().rsplit_once("/stream/").map_or("", |(_, label)| label);
        let holder = Holder { sink: self.name.clone(), source: source.table.clone(), label: label.to_owned(), version };
        let target = self.make_tables(session, source, Making::For(&holder)).await?;
        let generation = self.claim(session, &target, &holder).await?;
        let ready = Ready { target, holder, generation };
        let mut all = self.ready.lock();
        if all.len() >= READY_MAX {
            all.clear();
        }
        all.insert(key, ready.clone());
        Ok(ready)
    }

    fn forget(&self, ready: &Ready) {
        self.ready.lock().retain(|_, other| other.holder != ready.holder);
    }

    async fn rows(&self, flush: &Arc<Flush>, ready: &Ready, made: &Made) -> Result<Arc<Rows>, Trouble> {
        if let Some((generation, rows)) = made.lock().as_ref()
            && *generation == ready.generation
        {
            return Ok(rows.clone());
        }
        let (flush, target, generation) = (flush.clone(), ready.target.clone(), ready.generation);
        let bytes = stored_bytes(&flush.records);
        let make = move || Rows::make(&flush, &target, generation).map_err(|error| Trouble::Stop(error.to_string()));
        let rows = computed(bytes, make).await.map_err(|error| Trouble::Stop(error.to_string()))?;
        let rows = Arc::new(rows?);
        *made.lock() = Some((generation, rows.clone()));
        Ok(rows)
    }

    /// Removes what generations before that of `since` have left in the table of items, which is not so any more. A change log
    /// keeps it, and the list of what it has not taken.
    async fn sweep(&self, source: &SourceTable, since: u32, version: u32) -> Result<(), Trouble> {
        let mut session = self.session().await?;
        let ready = self.ready(&mut *session, source, version).await?;
        let (target, since) = (&ready.target, generation_since(ready.generation, since));
        let answers = self.run(&mut *session, &target.ask_swept()).await?;
        self.same_generation(&ready, rows(&answers, 1))?;
        let swept: i64 = rows(&answers, 1).first().map_or(Ok(0), |row| session::number(row, 1))?;
        if swept >= since {
            self.run(&mut *session, "ROLLBACK").await?;
            session.give_back();
            return Ok(());
        }
        // The session is not given back: its limit is its own.
        self.run(&mut *session, &format!("SET statement_timeout = {}", dialect::millis(SWEEP_TIME))).await?;
        if self.config.mode == Mode::Merge {
            session.run(&target.sweep(since), SWEEP_TIME).await?;
            session.run(&target.forget_rejected(since), SWEEP_TIME).await?;
        }
        self.run(&mut *session, &target.swept(since)).await?;
        self.run(&mut *session, "COMMIT").await.map(drop)
    }
}

#[cfg(test)]
mod tests;
