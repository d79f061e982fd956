//! Functions that are slow, or never answer.

use super::*;

/// A stop has its patience once, however often the function is called for a flush, and each call is answered in time.
#[test]
fn a_stop_waits_once_for_a_flush() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 13);
    runtime().block_on(async {
        let streams = world.streams().await;
        // Some fifteen calls for the one flush.
        let hints = json!({"SizeInMBs": 128, "IntervalInSeconds": 900});
        let mut processing = transforming("slow");
        let size = json!({"ParameterName": "BufferSizeInMBs", "ParameterValue": "0.2"});
        processing["Processors"][0]["Parameters"].as_array_mut().unwrap().push(size);
        let config = json!({"BufferingHints": hints, "ProcessingConfiguration": processing});
        call(&streams, "CreateDeliveryStream", destination(config)).await;
        let texts: Vec<String> = (0..500).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
        for _ in 0..4 {
            call(&streams, "PutRecordBatch", batch(&texts)).await;
        }
        streams.start().await;
        world.hangs.notified().await;
        streams.shutdown().await;
    });
    let answered = world.invocations.load(SeqCst);
    assert!(answered < 1000, "{answered} of 2000 records were handed to the function before the stop was over");
}

/// Neither a new destination nor the end of the stream or of the server waits for a function that does not answer.
#[test]
fn a_function_that_never_answers_holds_up_no_change() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 11);
    runtime().block_on(async {
        let streams = world.streams().await;
        streams.start().await;
        let hanging = destination(json!({"ProcessingConfiguration": transforming("hangs")}));
        call(&streams, "CreateDeliveryStream", hanging.clone()).await;
        call(&streams, "PutRecordBatch", batch(&["a".to_owned()])).await;
        world.hangs.notified().await;
        let update = json!({"DeliveryStreamName": NAME, "CurrentDeliveryStreamVersionId": "1",
            "DestinationId": "destinationId-000000000001",
            "ExtendedS3DestinationUpdate": {"ProcessingConfiguration": {"Enabled": false}}});
        call(&streams, "UpdateDestination", update).await;
        drained(&streams).await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
        call(&streams, "CreateDeliveryStream", hanging).await;
        call(&streams, "PutRecordBatch", batch(&["b".to_owned()])).await;
        world.hangs.notified().await;
        streams.shutdown().await;
        assert_eq!(streams.status().await.unwrap().len(), 1);
        streams.start().await;
        world.hangs.notified().await;
        call(&streams, "DeleteDeliveryStream", json!({"DeliveryStreamName": NAME})).await;
    });
    assert_eq!(world.objects().into_values().collect::<Vec<_>>(), [b"a"]);
}
