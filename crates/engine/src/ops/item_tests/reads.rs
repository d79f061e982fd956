//! GetItem: docs/spec/dynamodb-api.md 2.5, 4.5, 7.4.

use super::*;

#[tokio::test]
async fn a_projection_picks_and_an_empty_one_is_still_an_item() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "m": {"M": {"x": n(1), "y": n(2)}}, "l": {"L": [n(1), n(2), n(3)]}})).await;
    let get =
        |expression: &str| json!({"TableName": "users", "Key": {"pk": s("a")}, "ProjectionExpression": expression});
    let answer = bench.ok("GetItem", get("m.x, l[2], l[0]")).await;
    assert_eq!(answer, json!({"Item": {"m": {"M": {"x": n(1)}}, "l": {"L": [n(1), n(3)]}}}));
    assert_eq!(bench.ok("GetItem", get("nothing")).await, json!({"Item": {}}));
    let below = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: pk";
    bench.refused("GetItem", get("pk.x"), &ve(below)).await;
}

#[tokio::test]
async fn number_keys_are_found_by_value() {
    let bench = Bench::new().await;
    bench.put("games", json!({"pk": s("a"), "sk": {"N": "1.0"}, "v": s("x")})).await;
    for text in ["1", "1.00", "0.1e1"] {
        let answer = bench.ok("GetItem", json!({"TableName": "games", "Key": {"pk": s("a"), "sk": {"N": text}}})).await;
        assert_eq!(answer["Item"]["sk"], n(1), "{text}");
    }
}

#[tokio::test]
async fn reads_are_charged_by_four_kilobytes() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "b": s(&"x".repeat(4093))})).await;
    let units = async |key: &str, consistent: bool| {
        let body = json!({"TableName": "users", "Key": {"pk": s(key)}, "ConsistentRead": consistent,
            "ReturnConsumedCapacity": "TOTAL"});
        bench.ok("GetItem", body).await["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap()
    };
    assert_eq!(units("a", false).await, 1.0);
    assert_eq!(units("a", true).await, 2.0);
    assert_eq!(units("none", false).await, 0.5);
    assert_eq!(units("none", true).await, 1.0);
}

#[tokio::test]
async fn a_table_made_anew_under_its_old_name_is_read_as_the_new_one() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a")})).await;
    let get = json!({"TableName": "users", "Key": {"pk": s("a")}});
    assert_eq!(bench.ok("GetItem", get.clone()).await, json!({"Item": {"pk": s("a")}}));
    bench.put_table("users", 99, Some(ScalarType::S), None).await;
    bench.refused("GetItem", get, &ve("The provided key element does not match the schema")).await;
    let get = json!({"TableName": "users", "Key": {"pk": s("a"), "sk": s("b")}});
    assert_eq!(bench.ok("GetItem", get).await, json!({}));
    let put = json!({"TableName": "users", "Item": {"pk": s("a")}});
    let missing = "One or more parameter values were invalid: Missing the key sk in the item";
    bench.refused("PutItem", put, &ve(missing)).await;
    bench.put_table("users", 100, None, None).await;
    bench.put("users", json!({"pk": s("b")})).await;
    bench.ok("UpdateItem", json!({"TableName": "users", "Key": {"pk": s("b")}})).await;
    assert_eq!(bench.ok("Scan", json!({"TableName": "users"})).await["Items"], json!([{"pk": s("b")}]));
}
