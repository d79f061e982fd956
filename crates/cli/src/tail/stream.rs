//! Reads one stream, and keeps the place in each of its shards by the last sequence number that was shown: an iterator
//! is only the way there, and can be had again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tailrace_server::Code;

use crate::Failure;
use crate::client::{Client, NoAnswer, STREAMS};
use crate::say::{Reader, say};

/// A stream on its way to its end.
pub struct StreamReader {
    arn: String,
    shards: BTreeMap<String, Shard>,
}

struct Shard {
    position: Position,
    /// Absent: it has to be asked for, at `position`.
    iterator: Option<String>,
    /// It is closed, and all of it was read.
    finished: bool,
}

/// Where to read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// With the oldest record that there is.
    Oldest,
    /// With the next one that comes.
    Next,
    /// After this one.
    After(String),
}

/// What a round over all shards brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Records.
    Records,
    /// None.
    None,
    /// Nobody to show them to.
    ReaderGone,
}

/// Why there was no answer to use, by what to do about it.
#[derive(Debug)]
pub enum Trouble {
    /// The server is not there, or not able: try again.
    Lost(String),
    /// There is no such table, stream or shard.
    NotFound(String),
    /// The iterator is of no use any more: ask for another.
    Iterator(String),
    /// What was to be read next is not kept any more.
    Trimmed(String),
    /// Tell the user and end.
    Failed(Failure),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Lost(text) => Failure::new(Code::NoServer, text),
            Trouble::NotFound(text) | Trouble::Iterator(text) | Trouble::Trimmed(text) => {
                Failure::new(Code::Refused, text)
            }
            Trouble::Failed(failure) => failure,
        }
    }
}

impl StreamReader {
    /// A stream of which nothing is known but its name.
    pub fn new(arn: String) -> StreamReader {
        StreamReader { arn, shards: BTreeMap::new() }
    }

    /// Its name.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// Every shard that is known is closed, and was read.
    pub fn is_at_the_end(&self) -> bool {
        self.shards.values().all(|shard| shard.finished)
    }

    /// Takes in the shards that are new, to be read from `position` on, and forgets those that are gone.
    pub async fn list_shards(&mut self, client: &mut Client, position: &Position) -> Result<(), Trouble> {
        let mut request = json!({ "StreamArn": self.arn });
        let mut listed = BTreeSet::new();
        loop {
            let page = call(client, STREAMS, "DescribeStream", &request).await?["StreamDescription"].take();
            for id in page["Shards"].as_array().into_iter().flatten().filter_map(|shard| shard["ShardId"].as_str()) {
                let fresh = || Shard { position: position.clone(), iterator: None, finished: false };
                let shard = self.shards.entry(id.to_owned()).or_insert_with(fresh);
                // At once: "the next one" is the next from now on.
                if !shard.finished {
                    shard.open(client, &self.arn, id).await?;
                }
                listed.insert(id.to_owned());
            }
            match page["LastEvaluatedShardId"].as_str() {
                Some(last) => request["ExclusiveStartShardId"] = json!(last),
                None => break,
            }
        }
        self.shards.retain(|id, _| listed.contains(id));
        Ok(())
    }

    /// Reads a page of each shard, and shows its records.
    pub async fn read(
        &mut self,
        client: &mut Client,
        show: &mut (dyn FnMut(&Value) -> Result<Reader, Failure> + Send),
    ) -> Result<Round, Trouble> {
        let mut round = Round::None;
        for (id, shard) in self.shards.iter_mut().filter(|(_, shard)| !shard.finished) {
            let page = shard.page(client, &self.arn, id).await?;
            for record in page["Records"].as_array().into_iter().flatten() {
                round = Round::Records;
                if show(record).map_err(Trouble::Failed)? == Reader::Gone {
                    return Ok(Round::ReaderGone);
                }
                if let Some(number) = record["dynamodb"]["SequenceNumber"].as_str() {
                    shard.position = Position::After(number.to_owned());
                }
            }
            shard.iterator = page["NextShardIterator"].as_str().map(str::to_owned);
            shard.finished = shard.iterator.is_none();
        }
        Ok(round)
    }
}

impl Shard {
    /// The next page. The place stays as it is, so that a lost answer can be asked for again.
    async fn page(&mut self, client: &mut Client, arn: &str, id: &str) -> Result<Value, Trouble> {
        loop {
            let token = self.open(client, arn, id).await?;
            match call(client, STREAMS, "GetRecords", &json!({ "ShardIterator": token })).await {
                Err(Trouble::Iterator(why)) => {
                    self.iterator = None;
                    if self.position == Position::Next {
                        say(format_args!("{id}: {why}; reading on with what comes from now on"));
                    }
                }
                Err(Trouble::Trimmed(_)) => self.start_over(id),
                answer => return answer,
            }
        }
    }

    /// The iterator, asked for if it is not there.
    async fn open(&mut self, client: &mut Client, arn: &str, id: &str) -> Result<String, Trouble> {
        loop {
            if let Some(token) = &self.iterator {
                return Ok(token.clone());
            }
            let mut ask = json!({ "StreamArn": arn, "ShardId": id });
            let kind = match &self.position {
                Position::Oldest => "TRIM_HORIZON",
                Position::Next => "LATEST",
                Position::After(number) => {
                    ask["SequenceNumber"] = json!(number);
                    "AFTER_SEQUENCE_NUMBER"
                }
            };
            ask["ShardIteratorType"] = json!(kind);
            match call(client, STREAMS, "GetShardIterator", &ask).await {
                Err(Trouble::Trimmed(_)) if self.position != Position::Oldest => self.start_over(id),
                answer => match answer?["ShardIterator"].as_str() {
                    Some(token) => self.iterator = Some(token.to_owned()),
                    None => {
                        return Err(Trouble::Failed(Failure::new(
                            Code::ForeignServer,
                            format_args!("{id}: an answer without an iterator"),
                        )));
                    }
                },
            }
        }
    }

    fn start_over(&mut self, id: &str) {
        say(format_args!("{id}: records were trimmed before they were read; reading on with the oldest that is left"));
        self.position = Position::Oldest;
        self.iterator = None;
    }
}

/// Calls an operation.
pub async fn call(client: &mut Client, service: &str, operation: &str, body: &Value) -> Result<Value, Trouble> {
    let error = match client.call(service, operation, body).await {
        Ok(Ok(answer)) => return Ok(answer),
        Err(NoAnswer::Unreachable(why)) => return Err(Trouble::Lost(why)),
        Err(foreign) => return Err(Trouble::Failed(foreign.into())),
        Ok(Err(error)) => error,
    };
    let text = format!("{operation}: {error}");
    Err(match error.class.as_str() {
        _ if error.status.is_server_error() => Trouble::Lost(text),
        "ThrottlingException" | "LimitExceededException" => Trouble::Lost(text),
        "ResourceNotFoundException" => Trouble::NotFound(text),
        "ExpiredIteratorException" => Trouble::Iterator(text),
        "ValidationException" if operation == "GetRecords" => Trouble::Iterator(text),
        "TrimmedDataAccessException" => Trouble::Trimmed(text),
        _ => Trouble::Failed(Failure::new(Code::Refused, text)),
    })
}
