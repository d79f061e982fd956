//! Amazon Redshift.
//!
//! It has no savepoints, no ON CONFLICT, no locks on rows, and keeps no key unique; identifiers lose their capitals; a load reads
//! objects of a bucket, which a manifest names.

use tailrace_core::json_text::JsonText;

use super::cell::Cell;
use super::dialect::{Dialect, Limits, NewTable, NoSuchType, Unfit, column_list, key_list, millis};
use super::document::Numbers;
use super::sql_type::{Precision, SqlType, VARCHAR_MAX};
use crate::secret::Secret;
use crate::sink::KeyKind;

/// Redshift.
#[derive(Clone, Debug, Default)]
pub struct Redshift;

/// Longest identifier. Source: Redshift's guide, "Names and identifiers".
const IDENTIFIER_BYTES_MAX: usize = 127;
/// Longest row of a JSON load. Source: Redshift's guide, "COPY from JSON format".
const ROW_BYTES_MAX: usize = 4 << 20;
/// Longest partition and sort keys of DynamoDB, bytes. Source: docs/spec/dynamodb-api.md 3.4.
const PARTITION_KEY_BYTES_MAX: u32 = 2048;
const SORT_KEY_BYTES_MAX: u32 = 1024;
/// Most errors that a trial of a load tells. Source: Redshift's guide, MAXERROR.
const LOAD_ERRORS_MAX: usize = 100_000;

/// Who reads the objects of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// The cluster, in a role: its ARN, or `default`.
    Role(String),
    /// Whoever has these.
    Keys {
        /// The key's id.
        access_key_id: Secret,
        /// The key.
        secret_access_key: Secret,
        /// Of temporary credentials.
        session_token: Option<Secret>,
    },
}

/// A load from objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySource {
    /// Who reads them.
    pub access: Access,
    /// The bucket's region, if it is not the cluster's.
    pub region: Option<String>,
}

impl Redshift {
    /// Loads the rows that a manifest names into a table. It holds the credentials, if there are any.
    pub fn copy(&self, table: &str, names: &[String], manifest: &str, source: &CopySource) -> Secret {
        let names: Vec<String> = names.iter().map(|name| super::dialect::quoted(self, name)).collect();
        Secret::new(format!(
            "COPY {table} ({}) FROM {} {} MANIFEST FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto' ROUNDEC \
             COMPUPDATE OFF STATUPDATE OFF",
            names.join(", "),
            self.literal(manifest),
            self.source(source),
        ))
    }

    /// Who reads the objects of a load, and where they are, as a COPY says it.
    pub fn source(&self, source: &CopySource) -> String {
        let access = match &source.access {
            Access::Role(role) if role == "default" => "IAM_ROLE default".to_owned(),
            Access::Role(role) => format!("IAM_ROLE {}", self.literal(role)),
            Access::Keys { access_key_id, secret_access_key, session_token } => {
                let mut keys = format!(
                    "ACCESS_KEY_ID {} SECRET_ACCESS_KEY {}",
                    self.literal(access_key_id.expose()),
                    self.literal(secret_access_key.expose()),
                );
                if let Some(token) = session_token {
                    keys.push_str(&format!(" SESSION_TOKEN {}", self.literal(token.expose())));
                }
                keys
            }
        };
        let region =
            source.region.as_ref().map(|region| format!(" REGION {}", self.literal(region))).unwrap_or_default();
        access + &region
    }

    /// A trial of a load, which loads nothing and notes every row that cannot be read.
    pub fn trial(copy: &Secret) -> Secret {
        Secret::new(format!("{} NOLOAD MAXERROR {LOAD_ERRORS_MAX}", copy.expose()))
    }

    /// What the loads and trials of an object have noted, as (line, from 1; column; why).
    pub fn load_errors(&self, object: &str) -> String {
        format!(
            "SELECT line_number, TRIM(column_name), TRIM(error_message) FROM sys_load_error_detail \
             WHERE TRIM(file_name) = {} ORDER BY start_time, line_number",
            self.literal(object),
        )
    }
}

impl Dialect for Redshift {
    fn name(&self) -> &'static str {
        "Redshift"
    }

    fn identifier_bytes_max(&self) -> usize {
        IDENTIFIER_BYTES_MAX
    }

    fn fold(&self, identifier: &str) -> String {
        identifier.to_ascii_lowercase()
    }

    /// Right whether a backslash is an escape there or not: then there are two.
    fn literal(&self, text: &str) -> String {
        format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    }

    fn type_name(&self, sql: SqlType) -> Result<String, NoSuchType> {
        let none = |text: &str| Err(NoSuchType(text.to_owned()));
        match sql {
            SqlType::Text => Ok(format!("character varying({VARCHAR_MAX})")),
            SqlType::Json => Ok("super".to_owned()),
            SqlType::Numeric(None) => {
                none("Redshift's numeric without a precision has no digits behind the point: use numeric(P,S)")
            }
            SqlType::Uuid => none("Redshift has no uuid: use varchar(36)"),
            SqlType::Bytes => none("bytes go into Redshift as base64: use text or varchar(N)"),
            sql => sql.common_name().ok_or_else(|| NoSuchType(format!("Redshift has no {sql:?}"))),
        }
    }

    /// Text of the length that DynamoDB allows; base64 of that for bytes.
    fn key_type(&self, kind: KeyKind, is_sort_key: bool) -> SqlType {
        let bytes = if is_sort_key { SORT_KEY_BYTES_MAX } else { PARTITION_KEY_BYTES_MAX };
        match kind {
            KeyKind::S => SqlType::Varchar(bytes),
            KeyKind::N => SqlType::Numeric(Some(Precision { digits: 38, scale: 0 })),
            KeyKind::B => SqlType::Varchar(bytes.div_ceil(3) * 4),
        }
    }

    /// In UTC. Source: docs/spec/sinks.md 4.2; loads read this one in the form that they are documented to.
    fn instant(&self) -> SqlType {
        SqlType::Timestamp
    }

    fn numbers(&self) -> Numbers {
        Numbers::Double
    }

    fn check_length(&self, text: &str, sql: SqlType) -> Result<(), Unfit> {
        let (most, name) = match sql {
            SqlType::Varchar(most) => (most, format!("varchar({most})")),
            _ => (VARCHAR_MAX, format!("varchar({VARCHAR_MAX})")),
        };
        if text.len() > most as usize {
            return Err(Unfit(format!("a text of {} bytes does not fit {name}", text.len())));
        }
        Ok(())
    }

    /// Blanks at the end do not count where texts are compared. Source: Redshift's guide, "Features that are implemented
    /// differently".
    fn check_key(&self, cell: &Cell) -> Result<(), Unfit> {
        match cell {
            Cell::Text(text) if text.ends_with(' ') => {
                Err(Unfit("a key that ends in a blank is the same as one without it to Redshift".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// A line of JSON.
    fn push_row(&self, names: &[String], cells: &[Cell], out: &mut Vec<u8>) -> Result<(), Unfit> {
        let from = out.len();
        out.push(b'{');
        for (index, (name, cell)) in names.iter().zip(cells).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.string(&self.fold(name));
            out.push(b':');
            match cell {
                Cell::Null => out.raw(b"null"),
                Cell::Text(text) => out.string(text),
                Cell::Number(decimal) => out.raw(decimal.as_bytes()),
                Cell::Bool(true) => out.raw(b"true"),
                Cell::Bool(false) => out.raw(b"false"),
                Cell::Json(json) => out.raw(json),
                Cell::Bytes(bytes) => out.binary(bytes),
            }
        }
        out.extend_from_slice(b"}\n");
        let length = out.len() - from;
        if length > ROW_BYTES_MAX {
            out.truncate(from);
            return Err(Unfit(format!("a row of {length} bytes of JSON; Redshift loads {ROW_BYTES_MAX} at most")));
        }
        Ok(())
    }

    fn session(&self, limits: &Limits) -> String {
        format!("SET timezone = 'UTC'; SET statement_timeout = {}", millis(limits.statement))
    }

    fn begin_making(&self) -> &'static str {
        "BEGIN"
    }

    fn describe(&self, schema: &str, tables: &[&str]) -> String {
        let tables: Vec<String> = tables.iter().map(|table| self.literal(&self.fold(table))).collect();
        format!(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE n.nspname = {} AND c.relname IN ({}) AND a.attnum > 0 AND NOT a.attisdropped \
             ORDER BY c.relname, a.attnum",
            self.literal(&self.fold(schema)),
            tables.join(", "),
        )
    }

    fn unique_key(&self, _: &str, _: &str, _: &[&str]) -> Option<String> {
        None
    }

    /// The key is told to the planner, which keeps it for true; rows of one key lie on one node.
    fn create_table(&self, table: &NewTable<'_>) -> String {
        let mut lines = column_list(table.columns, "", table.keys);
        if table.unique {
            lines.push(format!("PRIMARY KEY ({})", key_list(table)));
        }
        let spread = table.columns.first().map(|column| format!(" DISTKEY ({})", column.name)).unwrap_or_default();
        let sorted = table.sorted_by.map_or_else(|| key_list(table), str::to_owned);
        format!("CREATE TABLE {} ({}){spread} COMPOUND SORTKEY ({sorted})", table.name, lines.join(", "))
    }

    fn create_stage(&self, stage: &str, columns: &str) -> String {
        format!("DROP TABLE IF EXISTS {stage}; CREATE TEMP TABLE {stage} ({columns})")
    }

    fn drop_stage(&self, stage: &str) -> Option<String> {
        Some(format!("DROP TABLE {stage}"))
    }

    fn for_update(&self) -> &'static str {
        ""
    }

    fn for_share(&self) -> &'static str {
        ""
    }

    fn lock_table(&self, table: &str) -> Option<String> {
        Some(format!("LOCK TABLE {table}"))
    }

    fn insert_once(&self, table: &str, columns: &str, values: &str, same: &str) -> String {
        format!(
            "BEGIN; LOCK TABLE {table}; INSERT INTO {table} ({columns}) SELECT {values} \
             WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {same}); COMMIT"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::quoted;
    use super::*;

    fn row(cells: &[Cell]) -> Result<String, Unfit> {
        let names: Vec<String> = (0..cells.len()).map(|index| format!("C{index}")).collect();
        let mut line = b"before\n".to_vec();
        let done = Redshift.push_row(&names, cells, &mut line);
        let line = String::from_utf8(line).unwrap();
        done.map(|()| line.strip_prefix("before\n").unwrap().to_owned())
    }

    #[test]
    fn a_row_is_a_line_of_json() {
        let cells = [
            Cell::Text("a\"\t".to_owned()),
            Cell::Null,
            Cell::Number("-1.5".to_owned()),
            Cell::Bool(true),
            Cell::Json(br#"{"a":1}"#.to_vec()),
            Cell::Bytes(vec![0, 255]),
        ];
        let expected = "{\"c0\":\"a\\\"\\t\",\"c1\":null,\"c2\":-1.5,\"c3\":true,\"c4\":{\"a\":1},\"c5\":\"AP8=\"}\n";
        assert_eq!(row(&cells), Ok(expected.to_owned()));
        let large = Cell::Text("x".repeat(4 << 20));
        let told = "a row of 4194314 bytes of JSON; Redshift loads 4194304 at most".to_owned();
        assert_eq!(row(&[large]), Err(Unfit(told)));
    }

    #[test]
    fn words_are_quoted() {
        assert_eq!(quoted(&Redshift, "OrderId"), "\"orderid\"");
        assert_eq!(Redshift.literal("it's \\"), "'it''s \\\\'");
    }

    #[test]
    fn credentials_are_in_no_debug_text() {
        let access = Access::Keys {
            access_key_id: Secret::new("AKIA"),
            secret_access_key: Secret::new("s3cr3t"),
            session_token: Some(Secret::new("t0k3n")),
        };
        let source = CopySource { access, region: None };
        let copy = Redshift.copy("\"stage\"", &["a".to_owned()], "s3://b/m", &source);
        assert!(
            copy.expose().contains("ACCESS_KEY_ID 'AKIA' SECRET_ACCESS_KEY 's3cr3t' SESSION_TOKEN 't0k3n' MANIFEST")
        );
        for text in [format!("{source:?}"), format!("{copy:?} {copy}"), format!("{:?}", Redshift::trial(&copy))] {
            assert!(!["AKIA", "s3cr3t", "t0k3n"].iter().any(|secret| text.contains(secret)), "{text}");
        }
    }
}
