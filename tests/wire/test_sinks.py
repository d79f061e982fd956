"""Sinks that need no server of others: examples/orders as a user runs it, objects in a directory and a view against the table's history
while the server is killed, and what the command line does to a sink. Rows: docs/spec/sinks.md 1, 2.5, 2.6, 6, 7, 9.
"""

import collections
import contextlib
import gzip
import json
import pathlib
import shutil
import subprocess
import time
import types
from decimal import Decimal

import boto3.dynamodb.types
import botocore.exceptions

from conftest import BINARY, REPOSITORY, free_port, make_table, read_stream, wait_until
from ordeal import Ordeal, beginning, configured, delete_expired, put_expired, stilled

PLAIN = boto3.dynamodb.types.TypeDeserializer()


def plain(item):
    return {name: PLAIN.deserialize(value) for name, value in item.items()}


def sinks(server):
    with contextlib.suppress(OSError):
        return {sink["name"]: sink for sink in server.admin("sinks")["sinks"]}
    return {}


def drained(server, *names):
    """Whether the sinks have brought everything to their targets."""

    def rests(sink):
        begun = all("waitsFor" not in source and "snapshotItems" not in source for source in sink["sources"])
        idle = all(shard["drained"] for source in sink["sources"] for shard in source["shards"])
        return sink["state"] == "running" and begun and idle and "building" not in sink

    def look():
        found = sinks(server)
        return found and all(rests(found[name]) for name in names or found)

    return look


def lines_of(path):
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in text.splitlines()]


def lines(directory):
    """Every line of the objects below a directory, each object once, in the order of their names."""
    for path in sorted(pathlib.Path(directory).rglob("*")):
        if path.is_file() and not any(part.startswith(("_", ".")) for part in path.relative_to(directory).parts):
            yield from lines_of(path)


def history(server, table):
    """The records of the table's stream: eventID to event."""
    client, found = server.client("dynamodbstreams"), {}
    for stream in client.list_streams(TableName=table)["Streams"]:
        for record in read_stream(client, stream["StreamArn"]):
            assert record["eventID"] not in found
            found[record["eventID"]] = record
    return found


def scan(client, table):
    pages = client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [plain(item) for page in pages for item in page["Items"]]


def test_the_example_fills_a_view_a_trail_and_a_lake(tmp_path):
    """docs/sinks.md: what the walk through examples/orders says."""
    example = tmp_path / "orders"
    shutil.copytree(REPOSITORY / "examples/orders", example, ignore=shutil.ignore_patterns(".tailrace"))
    port = free_port()
    run = subprocess.run(
        [BINARY, "up", example, "--port", str(port), "--exit-when-drained"], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = list(lines(example / ".tailrace/lake"))
    assert collections.Counter(line["eventName"] for line in found) == {"INSERT": 3, "MODIFY": 3, "REMOVE": 1}
    assert {line["tableName"] for line in found} == {"Orders"}
    trail = subprocess.run([BINARY, "audit", "verify", example / ".tailrace/trail"], capture_output=True, text=True, timeout=300)
    assert trail.returncode == 0, trail.stdout + trail.stderr


def test_the_view_of_the_example_holds_what_was_shipped(start, tmp_path):
    example = REPOSITORY / "examples/orders"
    config = tmp_path / "tailrace.yaml"
    config.write_text((example / "tailrace.yaml").read_text())
    server = start("--template", str(example / "template.yaml"), "--config", str(config))
    client = server.client()
    for line in (example / "writes.ndjson").read_text().splitlines():
        [(operation, request)] = json.loads(line).items()
        client._make_api_call(operation, request)
    wait_until(drained(server), "the sinks")
    view = {item["shippedDay"]: item for item in scan(client, "DailyShipped")}
    assert {day: (item["orders"], item["total"], item["largest"]) for day, item in view.items()} == {
        "2026-11-28": (1, Decimal("12.5"), Decimal("12.5")),
        "2026-11-29": (1, Decimal("5.05"), Decimal("5.05")),
    }


def test_a_read_of_a_view_waits_for_the_write_that_it_names(start, tmp_path):
    """Spec: sinks.md 6, read semantics: x-tailrace-lsn of a write, x-tailrace-as-of of a read."""
    config = tmp_path / "tailrace.json"
    view = {"from": "Orders", "to": "table:Days", "group_by": ["day"], "aggregates": {"n": "count"}}
    config.write_text(json.dumps({"sinks": {"days": view}}))
    server = start("--config", str(config))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    make_table(client, "Other")
    wait_until(drained(server), "the sinks")
    as_of = {}
    client.meta.events.register("before-call.dynamodb", lambda params, **_: params["headers"].update(as_of))
    for number in range(1, 30):
        item = {"pk": {"S": f"k{number}"}, "day": {"S": "mon"}}
        written = client.put_item(TableName="Orders", Item=item)["ResponseMetadata"]["HTTPHeaders"]["x-tailrace-lsn"]
        as_of["x-tailrace-as-of"] = written
        found = client.get_item(TableName="Days", Key={"day": {"S": "mon"}})["Item"]
        assert found["n"] == {"N": str(number)}
        assert client.query(
            TableName="Days", KeyConditionExpression="#d = :d", ExpressionAttributeNames={"#d": "day"}, ExpressionAttributeValues={":d": {"S": "mon"}}
        )["Items"] == [found]
        as_of.clear()
    # What changes nothing, or no table with a stream, tells of no record.
    again = client.put_item(TableName="Orders", Item=item)
    other = client.put_item(TableName="Other", Item={"pk": {"S": "x"}})
    assert not any("x-tailrace-lsn" in answer["ResponseMetadata"]["HTTPHeaders"] for answer in (again, other))
    # A table that is no view, and a record of a stream that the view is not made from, are not waited for.
    as_of["x-tailrace-as-of"] = "999999:1"
    client.get_item(TableName="Days", Key={"day": {"S": "mon"}})
    as_of["x-tailrace-as-of"] = written.split(":")[0] + ":999999999999"
    client.get_item(TableName="Orders", Key={"pk": {"S": "k1"}})
    as_of["x-tailrace-as-of"] = "nonsense"
    try:
        client.scan(TableName="Days")
        raise AssertionError("nonsense was waited for")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ValidationException", error


def test_objects_and_a_view_equal_the_history_of_a_server_that_is_killed(tmp_path):
    """Spec: sinks.md 6, 9: no line doubled or lost in the lake, whose place is gone for a while, and the groups are what a recount gives."""
    view = {"from": "Orders", "to": "table:Days", "group_by": ["day"], "aggregates": {"n": "count", "sum": "sum(amount)"}}
    lake = {"from": "Orders", "to": "./lake", "flush": {"seconds": 0, "records": 50}}
    place, aside = tmp_path / "lake", tmp_path / "aside"
    with Ordeal(beginning(tmp_path, configured(tmp_path, {"days": view, "lake": lake})), types.SimpleNamespace()) as story:

        def stop():
            with stilled(story.server):
                place.mkdir(exist_ok=True)
                place.rename(aside)
                place.write_text("no directory")

        def start():
            with stilled(story.server):
                place.unlink()
                aside.rename(place)

        story.target = types.SimpleNamespace(stop=stop, start=start)
        server = story.run()
        wait_until(drained(server), "the sinks")
        records = history(server, "Orders")
        seen = collections.Counter(line["eventID"] for line in lines(place))
        assert seen == dict.fromkeys(records, 1)
        expected = collections.defaultdict(lambda: [0, Decimal(0)])
        for item in scan(server.client(), "Orders"):
            # Who has none is in no group.
            if "day" in item:
                group = expected[item["day"]]
                group[0] += 1
                group[1] += item.get("amount", 0)
        found = {item["day"]: [item["n"], item["sum"]] for item in scan(server.client(), "Days")}
        assert found == dict(expected)


def test_a_removal_by_time_to_live_leaves_its_group_and_is_told_as_the_services_own(start, tmp_path):
    """Spec: sinks.md 2.6, 6: `userIdentity` in the line, and the item is taken out of its group."""
    view = {"from": "Orders", "to": "table:Days", "group_by": ["day"], "aggregates": {"n": "count"}}
    lake = {"from": "Orders", "to": "./lake", "flush": {"seconds": 0}}
    server = start(*configured(tmp_path, {"days": view, "lake": lake}), "--ttl-delay", "1h")
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    put_expired(server, "Orders", {"pk": {"S": "gone"}, "day": {"S": "a"}})
    client.put_item(TableName="Orders", Item={"pk": {"S": "stays"}, "day": {"S": "a"}})
    wait_until(drained(server), "the sinks")
    assert [item["n"] for item in scan(client, "Days")] == [2]
    assert delete_expired(server) == 1
    wait_until(lambda: [item["n"] for item in scan(client, "Days")] == [1], "the item to leave its group")
    client.delete_item(TableName="Orders", Key={"pk": {"S": "stays"}})
    wait_until(drained(server), "the sinks")
    removed = [line for line in lines(tmp_path / "lake") if line["eventName"] == "REMOVE"]
    told = {line["dynamodb"]["Keys"]["pk"]["S"]: line.get("userIdentity") for line in removed}
    assert told == {"gone": {"type": "Service", "principalId": "dynamodb.amazonaws.com"}, "stays": None}
    assert server.stop() == 0, server.output()


def tailrace(server, *arguments):
    command, *rest = arguments
    return subprocess.run(
        [BINARY, command, "--endpoint", server.url, *rest], capture_output=True, text=True, timeout=300
    )


def test_a_sink_is_paused_resumed_rebuilt_and_removed(start, tmp_path):
    config = tmp_path / "tailrace.json"
    view = {"from": "Orders", "to": "table:Days", "group_by": ["day"], "aggregates": {"n": "count"}}
    config.write_text(json.dumps({"sinks": {"days": view}}))
    server = start("--config", str(config))
    client = server.client()
    wait_until(lambda: "there is no table Orders" in sinks(server)["days"].get("reason", ""), "the reason")
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    client.put_item(TableName="Orders", Item={"pk": {"S": "1"}, "day": {"S": "a"}})
    wait_until(drained(server), "the sink")
    paused = tailrace(server, "sinks", "pause", "days")
    assert paused.returncode == 0, paused.stderr
    client.put_item(TableName="Orders", Item={"pk": {"S": "2"}, "day": {"S": "a"}})
    assert sinks(server)["days"]["state"] == "paused"
    assert [item["n"] for item in scan(client, "Days")] == [1]
    assert tailrace(server, "sinks", "resume", "days").returncode == 0
    wait_until(lambda: [item["n"] for item in scan(client, "Days")] == [2], "the second order")
    # Somebody else's write into the view's table is undone by a rebuild, which readers do not notice before it has caught up.
    client.put_item(TableName="Days", Item={"day": {"S": "a"}, "n": {"N": "99"}})
    rebuilt = tailrace(server, "sinks", "rebuild", "days")
    assert rebuilt.returncode == 0, rebuilt.stderr
    wait_until(lambda: [item["n"] for item in scan(client, "Days")] == [2], "the rebuilt view")
    assert sinks(server)["days"]["version"] == 2
    shown = tailrace(server, "sinks")
    assert "days" in shown.stdout and "table:Days" in shown.stdout, shown.stdout
    replayed = tailrace(server, "sinks", "replay", "days", "--since", "1h")
    assert replayed.returncode == 1 and "rebuild it" in replayed.stderr
    assert tailrace(server, "sinks", "pause", "none").returncode == 1
    assert tailrace(server, "sinks", "remove", "days").returncode == 0
    assert sinks(server) == {}


def test_a_table_that_is_made_anew_is_followed_and_what_holds_it_says_what_to_do(start, tmp_path):
    """docs/sinks.md: nothing stands still unseen when a table is deleted and made again."""
    config = tmp_path / "tailrace.json"
    view = {"from": "Orders", "to": "table:Days", "group_by": ["day"], "aggregates": {"n": "count"}}
    lake = {"from": "Orders", "to": "./lake", "flush": {"seconds": 0}}
    config.write_text(json.dumps({"sinks": {"days": view, "lake": lake}}))
    server = start("--config", str(config))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")

    def put(key):
        item = {"pk": {"S": key}, "day": {"S": "a"}}
        return client.put_item(TableName="Orders", Item=item)["ResponseMetadata"]["HTTPHeaders"]["x-tailrace-lsn"]

    def keys():
        return [line["dynamodb"]["Keys"]["pk"]["S"] for line in lines(tmp_path / "lake")]

    put("one")
    wait_until(lambda: keys() == ["one"] and scan(client, "Days"), "the first order")
    client.delete_table(TableName="Orders")
    client.get_waiter("table_not_exists").wait(TableName="Orders", WaiterConfig={"Delay": 1})
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    written = put("two")
    wait_until(lambda: sorted(keys()) == ["one", "two"], "the second order")
    wait_until(lambda: "tailrace sinks rebuild days" in sinks(server)["days"].get("reason", ""), "what to do")
    # The view does not know of the write, and does not say that it does.
    as_of = {"x-tailrace-as-of": written}
    client.meta.events.register("before-call.dynamodb", lambda params, **_: params["headers"].update(as_of))
    try:
        client.get_item(TableName="Days", Key={"day": {"S": "a"}})
        raise AssertionError("the view said that it knows")
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "InternalServerError", error
    as_of.clear()
    rebuilt = tailrace(server, "sinks", "rebuild", "days")
    assert rebuilt.returncode == 0, rebuilt.stderr
    wait_until(lambda: [item["n"] for item in scan(client, "Days")] == [1], "the view of the new table")
    put("three")
    wait_until(lambda: [item["n"] for item in scan(client, "Days")] == [2], "what follows")


def test_the_streams_that_a_paused_log_will_follow_are_kept_for_it(start, tmp_path):
    """docs/spec/sinks.md 1, "Retention": also those of a table that was made anew, twice."""
    config = tmp_path / "tailrace.json"
    config.write_text(json.dumps({"sinks": {"lake": {"from": "Orders", "to": "./lake", "flush": {"seconds": 0}}}}))
    server = start("--config", str(config), "--stream-retention", "1s")
    client = server.client()

    def keys():
        return [line["dynamodb"]["Keys"]["pk"]["S"] for line in lines(tmp_path / "lake")]

    def make_and_put(key):
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        client.put_item(TableName="Orders", Item={"pk": {"S": key}})

    make_and_put("one")
    wait_until(lambda: keys() == ["one"], "the first order")
    assert tailrace(server, "sinks", "pause", "lake").returncode == 0
    for key in ("two", "three"):
        client.delete_table(TableName="Orders")
        client.get_waiter("table_not_exists").wait(TableName="Orders", WaiterConfig={"Delay": 1})
        make_and_put(key)
    client.delete_table(TableName="Orders")
    written = time.monotonic()
    wait_until(lambda: time.monotonic() > written + 4, "the end of the retention, and passes of it")
    assert tailrace(server, "sinks", "resume", "lake").returncode == 0
    wait_until(lambda: keys() == ["one", "two", "three"], "what was written meanwhile")


def test_no_secret_is_in_the_error_of_a_configuration(tmp_path):
    config = tmp_path / "tailrace.json"
    for member in ({"headers": "${env:HOOK}"}, {"auth": "${env:HOOK}"}, {"timeout_seconds": "${env:HOOK}"}):
        sink = {"from": "T", "to": "webhook+http://localhost/", **member}
        config.write_text(json.dumps({"sinks": {"ping": sink}}))
        command = [BINARY, "config", "check", str(config)]
        checked = subprocess.run(command, capture_output=True, text=True, env={"HOOK": "hunter2"}, timeout=300)
        assert checked.returncode == 1 and "sinks.ping" in checked.stderr, checked
        assert "hunter2" not in checked.stderr + checked.stdout, checked.stderr


def test_a_configuration_is_checked_before_anything_starts(tmp_path):
    config = tmp_path / "tailrace.yaml"
    for text, part in [
        ("sink: {}", "did you mean sinks?"),
        ("sinks: {a: {to: audit}}", "sinks.a: `from` is missing"),
        ("sinks: {a: {from: T, to: ./x, formt: csv}}", "unknown field `formt`"),
        ("sinks: {a: {from: T, to: 'postgres://u:${env:NO_SUCH_SECRET}@h/d'}}", "no variable NO_SUCH_SECRET"),
        ("sinks: [", "malformed"),
    ]:
        config.write_text(text)
        for command in (["config", "check", tmp_path], ["serve", "--config", config, "--data-dir", tmp_path / "d"]):
            run = subprocess.run([BINARY, *command], capture_output=True, text=True, timeout=300)
            assert run.returncode == 1 and part in run.stderr and "TR0027" in run.stderr, run.stderr
    config.write_text("sinks: {a: {from: Things, to: ./x, format: parquet}}")
    run = subprocess.run([BINARY, "config", "check", config], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0 and "1 sink, nothing wrong" in run.stderr, run.stderr
