//! What an operator does with records that are set aside or cannot be read: hand them to the target again, remove them for
//! good, step over a damaged one.

use std::sync::Arc;

use tailrace_core::limits::MAPPING_ROWS_PER_PAGE;
use tailrace_core::{RecordNo, ShardNo};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_store::StoreError;

use crate::consumer::{Consumer, Core};
use crate::machine::Outcome;
use crate::parked::{self, ParkedRecord};
use crate::target::{Batch, Stopping, Waits};

/// What a redrive did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redriven {
    /// Records that the target accepted; they are parked no longer.
    pub accepted: usize,
    /// The record at which it stopped, and why.
    pub failed: Option<(RecordNo, String)>,
}

/// Why nothing was done with a record.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedriveError {
    /// It is not parked, or no shard stands before it.
    #[error("there is no such record")]
    NotFound,
    /// It is with the target again already.
    #[error("the record is being redriven already")]
    InProgress,
    /// The store's.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A record that nobody else redrives while this lives, also if whoever asked for it goes away.
struct Redriving {
    core: Arc<Core>,
    record: (ShardNo, RecordNo),
}

impl Redriving {
    fn begin(core: &Arc<Core>, record: (ShardNo, RecordNo)) -> Result<Redriving, RedriveError> {
        match core.redriving.lock().insert(record) {
            true => Ok(Redriving { core: core.clone(), record }),
            false => Err(RedriveError::InProgress),
        }
    }
}

impl Drop for Redriving {
    fn drop(&mut self) {
        self.core.redriving.lock().remove(&self.record);
    }
}

impl Consumer {
    /// Hands parked records to the target again, one after the other in their order, beside the consumer's own batches; the
    /// ones that it accepts are parked no longer. Stops at the first that fails.
    ///
    /// # Errors
    /// One is being redriven already, or the store's.
    pub async fn redrive_all(&self) -> Result<Redriven, RedriveError> {
        let (mut after, mut accepted) = (None, 0);
        loop {
            let page = self.parked(after, MAPPING_ROWS_PER_PAGE).await?;
            let Some(last) = page.last() else { return Ok(Redriven { accepted, failed: None }) };
            after = Some((last.shard.no, last.number()));
            for record in &page {
                match self.redrive((record.shard.no, record.number())).await {
                    Ok(None) => accepted += 1,
                    Ok(Some(error)) => return Ok(Redriven { accepted, failed: Some((record.number(), error)) }),
                    // Somebody else redrove or discarded it since the page was read.
                    Err(RedriveError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Hands a parked record to the target again. `None`: it was accepted, and is parked no longer; otherwise why not.
    ///
    /// # Errors
    /// It is not parked, it is being redriven already, or the store's.
    pub async fn redrive(&self, record: (ShardNo, RecordNo)) -> Result<Option<String>, RedriveError> {
        // Before it is looked for: one that another redrive has just handed over is not there any more.
        let _redriving = Redriving::begin(&self.core, record)?;
        let found = parked::get(self.core.context.store.as_ref(), self.core.id, record).await?;
        let record = found.ok_or(RedriveError::NotFound)?;
        let read = StreamRecord::read(record.parked.logged.clone());
        let read = match read.and_then(|read| self.core.target.size(&read).map(|_| read)) {
            Ok(read) => read,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let batch = Batch {
            shard: record.shard.clone(),
            failed_before: 0,
            plan: None,
            epoch: 0,
            fence: None,
            redriven: true,
            taken: None,
            records: vec![read],
            window: None,
            waits: Waits::default(),
            stopping: Stopping::default(),
            recalled: Stopping::default(),
        };
        let (answer, event) = self.core.deliver(batch).await;
        self.core.tell(event);
        match answer.outcome {
            Outcome::Done => {}
            Outcome::DoneExcept(rejected) | Outcome::DoneUntil { index: 1.., rejected, .. } => {
                if let Some((_, error)) = rejected.into_iter().next() {
                    return Ok(Some(error));
                }
            }
            Outcome::FailedFrom { error, .. }
            | Outcome::DoneUntil { error, .. }
            | Outcome::Failed(error)
            | Outcome::Undeliverable(error)
            | Outcome::Behind { error, .. }
            | Outcome::NotInvoked(error) => {
                return Ok(Some(error));
            }
        }
        self.remove(&record).await?;
        Ok(None)
    }

    /// Removes a parked record for good.
    ///
    /// # Errors
    /// It is not parked, or the store's.
    pub async fn discard(&self, record: (ShardNo, RecordNo)) -> Result<(), RedriveError> {
        let found = parked::get(self.core.context.store.as_ref(), self.core.id, record).await?;
        Ok(self.remove(&found.ok_or(RedriveError::NotFound)?).await?)
    }

    async fn remove(&self, record: &ParkedRecord) -> Result<(), StoreError> {
        let mut removed = self.core.removed.lock().await;
        if !parked::delete(self.core.context.store.as_ref(), self.core.id, record).await? {
            return Ok(());
        }
        let counted = removed.entry(record.shard.no).or_default();
        counted.records += record.size().records;
        counted.bytes += record.size().bytes;
        drop(removed);
        self.control.send_modify(|control| control.removals += 1);
        Ok(())
    }

    /// [`Self::skip_damaged`] for each shard that stands before such a record; answers how many.
    pub fn skip_all_damaged(&self) -> usize {
        let damaged: Vec<_> = {
            let machines = self.core.machines.lock();
            machines.iter().filter_map(|(shard, (_, status))| Some((*shard, status.damaged?))).collect()
        };
        damaged.into_iter().filter(|(shard, number)| self.skip_damaged(*shard, *number).is_ok()).count()
    }

    /// An operator's word that a record that cannot be read is to be set aside: it is parked as damaged as soon as everything
    /// before it is done, and the shard goes on behind it. The word is kept until then, but not over a restart.
    ///
    /// # Errors
    /// The shard does not stand before that record.
    pub fn skip_damaged(&self, shard: ShardNo, number: RecordNo) -> Result<(), RedriveError> {
        let stands = |core: &Core| core.machines.lock().get(&shard).is_some_and(|(_, s)| s.damaged == Some(number));
        if !stands(&self.core) {
            return Err(RedriveError::NotFound);
        }
        self.control.send_modify(|control| {
            Arc::make_mut(&mut control.skips).insert(shard, number);
        });
        Ok(())
    }
}
