"""The Kinesis destination of a table, through boto3, with a data stream that fails and servers that are killed. Rows: docs/spec/sinks.md 5,
docs/spec/dynamodb-api.md 2 and 8.6.

TAILRACE_KILLS sets how often the server is killed, TAILRACE_SEED the writes' seed.
"""

import collections
import json
import os
import sys

import pytest

from conftest import REPOSITORY, free_port, make_table, refused, wait_until
from ordeal import CAUGHT_UP_SECONDS_MAX, SHARDS, Line, Ordeal, beginning
from test_sinks import history

sys.path.insert(0, str(REPOSITORY / "tests/services"))

import kinesis as services  # noqa: E402

SEED = int(os.environ.get("TAILRACE_SEED", "1"))
ARN = "arn:aws:kinesis:us-east-1:000000000000:stream/changes"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
ORDERS = {"TableName": "Orders"}
CHANGES = {**ORDERS, "StreamArn": ARN}


def destinations(client):
    return client.describe_kinesis_streaming_destination(**ORDERS)["KinesisDataStreamDestinations"]


def is_told(client, status, **more):
    return lambda: destinations(client) == [{"StreamArn": ARN, "DestinationStatus": status, **more}]


def enable(client, **more):
    assert client.enable_kinesis_streaming_destination(**CHANGES, **more)["DestinationStatus"] == "ENABLING"
    wait_until(lambda: destinations(client)[0]["DestinationStatus"] == "ACTIVE", "an active destination")


def told(stream):
    """Event, `v` before and after, of every record that was taken, in order; each id once."""
    seen, all_of_them = set(), []
    for _, record in stream.records():
        if record["eventID"] not in seen:
            seen.add(record["eventID"])
            images = [record["dynamodb"].get(name, {}).get("v", {}).get("N") for name in ("OldImage", "NewImage")]
            all_of_them.append((record["eventName"], *images))
    return all_of_them


def put(client, value, key="k"):
    client.put_item(**ORDERS, Item={"pk": {"S": key}, "v": {"N": str(value)}})


def test_a_destination_is_switched_on_changed_and_off(start):
    """Spec: sinks.md 5, and the table of what was measured."""
    with services.data_stream("changes") as stream:
        server = start("--kinesis-endpoint", stream.url, env=CREDENTIALS)
        client = server.client()
        make_table(client, "Orders")
        put(client, 1)
        enable(client)
        assert is_told(client, "ACTIVE")()
        put(client, 2)
        client.delete_item(**ORDERS, Key={"pk": {"S": "k"}})
        wait_until(lambda: len(told(stream)) == 2, "the changes")
        # From the next change on, with both images; the table has no stream, and gets none.
        assert told(stream) == [("MODIFY", "1", "2"), ("REMOVE", "2", None)]
        assert "StreamSpecification" not in client.describe_table(**ORDERS)["Table"]
        assert server.client("dynamodbstreams").list_streams()["Streams"] == []
        client.update_table(**ORDERS, StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
        put(client, 3)
        wait_until(lambda: told(stream)[2:] == [("INSERT", None, "3")], "the change")

        microseconds = {"ApproximateCreationDateTimePrecision": "MICROSECOND"}
        updated = client.update_kinesis_streaming_destination(**CHANGES, UpdateKinesisStreamingConfiguration=microseconds)
        assert updated["DestinationStatus"] == "UPDATING" and updated["UpdateKinesisStreamingConfiguration"] == microseconds
        wait_until(is_told(client, "ACTIVE", **microseconds), "an active destination")
        put(client, 4)
        wait_until(lambda: len(told(stream)) == 4, "the change")
        times = [record["dynamodb"]["ApproximateCreationDateTime"] for _, record in stream.records()]
        assert [len(str(time)) for time in times] == [13, 13, 13, 16]

        assert client.disable_kinesis_streaming_destination(**CHANGES)["DestinationStatus"] == "DISABLING"
        wait_until(is_told(client, "DISABLED"), "a destination that is off")
        put(client, 5)
        other = {**ORDERS, "StreamArn": f"{ARN}-2"}
        client.enable_kinesis_streaming_destination(**other)
        error = refused(client.enable_kinesis_streaming_destination, **CHANGES)
        assert error == (
            "ValidationException",
            "Table is not in a valid state to enable Kinesis Streaming Destination: EnableKinesisStreamingDestination must be "
            "DISABLED or ENABLE_FAILED to perform ENABLE operation.",
        )
        wait_until(lambda: destinations(client)[0]["DestinationStatus"] == "ACTIVE", "the other one")
        client.disable_kinesis_streaming_destination(**other)
        wait_until(lambda: destinations(client)[0]["DestinationStatus"] == "DISABLED", "the other one")
        client.enable_kinesis_streaming_destination(**CHANGES)
        wait_until(lambda: destinations(client)[1]["DestinationStatus"] == "ACTIVE", "the first one")
        put(client, 6)
        wait_until(lambda: told(stream)[4:] == [("MODIFY", "5", "6")], "the change behind what was not to be told")
        assert not stream.wrong


def test_every_change_is_told_while_the_server_is_killed_and_the_stream_fails(tmp_path):
    """Spec: sinks.md 5 and 9: at least once, an item's changes in order; what a crash cuts off goes on. The shards that are sealed are the
    table's own: those of a destination are its own as long as it is on."""
    with services.data_stream("changes", seed=SEED, failures=1) as stream:
        line = Line(stream.server.server_port)

        def make(client, table):
            make_table(client, table, stream="NEW_AND_OLD_IMAGES")
            # The first kill may come before it is ACTIVE.
            client.enable_kinesis_streaming_destination(**CHANGES)

        begin = beginning(tmp_path, ["--kinesis-endpoint", f"http://{line.address}", "--shards", str(SHARDS)], env=CREDENTIALS)
        with Ordeal(begin, line, make=make) as story:
            server = story.run()
            stream.failures = 0
            assert_is_told(server, stream)
        assert line.broken > 0, "the line did not break"


def assert_is_told(server, stream):
    """The data stream comes to have what the table's own stream has."""
    records = history(server, "Orders").values()
    assert len(records) > 20

    def by_item(all_of_them):
        items = collections.defaultdict(list)
        for record in all_of_them:
            change = record["dynamodb"]
            told = [record["eventName"], change.get("OldImage"), change.get("NewImage")]
            items[json.dumps(change["Keys"])].append(told)
        return items

    ordered = sorted(records, key=lambda record: int(record["dynamodb"]["SequenceNumber"]))
    expected = by_item(ordered)

    def found():
        seen = {}
        for _, record in stream.records():
            seen.setdefault(record["eventID"], record)
        return by_item(seen.values())

    wait_until(lambda: found() == expected, "every change", CAUGHT_UP_SECONDS_MAX)
    assert is_told(server.client(), "ACTIVE")()
    assert all(len(set(keys)) == len(keys) for keys in stream.requests) and not stream.wrong


def test_a_server_without_an_endpoint_keeps_what_a_later_one_delivers(start, tmp_path):
    """Also: `kinesis` of tailrace.yaml says where it is, with its own credentials."""
    with services.data_stream("changes") as stream:
        config = tmp_path / "tailrace.yaml"
        config.write_text(f"kinesis: {{endpoint: '{stream.url}', access_key_id: key, secret_access_key: '${{env:KINESIS_SECRET}}'}}\n")
        arguments, env, port = ["--config", str(config)], {"KINESIS_SECRET": "secret"}, free_port()
        server = start(*arguments, env=env, port=port)
        make_table(server.client(), "Orders")
        enable(server.client())
        server.stop()
        server = start(port=port)
        client = server.client()
        put(client, 1)
        assert is_told(client, "ACTIVE")()
        wait_until(lambda: f"{ARN} of Orders: its changes wait" in server.output(), "what is told")
        # A new one fails here, and says why.
        make_table(client, "Users")
        users = {"TableName": "Users", "StreamArn": ARN}
        assert client.enable_kinesis_streaming_destination(**users)["DestinationStatus"] == "ENABLING"
        [failed] = client.describe_kinesis_streaming_destination(TableName="Users")["KinesisDataStreamDestinations"]
        assert failed["DestinationStatus"] == "ENABLE_FAILED" and "endpoint" in failed["DestinationStatusDescription"]
        server.stop()
        assert told(stream) == []
        server = start(*arguments, env=env, port=port)
        wait_until(lambda: told(stream) == [("INSERT", None, "1")], "the change")
        assert "secret" not in server.output()


def test_a_deleted_table_ends_its_destination(start):
    with services.data_stream("changes") as stream:
        arguments, port = ["--kinesis-endpoint", stream.url], free_port()
        server = start(*arguments, port=port, env=CREDENTIALS)
        client = server.client()
        make_table(client, "Orders")
        enable(client)
        put(client, 1)
        wait_until(lambda: len(told(stream)) == 1, "the change")
        client.delete_table(**ORDERS)
        make_table(client, "Orders")
        assert destinations(client) == []
        put(client, 2)
        server.kill()
        server = start(*arguments, port=port, env=CREDENTIALS)
        client = server.client()
        assert destinations(client) == []
        enable(client)
        put(client, 3)
        wait_until(lambda: told(stream)[1:] == [("MODIFY", "2", "3")], "the change of the new table")


def test_a_destination_whose_stream_is_away_is_told_and_can_be_switched_off(start):
    """Spec: sinks.md 5, ours: what was written before has two seconds."""
    with services.data_stream("another") as stream:
        server = start("--kinesis-endpoint", stream.url, env=CREDENTIALS)
        client = server.client()
        make_table(client, "Orders")
        enable(client)
        put(client, 1)
        wait_until(lambda: "ResourceNotFoundException" in server.output(), "a line that says so")
        assert is_told(client, "ACTIVE")()
        client.disable_kinesis_streaming_destination(**CHANGES)
        wait_until(is_told(client, "DISABLED"), "a destination that is off")
        assert server.stop() == 0
        assert stream.records() == [] and server.output().count("ResourceNotFoundException") == 1


def test_a_change_that_is_too_large_is_left_out_and_told(start):
    """Spec: sinks.md 5, row `too large`."""
    with services.data_stream("changes") as stream:
        server = start("--kinesis-endpoint", stream.url, env=CREDENTIALS)
        client = server.client()
        make_table(client, "Orders")
        enable(client)
        large = {"pk": {"S": "large"}, "b": {"B": b"x" * 400_000}}
        client.put_item(**ORDERS, Item=large)
        client.put_item(**ORDERS, Item={**large, "v": {"N": "1"}})
        client.put_item(**ORDERS, Item={"pk": {"S": "large"}, "v": {"N": "2"}})
        wait_until(lambda: len(told(stream)) == 2, "the others")
        assert told(stream) == [("INSERT", None, None), ("MODIFY", "1", "2")]
        wait_until(lambda: "1 changes are left out" in server.output(), "what is told")


TEMPLATE = """
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Orders
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
"""


def test_a_template_has_its_destination(start, tmp_path):
    """Spec: COMPAT.md, Templates, KinesisStreamSpecification: made, changed, replaced and taken out with the template."""
    template = tmp_path / "template.yaml"

    def started(specification):
        line = f"      KinesisStreamSpecification: {specification}\n" if specification else ""
        template.write_text(TEMPLATE + line)
        return start("--template", str(template), "--kinesis-endpoint", stream.url, env=CREDENTIALS)

    with services.data_stream("changes") as stream:
        server = started(f"{{StreamArn: {ARN}}}")
        client = server.client()
        wait_until(is_told(client, "ACTIVE"), "an active destination")
        assert "KinesisStreamSpecification" not in server.output()
        put(client, 1)
        wait_until(lambda: len(told(stream)) == 1, "the change")
        server.stop()
        server = started(f"{{StreamArn: {ARN}, ApproximateCreationDateTimePrecision: MICROSECOND}}")
        wait_until(is_told(server.client(), "ACTIVE", ApproximateCreationDateTimePrecision="MICROSECOND"), "the precision")
        server.stop()
        server = started(f"{{StreamArn: {ARN}-2}}")
        client = server.client()

        def statuses():
            return [(one["StreamArn"], one["DestinationStatus"]) for one in destinations(client)]

        wait_until(lambda: statuses() == [(f"{ARN}-2", "ACTIVE"), (ARN, "DISABLED")], "the other one")
        server.stop()
        server = started(None)
        client = server.client()
        wait_until(lambda: statuses() == [(f"{ARN}-2", "DISABLED"), (ARN, "DISABLED")], "none")


@pytest.mark.parametrize(
    "section, part",
    [
        ("{endpoint: 'ftp://x'}", "endpoint is http(s)://host"),
        ("{endpiont: 'http://x'}", "unknown field `endpiont`"),
        ("{precision: MICROSECOND}", "`precision` is said by each destination"),
        ("{access_key_id: a}", "come together"),
        ("[]", "a map is expected"),
    ],
)
def test_a_section_that_cannot_be_right_is_refused(start, tmp_path, section, part):
    config = tmp_path / "tailrace.yaml"
    config.write_text(f"kinesis: {section}\n")
    server = start("--config", str(config), ready=False)
    server.process.wait(timeout=90)
    assert part in server.output(), server.output()
