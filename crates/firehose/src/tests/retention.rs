//! How long what waits is kept.

use tailrace_engine::background::retention::Retention;

use super::*;

/// docs/spec/sinks.md 1, "Retention": what is not delivered pins the trimming of the log, up to a cap.
#[test]
fn what_waits_outlives_the_retention_of_streams_but_not_the_cap() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 13);
    let days_pass = async |streams: &DeliveryStreams, days: u64| {
        world.clock.advance(days * 86_400_000);
        let tick = Retention::default().tick(streams.db(), world.clock.now()).await;
        assert!(tick.failures.is_empty());
    };
    runtime().block_on(async {
        let streams = world.streams().await;
        call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
        call(&streams, "PutRecordBatch", batch(&["waits".to_owned()])).await;
        days_pass(&streams, 2).await;
        streams.start().await;
        drained(&streams).await;
        streams.shutdown().await;
        assert_eq!(world.objects().into_values().collect::<Vec<_>>(), [b"waits"]);
        call(&streams, "PutRecordBatch", batch(&["too long".to_owned()])).await;
        days_pass(&streams, 8).await;
        call(&streams, "PutRecordBatch", batch(&["later".to_owned()])).await;
        streams.start().await;
        drained(&streams).await;
    });
    let mut bodies: Vec<Vec<u8>> = world.objects().into_values().collect();
    bodies.sort_unstable();
    assert_eq!(bodies, [b"later", b"waits"]);
}
