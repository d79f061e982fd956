"""Tables with secondary indexes over boto3: their descriptions, UpdateTable, the backfill over a kill, and the states of
`--aws-like-states`. Rows: docs/spec/dynamodb-api.md 2.1-2.3, 8.1."""

import botocore.exceptions
import pytest

from conftest import make_table, wait_until

ALL = {"ProjectionType": "ALL"}


def key(*attributes):
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(attributes, ["HASH", "RANGE"])]


def definitions(*names):
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def make_indexed(dynamodb, name, **members):
    return dynamodb.create_table(
        TableName=name,
        AttributeDefinitions=definitions("pk", "sk", "a", "b"),
        KeySchema=key("pk", "sk"),
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {"IndexName": "by-a", "KeySchema": key("a", "b"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
        LocalSecondaryIndexes=[{"IndexName": "by-b", "KeySchema": key("pk", "b"), "Projection": ALL}],
        **members,
    )["TableDescription"]


def indexes_of(dynamodb, name):
    table = dynamodb.describe_table(TableName=name)["Table"]
    return {index["IndexName"]: index for index in table.get("GlobalSecondaryIndexes", [])}


def is_active(dynamodb, name, index):
    return indexes_of(dynamodb, name)[index]["IndexStatus"] == "ACTIVE"


def test_a_table_is_made_with_indexes_and_described(dynamodb):
    created = make_indexed(dynamodb, "indexed")
    assert created["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
    dynamodb.get_waiter("table_exists").wait(TableName="indexed", WaiterConfig={"Delay": 1})
    table = dynamodb.describe_table(TableName="indexed")["Table"]
    assert table["AttributeDefinitions"] == definitions("a", "b", "pk", "sk")
    assert table["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    assert "Backfilling" not in table["GlobalSecondaryIndexes"][0]
    assert table["LocalSecondaryIndexes"][0]["IndexArn"] == f"{table['TableArn']}/index/by-b"
    dynamodb.put_item(TableName="indexed", Item={"pk": {"S": "1"}, "sk": {"S": "2"}, "a": {"S": "3"}, "b": {"S": "4"}})
    found = dynamodb.query(
        TableName="indexed", IndexName="by-a", KeyConditionExpression="a = :a", ExpressionAttributeValues={":a": {"S": "3"}}
    )
    assert found["Count"] == 1
    dynamodb.delete_table(TableName="indexed")


def test_an_index_is_made_and_deleted(dynamodb, table):
    for n in range(100):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": str(n)}, "a": {"S": str(n % 3)}})
    new = {"IndexName": "by-a", "KeySchema": key("a"), "Projection": ALL}
    answered = dynamodb.update_table(
        TableName=table,
        AttributeDefinitions=definitions("a"),
        GlobalSecondaryIndexUpdates=[{"Create": new}],
    )["TableDescription"]
    assert answered["TableStatus"] == "UPDATING"
    assert answered["GlobalSecondaryIndexes"][0]["Backfilling"] is False
    wait_until(lambda: is_active(dynamodb, table, "by-a"), "the index")
    assert dynamodb.scan(TableName=table, IndexName="by-a")["Count"] == 100
    answered = dynamodb.update_table(
        TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-a"}}]
    )["TableDescription"]
    assert answered["GlobalSecondaryIndexes"][0]["IndexStatus"] == "DELETING"
    described = dynamodb.describe_table(TableName=table)["Table"]
    assert "GlobalSecondaryIndexes" not in described
    assert described["AttributeDefinitions"] == definitions("pk")


def test_a_backfill_goes_on_after_a_kill(start):
    server = start()
    dynamodb = server.client()
    make_table(dynamodb, "users")
    count = 2500
    for first in range(0, count, 25):
        puts = [
            {"PutRequest": {"Item": {"pk": {"S": str(n)}, "a": {"S": str(n % 10)}}}} for n in range(first, first + 25)
        ]
        assert not dynamodb.batch_write_item(RequestItems={"users": puts})["UnprocessedItems"]
    new = {"IndexName": "by-a", "KeySchema": key("a"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
    dynamodb.update_table(
        TableName="users", AttributeDefinitions=definitions("a"), GlobalSecondaryIndexUpdates=[{"Create": new}]
    )
    server.kill()
    server = start(data_dir=server.data_dir)
    dynamodb = server.client()
    wait_until(lambda: is_active(dynamodb, "users", "by-a"), "the index")
    pages = dynamodb.get_paginator("scan").paginate(TableName="users", IndexName="by-a")
    assert sum(page["Count"] for page in pages) == count
    assert server.stop() == 0, server.output()


def test_states_show_on_request(start):
    server = start("--aws-like-states")
    dynamodb = server.client()
    make_indexed(dynamodb, "slow")
    described = dynamodb.describe_table(TableName="slow")["Table"]
    assert described["TableStatus"] == "CREATING"
    assert described["GlobalSecondaryIndexes"][0]["IndexStatus"] == "CREATING"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        dynamodb.delete_table(TableName="slow")
    assert caught.value.response["Error"] == {
        "Code": "ResourceInUseException",
        "Message": "Attempt to change a resource which is still in use: Table is being created: slow",
    }
    dynamodb.get_waiter("table_exists").wait(TableName="slow", WaiterConfig={"Delay": 1})
    new = {"IndexName": "late", "KeySchema": key("b"), "Projection": ALL}
    dynamodb.update_table(
        TableName="slow", AttributeDefinitions=definitions("b"), GlobalSecondaryIndexUpdates=[{"Create": new}]
    )
    assert dynamodb.describe_table(TableName="slow")["Table"]["TableStatus"] == "UPDATING"
    seen = []

    def done():
        index = indexes_of(dynamodb, "slow")["late"]
        state = (index["IndexStatus"], index.get("Backfilling"))
        if state not in seen:
            seen.append(state)
        return state == ("ACTIVE", None)

    wait_until(done, "the index")
    # Who is slow to look may miss a state; their order is the same.
    states = [("CREATING", False), ("CREATING", True), ("ACTIVE", None)]
    assert len(seen) > 1 and seen == [state for state in states if state in seen]
    dynamodb.delete_table(TableName="slow")
    assert dynamodb.describe_table(TableName="slow")["Table"]["TableStatus"] == "DELETING"
    dynamodb.get_waiter("table_not_exists").wait(TableName="slow", WaiterConfig={"Delay": 1})
    assert server.stop() == 0, server.output()
