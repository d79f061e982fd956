//! From the records of a flush to the bodies of bulks.
//!
//! Every record is sent, also one that a later record of the flush makes obsolete: whether the target rejects it must not
//! depend on where a flush ends.

use std::io::Write;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use tailrace_core::codec::CodecError;
use tailrace_core::json_text::JsonText;
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_engine::streams::record_meta::ChangeKind;

use super::answer::Op;
use super::client::BulkBody;
use super::config::Mode;
use super::document::{Entry, write_entry, write_item};
use super::id::{write_frame, write_id};
use super::rotation::Rotation;
use super::types::Types;
use crate::sink::{Flush, Origin, Rejected, SinkError};

/// What documents are made by.
#[derive(Debug)]
pub(super) struct Style {
    pub mode: Mode,
    pub rotation: Rotation,
    /// The index of items, or what the names of a change log's indexes begin with.
    pub index: String,
    pub types: Types,
    pub gzip: bool,
    pub records: RecordWriter,
}

/// The records of a flush.
pub(super) struct Work {
    pub flush: Flush,
    pub style: Arc<Style>,
}

/// A bulk.
pub(super) struct Bulk {
    /// Its index.
    pub index: String,
    /// The records in it.
    pub records: Vec<usize>,
    pub ops: Vec<Op>,
    pub body: BulkBody,
    /// Bytes of the body, before gzip.
    pub bytes: usize,
}

impl Work {
    /// The records that can be sent, and those that cannot.
    pub fn sort(&self) -> (Vec<usize>, Vec<Rejected>) {
        let (mut fit, mut unfit) = (Vec::with_capacity(self.flush.records.len()), Vec::new());
        for (index, record) in self.flush.records.iter().enumerate() {
            let is_whole = record.meta.kind == ChangeKind::Remove || record.new.is_some();
            if is_whole || self.style.mode == Mode::Log {
                fit.push(index);
                continue;
            }
            let view = record.meta.view.name();
            unfit.push(Rejected { index, error: format!("it holds no item: the view of its stream is {view}") });
        }
        (fit, unfit)
    }

    /// The index of a record.
    pub fn index(&self, record: usize) -> String {
        let style = &self.style;
        match style.mode {
            Mode::Items => style.index.clone(),
            Mode::Log => style.rotation.index(&style.index, self.flush.records[record].time_ms),
        }
    }

    /// A bulk of the first of `records`, at least one: as many as are of one index and have `bytes_max` together.
    ///
    /// # Errors
    /// The stored bytes are damaged.
    pub fn bulk(&self, records: &[usize], bytes_max: usize) -> Result<Bulk, SinkError> {
        let style = &self.style;
        let index = records.first().map_or_else(|| style.index.clone(), |first| self.index(*first));
        let slot = |record: usize| Rotation::slot(self.flush.records[record].time_ms);
        let mut slot_before = records.first().map(|first| slot(*first));
        let (mut body, mut ops, mut taken) = (Vec::new(), Vec::new(), Vec::new());
        for &record in records {
            if style.mode == Mode::Log && slot_before != Some(slot(record)) {
                if self.index(record) != index {
                    break;
                }
                slot_before = Some(slot(record));
            }
            let begin = body.len();
            let op = self.write(record, &mut body).map_err(|error| {
                let (table, number) = (&self.flush.source.table, self.flush.records[record].sequence_number());
                SinkError(format!("the record {number} of {table}: {error}"))
            })?;
            if body.len() > bytes_max && !taken.is_empty() {
                body.truncate(begin);
                break;
            }
            ops.push(op);
            taken.push(record);
        }
        let bytes = body.len();
        let body = match style.gzip {
            false => BulkBody { bytes: body.into(), is_gzip: false },
            true => gzip(&body)?,
        };
        Ok(Bulk { index, records: taken, ops, body, bytes })
    }

    fn write(&self, record: usize, out: &mut Vec<u8>) -> Result<Op, CodecError> {
        let style = &self.style;
        let record = &self.flush.records[record];
        if style.mode == Mode::Log {
            let event_id = self.event_id(record)?;
            out.raw(br#"{"create":{"_id":""#);
            out.raw(event_id.as_bytes());
            out.raw(b"\"}}\n");
            let (table, shard_id) = (self.flush.source.table.as_str(), &*self.flush.shard.id);
            write_entry(&Entry { table, shard_id, event_id: &event_id }, record, &style.types, out)?;
            out.push(b'\n');
            return Ok(Op::Create);
        }
        let (op, image) = match (record.meta.kind, &record.new) {
            (ChangeKind::Insert | ChangeKind::Modify, Some(image)) => (Op::Index, Some(image)),
            _ => (Op::Delete, None),
        };
        out.raw(br#"{""#);
        out.raw(op.word().as_bytes());
        out.raw(br#"":{"_id":""#);
        write_id(&self.flush.source, &record.meta.keys, out)?;
        // Numbers are compared for one item alone. They rise also where its shard is followed by a child, and its stream by the
        // table's next one (`ShardInfo::first`).
        out.raw(br#"","version":"#);
        out.whole(record.number.0);
        out.raw(b",\"version_type\":\"external\"}}\n");
        if let Some(image) = image {
            write_item(image, &style.types, out)?;
            out.push(b'\n');
        }
        Ok(op)
    }

    /// What no other entry of the log has, and a repeat has again.
    fn event_id(&self, record: &StreamRecord) -> Result<String, CodecError> {
        if !matches!(self.flush.origin, Origin::Snapshot { .. }) {
            return Ok(self.style.records.event_id(record).to_string());
        }
        // All items of a snapshot have the number of one point of the stream: the key tells them apart.
        let mut frame = Vec::new();
        write_frame(&self.flush.source, &record.meta.keys, &mut frame)?;
        let digest = Sha256::new()
            .chain_update(b"snapshot\0")
            .chain_update(self.flush.source.stream_arn.as_str())
            .chain_update(b"\0")
            .chain_update(record.number.0.to_be_bytes())
            .chain_update(&frame)
            .finalize();
        Ok(digest.iter().take(16).fold(String::new(), |id, byte| id + &format!("{byte:02x}")))
    }
}

fn gzip(body: &[u8]) -> Result<BulkBody, SinkError> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    let coded = encoder.write_all(body).and_then(|()| encoder.finish());
    let coded = coded.map_err(|error| SinkError(format!("gzip: {error}")))?;
    Ok(BulkBody { bytes: coded.into(), is_gzip: true })
}
