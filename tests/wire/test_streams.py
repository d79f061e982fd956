"""The stream operations over boto3. Rows: docs/spec/streams.md 3-11."""

import botocore.exceptions
import pytest

from conftest import make_table, read_stream


def stream_of(dynamodb, table):
    return dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]


def test_every_change_is_a_record_and_no_op_writes_are_silent(dynamodb, streams, table):
    key = {"pk": {"S": "k"}}
    dynamodb.put_item(TableName=table, Item={**key, "v": {"N": "1"}})
    dynamodb.put_item(TableName=table, Item={**key, "v": {"N": "1.0"}})
    dynamodb.update_item(TableName=table, Key=key, UpdateExpression="ADD v :one", ExpressionAttributeValues={":one": {"N": "1"}})
    dynamodb.update_item(TableName=table, Key=key, UpdateExpression="REMOVE nothing")
    dynamodb.delete_item(TableName=table, Key=key)
    dynamodb.delete_item(TableName=table, Key=key)
    records = read_stream(streams, stream_of(dynamodb, table))
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    one, two = {**key, "v": {"N": "1"}}, {**key, "v": {"N": "2"}}
    images = [(record["dynamodb"].get("OldImage"), record["dynamodb"].get("NewImage")) for record in records]
    assert images == [(None, one), (one, two), (two, None)]
    assert [record["dynamodb"]["SizeBytes"] for record in records] == [3 + 6, 3 + 6 + 6, 3 + 6]
    assert all(record["dynamodb"]["Keys"] == key for record in records)
    assert all(record["eventSource"] == "aws:dynamodb" and record["eventVersion"] == "1.1" for record in records)
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert numbers == sorted(set(numbers))
    assert len({record["eventID"] for record in records}) == 3
    assert records == read_stream(streams, stream_of(dynamodb, table))


@pytest.mark.parametrize(
    "view, images",
    [
        ("KEYS_ONLY", [(False, False)] * 3),
        ("NEW_IMAGE", [(False, True), (False, True), (False, False)]),
        ("OLD_IMAGE", [(False, False), (True, False), (True, False)]),
        ("NEW_AND_OLD_IMAGES", [(False, True), (True, True), (True, False)]),
    ],
)
def test_view_types(dynamodb, streams, view, images):
    name = f"view-{view}"
    make_table(dynamodb, name, stream=view)
    dynamodb.put_item(TableName=name, Item={"pk": {"S": "k"}})
    dynamodb.put_item(TableName=name, Item={"pk": {"S": "k"}, "v": {"S": "x"}})
    dynamodb.delete_item(TableName=name, Key={"pk": {"S": "k"}})
    records = read_stream(streams, stream_of(dynamodb, name))
    assert [("OldImage" in r["dynamodb"], "NewImage" in r["dynamodb"]) for r in records] == images
    assert {r["dynamodb"]["StreamViewType"] for r in records} == {view}
    dynamodb.delete_table(TableName=name)


def test_a_stream_has_four_shards_and_a_disabled_one_is_closed_but_readable(dynamodb, streams, table):
    arn = stream_of(dynamodb, table)
    for n in range(40):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": f"k{n}"}})
    shards = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    assert len(shards) == 4
    assert all("EndingSequenceNumber" not in shard["SequenceNumberRange"] for shard in shards)
    assert [shard["ShardId"] for shard in shards] == sorted(shard["ShardId"] for shard in shards)
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    description = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert description["StreamStatus"] == "DISABLED"
    assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in description["Shards"])
    keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in read_stream(streams, arn)]
    assert sorted(keys) == sorted(f"k{n}" for n in range(40))
    for shard in description["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        pages = 0
        while iterator:
            iterator = streams.get_records(ShardIterator=iterator).get("NextShardIterator")
            pages += 1
            assert pages < 5, "a closed shard must end"
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    listed = streams.list_streams(TableName=table)["Streams"]
    assert [stream["StreamArn"] for stream in listed] == [arn, stream_of(dynamodb, table)]


def test_iterator_types(dynamodb, streams, table):
    arn = stream_of(dynamodb, table)
    for n in range(5):
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "same"}, "n": {"N": str(n)}})
    record_shard = None
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        where = {"StreamArn": arn, "ShardId": shard["ShardId"]}
        iterator = streams.get_shard_iterator(**where, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        records = streams.get_records(ShardIterator=iterator)["Records"]
        if records:
            record_shard, numbers = where, [r["dynamodb"]["SequenceNumber"] for r in records]
    assert record_shard and len(numbers) == 5

    def read(**position):
        iterator = streams.get_shard_iterator(**record_shard, **position)["ShardIterator"]
        return [r["dynamodb"]["SequenceNumber"] for r in streams.get_records(ShardIterator=iterator)["Records"]]

    assert read(ShardIteratorType="AT_SEQUENCE_NUMBER", SequenceNumber=numbers[2]) == numbers[2:]
    assert read(ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[2]) == numbers[3:]
    assert read(ShardIteratorType="LATEST") == []
    with pytest.raises(botocore.exceptions.ClientError, match="ValidationException"):
        read(ShardIteratorType="AT_SEQUENCE_NUMBER")
    latest = streams.get_shard_iterator(**record_shard, ShardIteratorType="LATEST")["ShardIterator"]
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "same"}, "n": {"N": "99"}})
    assert [r["dynamodb"]["NewImage"]["n"]["N"] for r in streams.get_records(ShardIterator=latest)["Records"]] == ["99"]


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_outside_the_range_is_refused(dynamodb, streams, table, limit):
    arn = stream_of(dynamodb, table)
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
    with pytest.raises(botocore.exceptions.ClientError, match="(?i)limit"):
        streams.get_records(ShardIterator=iterator, Limit=limit)


def test_unknown_streams_and_forged_iterators(streams, dynamodb, table):
    arn = stream_of(dynamodb, table)
    unknown = arn[:-4] + "0000"
    with pytest.raises(streams.exceptions.ResourceNotFoundException) as caught:
        streams.describe_stream(StreamArn=unknown)
    assert caught.value.response["Error"]["Message"] == f"Requested resource not found: Stream: {unknown} not found"
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
    middle = len(iterator) - 12
    forged = iterator[:middle] + ("A" if iterator[middle] != "A" else "B") + iterator[middle + 1 :]
    with pytest.raises(botocore.exceptions.ClientError, match="ValidationException"):
        streams.get_records(ShardIterator=forged)
