//! The fault matrix of docs/spec/sinks.md 9: whatever goes wrong at whichever statement, in the end the target holds what it
//! would have held, and the same records are rejected.

use serde_json::json;

use super::database::{Committed, Database, Fault};
use super::*;
use crate::sink::Sink;

const FAULTS: [Fault; 4] = [Fault::LostBefore, Fault::LostAfter, Fault::Conflict, Fault::Full];

fn flushes() -> Vec<Flush> {
    let total = |number, pk: &str, total: &str| put(number, pk, &[("total", n(total))]);
    vec![
        flush(vec![total(1, "a", "1"), total(2, "b", "2"), put(3, "c", &[("total", s("3"))])]),
        flush(vec![remove(4, "a"), total(5, "b", "13"), total(6, "d", "6")]),
        flush(vec![total(7, "a", "7"), total(8, "b", "8"), remove(9, "d")]),
    ]
}

type Rejections = Vec<Vec<(usize, String)>>;

/// Brings all flushes as the runtime does: each again until it is taken. The target then, the rejections, and how many
/// statements it took.
async fn run(mode: &str, fault: Option<(usize, Fault)>) -> (Committed, Rejections, usize) {
    let database = Database::new();
    // An item that the table's own rule refuses: its row has `13`.
    database.refuse("13");
    if let Some((statement, fault)) = fault {
        database.fail_at(statement, fault);
    }
    let connector: Arc<dyn Connector> = Arc::new(database.clone());
    let mut sink = warehouse(json!({"mode": mode}), connector.clone(), None);
    let mut rejections = Vec::new();
    for flush in flushes() {
        let flushed = loop {
            match sink.flush(flush.clone()).await {
                Ok(flushed) => break flushed,
                // The process may be another one by then.
                Err(_) => sink = warehouse(json!({"mode": mode}), connector.clone(), None),
            }
        };
        rejections.push(flushed.rejected.into_iter().map(|rejected| (rejected.index, rejected.error)).collect());
    }
    let statements = database.statements().len();
    (database.committed(), rejections, statements)
}

async fn every_fault(mode: &str) {
    let (target, rejections, statements) = run(mode, None).await;
    let rejected: Vec<usize> = rejections.iter().map(Vec::len).collect();
    assert_eq!(rejected, [1, 1, 0]);
    assert!(statements > 20, "{statements}");
    for statement in 0..statements {
        for fault in FAULTS {
            let (faulty, faulty_rejections, _) = run(mode, Some((statement, fault))).await;
            assert_eq!(faulty, target, "{fault:?} at {statement}");
            assert_eq!(faulty_rejections, rejections, "{fault:?} at {statement}");
        }
    }
}

#[tokio::test]
async fn items_after_a_fault_at_any_statement() {
    every_fault("merge").await;
}

#[tokio::test]
async fn changes_after_a_fault_at_any_statement() {
    every_fault("append").await;
}

/// A COMMIT whose answer is lost is asked about, and not repeated.
#[tokio::test]
async fn a_commit_without_an_answer_is_asked_about() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let first = flushes().remove(0);
    sink.flush(first).await.unwrap();
    database.statements();
    let second = flush(vec![put(4, "e", &[])]);
    sink.flush(second).await.unwrap();
    let statements = database.statements();
    let commit = statements.iter().rposition(|sql| sql == "COMMIT").unwrap();
    database.fail_at(commit, Fault::LostAfter);
    assert_eq!(sink.flush(flush(vec![put(5, "f", &[])])).await.unwrap().rejected, vec![]);
    let statements = database.statements();
    assert_eq!(statements.iter().filter(|sql| sql.starts_with("COPY")).count(), 1, "{statements:#?}");
    assert_eq!(database.committed().rows["f"].lsn, 5);
    assert_eq!(database.connections(), 2);
}

#[tokio::test]
async fn a_database_that_is_full_is_waited_for() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    sink.flush(flushes().remove(0)).await.unwrap();
    database.statements();
    database.fail_at(2, Fault::Full);
    let error = sink.flush(flush(vec![put(4, "e", &[])])).await.unwrap_err();
    assert_eq!(error.0, "no space left on device");
    assert_eq!(database.statements().len(), 3, "it is not tried again at once");
}
