//! TagResource, UntagResource and ListTags for mappings. Source: docs/spec/event-source-mapping.md 1.

use std::sync::Arc;

use super::operations::whole;
use super::{Entry, Mappings};
use crate::config::Mapping;
use crate::error::MappingError;
use crate::tags::{self, Tags};

/// How often a change of tags begins from what another process made of the mapping.
const TRIES_MAX: usize = 4;

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
    /// There is no such mapping, other processes change it all the time, a tag is none, or the store's.
    pub async fn tag(&self, arn: &str, tags: Tags) -> Result<(), MappingError> {
        self.change_tags(arn, move |all| all.extend(tags.clone())).await
    }

    /// UntagResource: takes tags away; those that are not there are no matter.
    ///
    /// # Errors
    /// There is no such mapping, other processes change it all the time, or the store's.
    pub async fn untag(&self, arn: &str, keys: Vec<String>) -> Result<(), MappingError> {
        self.change_tags(arn, move |all| all.retain(|key, _| !keys.contains(key))).await
    }

    /// Nothing that runs knows tags: a change of them waits for no other change of the mapping.
    async fn change_tags(
        &self,
        arn: &str,
        change: impl Fn(&mut Tags) + Send + Sync + 'static,
    ) -> Result<(), MappingError> {
        let (this, entry) = (self.clone(), self.tagged(arn)?);
        whole(|_| async move {
            let _writing = entry.writing.lock().await;
            for _ in 1..TRIES_MAX {
                match this.put_tags(&entry, &change).await {
                    // Another process changed the mapping, which is known by now.
                    Err(MappingError::InUse) => {}
                    done => return done,
                }
            }
            this.put_tags(&entry, &change).await
        })
        .await
    }

    async fn put_tags(&self, entry: &Entry, change: impl Fn(&mut Tags)) -> Result<(), MappingError> {
        let before = entry.mapping();
        let mut all = before.tags.clone();
        change(&mut all);
        tags::check(&all)?;
        let mapping = Mapping { tags: all, ..before.clone() };
        // Tags are no part of what LastModified is of.
        if mapping == before { Ok(()) } else { self.put(entry, &mapping).await }
    }

    fn tagged(&self, arn: &str) -> Result<Arc<Entry>, MappingError> {
        let uuid = arn.rsplit_once(":event-source-mapping:").map(|(_, uuid)| uuid).ok_or(MappingError::NotFound)?;
        let entry = self.entry(uuid)?;
        let own = entry.mapping().arn(&self.region, &self.account_id);
        if own == arn { Ok(entry) } else { Err(MappingError::NotFound) }
    }
}
