//! The lines of tables as applications have them: writes with indexes, pages of queries and scans, the fill of a new index, and a
//! large set with an index.
//!
//! What is compared runs in short slices in turn, so that what else the machine does meets both alike. Every write changes each
//! attribute that an index is on: an entry that stays as it is would cost nothing.

use std::io::{Error, Result};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::generator::{KEY, Order, Reader, Request, VALUE, call, drive, drive_while};
use crate::lines::*;
use crate::process::{Scratch, Server};
use crate::suite::{Plan, SMALL_KEYS, create, fill, item, json, put, put_of, text, with_cpu};

const CREATE_TABLE: &str = "DynamoDB_20120810.CreateTable";
const DESCRIBE_TABLE: &str = "DynamoDB_20120810.DescribeTable";
pub const SCAN_TARGET: &str = "DynamoDB_20120810.Scan";

/// The time of a slice.
const SLICE: Duration = Duration::from_millis(500);
/// Partitions of the table that is queried, and items of each.
const PARTITIONS: u64 = 100;
const PARTITION_ITEMS: u64 = 100;
/// Items of the table that is scanned: it is read over and over.
const SCAN_ITEMS: u64 = 200_000;
/// Items of the table that gets an index.
const BACKFILL_ITEMS: u64 = 500_000;
/// Connections of the writer beside the backfill.
const BACKFILL_CONNECTIONS: usize = 16;
/// Time of the load on the large set.
const LARGE_TIME: Duration = Duration::from_secs(60);

/// The lines of every round.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    for (lines, indexes) in [(KEYS_ONLY, Indexes::KEYS_ONLY), (FIVE_ALL, Indexes::FIVE_ALL)] {
        figures.part(&lines.names(), |figures| indexed(plan, &lines, indexes, figures));
    }
    figures.part(&[QUERY], |figures| queries(plan, figures));
    figures.part(&[SCAN], |figures| scan(plan, figures));
    figures.part(&[BACKFILL, BACKFILL_WRITER], |figures| backfill(plan, figures));
}

/// The lines of the long form.
pub fn measure_large(plan: &Plan, items: u64, figures: &mut Figures) {
    let lines = [LARGE_INDEXED_SHARE, LARGE_INDEXED_RATE, LARGE_INDEXED_P99];
    figures.part(&lines, |figures| large(plan, items, figures));
}

/// The global indexes of a table, each on an attribute of its own.
#[derive(Clone, Copy)]
pub struct Indexes {
    /// How many.
    pub count: usize,
    projection: &'static str,
}

impl Indexes {
    pub const KEYS_ONLY: Indexes = Indexes { count: 1, projection: "KEYS_ONLY" };
    pub const FIVE_ALL: Indexes = Indexes { count: 5, projection: "ALL" };

    /// Makes a table that has them, without a stream.
    ///
    /// # Errors
    /// The server refuses it.
    pub fn create_table(self, connection: &mut TcpStream, name: &str) -> Result<()> {
        let of_each = |text: fn(usize, &str) -> String| -> String {
            (0..self.count).map(|index| text(index, self.projection)).collect::<Vec<_>>().join(",")
        };
        let attributes = of_each(|index, _| format!(r#"{{"AttributeName":"a{index}","AttributeType":"S"}}"#));
        let indexes = of_each(|index, projection| {
            format!(
                r#"{{"IndexName":"by-a{index}","KeySchema":[{{"AttributeName":"a{index}","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"{projection}"}}}}"#
            )
        });
        let body = format!(
            r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}}],"AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}},{attributes}],"GlobalSecondaryIndexes":[{indexes}]}}"#
        );
        call(connection, CREATE_TABLE, &body).map(drop)
    }

    /// An item of 100 bytes with an entry in each of them.
    pub fn item(self) -> String {
        let attributes: String = (0..self.count).map(|index| format!(r#""a{index}":{{"S":"{VALUE}"}},"#)).collect();
        let filler = "x".repeat(84 - 12 * self.count);
        format!(r#"{{"pk":{{"S":"{KEY}"}},{attributes}"data":{{"S":"{filler}"}}}}"#)
    }
}

/// What the slices of a load come to.
#[derive(Default)]
struct Slices {
    answers: f64,
    seconds: f64,
    cpu_us: f64,
}

impl Slices {
    fn rate(&self) -> f64 {
        self.answers / self.seconds
    }

    fn cpu_each(&self) -> f64 {
        self.cpu_us / self.answers
    }
}

/// The same items into a table without indexes and into one with them, each on a server of its own.
fn indexed(plan: &Plan, lines: &IndexedLines, indexes: Indexes, figures: &mut Figures) -> Result<()> {
    let data = [Scratch::new(&plan.scratch, "plain")?, Scratch::new(&plan.scratch, "indexed")?];
    let start = |data: &Scratch| Server::tailrace(&plan.binary, &["serve"], &data.0);
    let servers = [start(&data[0])?, start(&data[1])?];
    create(&mut servers[0].connect()?, "items", false)?;
    indexes.create_table(&mut servers[1].connect()?, "items")?;
    let item = indexes.item();
    for server in &servers {
        fill(server.address, "items", &item, SMALL_KEYS)?;
    }
    let [plain, indexed] = in_turn(&servers, &put_of("items", &item), plan.time)?;
    figures.add(lines.rate, indexed.rate());
    figures.add(lines.share, 100.0 * indexed.rate() / plain.rate());
    figures.add(lines.cpu_plain, plain.cpu_each());
    figures.add(lines.cpu, indexed.cpu_each());
    Ok(())
}

/// A load over 64 connections on each of two servers for `time`. Whichever has no load is stopped, so that what it has left to do
/// in the background meets its own rate and not the other's.
fn in_turn(servers: &[Server; 2], request: &Request, time: Duration) -> Result<[Slices; 2]> {
    let mut slices = [Slices::default(), Slices::default()];
    servers.iter().try_for_each(Server::pause)?;
    for turn in 0..time.as_millis().div_ceil(SLICE.as_millis()) {
        // First one, then the other begins.
        let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
        for which in order {
            let (server, slices) = (&servers[which], &mut slices[which]);
            server.resume()?;
            let (measure, cpu) = with_cpu(server, || drive(server.address, 64, request, Order::Random, SLICE))?;
            server.pause()?;
            slices.answers += measure.answers as f64;
            slices.seconds += measure.answers as f64 / measure.rate;
            slices.cpu_us += cpu * measure.answers as f64;
        }
    }
    Ok(slices)
}

/// Makes a table with partitions of items of 100 bytes, and fills it.
///
/// # Errors
/// The server refuses something.
pub fn create_partitions(connection: &mut TcpStream, table: &str) -> Result<()> {
    let body = format!(
        r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST","KeySchema":[{{"AttributeName":"pk","KeyType":"HASH"}},{{"AttributeName":"sk","KeyType":"RANGE"}}],"AttributeDefinitions":[{{"AttributeName":"pk","AttributeType":"S"}},{{"AttributeName":"sk","AttributeType":"S"}}]}}"#
    );
    call(connection, CREATE_TABLE, &body)?;
    let filler = "x".repeat(79);
    let put = |partition: u64, item: u64| {
        format!(
            r#"{{"PutRequest":{{"Item":{{"pk":{{"S":"{partition:010}"}},"sk":{{"S":"{item:03}"}},"data":{{"S":"{filler}"}}}}}}}}"#
        )
    };
    for partition in 0..PARTITIONS {
        for first in (0..PARTITION_ITEMS).step_by(25) {
            let puts: Vec<String> = (first..first + 25).map(|item| put(partition, item)).collect();
            let body = format!(r#"{{"RequestItems":{{"{table}":[{}]}}}}"#, puts.join(","));
            call(connection, "DynamoDB_20120810.BatchWriteItem", &body)?;
        }
    }
    Ok(())
}

/// A Query of a whole partition of such a table.
pub fn query(table: &str) -> Request {
    let body = format!(
        r#"{{"TableName":"{table}","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{{":p":{{"S":"{KEY}"}}}}}}"#
    );
    Request::new("DynamoDB_20120810.Query", &body, PARTITIONS)
}

fn queries(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "queries")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create_partitions(&mut server.connect()?, "pages")?;
    figures.add(QUERY, drive(server.address, 16, &query("pages"), Order::Random, plan.time)?.rate);
    Ok(())
}

/// Reads a table page after page over one connection.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn scan(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "scan")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    create(&mut server.connect()?, "scanned", false)?;
    let filled = fill(server.address, "scanned", &item(), SCAN_ITEMS)?;
    let mut reader = Reader::new(server.connect()?);
    let (mut items, start) = (0, Instant::now());
    while start.elapsed() < plan.time {
        let mut whole = 0;
        let mut from = String::new();
        loop {
            let page = reader.call(SCAN_TARGET, &format!(r#"{{"TableName":"scanned"{from}}}"#))?;
            let (count, last) = page_end(page)?;
            whole += count;
            match last {
                Some(last) => from = format!(r#","ExclusiveStartKey":{last}"#),
                None => break,
            }
        }
        if whole != filled {
            return Err(Error::other(format!("a scan of {filled} items gave {whole}")));
        }
        items += whole;
    }
    figures.add(SCAN, items as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

/// The count of a page, and the key that the next one begins behind: they stand behind the items, which are not parsed here, since
/// that would be the greater part of the work.
fn page_end(page: &[u8]) -> Result<(u64, Option<String>)> {
    const COUNT: &[u8] = b"],\"Count\":";
    let at = page.windows(COUNT.len()).rposition(|window| window == COUNT);
    let at = at.ok_or_else(|| Error::other("a page has no Count behind its items"))?;
    let end = [b"{\"Items\":[", &page[at..]].concat();
    let end = json(&end)?;
    let count = end["Count"].as_u64().ok_or_else(|| Error::other("a page has no Count"))?;
    Ok((count, end.get("LastEvaluatedKey").map(ToString::to_string)))
}

/// A new index over a filled table, beside a writer: the time until it is active, and what the writer keeps of its rate.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn backfill(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "backfill")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    let mut connection = server.connect()?;
    create(&mut connection, "filled", false)?;
    let items = fill(server.address, "filled", &item(), BACKFILL_ITEMS)?;
    let mut request = put("filled");
    request.set_keys(items);
    let address = server.address;
    let (over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let write = || {
        drive_while(address, BACKFILL_CONNECTIONS, &request, Order::Random, |_| {
            written.fetch_add(1, Ordering::Relaxed);
            !over.load(Ordering::Relaxed)
        })
    };
    let rate_since =
        |before: u64, since: Instant| (written.load(Ordering::Relaxed) - before) as f64 / since.elapsed().as_secs_f64();
    // Gives the rate of the fill, and those of the writer before it and beside it.
    let mut fill = || -> Result<[f64; 3]> {
        let (before, start) = (written.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(plan.time);
        let alone = rate_since(before, start);
        let (before, start) = (written.load(Ordering::Relaxed), Instant::now());
        add_index(&mut connection, "filled")?;
        let took = start.elapsed().as_secs_f64();
        Ok([items as f64 / took, alone, rate_since(before, start)])
    };
    std::thread::scope(|scope| {
        let writer = scope.spawn(write);
        let filled = fill();
        over.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| Error::other("the writer panicked"))??;
        let [rate, alone, beside] = filled?;
        eprintln!("  the writer: {alone:.0}/s before, {beside:.0}/s beside");
        figures.add(BACKFILL, rate);
        figures.add(BACKFILL_WRITER, 100.0 * beside / alone);
        Ok(())
    })
}

/// Gives a table a KEYS_ONLY index, and waits until it is active.
#[expect(clippy::disallowed_methods, reason = "it waits for what can only be asked for")]
fn add_index(connection: &mut TcpStream, table: &str) -> Result<()> {
    let body = format!(
        r#"{{"TableName":"{table}","AttributeDefinitions":[{{"AttributeName":"n","AttributeType":"N"}}],"GlobalSecondaryIndexUpdates":[{{"Create":{{"IndexName":"by-n","KeySchema":[{{"AttributeName":"n","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"KEYS_ONLY"}}}}}}]}}"#
    );
    call(connection, "DynamoDB_20120810.UpdateTable", &body)?;
    loop {
        let table = json(&call(connection, DESCRIBE_TABLE, &format!(r#"{{"TableName":"{table}"}}"#))?)?;
        if text(&table["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"])? == "ACTIVE" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sustained writes to a large table with one index, beside those to a small one before.
fn large(plan: &Plan, items: u64, figures: &mut Figures) -> Result<()> {
    let data = Scratch::new(&plan.scratch, "large-indexed")?;
    let server = Server::tailrace(&plan.binary, &["serve"], &data.0)?;
    let indexes = Indexes::KEYS_ONLY;
    let item = indexes.item();
    for table in ["small", "large"] {
        indexes.create_table(&mut server.connect()?, table)?;
    }
    let keys = fill(server.address, "small", &item, SMALL_KEYS)?;
    let mut request = put_of("small", &item);
    request.set_keys(keys);
    let small = drive(server.address, 64, &request, Order::Random, plan.time)?;
    eprintln!("loading {items} items with an index");
    let keys = fill(server.address, "large", &item, items)?;
    let mut request = put_of("large", &item);
    request.set_keys(keys);
    let large = drive(server.address, 64, &request, Order::Random, LARGE_TIME)?;
    figures.add(LARGE_INDEXED_RATE, large.rate);
    figures.add(LARGE_INDEXED_SHARE, 100.0 * large.rate / small.rate);
    figures.add(LARGE_INDEXED_P99, large.latency.percentile_ms(0.99));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_page_gives_its_count_and_the_next_start() {
        let page =
            br#"{"Items":[{"a":{"S":"],\"Count\":7"}}],"Count":1,"ScannedCount":1,"LastEvaluatedKey":{"a":{"S":"}"}}}"#;
        assert_eq!(page_end(page).unwrap(), (1, Some(r#"{"a":{"S":"}"}}"#.to_owned())));
        assert_eq!(page_end(br#"{"Items":[],"Count":0,"ScannedCount":0}"#).unwrap(), (0, None));
    }

    #[test]
    fn an_item_has_100_bytes_whatever_its_indexes() {
        for indexes in [Indexes::KEYS_ONLY, Indexes::FIVE_ALL] {
            let item = json(indexes.item().as_bytes()).unwrap();
            let size = |(name, value): (&String, &serde_json::Value)| name.len() + value["S"].as_str().unwrap().len();
            assert_eq!(item.as_object().unwrap().iter().map(size).sum::<usize>(), 100);
        }
    }
}
