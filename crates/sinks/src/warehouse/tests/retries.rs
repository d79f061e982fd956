//! Records that were rejected, and are handed over again.

use serde_json::json;

use super::database::Database;
use super::*;
use crate::sink::Sink;

fn retry(flush: Flush) -> Flush {
    Flush { origin: Origin::Retry, ..flush }
}

#[tokio::test]
async fn a_retry_brings_a_record_once() {
    for mode in ["merge", "append"] {
        let database = Database::new();
        database.refuse("13");
        let sink = warehouse(json!({"mode": mode}), Arc::new(database.clone()), None);
        let records = vec![put(1, "a", &[("total", n("13"))]), put(2, "b", &[])];
        assert_eq!(sink.flush(flush(records.clone())).await.unwrap().rejected.len(), 1);
        sink.flush(flush(vec![put(3, "c", &[])])).await.unwrap();
        let again = retry(flush(records[..1].to_vec()));
        assert_eq!(sink.flush(again.clone()).await.unwrap().rejected.len(), 1, "nobody has mended anything");
        let there = |database: &Database| {
            let committed = database.committed();
            let log = committed.log.iter().filter(|line| line[0] == "a").count();
            (committed.rows.contains_key("a") || log == 1, log < 2, committed.progress)
        };
        let (before, _, progress) = there(&database);
        assert!(!before);
        database.refuse_nothing();
        for _ in 0..2 {
            assert_eq!(sink.flush(again.clone()).await.unwrap().rejected, vec![]);
            assert_eq!(there(&database), (true, true, progress.clone()));
        }
    }
}

#[tokio::test]
async fn a_retry_never_replaces_what_is_newer() {
    let database = Database::new();
    database.refuse("13");
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let refused = put(1, "a", &[("total", n("13"))]);
    sink.flush(flush(vec![refused.clone()])).await.unwrap();
    sink.flush(flush(vec![put(2, "a", &[("total", n("2"))])])).await.unwrap();
    // Under a newer version of the sink as well.
    sink.flush(Flush { version: 2, ..flush(vec![put(3, "b", &[])]) }).await.unwrap();
    database.refuse_nothing();
    assert_eq!(sink.flush(Flush { version: 2, ..retry(flush(vec![refused])) }).await.unwrap().rejected, vec![]);
    assert_eq!(database.totals()[0], ("a".to_owned(), "2".to_owned()));
}

#[tokio::test]
async fn a_rebuild_settles_what_was_rejected_before() {
    let database = Database::new();
    database.refuse("13");
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let refused = put(1, "a", &[("total", n("13"))]);
    sink.flush(flush(vec![refused.clone()])).await.unwrap();
    database.refuse_nothing();
    let page = Flush { origin: Origin::Snapshot { page: 0, made_by: 1 }, version: 2, ..flush(vec![put(5, "b", &[])]) };
    sink.flush(page).await.unwrap();
    sink.snapshot_done(source("2026-01-01T00:00:00.000"), 2, 2).await.unwrap();
    sink.flush(Flush { version: 2, ..retry(flush(vec![refused])) }).await.unwrap();
    let keys: Vec<String> = database.totals().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["b"], "the item was gone when the snapshot was taken");
}

/// Neither in the flush that rejects it nor in a later one.
#[tokio::test]
async fn a_retry_brings_nothing_back_that_was_removed_since() {
    for records in 1..=2 {
        let database = Database::new();
        database.refuse("13");
        let sink = warehouse(json!({}), Arc::new(database.clone()), None);
        let refused = put(1, "a", &[("total", n("13"))]);
        let all = [refused.clone(), remove(2, "a"), put(3, "b", &[])];
        for part in all.chunks(records) {
            sink.flush(flush(part.to_vec())).await.unwrap();
        }
        database.refuse_nothing();
        assert_eq!(sink.flush(retry(flush(vec![refused]))).await.unwrap().rejected, vec![]);
        let keys: Vec<String> = database.totals().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["b"], "{records}");
        // It is still told of, as long as it may not have been heard; in one flush with the removal it never was one.
        let again = sink.flush(flush(all.to_vec())).await.unwrap();
        assert_eq!(again.rejected.len(), usize::from(records == 1));
    }
}
