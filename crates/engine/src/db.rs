//! The database: what every operation needs, and the one entry point of the wire layer.
//!
//! Invariant: table descriptors are cached by the bytes that the store holds, so a cached one is never stale.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use tailrace_core::clock::Clock;
use tailrace_core::limits::DESCRIPTOR_CACHE_MAX;
use tailrace_core::rng::Rng;
use tailrace_core::{ApiError, ErrorCode};
use tailrace_store::keyspace::TableKey;
use tailrace_store::{Engine, Key, StoreError};

use crate::failure::store_failure;
use crate::streams::iterator::IteratorSecret;
use crate::table::Table;
use crate::{ops, streams};

/// Which service an operation belongs to: the prefix of `X-Amz-Target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Service {
    /// `DynamoDB_20120810`.
    DynamoDb,
    /// `DynamoDBStreams_20120810`.
    Streams,
}

/// What an operator can choose of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The region in ARNs and records.
    pub region: String,
    /// The account in ARNs: 12 digits.
    pub account_id: String,
    /// Which of the two wordings of AWS the errors have.
    pub wording: tailrace_core::Wording,
    /// Shards of a new stream, 1 to [`SHARDS_PER_STREAM_MAX`](tailrace_core::limits::SHARDS_PER_STREAM_MAX).
    pub shards_per_stream: usize,
    /// How long a record of a stream, and a disabled stream, can be read, milliseconds.
    pub stream_retention_ms: u64,
}

impl Settings {
    /// Region and account as ARNs have them: `us-east-1:000000000000`.
    pub fn arn_scope(&self) -> String {
        format!("{}:{}", self.region, self.account_id)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account_id: "000000000000".to_owned(),
            wording: tailrace_core::Wording::Current,
            shards_per_stream: 4,
            stream_retention_ms: tailrace_core::limits::STREAM_RETENTION_MS,
        }
    }
}

/// What an operation may know of the request besides its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The `Host` header.
    pub host: Option<String>,
}

/// The database.
pub struct Db {
    pub(crate) store: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) settings: Settings,
    pub(crate) directory_uuid: String,
    pub(crate) iterator_secret: IteratorSecret,
    first_arn_scope: String,
    descriptors: RwLock<HashMap<String, (Bytes, Arc<Table>)>>,
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
        Ok(Db {
            store,
            clock,
            rng,
            settings,
            directory_uuid: identity.directory_uuid,
            iterator_secret: identity.secret,
            first_arn_scope: identity.arn_scope,
            descriptors: RwLock::default(),
        })
    }

    /// Runs an operation: a JSON body in, a JSON body out.
    ///
    /// # Errors
    /// What the client is to read.
    pub async fn execute(
        &self,
        service: Service,
        operation: &str,
        body: &[u8],
        context: &RequestContext,
    ) -> Result<Vec<u8>, ApiError> {
        ops::execute(self, service, operation, body, context).await
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

    /// The descriptor of a table by name, for the data plane.
    ///
    /// # Errors
    /// ResourceNotFoundException in the data plane's words, or the store's failure.
    pub async fn table(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        let found = self.find_table(name).await?;
        found.ok_or_else(|| ApiError::not_found("Requested resource not found"))
    }

    /// The descriptor of a table by name; `None` if there is no such table.
    ///
    /// # Errors
    /// The store's failure.
    pub async fn find_table(&self, name: &str) -> Result<Option<Arc<Table>>, ApiError> {
        let keys = [TableKey::key(name)];
        let mut values = self.store.get(&keys).await.map_err(|e| store_failure(&e))?;
        match values.pop().flatten() {
            Some(value) => self.read_table(name, &value).map(Some),
            None => Ok(None),
        }
    }

    /// The descriptor of a table, perhaps as it was last seen: saves a read. Whoever uses it lets the store confirm the
    /// table's number together with what he reads or writes, and asks [`Db::newer_table`] before he tells of an error.
    ///
    /// # Errors
    /// As for [`Db::table`].
    pub(crate) async fn likely_table(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        let cached = self.descriptors.read().get(name).map(|(_, table)| table.clone());
        match cached {
            Some(table) => Ok(table),
            None => self.table(name).await,
        }
    }

    /// The table that has the name of `table` now, if that is another one.
    ///
    /// # Errors
    /// As for [`Db::table`].
    pub(crate) async fn newer_table(&self, table: &Table) -> Result<Option<Arc<Table>>, ApiError> {
        let now = self.table(&table.name).await?;
        Ok((now.id != table.id).then_some(now))
    }

    /// The key of a table's descriptor: a shared key of every commit of its items.
    pub fn table_key(name: &str) -> Key {
        TableKey::key(name)
    }

    /// Reads a descriptor that a commit's body or a `get` was given. Cheap: the bytes are decoded once.
    ///
    /// # Errors
    /// InternalServerError if the bytes are no descriptor.
    pub fn read_table(&self, name: &str, value: &Bytes) -> Result<Arc<Table>, ApiError> {
        if let Some((bytes, table)) = self.descriptors.read().get(name)
            && bytes == value
        {
            return Ok(table.clone());
        }
        let table = Arc::new(Table::decode(value).map_err(|e| {
            tracing::error!(table = name, error = %e, "the descriptor of a table is corrupt");
            ApiError::new(ErrorCode::InternalServerError, format!("the descriptor of table {name} is corrupt: {e}"))
        })?);
        let mut descriptors = self.descriptors.write();
        if descriptors.len() >= DESCRIPTOR_CACHE_MAX {
            descriptors.clear();
        }
        descriptors.insert(name.to_owned(), (value.clone(), table.clone()));
        Ok(table)
    }
}
