//! The database: what every operation needs. It knows no operation; [`ops`](crate::ops) stands above it.
//!
//! Invariant: table descriptors are cached together with the bytes that the store holds, and whoever uses a cached one lets
//! the store confirm those bytes, so that nothing is answered from a stale one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tailrace_api::Reading;
use tailrace_core::clock::Clock;
use tailrace_core::limits::{DESCRIPTOR_CACHE_MAX, WIDE_AT_ONCE_MAX, WIDE_KEYS_FREE};
use tailrace_core::rng::Rng;
use tailrace_core::{ApiError, ErrorCode};
use tailrace_store::keyspace::TableKey;
use tailrace_store::{Engine, Key, StoreError};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::failure::store_failure;
use crate::pins::{Pinned, Pins};
use crate::settings::Settings;
use crate::streams;
use crate::streams::iterator::IteratorSecret;
use crate::table::Table;
use crate::throttle::Throttle;
use crate::turns::Turns;

/// The database.
pub struct Db {
    pub(crate) store: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) settings: Settings,
    pub(crate) directory_uuid: String,
    pub(crate) iterator_secret: IteratorSecret,
    first_arn_scope: String,
    descriptors: RwLock<HashMap<String, Arc<StoredTable>>>,
    /// Names of tables that an audit trail is made of, whether there are such tables or not.
    pub(crate) audited: RwLock<BTreeSet<String>>,
    pub(crate) turns: Turns,
    pub(crate) pinned: Pinned,
    /// Who is throttled; `None`: nobody.
    pub(crate) throttle: Option<Throttle>,
    /// An index was made that is to be filled.
    pub(crate) index_made: Notify,
    /// A Kinesis destination of a table was changed, or its table deleted.
    pub(crate) destinations_changed: Notify,
    /// Held by who counts the items of a table anew.
    pub(crate) counting: Arc<tokio::sync::Mutex<()>>,
    /// Those who may hold the items of many keys.
    wide: Semaphore,
    /// Most rows that were held at once by a read by keys.
    #[cfg(test)]
    pub(crate) rows_at_once_max: std::sync::atomic::AtomicUsize,
    /// How many commits of items were decided.
    #[cfg(test)]
    pub(crate) item_commits: std::sync::atomic::AtomicUsize,
    /// Bytes of the largest item that a commit's body looked into.
    #[cfg(test)]
    pub(crate) planned_bytes_max: std::sync::atomic::AtomicUsize,
}

impl Db {
    /// Opens the database over a store: makes the data directory's identity on the first call.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(
        store: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
        settings: Settings,
    ) -> Result<Db, StoreError> {
        let identity = streams::iterator::identity(store.as_ref(), rng.as_ref(), &settings.arn_scope()).await?;
        let throttle = Throttle::new(&settings, &clock);
        Ok(Db {
            store,
            clock,
            rng,
            settings,
            directory_uuid: identity.directory_uuid,
            iterator_secret: identity.secret,
            first_arn_scope: identity.arn_scope,
            descriptors: RwLock::default(),
            audited: RwLock::default(),
            turns: Turns::default(),
            pinned: Pinned::default(),
            throttle,
            index_made: Notify::new(),
            destinations_changed: Notify::new(),
            counting: Arc::default(),
            wide: Semaphore::new(WIDE_AT_ONCE_MAX),
            #[cfg(test)]
            rows_at_once_max: std::sync::atomic::AtomicUsize::default(),
            #[cfg(test)]
            item_commits: std::sync::atomic::AtomicUsize::default(),
            #[cfg(test)]
            planned_bytes_max: std::sync::atomic::AtomicUsize::default(),
        })
    }

    /// One more whom the retention asks before it trims. Held weakly.
    pub fn add_pins(&self, pins: &Arc<dyn Pins>) {
        self.pinned.add(pins);
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn Engine> {
        &self.store
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The randomness.
    pub fn rng(&self) -> &Arc<dyn Rng> {
        &self.rng
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Region and account of the ARNs when the data directory was first started, `us-east-1:000000000000`, if they are
    /// others now: every table and stream has another ARN than it had then.
    pub fn former_arn_scope(&self) -> Option<&str> {
        Some(self.first_arn_scope.as_str()).filter(|first| *first != self.settings.arn_scope())
    }

    /// How requests are read here.
    pub fn reading(&self) -> Reading<'_> {
        let Settings { wording, region, account_id, .. } = &self.settings;
        Reading { wording: *wording, region, account_id }
    }

    /// Waits for the turn to hold the items of so many keys at once, if they are many: each may be one of the largest.
    pub(crate) async fn wide_turn(&self, keys: usize) -> Option<SemaphorePermit<'_>> {
        if keys <= WIDE_KEYS_FREE {
            return None;
        }
        Some(self.wide.acquire().await.expect("invariant: the turns are never closed"))
    }

    /// The values of rows, all of one point in time.
    ///
    /// # Errors
    /// The store's failure.
    pub(crate) async fn rows(&self, keys: &[Key]) -> Result<Vec<Option<Bytes>>, ApiError> {
        #[cfg(test)]
        self.rows_at_once_max.fetch_max(keys.len(), std::sync::atomic::Ordering::Relaxed);
        self.store.get(keys).await.map_err(|e| store_failure(&e))
    }

    /// The descriptor of a table by name, for the data plane.
    ///
    /// # Errors
    /// ResourceNotFoundException in the data plane's words, or the store's failure.
    pub async fn table(&self, name: &str) -> Result<Arc<StoredTable>, ApiError> {
        self.find_table(name).await?.filter(|table| self.serves(table)).ok_or_else(no_such_table)
    }

    /// The descriptor of a table by name; `None` if there is no such table.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn find_table(&self, name: &str) -> Result<Option<Arc<StoredTable>>, ApiError> {
        let keys = [TableKey::key(name)];
        let mut values = self.rows(&keys).await?;
        match values.pop().flatten() {
            Some(value) => self.read_table(name, &value).map(Some),
            None => Ok(None),
        }
    }

    /// The descriptor of a table, perhaps as it was last seen: saves a read. Whoever uses it lets the store confirm it together
    /// with what he reads or writes ([`Db::confirm`]), and asks [`Db::newer_table`] before he tells of an error.
    ///
    /// # Errors
    /// As for [`Db::table`].
    pub(crate) async fn likely_table(&self, name: &str) -> Result<Arc<StoredTable>, ApiError> {
        let cached = self.descriptors.read().get(name).cloned();
        match cached {
            Some(table) if self.serves(&table) => Ok(table),
            _ => self.table(name).await,
        }
    }

    /// The table that has the name of `table` now, if that is another one, or another descriptor of the same: whatever `table` was
    /// refused for may hold no more.
    ///
    /// # Errors
    /// As for [`Db::table`].
    pub(crate) async fn newer_table(&self, table: &StoredTable) -> Result<Option<Arc<StoredTable>>, ApiError> {
        let now = self.table(&table.name).await?;
        Ok((!now.is(&table.row)).then_some(now))
    }

    /// The table `likely` as the store has it now: `row` is what was read of its descriptor.
    ///
    /// # Errors
    /// ResourceNotFoundException if the table is gone, also if another one has its name.
    pub(crate) fn confirm(&self, likely: &Arc<StoredTable>, row: Option<&Bytes>) -> Result<Arc<StoredTable>, ApiError> {
        match row {
            Some(row) if likely.is(row) && self.serves(likely) => Ok(Arc::clone(likely)),
            Some(row) => {
                let now = self.read_table(&likely.name, row)?;
                if now.id == likely.id && self.serves(&now) { Ok(now) } else { Err(no_such_table()) }
            }
            None => Err(no_such_table()),
        }
    }

    /// The data plane knows the table: it is neither being made nor deleted, as far as is told.
    fn serves(&self, table: &Table) -> bool {
        table.transitions.is_empty() || table.is_served(self.clock.now())
    }

    /// The key of a table's descriptor: a shared key of every commit of its items.
    pub fn table_key(name: &str) -> Key {
        TableKey::key(name)
    }

    /// Reads a descriptor that a commit's body or a `get` was given. Cheap: the bytes are decoded once.
    ///
    /// # Errors
    /// InternalServerError if the bytes are no descriptor.
    pub fn read_table(&self, name: &str, row: &Bytes) -> Result<Arc<StoredTable>, ApiError> {
        if let Some(known) = self.descriptors.read().get(name)
            && known.is(row)
        {
            return Ok(Arc::clone(known));
        }
        let table = Table::decode(row).map_err(|e| {
            tracing::error!(table = name, error = %e, "the descriptor of a table cannot be read");
            ApiError::new(ErrorCode::InternalServerError, format!("the descriptor of table {name} cannot be read: {e}"))
        })?;
        let stored = Arc::new(StoredTable { table, row_key: TableKey::key(name), row: row.clone() });
        let mut descriptors = self.descriptors.write();
        if descriptors.len() >= DESCRIPTOR_CACHE_MAX {
            descriptors.clear();
        }
        descriptors.insert(name.to_owned(), Arc::clone(&stored));
        Ok(stored)
    }
}

/// A table's descriptor with the row that it was read from: what a commit compares to know that nothing has changed.
#[derive(Clone, Debug)]
pub struct StoredTable {
    table: Table,
    /// The key of the row.
    pub row_key: Key,
    /// The row's value as the store has it. Another version of this code may have written it, so it need not be what the
    /// descriptor encodes to.
    pub row: Bytes,
}

impl StoredTable {
    /// Whether the row is the one that was read. Mostly the store hands out the very same bytes again.
    fn is(&self, row: &Bytes) -> bool {
        (self.row.as_ptr(), self.row.len()) == (row.as_ptr(), row.len()) || self.row == *row
    }
}

impl std::ops::Deref for StoredTable {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

/// The data plane's ResourceNotFoundException.
pub(crate) fn no_such_table() -> ApiError {
    ApiError::not_found("Requested resource not found")
}
