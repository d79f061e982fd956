//! A delivery stream as a target of delivery: a flush becomes objects, which a table may be loaded from, or requests and objects beside them.
//! Source: docs/spec/sinks.md 2.
//!
//! Invariants: names and bytes are a function of the flush, the version of the destination and what the function has made of the
//! records, or its endpoint of them, all of which are durable: a flush that comes again puts the same again. Done is answered when every object
//! is there, and every request is over. Memory holds one flush, with what was made of it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tailrace_core::{EpochMs, MappingId, RecordNo, ShardNo};
use tailrace_delivery::{Answer, Batch, Fence, Outcome as Done, Target};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_sinks::objects::encode::EncodeError;
use tailrace_sinks::objects::joined;
use tailrace_sinks::objects::partition::escaped;
use tailrace_sinks::objects::prefix::time::TimePattern;
use tailrace_sinks::objects::prefix::{Facts, KeySource, PREFIX_CHARS_MAX, Prefix};
use tailrace_sinks::objects::store::{ObjectWriter, Over, Put, check_key};
use tailrace_store::StoreError;

use crate::Buckets;
use crate::compress::Compression;
use crate::config::{ConfigError, Destination, Place};
use crate::limits::{PARTITIONS_MAX, PUTS_AT_ONCE};
use crate::outcome::{Failure, Outcome};
use crate::patience::Patience;
use crate::records::{self, Source};
use crate::remote::{Sender, computed};
use crate::transform::{Flush, NotYet, Transformer};
use crate::uuid::uuid;

/// The kind of the objects that hold records.
const RECORDS: &str = "records";
/// The type of the errors of records that could not be processed. Source: docs/spec/sinks.md 2.2.
const PROCESSING_FAILED: &str = "processing-failed";
/// Of those beyond the last partition. Source: docs/spec/sinks.md 2.3.
const PARTITIONS_EXCEEDED: &str = "activePartitionExceeded";

/// A delivery stream under one version of its destination.
pub struct Delivery {
    /// Its name.
    pub name: String,
    /// The version.
    pub version: u32,
    /// Its consumer.
    pub consumer: MappingId,
    /// Where the records go; otherwise what is wrong with it for this program: its records wait.
    pub destination: Result<Arc<Destination>, ConfigError>,
    /// Knows where buckets are.
    pub buckets: Arc<dyn Buckets>,
    /// Runs the function.
    pub transformer: Transformer,
    /// Sends where no bucket is.
    pub sender: Sender,
}

/// A clone is the same target.
#[derive(Clone)]
pub struct Door(pub Arc<Delivery>);

/// Names and values of a partition.
type PartitionKeys = Vec<(String, String)>;

impl Target for Door {
    fn size(&self, record: &StreamRecord) -> Result<usize, StoreError> {
        Ok(records::data(record)?.len())
    }

    fn batch_bytes_max(&self) -> usize {
        self.0.destination.as_ref().map_or(1 << 20, |destination| destination.bytes_max)
    }

    fn deliver(&self, batch: Batch) -> BoxFuture<'static, Answer> {
        let delivery = Arc::clone(&self.0);
        async move { delivery.take(batch).await.unwrap_or_else(Done::from).into() }.boxed()
    }
}

/// An object that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    bucket: String,
    key: String,
    body: Bytes,
    content_type: &'static str,
}

/// Why there is no object of records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoObject {
    /// What the records say makes no name: they are told of as failed, and the rest of the flush goes on.
    #[error("{0}")]
    Name(String),
    /// Its bytes cannot be written, which is no record's fault: the flush comes again.
    #[error(transparent)]
    Bytes(#[from] EncodeError),
}

impl From<NoObject> for NotYet {
    fn from(error: NoObject) -> NotYet {
        match error {
            NoObject::Name(text) => NotYet::Failed(text),
            NoObject::Bytes(error) => error.into(),
        }
    }
}

/// A flush and what became of its records.
pub(crate) struct Work {
    shard: ShardNo,
    first: RecordNo,
    /// What rows beside the flush are written under.
    pub(crate) fence: Fence,
    pub(crate) sources: Vec<Source>,
    /// As the function has them; `None`: there is no function.
    outcomes: Option<Vec<Outcome>>,
}

impl Delivery {
    async fn take(self: Arc<Self>, batch: Batch) -> Result<Done, NotYet> {
        let destination = self.destination.as_ref().map_err(|error| NotYet::Failed(error.to_string()))?;
        let Some(first) = batch.records.first().map(|record| record.number) else { return Ok(Done::Done) };
        let Some(fence) = batch.fence else {
            return Err(NotYet::Failed("no record of a delivery stream is handed over beside its shard".to_owned()));
        };
        let sources = batch.records.iter().map(Source::of).collect::<Result<Vec<Source>, StoreError>>()?;
        drop(batch.records);
        let shard = batch.shard.no;
        let flush = Flush { consumer: self.consumer, shard, first };
        let Transformer { clock, timer, .. } = &self.transformer;
        let mut patience = Patience::new(&batch.stopping, clock.as_ref(), timer.as_ref());
        let mut outcomes = None;
        if let Some(function) = &destination.function {
            outcomes = Some(self.transformer.transform(function, (flush, &fence), &sources, &mut patience).await?);
        }
        let work = Arc::new(Work { shard, first, fence, sources, outcomes });
        self.put(destination, &work, Delivery::objects).await?;
        if let Some(remote) = &destination.remote {
            let failures = self.sender.send((remote, self.version), flush, &work, &mut patience).await?;
            if !failures.is_empty() {
                let kind = remote.error_type();
                let errors = move |delivery: &Delivery, destination: &Destination, work: &Work| {
                    Ok(vec![delivery.errors(destination, kind, &failures, work)?])
                };
                self.put(destination, &work, errors).await?;
            }
        }
        if let Some(table) = &destination.table {
            self.load((destination, table), flush, &work, &mut patience).await?;
        }
        Ok(Done::Done)
    }

    /// Makes objects and puts them: their names.
    pub(crate) async fn put(
        self: &Arc<Self>,
        destination: &Arc<Destination>,
        work: &Arc<Work>,
        make: impl FnOnce(&Delivery, &Destination, &Work) -> Result<Vec<Object>, NoObject> + Send + 'static,
    ) -> Result<Vec<String>, NotYet> {
        let (delivery, destination, work) = (Arc::clone(self), Arc::clone(destination), Arc::clone(work));
        let objects = computed(move || make(&delivery, &destination, &work)).await??;
        let mut writers: BTreeMap<String, ObjectWriter> = BTreeMap::new();
        for object in &objects {
            if !writers.contains_key(&object.bucket) {
                writers.insert(object.bucket.clone(), self.buckets.place(&object.bucket)?);
            }
        }
        let names = objects.iter().map(|object| object.key.clone()).collect();
        let puts = objects.into_iter().map(|object| {
            let writer = writers[&object.bucket].clone();
            async move {
                // Nobody else makes this name, and a flush that comes again has the same bytes, or those of another release's compressor.
                let how = Put { over: Over::Anything, lock: None, content_type: object.content_type };
                writer.put(&object.key, object.body, how).await.map_err(|error| NotYet::Failed(error.to_string()))
            }
        });
        // As a list, so that the futures are of one type that can be sent.
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect::<()>().await?;
        Ok(names)
    }

    /// The objects of a flush, but those of what is not taken where no bucket is. It computes.
    fn objects(&self, destination: &Destination, work: &Work) -> Result<Vec<Object>, NoObject> {
        let mut objects = Vec::new();
        let mut errors: BTreeMap<&str, Vec<(usize, Failure)>> = BTreeMap::new();
        let mut partitions: Vec<(PartitionKeys, Vec<usize>)> = Vec::new();
        let mut places: HashMap<PartitionKeys, usize> = HashMap::new();
        for (index, source) in work.sources.iter().enumerate() {
            let keys = match work.outcome(index) {
                Some(Outcome::Dropped) => continue,
                Some(Outcome::Failed(failure)) => {
                    errors.entry(PROCESSING_FAILED).or_default().push((index, failure.clone()));
                    continue;
                }
                // It goes elsewhere.
                _ if destination.remote.is_some() => continue,
                Some(Outcome::Ok { keys, .. }) => keys.as_slice(),
                None => &[],
            };
            let keys = match self.keys(destination, work.data(index), keys) {
                Ok(keys) => keys,
                Err(text) => {
                    let failure = failure("DynamicPartitioning.MetadataExtractionFailed", text, source.arrived_ms);
                    errors.entry(PROCESSING_FAILED).or_default().push((index, failure));
                    continue;
                }
            };
            if let Some(place) = places.get(&keys) {
                partitions[*place].1.push(index);
            } else if partitions.len() < PARTITIONS_MAX {
                places.insert(keys.clone(), partitions.len());
                partitions.push((keys, vec![index]));
            } else {
                let text = format!("{PARTITIONS_MAX} partitions of one flush are the most.");
                let failure = failure("DynamicPartitioning.ActivePartitionLimitExceeded", text, source.arrived_ms);
                errors.entry(PARTITIONS_EXCEEDED).or_default().push((index, failure));
            }
        }
        for (keys, indexes) in &partitions {
            let mut body = Vec::new();
            for index in indexes {
                body.extend_from_slice(work.data(*index));
                body.extend_from_slice(&destination.delimiter);
            }
            let parts: Vec<&str> = keys.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
            let oldest = work.oldest(indexes);
            match self.object(&destination.place, (RECORDS, &parts), oldest, keys, body, work) {
                Ok(object) => objects.push(object),
                Err(NoObject::Name(text)) => {
                    errors.entry(PROCESSING_FAILED).or_default().extend(indexes.iter().map(|index| {
                        let arrived_ms = work.sources[*index].arrived_ms;
                        (*index, failure("DynamicPartitioning.MetadataExtractionFailed", text.clone(), arrived_ms))
                    }))
                }
                Err(error) => return Err(error),
            }
        }
        for (kind, failures) in &mut errors {
            failures.sort_by_key(|(index, _)| *index);
            objects.push(self.errors(destination, kind, failures, work)?);
        }
        if let Some(backup) = &destination.backup {
            let indexes: Vec<usize> = (0..work.sources.len()).collect();
            let body = work.sources.iter().flat_map(|source| source.data.iter().copied()).collect();
            objects.push(self.object(backup, ("backup", &[]), work.oldest(&indexes), &[], body, work)?);
        }
        Ok(objects)
    }

    /// The object of the records that failed in one way. It computes.
    fn errors(
        &self,
        destination: &Destination,
        kind: &str,
        failures: &[(usize, Failure)],
        work: &Work,
    ) -> Result<Object, NoObject> {
        let indexes: Vec<usize> = failures.iter().map(|(index, _)| *index).collect();
        let mut body = Vec::new();
        for (index, failure) in failures {
            let function = destination.function.as_ref().map(|function| function.arn.as_str());
            let line = match &destination.remote {
                Some(remote) if kind == remote.error_type() => remote.not_taken(self.consumer, work, *index, failure),
                _ => told(&work.sources[*index], failure, function),
            };
            serde_json::to_writer(&mut body, &line).map_err(|error| EncodeError::Format(error.to_string()))?;
            body.push(b'\n');
        }
        self.object(&beside(destination), (kind, &[]), work.oldest(&indexes), &[], body, work)
    }

    /// An object that tells of the records of a flush that are delivered, where those of errors are.
    pub(crate) fn told_of(
        &self,
        destination: &Destination,
        kind: &str,
        body: Vec<u8>,
        work: &Work,
    ) -> Result<Object, NoObject> {
        self.object(&beside(destination), (kind, &[]), work.oldest_delivered(), &[], body, work)
    }

    /// The name of the object of the records of a flush that are delivered, where they are not parted.
    pub(crate) fn records_name(&self, destination: &Destination, work: &Work) -> Result<String, NoObject> {
        self.name(&destination.place, (RECORDS, &[]), work.oldest_delivered(), &[], work)
    }

    /// The values of the partition keys of a record, as they stand in a name: those that the prefix uses, in its order.
    fn keys(
        &self,
        destination: &Destination,
        data: &[u8],
        of_function: &[(String, String)],
    ) -> Result<Vec<(String, String)>, String> {
        if !destination.is_partitioned {
            return Ok(Vec::new());
        }
        let mut document = None;
        let mut keys: Vec<(String, String)> = Vec::new();
        for key in destination.place.prefix.partition_keys() {
            let name = &key.name;
            let query = destination.queries.iter().find(|(other, _)| key.from == KeySource::Query && other == name);
            let value = match query {
                Some((_, expression)) => {
                    if document.is_none() {
                        let read: Value =
                            serde_json::from_slice(data).map_err(|_| "The record is no JSON.".to_owned())?;
                        document = Some(read);
                    }
                    let Ok(found) = expression.find(&document.as_ref().unwrap_or(&Value::Null));
                    found
                }
                None => of_function.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()),
            };
            let value = value.filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| format!("The record has no partition key {name}."))?;
            if !keys.iter().any(|(other, _)| other == name) {
                keys.push((name.clone(), escaped(&value).into_owned()));
            }
        }
        Ok(keys)
    }

    fn object(
        &self,
        place: &Place,
        of: (&str, &[&str]),
        oldest: EpochMs,
        keys: &[(String, String)],
        body: Vec<u8>,
        work: &Work,
    ) -> Result<Object, NoObject> {
        Ok(Object {
            bucket: place.bucket.clone(),
            key: self.name(place, of, oldest, keys, work)?,
            body: place.compression.of(body)?.into(),
            content_type: place.compression.content_type(),
        })
    }

    fn name(
        &self,
        place: &Place,
        (kind, parts): (&str, &[&str]),
        oldest: EpochMs,
        keys: &[(String, String)],
        work: &Work,
    ) -> Result<String, NoObject> {
        // What tells this object from all others that there ever are.
        let mut digest = Sha256::new();
        digest.update(self.consumer.to_string());
        digest.update(work.shard.0.to_be_bytes());
        digest.update(work.first.0.to_be_bytes());
        for part in std::iter::once(&kind).chain(parts) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let unique = uuid(&digest.finalize());
        let facts: Vec<(&str, Cow<'_, str>)> =
            keys.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))).collect();
        let facts = Facts { oldest, zone: place.zone, seed: &unique, error_type: kind, keys: &facts };
        let prefix = evaluated(&place.prefix, &facts)?;
        let mut time = String::new();
        name_time().write(oldest, place.zone, &mut time);
        let key = joined(&prefix, &format!("{}-{}-{time}-{unique}{}", self.name, self.version, place.extension));
        check_key(&key).map_err(|error| NoObject::Name(error.to_string()))?;
        Ok(key)
    }
}

/// Where objects are that tell of records.
fn beside(destination: &Destination) -> Place {
    Place {
        prefix: destination.errors.clone(),
        compression: Compression::None,
        extension: String::new(),
        ..destination.place.clone()
    }
}

impl Work {
    fn outcome(&self, index: usize) -> Option<&Outcome> {
        self.outcomes.as_ref().and_then(|outcomes| outcomes.get(index))
    }

    /// The indexes of the records that are delivered.
    pub(crate) fn deliverable(&self) -> impl Iterator<Item = usize> {
        (0..self.sources.len()).filter(|index| matches!(self.outcome(*index), None | Some(Outcome::Ok { .. })))
    }

    /// What of a record is delivered.
    pub(crate) fn data(&self, index: usize) -> &Bytes {
        match self.outcome(index) {
            Some(Outcome::Ok { data, .. }) => data,
            _ => &self.sources[index].data,
        }
    }

    fn oldest_delivered(&self) -> EpochMs {
        self.oldest(&self.deliverable().collect::<Vec<_>>())
    }

    fn oldest(&self, indexes: &[usize]) -> EpochMs {
        indexes.iter().map(|index| self.sources[*index].arrived_ms).min().unwrap_or(EpochMs::ZERO)
    }
}

fn name_time() -> TimePattern {
    TimePattern::parse("yyyy-MM-dd-HH-mm-ss").expect("invariant: it is a pattern")
}

fn evaluated(prefix: &Prefix, facts: &Facts<'_>) -> Result<String, NoObject> {
    let evaluated = prefix.evaluate(facts);
    let chars = evaluated.chars().count();
    if chars > PREFIX_CHARS_MAX {
        return Err(NoObject::Name(format!("a prefix of {chars} characters; {PREFIX_CHARS_MAX} are the most")));
    }
    Ok(evaluated)
}

fn failure(code: &str, message: String, ended_ms: EpochMs) -> Failure {
    Failure { code: code.to_owned(), message, attempts: 1, ended_ms }
}

/// A line of an object of errors. Source: docs/spec/sinks.md 8.
pub(crate) fn told(source: &Source, failure: &Failure, function: Option<&str>) -> Value {
    let mut line = json!({
        "attemptsMade": failure.attempts,
        "arrivalTimestamp": source.arrived_ms.0,
        "errorCode": failure.code,
        "errorMessage": failure.message,
        "attemptEndingTimestamp": failure.ended_ms.0,
        "rawData": BASE64.encode(&source.data),
    });
    if let Some(function) = function {
        line["lambdaArn"] = function.into();
    }
    line
}

impl From<NotYet> for Done {
    fn from(not_yet: NotYet) -> Done {
        match not_yet {
            NotYet::NotInvoked(error) => Done::NotInvoked(error),
            NotYet::Failed(error) => Done::Failed(error),
            NotYet::Store(error) => Done::Failed(error.to_string()),
        }
    }
}
