//! How the lines of the budget table are measured, one function each or a few together, and the order of them.

use std::io::{Error, Result};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::cpu;
use crate::generator::{KEY, Measure, Order, Request, VALUE, call, drive};
use crate::lines::*;
use crate::process::{Scratch, Server};
use crate::report::{Line, median};
use crate::service::Services;
use crate::tables::{self, Indexes};
use crate::{functions, mappings, sinks, zoo};

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
    /// Lines with functions; they need python3, and those of Node.js node.
    pub functions: bool,
    /// How real servers are had, for the lines that need one.
    pub services: Services,
    /// Of those the ones whose lines are left out.
    pub without: Vec<Without>,
    /// Just the lines whose name contains this.
    pub only: Option<String>,
}

/// A server that not every machine can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Without {
    /// PostgreSQL.
    Postgres,
    /// OpenSearch.
    Opensearch,
}

/// Keys of the small set.
pub const SMALL_KEYS: u64 = 10_000;
pub const PUT: &str = "DynamoDB_20120810.PutItem";

/// Measures everything that is wanted. A part that fails is told in its lines; how many those are.
pub fn run(plan: &Plan) -> (Vec<Line>, usize) {
    let mut figures = Figures::new(plan.only.clone());
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        figures.part(&[BARE_64, CPU_BARE, BARE_16], |figures| bare(plan, figures));
        figures.part(&PROCESSOR, |figures| processor(plan, figures));
        figures.part(SMALL, |figures| small(plan, round, figures));
        figures.part(&[TRANSACTIONS_OF_2, TRANSACTIONS_OF_10], |figures| transactions(plan, figures));
        tables::measure(plan, &mut figures);
        sinks::measure(plan, &mut figures);
        mappings::measure(plan, &mut figures);
        if plan.functions {
            functions::measure(plan, &mut figures);
            zoo::measure(plan, &mut figures);
        }
    }
    if let Some(items) = plan.long_items {
        figures.part(LARGE, |figures| long(plan, items, figures));
        tables::measure_large(plan, items, &mut figures);
    }
    (figures.lines(), figures.failures())
}

/// The lines of the small set.
const SMALL: &[&str] = &[
    FIRST_ANSWER,
    MEMORY_IDLE,
    PUT_64,
    PUT_P99,
    STREAM_COST,
    PUT_16,
    UPDATE_64,
    GET_16,
    GET_64,
    GET_RECORDS,
    MEMORY_LOADED,
    READY_SMALL,
];

/// The lines of the large set.
const LARGE: &[&str] = &[LARGE_SHARE, LARGE_RATE, LARGE_P99, LARGE_P999, LARGE_STALL, READY_LARGE];

fn bare(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let server = Server::bare()?;
    let request = put("t");
    figures.part(&[BARE_64, CPU_BARE], |figures| {
        let (measure, cpu) = with_cpu(&server, || drive(server.address, 64, &request, Order::Random, plan.time))?;
        figures.add(BARE_64, measure.rate);
        figures.add(CPU_BARE, cpu);
        Ok(())
    });
    figures.line(BARE_16, || Ok(drive(server.address, 16, &request, Order::Random, plan.time)?.rate));
    Ok(())
}

/// The lines of the processor's time.
const PROCESSOR: [&str; 4] = [CPU_PUT, CPU_PUT_TO_BARE, CPU_GET, CPU_GET_TO_BARE];

fn processor(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let [put, get] = cpu::costs(plan)?;
    for (name, figure) in PROCESSOR.into_iter().zip([put.micros, put.to_bare, get.micros, get.to_bare]) {
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

/// An item of 100 bytes.
pub fn item() -> String {
    let filler = "x".repeat(69);
    format!(r#"{{"pk":{{"S":"{KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}"#)
}

/// A PutItem of a 100-byte item.
pub fn put(table: &str) -> Request {
    put_of(table, &item())
}

/// A PutItem of an item.
pub fn put_of(table: &str, item: &str) -> Request {
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

/// The item of 100 bytes at a place in a transaction; no other place has its key.
fn transaction_item(index: usize) -> String {
    let filler = "x".repeat(66);
    format!(r#"{{"pk":{{"S":"{index:02}-{KEY}"}},"n":{{"N":"{VALUE}"}},"data":{{"S":"{filler}"}}}}"#)
}

/// A transaction that puts so many 100-byte items, with a token, as clients send it.
fn transaction(table: &str, items: usize) -> Request {
    let put = |index: usize| format!(r#"{{"Put":{{"TableName":"{table}","Item":{}}}}}"#, transaction_item(index));
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
    /// PutItem into a table with one KEYS_ONLY index.
    PutKeysOnly,
    /// PutItem into a table with five indexes that project all.
    PutFiveAll,
    /// Query of 100 items.
    Query,
    /// The first page of a Scan.
    Scan,
}

/// Drives one kind of load against a server that runs already; makes and fills its table if it is not there.
///
/// # Errors
/// The server does not answer, or answers an error.
pub fn load(port: u16, operation: Operation, connections: usize, keys: u64, time: Duration) -> Result<Measure> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect(address)?;
    let table = format!("keys-{keys}");
    let is_there = |stream: &mut TcpStream, table: &str| {
        call(stream, "DynamoDB_20120810.DescribeTable", &format!(r#"{{"TableName":"{table}"}}"#)).is_ok()
    };
    if !is_there(&mut stream, &table) {
        create(&mut stream, &table, true)?;
        fill(address, &table, &item(), keys)?;
    }
    let mut request = match operation {
        Operation::Put => put(&table),
        Operation::Update => update(&table),
        Operation::Get => get(&table),
        Operation::Transact2 => transaction(&table, 2),
        Operation::Transact10 => transaction(&table, 10),
        Operation::Scan => Request::new(tables::SCAN_TARGET, &format!(r#"{{"TableName":"{table}"}}"#), keys),
        Operation::PutKeysOnly | Operation::PutFiveAll => {
            let indexes = if operation == Operation::PutKeysOnly { Indexes::KEYS_ONLY } else { Indexes::FIVE_ALL };
            let table = format!("indexed-{}-{keys}", indexes.count);
            if !is_there(&mut stream, &table) {
                indexes.create_table(&mut stream, &table)?;
                fill(address, &table, &indexes.item(), keys)?;
            }
            put_of(&table, &indexes.item())
        }
        Operation::Query => {
            if !is_there(&mut stream, "partitions") {
                tables::create_partitions(&mut stream, "partitions")?;
            }
            let request = tables::query("partitions");
            return drive(address, connections, &request, Order::Random, time);
        }
    };
    request.set_keys(keys);
    drive(address, connections, &request, Order::Random, time)
}

/// Puts the item with every key once, in batches; gives how many that are, a multiple of the batch.
pub fn fill(address: SocketAddr, table: &str, item: &str, keys: u64) -> Result<u64> {
    const BATCH: u64 = 25;
    let one = format!(r#"{{"PutRequest":{{"Item":{item}}}}}"#);
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
    figures.add(FIRST_ANSWER, server.first_answer.as_secs_f64() * 1e3);
    figures.add(MEMORY_IDLE, server.memory_mb());
    create(&mut server.connect()?, "streamed", true)?;
    create(&mut server.connect()?, "plain", false)?;
    let rate = |connections, request: &Request| drive(server.address, connections, request, Order::Random, plan.time);
    // Every key is there before anything is measured.
    drive(server.address, 64, &put("streamed"), Order::Sequential, plan.time)?;
    drive(server.address, 64, &put("plain"), Order::Sequential, plan.time)?;
    figures.part(&[PUT_64, PUT_P99, STREAM_COST], |figures| {
        // Whichever is second finds a busier tree: they take turns.
        let plain_first = round.is_multiple_of(2).then(|| rate(64, &put("plain"))).transpose()?;
        let streamed = rate(64, &put("streamed"))?;
        figures.add(PUT_64, streamed.rate);
        figures.add(PUT_P99, streamed.latency.percentile_ms(0.99));
        let plain = plain_first.map_or_else(|| rate(64, &put("plain")), Ok)?;
        figures.add(STREAM_COST, 100.0 * (1.0 - streamed.rate / plain.rate));
        Ok(())
    });
    figures.line(PUT_16, || Ok(rate(16, &put("streamed"))?.rate));
    figures.line(UPDATE_64, || Ok(rate(64, &update("streamed"))?.rate));
    figures.line(GET_16, || Ok(rate(16, &get("streamed"))?.rate));
    figures.line(GET_64, || Ok(rate(64, &get("streamed"))?.rate));
    figures.line(GET_RECORDS, || read_stream(&server, "streamed", plan.time));
    figures.line(MEMORY_LOADED, || Ok(server.memory_mb()));
    server.kill();
    figures.line(READY_SMALL, || {
        let again = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
        Ok(again.first_answer.as_secs_f64() * 1e3)
    });
    Ok(())
}

fn transactions(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "transactions")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create(&mut server.connect()?, "streamed", true)?;
    // Every key is there before anything is measured.
    for index in 0..10 {
        fill(server.address, "streamed", &transaction_item(index), SMALL_KEYS)?;
    }
    for (name, items) in [(TRANSACTIONS_OF_2, 2), (TRANSACTIONS_OF_10, 10)] {
        let request = transaction("streamed", items);
        figures.line(name, || Ok(drive(server.address, 64, &request, Order::Random, plan.time)?.rate));
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

pub fn json(bytes: &[u8]) -> Result<serde_json::Value> {
    serde_json::from_slice(bytes).map_err(Error::other)
}

pub fn text(value: &serde_json::Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| Error::other("an answer lacks a text"))
}

fn long(plan: &Plan, items: u64, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "long")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create(&mut server.connect()?, "large", true)?;
    eprintln!("loading {items} items");
    let keys = fill(server.address, "large", &item(), items)?;
    let mut request = put("large");
    request.set_keys(keys);
    let Measure { rate, latency, stall_ms, .. } =
        drive(server.address, 64, &request, Order::Random, Duration::from_secs(60))?;
    let small = median(&figures.of(PUT_64));
    figures.add(LARGE_RATE, rate);
    figures.add(LARGE_SHARE, 100.0 * rate / small);
    figures.add(LARGE_P99, latency.percentile_ms(0.99));
    figures.add(LARGE_P999, latency.percentile_ms(0.999));
    figures.add(LARGE_STALL, stall_ms);
    eprintln!("  PutItem, large set, longest answer: {:.2} ms", latency.max_ms());
    server.kill();
    let again = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    figures.add(READY_LARGE, again.first_answer.as_secs_f64() * 1e3);
    Ok(())
}
