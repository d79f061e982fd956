//! The published vectors (docs/sinks.md): a trail as text, which no change of the code may change.

use std::collections::BTreeMap;

use super::*;

/// A trail of two segments, of a table whose items have every type.
async fn trail() -> BTreeMap<(String, u64), Vec<u8>> {
    let bench = Bench::new().await;
    let item = json!({
        "pk": {"S": "\u{e9}\u{20ac}\u{1f600} \"\\\n\u{7}"}, "n": {"N": "-1.50E+3"}, "b": {"B": "AP8="}, "t": {"BOOL": true},
        "z": {"NULL": true}, "ss": {"SS": ["b", "a"]}, "ns": {"NS": ["10", "9"]}, "bs": {"BS": ["Yg==", "YQ=="]},
        "l": {"L": [{"N": "0.1"}, {"M": {}}]}, "m": {"M": {"\u{fb33}": {"S": ""}, "\u{1f600}": {"N": "1"}}},
    });
    bench.call("PutItem", json!({"TableName": "Orders", "Item": item})).await;
    let key = json!({"pk": item["pk"]});
    let update = json!({"TableName": "Orders", "Key": key, "UpdateExpression": "REMOVE n, b, t, z, ss, ns, bs, l, m"});
    bench.call("UpdateItem", update).await;
    bench.call("DeleteItem", json!({"TableName": "Orders", "Key": key})).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, sign::private_pem(&[1; 32])).unwrap();
    let config = Config { sign: Some(SignConfig { key: path, seconds: 0, entries: 0 }), ..Config::default() };
    let memory = MemoryPlace { file_bytes_max: u64::MAX, ..MemoryPlace::default() };
    let place: Arc<dyn Place> = Arc::new(memory.clone());
    bench.deliver(&config, &place, &bench.flushes(2).await).await;
    sound(place.as_ref()).await;
    let files = memory.files.lock();
    files.clone()
}

#[tokio::test]
async fn the_trail_is_the_published_one() {
    let files = trail().await;
    let text: Vec<u8> = files.into_values().flatten().collect();
    assert_eq!(String::from_utf8(text).unwrap(), include_str!("trail.jsonl"));
}
