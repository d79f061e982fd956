//! What a search engine takes from a plain client, which is what its sink is held against: one that has all its documents ready and
//! does nothing else. It uses as many connections as suit the engine, and bulks as large: the best of several is the figure, those
//! of the sink among them.

use std::fmt::Write as _;
use std::io::{Error, Result};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use crate::generator::exchange;

/// Documents of a trial.
const DOCUMENTS: u64 = 60_000;
/// What is tried: connections, and documents of a bulk. The sink has a bulk of 500 under way for each shard, of which a new table has four.
const TRIALS: [(usize, u64); 6] = [(1, 500), (1, 5_000), (2, 1_000), (4, 500), (4, 2_000), (4, 5_000)];

/// The index that is filled.
const INDEX: &str = "tailrace-bench-plain";

/// Documents a second, in the best of the trials. The first of all is not counted: it warms the engine.
///
/// # Errors
/// The engine refuses something.
pub fn plain_bulks(to: &str) -> Result<f64> {
    trial(to, TRIALS[3])?;
    let mut best: (f64, (usize, u64)) = (0.0, (0, 0));
    for with in TRIALS {
        let rate = trial(to, with)?;
        if rate > best.0 {
            best = (rate, with);
        }
    }
    let (rate, (connections, documents)) = best;
    eprintln!("  the best plain client has {connections} connections and bulks of {documents}");
    Ok(rate)
}

/// Fills an index over so many connections, each of which waits for the answer to its bulk before the next.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn trial(to: &str, (connections, documents): (usize, u64)) -> Result<f64> {
    let mut first = SearchEngine::connect(to)?;
    first.remove(INDEX)?;
    first.ask("PUT", INDEX, "{}")?;
    let bulks: Vec<String> = (0..DOCUMENTS).step_by(documents as usize).map(|from| bulk(from, documents)).collect();
    let next = AtomicUsize::new(0);
    let mut engines = vec![first];
    for _ in 1..connections {
        engines.push(SearchEngine::connect(to)?);
    }
    let start = Instant::now();
    let send = |mut engine: SearchEngine| {
        // The sink asks for as little.
        let path = format!("{INDEX}/_bulk?filter_path=errors,items.*.status");
        while let Some(bulk) = bulks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = engine.ask("POST", &path, bulk)?;
            let answer: Value = serde_json::from_slice(&answer).map_err(Error::other)?;
            if answer["errors"] != false {
                return Err(Error::other("the search engine took not all of a bulk"));
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = engines.into_iter().map(|engine| scope.spawn(|| send(engine))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::other("a connection of the plain client failed")))
        })
    })?;
    let rate = DOCUMENTS as f64 / start.elapsed().as_secs_f64();
    eprintln!("  plain client, {connections} connections, bulks of {documents}: {rate:.0} documents/s");
    Ok(rate)
}

/// Documents as the sink's are, from a number on.
fn bulk(from: u64, documents: u64) -> String {
    let (mut body, filler) = (String::new(), "x".repeat(56));
    for number in from..DOCUMENTS.min(from + documents) {
        let (item, group) = (number / 1000, number % 1000);
        let document =
            json!({"pk": format!("{item}-{group:010}"), "g": format!("{group:010}"), "n": number, "data": filler});
        let _ = writeln!(
            body,
            r#"{{"index":{{"_id":"{item}-{group:010}","version":{},"version_type":"external"}}}}"#,
            number + 1
        );
        let _ = writeln!(body, "{document}");
    }
    body
}

/// A connection to a search engine.
pub struct SearchEngine(TcpStream);

impl SearchEngine {
    /// Connects to `opensearch+http://host:port`.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn connect(to: &str) -> Result<SearchEngine> {
        let address = to.strip_prefix("opensearch+http://").ok_or_else(|| Error::other("only http is spoken here"))?;
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(SearchEngine(stream))
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let length = body.len();
        let head = format!("{method} /{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        exchange(&mut self.0, format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())
    }

    /// Removes an index, if it is there.
    ///
    /// # Errors
    /// The engine's.
    pub fn remove(&mut self, index: &str) -> Result<()> {
        self.ask("DELETE", &format!("{index}?ignore_unavailable=true"), "").map(drop)
    }
}
