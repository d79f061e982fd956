//! The columns of a target table, and the statements that are made of them.
//!
//! A table of items has a row for each item: its key, the promoted columns, the document, the time and number of its last change
//! (`_lsn`), and under which generation of the sink it came (`_generation`). A change log has a row for each change.
//! Whether what is there has this shape is said by [`Layout::compare`].

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::config::{Config, ConfigError, Mode, split_table};
use super::dialect::{Dialect, NewColumn, NewTable, NoSuchType, quoted};
use super::promoted::Promoted;
use super::sql_type::SqlType;
use crate::sink::{KeyAttribute, KeyKind, SourceTable};

/// A target table's columns.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The schema, if one was asked for.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// What it holds.
    pub mode: Mode,
    /// Its columns, the key's first.
    pub columns: Vec<Column>,
    /// How many of them are the key.
    pub keys: usize,
}

/// A column of the target table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as the catalogue keeps it.
    pub name: String,
    /// Its type.
    pub sql: SqlType,
    /// What is in it.
    pub content: Content,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A key attribute.
    Key(String),
    /// An attribute.
    Promoted(Promoted),
    /// The item after the change, as a document.
    NewImage,
    /// The item before the change, as a document.
    OldImage,
    /// When the change was committed.
    EventTime,
    /// The change's number in its shard.
    Lsn,
    /// Under which generation of the sink the row came: see `super::ledger`.
    Generation,
    /// `INSERT`, `MODIFY` or `REMOVE`; of a snapshot, `SNAPSHOT`.
    Event,
    /// The change's shard.
    Shard,
    /// Time to live removed the item.
    IsTtl,
}

/// A column that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its type, as the catalogue writes it.
    pub sql: String,
    /// NULL is not allowed.
    pub required: bool,
    /// The database fills it, if nobody else does.
    pub filled: bool,
}

/// A table that is there is none that a layout can fill, and in what it differs: somebody has to change the table or the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotOurs(pub String);

impl From<NoSuchType> for NotOurs {
    fn from(NoSuchType(error): NoSuchType) -> NotOurs {
        NotOurs(error)
    }
}

/// The column of a staged row that says what to do with it.
pub const OPERATION: &str = "_op";
/// What is in that column for an item that is gone.
pub const REMOVE: &str = "REMOVE";
/// What is in it for one that is there.
pub const UPSERT: &str = "UPSERT";

impl Column {
    fn required(&self) -> bool {
        !matches!(self.content, Content::Promoted(_) | Content::NewImage | Content::OldImage)
    }
}

impl Layout {
    /// The columns for the items, or changes, of `source`.
    ///
    /// # Errors
    /// Names that the database does not take, or that two columns would share; keys that the source does not have.
    pub fn new(
        config: &Config,
        promoted: &[Promoted],
        dialect: &dyn Dialect,
        source: &SourceTable,
    ) -> Result<Layout, ConfigError> {
        let name_error = |place: &str, error: String| ConfigError::Name { place: place.to_owned(), error };
        let (schema, table) = match &config.table {
            Some(table) => split_table(table).map_err(|error| name_error("table", error))?,
            None => (None, source.table.clone()),
        };
        let attributes = [Some(&source.partition_key), source.sort_key.as_ref()];
        if let Some(unknown) =
            config.keys.keys().find(|name| !attributes.iter().flatten().any(|key| key.name == **name))
        {
            return Err(name_error("keys", format!("{} has no key attribute {unknown}", source.table)));
        }
        let mut columns = Vec::new();
        for (index, attribute) in attributes.into_iter().flatten().enumerate() {
            columns.push(key_column(config, dialect, attribute, index == 1)?);
        }
        let keys = columns.len();
        let column = |name: &str, sql, content| Column { name: dialect.fold(name), sql, content };
        columns.extend(promoted.iter().map(|one| column(&one.column, one.sql, Content::Promoted(one.clone()))));
        columns.extend(match config.mode {
            Mode::Merge => vec![
                column("doc", SqlType::Json, Content::NewImage),
                column("_event_time", dialect.instant(), Content::EventTime),
                column("_lsn", SqlType::Bigint, Content::Lsn),
                column("_generation", SqlType::Bigint, Content::Generation),
            ],
            Mode::Append => vec![
                column("new_image", SqlType::Json, Content::NewImage),
                column("old_image", SqlType::Json, Content::OldImage),
                column("_event", SqlType::Varchar(16), Content::Event),
                column("_event_time", dialect.instant(), Content::EventTime),
                column("_is_ttl", SqlType::Boolean, Content::IsTtl),
                column("_shard", SqlType::Varchar(64), Content::Shard),
                column("_lsn", SqlType::Bigint, Content::Lsn),
                column("_generation", SqlType::Bigint, Content::Generation),
            ],
        });
        let layout = Layout { schema, table: dialect.fold(&table), mode: config.mode, columns, keys };
        layout.check_names(dialect)?;
        Ok(layout)
    }

    fn check_names(&self, dialect: &dyn Dialect) -> Result<(), ConfigError> {
        let place = || "table".to_owned();
        let most = dialect.identifier_bytes_max();
        let names = self.columns.iter().map(|column| &column.name).chain([&self.table]).chain(&self.schema);
        for name in names {
            if name.is_empty() || name.contains('\0') {
                return Err(ConfigError::Name { place: place(), error: format!("{name:?} is no name") });
            }
            if name.len() > most {
                let error = format!("the name {name} has {} bytes; {} takes {most}", name.len(), dialect.name());
                return Err(ConfigError::Name { place: place(), error });
            }
        }
        for (index, column) in self.columns.iter().enumerate() {
            let is_taken = column.name == OPERATION
                || self.columns[..index].iter().any(|earlier| earlier.name.eq_ignore_ascii_case(&column.name));
            if is_taken {
                let key = self.columns.iter().find_map(|column| match &column.content {
                    Content::Key(attribute) => Some((attribute, &column.name)),
                    _ => None,
                });
                let (attribute, _) = key.unwrap_or((&column.name, &column.name));
                let error = format!(
                    "two columns would be named {}; give the key's or the promoted one another name, as in keys: {{{attribute}: NAME}}",
                    column.name
                );
                return Err(ConfigError::Name { place: "columns".to_owned(), error });
            }
        }
        Ok(())
    }

    /// What has to be done to a table with these columns.
    ///
    /// # Errors
    /// It is another table than ours.
    pub fn compare(&self, dialect: &dyn Dialect, found: &[Found]) -> Result<Vec<&Column>, NotOurs> {
        let mut missing = Vec::new();
        for column in &self.columns {
            let wanted = dialect.type_name(column.sql)?;
            match found.iter().find(|found| found.name == column.name) {
                Some(there) if there.sql == wanted => {}
                Some(there) => {
                    return Err(NotOurs(format!("its column {} is {}, not {wanted}", column.name, there.sql)));
                }
                None if matches!(column.content, Content::Promoted(_)) => missing.push(column),
                None => return Err(NotOurs(format!("it has no column {}", column.name))),
            }
        }
        let is_ours = |name: &String| self.columns.iter().any(|column| column.name == *name);
        if let Some(other) = found.iter().find(|found| found.required && !found.filled && !is_ours(&found.name)) {
            return Err(NotOurs(format!("its column {} is not one of ours, and takes no NULL", other.name)));
        }
        Ok(missing)
    }
}

fn key_column(
    config: &Config,
    dialect: &dyn Dialect,
    attribute: &KeyAttribute,
    is_sort_key: bool,
) -> Result<Column, ConfigError> {
    let place = || format!("keys: {}", attribute.name);
    let default = dialect.key_type(attribute.kind, is_sort_key);
    let (name, sql) = match config.keys.get(&attribute.name) {
        None => (attribute.name.as_str(), default),
        Some(text) => match text.trim().split_once(char::is_whitespace) {
            None => (text.trim(), default),
            Some((name, sql)) => {
                let unknown =
                    || ConfigError::Type { place: place(), error: format!("`{}` is no type of a column", sql.trim()) };
                (name, SqlType::parse(sql.trim()).ok_or_else(unknown)?)
            }
        },
    };
    dialect.type_name(sql).map_err(|NoSuchType(error)| ConfigError::Type { place: place(), error })?;
    let (fits, kind, instead) = match attribute.kind {
        KeyKind::S => (matches!(sql, SqlType::Text | SqlType::Varchar(_)), "S", "text or varchar(N)"),
        KeyKind::N => (
            matches!(sql, SqlType::Smallint | SqlType::Integer | SqlType::Bigint | SqlType::Numeric(_)),
            "N",
            "smallint, integer, bigint, numeric or numeric(P,S)",
        ),
        KeyKind::B => (
            matches!(sql, SqlType::Bytes | SqlType::Text | SqlType::Varchar(_)),
            "B",
            "bytea, or as base64 text or varchar(N)",
        ),
    };
    if !fits {
        let error = format!("a key of type {kind} goes into {instead}");
        return Err(ConfigError::Type { place: place(), error });
    }
    Ok(Column { name: dialect.fold(name), sql, content: Content::Key(attribute.name.clone()) })
}

/// A layout in a schema: the table, and those that stand beside it.
#[derive(Clone)]
pub struct Target {
    pub layout: Layout,
    pub dialect: Arc<dyn Dialect>,
    pub schema: String,
}

/// The tables that stand beside the targets of a schema: see `super::ledger`.
pub const PROGRESS: &str = "_tailrace_progress";
pub const TARGETS: &str = "_tailrace_targets";
pub const REJECTED: &str = "_tailrace_rejected";

impl Target {
    /// A table of the schema, quoted.
    pub fn named(&self, table: &str) -> String {
        format!("{}.{}", self.quoted(&self.schema), self.quoted(table))
    }

    pub fn quoted(&self, identifier: &str) -> String {
        quoted(self.dialect.as_ref(), identifier)
    }

    /// The target table, quoted.
    pub fn name(&self) -> String {
        self.named(&self.layout.table)
    }

    /// The target table, for people.
    pub fn shown(&self) -> String {
        format!("{}.{}", self.schema, self.layout.table)
    }

    /// A session's table of staged rows: one name for one shape.
    pub fn stage(&self) -> String {
        let mut shape = Sha256::new();
        shape.update(format!("{:?} {:?} {:?}", self.schema, self.layout.table, self.layout.columns));
        let digest: String = shape.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.quoted(&format!("_tailrace_stage_{digest}"))
    }

    /// The columns of a loaded row: of a staged one, or of the change log.
    pub fn loaded(&self) -> Vec<&Column> {
        let columns = self.layout.columns.iter();
        match self.layout.mode {
            Mode::Merge => columns.filter(|column| column.content != Content::Generation).collect(),
            Mode::Append => columns.collect(),
        }
    }

    /// The names of what a loaded row has, in the order of its cells.
    pub fn loaded_names(&self) -> Vec<String> {
        let operation = (self.layout.mode == Mode::Merge).then(|| OPERATION.to_owned());
        operation.into_iter().chain(self.loaded().iter().map(|column| column.name.clone())).collect()
    }

    /// Where rows are loaded to.
    pub fn load_into(&self) -> String {
        match self.layout.mode {
            Mode::Merge => self.stage(),
            Mode::Append => self.name(),
        }
    }

    /// Makes the target table.
    ///
    /// # Errors
    /// The database has no such type.
    pub fn create(&self) -> Result<String, NoSuchType> {
        let column = |column: &Column| {
            Ok(NewColumn {
                name: self.quoted(&column.name),
                sql: self.dialect.type_name(column.sql)?,
                is_text: matches!(column.sql, SqlType::Text | SqlType::Varchar(_)),
                required: column.required(),
            })
        };
        let columns: Vec<NewColumn> = self.layout.columns.iter().map(column).collect::<Result<_, NoSuchType>>()?;
        let is_log = self.layout.mode == Mode::Append;
        let time = self.quoted("_event_time");
        Ok(self.dialect.create_table(&NewTable {
            name: &self.name(),
            columns: &columns,
            keys: self.layout.keys,
            unique: !is_log,
            sorted_by: is_log.then_some(&time),
        }))
    }

    /// Adds a column to the target table.
    ///
    /// # Errors
    /// The database has no such type.
    pub fn add_column(&self, column: &Column) -> Result<String, NoSuchType> {
        let sql = self.dialect.type_name(column.sql)?;
        Ok(format!("ALTER TABLE {} ADD COLUMN {} {sql}", self.name(), self.quoted(&column.name)))
    }

    /// Makes the table of staged rows.
    ///
    /// # Errors
    /// The database has no such type.
    pub fn create_stage(&self) -> Result<String, NoSuchType> {
        let operation = self.dialect.type_name(SqlType::Varchar(16))?;
        let mut columns = vec![format!("{} {operation}", self.quoted(OPERATION))];
        for column in self.loaded() {
            columns.push(format!("{} {}", self.quoted(&column.name), self.dialect.type_name(column.sql)?));
        }
        Ok(self.dialect.create_stage(&self.stage(), &columns.join(", ")))
    }

    /// Brings the staged rows, of which no two have the same key, into the target: what is there and older goes, and what is
    /// not there comes, unless it is gone. Older is what has a lower number: those of one item rise also where its shard is followed by a
    /// child, and its stream by the table's next one (`ShardInfo::first`).
    pub fn merge(&self, generation: i64) -> String {
        let (target, stage) = (self.name(), self.stage());
        // Not every database lets the table of a DELETE have another name.
        let same = |one: &str, other: &str| {
            let keys = self.layout.columns[..self.layout.keys].iter();
            keys.map(|key| format!("{one}.{0} = {other}.{0}", self.quoted(&key.name))).collect::<Vec<_>>().join(" AND ")
        };
        let [there, lsn, since, operation] =
            [&self.layout.table, "_lsn", "_generation", OPERATION].map(|name| self.quoted(name));
        let names: Vec<String> = self.loaded().iter().map(|column| self.quoted(&column.name)).collect();
        let from: Vec<String> = names.iter().map(|name| format!("s.{name}")).collect();
        format!(
            "DELETE FROM {target} USING {stage} WHERE {} AND ({there}.{since} < {generation} OR \
             ({there}.{since} = {generation} AND {there}.{lsn} < {stage}.{lsn})); \
             INSERT INTO {target} ({}, {since}) SELECT {}, {generation} FROM {stage} AS s \
             WHERE s.{operation} <> '{REMOVE}' AND NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {})",
            same(&there, &stage),
            names.join(", "),
            from.join(", "),
            same("t", "s"),
        )
    }

    /// Removes what earlier generations left behind.
    pub fn sweep(&self, generation: i64) -> String {
        format!("DELETE FROM {} WHERE {} < {generation}", self.name(), self.quoted("_generation"))
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
