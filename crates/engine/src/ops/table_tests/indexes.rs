//! Tables that are made with secondary indexes.

use super::*;

pub(super) fn definitions(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect()
}

/// `h:` names an attribute of the partition key, `r:` one of the sort key.
pub(super) fn schema(keys: &[&str]) -> Value {
    keys.iter()
        .map(|key| {
            let (kind, name) = key.split_once(':').unwrap();
            json!({"AttributeName": name, "KeyType": if kind == "h" { "HASH" } else { "RANGE" }})
        })
        .collect()
}

/// An index that holds everything.
pub(super) fn index(name: &str, keys: &[&str]) -> Value {
    json!({"IndexName": name, "KeySchema": schema(keys), "Projection": {"ProjectionType": "ALL"}})
}

fn units(r: i64, w: i64) -> Value {
    json!({"ReadCapacityUnits": r, "WriteCapacityUnits": w})
}

/// An on-demand table with the key `pk`, `sk`, these attributes beside, and these indexes.
fn table(attributes: &[&str], global: Value, local: Value) -> Value {
    let names: Vec<&str> = ["pk", "sk"].iter().chain(attributes).copied().collect();
    let mut body = json!({
        "TableName": "users",
        "AttributeDefinitions": definitions(&names),
        "KeySchema": schema(&["h:pk", "r:sk"]),
        "BillingMode": "PAY_PER_REQUEST",
    });
    for (name, indexes) in [("GlobalSecondaryIndexes", global), ("LocalSecondaryIndexes", local)] {
        if !indexes.is_null() {
            body[name] = indexes;
        }
    }
    body
}

fn global(attributes: &[&str], indexes: Value) -> Value {
    table(attributes, indexes, Value::Null)
}

fn local(attributes: &[&str], indexes: Value) -> Value {
    table(attributes, Value::Null, indexes)
}

fn provisioned(mut body: Value) -> Value {
    body["BillingMode"] = json!("PROVISIONED");
    with(body, json!({"ProvisionedThroughput": units(5, 5)}))
}

/// docs/spec/dynamodb-api.md 2.1 rows 11 to 34: one thing wrong, one text.
#[tokio::test]
async fn what_create_table_refuses_of_indexes() {
    let bench = Bench::new().await;
    let projecting = |projection: Value| with(index("idx", &["h:a"]), json!({"Projection": projection}));
    let including = |name: &str, names: Vec<String>| {
        with(index(name, &["h:a"]), json!({"Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": names}}))
    };
    let many = |of: usize, keys: &[&str]| (0..of).map(|n| index(&format!("idx{n}"), keys)).collect::<Value>();
    let hash_only = |mut body: Value| {
        body["KeySchema"] = schema(&["h:pk"]);
        body
    };
    let cases = [
        (
            global(&["z"], json!([index("idx", &["h:a"])])),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [a], AttributeDefinitions: [pk, sk, z]",
        ),
        (
            global(&["z", "a"], json!([index("idx", &["r:a"])])),
            "Some AttributeDefinitions are not used. AttributeDefinitions: [pk, sk, z, a], keys used: [pk, sk, a]",
        ),
        (
            hash_only(local(&[], json!([index("idx", &["h:pk", "r:sk"])]))),
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ),
        (local(&[], json!([index("idx", &["h:pk"])])), "Index KeySchema does not have a range key for index: idx"),
        (
            local(&["a"], json!([index("idx", &["h:a", "r:sk"])])),
            "Index KeySchema does not have the same leading hash key as table KeySchema for index: idx. index hash key: a, \
             table hash key: pk",
        ),
        (global(&["a"], json!([projecting(json!({}))])), "Unknown ProjectionType: null"),
        (
            global(&["a"], json!([projecting(json!({"ProjectionType": "ALL", "NonKeyAttributes": ["x"]}))])),
            "ProjectionType is ALL, but NonKeyAttributes is specified",
        ),
        (
            global(&["a"], json!([projecting(json!({"ProjectionType": "KEYS_ONLY", "NonKeyAttributes": ["x"]}))])),
            "ProjectionType is KEYS_ONLY, but NonKeyAttributes is specified",
        ),
        (
            global(&["a"], json!([projecting(json!({"ProjectionType": "INCLUDE"}))])),
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        ),
        (
            global(&["a"], json!([including("idx", vec!["x".into(), "y".into(), "x".into()])])),
            "Duplicate element in NonKeyAttributes: x",
        ),
        (
            table(&["a"], json!([index("idx", &["h:a"])]), json!([index("idx", &["h:pk", "r:a"])])),
            "Duplicate index name: idx",
        ),
        (local(&[], many(6, &["h:pk", "r:sk"])), "Number of LocalSecondaryIndexes exceeds per-table limit of 5"),
        (global(&[], many(21, &["h:sk"])), "GlobalSecondaryIndex count exceeds the per-table limit of 20"),
        (
            global(&["a"], json!([with(index("idx", &["h:a"]), json!({"ProvisionedThroughput": units(1, 1)}))])),
            "ProvisionedThroughput should not be specified for index: idx when BillingMode is PAY_PER_REQUEST",
        ),
        (
            provisioned(global(&["a"], json!([index("idx", &["h:a"])]))),
            "ProvisionedThroughput is not specified for index: idx",
        ),
        (
            global(&["a", "b", "c"], json!([index("idx", &["h:a", "r:b", "h:c"])])),
            "All HASH key attributes must precede RANGE key attributes in the KeySchema",
        ),
        (
            global(&["a", "b", "c"], json!([index("idx", &["h:a", "h:b", "h:c", "h:pk", "h:sk"])])),
            "The KeySchema exceeds the maximum allowed number of HASH key attributes",
        ),
        (
            global(&["a", "b", "c", "d"], json!([index("idx", &["h:a", "r:b", "r:c", "r:d", "r:pk", "r:sk"])])),
            "The KeySchema exceeds the maximum allowed number of RANGE key attributes",
        ),
        (
            global(
                &["a"],
                (0..6).map(|n| including(&format!("idx{n}"), (0..20).map(|m| format!("x{m}")).collect())).collect(),
            ),
            "Number of NonKeyAttributes exceeds the per-table limit of 100",
        ),
    ];
    for (body, expected) in cases {
        bench.refused("CreateTable", body, &format!("{PARAMETER}{expected}")).await;
    }
    let second = "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type";
    let same = "Both the Hash Key and the Range Key element in the KeySchema have the same name";
    let several = "The KeySchema contains multiple key attributes with the same name";
    let first = "Invalid KeySchema: The first KeySchemaElement is not a HASH key type";
    let huge = with(index("idx", &["h:a"]), json!({"ProvisionedThroughput": units(1, 2_000_000_000_000)}));
    let bare = [
        (global(&["a"], json!([index("idx", &["h:a", "r:a"])])), same),
        (global(&["a"], json!([index("idx", &["h:a", "h:a"])])), several),
        (global(&["a"], json!([index("idx", &["h:a", "h:pk", "r:a"])])), several),
        (global(&["a"], json!([index("idx", &["r:a"])])), first),
        (local(&["a"], json!([index("idx", &["h:pk", "h:a"])])), second),
        (local(&[], json!([index("idx", &["h:pk", "r:pk"])])), same),
        (
            provisioned(global(&["a"], json!([huge]))),
            "Given value 2000000000000 for WriteCapacityUnits is out of bounds for index idx",
        ),
    ];
    for (body, expected) in bare {
        bench.refused("CreateTable", body, &format!("ValidationException: {expected}")).await;
    }
    let at = |path: &str, constraint: &str| format!("'{path}' failed to satisfy constraint: Member must {constraint}");
    let bare_index = json!({"IndexName": "idx", "KeySchema": schema(&["h:a"])});
    let mut nameless = including("idx", vec!["x".into()]);
    nameless["Projection"]["NonKeyAttributes"] = json!(["x", null]);
    let mut long = index("idx", &["h:pk", "r:sk"]);
    long["KeySchema"] = schema(&["h:pk", "r:sk", "r:a"]);
    let structural = [
        (
            global(&["a"], json!([bare_index])),
            format!("Value null at {}", at("globalSecondaryIndexes.1.member.projection", "not be null")),
        ),
        (
            global(&["a"], json!([including("idx", vec![])])),
            format!(
                "Value '[]' at {}",
                at(
                    "globalSecondaryIndexes.1.member.projection.nonKeyAttributes",
                    "have length greater than or equal to 1"
                )
            ),
        ),
        (
            global(&["a"], json!([nameless])),
            format!(
                "Value null at {}",
                at("globalSecondaryIndexes.1.member.projection.nonKeyAttributes.2.member", "not be null")
            ),
        ),
        (
            local(&["a"], json!([long])),
            format!(
                "Value '[KeySchemaElement(attributeName=pk, keyType=HASH), KeySchemaElement(attributeName=sk, keyType=RANGE), \
                 KeySchemaElement(attributeName=a, keyType=RANGE)]' at {}",
                at("localSecondaryIndexes.1.member.keySchema", "have length less than or equal to 2")
            ),
        ),
    ];
    for (body, expected) in structural {
        bench.refused("CreateTable", body, &format!("{ENVELOPE}{expected}")).await;
    }
    assert_eq!(bench.ok("ListTables", json!({})).await, json!({"TableNames": []}), "a refused table was made");
}

/// docs/spec/dynamodb-api.md 2.1 (order): billing before the key, the key before indexes, indexes before existence.
#[tokio::test]
async fn the_rules_of_a_table_with_indexes_are_checked_in_order() {
    let bench = Bench::new().await;
    let bad_projection = json!({"Projection": {}});
    let mut body = provisioned(global(&["z"], json!([with(index("idx", &["h:a"]), bad_projection)])));
    let steps = [
        (
            "ProvisionedThroughput",
            json!(null),
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            "KeySchema",
            schema(&["h:other"]),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [other], AttributeDefinitions: [pk, sk, z]",
        ),
        (
            "",
            json!(null),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [a], AttributeDefinitions: [pk, sk, z]",
        ),
    ];
    for (member, value, expected) in steps {
        let body = if member.is_empty() { body.clone() } else { with(body.clone(), json!({member: value})) };
        bench.refused("CreateTable", body, &format!("{PARAMETER}{expected}")).await;
    }
    body["AttributeDefinitions"] = definitions(&["pk", "sk", "a"]);
    bench.refused("CreateTable", body.clone(), &format!("{PARAMETER}Unknown ProjectionType: null")).await;
    body["GlobalSecondaryIndexes"][0]["Projection"] = json!({"ProjectionType": "KEYS_ONLY"});
    let units_of = format!("{PARAMETER}ProvisionedThroughput is not specified for index: idx");
    bench.refused("CreateTable", body.clone(), &units_of).await;
    body["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] = units(1, 1);
    bench.create("users", None).await;
    bench.refused("CreateTable", body, "ResourceInUseException: Table already exists: users").await;
}

/// docs/spec/dynamodb-api.md 2.2, rows `GlobalSecondaryIndexes[]` and `LocalSecondaryIndexes[]`.
#[tokio::test]
async fn the_indexes_of_a_table_are_described_in_their_order() {
    let bench = Bench::new().await;
    let including = json!({"Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["y", "x"]}});
    let body = table(
        &["d", "c", "b", "a"],
        json!([
            with(
                index("zzz", &["h:a", "h:b", "r:c", "r:d"]),
                json!({"OnDemandThroughput": {"MaxReadRequestUnits": 7}})
            ),
            with(index("aaa", &["h:d"]), including),
        ]),
        json!([index("local", &["h:pk", "r:b"])]),
    );
    let created = bench.ok("CreateTable", body).await["TableDescription"].clone();
    assert_eq!(created["AttributeDefinitions"], definitions(&["pk", "sk", "d", "c", "b", "a"]), "as they were sent");
    let creating = &created["GlobalSecondaryIndexes"][0];
    assert_eq!(
        (&creating["IndexStatus"], creating.get("Backfilling"), creating.get("WarmThroughput")),
        (&json!("CREATING"), None, None)
    );
    let described = bench.describe("users").await;
    assert_eq!(described["AttributeDefinitions"], definitions(&["a", "b", "c", "d", "pk", "sk"]));
    let none = json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0});
    let warm = json!({"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"});
    let arn = |name: &str| format!("arn:aws:dynamodb:us-east-1:000000000000:table/users/index/{name}");
    assert_eq!(
        described["GlobalSecondaryIndexes"],
        json!([
            {
                "IndexName": "zzz",
                "KeySchema": schema(&["h:a", "h:b", "r:c", "r:d"]),
                "Projection": {"ProjectionType": "ALL"},
                "IndexStatus": "ACTIVE",
                "ProvisionedThroughput": none,
                "IndexSizeBytes": 0,
                "ItemCount": 0,
                "IndexArn": arn("zzz"),
                "OnDemandThroughput": {"MaxReadRequestUnits": 7},
                "WarmThroughput": warm,
            },
            {
                "IndexName": "aaa",
                "KeySchema": schema(&["h:d"]),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x", "y"]},
                "IndexStatus": "ACTIVE",
                "ProvisionedThroughput": none,
                "IndexSizeBytes": 0,
                "ItemCount": 0,
                "IndexArn": arn("aaa"),
                "WarmThroughput": warm,
            },
        ])
    );
    assert_eq!(
        described["LocalSecondaryIndexes"],
        json!([{
            "IndexName": "local",
            "KeySchema": schema(&["h:pk", "r:b"]),
            "Projection": {"ProjectionType": "ALL"},
            "IndexSizeBytes": 0,
            "ItemCount": 0,
            "IndexArn": arn("local"),
        }])
    );
    let deleted = bench.ok("DeleteTable", json!({"TableName": "users"})).await["TableDescription"].clone();
    assert_eq!(deleted.get("GlobalSecondaryIndexes"), None);
}

/// docs/spec/dynamodb-api.md 2.2: units of an index.
#[tokio::test]
async fn an_index_of_a_table_with_units_has_units_of_its_own() {
    let bench = Bench::new().await;
    let body = provisioned(global(
        &["a"],
        json!([with(index("idx", &["h:a"]), json!({"ProvisionedThroughput": units(2, 3)}))]),
    ));
    bench.ok("CreateTable", body).await;
    let described = bench.describe("users").await["GlobalSecondaryIndexes"][0].clone();
    let expected = json!({"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 2, "WriteCapacityUnits": 3});
    assert_eq!(described["ProvisionedThroughput"], expected);
    assert_eq!(
        described["WarmThroughput"],
        json!({"ReadUnitsPerSecond": 2, "WriteUnitsPerSecond": 3, "Status": "ACTIVE"})
    );
}

/// An item's stored form may be larger than its size by the rules of DynamoDB, and each index has a copy.
#[tokio::test]
async fn an_item_whose_copies_are_more_than_a_commit_takes_is_refused_in_words() {
    let bench = Bench::new().await;
    let include = |n: usize| {
        let projection = json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v"]});
        with(index(&format!("i{n:02}"), &["h:a"]), json!({"Projection": projection}))
    };
    let body = with(
        on_demand("users"),
        json!({"AttributeDefinitions": definitions(&["pk", "a"]),
        "GlobalSecondaryIndexes": (0..20).map(include).collect::<Vec<Value>>()}),
    );
    bench.ok("CreateTable", body).await;
    // An empty string in a list is a byte by the rules, and two when it is stored.
    let members = vec![json!({"S": ""}); 400_000];
    let item = json!({"pk": {"S": "1"}, "a": {"S": "1"}, "v": {"L": members}});
    let refused = bench.call("PutItem", json!({"TableName": "users", "Item": item})).await.unwrap_err().to_string();
    let expected = "ValidationException: The item is too large to be written with its entries in the 20 secondary indexes of the table \
                    users";
    assert_eq!(refused, expected);
}
