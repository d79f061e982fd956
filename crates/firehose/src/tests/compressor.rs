//! Bytes that cannot be written, which is no record's fault.

use super::*;
use crate::config::{Config, Kind};
use crate::row::{self, Row};

/// A compressor that refuses bytes fails the flush: none of its records is told of as failed, and what mends it brings them.
#[test]
fn what_no_compressor_takes_waits() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 7);
    runtime().block_on(async {
        let Value::Object(mut request) = destination(json!({"CompressionFormat": "Broken"})) else { unreachable!() };
        let Some(Value::Object(members)) = request.remove("ExtendedS3DestinationConfiguration") else { unreachable!() };
        // The service's model knows of no such compressor: the row is made without it.
        let consumer = "00000000-0000-4000-8000-000000000007".to_owned();
        let row = Row::new(NAME, Config { kind: Kind::S3, members }, consumer, world.clock.now());
        row::create(world.store.as_ref(), row, "$delivery/clicks", 9, BY_NOBODY).await.unwrap().ok().unwrap();
        let streams = world.streams().await;
        call(&streams, "PutRecordBatch", batch(&["a".to_owned(), "b".to_owned()])).await;
        streams.start().await;
        let mut changes = streams.changes();
        let why = "nothing here compresses to Broken";
        while !streams.status().await.unwrap()[0].last_error.as_deref().is_some_and(|error| error.contains(why)) {
            changes.changed().await.unwrap();
        }
        assert_eq!(world.objects().len(), 0);
        let update = json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": "1",
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": {"CompressionFormat": "UNCOMPRESSED"}});
        call(&streams, "UpdateDestination", update).await;
        drained(&streams).await;
    });
    assert_eq!(world.objects().into_values().collect::<Vec<_>>(), [b"ab"]);
}
