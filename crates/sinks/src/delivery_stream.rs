//! A delivery stream of this server: changes become its records, each the JSON of the change.
//!
//! # What once means here
//!
//! At least once. The records of a flush are put in one commit, in order; a crash between that and the checkpoint puts them again, and
//! their `eventID` tells so. From there on the delivery stream has each of its records in one object (docs/sinks.md, Firehose).

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use tailrace_core::json_text::ValueForm;
use tailrace_core::{ApiError, StreamArn};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

use crate::computed::{computed, stored_bytes};
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Rejected, Sink, SinkError};

/// What an address begins with.
const SCHEME: &str = "firehose:";
/// Records of a flush, and their bytes: as PutRecordBatch has them; a record has as many at most. Source: docs/spec/sinks.md 2.1.
const RECORDS_MAX: usize = 500;
const BYTES_MAX: usize = 4 << 20;
/// Longest name of a delivery stream. Source: the service model.
const NAME_CHARS_MAX: usize = 64;

/// Puts records into delivery streams.
pub trait PutRecords: Send + Sync + 'static {
    /// Puts them into the stream of this name, all in one commit.
    ///
    /// # Errors
    /// What the delivery stream's own API answers.
    fn put(&self, stream: &str, records: Vec<Vec<u8>>) -> BoxFuture<'static, Result<(), ApiError>>;
}

/// The settings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `firehose:NAME`: a delivery stream of this server.
    pub to: String,
    /// How values stand in the JSON.
    #[serde(default)]
    #[schemars(schema_with = "crate::schema::value_form")]
    pub values: ValueForm,
    /// A line feed follows each record, so that objects have a line for each.
    #[serde(default = "yes")]
    pub newline: bool,
}

fn yes() -> bool {
    true
}

/// The settings cannot be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

impl Config {
    /// Checks them.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.stream().map(drop)
    }

    /// The name of the delivery stream.
    fn stream(&self) -> Result<&str, ConfigError> {
        let name = self.to.strip_prefix(SCHEME).unwrap_or(&self.to);
        let is_sound = (1..=NAME_CHARS_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        let wrong = || ConfigError(format!("`to: {}`: {name:?} is no name of a delivery stream", self.to));
        is_sound.then_some(name).ok_or_else(wrong)
    }
}

/// The sink.
pub struct DeliveryStreamSink(Arc<Inner>);

struct Inner {
    stream: String,
    values: ValueForm,
    newline: bool,
    records: RecordWriter,
    records_of_items: RecordWriter,
    streams: Arc<dyn PutRecords>,
    /// [`BYTES_MAX`].
    record_bytes_max: usize,
}

/// What is made of a flush.
#[derive(Default)]
struct Made {
    records: Vec<Vec<u8>>,
    rejected: Vec<Rejected>,
}

impl DeliveryStreamSink {
    /// A sink into the delivery stream that the settings name, which need not be there yet.
    ///
    /// # Errors
    /// The settings cannot be right.
    pub fn new(config: &Config, records: RecordWriter, streams: Arc<dyn PutRecords>) -> Result<Self, ConfigError> {
        Ok(DeliveryStreamSink(Arc::new(Inner {
            stream: config.stream()?.to_owned(),
            values: config.values,
            newline: config.newline,
            records_of_items: records.of_items(),
            records,
            streams,
            record_bytes_max: BYTES_MAX,
        })))
    }
}

impl Sink for DeliveryStreamSink {
    fn bounds(&self) -> Bounds {
        Bounds { records_max: RECORDS_MAX, bytes_max: BYTES_MAX, window: Duration::ZERO }
    }

    fn plans(&self) -> bool {
        false
    }

    fn needs(&self) -> Images {
        Images::default()
    }

    /// That of the event, as its types stand in it. No record names the stream's ARN, which adds some hundred bytes at most.
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        self.0.records.event_bytes(record, &StreamArn::new(""))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = Arc::clone(&self.0);
        async move {
            let (bytes, of) = (stored_bytes(&flush.records), Arc::clone(&inner));
            let made = computed(bytes, move || of.make(&flush)).await.map_err(|error| SinkError(error.to_string()))?;
            let Made { records, rejected } = made.map_err(|error| SinkError(error.to_string()))?;
            let bytes = records.iter().map(|record| record.len() as u64).sum();
            if !records.is_empty() {
                let put = inner.streams.put(&inner.stream, records).await;
                put.map_err(|error| SinkError(error.to_string()))?;
            }
            Ok(Flushed { bytes, rejected, ..Flushed::default() })
        }
        .boxed()
    }
}

impl Inner {
    /// The records of a flush, but for those that are too large. It computes.
    fn make(&self, flush: &Flush) -> Result<Made, StoreError> {
        let writer = match flush.origin {
            Origin::Snapshot { .. } => &self.records_of_items,
            Origin::Stream | Origin::Retry => &self.records,
        };
        let of = |record| {
            let mut out = Vec::new();
            writer.write_event_as(self.values, record, &flush.source.stream_arn, &mut out)?;
            if self.newline {
                out.push(b'\n');
            }
            Ok::<_, StoreError>(out)
        };
        let mut made = Made::default();
        for (index, record) in flush.records.iter().enumerate() {
            match of(record)? {
                out if out.len() > self.record_bytes_max => {
                    let error = format!("a record of {} bytes; {} are the most", out.len(), self.record_bytes_max);
                    made.rejected.push(Rejected { index, error });
                }
                out => made.records.push(out),
            }
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use parking_lot::Mutex;
    use serde_json::{Value, json};

    use super::*;
    use crate::kit::{History, POISON, Subject, assert_passes};
    use crate::notify::tests::writer;
    use crate::spec::SinkSpec;

    /// A delivery stream in memory, as its commits are: all records of a call, or none.
    #[derive(Clone, Default)]
    struct Stream(Arc<Mutex<Vec<Value>>>);

    impl PutRecords for Stream {
        fn put(&self, stream: &str, records: Vec<Vec<u8>>) -> BoxFuture<'static, Result<(), ApiError>> {
            assert_eq!(stream, "orders");
            let taken = self.0.clone();
            async move {
                // A commit is waited for.
                tokio::task::yield_now().await;
                let read = |record: &Vec<u8>| serde_json::from_slice::<Value>(record).unwrap();
                taken.lock().extend(records.iter().map(read));
                tokio::task::yield_now().await;
                Ok(())
            }
            .boxed()
        }
    }

    impl Subject for Stream {
        fn config(&self) -> Value {
            json!({"to": "firehose:orders", "start": "trim_horizon"})
        }

        fn sink(&self, spec: &SinkSpec, _: u32) -> Arc<dyn Sink> {
            let config = serde_json::from_value(Value::Object(spec.settings.clone())).unwrap();
            let mut sink = DeliveryStreamSink::new(&config, writer(), Arc::new(self.clone())).unwrap();
            Arc::get_mut(&mut sink.0).unwrap().record_bytes_max = 2_000;
            Arc::new(sink)
        }

        fn has_poison(&self) -> bool {
            true
        }

        /// A record has the item before and after.
        fn refuses(&self, old: Option<i64>, new: Option<i64>) -> bool {
            [old, new].contains(&Some(POISON))
        }

        fn attributes(&self, v: i64) -> Value {
            if v == POISON { json!({"note": {"S": "x".repeat(2_000)}}) } else { json!({}) }
        }

        /// Who passes over ids that it knows sees each change of an item once, in order.
        fn check(&self, history: &History) -> Result<(), String> {
            let (mut known, mut found) = (BTreeSet::new(), BTreeMap::<String, Vec<Value>>::new());
            for event in self.0.lock().iter() {
                if known.insert(event["eventID"].as_str().unwrap().to_owned()) {
                    let change = &event["dynamodb"];
                    let v = |image: &str| change[image]["v"]["N"].as_str().map(|v| v.parse::<i64>().unwrap());
                    let told = json!([event["eventName"], v("OldImage"), v("NewImage")]);
                    found.entry(change["Keys"]["id"]["S"].as_str().unwrap().to_owned()).or_default().push(told);
                }
            }
            let mut changes = history.changes.clone();
            changes.sort_by_key(|(_, number, ..)| *number);
            let mut expected = BTreeMap::<String, Vec<Value>>::new();
            for (.., event, key, old, new) in changes {
                expected.entry(key).or_default().push(json!([event, old, new]));
            }
            if found == expected { Ok(()) } else { Err(format!("{found:#?} instead of {expected:#?}")) }
        }
    }

    /// The kit that every sink passes: docs/spec/sinks.md 9.
    #[test]
    fn every_change_comes_into_a_delivery_stream_at_least_once_and_in_order() {
        assert_passes(|| Arc::new(Stream::default()), 40);
    }

    #[test]
    fn a_name_that_no_delivery_stream_has_is_refused() {
        let config = |to: &str| serde_json::from_value::<Config>(serde_json::json!({ "to": to })).unwrap();
        assert_eq!(config("firehose:orders-1").stream(), Ok("orders-1"));
        for to in ["firehose:", "firehose:a/b", "firehose:arn:aws:firehose:x", &format!("firehose:{}", "x".repeat(65))]
        {
            assert!(config(to).validate().unwrap_err().0.contains("is no name of a delivery stream"), "{to}");
        }
    }
}
