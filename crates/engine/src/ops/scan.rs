//! Scan, whole or one segment of a parallel scan. Source: docs/spec/dynamodb-api.md 5.
//!
//! A segment is a range of buckets, so each item is in exactly one segment of any number of them, on every page.

use tailrace_core::{ApiError, Bucket, Json};
use tailrace_store::BucketRange;
use tailrace_store::keyspace::ItemKey;

use super::Request;
use super::exclusive_start_key::{Starts, start_key_bytes, take_start_key, wrong_segment};
use super::expression_parameters::{ExpressionMaps, Parameters, check_key_paths};
use super::page_read::{PageOutput, PageRequest, check_no_index};
use super::words::Words;
use crate::db::Db;

const BUCKETS: u64 = 65_536;

static PARAMETERS: Parameters = Parameters {
    legacy: &["AttributesToGet", "ScanFilter", "ConditionalOperator"],
    expressions: &["ProjectionExpression", "FilterExpression"],
    with_values: &["FilterExpression"],
    values_need: ["FilterExpression is null"; 2],
};

/// A segment of a parallel scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    number: u32,
    total: u32,
}

/// Runs Scan.
pub(crate) async fn scan(db: &Db, mut request: Request<'_>) -> Result<PageOutput, ApiError> {
    let words = Words::of_read(db.settings().wording);
    let name = request.table_name(db)?;
    let maps = ExpressionMaps::take(&mut request.body);
    let start = take_start_key(&mut request.body, Starts::Scan, words)?;
    maps.check_values_early(words)?;
    let segment = Segment::read(&request.body, words)?;
    let page = PageRequest::read(&request.body, maps, &PARAMETERS, words, true)?;

    let table = db.table(&name).await?;
    check_no_index(&request.body)?;
    let schema = &table.key;
    check_key_paths(schema, page.filter_paths())?;
    page.shown().check_key_paths(schema)?;
    let buckets = segment.map_or(Some(BucketRange::ALL), Segment::buckets);
    let mut range = buckets.map(|buckets| ItemKey::bucket_range(table.id, buckets));
    if let Some(start) = &start {
        let bytes = start_key_bytes(schema, start, Starts::Scan, words)?;
        let bucket = bytes.hash().bucket;
        if let Some(segment) = segment
            && !buckets.is_some_and(|b| b.contains(bucket))
        {
            return Err(wrong_segment(segment.number, segment.total));
        }
        let key = ItemKey::key(table.id, bucket, &bytes.partition, &bytes.sort);
        range = range.map(|range| range.after(&key)).filter(|range| !range.is_empty());
    }
    page.page(db, &table, range).await
}

impl Segment {
    /// Reads `Segment` and `TotalSegments`, whose bounds are checked.
    fn read(body: &Json, words: Words) -> Result<Option<Segment>, ApiError> {
        let number = |name: &str| body.get(name).and_then(Json::as_saturated_i32).and_then(|n| u32::try_from(n).ok());
        match (number("Segment"), number("TotalSegments")) {
            (None, None) => Ok(None),
            (Some(number), Some(total)) if number < total => Ok(Some(Segment { number, total })),
            (Some(number), Some(total)) => {
                let text = "The Segment parameter is zero-based and must be less than parameter TotalSegments";
                Err(ApiError::validation(if words.is_current() {
                    text.to_owned()
                } else {
                    format!("{text}: Segment: {number} is not less than TotalSegments: {total}")
                }))
            }
            (None, Some(_)) => Err(ApiError::validation(
                "The Segment parameter is required but was not present in the request when parameter TotalSegments is \
                 present",
            )),
            (Some(_), None) => Err(ApiError::validation(
                "The TotalSegments parameter is required but was not present in the request when Segment parameter is \
                 present",
            )),
        }
    }

    /// The segment's buckets; `None`: there are more segments than buckets, and this one has none.
    fn buckets(self) -> Option<BucketRange> {
        let start = |segment: u32| (BUCKETS * u64::from(segment)).div_ceil(u64::from(self.total));
        let (first, end) = (start(self.number), start(self.number + 1));
        let last = end.checked_sub(1).filter(|last| *last >= first)?;
        let bucket = |number: u64| u16::try_from(number).ok().map(Bucket);
        Some(BucketRange { first: bucket(first)?, last: bucket(last)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_is_in_exactly_one_segment() {
        for total in [1, 2, 3, 7, 4096, 65_535, 65_536, 65_537, 1_000_000] {
            let mut next = 0;
            for number in 0..total {
                if let Some(buckets) = (Segment { number, total }).buckets() {
                    assert_eq!(u32::from(buckets.first.0), next, "segment {number} of {total}");
                    next = u32::from(buckets.last.0) + 1;
                }
            }
            assert_eq!(next, 65_536, "{total} segments");
        }
    }
}
