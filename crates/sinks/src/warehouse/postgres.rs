//! PostgreSQL, from release 12 on.

use super::cell::Cell;
use super::dialect::{Dialect, Limits, NewTable, NoSuchType, Unfit, column_list, key_list, millis, quoted};
use super::document::Numbers;
use super::sql_type::SqlType;
use crate::sink::KeyKind;

/// PostgreSQL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Postgres;

/// Of all who make tables for sinks in one database: CREATE TABLE IF NOT EXISTS fails if two do it at once.
const MAKING_LOCK: i64 = 0x7461_696c_7261_6365;
/// Source: NAMEDATALEN less the byte at its end.
const IDENTIFIER_BYTES_MAX: usize = 63;

impl Dialect for Postgres {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn identifier_bytes_max(&self) -> usize {
        IDENTIFIER_BYTES_MAX
    }

    fn fold(&self, identifier: &str) -> String {
        identifier.to_owned()
    }

    /// The session has `standard_conforming_strings`: a backslash is nothing special.
    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn type_name(&self, sql: SqlType) -> Result<String, NoSuchType> {
        Ok(sql.common_name().unwrap_or_else(|| {
            match sql {
                SqlType::Numeric(_) => "numeric",
                SqlType::Uuid => "uuid",
                SqlType::Json => "jsonb",
                SqlType::Bytes => "bytea",
                _ => "text",
            }
            .to_owned()
        }))
    }

    fn key_type(&self, kind: KeyKind, _: bool) -> SqlType {
        match kind {
            KeyKind::S => SqlType::Text,
            KeyKind::N => SqlType::Numeric(None),
            KeyKind::B => SqlType::Bytes,
        }
    }

    fn instant(&self) -> SqlType {
        SqlType::Timestamptz
    }

    fn numbers(&self) -> Numbers {
        Numbers::Exact
    }

    fn check_length(&self, text: &str, sql: SqlType) -> Result<(), Unfit> {
        let SqlType::Varchar(most) = sql else { return Ok(()) };
        let length = text.chars().count();
        if length > most as usize {
            return Err(Unfit(format!("a text of {length} characters does not fit varchar({most})")));
        }
        Ok(())
    }

    fn check_key(&self, _: &Cell) -> Result<(), Unfit> {
        Ok(())
    }

    /// A line of COPY's text format.
    fn push_row(&self, _: &[String], cells: &[Cell], out: &mut Vec<u8>) -> Result<(), Unfit> {
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            match cell {
                Cell::Null => out.extend_from_slice(b"\\N"),
                Cell::Text(text) => push_escaped(text.as_bytes(), out),
                Cell::Number(decimal) => out.extend_from_slice(decimal.as_bytes()),
                Cell::Bool(true) => out.push(b't'),
                Cell::Bool(false) => out.push(b'f'),
                Cell::Json(json) => push_escaped(json, out),
                Cell::Bytes(bytes) => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\\\x");
                    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                    out.extend(bytes.iter().flat_map(digits));
                }
            }
        }
        out.push(b'\n');
        Ok(())
    }

    fn session(&self, limits: &Limits) -> String {
        format!(
            "SET standard_conforming_strings = on; SET TimeZone = 'UTC'; SET client_min_messages = warning; \
             SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            millis(limits.statement),
            millis(limits.lock()),
            millis(limits.idle()),
        )
    }

    fn begin_making(&self) -> &'static str {
        const { assert!(MAKING_LOCK == 8_386_099_895_636_943_717) };
        "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(8386099895636943717)"
    }

    fn describe(&self, schema: &str, tables: &[&str]) -> String {
        let tables: Vec<String> = tables.iter().map(|table| self.literal(table)).collect();
        format!(
            "SELECT c.relname, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, \
             a.atthasdef OR a.attidentity <> '' FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid \
             WHERE n.nspname = {} AND c.relname IN ({}) AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY c.relname, a.attnum",
            self.literal(schema),
            tables.join(", "),
        )
    }

    fn unique_key(&self, schema: &str, table: &str, keys: &[&str]) -> Option<String> {
        let name = format!("{}.{}", quoted(self, schema), quoted(self, table));
        let names: Vec<String> = keys.iter().map(|key| self.literal(key)).collect();
        let count = keys.len();
        Some(format!(
            "SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = {}::pg_catalog.regclass AND i.indisunique \
             AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = {count} AND (SELECT count(*) \
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
             AND a.attname IN ({})) = {count}",
            self.literal(&name),
            names.join(", "),
        ))
    }

    /// Key columns of text have the order of their bytes, which is DynamoDB's, and the cheapest one.
    fn create_table(&self, table: &NewTable<'_>) -> String {
        let mut lines = column_list(table.columns, " COLLATE \"C\"", table.keys);
        if table.unique {
            lines.push(format!("PRIMARY KEY ({})", key_list(table)));
        }
        format!("CREATE TABLE {} ({})", table.name, lines.join(", "))
    }

    fn create_stage(&self, stage: &str, columns: &str) -> String {
        format!("CREATE TEMP TABLE IF NOT EXISTS {stage} ({columns}) ON COMMIT DELETE ROWS")
    }

    fn drop_stage(&self, _: &str) -> Option<String> {
        None
    }

    fn for_update(&self) -> &'static str {
        " FOR UPDATE"
    }

    fn for_share(&self) -> &'static str {
        " FOR SHARE"
    }

    fn lock_table(&self, _: &str) -> Option<String> {
        None
    }

    fn insert_once(&self, table: &str, columns: &str, values: &str, _: &str) -> String {
        format!("INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO NOTHING")
    }
}

/// As COPY's text format has it: source, PostgreSQL's manual of COPY, "Text Format".
fn push_escaped(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'\t' | b'\n' | b'\r')) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(match rest[at] {
            b'\t' => b"\\t",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            _ => b"\\\\",
        });
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_line_of_copys_text() {
        let cells = [
            Cell::Text("a\tb\\c\nd\r".to_owned()),
            Cell::Null,
            Cell::Number("-1.5".to_owned()),
            Cell::Bool(true),
            Cell::Bool(false),
            Cell::Json(br#"{"a":"\n"}"#.to_vec()),
            Cell::Bytes(vec![0, 255]),
            Cell::Text(String::new()),
        ];
        let mut line = Vec::new();
        Postgres.push_row(&[], &cells, &mut line).unwrap();
        let expected = "a\\tb\\\\c\\nd\\r\t\\N\t-1.5\tt\tf\t{\"a\":\"\\\\n\"}\t\\\\x00ff\t\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(quoted(&Postgres, "or\"der\\s"), "\"or\"\"der\\s\"");
        assert_eq!(Postgres.literal("it's \\"), "'it''s \\'");
    }
}
