//! The lines of functions: how long it takes from a write to a handler, and how many records pass through one, in each language.

use std::io::{Error, Result};
use std::path::Path;
use std::time::Duration;

use crate::generator::{Order, call, drive};
use crate::histogram::Histogram;
use crate::lines::{Figures, FunctionLines, NODE, PYTHON};
use crate::process::{Scratch, Server};
use crate::suite::{PUT, Plan, put};

/// A table with a stream, as a resource of a template.
pub fn table(id: &str, name: &str) -> String {
    format!(
        "  {id}:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: {name}
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{{AttributeName: pk, AttributeType: S}}]
      KeySchema: [{{AttributeName: pk, KeyType: HASH}}]
      StreamSpecification: {{StreamViewType: NEW_AND_OLD_IMAGES}}
"
    )
}

/// A handler that tells when it was entered, and one that tells what it got and does nothing, in one language.
struct Language {
    lines: &'static FunctionLines,
    runtime: &'static str,
    file: &'static str,
    entered: &'static str,
    no_op: &'static str,
}

const LANGUAGES: [Language; 2] = [
    Language {
        lines: &PYTHON,
        runtime: "python3.13",
        file: "app.py",
        entered: "import time
def handler(event, context):
    now = time.time_ns()
    for r in event['Records']:
        print('entered', r['dynamodb']['Keys']['pk']['S'], now)
",
        no_op: "import time
def handler(event, context):
    print('batch', len(event['Records']), time.time_ns())
",
    },
    Language {
        lines: &NODE,
        runtime: "nodejs22.x",
        file: "app.mjs",
        // The clock of dates has milliseconds alone.
        entered: "export const handler = async (event) => {
    const now = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
    for (const r of event.Records) process.stdout.write(`entered ${r.dynamodb.Keys.pk.S} ${now}\\n`);
};
",
        no_op: "export const handler = async (event) => {
    process.stdout.write(`batch ${event.Records.length} ${BigInt(Date.now()) * 1000000n}\\n`);
};
",
    },
];

/// Measures the lines of each language.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    for language in &LANGUAGES {
        let lines = language.lines;
        figures.part(&[lines.entered_p50, lines.entered_p99], |figures| delivery(plan, language, figures));
        figures.part(&[lines.no_op], |figures| throughput(plan, language, figures));
    }
}

/// Writes a directory with a table, and with a function on its stream if there is a handler.
fn project(dir: &Path, handler: Option<(&Language, &str)>, batch_size: u32) -> Result<()> {
    let mut template = format!("Resources:\n{}", table("T", "probe"));
    if let Some((language, code)) = handler {
        std::fs::write(dir.join(language.file), code)?;
        template += &format!(
            "  F:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: probe
      Runtime: {}
      Handler: app.handler
      CodeUri: .
      Timeout: 60
      Events:
        S:
          Type: DynamoDB
          Properties: {{Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: {batch_size}}}
",
            language.runtime
        );
    }
    std::fs::write(dir.join("template.yaml"), template)
}

/// A server on the project in a directory.
///
/// # Errors
/// It does not start.
pub fn up(plan: &Plan, dir: &Path) -> Result<Server> {
    Server::tailrace(&plan.binary, &["up", &dir.to_string_lossy()], &dir.join("data"))
}

/// From the sending of a PutItem, which is before its commit, to the first line of the handler, on an idle system.
#[expect(clippy::disallowed_methods, reason = "it measures real time, and wants the system idle between two writes")]
fn delivery(plan: &Plan, language: &Language, figures: &mut Figures) -> Result<()> {
    const WRITES: u64 = 200;
    let dir = Scratch::new(&plan.scratch, "delivery")?;
    project(&dir.0, Some((language, language.entered)), 100)?;
    let server = up(plan, &dir.0)?;
    let mut stream = server.connect()?;
    let mut waits = Histogram::default();
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
    figures.add(language.lines.entered_p50, waits.percentile_ms(0.5));
    figures.add(language.lines.entered_p99, waits.percentile_ms(0.99));
    Ok(())
}

/// A stream that was filled before, through one function that does nothing.
fn throughput(plan: &Plan, language: &Language, figures: &mut Figures) -> Result<()> {
    const RECORDS: u64 = 200_000;
    let dir = Scratch::new(&plan.scratch, "throughput")?;
    project(&dir.0, None, 0)?;
    let server = up(plan, &dir.0)?;
    let mut request = put("probe");
    request.set_keys(RECORDS);
    drive(server.address, 64, &request, Order::Sequential, plan.time)?;
    drop(server);
    project(&dir.0, Some((language, language.no_op)), 1000)?;
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
    figures.add(language.lines.no_op, (RECORDS - first) as f64 / seconds.max(1e-9));
    Ok(())
}
