//! The rows of a flush: each record as the load reads it, or why the target cannot take it.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tailrace_core::{EpochMs, Item};
use tailrace_engine::streams::label;
use tailrace_engine::streams::record::StreamRecord;
use tailrace_engine::streams::record_meta::ChangeKind;
use tailrace_store::StoreError;

use super::cell::{Cell, Fit, cell};
use super::config::Mode;
use super::dialect::Unfit;
use super::document::{Nul, write_item};
use super::layout::{Column, Content, REMOVE, Target, UPSERT};
use super::promoted::Promoted;
use super::sql_type::SqlType;
use crate::sink::{Flush, Origin};

/// The records of a flush, ready to be loaded.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Those that the target may take, in the order of the records.
    pub rows: Vec<Row>,
    /// Those that it cannot, by their index in the flush, rising, and why.
    pub refused: Vec<(usize, String)>,
    /// What is loaded, all rows behind each other.
    bytes: Vec<u8>,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The record's index in the flush.
    pub index: usize,
    key: Bytes,
    bytes: Range<usize>,
}

/// A short name of an item: of the bytes of its key.
pub fn item_id(record: &StreamRecord) -> String {
    Sha256::digest(&record.meta.keys).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A record's number as a column has it.
pub fn number(record: &StreamRecord) -> i64 {
    // Below 2^63, as all of them are.
    i64::try_from(record.number.0).unwrap_or(i64::MAX)
}

impl Rows {
    /// Makes the rows.
    ///
    /// # Errors
    /// The bytes of a record are damaged.
    pub fn make(flush: &Flush, target: &Target, generation: i64) -> Result<Rows, StoreError> {
        let names = target.loaded_names();
        let columns = target.loaded();
        let mut made = Rows::default();
        for (index, record) in flush.records.iter().enumerate() {
            let from = made.bytes.len();
            let cells = cells(flush, record, target, &columns, generation)?;
            match cells.and_then(|cells| target.dialect.push_row(&names, &cells, &mut made.bytes)) {
                Ok(()) => {
                    let bytes = from..made.bytes.len();
                    made.rows.push(Row { index, key: record.meta.keys.clone(), bytes });
                }
                Err(Unfit(error)) => {
                    made.bytes.truncate(from);
                    made.refused.push((index, error));
                }
            }
        }
        Ok(made)
    }

    /// The rows to load at first: of each item the newest among those `wanted`, or, for a change log, all of them; and behind
    /// each row the one that follows if the target does not take it. Both as positions in [`Rows::rows`], rising.
    pub fn newest(&self, mode: Mode, wanted: impl Fn(usize) -> bool) -> (Vec<usize>, HashMap<usize, usize>) {
        let all = (0..self.rows.len()).filter(|position| wanted(self.rows[*position].index));
        if mode == Mode::Append {
            return (all.collect(), HashMap::new());
        }
        let (mut newest, mut older) = (HashMap::<&[u8], usize>::new(), HashMap::new());
        for position in all {
            if let Some(before) = newest.insert(&self.rows[position].key, position) {
                older.insert(position, before);
            }
        }
        let mut newest: Vec<usize> = newest.into_values().collect();
        newest.sort_unstable();
        (newest, older)
    }

    /// What is loaded for these rows.
    pub fn load(&self, positions: &[usize]) -> Vec<u8> {
        let lines = positions.iter().map(|position| &self.bytes[self.rows[*position].bytes.clone()]);
        let mut load = Vec::with_capacity(lines.clone().map(<[u8]>::len).sum());
        lines.for_each(|line| load.extend_from_slice(line));
        load
    }
}

/// The cells of a record's row, or why there can be none.
fn cells(
    flush: &Flush,
    record: &StreamRecord,
    target: &Target,
    columns: &[&Column],
    generation: i64,
) -> Result<Result<Vec<Cell>, Unfit>, StoreError> {
    let keys = record.keys()?;
    let is_merge = target.layout.mode == Mode::Merge;
    let is_gone = record.meta.kind == ChangeKind::Remove;
    // Of an item that is gone nothing but its key is looked at.
    let new = if is_merge && is_gone { None } else { record.new_image()? };
    let old = if is_merge { None } else { record.old_image()? };
    if is_merge && !is_gone && new.is_none() {
        return Ok(Err(Unfit("the record does not hold the item".to_owned())));
    }
    let of_column = |column: &&Column| match &column.content {
        Content::Key(name) => key(&keys, name, column, target),
        Content::Promoted(promoted) => match &new {
            Some(item) => attribute(item, promoted, target),
            None => Ok(Cell::Null),
        },
        Content::NewImage => document(new.as_ref(), column, target),
        Content::OldImage => document(old.as_ref(), column, target),
        Content::EventTime => Ok(Cell::Text(time(record.time_ms, column.sql))),
        Content::Lsn => Ok(Cell::Number(number(record).to_string())),
        Content::Generation => Ok(Cell::Number(generation.to_string())),
        Content::Event => Ok(Cell::Text(event(flush, record).to_owned())),
        Content::Shard => Ok(Cell::Text(flush.shard.id.to_string())),
        Content::IsTtl => Ok(Cell::Bool(is_gone && record.meta.by_service)),
    };
    let operation = is_merge.then(|| Ok(Cell::Text(if is_gone { REMOVE } else { UPSERT }.to_owned())));
    Ok(operation.into_iter().chain(columns.iter().map(of_column)).collect())
}

fn event(flush: &Flush, record: &StreamRecord) -> &'static str {
    match flush.origin {
        Origin::Snapshot { .. } => "SNAPSHOT",
        Origin::Stream | Origin::Retry => record.meta.kind.name(),
    }
}

fn key(keys: &Item, name: &str, column: &Column, target: &Target) -> Result<Cell, Unfit> {
    let told = |error: Unfit| Unfit(format!("key {name}: {error}"));
    let value = keys.get(name).ok_or_else(|| told(Unfit("it is missing".to_owned())))?;
    let cell = cell(value, column.sql, Fit::Exact, target.dialect.as_ref()).map_err(told)?;
    target.dialect.check_key(&cell).map_err(told)?;
    Ok(cell)
}

fn attribute(item: &Item, promoted: &Promoted, target: &Target) -> Result<Cell, Unfit> {
    let Some(value) = promoted.find(item) else { return Ok(Cell::Null) };
    let told = |error: Unfit| Unfit(format!("column {}: {error}", promoted.column));
    let (is, wanted) = (value.type_name(), promoted.tag.name());
    if is != wanted && is != "NULL" {
        return Err(told(Unfit(format!("the attribute is of type {is}, not {wanted}"))));
    }
    cell(value, promoted.sql, Fit::Rounded, target.dialect.as_ref()).map_err(told)
}

fn document(item: Option<&Item>, column: &Column, target: &Target) -> Result<Cell, Unfit> {
    debug_assert_eq!(column.sql, SqlType::Json);
    let Some(item) = item else { return Ok(Cell::Null) };
    let mut json = Vec::new();
    match write_item(item, target.dialect.numbers(), &mut json) {
        Ok(()) => Ok(Cell::Json(json)),
        Err(Nul) => Err(Unfit(format!("column {}: {}", column.name, target.dialect.no_nul()))),
    }
}

/// An instant as both databases read it.
fn time(instant: EpochMs, sql: SqlType) -> String {
    let mut text = label::text(instant).replace('T', " ");
    if sql == SqlType::Timestamptz {
        text.push_str("+00:00");
    }
    text
}
