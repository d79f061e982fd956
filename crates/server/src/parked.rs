//! Records that were given up: shown, handed to their function again, or removed for good. And those that cannot be read.

use tailrace_core::codec::StoredItem;
use tailrace_core::{EpochMs, RecordNo, SequenceNumber, ShardNo, limits};
use tailrace_engine::streams::record::StreamRecord;
use tailrace_mapping::{Mapping, MappingError, ParkedRecord};
use tailrace_sinks::runtime::{SinkChangeError, Sinks};

use crate::mappings::Mappings;
use crate::report::{ParkedPage, ParkedReport, RecordName, RedriveAnswer};

/// A place in the order of parked records: behind one of them.
struct Place {
    mapping: String,
    shard: ShardNo,
    number: RecordNo,
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        let mut parts = text.split('/');
        let (mapping, shard, number) = (parts.next()?, parts.next()?, parts.next()?);
        let place =
            Place { mapping: mapping.to_owned(), shard: ShardNo(shard.parse().ok()?), number: exact_number(number)? };
        parts.next().is_none().then_some(place)
    }

    fn behind(record: &ParkedReport) -> String {
        format!("{}/{}/{}", record.mapping, record.shard.0, record.sequence_number)
    }
}

impl Mappings {
    /// Parked records of one mapping, or of all by uuid, behind `after`; at most a page of them.
    ///
    /// # Errors
    /// There is no such mapping, or `after` is no place.
    pub async fn parked(&self, only: Option<&str>, after: Option<&str>) -> Result<ParkedPage, MappingError> {
        let unreadable = || MappingError::Validation("after is not what an earlier page gave as next".to_owned());
        let after = after.map(|text| Place::parse(text).ok_or_else(unreadable)).transpose()?;
        let mappings = match only {
            Some(uuid) => vec![self.runner.get(uuid)?],
            None => self.runner.list(),
        };
        let now_ms = self.clock.now();
        let mut parked: Vec<ParkedReport> = Vec::new();
        for mapping in mappings {
            let mut behind = match &after {
                Some(place) if mapping.uuid() < place.mapping => continue,
                Some(place) if mapping.uuid() == place.mapping => Some((place.shard, place.number)),
                _ => None,
            };
            while parked.len() < limits::MAPPING_ROWS_PER_PAGE {
                let left = limits::MAPPING_ROWS_PER_PAGE - parked.len();
                let records = self.runner.parked(&mapping.uuid(), behind, left).await?;
                let Some(last) = records.last() else { break };
                behind = Some((last.shard.no, last.number()));
                parked.extend(records.iter().map(|record| report(&mapping, record, now_ms)));
            }
            if parked.len() >= limits::MAPPING_ROWS_PER_PAGE {
                break;
            }
        }
        let full = parked.len() >= limits::MAPPING_ROWS_PER_PAGE;
        let next = parked.last().filter(|_| full).map(Place::behind);
        Ok(ParkedPage { parked, next })
    }

    /// Hands a parked record to its function again.
    ///
    /// # Errors
    /// There is no such record, or it is being redriven already.
    pub async fn redrive(&self, name: &RecordName) -> Result<RedriveAnswer, MappingError> {
        let error = self.runner.redrive(&name.mapping, name.shard, number(name)?).await?;
        Ok(RedriveAnswer { accepted: error.is_none(), error })
    }

    /// Removes a parked record for good.
    ///
    /// # Errors
    /// There is no such record.
    pub async fn discard(&self, name: &RecordName) -> Result<(), MappingError> {
        self.runner.discard(&name.mapping, name.shard, number(name)?).await
    }

    /// Has a record that cannot be read set aside.
    ///
    /// # Errors
    /// No shard stands before such a record.
    pub fn skip_damaged(&self, name: &RecordName) -> Result<(), MappingError> {
        self.runner.skip_damaged(&name.mapping, name.shard, number(name)?)
    }
}

fn number(name: &RecordName) -> Result<RecordNo, MappingError> {
    exact_number(&name.sequence_number).ok_or(MappingError::NotFound)
}

/// Records that a sink has set aside, of one of its tables, behind `after`, at most a page of them.
///
/// # Errors
/// There is no such sink or table, or `after` is no place.
pub async fn of_sink(
    sinks: &Sinks,
    (name, table): (&str, &str),
    after: Option<&str>,
    now_ms: EpochMs,
) -> Result<ParkedPage, SinkChangeError> {
    let unreadable = || SinkChangeError::Refused("after is not what an earlier page gave as next".to_owned());
    let after = after.map(|text| Place::parse(text).ok_or_else(unreadable)).transpose()?;
    let records = sinks.parked(name, table, after.map(|place| (place.shard, place.number))).await?;
    let of = ("", name, table);
    let parked: Vec<ParkedReport> = records.iter().map(|record| report_of(of, record, now_ms)).collect();
    let next = parked.last().map(Place::behind);
    Ok(ParkedPage { parked, next })
}

fn report(mapping: &Mapping, record: &ParkedRecord, now_ms: EpochMs) -> ParkedReport {
    report_of((&mapping.uuid(), &mapping.function.name, mapping.source.table()), record, now_ms)
}

fn report_of((mapping, function, table): (&str, &str, &str), record: &ParkedRecord, now_ms: EpochMs) -> ParkedReport {
    let parked = &record.parked;
    ParkedReport {
        mapping: mapping.to_owned(),
        function: function.to_owned(),
        table: table.to_owned(),
        shard: record.shard.no,
        shard_id: record.shard.id.to_string(),
        sequence_number: SequenceNumber(record.number()).to_string(),
        reason: parked.reason.as_str().to_owned(),
        error: parked.error.clone(),
        invocations: parked.invocations,
        age: now_ms.since(parked.logged.time_ms),
        keys: keys(record).unwrap_or_default(),
    }
}

/// The key of a parked record's item; `None`: nobody can read it.
fn keys(record: &ParkedRecord) -> Option<serde_json::Value> {
    let read = StreamRecord::read(record.parked.logged.clone()).ok()?;
    serde_json::to_value(StoredItem::new(&read.meta.keys).ok()?).ok()
}

/// The number behind its text, and of no other text.
fn exact_number(number: &str) -> Option<RecordNo> {
    SequenceNumber::parse(number).filter(|parsed| parsed.to_string() == number).map(|parsed| parsed.0)
}
