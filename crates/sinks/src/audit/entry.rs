//! What stands in the lines of a trail. Members come in the order of their names, as canonical JSON wants it; docs/sinks.md tells what
//! each of them says.

use std::collections::HashMap;
use std::io::Write as _;

use tailrace_core::codec::CodecError;
use tailrace_core::json_text::JsonText;
use tailrace_core::{AttributeValue, Item, RecordNo, SequenceNumber};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::{Client, control};
use tailrace_store::StoreError;

use super::canonical;
use super::chain::{Hash, Line, push_hex};
use super::private::{Hider, MasterKey, SALT_BYTES};

/// The name of the first line of a segment.
pub const SEGMENT: &str = "SEGMENT";
/// The name of a line that tells of records which were lost before they were read.
pub const GAP: &str = "GAP";
/// The name of a line that stands for a record whose bytes cannot be read.
pub const DAMAGED: &str = "DAMAGED";
/// The name of a line of the control stream.
pub const CONTROL: &str = "CONTROL";
/// The name of a line that signs the head of the chain; it is not of the chain itself.
pub const SIGNATURE: &str = "SIGNATURE";
/// Who asked, where nobody did but the service: time to live.
const SERVICE: &str = "dynamodb.amazonaws.com";
const TIME_TO_LIVE: &str = "TimeToLive";

/// How entries show values.
#[allow(clippy::large_enum_variant, reason = "there is one for each flush")]
pub enum Values {
    /// As they are.
    Full,
    /// Keys as they are, images by their SHA-256.
    Hashed,
    /// Every value by a code.
    Hidden(Hiders),
}

impl Values {
    /// The name in the head of a segment.
    pub fn name(&self) -> &'static str {
        match self {
            Values::Full => "full",
            Values::Hashed => "hash",
            Values::Hidden(_) => "hmac",
        }
    }
}

/// What the values of records are hidden with.
pub struct Hiders {
    /// The operator's key.
    pub master: MasterKey,
    /// Where there is no subject.
    pub rest: Hider,
    /// The attribute that names a person.
    pub subject: Option<String>,
    /// By what stands for the person: of all persons of the records that are written.
    pub persons: HashMap<[u8; SALT_BYTES], Hider>,
}

impl Hiders {
    /// That of an image; `other`: an image of the same record, which tells where this one does not.
    fn of(&self, item: &Item, other: Option<&Item>) -> &Hider {
        let subject = self.subject.as_ref().and_then(|name| item.get(name).or_else(|| other?.get(name)));
        let person = subject.and_then(|subject| self.persons.get(&self.master.subject(subject)));
        person.unwrap_or(&self.rest)
    }
}

/// A member's value may not be read.
impl From<CodecError> for Unreadable {
    fn from(error: CodecError) -> Unreadable {
        Unreadable(error.to_string())
    }
}

/// A record's bytes cannot be read: why.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl From<StoreError> for Unreadable {
    fn from(error: StoreError) -> Unreadable {
        Unreadable(error.to_string())
    }
}

/// Writes the entry of a record. What `line` holds after an error is no entry.
///
/// # Errors
/// The record's bytes cannot be read.
pub fn write_record(
    line: &mut Line,
    record: &StreamRecord,
    table: &str,
    seq: u64,
    values: &Values,
) -> Result<(), Unreadable> {
    line.clear();
    line.text.raw(br#"{"event_name":""#);
    line.text.raw(record.meta.kind.name().as_bytes());
    line.text.raw(br#"","#);
    line.hash_here();
    line.text.raw(br#""keys":"#);
    let decoded = match values {
        Values::Hidden(hiders) => Some((hiders, record.keys()?, record.new_image()?, record.old_image()?)),
        _ => None,
    };
    match &decoded {
        Some((hiders, keys, new, old)) => {
            hiders.of(keys, new.as_ref().or(old.as_ref())).push_hidden(keys, &mut line.text);
        }
        None => canonical::push_stored(&record.meta.keys, &mut line.text)?,
    }
    line.text.raw(b",");
    push_lsn(record.number, &mut line.text);
    for (name, stored, at) in [("new", &record.new, 0), ("old", &record.old, 1)] {
        let Some(stored) = stored else { continue };
        let text = &mut line.text;
        match (values, &decoded) {
            (Values::Hidden(_), Some((hiders, keys, new, old))) => {
                let (this, other) = if at == 0 { (new, old) } else { (old, new) };
                let Some(item) = this else { continue };
                push_name(name, "image", text);
                hiders.of(item, other.as_ref().or(Some(keys))).push_hidden(item, text);
                text.raw(b",");
            }
            (Values::Full, _) => {
                push_name(name, "image", text);
                canonical::push_stored(stored, text)?;
                text.raw(b",");
            }
            _ => {
                let mut image = Vec::with_capacity(2 * stored.len());
                canonical::push_stored(stored, &mut image)?;
                push_name(name, "hash", text);
                text.raw(b"\"");
                push_hex(&Hash::of_bytes(&image).0, text);
                text.raw(b"\",");
            }
        }
    }
    let caller = record.meta.caller.as_ref().map(|caller| caller.client()).transpose()?;
    push_caller(line, caller.as_ref(), record.meta.by_service);
    push_seq(seq, &mut line.text);
    push_member("table", table, &mut line.text);
    push_time(record, &mut line.text);
    Ok(())
}

/// Writes the entry of a record of the control stream.
///
/// # Errors
/// The record's bytes cannot be read.
pub fn write_control(line: &mut Line, record: &StreamRecord, seq: u64) -> Result<(), Unreadable> {
    let keys = record.keys()?;
    let text_of = |name: &str| match keys.get(name) {
        Some(AttributeValue::S(text)) => Some(text.as_str()),
        _ => None,
    };
    line.clear();
    line.text.raw(b"{");
    push_member("action", text_of(control::ACTION).unwrap_or_default(), &mut line.text);
    for name in [control::AFTER, control::BEFORE] {
        if let Some(document) = text_of(name) {
            push_member(name, document, &mut line.text);
        }
    }
    push_member("event_name", CONTROL, &mut line.text);
    line.hash_here();
    push_lsn(record.number, &mut line.text);
    let caller = record.meta.caller.as_ref().map(|caller| caller.client()).transpose()?;
    push_caller(line, caller.as_ref(), record.meta.by_service);
    push_member("resource", text_of(control::RESOURCE).unwrap_or_default(), &mut line.text);
    push_seq(seq, &mut line.text);
    push_time(record, &mut line.text);
    Ok(())
}

/// Writes the entry that stands for a record whose bytes cannot be read.
pub fn write_damaged(line: &mut Line, record: &StreamRecord, table: &str, seq: u64, error: &Unreadable) {
    line.clear();
    line.text.raw(b"{");
    push_member("error", &error.0, &mut line.text);
    push_member("event_name", DAMAGED, &mut line.text);
    line.hash_here();
    push_lsn(record.number, &mut line.text);
    line.before_here();
    push_seq(seq, &mut line.text);
    push_member("table", table, &mut line.text);
    push_time(record, &mut line.text);
}

/// Writes the entry that tells that records between two numbers were lost: `reason`.
pub fn write_gap(line: &mut Line, after: RecordNo, before: RecordNo, reason: &str, table: &str, seq: u64) {
    line.clear();
    line.text.raw(b"{");
    push_number_of_record("after", after, &mut line.text);
    push_number_of_record("before", before, &mut line.text);
    push_member("event_name", GAP, &mut line.text);
    line.hash_here();
    line.before_here();
    push_member("reason", reason, &mut line.text);
    push_seq(seq, &mut line.text);
    push_member("table", table, &mut line.text);
    end(&mut line.text);
}

/// Where a chain goes on from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The chain.
    pub chain: String,
    /// Its head.
    pub hash: Hash,
    /// How many entries it has: the number of the next one.
    pub entries: u64,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Records of the stream, from the first to the last.
    Records(RecordNo, RecordNo),
    /// A page of the items that were there when the trail began.
    Page(u64),
}

/// The head of a segment.
pub struct SegmentHead<'a> {
    /// The trail's name.
    pub trail: &'a str,
    /// The version of its configuration.
    pub version: u32,
    /// The chain: a path.
    pub chain: &'a str,
    /// The table's name.
    pub table: &'a str,
    /// Its stream.
    pub stream: &'a str,
    /// The names of the key attributes.
    pub key: [Option<&'a str>; 2],
    /// How entries show values.
    pub values: &'static str,
    /// What the segment holds.
    pub range: Range,
    /// How many entries.
    pub entries: u64,
    /// The number of the first one.
    pub seq: u64,
    /// The how manieth segment of the chain, from 0.
    pub segment: u64,
    /// Of the first segment: where the chain goes on from.
    pub parent: Option<&'a Parent>,
    /// Of the first segment in this place: where the chain was before.
    pub continues: Option<&'a str>,
}

impl SegmentHead<'_> {
    /// Writes it.
    pub fn write(&self, line: &mut Line) {
        line.clear();
        let out = &mut line.text;
        out.raw(b"{");
        push_member("chain", self.chain, out);
        if let Some(place) = self.continues {
            push_member("continues", place, out);
        }
        push_count("entries", self.entries, out);
        push_member("event_name", SEGMENT, out);
        if let Range::Records(first, _) = self.range {
            push_number_of_record("first", first, out);
        }
        push_count("format", 1, out);
        line.hash_here();
        let out = &mut line.text;
        push_member("images", self.values, out);
        out.raw(br#""key":["#);
        for (index, name) in self.key.iter().flatten().enumerate() {
            if index > 0 {
                out.raw(b",");
            }
            out.string(name);
        }
        out.raw(b"],");
        match self.range {
            Range::Records(_, last) => push_number_of_record("last", last, out),
            Range::Page(page) => push_count("page", page, out),
        }
        if let Some(parent) = self.parent {
            out.raw(br#""parent":{"#);
            push_member("chain", &parent.chain, out);
            out.raw(br#""hash":""#);
            push_hex(&parent.hash.0, out);
            out.raw(br#"","seq":"#);
            out.whole(parent.entries);
            out.raw(b"},");
        }
        line.before_here();
        let out = &mut line.text;
        push_count("segment", self.segment, out);
        push_seq(self.seq, out);
        push_member("stream", self.stream, out);
        push_member("table", self.table, out);
        push_member("trail", self.trail, out);
        push_count("version", u64::from(self.version), out);
        end(out);
    }
}

// --------------------------------------------------------------------------------------------------------- members

fn push_name(first: &str, second: &str, out: &mut Vec<u8>) {
    let _ = write!(out, "\"{first}_{second}\":");
}

fn push_member(name: &str, text: &str, out: &mut Vec<u8>) {
    out.raw(b"\"");
    out.raw(name.as_bytes());
    out.raw(b"\":");
    out.string(text);
    out.raw(b",");
}

fn push_count(name: &str, number: u64, out: &mut Vec<u8>) {
    out.raw(b"\"");
    out.raw(name.as_bytes());
    out.raw(b"\":");
    out.whole(number);
    out.raw(b",");
}

fn push_number_of_record(name: &str, number: RecordNo, out: &mut Vec<u8>) {
    out.raw(b"\"");
    out.raw(name.as_bytes());
    out.raw(b"\":\"");
    out.raw(&SequenceNumber(number).digits());
    out.raw(b"\",");
}

fn push_lsn(number: RecordNo, out: &mut Vec<u8>) {
    push_number_of_record("lsn", number, out);
}

/// The operation, the place of `prev_hash`, and who asked.
fn push_caller(line: &mut Line, caller: Option<&Client<'_>>, by_service: bool) {
    let known = |text: &&str| !text.is_empty();
    let operation = if by_service { Some(TIME_TO_LIVE) } else { caller.map(|c| c.operation).filter(known) };
    let principal = if by_service { Some(SERVICE) } else { caller.and_then(|caller| caller.access_key) };
    if let Some(operation) = operation {
        push_member("operation", operation, &mut line.text);
    }
    line.before_here();
    if let Some(principal) = principal {
        push_member("principal", principal, &mut line.text);
    }
    if let Some(request_id) = caller.and_then(|caller| caller.request_id) {
        push_member("request_id", request_id, &mut line.text);
    }
}

fn push_seq(seq: u64, out: &mut Vec<u8>) {
    push_count("seq", seq, out);
}

fn push_time(record: &StreamRecord, out: &mut Vec<u8>) {
    push_count("time", record.time_ms.0, out);
    end(out);
}

/// In the place of the last comma.
fn end(out: &mut [u8]) {
    if let Some(last) = out.last_mut() {
        *last = b'}';
    }
}
