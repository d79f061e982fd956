//! Manifests: for each shard and hour, which objects there are. Source: docs/spec/sinks.md 2.5.
//!
//! `_manifest/<yyyy-MM-dd-HH>/<sink>-v<version>-<shard>.json`, in UTC, by the oldest record of a flush; of a snapshot,
//! `...-<table>-snapshot.json`. A reader who takes only objects that a manifest names sees each record once, and the partitions of a
//! flush all or none.
//!
//! Invariants: what a manifest says is a function of which flushes have been taken; a repeat changes nothing. One shard has one
//! flush at a time, so hardly anybody else writes its manifest; a record that is retried, or a writer that was given up and goes
//! on all the same, is noticed by the tag of what was read.
//! What it costs: it is read and written anew with each flush of its hour.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tailrace_core::EpochMs;
use tailrace_engine::streams::label;

use super::store::{ObjectError, ObjectWriter, Over, Put};
use crate::sink::{Flush, Origin};

/// The folder of manifests.
const FOLDER: &str = "_manifest";
/// How often a manifest that another writer has changed meanwhile is read again.
const TRIES: usize = 3;

/// A manifest. The objects are in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The sink.
    pub sink: String,
    /// The version of its settings.
    pub version: u32,
    /// The table.
    pub table: String,
    /// The shard; none of a snapshot.
    pub shard: Option<String>,
    /// The hour, `yyyy-MM-dd-HH`.
    pub hour: String,
    /// The objects by key.
    pub objects: BTreeMap<String, ManifestObject>,
}

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// Its records.
    pub rows: usize,
    /// Its length.
    pub bytes: usize,
    /// The SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// The sequence number of its first record.
    pub first: String,
    /// The sequence number of its last record.
    pub last: String,
}

/// The hour of an instant.
fn hour(instant: EpochMs) -> String {
    // 2026-11-29T19:30:31.123
    let text = label::text(instant);
    format!("{}-{}", &text[..10], &text[11..13])
}

/// Notes the objects of a flush, whose oldest record is of this instant.
///
/// # Errors
/// The manifest is not known to hold them.
pub async fn note(
    writer: &ObjectWriter,
    flush: &Flush,
    oldest: EpochMs,
    objects: BTreeMap<String, ManifestObject>,
) -> Result<(), ObjectError> {
    let hour = hour(oldest);
    let (shard, of) = match flush.origin {
        Origin::Stream | Origin::Retry => (Some(flush.shard.id.to_string()), flush.shard.id.to_string()),
        Origin::Snapshot { .. } => (None, format!("{}-snapshot", flush.source.name_in_names())),
    };
    let key = format!("{FOLDER}/{hour}/{}-v{}-{of}.json", flush.sink, flush.version);
    let mut tries = 0;
    loop {
        let there = writer.get(&key).await?;
        let mut manifest = match &there {
            None => Manifest {
                sink: flush.sink.to_string(),
                version: flush.version,
                table: flush.source.table.clone(),
                shard: shard.clone(),
                hour: hour.clone(),
                objects: BTreeMap::new(),
            },
            Some(there) => serde_json::from_slice(&there.body).map_err(|error| ObjectError::Failed {
                place: writer.address(&key),
                error: format!("it is no manifest ({error}); move it away, and it is made anew from here on"),
            })?,
        };
        if objects.iter().all(|(key, object)| manifest.objects.get(key) == Some(object)) {
            return Ok(());
        }
        manifest.objects.extend(objects.clone());
        let body = serde_json::to_vec_pretty(&manifest).expect("invariant: a manifest is names and numbers");
        let over = Over::Read(there.as_ref().map(|there| &there.tag));
        let how = Put { over, lock: None, content_type: "application/json" };
        match writer.put(&key, body.into(), how).await {
            Err(ObjectError::Changed { .. }) if tries + 1 < TRIES => tries += 1,
            put => return put,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hour_is_in_utc() {
        assert_eq!(hour(EpochMs(1_535_365_805_678)), "2018-08-27-10");
    }
}
