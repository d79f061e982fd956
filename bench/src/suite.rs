//! The lines of the budget table, one function each or a few together, and the order in which they are measured.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cpu;
use crate::generator::{KEY, Measure, Order, Request, VALUE, call, drive};
use crate::process::{Scratch, Server};
use crate::report::{Budget, Line, median};

/// What to measure, and for how long.
pub struct Plan {
    /// The server's binary.
    pub binary: PathBuf,
    /// Where data directories are made.
    pub scratch: PathBuf,
    /// Rounds; each measures every line once.
    pub rounds: usize,
    /// Time for each rate.
    pub time: Duration,
    /// Items of the long form; `None`: without it.
    pub long_items: Option<u64>,
    /// Lines with functions; they need python3.
    pub functions: bool,
}

/// Figures by name, one of each round.
#[derive(Default)]
struct Figures(BTreeMap<&'static str, Vec<f64>>);

impl Figures {
    fn add(&mut self, name: &'static str, figure: f64) {
        eprintln!("  {name}: {figure:.2}");
        self.0.entry(name).or_default().push(figure);
    }

    fn of(&self, name: &str) -> Vec<f64> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

/// Keys of the small set.
pub const SMALL_KEYS: u64 = 10_000;
const PUT: &str = "DynamoDB_20120810.PutItem";
const TRANSACTIONS_OF_2: &str = "TransactWriteItems of 2 items, 64 connections";
const TRANSACTIONS_OF_10: &str = "TransactWriteItems of 10 items, 64 connections";
const CPU_BARE: &str = "server CPU a request, bare, 64 connections";
const CPU_PUT: &str = "server CPU a request, streamed PutItem, 64 connections";
const CPU_GET: &str = "server CPU a request, GetItem, 64 connections";
const CPU_PUT_TO_BARE: &str = "server CPU a request, streamed PutItem, to bare";
const CPU_GET_TO_BARE: &str = "server CPU a request, GetItem, to bare";

/// Measures everything.
///
/// # Errors
/// A server does not start, or answers an error.
pub fn run(plan: &Plan) -> Result<Vec<Line>> {
    let mut figures = Figures::default();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        bare(plan, &mut figures)?;
        processor(plan, &mut figures)?;
        small(plan, round, &mut figures)?;
        transactions(plan, &mut figures)?;
        if plan.functions {
            delivery(plan, &mut figures)?;
            throughput(plan, &mut figures)?;
        }
    }
    if let Some(items) = plan.long_items {
        long(plan, items, &mut figures)?;
    }
    Ok(lines(plan, &figures))
}

fn lines(plan: &Plan, figures: &Figures) -> Vec<Line> {
    let (bare16, bare64) = (median(&figures.of("bare, 16 connections")), median(&figures.of("bare, 64 connections")));
    let mut lines = Vec::new();
    let mut line = |name: &str, unit: &'static str, budget: Budget, bare: f64| {
        let rounds = figures.of(name);
        if !rounds.is_empty() {
            lines.push(Line::new(name, unit, budget, rounds).beside(bare));
        }
    };
    line("bare, 64 connections", "/s", Budget::None, 0.0);
    line("bare, 16 connections", "/s", Budget::None, 0.0);
    line("PutItem, 10,000 keys, 64 connections", "/s", Budget::AtLeast(25_000.0), bare64);
    line("PutItem, 16 connections", "/s", Budget::AtLeast(14_000.0), bare16);
    line("UpdateItem (if_not_exists + 1), 64 connections", "/s", Budget::AtLeast(20_000.0), bare64);
    line("GetItem, 16 connections", "/s", Budget::AtLeast(40_000.0), bare16);
    line("GetItem, 64 connections", "/s", Budget::None, bare64);
    line(TRANSACTIONS_OF_2, "/s", Budget::AtLeast(15_000.0), bare64);
    line(TRANSACTIONS_OF_10, "/s", Budget::AtLeast(5_000.0), bare64);
    line(CPU_BARE, "us", Budget::None, 0.0);
    line(CPU_GET, "us", Budget::None, 0.0);
    line(CPU_PUT, "us", Budget::None, 0.0);
    line(CPU_GET_TO_BARE, "x", Budget::Below(1.5), 0.0);
    line(CPU_PUT_TO_BARE, "x", Budget::Below(2.4), 0.0);
    line("cost of the stream on a write", "%", Budget::Below(15.0), 0.0);
    line("GetRecords, one reader", "records/s", Budget::AtLeast(100_000.0), 0.0);
    line("sent -> Python handler entered, p50", "ms", Budget::Below(2.0), 0.0);
    line("sent -> Python handler entered, p99", "ms", Budget::Below(10.0), 0.0);
    line("one no-op Python handler, batch 1000", "records/s", Budget::AtLeast(30_000.0), 0.0);
    line("empty start to first answer", "ms", Budget::Below(100.0), 0.0);
    line("idle memory", "MB", Budget::Below(40.0), 0.0);
    line("memory after the small load", "MB", Budget::Below(160.0), 0.0);
    line("ready after a crash, small load", "ms", Budget::Below(2000.0), 0.0);
    line("PutItem p99, 10,000 keys, 64 connections", "ms", Budget::None, 0.0);
    if plan.long_items.is_some() {
        line("PutItem, large set, share of the small set", "%", Budget::AtLeast(70.0), 0.0);
        line("PutItem, large set", "/s", Budget::None, bare64);
        line("PutItem, large set, p99", "ms", Budget::Below(5.0), 0.0);
        line("PutItem, large set, p99.9", "ms", Budget::Below(25.0), 0.0);
        line("PutItem, large set, longest stall", "ms", Budget::Below(100.0), 0.0);
        line("ready after a crash, large set", "ms", Budget::Below(2000.0), 0.0);
    }
    lines
}

fn bare(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let server = Server::bare()?;
    let request = put("t");
    let with_64 = with_cpu(&server, || drive(server.address, 64, &request, Order::Random, plan.time))?;
    figures.add("bare, 64 connections", with_64.0.rate);
    figures.add(CPU_BARE, with_64.1);
    figures.add("bare, 16 connections", drive(server.address, 16, &request, Order::Random, plan.time)?.rate);
    Ok(())
}

fn processor(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let [put, get] = cpu::costs(plan)?;
    for (name, figure) in
        [(CPU_PUT, put.micros), (CPU_PUT_TO_BARE, put.to_bare), (CPU_GET, get.micros), (CPU_GET_TO_BARE, get.to_bare)]
    {
        figures.add(name, figure);
    }
    Ok(())
}

/// Runs a load, and gives the processor time of the server for each answer too, microseconds: a figure that holds on a
/// machine with other work, where rates do not.
pub fn with_cpu(server: &Server, load: impl FnOnce() -> Result<Measure>) -> Result<(Measure, f64)> {
    let before = server.cpu()?;
    let measure = load()?;
    let used = server.cpu()?.saturating_sub(before);
    let each = used.as_secs_f64() * 1e6 / measure.answers.max(1) as f64;
    Ok((measure, each))
}

/// A PutItem of a 100-byte item.
pub fn put(table: &str) -> Request {
    let filler = "x".repeat(69);
    let item = format!(r#"{{"pk":{{"S":"{KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}"#);
    Request::new(PUT, &format!(r#"{{"TableName":"{table}","Item":{item}}}"#), SMALL_KEYS)
}

/// A GetItem.
pub fn get(table: &str) -> Request {
    let body = format!(r#"{{"TableName":"{table}","Key":{{"pk":{{"S":"{KEY}"}}}}}}"#);
    Request::new("DynamoDB_20120810.GetItem", &body, SMALL_KEYS)
}

/// An UpdateItem that counts.
fn update(table: &str) -> Request {
    let body = format!(
        r#"{{"TableName":"{table}","Key":{{"pk":{{"S":"{KEY}"}}}},"UpdateExpression":"SET a = if_not_exists(a, :z) + :one","ExpressionAttributeValues":{{":z":{{"N":"0"}},":one":{{"N":"1"}}}}}}"#
    );
    Request::new("DynamoDB_20120810.UpdateItem", &body, SMALL_KEYS)
}

/// A transaction that puts so many 100-byte items, with a token, as clients send it.
fn transaction(table: &str, items: usize) -> Request {
    let filler = "x".repeat(66);
    let put = |index: usize| {
        format!(
            r#"{{"Put":{{"TableName":"{table}","Item":{{"pk":{{"S":"{index:02}-{KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}}}}}"#
        )
    };
    let puts: Vec<String> = (0..items).map(put).collect();
    let body = format!(r#"{{"TransactItems":[{}],"ClientRequestToken":"{VALUE}"}}"#, puts.join(","));
    Request::new("DynamoDB_20120810.TransactWriteItems", &body, SMALL_KEYS)
}

/// What a single load sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Operation {
    /// PutItem.
    Put,
    /// UpdateItem.
    Update,
    /// GetItem.
    Get,
    /// TransactWriteItems of two items.
    Transact2,
    /// TransactWriteItems of ten items.
    Transact10,
}

/// Drives one kind of load against a server that runs already; makes and fills its table if it is not there.
///
/// # Errors
/// The server does not answer, or answers an error.
pub fn load(port: u16, operation: Operation, connections: usize, keys: u64, time: Duration) -> Result<Measure> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect(address)?;
    let table = format!("keys-{keys}");
    if call(&mut stream, "DynamoDB_20120810.DescribeTable", &format!(r#"{{"TableName":"{table}"}}"#)).is_err() {
        create(&mut stream, &table, true)?;
        fill(address, &table, keys)?;
    }
    let mut request = match operation {
        Operation::Put => put(&table),
        Operation::Update => update(&table),
        Operation::Get => get(&table),
        Operation::Transact2 => transaction(&table, 2),
        Operation::Transact10 => transaction(&table, 10),
    };
    request.set_keys(keys);
    drive(address, connections, &request, Order::Random, time)
}

/// Puts every key once, in batches; gives how many that are, a multiple of the batch.
fn fill(address: SocketAddr, table: &str, keys: u64) -> Result<u64> {
    const BATCH: u64 = 25;
    let filler = "x".repeat(69);
    let one = format!(
        r#"{{"PutRequest":{{"Item":{{"pk":{{"S":"{KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}}}}}"#
    );
    let batch = vec![one; BATCH as usize].join(",");
    let keys = keys / BATCH * BATCH;
    let load = Request::new(
        "DynamoDB_20120810.BatchWriteItem",
        &format!(r#"{{"RequestItems":{{"{table}":[{batch}]}}}}"#),
        keys,
    );
    drive(address, 16, &load, Order::Sequential, Duration::ZERO)?;
    Ok(keys)
}

pub fn create(connection: &mut TcpStream, table: &str, stream: bool) -> Result<()> {
    let stream = if stream {
        r#","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}"#
    } else {
        ""
    };
    let body = format!(
        r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],"AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}}]{stream}}}"#
    );
    call(connection, "DynamoDB_20120810.CreateTable", &body).map(drop)
}

fn small(plan: &Plan, round: usize, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "small")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    figures.add("empty start to first answer", server.first_answer.as_secs_f64() * 1e3);
    figures.add("idle memory", server.memory_mb());
    create(&mut server.connect()?, "streamed", true)?;
    create(&mut server.connect()?, "plain", false)?;
    let rate = |connections, request: &Request| drive(server.address, connections, request, Order::Random, plan.time);
    // Every key is there before anything is measured.
    drive(server.address, 64, &put("streamed"), Order::Sequential, plan.time)?;
    drive(server.address, 64, &put("plain"), Order::Sequential, plan.time)?;
    // Whichever is second finds a busier tree: they take turns.
    let plain_first = round.is_multiple_of(2).then(|| rate(64, &put("plain"))).transpose()?;
    let streamed = rate(64, &put("streamed"))?;
    figures.add("PutItem, 10,000 keys, 64 connections", streamed.rate);
    figures.add("PutItem p99, 10,000 keys, 64 connections", streamed.latency.percentile_ms(0.99));
    let plain = plain_first.map_or_else(|| rate(64, &put("plain")), Ok)?;
    figures.add("cost of the stream on a write", 100.0 * (1.0 - streamed.rate / plain.rate));
    figures.add("PutItem, 16 connections", rate(16, &put("streamed"))?.rate);
    figures.add("UpdateItem (if_not_exists + 1), 64 connections", rate(64, &update("streamed"))?.rate);
    figures.add("GetItem, 16 connections", rate(16, &get("streamed"))?.rate);
    figures.add("GetItem, 64 connections", rate(64, &get("streamed"))?.rate);
    figures.add("GetRecords, one reader", read_stream(&server, "streamed", plan.time)?);
    figures.add("memory after the small load", server.memory_mb());
    server.kill();
    let again = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    figures.add("ready after a crash, small load", again.first_answer.as_secs_f64() * 1e3);
    Ok(())
}

fn transactions(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "transactions")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create(&mut server.connect()?, "streamed", true)?;
    for (name, items) in [(TRANSACTIONS_OF_2, 2), (TRANSACTIONS_OF_10, 10)] {
        let request = transaction("streamed", items);
        figures.add(name, drive(server.address, 64, &request, Order::Random, plan.time)?.rate);
    }
    Ok(())
}

const STREAMS: &str = "DynamoDBStreams_20120810";

/// Reads the shards of a table's stream from their beginnings, one after the other. Answers records a second.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn read_stream(server: &Server, table: &str, time: Duration) -> Result<f64> {
    let mut stream = server.connect()?;
    let mut ask = |operation: &str, body: &str| call(&mut stream, &format!("{STREAMS}.{operation}"), body);
    let streams = json(&ask("ListStreams", &format!(r#"{{"TableName":"{table}"}}"#))?)?;
    let arn = text(&streams["Streams"][0]["StreamArn"])?;
    let shards = json(&ask("DescribeStream", &format!(r#"{{"StreamArn":"{arn}"}}"#))?)?;
    let shards = shards["StreamDescription"]["Shards"].as_array().cloned().unwrap_or_default();
    let (mut records, start) = (0, Instant::now());
    for shard in shards {
        let body = format!(
            r#"{{"StreamArn":"{arn}","ShardId":"{}","ShardIteratorType":"TRIM_HORIZON"}}"#,
            text(&shard["ShardId"])?
        );
        let mut iterator = text(&json(&ask("GetShardIterator", &body)?)?["ShardIterator"])?;
        while start.elapsed() < time {
            let page = ask("GetRecords", &format!(r#"{{"ShardIterator":"{iterator}"}}"#))?;
            // Counted in the bytes: parsing the page here would be the greater part of the work.
            let found = count(&page, b"\"eventID\"");
            records += found;
            let next = find(&page, b"\"NextShardIterator\":\"");
            match next.filter(|_| found > 0) {
                Some(token) => iterator = token,
                None => break,
            }
        }
    }
    Ok(records as f64 / start.elapsed().as_secs_f64())
}

fn count(bytes: &[u8], word: &[u8]) -> usize {
    let mut found = 0;
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b == word[1]).filter(|at| *at > 0 || rest[0] == word[1]) {
        found += usize::from(at > 0 && rest[at - 1] == word[0] && rest[at..].starts_with(&word[1..]));
        rest = &rest[at + 1..];
    }
    found
}

fn find(bytes: &[u8], word: &[u8]) -> Option<String> {
    // The token stands before or behind the records, never inside of them.
    let at = bytes.windows(word.len()).rposition(|window| window == word)? + word.len();
    let end = bytes[at..].iter().position(|b| *b == b'"')? + at;
    String::from_utf8(bytes[at..end].to_vec()).ok()
}

fn json(bytes: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(bytes).map_err(Error::other)
}

fn text(value: &serde_json::Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| Error::other("an answer lacks a text"))
}

const TABLE_TEMPLATE: &str = "Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: probe
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
";

/// Writes a directory with a table, and with a function on its stream if `code` is given.
fn project(dir: &Path, code: Option<&str>, batch_size: u32) -> Result<()> {
    let mut template = TABLE_TEMPLATE.to_owned();
    if let Some(code) = code {
        std::fs::write(dir.join("app.py"), code)?;
        template += &format!(
            "  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: probe
      Runtime: python3.13
      Handler: app.handler
      CodeUri: .
      Timeout: 60
      Events:
        S:
          Type: DynamoDB
          Properties: {{Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: {batch_size}}}
"
        );
    }
    std::fs::write(dir.join("template.yaml"), template)
}

/// From the sending of a PutItem, which is before its commit, to the first line of the handler, on an idle system.
#[expect(clippy::disallowed_methods, reason = "it measures real time, and wants the system idle between two writes")]
fn delivery(plan: &Plan, figures: &mut Figures) -> Result<()> {
    const WRITES: u64 = 200;
    let dir = Scratch::new(&plan.scratch, "delivery")?;
    let code = "import time\ndef handler(event, context):\n    now = time.time_ns()\n    for r in event['Records']:\n        print('entered', r['dynamodb']['Keys']['pk']['S'], now)\n";
    project(&dir.0, Some(code), 100)?;
    let server = up(plan, &dir.0)?;
    let mut stream = server.connect()?;
    let mut waits = crate::histogram::Histogram::default();
    for i in 0..WRITES {
        let body = format!(r#"{{"TableName":"probe","Item":{{"pk":{{"S":"{i}"}}}}}}"#);
        let sent = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
        call(&mut stream, PUT, &body)?;
        let entered = loop {
            let line = server
                .lines
                .recv_timeout(Duration::from_secs(20))
                .map_err(|_| Error::other("the handler was not entered within 20 seconds"))?;
            let words: Vec<&str> = line.split_whitespace().rev().collect();
            if words.len() >= 3 && words[1] == i.to_string() && words[2] == "entered" {
                break words[0].parse::<u128>().map_err(Error::other)?;
            }
        };
        // The first ones start the processes.
        if i >= 40 {
            waits.record(u64::try_from(entered.saturating_sub(sent)).unwrap_or(u64::MAX));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    figures.add("sent -> Python handler entered, p50", waits.percentile_ms(0.5));
    figures.add("sent -> Python handler entered, p99", waits.percentile_ms(0.99));
    Ok(())
}

fn up(plan: &Plan, dir: &Path) -> Result<Server> {
    Server::tailrace(&plan.binary, &["up", &dir.to_string_lossy()], &dir.join("data"))
}

/// A stream that was filled before, through one function that does nothing.
fn throughput(plan: &Plan, figures: &mut Figures) -> Result<()> {
    const RECORDS: u64 = 200_000;
    let dir = Scratch::new(&plan.scratch, "throughput")?;
    project(&dir.0, None, 0)?;
    let server = up(plan, &dir.0)?;
    let mut request = put("probe");
    request.set_keys(RECORDS);
    drive(server.address, 64, &request, Order::Sequential, plan.time)?;
    drop(server);
    let code = "import time\ndef handler(event, context):\n    print('batch', len(event['Records']), time.time_ns())\n";
    project(&dir.0, Some(code), 1000)?;
    let server = up(plan, &dir.0)?;
    let mut batches: Vec<(u64, u64)> = Vec::new();
    while batches.iter().map(|(records, _)| records).sum::<u64>() < RECORDS {
        let line = server
            .lines
            .recv_timeout(Duration::from_secs(30))
            .map_err(|_| Error::other(format!("no batch for 30 seconds, after {} batches", batches.len())))?;
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., "batch", records, at] = words[..] {
            batches.push((records.parse().map_err(Error::other)?, at.parse().map_err(Error::other)?));
        }
    }
    let times = || batches.iter().map(|(_, at)| *at);
    let seconds = (times().max().unwrap_or(0) - times().min().unwrap_or(0)) as f64 / 1e9;
    // The first batch of each shard is not in the time that is counted, nor are its records.
    let first = batches.first().map_or(0, |(records, _)| *records);
    figures.add("one no-op Python handler, batch 1000", (RECORDS - first) as f64 / seconds.max(1e-9));
    Ok(())
}

fn long(plan: &Plan, items: u64, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "long")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create(&mut server.connect()?, "large", true)?;
    eprintln!("loading {items} items");
    let keys = fill(server.address, "large", items)?;
    let mut request = put("large");
    request.set_keys(keys);
    let Measure { rate, latency, stall_ms, .. } =
        drive(server.address, 64, &request, Order::Random, Duration::from_secs(60))?;
    let small = median(&figures.of("PutItem, 10,000 keys, 64 connections"));
    figures.add("PutItem, large set", rate);
    figures.add("PutItem, large set, share of the small set", 100.0 * rate / small);
    figures.add("PutItem, large set, p99", latency.percentile_ms(0.99));
    figures.add("PutItem, large set, p99.9", latency.percentile_ms(0.999));
    figures.add("PutItem, large set, longest stall", stall_ms);
    eprintln!("  PutItem, large set, longest answer: {:.2} ms", latency.max_ms());
    server.kill();
    let again = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    figures.add("ready after a crash, large set", again.first_answer.as_secs_f64() * 1e3);
    Ok(())
}
