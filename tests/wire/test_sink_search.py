"""The search sink against a real OpenSearch: the index holds what the table holds, whoever is killed.

TAILRACE_SEED sets the writes' seed. Rows: docs/spec/sinks.md 1, 3.3 and 9.
"""

import base64
import decimal
import json
import os
import random
import shutil
import subprocess
import types

import pytest

from conftest import BINARY, REPOSITORY, Server, free_port, read_stream, wait_until
from opensearch import OpenSearch
from ordeal import SHARDS, Line, Ordeal, delete_expired, put_expired

SEED = int(os.environ.get("TAILRACE_SEED", "1"))
CAUGHT_UP_SECONDS_MAX = 180

TEMPLATE = """
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Orders
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: sk, AttributeType: N}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: sk, KeyType: RANGE}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
"""


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    node = OpenSearch(tmp_path_factory.mktemp("opensearch") / "node").start()
    yield node
    node.kill()


class Shop:
    """A project with the table Orders and sinks; the server is started anew on one port and data directory."""

    def __init__(self, tmp_path, sinks, arguments):
        self.arguments = ["--shards", str(SHARDS), *arguments]
        self.project, self.data_dir, self.port = tmp_path / "shop", tmp_path / "data", free_port()
        self.project.mkdir()
        (self.project / "template.yaml").write_text(TEMPLATE)
        self.declare(sinks)
        self.server = None

    def declare(self, sinks):
        (self.project / "tailrace.yaml").write_text(json.dumps({"sinks": sinks}))

    def start(self):
        self.server = Server(self.data_dir, *self.arguments, command="up", positional=[self.project], port=self.port).wait_ready()
        self.dynamodb = self.server.client(retries={"max_attempts": 10})
        return self

    def sinks(self, *arguments):
        """`tailrace sinks`, which waits for what it has begun."""
        command = [BINARY, "sinks", *arguments, "--endpoint", self.server.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CAUGHT_UP_SECONDS_MAX)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self, name):
        return next(sink for sink in self.server.admin("sinks")["sinks"] if sink["name"] == name)

    def expected(self):
        """The documents that the table's items are, by id."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName="Orders", ConsistentRead=True)
        return {document_id(item): plain({"M": item}) for page in pages for item in page["Items"]}

    def wait_for(self, search, index):
        expected = self.expected()

        def equal():
            found = search.documents(index)
            return found == expected or None

        wait_until(equal, f"{len(expected)} documents in {index}", CAUGHT_UP_SECONDS_MAX)
        return expected


@pytest.fixture
def shop(tmp_path):
    shops = []

    def make(sinks, *arguments):
        shops.append(Shop(tmp_path, sinks, arguments))
        return shops[-1].start()

    yield make
    for made in shops:
        if made.server.process.poll() is None:
            made.server.kill()


def document_id(item):
    frame = f"{len(item['pk']['S'].encode())}:{item['pk']['S']}|{item['sk']['N']}".encode()
    if all(0x20 <= byte <= 0x7E and byte not in b'"\\' for byte in frame):
        return frame.decode()
    return "~" + base64.urlsafe_b64encode(frame).decode().rstrip("=")


def plain(value):
    """A value as its document has it."""
    ((kind, held),) = value.items()
    if kind == "M":
        return {name: plain(member) for name, member in held.items()}
    if kind == "L":
        return [plain(element) for element in held]
    if kind == "B":
        return base64.b64encode(held).decode()
    if kind == "BS":
        return [base64.b64encode(member).decode() for member in sorted(held)]
    if kind == "N":
        return decimal.Decimal(held)
    if kind == "NS":
        return [decimal.Decimal(member) for member in held]
    if kind == "NULL":
        return None
    return held


def write(dynamodb, chance, number):
    key = {"pk": {"S": chance.choice(["a", "b|c", "é", '"', "order 7"])}, "sk": {"N": str(chance.randrange(40))}}
    dice = chance.random()
    if dice < 0.25:
        dynamodb.delete_item(TableName="Orders", Key=key)
    elif dice < 0.5:
        dynamodb.update_item(
            TableName="Orders",
            Key=key,
            UpdateExpression="SET #t = :t",
            ExpressionAttributeNames={"#t": "total"},
            ExpressionAttributeValues={":t": {"N": f"{number}.25"}},
        )
    else:
        dynamodb.put_item(TableName="Orders", Item={**key, **attributes(number)})


def attributes(number):
    """Of every type; together they are another item for every number."""
    return {
        "total": {"N": f"{number}.5"},
        "exact": {"N": "0.12345678901234567890123456789012345678"},
        "tags": {"SS": ["x", "y"]},
        "raw": {"B": bytes([number % 256, 0])},
        "lines": {"L": [{"N": "1.50"}, {"N": str(number)}]},
        "address": {"M": {"zip": {"S": str(number)}, "floor": {"NULL": True}}},
    }


def to(search, index):
    return f"opensearch+{search.url}/{index}"


def test_the_index_holds_the_snapshot_and_what_follows(shop, search):
    made = shop({})
    chance = random.Random(SEED)
    for number in range(200):
        write(made.dynamodb, chance, number)
    assert made.server.stop() == 0
    made.declare({"search": {"from": "Orders", "to": to(search, "orders"), "start": "snapshot"}})
    made.start()
    made.wait_for(search, "orders")
    for number in range(200, 400):
        write(made.dynamodb, chance, number)
    assert made.wait_for(search, "orders")
    assert search.ask("GET", "/_alias/orders")[1] == {"orders-v1": {"aliases": {"orders": {}}}}
    settings = search.ask("GET", "/orders-v1/_settings")[1]["orders-v1"]["settings"]["index"]
    assert settings["gc_deletes"] == "1h"


def write_among_others(client, dice, table, number, count):
    """As `write`, of keys that the other writers do not have."""
    key = {"pk": {"S": dice.choice(["a", "b|c", "é", '"', "order 7"])}, "sk": {"N": str(dice.randrange(8) * 3 + number)}}
    match dice.randrange(4):
        case 0:
            return "DeleteItem", client.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")
        case 1:
            change = {"UpdateExpression": "SET amount = :n", "ExpressionAttributeValues": {":n": {"N": f"{count}.25"}}}
            return "UpdateItem", client.update_item(TableName=table, Key=key, **change)
        case _:
            return "PutItem", client.put_item(TableName=table, Item={**key, **attributes(count)})


class Outages:
    """The node is killed once: it begins slowly. Then it cannot be reached."""

    def __init__(self, search, line):
        self.ways, self.way = [line, line, types.SimpleNamespace(stop=search.kill, start=search.start)], None

    def stop(self):
        self.way = self.ways.pop() if len(self.ways) > 1 else self.ways[0]
        self.way.stop()

    def start(self):
        self.way.start()


def test_an_index_and_a_log_equal_the_history_after_kills_outages_and_lines_that_break(shop, search):
    """Spec: sinks.md 3.3, 9: shards are sealed in between; the log has every change once, as one document."""
    line = Line(search.port)
    to = f"opensearch+http://{line.address}"
    made = shop(
        {
            "search": {"from": "Orders", "to": f"{to}/killed", "start": "snapshot", "flush": {"records": 50, "seconds": 0}},
            "trail": {"from": "Orders", "to": f"{to}/trail", "mode": "log", "rotation": "OneMonth", "flush": {"records": 50, "seconds": 0}},
        }
    )
    begin = lambda: made.server if made.server.process.poll() is None else made.start().server
    with Ordeal(begin, Outages(search, line), make=None, write=write_among_others) as story:
        server = story.run()
        made.wait_for(search, "killed")
        arn = made.dynamodb.describe_table(TableName="Orders")["Table"]["LatestStreamArn"]
        history = {record["eventID"]: record for record in read_stream(server.client("dynamodbstreams"), arn)}

        def whole():
            found = search.documents("trail-*")
            return found if len(found) >= len(history) else None

        found = wait_until(whole, f"{len(history)} entries", CAUGHT_UP_SECONDS_MAX)
        assert found.keys() == history.keys()
        for event_id, entry in found.items():
            change = history[event_id]["dynamodb"]
            assert entry["event_name"] == history[event_id]["eventName"]
            assert entry["sequence_number"] == change["SequenceNumber"]
            for name, image in (("keys", "Keys"), ("new_image", "NewImage"), ("old_image", "OldImage")):
                assert entry.get(name) == (plain({"M": change[image]}) if image in change else None)
        assert line.broken > 0, "the line did not break"


def test_the_document_of_an_item_that_expires_goes(shop, search):
    """Spec: sinks.md 3.3 and 9, a REMOVE by the service."""
    made = shop({"search": {"from": "Orders", "to": to(search, "expiring")}}, "--ttl-delay", "1h")
    put_expired(made.server, "Orders", {"pk": {"S": "gone"}, "sk": {"N": "1"}})
    made.dynamodb.put_item(TableName="Orders", Item={"pk": {"S": "stays"}, "sk": {"N": "1"}})
    assert len(made.wait_for(search, "expiring")) == 2
    assert delete_expired(made.server) == 1
    assert list(made.wait_for(search, "expiring")) == ["5:stays|1"]


def test_a_rebuild_moves_the_alias_to_a_whole_index(shop, search):
    made = shop({"search": {"from": "Orders", "to": to(search, "rebuilt"), "start": "snapshot"}})
    chance = random.Random(SEED)
    for number in range(200):
        write(made.dynamodb, chance, number)
    made.wait_for(search, "rebuilt")
    # What nobody's change brought there is gone with the index.
    search.ask("PUT", "/rebuilt-v1/_doc/stranger?refresh=true", {"pk": "stranger"})
    made.sinks("rebuild", "search")
    wait_until(lambda: "rebuilt-v2" in search.ask("GET", "/_alias/rebuilt")[1], "the alias", CAUGHT_UP_SECONDS_MAX)
    made.wait_for(search, "rebuilt")
    assert search.ask("HEAD", "/rebuilt-v1")[0] == 404


def test_searches_see_what_the_newest_sink_fills(shop, search):
    """A sink of another name, or of another address of the same cluster, takes the alias over when its index is whole."""
    made = shop({"first": {"from": "Orders", "to": to(search, "renamed")}})
    chance = random.Random(SEED)
    for number in range(20):
        write(made.dynamodb, chance, number)
    made.wait_for(search, "renamed")
    made.sinks("rebuild", "first")
    made.server.stop()
    made.declare({"second": {"from": "Orders", "to": to(search, "renamed")}})
    made.start()
    for number in range(20, 40):
        write(made.dynamodb, chance, number)
    made.wait_for(search, "renamed")
    made.server.stop()
    made.declare({"second": {"from": "Orders", "to": to(search, "renamed").replace("127.0.0.1", "localhost")}})
    made.start()
    for number in range(40, 60):
        write(made.dynamodb, chance, number)
    made.wait_for(search, "renamed")


def test_an_index_of_another_database_is_left_alone(shop, search, tmp_path):
    made = shop({"search": {"from": "Orders", "to": to(search, "foreign")}})
    write(made.dynamodb, random.Random(SEED), 1)
    before = made.wait_for(search, "foreign")
    made.server.stop()
    made.data_dir = tmp_path / "another"
    made.start()
    write(made.dynamodb, random.Random(SEED + 1), 2)
    wait_until(lambda: "another data directory" in made.status("search").get("lastError", ""), "what is told")
    assert search.documents("foreign") == before


def test_what_the_mapping_does_not_take_is_parked_and_stops_nothing(shop, search):
    mappings = {"properties": {"total": {"type": "double"}}}
    made = shop({"search": {"from": "Orders", "to": to(search, "strict"), "mappings": mappings}})
    good = {"pk": {"S": "a"}, "sk": {"N": "1"}, "total": {"N": "1.5"}}
    bad = {"pk": {"S": "a"}, "sk": {"N": "2"}, "total": {"S": "much"}}
    made.dynamodb.put_item(TableName="Orders", Item=good)
    wait_until(lambda: set(search.documents("strict")) == {"1:a|1"} or None, "the first document", CAUGHT_UP_SECONDS_MAX)
    made.dynamodb.put_item(TableName="Orders", Item=bad)
    made.dynamodb.put_item(TableName="Orders", Item={**good, "sk": {"N": "3"}})
    ids = lambda: set(search.documents("strict")) == {"1:a|1", "1:a|3"} or None
    wait_until(ids, "the two good documents", CAUGHT_UP_SECONDS_MAX)
    wait_until(lambda: made.status("search")["parked"] == 1, "the parked record")
    # A snapshot goes on too, and says which item is not there, for as long as it is not.
    made.sinks("rebuild", "search")
    wait_until(ids, "the two good documents again", CAUGHT_UP_SECONDS_MAX)
    (source,) = made.status("search")["sources"]
    assert source["snapshotRejected"] == 1
    assert json.loads(source["snapshotLastRejected"]["key"]) == {"pk": bad["pk"], "sk": bad["sk"]}
    assert "total" in source["snapshotLastRejected"]["error"]


def test_the_example_fills_an_index_where_there_is_a_search_engine(tmp_path, search):
    """examples/orders/README.md, the third walk."""
    example = tmp_path / "orders"
    shutil.copytree(REPOSITORY / "examples/orders", example, ignore=shutil.ignore_patterns(".tailrace"))
    # A sink writes nothing over what another server has written.
    for there in search.ask("GET", "/_cat/indices/orders*?format=json")[1]:
        search.ask("DELETE", f"/{there['index']}")
    up = [BINARY, "up", example, "--port", str(free_port()), "--exit-when-drained"]
    run = subprocess.run(up, capture_output=True, text=True, timeout=120, env={**os.environ, "ORDERS_SEARCH": search.url})
    assert run.returncode == 0, run.stdout + run.stderr
    assert len(search.documents("orders")) == 2
