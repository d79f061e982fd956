//! Which writes emit which record: docs/spec/streams.md 9 and 10.

use tailrace_core::codec::StoredItem;

use super::*;
use crate::streams::record_meta::RecordMeta;

fn image(bytes: &Option<bytes::Bytes>) -> Value {
    bytes.as_ref().map_or(Value::Null, |bytes| serde_json::to_value(StoredItem::new(bytes).unwrap()).unwrap())
}

fn event(record: &LogRecord) -> (String, Value, Value, Value) {
    let meta = RecordMeta::decode(&record.meta).unwrap();
    let keys = image(&Some(meta.keys.clone()));
    (meta.kind.name().to_owned(), keys, image(&record.old), image(&record.new))
}

async fn change(bench: &Bench) {
    let key = json!({"pk": s("a")});
    bench.put("users", json!({"pk": s("a"), "v": n(1)})).await;
    bench.put("users", json!({"pk": s("a"), "v": n(2)})).await;
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": key})).await;
}

#[tokio::test]
async fn each_view_type_has_its_images() {
    let (key, one, two) = (json!({"pk": s("a")}), json!({"pk": s("a"), "v": n(1)}), json!({"pk": s("a"), "v": n(2)}));
    for (view, old, new) in [
        (ViewType::KeysOnly, false, false),
        (ViewType::NewImage, false, true),
        (ViewType::OldImage, true, false),
        (ViewType::NewAndOldImages, true, true),
    ] {
        let bench = Bench::streaming(view).await;
        change(&bench).await;
        let if_old = |image: &Value| if old { image.clone() } else { Value::Null };
        let if_new = |image: &Value| if new { image.clone() } else { Value::Null };
        let expected = [
            ("INSERT".to_owned(), key.clone(), Value::Null, if_new(&one)),
            ("MODIFY".to_owned(), key.clone(), if_old(&one), if_new(&two)),
            ("REMOVE".to_owned(), key.clone(), if_old(&two), Value::Null),
        ];
        let records: Vec<_> = bench.records().await.iter().map(event).collect();
        assert_eq!(records, expected, "{view:?}");
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_emits_nothing() {
    let bench = Bench::streaming(ViewType::NewAndOldImages).await;
    let item = json!({"pk": s("a"), "n": n(1), "set": {"SS": ["a", "b"]}});
    bench.put("users", item.clone()).await;
    assert_eq!(bench.records().await.len(), 1);
    bench.put("users", item).await;
    bench.put("users", json!({"set": {"SS": ["b", "a"]}, "n": {"N": "1.0"}, "pk": s("a")})).await;
    let update = |expression: &str, value: Value| {
        json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": expression,
            "ExpressionAttributeValues": {":v": value}})
    };
    bench.ok("UpdateItem", update("SET n = :v", n(1))).await;
    bench.ok("UpdateItem", update("ADD n :v", n(0))).await;
    bench.ok("UpdateItem", json!({"TableName": "users", "Key": {"pk": s("a")}, "UpdateExpression": "REMOVE zz"})).await;
    bench.ok("UpdateItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    bench.ok("DeleteItem", json!({"TableName": "users", "Key": {"pk": s("none")}})).await;
    let absent = json!({"TableName": "users", "Key": {"pk": s("none")}, "UpdateExpression": "REMOVE zz"});
    bench.ok("UpdateItem", absent).await;
    let failing = json!({"TableName": "users", "Item": {"pk": s("a")}, "ConditionExpression": "attribute_exists(zz)"});
    bench.call("PutItem", failing).await.unwrap_err();
    assert_eq!(bench.records().await.len(), 1);
}

#[tokio::test]
async fn an_upsert_and_a_batch_emit_a_record_for_each_item() {
    let bench = Bench::streaming(ViewType::NewImage).await;
    bench.ok("UpdateItem", json!({"TableName": "users", "Key": {"pk": s("a")}})).await;
    let batch = json!({"RequestItems": {"users": [
        {"PutRequest": {"Item": {"pk": s("b")}}}, {"DeleteRequest": {"Key": {"pk": s("a")}}},
        {"DeleteRequest": {"Key": {"pk": s("none")}}}]}});
    bench.ok("BatchWriteItem", batch).await;
    let mut records: Vec<_> = bench.records().await.iter().map(event).map(|(kind, keys, ..)| (kind, keys)).collect();
    records[1..].sort_by_key(|(kind, _)| kind.clone());
    let expected = [("INSERT", "a"), ("INSERT", "b"), ("REMOVE", "a")];
    assert_eq!(records, expected.map(|(kind, key)| (kind.to_owned(), json!({"pk": s(key)}))));
}
