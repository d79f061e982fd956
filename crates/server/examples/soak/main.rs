//! Delivery for long, without HTTP and without processes: a mapping with ParallelizationFactor 10 and a function that fails at
//! random, whose effects have to be those of a serial replay; a filter that nothing matches; mappings that have nothing to do.
//!
//!     cargo xtask soak [--records N] [--seed N] [--dir DIR]
//!
//! Prints a line for each, and ends with an error if an effect is wrong or a bound of [`bounds`] is broken.

mod run;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use run::{House, Uncalled, nothing};
use tailrace_core::clock::Clock;
use tailrace_mapping::{Parameters, ShardState};

/// That of the program.
#[global_allocator]
static ALLOCATOR: tailrace_server::Allocator = tailrace_server::Allocator;

/// What the documentation promises.
mod bounds {
    /// Memory of the whole process while a million records are written, and while they are delivered, bytes.
    pub const MEMORY_MAX: u64 = 200 << 20;
    /// Memory of a thousand mappings that have nothing to do, bytes.
    pub const IDLE_MEMORY_MAX: u64 = 60 << 20;
    /// Processor time that they take, of one processor.
    pub const IDLE_CPU_MAX: f64 = 0.01;
    /// Records a second that a filter leaves out, at least.
    pub const FILTERED_MIN: f64 = 300_000.0;
}

const IDLE_MAPPINGS: usize = 1000;

/// A line of /proc/self/status, in bytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().map_or(0, |kib| kib * 1024)
}

/// The most memory that was in use at once since the last call, bytes.
fn peak() -> u64 {
    let peak = memory("VmHWM:");
    // From here on it is counted anew; where the kernel does not do that, it stays the most of all.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    peak
}

/// Processor time of this process, seconds.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let fields = behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    fields.sum::<f64>() / 100.0
}

fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.next().and_then(|_| arguments.next())
}

#[tokio::main]
async fn main() {
    let number = |name, default| option(name).map_or(default, |text| text.parse().expect("a number"));
    let (records, seed) = (number("--records", 1_000_000u64), number("--seed", 1));
    let dir = PathBuf::from(option("--dir").unwrap_or_else(|| "target".to_owned())).join("soak");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).expect("the directory can be made");
    let house = House::open(&dir, seed).await;
    let seconds = |from: u64| (house.clock.monotonic_ns() - from) as f64 / 1e9;
    let mut broken = Vec::new();

    let idle_memory = memory("VmRSS:");
    let mappings = house.mappings(Arc::new(Uncalled)).await;
    for number in 0..IDLE_MAPPINGS {
        house.map(&mappings, &format!("idle-{number}"), nothing()).await;
    }
    let all_idle = || {
        let status = mappings.status();
        status.iter().all(|mapping| {
            !mapping.shards.is_empty() && mapping.shards.iter().all(|shard| shard.state == ShardState::Idle)
        })
    };
    let mut changes = mappings.changes();
    while !all_idle() {
        changes.changed().await.expect("the mappings live");
    }
    let idle_memory = memory("VmRSS:").saturating_sub(idle_memory);
    let (cpu, from) = (cpu_seconds(), house.clock.monotonic_ns());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle_cpu = (cpu_seconds() - cpu) / seconds(from);
    println!(
        "{IDLE_MAPPINGS} idle mappings of 4 shards: {:.1} MB (at most {:.0}), {:.2} % of a processor (at most {:.0})",
        idle_memory as f64 / 1e6,
        bounds::IDLE_MEMORY_MAX as f64 / 1e6,
        100.0 * idle_cpu,
        100.0 * bounds::IDLE_CPU_MAX
    );
    if idle_memory > bounds::IDLE_MEMORY_MAX || idle_cpu > bounds::IDLE_CPU_MAX {
        broken.push("idle mappings");
    }
    for mapping in mappings.list() {
        mappings.delete(&mapping.uuid()).await.expect("it is deleted");
    }
    mappings.shutdown().await;

    let keys = (records / 100).clamp(1, 10_000);
    let (rounds, from) = (records / keys, house.clock.monotonic_ns());
    let expected = house.write(keys, rounds).await;
    let written = peak();
    println!(
        "{} records of {keys} keys written in {:.1} s; memory at most {:.0} MB",
        keys * rounds,
        seconds(from),
        written as f64 / 1e6
    );

    let from = house.clock.monotonic_ns();
    let effects = house.soak().await;
    let delivered = peak();
    println!(
        "{} records in {:.1} s, {} calls failed; memory at most {:.0} MB (bound: {:.0})",
        effects.records,
        seconds(from),
        effects.failures,
        delivered as f64 / 1e6,
        bounds::MEMORY_MAX as f64 / 1e6
    );
    let is_replay = effects.states == expected && effects.records == keys * rounds;
    println!("the effects of the {keys} keys are {} of a serial replay", if is_replay { "those" } else { "NOT those" });
    if !is_replay {
        broken.push("effects");
    }
    if written.max(delivered) > bounds::MEMORY_MAX {
        broken.push("memory");
    }

    let mappings = house.mappings(Arc::new(Uncalled)).await;
    for mapping in mappings.list() {
        mappings.delete(&mapping.uuid()).await.expect("it is deleted");
    }
    let (from, cpu) = (house.clock.monotonic_ns(), cpu_seconds());
    house.map(&mappings, "filtered", Parameters { enabled: Some(true), ..nothing() }).await;
    mappings.drained().await.expect("everything is passed over");
    let rate = (keys * rounds) as f64 / seconds(from);
    let each = (cpu_seconds() - cpu) * 1e6 / (keys * rounds) as f64;
    println!(
        "a filter that nothing matches: {rate:.0} records/s (at least {:.0}), {each:.2} us of processor time a record",
        bounds::FILTERED_MIN
    );
    if rate < bounds::FILTERED_MIN {
        broken.push("filter");
    }
    mappings.shutdown().await;
    house.db.store().shutdown().await.expect("the store closes");
    let _ = std::fs::remove_dir_all(&dir);
    if !broken.is_empty() {
        eprintln!("broken: {}", broken.join(", "));
        std::process::exit(1);
    }
}
