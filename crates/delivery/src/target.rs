//! # Targets
//!
//! A target is whoever takes records: a function, an object store, a search index, a web address. It implements [`Target`];
//! everything else about delivery (reading, batches, order, retries, back-off, giving up, checkpoints, ownership) is done
//! around it and is the same for all.
//!
//! # What a target is given
//!
//! A [`Batch`]: records of one lane of one shard, in the order of their commits, at least one and at most what the
//! consumer's rules and [`Target::batch_bytes_max`] allow. A partition key has one lane, and a lane has one batch under way, so
//! while a batch is with the target nothing else of its keys is. Batches of other lanes and shards are, at the same time.
//!
//! # What a target answers
//!
//! An [`Answer`] with an [`Outcome`], when it knows what was done:
//! - `Done`: every record of the batch has its effect, and the effect outlives a crash of whoever holds it as far as the
//!   target ever promises that. The checkpoint will step over the records: they do not come again.
//! - `DoneExcept`: as `Done`, but for some records that the target will never take: they are parked, and nothing stops.
//! - `FailedFrom`: the records before the index are done in that sense; the others are to come again.
//! - `DoneUntil`: `DoneExcept` for the records before the index; the others are to come again.
//! - `Failed`: nothing is known to be done. The batch comes again, whole or in halves.
//! - `Undeliverable`: as `Failed`, and no try will ever be better. A batch is split; one record alone is parked at once.
//! - `NotInvoked`: nothing was tried, for a reason that is not the records'. It spends no retry.
//! - `Behind`: the target no longer has all that it took ([`Batch::taken`]), as after a restore from a backup: what is behind the number
//!   that it names is read again.
//!
//! With a batch of a window comes the state that the target answered last in it; with `Done` and `FailedFrom` it answers the next.
//! The last batch of a window has no records, and the state that is answered to it is nobody's.
//!
//! # What a target must live with
//!
//! - The same record again: after an outcome other than `Done`, after a crash, and when another runner takes the shard over.
//!   Who needs an effect once has to recognise a record by its stream and sequence number.
//! - A batch that is not the one that failed: what failed may come back split, shortened or joined by nothing else, but never
//!   before an earlier record of the same key that is not done or parked.
//! - Time: a batch may take as long as it takes; nobody cancels it. Stopping a consumer waits for it. A target that takes long may
//!   look at [`Batch::stopping`] and answer early: `DoneUntil` or `FailedFrom` what is done, or `NotInvoked`. A target at which a batch waits for
//!   its turn looks at [`Batch::recalled`] while it does, and answers `NotInvoked`: the batch comes again at once, if it is to.
//!
//! # What a target must not do
//!
//! It keeps no checkpoint, retries nothing that it has answered, and reads no log. It answers each batch once, does not block
//! its thread, and lets other tasks have their turn while it works through a large batch.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::StoreError;
use tokio::sync::watch;

use crate::machine::Taken;
pub use crate::machine::{Answer, WindowCall};
use crate::observer::Shard;
use crate::ownership::Fence;

/// Records for a target: of one lane of one shard, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The shard.
    pub shard: Shard,
    /// How many invocations with this batch failed before; 0: the first try.
    pub failed_before: u32,
    /// The version under which the bounds of the batch were made durable ([`Rules::plan`](crate::Rules::plan)); `None`: they were
    /// not, or the records are redriven.
    pub plan: Option<u32>,
    /// What the target took of the shard before, and under which mark, as far as the checkpoint knows; `None`: that is not noted
    /// ([`Rules::mark`](crate::Rules::mark)), or nothing was taken.
    pub taken: Option<Taken>,
    /// How often the shard was claimed: an owner that was replaced has a lower one.
    pub epoch: u64,
    /// What the target's own rows of the shard are written under; `None`: the record is redriven, beside the shard's owner.
    pub fence: Option<Fence>,
    /// A parked record on its own, at an operator's word: newer ones of its key may have been delivered.
    pub redriven: bool,
    /// The records; none only in the final call of a window.
    pub records: Vec<StreamRecord>,
    /// The tumbling window that the batch is in; `None`: the consumer has none, or the records are redriven.
    pub window: Option<WindowCall>,
    /// To be told while the batch waits for its turn at the target: the shard's status says so.
    pub waits: Waits,
    /// Says when the consumer is to stop.
    pub stopping: Stopping,
    /// Says when the batch is wanted back if the target has not begun with it: the consumer is to stop, the configuration has
    /// changed, or the records have become too old.
    pub recalled: Stopping,
}

type Told = dyn Fn() -> BoxFuture<'static, ()> + Send + Sync;

/// Says when something is to stop; one made by `default` never does. A clone says the same.
#[derive(Clone, Default)]
pub struct Stopping(Option<Arc<Told>>);

impl Stopping {
    /// It is told to when the future that `told` makes is over.
    fn when<F: Future<Output = ()> + Send + 'static>(told: impl Fn() -> F + Send + Sync + 'static) -> Stopping {
        Stopping(Some(Arc::new(move || told().boxed())))
    }

    /// It is told to when the receiver's value is one that says so, and when nobody is left who could.
    pub fn watching<T: Send + Sync + 'static>(receiver: watch::Receiver<T>, says_so: fn(&T) -> bool) -> Stopping {
        Stopping::when(move || {
            let mut receiver = receiver.clone();
            async move { drop(receiver.wait_for(says_so).await) }
        })
    }

    /// It is told to when this or `other` is.
    pub fn or(&self, other: Stopping) -> Stopping {
        let one = self.clone();
        Stopping::when(move || {
            let (one, other) = (one.clone(), other.clone());
            async move {
                tokio::select! {
                    () = one.told() => {}
                    () = other.told() => {}
                }
            }
        })
    }

    /// Waits until it is told to stop.
    pub async fn told(&self) {
        match &self.0 {
            Some(told) => told().await,
            None => std::future::pending().await,
        }
    }
}

impl std::fmt::Debug for Stopping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stopping")
    }
}

/// Counts the batches of a shard that wait for their turn. A clone counts the same.
#[derive(Clone, Default)]
pub struct Waits {
    count: Arc<AtomicUsize>,
    changed: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Waits {
    pub(crate) fn new(changed: impl Fn() + Send + Sync + 'static) -> Waits {
        Waits { count: Arc::default(), changed: Some(Arc::new(changed)) }
    }

    /// One more waits, or one fewer.
    pub fn set(&self, waits: bool) {
        match waits {
            true => self.count.fetch_add(1, Relaxed),
            false => self.count.fetch_sub(1, Relaxed),
        };
        if let Some(changed) = &self.changed {
            changed();
        }
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }
}

impl std::fmt::Debug for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waits({})", self.count())
    }
}

/// Takes records. The contract is on the module's page.
pub trait Target: Send + Sync + 'static {
    /// Whether `record` is for this target. One that is not counts as done, and nobody is told of it. The answer for a record
    /// stays the same while its consumer runs.
    ///
    /// # Errors
    /// The record's bytes are damaged, so far as they were looked at.
    fn wants(&self, record: &StreamRecord) -> Result<bool, StoreError> {
        let _ = record;
        Ok(true)
    }

    /// What `record` adds to a batch in the target's bytes, so that a batch is measured before it is made.
    ///
    /// # Errors
    /// The record's bytes are damaged: it cannot be handed over. A record that is measured can be.
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError>;

    /// Most of these bytes in a batch. A record that has more alone is a batch of its own.
    fn batch_bytes_max(&self) -> usize;

    /// Takes a batch and answers what was done.
    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer>;
}
