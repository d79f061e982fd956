//! Who needs records of streams for longer than they are retained: the retention asks before it trims.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use tailrace_core::{RecordNo, ShardNo};
use tailrace_store::StoreError;

use crate::streams::descriptor::Stream;

/// Needs records.
pub trait Pins: Send + Sync + 'static {
    /// For each shard of a stream of which somebody has not got everything: the number up to which everybody has. Records above it
    /// are needed.
    ///
    /// # Errors
    /// The store's: then nothing is trimmed.
    fn needed<'a>(&'a self, stream: &'a Stream) -> BoxFuture<'a, Result<BTreeMap<ShardNo, RecordNo>, StoreError>>;
}

/// Those who are asked. Held weakly: they hold the database.
#[derive(Default)]
pub(crate) struct Pinned(RwLock<Vec<Weak<dyn Pins>>>);

impl Pinned {
    pub fn add(&self, pins: &Arc<dyn Pins>) {
        let mut all = self.0.write();
        all.retain(|pins| pins.strong_count() > 0);
        all.push(Arc::downgrade(pins));
    }

    /// What is needed of a stream.
    pub async fn of(&self, stream: &Stream) -> Result<BTreeMap<ShardNo, RecordNo>, StoreError> {
        let all: Vec<Arc<dyn Pins>> = self.0.read().iter().filter_map(Weak::upgrade).collect();
        let mut needed: BTreeMap<ShardNo, RecordNo> = BTreeMap::new();
        for pins in all {
            for (shard, done) in pins.needed(stream).await? {
                let least = needed.entry(shard).or_insert(done);
                *least = done.min(*least);
            }
        }
        Ok(needed)
    }
}
