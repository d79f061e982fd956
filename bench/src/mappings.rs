//! The lines of event source mappings whose function is never called: a thousand that have nothing to do, and one whose filter
//! nothing matches. `cargo xtask soak` measures the same without HTTP.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use crate::functions::{table, up};
use crate::generator::{call, exchange};
use crate::lines::{FILTERED, Figures, IDLE_MAPPINGS_CPU, IDLE_MAPPINGS_MEMORY};
use crate::process::{Scratch, Server};
use crate::suite::{Plan, fill, item, json, text};

/// Mappings that have nothing to do: as many as there may be.
const MAPPINGS: usize = 1000;

/// Records for the filter.
const RECORDS: u64 = 400_000;

/// How long a server may take until its mappings have nothing left to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// What no record of the tables here matches.
const NOTHING: &str = r#"{"dynamodb":{"NewImage":{"n":{"N":[{"prefix":"x"}]}}}}"#;

/// Measures the lines of mappings.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    figures.part(&[IDLE_MAPPINGS_MEMORY, IDLE_MAPPINGS_CPU], |figures| idle(plan, figures));
    figures.line(FILTERED, || filtered(plan));
}

/// A server with a table and a function, and the ARN of the table's stream.
fn server(plan: &Plan, dir: &Scratch) -> Result<(Server, String)> {
    let function = "  F:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: probe, Runtime: python3.13, Handler: app.handler, CodeUri: .}
";
    std::fs::write(dir.0.join("app.py"), "def handler(event, context):\n    raise ValueError('it is never called')\n")?;
    std::fs::write(dir.0.join("template.yaml"), format!("Resources:\n{}{function}", table("T", "probe")))?;
    let server = up(plan, &dir.0)?;
    let body = r#"{"TableName":"probe"}"#;
    let described = json(&call(&mut server.connect()?, "DynamoDB_20120810.DescribeTable", body)?)?;
    let arn = text(&described["Table"]["LatestStreamArn"])?;
    Ok((server, arn))
}

/// CreateEventSourceMapping, with a filter that nothing matches.
fn map(server: &Server, function: &str, stream: &str) -> Result<()> {
    let pattern = serde_json::Value::from(NOTHING);
    let body = format!(
        r#"{{"FunctionName":"{function}","EventSourceArn":"{stream}","StartingPosition":"TRIM_HORIZON","FilterCriteria":{{"Filters":[{{"Pattern":{pattern}}}]}}}}"#
    );
    let head = "POST /2015-03-31/event-source-mappings HTTP/1.1\r\nhost: localhost\r\nx-amz-date: 20260101T000000Z\r\n\
                authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, \
                Signature=b\r\ncontent-type: application/json";
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    exchange(&mut server.connect()?, request.as_bytes()).map(drop)
}

/// Waits until each mapping has done all that there is.
#[expect(clippy::disallowed_methods, reason = "it waits for a server that it asks now and then")]
fn wait_until_drained(server: &Server, mappings: usize, pause: Duration) -> Result<()> {
    let start = Instant::now();
    let mut connection = server.connect()?;
    while start.elapsed() < PATIENCE {
        let page = exchange(&mut connection, b"GET /_admin/mappings HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
        let page = json(&page)?;
        let is_drained = |mapping: &serde_json::Value| {
            let shards = mapping["shards"].as_array().map(Vec::as_slice).unwrap_or_default();
            !shards.is_empty() && shards.iter().all(|shard| shard["drained"] == true)
        };
        let all = page["mappings"].as_array().map(Vec::as_slice).unwrap_or_default();
        if all.len() == mappings && all.iter().all(is_drained) {
            return Ok(());
        }
        std::thread::sleep(pause);
    }
    Err(Error::other(format!("{mappings} mappings are not done after {} s", PATIENCE.as_secs())))
}

/// Memory that they take, and processor time.
#[expect(clippy::disallowed_methods, reason = "it measures what a server does while nobody asks anything of it")]
fn idle(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let dir = Scratch::new(&plan.scratch, "idle-mappings")?;
    let (server, stream) = server(plan, &dir)?;
    let before = server.memory_mb();
    for number in 0..MAPPINGS {
        // Any qualifier stands for the one version: each makes a mapping of its own.
        map(&server, &format!("probe:v{number}"), &stream)?;
    }
    wait_until_drained(&server, MAPPINGS, Duration::from_millis(200))?;
    figures.add(IDLE_MAPPINGS_MEMORY, server.memory_mb() - before);
    let (cpu, start) = (server.cpu()?, Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let used = server.cpu()?.saturating_sub(cpu);
    figures.add(IDLE_MAPPINGS_CPU, 100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64());
    Ok(())
}

/// Records a second that a filter leaves out, of a stream that was filled before.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn filtered(plan: &Plan) -> Result<f64> {
    let dir = Scratch::new(&plan.scratch, "filter")?;
    let (server, stream) = server(plan, &dir)?;
    let records = fill(server.address, "probe", &item(), RECORDS)?;
    let start = Instant::now();
    map(&server, "probe", &stream)?;
    wait_until_drained(&server, 1, Duration::from_millis(2))?;
    Ok(records as f64 / start.elapsed().as_secs_f64())
}
