"""Throttling where it is asked for (`--throttle-provisioned`), as boto3 sees it.

Rows: docs/spec/dynamodb-api.md 7.1, 7.2, 7.4. A table has 300 seconds of its units at first.
"""

import pytest
from botocore.exceptions import ClientError

BURST_KB = 300


def make_metered(client, name, units=1):
    client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        ProvisionedThroughput={"ReadCapacityUnits": units, "WriteCapacityUnits": units},
    )


def spend(client, name, units, owed=80):
    """Writes an item that comes to so many units, and some more: the bucket owes so many seconds at one unit each."""
    client.put_item(TableName=name, Item={"pk": {"S": "spent"}, "t": {"S": "x" * (1024 * (units + owed) - 20)}})


def test_what_is_above_the_burst_is_refused_with_its_reason(start):
    server = start("--throttle-provisioned")
    client = server.client(retries={"max_attempts": 0})
    make_metered(client, "metered")
    spend(client, "metered", BURST_KB)
    with pytest.raises(client.exceptions.ProvisionedThroughputExceededException) as refused:
        client.put_item(TableName="metered", Item={"pk": {"S": "a"}})
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["Error"]["Message"] == (
        "The level of configured provisioned throughput for the table was exceeded. "
        "Consider increasing your provisioning level with the UpdateTable API."
    )
    arn = client.describe_table(TableName="metered")["Table"]["TableArn"]
    assert answer["ThrottlingReasons"] == [{"reason": "TableWriteProvisionedThroughputExceeded", "resource": arn}]


def test_the_retries_of_the_client_get_through(start):
    server = start(env={"TAILRACE_THROTTLE_PROVISIONED": "metered"})
    client = server.client(retries={"max_attempts": 20, "mode": "standard"})
    make_metered(client, "metered")
    make_metered(client, "free")
    spend(client, "metered", BURST_KB, owed=8)
    answer = client.put_item(TableName="metered", Item={"pk": {"S": "a"}})
    assert answer["ResponseMetadata"]["RetryAttempts"] > 0
    # A table that was not named.
    for _ in range(2):
        spend(client, "free", BURST_KB)


def test_a_limit_on_demand_answers_a_throttling_exception(start):
    server = start("--throttle-provisioned=limited")
    client = server.client(retries={"max_attempts": 0})
    client.create_table(
        TableName="limited",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        OnDemandThroughput={"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 1},
    )
    spend(client, "limited", BURST_KB)
    with pytest.raises(ClientError) as refused:
        client.put_item(TableName="limited", Item={"pk": {"S": "a"}})
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    reasons = refused.value.response["throttlingReasons"]
    assert [reason["reason"] for reason in reasons] == ["TableWriteMaxOnDemandThroughputExceeded"]
