//! Records that were given up: shown, handed to their function again, or removed for good.

use std::collections::BTreeMap;

use tailrace_core::{ApiError, ErrorCode, RecordNo, SequenceNumber, limits};
use tailrace_mapping::{MappingError, ParkedRecord};
use tailrace_store::ShardNo;

use crate::mappings::Mappings;
use crate::report::{ParkedPage, ParkedReport};

/// A place in the order of parked records: behind one of them.
struct Place {
    mapping: String,
    shard: ShardNo,
    lsn: RecordNo,
}

impl Place {
    fn parse(text: &str) -> Option<Place> {
        let mut parts = text.split('/');
        let (mapping, shard, number) = (parts.next()?, parts.next()?, parts.next()?);
        let place = Place { mapping: mapping.to_owned(), shard: ShardNo(shard.parse().ok()?), lsn: lsn(number)? };
        parts.next().is_none().then_some(place)
    }

    fn behind(record: &ParkedReport) -> String {
        format!("{}/{}/{}", record.mapping, record.shard, record.sequence_number)
    }
}

impl Mappings {
    /// Parked records of one mapping, or of all by uuid, behind `after`; at most a page of them.
    ///
    /// # Errors
    /// There is no such mapping, or `after` is no place.
    pub async fn parked(&self, only: Option<&str>, after: Option<&str>) -> Result<ParkedPage, ApiError> {
        let unreadable = || ApiError::validation("after is not what an earlier page gave as next");
        let after = after.map(|text| Place::parse(text).ok_or_else(unreadable)).transpose()?;
        let mappings = match only {
            Some(uuid) => vec![self.runner.get(uuid).map_err(failure)?],
            None => self.runner.list(),
        };
        let now_ms = self.clock.now_ms();
        let mut parked: Vec<ParkedReport> = Vec::new();
        for mapping in mappings {
            let mut behind = match &after {
                Some(place) if mapping.uuid < place.mapping => continue,
                Some(place) if mapping.uuid == place.mapping => Some((place.shard, place.lsn)),
                _ => None,
            };
            let ids = self.runner.shard_ids(&mapping.uuid).await.map_err(failure)?;
            while parked.len() < limits::MAPPING_ROWS_PER_PAGE {
                let left = limits::MAPPING_ROWS_PER_PAGE - parked.len();
                let records = self.runner.parked(&mapping.uuid, behind, left).await.map_err(failure)?;
                let Some(last) = records.last() else { break };
                behind = Some((last.shard, last.lsn));
                parked.extend(records.iter().map(|record| report(&mapping, &ids, record, now_ms)));
            }
            if parked.len() >= limits::MAPPING_ROWS_PER_PAGE {
                break;
            }
        }
        let full = parked.len() >= limits::MAPPING_ROWS_PER_PAGE;
        let next = parked.last().filter(|_| full).map(Place::behind);
        Ok(ParkedPage { parked, next })
    }

    /// Hands a parked record to its function again. `None`: it was accepted, and is parked no longer; otherwise why not.
    ///
    /// # Errors
    /// There is no such record.
    pub async fn redrive(&self, mapping: &str, shard: u64, number: &str) -> Result<Option<String>, ApiError> {
        let lsn = lsn(number).ok_or_else(not_parked)?;
        let record = (mapping.to_owned(), shard, lsn);
        if !self.redriving.lock().insert(record.clone()) {
            return Ok(Some("the record is being redriven already".to_owned()));
        }
        let _redriving = Redriving { mappings: self, record };
        let redriven = self.runner.redrive(mapping, Some((ShardNo(shard), lsn))).await.map_err(failure)?;
        Ok(redriven.failed.map(|(_, error)| error))
    }

    /// Removes a parked record for good.
    ///
    /// # Errors
    /// There is no such record.
    pub async fn discard(&self, mapping: &str, shard: u64, number: &str) -> Result<(), ApiError> {
        let lsn = lsn(number).ok_or_else(not_parked)?;
        self.runner.discard(mapping, ShardNo(shard), lsn).await.map_err(failure)
    }
}

/// A record that nobody else redrives while this lives, also if the client hangs up.
struct Redriving<'a> {
    mappings: &'a Mappings,
    record: (String, u64, RecordNo),
}

impl Drop for Redriving<'_> {
    fn drop(&mut self) {
        self.mappings.redriving.lock().remove(&self.record);
    }
}

fn report(
    mapping: &tailrace_mapping::Mapping,
    ids: &BTreeMap<ShardNo, String>,
    record: &ParkedRecord,
    now_ms: u64,
) -> ParkedReport {
    let event: serde_json::Value = serde_json::from_str(record.event.get()).unwrap_or_default();
    ParkedReport {
        mapping: mapping.uuid.clone(),
        function: mapping.function.clone(),
        table: mapping.source.table().to_owned(),
        shard: record.shard.0,
        shard_id: ids.get(&record.shard).cloned().unwrap_or_default(),
        sequence_number: SequenceNumber(record.lsn).to_string(),
        reason: record.reason.as_str().to_owned(),
        error: record.error.clone(),
        invocations: record.invocations,
        age_ms: now_ms.saturating_sub(record.time_ms),
        keys: event["dynamodb"]["Keys"].clone(),
    }
}

/// The number behind its text, and of no other text.
fn lsn(number: &str) -> Option<RecordNo> {
    SequenceNumber::parse(number).filter(|parsed| parsed.to_string() == number).map(|parsed| parsed.0)
}

fn not_parked() -> ApiError {
    failure(MappingError::NotFound)
}

fn failure(error: MappingError) -> ApiError {
    let code = match &error {
        MappingError::NotFound => ErrorCode::ResourceNotFoundException,
        MappingError::Store(_) => ErrorCode::InternalServerError,
        MappingError::Conflict { .. } | MappingError::InUse => ErrorCode::ResourceInUseException,
        MappingError::InvalidParameterValue(_) | MappingError::Validation(_) => ErrorCode::ValidationException,
    };
    match error {
        MappingError::NotFound => ApiError::new(code, "There is no such mapping, or no such parked record in it."),
        other => ApiError::new(code, other.to_string()),
    }
}
