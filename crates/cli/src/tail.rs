//! `tailrace tail TABLE`: the changes of a table as they happen, read over HTTP through the streams API like any client.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use crate::args::{Output, TailArgs};
use crate::client::{Client, DYNAMODB, STREAMS};
use crate::{Failure, Outcome, diff};

/// Between two rounds without a record.
const PAUSE: Duration = Duration::from_millis(100);
/// Shards are listed again every so many rounds without a record.
const ROUNDS_PER_LISTING: u32 = 20;

/// Runs until the user interrupts it.
pub async fn run(args: TailArgs) -> Outcome {
    tokio::select! {
        result = follow(&args) => result.map(|never| match never {}),
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

async fn follow(args: &TailArgs) -> Result<std::convert::Infallible, Failure> {
    let mut client = Client::new(&args.read.client.endpoint())?;
    let table = json!({ "TableName": args.table });
    let described = call(&mut client, DYNAMODB, "DescribeTable", &table).await?;
    let Some(arn) = described["Table"]["LatestStreamArn"].as_str() else {
        return Err(Failure(format!("the table {} has no stream", args.table)));
    };
    // A shard that is there from the start is read from where the user asked; one that comes later, from its beginning.
    let mut first = if args.from_start { "TRIM_HORIZON" } else { "LATEST" };
    let mut iterators: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut idle_rounds = ROUNDS_PER_LISTING;
    loop {
        if idle_rounds >= ROUNDS_PER_LISTING {
            list_shards(&mut client, arn, first, &mut iterators).await?;
            if first == "LATEST" {
                eprintln!("waiting for changes of {}", args.table);
            }
            first = "TRIM_HORIZON";
            idle_rounds = 0;
        }
        let mut quiet = true;
        for iterator in iterators.values_mut() {
            let Some(token) = iterator.take() else { continue };
            let page = call(&mut client, STREAMS, "GetRecords", &json!({ "ShardIterator": token })).await?;
            for record in page["Records"].as_array().into_iter().flatten() {
                quiet = false;
                show(args.read.output, record)?;
            }
            *iterator = page["NextShardIterator"].as_str().map(str::to_owned);
        }
        if quiet {
            idle_rounds += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn show(output: Output, record: &Value) -> Result<(), Failure> {
    let line = match output {
        Output::Json => record.to_string(),
        Output::Text => diff::line(record),
    };
    // Not `println!`: a reader that closed the pipe is no reason to panic.
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(())
}

async fn list_shards(
    client: &mut Client,
    arn: &str,
    position: &str,
    iterators: &mut BTreeMap<String, Option<String>>,
) -> Result<(), Failure> {
    let mut request = json!({ "StreamArn": arn });
    loop {
        let page = call(client, STREAMS, "DescribeStream", &request).await?["StreamDescription"].take();
        for shard in page["Shards"].as_array().into_iter().flatten() {
            let Some(id) = shard["ShardId"].as_str() else { continue };
            if !iterators.contains_key(id) {
                let ask = json!({ "StreamArn": arn, "ShardId": id, "ShardIteratorType": position });
                let answer = call(client, STREAMS, "GetShardIterator", &ask).await?;
                iterators.insert(id.to_owned(), answer["ShardIterator"].as_str().map(str::to_owned));
            }
        }
        match page["LastEvaluatedShardId"].as_str() {
            Some(last) => request["ExclusiveStartShardId"] = json!(last),
            None => return Ok(()),
        }
    }
}

async fn call(client: &mut Client, service: &str, operation: &str, body: &Value) -> Result<Value, Failure> {
    client.call(service, operation, body).await?.map_err(|error| Failure(format!("{operation}: {error}")))
}
