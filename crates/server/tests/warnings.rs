//! What a start tells the operator about a data directory that does not fit how it is started.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use std::path::Path;
use std::sync::Arc;

use tailrace_core::EpochMs;
use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_server::{Config, Event, Server, StartError};
use tokio::sync::mpsc;

const NOW_MS: u64 = 1_700_000_000_000;

async fn start(dir: &Path, region: &str, now_ms: EpochMs) -> Result<(Server, mpsc::Receiver<Event>), StartError> {
    let mut config = Config::new(dir);
    config.port = 0;
    config.engine.region = region.to_owned();
    let (events, told) = mpsc::channel(64);
    let clock = Arc::new(ManualClock::at(now_ms));
    Ok((Server::start(config, clock, Arc::new(SeededRng::new(now_ms.0)), events).await?, told))
}

/// Starts a server and stops it again: what it had to say.
async fn notices(dir: &Path, region: &str, now_ms: EpochMs) -> Vec<String> {
    let (server, mut told) = start(dir, region, now_ms).await.unwrap();
    server.stop().await.unwrap();
    let mut notices = Vec::new();
    while let Some(event) = told.recv().await {
        if let Event::Notice(text) = event {
            notices.push(text);
        }
    }
    notices
}

#[tokio::test]
async fn another_region_is_refused_and_the_first_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(notices(dir.path(), "us-east-1", EpochMs(NOW_MS)).await, [""; 0]);
    let refused =
        start(dir.path(), "eu-west-1", EpochMs(NOW_MS + 1)).await.err().expect("another region is refused").to_string();
    let expected =
        "belongs to the region and account us-east-1:000000000000, and was to be started with eu-west-1:000000000000";
    assert!(refused.contains(expected), "{refused}");
    assert_eq!(notices(dir.path(), "us-east-1", EpochMs(NOW_MS + 2)).await, [""; 0]);
}

#[tokio::test]
async fn a_clock_that_is_behind_the_newest_write_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(notices(dir.path(), "us-east-1", EpochMs(NOW_MS)).await, [""; 0]);
    assert_eq!(notices(dir.path(), "us-east-1", EpochMs(NOW_MS - 60_000)).await, [""; 0], "a minute is nothing");
    let told = notices(dir.path(), "us-east-1", EpochMs(NOW_MS - 3_600_000)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("3600 s ahead of this machine's clock"), "{told:?}");
}
