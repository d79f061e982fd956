//! Who needs records of streams for longer than they are retained: the retention asks before it trims.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tailrace_core::{RecordNo, ShardNo, StreamId};
use tailrace_store::StoreError;

/// Needs records.
pub trait Pins: Send + Sync + 'static {
    /// For each shard of a stream of which somebody has not got everything: the number up to which everybody has. Records above it
    /// are needed.
    ///
    /// # Errors
    /// The store's: then nothing is trimmed.
    fn needed(&self, stream: StreamId) -> BoxFuture<'_, Result<BTreeMap<ShardNo, RecordNo>, StoreError>>;
}

/// The one who is asked. Held weakly: he holds the database.
#[derive(Default)]
pub(crate) struct Pinned(RwLock<Option<Weak<dyn Pins>>>);

impl Pinned {
    pub fn set(&self, pins: &Arc<dyn Pins>) {
        *self.0.write() = Some(Arc::downgrade(pins));
    }

    /// What is needed of a stream.
    pub async fn of(&self, stream: StreamId) -> Result<BTreeMap<ShardNo, RecordNo>, StoreError> {
        let pins = self.0.read().as_ref().and_then(Weak::upgrade);
        match pins {
            Some(pins) => pins.needed(stream).await,
            None => Ok(BTreeMap::new()),
        }
    }
}
