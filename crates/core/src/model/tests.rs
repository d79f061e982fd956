//! Structural errors, text by text.

use super::*;

fn message(api: &Api, operation: &str, body: &str, wording: Wording) -> String {
    let mut body = Json::parse(body.as_bytes()).unwrap();
    match api.validate(operation, &mut body, wording).expect("validated") {
        Ok(()) => "valid".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(operation: &str, body: &str, expect: &str) {
    assert_eq!(message(dynamodb(), operation, body, Wording::Current), expect, "{operation} {body}");
}

#[track_caller]
fn check_classic(operation: &str, body: &str, expect: &str) {
    assert_eq!(message(dynamodb(), operation, body, Wording::Classic), expect, "{operation} {body}");
}

/// docs/spec/dynamodb-api.md 1.4
#[test]
fn values_of_the_wrong_json_type() {
    for (operation, body, expect) in [
        ("GetItem", r#"{"TableName":true}"#, "TRUE_VALUE cannot be converted to String"),
        ("GetItem", r#"{"TableName":-0}"#, "NUMBER_VALUE cannot be converted to String"),
        ("GetItem", r#"{"TableName":1e1}"#, "DECIMAL_VALUE cannot be converted to String"),
        ("GetItem", r#"{"TableName":[]}"#, "Unrecognized collection type class java.lang.String"),
        ("GetItem", r#"{"TableName":{}}"#, "Start of structure or map found where not expected"),
        ("Scan", r#"{"Limit":"1"}"#, "STRING_VALUE cannot be converted to Integer"),
        ("Scan", r#"{"ConsistentRead":"maybe"}"#, "Unexpected token received from parser"),
        ("Scan", r#"{"ConsistentRead":1}"#, "NUMBER_VALUE cannot be converted to Boolean"),
        ("GetItem", r#"{"AttributesToGet":"a"}"#, "Unexpected field type"),
        ("GetItem", r#"{"AttributesToGet":{}}"#, "Start of structure or map found where not expected"),
        ("GetItem", r#"{"Key":"a"}"#, "Unexpected field type"),
        (
            "GetItem",
            r#"{"Key":[]}"#,
            "Unrecognized collection type java.util.Map<java.lang.String, com.amazonaws.dynamodb.v20120810.AttributeValue>",
        ),
        (
            "GetItem",
            r#"{"ExpressionAttributeNames":[]}"#,
            "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>",
        ),
        ("CreateTable", r#"{"KeySchema":["a"]}"#, "Unexpected value type in payload"),
        ("CreateTable", r#"{"ProvisionedThroughput":"a"}"#, "Unexpected field type"),
        (
            "CreateTable",
            r#"{"ProvisionedThroughput":[]}"#,
            "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.ProvisionedThroughput",
        ),
    ] {
        check(operation, body, &format!("SerializationException: {expect}"));
    }
    for (operation, body) in [
        ("BatchGetItem", r#"{"RequestItems":"a"}"#),
        ("BatchGetItem", r#"{"RequestItems":{"abc":{"Keys":"a"}}}"#),
        ("BatchGetItem", r#"{"RequestItems":{"abc":{"Keys":["a"]}}}"#),
        ("BatchWriteItem", r#"{"RequestItems":"a"}"#),
        ("BatchWriteItem", r#"{"RequestItems":{"abc":"a"}}"#),
    ] {
        let cast = message(dynamodb(), operation, body, Wording::Current);
        assert!(cast.contains("ParameterizedTypeImpl cannot be cast"), "{body}: {cast}");
    }
    check(
        "BatchGetItem",
        r#"{"RequestItems":{"abc":{"AttributesToGet":"a"}}}"#,
        "SerializationException: Unexpected field type",
    );
}

/// docs/spec/dynamodb-api.md 1.4: unknown members are ignored, `null` is absent, booleans have other spellings.
#[test]
fn lenient_requests_are_valid() {
    check("Scan", r#"{"TableName":"abc","Wrong":1,"Limit":null,"ConsistentRead":"Yes"}"#, "valid");
    check("DescribeTable", r#"{"TableName":"arn:aws:dynamodb:us-east-1:000000000000:table/abc"}"#, "valid");
    check("DescribeLimits", "{}", "valid");
}

/// docs/spec/dynamodb-api.md 1.4; members that CreateTable refuses by name stay for it (2).
#[test]
fn a_valid_request_is_left_with_the_members_of_its_operation() {
    let left = |operation: &str, body: &str| {
        let mut body = Json::parse(body.as_bytes()).unwrap();
        dynamodb().validate(operation, &mut body, Wording::Current).unwrap().unwrap();
        body
    };
    for (operation, body, expected) in [
        (
            "PutItem",
            r#"{"UpdateExpression":5,"TableName":"abc","Item":{"a":{"S":"x","Y":1}},"Expected":{"b":{"Exists":true,"Z":[]}}}"#,
            r#"{"TableName":"abc","Item":{"a":{"S":"x","Y":1}},"Expected":{"b":{"Exists":true}}}"#,
        ),
        (
            "BatchGetItem",
            r#"{"RequestItems":{"abc":{"Keys":[{"a":{"S":"x"}}],"FilterExpression":"","ConsistentRead":true}},"Keys":[]}"#,
            r#"{"RequestItems":{"abc":{"Keys":[{"a":{"S":"x"}}],"ConsistentRead":true}}}"#,
        ),
        (
            "BatchWriteItem",
            r#"{"RequestItems":{"abc":[{"PutRequest":{"Item":{},"Key":1},"Put":{}}]}}"#,
            r#"{"RequestItems":{"abc":[{"PutRequest":{"Item":{}}}]}}"#,
        ),
        (
            "CreateTable",
            r#"{"TableName":"abc","KeySchema":[{"AttributeName":"a","KeyType":"HASH","X":1}],"ReplicaUpdates":[],
                "AttributeDefinitions":[],"MultiRegionConsistency":"STRONG","GlobalTableWitnessUpdates":[],"Other":1}"#,
            r#"{"TableName":"abc","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"ReplicaUpdates":[],
                "AttributeDefinitions":[],"MultiRegionConsistency":"STRONG","GlobalTableWitnessUpdates":[]}"#,
        ),
    ] {
        assert_eq!(left(operation, body), Json::parse(expected.as_bytes()).unwrap(), "{operation} {body}");
    }
}

/// docs/spec/dynamodb-api.md 1.6
#[test]
fn names_of_tables() {
    let absent = "ValidationException: The parameter 'TableName' is required but was not present in the request";
    let length = "ValidationException: TableName must be at least 3 characters long and at most 255 characters long";
    let pattern = "ValidationException: 1 validation error detected: Value 'a;b!' at 'tableName' failed to satisfy \
                   constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    let two = "ValidationException: 2 validation errors detected: Value '' at 'tableName' failed to satisfy constraint: \
               Member must have length greater than or equal to 3; Value '' at 'tableName' failed to satisfy constraint: \
               Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    let short = "ValidationException: 1 validation error detected: Value 'ab' at 'tableName' failed to satisfy \
                 constraint: Member must have length greater than or equal to 3";
    let long = format!(
        "ValidationException: 1 validation error detected: Value '{}' at 'tableName' failed to satisfy constraint: Member \
         must have length less than or equal to 255",
        "a".repeat(256)
    );
    for operation in ["DescribeTable", "DeleteTable", "UpdateTable"] {
        check(operation, "{}", absent);
        check(operation, r#"{"TableName":""}"#, two);
        check_classic(operation, r#"{"TableName":""}"#, length);
        check(operation, r#"{"TableName":"ab"}"#, short);
        check_classic(operation, r#"{"TableName":"ab"}"#, length);
        check(operation, &format!(r#"{{"TableName":"{}"}}"#, "a".repeat(256)), &long);
        check(operation, r#"{"TableName":"a;"}"#, &two.replace("''", "'a;'"));
        check(operation, r#"{"TableName":"a;b!"}"#, pattern);
    }
    check("Scan", r#"{"TableName":"a;b!"}"#, pattern);
    check("Scan", r#"{"TableName":"ab"}"#, short);
    // Two constraints broken: most operations tell one, two operations both.
    let both = "ValidationException: 2 validation errors detected: Value '!' at 'tableName' failed to satisfy constraint: \
                Member must have length greater than or equal to 3; Value '!' at 'tableName' failed to satisfy constraint: \
                Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    check("Scan", r#"{"TableName":"!"}"#, both);
    check_classic("Scan", r#"{"TableName":""}"#, two);
    check("UpdateItem", r#"{"TableName":"!","Key":{}}"#, both);
    check_classic("UpdateItem", r#"{"TableName":"!","Key":{}}"#, both);
    let one = "ValidationException: 1 validation error detected: Value '!' at 'tableName' failed to satisfy constraint: \
               Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    check("Query", r#"{"TableName":"!"}"#, one);
    let empty = "ValidationException: 1 validation error detected: Value at 'TableName' failed to satisfy constraint: \
                 Member must have length greater than or equal to 1";
    check("Query", r#"{"TableName":"","Limit":5}"#, empty);
}

/// docs/spec/dynamodb-api.md 1.5 and the orders of 2.5
#[test]
fn errors_are_joined_in_the_order_of_the_wording() {
    let null = |path: &str| format!("Value null at '{path}' failed to satisfy constraint: Member must not be null");
    let capacity = "Value 'x' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value \
                    set: [INDEXES, TOTAL, NONE]";
    let body = r#"{"ReturnConsumedCapacity":"x"}"#;
    let (name, key, item) = (null("tableName"), null("key"), null("item"));
    let three = "ValidationException: 3 validation errors detected:";
    check("GetItem", body, &format!("{three} {key}; {name}; {capacity}"));
    check_classic("GetItem", body, &format!("{three} {capacity}; {name}; {key}"));
    check("PutItem", body, &format!("{three} {name}; {item}; {capacity}"));
    check_classic("PutItem", body, &format!("{three} {capacity}; {name}; {item}"));
    check("UpdateItem", body, &format!("{three} {capacity}; {name}; {key}"));
}

/// docs/spec/dynamodb-api.md 1.5 (ReturnValues, ConditionalOperator), 5.1 (Limit)
#[test]
fn the_two_wordings_of_enums_and_bounds() {
    let body = r#"{"TableName":"abc","Item":{},"ReturnValues":"x"}"#;
    check(
        "PutItem",
        body,
        "ValidationException: Failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, UPDATED_OLD, \
         ALL_NEW, UPDATE_NEW, NONE]",
    );
    check_classic(
        "PutItem",
        body,
        "ValidationException: 1 validation error detected: Value 'x' at 'returnValues' failed to satisfy constraint: \
         Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]",
    );
    let body = r#"{"TableName":"abc","Limit":0,"Select":"x"}"#;
    check(
        "Query",
        body,
        "ValidationException: 1 validation error detected: Value at 'Limit' failed to satisfy constraint: Member must \
         have value greater than or equal to 1",
    );
    check_classic(
        "Query",
        body,
        "ValidationException: 2 validation errors detected: Value 'x' at 'select' failed to satisfy constraint: Member \
         must satisfy enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]; Value '0' \
         at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1",
    );
}

/// docs/spec/dynamodb-api.md 2.1 rows 3, 4, 14
#[test]
fn nested_members_have_paths() {
    let base = r#""TableName":"abc","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]"#;
    check(
        "CreateTable",
        &format!(
            r#"{{{base},"KeySchema":[{{"AttributeName":"pk"}}],"ProvisionedThroughput":{{"ReadCapacityUnits":0,"WriteCapacityUnits":0}}}}"#
        ),
        "ValidationException: 3 validation errors detected: Value '0' at 'provisionedThroughput.writeCapacityUnits' \
         failed to satisfy constraint: Member must have value greater than or equal to 1; Value '0' at \
         'provisionedThroughput.readCapacityUnits' failed to satisfy constraint: Member must have value greater than or \
         equal to 1; Value null at 'keySchema.1.member.keyType' failed to satisfy constraint: Member must not be null",
    );
    let keys = r#"{"AttributeName":"a","KeyType":"HASH"}"#;
    check(
        "CreateTable",
        &format!(r#"{{{base},"KeySchema":[{keys},{keys},{keys}]}}"#),
        "ValidationException: 1 validation error detected: Value '[KeySchemaElement(attributeName=a, keyType=HASH), \
         KeySchemaElement(attributeName=a, keyType=HASH), KeySchemaElement(attributeName=a, keyType=HASH)]' at \
         'keySchema' failed to satisfy constraint: Member must have length less than or equal to 2",
    );
}

#[test]
fn at_most_ten_errors_are_listed() {
    let keys: Vec<&str> = (0..30).map(|_| r#"{}"#).collect();
    let body = format!(r#"{{"TableName":"abc","KeySchema":[],"AttributeDefinitions":[{}]}}"#, keys.join(","));
    let text = message(dynamodb(), "CreateTable", &body, Wording::Current);
    assert!(text.starts_with("ValidationException: 10 validation errors detected: "), "{text}");
    assert_eq!(text.matches("Value ").count(), 10);
}

#[test]
fn errors_repeat_only_the_beginning_of_large_values() {
    let long = "x".repeat(1_000_000);
    for (operation, body) in [
        ("GetItem", format!(r#"{{"TableName":"{long}","Key":{{}}}}"#)),
        ("GetItem", format!(r#"{{"TableName":"abc","Key":{{}},"ReturnConsumedCapacity":"{long}"}}"#)),
        ("BatchGetItem", format!(r#"{{"RequestItems":{{"{long}":{{"Keys":[]}}}}}}"#)),
        ("BatchWriteItem", format!(r#"{{"RequestItems":{{"{long}":[]}}}}"#)),
    ] {
        for wording in [Wording::Current, Wording::Classic] {
            let text = message(dynamodb(), operation, &body, wording);
            assert!((4096..40_000).contains(&text.len()), "{operation}: {} bytes", text.len());
        }
    }
}

/// docs/spec/streams.md 3, 6, 7
#[test]
fn streams_have_bounds_too() {
    let check = |operation, body, expect: &str| {
        let text = message(streams(), operation, body, Wording::Current);
        assert!(text.contains(expect), "{text}");
    };
    let most = "Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100";
    check("ListStreams", r#"{"Limit":101}"#, most);
    check("ListStreams", r#"{"Limit":0}"#, "greater than or equal to 1");
    check("GetRecords", r#"{"ShardIterator":"x","Limit":1001}"#, "'limit'");
    check("GetRecords", r#"{"ShardIterator":"x","Limit":1000}"#, "valid");
    let filter = r#"{"StreamArn":"x","ShardFilter":{"Type":"CHILD_SHARDS","ShardId":"short"}}"#;
    check("DescribeStream", filter, "'shardFilter.shardId'");
    check("DescribeStream", r#"{"StreamArn":"x","ShardFilter":{}}"#, "2 validation errors");
}

#[test]
fn operations_of_the_model_are_known_whether_or_not_they_are_built() {
    assert!(dynamodb().knows("CreateBackup") && !dynamodb().validates("CreateBackup"));
    assert!(!dynamodb().knows("NoSuchOperation"));
    let named = "UnknownOperationException: Tailrace does not have the operation CreateBackup yet";
    assert_eq!(dynamodb().unknown_operation("CreateBackup").to_string(), named);
    assert_eq!(dynamodb().unknown_operation("NoSuchOperation").message, None, "as the service");
    assert!(streams().validates("GetRecords"));
}

/// docs/spec/dynamodb-api.md 7.1: empty request list, more than 25 writes.
#[test]
fn the_lists_of_a_batch_are_reported_at_their_map() {
    let expected = |value: &str| {
        format!(
            "ValidationException: 1 validation error detected: Value '{value}' at 'requestItems' failed to satisfy \
             constraint: Map value must satisfy constraint: [Member must have length less than or equal to 25, Member \
             must have length greater than or equal to 1]"
        )
    };
    let delete = r#"{"DeleteRequest":{"Key":{"pk":{"S":"a"}}}}"#;
    let echo = "WriteRequest(deleteRequest=DeleteRequest(key={pk=AttributeValue(S)}))";
    let list = |of: &str, separator: &str, count: usize| format!("[{}]", vec![of; count].join(separator));
    let body = |tables: &str| format!(r#"{{"RequestItems":{{{tables}}}}}"#);
    for (tables, value) in [
        (r#""tbl":[]"#.to_owned(), "{tbl=[]}".to_owned()),
        (r#""tbl":null"#.to_owned(), "{tbl=null}".to_owned()),
        (format!(r#""abc":[{delete}],"tbl":[],"xyz":[]"#), format!("{{abc=[{echo}], tbl=[], xyz=[]}}")),
        (format!(r#""tbl":{}"#, list(delete, ",", 26)), format!("{{tbl={}}}", list(echo, ", ", 26))),
    ] {
        check("BatchWriteItem", &body(&tables), &expected(&value));
        check_classic("BatchWriteItem", &body(&tables), &expected(&value));
    }
    check("BatchWriteItem", &body(&format!(r#""tbl":{}"#, list(delete, ",", 25))), "valid");
    let long = format!(r#"{{"PutRequest":{{"Item":{{"{}":{{"S":"a"}}}}}}}}"#, "x".repeat(60_000));
    let text =
        message(dynamodb(), "BatchWriteItem", &body(&format!(r#""tbl":{}"#, list(&long, ",", 26))), Wording::Current);
    assert!((4096..5000).contains(&text.len()), "{} bytes", text.len());
    check(
        "BatchWriteItem",
        r#"{"RequestItems":{"tbl":[{"PutRequest":{}}]}}"#,
        "ValidationException: 1 validation error detected: Value null at \
         'requestItems.tbl.member.1.member.putRequest.item' failed to satisfy constraint: Member must not be null",
    );
}

/// docs/spec/dynamodb-api.md 1.4: a null is absent, so a table that is null has no keys, and a condition no operator.
#[test]
fn a_table_of_a_batch_that_is_null_lacks_its_required_members() {
    let expected = |path: &str| {
        format!(
            "ValidationException: 1 validation error detected: Value null at '{path}' failed to satisfy constraint: \
             Member must not be null"
        )
    };
    for table in ["null", "{}", r#"{"Keys":null}"#] {
        let body = format!(r#"{{"RequestItems":{{"abc":{table}}}}}"#);
        check("BatchGetItem", &body, &expected("requestItems.abc.member.keys"));
        check_classic("BatchGetItem", &body, &expected("requestItems.abc.member.keys"));
    }
}

/// docs/spec/dynamodb-api.md 1.4: a null member is absent; an element of a list cannot be.
#[test]
fn a_null_in_a_list_is_refused() {
    check(
        "CreateTable",
        r#"{"TableName":"abc","KeySchema":[{"AttributeName":"a","KeyType":"HASH"},null],"AttributeDefinitions":[null]}"#,
        "ValidationException: 2 validation errors detected: Value null at 'keySchema.2.member' failed to satisfy constraint: \
         Member must not be null; Value null at 'attributeDefinitions.1.member' failed to satisfy constraint: Member must not \
         be null",
    );
}

/// docs/spec/dynamodb-api.md 6: rows `empty list` and `unknown action`.
#[test]
fn replaced_parameters_have_texts_of_their_own() {
    let empty = "ValidationException: 1 validation error detected: Value '[]' at 'attributesToGet' failed to satisfy \
                 constraint: Member must have length greater than or equal to 1";
    for (operation, members) in [("GetItem", r#""Key":{},"#), ("Query", ""), ("Scan", "")] {
        let body = format!(r#"{{"TableName":"abc",{members}"AttributesToGet":[]}}"#);
        check(operation, &body, empty);
        check_classic(operation, &body, empty);
    }
    check(
        "BatchGetItem",
        r#"{"RequestItems":{"abc":{"Keys":[{}],"AttributesToGet":[]}}}"#,
        "ValidationException: 1 validation error detected: Value at 'RequestItems.abc.member.AttributesToGet' failed to \
         satisfy constraint: Member must have length greater than or equal to 1",
    );
    let body = r#"{"TableName":"abc","Key":{},"AttributeUpdates":{"a":{"Action":"FOO"},"b":{"Action":"BAR"}}}"#;
    check(
        "UpdateItem",
        body,
        "ValidationException: 1 validation error detected: Member must satisfy enum value set: [ADD, DELETE, PUT]' for \
         Action",
    );
    let body = r#"{"TableName":"abc","Key":{},"AttributeUpdates":{"a":{"Action":"FOO"}}}"#;
    check_classic(
        "UpdateItem",
        body,
        "ValidationException: 1 validation error detected: Value 'FOO' at 'attributeUpdates.a.member.action' failed to \
         satisfy constraint: Member must satisfy enum value set: [ADD, DELETE, PUT]",
    );
}

/// docs/spec/dynamodb-api.md 1.5: sets that nobody saw are in the order that all of those have which were seen.
#[test]
fn choices_are_listed_in_the_order_of_their_hashes() {
    let place = |name: &str| name.bytes().fold(0_u32, |hash, byte| (31 * hash + u32::from(byte)) % 32);
    for service in [Service::DynamoDb, Service::Streams] {
        for shape in service.api().shapes.iter().filter(|shape| !shape.allowed.is_empty()) {
            let mut ordered = shape.allowed.clone();
            ordered.sort_by_key(|name| (place(name), name.clone()));
            assert_eq!(shape.allowed, ordered, "{}", shape.name);
        }
    }
}

/// docs/spec/dynamodb-api.md 7.1: the table's name stays as it is written, in a path of the newer wording too.
#[test]
fn keys_of_maps_keep_their_spelling() {
    check(
        "BatchGetItem",
        r#"{"RequestItems":{"my.table":{"Keys":[]}}}"#,
        "ValidationException: 1 validation error detected: Value at 'RequestItems.my.table.member.Keys' failed to satisfy \
         constraint: Member must have length greater than or equal to 1",
    );
    check("PutItem", r#"{"Item":{"a":{"S":1}}}"#, "SerializationException: NUMBER_VALUE cannot be converted to String");
}

/// docs/spec/dynamodb-api.md 1.5, 1.6: the operations on a table's settings are of the older layer, and tell every fault.
#[test]
fn requests_about_settings_are_held_against_the_model() {
    let null = |path: &str| format!("Value null at '{path}' failed to satisfy constraint: Member must not be null");
    let one = |fault: &str| format!("ValidationException: 1 validation error detected: {fault}");
    let two =
        |first: &str, second: &str| format!("ValidationException: 2 validation errors detected: {first}; {second}");
    let name = "Value '!' at 'tableName' failed to satisfy constraint: Member must";
    let (short, pattern) = (
        format!("{name} have length greater than or equal to 3"),
        format!("{name} satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
    );
    check("DescribeContinuousBackups", r#"{"TableName":"!"}"#, &two(&short, &pattern));
    check("DescribeContinuousBackups", r#"{"TableName":"arn:aws:dynamodb:r:1:table/t"}"#, "valid");
    let specification = "pointInTimeRecoverySpecification";
    check("UpdateContinuousBackups", "{}", &two(&null("tableName"), &null(specification)));
    check(
        "UpdateContinuousBackups",
        r#"{"TableName":"abc","PointInTimeRecoverySpecification":{"RecoveryPeriodInDays":0}}"#,
        &two(
            &null(&format!("{specification}.pointInTimeRecoveryEnabled")),
            &format!(
                "Value '0' at '{specification}.recoveryPeriodInDays' failed to satisfy constraint: Member must have value \
                 greater than or equal to 1"
            ),
        ),
    );
    check(
        "UpdateContributorInsights",
        r#"{"TableName":"abc","ContributorInsightsAction":"on"}"#,
        &one(
            "Value 'on' at 'contributorInsightsAction' failed to satisfy constraint: Member must satisfy enum value set: \
             [ENABLE, DISABLE]",
        ),
    );
    check(
        "PutResourcePolicy",
        r#"{"Policy":"{}","ExpectedRevisionId":""}"#,
        &two(
            &null("resourceArn"),
            "Value '' at 'expectedRevisionId' failed to satisfy constraint: Member must have length greater than or equal \
             to 1",
        ),
    );
    check("EnableKinesisStreamingDestination", r#"{"TableName":"abc"}"#, &one(&null("streamArn")));
    let limit = "Value '101' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 100";
    check("ListBackups", r#"{"Limit":101}"#, &one(limit));
    check(
        "ListBackups",
        r#"{"TimeRangeLowerBound":"x"}"#,
        "SerializationException: STRING_VALUE cannot be converted to Double",
    );
    check("CreateGlobalTable", r#"{"GlobalTableName":"abc"}"#, &one(&null("replicationGroup")));
    // Their texts are the operations' own (8.3).
    for (operation, body) in [("TagResource", "{}"), ("UntagResource", "{}"), ("ListTagsOfResource", "{}")] {
        check(operation, body, "valid");
    }
    check("TagResource", r#"{"Tags":["a"]}"#, "SerializationException: Unexpected value type in payload");
}

/// docs/spec/sinks.md 2.7: a key or an address that is wrong is not in the error, which is logged.
#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let attributes = |count: usize| vec![r#"{"AttributeName":"a","AttributeValue":"hunter2"}"#; count].join(",");
    let body = |key: &str, attributes: &str| {
        format!(
            r#"{{"DeliveryStreamName":"s","HttpEndpointDestinationConfiguration":{{
                "EndpointConfiguration":{{"Url":"https://x","AccessKey":"{key}"}},
                "RequestConfiguration":{{"CommonAttributes":[{attributes}]}},
                "S3Configuration":{{"RoleARN":"arn:aws:iam::000000000000:role/r","BucketARN":"arn:aws:s3:::b"}}}}}}"#
        )
    };
    let long = "k".repeat(4097);
    let wrong = message(firehose(), "CreateDeliveryStream", &body(&long, &attributes(1)), Wording::Current);
    let expected = "ValidationException: 1 validation error detected: Value at \
                    'httpEndpointDestinationConfiguration.endpointConfiguration.accessKey' failed to satisfy constraint: \
                    Member must have length less than or equal to 4096";
    assert_eq!(wrong, expected);
    let many = message(firehose(), "CreateDeliveryStream", &body("k", &attributes(51)), Wording::Current);
    assert!(many.contains("commonAttributes' failed to satisfy") && !many.contains("hunter2"), "{many}");
}
