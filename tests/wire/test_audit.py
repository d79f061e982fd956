"""An audit trail of a server under writes that is killed again and again: every change is in it once, with who asked, and it verifies
against the streams. Rows: docs/spec/sinks.md 1, 7, 9.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request

import pytest

from conftest import BINARY, REPOSITORY, Server, make_table, wait_until
from ordeal import CAUGHT_UP_SECONDS_MAX, SHARDS, Line, Ordeal, beginning, stilled

sys.path.insert(0, str(REPOSITORY / "tests"))
from services import s3 as s3_service  # noqa: E402

TABLES = ["Orders", "Users"]


class Directory:
    """A trail in a directory."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.settings, self.arguments, self.environment = {"dir": str(self.folder)}, [self.folder], {}

    def stop(self):
        """Something else is in its way, and whoever would make it again stands still until it is."""
        with stilled(self.story.server):
            self.folder.rename(self.folder.with_name("aside"))
            self.folder.write_text("no directory")

    def start(self):
        with stilled(self.story.server):
            self.folder.unlink()
            self.folder.with_name("aside").rename(self.folder)

    def files(self):
        # What is being written comes by a rename.
        files = (path for path in sorted(self.folder.rglob("*.jsonl")) if not path.name.startswith("."))
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


class Bucket:
    """A trail in a bucket with Object Lock."""

    def __init__(self, store):
        self.store, self.line, self.arguments = store, Line(store.port), ["s3://trail/shop", "--s3-endpoint", store.url]
        self.stop, self.start = store.stop, store.start
        store.client().create_bucket(Bucket="trail", ObjectLockEnabledForBucket=True)
        keys = {"access_key_id": s3_service.ACCESS_KEY, "secret_access_key": "${env:TRAIL_SECRET}"}
        s3, lock = {"endpoint": f"http://{self.line.address}", "timeout_seconds": 5, **keys}, {"mode": "COMPLIANCE", "days": 1}
        self.settings = {"bucket": "s3://trail/shop", "s3": s3, "lock": lock}
        self.environment = {
            "TRAIL_SECRET": s3_service.SECRET_KEY,
            "AWS_ACCESS_KEY_ID": s3_service.ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": s3_service.SECRET_KEY,
        }

    def files(self):
        return {key.removeprefix("shop/"): body for key, body in sorted(self.store.objects("trail", "shop/").items())}


@pytest.fixture(params=["directory", "s3"])
def place(request, tmp_path):
    if request.param == "directory":
        yield Directory(tmp_path / "trail")
        return
    if s3_service.is_left_out():
        pytest.skip("left out: it needs go")
    with s3_service.running() as store:
        yield Bucket(store)


def audit(command, place, *arguments):
    words = [BINARY, "audit", command, *map(str, place.arguments), *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **place.environment})


def configured(directory, place, **settings):
    path = directory / "tailrace.json"
    path.write_text(json.dumps({"sinks": {"trail": {"from": TABLES, "to": "audit", **place.settings, **settings}}}))
    return path


def is_drained(server):
    def drained():
        with contextlib.suppress(OSError):
            [sink] = server.admin("sinks")["sinks"]
            return sink["state"] == "running" and sink["lagRecords"] == 0
        return False

    return drained


def entries(place):
    """The lines of the trail that are entries, by chain."""
    found = {}
    for name, body in place.files().items():
        lines = [json.loads(line) for line in body.splitlines(keepends=True) if line.endswith(b"\n")]
        found.setdefault(name.rsplit("/", 1)[0], []).extend(line for line in lines if "lsn" in line)
    return found


def actions(place):
    """What was done to tables and sinks."""
    return [entry["action"] for name, chain in entries(place).items() if name.startswith("control/") for entry in chain]


def test_a_trail_has_every_change_once_whatever_is_killed_or_down(tmp_path, place):
    """Spec: sinks.md 7, 9: shards of both tables are sealed in between, and their chains go on in the children's."""
    begin = beginning(tmp_path, ["--config", str(configured(tmp_path, place)), "--shards", str(SHARDS)], env=place.environment)
    with Ordeal(begin, place, tables=TABLES) as story:
        place.story = story
        wait_until(lambda: actions(place).count("StartAudit") == 2, "both tables to come into the trail")
        server = story.run()
        wait_until(is_drained(server), "the trail to have every record", CAUGHT_UP_SECONDS_MAX)
        verified = audit("verify", place, "--against", server.url, "--complete")
        assert verified.returncode == 0, verified.stdout + verified.stderr

        by_request = {}
        for entry in [entry for chain in entries(place).values() for entry in chain if "keys" in entry]:
            assert entry["principal"] == "tailrace", entry
            assert entry["request_id"] not in by_request, "one change a request"
            by_request[entry["request_id"]] = (entry["table"], entry["operation"])
        acknowledged = story.writers.acknowledged
        lost = {id: call for id, call in acknowledged.items() if by_request.get(id) != call}
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged writes"
        if isinstance(place, Bucket):
            key = next(iter(place.store.objects("trail")))
            retention = place.store.client().get_object_retention(Bucket="trail", Key=key)["Retention"]
            assert retention["Mode"] == "COMPLIANCE", retention
            assert place.line.broken > 0, "the line did not break"
        assert server.stop() == 0, server.output()


def test_what_is_done_to_tables_and_sinks_is_in_the_trail_and_a_change_of_it_is_found(start, tmp_path):
    place = Directory(tmp_path / "trail")
    server = start("--config", str(configured(tmp_path, place, strict=True)))
    client = server.client()
    for table in TABLES:
        make_table(client, table, stream="NEW_AND_OLD_IMAGES")
    # The first write has who asked for it, too.
    client.put_item(TableName="Orders", Item={"pk": {"S": "a"}})
    wait_until(lambda: actions(place).count("StartAudit") == 2, "both tables to come into the trail")
    client.update_table(TableName="Users", DeletionProtectionEnabled=True)
    wait_until(lambda: "UpdateTable" in actions(place), "the entry")
    bucket = {"BucketARN": "arn:aws:s3:::lake", "RoleARN": "arn:aws:iam::000000000000:role/r"}
    made = server.client("firehose").create_delivery_stream(DeliveryStreamName="clicks", ExtendedS3DestinationConfiguration=bucket)

    def of_the_delivery_stream():
        control = [entry for name, chain in entries(place).items() if name.startswith("control/") for entry in chain]
        return [entry for entry in control if entry["resource"] == "deliverystream/clicks"]

    [entry] = wait_until(of_the_delivery_stream, "the entry of the delivery stream")
    assert (entry["action"], entry["operation"], entry["principal"]) == ("CreateDeliveryStream", "CreateDeliveryStream", "tailrace")
    assert entry["request_id"] == made["ResponseMetadata"]["RequestId"]
    assert "before" not in entry and '"BucketARN":"arn:aws:s3:::lake"' in entry["after"]
    wait_until(is_drained(server), "the trail to have every record")
    pause = urllib.request.Request(
        f"{server.url}/_admin/sinks",
        data=json.dumps({"name": "trail", "action": "pause"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(pause, timeout=90).read()
    # It is the last thing that the trail tells of.
    assert actions(place)[-1] == "PauseSink", actions(place)

    assert audit("verify", place).returncode == 0
    shown = audit("show", place, "a", "--table", "Orders")
    assert 'INSERT pk="a"' in shown.stdout and "by tailrace PutItem" in shown.stdout, shown.stdout
    [path] = [path for path in place.folder.rglob("*.jsonl") if b'"PutItem"' in path.read_bytes()]
    path.write_bytes(path.read_bytes().replace(b'"pk":{"S":"a"}', b'"pk":{"S":"b"}', 1))
    found = audit("verify", place)
    assert found.returncode == 1 and ": entry 0: " in found.stdout, found.stdout


def test_a_trail_that_cannot_be_is_refused_at_start(tmp_path):
    place = Directory(tmp_path / "trail")
    for settings, why in [
        ({"where": {"a": ["x"]}}, "`where` and `events` are not for it"),
        ({"images": "hmac"}, "images: hmac needs an hmac_key"),
        ({"imagse": "full"}, "unknown field `imagse`"),
        ({"dir": ""}, "dir is missing"),
        ({"bucket": "s3://trail/x"}, "dir and bucket"),
    ]:
        server = Server(tmp_path / "data", "--config", str(configured(tmp_path, place, **settings)))
        assert server.process.wait(90) == 1
        assert why in server.output(), server.output()
        server.output_file.close()
        server.output_path.unlink()


def test_what_was_taken_out_of_a_trail_is_found_by_what_the_server_knows(start, tmp_path):
    """Spec: sinks.md 7, completeness: the end of a chain leaves no hash behind that would tell that it is gone."""
    server = start()
    for table in TABLES:
        make_table(server.client(), table, stream="NEW_AND_OLD_IMAGES")
    for n in range(12):
        server.client().put_item(TableName="Orders", Item={"pk": {"S": str(n)}})
    server.stop()
    places = {begin: Directory(tmp_path / begin) for begin in ["trim_horizon", "snapshot", "latest"]}
    trails = {begin: {"from": TABLES, "to": "audit", "start": begin, **place.settings} for begin, place in places.items()}
    (tmp_path / "tailrace.json").write_text(json.dumps({"sinks": trails}))
    server = start("--config", str(tmp_path / "tailrace.json"))

    def drained():
        return all(sink["state"] == "running" and sink["lagRecords"] == 0 for sink in server.admin("sinks")["sinks"])

    wait_until(drained, "the trails to begin")
    for n in range(12):
        for table in TABLES:
            server.client().put_item(TableName=table, Item={"pk": {"S": str(n)}, "n": {"N": str(n)}})
    wait_until(drained, "the trails to have every record")

    def verified(place):
        return audit("verify", place, "--against", server.url, "--complete")

    # What was before a trail began is not missing.
    for place in places.values():
        assert verified(place).returncode == 0, verified(place).stdout
    whole = places["trim_horizon"]
    chains = sorted((whole.folder / "tables/Orders").iterdir())
    file = next(chains[0].iterdir())
    segments = file.read_bytes().split(b'{"chain":')
    file.write_bytes(b'{"chain":'.join(segments[:-1]))
    assert audit("verify", whole).returncode == 0, "its hashes are right"
    assert "it is missing: the chain had" in verified(whole).stdout
    for chain in chains:
        shutil.rmtree(chain)
    # The control chain names what is gone.
    alone = audit("verify", whole)
    assert alone.returncode == 1 and alone.stdout.count("and is not there") == len(chains), alone.stdout
    # Without it nothing does but the server.
    control = whole.folder / "control"
    control.rename(tmp_path / "control")
    alone = audit("verify", whole)
    assert alone.returncode == 0 and "nothing names its chains" in alone.stderr, alone.stderr
    (tmp_path / "control").rename(control)
    gone = verified(whole)
    assert gone.returncode == 1 and gone.stdout.count("and is not there") == len(chains), gone.stdout


def test_a_table_that_is_not_entered_is_no_complete_trail(start, tmp_path):
    """A stream without images is waited for: the trail has no chain of the table that could be compared with its shards."""
    place = Directory(tmp_path / "trail")
    server = start("--config", str(configured(tmp_path, place, strict=True)))
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    make_table(server.client(), "Users", stream="KEYS_ONLY")
    server.client().put_item(TableName="Orders", Item={"pk": {"S": "a"}})

    def is_entered():
        [sink] = server.admin("sinks")["sinks"]
        return sink["lagRecords"] == 0 and any(name.startswith("tables/Orders/") for name in entries(place))

    wait_until(is_entered, "the trail to have every record")
    complete = ["verify", place, "--against", server.url, "--complete"]
    # Nothing is missing of a stream that has no records.
    assert audit(*complete).returncode == 0, audit(*complete).stdout
    server.client().put_item(TableName="Users", Item={"pk": {"S": "a"}})
    found = audit(*complete)
    assert found.returncode == 1, found.stdout + found.stderr
    assert "Users is not entered, and its stream has records: " in found.stdout, found.stdout
    assert audit(*complete[:-1]).returncode == 0, "what may be left to enter is none without --complete"


def test_a_trail_that_is_taken_out_of_the_configuration_says_so_itself(start, tmp_path):
    """Spec: sinks.md 7: turning audit off is itself an entry."""
    place = Directory(tmp_path / "trail")
    config = configured(tmp_path, place)
    server = start("--config", str(config))
    for table in TABLES:
        make_table(server.client(), table, stream="NEW_AND_OLD_IMAGES")
    server.client().put_item(TableName="Orders", Item={"pk": {"S": "seen"}})
    wait_until(is_drained(server), "the trail to have every record")
    server.stop()
    config.write_text(json.dumps({"sinks": {}}))
    server = start("--config", str(config))
    server.client().put_item(TableName="Orders", Item={"pk": {"S": "unseen"}})
    wait_until(lambda: actions(place).count("StopAudit") == len(TABLES), "the trail to tell that it ends")
    removed = subprocess.run(
        [BINARY, "sinks", "--endpoint", server.url, "remove", "trail"], capture_output=True, text=True, timeout=300
    )
    assert removed.returncode == 0, removed.stderr
    assert actions(place)[-1] == "RemoveSink", actions(place)
    assert audit("verify", place, "--against", server.url).returncode == 0


def failing(server):
    (sink,) = server.admin("sinks")["sinks"]
    return sink.get("lastError")


def test_a_person_is_forgotten(start, tmp_path):
    """Spec: sinks.md 7, privacy: keys of persons, which can be thrown away."""
    place = Directory(tmp_path / "trail")
    settings = {"images": "hmac", "hmac_key": "0123456789abcdef", "subject": "mail", "strict": True}
    server = start("--config", str(configured(tmp_path, place, **settings)))
    client = server.client()
    for table in TABLES:
        make_table(client, table, stream="NEW_AND_OLD_IMAGES")

    def put(count):
        client.put_item(TableName="Orders", Item={"pk": {"S": "a"}, "mail": {"S": "ann@example.com"}, "n": {"N": str(count)}})

        def orders():
            return [line for name, chain in entries(place).items() if name.startswith("tables/Orders/") for line in chain]

        wait_until(lambda: len(orders()) == count, "the entry")
        return orders()[-1]["new_image"]["mail"]["HMAC"]

    def forget(value):
        words = [BINARY, "sinks", "--endpoint", server.url, "forget", "trail", value]
        return subprocess.run(words, capture_output=True, text=True, timeout=300)

    before = put(1)
    assert put(2) == before
    assert "knows nobody of this value" in forget("bob@example.com").stderr
    assert forget("ann@example.com").returncode == 0
    wait_until(lambda: "ForgetSubject" in actions(place), "the entry")
    assert put(3) != before
    assert audit("verify", place).returncode == 0

    # What was tried has to come again as it was: nobody is forgotten in between.
    away = tmp_path / "away"
    (tmp_path / "trail").rename(away)
    (tmp_path / "trail").write_text("no directory")
    client.put_item(TableName="Orders", Item={"pk": {"S": "a"}, "mail": {"S": "ann@example.com"}, "n": {"N": "4"}})
    wait_until(lambda: failing(server), "a failure")
    assert "is on its way" in forget("ann@example.com").stderr
    (tmp_path / "trail").unlink()
    away.rename(tmp_path / "trail")
    wait_until(lambda: forget("ann@example.com").returncode == 0, "the segment, and that a person is forgotten behind it")
    assert audit("verify", place).returncode == 0
