//! What a write answers in `x-tailrace-lsn`, and a read gives in `x-tailrace-as-of`: the records that were written, each as its shard's number
//! and its own, `7:1234`, several with commas between. A client takes it for a text that means nothing to it.
//!
//! A read of a view's table waits until the view has them; every other table has them anyway. Source: docs/spec/sinks.md 6.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tailrace_core::{ApiError, ErrorCode, RecordNo, ShardNo};
use tailrace_engine::{Written, store_failure};
use tailrace_sinks::runtime::Sinks;
use tailrace_store::RecordId;

/// How long a read waits. Our reason: an SDK tries again after the error, and gives up after a minute.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Most records that are told or waited for. Our reason: a transaction has 100 items.
const RECORDS_MAX: usize = 256;

/// What was written, for the answer. `None`: nothing that a stream has.
pub fn text(written: Written) -> Option<String> {
    let mut text = String::new();
    for record in written.into_records().iter().take(RECORDS_MAX) {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{}:{}", record.shard.0, record.number.0);
    }
    (!text.is_empty()).then_some(text)
}

fn parse(text: &str) -> Option<Vec<RecordId>> {
    let record = |text: &str| {
        let (shard, number) = text.trim().split_once(':')?;
        Some(RecordId { shard: ShardNo(shard.parse().ok()?), number: RecordNo(number.parse().ok()?) })
    };
    let records: Vec<RecordId> = text.split(',').map(record).collect::<Option<_>>()?;
    (records.len() <= RECORDS_MAX).then_some(records)
}

/// Waits until the tables that a read names know of what `as_of` says.
///
/// # Errors
/// It says nothing, or they do not in time: to be tried again.
pub async fn wait(sinks: &Sinks, operation: &str, body: &[u8], as_of: &str) -> Result<(), ApiError> {
    if !matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan") {
        return Ok(());
    }
    let malformed = || ApiError::validation("x-tailrace-as-of is not what an answer had in x-tailrace-lsn");
    let records = parse(as_of).ok_or_else(malformed)?;
    // What is wrong with the body the operation says.
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Ok(()) };
    let named = body["TableName"].as_str().into_iter();
    let tables = named.chain(body["RequestItems"].as_object().into_iter().flatten().map(|(table, _)| table.as_str()));
    for table in tables {
        let name = table.rsplit_once("table/").map_or(table, |(_, name)| name);
        if !sinks.as_of(name, &records, WAIT_MAX).await.map_err(|error| store_failure(&error))? {
            let text = format!("the view {name} does not know of {as_of} yet; try again");
            return Err(ApiError::new(ErrorCode::InternalServerError, text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_read_again_and_nothing_else() {
        let record = |shard, number| RecordId { shard: ShardNo(shard), number: RecordNo(number) };
        assert_eq!(parse("7:1234, 8:5"), Some(vec![record(7, 1234), record(8, 5)]));
        for text in ["", "7", "7:", ":7", "7:x", "7:1,", "7:1;8:2", "-1:2"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&vec!["1:1"; RECORDS_MAX + 1].join(",")), None);
    }
}
