//! A trail held against the streams that it is of: whether it has every record that they still have, and none that they have not.
//!
//! A chain and its shard are read side by side, a page at a time, as any client reads a stream. What is done to tables has no stream that
//! a client can read, and is not compared.

use std::cmp::Ordering;

use serde_json::{Value, json};
use tailrace_sinks::audit::place::Place;
use tailrace_sinks::audit::read::{FileLine, Lines};
use tailrace_sinks::audit::verify::{ChainReport, Report};

use crate::Failure;
use crate::check::count;
use crate::client::{Client, STREAMS};
use crate::say::say;

/// Compares each chain of records with its shard. `complete`: nothing may be left to enter.
///
/// # Errors
/// The server does not answer, or the trail cannot be read.
pub async fn compare(
    trail: &dyn Place,
    report: &Report,
    endpoint: &str,
    complete: bool,
) -> Result<Vec<String>, Failure> {
    let mut client = Client::new(endpoint)?;
    let mut faults = Vec::new();
    for chain in &report.chains {
        let Some((stream, shard)) = shard_of(chain) else { continue };
        match ShardRecords::open(&mut client, stream, shard).await? {
            None => say(format_args!("{}: the server has no such shard any more", chain.chain)),
            Some(records) => {
                let compared = compare_chain(trail, chain, &mut client, records, complete).await;
                faults.extend(compared?.map(|fault| format!("{}: {fault}", chain.chain)));
            }
        }
    }
    Ok(faults)
}

/// The stream and the shard that a chain is of.
fn shard_of(chain: &ChainReport) -> Option<(&str, &str)> {
    let shard = chain.chain.rsplit('/').next().filter(|name| name.starts_with("shardId-"))?;
    chain.chain.starts_with("tables/").then_some((chain.stream.as_str(), shard))
}

async fn compare_chain(
    trail: &dyn Place,
    chain: &ChainReport,
    client: &mut Client,
    mut records: ShardRecords,
    complete: bool,
) -> Result<Option<String>, Failure> {
    let mut entries = Entries::open(trail, &chain.chain).await?;
    let Some(mut record) = records.next(client).await? else { return Ok(None) };
    // What is older than the stream's oldest record is not compared.
    let mut entry = entries.next(trail).await?;
    while entry.as_deref().is_some_and(|entry| entry < record.as_str()) {
        entry = entries.next(trail).await?;
    }
    while let Some(number) = entry {
        match number.cmp(&record) {
            Ordering::Equal => {}
            Ordering::Less => return Ok(Some(format!("the stream has no record {number}, the trail has"))),
            Ordering::Greater => return Ok(Some(format!("the stream's record {record} is missing"))),
        }
        entry = entries.next(trail).await?;
        match records.next(client).await? {
            Some(next) => record = next,
            None => {
                return Ok(entry.map(|number| format!("the stream has no record {number}, the trail has")));
            }
        }
    }
    let mut behind = 1;
    while records.next(client).await?.is_some() {
        behind += 1;
    }
    let text = format!("{} of the stream, from {record} on, are not in the trail yet", count(behind, "record"));
    if complete {
        return Ok(Some(text));
    }
    say(format_args!("{}: {text}", chain.chain));
    Ok(None)
}

/// The sequence numbers of a chain's entries.
struct Entries {
    chain: String,
    files: std::vec::IntoIter<u64>,
    lines: Option<Lines>,
}

impl Entries {
    async fn open(trail: &dyn Place, chain: &str) -> Result<Entries, Failure> {
        let (files, _) = trail.files(chain).await.map_err(|error| super::unreadable(chain, &error))?;
        Ok(Entries { chain: chain.to_owned(), files: files.into_iter(), lines: None })
    }

    async fn next(&mut self, trail: &dyn Place) -> Result<Option<String>, Failure> {
        loop {
            let failed = |error: std::io::Error| super::unreadable(&self.chain, &error);
            if self.lines.is_none() {
                let Some(file) = self.files.next() else { return Ok(None) };
                self.lines = Some(Lines::new(trail.open(&self.chain, file, 0).await.map_err(failed)?));
            }
            let Some(lines) = &mut self.lines else { continue };
            match lines.next().await.map_err(failed)? {
                None => self.lines = None,
                Some(FileLine::Whole(line) | FileLine::Broken(line)) => {
                    let line: Value = serde_json::from_slice(line).unwrap_or_default();
                    if let Some(number) = line["lsn"].as_str() {
                        return Ok(Some(number.to_owned()));
                    }
                }
            }
        }
    }
}

/// The sequence numbers of a shard's records.
struct ShardRecords {
    iterator: Option<String>,
    page: std::vec::IntoIter<String>,
}

impl ShardRecords {
    /// From the oldest record on; `None`: there is no such shard.
    async fn open(client: &mut Client, stream: &str, shard: &str) -> Result<Option<ShardRecords>, Failure> {
        let request = json!({ "StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
        match client.call(STREAMS, "GetShardIterator", &request).await? {
            Ok(answer) => {
                Ok(Some(ShardRecords { iterator: iterator(&answer, "ShardIterator"), page: Vec::new().into_iter() }))
            }
            Err(error) if error.class == "ResourceNotFoundException" => Ok(None),
            Err(error) => Err(Failure::new(tailrace_server::Code::Refused, error)),
        }
    }

    async fn next(&mut self, client: &mut Client) -> Result<Option<String>, Failure> {
        loop {
            if let Some(number) = self.page.next() {
                return Ok(Some(number));
            }
            let Some(iterator) = self.iterator.take() else { return Ok(None) };
            let answer = client.call(STREAMS, "GetRecords", &json!({ "ShardIterator": iterator })).await?;
            let answer = answer.map_err(|error| Failure::new(tailrace_server::Code::Refused, error))?;
            let records = answer["Records"].as_array().into_iter().flatten();
            let numbers = records.filter_map(|record| record["dynamodb"]["SequenceNumber"].as_str().map(str::to_owned));
            self.page = numbers.collect::<Vec<_>>().into_iter();
            // An empty page of a shard that is open is its end for now.
            self.iterator = self::iterator(&answer, "NextShardIterator").filter(|_| self.page.len() > 0);
        }
    }
}

fn iterator(answer: &Value, member: &str) -> Option<String> {
    answer[member].as_str().map(str::to_owned)
}
