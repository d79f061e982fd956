//! `tailrace tail TABLE`: the changes of a table as they happen, read over HTTP through the streams API like any client.
//!
//! It outlives the server: when the connection is lost it says so once and goes on, after the last record of each shard,
//! when the server is back. It ends, with 0, when the stream has ended and is read (the table was deleted, or its stream
//! disabled), when nobody reads its output any more, or by a signal. A stream that took the place of an ended one is
//! read from its beginning.

mod stream;

use std::time::Duration;

use serde_json::{Value, json};
use tailrace_server::Code;

use crate::args::{Output, TailArgs};
use crate::client::{Client, DYNAMODB};
use crate::data::meant_table;
use crate::follow::{Away, until_left};
use crate::say::{Reader, print, say};
use crate::{Failure, Outcome, diff};
use stream::{Position, Round, StreamReader, Trouble, call};

/// Between two rounds without a record.
const PAUSE: Duration = Duration::from_millis(100);
/// Shards are listed again every so many rounds without a record.
const ROUNDS_PER_LISTING: u32 = 20;

/// Runs until the user interrupts it, or there is nothing more to come.
pub async fn run(args: TailArgs) -> Outcome {
    until_left(follow(args)).await
}

async fn follow(args: TailArgs) -> Result<(), Failure> {
    let mut client = Client::new(&args.read.client.endpoint())?;
    let arn = match find_stream(&mut client, &args.table).await? {
        Found::Stream(arn) => arn,
        Found::NoStream => {
            return Err(Failure::new(Code::Refused, format_args!("the table {} has no stream", args.table)));
        }
        Found::NoTable(error) => {
            let hint = meant_table(&mut client, &args.table).await;
            return Err(Failure::new(Code::Refused, format_args!("{error}{hint}")));
        }
    };
    // A shard that is there from the start is read from where the user asked; one that comes later, from its beginning.
    let first = if args.from_start { Position::Oldest } else { Position::Next };
    let mut reader = StreamReader::new(arn);
    reader.list_shards(&mut client, &first).await?;
    if !args.from_start {
        say(format_args!("waiting for changes of {}", args.table));
    }
    let mut tail = Tail { table: args.table, output: args.read.output, client, reader, quiet_rounds: 0 };
    let mut away = Away::default();
    loop {
        match tail.round().await {
            Ok(step) => {
                away.back();
                match step {
                    Step::Read => {}
                    Step::Quiet => tokio::time::sleep(PAUSE).await,
                    Step::Over => return Ok(()),
                }
            }
            Err(Trouble::Lost(why)) => {
                // What is there when the server is back may be another stream.
                tail.quiet_rounds = ROUNDS_PER_LISTING;
                away.lost(why).await;
            }
            // Shards go when all their records are older than the retention; the listing will tell.
            Err(Trouble::NotFound(_)) => {
                tail.quiet_rounds = ROUNDS_PER_LISTING;
                tokio::time::sleep(PAUSE).await;
            }
            Err(trouble) => return Err(trouble.into()),
        }
    }
}

struct Tail {
    table: String,
    output: Output,
    client: Client,
    reader: StreamReader,
    quiet_rounds: u32,
}

enum Step {
    /// There were records.
    Read,
    /// There were none.
    Quiet,
    /// There will be none, or nobody wants them.
    Over,
}

impl Tail {
    async fn round(&mut self) -> Result<Step, Trouble> {
        if self.quiet_rounds >= ROUNDS_PER_LISTING {
            match self.reader.list_shards(&mut self.client, &Position::Oldest).await {
                Err(Trouble::NotFound(_)) => return self.succeed("").await,
                listed => listed?,
            }
            self.quiet_rounds = 0;
        }
        let output = self.output;
        let round = self.reader.read(&mut self.client, &mut |record| show(output, record)).await?;
        match round {
            Round::ReaderGone => Ok(Step::Over),
            Round::Records => Ok(Step::Read),
            Round::None if self.reader.is_at_the_end() => {
                // A shard that was split is closed before its children are known.
                self.reader.list_shards(&mut self.client, &Position::Oldest).await?;
                if self.reader.is_at_the_end() {
                    return self.succeed("; its records are all shown").await;
                }
                Ok(Step::Read)
            }
            Round::None => {
                self.quiet_rounds += 1;
                Ok(Step::Quiet)
            }
        }
    }

    /// The stream has ended: goes on with the one that took its place, or tells why there is none.
    async fn succeed(&mut self, shown: &str) -> Result<Step, Trouble> {
        let table = &self.table;
        match find_stream(&mut self.client, table).await? {
            Found::Stream(arn) if arn != self.reader.arn() => {
                say(format_args!("{table} has a new stream; reading it from its beginning"));
                self.reader = StreamReader::new(arn);
                self.quiet_rounds = ROUNDS_PER_LISTING;
                return Ok(Step::Read);
            }
            Found::Stream(_) | Found::NoStream => say(format_args!("the stream of {table} was disabled{shown}")),
            Found::NoTable(_) => say(format_args!("the table {table} was deleted{shown}")),
        }
        Ok(Step::Over)
    }
}

enum Found {
    Stream(String),
    NoStream,
    NoTable(String),
}

async fn find_stream(client: &mut Client, table: &str) -> Result<Found, Trouble> {
    let described = call(client, DYNAMODB, "DescribeTable", &json!({ "TableName": table })).await;
    Ok(match described {
        Ok(described) => match described["Table"]["LatestStreamArn"].as_str() {
            Some(arn) => Found::Stream(arn.to_owned()),
            None => Found::NoStream,
        },
        Err(Trouble::NotFound(error)) => Found::NoTable(error),
        Err(trouble) => return Err(trouble),
    })
}

fn show(output: Output, record: &Value) -> Result<Reader, Failure> {
    match output {
        Output::Json => print(record),
        Output::Text => print(diff::line(record)),
    }
}
