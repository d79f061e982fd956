//! Sessions over the network.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::told;
use super::dialect::Limits;
use super::session::{Answer, Connector, Failure, Session};
use crate::hidden::Hidden;

/// How much later than the server a client gives up on a statement: the server knows what became of it.
const ANSWER_GRACE: Duration = Duration::from_secs(5);
/// A server that does not answer for so long is gone: the machine, or the way to it.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// What is sent of a COPY in one message.
const COPY_BYTES: usize = 64 << 10;
/// Prepared statements of a session: one for each table that it copies to.
const STATEMENTS_MAX: usize = 256;

/// Makes sessions with a server.
pub struct Server {
    settings: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
    limits: Limits,
    /// What a session begins with.
    beginning: String,
    /// For people.
    hosts: String,
    /// What no error shows.
    hidden: Hidden,
}

impl Server {
    pub fn new(
        mut settings: tokio_postgres::Config,
        tls: Option<MakeRustlsConnect>,
        limits: Limits,
        beginning: String,
        hosts: String,
        hidden: Hidden,
    ) -> Server {
        settings
            .connect_timeout(limits.connect)
            .tcp_user_timeout(limits.statement + ANSWER_GRACE)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES);
        Server { settings, tls, limits, beginning, hosts, hidden }
    }

    async fn open(&self) -> Result<Box<dyn Session>, Failure> {
        let failed = |error: tokio_postgres::Error| {
            Failure::Lost(format!("{}: {}", self.hosts, failure(&error, &self.hidden).text()))
        };
        let (client, driver) = match &self.tls {
            None => {
                let (client, connection) = self.settings.connect(NoTls).await.map_err(failed)?;
                (client, tokio::spawn(connection.map(drop)))
            }
            Some(tls) => {
                let (client, connection) = self.settings.connect(tls.clone()).await.map_err(failed)?;
                (client, tokio::spawn(connection.map(drop)))
            }
        };
        let mut session = NetSession { client, driver, copies: HashMap::new(), hidden: self.hidden.clone() };
        session.run(&self.beginning, self.limits.connect).await?;
        Ok(Box::new(session))
    }
}

impl Connector for Server {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Session>, Failure>> {
        let late = || Failure::Late(format!("{}: no session within {} s", self.hosts, self.limits.connect.as_secs()));
        async move { tokio::time::timeout(self.limits.connect, self.open()).await.map_err(|_| late())? }.boxed()
    }
}

struct NetSession {
    client: Client,
    /// Moves bytes between the socket and the client. It ends with the session.
    driver: JoinHandle<()>,
    copies: HashMap<String, Statement>,
    hidden: Hidden,
}

impl Drop for NetSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl NetSession {
    async fn send(&mut self, sql: &str, rows: Bytes) -> Result<u64, tokio_postgres::Error> {
        let statement = match self.copies.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                if self.copies.len() >= STATEMENTS_MAX {
                    self.copies.clear();
                }
                let statement = self.client.prepare(sql).await?;
                self.copies.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let sink = self.client.copy_in::<_, Bytes>(&statement).await?;
        let mut sink = std::pin::pin!(sink);
        let mut rest = rows;
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(COPY_BYTES));
            if sink.feed(part).await.is_err() {
                // The answer that follows tells why.
                break;
            }
        }
        sink.finish().await
    }
}

impl Session for NetSession {
    fn run<'a>(&'a mut self, sql: &'a str, limit: Duration) -> BoxFuture<'a, Result<Vec<Answer>, Failure>> {
        async move {
            let answered = tokio::time::timeout(limit + ANSWER_GRACE, self.client.simple_query(sql)).await;
            let messages = answered.map_err(|_| late(limit))?.map_err(|error| failure(&error, &self.hidden))?;
            let (mut answers, mut rows) = (Vec::new(), Vec::new());
            for message in messages {
                match message {
                    SimpleQueryMessage::Row(row) => {
                        rows.push((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect());
                    }
                    SimpleQueryMessage::CommandComplete(affected) => {
                        answers.push(Answer { rows: std::mem::take(&mut rows), affected });
                    }
                    _ => {}
                }
            }
            Ok(answers)
        }
        .boxed()
    }

    fn copy<'a>(&'a mut self, sql: &'a str, rows: Bytes, limit: Duration) -> BoxFuture<'a, Result<u64, Failure>> {
        async move {
            let sent = tokio::time::timeout(limit + ANSWER_GRACE, self.send(sql, rows)).await;
            sent.map_err(|_| late(limit))?.map_err(|error| failure(&error, &self.hidden))
        }
        .boxed()
    }

    fn is_open(&self) -> bool {
        !self.client.is_closed()
    }
}

fn late(limit: Duration) -> Failure {
    Failure::Late(format!("no answer within {} s", (limit + ANSWER_GRACE).as_secs()))
}

fn failure(error: &tokio_postgres::Error, hidden: &Hidden) -> Failure {
    let Some(refusal) = error.as_db_error() else { return Failure::Lost(hidden.hide(&told(error))) };
    let mut text = refusal.message().to_owned();
    if let Some(detail) = refusal.detail() {
        text.push_str(&format!(" ({detail})"));
    }
    let text = hidden.hide(&text);
    let code = refusal.code().code().to_owned();
    // The server ends the session with these.
    if matches!(code.as_str(), "57P01" | "57P02" | "57P03" | "57P05" | "25P03") {
        return Failure::Lost(text);
    }
    Failure::Refused { code, text }
}
