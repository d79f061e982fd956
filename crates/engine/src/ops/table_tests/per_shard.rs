//! The stream tests once more, over an engine that numbers the records of each shard by themselves: nothing may rest on one
//! order of all numbers.

use tailrace_store::{MemoryEngine as _, PerShardEngine};

use super::*;

type Bench = BenchOf<PerShardEngine>;

impl Fresh for PerShardEngine {
    fn fresh(clock: Arc<ManualClock>) -> Arc<PerShardEngine> {
        PerShardEngine::new(clock)
    }
}

#[allow(clippy::duplicate_mod, reason = "the same tests over another engine")]
#[path = "records.rs"]
mod records;
#[allow(clippy::duplicate_mod, reason = "the same tests over another engine")]
#[path = "streams.rs"]
mod streams;

/// docs/spec/streams.md 8.1: an eventID is unique, also where numbers are not.
#[tokio::test]
async fn records_of_the_same_number_have_event_ids_of_their_own() {
    let bench = Bench::with(Settings { shards_per_stream: 4, ..Settings::default() }).await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    for n in 0..20 {
        bench.put("users", &n.to_string(), 1).await;
    }
    let records = bench.records(&arn).await;
    let distinct =
        |of: &dyn Fn(&Value) -> String| records.iter().map(of).collect::<std::collections::HashSet<_>>().len();
    assert_eq!(distinct(&|record| record["eventID"].to_string()), 20);
    assert!(distinct(&|record| record["dynamodb"]["SequenceNumber"].to_string()) < 20);
}

/// docs/spec/streams.md 5: a shard that has ended has both numbers, also if it never had a record.
#[tokio::test]
async fn a_shard_without_a_record_ends_where_it_begins() {
    let bench = Bench::single().await;
    let arn = bench.create("users", Some("KEYS_ONLY")).await["LatestStreamArn"].as_str().unwrap().to_owned();
    bench.ok("DeleteTable", json!({"TableName": "users"})).await;
    let range = bench.shards(&arn).await[0]["SequenceNumberRange"].clone();
    assert_eq!(range["EndingSequenceNumber"], range["StartingSequenceNumber"]);
}
