"""Secondary indexes over boto3: writes, Query, Scan, paging, refusals, capacity. Rows: docs/spec/dynamodb-api.md 2.5, 5, 7.4."""

import botocore.exceptions
import pytest

from conftest import refused as error_of


def key(*names):
    kinds = ["HASH", "RANGE"]
    return [{"AttributeName": name, "KeyType": kinds[min(i, 1)]} for i, name in enumerate(names)]


@pytest.fixture
def orders(dynamodb, request):
    """A table with the key `pk`, `sk` and indexes of each kind; its name."""
    name = "o-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[:200]
    types = {"pk": "S", "sk": "S", "due": "S", "price": "N", "shop": "S", "tag": "B"}
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
        KeySchema=key("pk", "sk"),
        LocalSecondaryIndexes=[
            {"IndexName": "by-due", "KeySchema": key("pk", "due"), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
        GlobalSecondaryIndexes=[
            {"IndexName": "by-shop", "KeySchema": key("shop", "price"), "Projection": {"ProjectionType": "KEYS_ONLY"}},
            {"IndexName": "by-all", "KeySchema": key("shop"), "Projection": {"ProjectionType": "ALL"}},
            {
                "IndexName": "by-tag",
                "KeySchema": key("tag"),
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]},
            },
        ],
    )
    yield name
    dynamodb.delete_table(TableName=name)


def order(number, **attributes):
    return {
        "pk": {"S": "p"},
        "sk": {"S": f"k{number}"},
        "due": {"S": f"d{9 - number}"},
        "price": {"N": str(number)},
        "shop": {"S": "x"},
        "tag": {"B": b"\x00\xff"},
        "note": {"S": "n"},
        "rest": {"S": "r"},
        **attributes,
    }


def by_shop(orders, **arguments):
    return {
        "TableName": orders,
        "IndexName": "by-shop",
        "KeyConditionExpression": "shop = :x",
        "ExpressionAttributeValues": {":x": {"S": "x"}},
        **arguments,
    }


def part(item, *names):
    return {name: item[name] for name in names}


def test_an_index_shows_a_write_at_once_and_what_it_projects(dynamodb, orders):
    for number in range(3):
        dynamodb.put_item(TableName=orders, Item=order(number))
    assert dynamodb.query(**by_shop(orders))["Items"] == [
        part(order(number), "pk", "sk", "shop", "price") for number in range(3)
    ]
    due = {"IndexName": "by-due", "KeyConditionExpression": "pk = :x", "ExpressionAttributeValues": {":x": {"S": "p"}}}
    items = dynamodb.query(**by_shop(orders, **due, ConsistentRead=True))["Items"]
    assert [item["sk"]["S"] for item in items] == ["k2", "k1", "k0"]
    whole = dynamodb.query(**by_shop(orders, **due, Select="ALL_ATTRIBUTES", ScanIndexForward=False))["Items"]
    assert whole == [order(number) for number in range(3)]
    tagged = dynamodb.scan(TableName=orders, IndexName="by-tag", Limit=1)["Items"]
    assert tagged == [part(order(0), "pk", "sk", "tag", "note")]
    dynamodb.update_item(
        TableName=orders,
        Key=part(order(1), "pk", "sk"),
        UpdateExpression="REMOVE shop SET note = :n",
        ExpressionAttributeValues={":n": {"S": "new"}},
    )
    dynamodb.delete_item(TableName=orders, Key=part(order(2), "pk", "sk"))
    assert dynamodb.query(**by_shop(orders, IndexName="by-all"))["Items"] == [order(0)]
    notes = [item["note"]["S"] for item in dynamodb.scan(TableName=orders, IndexName="by-tag")["Items"]]
    assert notes == ["n", "new"]


@pytest.mark.parametrize("forward", [True, False])
def test_a_paginator_reads_every_entry_once(dynamodb, orders, forward):
    for number in range(23):
        dynamodb.put_item(TableName=orders, Item=order(number, price={"N": str(number % 3)}))
    pages = dynamodb.get_paginator("query").paginate(
        **by_shop(orders, ScanIndexForward=forward), PaginationConfig={"PageSize": 4}
    )
    items = [item for page in pages for item in page["Items"]]
    assert len({item["sk"]["S"] for item in items}) == len(items) == 23
    prices = [int(item["price"]["N"]) for item in items]
    assert prices == sorted(prices, reverse=not forward)
    scanned = []
    for segment in range(3):
        pages = dynamodb.get_paginator("scan").paginate(
            TableName=orders, IndexName="by-due", Segment=segment, TotalSegments=3, PaginationConfig={"PageSize": 5}
        )
        scanned += [item["sk"]["S"] for page in pages for item in page["Items"]]
    assert sorted(scanned) == sorted(item["sk"]["S"] for item in items)


def test_several_key_attributes_are_given_from_the_left(dynamodb, request):
    name = "o-" + request.node.name.replace("_", "-")
    types = {"pk": "S", "a": "S", "b": "N", "c": "S", "d": "N"}
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()],
        KeySchema=key("pk"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-many",
                "KeySchema": [
                    {"AttributeName": name, "KeyType": kind}
                    for name, kind in [("a", "HASH"), ("b", "HASH"), ("c", "RANGE"), ("d", "RANGE")]
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    for number in range(6):
        item = {"pk": {"S": f"p{number}"}, "a": {"S": "x"}, "b": {"N": "1"}, "c": {"S": f"c{number // 3}"}}
        dynamodb.put_item(TableName=name, Item={**item, "d": {"N": str(number % 3)}})
    values = {":x": {"S": "x"}, ":one": {"N": "1"}, ":c": {"S": "c1"}}

    def query(condition, used):
        arguments = {
            "TableName": name,
            "IndexName": "by-many",
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": part(values, *used),
        }
        return [item["pk"]["S"] for item in dynamodb.query(**arguments)["Items"]]

    assert query("a = :x AND b = :one", [":x", ":one"]) == [f"p{number}" for number in range(6)]
    assert query("a = :x AND b = :one AND c = :c", values) == ["p3", "p4", "p5"]
    assert query("a = :x AND b = :one AND c = :c AND d >= :one", values) == ["p4", "p5"]
    with pytest.raises(botocore.exceptions.ClientError, match="HASH key attributes b must have equality conditions"):
        query("a = :x", [":x"])
    dynamodb.delete_table(TableName=name)


def test_what_an_index_does_not_allow_is_refused(dynamodb, orders):
    invalid = "One or more parameter values were invalid: "

    def refused(call, **arguments):
        code, message = error_of(call, **arguments)
        assert code == "ValidationException"
        return message

    item = order(1, shop={"N": "1"})
    text = f"{invalid}Type mismatch for Index Key shop Expected: S Actual: N IndexName: by-shop"
    assert refused(dynamodb.put_item, TableName=orders, Item=item) == text
    batch = {orders: [{"PutRequest": {"Item": item}}]}
    assert refused(dynamodb.batch_write_item, RequestItems=batch) == text
    empty = refused(dynamodb.put_item, TableName=orders, Item=order(1, shop={"S": ""}))
    assert empty.endswith("cannot contain an empty string value. IndexName: by-shop, IndexKey: shop")
    consistent = "Consistent reads are not supported on global secondary indexes"
    assert refused(dynamodb.query, **by_shop(orders, ConsistentRead=True)) == consistent
    all_attributes = refused(dynamodb.query, **by_shop(orders, Select="ALL_ATTRIBUTES"))
    assert all_attributes.startswith(f"{invalid}Select type ALL_ATTRIBUTES is not supported for global secondary index by-shop")
    unknown = refused(dynamodb.scan, TableName=orders, IndexName="by-none")
    assert unknown == "The table does not have the specified index: by-none"
    start = part(order(1), "pk", "sk", "shop")
    assert refused(dynamodb.query, **by_shop(orders, ExclusiveStartKey=start)) == "The provided starting key is invalid"


def test_capacity_and_item_collections_tell_of_indexes(dynamodb, orders):
    answer = dynamodb.put_item(
        TableName=orders, Item=order(1), ReturnConsumedCapacity="INDEXES", ReturnItemCollectionMetrics="SIZE"
    )
    one = {"CapacityUnits": 1.0}
    assert answer["ConsumedCapacity"] == {
        "TableName": orders,
        "CapacityUnits": 5.0,
        "Table": one,
        "LocalSecondaryIndexes": {"by-due": one},
        "GlobalSecondaryIndexes": {"by-shop": one, "by-all": one, "by-tag": one},
    }
    assert answer["ItemCollectionMetrics"] == {
        "ItemCollectionKey": {"pk": {"S": "p"}},
        "SizeEstimateRangeGB": [0.0, 1.0],
    }
    read = dynamodb.query(**by_shop(orders, ReturnConsumedCapacity="INDEXES"))["ConsumedCapacity"]
    assert read == {
        "TableName": orders,
        "CapacityUnits": 0.5,
        "Table": {"CapacityUnits": 0.0},
        "GlobalSecondaryIndexes": {"by-shop": {"CapacityUnits": 0.5}},
    }


def test_indexes_outlive_a_kill(start):
    server = start()
    client = server.client()
    client.create_table(
        TableName="kept",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "shop")],
        KeySchema=key("pk"),
        GlobalSecondaryIndexes=[
            {"IndexName": "by-shop", "KeySchema": key("shop"), "Projection": {"ProjectionType": "ALL"}}
        ],
    )
    items = [{"pk": {"S": f"p{number}"}, "shop": {"S": "x"}, "note": {"S": "n" * number}} for number in range(5)]
    for item in items:
        client.put_item(TableName="kept", Item=item)
    server.kill()
    client = start().client()
    assert client.query(**{**by_shop("kept")})["Items"] == items
