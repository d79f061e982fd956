//! Where PostgreSQL and Redshift differ. Everything else of a statement is made once, in `super::ledger` and `super::layout`.
//!
//! Statements go over the simple protocol, with their values as literals: it takes several at once, needs nothing prepared,
//! and is what both have in common.

use std::time::Duration;

use super::cell::Cell;
use super::document::Numbers;
use super::sql_type::SqlType;
use crate::sink::KeyKind;

/// The database has no such type, and what to use instead: no record can be brought before the settings say another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoSuchType(pub String);

/// What a record holds does not go into the target, whenever it comes: the record is refused, and the others are brought.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(pub String);

/// A database's way of saying things.
pub trait Dialect: Send + Sync + 'static {
    /// The database's name, for people.
    fn name(&self) -> &'static str;

    // ------------------------------------------------------------------------------------------------------- words

    /// Longest identifier, bytes. A longer one would be cut, or refused.
    fn identifier_bytes_max(&self) -> usize;

    /// The name that the catalogue keeps of a quoted identifier.
    fn fold(&self, identifier: &str) -> String;

    /// A text as a literal.
    fn literal(&self, text: &str) -> String;

    /// The name that the catalogue gives to a type.
    ///
    /// # Errors
    /// The database has no such type.
    fn type_name(&self, sql: SqlType) -> Result<String, NoSuchType>;

    /// The type of a key column, if nothing else was asked for.
    fn key_type(&self, kind: KeyKind, is_sort_key: bool) -> SqlType;

    /// The type of the column that says when a change was committed.
    fn instant(&self) -> SqlType;

    // -------------------------------------------------------------------------------------------------------- rows

    /// How documents hold numbers.
    fn numbers(&self) -> Numbers;

    /// Whether a text is short enough for a column of this type, which holds text.
    ///
    /// # Errors
    /// Why not.
    fn check_length(&self, text: &str, sql: SqlType) -> Result<(), Unfit>;

    /// Whether the database tells a key from all others.
    ///
    /// # Errors
    /// Why not.
    fn check_key(&self, cell: &Cell) -> Result<(), Unfit>;

    /// Appends a row as the load reads it: a cell for each name.
    ///
    /// # Errors
    /// It is larger than the load takes.
    fn push_row(&self, names: &[String], cells: &[Cell], out: &mut Vec<u8>) -> Result<(), Unfit>;

    // --------------------------------------------------------------------------------------------------- statements

    /// What a new session begins with.
    fn session(&self, limits: &Limits) -> String;

    /// Begins a transaction that makes tables, one at a time.
    fn begin_making(&self) -> &'static str;

    /// The columns of these tables of a schema, as (table, column, type, required, filled by the database itself), in order.
    fn describe(&self, schema: &str, tables: &[&str]) -> String;

    /// Whether rows of a table cannot share a key: a row if so. `None`: the database never sees to that.
    fn unique_key(&self, schema: &str, table: &str, keys: &[&str]) -> Option<String>;

    /// Makes a table.
    fn create_table(&self, table: &NewTable<'_>) -> String;

    /// Makes the table of a session into which rows are loaded, empty.
    fn create_stage(&self, stage: &str, columns: &str) -> String;

    /// Takes away what [`Dialect::create_stage`] made, if the end of the transaction does not.
    fn drop_stage(&self, stage: &str) -> Option<String>;

    /// At the end of a SELECT: nobody else may change the row meanwhile.
    fn for_update(&self) -> &'static str;

    /// At the end of a SELECT: nobody may change the row meanwhile.
    fn for_share(&self) -> &'static str;

    /// In a transaction, before a table of ours is read that nobody else may change meanwhile.
    fn lock_table(&self, table: &str) -> Option<String>;

    /// Puts a row into a table of ours if there is none like it, at most once whoever else does so: the whole of a transaction.
    fn insert_once(&self, table: &str, columns: &str, values: &str, same: &str) -> String;
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To get a connection.
    pub connect: Duration,
    /// A statement.
    pub statement: Duration,
}

impl Limits {
    /// To wait for a row that another session has: longer is a session that hangs.
    pub fn lock(&self) -> Duration {
        self.statement.min(Duration::from_secs(10))
    }

    /// A transaction in which nothing happens: its client is gone.
    pub fn idle(&self) -> Duration {
        self.statement.saturating_mul(2)
    }
}

/// A table to make.
#[derive(Clone, Debug)]
pub struct NewTable<'a> {
    /// Its name, quoted, with its schema.
    pub name: &'a str,
    /// Its columns.
    pub columns: &'a [NewColumn],
    /// How many of them, at the front, are its key.
    pub keys: usize,
    /// Whether no two rows share a key.
    pub unique: bool,
    /// What its rows are mostly read by, if not by the key.
    pub sorted_by: Option<&'a str>,
}

/// A column to make.
#[derive(Clone, Debug)]
pub struct NewColumn {
    /// Its name, quoted.
    pub name: String,
    /// Its type, as [`Dialect::type_name`] has it.
    pub sql: String,
    /// Whether it holds text and is ordered by it.
    pub is_text: bool,
    /// NULL is not allowed.
    pub required: bool,
}

/// An identifier, quoted.
pub fn quoted(dialect: &dyn Dialect, identifier: &str) -> String {
    format!("\"{}\"", dialect.fold(identifier).replace('"', "\"\""))
}

/// Milliseconds, at least one: zero means no limit to both databases.
pub fn millis(length: Duration) -> u128 {
    length.as_millis().max(1)
}

impl dyn Dialect + '_ {
    /// Why a text with U+0000 is not taken.
    pub fn no_nul(&self) -> Unfit {
        Unfit(format!("a text with the character U+0000 cannot be held by {}", self.name()))
    }
}

/// The columns between parentheses.
pub fn column_list(columns: &[NewColumn], text_suffix: &str, keys: usize) -> Vec<String> {
    let line = |(index, column): (usize, &NewColumn)| {
        let collate = if index < keys && column.is_text { text_suffix } else { "" };
        let required = if column.required { " NOT NULL" } else { "" };
        format!("{} {}{collate}{required}", column.name, column.sql)
    };
    columns.iter().enumerate().map(line).collect()
}

/// The names of the key's columns, with commas.
pub fn key_list(table: &NewTable<'_>) -> String {
    table.columns.iter().take(table.keys).map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}
