"""A table's changes in a data stream of Kinesis: a stream that fails, and moto's. Rows: docs/spec/sinks.md 1, 5 and 9.

TAILRACE_SEED sets the writes' seed.
"""

import collections
import hashlib
import json
import os
import random
import sys
import uuid

import boto3
from moto.server import ThreadedMotoServer

from conftest import REPOSITORY, make_table, wait_until
from ordeal import Line, Ordeal, beginning
from ordeal import configured as ordeal_configured
from test_sink_notify import write_some
from test_sinks import drained, history, sinks, tailrace

sys.path.insert(0, str(REPOSITORY / "tests/services"))

import kinesis as services  # noqa: E402

SEED = int(os.environ.get("TAILRACE_SEED", "1"))
CAUGHT_UP_SECONDS_MAX = 120
KEYS = {"access_key_id": "key", "secret_access_key": "secret"}


def configured(tmp_path, **settings):
    path = tmp_path / "tailrace.json"
    path.write_text(json.dumps({"sinks": {"changes": {"from": "Orders", "to": "kinesis:changes", **KEYS, **settings}}}))
    return ["--config", str(path)]


def assert_told_as_recorded(told, record):
    """sinks.md 5: `told` is what the destination of a table sends of what the table's stream has as `record`."""
    change = record["dynamodb"]
    assert told.keys() == {
        "awsRegion", "eventID", "eventName", "userIdentity", "recordFormat", "tableName", "dynamodb", "eventSource",
    }
    images = {name: change[name] for name in ("Keys", "NewImage", "OldImage", "SizeBytes") if name in change}
    times = {name: told["dynamodb"].pop(name) for name in ("ApproximateCreationDateTime", "ApproximateCreationDateTimePrecision")}
    assert told["dynamodb"] == images
    assert times["ApproximateCreationDateTimePrecision"] == "MILLISECOND"
    assert times["ApproximateCreationDateTime"] // 1000 == int(change["ApproximateCreationDateTime"].timestamp())
    assert uuid.UUID(told["eventID"]).hex == record["eventID"]
    assert (told["eventName"], told["tableName"], told["awsRegion"]) == (record["eventName"], "Orders", record["awsRegion"])
    assert (told["recordFormat"], told["eventSource"], told["userIdentity"]) == ("application/json", "aws:dynamodb", None)


def assert_each_at_least_once_in_order(taken, records):
    """`records`: what the table's stream has, by eventID. Who passes over known ids sees each change once, an item's in order."""
    seen, by_item = set(), collections.defaultdict(list)
    for partition_key, told in taken:
        record = records[uuid.UUID(told["eventID"]).hex]
        if told["eventID"] in seen:
            continue
        seen.add(told["eventID"])
        keys = json.dumps(told["dynamodb"]["Keys"], separators=(",", ":"), ensure_ascii=False)
        assert partition_key == hashlib.md5(keys.encode()).hexdigest().upper()
        by_item[partition_key].append(int(record["dynamodb"]["SequenceNumber"]))
        assert_told_as_recorded(told, record)
    assert {uuid.UUID(event).hex for event in seen} == set(records)
    for numbers in by_item.values():
        assert numbers == sorted(numbers)


def test_every_change_comes_to_a_stream_that_fails_while_the_server_is_killed(tmp_path):
    """Spec: sinks.md 5 and 9: each change at least once, an item's in order; no request has two changes of an item."""
    # Beside what the line does: each failure is a pause of its shard, and there are many shards.
    with services.data_stream("changes", seed=SEED, failures=1) as stream:
        line = Line(stream.server.server_port)
        sink = {"from": "Orders", "to": "kinesis:changes", "endpoint": f"http://{line.address}", "region": "eu-west-1", **KEYS}
        with Ordeal(beginning(tmp_path, ordeal_configured(tmp_path, {"changes": {**sink, "start": "trim_horizon"}})), line) as story:
            server = story.run()
            stream.failures = 0
            wait_until(drained(server), "the sink", CAUGHT_UP_SECONDS_MAX)
            assert not stream.wrong
            assert all(len(set(keys)) == len(keys) for keys in stream.requests)
            assert_each_at_least_once_in_order(stream.records(), history(server, "Orders"))
            assert line.broken > 0, "the line did not break"


def test_what_is_too_large_is_set_aside_and_holds_nothing_up(start, tmp_path):
    """Spec: sinks.md 5, row `too large`."""
    with services.data_stream("changes") as stream:
        server = start(*configured(tmp_path, endpoint=stream.url))
        client = server.client()
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        large = {"pk": {"S": "large"}, "v": {"B": b"x" * 400_000}}
        client.put_item(TableName="Orders", Item=large)
        # Both images, in base64, are more than a mebibyte.
        client.put_item(TableName="Orders", Item={**large, "n": {"N": "1"}})
        client.put_item(TableName="Orders", Item={"pk": {"S": "small"}})
        wait_until(drained(server), "the sink")
        told = [(told["dynamodb"]["Keys"]["pk"]["S"], told["eventName"]) for _, told in stream.records()]
        assert sorted(told) == [("large", "INSERT"), ("small", "INSERT")]
        parked = tailrace(server, "sinks", "parked", "changes").stdout
        assert '{"pk":{"S":"large"}}' in parked and "1048576 are the most" in parked, parked


def test_a_stream_that_is_not_there_yet_is_waited_for_and_read_from_moto(start, tmp_path):
    """The real protocol: a stream of two shards, read by GetRecords; an item's changes are in one shard, in order."""
    server_of_moto = ThreadedMotoServer(port=0)
    server_of_moto.start()
    try:
        host, port = server_of_moto.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        aws = boto3.client(
            "kinesis", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        server = start(*configured(tmp_path, endpoint=endpoint, region="eu-west-1"))
        client = server.client()
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        write_some(client, random.Random(SEED), 60)
        wait_until(lambda: "ResourceNotFoundException" in json.dumps(sinks(server)), "an error")
        aws.create_stream(StreamName="changes", ShardCount=2)
        wait_until(drained(server), "the sink", CAUGHT_UP_SECONDS_MAX)
        taken = []
        for shard in aws.list_shards(StreamName="changes")["Shards"]:
            iterator = aws.get_shard_iterator(StreamName="changes", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
            records = aws.get_records(ShardIterator=iterator["ShardIterator"], Limit=1000)["Records"]
            assert records, "the partition keys spread over the shards"
            taken += [(record["PartitionKey"], json.loads(record["Data"])) for record in records]
        assert_each_at_least_once_in_order(taken, history(server, "Orders"))
    finally:
        server_of_moto.stop()
