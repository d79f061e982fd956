//! What a flush leaves at the target: docs/spec/sinks.md 4.2.

use serde_json::json;

use super::database::Database;
use super::*;
use crate::sink::{Flushed, Sink, SinkError};

async fn bring(sink: &Warehouse, flush: Flush) -> Result<Vec<(usize, String)>, SinkError> {
    let flushed: Flushed = sink.flush(flush).await?;
    Ok(flushed.rejected.into_iter().map(|rejected| (rejected.index, rejected.error)).collect())
}

fn total(number: u64, pk: &str, total: &str) -> StreamRecord {
    put(number, pk, &[("total", n(total))])
}

fn pairs(database: &Database) -> Vec<(String, String)> {
    database.totals()
}

fn expect(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(key, total)| ((*key).to_owned(), (*total).to_owned())).collect()
}

#[tokio::test]
async fn a_row_for_each_item_that_there_is() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let first =
        flush(vec![total(1, "a", "1"), total(2, "b", "2"), total(3, "a", "3"), total(4, "c", "4"), remove(5, "b")]);
    assert_eq!(bring(&sink, first).await, Ok(vec![]));
    assert_eq!(pairs(&database), expect(&[("a", "3"), ("c", "4")]));
    let second = flush(vec![remove(6, "a"), total(7, "b", "7"), total(8, "c", "8")]);
    assert_eq!(bring(&sink, second).await, Ok(vec![]));
    assert_eq!(pairs(&database), expect(&[("b", "7"), ("c", "8")]));
    assert_eq!(database.connections(), 1, "a session serves one flush after the other");
}

#[tokio::test]
async fn what_is_there_is_left_out_however_the_flush_is_cut() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    bring(&sink, flush(vec![total(1, "a", "1"), remove(2, "b"), total(3, "b", "3")])).await.unwrap();
    let committed = database.committed();
    for again in [vec![total(1, "a", "1")], vec![total(1, "a", "1"), remove(2, "b"), total(3, "b", "3")]] {
        bring(&sink, flush(again)).await.unwrap();
        assert_eq!(database.committed(), committed);
    }
    bring(&sink, flush(vec![remove(2, "b"), total(3, "b", "3"), remove(4, "a")])).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("b", "3")]));
}

/// A restart of the process: the target's progress counts, whatever the checkpoint was.
#[tokio::test]
async fn an_older_owner_is_kept_out() {
    let database = Database::new();
    let (old, new) = (
        warehouse(json!({}), Arc::new(database.clone()), None),
        warehouse(json!({}), Arc::new(database.clone()), None),
    );
    bring(&old, flush(vec![total(1, "a", "1")])).await.unwrap();
    let mut later = flush(vec![total(1, "a", "1")]);
    later.epoch = 2;
    bring(&new, later).await.unwrap();
    let error = bring(&old, flush(vec![total(2, "a", "2")])).await.unwrap_err();
    let expected = "shard shardId-00000001767225600000-00000001 is delivered by a later owner: the target has seen epoch 2, and \
                    this one has 1";
    assert_eq!(error.0, expected);
    assert_eq!(pairs(&database), expect(&[("a", "1")]), "a repeat of nothing new fences too");
}

#[tokio::test]
async fn values_that_no_column_takes_are_rejected_and_the_change_before_counts() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let records = vec![
        total(1, "a", "1"),
        total(2, "a", "12345"),
        put(3, "b", &[("note", s("x\0y"))]),
        put(4, "c", &[("total", s("4"))]),
        total(5, "c", "5"),
        put(6, "d", &[("total", AttributeValue::Null)]),
    ];
    let expected = vec![
        (1, "column total: 12345 does not fit numeric(6,2)".to_owned()),
        (2, "column doc: a text with the character U+0000 cannot be held by PostgreSQL".to_owned()),
        (3, "column total: the attribute is of type S, not N".to_owned()),
    ];
    assert_eq!(bring(&sink, flush(records.clone())).await, Ok(expected.clone()));
    assert_eq!(pairs(&database), expect(&[("a", "1"), ("c", "5"), ("d", "\\N")]));
    // The process ended before it could put down what was rejected: they must not be forgotten.
    let restarted = warehouse(json!({}), Arc::new(database.clone()), None);
    assert_eq!(bring(&restarted, flush(records.clone())).await, Ok(expected.clone()));
    let mut more = records[2..].to_vec();
    more.push(total(7, "a", "7"));
    let of_rest: Vec<(usize, String)> = expected[1..].iter().map(|(index, error)| (index - 2, error.clone())).collect();
    assert_eq!(bring(&restarted, flush(more)).await, Ok(of_rest));
}

#[tokio::test]
async fn what_the_database_refuses_is_found_and_rejected_alone() {
    let database = Database::new();
    database.refuse("13");
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let mut records: Vec<StreamRecord> = (1..=100).map(|number| total(number, &format!("k{number:03}"), "1")).collect();
    records[40] = total(41, "k041", "13");
    records.push(total(101, "k007", "13"));
    let rejected = bring(&sink, flush(records.clone())).await.unwrap();
    let reason = "new row violates check constraint".to_owned();
    // `k013`'s row has the text too.
    assert_eq!(rejected, vec![(12, reason.clone()), (40, reason.clone()), (100, reason)]);
    let keys: Vec<String> = pairs(&database).into_iter().map(|(key, _)| key).collect();
    let wanted: Vec<String> =
        (1..=100).filter(|number| ![13, 41].contains(number)).map(|number| format!("k{number:03}")).collect();
    assert_eq!(keys, wanted, "k007 is as it was before the change that was refused");
    assert_eq!(database.committed().rows["k007"].lsn, 7);
    let copies = database.statements().iter().filter(|sql| sql.starts_with("COPY")).count();
    assert!(copies < 40, "{copies} loads");
}

#[tokio::test]
async fn a_snapshot_is_merged_and_later_changes_win() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    let page = |number, records| Flush { origin: Origin::Snapshot { page: number, made_by: 1 }, ..flush(records) };
    bring(&sink, page(0, vec![total(50, "a", "1"), total(50, "b", "2")])).await.unwrap();
    bring(&sink, page(1, vec![total(50, "c", "3")])).await.unwrap();
    // Cut otherwise, after a crash.
    bring(&sink, page(1, vec![total(50, "c", "3"), total(50, "d", "4")])).await.unwrap();
    bring(&sink, flush(vec![total(51, "a", "51"), remove(52, "b")])).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("a", "51"), ("c", "3"), ("d", "4")]));
}

#[tokio::test]
async fn a_rebuild_takes_away_what_is_not_so_any_more() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    bring(&sink, flush(vec![total(1, "a", "1"), total(2, "gone unseen", "2"), total(900, "late", "3")])).await.unwrap();
    let next = |flush: Flush| Flush { version: 2, ..flush };
    let page = Flush {
        origin: Origin::Snapshot { page: 0, made_by: 1 },
        ..flush(vec![total(70, "a", "70"), total(70, "late", "4")])
    };
    bring(&sink, next(page)).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("a", "70"), ("gone unseen", "2"), ("late", "4")]));
    sink.snapshot_done(source("2026-01-01T00:00:00.000"), 2, 2).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("a", "70"), ("late", "4")]));
    bring(&sink, next(flush(vec![remove(71, "a")]))).await.unwrap();
    // A change of the configuration is no rebuild: what is there stays.
    sink.snapshot_done(source("2026-01-01T00:00:00.000"), 2, 3).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("late", "4")]));
    let deletes =
        database.statements().iter().filter(|sql| sql.starts_with("DELETE FROM \"public\".\"orders\" WHERE")).count();
    assert_eq!(deletes, 1, "the table is swept once");
    // A server that still has the version before must not get in.
    let error = bring(&sink, flush(vec![total(901, "zombie", "1")])).await.unwrap_err();
    let expected = "the table public.orders is filled under version 3 of the sink from the stream of 2026-01-01T00:00:00.000; this \
                    is version 1 from that of 2026-01-01T00:00:00.000; if this is the right one, hand it over: UPDATE ";
    assert!(error.0.starts_with(expected), "{error}");
    assert_eq!(pairs(&database), expect(&[("late", "4")]));
}

/// A data directory that began anew counts from low numbers.
#[tokio::test]
async fn rows_of_an_earlier_stream_are_older_whatever_their_number() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    bring(&sink, flush(vec![total(1000, "a", "1"), total(1001, "b", "2")])).await.unwrap();
    let anew = Flush { source: source("2026-02-02T00:00:00.000"), ..flush(vec![total(1, "a", "3"), remove(2, "b")]) };
    bring(&sink, anew).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("a", "3")]));
}

#[tokio::test]
async fn a_table_that_is_somebody_elses_is_left_alone() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    bring(&sink, flush(vec![total(1, "a", "1")])).await.unwrap();
    let mut other = (*source("2026-01-01T00:00:00.000")).clone();
    other.table = "Users".to_owned();
    other.stream_arn = tailrace_core::StreamArn::new(
        "arn:aws:dynamodb:us-east-1:000000000000:table/Users/stream/2026-01-01T00:00:00.000",
    );
    let error = bring(&sink, Flush { source: Arc::new(other), ..flush(vec![total(2, "u", "1")]) }).await.unwrap_err();
    let expected = "the table public.orders is filled by sink wh from table Orders: choose another one, or hand it over: UPDATE \
                    \"public\".\"_tailrace_targets\" SET sink = 'wh', source = 'Users', stream = '' WHERE target = 'orders'";
    assert_eq!(error.0, expected);
}

#[tokio::test]
async fn a_table_that_is_gone_is_missed() {
    let database = Database::new();
    let sink = warehouse(json!({}), Arc::new(database.clone()), None);
    bring(&sink, flush(vec![total(1, "a", "1")])).await.unwrap();
    database.change(|committed| {
        committed.tables.retain(|table| table != "orders");
        committed.rows.clear();
    });
    let restarted = warehouse(json!({}), Arc::new(database.clone()), None);
    restarted.prepare(source("2026-01-01T00:00:00.000")).await.unwrap();
    let error = bring(&restarted, flush(vec![total(2, "b", "2")])).await.unwrap_err();
    assert!(
        error.0.starts_with("the table public.orders is gone, with all that was in it: rebuild the sink, or"),
        "{error}"
    );
    bring(&restarted, Flush { version: 2, ..flush(vec![total(2, "b", "2")]) }).await.unwrap();
    assert_eq!(pairs(&database), expect(&[("b", "2")]));
}

#[tokio::test]
async fn a_change_log_has_every_change_once() {
    let database = Database::new();
    let sink = warehouse(json!({"mode": "append"}), Arc::new(database.clone()), None);
    assert!(sink.plans(), "its flushes come again as they were");
    let page = Flush {
        origin: Origin::Snapshot { page: 0, made_by: 1 },
        ..flush(vec![total(5, "a", "1"), put(5, "b", &[("n", s("\0"))])])
    };
    let stream = flush(vec![total(6, "a", "2"), remove(7, "a")]);
    for _ in 0..2 {
        let reason = "column new_image: a text with the character U+0000 cannot be held by PostgreSQL".to_owned();
        assert_eq!(bring(&sink, page.clone()).await, Ok(vec![(1, reason)]));
    }
    for _ in 0..2 {
        assert_eq!(bring(&sink, stream.clone()).await, Ok(vec![]));
    }
    let shard = "shardId-00000001767225600000-00000001";
    let time = "2026-01-02 03:04:05.678+00:00";
    let line = |parts: [&str; 9]| parts.map(str::to_owned).to_vec();
    assert_eq!(
        database.committed().log,
        vec![
            line(["a", "1", r#"{"pk":"a","total":1}"#, "\\N", "SNAPSHOT", time, "f", shard, "5"]),
            line(["a", "2", r#"{"pk":"a","total":2}"#, "\\N", "MODIFY", time, "f", shard, "6"]),
            line(["a", "\\N", "\\N", "\\N", "REMOVE", time, "f", shard, "7"]),
        ]
        .into_iter()
        .map(|mut line| {
            line.push("1000000001".to_owned());
            line
        })
        .collect::<Vec<_>>()
    );
}
