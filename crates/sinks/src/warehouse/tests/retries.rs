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

/// What a flush did not take, whose answer was lost, is told of when a newer version goes on behind it: whatever the ends of its flushes.
#[tokio::test]
async fn a_rebuilt_log_tells_of_what_was_rejected_behind_a_lost_answer() {
    let database = Database::new();
    database.refuse("13");
    let sink = warehouse(json!({"mode": "append"}), Arc::new(database.clone()), None);
    let total = |number, pk: &str, total: &str| put(number, pk, &[("total", n(total))]);
    let records = [total(3, "a", "13"), total(4, "b", "1"), total(5, "c", "13"), total(6, "d", "1")];
    let before = sink.flush(flush(vec![total(1, "x", "13"), total(2, "y", "1")])).await.unwrap();
    assert_eq!(before.rejected.len(), 1);
    assert_eq!(sink.flush(flush(records.to_vec())).await.unwrap().rejected.len(), 2);
    // Nobody heard of that, and nothing of it comes again as it was; a version between was stopped before it was answered.
    let mut told = Vec::new();
    let taken = |mark, last| Some(tailrace_delivery::Taken { mark, last: RecordNo(last) });
    for (version, taken, part, is_heard) in
        [(2, taken(1, 2), 0..4, false), (3, taken(1, 2), 0..2, true), (3, taken(3, 4), 2..4, true)]
    {
        let part = flush(records[part].to_vec());
        let flushed = sink.flush(Flush { version, taken, ..part.clone() }).await.unwrap();
        let numbers = flushed.rejected.iter().map(|rejected| part.records[rejected.index].number.0);
        if is_heard { told.extend(numbers) } else { assert_eq!(numbers.count(), 2) }
    }
    assert_eq!(told, [3, 5]);
    let log: Vec<String> = database.committed().log.iter().map(|line| line[0].clone()).collect();
    assert_eq!(log, ["y", "b", "d"]);
    // What was told before stays where it was; and a retry brings each once.
    let generations: Vec<i64> = database.committed().rejected.keys().map(|(generation, ..)| *generation % 10).collect();
    assert_eq!(generations, [1, 3, 3]);
    database.refuse_nothing();
    for _ in 0..2 {
        let again = Flush { version: 3, ..retry(flush(vec![records[0].clone(), records[2].clone()])) };
        assert_eq!(sink.flush(again).await.unwrap().rejected, vec![]);
    }
    assert_eq!(database.committed().log.len(), 5);
}
