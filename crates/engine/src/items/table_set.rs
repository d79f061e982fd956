//! The tables of a request that names one for each of its parts: each table once, perhaps as it was last seen.

use std::sync::Arc;

use tailrace_core::ApiError;

use crate::db::{Db, StoredTable};

/// The tables of a request's parts.
pub(crate) struct TableSet {
    tables: Vec<Arc<StoredTable>>,
    /// For each part the number of its table.
    numbers: Vec<usize>,
}

impl TableSet {
    /// The tables of these names, one for each part. Whoever uses them lets the store confirm them.
    ///
    /// # Errors
    /// ResourceNotFoundException, or the store's failure.
    pub async fn likely(db: &Db, names: impl Iterator<Item = &str>) -> Result<TableSet, ApiError> {
        let mut set = TableSet { tables: Vec::new(), numbers: Vec::with_capacity(names.size_hint().0) };
        for name in names {
            let number = match set.tables.iter().position(|table| table.name == name) {
                Some(known) => known,
                None => {
                    set.tables.push(db.likely_table(name).await?);
                    set.tables.len() - 1
                }
            };
            set.numbers.push(number);
        }
        Ok(set)
    }

    /// Each table once.
    pub fn tables(&self) -> &[Arc<StoredTable>] {
        &self.tables
    }

    /// The table of a part, and its number.
    pub fn of(&self, part: usize) -> (usize, &Arc<StoredTable>) {
        let number = self.numbers[part];
        (number, &self.tables[number])
    }

    /// The tables that have these names now, if one of them is another, or has another descriptor.
    ///
    /// # Errors
    /// As for [`TableSet::likely`].
    pub async fn newer(&self, db: &Db) -> Result<Option<TableSet>, ApiError> {
        let mut tables = Vec::with_capacity(self.tables.len());
        let mut any = false;
        for table in &self.tables {
            let newer = db.newer_table(table).await?;
            any |= newer.is_some();
            tables.push(newer.unwrap_or_else(|| Arc::clone(table)));
        }
        Ok(any.then(|| TableSet { tables, numbers: self.numbers.clone() }))
    }
}
