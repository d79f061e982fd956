//! Scan, whole or one segment of a parallel scan. Source: docs/spec/dynamodb-api.md 5.
//!
//! A segment is a range of buckets, so each item, or entry of an index, is in exactly one segment of any number of them, on every page.

use tailrace_api::items::{PageAnswer, ScanRequest, Segment};
use tailrace_core::{ApiError, BucketRange, Wording};
use tailrace_store::keyspace::ItemKey;

use crate::Caller;
use crate::db::Db;
use crate::items::projection::{check_key_paths, check_projection};
use crate::items::read::{filter_paths, read_page};
use crate::items::read_source::ReadSource;
use crate::items::start_key::{MismatchText, start_place, wrong_segment};

/// Runs Scan.
///
/// # Errors
/// What the client is to read.
pub async fn scan(db: &Db, request: ScanRequest, _caller: &Caller<'_>) -> Result<PageAnswer, ApiError> {
    let table = db.table(&request.table_name).await?;
    let source = ReadSource::find(&table, request.index_name.as_deref(), &request.page)?;
    check_key_paths(&table, filter_paths(&request.page))?;
    check_projection(&request.page.projection, &table)?;
    let buckets = match request.segment {
        // There may be more segments than buckets: then some have none.
        Some(Segment { number, total }) => BucketRange::part(number, total),
        None => Some(BucketRange::ALL),
    };
    let mut range = buckets.map(|buckets| ItemKey::bucket_range(source.set(), buckets));
    if let Some(start) = &request.exclusive_start_key {
        let text = if db.settings().wording == Wording::Current { MismatchText::Short } else { MismatchText::Long };
        let place = start_place(&source, start, text)?;
        if let Some(segment) = request.segment
            && !buckets.is_some_and(|b| b.contains(place.bucket))
        {
            return Err(wrong_segment(segment.number, segment.total));
        }
        range = range.map(|range| range.after(&place.row)).filter(|range| !range.is_empty());
    }
    let fetches = source.fetches(&request.page, true)?;
    Ok(read_page(db, source, request.page, range, fetches).await?.0)
}
