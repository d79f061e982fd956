"""A sink into PostgreSQL, end to end: the real server, killed, and a real PostgreSQL that goes down; in the end its tables equal
the table's history.

Rows: docs/spec/sinks.md 1, 4.2, 9.
"""

import json
import random
import signal
import sys
import threading
import urllib.request

import boto3.dynamodb.types
import botocore.exceptions
import pytest

from conftest import REPOSITORY, Server, free_port, read_stream, wait_until

sys.path.insert(0, str(REPOSITORY / "tests"))
from services import postgres as postgres_service  # noqa: E402

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Orders
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
"""

CONFIG = """
sinks:
  wh: {from: Orders, to: "URL", password: "${env:WAREHOUSE_PASSWORD}", table: orders,
       columns: {total: "total.N numeric(20,2)"}, flush: {seconds: 0.05}}
  log: {from: Orders, to: "URL", table: changes, mode: append, start: trim_horizon, flush: {seconds: 0.05}}
"""

KILLS = 10
OUTAGES = 3
SEED = 5
KEYS = 40


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    with postgres_service.running() as server:
        yield server


@pytest.fixture
def database(postgres):
    """An empty schema."""
    postgres.rows("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return postgres


@pytest.fixture
def application(tmp_path, database):
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "tailrace.yaml").write_text(CONFIG.replace("URL", database.url))
    return folder


def start(application, data_dir, port=None):
    server = Server(
        data_dir,
        command="up",
        positional=[application],
        port=port or free_port(),
        # A database that asks for no password does not look at it.
        env={"WAREHOUSE_PASSWORD": "unseen"},
    )
    return server.wait_ready()


def sinks(server):
    return {sink["name"]: sink for sink in server.admin("sinks")["sinks"]}


def do(server, name, action):
    body = json.dumps({"name": name, "action": action}).encode()
    request = urllib.request.Request(f"{server.url}/_admin/sinks", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def items(server):
    plain = boto3.dynamodb.types.TypeDeserializer()
    found = {}
    for page in server.client().get_paginator("scan").paginate(TableName="Orders", ConsistentRead=True):
        for item in page["Items"]:
            found[item["id"]["S"]] = {name: plain.deserialize(value) for name, value in item.items()}
    return found


def table_of(database):
    """The rows of the items' table: by key, the promoted column and the document's."""
    if not database.rows("SELECT 1 FROM pg_class WHERE relname = 'orders'"):
        return {}
    return {key: (total, in_doc) for key, total, in_doc in database.rows("SELECT id, total, doc->>'total' FROM orders")}


def expected_of(server):
    def shown(item):
        total = item.get("total")
        return (None, None) if total is None else (f"{total:.2f}", str(total))

    return {key: shown(item) for key, item in items(server).items()}


class Writers:
    """Two writers with keys of their own, which go on whatever happens to the server."""

    def __init__(self):
        self.server = None
        self.stopping = False
        self.done = 0
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(2)]

    def run(self, number):
        dice = random.Random(SEED * 100 + number)
        client, server, counter = None, None, 0
        while not self.stopping:
            if server is not self.server:
                server = self.server
                client = server.client(connect_timeout=1, read_timeout=90)
            key, counter = f"k{dice.randrange(number, KEYS, 2)}", counter + 1
            try:
                match dice.randrange(10):
                    case 0 | 1:
                        client.delete_item(TableName="Orders", Key={"id": {"S": key}})
                    case 2:
                        client.put_item(TableName="Orders", Item={"id": {"S": key}, "note": {"S": "no total é\t\\ \"x\""}})
                    case _:
                        client.put_item(TableName="Orders", Item={"id": {"S": key}, "total": {"N": f"{counter}.5"}})
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                continue
            self.done += 1


def test_tables_equal_the_history_after_kills_and_outages(application, database, tmp_path):
    data_dir, port, dice = tmp_path / "data", free_port(), random.Random(SEED)
    writers = Writers()
    writers.server = start(application, data_dir, port)
    for thread in writers.threads:
        thread.start()

    def written(more):
        target = writers.done + more
        wait_until(lambda: writers.done >= target, f"{target} writes", 60)

    for kill in range(KILLS):
        written(dice.randrange(50, 200))
        if kill % (KILLS // OUTAGES) == 1:
            # As a crash, and for a while.
            database.stop(signal.SIGQUIT)
            written(dice.randrange(50, 200))
            writers.server.kill()
            writers.server = start(application, data_dir, port)
            written(50)
            database.start()
        else:
            writers.server.kill()
            writers.server = start(application, data_dir, port)
    written(100)
    writers.stopping = True
    for thread in writers.threads:
        thread.join()
    server = writers.server
    wait_until(lambda: table_of(database) == expected_of(server), "the table to equal the items", 120)

    streams = server.client("dynamodbstreams")
    arn = server.client().describe_table(TableName="Orders")["Table"]["LatestStreamArn"]
    records = read_stream(streams, arn)

    def changes():
        if not database.rows("SELECT 1 FROM pg_class WHERE relname = 'changes'"):
            return []
        return database.rows("SELECT id, _event, new_image->>'total' FROM changes ORDER BY id, _lsn")

    def change(record):
        image = record["dynamodb"].get("NewImage", {})
        return record["dynamodb"]["Keys"]["id"]["S"], record["eventName"], image.get("total", {}).get("N")

    # Stable: the changes of an item are in one shard, or in a parent and then its child.
    history = sorted(map(change, records), key=lambda change: change[0])
    wait_until(lambda: len(changes()) >= len(history), "every change to be in the log", 120)
    assert changes() == history, "each change is there once, in the order of its item"
    assert {name: sink["state"] for name, sink in sinks(server).items()} == {"wh": "running", "log": "running"}
    assert server.stop() == 0, server.output()


def test_values_that_the_database_refuses_are_parked_alone_and_brought_by_a_retry(application, database, tmp_path):
    server = start(application, tmp_path / "data")
    client = server.client()
    client.put_item(TableName="Orders", Item={"id": {"S": "first"}, "total": {"N": "1"}})
    wait_until(lambda: table_of(database) == expected_of(server), "the first item")
    database.rows("ALTER TABLE orders ADD CHECK (total < 100)")
    for key, value in [("a", {"N": "5"}), ("b", {"N": "500"}), ("c", {"S": "x"}), ("d", {"N": "7"})]:
        client.put_item(TableName="Orders", Item={"id": {"S": key}, "total": value})
    wait_until(lambda: set(table_of(database)) == {"first", "a", "d"}, "the others to be there")
    wait_until(lambda: sinks(server)["wh"]["parked"] == 2, "two parked records")
    database.rows("ALTER TABLE orders DROP CONSTRAINT orders_total_check")
    do(server, "wh", "retry")
    wait_until(lambda: set(table_of(database)) == {"first", "a", "b", "d"}, "the one that was mended")
    assert sinks(server)["wh"]["parked"] == 1
    assert server.stop() == 0, server.output()


def test_a_rebuild_mends_what_somebody_has_broken(application, database, tmp_path):
    server = start(application, tmp_path / "data")
    client = server.client()
    for number in range(30):
        client.put_item(TableName="Orders", Item={"id": {"S": f"k{number}"}, "total": {"N": str(number)}})
    wait_until(lambda: table_of(database) == expected_of(server), "the items")
    database.rows("DELETE FROM orders WHERE total < 10; UPDATE orders SET total = 0; INSERT INTO orders "
                  "SELECT 'ghost', total, doc, _event_time, _lsn, _generation FROM orders WHERE id = 'k20'")
    do(server, "wh", "rebuild")
    wait_until(lambda: table_of(database) == expected_of(server), "the items again")
    database.rows("DROP TABLE orders")
    client.put_item(TableName="Orders", Item={"id": {"S": "late"}})
    wait_until(lambda: "orders" in (sinks(server)["wh"].get("lastError") or ""), "the table to be missed")
    do(server, "wh", "rebuild")
    wait_until(lambda: table_of(database) == expected_of(server), "the items in a new table")
    assert server.stop() == 0, server.output()


def test_a_database_restored_from_a_backup_gets_what_it_lacks(application, database, tmp_path):
    """docs/spec/sinks.md 4.2: the target's progress is trusted over the checkpoint; what it has lost comes again, once."""
    server = start(application, tmp_path / "data")
    client = server.client()

    def put(numbers):
        for number in numbers:
            client.put_item(TableName="Orders", Item={"id": {"S": f"k{number % 7}"}, "total": {"N": str(number)}})

    def changes():
        return database.rows("SELECT id, new_image->>'total' FROM changes ORDER BY id, _lsn")

    def history(end):
        return sorted(((f"k{number % 7}", str(number)) for number in range(end)), key=lambda change: change[0])

    def arrived(end):
        wait_until(lambda: table_of(database) == expected_of(server) and len(changes()) >= end, f"{end} changes", 60)
        assert changes() == history(end), "each change is there once, in the order of its item"

    tables = ["orders", "changes", "_tailrace_progress", "_tailrace_targets", "_tailrace_rejected"]
    put(range(40))
    arrived(40)
    database.rows("CREATE SCHEMA backup; " + "; ".join(f"CREATE TABLE backup.{name} AS TABLE public.{name}" for name in tables))
    put(range(40, 80))
    arrived(80)
    restore = [f"TRUNCATE public.{name}; INSERT INTO public.{name} SELECT * FROM backup.{name}" for name in tables]
    database.rows("BEGIN; " + "; ".join(restore) + "; COMMIT")
    assert len(changes()) == 40
    # All shards have a change to bring: who has none does not look.
    put(range(80, 120))
    arrived(120)
    # The same with the server started anew, and by a database that knows nothing of it any more.
    assert server.stop() == 0, server.output()
    database.rows("BEGIN; " + "; ".join(restore) + "; COMMIT")
    server = start(application, tmp_path / "data")
    client = server.client()
    put(range(120, 160))
    arrived(160)
    database.rows("TRUNCATE orders, _tailrace_progress")
    put(range(160, 200))
    wait_until(lambda: "tailrace sinks rebuild wh" in (sinks(server)["wh"].get("lastError") or ""), "to be told")
    do(server, "wh", "rebuild")
    wait_until(lambda: table_of(database) == expected_of(server), "the items again", 60)
    assert server.stop() == 0, server.output()
