"""The item operations over boto3, errors included. Rows: docs/spec/dynamodb-api.md 2.5, 3, 4, 5, 7.1."""

import pytest

from conftest import refused as error_of


def test_put_get_update_delete_round_trip_every_type(dynamodb, table):
    item = {
        "pk": {"S": "all"},
        "s": {"S": "grüße 🌊"},
        "empty": {"S": ""},
        "n": {"N": "1.50"},
        "big": {"N": "12345678901234567890123456789012345678"},
        "b": {"B": b"\x00\xff"},
        "bool": {"BOOL": False},
        "null": {"NULL": True},
        "ss": {"SS": ["b", "a"]},
        "ns": {"NS": ["10", "9", "1.0"]},
        "bs": {"BS": [b"b", b"a"]},
        "l": {"L": [{"S": "x"}, {"N": "1"}, {"L": []}]},
        "m": {"M": {"k": {"M": {}}}},
    }
    assert "Attributes" not in dynamodb.put_item(TableName=table, Item=item)
    stored = dynamodb.get_item(TableName=table, Key={"pk": {"S": "all"}}, ConsistentRead=True)["Item"]
    assert stored == {
        **item,
        "n": {"N": "1.5"},
        "ss": {"SS": ["a", "b"]},
        "ns": {"NS": ["1", "9", "10"]},
        "bs": {"BS": [b"a", b"b"]},
    }
    updated = dynamodb.update_item(
        TableName=table,
        Key={"pk": {"S": "all"}},
        UpdateExpression="SET n = n + :one, m.k.#deep = :v REMOVE l[0] ADD ns :more DELETE ss :gone",
        ExpressionAttributeNames={"#deep": "a.b"},
        ExpressionAttributeValues={
            ":one": {"N": "1"}, ":v": {"S": "new"}, ":more": {"NS": ["11"]}, ":gone": {"SS": ["a"]},
        },
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert updated["n"] == {"N": "2.5"}
    assert updated["m"] == {"M": {"k": {"M": {"a.b": {"S": "new"}}}}}
    assert updated["l"] == {"L": [{"N": "1"}, {"L": []}]}
    assert updated["ns"] == {"NS": ["1", "9", "10", "11"]}
    assert updated["ss"] == {"SS": ["b"]}
    assert dynamodb.delete_item(TableName=table, Key={"pk": {"S": "all"}}, ReturnValues="ALL_OLD")["Attributes"] == updated
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": "all"}})


def test_a_failed_condition_changes_nothing_and_can_show_the_item(dynamodb, table):
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}, "v": {"N": "1"}})
    with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException) as caught:
        dynamodb.put_item(
            TableName=table,
            Item={"pk": {"S": "a"}, "v": {"N": "2"}},
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert caught.value.response["Error"]["Message"] == "The conditional request failed"
    assert caught.value.response["Item"] == {"pk": {"S": "a"}, "v": {"N": "1"}}
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": "a"}})["Item"]["v"] == {"N": "1"}


@pytest.mark.parametrize(
    "arguments, code, message",
    [
        ({"Item": {"v": {"S": "x"}}}, "ValidationException",
         "One or more parameter values were invalid: Missing the key pk in the item"),
        ({"Item": {"pk": {"N": "1"}}}, "ValidationException",
         "One or more parameter values were invalid: Type mismatch for key pk expected: S actual: N"),
        ({"Item": {"pk": {"S": ""}}}, "ValidationException",
         "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: pk"),
        ({"Item": {"pk": {"S": "a"}}, "ConditionExpression": "a = :missing"}, "ValidationException",
         "1 validation error detected: Invalid ConditionExpression: An expression attribute value used in expression is not defined; attribute value: :missing"),
        ({"Item": {"pk": {"S": "a"}, "x": {"S": "x" * 409_600}}}, "ValidationException",
         "Item size has exceeded the maximum allowed size"),
    ],
)
def test_bad_puts_are_refused_with_the_exact_text(dynamodb, table, arguments, code, message):
    assert error_of(dynamodb.put_item, TableName=table, **arguments) == (code, message)


def test_item_operations_on_an_unknown_table(dynamodb):
    expected = ("ResourceNotFoundException", "Requested resource not found")
    key = {"pk": {"S": "a"}}
    assert error_of(dynamodb.get_item, TableName="nowhere", Key=key) == expected
    assert error_of(dynamodb.put_item, TableName="nowhere", Item=key) == expected
    assert error_of(dynamodb.scan, TableName="nowhere") == expected


def test_query_pages_in_sort_key_order_both_ways(dynamodb, ranged_table):
    for n in range(25):
        dynamodb.put_item(TableName=ranged_table, Item={"pk": {"S": "p"}, "sk": {"N": str(n - 5)}, "even": {"BOOL": n % 2 == 0}})
    for forward in (True, False):
        seen, start = [], {}
        while True:
            page = dynamodb.query(
                TableName=ranged_table,
                KeyConditionExpression="pk = :p AND sk BETWEEN :a AND :b",
                FilterExpression="even = :yes",
                ExpressionAttributeValues={":p": {"S": "p"}, ":a": {"N": "-3"}, ":b": {"N": "15"}, ":yes": {"BOOL": True}},
                ScanIndexForward=forward,
                Limit=4,
                **start,
            )
            assert page["ScannedCount"] <= 4
            seen += [int(item["sk"]["N"]) for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        expected = [n for n in range(-3, 16) if (n + 5) % 2 == 0]
        assert seen == (expected if forward else expected[::-1])


def test_parallel_scan_sees_each_item_once(dynamodb, table):
    keys = {f"k{n}" for n in range(60)}
    for key in keys:
        dynamodb.put_item(TableName=table, Item={"pk": {"S": key}})
    for segments in (1, 3, 7):
        seen = []
        for segment in range(segments):
            for page in dynamodb.get_paginator("scan").paginate(
                TableName=table, Segment=segment, TotalSegments=segments, PaginationConfig={"PageSize": 5}
            ):
                seen += [item["pk"]["S"] for item in page["Items"]]
        assert sorted(seen) == sorted(keys)


def test_batches_write_and_read(dynamodb, table):
    puts = [{"PutRequest": {"Item": {"pk": {"S": str(n)}, "n": {"N": str(n)}}}} for n in range(25)]
    assert dynamodb.batch_write_item(RequestItems={table: puts})["UnprocessedItems"] == {}
    dynamodb.batch_write_item(RequestItems={table: [{"DeleteRequest": {"Key": {"pk": {"S": "0"}}}}]})
    answer = dynamodb.batch_get_item(
        RequestItems={table: {"Keys": [{"pk": {"S": str(n)}} for n in range(30)], "ProjectionExpression": "n"}}
    )
    assert sorted(int(item["n"]["N"]) for item in answer["Responses"][table]) == list(range(1, 25))
    assert answer["UnprocessedKeys"] == {}
    assert error_of(dynamodb.batch_write_item, RequestItems={table: [puts[0], puts[0]]}) == (
        "ValidationException", "Provided list of item keys contains duplicates",
    )


def test_consumed_capacity_is_reported(dynamodb, table):
    answer = dynamodb.put_item(
        TableName=table, Item={"pk": {"S": "a"}, "x": {"S": "x" * 1500}}, ReturnConsumedCapacity="TOTAL"
    )
    assert answer["ConsumedCapacity"] == {"TableName": table, "CapacityUnits": 2.0}
    answer = dynamodb.get_item(TableName=table, Key={"pk": {"S": "a"}}, ReturnConsumedCapacity="TOTAL")
    assert answer["ConsumedCapacity"] == {"TableName": table, "CapacityUnits": 0.5}
