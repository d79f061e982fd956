//! A trail in a bucket whose objects are locked: docs/spec/sinks.md 7.

use std::time::Duration;

use super::*;
use crate::objects::tests::fake_s3::FakeS3;

/// A bucket that was away for longer than its locks last takes no lock that ends before now.
#[tokio::test]
async fn what_is_written_late_is_locked_as_long_as_what_comes_in_time() {
    let bench = Bench::new().await;
    bench.put("k", "v").await;
    let fake = FakeS3::start().await;
    let config = json!({"bucket": "s3://trail/shop", "s3": fake.settings(), "lock": {"mode": "COMPLIANCE", "days": 1}});
    let config: Config = serde_json::from_value(config).unwrap();
    bench.clock.advance(3 * 24 * 60 * 60 * 1000);
    let place = config.place(bench.clock.clone()).unwrap();
    bench.deliver(&config, &place, &bench.flushes(1).await).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let until = tailrace_engine::streams::label::text(bench.db.clock().now().plus(day));
    let puts = &fake.state.lock().puts;
    assert_eq!(puts[0]["x-amz-object-lock-retain-until-date"], format!("{until}Z"));
}
