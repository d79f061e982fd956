//! What a statement reads or writes: a table, and perhaps an index of it, with the keys there.

use std::sync::Arc;

use tailrace_core::key::KeyAttribute;

use super::refusal::Refusal;
use crate::db::{Db, StoredTable};
use crate::tables::index::IndexKind;

/// A table, or an index of it.
pub(crate) struct Source {
    /// The table.
    pub table: Arc<StoredTable>,
    /// The index's name.
    pub index: Option<String>,
}

/// The key attributes of what is read.
#[derive(Clone, Debug)]
pub(crate) struct Keys<'a> {
    /// Of the partition key, at least one.
    pub hash: Vec<&'a KeyAttribute>,
    /// Of the sort key.
    pub range: Vec<&'a KeyAttribute>,
}

impl Keys<'_> {
    /// All of them.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.hash.iter().chain(&self.range).copied()
    }
}

impl Source {
    /// The source of a `SELECT`. `consistent`: the reads are to be consistent.
    ///
    /// # Errors
    /// There is no such table or index, or the index cannot be read so.
    pub async fn open(db: &Db, table: &str, index: Option<&str>, consistent: bool) -> Result<Source, Refusal> {
        let table = table_named(db, table).await?;
        if let Some(name) = index {
            let Some(index) = table.indexes.iter().find(|index| index.name == name) else {
                return Err(Refusal::statement("The table does not have the specified index"));
            };
            if consistent && index.kind == IndexKind::Global {
                return Err(Refusal::statement(
                    "Strongly consistent read is not supported on Global Secondary Indexes",
                ));
            }
        }
        Ok(Source { table, index: index.map(str::to_owned) })
    }

    /// The table of a write.
    ///
    /// # Errors
    /// There is no such table, or an index is named.
    pub async fn open_for_write(db: &Db, table: &str, index: Option<&str>) -> Result<Arc<StoredTable>, Refusal> {
        if index.is_some() {
            return Err(Refusal::statement("This operation is not supported on an index"));
        }
        table_named(db, table).await
    }

    /// The keys of what is read.
    pub fn keys(&self) -> Keys<'_> {
        let index = self.index.as_ref().and_then(|name| self.table.indexes.iter().find(|index| index.name == *name));
        match index {
            Some(index) => Keys { hash: index.hash.iter().collect(), range: index.range.iter().collect() },
            None => Keys { hash: vec![&self.table.key.hash], range: self.table.key.range.iter().collect() },
        }
    }
}

/// The table of this name or ARN.
async fn table_named(db: &Db, name: &str) -> Result<Arc<StoredTable>, Refusal> {
    let name = db.reading().table_name(name).map_err(Refusal::Statement)?;
    db.table(name).await.map_err(Refusal::Table)
}
