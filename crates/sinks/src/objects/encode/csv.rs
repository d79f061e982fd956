//! CSV: a line of names, then a line a record; times are ISO 8601 in UTC, and what is null is empty.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csv::{ByteRecord, Writer};
use tailrace_engine::streams::label;
use tailrace_engine::streams::record::StreamRecord;

use super::columns::{Cell, ColumnKind, FIXED};
use super::{EncodeError, Encoder, Of, size};
use crate::objects::partition::record::is_ttl;

pub(super) fn encode(encoder: &Encoder, of: Of<'_>, records: &[&StreamRecord]) -> Result<Vec<u8>, EncodeError> {
    let failed = |error: csv::Error| EncodeError::Format(error.to_string());
    let mut writer = Writer::from_writer(Vec::with_capacity(records.iter().map(|record| size(record)).sum()));
    writer
        .write_record(FIXED.into_iter().chain(encoder.columns.iter().map(|column| column.name.as_str())))
        .map_err(failed)?;
    let (mut line, mut json) = (ByteRecord::new(), Vec::new());
    for record in records {
        line.clear();
        line.push_field(of.source.table.as_bytes());
        line.push_field(record.meta.kind.name().as_bytes());
        line.push_field(encoder.writer.event_id(record).to_string().as_bytes());
        line.push_field(of.shard_id.as_bytes());
        line.push_field(&record.sequence_number().digits());
        line.push_field(record.number.to_string().as_bytes());
        line.push_field(format!("{}Z", label::text(record.time_ms)).as_bytes());
        for item in [Some(&record.meta.keys), record.new.as_ref(), record.old.as_ref()] {
            json.clear();
            if let Some(item) = item {
                encoder.write_item(item, &mut json)?;
            }
            line.push_field(&json);
        }
        line.push_field(if is_ttl(record) { b"true" } else { b"false" });
        for column in &encoder.columns {
            line.push_field(text(column.cell(record, encoder.values)?, column.kind).as_bytes());
        }
        writer.write_byte_record(&line).map_err(failed)?;
    }
    writer.into_inner().map_err(|error| EncodeError::Format(error.to_string()))
}

fn text(cell: Cell<'_>, kind: ColumnKind) -> Cow<'_, str> {
    match (cell, kind) {
        (Cell::Null, _) => Cow::Borrowed(""),
        (Cell::Text(text), _) => text,
        (Cell::Long(number), _) => Cow::Owned(number.to_string()),
        (Cell::Double(number), _) => Cow::Owned(number.to_string()),
        (Cell::Boolean(value), _) => Cow::Borrowed(if value { "true" } else { "false" }),
        (Cell::Decimal(units), ColumnKind::Decimal { scale, .. }) => Cow::Owned(decimal(units, usize::from(scale))),
        (Cell::Decimal(units), _) => Cow::Owned(units.to_string()),
        (Cell::Binary(bytes), _) => Cow::Owned(BASE64.encode(bytes)),
    }
}

/// Units of a scale with their point.
fn decimal(units: i128, scale: usize) -> String {
    let digits = format!("{:0width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if units < 0 { "-" } else { "" };
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_all_digits_of_their_scale() {
        for (units, scale, expect) in [(1250, 2, "12.50"), (-5, 2, "-0.05"), (0, 3, "0.000"), (-7, 0, "-7")] {
            assert_eq!(decimal(units, scale), expect);
        }
    }
}
