//! Scan, whole or one segment of a parallel scan. Source: docs/spec/dynamodb-api.md 5.

use tailrace_core::{ApiError, Item, Json};

use super::PageRequest;
use super::expression_parameters::{ExpressionMaps, ExpressionParameters};
use super::start_key::{StartKeyOf, take_start_key};
use crate::{ErrorWording, Reading, member};

/// The request.
#[derive(Clone, Debug, Default)]
pub struct ScanRequest {
    /// The table's name.
    pub table_name: String,
    /// The index.
    pub index_name: Option<String>,
    /// One segment of a parallel scan; `None`: all rows.
    pub segment: Option<Segment>,
    /// Where the page begins: behind this key.
    pub exclusive_start_key: Option<Item>,
    /// What is read and answered of the rows.
    pub page: PageRequest,
}

/// A segment of a parallel scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, below `total`.
    pub number: u32,
    /// How many segments there are.
    pub total: u32,
}

static PARAMETERS: ExpressionParameters = ExpressionParameters {
    legacy: &["AttributesToGet", "ScanFilter", "ConditionalOperator"],
    expressions: &["ProjectionExpression", "FilterExpression"],
    with_values: &["FilterExpression"],
    values_need: ["FilterExpression is null"; 2],
};

impl ScanRequest {
    /// Reads a body whose structure is valid.
    ///
    /// # Errors
    /// What is wrong with the request itself.
    pub fn read(mut body: Json, reading: &Reading<'_>) -> Result<ScanRequest, ApiError> {
        let wording = ErrorWording::of_read(reading.wording);
        let table_name = reading.take_table_name(&mut body)?;
        let maps = ExpressionMaps::take(&mut body);
        let exclusive_start_key = take_start_key(&mut body, StartKeyOf::Scan, wording)?;
        maps.check_values_early(wording)?;
        let segment = Segment::read(&body, wording)?;
        let (page, _) = PageRequest::read(&body, maps, &PARAMETERS, wording, true)?;
        let index_name = member::text(&body, "IndexName").map(str::to_owned);
        Ok(ScanRequest { table_name, index_name, segment, exclusive_start_key, page })
    }
}

impl Segment {
    /// Reads `Segment` and `TotalSegments`, whose bounds are checked.
    fn read(body: &Json, wording: ErrorWording) -> Result<Option<Segment>, ApiError> {
        let number = |name: &str| member::integer(body, name).and_then(|n| u32::try_from(n).ok());
        match (number("Segment"), number("TotalSegments")) {
            (None, None) => Ok(None),
            (Some(number), Some(total)) if number < total => Ok(Some(Segment { number, total })),
            (Some(number), Some(total)) => {
                let text = "The Segment parameter is zero-based and must be less than parameter TotalSegments";
                Err(ApiError::validation(if wording.is_current() {
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
}
