//! What a start tells the operator about a data directory that does not fit how it is started.

#![allow(clippy::unwrap_used, reason = "tests unwrap")]

use std::path::Path;
use std::sync::Arc;

use tailrace_core::clock::ManualClock;
use tailrace_core::rng::SeededRng;
use tailrace_server::{Config, Event, Server};
use tokio::sync::mpsc;

const NOW_MS: u64 = 1_700_000_000_000;

/// Starts a server and stops it again: what it had to say.
async fn notices(dir: &Path, region: &str, now_ms: u64) -> Vec<String> {
    let mut config = Config::new(dir);
    config.port = 0;
    config.engine.region = region.to_owned();
    let (events, mut told) = mpsc::channel(64);
    let clock = Arc::new(ManualClock::at(now_ms));
    let server = Server::start(config, clock, Arc::new(SeededRng::new(now_ms)), events).await.unwrap();
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
async fn another_region_is_told_at_every_start_and_the_first_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(notices(dir.path(), "us-east-1", NOW_MS).await, [""; 0]);
    for start in 1..3 {
        let told = notices(dir.path(), "eu-west-1", NOW_MS + start).await;
        assert_eq!(told.len(), 1, "{told:?}");
        let first = "first started with region and account us-east-1:000000000000, not eu-west-1:000000000000";
        assert!(told[0].contains(first) && told[0].contains("Event source mappings"), "{told:?}");
    }
    assert_eq!(notices(dir.path(), "us-east-1", NOW_MS + 3).await, [""; 0]);
}

#[tokio::test]
async fn a_clock_that_is_behind_the_newest_write_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(notices(dir.path(), "us-east-1", NOW_MS).await, [""; 0]);
    assert_eq!(notices(dir.path(), "us-east-1", NOW_MS - 60_000).await, [""; 0], "a minute is nothing");
    let told = notices(dir.path(), "us-east-1", NOW_MS - 3_600_000).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("3600 s ahead of this machine's clock"), "{told:?}");
}
