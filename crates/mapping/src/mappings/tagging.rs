//! TagResource, UntagResource and ListTags for mappings. Source: docs/spec/event-source-mapping.md 1.

use std::sync::Arc;

use super::operations::whole;
use super::{Entry, Mappings};
use crate::config::Mapping;
use crate::error::MappingError;
use crate::tags::{self, Tags};

impl Mappings {
    /// ListTags: the tags of the mapping with this ARN.
    ///
    /// # Errors
    /// There is none.
    pub fn tags(&self, arn: &str) -> Result<Tags, MappingError> {
        Ok(self.tagged(arn)?.mapping().tags)
    }

    /// TagResource: adds tags, or gives them other values.
    ///
    /// # Errors
    /// There is no such mapping, it is being changed, a tag is none, or the store's.
    pub async fn tag(&self, arn: &str, tags: Tags) -> Result<(), MappingError> {
        self.change_tags(arn, move |all| all.extend(tags)).await
    }

    /// UntagResource: takes tags away; those that are not there are no matter.
    ///
    /// # Errors
    /// There is no such mapping, it is being changed, or the store's.
    pub async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<(), MappingError> {
        self.change_tags(arn, move |all| all.retain(|key, _| !keys.contains(key))).await
    }

    async fn change_tags(
        &self,
        arn: &str,
        change: impl FnOnce(&mut Tags) + Send + 'static,
    ) -> Result<(), MappingError> {
        let (this, entry) = (self.clone(), self.tagged(arn)?);
        whole(|caller| async move {
            let _changing = entry.change(caller).await?;
            let before = entry.mapping();
            if before.deleting {
                return Err(MappingError::InUse);
            }
            let mut all = before.tags.clone();
            change(&mut all);
            tags::check(&all)?;
            let mapping = Mapping { tags: all, ..before.clone() };
            // Tags are no part of what LastModified is of.
            if mapping == before { Ok(()) } else { this.put(&entry, &mapping).await }
        })
        .await
    }

    fn tagged(&self, arn: &str) -> Result<Arc<Entry>, MappingError> {
        let uuid = arn.rsplit_once(":event-source-mapping:").map(|(_, uuid)| uuid).ok_or(MappingError::NotFound)?;
        let entry = self.entry(uuid)?;
        let own = entry.mapping().arn(&self.region, &self.account_id);
        if own == arn { Ok(entry) } else { Err(MappingError::NotFound) }
    }
}
