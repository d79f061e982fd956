use serde_json::json;

use super::*;
use crate::warehouse::postgres::Postgres;
use crate::warehouse::redshift::Redshift;

fn source(sort_key: Option<(&str, KeyKind)>) -> SourceTable {
    let attribute = |name: &str, kind| KeyAttribute { name: name.to_owned(), kind };
    SourceTable {
        sort_key: sort_key.map(|(name, kind)| attribute(name, kind)),
        partition_key: attribute("orderId", KeyKind::S),
        ..(*crate::warehouse::tests::source("2026-01-01T00:00:00.000")).clone()
    }
}

fn layout(
    dialect: &dyn Dialect,
    settings: serde_json::Value,
    sort_key: Option<(&str, KeyKind)>,
) -> Result<Layout, ConfigError> {
    let config = crate::warehouse::tests::config(settings);
    let promoted: Vec<Promoted> =
        config.columns.iter().map(|(column, text)| Promoted::parse(column, text).unwrap()).collect();
    Layout::new(&config, &promoted, dialect, &source(sort_key))
}

fn target(dialect: Arc<dyn Dialect>, settings: serde_json::Value, sort_key: Option<(&str, KeyKind)>) -> Target {
    let layout = layout(dialect.as_ref(), settings, sort_key).unwrap();
    Target { layout, dialect, schema: "sales".to_owned() }
}

#[test]
fn tables_of_postgresql() {
    let items = target(Arc::new(Postgres), json!({}), Some(("line", KeyKind::N)));
    assert_eq!(
        items.create().unwrap(),
        "CREATE TABLE \"sales\".\"orders\" (\"orderId\" text COLLATE \"C\" NOT NULL, \"line\" numeric NOT NULL, \
         \"total\" numeric(6,2), \"doc\" jsonb, \"_event_time\" timestamp with time zone NOT NULL, \
         \"_lsn\" bigint NOT NULL, \"_generation\" bigint NOT NULL, PRIMARY KEY (\"orderId\", \"line\"))"
    );
    let stage = items.stage();
    assert_eq!(
        items.create_stage().unwrap(),
        format!(
            "CREATE TEMP TABLE IF NOT EXISTS {stage} (\"_op\" character varying(16), \"orderId\" text, \"line\" numeric, \
             \"total\" numeric(6,2), \"doc\" jsonb, \"_event_time\" timestamp with time zone, \"_lsn\" bigint) \
             ON COMMIT DELETE ROWS"
        )
    );
    assert_eq!(
        items.merge(3),
        format!(
            "DELETE FROM \"sales\".\"orders\" USING {stage} WHERE \"orders\".\"orderId\" = {stage}.\"orderId\" AND \
             \"orders\".\"line\" = {stage}.\"line\" AND (\"orders\".\"_generation\" < 3 OR (\"orders\".\"_generation\" = 3 \
             AND \"orders\".\"_lsn\" < {stage}.\"_lsn\")); \
             INSERT INTO \"sales\".\"orders\" (\"orderId\", \"line\", \"total\", \"doc\", \"_event_time\", \"_lsn\", \
             \"_generation\") SELECT s.\"orderId\", s.\"line\", s.\"total\", s.\"doc\", s.\"_event_time\", s.\"_lsn\", 3 \
             FROM {stage} AS s WHERE s.\"_op\" <> 'REMOVE' AND NOT EXISTS (SELECT 1 FROM \"sales\".\"orders\" AS t \
             WHERE t.\"orderId\" = s.\"orderId\" AND t.\"line\" = s.\"line\")"
        )
    );
    let total = items.layout.columns.iter().find(|column| column.name == "total").unwrap();
    assert_eq!(items.add_column(total).unwrap(), "ALTER TABLE \"sales\".\"orders\" ADD COLUMN \"total\" numeric(6,2)");
    assert_eq!(items.sweep(3), "DELETE FROM \"sales\".\"orders\" WHERE \"_generation\" < 3");

    let log = target(Arc::new(Postgres), json!({"mode": "append", "keys": {"orderId": "order_id varchar(36)"}}), None);
    assert_eq!(
        log.create().unwrap(),
        "CREATE TABLE \"sales\".\"orders\" (\"order_id\" character varying(36) COLLATE \"C\" NOT NULL, \
         \"total\" numeric(6,2), \"new_image\" jsonb, \"old_image\" jsonb, \"_event\" character varying(16) NOT NULL, \
         \"_event_time\" timestamp with time zone NOT NULL, \"_is_ttl\" boolean NOT NULL, \
         \"_shard\" character varying(64) NOT NULL, \"_lsn\" bigint NOT NULL, \"_generation\" bigint NOT NULL)"
    );
}

/// The same statements, in Redshift's types and without capitals.
#[test]
fn tables_of_redshift() {
    let items = target(Arc::new(Redshift), json!({"table": "Sales.Orders"}), Some(("line", KeyKind::B)));
    assert_eq!(
        items.create().unwrap(),
        "CREATE TABLE \"sales\".\"orders\" (\"orderid\" character varying(2048) NOT NULL, \
         \"line\" character varying(1368) NOT NULL, \"total\" numeric(6,2), \"doc\" super, \
         \"_event_time\" timestamp without time zone NOT NULL, \"_lsn\" bigint NOT NULL, \"_generation\" bigint NOT NULL, \
         PRIMARY KEY (\"orderid\", \"line\")) DISTKEY (\"orderid\") COMPOUND SORTKEY (\"orderid\", \"line\")"
    );
    let stage = items.stage();
    assert_eq!(
        items.create_stage().unwrap(),
        format!(
            "DROP TABLE IF EXISTS {stage}; CREATE TEMP TABLE {stage} (\"_op\" character varying(16), \
             \"orderid\" character varying(2048), \"line\" character varying(1368), \"total\" numeric(6,2), \"doc\" super, \
             \"_event_time\" timestamp without time zone, \"_lsn\" bigint)"
        )
    );
    let number = target(Arc::new(Redshift), json!({}), Some(("line", KeyKind::N)));
    assert!(number.create().unwrap().contains("\"line\" numeric(38,0) NOT NULL"));
    let log = target(Arc::new(Redshift), json!({"mode": "append"}), None);
    assert!(log.create().unwrap().ends_with(") DISTKEY (\"orderid\") COMPOUND SORTKEY (\"_event_time\")"));
}

#[test]
fn names_that_cannot_be_are_told_of() {
    let error =
        |settings, sort_key| layout(&Postgres, settings, sort_key).map(|_| ()).map_err(|error| error.to_string());
    let wrong = |text: &str| Err(text.to_owned());
    assert_eq!(error(json!({}), None), Ok(()));
    assert_eq!(error(json!({"keys": {"nothing": "x"}}), None), wrong("keys: Orders has no key attribute nothing"));
    assert_eq!(
        error(json!({}), Some(("doc", KeyKind::S))),
        wrong(
            "columns: two columns would be named doc; give the key's or the promoted one another name, as in \
             keys: {orderId: NAME}"
        )
    );
    assert_eq!(error(json!({"keys": {"doc": "document"}}), Some(("doc", KeyKind::S))), Ok(()));
    assert!(error(json!({"columns": {"ORDERID": "x.S text"}}), None).is_err());
    assert!(error(json!({"columns": {"_op": "x.S text"}}), None).is_err());
    let long = "x".repeat(64);
    assert_eq!(
        error(json!({"table": long}), None),
        Err(format!("table: the name {long} has 64 bytes; PostgreSQL takes 63"))
    );
    assert_eq!(layout(&Redshift, json!({"table": long}), None).map(|_| ()), Ok(()));
    for (keys, expected) in [
        (json!({"orderId": "id bigint"}), "keys: orderId: a key of type S goes into text or varchar(N)"),
        (json!({"orderId": "id money"}), "keys: orderId: `money` is no type of a column"),
        (json!({"orderId": "id text"}), ""),
    ] {
        let told = error(json!({"keys": keys}), None).err().unwrap_or_default();
        assert_eq!(told, expected);
    }
    let double = error(json!({"keys": {"line": "line double precision"}}), Some(("line", KeyKind::N)));
    assert_eq!(
        double,
        wrong("keys: line: a key of type N goes into smallint, integer, bigint, numeric or numeric(P,S)")
    );
}

#[test]
fn a_table_that_is_there_is_compared() {
    let layout =
        layout(&Postgres, json!({"columns": {"total": "total.N numeric", "note": "note.S text"}}), None).unwrap();
    let found = |name: &str, sql: &str| Found { name: name.into(), sql: sql.into(), required: false, filled: false };
    let ours = [
        found("orderId", "text"),
        found("total", "numeric"),
        found("note", "text"),
        found("doc", "jsonb"),
        found("_event_time", "timestamp with time zone"),
        found("_lsn", "bigint"),
        found("_generation", "bigint"),
    ];
    let names = |found: &[Found]| {
        layout.compare(&Postgres, found).map(|columns| columns.into_iter().map(|column| column.name.clone()).collect())
    };
    let without = |name: &str| ours.iter().filter(|found| found.name != name).cloned().collect::<Vec<_>>();
    let with = |other: Found| [&ours[..], &[other]].concat();
    let names_of = |list: &[&str]| Ok(list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(names(&ours), names_of(&[]));
    assert_eq!(names(&without("total")), names_of(&["total"]), "it is added");
    assert_eq!(names(&with(found("more", "text"))), names_of(&[]));
    assert_eq!(names(&with(Found { required: true, filled: true, ..found("id", "bigint") })), names_of(&[]));
    assert_eq!(
        names(&with(Found { required: true, ..found("id", "bigint") })),
        Err(NotOurs("its column id is not one of ours, and takes no NULL".to_owned()))
    );
    assert_eq!(names(&without("_lsn")), Err(NotOurs("it has no column _lsn".to_owned())));
    let mut other = ours.to_vec();
    other[1].sql = "text".to_owned();
    assert_eq!(names(&other), Err(NotOurs("its column total is text, not numeric".to_owned())));
}
