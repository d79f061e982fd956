//! Records into a table of Redshift: a flush is an object of the bucket, as it is of a destination that is one, and a COPY of a manifest that
//! names it. Source: docs/spec/sinks.md 2.9.
//!
//! # What once means here
//!
//! At least once. A load that nobody is known to have done is done again, also by the next life of the server: a COPY does not know what it
//! has loaded. What was given up is durable before it is written to the bucket, and is not loaded any more by that version of the
//! destination.

pub mod config;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tailrace_sinks::warehouse::load::{CopyCommand, LoadError, Login};

use crate::Load;
use crate::config::Destination;
use crate::deliver::{Delivery, Work};
use crate::endpoint::request;
use crate::limits::ERROR_CHARS_MAX;
use crate::outcome::Failure;
use crate::over::{self, Over};
use crate::patience::Patience;
use crate::remote::{Sender, computed};
use crate::transform::{Flush, NotYet};

/// In the digest of a load: a request to an endpoint, which the same flush may have been before, is not taken for one.
const MARK: &[u8] = b"load";
/// The type of the objects that name what is loaded. Our name.
const MANIFESTS: &str = "manifests";
/// Of those that name what was not. Source: docs/spec/sinks.md 2.9.
const ERRORS: &str = "errors";
/// The code of what nobody answered to: all others are those of the cluster.
const NO_RESPONSE: &str = "NoResponse";

/// A table, and how records get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The cluster, and who asks it.
    pub login: Login,
    /// What is asked.
    pub copy: CopyCommand,
    /// In which the cluster reads the objects, where nothing else is configured.
    pub role: String,
    /// How long a load that fails is tried again.
    pub retry: Duration,
}

impl Table {
    /// As a status shows it.
    pub fn shown(&self) -> String {
        let Login { host, port, database, .. } = &self.login;
        format!("{host}:{port}/{database} {}", self.copy.table)
    }
}

impl Delivery {
    /// Loads the object of a flush, which is there, until it is loaded or given up; then a manifest says so.
    ///
    /// # Errors
    /// It is not known to be loaded or given up.
    pub(crate) async fn load(
        self: &Arc<Self>,
        (destination, table): (&Arc<Destination>, &Table),
        flush: Flush,
        work: &Arc<Work>,
        patience: &mut Patience<'_>,
    ) -> Result<(), NotYet> {
        if work.deliverable().next().is_none() {
            return Ok(());
        }
        let id = {
            let work = Arc::clone(work);
            computed(move || {
                let records = work.deliverable().map(|index| &work.data(index)[..]);
                request::id(flush, 0, std::iter::once(MARK).chain(records))
            })
            .await?
        };
        let store = self.sender.store.as_ref();
        let known = over::all(store, flush, &work.fence).await?;
        let is_given_up = |over: &&Over| over.id == id && over.version == self.version && over.failed.is_some();
        if known.get(&0).filter(is_given_up).is_none() {
            let manifest = self.put_manifest(destination, work, MANIFESTS).await?;
            let load =
                Load { login: table.login.clone(), copy: table.copy.clone(), role: table.role.clone(), manifest };
            let count = work.deliverable().count();
            let Some(failure) = self.sender.until_loaded((table.retry, load), count, patience).await? else {
                return Ok(());
            };
            let over = Over { id, version: self.version, failed: Some(failure), documents: BTreeMap::new() };
            over::note(store, (flush, &work.fence), 0, &over).await?;
        }
        self.put_manifest(destination, work, ERRORS).await.map(drop)
    }

    /// Puts a manifest that names the object of a flush: its address.
    async fn put_manifest(
        self: &Arc<Self>,
        destination: &Arc<Destination>,
        work: &Arc<Work>,
        kind: &'static str,
    ) -> Result<String, NotYet> {
        let bucket = &destination.place.bucket;
        let place = self.buckets.place(bucket)?;
        // To the cluster a bucket that is a directory here is what it is called.
        let address = move |bucket: &str, key: &str| match place.address(key) {
            there if there.starts_with("s3://") => there,
            _ => format!("s3://{bucket}/{key}"),
        };
        let at = address.clone();
        let make = move |delivery: &Delivery, destination: &Destination, work: &Work| {
            let url = at(&destination.place.bucket, &delivery.records_name(destination, work)?);
            let manifest = json!({"entries": [{"url": url, "mandatory": true}]}).to_string();
            Ok(vec![delivery.told_of(destination, kind, manifest.into_bytes(), work)?])
        };
        let names = self.put(destination, work, make).await?;
        let name = names.into_iter().next().unwrap_or_default();
        Ok(address(bucket, &name))
    }
}

impl Sender {
    /// Has a cluster load what a manifest names until it has (`None`), or that is given up.
    async fn until_loaded(
        &self,
        (retry, load): (Duration, Load),
        records: usize,
        patience: &mut Patience<'_>,
    ) -> Result<Option<Failure>, NotYet> {
        let mut tries = self.tries(retry, patience);
        loop {
            let (code, error) = match tries.once(self.warehouses.load(load.clone())).await?? {
                Ok(()) => return Ok(None),
                Err(LoadError::Refused { code, text }) => (code, text),
                Err(LoadError::Unknown(text)) => (NO_RESPONSE.to_owned(), text),
            };
            let message: String = error.chars().take(ERROR_CHARS_MAX).collect();
            if tries.is_over() {
                self.events.given_up(records, &message);
                return Ok(Some(Failure { code, message, attempts: tries.attempts, ended_ms: self.clock.now() }));
            }
            self.events.failing(records, &message);
            tries.pause(&message).await?;
        }
    }
}
