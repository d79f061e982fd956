//! What the sink makes: indexes, templates, the alias; and a rebuild.

use serde_json::{Value, json};

use super::fake::{Fake, Fault};
use super::{config, flush, named, record, sink, table};
use tailrace_engine::streams::record::RecordWriter;

use crate::search::Search;
use crate::sink::{Sink, SinkError, SourceTable};

async fn prepared(fake: &Fake, build: u32, more: Value) -> Result<Search, SinkError> {
    let sink = sink(config(&fake.address, &more), build);
    sink.prepare(table("S", None).into()).await?;
    Ok(sink)
}

fn origin(directory: &str) -> String {
    RecordWriter::of_directory("us-east-1", directory).origin()
}

/// Numbers of records begin anew in a data directory: an index that has higher ones would take none.
#[tokio::test]
async fn an_index_of_another_data_directory_is_not_written_to() {
    for more in [json!({}), json!({"alias": false})] {
        let fake = Fake::start().await;
        prepared(&fake, 1, more.clone()).await.unwrap();
        prepared(&fake, 1, more.clone()).await.unwrap();
        let other = RecordWriter::of_directory("us-east-1", "other");
        let config = config(&fake.address, &more);
        let sink = Search::new(config, "search", 1, other).unwrap();
        let error = sink.prepare(table("S", None).into()).await.unwrap_err().to_string();
        assert!(error.contains("holds what another data directory wrote") && error.contains(&origin("d")), "{error}");
    }
}

/// Somebody has copied the sink's index into another one, `_reindex` for one, and given that the name of the first.
#[tokio::test]
async fn an_index_behind_an_alias_of_its_name_is_looked_at() {
    let fake = Fake::start().await;
    prepared(&fake, 1, json!({})).await.unwrap();
    {
        let mut state = fake.state();
        let index = state.indexes.remove("orders-v1").unwrap();
        state.indexes.insert("copy-of-orders".to_owned(), index);
        state.aliases.insert("orders-v1".to_owned(), ["copy-of-orders".to_owned()].into());
        state.aliases.insert("orders".to_owned(), ["copy-of-orders".to_owned()].into());
    }
    prepared(&fake, 1, json!({})).await.unwrap();
    let other = RecordWriter::of_directory("us-east-1", "other");
    let sink = Search::new(config(&fake.address, &json!({})), "search", 1, other).unwrap();
    let error = sink.prepare(table("S", None).into()).await.unwrap_err().to_string();
    assert!(error.contains("the index copy-of-orders holds what another data directory wrote"), "{error}");
    let users = SourceTable { table: "Users".to_owned(), ..table("S", None) };
    let second = named("second", config(&fake.address, &json!({})), 1);
    let error = second.prepare(users.into()).await.unwrap_err().to_string();
    assert!(error.contains("copy-of-orders has the items of Orders"), "{error}");
}

/// Equal keys of two tables would be one document, and a rebuild of the one sink would remove the index of the other.
#[tokio::test]
async fn an_index_has_the_items_of_one_table() {
    let other = || SourceTable { table: "Users".to_owned(), ..table("S", None) };
    for more in [json!({}), json!({"alias": false})] {
        let fake = Fake::start().await;
        prepared(&fake, 1, more.clone()).await.unwrap();
        for build in [1, 2] {
            let second = named("second", config(&fake.address, &more), build);
            let error = second.prepare(other().into()).await.unwrap_err().to_string();
            assert!(error.contains("has the items of Orders: those of Users would be mistaken"), "{error}");
        }
        assert_eq!(fake.state().indexes.len(), 1);
        // The same table under another name of the sink goes on.
        named("second", config(&fake.address, &more), 1).prepare(table("S", None).into()).await.unwrap();
    }
    // A sink that has another table from now on takes the place of what it was.
    let fake = Fake::start().await;
    prepared(&fake, 1, json!({})).await.unwrap();
    let next = sink(config(&fake.address, &json!({})), 2);
    next.prepare(other().into()).await.unwrap();
    next.swap().await.unwrap();
    assert_eq!(fake.state().indexes.keys().collect::<Vec<_>>(), ["orders-v2"]);
}

/// Indexes of earlier versions of the program say nothing of a table: the first that comes has it.
#[tokio::test]
async fn a_mark_without_a_table_is_completed_once() {
    for more in [json!({}), json!({"alias": false})] {
        let fake = Fake::start().await;
        let name = prepared(&fake, 1, more.clone())
            .await
            .map(|_| fake.state().indexes.keys().next().unwrap().clone())
            .unwrap();
        let bare = json!({"owner": "us", "tailrace": {"origin": origin("d"), "alias": "orders", "build": 1}});
        fake.state().indexes.get_mut(&name).unwrap().body["mappings"]["_meta"] = bare;
        prepared(&fake, 1, more.clone()).await.unwrap();
        let mark = json!({"origin": origin("d"), "alias": "orders", "build": 1, "sink": "search", "table": "Orders"});
        let completed = json!({"owner": "us", "tailrace": mark});
        assert_eq!(fake.state().indexes[&name].body["mappings"]["_meta"], completed);
        let users = SourceTable { table: "Users".to_owned(), ..table("S", None) };
        let second = named("second", config(&fake.address, &more), 1);
        assert!(second.prepare(users.into()).await.unwrap_err().to_string().contains("has the items of Orders"));
    }
}

fn put(number: u64, pk: &str) -> crate::sink::Flush {
    flush(vec![record(number, pk, Some(&json!({})))])
}

/// Spec: sinks.md 3.3, `index.gc_deletes` on indexes that we create.
#[tokio::test]
async fn an_index_is_made_once_with_its_alias_and_what_the_user_says() {
    let fake = Fake::start().await;
    let texts = json!({"texts": {"match_mapping_type": "string", "mapping": {"type": "keyword"}}});
    let more = json!({
        "settings": {"index": {"number_of_replicas": 0}},
        "mappings": {"dynamic": true, "dynamic_templates": [texts], "properties": {"total": {"type": "scaled_float", "scaling_factor": 100}, "a": {"properties": {}}}},
        "types": {"total": "number", "zip": "string", "a.b": "json", "a.c": "omit", "flag": "boolean", "x.y.z": "number"},
        "template": {"priority": 7},
    });
    prepared(&fake, 1, more.clone()).await.unwrap();
    let number = |seen: &str| json!({"match_mapping_type": seen, "mapping": {"type": "double"}});
    let (longs, doubles) = (json!({"long_numbers": number("long")}), json!({"double_numbers": number("double")}));
    let keyword = json!({"type": "keyword", "ignore_above": 8191});
    let expected = json!({
        "settings": {"index": {"number_of_replicas": 0}, "index.gc_deletes": "1h"},
        "mappings": {"dynamic": true, "date_detection": false, "dynamic_templates": [texts, longs, doubles],
            "_meta": {"tailrace": {"origin": origin("d"), "sink": "search", "table": "Orders", "alias": "orders", "build": 1}}, "properties": {
            "total": {"type": "scaled_float", "scaling_factor": 100}, "zip": keyword, "flag": {"type": "boolean"},
            "a": {"properties": {"b": {"type": "keyword", "index": false, "doc_values": false}}},
            "x": {"properties": {"y": {"properties": {"z": {"type": "double"}}}}},
        }},
        "aliases": {"orders": {}},
    });
    assert_eq!(fake.state().indexes["orders-v1"].body, expected);
    assert_eq!(fake.state().aliases["orders"], ["orders-v1".to_owned()].into());
    let template = json!({"priority": 7, "index_patterns": ["orders", "orders-*"]});
    assert_eq!(fake.state().templates["tailrace-orders"], template);
    prepared(&fake, 1, more).await.unwrap();
    let made = |state: &super::fake::State| state.asked.iter().filter(|asked| asked.method == "PUT").count();
    assert_eq!(made(&fake.state()), 2);
}

#[tokio::test]
async fn what_the_user_says_of_gc_deletes_holds() {
    for (more, expected) in [
        (json!({"gc_deletes": "3d"}), json!({"index.gc_deletes": "3d"})),
        (json!({"settings": {"index": {"gc_deletes": "2h"}}}), json!({"index": {"gc_deletes": "2h"}})),
        (json!({"settings": {"index.gc_deletes": "2h"}}), json!({"index.gc_deletes": "2h"})),
    ] {
        let fake = Fake::start().await;
        prepared(&fake, 1, more).await.unwrap();
        assert_eq!(fake.state().indexes["orders-v1"].body["settings"], expected);
    }
}

#[tokio::test]
async fn without_an_alias_the_index_is_the_users_own() {
    let fake = Fake::start().await;
    let sink = prepared(&fake, 1, json!({"alias": false})).await.unwrap();
    sink.flush(put(1, "a")).await.unwrap();
    assert_eq!(fake.state().documents("orders").len(), 1);
    // It was built in place.
    sink.swap().await.unwrap();
    assert_eq!(fake.state().documents("orders").len(), 1);
    // An index that is there where the alias would have to be.
    let error = prepared(&fake, 1, json!({})).await.err().unwrap();
    assert!(error.to_string().contains("say alias: false"), "{error}");
    assert_eq!(fake.state().indexes.len(), 1);
}

#[tokio::test]
async fn a_log_knows_its_fields() {
    let fake = Fake::start().await;
    prepared(&fake, 1, json!({"mode": "log", "types": {"n": "number"}})).await.unwrap();
    let body = fake.state().indexes["orders"].body.clone();
    assert_eq!(body["mappings"]["properties"]["event_time"], json!({"type": "date"}));
    assert_eq!(body["mappings"]["properties"]["new_image"], json!({"properties": {"n": {"type": "double"}}}));
    assert_eq!(body["settings"], json!({}));
}

/// Issue: a rebuild into a new index, with an alias swap.
#[tokio::test]
async fn a_rebuild_is_searched_when_it_is_whole() {
    let fake = Fake::start().await;
    let first = prepared(&fake, 1, json!({})).await.unwrap();
    first.flush(put(1, "gone in the table")).await.unwrap();
    let second = prepared(&fake, 2, json!({})).await.unwrap();
    assert_eq!(fake.state().aliases["orders"], ["orders-v1".to_owned()].into());
    second.flush(put(2, "a")).await.unwrap();
    assert_eq!(fake.state().documents("orders-v2").len(), 1);
    // Whatever happens on the way, the alias is one build's or the other's, and a repeat ends it.
    for fault in
        [Fault::Refuse(503), Fault::HangUp, Fault::DoneThenHangUp, Fault::DoneThenGarbage, Fault::DoneThen(500)]
    {
        fake.state().fail("_alias", &[fault]);
        second.swap().await.unwrap_err();
        fake.state().fail("_refresh", &[fault]);
        if fault != Fault::DoneThenGarbage {
            second.swap().await.unwrap_err();
        }
        assert_eq!(fake.state().aliases["orders"].len(), 1);
    }
    for fault in [Fault::DoneThenHangUp, Fault::DoneThenCut(50)] {
        fake.state().fail("_aliases", &[fault]);
        second.swap().await.unwrap_err();
    }
    second.swap().await.unwrap();
    second.swap().await.unwrap();
    let state = fake.state();
    assert_eq!(state.aliases["orders"], ["orders-v2".to_owned()].into());
    assert_eq!(state.indexes.keys().collect::<Vec<_>>(), ["orders-v2"]);
    assert!(state.indexes["orders-v2"].refreshes > 0);
}

#[tokio::test]
async fn other_peoples_indexes_are_left_alone() {
    let fake = Fake::start().await;
    let first = prepared(&fake, 1, json!({})).await.unwrap();
    for name in ["archive", "orders-v01", "orders-v1-copy"] {
        fake.state().indexes.insert(name.to_owned(), super::fake::FakeIndex::default());
        fake.state().aliases.get_mut("orders").unwrap().insert(name.to_owned());
    }
    // Neither a name like ours nor the mark of another alias makes an index ours.
    fake.state().indexes.insert("orders-v0".to_owned(), super::fake::FakeIndex::default());
    let body = json!({"mappings": {"_meta": {"tailrace": {"alias": "orders-v1-copy", "build": 1}}}});
    fake.state().indexes.insert("orders-v3".to_owned(), super::fake::FakeIndex { body, ..Default::default() });
    // A build that was given up.
    prepared(&fake, 4, json!({})).await.unwrap();
    prepared(&fake, 9, json!({})).await.unwrap();
    let next = prepared(&fake, 5, json!({})).await.unwrap();
    next.swap().await.unwrap();
    let state = fake.state();
    assert_eq!(state.aliases["orders"], ["orders-v5".to_owned()].into());
    let left = ["archive", "orders-v0", "orders-v01", "orders-v1-copy", "orders-v3", "orders-v5", "orders-v9"];
    assert_eq!(state.indexes.keys().collect::<Vec<_>>(), left);
    drop((state, first));
}

#[tokio::test]
async fn what_fails_while_an_index_is_made_is_made_good_by_the_next_try() {
    for fault in [
        Fault::Refuse(503),
        Fault::Refuse(403),
        Fault::HangUp,
        Fault::DoneThenHangUp,
        Fault::DoneThen(502),
        Fault::DoneThenCut(50),
    ] {
        // Each request of the way fails once.
        for step in 0..4 {
            let fake = Fake::start().await;
            let mut seen = 0;
            fake.state().faults = Box::new(move |_| {
                seen += 1;
                (seen == step + 1).then_some(fault)
            });
            let failed = prepared(&fake, 1, json!({})).await.err();
            // A HEAD has no body that could be cut.
            assert!(failed.is_some() || matches!(fault, Fault::DoneThenCut(_)), "{fault:?} at {step}");
            fake.state().faults = Box::new(|_| None);
            prepared(&fake, 1, json!({})).await.unwrap();
            assert_eq!(fake.state().aliases["orders"], ["orders-v1".to_owned()].into(), "{fault:?} at {step}");
        }
    }
}
