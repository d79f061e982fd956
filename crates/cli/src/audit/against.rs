//! A trail held against the server that writes it: whether it has all that the server knows to have written, every record that the streams
//! still have, and none that they have not.
//!
//! The heads of all chains are asked for before the trail is read, which must have each of them: a chain, or an end of one, that was taken away
//! is seen by that. Then a chain and its shard are read side by side, a page at a time, as any client reads a stream; what is done to tables
//! has no stream that a client can read.

use std::cmp::Ordering;

use serde_json::{Value, json};
use tailrace_server::sinks::{TrailPage, WaitingTable};
use tailrace_sinks::audit::ChainHead;
use tailrace_sinks::audit::place::{At, Place};
use tailrace_sinks::audit::read::{FileLine, Lines};
use tailrace_sinks::audit::verify::{ChainReport, KnownHead, Report};
use tailrace_sinks::spec::is_sink_name;

use super::verify::counted;
use crate::Failure;
use crate::check::count;
use crate::client::{Client, DYNAMODB, STREAMS, ServiceError};
use crate::say::say;

/// Asks what the server knows of a trail.
///
/// # Errors
/// The server does not answer, or has no such trail; or the trail cannot be read.
pub async fn known(trail: &dyn Place, endpoint: &str) -> Result<TrailPage, Failure> {
    // Whoever finds that it holds no trail says so.
    let Some(name) = name_of(trail).await? else { return Ok(TrailPage::default()) };
    let (page, _): (TrailPage, _) = Client::new(endpoint)?.page(&format!("/_admin/sinks/trail?name={name}")).await?;
    Ok(page)
}

/// The heads that have to be in the place, as the server names it: this one, or, if it knows none of this name (a copy, a directory that is
/// mounted here), where the newest records are. Chains that had ended before a trail moved are where it was.
pub fn heads<'a>(known: &'a TrailPage, place: &str) -> impl Iterator<Item = (String, KnownHead)> + 'a {
    let named = known.heads.iter().find(|head| head.place == place);
    let newest = || known.heads.iter().max_by_key(|head| head.last);
    let place = named.or_else(newest).map(|head| &head.place);
    let here = known.heads.iter().filter(move |head| Some(&head.place) == place);
    here.map(|ChainHead { chain, head, entries, .. }| {
        (chain.clone(), KnownHead { next_entry: *entries, head: head.clone() })
    })
}

/// The name of the sink that wrote a trail: so the head of any segment says.
async fn name_of(trail: &dyn Place) -> Result<Option<String>, Failure> {
    let failed = |error: std::io::Error| super::unreadable(&trail.name(), &error);
    for chain in trail.chains().await.map_err(failed)? {
        let (files, _) = trail.files(&chain).await.map_err(failed)?;
        let Some(file) = files.first() else { continue };
        let mut lines = Lines::new(trail.open(&At::start_of(&chain, *file)).await.map_err(failed)?);
        if let Some(FileLine::Whole(line)) = lines.next().await.map_err(failed)? {
            let head: Value = serde_json::from_slice(line).unwrap_or_default();
            // Whatever stands there now: only a name of a sink can be asked for.
            if let Some(name) = head["trail"].as_str().filter(|name| is_sink_name(name)) {
                return Ok(Some(name.to_owned()));
            }
        }
    }
    Ok(None)
}

/// Compares each chain of records with its shard. `complete`: nothing may be left to enter, and no table left out.
///
/// # Errors
/// The server does not answer, or the trail cannot be read.
pub async fn compare(
    trail: &dyn Place,
    report: &Report,
    known: &TrailPage,
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
                let begins_later = chain.continues.is_some() || chain.first_entry == 0 && !known.from_trim_horizon;
                let compared = compare_chain(trail, chain, &mut client, records, (begins_later, complete)).await;
                faults.extend(compared?.map(|fault| format!("{}: {fault}", chain.chain)));
            }
        }
    }
    if complete {
        for WaitingTable { table, reason } in &known.waiting {
            if has_records(&mut client, table).await? {
                faults.push(format!("{table} is not entered, and its stream has records: {reason}"));
            }
        }
    }
    // Of chains that are still to begin.
    if complete && known.lag_records > 0 && faults.is_empty() {
        faults.push(format!("{} are not in the trail yet", counted(known.lag_records, "record")));
    }
    Ok(faults)
}

/// Whether the stream of a table has any record. There may be no such table, or no stream: what is not there has none.
async fn has_records(client: &mut Client, table: &str) -> Result<bool, Failure> {
    let refused = |error: ServiceError| Failure::new(tailrace_server::Code::Refused, error);
    let described = match client.call(DYNAMODB, "DescribeTable", &json!({ "TableName": table })).await? {
        Err(error) if error.class != "ResourceNotFoundException" => return Err(refused(error)),
        described => described.unwrap_or_default(),
    };
    let Some(stream) = described["Table"]["LatestStreamArn"].as_str() else { return Ok(false) };
    let mut request = json!({ "StreamArn": stream });
    loop {
        let answer = client.call(STREAMS, "DescribeStream", &request).await?.map_err(refused)?;
        let shards = answer["StreamDescription"]["Shards"].as_array().into_iter().flatten();
        for shard in shards.filter_map(|shard| shard["ShardId"].as_str()) {
            // One that is gone meanwhile has no records.
            let records = ShardRecords::open(client, stream, shard).await?;
            if let Some(mut records) = records
                && records.next(client).await?.is_some()
            {
                return Ok(true);
            }
        }
        match &answer["StreamDescription"]["LastEvaluatedShardId"] {
            Value::String(last) => request["ExclusiveStartShardId"] = json!(last),
            _ => return Ok(false),
        }
    }
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
    (begins_later, complete): (bool, bool),
) -> Result<Option<String>, Failure> {
    let mut entries = Entries::open(trail, &chain.chain).await?;
    let Some(mut record) = records.next(client).await? else { return Ok(None) };
    // What is older than the stream's oldest record is not compared.
    let mut entry = entries.next(trail).await?;
    while entry.as_deref().is_some_and(|entry| entry < record.as_str()) {
        entry = entries.next(trail).await?;
    }
    // Nor is what came before the trail, or lies where it was before.
    while begins_later && entry.as_deref().is_some_and(|entry| record.as_str() < entry) {
        match records.next(client).await? {
            Some(next) => record = next,
            None => return Ok(entry.map(|number| format!("the stream has no record {number}, the trail has"))),
        }
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
                self.lines = Some(Lines::new(trail.open(&At::start_of(&self.chain, file)).await.map_err(failed)?));
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
