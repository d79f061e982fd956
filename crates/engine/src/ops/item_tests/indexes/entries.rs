//! What entries a write leaves in the indexes, which it refuses, and what it writes at all.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::items::index_entries::{entries_of, entry_changes};

#[tokio::test]
async fn an_item_is_in_an_index_if_it_has_all_of_its_key_attributes() {
    for (missing, counts) in [
        (&[][..], [1, 1, 1, 1, 1, 1]),
        (&["due"], [0, 1, 1, 1, 1, 0]),
        (&["price"], [1, 0, 0, 1, 1, 0]),
        (&["shop"], [1, 1, 0, 1, 0, 0]),
        (&["area"], [1, 1, 1, 1, 1, 0]),
        (&["tag"], [1, 1, 1, 0, 1, 0]),
        (&["due", "price", "shop", "tag"], [0; 6]),
    ] {
        let bench = Bench::indexed(&[]).await;
        bench.put_order(without(whole("a"), missing)).await;
        assert_eq!(bench.entry_counts().await, counts, "without {missing:?}");
    }
}

#[tokio::test]
async fn an_entry_holds_what_its_index_projects() {
    let bench = Bench::indexed(&[]).await;
    let item = whole("a");
    bench.put_order(item.clone()).await;
    for (index, names) in [
        (1, &["pk", "sk", "due"][..]),
        (3, &["pk", "sk", "shop", "price"]),
        // An included attribute that the item does not have is not there.
        (4, &["pk", "sk", "tag", "note"]),
        (6, &["pk", "sk", "shop", "area", "due", "price", "tag"]),
    ] {
        assert_eq!(bench.entries(index).await, [only(&item, names)]);
    }
    assert_eq!(bench.entries(2).await, std::slice::from_ref(&item));
    assert_eq!(bench.entries(5).await, [item]);
}

#[tokio::test]
async fn entries_follow_their_item() {
    let bench = Bench::indexed(&[]).await;
    bench.put_order(whole("a")).await;
    bench.put_order(whole("b")).await;
    let moved = set(whole("a"), "shop", s("y"));
    bench.put_order(moved.clone()).await;
    assert_eq!(bench.entry_counts().await, [2; 6]);
    assert!(bench.entries(5).await.contains(&moved));
    let key = json!({"pk": s("p"), "sk": s("a")});
    let update = |expression: &str| json!({"TableName": "orders", "Key": key, "UpdateExpression": expression});
    bench.ok("UpdateItem", update("REMOVE price")).await;
    assert_eq!(bench.entry_counts().await, [2, 1, 1, 2, 2, 1]);
    bench.ok("DeleteItem", json!({"TableName": "orders", "Key": key})).await;
    assert_eq!(bench.entry_counts().await, [1; 6]);
    let writes =
        json!([{"DeleteRequest": {"Key": {"pk": s("p"), "sk": s("b")}}}, {"PutRequest": {"Item": whole("c")}}]);
    bench.ok("BatchWriteItem", json!({"RequestItems": {"orders": writes}})).await;
    assert_eq!(bench.entries(2).await, [whole("c")]);
    assert_eq!(bench.entry_counts().await, [1; 6]);
}

/// The indexes whose entries change from one item to the other, with how many writes each.
fn changed(old: Option<&Value>, new: Option<&Value>) -> Vec<(String, usize)> {
    let table = orders(&[]);
    let stored = |item: Option<&Value>| item.map(stored);
    let changes = entry_changes(&table, stored(old).as_ref(), stored(new).as_ref()).unwrap();
    let count = |change: crate::items::index_entries::EntryChange<'_>| {
        let name = change.index.name.clone();
        let mut writes = Vec::new();
        change.add_writes(None, &mut writes);
        (name, writes.len())
    };
    changes.into_iter().map(count).collect()
}

fn stored(item: &Value) -> Bytes {
    let json = tailrace_core::Json::parse(item.to_string().as_bytes()).unwrap();
    tailrace_core::codec::encode_stored(&tailrace_core::attribute_json::read_item(json).unwrap()).into()
}

#[test]
fn an_entry_that_stays_as_it_is_is_not_written() {
    let item = whole("a");
    let names = |changes: Vec<(String, usize)>| changes.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let to = |name: &str, value: Value| changed(Some(&item), Some(&set(item.clone(), name, value)));
    assert_eq!(names(to("rest", s("p"))), ["by-price", "by-all"]);
    assert_eq!(names(to("note", s("p"))), ["by-price", "by-tag", "by-all"]);
    // A key that moves is written where it goes, and removed where it was.
    let moved = to("due", s("tuesday"));
    let expected = [("by-due", 2), ("by-price", 1), ("by-all", 1), ("by-many", 2)];
    assert_eq!(moved, expected.map(|(name, writes)| (name.to_owned(), writes)));
    assert_eq!(changed(None, Some(&item)).len(), 6);
    assert!(changed(None, Some(&item)).iter().all(|(_, writes)| *writes == 1));
    assert!(changed(Some(&item), None).iter().all(|(_, writes)| *writes == 1));
}

#[test]
fn an_index_that_projects_all_has_the_bytes_of_its_item() {
    let (table, item) = (orders(&["by-all"]), stored(&whole("a")));
    let change = entry_changes(&table, None, Some(&item)).unwrap().remove(0);
    let mut writes = Vec::new();
    change.add_writes(Some((3, &item)), &mut writes);
    assert!(matches!(&writes[..], [Write::PutSame { of: 3, .. }]), "{writes:?}");
}

#[test]
fn what_an_index_cannot_take_has_no_entry_in_it() {
    let table = orders(&[]);
    let shop = |value: Value| stored(&set(whole("a"), "shop", value));
    let by_shop = &table.indexes[2];
    assert!(entries_of(by_shop, &shop(s("x")), &table).unwrap().is_some());
    for value in [n(1), json!({"NULL": true}), s(""), s(&"x".repeat(2049))] {
        assert_eq!(entries_of(by_shop, &shop(value.clone()), &table).unwrap(), None, "{value}");
        // Such an item may have been there before the index: then it had no entry that would have to go.
        let changes = entry_changes(&table, Some(&shop(value)), None).unwrap();
        let names: Vec<&str> = changes.iter().map(|change| change.index.name.as_str()).collect();
        assert_eq!(names, ["by-due", "by-price", "by-tag"]);
    }
}

const KEYED: &str = "ValidationException: One or more parameter values are not valid. ";

#[tokio::test]
async fn values_that_no_index_key_can_have_are_refused_in_their_words() {
    let bench = Bench::indexed(&[]).await;
    let empty = |what: &str| {
        format!(
            "{KEYED}A value specified for a secondary index key is not supported. The AttributeValue for a key attribute \
             cannot contain an empty {what} value. "
        )
    };
    for (name, value, expected) in [
        ("shop", n(1), format!("{PARAMETER}Type mismatch for Index Key shop Expected: S Actual: N IndexName: by-shop")),
        (
            "due",
            json!({"NULL": true}),
            format!("{PARAMETER}Type mismatch for Index Key due Expected: S Actual: NULL IndexName: by-due"),
        ),
        ("shop", s(""), format!("{}IndexName: by-shop, IndexKey: shop", empty("string"))),
        ("tag", b(""), format!("{}IndexName: by-tag, IndexKey: tag", empty("binary"))),
        (
            "shop",
            s(&"x".repeat(2049)),
            format!("{PARAMETER}Size of hashkey has exceeded the maximum size limit of2048 bytes"),
        ),
        (
            "due",
            s(&"x".repeat(1025)),
            format!("{PARAMETER}Aggregated size of all range keys has exceeded the size limit of 1024 bytes"),
        ),
        (
            "area",
            json!({"S": "1"}),
            format!("{PARAMETER}Type mismatch for Index Key area Expected: N Actual: S IndexName: by-many"),
        ),
    ] {
        // Also where the item lacks another key attribute, and so would not be in the index.
        for item in [whole("a"), without(whole("a"), &["price", "area"])] {
            let item = set(item, name, value.clone());
            let mut put = json!({"TableName": "orders", "Item": item});
            bench.refused("PutItem", put.clone(), &expected).await;
            let batch = json!({"RequestItems": {"orders": [{"PutRequest": {"Item": item}}]}});
            bench.refused("BatchWriteItem", batch, &expected).await;
            // It is refused before the condition is looked at.
            put["ConditionExpression"] = json!("attribute_exists(pk)");
            bench.refused("PutItem", put, &expected).await;
        }
    }
    // Attributes that are small enough alone, and too large together.
    let item = set(set(whole("a"), "due", s(&"x".repeat(600))), "tag", b(&"AAAA".repeat(200)));
    let text = "Aggregate size for RANGE key attributes due, price, tag of index by-many has exceeded limit 1024 bytes, with \
                actual size 1202 bytes";
    bench.refused("PutItem", json!({"TableName": "orders", "Item": item}), &ve(text)).await;
    // Of several that are wrong, the one of another type is told, wherever its index stands.
    for (first, value, second, text) in [
        ("due", s(""), "shop", "Type mismatch for Index Key shop Expected: S Actual: N IndexName: by-shop"),
        (
            "shop",
            s(&"x".repeat(2049)),
            "due",
            "Type mismatch for Index Key due Expected: S Actual: N IndexName: by-due",
        ),
    ] {
        let item = set(set(whole("a"), first, value), second, n(1));
        let expected = format!("{PARAMETER}{text}");
        bench.refused("PutItem", json!({"TableName": "orders", "Item": item}), &expected).await;
    }
    assert_eq!(bench.entry_counts().await, [0; 6]);
}

#[tokio::test]
async fn an_update_to_what_no_index_key_can_have_is_refused_in_its_words() {
    let bench = Bench::indexed(&[]).await;
    let item = set(whole("a"), "number", n(3));
    bench.put_order(item.clone()).await;
    let update = |expression: &str, value: Option<Value>| {
        let mut body =
            json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("a")}, "UpdateExpression": expression});
        if let Some(value) = value {
            body["ExpressionAttributeValues"] = json!({":v": value});
        }
        body
    };
    let unsupported = ve("The update expression attempted to update the secondary index key to unsupported type");
    let beyond = ve("The update expression attempted to update the secondary index key beyond allowed size limits");
    let empty = |what: &str| {
        format!(
            "{KEYED}The update expression attempted to update a secondary index key to a value that is not supported. The \
             AttributeValue for a key attribute cannot contain an empty {what} value."
        )
    };
    let below = |key: &str| {
        ve(&format!(
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: {key}"
        ))
    };
    for (expression, value, expected) in [
        (
            "SET shop = :v",
            Some(n(1)),
            format!("{PARAMETER}Type mismatch for Index Key shop Expected: S Actual: N IndexName: by-shop"),
        ),
        (
            "ADD due :v",
            Some(n(1)),
            format!("{PARAMETER}Type mismatch for Index Key due Expected: S Actual: N IndexName: by-due"),
        ),
        ("SET shop = #number", None, unsupported.clone()),
        ("SET shop = if_not_exists(zz, :v)", Some(n(1)), unsupported.clone()),
        ("SET tag = sk", None, unsupported),
        ("SET shop = :v", Some(s("")), empty("string")),
        ("SET tag = :v", Some(b("")), empty("binary")),
        ("SET shop = :v", Some(s(&"x".repeat(2049))), beyond.clone()),
        ("SET due = :v", Some(s(&"x".repeat(1025))), beyond),
        ("SET shop.x = :v", Some(n(1)), below("shop")),
        ("REMOVE tag[0]", None, below("tag")),
        ("SET rest = shop.x", None, below("shop")),
    ] {
        let mut body = update(expression, value);
        if expression.contains('#') {
            body["ExpressionAttributeNames"] = json!({"#number": "number"});
        }
        bench.refused("UpdateItem", body, &expected).await;
    }
    // An update without an expression has the words of a put.
    let legacy = json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("a")},
        "AttributeUpdates": {"shop": {"Action": "PUT", "Value": s("")}}});
    let expected = ve(
        "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The \
                       AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-shop, IndexKey: shop",
    );
    bench.refused("UpdateItem", legacy, &expected).await;
    assert_eq!(bench.entries(5).await, [item]);
}

#[tokio::test]
async fn no_expression_goes_below_a_key_attribute_of_an_index() {
    let bench = Bench::indexed(&[]).await;
    let text =
        "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: IndexKey: shop";
    let key = json!({"pk": s("p"), "sk": s("a")});
    for (operation, members) in [
        ("PutItem", json!({"Item": whole("a"), "ConditionExpression": "attribute_exists(shop.x)"})),
        ("DeleteItem", json!({"Key": key, "ConditionExpression": "attribute_exists(shop.x)"})),
        ("GetItem", json!({"Key": key, "ProjectionExpression": "shop.x"})),
        ("Scan", json!({"FilterExpression": "attribute_exists(shop.x)"})),
        ("Scan", json!({"ProjectionExpression": "shop.x"})),
    ] {
        let mut body = json!({"TableName": "orders"});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        bench.refused(operation, body, &ve(text)).await;
    }
}

#[tokio::test]
async fn an_index_that_is_being_deleted_takes_no_entries_and_refuses_nothing() {
    let bench = Bench::new().await;
    let mut table = orders(&["by-shop"]);
    table.indexes[0].status = IndexStatus::Deleting;
    bench.put_descriptor(&table).await;
    bench.put_order(whole("a")).await;
    bench.put_order(set(whole("a"), "shop", n(1))).await;
    assert_eq!(bench.entries(3).await, Vec::<Value>::new());
}

#[tokio::test]
async fn an_index_that_came_between_the_check_and_the_commit_refuses_too() {
    let bench = Arc::new(Bench::indexed(&["by-due"]).await);
    bench.ok("GetItem", json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("a")}})).await;
    // The descriptor that was seen last knows nothing of the other indexes.
    bench.put_descriptor(&orders(&[])).await;
    let put = json!({"TableName": "orders", "Item": set(whole("a"), "shop", n(1))});
    let text = "Type mismatch for Index Key shop Expected: S Actual: N IndexName: by-shop";
    bench.refused("PutItem", put, &format!("{PARAMETER}{text}")).await;
}

/// docs/spec/dynamodb-api.md 3.4: the item and its entries in local indexes are at most 400 KB together. Entries in global
/// indexes do not count.
#[tokio::test]
async fn an_item_and_its_entries_in_local_indexes_are_limited_together() {
    let bench = Bench::indexed(&["by-due", "by-price", "by-all"]).await;
    let too_large = "ValidationException: Item size has exceeded the maximum allowed size";
    // `pk` 3, `sk` 3, `price` 7 and `big` 3 bytes of names and values beside the text; twice, as `by-price` projects all.
    let bytes_max = tailrace_core::limits::ITEM_BYTES_MAX / 2 - 16;
    let item = |bytes: usize| json!({"pk": s("p"), "sk": s("a"), "price": n(1), "big": s(&"z".repeat(bytes))});
    let put = |item: Value| json!({"TableName": "orders", "Item": item});
    bench.refused("PutItem", put(item(bytes_max + 1)), too_large).await;
    let batch = json!({"RequestItems": {"orders": [{"PutRequest": {"Item": item(bytes_max + 1)}}]}});
    bench.refused("BatchWriteItem", batch, too_large).await;
    let actions = json!({"TransactItems": [{"Put": put(item(bytes_max + 1))}]});
    bench.refused("TransactWriteItems", actions, too_large).await;
    bench.ok("PutItem", put(item(bytes_max))).await;
    let grown = json!({"TableName": "orders", "Key": {"pk": s("p"), "sk": s("a")}, "UpdateExpression": "SET due = :d",
        "ExpressionAttributeValues": {":d": s("d")}});
    let update_too_large = "ValidationException: Item size to update has exceeded the maximum allowed size";
    bench.refused("UpdateItem", grown, update_too_large).await;
    let shop = json!({"pk": s("p"), "sk": s("b"), "shop": s("x"), "big": s(&"z".repeat(2 * bytes_max))});
    bench.ok("PutItem", put(shop)).await;
}

/// What a request is checked by before its commit may be an older descriptor.
#[tokio::test]
async fn an_index_that_has_gone_since_the_table_was_last_seen_refuses_nothing() {
    let wrong = json!({"pk": s("p"), "sk": s("1"), "price": s("cheap")});
    let key = only(&wrong, &["pk", "sk"]);
    let put = json!({"TableName": "orders", "Item": wrong});
    let set = json!({"TableName": "orders", "Key": key, "UpdateExpression": "SET price = :p",
        "ExpressionAttributeValues": {":p": s("cheap")}});
    let transact = json!({"TransactItems": [{"Update": set}]});
    for (operation, body) in [("PutItem", put), ("UpdateItem", set), ("TransactWriteItems", transact)] {
        let bench = Bench::indexed(&["by-price"]).await;
        assert!(bench.call(operation, body.clone()).await.is_err(), "{operation}");
        let mut without = orders(&[]);
        without.indexes.clear();
        bench.put_descriptor(&without).await;
        bench.ok(operation, body).await;
    }
}
