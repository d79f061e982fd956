//! Loads of objects that somebody else has put into a table that somebody else has made: one COPY of Redshift. Source: docs/spec/sinks.md 2.9.
//!
//! Invariant: no error, debug text or setting that is shown has a password or a key in it. A load that is said to be done is committed; of one
//! that is not, nobody knows.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Engine, TlsMode};
use super::client::Server;
use super::config::{ConfigError, TIMEOUT_SECONDS_MAX};
use super::dialect::{Dialect, Limits};
use super::redshift::{Access, CopySource, Redshift};
use super::session::{Connector, Failure};
use super::tls;
use crate::hidden::Hidden;
use crate::secret::Secret;

/// A load waits for others of its cluster, and has much to read.
const STATEMENT_SECONDS: u64 = 900;
const CONNECT_SECONDS: u64 = 10;
/// How clusters are told who is there.
const APPLICATION: &str = "tailrace";

/// Where a cluster is, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// What is said of a cluster beside its address.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoaderConfig {
    /// `host:port` where the cluster is, if not where its address says.
    pub at: Option<String>,
    /// libpq's: `disable`, `prefer`, `require`, `verify-ca` or `verify-full`, which it is if nothing is said.
    pub sslmode: Option<String>,
    /// Certificates in PEM, which alone are trusted, instead of the system's.
    pub ca: Option<String>,
    /// The role in which the cluster reads the objects: an ARN, or `default`. Without it, and without keys, it is that of the destination.
    pub iam_role: Option<String>,
    /// Who reads the objects, in place of a role.
    pub access_key_id: Option<Secret>,
    /// With the id.
    pub secret_access_key: Option<Secret>,
    /// Of temporary credentials.
    pub session_token: Option<Secret>,
    /// The bucket's region, if it is not the cluster's.
    pub region: Option<String>,
    /// The time to get a connection in, seconds.
    pub connect_timeout_seconds: Option<u64>,
    /// The time of a load, seconds.
    pub statement_timeout_seconds: Option<u64>,
}

/// The table of a load, and how the objects are read: parts of a COPY, as a user wrote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyCommand {
    /// The table: an identifier, perhaps with its schema before a dot.
    pub table: String,
    /// Identifiers with commas between; empty: all columns.
    pub columns: String,
    /// What stands at the end of the statement.
    pub options: String,
}

/// Part of a COPY cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The table.
    #[error("{0:?} is no table: write it as clicks, as schema.clicks, or with quotes as \"my.table\"")]
    Table(String),
    /// The columns.
    #[error("{0:?} are no columns: write them as a, b")]
    Columns(String),
    /// The options.
    #[error("a quote in the options has no end, or one is behind a backslash")]
    Quote,
    /// More than options.
    #[error("the options are more than options: outside of quotes they have no semicolon, no comment and no dollar")]
    Statements,
}

impl CopyCommand {
    /// Takes the parts of a statement, if they make one.
    ///
    /// # Errors
    /// They do not.
    pub fn new(table: &str, columns: &str, options: &str) -> Result<CopyCommand, CopyError> {
        let (table, columns) = (table.trim(), columns.trim());
        // A database may stand before the schema.
        if !(1..=3).contains(&listed(table, '.').ok_or_else(|| CopyError::Table(table.to_owned()))?) {
            return Err(CopyError::Table(table.to_owned()));
        }
        if !columns.is_empty() {
            listed(columns, ',').ok_or_else(|| CopyError::Columns(columns.to_owned()))?;
        }
        // The service's own example ends in one.
        let options = options.trim_end_matches(|char: char| char == ';' || char.is_whitespace()).trim_start();
        check_options(options)?;
        Ok(CopyCommand { table: table.to_owned(), columns: columns.to_owned(), options: options.to_owned() })
    }

    /// The statement that loads what a manifest names. It holds the credentials, if there are any.
    fn statement(&self, manifest: &str, source: &CopySource) -> Secret {
        let CopyCommand { table, columns, options } = self;
        let columns = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
        let space = if options.is_empty() { "" } else { " " };
        Secret::new(format!(
            "COPY {table}{columns} FROM {} {} MANIFEST{space}{options}",
            Redshift.literal(manifest),
            Redshift.source(source),
        ))
    }
}

/// Whether a text ends no statement and begins none, whatever of it the cluster takes for a quote: there a backslash may be an escape or not.
fn check_options(options: &str) -> Result<(), CopyError> {
    let mut quote = None;
    let mut chars = options.chars().peekable();
    while let Some(char) = chars.next() {
        let next = chars.peek().copied();
        match (quote, char) {
            (Some('\''), '\\') if next == Some('\'') => return Err(CopyError::Quote),
            // As two, or as one, they are no quote.
            (Some('\''), '\\') if next == Some('\\') => drop(chars.next()),
            (Some(open), char) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, ';' | '$') => return Err(CopyError::Statements),
            (None, '-') if next == Some('-') => return Err(CopyError::Statements),
            (None, '/') if next == Some('*') => return Err(CopyError::Statements),
            (None, _) => {}
        }
    }
    if quote.is_some() { Err(CopyError::Quote) } else { Ok(()) }
}

/// How many identifiers a text is, with `between` between them; `None`: it is none of that.
fn listed(text: &str, between: char) -> Option<usize> {
    let (mut count, mut rest) = (1, text);
    loop {
        rest = identifier(rest.trim_start())?.trim_start();
        if rest.is_empty() {
            return Some(count);
        }
        rest = rest.strip_prefix(between)?;
        count += 1;
    }
}

/// What is behind the identifier that a text begins with. Source: Redshift's guide, "Names and identifiers".
fn identifier(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut rest = quoted;
        loop {
            let end = rest.find('"')?;
            let (within, behind) = (&rest[..end], &rest[end + 1..]);
            if within.contains('\0') {
                return None;
            }
            match behind.strip_prefix('"') {
                Some(behind) => rest = behind,
                None => return (quoted.len() > behind.len() + 1).then_some(behind),
            }
        }
    }
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '$' | '#');
    let end = text.find(|char| !is_part(char)).unwrap_or(text.len());
    let is_first = |char: char| char.is_alphabetic() || matches!(char, '_' | '#');
    text.starts_with(is_first).then(|| &text[end..])
}

/// What is said of a cluster cannot be right. The text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LoaderConfigError(pub String);

impl From<ConfigError> for LoaderConfigError {
    fn from(error: ConfigError) -> LoaderConfigError {
        LoaderConfigError(error.to_string())
    }
}

/// A load was not done, or nobody knows. The text is for people and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The cluster said no.
    #[error("{text}")]
    Refused {
        /// SQLSTATE.
        code: String,
        /// In the cluster's words.
        text: String,
    },
    /// It could not be reached, the connection was lost, or there was no answer in time.
    #[error("{0}")]
    Unknown(String),
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> LoadError {
        match failure {
            Failure::Refused { code, text } => LoadError::Refused { code, text },
            Failure::Lost(text) | Failure::Late(text) => LoadError::Unknown(text),
        }
    }
}

/// Loads objects into the tables of a database. A clone is the same.
#[derive(Clone)]
pub struct Loader(Arc<Inner>);

struct Inner {
    connector: Arc<dyn Connector>,
    limits: Limits,
    /// Who reads the objects, if not the destination's role.
    access: Option<Access>,
    region: Option<String>,
}

impl LoaderConfig {
    /// Says what is wrong with it, as far as that can be seen without a cluster.
    ///
    /// # Errors
    /// Something is.
    pub fn validate(&self) -> Result<(), LoaderConfigError> {
        self.at()?;
        self.tls()?;
        self.limits()?;
        self.access().map(drop)
    }

    fn at(&self) -> Result<Option<(String, u16)>, LoaderConfigError> {
        let wrong = || LoaderConfigError("`at` is host:port".to_owned());
        let Some(at) = &self.at else { return Ok(None) };
        let (host, port) = at.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if host.is_empty() || host.contains(['/', '@', ',', ' ']) {
            return Err(wrong());
        }
        Ok(Some((host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)))
    }

    fn tls(&self) -> Result<(TlsMode, Option<MakeRustlsConnect>), LoaderConfigError> {
        let mode =
            self.sslmode.as_deref().map_or(Ok(TlsMode::VerifyFull), TlsMode::parse).map_err(LoaderConfigError)?;
        Ok((mode, tls::connector(mode, self.ca.as_ref().map(String::as_bytes))?))
    }

    fn limits(&self) -> Result<Limits, LoaderConfigError> {
        let seconds = |given: Option<u64>, default: u64| match given.unwrap_or(default) {
            seconds @ 1..=TIMEOUT_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
            _ => Err(LoaderConfigError(format!(
                "connect_timeout_seconds and statement_timeout_seconds are 1 to {TIMEOUT_SECONDS_MAX}"
            ))),
        };
        Ok(Limits {
            connect: seconds(self.connect_timeout_seconds, CONNECT_SECONDS)?,
            statement: seconds(self.statement_timeout_seconds, STATEMENT_SECONDS)?,
        })
    }

    fn access(&self) -> Result<Option<Access>, LoaderConfigError> {
        let LoaderConfig { iam_role, access_key_id, secret_access_key, session_token, .. } = self;
        match (iam_role, access_key_id, secret_access_key) {
            (Some(role), None, None) => Ok(Some(Access::Role(role.clone()))),
            (None, Some(id), Some(secret)) => Ok(Some(Access::Keys {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: session_token.clone(),
            })),
            (None, None, None) => Ok(None),
            _ => Err(LoaderConfigError(
                "who reads the objects is iam_role, or access_key_id and secret_access_key".to_owned(),
            )),
        }
    }
}

impl Loader {
    /// Loads into the database of a login. Nothing is asked of it yet.
    ///
    /// # Errors
    /// The settings cannot be right.
    pub fn new(login: &Login, config: &LoaderConfig) -> Result<Loader, LoaderConfigError> {
        let (host, port) = config.at()?.unwrap_or_else(|| (login.host.clone(), login.port));
        let ((mode, tls), limits) = (config.tls()?, config.limits()?);
        let mut settings = tokio_postgres::Config::new();
        settings.host(&host).port(port).dbname(&login.database).user(&login.user);
        settings.password(login.password.expose()).application_name(APPLICATION).ssl_mode(mode.negotiation());
        let beginning = super::dialect(Engine::Redshift).session(&limits);
        let keys = [&config.secret_access_key, &config.session_token];
        let hidden = std::iter::once(&login.password).chain(keys.into_iter().flatten());
        let hidden = Hidden::whole(hidden.map(|secret| secret.expose().to_owned()));
        let server = Server::new(settings, tls, limits, beginning, host, hidden);
        Loader::with(Arc::new(server), limits, config)
    }

    pub(super) fn with(
        connector: Arc<dyn Connector>,
        limits: Limits,
        config: &LoaderConfig,
    ) -> Result<Loader, LoaderConfigError> {
        let (access, region) = (config.access()?, config.region.clone());
        Ok(Loader(Arc::new(Inner { connector, limits, access, region })))
    }

    /// Loads what a manifest names, once, in a session of its own. `role`: who reads it, if nothing else is configured.
    ///
    /// # Errors
    /// It is not known to be loaded.
    pub async fn load(&self, copy: &CopyCommand, role: &str, manifest: &str) -> Result<(), LoadError> {
        let Inner { connector, limits, access, region } = &*self.0;
        let access = access.clone().unwrap_or_else(|| Access::Role(role.to_owned()));
        let statement = copy.statement(manifest, &CopySource { access, region: region.clone() });
        let mut session = connector.connect().await?;
        session.run(statement.expose(), limits.statement).await?;
        Ok(())
    }
}
