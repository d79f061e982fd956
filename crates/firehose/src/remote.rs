//! What is behind a delivery stream in the place of a bucket, and how it is tried: an HTTP endpoint (`endpoint`), or an index (`index`). A
//! table that is loaded from the bucket is tried in the same way (`redshift`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tailrace_core::clock::Clock;
use tailrace_core::rng::Rng;
use tailrace_core::{MappingId, MonotonicMs};
use tailrace_delivery::Timer;
use tailrace_store::Engine;

use crate::deliver::Work;
use crate::endpoint::config::Endpoint;
use crate::endpoint::not_taken;
use crate::events::Events;
use crate::index::Index;
use crate::limits::{FLUSH_RECORDS_MAX, PAUSE, PAUSE_MAX, PAUSE_SPREAD_PERCENT, REQUEST_RECORDS_MAX};
use crate::outcome::Failure;
use crate::patience::Patience;
use crate::transform::{Flush, NotYet};
use crate::{Clusters, Endpoints, Warehouses};

/// The type of the errors of records that an endpoint did not take. Source: docs/spec/sinks.md 2.2.
const HTTP_ENDPOINT_FAILED: &str = "http-endpoint-failed";

/// What records go to in the place of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// An HTTP endpoint.
    Endpoint(Endpoint),
    /// An index.
    Index(Index),
}

impl Remote {
    /// As a status shows it: without what may be a secret.
    pub fn shown(&self) -> String {
        match self {
            Remote::Endpoint(endpoint) => endpoint.address.to_string(),
            Remote::Index(index) => index.shown(),
        }
    }

    /// The type of the errors of what it does not take.
    pub(crate) fn error_type(&self) -> &'static str {
        match self {
            Remote::Endpoint(_) => HTTP_ENDPOINT_FAILED,
            Remote::Index(index) => index.error_type,
        }
    }

    /// Most records of a flush.
    pub(crate) fn records_max(&self) -> usize {
        match self {
            // A flush is one request, as long as no function makes more of it.
            Remote::Endpoint(_) => REQUEST_RECORDS_MAX,
            Remote::Index(_) => FLUSH_RECORDS_MAX,
        }
    }

    /// A line of an object of what it did not take.
    pub(crate) fn not_taken(&self, consumer: MappingId, work: &Work, index: usize, failure: &Failure) -> Value {
        match self {
            Remote::Endpoint(_) => not_taken(work, index, failure),
            Remote::Index(of) => of.not_taken(consumer, work, index, failure),
        }
    }
}

/// Sends records where no bucket is.
pub struct Sender {
    /// Where it is noted which requests are over.
    pub store: Arc<dyn Engine>,
    /// Sends requests to endpoints.
    pub endpoints: Arc<dyn Endpoints>,
    /// Sends documents to clusters.
    pub clusters: Arc<dyn Clusters>,
    /// Has tables loaded.
    pub warehouses: Arc<dyn Warehouses>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// The spread of pauses.
    pub rng: Arc<dyn Rng>,
    /// The ARN of the delivery stream.
    pub arn: String,
    /// Is told what happens.
    pub events: Arc<Events>,
}

impl Sender {
    /// Sends the records of a flush that are to be delivered, and answers those that were given up: their indexes, and why. `version`: that
    /// of the destination.
    ///
    /// # Errors
    /// Not everything is known to be taken or given up.
    pub(crate) async fn send(
        &self,
        (remote, version): (&Remote, u32),
        flush: Flush,
        work: &Arc<Work>,
        patience: &mut Patience<'_>,
    ) -> Result<Vec<(usize, Failure)>, NotYet> {
        match remote {
            Remote::Endpoint(endpoint) => self.send_requests((endpoint, version), flush, work, patience).await,
            Remote::Index(index) => self.send_documents((index, version), flush, work, patience).await,
        }
    }

    /// Tries that go on for as long as `retry` from the first failure.
    pub(crate) fn tries<'a, 'p>(&'a self, retry: Duration, patience: &'a mut Patience<'p>) -> Tries<'a, 'p> {
        Tries { sender: self, retry, patience, attempts: 0, until: None }
    }
}

/// How often something was tried, and for how long it is.
pub(crate) struct Tries<'a, 'p> {
    sender: &'a Sender,
    retry: Duration,
    patience: &'a mut Patience<'p>,
    /// The tries so far.
    pub attempts: u32,
    /// The end of the tries, once one has failed.
    until: Option<MonotonicMs>,
}

impl Tries<'_, '_> {
    /// As if nothing had been tried.
    pub fn anew(&mut self) {
        (self.attempts, self.until) = (0, None);
    }

    /// Tries.
    ///
    /// # Errors
    /// The stream is stopped: what came of it is not known.
    pub async fn once<T>(&mut self, attempt: impl Future<Output = T>) -> Result<T, NotYet> {
        self.attempts += 1;
        tokio::select! {
            biased;
            answered = attempt => Ok(answered),
            // Whether it is taken is not known: it is sent again.
            () = self.patience.over() => Err(NotYet::NotInvoked("the delivery stream is stopped".to_owned())),
        }
    }

    /// Whether this failure was the last.
    pub fn is_over(&mut self) -> bool {
        let now = self.sender.clock.monotonic();
        now >= *self.until.get_or_insert(now.plus(self.retry))
    }

    /// Waits for the next try behind a failure.
    ///
    /// # Errors
    /// The stream is stopped, and it failed with this `error`.
    pub async fn pause(&mut self, error: &str) -> Result<(), NotYet> {
        let again = self.sender.clock.monotonic().plus(self.length());
        // The last try is when the time is over.
        let again = self.until.map_or(again, |until| again.min(until));
        tokio::select! {
            biased;
            () = self.patience.stopping.told() => Err(NotYet::NotInvoked(error.to_owned())),
            () = self.sender.timer.sleep_until(again) => Ok(()),
        }
    }

    fn length(&self) -> Duration {
        let pause = PAUSE.saturating_mul(1 << (self.attempts - 1).min(16)).min(PAUSE_MAX);
        let percent = 100 - PAUSE_SPREAD_PERCENT + self.sender.rng.next_u64() % (2 * PAUSE_SPREAD_PERCENT + 1);
        pause.saturating_mul(percent as u32) / 100
    }
}

/// What takes long, away from the runtime.
///
/// # Errors
/// It was not done.
pub(crate) async fn computed<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Result<T, NotYet> {
    tokio::task::spawn_blocking(compute).await.map_err(|error| NotYet::Failed(error.to_string()))
}
