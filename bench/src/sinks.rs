//! The lines of sinks: how many records a second each brings to its target out of a stream that was filled before, and what it costs a
//! writer at full rate. Views, trails and objects in a local directory need nothing else; a database and a search engine are measured
//! when their addresses are given.

use std::fmt::Write;
use std::io::{Error, Result};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::generator::{KEY, Order, SAME_KEY, VALUE, drive, exchange};
use crate::lines::{
    AUDIT, Figures, JSON_LINES, PARQUET, POSTGRES, SEARCH, SEARCH_PLAIN, TWENTY_IDLE, TWENTY_READ, VIEW,
};
use crate::process::{Scratch, Server};
use crate::suite::{Plan, create, fill, put_of};

/// Groups of the view, and items of each.
const GROUPS: u64 = 1_000;
const ITEMS_OF_GROUP: u64 = 300;
const RECORDS: u64 = GROUPS * ITEMS_OF_GROUP;

/// Longest wait for a sink.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a sink.
const LOOK: Duration = Duration::from_millis(5);

/// The index that is filled.
const INDEX: &str = "tailrace-bench";

/// Measures the lines of each sink.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    let small = json!({"seconds": 1, "bytes": "4MB"});
    let mut sinks = vec![
        (&JSON_LINES, json!({"to": "./lake", "flush": small})),
        (&PARQUET, json!({"to": "./lake", "format": "parquet", "flush": small})),
        (&VIEW, json!({"to": "table:Groups", "group_by": ["g"], "aggregates": {"items": "count", "total": "sum(n)"}})),
        (&AUDIT, json!({"to": "audit", "dir": "./trail"})),
    ];
    sinks.extend(plan.postgres.as_ref().map(|to| (&POSTGRES, json!({"to": to, "table": "tailrace_bench"}))));
    if let Some(to) = &plan.search {
        figures.line(SEARCH_PLAIN, || plain_bulks(to));
        sinks.push((&SEARCH, json!({"to": format!("{to}/{INDEX}")})));
    }
    for (lines, sink) in sinks {
        figures.line(lines.rate, || rate(plan, &sink));
        figures.line(lines.cost, || cost(plan, &sink));
    }
    figures.part(&[TWENTY_READ, TWENTY_IDLE], |figures| twenty(plan, figures));
}

/// An item of 100 bytes: the `number`th of its group.
fn item(number: &str) -> String {
    let filler = "x".repeat(56);
    format!(
        r#"{{"pk":{{"S":"{number}-{KEY}"}},"g":{{"S":"{SAME_KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}"#
    )
}

fn serve(plan: &Plan, dir: &Path, sink: Option<&Value>) -> Result<Server> {
    let mut sinks = json!({});
    if let Some(sink) = sink {
        sinks["probe"] = sink.clone();
        sinks["probe"]["from"] = "probe".into();
        sinks["probe"]["start"] = "trim_horizon".into();
        if let Some(to) = sink["to"].as_str().and_then(|to| to.strip_suffix(&format!("/{INDEX}"))) {
            // A sink writes nothing over what another data directory has written.
            SearchEngine::connect(to)?.remove(&format!("{INDEX}-v1"))?;
        }
    }
    serve_with(plan, dir, &sinks)
}

fn serve_with(plan: &Plan, dir: &Path, sinks: &Value) -> Result<Server> {
    let config = dir.join("tailrace.json");
    std::fs::write(&config, json!({ "sinks": sinks }).to_string())?;
    Server::tailrace(&plan.binary, &["serve", "--config", &config.to_string_lossy()], &dir.join("data"))
}

/// Records a second between the first flush and the last but a tenth: how long a flush is gathered at the end is not counted.
#[expect(clippy::disallowed_methods, reason = "it measures real time, and waits for a sink that tells nothing")]
fn rate(plan: &Plan, sink: &Value) -> Result<f64> {
    let dir = Scratch::new(&plan.scratch, "sink")?;
    let server = serve(plan, &dir.0, None)?;
    create(&mut server.connect()?, "probe", true)?;
    for number in 0..ITEMS_OF_GROUP {
        fill(server.address, "probe", &item(&number.to_string()), GROUPS)?;
    }
    drop(server);
    let server = serve(plan, &dir.0, Some(sink))?;
    let (start, mut first) = (Instant::now(), None);
    loop {
        let status = status(&server)?;
        let (delivered, now) = (status["records"].as_u64().unwrap_or(0), Instant::now());
        let (begun, at) = *first.get_or_insert((delivered, now));
        if begun == 0 && delivered > 0 {
            first = Some((delivered, now));
        } else if delivered >= RECORDS * 9 / 10 {
            return Ok((delivered - begun) as f64 / (now - at).as_secs_f64());
        }
        if start.elapsed() > PATIENCE {
            return Err(Error::other(format!(
                "{delivered} of {RECORDS} records after {PATIENCE:?}: {}",
                status["lastError"]
            )));
        }
        std::thread::sleep(LOOK);
    }
}

/// Twenty sinks that catch up together with a stream that was filled before, each in a directory of its own; and then have nothing to do.
#[expect(clippy::disallowed_methods, reason = "it waits for sinks that tell nothing, and measures an idle time")]
fn twenty(plan: &Plan, figures: &mut Figures) -> Result<()> {
    const SINKS: usize = 20;
    /// What is idle for so long shows what it costs.
    const IDLE: Duration = Duration::from_secs(20);
    let dir = Scratch::new(&plan.scratch, "twenty")?;
    let server = serve(plan, &dir.0, None)?;
    create(&mut server.connect()?, "probe", true)?;
    for number in 0..ITEMS_OF_GROUP {
        fill(server.address, "probe", &item(&number.to_string()), GROUPS)?;
    }
    drop(server);
    // Bytes that so many sinks read until they have everything, beside what a start reads; and the CPU of a second then.
    let measured = |folder: &str, count: usize| {
        let flush = json!({"seconds": 1, "bytes": "4MB"});
        let sink =
            |n| json!({"from": "probe", "to": format!("./{folder}-{n}"), "start": "trim_horizon", "flush": flush});
        let sinks: serde_json::Map<String, Value> = (0..count).map(|n| (format!("{folder}-{n}"), sink(n))).collect();
        let server = serve_with(plan, &dir.0, &sinks.into())?;
        let start = Instant::now();
        loop {
            let page = page(&server)?;
            let of_folder = page["sinks"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|sink| sink["name"].as_str().is_some_and(|name| name.starts_with(&format!("{folder}-"))));
            if of_folder.filter(|sink| sink["records"].as_u64().unwrap_or(0) >= RECORDS).count() == count {
                break;
            }
            if start.elapsed() > PATIENCE {
                return Err(Error::other(format!("{count} sinks have not caught up after {PATIENCE:?}")));
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        let read = server.bytes_read()?;
        let before = server.cpu()?;
        std::thread::sleep(IDLE);
        let idle = (server.cpu()? - before).as_secs_f64() * 1000.0 / IDLE.as_secs_f64();
        Ok::<(f64, f64), Error>((read as f64, idle))
    };
    let (of_none, idle_of_none) = measured("none", 0)?;
    let (of_one, _) = measured("one", 1)?;
    let (of_twenty, idle_of_twenty) = measured("twenty", SINKS)?;
    figures.add(TWENTY_READ, (of_twenty - of_none) / (of_one - of_none));
    figures.add(TWENTY_IDLE, (idle_of_twenty - idle_of_none).max(0.0));
    Ok(())
}

/// Documents a second that a search engine takes from one connection in bulks, of which each waits for the one before.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn plain_bulks(to: &str) -> Result<f64> {
    /// Documents of a bulk: some 2 MB, for which the smallest of heaps has room.
    const BULK: u64 = 5_000;
    let mut engine = SearchEngine::connect(to)?;
    let index = "tailrace-bench-plain";
    engine.remove(index)?;
    engine.ask("PUT", index, "{}")?;
    let filler = "x".repeat(56);
    let start = Instant::now();
    for first in (0..RECORDS).step_by(BULK as usize) {
        let mut body = String::new();
        for number in first..RECORDS.min(first + BULK) {
            let (item, group) = (number / GROUPS, number % GROUPS);
            let document =
                json!({"pk": format!("{item}-{group:010}"), "g": format!("{group:010}"), "n": number, "data": filler});
            let _ = writeln!(body, r#"{{"index":{{"_id":"{number}","version":1,"version_type":"external"}}}}"#);
            let _ = writeln!(body, "{document}");
        }
        let answer: Value =
            serde_json::from_slice(&engine.ask("POST", &format!("{index}/_bulk"), &body)?).map_err(Error::other)?;
        if answer["errors"] != false {
            return Err(Error::other("the search engine took not all of a bulk"));
        }
    }
    Ok(RECORDS as f64 / start.elapsed().as_secs_f64())
}

/// A connection to a search engine.
struct SearchEngine(TcpStream);

impl SearchEngine {
    fn connect(to: &str) -> Result<SearchEngine> {
        let address = to.strip_prefix("opensearch+http://").ok_or_else(|| Error::other("only http is spoken here"))?;
        TcpStream::connect(address).map(SearchEngine)
    }

    fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let length = body.len();
        let head = format!("{method} /{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        exchange(&mut self.0, format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())
    }

    /// Removes an index, if it is there.
    fn remove(&mut self, index: &str) -> Result<()> {
        self.ask("DELETE", &format!("{index}?ignore_unavailable=true"), "").map(drop)
    }
}

fn status(server: &Server) -> Result<Value> {
    Ok(page(server)?["sinks"][0].clone())
}

fn page(server: &Server) -> Result<Value> {
    let mut stream = server.connect()?;
    let answer = exchange(&mut stream, b"GET /_admin/sinks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    serde_json::from_slice(&answer).map_err(Error::other)
}

/// How much slower 64 writers are beside it, percent of what they do alone.
fn cost(plan: &Plan, sink: &Value) -> Result<f64> {
    let beside = |sink: Option<&Value>| {
        let dir = Scratch::new(&plan.scratch, "sink")?;
        let server = serve(plan, &dir.0, None)?;
        create(&mut server.connect()?, "probe", true)?;
        drop(server);
        let server = serve(plan, &dir.0, sink)?;
        let mut request = put_of("probe", &item("0"));
        request.set_keys(GROUPS);
        drive(server.address, 64, &request, Order::Sequential, plan.time)?;
        Ok::<f64, Error>(drive(server.address, 64, &request, Order::Random, plan.time * 2)?.rate)
    };
    let alone = beside(None)?;
    Ok(100.0 * (1.0 - beside(Some(sink))? / alone))
}
