//! What entries show: who asked, images or their hashes, or codes in the place of values.

use super::*;
use crate::audit::subjects::forget;
use tailrace_core::AttributeValue;

async fn shown(bench: &Bench, config: Config) -> Vec<Value> {
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&config, &place, &bench.flushes(2).await).await;
    entries(place.as_ref()).await
}

async fn changes(bench: &Bench) {
    bench.put("k", "v1").await;
    bench.put("k", "v2").await;
    bench.delete("k").await;
}

#[tokio::test]
async fn an_entry_says_what_changed_and_who_asked_for_it() {
    let bench = Bench::new().await;
    changes(&bench).await;
    let entries = shown(&bench, Config::default()).await;
    let image = |v: &str| json!({"pk": {"S": "k"}, "v": {"S": v}});
    let images: Vec<[&Value; 3]> =
        entries.iter().map(|entry| [&entry["event_name"], &entry["old_image"], &entry["new_image"]]).collect();
    assert_eq!(images[0], [&json!("INSERT"), &Value::Null, &image("v1")]);
    assert_eq!(images[1], [&json!("MODIFY"), &image("v1"), &image("v2")]);
    assert_eq!(images[2], [&json!("REMOVE"), &image("v2"), &Value::Null]);
    for (entry, (operation, request)) in
        entries.iter().zip([("PutItem", "REQUEST1"), ("PutItem", "REQUEST2"), ("DeleteItem", "REQUEST3")])
    {
        assert_eq!(entry["keys"], json!({"pk": {"S": "k"}}));
        assert_eq!(
            [&entry["table"], &entry["principal"], &entry["operation"], &entry["request_id"]],
            ["Orders", "AKIDEXAMPLE", operation, request]
        );
    }
    assert_eq!(entries[0]["time"], START_MS + 7);
}

#[tokio::test]
async fn a_removal_by_time_to_live_is_the_services() {
    let bench = Bench::new().await;
    let mut flushes = {
        changes(&bench).await;
        bench.flushes(9).await
    };
    let removed = &mut flushes[0].records[2].meta;
    (removed.by_service, removed.caller) = (true, None);
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &place, &flushes).await;
    let entries = entries(place.as_ref()).await;
    let who = [&entries[2]["principal"], &entries[2]["operation"], &entries[2]["request_id"]];
    assert_eq!(who, [&json!("dynamodb.amazonaws.com"), &json!("TimeToLive"), &Value::Null]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_has_an_entry_that_says_so() {
    let bench = Bench::new().await;
    changes(&bench).await;
    let mut flushes = bench.flushes(9).await;
    flushes[0].records[1].new = Some(Bytes::from_static(b"\x05\x01\x02pk"));
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&Config::default(), &place, &flushes).await;
    let found = entries(place.as_ref()).await;
    assert_eq!(found[1]["event_name"], "DAMAGED");
    assert!(found[1]["error"].as_str().unwrap().contains("not an encoded item"), "{}", found[1]);
    assert_eq!(found[2]["event_name"], "REMOVE");
    assert_eq!(sound(place.as_ref()).await.chains[0].damaged_count, 1);
}

#[tokio::test]
async fn images_can_be_shown_by_their_hashes() {
    let bench = Bench::new().await;
    changes(&bench).await;
    let entries = shown(&bench, Config { images: ShownValues::Hash, ..Config::default() }).await;
    let hash = |v: &str| {
        let image = format!(r#"{{"pk":{{"S":"k"}},"v":{{"S":"{v}"}}}}"#);
        json!(Hash::of_bytes(image.as_bytes()).to_string())
    };
    assert_eq!([&entries[1]["old_hash"], &entries[1]["new_hash"]], [&hash("v1"), &hash("v2")]);
    assert_eq!([&entries[0]["old_hash"], &entries[2]["new_hash"]], [&Value::Null, &Value::Null]);
    assert!(entries.iter().all(|entry| entry["new_image"].is_null() && entry["keys"]["pk"]["S"] == "k"));
}

fn hidden(subject: Option<&str>) -> Config {
    let hmac_key = Some(Secret::new("0123456789abcdef"));
    Config { images: ShownValues::Hmac, hmac_key, subject: subject.map(str::to_owned), ..Config::default() }
}

#[tokio::test]
async fn values_can_be_hidden_so_that_equal_ones_are_seen_to_be_equal() {
    let bench = Bench::new().await;
    changes(&bench).await;
    bench.put("k", "v1").await;
    let entries = shown(&bench, hidden(None)).await;
    let text = Value::Array(entries.clone()).to_string();
    assert!(!text.contains("v1") && !text.contains("\"S\""), "{text}");
    assert_eq!(entries[0]["new_image"], entries[3]["new_image"]);
    assert_ne!(entries[0]["new_image"]["v"], entries[1]["new_image"]["v"]);
    assert_eq!(entries[0]["keys"]["pk"], entries[1]["new_image"]["pk"]);
    let hider = MasterKey::new(b"0123456789abcdef").hider();
    let code = hider.code_text("pk", &AttributeValue::S("k".to_owned()));
    assert_eq!(entries[0]["keys"], json!({"pk": {"HMAC": code}}));
}

/// docs/spec/sinks.md 7: per-subject keys for crypto-shredding.
#[tokio::test]
async fn the_values_of_a_person_who_is_forgotten_mean_nothing_any_more() {
    let bench = Bench::new().await;
    bench.put("ann", "v").await;
    bench.put("bob", "v").await;
    let config = hidden(Some("pk"));
    let place: Arc<dyn Place> = Arc::new(MemoryPlace::default());
    bench.deliver(&config, &place, &bench.flushes(2).await).await;
    let before = entries(place.as_ref()).await;
    let v = |entry: &Value| entry["new_image"]["v"].clone();
    assert_ne!(v(&before[0]), v(&before[1]), "each has a key of their own");

    let master = MasterKey::new(b"0123456789abcdef");
    let ann = AttributeValue::S("ann".to_owned());
    let caller = Caller::default();
    assert!(forget(&bench.db, "trail", &master, &ann, &caller).await.unwrap());
    assert!(!forget(&bench.db, "trail", &master, &ann, &caller).await.unwrap());
    bench.put("ann", "w").await;
    bench.put("ann", "v").await;
    bench.deliver(&config, &place, &bench.flushes(9).await).await;
    let again = v(entries(place.as_ref()).await.last().unwrap());
    assert!(again.is_object());
    assert_ne!(again, v(&before[0]), "with a new key: nothing links the two");

    // It is an action like others.
    let stream = bench.db.control_stream().await.unwrap().unwrap();
    let shard = &bench.store.shards(stream.id).await.unwrap()[0];
    let records = bench.records(shard).await;
    let actions: Vec<_> = records.iter().map(|record| record.keys().unwrap()[control::ACTION].clone()).collect();
    assert_eq!(actions.last(), Some(&AttributeValue::S("ForgetSubject".to_owned())));
    let text = format!("{:?}", records.last().unwrap().keys().unwrap());
    assert!(!text.contains("ann"), "{text}");
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = |mut json: Value| {
        json["to"] = json!("audit");
        json["dir"] = json["dir"].as_str().unwrap_or("trail").into();
        serde_json::from_value::<Config>(json).map(|config| config.validate(dir.path()))
    };
    for (json, error) in [
        (json!({}), None),
        (json!({"images": "hmac", "hmac_key": "0123456789abcdef", "subject": "pk", "strict": true}), None),
        (json!({"dir": ""}), Some("dir is missing: where the trail is to lie; or bucket")),
        (json!({"bucket": "s3://trail/x"}), Some("dir and bucket: a trail lies in one of them")),
        (json!({"dir": "", "bucket": "s3://trail/x", "lock": {"mode": "COMPLIANCE", "days": 30}}), None),
        (
            json!({"dir": "", "bucket": "s3://trail/x", "lock": {"mode": "COMPLIANCE", "days": 0}}),
            Some("lock: 1 to 36500 days"),
        ),
        (json!({"lock": {"mode": "GOVERNANCE", "days": 1}}), Some("lock and s3 are for a bucket")),
        (json!({"images": "hmac"}), Some("images: hmac needs an hmac_key")),
        (json!({"images": "hmac", "hmac_key": "short"}), Some("hmac_key has fewer than 16 bytes")),
        (json!({"hmac_key": "0123456789abcdef"}), Some("hmac_key is for images: hmac")),
        (json!({"images": "hash", "subject": "pk"}), Some("subject is for images: hmac")),
    ] {
        let answer = config(json.clone()).unwrap().map_err(|error| error.to_string());
        assert_eq!(answer.err().as_deref(), error, "{json}");
    }
    let inside = json!({"sign": {"key": dir.path().join("key")}});
    let error = config(inside).unwrap().unwrap_err().to_string();
    assert!(error.contains("is in the data directory"), "{error}");
    assert!(config(json!({"where": {}})).is_err(), "a trail has no filter");
    assert!(!format!("{:?}", hidden(None)).contains("0123456789abcdef"));
}

#[tokio::test]
async fn heads_are_signed_by_time_or_by_count() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, sign::private_pem(&[3; 32])).unwrap();
    for (seconds, entries, signed) in [(0, 0, 8), (1000, 0, 1), (1000, 3, 3), (0, 1000, 1), (0, 3, 3)] {
        let bench = Bench::new().await;
        for n in 0..8 {
            bench.put("k", &format!("v{n}")).await;
        }
        let config = Config { sign: Some(SignConfig { key: key.clone(), seconds, entries }), ..Config::default() };
        let memory = MemoryPlace { file_bytes_max: u64::MAX, ..MemoryPlace::default() };
        let place: Arc<dyn Place> = Arc::new(memory.clone());
        bench.deliver(&config, &place, &bench.flushes(1).await).await;
        let text = String::from_utf8(memory.files.lock().values().flatten().copied().collect()).unwrap();
        assert_eq!(text.matches(r#""event_name":"SIGNATURE""#).count(), signed, "{seconds} s, {entries} entries");
        sound(place.as_ref()).await;
    }
}
