//! The messages of a flush: one for each record, or a digest.
//!
//! Invariant: id, bytes and group of a message are a function of its records and the settings, so that each is made when its turn comes,
//! and a repeat makes the same. A digest's flush is planned, so that a repeat has the same records, and so the same message.

use std::ops::Range;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tailrace_core::EpochMs;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::json_text::{JsonText, ValueForm};
use tailrace_engine::streams::label;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};

use super::mail::{Letter, Letters};
use super::seen::Chosen;
use super::template::{RenderError, Templates};
use crate::objects::partition::record::is_ttl;
use crate::objects::store::hex;
use crate::sink::{Flush, Origin, SinkError};

/// A message that is to be sent, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// What a receiver knows a repeat by: the `eventID` of its record, or of a digest a hash of theirs.
    pub id: String,
    /// Its records, by their indexes in the flush.
    pub records: Range<usize>,
    /// Messages of a group are sent in order, one after the other: that of the partition key, or of a digest the table's.
    pub group: Group,
}

/// A message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// What it is, and of what.
    pub due: Due,
    /// What tells it from the same records' message of another sink: the sink's name and the id.
    pub unique_id: String,
    /// What is sent.
    pub content: Content,
}

impl Message {
    /// Its length.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Text { subject, text } => text.len() + subject.as_ref().map_or(0, String::len),
            Content::Letter(letter) => letter.len(),
        }
    }
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Text { subject: Option<String>, text: String },
    Letter(Letter),
}

/// Whose order is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Group(pub [u8; 16]);

impl Group {
    fn of(what: &[u8]) -> Group {
        let digest = Sha256::digest(what);
        let mut group = [0; 16];
        group.copy_from_slice(&digest[..16]);
        Group(group)
    }

    /// 32 hex digits.
    pub fn name(self) -> String {
        hex(&self.0)
    }
}

/// Makes messages.
pub(super) struct Maker {
    pub templates: Templates,
    pub values: ValueForm,
    pub is_digest: bool,
    /// Most bytes of a text; of one that tells of several records.
    pub bytes_max: usize,
    pub several_bytes_max: usize,
    pub records: RecordWriter,
    /// Makes letters, for a mail server.
    pub letters: Option<Letters>,
}

/// What becomes of a message when it is made.
#[derive(Debug)]
pub(super) enum Made {
    Message(Message),
    /// None can be made of so many records, and two can be tried: so just the records to blame are left over.
    Halves([Due; 2]),
    /// None can be made of its record: why.
    Refused(Due, String),
    /// The records are damaged.
    Damaged(SinkError),
}

/// Why a message was not made.
enum Unmade {
    /// It is too large, or a template does not take it.
    Refused { text: String },
    /// The records are damaged.
    Damaged(SinkError),
}

impl From<CodecError> for Unmade {
    fn from(error: CodecError) -> Unmade {
        Unmade::Damaged(damaged(error))
    }
}

pub(super) fn damaged(error: impl std::fmt::Display) -> SinkError {
    SinkError(format!("a stream record is damaged: {error}"))
}

impl From<RenderError> for Unmade {
    fn from(RenderError { text }: RenderError) -> Unmade {
        Unmade::Refused { text }
    }
}

/// A record with what messages call it.
struct Told<'a> {
    record: &'a StreamRecord,
    id: String,
    event_name: &'static str,
}

impl Maker {
    /// The messages of a flush, in the order of their records. A digest is one.
    pub fn due(&self, flush: &Flush) -> Result<Vec<Due>, SinkError> {
        if self.is_digest {
            return Ok(vec![self.digest(flush, 0..flush.records.len())]);
        }
        let due = |(index, record)| {
            let group = Self::group(flush, record).map_err(damaged)?;
            Ok(Due { id: event_id(&self.records, flush, record), records: index..index + 1, group })
        };
        flush.records.iter().enumerate().map(due).collect()
    }

    /// Makes a message. It computes.
    pub fn make(&self, flush: &Arc<Flush>, due: Due) -> Made {
        let Range { start, end } = due.records;
        let middle = start + (end - start) / 2;
        match self.message(flush, &due) {
            Ok(message) => Made::Message(message),
            Err(Unmade::Damaged(error)) => Made::Damaged(error),
            Err(Unmade::Refused { .. }) if middle > start => {
                Made::Halves([start..middle, middle..end].map(|records| self.digest(flush, records)))
            }
            Err(Unmade::Refused { text }) => Made::Refused(due, text),
        }
    }

    fn digest(&self, flush: &Flush, records: Range<usize>) -> Due {
        let chosen = flush.records[records.clone()].iter();
        let ids: Vec<String> = chosen.map(|record| event_id(&self.records, flush, record)).collect();
        let group = Group::of(flush.source.table.as_bytes());
        Due { id: Group::of(ids.join("\n").as_bytes()).name(), records, group }
    }

    fn message(&self, flush: &Arc<Flush>, due: &Due) -> Result<Message, Unmade> {
        let (records, writer) = (due.records.clone(), self.records.clone());
        let chosen = Chosen { flush: flush.clone(), records, writer, damaged: Arc::default() };
        let damaged = chosen.damaged.clone();
        let content = self.content(flush, due, chosen);
        if let Some(error) = damaged.get() {
            return Err(Unmade::Damaged(SinkError(error.clone())));
        }
        Ok(Message { due: due.clone(), unique_id: format!("{}-{}", flush.sink, due.id), content: content? })
    }

    fn content(&self, flush: &Flush, due: &Due, chosen: Chosen) -> Result<Content, Unmade> {
        let records = &flush.records[due.records.clone()];
        let bytes_max = if records.len() > 1 { self.several_bytes_max } else { self.bytes_max };
        let context = chosen.context(self.is_digest);
        let render = |name: &str| self.templates.render(name, &context, bytes_max);
        if let Some(letters) = &self.letters {
            let time_ms = records.last().map_or(EpochMs::ZERO, |record| record.time_ms);
            return Ok(Content::Letter(letters.write((&due.id, &flush.sink), time_ms, render)?));
        }
        let subject = render("subject").transpose()?;
        let text = match render("body") {
            Some(text) => text?,
            None => {
                let told = records.iter().map(|record| told(&self.records, flush, record));
                self.payload(flush, &told.collect::<Vec<_>>())?
            }
        };
        let bytes = text.len() + subject.as_ref().map_or(0, String::len);
        if bytes > bytes_max {
            let text = format!("the message has {bytes} bytes; {bytes_max} are the most");
            return Err(Unmade::Refused { text });
        }
        Ok(Content::Text { subject, text })
    }

    /// The group of a record: of its partition key, as shards and lanes have it.
    fn group(flush: &Flush, record: &StreamRecord) -> Result<Group, CodecError> {
        let keys = StoredItem::new(&record.meta.keys)?;
        let mut what = flush.source.table.clone().into_bytes();
        what.push(b'\n');
        if let Some(value) = keys.members().find(&flush.source.partition_key.name)? {
            value.write_json_as(ValueForm::DynamodbJson, &mut what)?;
        }
        Ok(Group::of(&what))
    }

    /// The payload without a template: Standard Webhooks' `type`, `timestamp` and `data`, or the records as a function gets them.
    fn payload(&self, flush: &Flush, chosen: &[Told<'_>]) -> Result<String, Unmade> {
        let mut out = Vec::new();
        match (self.values, chosen) {
            (ValueForm::DynamodbJson, [one]) if !self.is_digest => self.event(flush, one, &mut out)?,
            (ValueForm::DynamodbJson, several) => {
                out.raw(br#"{"Records":["#);
                separated(several, &mut out, |told, out| self.event(flush, told, out))?;
                out.raw(b"]}");
            }
            (ValueForm::Plain, [one]) if !self.is_digest => plain(flush, one, &mut out)?,
            (ValueForm::Plain, several) => {
                let time_ms = several.last().map_or(EpochMs::ZERO, |told| told.record.time_ms);
                head(flush, "digest", time_ms, &mut out);
                out.raw(br#"{"records":["#);
                separated(several, &mut out, |told, out| Ok::<(), Unmade>(plain(flush, told, out)?))?;
                out.raw(b"]}}");
            }
        }
        String::from_utf8(out).map_err(|error| Unmade::Damaged(damaged(error)))
    }

    fn event(&self, flush: &Flush, told: &Told<'_>, out: &mut Vec<u8>) -> Result<(), Unmade> {
        let written = self.records.write_event(told.record, &flush.source.stream_arn, out);
        written.map_err(|error| Unmade::Damaged(damaged(error)))
    }
}

/// A record with what a message of its flush calls it.
fn told<'a>(writer: &RecordWriter, flush: &Flush, record: &'a StreamRecord) -> Told<'a> {
    Told { record, id: event_id(writer, flush, record), event_name: event_name(flush, record) }
}

/// What a receiver knows a repeat of a record by.
pub(super) fn event_id(writer: &RecordWriter, flush: &Flush, record: &StreamRecord) -> String {
    match flush.origin {
        // Its number is that of no change. A snapshot has each item once, whichever version sends it.
        Origin::Snapshot { made_by, .. } => {
            let Flush { sink, source, .. } = flush;
            let mut name = format!("snapshot\n{sink}\n{made_by}\n{}\n", source.stream_arn).into_bytes();
            name.extend_from_slice(&record.meta.keys);
            Group::of(&name).name()
        }
        Origin::Stream | Origin::Retry => writer.event_id(record).to_string(),
    }
}

/// What happened to the item of a record.
pub(super) fn event_name(flush: &Flush, record: &StreamRecord) -> &'static str {
    match flush.origin {
        Origin::Snapshot { .. } => "SNAPSHOT",
        Origin::Stream | Origin::Retry => record.meta.kind.name(),
    }
}

fn separated<E>(
    several: &[Told<'_>],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&Told<'_>, &mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    for (index, told) in several.iter().enumerate() {
        if index > 0 {
            out.raw(b",");
        }
        write(told, out)?;
    }
    Ok(())
}

/// The time of a change, ISO 8601.
pub(super) fn time(time_ms: EpochMs) -> String {
    format!("{}Z", label::text(time_ms))
}

pub(super) fn kind_of(flush: &Flush, event: &str) -> String {
    format!("{}.{}", flush.source.table, event.to_ascii_lowercase())
}

fn head(flush: &Flush, event: &str, time_ms: EpochMs, out: &mut Vec<u8>) {
    out.raw(br#"{"type":"#);
    out.string(&kind_of(flush, event));
    out.raw(br#","timestamp":"#);
    out.string(&time(time_ms));
    out.raw(br#","data":"#);
}

/// The parts of a record that hold values, as plain JSON.
fn images<'a>(record: &'a StreamRecord) -> [(&'static str, Option<&'a [u8]>); 3] {
    let of = |image: &'a Option<bytes::Bytes>| image.as_deref();
    [("keys", Some(&record.meta.keys)), ("new_image", of(&record.new)), ("old_image", of(&record.old))]
}

fn plain(flush: &Flush, told: &Told<'_>, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let record = told.record;
    head(flush, told.event_name, record.time_ms, out);
    out.raw(br#"{"table":"#);
    out.string(&flush.source.table);
    out.raw(br#","event_name":"#);
    out.string(told.event_name);
    out.raw(br#","event_id":"#);
    out.string(&told.id);
    out.raw(br#","shard_id":"#);
    out.string(&flush.shard.id);
    out.raw(br#","sequence_number":""#);
    out.raw(&record.sequence_number().digits());
    out.raw(br#"","is_ttl":"#);
    out.raw(if is_ttl(record) { b"true" } else { b"false" });
    for (name, image) in images(record) {
        if let Some(image) = image {
            out.raw(b",");
            out.string(name);
            out.raw(b":");
            StoredItem::new(image)?.write_json_as(ValueForm::Plain, out)?;
        }
    }
    out.raw(b"}}");
    Ok(())
}
