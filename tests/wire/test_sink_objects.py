"""Sinks of objects, end to end: the real server, killed; a real store that speaks S3, which goes down, behind a line that breaks;
and a directory. In the end the objects have each change once. DuckDB and pandas read what Parquet there is.

Rows: docs/spec/sinks.md 2.2, 2.3, 2.5, 2.6, 9.
"""

import contextlib
import gzip
import hashlib
import json
import pathlib
import sys

import botocore.exceptions
import duckdb
import pandas
import pytest

from conftest import REPOSITORY, make_table, read_stream, wait_until
from ordeal import CAUGHT_UP_SECONDS_MAX, Line, Ordeal, beginning, configured, stilled

sys.path.insert(0, str(REPOSITORY / "tests"))
from services import s3 as s3_service  # noqa: E402

BUCKET = "lake"

SINKS = {
    "lines": {"format": "json", "compression": "gzip"},
    "parts": {
        "partition_by": "k=!{partitionKeyFromQuery:k}/",
        "partition_keys": {"k": ".dynamodb.Keys.id | hash-mod(4)"},
        "values": "plain",
        "manifest": True,
    },
    "rows": {
        "format": "parquet",
        "partition_by": "dt=!{timestamp:yyyy-MM-dd}/",
        "values": "plain",
        "columns": {"total": "total.N decimal(12,2)", "city": "address.city.S"},
        "manifest": True,
    },
}


class Directory:
    """A place of objects without a server."""

    def __init__(self, folder):
        self.folder, self.line = pathlib.Path(folder), None

    def settings(self, name):
        return {"to": str(self.folder / name)}

    def objects(self, name):
        root = self.folder / name
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    def stop(self):
        """Something else is in its way."""
        aside = self.folder.with_name("aside")
        self.folder.mkdir(exist_ok=True)
        self.folder.rename(aside)
        self.folder.write_text("no directory")

    def start(self):
        self.folder.unlink()
        self.folder.with_name("aside").rename(self.folder)


class Bucket:
    """A bucket of a store, behind a line that breaks."""

    def __init__(self, store):
        self.store, self.line = store, Line(store.port)

    def settings(self, name):
        keys = {"access_key_id": s3_service.ACCESS_KEY, "secret_access_key": "${env:LAKE_SECRET}"}
        return {"to": f"s3://{BUCKET}/{name}", "s3": {"endpoint": f"http://{self.line.address}", "timeout_seconds": 5, **keys}}

    def objects(self, name):
        prefix = f"{name}/"
        return {key.removeprefix(prefix): body for key, body in self.store.objects(BUCKET, prefix).items()}

    def stop(self):
        self.store.stop()

    def start(self):
        self.store.start()


@pytest.fixture(params=["directory", "s3"])
def place(request, tmp_path):
    if request.param == "directory":
        yield Directory(tmp_path / "lake")
        return
    if s3_service.is_left_out():
        pytest.skip("left out: it needs go")
    with s3_service.running() as store:
        store.client().create_bucket(Bucket=BUCKET)
        yield Bucket(store)


def begin_once(tmp_path, sinks):
    return beginning(tmp_path, configured(tmp_path, sinks), env={"LAKE_SECRET": s3_service.SECRET_KEY})()


def status(server):
    return {sink["name"]: sink for sink in server.admin("sinks")["sinks"]}


def is_drained(server):
    return all(sink["state"] == "running" and sink["lagRecords"] == 0 for sink in status(server).values())


def lines_of(objects):
    """The lines of JSON objects, in the order of each."""
    found = []
    for key, body in sorted(objects.items()):
        if key.startswith("_manifest/"):
            continue
        text = gzip.decompress(body) if key.endswith(".gz") else body
        lines = [json.loads(line) for line in text.splitlines()]
        numbers = [line["dynamodb"]["SequenceNumber"] for line in lines]
        assert numbers == sorted(numbers), key
        found += lines
    return found


def check_manifests(objects):
    """What the manifests say is what is there."""
    said = {}
    for key, body in objects.items():
        if key.startswith("_manifest/"):
            said.update(json.loads(body)["objects"])
    there = {key: body for key, body in objects.items() if not key.startswith("_manifest/")}
    assert {key: hashlib.sha256(body).hexdigest() for key, body in there.items()} == {
        key: noted["sha256"] for key, noted in said.items()
    }
    return said


def write_orders(client, dice, table, number, count):
    """As `write` of the story, of items that partitions and columns are made of."""
    key = {"id": {"S": f"k{number}-{dice.randrange(20)}"}}
    if dice.randrange(5) == 0:
        return "DeleteItem", client.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")
    city = {"M": {"city": {"S": dice.choice(["Lisbon", "Ghent"])}}}
    return "PutItem", client.put_item(TableName=table, Item={**key, "total": {"N": f"{count}.5"}, "address": city})


def make_orders(client, table):
    make_table(client, table, hash_key=("id", "S"), stream="NEW_AND_OLD_IMAGES")


class Outages:
    """Those of a place."""

    def __init__(self, place):
        self.place, self.story = place, None

    def stop(self):
        with self.still():
            self.place.stop()

    def start(self):
        with self.still():
            self.place.start()

    def still(self):
        """Who writes into a directory makes it again."""
        return stilled(self.story.server) if isinstance(self.place, Directory) else contextlib.nullcontext()


def records_of(server):
    arn = server.client().describe_table(TableName="Orders")["Table"]["LatestStreamArn"]
    return read_stream(server.client("dynamodbstreams"), arn)


def test_objects_hold_each_change_once_after_kills_and_outages(place, tmp_path):
    sinks = {
        name: {"from": "Orders", "flush": {"seconds": 0.2}, **place.settings(name), **settings} for name, settings in SINKS.items()
    }
    begin = beginning(tmp_path, configured(tmp_path, sinks), env={"LAKE_SECRET": s3_service.SECRET_KEY})
    outages = Outages(place)
    with Ordeal(begin, outages, make=make_orders, write=write_orders) as story:
        outages.story = story
        server = story.run()
        wait_until(lambda: is_drained(server), "everything to be delivered", CAUGHT_UP_SECONDS_MAX)

        records = {record["eventID"]: record for record in records_of(server)}
        for name in ["lines", "parts"]:
            objects = place.objects(name)
            lines = lines_of(objects)
            assert len(lines) == len(records), f"{name}: a change is missing, or there twice"
            assert {line["eventID"] for line in lines} == set(records)
            assert {line["tableName"] for line in lines} == {"Orders"}
            if name == "lines":
                for line in lines:
                    wire = records[line["eventID"]]["dynamodb"]
                    assert (line["dynamodb"]["Keys"], line["dynamodb"].get("NewImage")) == (wire["Keys"], wire.get("NewImage"))
        parts = check_manifests(place.objects("parts"))
        assert {key.split("/")[0] for key in parts} == {"k=0", "k=1", "k=2", "k=3"}
        check_rows(place.objects("rows"), records, tmp_path / "rows")
        if place.line:
            assert place.line.broken > 0, "the line did not break"
        assert server.stop() == 0, server.output()
        assert s3_service.SECRET_KEY not in server.output()


def check_rows(objects, records, folder):
    """Parquet as DuckDB and pandas read it."""
    said = check_manifests(objects)
    for key in said:
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(objects[key])
    files = f"{folder}/*/*.parquet"
    query = duckdb.sql(
        f"""SELECT event_id, event_name, "table", sequence_number, lsn, epoch_ms(event_time), is_ttl, total, city,
                   keys->>'id', new_image->>'total', old_image IS NULL, dt
            FROM read_parquet('{files}', hive_partitioning = true)"""
    )
    rows = query.fetchall()
    assert len(rows) == len(records) == sum(noted["rows"] for noted in said.values())
    for id, event, table, number, lsn, time_ms, is_ttl, total, city, key, in_image, no_old, day in rows:
        record = records[id]
        wire = record["dynamodb"]
        new = wire.get("NewImage")
        assert (event, table, number, is_ttl) == (record["eventName"], "Orders", wire["SequenceNumber"], False)
        assert (key, no_old) == (wire["Keys"]["id"]["S"], "OldImage" not in wire)
        assert time_ms // 1000 == int(wire["ApproximateCreationDateTime"].timestamp())
        assert (str(total), city, in_image) == (
            (f"{float(new['total']['N']):.2f}", new["address"]["M"]["city"]["S"], new["total"]["N"]) if new else ("None", None, None)
        )
        assert number == f"1{lsn:020}" and len(str(day)) == 10
    types = dict(zip(query.columns, map(str, query.types)))
    assert (types["total"], types["lsn"], types["is_ttl"]) == ("DECIMAL(12,2)", "BIGINT", "BOOLEAN")

    frame = pandas.concat(pandas.read_parquet(folder / key) for key in said)
    assert sorted(frame["event_id"]) == sorted(records)
    assert str(frame["event_time"].dt.tz) == "UTC"
    last = frame.sort_values("lsn").groupby("keys").last()
    assert len(last) == len({record["dynamodb"]["Keys"]["id"]["S"] for record in records.values()})


def test_locked_objects_cannot_be_changed(tmp_path):
    """docs/spec/sinks.md 7: Object Lock, at a store that keeps it."""
    if s3_service.is_left_out():
        pytest.skip("left out: it needs go")
    with s3_service.running() as store:
        client = store.client()
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        settings = {**Bucket(store).settings("kept"), "lock": {"mode": "COMPLIANCE", "days": 1}, "flush": {"seconds": 0.2}}
        settings["s3"]["endpoint"] = store.url
        server = begin_once(tmp_path, {"kept": {"from": "Orders", **settings}})
        make_table(server.client(), "Orders", hash_key=("id", "S"), stream="NEW_AND_OLD_IMAGES")
        server.client().put_item(TableName="Orders", Item={"id": {"S": "a"}})
        [key] = wait_until(lambda: list(store.objects(BUCKET)), "the object")
        retention = client.get_object_retention(Bucket=BUCKET, Key=key)["Retention"]
        assert retention["Mode"] == "COMPLIANCE"
        version = client.head_object(Bucket=BUCKET, Key=key).get("VersionId")
        with pytest.raises(botocore.exceptions.ClientError):
            client.delete_object(Bucket=BUCKET, Key=key, **({"VersionId": version} if version else {}))
        assert server.stop() == 0, server.output()


def test_a_change_without_a_partition_is_parked(tmp_path):
    """docs/spec/sinks.md 2.3."""
    place = Directory(tmp_path / "lake")
    settings = {
        "from": "Orders",
        "flush": {"seconds": 0},
        "partition_by": "c=!{partitionKeyFromQuery:c}/",
        "partition_keys": {"c": ".dynamodb.NewImage.customer.S"},
        **place.settings("parts"),
    }
    server = begin_once(tmp_path, {"parts": settings})
    make_table(server.client(), "Orders", hash_key=("id", "S"), stream="NEW_AND_OLD_IMAGES")
    client = server.client()
    client.put_item(TableName="Orders", Item={"id": {"S": "a"}, "customer": {"S": "x/y"}})
    client.delete_item(TableName="Orders", Key={"id": {"S": "a"}})
    wait_until(lambda: status(server)["parts"]["parked"] == 1, "the delete to be parked")
    [key] = wait_until(lambda: list(place.objects("parts")), "the insert")
    assert key.startswith("c=x%2Fy/parts-v1-shardId-")
    assert server.stop() == 0, server.output()
