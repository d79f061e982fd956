"""What a request's JSON may be, and what its members must be, before any operation looks at it; a row of a table a row of the
document.

Rows: docs/spec/dynamodb-api.md 1.4, 1.5, 1.6. The wording is the current one, as it is by default.
"""

import json

import pytest

from conftest import make_table
from raw_http import call, error_of
from wording import FAIL, VALIDATION

SERIALIZATION = "com.amazon.coral.service#SerializationException"
SHAPE = "com.amazonaws.dynamodb.v20120810."
STRUCTURE = "Start of structure or map found where not expected"
REFLECTION = (
    "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to class java.lang.Class "
    "(sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in module java.base of loader 'bootstrap')"
)
HUGE = "9" * 40


def row(operation, body, message):
    return pytest.param(operation, body, message, id=f"{operation} {body}"[:80])


# 1.4: the JSON value of the wrong type. `None`: without a message.
WRONG_TYPES = [
    *[
        row("GetItem", '{"TableName":%s}' % value, message)
        for value, message in [
            ("true", "TRUE_VALUE cannot be converted to String"),
            ("false", "FALSE_VALUE cannot be converted to String"),
            ("1", "NUMBER_VALUE cannot be converted to String"),
            ("-0", "NUMBER_VALUE cannot be converted to String"),
            (HUGE, "NUMBER_VALUE cannot be converted to String"),
            ("1.0", "DECIMAL_VALUE cannot be converted to String"),
            ("1e2", "DECIMAL_VALUE cannot be converted to String"),
            ("[]", "Unrecognized collection type class java.lang.String"),
            ("{}", STRUCTURE),
        ]
    ],
    row("PutItem", '{"Item":{"pk":{"S":1}}}', "NUMBER_VALUE cannot be converted to String"),
    row("PutItem", '{"Item":{"pk":{"N":1}}}', "NUMBER_VALUE cannot be converted to String"),
    row("PutItem", '{"Item":{"pk":{"N":1.5}}}', "DECIMAL_VALUE cannot be converted to String"),
    row("PutItem", '{"Item":{"pk":{"SS":[true]}}}', "TRUE_VALUE cannot be converted to String"),
    *[
        row("Query", '{"Limit":%s}' % value, message)
        for value, message in [
            ('"1"', "STRING_VALUE cannot be converted to Integer"),
            ("true", "TRUE_VALUE cannot be converted to Integer"),
            ("false", "FALSE_VALUE cannot be converted to Integer"),
            ("[]", "Unrecognized collection type class java.lang.Integer"),
            ("{}", STRUCTURE),
        ]
    ],
    *[
        row("CreateTable", '{"ProvisionedThroughput":{"ReadCapacityUnits":%s}}' % value, message)
        for value, message in [
            ('"1"', "STRING_VALUE cannot be converted to Long"),
            ("true", "TRUE_VALUE cannot be converted to Long"),
            ("[]", "Unrecognized collection type class java.lang.Long"),
            ("{}", STRUCTURE),
        ]
    ],
    *[
        row("GetItem", '{"ConsistentRead":%s}' % value, message)
        for value, message in [
            ('"maybe"', "Unexpected token received from parser"),
            ('""', "Unexpected token received from parser"),
            ("1", "NUMBER_VALUE cannot be converted to Boolean"),
            ("0.5", "DECIMAL_VALUE cannot be converted to Boolean"),
            ("[]", "Unrecognized collection type class java.lang.Boolean"),
            ("{}", STRUCTURE),
        ]
    ],
    *[
        row("PutItem", '{"Item":{"pk":{"BOOL":%s}}}' % value, message)
        for value, message in [
            ('"maybe"', "Unexpected token received from parser"),
            ("1", "NUMBER_VALUE cannot be converted to Boolean"),
            ("[]", None),
            ("{}", STRUCTURE),
        ]
    ],
    *[
        row("PutItem", '{"Item":{"pk":{"B":%s}}}' % value, message)
        for value, message in [
            ("true", "only base-64-encoded strings are convertible to bytes"),
            ("1", "only base-64-encoded strings are convertible to bytes"),
            ("1.5", "only base-64-encoded strings are convertible to bytes"),
            ("[]", "Unrecognized collection type class java.nio.ByteBuffer"),
            ("{}", STRUCTURE),
            ('"abc"', "Base64 encoded length is expected a multiple of 4 bytes but found: 3"),
            ('"abcde"', "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
            ('"====" ', "Invalid last non-pad Base64 character dectected"),
            ('"ab!="', "Invalid last non-pad Base64 character dectected"),
        ]
    ],
    row("GetItem", '{"AttributesToGet":"x"}', "Unexpected field type"),
    row("GetItem", '{"AttributesToGet":1}', "Unexpected field type"),
    row("GetItem", '{"AttributesToGet":{}}', STRUCTURE),
    row("PutItem", '{"Item":{"pk":{"L":"x"}}}', "Unexpected field type"),
    row("PutItem", '{"Item":{"pk":{"SS":"x"}}}', "Unexpected field type"),
    row("PutItem", '{"Item":"x"}', "Unexpected field type"),
    row("PutItem", '{"Item":1}', "Unexpected field type"),
    row("PutItem", '{"Item":[]}', f"Unrecognized collection type java.util.Map<java.lang.String, {SHAPE}AttributeValue>"),
    row("PutItem", '{"Item":{"pk":{"M":[]}}}', f"Unrecognized collection type java.util.Map<java.lang.String, {SHAPE}AttributeValue>"),
    row("PutItem", '{"Expected":[]}', f"Unrecognized collection type java.util.Map<java.lang.String, {SHAPE}ExpectedAttributeValue>"),
    row("GetItem", '{"ExpressionAttributeNames":[]}', "Unrecognized collection type java.util.Map<java.lang.String, java.lang.String>"),
    row("PutItem", '{"Item":{"pk":"x"}}', "Unexpected value type in payload"),
    row("PutItem", '{"Item":{"pk":[]}}', f"Unrecognized collection type class {SHAPE}AttributeValue"),
    row("CreateTable", '{"KeySchema":["x"]}', "Unexpected value type in payload"),
    row("CreateTable", '{"KeySchema":[[]]}', f"Unrecognized collection type class {SHAPE}KeySchemaElement"),
    row("CreateTable", '{"ProvisionedThroughput":"x"}', "Unexpected field type"),
    row("CreateTable", '{"ProvisionedThroughput":[]}', f"Unrecognized collection type class {SHAPE}ProvisionedThroughput"),
    row("BatchGetItem", '{"RequestItems":"x"}', REFLECTION),
    row("BatchWriteItem", '{"RequestItems":"x"}', REFLECTION),
    row("BatchWriteItem", '{"RequestItems":{"abc":"x"}}', REFLECTION),
    row("PutItem", "[" * 2001 + "]" * 2001, None),
]


@pytest.mark.parametrize("operation, body, message", WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_no_request(shared_server, operation, body, message):
    member = "Message" if message else None
    assert error_of(call(shared_server, operation, body)) == (400, SERIALIZATION, member, message)


@pytest.mark.parametrize(
    "text, value",
    [(text, True) for text in ["true", "T", "yes", "Y", "1"]] + [(text, False) for text in ["false", "f", "NO", "n", "0"]],
)
def test_words_are_read_as_booleans(shared_server, dynamodb, table, text, value):
    assert call(shared_server, "PutItem", {"TableName": table, "Item": {"pk": {"S": "k"}, "b": {"BOOL": text}}}).status == 200
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": "k"}})["Item"]["b"] == {"BOOL": value}


@pytest.mark.parametrize("literal, items", [("1.9", 1), ("2.0", 2), ("2e0", 2), ("99999999999", 3), (HUGE, 3)])
def test_a_limit_is_truncated_and_saturates(shared_server, dynamodb, table, literal, items):
    for key in "abc":
        dynamodb.put_item(TableName=table, Item={"pk": {"S": key}})
    answer = call(shared_server, "Scan", '{"TableName":"%s","Limit":%s}' % (table, literal))
    assert answer.json["Count"] == items


# 1.5 and 1.6: the whole message; `E:` stands for `1 validation error detected: `.
KEY = {"pk": {"S": "k"}}
DEFINED = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
REQUIRED = "The parameter 'TableName' is required but was not present in the request"
PATTERN = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
CONSTRAINTS = [
    row("ListTables", {"Limit": 0}, f"E:Value '0' at 'limit' {FAIL}Member must have value greater than or equal to 1"),
    row("ListTables", {"Limit": 101}, f"E:Value '101' at 'limit' {FAIL}Member must have value less than or equal to 100"),
    row("ListTables", {"ExclusiveStartTableName": "ab"},
        f"E:Value 'ab' at 'exclusiveStartTableName' {FAIL}Member must have length greater than or equal to 3"),
    row("ListTables", {"ExclusiveStartTableName": "a" * 256},
        f"E:Value '{'a' * 256}' at 'exclusiveStartTableName' {FAIL}Member must have length less than or equal to 255"),
    row("ListTables", {"ExclusiveStartTableName": "a;b!"}, f"E:Value 'a;b!' at 'exclusiveStartTableName' {FAIL}{PATTERN}"),
    row("ListTables", {"Limit": 0, "ExclusiveStartTableName": "!"},
        f"3 validation errors detected: Value '!' at 'exclusiveStartTableName' {FAIL}{PATTERN}; "
        f"Value '!' at 'exclusiveStartTableName' {FAIL}Member must have length greater than or equal to 3; "
        f"Value '0' at 'limit' {FAIL}Member must have value greater than or equal to 1"),
    # 1.5: the enums and their order
    row("PutItem", {"TableName": "abc", "Item": KEY, "ReturnConsumedCapacity": "X"},
        f"E:Value 'X' at 'returnConsumedCapacity' {FAIL}Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"),
    row("PutItem", {"TableName": "abc", "Item": KEY, "ReturnValues": "X"},
        "Failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]"),
    row("PutItem", {"TableName": "abc", "Item": KEY, "ReturnItemCollectionMetrics": "X"},
        f"E:Value 'X' at 'returnItemCollectionMetrics' {FAIL}Member must satisfy enum value set: [SIZE, NONE]"),
    row("PutItem", {"TableName": "abc", "Item": KEY, "ReturnValuesOnConditionCheckFailure": "X"},
        f"E:Value 'X' at 'returnValuesOnConditionCheckFailure' {FAIL}Member must satisfy enum value set: [ALL_OLD, NONE]"),
    row("Query", {"TableName": "abc", "Select": "X"},
        f"E:Value 'X' at 'select' {FAIL}Member must satisfy enum value set: "
        "[SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]"),
    row("CreateTable", DEFINED | {"TableName": "abc", "BillingMode": "X"},
        f"E:Value 'X' at 'billingMode' {FAIL}Member must satisfy enum value set: [PROVISIONED, PAY_PER_REQUEST]"),
    row("CreateTable", DEFINED | {"TableName": "abc", "KeySchema": [{"AttributeName": "pk", "KeyType": "X"}]},
        f"E:Value 'X' at 'keySchema.1.member.keyType' {FAIL}Member must satisfy enum value set: [HASH, RANGE]"),
    row("CreateTable", DEFINED | {"TableName": "abc", "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "X"}]},
        f"E:Value 'X' at 'attributeDefinitions.1.member.attributeType' {FAIL}Member must satisfy enum value set: [B, N, S]"),
    row("CreateTable", DEFINED | {"TableName": "abc", "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "X"}},
        f"E:Value 'X' at 'streamSpecification.streamViewType' {FAIL}Member must satisfy enum value set: "
        "[OLD_IMAGE, KEYS_ONLY, NEW_AND_OLD_IMAGES, NEW_IMAGE]"),
    row("PutItem", {"TableName": "abc", "Item": KEY, "ConditionalOperator": "X"},
        "Failed to satisfy constraint: Member must satisfy enum value set: [ALL, OR]"),
    row("Query", {"TableName": "abc", "KeyConditions": {"pk": {"ComparisonOperator": "X"}}},
        f"E:Value 'X' at 'keyConditions.pk.member.comparisonOperator' {FAIL}Member must satisfy enum value set: "
        "[IN, NULL, BETWEEN, LT, NOT_CONTAINS, EQ, GT, NOT_NULL, NE, LE, BEGINS_WITH, GE, CONTAINS]"),
    row("CreateTable", DEFINED | {"TableName": "abc", "TableClass": "X"},
        "Invalid table-class parameter provided. Please try again with a valid table-class value: "
        "[STANDARD, STANDARD_INFREQUENT_ACCESS]."),
    row("CreateTable", DEFINED | {"TableName": "abc", "GlobalSecondaryIndexes": [{
            "IndexName": "i", "KeySchema": DEFINED["KeySchema"], "Projection": {"ProjectionType": "X"}}]},
        f"2 validation errors detected: Value 'i' at 'globalSecondaryIndexes.1.member.indexName' {FAIL}"
        "Member must have length greater than or equal to 3; "
        f"Value 'X' at 'globalSecondaryIndexes.1.member.projection.projectionType' {FAIL}"
        "Member must satisfy enum value set: [ALL, INCLUDE, KEYS_ONLY]"),
    row("UpdateItem", {"TableName": "abc", "Key": KEY, "ReturnConsumedCapacity": "X", "ReturnValues": "Y"},
        "Failed to satisfy constraint: Member must satisfy enum value set: [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]"),
    row("UpdateItem", {"TableName": "abc", "ReturnValues": "Y"},
        f"2 validation errors detected: Value 'Y' at 'returnValues' {FAIL}"
        "Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]; "
        f"Value null at 'key' {FAIL}Member must not be null"),
    # 1.5: the newer texts of bounds, and those of maps
    row("Query", {"TableName": "abc", "Limit": 0, "Select": "X"},
        f"E:Value at 'Limit' {FAIL}Member must have value greater than or equal to 1"),
    row("BatchGetItem", {"RequestItems": {}}, f"E:Value at 'RequestItems' {FAIL}Member must have length greater than or equal to 1"),
    row("BatchGetItem", {"RequestItems": {"ab": {"Keys": [KEY]}}},
        f"E:Value '{{ab=KeysAndAttributes(keys=[{{pk=AttributeValue(S)}}])}}' at 'requestItems' {FAIL}"
        "Map keys must satisfy constraint: [Member must have length less than or equal to 255, "
        f"Member must have length greater than or equal to 3, {PATTERN}]"),
    row("BatchWriteItem", {"RequestItems": {"abc": []}},
        f"E:Value '{{abc=[]}}' at 'requestItems' {FAIL}Map value must satisfy constraint: "
        "[Member must have length less than or equal to 25, Member must have length greater than or equal to 1]"),
    # 1.6: TableName of the data plane
    row("GetItem", {"Key": KEY}, f"E:Value null at 'tableName' {FAIL}Member must not be null"),
    row("GetItem", {}, f"2 validation errors detected: Value null at 'key' {FAIL}Member must not be null; "
        f"Value null at 'tableName' {FAIL}Member must not be null"),
    row("GetItem", {"TableName": "", "Key": KEY},
        f"E:Value at 'TableName' {FAIL}Member must have length greater than or equal to 1"),
    row("PutItem", {}, f"2 validation errors detected: Value null at 'tableName' {FAIL}Member must not be null; "
        f"Value null at 'item' {FAIL}Member must not be null"),
    row("Scan", {}, f"E:Value null at 'tableName' {FAIL}Member must not be null"),
    *[
        row(operation, body, f"E:Value 'ab' at 'tableName' {FAIL}Member must have length greater than or equal to 3")
        for operation, body in [
            ("GetItem", {"TableName": "ab", "Key": KEY}),
            ("UpdateItem", {"TableName": "ab", "Key": KEY}),
            ("Scan", {"TableName": "ab"}),
        ]
    ],
    row("Query", {"TableName": "a;b!"}, f"E:Value 'a;b!' at 'tableName' {FAIL}{PATTERN}"),
    row("GetItem", {"TableName": "a" * 256, "Key": KEY},
        f"E:Value '{'a' * 256}' at 'tableName' {FAIL}Member must have length less than or equal to 255"),
    # Two constraints of the name broken: one error, but of UpdateItem and Scan.
    row("PutItem", {"TableName": ";", "Item": KEY}, f"E:Value ';' at 'tableName' {FAIL}{PATTERN}"),
    *[
        row(operation, body, f"2 validation errors detected: Value ';' at 'tableName' {FAIL}"
            f"Member must have length greater than or equal to 3; Value ';' at 'tableName' {FAIL}{PATTERN}")
        for operation, body in [("UpdateItem", {"TableName": ";", "Key": KEY}), ("Scan", {"TableName": ";"})]
    ],
    row("PutItem", {"TableName": "ab", "ReturnConsumedCapacity": "X"},
        f"3 validation errors detected: Value 'ab' at 'tableName' {FAIL}Member must have length greater than or equal to 3; "
        f"Value null at 'item' {FAIL}Member must not be null; "
        f"Value 'X' at 'returnConsumedCapacity' {FAIL}Member must satisfy enum value set: [INDEXES, TOTAL, NONE]"),
    row("PutItem", {"TableName": "", "Item": KEY, "ReturnConsumedCapacity": "X"},
        f"E:Value at 'TableName' {FAIL}Member must have length greater than or equal to 1"),
    # 1.6: of the control plane
    row("DescribeTable", {"TableName": ""},
        f"2 validation errors detected: Value '' at 'tableName' {FAIL}Member must have length greater than or equal to 3; "
        f"Value '' at 'tableName' {FAIL}{PATTERN}"),
    row("DescribeTable", {"TableName": "a;b!"}, f"E:Value 'a;b!' at 'tableName' {FAIL}{PATTERN}"),
    row("DescribeTable", {}, REQUIRED),
    row("DeleteTable", {}, REQUIRED),
    row("UpdateTable", {}, REQUIRED),
    row("CreateTable", DEFINED, REQUIRED),
    row("DescribeTable", {"TableName": "ab"}, f"E:Value 'ab' at 'tableName' {FAIL}Member must have length greater than or equal to 3"),
    row("CreateTable", DEFINED | {"TableName": "ab"},
        f"E:Value 'ab' at 'tableName' {FAIL}Member must have length greater than or equal to 3"),
    row("DeleteTable", {"TableName": "a" * 256},
        f"E:Value '{'a' * 256}' at 'tableName' {FAIL}Member must have length less than or equal to 255"),
    row("CreateTable", DEFINED | {"TableName": "a;b!"}, f"E:Value 'a;b!' at 'tableName' {FAIL}{PATTERN}"),
]


@pytest.mark.parametrize("operation, body, message", CONSTRAINTS)
def test_a_member_outside_its_constraint_is_named(shared_server, operation, body, message):
    if message.startswith("E:"):
        message = "1 validation error detected: " + message[2:]
    assert error_of(call(shared_server, operation, json.dumps(body))) == (400, VALIDATION, "message", message)


def test_at_most_ten_errors_are_listed(shared_server):
    schema = [{"AttributeName": "pk", "KeyType": f"X{n}"} for n in range(12)]
    answer = call(shared_server, "CreateTable", DEFINED | {"TableName": "abc", "KeySchema": schema})
    message = answer.json["message"]
    assert message.count(FAIL) == 10 and message.startswith("10 validation errors detected: "), message


def test_a_table_may_be_named_by_its_arn(shared_server, dynamodb):
    make_table(dynamodb, "by-arn")
    arn = dynamodb.describe_table(TableName="by-arn")["Table"]["TableArn"]
    assert call(shared_server, "PutItem", {"TableName": arn, "Item": KEY}).status == 200
    assert dynamodb.get_item(TableName=arn, Key=KEY)["Item"] == KEY
    assert dynamodb.describe_table(TableName=arn)["Table"]["TableName"] == "by-arn"
    form = (
        "Valid ARN format is 'arn:<awsPartition>:<vendor>:<region>:<subscriber>:resourceType/resourceName', where Resource name must "
        "have length less than or equal to 255, Resource name must have length greater than or equal to 3, Resource name must "
        "satisfyregular expression pattern: [a-zA-Z0-9_.-]+"
    )
    for old, new, why in [
        ("us-east-1", "eu-west-1", "Invalid AWS region in '{}'"),
        ("arn:aws:", "arn:awsx:", "Invalid AWS partition in '{}'"),
        (":table/", ":tabl/", "Invalid resource type in '{}'"),
        ("by-arn", "a", form),
    ]:
        foreign = arn.replace(old, new)
        answer = call(shared_server, "GetItem", {"TableName": foreign, "Key": KEY})
        message = "1 validation error detected: " + why.format(foreign)
        assert error_of(answer) == (400, VALIDATION, "message", message)
    dynamodb.delete_table(TableName="by-arn")
