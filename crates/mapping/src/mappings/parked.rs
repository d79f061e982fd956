//! What an operator does with the records of a mapping that were given up, or that cannot be read.

use tailrace_core::{RecordNo, ShardNo};
use tailrace_delivery::{ParkedRecord, Redriven};

use super::Mappings;
use crate::error::MappingError;

impl Mappings {
    /// Parked records of a mapping behind `after`, by shard and number, at most `max`.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn parked(
        &self,
        uuid: &str,
        after: Option<(ShardNo, RecordNo)>,
        max: usize,
    ) -> Result<Vec<ParkedRecord>, MappingError> {
        Ok(self.entry(uuid)?.consumer.parked(after, max).await?)
    }

    /// Hands all parked records of a mapping to the function again, in their order. Stops at the first that fails.
    ///
    /// # Errors
    /// Unknown, being redriven already, or the store's.
    pub async fn redrive_all(&self, uuid: &str) -> Result<Redriven, MappingError> {
        Ok(self.entry(uuid)?.consumer.redrive_all().await?)
    }

    /// Hands one parked record to the function again. `None`: it was accepted, and is parked no longer; otherwise why not.
    ///
    /// # Errors
    /// Unknown, being redriven already, or the store's.
    pub async fn redrive(&self, uuid: &str, shard: ShardNo, number: RecordNo) -> Result<Option<String>, MappingError> {
        Ok(self.entry(uuid)?.consumer.redrive((shard, number)).await?)
    }

    /// Removes a parked record for good.
    ///
    /// # Errors
    /// Unknown, or the store's.
    pub async fn discard(&self, uuid: &str, shard: ShardNo, number: RecordNo) -> Result<(), MappingError> {
        Ok(self.entry(uuid)?.consumer.discard((shard, number)).await?)
    }

    /// Has a record that cannot be read set aside: it is parked when everything before it is done, and its shard goes on.
    ///
    /// # Errors
    /// No shard of the mapping stands before such a record.
    pub fn skip_damaged(&self, uuid: &str, shard: ShardNo, number: RecordNo) -> Result<(), MappingError> {
        Ok(self.entry(uuid)?.consumer.skip_damaged(shard, number)?)
    }
}
