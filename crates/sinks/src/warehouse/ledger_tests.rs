use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::warehouse::dialect::Dialect;
use crate::warehouse::layout::Layout;
use crate::warehouse::postgres::Postgres;
use crate::warehouse::redshift::Redshift;

fn target(dialect: Arc<dyn Dialect>) -> Target {
    let config = crate::warehouse::tests::config(json!({}));
    let source = crate::warehouse::tests::source("2026-01-01T00:00:00.000");
    let layout = Layout::new(&config, &[], dialect.as_ref(), &source).unwrap();
    Target { layout, dialect, schema: "public".to_owned() }
}

fn holder(label: &str, version: u32) -> Holder {
    Holder { sink: "wh".into(), source: "Orders".into(), label: label.into(), version }
}

#[test]
fn newer_streams_and_versions_begin_a_generation_and_older_ones_are_kept_out() {
    let held = holder("2026-02-01T00:00:00.000", 3);
    let target = target(Arc::new(Postgres));
    let generation = generation_of(7, 3);
    let claim = |comes: &Holder| claim(Some((&held, generation)), comes, &target);
    assert_eq!(claim(&held), Claim::Keep(7_000_000_003));
    assert_eq!(claim(&holder(&held.label, 4)), Claim::Next(7_000_000_004));
    let anew = holder("2026-02-01T00:00:00.001", 1);
    assert_eq!(claim(&anew), Claim::Next(8_000_000_001), "another directory begins with version 1");
    assert_eq!(generation_since(7_000_000_004, 2), 7_000_000_002);
    for older in [holder(&held.label, 2), holder("2026-01-31T23:59:59.999", 9)] {
        assert!(matches!(claim(&older), Claim::Refuse(_)), "{older:?}");
    }
    let other = Holder { sink: "it's".into(), ..held.clone() };
    let expected = "the table public.orders is filled by sink wh from table Orders: choose another one, or hand it over: UPDATE \
                    \"public\".\"_tailrace_targets\" SET sink = 'it''s', source = 'Orders', stream = '' WHERE target = 'orders'";
    assert_eq!(claim(&other), Claim::Refuse(expected.into()));
    let handed_over = Holder { label: String::new(), ..other.clone() };
    assert_eq!(super::claim(Some((&handed_over, generation)), &other, &target), Claim::Next(8_000_000_003));
    assert_eq!(super::claim(None, &held, &target), Claim::First(1_000_000_003));
}

#[test]
fn statements_of_postgresql() {
    let target = target(Arc::new(Postgres));
    let ledgers: Vec<String> = target.ledgers().unwrap().into_iter().map(|(_, create)| create).collect();
    assert_eq!(
        ledgers,
        [
            "CREATE TABLE \"public\".\"_tailrace_progress\" (\"target\" character varying(512) COLLATE \"C\" NOT NULL, \
             \"generation\" bigint NOT NULL, \"shard\" character varying(512) COLLATE \"C\" NOT NULL, \
             \"sink\" character varying(512) NOT NULL, \"version\" bigint NOT NULL, \"last_number\" bigint NOT NULL, \
             \"epoch\" bigint NOT NULL, PRIMARY KEY (\"target\", \"generation\", \"shard\"))",
            "CREATE TABLE \"public\".\"_tailrace_targets\" (\"target\" character varying(512) COLLATE \"C\" NOT NULL, \
             \"generation\" bigint NOT NULL, \"sink\" character varying(512) NOT NULL, \
             \"source\" character varying(512) NOT NULL, \"stream\" character varying(512) NOT NULL, \
             \"version\" bigint NOT NULL, \"swept\" bigint NOT NULL, PRIMARY KEY (\"target\"))",
            "CREATE TABLE \"public\".\"_tailrace_rejected\" (\"target\" character varying(512) COLLATE \"C\" NOT NULL, \
             \"item\" character varying(512) COLLATE \"C\" NOT NULL, \"number\" bigint NOT NULL, \
             \"generation\" bigint NOT NULL, \"shard\" character varying(512) NOT NULL, \"place\" bigint NOT NULL, \
             \"live\" boolean NOT NULL, \"error\" character varying(4096) NOT NULL, \
             PRIMARY KEY (\"target\", \"item\", \"number\", \"generation\"))",
        ]
    );
    assert_eq!(
        target.ask_holder(),
        "BEGIN; SELECT generation, sink, source, stream, version FROM \"public\".\"_tailrace_targets\" \
         WHERE target = 'orders' FOR UPDATE"
    );
    assert_eq!(
        target.hold_first(&holder("l", 2), 5),
        "INSERT INTO \"public\".\"_tailrace_targets\" (target, generation, sink, source, stream, version, swept) \
         VALUES ('orders', 5, 'wh', 'Orders', 'l', 2, 0); COMMIT"
    );
    assert_eq!(
        target.hold(&holder("l", 2), 5),
        "UPDATE \"public\".\"_tailrace_targets\" SET generation = 5, sink = 'wh', source = 'Orders', stream = 'l', version = 2 \
         WHERE target = 'orders'; DELETE FROM \"public\".\"_tailrace_progress\" WHERE target = 'orders' AND generation < -11; COMMIT"
    );
    assert_eq!(
        target.open_progress(&holder("l", 2), 5, "s1", -1),
        "INSERT INTO \"public\".\"_tailrace_progress\" (target, generation, shard, sink, version, last_number, epoch) \
         VALUES ('orders', 5, 's1', 'wh', 2, -1, 0) ON CONFLICT DO NOTHING"
    );
    assert_eq!(
        target.ask_progress(5, "s1", true),
        "SELECT last_number, epoch FROM \"public\".\"_tailrace_progress\" WHERE target = 'orders' AND generation = 5 \
         AND shard = 's1' FOR UPDATE"
    );
    assert_eq!(
        target.ask_progress_before(2, 5, "s1"),
        "SELECT last_number FROM \"public\".\"_tailrace_progress\" WHERE target = 'orders' AND generation >= 2 \
         AND generation < 5 AND shard = 's1' ORDER BY generation DESC LIMIT 1"
    );
    assert_eq!(
        target.inherit_rejected(2, 5, "s1", 7),
        "UPDATE \"public\".\"_tailrace_rejected\" SET generation = 5 WHERE target = 'orders' AND generation >= 2 \
         AND generation < 5 AND shard = 's1' AND place > 7"
    );
    let (seen, to) = (Progress { last: -1, epoch: 0 }, Progress { last: 9, epoch: 3 });
    assert_eq!(
        target.move_progress(5, "s1", seen, to),
        "UPDATE \"public\".\"_tailrace_progress\" SET last_number = 9, epoch = 3 WHERE target = 'orders' AND generation = 5 \
         AND shard = 's1' AND last_number = -1 AND epoch = 0"
    );
}

#[test]
fn statements_of_redshift() {
    let target = target(Arc::new(Redshift));
    assert_eq!(
        target.ask_holder(),
        "BEGIN; LOCK TABLE \"public\".\"_tailrace_targets\"; SELECT generation, sink, source, stream, version \
         FROM \"public\".\"_tailrace_targets\" WHERE target = 'orders'"
    );
    assert_eq!(
        target.stay_in(5),
        "UPDATE \"public\".\"_tailrace_targets\" SET generation = 5 WHERE target = 'orders' AND generation = 5"
    );
    assert_eq!(
        target.open_progress(&holder("l", 2), 5, "s1", -1),
        "BEGIN; LOCK TABLE \"public\".\"_tailrace_progress\"; INSERT INTO \"public\".\"_tailrace_progress\" \
         (target, generation, shard, sink, version, last_number, epoch) SELECT 'orders', 5, 's1', 'wh', 2, -1, 0 \
         WHERE NOT EXISTS (SELECT 1 FROM \"public\".\"_tailrace_progress\" WHERE target = 'orders' AND generation = 5 \
         AND shard = 's1'); COMMIT"
    );
    assert_eq!(
        target.ask_progress(5, "s1", true),
        "SELECT last_number, epoch FROM \"public\".\"_tailrace_progress\" WHERE target = 'orders' AND generation = 5 \
         AND shard = 's1'"
    );
}

#[test]
fn reasons_are_short_and_written_in_parts() {
    let target = target(Arc::new(Postgres));
    let refused = |number| {
        (number, Refused { item: "i".into(), number, error: format!("it's\0 {}", "x".repeat(1000)), live: true })
    };
    let many: Vec<(i64, Refused)> = (0..501).map(refused).collect();
    let statements = target.reject(1, "s1", &many);
    assert_eq!(statements.len(), 2);
    let reason = format!("'it''s {}'", "x".repeat(395));
    assert_eq!(
        statements[1],
        format!(
            "DELETE FROM \"public\".\"_tailrace_rejected\" WHERE target = 'orders' AND generation = 1 AND \
             ((item = 'i' AND number = 500)); INSERT INTO \"public\".\"_tailrace_rejected\" \
             (target, item, number, generation, shard, place, live, error) \
             VALUES ('orders', 'i', 500, 1, 's1', 500, true, {reason})"
        )
    );
}
