//! Values: exact, and those that the database does not take.

use serde_json::json;
use tailrace_core::AttributeValue;
use tailrace_sinks::sink::{Flush, Origin, Sink};

use super::{Place, bring, flush, n, put, s};

#[tokio::test]
async fn documents_and_columns_are_exact() {
    let place = Place::new("values_exact").await;
    let sink = place.sink(json!({"columns": {
        "total": "total.N numeric",
        "small": "small.N smallint",
        "rate": "rate.N double precision",
        "paid": "paid.BOOL boolean",
        "at": "at.S timestamptz",
        "day": "day.S date",
        "code": "code.B bytea",
        "ref": "ref.S uuid",
        "tags": "tags.SS jsonb",
        "note": "note.S text",
        "price": "price.N numeric(10,2)",
    }}));
    let digits = "0.00000000000000000000000000000000000000000000000000000012345678901234567890123456789012345678";
    let note = "tab\t line\n back\\slash \\N \"quote\" é \u{1F600} \u{1} end";
    let item = [
        ("total", n(digits)),
        ("small", n("-32768")),
        ("rate", n("1e125")),
        ("paid", AttributeValue::Bool(true)),
        ("at", s("2026-02-28T23:30:00.1234567+01:00")),
        ("day", s("2024-02-29")),
        ("code", AttributeValue::B(vec![0, 92, 255])),
        ("ref", s("6F9619FF-8B86-D011-B42D-00CF4FC964FF")),
        ("tags", AttributeValue::Ss(["x".to_owned(), "\\".to_owned()].into())),
        ("note", s(note)),
        ("price", n("12345678.905")),
    ];
    let empty = [("note", AttributeValue::Null)];
    assert_eq!(bring(&sink, flush(vec![put(1, "a", &item), put(2, "b", &empty)])).await, Ok(vec![]));
    let columns = "SELECT total = (doc->>'total')::numeric AND total = $$0$$::numeric + '{d}'::numeric, small, rate, paid, \
                   at AT TIME ZONE 'UTC', day, code, ref, tags, note = doc->>'note', price, doc->'price' FROM orders WHERE pk = 'a'"
        .replace("{d}", digits);
    assert_eq!(
        place.rows(&columns).await,
        ["t|-32768|1e+125|t|2026-02-28 22:30:00.123456|2024-02-29|\\x005cff|6f9619ff-8b86-d011-b42d-00cf4fc964ff|\
             [\"\\\\\", \"x\"]|t|12345678.91|12345678.905"]
    );
    let read: String = place.client.query_one("SELECT note FROM orders WHERE pk = 'a'", &[]).await.unwrap().get(0);
    assert_eq!(read, note);
    let times = "SELECT _event_time AT TIME ZONE 'UTC', _lsn, note IS NULL, doc->'note' FROM orders WHERE pk = 'b'";
    assert_eq!(place.rows(times).await, ["2026-01-02 03:04:05.002|2|t|null"]);
}

#[tokio::test]
async fn what_the_database_does_not_take_is_rejected_alone() {
    let place = Place::new("values_rejected").await;
    let sink =
        place.sink(json!({"columns": {"total": "total.N numeric(4,2)", "n": "n.N bigint", "at": "at.S timestamptz"}}));
    // The largest of year and rounding are found by the database alone.
    let long: String = (0..3000u32).map(|index| char::from_u32(0x4e00 + index * 7 % 20_000).unwrap()).collect();
    let records = vec![
        put(1, "a", &[("total", n("1"))]),
        put(2, "b", &[("total", n("99.995"))]),
        put(3, "c", &[("note", s("\0"))]),
        put(4, &long, &[]),
        put(5, "d", &[("at", s("tomorrow"))]),
        put(6, "e", &[("n", s("5"))]),
        put(7, "b", &[("total", n("7"))]),
        put(8, "a", &[("total", n("100"))]),
    ];
    let rejected = bring(&sink, flush(records)).await.unwrap();
    let reasons: Vec<(usize, &str)> = rejected.iter().map(|(index, error)| (*index, error.as_str())).collect();
    assert_eq!(
        reasons.iter().filter(|(index, _)| *index != 3).copied().collect::<Vec<_>>(),
        [
            (2, "column doc: a text with the character U+0000 cannot be held by PostgreSQL"),
            (
                4,
                "column at: \"tomorrow\" is no date and time (YYYY-MM-DDTHH:MM:SS.ffffff, with Z or +HH:MM for a zone)"
            ),
            (5, "column n: the attribute is of type S, not N"),
            (7, "column total: 100 does not fit numeric(4,2)"),
        ]
    );
    assert!(reasons.iter().any(|(index, error)| *index == 3 && error.starts_with("index row ")), "{reasons:?}");
    assert_eq!(place.rows("SELECT pk, total, _lsn FROM orders ORDER BY pk").await, ["a|1.00|1", "b|7.00|7"]);
    let put_down = "SELECT number, error FROM _tailrace_rejected ORDER BY number";
    assert_eq!(place.rows(put_down).await.len(), 5);
    let rejected = bring(&sink, flush(vec![put(9, "x", &[("total", n("99.999"))])])).await.unwrap();
    assert_eq!(
        rejected,
        [(
            0,
            "numeric field overflow (A field with precision 4, scale 2 must round to an absolute value less than 10^2.)"
                .to_owned()
        )]
    );
}

/// A rule of the table's own, a trigger and a unique index.
#[tokio::test]
async fn rules_of_the_table_reject_single_records_and_a_retry_brings_them() {
    let place = Place::new("values_rules").await;
    let sink = place.sink(json!({"columns": {"n": "n.N bigint", "code": "code.S text"}}));
    sink.prepare(super::source()).await.unwrap();
    place
        .run(
            "ALTER TABLE orders ADD CHECK (n % 100 <> 0); CREATE UNIQUE INDEX ON orders (code); \
             CREATE FUNCTION no_seven() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN IF NEW.n = 7 THEN RAISE EXCEPTION ''no seven''; END IF; RETURN NEW; END'; \
             CREATE TRIGGER no_seven BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION no_seven()",
        )
        .await;
    let record = |number: u64| {
        put(number, &format!("k{number}"), &[("n", n(&number.to_string())), ("code", s(&(number % 990).to_string()))])
    };
    let records: Vec<_> = (1..=1000).map(record).collect();
    let rejected = bring(&sink, flush(records.clone())).await.unwrap();
    let indexes: Vec<usize> = rejected.iter().map(|(index, _)| index + 1).collect();
    let expected: Vec<usize> = (1..=1000).filter(|number| number % 100 == 0 || *number == 7 || *number > 990).collect();
    // 997 has the code that 7 would have had.
    let expected: Vec<usize> = expected.into_iter().filter(|number| *number != 997).collect();
    assert_eq!(indexes, expected);
    assert!(rejected.iter().any(|(_, error)| error == "no seven"));
    assert_eq!(place.rows("SELECT count(*) FROM orders").await, [(1000 - expected.len()).to_string()]);

    place.run("DROP TRIGGER no_seven ON orders; DELETE FROM orders WHERE pk = 'k997'").await;
    let again = Flush { origin: Origin::Retry, epoch: 0, ..flush(vec![records[6].clone()]) };
    for _ in 0..2 {
        assert_eq!(bring(&sink, again.clone()).await, Ok(vec![]));
        assert_eq!(place.rows("SELECT n FROM orders WHERE pk = 'k7'").await, ["7"]);
    }
    let still = Flush { origin: Origin::Retry, epoch: 0, ..flush(vec![records[99].clone()]) };
    assert_eq!(bring(&sink, still).await.unwrap().len(), 1);
    assert_eq!(place.rows("SELECT count(*) FROM _tailrace_rejected").await, [(expected.len() - 1).to_string()]);
}

#[tokio::test]
async fn a_change_log_of_all_kinds() {
    let place = Place::new("values_log").await;
    let sink = place.sink(json!({"mode": "append", "columns": {"n": "n.N bigint"}}));
    let page = Flush { origin: Origin::Snapshot { page: 0, made_by: 1 }, ..flush(vec![put(5, "a", &[("n", n("1"))])]) };
    bring(&sink, page.clone()).await.unwrap();
    bring(&sink, page).await.unwrap();
    let mut expired = super::remove(7, "a");
    expired.meta.by_service = true;
    expired.old = put(6, "a", &[("n", n("2"))]).new;
    bring(&sink, flush(vec![put(6, "a", &[("n", n("2"))]), expired])).await.unwrap();
    let rows = "SELECT _event, pk, n, new_image->>'n', old_image->>'n', _is_ttl, _lsn FROM orders ORDER BY _lsn";
    assert_eq!(
        place.rows(rows).await,
        ["SNAPSHOT|a|1|1|NULL|f|5", "MODIFY|a|2|2|NULL|f|6", "REMOVE|a|NULL|NULL|2|t|7"]
    );
}
