//! A store that fails in the middle of a deletion.

use std::sync::atomic::AtomicBool;

use tailrace_store::keyspace::DeliveryStreamKey;
use tailrace_store::{CommitReceipt, CommitRequest, InFront, Stand, StoreError};

use super::*;

/// The world's store, which does not let a delivery stream's row be removed while it `fails`.
struct Failing {
    inner: Arc<dyn Engine>,
    fails: AtomicBool,
}

impl Stand for Failing {
    fn behind(&self) -> &dyn Engine {
        self.inner.as_ref()
    }

    fn commit<'a>(&'a self, request: CommitRequest<'a>) -> BoxFuture<'a, Result<CommitReceipt, StoreError>> {
        // A removal declares the row alone; whoever makes or changes one declares another row, too.
        if self.fails.load(SeqCst) && *request.declared.exclusive == [DeliveryStreamKey::key(NAME)] {
            return async { Err(StoreError::Io("planted".into())) }.boxed();
        }
        self.inner.commit(request)
    }
}

/// A client that is told of a failure asks again, as SDKs do, and the name is free then.
#[test]
fn a_deletion_that_failed_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let world = World::new(directory.path(), 7);
    runtime().block_on(async {
        let store = Arc::new(InFront(Failing { inner: world.store.clone(), fails: AtomicBool::new(true) }));
        let streams = world.streams_over(store.clone()).await;
        streams.start().await;
        call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
        let named = json!({"DeliveryStreamName": NAME});
        let ask = async |operation: &str| {
            let error =
                execute(&streams, operation, named.to_string().as_bytes(), &Caller::default()).await.unwrap_err();
            error.to_string()
        };
        let failed = ask("DeleteDeliveryStream").await;
        assert!(failed.starts_with("InternalServerError"), "{failed}");
        let not_found = "ResourceNotFoundException: Firehose clicks under account 000000000000 not found.";
        assert_eq!(ask("DescribeDeliveryStream").await, not_found);
        store.fails.store(false, SeqCst);
        call(&streams, "DeleteDeliveryStream", named.clone()).await;
        assert_eq!(world.rows(KeyKind::DeliveryStream).await, 0);
        assert_eq!(ask("DeleteDeliveryStream").await, not_found);
        call(&streams, "CreateDeliveryStream", destination(json!({}))).await;
    });
}
