//! Scan, whole or one segment of a parallel scan. Source: docs/spec/dynamodb-api.md 5.
//!
//! A segment is a range of buckets, so each item is in exactly one segment of any number of them, on every page.

use tailrace_api::items::{PageAnswer, ScanRequest, Segment};
use tailrace_core::{ApiError, Bucket, BucketRange, Wording};
use tailrace_store::keyspace::ItemKey;

use crate::Caller;
use crate::db::Db;
use crate::items::projection::{check_key_paths, check_projection};
use crate::items::read::{check_no_index, filter_paths, read_page};
use crate::items::start_key::{MismatchText, start_key_bytes, wrong_segment};

const BUCKETS: u64 = 65_536;

/// Runs Scan.
///
/// # Errors
/// What the client is to read.
pub async fn scan(db: &Db, request: ScanRequest, _caller: &Caller<'_>) -> Result<PageAnswer, ApiError> {
    let table = db.table(&request.table_name).await?;
    check_no_index(request.index_name.as_deref())?;
    let schema = &table.key;
    check_key_paths(schema, filter_paths(&request.page))?;
    check_projection(&request.page.projection, schema)?;
    let buckets = request.segment.map_or(Some(BucketRange::ALL), buckets_of);
    let mut range = buckets.map(|buckets| ItemKey::bucket_range(table.id, buckets));
    if let Some(start) = &request.exclusive_start_key {
        let text = if db.settings().wording == Wording::Current { MismatchText::Short } else { MismatchText::Long };
        let bytes = start_key_bytes(schema, start, text)?;
        let bucket = bytes.hash().bucket;
        if let Some(segment) = request.segment
            && !buckets.is_some_and(|b| b.contains(bucket))
        {
            return Err(wrong_segment(segment.number, segment.total));
        }
        let key = ItemKey::key(table.id, bucket, &bytes.partition, &bytes.sort);
        range = range.map(|range| range.after(&key)).filter(|range| !range.is_empty());
    }
    read_page(db, &table, request.page, range).await
}

/// The buckets of a segment; `None`: there are more segments than buckets, and this one has none.
fn buckets_of(segment: Segment) -> Option<BucketRange> {
    let start = |number: u32| (BUCKETS * u64::from(number)).div_ceil(u64::from(segment.total));
    let (first, end) = (start(segment.number), start(segment.number + 1));
    let last = end.checked_sub(1).filter(|last| *last >= first)?;
    let bucket = |number: u64| u16::try_from(number).ok().map(Bucket);
    Some(BucketRange { first: bucket(first)?, last: bucket(last)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_in_exactly_one_segment() {
        for total in [1, 2, 3, 7, 4096, 65_535, 65_536, 65_537, 1_000_000] {
            let mut next = 0;
            for number in 0..total {
                if let Some(buckets) = buckets_of(Segment { number, total }) {
                    assert_eq!(u32::from(buckets.first.0), next, "segment {number} of {total}");
                    next = u32::from(buckets.last.0) + 1;
                }
            }
            assert_eq!(next, 65_536, "{total} segments");
        }
    }
}
