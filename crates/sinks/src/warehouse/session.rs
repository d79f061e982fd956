//! Sessions with a database, and what their errors mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Makes sessions.
pub trait Connector: Send + Sync + 'static {
    /// A new session, ready for statements.
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>>;
}

/// A session with a database. One that a statement was cut off in, or that was left inside of a transaction, is dropped, which
/// ends it.
pub trait Session: Send {
    /// Runs statements, over the simple protocol; an answer for each. None of those behind one that fails is run.
    fn run<'a>(&'a mut self, sql: &'a str, limit: Duration) -> BoxFuture<'a, Result<Vec<Answer>, Failure>>;

    /// Runs a COPY ... FROM STDIN and sends it the rows.
    fn copy<'a>(&'a mut self, sql: &'a str, rows: Bytes, limit: Duration) -> BoxFuture<'a, Result<u64, Failure>>;

    /// Whether the server was still there when it was last heard of.
    fn is_open(&self) -> bool;
}

/// The answer to a statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Rows, as text.
    pub rows: Vec<Vec<Option<String>>>,
    /// How many rows it made, changed or removed.
    pub affected: u64,
}

/// A statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server said no; the session is there.
    Refused {
        /// SQLSTATE.
        code: String,
        /// In the server's words.
        text: String,
    },
    /// The connection is gone: it may have been done.
    Lost(String),
    /// There was no answer in time: it may have been done, or be done yet.
    Late(String),
}

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A row cannot be taken, whenever it comes.
    Data,
    /// The same transaction may well succeed now.
    Again,
    /// Something that a person has to mend, or that takes time.
    Stop,
}

impl Failure {
    /// The error, for people.
    pub fn text(&self) -> &str {
        match self {
            Failure::Refused { text, .. } | Failure::Lost(text) | Failure::Late(text) => text,
        }
    }

    /// Whether one of these columns, which are ours, takes no NULL: then it is the row's.
    pub fn refuses_null_of(&self, columns: &[String]) -> bool {
        let Failure::Refused { code, text } = self else { return false };
        code == "23502" && columns.iter().any(|column| text.contains(&format!("\"{column}\"")))
    }

    /// What it means. Source: PostgreSQL's manual, "Error Codes"; Redshift's guide, "Serializable isolation".
    pub fn meaning(&self) -> Meaning {
        let (code, text) = match self {
            Failure::Refused { code, text } => (code, text),
            Failure::Lost(_) => return Meaning::Again,
            // The next one would take as long.
            Failure::Late(_) => return Meaning::Stop,
        };
        match code.as_str() {
            // A column that is not ours takes no NULL.
            "23502" => Meaning::Stop,
            // Values and constraints; an index that the row is too large for; a trigger that says no.
            code if code.starts_with("22") || code.starts_with("23") => Meaning::Data,
            "54000" | "P0001" => Meaning::Data,
            // Conflicts with other transactions; the server goes, or is another one than before.
            code if code.starts_with("40") || code.starts_with("08") => Meaning::Again,
            "57P01" | "57P02" | "25006" => Meaning::Again,
            _ if text.contains("1023") && text.to_ascii_lowercase().contains("serializable isolation") => {
                Meaning::Again
            }
            // Under SNAPSHOT, of a row that another transaction has written.
            _ if text.contains("could not serialize access") => Meaning::Again,
            _ => Meaning::Stop,
        }
    }
}

/// Rows of one statement's answer; none if there was no such statement.
pub fn rows(answers: &[Answer], statement: usize) -> &[Vec<Option<String>>] {
    answers.get(statement).map_or(&[], |answer| &answer.rows)
}

/// A field of a row.
pub fn field(row: &[Option<String>], column: usize) -> Result<&str, Failure> {
    let missing = || Failure::Refused { code: String::new(), text: format!("an answer has no column {}", column + 1) };
    row.get(column).and_then(Option::as_deref).ok_or_else(missing)
}

/// A whole number in a row.
pub fn number<T: std::str::FromStr>(row: &[Option<String>], column: usize) -> Result<T, Failure> {
    let text = field(row, column)?;
    let wrong =
        |_| Failure::Refused { code: String::new(), text: format!("{text:?} is not the number that was expected") };
    text.parse().map_err(wrong)
}

/// Sessions that wait to be used, and how many there may be.
pub struct Pool {
    connector: Arc<dyn Connector>,
    idle: Mutex<Vec<Box<dyn Session>>>,
    permits: Semaphore,
}

/// A session of the pool. It goes back there by [`Pooled::give_back`]; otherwise it ends.
pub struct Pooled<'a> {
    pool: &'a Pool,
    session: Box<dyn Session>,
}

impl Pool {
    pub fn new(connector: Arc<dyn Connector>, connections: usize) -> Pool {
        Pool { connector, idle: Mutex::new(Vec::new()), permits: Semaphore::new(connections) }
    }

    /// Waits for a place. Whoever has one may have a session at a time.
    pub async fn place(&self) -> SemaphorePermit<'_> {
        self.permits.acquire().await.expect("invariant: nobody closes it")
    }

    /// A session.
    ///
    /// # Errors
    /// None can be had.
    pub async fn session(&self) -> Result<Pooled<'_>, Failure> {
        let waiting = {
            let mut idle = self.idle.lock();
            idle.retain(|session| session.is_open());
            idle.pop()
        };
        let session = match waiting {
            Some(session) => session,
            None => self.connector.connect().await?,
        };
        Ok(Pooled { pool: self, session })
    }
}

impl Pooled<'_> {
    /// The session can be used by others: it is in no transaction.
    pub fn give_back(self) {
        self.pool.idle.lock().push(self.session);
    }
}

impl std::ops::Deref for Pooled<'_> {
    type Target = dyn Session;

    fn deref(&self) -> &Self::Target {
        self.session.as_ref()
    }
}

impl std::ops::DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.session.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_errors_mean() {
        for (code, text, meaning) in [
            ("22P02", "invalid input syntax for type json", Meaning::Data),
            ("22003", "numeric field overflow", Meaning::Data),
            ("23514", "violates check constraint", Meaning::Data),
            ("23502", "null value in column", Meaning::Stop),
            ("54000", "index row size 3000 exceeds btree version 4 maximum 2704", Meaning::Data),
            ("40001", "could not serialize access", Meaning::Again),
            ("40P01", "deadlock detected", Meaning::Again),
            ("57P01", "terminating connection due to administrator command", Meaning::Again),
            ("25006", "cannot execute INSERT in a read-only transaction", Meaning::Again),
            (
                "XX000",
                "ERROR: 1023 DETAIL: Serializable isolation violation on table - 1, transactions forming the cycle",
                Meaning::Again,
            ),
            ("XX000", "could not serialize access due to concurrent update", Meaning::Again),
            ("XX000", "Load into table 'x' failed.  Check 'sys_load_error_detail'", Meaning::Stop),
            ("57014", "canceling statement due to statement timeout", Meaning::Stop),
            ("42501", "permission denied for table orders", Meaning::Stop),
            ("53100", "could not extend file: No space left on device", Meaning::Stop),
        ] {
            let failure = Failure::Refused { code: code.to_owned(), text: text.to_owned() };
            assert_eq!(failure.meaning(), meaning, "{code} {text}");
        }
        assert_eq!(Failure::Lost("connection closed".into()).meaning(), Meaning::Again);
        assert_eq!(Failure::Late("no answer within 65 s".into()).meaning(), Meaning::Stop);
    }
}
