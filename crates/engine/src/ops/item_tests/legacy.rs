//! The parameters that expressions replaced: spec/dynamodb-api.md 6.

use super::*;

#[tokio::test]
async fn attributes_to_get_picks_attributes() {
    let bench = Bench::new().await;
    bench.put("users", json!({"pk": s("a"), "x": n(1), "y": n(2)})).await;
    let get = |names: Value| json!({"TableName": "users", "Key": {"pk": s("a")}, "AttributesToGet": names});
    assert_eq!(bench.ok("GetItem", get(json!(["y", "zz"]))).await, json!({"Item": {"y": n(2)}}));
    let text = "One or more parameter values were invalid: Duplicate value in attribute name: y";
    bench.refused("GetItem", get(json!(["y", "y"])), &ve(text)).await;
}
