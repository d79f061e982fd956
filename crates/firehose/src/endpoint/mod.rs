//! Records to an HTTP endpoint, by the protocol that the service documents. Source: docs/spec/sinks.md 2.7.
//!
//! # What once means here
//!
//! At least once. A request that nobody is known to have taken is sent again, with the same id and the same records, also by the next life of
//! the server: an endpoint that knows ids has each record once. What was given up is durable before it is written to the bucket, and is not
//! sent any more.

pub mod config;
pub(crate) mod request;

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde_json::Value;
use tailrace_sinks::post::Post;

use self::config::Endpoint;
use self::request::judged;
use crate::deliver::{Work, told};
use crate::limits::{REPLY_BYTES_MAX, REPLY_TIMEOUT};
use crate::outcome::Failure;
use crate::over::{self, Over};
use crate::patience::Patience;
use crate::remote::{Sender, Tries, computed};
use crate::transform::{Flush, NotYet};

/// A request that is to be sent.
struct Request {
    id: String,
    records: usize,
    body: Bytes,
}

impl Sender {
    /// [`Sender::send`], to an HTTP endpoint.
    pub(crate) async fn send_requests(
        &self,
        (endpoint, version): (&Endpoint, u32),
        flush: Flush,
        work: &Arc<Work>,
        patience: &mut Patience<'_>,
    ) -> Result<Vec<(usize, Failure)>, NotYet> {
        let indexes: Arc<Vec<usize>> = Arc::new(work.deliverable().collect());
        let counts = request::counts(indexes.iter().map(|index| work.data(*index).len()));
        let known = over::all(self.store.as_ref(), flush, &work.fence).await?;
        let mut tries = self.tries(endpoint.retry, patience);
        let mut failures = Vec::new();
        let mut before = 0;
        for (number, count) in counts.iter().enumerate() {
            let (is_last, number) = (number + 1 == counts.len(), number as u32);
            let part = before..before + count;
            let id = {
                let (work, indexes, part) = (Arc::clone(work), Arc::clone(&indexes), part.clone());
                computed(move || {
                    request::id(flush, part.start, indexes[part].iter().map(|index| &work.data(*index)[..]))
                })
                .await?
            };
            let is_known = |over: &&Over| over.id == id && (over.failed.is_none() || over.version == version);
            let failed = match known.get(&number).filter(is_known) {
                Some(over) => over.failed.clone(),
                None => {
                    let body = {
                        let (work, indexes, part) = (Arc::clone(work), Arc::clone(&indexes), part.clone());
                        let (id, now, is_gzip) = (id.clone(), self.clock.now(), endpoint.is_gzip);
                        let data = move || {
                            request::body(&id, now, indexes[part].iter().map(|index| &work.data(*index)[..]), is_gzip)
                        };
                        computed(data).await??
                    };
                    let request = Request { id: id.clone(), records: *count, body: body.into() };
                    let failed = self.until_over(endpoint, &request, &mut tries).await?;
                    // The checkpoint notes the last one, if nothing is to be done behind it.
                    if failed.is_some() || !is_last || !failures.is_empty() {
                        let over = Over { id, version, failed: failed.clone(), documents: BTreeMap::new() };
                        over::note(self.store.as_ref(), (flush, &work.fence), number, &over).await?;
                    }
                    failed
                }
            };
            if let Some(failure) = failed {
                failures.extend(indexes[part].iter().map(|index| (*index, failure.clone())));
            }
            before += count;
        }
        Ok(failures)
    }

    /// Sends a request until it is taken (`None`), or given up.
    async fn until_over(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        tries: &mut Tries<'_, '_>,
    ) -> Result<Option<Failure>, NotYet> {
        tries.anew();
        loop {
            let answered = tries.once(self.endpoints.post(self.post(endpoint, request))).await?;
            let Err(not_taken) = judged(&request.id, &answered) else { return Ok(None) };
            let error = endpoint.without_secrets(&not_taken.message);
            if tries.is_over() || not_taken.is_final {
                self.events.given_up(request.records, &error);
                let (code, ended_ms) = (not_taken.code.to_owned(), self.clock.now());
                return Ok(Some(Failure { code, message: error, attempts: tries.attempts, ended_ms }));
            }
            self.events.failing(request.records, &error);
            tries.pause(&error).await?;
        }
    }

    fn post(&self, endpoint: &Endpoint, request: &Request) -> Post {
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-amz-firehose-protocol-version", "1.0".to_owned()),
            ("x-amz-firehose-request-id", request.id.clone()),
            ("x-amz-firehose-source-arn", self.arn.clone()),
        ];
        if let Some(key) = &endpoint.access_key {
            headers.push(("x-amz-firehose-access-key", key.expose().to_owned()));
        }
        if let Some(attributes) = &endpoint.attributes {
            headers.push(("x-amz-firehose-common-attributes", attributes.expose().to_owned()));
        }
        if endpoint.is_gzip {
            headers.push(("content-encoding", "gzip".to_owned()));
        }
        Post {
            to: endpoint.address.clone(),
            headers,
            body: request.body.clone(),
            timeout: REPLY_TIMEOUT,
            reply_bytes_max: REPLY_BYTES_MAX,
        }
    }
}

/// A line of an object of what an endpoint did not take: what it was sent. Source: docs/spec/sinks.md 2.7.
pub(crate) fn not_taken(work: &Work, index: usize, failure: &Failure) -> Value {
    let source = &work.sources[index];
    let mut line = told(source, failure, None);
    line["rawData"] = BASE64.encode(work.data(index)).into();
    line["subsequenceNumber"] = 0.into();
    line["dataId"] = format!("{}.0", source.id).into();
    line
}
