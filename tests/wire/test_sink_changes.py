"""What a changed configuration, a removed sink, and a stream in the middle do to sinks while their targets fail. Rows: docs/spec/sinks.md 1.
"""

import json
import time

import boto3
from moto.server import ThreadedMotoServer

from conftest import make_table, wait_until
from test_sinks import drained, lines, sinks, tailrace

SOON_SECONDS = 5


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
    began = time.monotonic()
    for key in ("b1", "b2"):
        put(server.client(), key, status="B")
    wait_until(failed(server, "lake"), "a flush that fails again")
    put(server.client(), "b3", status="B")
    assert sinks(server)["lake"]["sources"][0]["waitsFor"].startswith("what was planned")
    assert time.monotonic() - began < SOON_SECONDS
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
    """Neither a replay, nor a rebuild, nor a table that is made anew leaves out what the sink has set aside."""
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
    for action in (["rebuild"], ["replay", "--since", "1s"]):
        refused = tailrace(server, "sinks", action[0], "lake", *action[1:])
        assert refused.returncode != 0 and f"{count} records of lake are set aside" in refused.stderr, refused.stderr
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
