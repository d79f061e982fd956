//! Records as the documents of an index of OpenSearch or Elasticsearch. Source: docs/spec/sinks.md 2.8.
//!
//! # What once means here
//!
//! A flush is sent in parts, one after the other, and a document that the cluster refuses for the moment is sent again alone. The id of a
//! document follows from its record, so that a part that comes again, after a lost answer or by the next life of the server, replaces what
//! is there with the same. Without ids each of these makes doubles. What was given up is durable before it is written to the bucket, and is
//! not sent any more.

pub mod config;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailrace_core::MappingId;
use tailrace_sinks::search::{Document, Documents, Indexed, Refusal, Rotation};

use crate::ClusterAt;
use crate::deliver::{Work, told};
use crate::endpoint::request;
use crate::limits::{PART_BYTES_MAX, PART_DOCUMENTS_MAX};
use crate::outcome::Failure;
use crate::over::{self, Over};
use crate::patience::Patience;
use crate::records::Source;
use crate::remote::{Sender, Tries, computed};
use crate::transform::{Flush, NotYet};
use crate::uuid::uuid;

/// In the digest of a part: a request to an endpoint, which the same flush may have been before, is not taken for one.
const MARK: &[u8] = b"documents";
/// The code of what nobody answered to: all others are the statuses of answers.
const NO_RESPONSE: &str = "NoResponse";
/// The status that a search engine has for a document that is none.
const BAD_REQUEST: u16 = 400;

/// An index, and how records get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The cluster.
    pub at: ClusterAt,
    /// The name, or what the names of the periods begin with.
    pub name: String,
    /// How often a new one begins.
    pub rotation: Rotation,
    /// The type of the documents, where the cluster still has such.
    pub kind: Option<String>,
    /// Documents have ids that follow from their records; otherwise the cluster gives them.
    pub has_ids: bool,
    /// How long what fails is sent again.
    pub retry: Duration,
    /// The type of the errors of what is not taken.
    pub error_type: &'static str,
}

impl Index {
    /// As a status shows it.
    pub fn shown(&self) -> String {
        format!("{} {}", self.at, self.name)
    }

    fn name_of(&self, source: &Source) -> String {
        self.rotation.index(&self.name, source.arrived_ms)
    }

    /// The id of a record's document: what no other record of any server has, and a repeat has again.
    fn id_of(&self, consumer: MappingId, source: &Source) -> Option<String> {
        self.has_ids
            .then(|| uuid(&Sha256::new().chain_update(consumer.to_string()).chain_update(&source.id).finalize()))
    }

    /// A line of an object of what was not taken.
    pub(crate) fn not_taken(&self, consumer: MappingId, work: &Work, index: usize, failure: &Failure) -> Value {
        let source = &work.sources[index];
        let mut line = told(source, failure, None);
        line["rawData"] = BASE64.encode(work.data(index)).into();
        line["esDocumentId"] = json!(self.id_of(consumer, source));
        line["esIndexName"] = self.name_of(source).into();
        line["esTypeName"] = self.kind.as_deref().unwrap_or_default().into();
        line
    }

    /// The parts that a flush is sent in, and the records that are no documents. It computes.
    fn parts(&self, flush: Flush, work: &Work) -> (Vec<Part>, Vec<(usize, Failure)>) {
        let (mut parts, mut unfit): (Vec<Part>, Vec<(usize, Failure)>) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for record in work.deliverable() {
            let (source, data) = (&work.sources[record], work.data(record));
            if !is_document(data) {
                let message = "The record is no JSON object, and was not sent.".to_owned();
                // As if it had been refused when it came: a repeat says the same.
                let failure =
                    Failure { code: BAD_REQUEST.to_string(), message, attempts: 0, ended_ms: source.arrived_ms };
                unfit.push((record, failure));
                continue;
            }
            let index = self.name_of(source);
            bytes += data.len();
            match parts.last_mut() {
                Some(part)
                    if part.index == index && part.records.len() < PART_DOCUMENTS_MAX && bytes <= PART_BYTES_MAX =>
                {
                    part.records.push(record);
                }
                _ => {
                    bytes = data.len();
                    parts.push(Part { index, records: vec![record], id: String::new() });
                }
            }
        }
        for part in &mut parts {
            let first = part.records.first().copied().unwrap_or_default();
            let records = part.records.iter().map(|record| &work.data(*record)[..]);
            part.id = request::id(flush, first, std::iter::once(MARK).chain(records));
        }
        (parts, unfit)
    }
}

/// Documents that are sent, and are over, together.
struct Part {
    /// What no other part has, and a repeat has again.
    id: String,
    index: String,
    /// The records of the flush.
    records: Vec<usize>,
}

/// Whether it is a JSON object, in UTF-8.
fn is_document(data: &[u8]) -> bool {
    let first = data.iter().find(|byte| !byte.is_ascii_whitespace());
    first == Some(&b'{') && std::str::from_utf8(data).is_ok() && serde_json::from_slice::<IgnoredAny>(data).is_ok()
}

/// A document in one line: outside of texts, where JSON has none, a line end is as good as a space.
fn in_one_line(data: &Bytes) -> Bytes {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !data.iter().any(is_end) {
        return data.clone();
    }
    data.iter().map(|byte| if is_end(byte) { b' ' } else { *byte }).collect()
}

impl Sender {
    /// [`Sender::send`], to an index.
    pub(crate) async fn send_documents(
        &self,
        (index, version): (&Index, u32),
        flush: Flush,
        work: &Arc<Work>,
        patience: &mut Patience<'_>,
    ) -> Result<Vec<(usize, Failure)>, NotYet> {
        let (parts, mut failures) = {
            let (index, work) = (index.clone(), Arc::clone(work));
            computed(move || index.parts(flush, &work)).await?
        };
        if !failures.is_empty() {
            self.events.given_up(failures.len(), &failures[0].1.message);
        }
        let known = over::all(self.store.as_ref(), flush, &work.fence).await?;
        let mut tries = self.tries(index.retry, patience);
        let count = parts.len();
        for (number, part) in parts.into_iter().map(Arc::new).enumerate() {
            let (is_last, number) = (number + 1 == count, number as u32);
            let known = known.get(&number).filter(|over| over.id == part.id);
            let failed = match known {
                Some(over) if over.version == version || over.documents.is_empty() => over.documents.clone(),
                known => {
                    // What another version of the destination has brought somewhere is there.
                    let pending = match known {
                        Some(over) => over.documents.keys().copied().collect(),
                        None => (0..part.records.len() as u32).collect(),
                    };
                    let failed = self.until_indexed(index, flush.consumer, (&part, pending), work, &mut tries).await?;
                    // The checkpoint notes the last one, if nothing is to be done behind it.
                    if !(is_last && failed.is_empty() && failures.is_empty()) {
                        let over = Over { id: part.id.clone(), version, failed: None, documents: failed.clone() };
                        over::note(self.store.as_ref(), (flush, &work.fence), number, &over).await?;
                    }
                    failed
                }
            };
            failures.extend(failed.into_iter().map(|(place, failure)| (part.records[place as usize], failure)));
        }
        failures.sort_by_key(|(record, _)| *record);
        Ok(failures)
    }

    /// Sends the documents at these places of a part until each is there, or given up: answers those.
    async fn until_indexed(
        &self,
        index: &Index,
        consumer: MappingId,
        (part, mut pending): (&Arc<Part>, Vec<u32>),
        work: &Arc<Work>,
        tries: &mut Tries<'_, '_>,
    ) -> Result<BTreeMap<u32, Failure>, NotYet> {
        let mut failed = BTreeMap::new();
        tries.attempts = 0;
        loop {
            let (documents, places) = {
                let (index, part, work) = (index.clone(), Arc::clone(part), Arc::clone(work));
                let make = move || (documents(&index, consumer, (&part, &pending), &work), pending);
                computed(make).await?
            };
            let indexed = tries.once(self.clusters.index(&index.at, documents)).await??;
            let (mut refused, mut rejected) = (Vec::new(), Vec::new());
            for (place, indexed) in places.into_iter().zip(indexed) {
                let failure = |refusal: Refusal| self.failure(refusal.status.to_string(), refusal.to_string(), tries);
                match indexed {
                    Indexed::Done => {}
                    Indexed::Again(refusal) => refused.push((place, failure(refusal))),
                    Indexed::Unknown(words) => {
                        refused.push((place, self.failure(NO_RESPONSE.to_owned(), words, tries)));
                    }
                    Indexed::Rejected(refusal) => rejected.push((place, failure(refusal))),
                }
            }
            self.give_up(rejected, &mut failed);
            let Some((_, first)) = refused.first() else {
                tries.anew();
                return Ok(failed);
            };
            // What comes behind it has a try, and no time of its own.
            if tries.is_over() {
                self.give_up(refused, &mut failed);
                return Ok(failed);
            }
            let error = first.message.clone();
            self.events.failing(refused.len(), &error);
            tries.pause(&error).await?;
            pending = refused.into_iter().map(|(place, _)| place).collect();
        }
    }

    fn failure(&self, code: String, message: String, tries: &Tries<'_, '_>) -> Failure {
        Failure { code, message, attempts: tries.attempts, ended_ms: self.clock.now() }
    }

    fn give_up(&self, failures: Vec<(u32, Failure)>, failed: &mut BTreeMap<u32, Failure>) {
        if let Some((_, first)) = failures.first() {
            self.events.given_up(failures.len(), &first.message);
        }
        failed.extend(failures);
    }
}

/// The documents at these places of a part. It computes.
fn documents(index: &Index, consumer: MappingId, (part, places): (&Part, &[u32]), work: &Work) -> Documents {
    let document = |place: &u32| {
        let record = part.records[*place as usize];
        Document { id: index.id_of(consumer, &work.sources[record]), body: in_one_line(work.data(record)) }
    };
    Documents { index: part.index.clone(), kind: index.kind.clone(), all: places.iter().map(document).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// docs/spec/sinks.md 2.8: a record is one JSON object.
    #[test]
    fn what_is_a_document_is_one_line_of_json() {
        for (data, is_one) in [
            (&b" {\"a\": [1, {}]}\r\n"[..], true),
            (b"{}", true),
            (b"", false),
            (b"[{}]", false),
            (b"1", false),
            (b"{} {}", false),
            (b"{\"a\": 1", false),
            (b"{\"a\": \"\n\"}", false),
            (b"{\"a\": \"\xff\"}", false),
        ] {
            assert_eq!(is_document(data), is_one, "{data:?}");
        }
        let deep = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
        assert!(is_document(deep.as_bytes()));
        let pretty = Bytes::from_static(b"{\r\n \"a\": 1.50,\n \"b\": \"\\n\"}\n");
        assert_eq!(in_one_line(&pretty), &b"{   \"a\": 1.50,  \"b\": \"\\n\"} "[..]);
    }
}
