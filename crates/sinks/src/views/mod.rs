//! Views: tables that are computed from another table's changes, group by group. Source: docs/spec/sinks.md 6.
//!
//! A view has a table, which is an ordinary one of the same server: it can be read, indexed, streamed and watched like any other. Its items
//! are the groups. What is kept of a group beside its item (how many items it has, exact sums, values in their order) is in rows of
//! the view's own, so that an item is a function of its group's row alone: what somebody else writes into the table is
//! overwritten with the group's next change, and counts for nothing.
//!
//! Exactly once: groups, items and the progress of the shard are one commit, which is refused unless the progress is what it was
//! worked out from. So a flush that comes again, whole, in part, or from another server, is skipped as far as it is applied, and
//! [`Sink::plans`] is false.
//!
//! # Versions, and how the runtime calls them
//!
//! A [`View`] is one version of a view: made of a name, a number and a configuration, once for all shards. A changed configuration is a
//! new version with a higher number, which begins with a snapshot of its own.
//! - The first version of a name is shown by its table from its first flush on.
//! - A later one with the same table is built beside the one that is shown, which goes on meanwhile: the runtime flushes both, each with
//!   its own checkpoints, and calls [`Sink::swap`] once the later one has caught up. From that commit on the table is the new version's, and flushes of the old one fail with an error that says that it was
//!   replaced: the runtime drops that sink. The table's stream goes on, and has what differs between the two.
//! - A later one with another table takes the place of the one before from its first flush on; the table of that stays as it was.
//! - `swap` may be called again, and goes on where a crash has cut it off; so does `prepare`.
//! - [`remove`] forgets a view and all that is kept of it. Its table stays.
//!
//! A view must see each change since its beginning: it begins with a snapshot, and a gap in its stream is mended by a new version only
//! (`rebuild`). The runtime gives it every record of its source: `where` is the view's own affair, because it asks both images.
//! A repeated page of a snapshot has the same records as before.

mod aggregate;
mod apply;
mod config;
mod delta;
mod group;
pub mod limits;
mod path;
mod progress;
mod publish;
mod registry;
mod shape;
mod table;
mod targets;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Db, StoredTable};
use tailrace_store::StoreError;
use tailrace_store::keyspace::ViewVersion;
use tokio::runtime::{Handle, RuntimeFlavor};

use self::config::Definition;
use self::shape::Shape;
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Sink, SinkError, SourceTable};

pub use self::aggregate::AggregateError;
pub use self::config::{Config, ConfigError, FlushConfig, GroupBy, TypedGroupBy};
pub use self::path::{AttributePath, PathError};
pub use self::registry::Standing;
pub use self::targets::{Edge, TargetError, check as check_targets};

/// One version of a view.
#[derive(Clone)]
pub struct View(Arc<Inner>);

struct Inner {
    db: Arc<Db>,
    name: String,
    version: u32,
    config: Config,
    definition: Definition,
    window: Duration,
    /// Where it stands, once that is known.
    place: Mutex<Option<Arc<Place>>>,
    /// Somebody was told of an item that is in no group for the type of a key.
    is_misfit_told: AtomicBool,
    /// Held by who finds that out.
    preparing: tokio::sync::Mutex<()>,
    /// Held by who changes groups of this version.
    turn: tokio::sync::Mutex<()>,
}

/// What a version of a view works with.
struct Place {
    shape: Shape,
    rows: ViewVersion,
    /// The table that shows it; none while it is built beside another one.
    table: Option<Arc<StoredTable>>,
}

fn failed(error: impl std::fmt::Display) -> SinkError {
    SinkError(error.to_string())
}

impl View {
    /// A version of the view `name`; `version`: as the runtime counts them, from 1.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: Config, name: &str, version: u32, db: Arc<Db>) -> Result<View, ConfigError> {
        let (definition, window) = (config.validate()?, config.window());
        let (place, name) = (Mutex::default(), name.to_owned());
        let (preparing, turn) = (tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let is_misfit_told = AtomicBool::new(false);
        Ok(View(Arc::new(Inner {
            db,
            name,
            version,
            config,
            definition,
            window,
            place,
            is_misfit_told,
            preparing,
            turn,
        })))
    }

    /// Whether the table shows this version, or it is built beside the one that the table shows. To be asked after `prepare`.
    ///
    /// # Errors
    /// It is neither: it was replaced, or removed, or never prepared. Or the store's failure.
    pub async fn standing(&self) -> Result<Standing, SinkError> {
        let entry = registry::read(&self.0.db, &self.0.name).await?;
        let rows = |entry: &registry::ViewEntry| entry.rows_of(self.0.version);
        let standing = entry.and_then(|(entry, _)| rows(&entry).and_then(|rows| entry.standing(rows)));
        standing.ok_or_else(|| registry::replaced(&self.0.name, self.0.version))
    }
}

/// Forgets a view, with all its versions; its table stays as it is.
///
/// # Errors
/// The store's failure. To be called again.
pub async fn remove(db: &Db, name: &str) -> Result<(), SinkError> {
    while let Some((entry, row)) = registry::read(db, name).await? {
        if registry::change(db, name, &row, None, &entry.all_rows()).await? {
            break;
        }
    }
    Ok(())
}

impl Sink for View {
    fn bounds(&self) -> Bounds {
        Bounds { records_max: limits::FLUSH_RECORDS_MAX, bytes_max: limits::FLUSH_BYTES_MAX, window: self.0.window }
    }

    fn pace(&self) -> Duration {
        if self.0.window.is_zero() { limits::PACE } else { Duration::ZERO }
    }

    fn plans(&self) -> bool {
        false
    }

    fn needs(&self) -> Images {
        Images { old: true, new: true }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        let image = |image: &Option<bytes::Bytes>| image.as_ref().map_or(0, bytes::Bytes::len);
        Ok(record.meta.keys.len() + image(&record.old) + image(&record.new))
    }

    fn prepare(&self, source: Arc<SourceTable>) -> BoxFuture<'static, Result<(), SinkError>> {
        let inner = Arc::clone(&self.0);
        aside(async move {
            *inner.place.lock() = None;
            inner.placed(&source).await.map(|_| ())
        })
    }

    fn swap(&self) -> BoxFuture<'static, Result<(), SinkError>> {
        let inner = Arc::clone(&self.0);
        let place = inner.place.lock().clone();
        aside(async move {
            let place = place.ok_or_else(|| SinkError(format!("the view {} is not prepared", inner.name)))?;
            inner.swap(&place).await
        })
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = Arc::clone(&self.0);
        aside(async move { inner.flush(&flush).await })
    }

    fn notice(&self) -> Option<String> {
        let place = self.0.place.lock().clone()?;
        let text = place.shape.misfit()?;
        (!self.0.is_misfit_told.swap(true, Relaxed)).then(|| text.to_owned())
    }
}

impl Inner {
    async fn flush(&self, flush: &Flush) -> Result<Flushed, SinkError> {
        if flush.origin == Origin::Retry {
            // It may be applied already, or be behind what is: nobody can tell.
            return Err(SinkError(format!("the view {} takes no record again: rebuild it", self.name)));
        }
        for _ in 0..limits::ROUNDS_MAX {
            let place = self.placed(&flush.source).await?;
            match self.apply(&place, flush).await {
                Ok(Some(flushed)) => return Ok(flushed),
                // It became the live one meanwhile, and needs its table.
                Ok(None) => self.forget_place(&place),
                Err(error) => {
                    // If its table is gone, the next flush makes it anew.
                    self.forget_place(&place);
                    return Err(error);
                }
            }
        }
        Err(SinkError(format!("others keep changing the view {}", self.name)))
    }

    /// Where it stands; found out by one at a time.
    async fn placed(&self, source: &SourceTable) -> Result<Arc<Place>, SinkError> {
        if let Some(place) = self.place.lock().clone() {
            return Ok(place);
        }
        let _preparing = self.preparing.lock().await;
        let known = self.place.lock().clone();
        match known {
            Some(place) => Ok(place),
            None => self.prepare(source).await,
        }
    }

    fn forget_place(&self, place: &Arc<Place>) {
        let mut known = self.place.lock();
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, place)) {
            *known = None;
        }
    }
}

/// Does what takes milliseconds of a processor on a thread that serves nobody else. A runtime of one thread serves nobody beside it
/// anyway, and so a test of one thread is one order of events.
fn aside<T: Send + 'static>(
    work: impl Future<Output = Result<T, SinkError>> + Send + 'static,
) -> BoxFuture<'static, Result<T, SinkError>> {
    async move {
        let runtime = Handle::current();
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            return work.await;
        }
        match tokio::task::spawn_blocking(move || runtime.block_on(work)).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(SinkError("the server is stopping".to_owned())),
            },
        }
    }
    .boxed()
}
