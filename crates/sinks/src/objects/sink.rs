//! The object sink: a flush becomes one object, or one for each of its partitions. Source: docs/spec/sinks.md 2.5.
//!
//! Invariants: keys and bytes are a function of the flush and the settings, so that a repeat puts the same again; Ok is answered
//! when all objects of the flush are there, the manifest last. Memory holds one flush of a shard and its objects.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest, Sha256};
use tailrace_core::clock::Clock;
use tailrace_core::{EpochMs, SequenceNumber};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

use super::config::{Checked, Config, ConfigError};
use super::encode::{EncodeError, Encoder, Of, size};
use super::manifest::{ManifestObject, note};
use super::partition::escaped;
use super::partition::record::RecordDocument;
use super::prefix::{Facts, PREFIX_CHARS_MAX};
use super::s3::RELEASE;
use super::store::{ObjectError, Over, Put};
use super::{joined, store};
use crate::sink::{Bounds, Flush, Flushed, Images, Origin, Rejected, Sink, SinkError};

/// Uploads of one flush at a time.
const UPLOADS: usize = 8;
/// The type of the error of records beyond the last partition. Source: docs/spec/sinks.md 2.3.
const PARTITIONS_EXCEEDED: &str = "activePartitionExceeded";
/// The type of the error of records without a partition.
const PROCESSING_FAILED: &str = "processing-failed";

/// A sink that writes objects.
pub struct ObjectSink(Arc<Inner>);

struct Inner {
    settings: Checked,
    clock: Arc<dyn Clock>,
}

/// A partition of a flush.
struct Partition {
    keys: Vec<String>,
    /// Indexes of its records.
    records: Vec<usize>,
}

/// The objects of a flush.
#[derive(Default)]
struct Made {
    objects: Vec<Object>,
    rejected: Vec<Rejected>,
}

struct Object {
    key: String,
    body: Bytes,
    noted: ManifestObject,
}

impl ObjectSink {
    /// Makes a sink. `records` writes the events of the data directory; the clock tells until when objects are locked, and
    /// nothing else.
    ///
    /// # Errors
    /// The settings cannot be right.
    pub fn new(config: &Config, records: RecordWriter, clock: Arc<dyn Clock>) -> Result<ObjectSink, ConfigError> {
        Ok(ObjectSink(Arc::new(Inner { settings: config.checked(records)?, clock })))
    }
}

impl Sink for ObjectSink {
    fn bounds(&self) -> Bounds {
        self.0.settings.bounds
    }

    fn plans(&self) -> bool {
        true
    }

    fn needs(&self) -> Images {
        Images { old: false, new: true }
    }

    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        Ok(size(record))
    }

    fn flush(&self, flush: Flush) -> BoxFuture<'static, Result<Flushed, SinkError>> {
        let inner = Arc::clone(&self.0);
        async move { inner.flush(flush).await }.boxed()
    }
}

impl Inner {
    async fn flush(self: Arc<Self>, flush: Flush) -> Result<Flushed, SinkError> {
        let flush = Arc::new(flush);
        let made = tokio::task::spawn_blocking({
            let (inner, flush) = (Arc::clone(&self), Arc::clone(&flush));
            move || inner.make(&flush)
        });
        let Made { objects, rejected } =
            made.await.map_err(|error| SinkError(error.to_string()))?.map_err(|error| SinkError(error.to_string()))?;
        let bytes = objects.iter().map(|object| object.body.len() as u64).sum();
        let puts: Vec<_> = objects.iter().map(|object| self.put(object)).collect();
        stream::iter(puts).buffer_unordered(UPLOADS).try_collect::<()>().await?;
        if self.settings.manifest && !objects.is_empty() {
            let noted = objects.into_iter().map(|object| (object.key, object.noted)).collect::<BTreeMap<_, _>>();
            note(&self.settings.writer, &flush, oldest(&flush.records), noted).await?;
        }
        Ok(Flushed { rejected, bytes, ..Flushed::default() })
    }

    async fn put(&self, object: &Object) -> Result<(), ObjectError> {
        let lock = self.settings.lock.map(|retention| retention.lock(self.clock.now()));
        let how = Put { over: Over::Same, lock, content_type: self.settings.encoder.content_type() };
        match self.settings.writer.put(&object.key, object.body.clone(), how).await {
            // The same flush, made by another release, which may have compressed it in another way: its name says which records
            // are in it.
            Err(ObjectError::Differs { release: Some(release), .. }) if release != RELEASE => {
                self.settings.writer.put(&object.key, object.body.clone(), Put { over: Over::Anything, ..how }).await
            }
            put => put,
        }
    }

    /// Makes the objects. It computes.
    fn make(&self, flush: &Flush) -> Result<Made, EncodeError> {
        let mut made = Made::default();
        let partitions = self.partitions(flush, &mut made.rejected)?;
        for (index, partition) in partitions.iter().enumerate() {
            let records: Vec<&StreamRecord> = partition.records.iter().map(|index| &flush.records[*index]).collect();
            match self.key(flush, index, partition, &records) {
                Ok(key) => made.objects.push(self.object(key, flush, &records)?),
                Err(error) => made
                    .rejected
                    .extend(partition.records.iter().map(|index| Rejected { index: *index, error: error.clone() })),
            }
        }
        made.rejected.sort_by_key(|rejected| rejected.index);
        Ok(made)
    }

    fn encoder(&self, flush: &Flush) -> &Encoder {
        match flush.origin {
            Origin::Snapshot { .. } => &self.settings.encoder_of_items,
            Origin::Stream | Origin::Retry => &self.settings.encoder,
        }
    }

    /// The partitions in the order of their first records.
    fn partitions(&self, flush: &Flush, rejected: &mut Vec<Rejected>) -> Result<Vec<Partition>, EncodeError> {
        let settings = &self.settings;
        if settings.keys.is_empty() {
            return Ok(vec![Partition { keys: Vec::new(), records: (0..flush.records.len()).collect() }]);
        }
        let (mut partitions, mut places) = (Vec::<Partition>::new(), HashMap::<Vec<String>, usize>::new());
        for (index, record) in flush.records.iter().enumerate() {
            let keys = match self.keys(flush, record)? {
                Ok(keys) => keys,
                Err(error) => {
                    rejected.push(Rejected { index, error });
                    continue;
                }
            };
            if let Some(place) = places.get(&keys) {
                partitions[*place].records.push(index);
            } else if partitions.len() < settings.partitions_max {
                places.insert(keys.clone(), partitions.len());
                partitions.push(Partition { keys, records: vec![index] });
            } else {
                let most = settings.partitions_max;
                let error =
                    format!("{PARTITIONS_EXCEEDED}: {most} partitions of one flush are the most (partitions_max)");
                rejected.push(Rejected { index, error });
            }
        }
        Ok(partitions)
    }

    /// The values of a record's partition keys, as they stand in a key.
    fn keys(&self, flush: &Flush, record: &StreamRecord) -> Result<Result<Vec<String>, String>, EncodeError> {
        let encoder = self.encoder(flush);
        let document =
            RecordDocument { record, source: &flush.source, writer: &encoder.writer, values: encoder.values }.root();
        let mut values = Vec::with_capacity(self.settings.keys.len());
        for (name, expression) in &self.settings.keys {
            match expression.find(&document)? {
                Some(value) => values.push(escaped(&value).into_owned()),
                None => {
                    return Ok(Err(format!("{PROCESSING_FAILED}: the partition key `{name}` is not in the record")));
                }
            }
        }
        Ok(Ok(values))
    }

    /// The key of a partition's object; or why there can be none.
    fn key(&self, flush: &Flush, index: usize, of: &Partition, records: &[&StreamRecord]) -> Result<String, String> {
        let settings = &self.settings;
        let names = settings.keys.iter().map(|(name, _)| name.as_str());
        let keys: Vec<(&str, Cow<'_, str>)> =
            names.zip(&of.keys).map(|(name, value)| (name, Cow::Borrowed(value.as_str()))).collect();
        let seed = format!("{}\n{}\n{}", flush.sink, flush.shard.id, flush.first());
        let facts = Facts {
            oldest: oldest(records.iter().copied()),
            zone: settings.zone,
            seed: &seed,
            error_type: "",
            keys: &keys,
        };
        let prefix = settings.prefix.evaluate(&facts);
        let chars = prefix.chars().count();
        if chars > PREFIX_CHARS_MAX {
            return Err(format!(
                "{PROCESSING_FAILED}: a prefix of {chars} characters; {PREFIX_CHARS_MAX} are the most"
            ));
        }
        let name = if of.keys.is_empty() { flush.name() } else { name_of_partition(flush, index, records) };
        let key = joined(&prefix, &format!("{name}{}", settings.encoder.extension()));
        match settings.writer.check(&key) {
            Ok(()) => Ok(key),
            Err(error) => Err(format!("{PROCESSING_FAILED}: {error}")),
        }
    }

    fn object(&self, key: String, flush: &Flush, records: &[&StreamRecord]) -> Result<Object, EncodeError> {
        let of = Of { source: &flush.source, shard_id: &flush.shard.id };
        let body = Bytes::from(self.encoder(flush).encode(of, records)?);
        let number = |record: Option<&&StreamRecord>| {
            record.map_or_else(String::new, |record| SequenceNumber(record.number).to_string())
        };
        let noted = ManifestObject {
            rows: records.len(),
            bytes: body.len(),
            sha256: if self.settings.manifest { store::hex(&Sha256::digest(&body)) } else { String::new() },
            first: number(records.first()),
            last: number(records.last()),
        };
        Ok(Object { key, body, noted })
    }
}

/// When the oldest of records was written.
fn oldest<'a>(records: impl IntoIterator<Item = &'a StreamRecord>) -> EpochMs {
    records.into_iter().map(|record| record.time_ms).min().unwrap_or(EpochMs::ZERO)
}

/// The name of a partition's object: as the flush's, with the numbers of its own records, which no other partition has; of a
/// snapshot, whose numbers are not unique, with the partition's place.
fn name_of_partition(flush: &Flush, index: usize, records: &[&StreamRecord]) -> String {
    let Flush { sink, version, shard, .. } = flush;
    match (flush.origin, records) {
        (Origin::Stream | Origin::Retry, [first, ..]) => {
            let last = records.last().unwrap_or(first);
            let (first, last) = (first.sequence_number(), last.sequence_number());
            format!("{sink}-v{version}-{}-{first}-{last}", shard.id)
        }
        _ => format!("{}-{index:04}", flush.name()),
    }
}
