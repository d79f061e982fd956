"""Transactions over boto3, the bodies of their errors included. Rows: docs/spec/dynamodb-api.md 1.3, 7.2, 7.4."""

import json
import urllib.request

import botocore.exceptions
import pytest

from conftest import read_stream


def cancelled(call, **arguments):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value.response


def raw(server, operation, body):
    """The status and the exact body of an answer."""
    request = urllib.request.Request(server.url, data=json.dumps(body).encode(), headers={
        "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        "Content-Type": "application/x-amz-json-1.0",
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
        "X-Amz-Date": "20260101T000000Z",
    })
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_transaction_is_made_whole_with_its_records(dynamodb, streams, table, ranged_table):
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "old"}})
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "counted"}, "n": {"N": "1"}})
    answer = dynamodb.transact_write_items(TransactItems=[
        {"Put": {"TableName": ranged_table, "Item": {"pk": {"S": "a"}, "sk": {"N": "1"}}}},
        {"Update": {"TableName": table, "Key": {"pk": {"S": "counted"}}, "UpdateExpression": "ADD n :one",
                    "ExpressionAttributeValues": {":one": {"N": "1"}}}},
        {"Delete": {"TableName": table, "Key": {"pk": {"S": "old"}}}},
        {"ConditionCheck": {"TableName": table, "Key": {"pk": {"S": "none"}}, "ConditionExpression": "attribute_not_exists(pk)"}},
    ])
    answer.pop("ResponseMetadata")
    assert answer == {}
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    records = read_stream(streams, arn)
    made = sorted(records, key=lambda record: int(record["dynamodb"]["SequenceNumber"]))[2:]
    assert [record["eventName"] for record in made] == ["MODIFY", "REMOVE"]
    read = dynamodb.transact_get_items(TransactItems=[
        {"Get": {"TableName": ranged_table, "Key": {"pk": {"S": "a"}, "sk": {"N": "1"}}}},
        {"Get": {"TableName": table, "Key": {"pk": {"S": "old"}}}},
        {"Get": {"TableName": table, "Key": {"pk": {"S": "counted"}}, "ProjectionExpression": "n"}},
    ])
    assert read["Responses"] == [{"Item": {"pk": {"S": "a"}, "sk": {"N": "1"}}}, {}, {"Item": {"n": {"N": "2"}}}]


def test_a_cancelled_transaction_says_why(dynamodb, table):
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "there"}, "n": {"N": "1"}})
    put = {"TableName": table, "ConditionExpression": "attribute_not_exists(pk)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    response = cancelled(dynamodb.transact_write_items, ReturnConsumedCapacity="TOTAL", TransactItems=[
        {"Put": {"TableName": table, "Item": {"pk": {"S": "new"}}}},
        {"Put": {**put, "Item": {"pk": {"S": "there"}}}},
    ])
    assert response["Error"]["Code"] == "TransactionCanceledException"
    message = "Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]"
    assert response["Error"]["Message"] == message
    assert response["CancellationReasons"] == [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed", "Item": {"pk": {"S": "there"}, "n": {"N": "1"}}},
    ]
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": "new"}})
    assert isinstance(dynamodb.exceptions.TransactionCanceledException, type)


def test_the_body_of_a_cancelled_transaction(shared_server, table):
    wrong = {"Delete": {"TableName": table, "Key": {"pk": {"N": "1"}}}}
    assert raw(shared_server, "TransactWriteItems", {"TransactItems": [wrong]}) == (400, (
        '{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","CancellationReasons":'
        '[{"Code":"ValidationError","Message":"The provided key element does not match the schema"}],'
        '"Message":"Transaction cancelled, please refer cancellation reasons for specific reasons [ValidationError]"}'
    ))
    put = {"Put": {"TableName": table, "Item": {"pk": {"S": "a"}}}}
    body = {"TransactItems": [put], "ReturnConsumedCapacity": "INDEXES"}
    assert raw(shared_server, "TransactWriteItems", body) == (200, (
        '{"ConsumedCapacity":[{"TableName":"%s","CapacityUnits":2.0,"WriteCapacityUnits":2.0,'
        '"Table":{"CapacityUnits":2.0,"WriteCapacityUnits":2.0}}]}' % table
    ))
    assert raw(shared_server, "TransactWriteItems", {"TransactItems": "x"}) == (400, (
        '{"__type":"com.amazon.coral.service#SerializationException","Message":"Unexpected field type"}'
    ))


def test_a_token_counts_over_a_restart(start):
    server = start()
    dynamodb = server.client()
    dynamodb.create_table(
        TableName="counted",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    )

    def count(client, number):
        return client.transact_write_items(ClientRequestToken="once", ReturnConsumedCapacity="TOTAL", TransactItems=[
            {"Update": {"TableName": "counted", "Key": {"pk": {"S": "a"}}, "UpdateExpression": "ADD n :n",
                        "ExpressionAttributeValues": {":n": {"N": number}}}},
        ])["ConsumedCapacity"]

    assert count(dynamodb, "1") == [{"TableName": "counted", "CapacityUnits": 2.0, "WriteCapacityUnits": 2.0}]
    server.kill()
    dynamodb = start().client()
    assert count(dynamodb, "1.0") == [{"TableName": "counted", "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0}]
    with pytest.raises(dynamodb.exceptions.IdempotentParameterMismatchException):
        count(dynamodb, "2")
    assert dynamodb.get_item(TableName="counted", Key={"pk": {"S": "a"}})["Item"]["n"] == {"N": "1"}


def test_a_transaction_of_the_largest_size_is_written_and_read(dynamodb, table):
    items = [{"pk": {"S": f"k{n}"}, "fill": {"S": "x" * 41_900}} for n in range(100)]
    for _ in range(2):
        dynamodb.transact_write_items(TransactItems=[{"Put": {"TableName": table, "Item": item}} for item in items])
        gets = [{"Get": {"TableName": table, "Key": {"pk": item["pk"]}}} for item in items]
        assert [response["Item"] for response in dynamodb.transact_get_items(TransactItems=gets)["Responses"]] == items
        items = [{**item, "fill": {"S": "y" * 41_900}} for item in items]
    large = [{"Put": {"TableName": table, "Item": {"pk": {"S": f"l{n}"}, "fill": {"S": "x" * 400_000}}}} for n in range(40)]
    for first in range(0, 40, 10):
        dynamodb.transact_write_items(TransactItems=large[first : first + 10])
    # What is sent is small, but the old images must fit into the log: nothing is half done, and nothing breaks.
    deletes = [{"Delete": {"TableName": table, "Key": {"pk": {"S": f"l{n}"}}}} for n in range(40)]
    response = cancelled(dynamodb.transact_write_items, TransactItems=deletes)
    assert "exceeding the 4MB limit" in response["Error"]["Message"]
    dynamodb.transact_write_items(TransactItems=deletes[:30])
    assert "Item" not in dynamodb.get_item(TableName=table, Key={"pk": {"S": "l29"}})
    assert "Item" in dynamodb.get_item(TableName=table, Key={"pk": {"S": "l30"}})
