//! What a user says of a warehouse sink.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;

use super::address::{Address, Engine};
use super::dialect::{Dialect, Limits, NoSuchType};
use super::postgres::Postgres;
use super::promoted::{GrammarError, Promoted};
use super::redshift::{Access, CopySource, Redshift};
use crate::gathering::{Gathering, GatheringError};
use crate::hidden::Hidden;
use crate::secret::Secret;
use crate::sink::Bounds;

/// Settings of a sink into PostgreSQL or Redshift.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `postgres://user:password@host:port/database?sslmode=...` or `redshift://...`. Parameters are libpq's.
    pub to: Secret,
    /// The password, if it is not in the address.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Certificates in PEM, which alone are trusted, instead of the system's. With them `sslmode` is `verify-full` unless the
    /// address says otherwise.
    #[serde(default)]
    pub ca: Option<String>,
    /// The table, perhaps with its schema before a dot; by default the source's name, in the schema that the session has.
    #[serde(default)]
    pub table: Option<String>,
    /// What the table holds.
    #[serde(default)]
    pub mode: Mode,
    /// Columns out of the document: name to `"attribute.TAG type"`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    /// Other names, and types, of the key's columns: attribute to `"column"` or `"column type"`.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
    /// Most connections at a time.
    #[serde(default)]
    pub connections: Option<usize>,
    /// The time to get a connection in, seconds.
    #[serde(default = "connect_seconds")]
    pub connect_timeout_seconds: u64,
    /// The time of a statement, seconds.
    #[serde(default = "statement_seconds")]
    pub statement_timeout_seconds: u64,
    /// When a flush is full.
    #[serde(default)]
    pub flush: Gathering,
    /// Where Redshift reads rows from.
    #[serde(default)]
    pub staging: Option<Staging>,
}

/// What the table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A row for each item that there is.
    #[default]
    Merge,
    /// A row for each change.
    Append,
}

/// Objects that Redshift loads.
#[derive(Clone, Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Staging {
    /// `s3://bucket/prefix/`.
    pub to: String,
    /// The role in which the cluster reads them: an ARN, or `default`. Without one it reads them with the keys below.
    #[serde(default)]
    pub iam_role: Option<String>,
    /// The bucket's region.
    #[serde(default)]
    pub region: Option<String>,
    /// Who writes the objects; without them, whoever the environment says.
    #[serde(default)]
    pub access_key_id: Option<Secret>,
    /// With the id.
    #[serde(default)]
    pub secret_access_key: Option<Secret>,
    /// Of temporary credentials.
    #[serde(default)]
    pub session_token: Option<Secret>,
}

/// A configuration that cannot be right. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address.
    #[error("to: {0}")]
    Address(String),
    /// Certificates, or the files that the address names.
    #[error("{0}")]
    Tls(String),
    /// A column.
    #[error("columns: {column}: {error}")]
    Column {
        /// Its name.
        column: String,
        /// What is wrong with it.
        error: GrammarError,
    },
    /// A column, or a key, of a type that the database does not have.
    #[error("{place}: {error}")]
    Type {
        /// Where.
        place: String,
        /// What is wrong.
        error: String,
    },
    /// A name.
    #[error("{place}: {error}")]
    Name {
        /// Where.
        place: String,
        /// What is wrong.
        error: String,
    },
    /// A number.
    #[error("{0}")]
    Number(String),
    /// `flush`.
    #[error(transparent)]
    Flush(#[from] GatheringError),
    /// The staging place.
    #[error("staging: {0}")]
    Staging(String),
}

/// Most connections of a sink.
const CONNECTIONS_MAX: usize = 64;
const CONNECTIONS_POSTGRES: usize = 4;
/// Transactions that write the same tables make each other fail there.
const CONNECTIONS_REDSHIFT: usize = 1;
/// Longest of the times, seconds.
pub(super) const TIMEOUT_SECONDS_MAX: u64 = 3600;

const MIB: usize = 1 << 20;
/// A flush is in memory, several times over.
const FLUSH_RECORDS_MAX: usize = 1_000_000;
const FLUSH_BYTES_MAX: usize = 256 * MIB;
const FLUSH_WINDOW_MAX: Duration = Duration::from_secs(900);
const BOUNDS_MAX: Bounds =
    Bounds { records_max: FLUSH_RECORDS_MAX, bytes_max: FLUSH_BYTES_MAX, window: FLUSH_WINDOW_MAX };

const POSTGRES_BOUNDS: Bounds = Bounds { records_max: 10_000, bytes_max: 8 * MIB, window: Duration::from_secs(1) };
/// Loads are what costs there: few, and large.
const REDSHIFT_BOUNDS: Bounds = Bounds { records_max: 200_000, bytes_max: 64 * MIB, window: Duration::from_secs(60) };

fn connect_seconds() -> u64 {
    10
}

fn statement_seconds() -> u64 {
    60
}

/// A configuration that was looked at: what it says, in the words of the code.
#[derive(Debug)]
pub(super) struct Checked {
    pub engine: Engine,
    pub address: Address,
    pub promoted: Vec<Promoted>,
    pub bounds: Bounds,
    pub limits: Limits,
    pub connections: usize,
    pub copy: Option<CopySource>,
}

impl Config {
    /// What no error of the database shows; `password` is the one that it is asked with.
    pub(super) fn hidden(&self, password: Option<&[u8]>) -> Hidden {
        let password = password.map(|password| String::from_utf8_lossy(password).into_owned());
        let keys = self.staging.iter().flat_map(|staging| [&staging.secret_access_key, &staging.session_token]);
        Hidden::whole(password.into_iter().chain(keys.flatten().map(|key| key.expose().to_owned())))
    }

    /// Looks at everything that can be looked at without the database and the source.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check().map(|_| ())
    }

    pub(super) fn check(&self) -> Result<Checked, ConfigError> {
        let address = Address::parse(self.to.expose())?;
        let engine = address.engine;
        let (postgres, redshift) = (Postgres, Redshift);
        let dialect: &dyn Dialect = match engine {
            Engine::Postgres => &postgres,
            Engine::Redshift => &redshift,
        };
        let mut promoted = Vec::with_capacity(self.columns.len());
        for (column, text) in &self.columns {
            let error = |error| ConfigError::Column { column: column.clone(), error };
            let read = Promoted::parse(column, text).map_err(error)?;
            let place = format!("columns: {column}");
            dialect.type_name(read.sql).map_err(|NoSuchType(error)| ConfigError::Type { place, error })?;
            promoted.push(read);
        }
        if let Some(table) = &self.table {
            split_table(table).map_err(|error| ConfigError::Name { place: "table".to_owned(), error })?;
        }
        let connections = self.connections.unwrap_or(match engine {
            Engine::Postgres => CONNECTIONS_POSTGRES,
            Engine::Redshift => CONNECTIONS_REDSHIFT,
        });
        if !(1..=CONNECTIONS_MAX).contains(&connections) {
            return Err(ConfigError::Number(format!("connections is 1 to {CONNECTIONS_MAX}")));
        }
        let seconds = |name: &str, seconds: u64| match seconds {
            1..=TIMEOUT_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
            _ => Err(ConfigError::Number(format!("{name} is 1 to {TIMEOUT_SECONDS_MAX}"))),
        };
        let limits = Limits {
            connect: seconds("connect_timeout_seconds", self.connect_timeout_seconds)?,
            statement: seconds("statement_timeout_seconds", self.statement_timeout_seconds)?,
        };
        let default = match engine {
            Engine::Postgres => POSTGRES_BOUNDS,
            Engine::Redshift => REDSHIFT_BOUNDS,
        };
        let bounds = self.flush.bounds(default, BOUNDS_MAX)?;
        let copy = match (engine, &self.staging) {
            (Engine::Postgres, None) => None,
            (Engine::Postgres, Some(_)) => return Err(ConfigError::Staging("PostgreSQL needs none".to_owned())),
            (Engine::Redshift, None) => {
                let text = "Redshift loads rows from objects: say where they go, as in {to: s3://bucket/prefix/, iam_role: ...}";
                return Err(ConfigError::Staging(text.to_owned()));
            }
            (Engine::Redshift, Some(staging)) => Some(staging.copy_source()?),
        };
        Ok(Checked { engine, address, promoted, bounds, limits, connections, copy })
    }
}

impl Staging {
    fn copy_source(&self) -> Result<CopySource, ConfigError> {
        let bucket = self.to.strip_prefix("s3://").map(|rest| rest.split('/').next().unwrap_or_default());
        if bucket.is_none_or(str::is_empty) {
            return Err(ConfigError::Staging("`to` is s3://bucket/prefix/".to_owned()));
        }
        let access = match (&self.iam_role, &self.access_key_id, &self.secret_access_key) {
            (Some(role), _, _) => Access::Role(role.clone()),
            (None, Some(id), Some(secret)) => Access::Keys {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: self.session_token.clone(),
            },
            (None, _, _) => {
                let text = "say who reads the objects in Redshift: iam_role, or access_key_id and secret_access_key";
                return Err(ConfigError::Staging(text.to_owned()));
            }
        };
        Ok(CopySource { access, region: self.region.clone() })
    }
}

/// A table's name and the schema before it: `orders`, `sales.orders`, `"my.schema"."my.table"`.
pub(super) fn split_table(text: &str) -> Result<(Option<String>, String), String> {
    let wrong =
        || format!("`{text}` is no table; write it as orders, as schema.orders, or with quotes as \"my.table\"");
    let (first, rest) = part(text).ok_or_else(wrong)?;
    let Some(rest) = rest.strip_prefix('.') else {
        return if rest.is_empty() { Ok((None, first)) } else { Err(wrong()) };
    };
    let (second, rest) = part(rest).ok_or_else(wrong)?;
    if rest.is_empty() { Ok((Some(first), second)) } else { Err(wrong()) }
}

/// A name up to a dot, or in quotes; and what is behind it.
fn part(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        let name = &text[..end];
        return (!name.is_empty() && !name.contains(['"', '\0'])).then(|| (name.to_owned(), &text[end..]));
    };
    let (mut name, mut rest) = (String::new(), quoted);
    loop {
        let (head, behind) = rest.split_once('"')?;
        name.push_str(head);
        match behind.strip_prefix('"') {
            Some(behind) => {
                name.push('"');
                rest = behind;
            }
            None => return (!name.is_empty() && !name.contains('\0')).then_some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<Config, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    fn check(value: serde_json::Value) -> String {
        match read(value) {
            Ok(config) => config.check().map_or_else(|error| error.to_string(), |_| "ok".to_owned()),
            Err(error) => error,
        }
    }

    #[test]
    fn a_configuration_is_looked_at() {
        let to = "postgres://u:p@h/d";
        let staging = json!({"to": "s3://b/p/", "iam_role": "default"});
        for (value, expected) in [
            (json!({"to": to}), "ok"),
            (json!({"to": to, "table": "sales.orders", "columns": {"total": "total.N numeric"}}), "ok"),
            (json!({"to": to, "mode": "append", "flush": {"records": 5, "bytes": 100, "seconds": 0.5}}), "ok"),
            (json!({"to": "redshift://u@h/d", "staging": staging}), "ok"),
            (
                json!({"to": to, "tabel": "x"}),
                "unknown field `tabel`, expected one of `to`, `password`, `ca`, `table`, `mode`, `columns`, `keys`, `connections`, \
                 `connect_timeout_seconds`, `statement_timeout_seconds`, `flush`, `staging`",
            ),
            (json!({"to": to, "mode": "upsert"}), "unknown variant `upsert`, expected `merge` or `append`"),
            (
                json!({"to": to, "columns": {"total": "total numeric"}}),
                "columns: total: `total` does not end in an attribute's type: .S, .N, .B, .BOOL, .SS, .NS, .BS, .L or .M",
            ),
            (
                json!({"to": "redshift://u@h/d", "staging": staging, "columns": {"total": "total.N numeric"}}),
                "columns: total: Redshift's numeric without a precision has no digits behind the point: use numeric(P,S)",
            ),
            (
                json!({"to": to, "table": "a.b.c"}),
                "table: `a.b.c` is no table; write it as orders, as schema.orders, or with quotes as \"my.table\"",
            ),
            (json!({"to": to, "connections": 0}), "connections is 1 to 64"),
            (json!({"to": to, "statement_timeout_seconds": 0}), "statement_timeout_seconds is 1 to 3600"),
            (json!({"to": to, "flush": {"seconds": -1}}), "flush.seconds is from 0 to 900"),
            (json!({"to": to, "flush": {"records": 0}}), "flush.records is from 1 to 1000000"),
            (json!({"to": to, "flush": {"bytes": "16MiB"}}), "ok"),
            (json!({"to": to, "flush": {"bytes": "1000MB"}}), "flush.bytes is from 1 to 268435456"),
            (json!({"to": to, "flush": {"bytes": "8 apples"}}), "`8 apples` is no number of bytes, like 64MB or 65536"),
            (json!({"to": to, "staging": staging}), "staging: PostgreSQL needs none"),
            (
                json!({"to": "redshift://u@h/d"}),
                "staging: Redshift loads rows from objects: say where they go, as in {to: s3://bucket/prefix/, iam_role: ...}",
            ),
            (
                json!({"to": "redshift://u@h/d", "staging": {"to": "s3://b"}}),
                "staging: say who reads the objects in Redshift: iam_role, or access_key_id and secret_access_key",
            ),
            (
                json!({"to": "redshift://u@h/d", "staging": {"to": "file:///b", "iam_role": "default"}}),
                "staging: `to` is s3://bucket/prefix/",
            ),
        ] {
            assert_eq!(check(value.clone()), expected, "{value}");
        }
    }

    #[test]
    fn a_configuration_shows_no_secret() {
        let config = read(json!({"to": "postgres://u:s3cr3t@h/d", "password": "s3cr3t"})).unwrap();
        assert!(!format!("{config:?}").contains("s3cr3t"));
        assert!(!format!("{:?}", config.check().unwrap()).contains("s3cr3t"));
        let broken = read(json!({"to": "postgres://u:s3cr3t@h:port/d"})).unwrap();
        assert!(!broken.check().unwrap_err().to_string().contains("s3cr3t"));
    }

    #[test]
    fn a_table_may_have_a_schema() {
        let split = |text: &str| split_table(text).ok().map(|(schema, table)| (schema.unwrap_or_default(), table));
        let pair = |schema: &str, table: &str| Some((schema.to_owned(), table.to_owned()));
        assert_eq!(split("orders"), pair("", "orders"));
        assert_eq!(split("Sales.Orders-2"), pair("Sales", "Orders-2"));
        assert_eq!(split(r#""a.b"."c""d""#), pair("a.b", "c\"d"));
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"\"", "a\"b", "\"a\"b", "a\0"] {
            assert_eq!(split(wrong), None, "{wrong:?}");
        }
    }
}
