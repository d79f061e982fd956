//! Parquet: one row group of an object's records; the fixed columns of docs/spec/sinks.md 2.6, then the chosen ones.
//!
//! Columns are written one after the other from rows that are gathered before; the writer knows rows of no library.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression as PageCompression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use tailrace_engine::streams::record::StreamRecord;

use super::columns::{Cell, ColumnKind, FIXED, TypedColumn};
use super::{Compression, EncodeError, Encoder, Of, ZSTD_LEVEL};
use crate::objects::partition::record::is_ttl;

/// Bytes of a decimal: as many as 38 digits need.
const DECIMAL_BYTES: i32 = 16;
/// Columns whose values repeat in an object, for which a dictionary is worth its time.
const REPEATING: [&str; 3] = ["table", "event_name", "shard_id"];
/// Columns whose smallest and largest value nobody asks for.
const WITHOUT_STATISTICS: [&str; 4] = ["event_id", "keys", "new_image", "old_image"];

pub(super) fn encode(encoder: &Encoder, of: Of<'_>, records: &[&StreamRecord]) -> Result<Vec<u8>, EncodeError> {
    let rows = Rows::of(encoder, of, records)?;
    rows.write(encoder).map_err(|error| EncodeError::Format(error.to_string()))
}

/// Values of a column of bytes, end to end.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// Ends the value that was appended to the bytes.
    fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    fn values(self) -> Vec<ByteArray> {
        let bytes = Bytes::from(self.bytes);
        let mut start = 0;
        let slice = |end| ByteArray::from(bytes.slice(std::mem::replace(&mut start, end)..end));
        self.ends.into_iter().map(slice).collect()
    }
}

/// A column's values without the nulls, and of each row whether it has one.
struct Column {
    values: Values,
    /// 1 where there is a value.
    levels: Vec<i16>,
}

enum Values {
    Bytes(Texts),
    Long(Vec<i64>),
    Double(Vec<f64>),
    Boolean(Vec<bool>),
    Decimal(Vec<FixedLenByteArray>),
}

/// The rows, by column.
struct Rows {
    table: ByteArray,
    shard_id: ByteArray,
    names: Vec<ByteArray>,
    event_ids: Texts,
    sequence_numbers: Texts,
    lsns: Vec<i64>,
    times: Vec<i64>,
    keys: Texts,
    new: Column,
    old: Column,
    ttl: Vec<bool>,
    chosen: Vec<Column>,
}

impl Rows {
    fn of(encoder: &Encoder, of: Of<'_>, records: &[&StreamRecord]) -> Result<Rows, EncodeError> {
        let names = ["INSERT", "MODIFY", "REMOVE"].map(|name| (name, ByteArray::from(name)));
        let bytes = || Column { values: Values::Bytes(Texts::default()), levels: Vec::with_capacity(records.len()) };
        let mut rows = Rows {
            table: ByteArray::from(of.source.table.as_str()),
            shard_id: ByteArray::from(of.shard_id),
            names: Vec::with_capacity(records.len()),
            event_ids: Texts::default(),
            sequence_numbers: Texts::default(),
            lsns: Vec::with_capacity(records.len()),
            times: Vec::with_capacity(records.len()),
            keys: Texts::default(),
            new: bytes(),
            old: bytes(),
            ttl: Vec::with_capacity(records.len()),
            chosen: encoder.columns.iter().map(Column::of).collect(),
        };
        for record in records {
            let name = record.meta.kind.name();
            let name = names.iter().find(|(other, _)| *other == name).map(|(_, name)| name.clone());
            rows.names.extend(name);
            rows.event_ids.push(encoder.writer.event_id(record).to_string().as_bytes());
            rows.sequence_numbers.push(&record.sequence_number().digits());
            rows.lsns.push(signed(record.number.0));
            rows.times.push(signed(record.time_ms.0));
            encoder.write_item(&record.meta.keys, &mut rows.keys.bytes)?;
            rows.keys.end();
            for (column, image) in [(&mut rows.new, &record.new), (&mut rows.old, &record.old)] {
                column.levels.push(i16::from(image.is_some()));
                if let (Some(image), Values::Bytes(texts)) = (image, &mut column.values) {
                    encoder.write_item(image, &mut texts.bytes)?;
                    texts.end();
                }
            }
            rows.ttl.push(is_ttl(record));
            for (column, described) in rows.chosen.iter_mut().zip(&encoder.columns) {
                column.push(described.cell(record, encoder.values)?);
            }
        }
        Ok(rows)
    }

    fn write(self, encoder: &Encoder) -> Result<Vec<u8>, ParquetError> {
        let schema = schema(&encoder.columns)?;
        let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties(encoder.compression)?))?;
        let mut group = file.next_row_group()?;
        let count = self.lsns.len();
        let mut fixed = |write: &mut dyn FnMut(&mut SerializedColumnWriter<'_>) -> Result<(), ParquetError>| {
            let mut column = group.next_column()?.ok_or_else(missing)?;
            write(&mut column)?;
            column.close()
        };
        fixed(&mut |column| put::<ByteArrayType>(column, &vec![self.table.clone(); count], None))?;
        fixed(&mut |column| put::<ByteArrayType>(column, &self.names, None))?;
        let mut texts = [Some(self.event_ids), Some(self.sequence_numbers), Some(self.keys)];
        let mut take = |index: usize| texts[index].take().unwrap_or_default().values();
        let event_ids = take(0);
        fixed(&mut |column| put::<ByteArrayType>(column, &event_ids, None))?;
        drop(event_ids);
        fixed(&mut |column| put::<ByteArrayType>(column, &vec![self.shard_id.clone(); count], None))?;
        let sequence_numbers = take(1);
        fixed(&mut |column| put::<ByteArrayType>(column, &sequence_numbers, None))?;
        drop(sequence_numbers);
        fixed(&mut |column| put::<Int64Type>(column, &self.lsns, None))?;
        fixed(&mut |column| put::<Int64Type>(column, &self.times, None))?;
        let keys = take(2);
        fixed(&mut |column| put::<ByteArrayType>(column, &keys, None))?;
        drop(keys);
        let mut images = [Some(self.new), Some(self.old)];
        for image in &mut images {
            if let Some(image) = image.take() {
                let mut image = Some(image);
                fixed(&mut |column| image.take().map_or(Ok(()), |image| image.put(column)))?;
            }
        }
        fixed(&mut |column| put::<BoolType>(column, &self.ttl, None))?;
        for chosen in self.chosen {
            let mut chosen = Some(chosen);
            fixed(&mut |column| chosen.take().map_or(Ok(()), |chosen| chosen.put(column)))?;
        }
        group.close()?;
        file.into_inner()
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn missing() -> ParquetError {
    ParquetError::General("a column is missing in the schema".to_owned())
}

fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    column.typed::<T>().write_batch(values, levels, None).map(|_| ())
}

impl Column {
    fn of(described: &TypedColumn) -> Column {
        let values = match described.kind {
            ColumnKind::Text | ColumnKind::Json | ColumnKind::Binary => Values::Bytes(Texts::default()),
            ColumnKind::Long => Values::Long(Vec::new()),
            ColumnKind::Double => Values::Double(Vec::new()),
            ColumnKind::Boolean => Values::Boolean(Vec::new()),
            ColumnKind::Decimal { .. } => Values::Decimal(Vec::new()),
        };
        Column { values, levels: Vec::new() }
    }

    fn push(&mut self, cell: Cell<'_>) {
        let mut there = 1;
        match (&mut self.values, cell) {
            (Values::Bytes(texts), Cell::Text(text)) => texts.push(text.as_bytes()),
            (Values::Bytes(texts), Cell::Binary(bytes)) => texts.push(bytes),
            (Values::Long(values), Cell::Long(value)) => values.push(value),
            (Values::Double(values), Cell::Double(value)) => values.push(value),
            (Values::Boolean(values), Cell::Boolean(value)) => values.push(value),
            (Values::Decimal(values), Cell::Decimal(units)) => {
                values.push(FixedLenByteArray::from(units.to_be_bytes().to_vec()));
            }
            _ => there = 0,
        }
        self.levels.push(there);
    }

    fn put(self, column: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(self.levels.as_slice());
        match self.values {
            Values::Bytes(texts) => put::<ByteArrayType>(column, &texts.values(), levels),
            Values::Long(values) => put::<Int64Type>(column, &values, levels),
            Values::Double(values) => put::<DoubleType>(column, &values, levels),
            Values::Boolean(values) => put::<BoolType>(column, &values, levels),
            Values::Decimal(values) => put::<FixedLenByteArrayType>(column, &values, levels),
        }
    }
}

fn properties(compression: Compression) -> Result<WriterProperties, ParquetError> {
    let compression = match compression {
        Compression::None | Compression::Gzip => PageCompression::UNCOMPRESSED,
        Compression::Snappy => PageCompression::SNAPPY,
        Compression::Zstd => PageCompression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?),
    };
    let path = |name: &str| ColumnPath::new(vec![name.to_owned()]);
    let mut properties = WriterProperties::builder()
        // The library's own text has its release in it, and the next one would write other bytes.
        .set_created_by("tailrace".to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        // A flush is one group, whatever it holds.
        .set_max_row_group_row_count(None);
    for name in REPEATING {
        properties = properties.set_column_dictionary_enabled(path(name), true);
    }
    for name in WITHOUT_STATISTICS {
        properties = properties.set_column_statistics_enabled(path(name), EnabledStatistics::None);
    }
    Ok(properties.build())
}

fn schema(columns: &[TypedColumn]) -> Result<TypePtr, ParquetError> {
    let [table, event_name, event_id, shard_id, sequence_number, lsn, event_time, keys, new, old, is_ttl] = FIXED;
    let (text, json) = (|| Some(LogicalType::String), || Some(LogicalType::Json));
    let mut fields = vec![
        field(table, Physical::BYTE_ARRAY, text(), true)?,
        field(event_name, Physical::BYTE_ARRAY, text(), true)?,
        field(event_id, Physical::BYTE_ARRAY, text(), true)?,
        field(shard_id, Physical::BYTE_ARRAY, text(), true)?,
        field(sequence_number, Physical::BYTE_ARRAY, text(), true)?,
        field(lsn, Physical::INT64, None, true)?,
        field(event_time, Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS)), true)?,
        field(keys, Physical::BYTE_ARRAY, json(), true)?,
        field(new, Physical::BYTE_ARRAY, json(), false)?,
        field(old, Physical::BYTE_ARRAY, json(), false)?,
        field(is_ttl, Physical::BOOLEAN, None, true)?,
    ];
    for TypedColumn { name, kind, .. } in columns {
        fields.push(match *kind {
            ColumnKind::Text => field(name, Physical::BYTE_ARRAY, text(), false)?,
            ColumnKind::Json => field(name, Physical::BYTE_ARRAY, json(), false)?,
            ColumnKind::Binary => field(name, Physical::BYTE_ARRAY, None, false)?,
            ColumnKind::Long => field(name, Physical::INT64, None, false)?,
            ColumnKind::Double => field(name, Physical::DOUBLE, None, false)?,
            ColumnKind::Boolean => field(name, Physical::BOOLEAN, None, false)?,
            ColumnKind::Decimal { precision, scale } => {
                let (precision, scale) = (i32::from(precision), i32::from(scale));
                let decimal = Type::primitive_type_builder(name, Physical::FIXED_LEN_BYTE_ARRAY)
                    .with_length(DECIMAL_BYTES)
                    .with_logical_type(Some(LogicalType::decimal(scale, precision)))
                    .with_precision(precision)
                    .with_scale(scale);
                Arc::new(decimal.build()?)
            }
        });
    }
    Ok(Arc::new(Type::group_type_builder("change").with_fields(fields).build()?))
}

fn field(
    name: &str,
    physical: Physical,
    logical: Option<LogicalType>,
    required: bool,
) -> Result<TypePtr, ParquetError> {
    let repetition = if required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
    let field = Type::primitive_type_builder(name, physical).with_logical_type(logical).with_repetition(repetition);
    Ok(Arc::new(field.build()?))
}
