//! Random writes of a table with all kinds of indexes: after each, every index is what a filter, a projection and a sort of the
//! table make of it, read by Query and by Scan, forward and back, page by page.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tailrace_core::rng::Rng;

use super::*;
use crate::IndexProjection;

/// The items by their keys.
type Items = BTreeMap<(String, String), Value>;

fn below(rng: &SeededRng, bound: u64) -> u64 {
    rng.next_u64() % bound
}

/// A value for an attribute, of few that there are.
fn value(rng: &SeededRng, name: &str) -> Value {
    let one_of = |texts: &[&str]| texts[below(rng, texts.len() as u64) as usize].to_owned();
    match name {
        "price" | "area" => json!({"N": one_of(&["-1", "0", "2", "10", "1.5"])}),
        "tag" => b(&one_of(&["AA==", "AAE=", "/w==", "AP8="])),
        _ => s(&one_of(&["a", "ab", "b", "a\u{0}", "\u{1}"])),
    }
}

const ATTRIBUTES: [&str; 8] = ["due", "price", "shop", "area", "tag", "note", "more", "rest"];

fn random_item(rng: &SeededRng) -> Value {
    let mut item = json!({"pk": value(rng, "pk"), "sk": value(rng, "sk")});
    for name in ATTRIBUTES {
        if below(rng, 4) > 0 {
            item[name] = value(rng, name);
        }
    }
    item
}

fn key_of(item: &Value) -> (String, String) {
    let text = |name: &str| item[name]["S"].as_str().unwrap().to_owned();
    (text("pk"), text("sk"))
}

/// A write, made of the table and of the model.
async fn write(bench: &Bench, rng: &SeededRng, items: &mut Items) {
    let item = random_item(rng);
    let key = only(&item, &["pk", "sk"]);
    match below(rng, 5) {
        0 | 1 => {
            bench.put_order(item.clone()).await;
            items.insert(key_of(&item), item);
        }
        2 => {
            let name = ATTRIBUTES[below(rng, 8) as usize];
            let mut update = json!({"TableName": "orders", "Key": key, "ExpressionAttributeNames": {"#a": name}});
            let now = items.entry(key_of(&key)).or_insert(key.clone());
            if below(rng, 2) == 0 {
                update["UpdateExpression"] = json!("SET #a = :v");
                now[name] = value(rng, name);
                update["ExpressionAttributeValues"] = json!({":v": now[name]});
                bench.ok("UpdateItem", update).await;
            } else {
                now.as_object_mut().unwrap().remove(name);
                update["UpdateExpression"] = json!("REMOVE #a");
                bench.ok("UpdateItem", update).await;
                // Removing from an item that does not exist makes none.
                let there = bench.ok("GetItem", json!({"TableName": "orders", "Key": key})).await.get("Item").is_some();
                if !there {
                    items.remove(&key_of(&key));
                }
            }
        }
        3 => {
            bench.ok("DeleteItem", json!({"TableName": "orders", "Key": key})).await;
            items.remove(&key_of(&key));
        }
        _ => {
            let other = random_item(rng);
            let mut writes = vec![json!({"PutRequest": {"Item": item}})];
            if key_of(&other) != key_of(&item) {
                writes.push(json!({"DeleteRequest": {"Key": only(&other, &["pk", "sk"])}}));
                items.remove(&key_of(&other));
            }
            bench.ok("BatchWriteItem", json!({"RequestItems": {"orders": writes}})).await;
            items.insert(key_of(&item), item);
        }
    }
}

fn order(a: &Value, b: &Value) -> Ordering {
    let (kind, a) = a.as_object().unwrap().iter().next().unwrap();
    let (a, b) = (a.as_str().unwrap(), b[kind].as_str().unwrap());
    let bytes = |base64: &str| match base64 {
        "AA==" => vec![0],
        "AAE=" => vec![0, 1],
        "AP8=" => vec![0, 0xff],
        _ => vec![0xff],
    };
    match kind.as_str() {
        "N" => a.parse::<f64>().unwrap().total_cmp(&b.parse().unwrap()),
        "B" => bytes(a).cmp(&bytes(b)),
        _ => a.as_bytes().cmp(b.as_bytes()),
    }
}

/// The whole of an answer in pages.
async fn pages(bench: &Bench, rng: &SeededRng, operation: &str, mut body: Value) -> Vec<Value> {
    let mut items = Vec::new();
    loop {
        body["Limit"] = json!(1 + below(rng, 4));
        let answer = bench.ok(operation, body.clone()).await;
        items.extend(answer["Items"].as_array().unwrap().iter().cloned());
        match answer.get("LastEvaluatedKey") {
            Some(key) => body["ExclusiveStartKey"] = key.clone(),
            None => return items,
        }
    }
}

/// What an index should hold: by the values of its partition key the entries in order.
fn expected(index: &Index, items: &Items) -> BTreeMap<String, (Value, Vec<Value>)> {
    let mut partitions: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for item in items.values() {
        if !index.attributes().all(|key| item.get(&key.name).is_some()) {
            continue;
        }
        let mut names: Vec<&str> = ["pk", "sk"].into_iter().chain(index.attributes().map(|key| &*key.name)).collect();
        match &index.projection {
            IndexProjection::All => names.extend(ATTRIBUTES),
            IndexProjection::KeysOnly => {}
            IndexProjection::Include(included) => names.extend(included.iter().map(|name| &**name)),
        }
        names.retain(|name| item.get(*name).is_some());
        let hash: Vec<&str> = index.hash.iter().map(|key| &*key.name).collect();
        let hash = only(item, &hash);
        let partition = partitions.entry(hash.to_string()).or_insert((hash, Vec::new()));
        partition.1.push(only(item, &names));
    }
    for (_, entries) in partitions.values_mut() {
        entries.sort_by(|a, b| {
            let keys = index.range.iter().map(|key| &*key.name).chain(["pk", "sk"]);
            // In a global index the length of the item's partition key comes before it.
            let length = |item: &Value| item["pk"]["S"].as_str().unwrap().len();
            let orders = keys.map(|name| match name {
                "pk" => length(a).cmp(&length(b)).then(order(&a["pk"], &b["pk"])),
                name => order(&a[name], &b[name]),
            });
            orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
    }
    partitions
}

async fn check(bench: &Bench, rng: &SeededRng, table: &Table, items: &Items) {
    for index in &table.indexes {
        let partitions = expected(index, items);
        let mut all = Vec::new();
        for (hash, entries) in partitions.values() {
            let (mut names, mut values, mut condition) = (json!({}), json!({}), Vec::new());
            for (number, (name, value)) in hash.as_object().unwrap().iter().enumerate() {
                names[format!("#h{number}")] = json!(name);
                values[format!(":h{number}")] = value.clone();
                condition.push(format!("#h{number} = :h{number}"));
            }
            let body = json!({"TableName": "orders", "IndexName": index.name, "ExpressionAttributeNames": names,
                "KeyConditionExpression": condition.join(" AND "), "ExpressionAttributeValues": values});
            assert_eq!(pages(bench, rng, "Query", body.clone()).await, *entries, "{} {hash}", index.name);
            let back = with(body, "ScanIndexForward", json!(false));
            let reversed: Vec<Value> = entries.iter().rev().cloned().collect();
            assert_eq!(pages(bench, rng, "Query", back).await, reversed, "{} {hash}, descending", index.name);
            all.extend(entries.iter().cloned());
        }
        let total = 1 + below(rng, 3);
        let mut scanned = Vec::new();
        for segment in 0..total {
            let body =
                json!({"TableName": "orders", "IndexName": index.name, "Segment": segment, "TotalSegments": total});
            scanned.extend(pages(bench, rng, "Scan", body).await);
        }
        scanned.sort_by_key(Value::to_string);
        all.sort_by_key(Value::to_string);
        assert_eq!(scanned, all, "{}", index.name);
    }
}

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[tokio::test]
async fn every_index_is_what_a_filter_and_a_sort_of_the_table_make_of_it() {
    for seed in 1..=12 {
        let rng = SeededRng::new(seed);
        let bench = Bench::indexed(&[]).await;
        let mut items = Items::new();
        for _ in 0..25 {
            write(&bench, &rng, &mut items).await;
            check(&bench, &rng, &orders(&[]), &items).await;
        }
    }
}
