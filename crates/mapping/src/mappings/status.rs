//! Where every mapping stands: the one type that the admin page, the command line and a drain look at.
//!
//! What it does not do: it keeps no state.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tailrace_core::{MappingId, StreamArn};
use tailrace_delivery::{STREAM_ENDED, ShardState, ShardStatus, last_processing_result};
use tailrace_store::StoreError;

use super::{Entry, Mappings};
use crate::config::Mapping;
use crate::error::MappingError;

/// The state of a mapping, in Lambda's words. Source: docs/spec/event-source-mapping.md 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MappingState {
    /// It runs.
    Enabled,
    /// It does not run; its place is kept.
    Disabled,
    /// It is being made.
    Creating,
    /// It is to be enabled.
    Enabling,
    /// It is to be disabled, and something is under way.
    Disabling,
    /// It is to go on by other rules, and something is under way.
    Updating,
    /// It is being deleted.
    Deleting,
}

impl MappingState {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            MappingState::Enabled => "Enabled",
            MappingState::Disabled => "Disabled",
            MappingState::Creating => "Creating",
            MappingState::Enabling => "Enabling",
            MappingState::Updating => "Updating",
            MappingState::Disabling => "Disabling",
            MappingState::Deleting => "Deleting",
        }
    }

    /// Records are delivered, or about to be.
    pub fn runs(self) -> bool {
        matches!(self, MappingState::Enabled | MappingState::Creating | MappingState::Enabling | MappingState::Updating)
    }
}

/// A mapping as GetEventSourceMapping shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its configuration.
    pub mapping: Mapping,
    /// Its state.
    pub state: MappingState,
    /// LastProcessingResult.
    pub last_processing_result: String,
}

/// A mapping with its shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MappingStatus {
    /// Its uuid.
    pub uuid: String,
    /// The stream.
    pub stream_arn: StreamArn,
    /// The table whose stream it is.
    pub table: String,
    /// The function's name.
    pub function: String,
    /// Its state.
    pub state: MappingState,
    /// As Lambda shows it.
    pub last_processing_result: String,
    /// The last trouble of the mapping itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Shards of its stream, oldest first.
    pub shards: Vec<ShardStatus>,
}

impl Mappings {
    /// Every mapping with the shards that are worked on, without a look at store and log.
    pub fn status(&self) -> Vec<MappingStatus> {
        self.all().iter().map(|entry| status(entry)).collect()
    }

    /// Every mapping with every shard of its stream, running or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn overview(&self) -> Result<Vec<MappingStatus>, StoreError> {
        let mut mappings = Vec::new();
        for entry in self.all() {
            let mut shown = status(&entry);
            let (shards, results) = entry.consumer.shards(entry.mapping().runs()).await?;
            if shown.shards.is_empty() {
                shown.last_processing_result = match has_ended(&shards) {
                    true => format!("PROBLEM: {STREAM_ENDED}"),
                    // A disabled mapping has no task that knows what came last.
                    false => last_processing_result(results.iter()),
                };
            }
            shown.shards = shards;
            for shard in &mut shown.shards {
                shard.last_error = shard.last_error.take().or_else(|| shown.trouble.clone());
            }
            mappings.push(shown);
        }
        Ok(mappings)
    }

    /// GetEventSourceMapping, with state and result.
    ///
    /// # Errors
    /// There is none of this uuid; the store's.
    pub async fn describe(&self, uuid: &str) -> Result<Described, MappingError> {
        let entry = self.entry(uuid)?;
        Ok(described(&entry).await?)
    }

    /// ListEventSourceMappings: the mappings behind `after`, by uuid, that `wanted` chooses, at most `max`; and whether there are
    /// others behind them.
    ///
    /// # Errors
    /// The store's.
    pub async fn describe_page(
        &self,
        after: Option<MappingId>,
        max: usize,
        wanted: impl Fn(&Mapping) -> bool,
    ) -> Result<(Vec<Described>, bool), StoreError> {
        let is_behind = |entry: &&Arc<Entry>| {
            let mapping = entry.mapping();
            after.is_none_or(|after| mapping.id > after) && wanted(&mapping)
        };
        let all = self.all();
        let mut found = all.iter().filter(is_behind);
        let mut page = Vec::new();
        for entry in found.by_ref().take(max) {
            page.push(described(entry).await?);
        }
        Ok((page, found.next().is_some()))
    }

    /// The functions for which a batch failed, or could not be handed over, the last time.
    pub fn failing_functions(&self) -> Vec<String> {
        let fails = |shard: &ShardStatus| {
            let counted = shard.failed_invocations > 0 || shard.not_invoked > 0;
            counted || matches!(shard.state, ShardState::Retrying | ShardState::Blocked)
        };
        let failing = self.status().into_iter().filter(|mapping| mapping.shards.iter().any(fails));
        failing.map(|mapping| mapping.function).collect()
    }
}

fn has_ended(shards: &[ShardStatus]) -> bool {
    shards.iter().all(|shard| shard.state == ShardState::StreamEnded)
}

fn state(entry: &Entry, mapping: &Mapping) -> MappingState {
    let under_way = *entry.under_way.lock();
    match (mapping.deleting, mapping.enabled) {
        (true, _) => MappingState::Deleting,
        (false, true) => under_way.unwrap_or(MappingState::Enabled),
        (false, false) => under_way.unwrap_or(MappingState::Disabled),
    }
}

async fn described(entry: &Entry) -> Result<Described, StoreError> {
    let mapping = entry.mapping();
    let mut results = entry.consumer.last_results();
    let mut ended = false;
    if !entry.consumer.is_running() {
        (ended, results) = entry.consumer.stored_results().await?;
    }
    let last_processing_result = match ended {
        true => format!("PROBLEM: {STREAM_ENDED}"),
        false => last_processing_result(results.iter()),
    };
    Ok(Described { state: state(entry, &mapping), mapping, last_processing_result })
}

fn status(entry: &Entry) -> MappingStatus {
    let mapping = entry.mapping();
    let state = state(entry, &mapping);
    MappingStatus {
        uuid: mapping.uuid(),
        table: mapping.source.table().to_owned(),
        stream_arn: mapping.source.arn,
        function: mapping.function.name,
        state,
        last_processing_result: last_processing_result(entry.consumer.last_results().iter()),
        trouble: entry.consumer.trouble(),
        shards: entry.consumer.running(),
    }
}
