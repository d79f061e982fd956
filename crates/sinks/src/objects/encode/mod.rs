//! The bytes of an object: records as JSON lines, CSV or Parquet. Source: docs/spec/sinks.md 2.4 to 2.6.
//!
//! Invariants: the bytes depend on nothing but the records, their table and shard, and the settings; no record fails: what does
//! not fit a chosen column is null there, and its image has it.
//! A golden test holds the bytes of each format: whoever changes them changes what a repeat after an upgrade writes.

pub mod columns;
mod csv;
mod parquet;

use std::io::Write as _;

use flate2::GzBuilder;
use tailrace_core::codec::{CodecError, StoredItem};
use tailrace_core::json_text::{JsonText as _, ValueForm};
use tailrace_engine::streams::record::{RecordWriter, StreamRecord};
use tailrace_store::StoreError;

use self::columns::TypedColumn;
use crate::sink::SourceTable;

/// Between speed and size; the same for ever, so that bytes repeat.
const GZIP_LEVEL: u32 = 4;
const ZSTD_LEVEL: i32 = 3;

/// How records stand in an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// A JSON line each: the event that a function would get of it, and `tableName`.
    #[default]
    Json,
    /// CSV with a line of names.
    Csv,
    /// Parquet.
    Parquet,
}

/// How an object is compressed; of Parquet, its pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    None,
    /// Gzip: JSON lines and CSV.
    Gzip,
    /// Zstandard.
    Zstd,
    /// Snappy: Parquet.
    Snappy,
}

/// Makes objects of records.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The format.
    pub format: Format,
    /// The compression; one that goes with the format ([`Format::allows`]).
    pub compression: Compression,
    /// How values stand in lines, and in columns that hold JSON.
    pub values: ValueForm,
    /// Columns beside the fixed ones, for CSV and Parquet.
    pub columns: Vec<TypedColumn>,
    /// What writes events.
    pub writer: RecordWriter,
}

/// A record cannot be read, or an object not be made.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Stored bytes are damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The format's writer failed.
    #[error("{0}")]
    Format(String),
}

impl From<CodecError> for EncodeError {
    fn from(error: CodecError) -> EncodeError {
        EncodeError::Store(StoreError::Corrupt(format!("a stream record: {error}")))
    }
}

/// What all records of an object have in common.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Their table.
    pub source: &'a SourceTable,
    /// Their shard's id.
    pub shard_id: &'a str,
}

impl Format {
    /// The compression where none is chosen.
    pub fn default_compression(self) -> Compression {
        match self {
            Format::Json | Format::Csv => Compression::None,
            Format::Parquet => Compression::Snappy,
        }
    }

    /// Whether a compression goes with it.
    pub fn allows(self, compression: Compression) -> bool {
        match compression {
            Compression::None | Compression::Zstd => true,
            Compression::Gzip => self != Format::Parquet,
            Compression::Snappy => self == Format::Parquet,
        }
    }
}

impl Encoder {
    /// What the names of objects end in.
    pub fn extension(&self) -> &'static str {
        match (self.format, self.compression) {
            (Format::Parquet, _) => ".parquet",
            (Format::Json, Compression::Gzip) => ".jsonl.gz",
            (Format::Json, Compression::Zstd) => ".jsonl.zst",
            (Format::Json, _) => ".jsonl",
            (Format::Csv, Compression::Gzip) => ".csv.gz",
            (Format::Csv, Compression::Zstd) => ".csv.zst",
            (Format::Csv, _) => ".csv",
        }
    }

    /// The media type of objects.
    pub fn content_type(&self) -> &'static str {
        match (self.format, self.compression) {
            (Format::Parquet, _) => "application/vnd.apache.parquet",
            (_, Compression::Gzip) => "application/gzip",
            (_, Compression::Zstd) => "application/zstd",
            (Format::Json, _) => "application/x-ndjson",
            (Format::Csv, _) => "text/csv",
        }
    }

    /// The bytes of an object. It computes for as long as the records are large: not on a thread that others wait for.
    ///
    /// # Errors
    /// A record is damaged.
    pub fn encode(&self, of: Of<'_>, records: &[&StreamRecord]) -> Result<Vec<u8>, EncodeError> {
        let text = match self.format {
            Format::Parquet => return parquet::encode(self, of, records),
            Format::Json => self.lines(of, records)?,
            Format::Csv => csv::encode(self, of, records)?,
        };
        compress(text, self.compression)
    }

    fn lines(&self, of: Of<'_>, records: &[&StreamRecord]) -> Result<Vec<u8>, EncodeError> {
        let mut tail = b",\"tableName\":".to_vec();
        tail.string(&of.source.table);
        tail.extend(b"}\n");
        let mut out = Vec::with_capacity(records.iter().map(|record| size(record)).sum());
        for record in records {
            self.writer.write_event_as(self.values, record, &of.source.stream_arn, &mut out)?;
            // The event's brace gives way to one more member.
            out.pop();
            out.extend_from_slice(&tail);
        }
        Ok(out)
    }

    /// Appends an item as JSON.
    fn write_item(&self, stored: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
        StoredItem::new(stored)?.write_json_as(self.values, out)
    }
}

/// About what a record is as a JSON line, bytes.
pub fn size(record: &StreamRecord) -> usize {
    /// What is in a line beside keys and images.
    const AROUND: usize = 500;
    let images = record.old.iter().chain(&record.new);
    AROUND + 2 * (record.meta.keys.len() + images.map(|image| image.len()).sum::<usize>())
}

/// Compresses a text.
///
/// # Errors
/// The compressor's; there are none for bytes in memory.
pub fn compress(text: Vec<u8>, compression: Compression) -> Result<Vec<u8>, EncodeError> {
    let failed = |error: std::io::Error| EncodeError::Format(error.to_string());
    match compression {
        Compression::None | Compression::Snappy => Ok(text),
        Compression::Gzip => {
            let out = Vec::with_capacity(text.len() / 4);
            let mut writer = GzBuilder::new().mtime(0).write(out, flate2::Compression::new(GZIP_LEVEL));
            writer.write_all(&text).map_err(failed)?;
            writer.finish().map_err(failed)
        }
        Compression::Zstd => zstd::bulk::compress(&text, ZSTD_LEVEL).map_err(failed),
    }
}
