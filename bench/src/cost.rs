//! What a sink costs writers at full rate. On few processors the writers, the server, the sink and its target share what there is: the
//! cost is how much slower the writers are with the sink than without.
//!
//! Two servers, one with the sink and one without, are driven in turns of seconds, each stopped while the other runs: what the machine
//! does otherwise meets both. A turn begins with a while that is not counted, in which the sink finds what was left and its steady way. Each
//! turn of the server with the sink is held against those of the other before and behind it; every turn is a figure, and the table
//! shows how far they are apart.
//!
//! A target beside is not the sink: the processor time that it took is given back to the writers, as the rate that they would have
//! had with it. That is just as far as the processors are what holds them up, as they do at full rate on few of them. So the figure stands
//! beside one that has no such assumption: the server's processor time for a write, as a multiple of that without the sink.

use std::io::Result;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::generator::{Order, Request, drive};
use crate::lines::{CostLines, Figures};
use crate::process::{Scratch, Server};
use crate::sinks::{GROUPS, item, serve, status};
use crate::suite::{Plan, create, put_of, with_cpu};

/// Turns with the sink, of a round.
const TURNS: usize = 3;
/// Connections of the writers.
const WRITERS: usize = 64;

/// Processor time that a target has used so far, if somebody can tell.
pub type TargetCpu<'a> = &'a dyn Fn() -> Result<Option<Duration>>;

/// What a turn told.
struct Turn {
    /// Writes a second.
    rate: f64,
    /// The server's processor time for a write, microseconds.
    cpu: f64,
    /// The target's processor time, as a share of what the machine has.
    target: f64,
}

/// Measures the lines of one sink.
///
/// # Errors
/// A server does not start, or answers an error; or the sink does nothing.
pub fn measure(
    plan: &Plan,
    figures: &mut Figures,
    lines: &'static CostLines,
    sink: &Value,
    target: TargetCpu<'_>,
) -> Result<()> {
    let dirs = [Scratch::new(&plan.scratch, "without")?, Scratch::new(&plan.scratch, "with")?];
    let start = |dir: &Path, sink: Option<&Value>| {
        let server = serve(plan, dir, None)?;
        create(&mut server.connect()?, "probe", true)?;
        drop(server);
        serve(plan, dir, sink)
    };
    let mut request = put_of("probe", &item("0"));
    request.set_keys(GROUPS);
    let [without, with] = [start(&dirs[0].0, None)?, start(&dirs[1].0, Some(sink))?];
    for server in [&without, &with] {
        drive(server.address, WRITERS, &request, Order::Sequential, plan.time)?;
        server.pause()?;
    }
    let mut before = turn(plan, &without, &request, target)?;
    for _ in 0..TURNS {
        let own = turn(plan, &with, &request, target)?;
        let behind = turn(plan, &without, &request, target)?;
        let alone = f64::midpoint(before.rate, behind.rate);
        let share = 1.0 - own.target.min(0.9);
        figures.add(lines.cost, 100.0 * (1.0 - own.rate / share / alone));
        figures.add(lines.cpu, own.cpu / f64::midpoint(before.cpu, behind.cpu));
        if let Some(line) = lines.target {
            figures.add(line, 100.0 * own.target);
        }
        before = behind;
    }
    with.resume()?;
    let status = status(&with)?;
    match status["records"].as_u64() {
        None | Some(0) => Err(std::io::Error::other(format!("the sink delivered nothing: {}", status["lastError"]))),
        Some(records) => {
            let behind = &status["lagRecords"];
            eprintln!("  {}: {records} records delivered, {behind} not yet", lines.cost);
            Ok(())
        }
    }
}

/// One turn of a server that is stopped before and behind it.
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn turn(plan: &Plan, server: &Server, request: &Request, target: TargetCpu<'_>) -> Result<Turn> {
    server.resume()?;
    let load = |time| drive(server.address, WRITERS, request, Order::Random, time);
    load(plan.time / 2)?;
    let (start, of_target) = (Instant::now(), target()?);
    let (measure, cpu) = with_cpu(server, || load(plan.time))?;
    let used = match (target()?, of_target) {
        (Some(now), Some(before)) => now.saturating_sub(before),
        _ => Duration::ZERO,
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let target = used.as_secs_f64() / (start.elapsed().as_secs_f64() * cores as f64);
    server.pause()?;
    Ok(Turn { rate: measure.rate, cpu, target })
}
