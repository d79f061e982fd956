//! Fifty functions at once, some of which do whatever a bad neighbour does, on the stream of a table that one paced writer writes
//! to: what his writes cost beside them, and that the good functions missed nothing.

use std::io::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::functions::{table, up};
use crate::generator::call;
use crate::histogram::Histogram;
use crate::lines::{Figures, ZOO_IDLE_P99, ZOO_P99, ZOO_TO_IDLE};
use crate::process::{Scratch, Server};
use crate::suite::{PUT, Plan};

/// The handlers; the tests have the same.
const HANDLERS: &str = include_str!("../../tests/zoo/app.py");

/// Those that never succeed.
const BAD: [&str; 13] = [
    "fork_bomb",
    "memory_eater",
    "leaves_its_group",
    "segfault",
    "endless_output",
    "endless_line",
    "hangs",
    "burns",
    "huge_answer",
    "exits",
    "closes_everything",
    "raises",
    "there_is_no_such_handler",
];

/// Functions in all.
const FUNCTIONS: usize = 50;

/// Between two writes.
const PACE: Duration = Duration::from_millis(2);

/// How long the good functions may take for what was written.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures the lines of the zoo.
pub fn measure(plan: &Plan, figures: &mut Figures) {
    figures.part(&[ZOO_IDLE_P99, ZOO_P99, ZOO_TO_IDLE], |figures| zoo(plan, figures));
}

fn zoo(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let dir = Scratch::new(&plan.scratch, "zoo")?;
    let good = project(&dir.0)?;
    let server = up(plan, &dir.0)?;
    let time = plan.time * 3;
    let (idle, _) = write(&server, "quiet", time)?;
    let (beside, written) = write(&server, "probe", time)?;
    for name in good {
        wait_for(&dir.0.join(name), written)?;
    }
    let (idle, beside) = (idle.percentile_ms(0.99), beside.percentile_ms(0.99));
    figures.add(ZOO_IDLE_P99, idle);
    figures.add(ZOO_P99, beside);
    figures.add(ZOO_TO_IDLE, beside / idle);
    Ok(())
}

/// Writes the template and the handlers; gives the names of the good functions, which are those of their effects' files.
fn project(dir: &Path) -> Result<Vec<String>> {
    use std::fmt::Write;

    let mut template = "Transform: AWS::Serverless-2016-10-31\nResources:\n".to_owned();
    template += &(table("T", "probe") + &table("Q", "quiet"));
    let mut good = Vec::new();
    for n in 0..FUNCTIONS {
        // The first of those that succeed takes long to load.
        let handler = BAD.get(n).copied().unwrap_or(if n == BAD.len() { "slow_import" } else { "good" });
        let succeeds = n >= BAD.len();
        let name = format!("f{n}-{handler}");
        let effects = dir.join(&name);
        let _ = write!(
            template,
            "  F{n}:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: {name}
      Runtime: python3.13
      Handler: app.{handler}
      CodeUri: src/
      Timeout: {}
      Environment: {{Variables: {{EFFECTS: {}, KIND: {handler}}}}}
      Events:
        S:
          Type: DynamoDB
          Properties: {{Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 10000, MaximumRetryAttempts: 0}}
",
            if succeeds { 60 } else { 2 },
            effects.display()
        );
        if succeeds {
            good.push(name);
        }
    }
    std::fs::create_dir(dir.join("src"))?;
    std::fs::write(dir.join("src/app.py"), HANDLERS)?;
    std::fs::write(dir.join("template.yaml"), template)?;
    Ok(good)
}

/// Puts an item now and then; gives the latencies, and how many were put. What functions print is thrown away meanwhile.
#[expect(clippy::disallowed_methods, reason = "it measures real time, at a pace")]
fn write(server: &Server, table: &str, time: Duration) -> Result<(Histogram, u64)> {
    let mut stream = server.connect()?;
    let (mut latencies, mut written, start) = (Histogram::default(), 0, Instant::now());
    while start.elapsed() < time {
        let body = format!(r#"{{"TableName":"{table}","Item":{{"pk":{{"S":"{written}"}}}}}}"#);
        let sent = Instant::now();
        call(&mut stream, PUT, &body)?;
        latencies.record(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
        written += 1;
        server.lines.try_iter().for_each(drop);
        std::thread::sleep(PACE.saturating_sub(sent.elapsed()));
    }
    Ok((latencies, written))
}

/// Waits until a file of effects has each of so many keys.
#[expect(clippy::disallowed_methods, reason = "it waits for processes that tell nothing")]
fn wait_for(effects: &Path, written: u64) -> Result<()> {
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(effects).unwrap_or_default();
        let seen: std::collections::HashSet<&str> = text.lines().collect();
        if seen.len() as u64 == written {
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            let what = format!("{} has {} of {written} records", effects.display(), seen.len());
            return Err(Error::other(what));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
