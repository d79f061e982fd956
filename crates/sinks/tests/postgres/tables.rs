//! Tables: made, evolved, and left alone where they are not ours.

use serde_json::json;
use tailrace_sinks::sink::{Flush, KeyKind, Sink};

use super::{Place, bring, change, flush, n, put, s, source, source_of, url};

#[tokio::test]
async fn a_table_is_made_and_gets_new_columns() {
    let place = Place::new("tables_made").await;
    let sink = place.sink(json!({}));
    sink.prepare(source()).await.unwrap();
    sink.prepare(source()).await.unwrap();
    let columns = "SELECT column_name, data_type, is_nullable FROM information_schema.columns \
                   WHERE table_schema = 'tables_made' AND table_name = 'orders' ORDER BY ordinal_position";
    assert_eq!(
        place.rows(columns).await,
        [
            "pk|text|NO",
            "doc|jsonb|YES",
            "_event_time|timestamp with time zone|NO",
            "_lsn|bigint|NO",
            "_generation|bigint|NO",
        ]
    );
    bring(&sink, flush(vec![put(1, "a", &[("total", n("1.5"))])])).await.unwrap();
    let wider = place.sink(json!({"columns": {"total": "total.N numeric", "city": "address.city.S varchar(10)"}}));
    let address = [("city".to_owned(), s("Bern"))].into();
    let records = vec![put(2, "b", &[("total", n("2")), ("address", tailrace_core::AttributeValue::M(address))])];
    bring(&wider, Flush { version: 2, ..flush(records) }).await.unwrap();
    assert_eq!(place.rows("SELECT pk, total, city FROM orders ORDER BY pk").await, ["a|NULL|NULL", "b|2|Bern"]);
    // A column that is not asked for any more stays.
    let narrower = place.sink(json!({}));
    bring(&narrower, Flush { version: 3, ..flush(vec![put(3, "b", &[])]) }).await.unwrap();
    assert_eq!(place.rows("SELECT pk, total, city FROM orders ORDER BY pk").await, ["a|NULL|NULL", "b|NULL|NULL"]);
}

#[tokio::test]
async fn a_table_of_another_shape_is_told_of_and_left_alone() {
    let place = Place::new("tables_other").await;
    let sink = place.sink(json!({"columns": {"total": "total.N numeric"}}));
    let told = "the table tables_other.orders is there, but is none that this sink can fill: ";
    let ours = "pk text PRIMARY KEY, doc jsonb, _event_time timestamptz NOT NULL, _lsn bigint NOT NULL";
    for (columns, expected) in [
        ("id int PRIMARY KEY", "it has no column pk"),
        (ours, "it has no column _generation"),
        (&format!("{ours}, _generation bigint, total int"), "its column total is integer, not numeric"),
        (&format!("{}, _generation bigint", ours.replace("PRIMARY KEY", "")), "its key is not (pk)"),
        (
            &format!("{ours}, _generation bigint, more text NOT NULL"),
            "its column more is not one of ours, and takes no NULL",
        ),
    ] {
        place.run(&format!("DROP TABLE IF EXISTS orders; CREATE TABLE orders ({columns})")).await;
        let error = sink.prepare(source()).await.unwrap_err();
        assert_eq!(error.0, format!("{told}{expected}"));
    }
    place
        .run(&format!(
            "DROP TABLE orders; CREATE TABLE orders ({ours}, _generation bigint, id bigint GENERATED ALWAYS AS IDENTITY, \
             more text NOT NULL DEFAULT 'x')"
        ))
        .await;
    bring(&sink, flush(vec![put(1, "a", &[("total", n("7"))])])).await.unwrap();
    assert_eq!(place.rows("SELECT id, more, pk, total FROM orders").await, ["1|x|a|7"]);
}

#[tokio::test]
async fn two_that_make_tables_at_once_do_not_fail() {
    let place = Place::new("tables_race").await;
    let sinks: Vec<_> = (0..6).map(|_| place.sink(json!({}))).collect();
    let made = futures_util::future::join_all(sinks.iter().map(|sink| sink.prepare(source()))).await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let brought =
        futures_util::future::join_all(sinks.iter().map(|sink| bring(sink, flush(vec![put(1, "a", &[])])))).await;
    assert!(brought.iter().all(Result::is_ok), "{brought:?}");
    assert_eq!(place.rows("SELECT count(*) FROM orders").await, ["1"]);
}

#[tokio::test]
async fn whoever_may_only_write_can_fill_what_was_made() {
    let place = Place::new("tables_rights").await;
    place.sink(json!({})).prepare(source()).await.unwrap();
    place
        .run(
            "DROP ROLE IF EXISTS tables_writer; CREATE ROLE tables_writer LOGIN; \
             GRANT USAGE ON SCHEMA tables_rights TO tables_writer; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tables_rights TO tables_writer",
        )
        .await;
    let settings: tokio_postgres::Config = url().parse().unwrap();
    let tokio_postgres::config::Host::Tcp(host) = &settings.get_hosts()[0] else { panic!("no TCP address") };
    let url = format!("postgres://tables_writer@{host}:{}/{}", settings.get_ports()[0], settings.get_dbname().unwrap());
    let writer = place.sink_at(&url, json!({}));
    bring(&writer, flush(vec![put(1, "a", &[])])).await.unwrap();
    assert_eq!(place.rows("SELECT pk FROM orders").await, ["a"]);
    let wider = place.sink_at(&url, json!({"columns": {"total": "total.N numeric"}}));
    let error = bring(&wider, flush(vec![put(2, "a", &[])])).await.unwrap_err();
    assert_eq!(error.0, "must be owner of table orders");
    place.run("DROP OWNED BY tables_writer; DROP ROLE tables_writer").await;
}

#[tokio::test]
async fn names_are_taken_as_they_are() {
    let place = Place::new("tables_names").await;
    let sink = place.sink(json!({
        "table": "tables_names.\"select \"\"x\"\".y\"",
        "keys": {"pk": "Order"},
        "columns": {"to\"tal": "\"to.tal\".N numeric"},
    }));
    bring(&sink, flush(vec![put(1, "a", &[("to.tal", n("3"))])])).await.unwrap();
    assert_eq!(place.rows("SELECT \"Order\", \"to\"\"tal\" FROM \"select \"\"x\"\".y\"").await, ["a|3"]);
}

#[tokio::test]
async fn keys_have_types_and_order() {
    let place = Place::new("tables_keys").await;
    let source = source_of(KeyKind::N, Some(KeyKind::B));
    let sink = place.sink(json!({"keys": {"pk": "order_no numeric(20,2)"}}));
    let bytes = |bytes: &[u8]| tailrace_core::AttributeValue::B(bytes.to_vec());
    let record = |number, pk: &str, sk: &[u8], left: bool| {
        change(number, &[("pk", n(pk)), ("sk", bytes(sk))], left.then_some(&[]))
    };
    let records = vec![
        record(1, "10", &[0, 255], true),
        record(2, "9.5", &[1], true),
        record(3, "10.00", &[0, 255], true),
        record(4, "9.5", &[], true),
        record(5, "9.5", &[1], false),
        record(6, "1.005", &[], true),
    ];
    let rejected = bring(&sink, Flush { source, ..flush(records) }).await.unwrap();
    assert_eq!(rejected, [(5, "key pk: 1.005 does not fit numeric(20,2)".to_owned())]);
    assert_eq!(
        place.rows("SELECT order_no, sk, _lsn FROM orders ORDER BY 1, 2").await,
        ["9.50|\\x|4", "10.00|\\x00ff|3"]
    );

    let texts = Place::new("tables_texts").await;
    let sink = texts.sink(json!({}));
    let records = ["a", "B", "é", "z", "_", "a "].iter().zip(1..).map(|(pk, number)| put(number, pk, &[])).collect();
    bring(&sink, flush(records)).await.unwrap();
    assert_eq!(
        texts.rows("SELECT pk FROM orders ORDER BY pk").await,
        ["B", "_", "a", "a ", "z", "é"],
        "as DynamoDB has it"
    );
}
