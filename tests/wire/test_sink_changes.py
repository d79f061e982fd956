"""What a changed configuration, a removed sink, and a stream in the middle do to sinks while their targets fail. Rows: docs/spec/sinks.md 1.
"""

import json
import threading
import time

import boto3
from moto.server import ThreadedMotoServer

from conftest import make_table, wait_until
from test_sinks import drained, lines, lines_of, sinks, tailrace

SOON_SECONDS = 20


def configure(tmp_path, **all_sinks):
    path = tmp_path / "tailrace.json"
    path.write_text(json.dumps({"sinks": {name: {"from": "Orders", **sink} for name, sink in all_sinks.items()}}))
    return ["--config", str(path)]


def put(client, key, **attributes):
    client.put_item(TableName="Orders", Item={"pk": {"S": key}, **{name: {"S": text} for name, text in attributes.items()}})


def keys(directory):
    return sorted(line["dynamodb"]["Keys"]["pk"]["S"] for line in lines(directory))


def failed(server, name):
    return lambda: sinks(server)[name].get("lastError")


def test_a_change_while_the_target_is_away_holds_up_no_write_and_loses_none(start, tmp_path):
    """What was planned is brought as it was to be; what is written after the change is looked at by the new `where` alone."""
    lake = tmp_path / "lake"
    lake.write_text("in the way")
    sink = {"to": str(lake), "flush": {"seconds": 0.1}, "where": {"status": ["A"]}}
    server = start(*configure(tmp_path, lake=sink))
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    put(server.client(), "a1", status="A")
    wait_until(failed(server, "lake"), "a flush that fails")
    server.stop()
    del sink["where"]
    server = start(*configure(tmp_path, lake=sink))
    took = 0
    for key in ("b1", "b2"):
        began = time.monotonic()
        put(server.client(), key, status="B")
        took += time.monotonic() - began
    wait_until(failed(server, "lake"), "a flush that fails again")
    began = time.monotonic()
    put(server.client(), "b3", status="B")
    took += time.monotonic() - began
    assert sinks(server)["lake"]["sources"][0]["waitsFor"].startswith("what was planned")
    assert took < SOON_SECONDS
    lake.unlink()
    wait_until(drained(server), "the sink", 90)
    assert keys(lake) == ["a1", "b1", "b2", "b3"]
    names = sorted(path.name for path in lake.rglob("lake-v*"))
    assert names[0].startswith("lake-v1-") and all(name.startswith("lake-v2-") for name in names[1:]), names


def test_a_mended_address_is_used_for_what_was_planned_before(start, tmp_path):
    def sink(endpoint):
        s3 = {"endpoint": endpoint, "access_key_id": "a", "secret_access_key": "b", "conditional_puts": False}
        return {"to": "s3://lake/", "flush": {"seconds": 0.1}, "s3": s3}

    store = ThreadedMotoServer(port=0)
    store.start()
    try:
        host, port = store.get_host_and_port()
        s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
        s3.create_bucket(Bucket="lake")
        server = start(*configure(tmp_path, lake=sink("http://127.0.0.1:9")))
        make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
        put(server.client(), "a")
        wait_until(failed(server, "lake"), "a flush that fails")
        server.stop()
        server = start(*configure(tmp_path, lake=sink(f"http://{host}:{port}")))
        wait_until(drained(server), "the sink", 30)
        [name] = [found["Key"].rpartition("/")[2] for found in s3.list_objects_v2(Bucket="lake")["Contents"]]
        assert name.startswith("lake-v1-"), name
    finally:
        store.stop()


def test_what_is_set_aside_is_not_forgotten(start, tmp_path):
    """Neither a replay, nor a rebuild, nor a table that is made anew forgets what the sink has set aside."""
    lake = tmp_path / "lake"
    sink = {"to": str(lake), "flush": {"seconds": 0.1}, "partition_by": "!{partitionKeyFromQuery:day}/",
            "partition_keys": {"day": ".dynamodb.NewImage.day.S"}, "partitions_max": 1}
    server = start(*configure(tmp_path, lake=sink))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    wait_until(drained(server), "the sink")
    items = [{"PutRequest": {"Item": {"pk": {"S": f"k{day}"}, "day": {"S": f"d{day}"}}}} for day in range(20)]
    client.batch_write_item(RequestItems={"Orders": items})

    def parked():
        return sum(shard["parked"] for source in sinks(server)["lake"]["sources"] for shard in source["shards"])

    wait_until(lambda: parked() and drained(server)(), "records that are set aside")
    count = parked()
    refused = tailrace(server, "sinks", "replay", "lake", "--since", "1s")
    assert refused.returncode != 0 and f"{count} records of lake are set aside" in refused.stderr, refused.stderr
    rebuilt = tailrace(server, "sinks", "rebuild", "lake")
    assert rebuilt.returncode == 0 and parked() == count, rebuilt.stderr
    client.delete_table(TableName="Orders")
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    put(client, "new", day="d1")
    wait_until(lambda: "set aside of the former one" in server.output(), "what is told")
    assert parked() == count
    assert tailrace(server, "sinks", "discard", "lake").returncode == 0
    wait_until(lambda: "new" in keys(lake), "the table that was made anew")


def test_a_stream_in_the_middle_is_not_left_out(start, tmp_path):
    lake = tmp_path / "lake"
    server = start(*configure(tmp_path, lake={"to": str(lake), "flush": {"seconds": 0.1}}))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    put(client, "first")
    wait_until(lambda: keys(lake) == ["first"], "the first record")
    assert tailrace(server, "sinks", "pause", "lake").returncode == 0
    for key in ("middle", "last"):
        client.delete_table(TableName="Orders")
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        put(client, key)
    assert tailrace(server, "sinks", "resume", "lake").returncode == 0
    wait_until(lambda: keys(lake) == ["first", "last", "middle"], "every record")


def test_a_sink_that_comes_back_does_not_take_the_names_of_the_one_that_was_removed(start, tmp_path):
    lake = tmp_path / "lake"
    sink = {"to": str(lake), "flush": {"seconds": 0.1}, "start": "trim_horizon"}
    server = start(*configure(tmp_path, lake=sink))
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    put(server.client(), "a")
    wait_until(lambda: keys(lake) == ["a"], "the record")
    assert tailrace(server, "sinks", "remove", "lake").returncode == 0
    assert "lake" not in sinks(server)
    server.stop()
    server = start(*configure(tmp_path))
    assert sinks(server) == {}
    server.stop()
    # Another form: the object of the same records would be another one.
    server = start(*configure(tmp_path, lake={**sink, "values": "plain"}))
    wait_until(drained(server), "the sink")
    assert sinks(server)["lake"]["version"] == 2 and not failed(server, "lake")()
    assert len(list(lake.rglob("lake-v1-*"))) == len(list(lake.rglob("lake-v2-*"))) == 1


def test_a_secret_that_has_another_name_now_does_not_stop_the_server(start, tmp_path):
    sink = {"to": "opensearch+http://127.0.0.1:9/orders", "auth": {"bearer": "${env:OLD_TOKEN}"}}
    server = start(*configure(tmp_path, search=sink), env={"OLD_TOKEN": "x"})
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    server.stop()
    sink["auth"]["bearer"] = "${env:NEW_TOKEN}"
    server = start(*configure(tmp_path, search=sink), env={"NEW_TOKEN": "x"})
    assert sinks(server)["search"]["state"] in ("waiting", "retrying", "running")
    put(server.client(), "a")


def behind(server, name):
    return sinks(server)[name]["lagRecords"]


def test_a_replay_of_a_sink_that_stands_still_leaves_out_nothing_that_waits(start, tmp_path):
    """Spec: sinks.md 1, "Outage": what a sink has not brought is brought, whether it is paused, away, or asked for other records."""
    lake = tmp_path / "lake"
    server = start(*configure(tmp_path, lake={"to": str(lake), "flush": {"seconds": 0.1}}))
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    put(server.client(), "first")
    wait_until(lambda: keys(lake) == ["first"], "the first record")
    assert tailrace(server, "sinks", "pause", "lake").returncode == 0
    for number in range(3):
        put(server.client(), f"waits{number}")
    wait_until(lambda: behind(server, "lake") == 3, "what waits")
    # Also the next process knows what waits of a sink that it has never run.
    server.stop()
    server = start(*configure(tmp_path, lake={"to": str(lake), "flush": {"seconds": 0.1}}))
    wait_until(lambda: behind(server, "lake") == 3, "what waits")
    time.sleep(1.1)  # so that it is older than what is asked for
    replayed = tailrace(server, "sinks", "replay", "lake", "--since", "1s")
    assert replayed.returncode == 0 and "begins when it is resumed" in replayed.stderr, replayed.stderr
    # The second replay of the same does not forget what the first one is to bring.
    assert tailrace(server, "sinks", "replay", "lake", "--since", "1s").returncode == 0
    assert tailrace(server, "sinks", "resume", "lake").returncode == 0
    put(server.client(), "last")
    wait_until(lambda: {"last", "waits0", "waits1", "waits2"} <= set(keys(lake)), "what waited, and the last record")


def test_a_replay_does_not_end_a_snapshot(start, tmp_path):
    lake = tmp_path / "lake"
    server = start(*configure(tmp_path))
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    put(server.client(), "item")
    server.stop()
    lake.write_text("in the way")
    server = start(*configure(tmp_path, lake={"to": str(lake), "start": "snapshot", "flush": {"seconds": 0.1}}))
    wait_until(failed(server, "lake"), "a flush that fails")
    refused = tailrace(server, "sinks", "replay", "lake", "--since", "1s")
    assert refused.returncode == 1 and "the snapshot of Orders is not done yet" in refused.stderr, refused.stderr
    lake.unlink()
    wait_until(lambda: keys(lake) == ["item"], "the snapshot", 90)


def test_a_log_that_is_rebuilt_leaves_out_no_change(start, tmp_path):
    lake = tmp_path / "lake"
    sink = {"to": str(lake), "flush": {"seconds": 0.1}}
    server = start(*configure(tmp_path, lake=sink))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    put(client, "gone")
    wait_until(lambda: keys(lake) == ["gone"], "the first record")
    assert tailrace(server, "sinks", "pause", "lake").returncode == 0
    client.delete_item(TableName="Orders", Key={"pk": {"S": "gone"}})
    wait_until(lambda: behind(server, "lake") == 1, "the change that waits")
    # Of a paused sink, and with what waits.
    assert tailrace(server, "sinks", "rebuild", "lake").returncode == 0
    assert tailrace(server, "sinks", "resume", "lake").returncode == 0
    wait_until(drained(server), "the sink")
    assert sorted(line["eventName"] for line in lines(lake)) == ["INSERT", "REMOVE"]

    # While somebody writes, again and again.
    written, is_over = [], threading.Event()

    def write():
        while not is_over.is_set():
            written.append(f"k{len(written) % 50}")
            put(client, written[-1], n=str(len(written)))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        wait_until(lambda: len(written) > 50, "items")
        for version in (3, 4, 5):
            assert tailrace(server, "sinks", "rebuild", "lake", "--no-wait").returncode == 0
            wait_until(lambda: list(lake.rglob(f"lake-v{version}-Orders-snapshot-*")), "the items")
    finally:
        is_over.set()
        writer.join()
    rebuilt = tailrace(server, "sinks", "rebuild", "lake")
    assert rebuilt.returncode == 0 and "version 6 has caught up" in rebuilt.stderr, rebuilt.stderr
    objects = list(lake.rglob("lake-v*"))
    changes = [line["eventID"] for path in objects if "-snapshot-" not in path.name for line in lines_of(path)]
    assert len(set(changes)) == len(changes) == len(written) + 2
    pages = [path for path in objects if path.name.startswith("lake-v6-Orders-snapshot-")]
    assert {line["dynamodb"]["Keys"]["pk"]["S"] for path in pages for line in lines_of(path)} == set(written)
    # One that no configuration has is not begun anew, by whom should it be?
    server.stop()
    server = start(*configure(tmp_path))
    for action in (["rebuild"], ["replay", "--since", "1s"]):
        refused = tailrace(server, "sinks", action[0], "lake", *action[1:])
        assert refused.returncode == 1 and "is in no tailrace.yaml" in refused.stderr, refused.stderr


def test_what_a_paused_sink_has_set_aside_is_shown_and_discarded(start, tmp_path):
    lake = tmp_path / "lake"
    sink = {"to": str(lake), "flush": {"seconds": 0.1}, "partition_by": "!{partitionKeyFromQuery:day}/",
            "partition_keys": {"day": ".dynamodb.NewImage.day.S"}}
    server = start(*configure(tmp_path, lake=sink))
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    put(server.client(), "without")
    wait_until(lambda: sinks(server)["lake"]["parked"] == 1, "the record that is set aside")
    assert tailrace(server, "sinks", "pause", "lake").returncode == 0
    server.stop()
    server = start(*configure(tmp_path, lake=sink))
    assert sinks(server)["lake"]["parked"] == 1
    shown = tailrace(server, "sinks", "parked", "lake")
    assert shown.returncode == 0 and "without" in shown.stdout, (shown.stdout, shown.stderr)
    refused = tailrace(server, "sinks", "retry", "lake")
    assert refused.returncode == 1 and "resume it first" in refused.stderr, refused.stderr
    discarded = tailrace(server, "sinks", "discard", "lake")
    assert discarded.returncode == 0 and "1 record discarded" in discarded.stderr, discarded.stderr
    assert sinks(server)["lake"]["parked"] == 0
