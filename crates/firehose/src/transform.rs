//! Records through a function, before they are delivered. Source: docs/spec/sinks.md 8.
//!
//! Invariant: what a function has made of a record is durable before anybody uses it, and is used again when the flush comes again: a
//! function need not answer twice what it answered once. A crash in the middle of an invocation invokes it again. So does a server that takes
//! the shard over; what the function then answers to the one before is not kept.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tailrace_core::clock::Clock;
use tailrace_core::limits::{FUNCTION_RESPONSE_BYTES_MAX, INVOKE_PAYLOAD_BYTES_MAX};
use tailrace_core::rng::Rng;
use tailrace_core::{MappingId, RecordNo, ShardNo};
use tailrace_delivery::{Fence, Timer, each};
use tailrace_sinks::objects::encode::EncodeError;
use tailrace_store::keyspace::TransformedKey;
use tailrace_store::{Engine, Key, StoreError, Write};

use crate::beside;
use crate::config::Function;
use crate::limits::{
    ERROR_CHARS_MAX, INVOKE_RECORDS_MAX, TRANSFORMED_BYTES_MAX, TRANSFORMED_COMMIT_BYTES, TRANSFORMED_ROW_BYTES,
};
use crate::outcome::{Failure, Outcome, decode, encode};
use crate::patience::Patience;
use crate::records::Source;
use crate::{DoorError, Functions, Invoked};

/// JSON around a record of an event: its id, its time, names.
const AROUND_RECORD_BYTES: usize = 200;
/// JSON around all of them.
const AROUND_EVENT_BYTES: usize = 1024;

/// A flush whose records are transformed, or sent.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    /// The consumer.
    pub consumer: MappingId,
    /// The shard.
    pub shard: ShardNo,
    /// Its first record.
    pub first: RecordNo,
}

/// Runs a function on records.
pub struct Transformer {
    /// Where results are kept.
    pub store: Arc<dyn Engine>,
    /// Runs functions.
    pub functions: Arc<dyn Functions>,
    /// Time, for what is told of failures.
    pub clock: Arc<dyn Clock>,
    /// Waiting for a time of the clock.
    pub timer: Arc<dyn Timer>,
    /// Names of invocations.
    pub rng: Arc<dyn Rng>,
    /// The ARN of the delivery stream.
    pub arn: String,
    /// The region.
    pub region: String,
}

/// Why records are not transformed, or sent, yet.
#[derive(Debug)]
pub enum NotYet {
    /// The function cannot run now, or a stop came first.
    NotInvoked(String),
    /// This program cannot.
    Failed(String),
    /// The store's.
    Store(StoreError),
}

impl From<StoreError> for NotYet {
    fn from(error: StoreError) -> NotYet {
        NotYet::Store(error)
    }
}

/// Whatever its kind, nothing was sent, and the records come again.
impl From<DoorError> for NotYet {
    fn from(error: DoorError) -> NotYet {
        NotYet::Failed(error.to_string())
    }
}

impl From<EncodeError> for NotYet {
    fn from(error: EncodeError) -> NotYet {
        match error {
            EncodeError::Store(error) => NotYet::Store(error),
            EncodeError::Format(error) => NotYet::Failed(error),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    invocation_id: String,
    delivery_stream_arn: &'a str,
    region: &'a str,
    records: Vec<EventRecord<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventRecord<'a> {
    record_id: &'a str,
    approximate_arrival_timestamp: u64,
    data: String,
}

#[derive(Deserialize)]
struct Answered {
    records: Vec<AnsweredRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnsweredRecord {
    record_id: String,
    result: String,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    partition_keys: Option<HashMap<String, serde_json::Value>>,
}

impl Transformer {
    /// What the function makes of the records, one outcome each.
    ///
    /// # Errors
    /// They are not transformed yet; what is, is kept.
    pub async fn transform(
        &self,
        function: &Function,
        (flush, fence): (Flush, &Fence),
        records: &[Source],
        patience: &mut Patience<'_>,
    ) -> Result<Vec<Outcome>, NotYet> {
        let (store, range) = (self.store.as_ref(), TransformedKey::range(flush.consumer));
        beside::forget_others(store, fence, flush, range.clone(), flush_of).await?;
        let (mut outcomes, mut rows) = (Vec::with_capacity(records.len()), 0);
        each(store, range, |key, value| {
            let corrupt = || StoreError::Corrupt("what a function has made of records".to_owned());
            let part = TransformedKey::decode(&key).ok_or_else(corrupt)?;
            if (part.shard, part.first) == (flush.shard, flush.first) {
                outcomes.extend(decode(&value).ok_or_else(corrupt)?);
                rows = part.part + 1;
            }
            Ok(())
        })
        .await?;
        let mut bytes: usize = outcomes.iter().map(Outcome::bytes).sum();
        while outcomes.len() < records.len() {
            let rest = &records[outcomes.len()..];
            let piece = &rest[..count(rest, function.bytes_max)];
            let mut made = self.invoke(function, piece, patience).await?;
            for outcome in &mut made {
                bytes += outcome.bytes();
                if bytes > TRANSFORMED_BYTES_MAX {
                    bytes -= outcome.bytes();
                    let text = format!("The results of a flush have more than {TRANSFORMED_BYTES_MAX} bytes.");
                    *outcome = self.failed("Lambda.OutputTooLarge", &text, 1);
                    bytes += outcome.bytes();
                }
            }
            rows = self.keep((flush, fence), rows, &made).await?;
            outcomes.append(&mut made);
        }
        Ok(outcomes)
    }

    /// Keeps outcomes in rows from `row` on; answers the next.
    async fn keep(&self, (flush, fence): (Flush, &Fence), mut row: u32, outcomes: &[Outcome]) -> Result<u32, NotYet> {
        let Flush { consumer, shard, first } = flush;
        let (mut writes, mut waiting) = (Vec::new(), 0);
        let mut rest = outcomes;
        while !rest.is_empty() {
            let mut bytes = 0;
            let count = rest.iter().take_while(|outcome| {
                let fits = bytes < TRANSFORMED_ROW_BYTES;
                bytes += outcome.bytes();
                fits
            });
            let (piece, behind) = rest.split_at(count.count());
            let key = TransformedKey { consumer, shard, first, part: row }.encode();
            let value = encode(piece);
            waiting += value.len();
            writes.push(Write::Put { key, value });
            (row, rest) = (row + 1, behind);
            if waiting >= TRANSFORMED_COMMIT_BYTES {
                beside::write(self.store.as_ref(), fence, &std::mem::take(&mut writes)).await?;
                waiting = 0;
            }
        }
        if !writes.is_empty() {
            beside::write(self.store.as_ref(), fence, &writes).await?;
        }
        Ok(row)
    }

    fn failed(&self, code: &str, message: &str, attempts: u32) -> Outcome {
        let message = message.chars().take(ERROR_CHARS_MAX).collect();
        Outcome::Failed(Failure { code: code.to_owned(), message, attempts, ended_ms: self.clock.now() })
    }

    async fn invoke(
        &self,
        function: &Function,
        records: &[Source],
        patience: &mut Patience<'_>,
    ) -> Result<Vec<Outcome>, NotYet> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let invoked = tokio::select! {
                biased;
                invoked = self.functions.invoke(&function.arn, self.event(records)) => invoked,
                // What it would have answered is not known: it is invoked again.
                () = patience.over() => Invoked::NotInvoked("the delivery stream is stopped".to_owned()),
            };
            let (code, error) = match invoked {
                Invoked::NotInvoked(error) => return Err(NotYet::NotInvoked(error)),
                Invoked::Answered(payload) if payload.len() > FUNCTION_RESPONSE_BYTES_MAX => {
                    ("Lambda.FunctionError", "The answer is larger than 6 MB.".to_owned())
                }
                Invoked::Answered(payload) => match serde_json::from_slice::<Answered>(&payload) {
                    Ok(answered) => return Ok(self.judged(records, answered, attempts)),
                    Err(error) => ("Lambda.JsonProcessingException", format!("{JSON_FAILED} {error}")),
                },
                Invoked::Failed(error) => ("Lambda.FunctionError", error),
            };
            if attempts > function.retries {
                return Ok(records.iter().map(|_| self.failed(code, &error, attempts)).collect());
            }
        }
    }

    fn event(&self, records: &[Source]) -> Bytes {
        let records = records.iter().map(|record| EventRecord {
            record_id: &record.id,
            approximate_arrival_timestamp: record.arrived_ms.0,
            data: BASE64.encode(&record.data),
        });
        let event = Event {
            invocation_id: self.rng.uuid(),
            delivery_stream_arn: &self.arn,
            region: &self.region,
            records: records.collect(),
        };
        serde_json::to_vec(&event).expect("invariant: an event is texts and numbers").into()
    }

    /// What an answer says of each record.
    fn judged(&self, records: &[Source], answered: Answered, attempts: u32) -> Vec<Outcome> {
        let mut by_id: HashMap<String, (AnsweredRecord, bool)> = HashMap::with_capacity(records.len());
        for record in answered.records {
            match by_id.entry(record.record_id.clone()) {
                std::collections::hash_map::Entry::Occupied(mut there) => there.get_mut().1 = true,
                std::collections::hash_map::Entry::Vacant(free) => drop(free.insert((record, false))),
            }
        }
        let judge = |record: &Source| match by_id.remove(&record.id) {
            None => self.failed("Lambda.MissingRecordId", MISSING, attempts),
            Some((_, true)) => self.failed("Lambda.DuplicatedRecordId", DUPLICATED, attempts),
            Some((answered, false)) => self.outcome(answered, attempts),
        };
        records.iter().map(judge).collect()
    }

    fn outcome(&self, answered: AnsweredRecord, attempts: u32) -> Outcome {
        match &*answered.result {
            "Ok" => {}
            "Dropped" => return Outcome::Dropped,
            "ProcessingFailed" => {
                return self.failed(
                    "Lambda.ProcessingFailedStatus",
                    "ProcessingFailed status set for record",
                    attempts,
                );
            }
            other => {
                let text = format!("{JSON_FAILED} The result {other:?} is none of Ok, Dropped and ProcessingFailed.");
                return self.failed("Lambda.JsonProcessingException", &text, attempts);
            }
        }
        let Some(Ok(data)) = answered.data.map(|data| BASE64.decode(data)) else {
            let text = format!("{JSON_FAILED} The data of a record is missing, or no base64.");
            return self.failed("Lambda.JsonProcessingException", &text, attempts);
        };
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let keys = answered.metadata.and_then(|metadata| metadata.partition_keys).unwrap_or_default();
        let mut keys: Vec<(String, String)> = keys.into_iter().map(|(name, value)| (name, text(value))).collect();
        keys.sort_unstable();
        keys.truncate(usize::from(u16::MAX));
        Outcome::Ok { data: data.into(), keys }
    }
}

const JSON_FAILED: &str = "There was an error parsing returned records from the Lambda function.";
const MISSING: &str =
    "One or more record Ids were not returned. Ensure that the Lambda function returns all received record Ids.";
const DUPLICATED: &str = "Multiple records were returned with the same record Id. Ensure that the Lambda function returns unique record Ids for each record.";

/// How many of the records are one invocation's, at least one.
fn count(records: &[Source], bytes_max: usize) -> usize {
    let (mut bytes, mut event_bytes) = (0, AROUND_EVENT_BYTES);
    let fits = |record: &&Source| {
        bytes += record.data.len();
        event_bytes += record.data.len().div_ceil(3) * 4 + AROUND_RECORD_BYTES;
        bytes <= bytes_max && event_bytes <= INVOKE_PAYLOAD_BYTES_MAX
    };
    records.iter().take(INVOKE_RECORDS_MAX).take_while(fits).count().max(1)
}

/// The flush that the key of a row names.
fn flush_of(key: &Key) -> Option<(ShardNo, RecordNo)> {
    TransformedKey::decode(key).map(|part| (part.shard, part.first))
}
