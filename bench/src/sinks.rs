//! The lines of sinks: how fast each catches up with a stream that was filled before, and what it costs writers at full rate
//! ([`crate::cost`]). Views, trails and objects in a local directory need nothing else; a database and a search engine are started for their
//! lines, or are those whose addresses are given.

use std::io::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cost::{self, TargetCpu};
use crate::generator::{KEY, SAME_KEY, VALUE, exchange};
use crate::lines::*;
use crate::process::{Scratch, Server};
use crate::search::{SearchEngine, plain_bulks};
use crate::suite::{Plan, Without, create, fill};

/// Groups of the view, and items of each.
pub const GROUPS: u64 = 1_000;
const ITEMS_OF_GROUP: u64 = 300;
const RECORDS: u64 = GROUPS * ITEMS_OF_GROUP;

/// Longest wait for a sink.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at a sink.
const LOOK: Duration = Duration::from_millis(5);

/// The index that is filled.
const INDEX: &str = "tailrace-bench";

/// Flushes that a run of seconds has several of.
fn small() -> Value {
    json!({"seconds": 1, "bytes": "4MB"})
}

/// Measures the lines of each sink.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    let nobody: TargetCpu<'_> = &|| Ok(None);
    let view = json!({"to": "table:Groups", "group_by": ["g"], "aggregates": {"items": "count", "total": "sum(n)"}});
    let here = [
        (&JSON_LINES, json!({"to": "./lake", "flush": small()})),
        (&CSV, json!({"to": "./lake", "format": "csv", "flush": small()})),
        (&PARQUET, json!({"to": "./lake", "format": "parquet", "flush": small()})),
        (&VIEW, view),
        (&AUDIT, json!({"to": "audit", "dir": "./trail"})),
    ];
    for (lines, sink) in here {
        figures.line(lines.rate, || rate(plan, &sink));
        part(plan, figures, &lines.cost, &sink, nobody);
    }
    figures.part(&[POSTGRES.rate, POSTGRES.cost.cost, POSTGRES.cost.cpu, POSTGRES_SHARE], |figures| {
        if plan.without.contains(&Without::Postgres) {
            return Ok(());
        }
        let service = plan.services.postgres()?;
        let sink = |table: &str| json!({"to": service.url, "table": table});
        figures.line(POSTGRES.rate, || rate(plan, &sink("tailrace_bench")));
        part(plan, figures, &POSTGRES.cost, &sink("tailrace_bench_cost"), &|| service.cpu());
        Ok(())
    });
    figures.part(&[SEARCH_PLAIN, SEARCH_RATE], |figures| {
        if plan.without.contains(&Without::Opensearch) {
            return Ok(());
        }
        let service = plan.services.search()?;
        // Before the sink and behind it: the engine gets faster while it runs.
        figures.line(SEARCH_PLAIN, || plain_bulks(&service.url));
        figures.line(SEARCH_RATE, || rate(plan, &json!({"to": format!("{}/{INDEX}", service.url)})));
        figures.line(SEARCH_PLAIN, || plain_bulks(&service.url));
        Ok(())
    });
    for (lines, sink) in OUTSIDE {
        figures.part(&lines.names(), |figures| {
            let (target, mail_port) = Server::target()?;
            let sink = sink(&target.address.to_string(), mail_port);
            cost::measure(plan, figures, lines, &sink, &|| target.cpu().map(Some))
        });
    }
    figures.part(&[TWENTY_READ, TWENTY_IDLE], |figures| twenty(plan, figures));
}

fn part(plan: &Plan, figures: &mut Figures, lines: &'static CostLines, sink: &Value, target: TargetCpu<'_>) {
    figures.part(&lines.names(), |figures| cost::measure(plan, figures, lines, sink, target));
}

/// The settings of a sink, for an HTTP server at an address and a mail server at a port.
type Outside = fn(&str, u16) -> Value;

/// Sinks whose target is played by [`crate::target`].
const OUTSIDE: [(&CostLines, Outside); 7] = [
    (&SEARCH_COST, |at, _| json!({"to": format!("opensearch+http://{at}/{INDEX}"), "alias": false})),
    (&WEBHOOK, |at, _| json!({"to": format!("webhook+http://{at}/hook")})),
    (&WEBHOOK_DIGEST, |at, _| json!({"to": format!("webhook+http://{at}/hook"), "digest": {"seconds": 1}})),
    (&MAIL, |_, port| {
        let mail = json!({"from": "shop@example.com", "to": "ann@example.com"});
        json!({"to": format!("smtp://127.0.0.1:{port}"), "tls": "none", "mail": mail, "digest": {"seconds": 1}})
    }),
    (&TOPIC, |at, _| aws(json!({"to": "sns:arn:aws:sns:eu-west-1:000000000000:story"}), at)),
    (&QUEUE, |at, _| aws(json!({"to": format!("sqs:http://{at}/000000000000/story")}), at)),
    (&KINESIS, |at, _| aws(json!({"to": "kinesis:story"}), at)),
];

/// A sink of AWS's with an endpoint and keys.
fn aws(mut sink: Value, at: &str) -> Value {
    sink["endpoint"] = format!("http://{at}").into();
    sink["region"] = "eu-west-1".into();
    sink["access_key_id"] = "key".into();
    sink["secret_access_key"] = "secret".into();
    sink
}

/// An item of 100 bytes: the `number`th of its group.
pub fn item(number: &str) -> String {
    let filler = "x".repeat(56);
    format!(
        r#"{{"pk":{{"S":"{number}-{KEY}"}},"g":{{"S":"{SAME_KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}"#
    )
}

/// A server on a directory, with a sink or without.
///
/// # Errors
/// It does not start.
pub fn serve(plan: &Plan, dir: &Path, sink: Option<&Value>) -> Result<Server> {
    let mut sinks = json!({});
    if let Some(sink) = sink {
        sinks["probe"] = sink.clone();
        sinks["probe"]["from"] = "probe".into();
        sinks["probe"]["start"] = "trim_horizon".into();
        let engine = sink["to"].as_str().and_then(|to| to.strip_suffix(&format!("/{INDEX}")));
        if let Some(to) = engine.filter(|_| sink["alias"].is_null()) {
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

/// What the server says of its first sink.
///
/// # Errors
/// It does not answer.
pub fn status(server: &Server) -> Result<Value> {
    Ok(page(server)?["sinks"][0].clone())
}

fn page(server: &Server) -> Result<Value> {
    let mut stream = server.connect()?;
    let answer = exchange(&mut stream, b"GET /_admin/sinks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    serde_json::from_slice(&answer).map_err(Error::other)
}
