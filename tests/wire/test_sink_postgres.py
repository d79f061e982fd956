"""A sink into PostgreSQL, end to end: the real server, killed, and a real PostgreSQL that goes down; in the end its tables equal
the table's history.

Rows: docs/spec/sinks.md 1, 4.2, 9.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import types
import urllib.request

import boto3.dynamodb.types
import pytest

from conftest import BINARY, REPOSITORY, Server, free_port, make_table, read_stream, wait_until
from ordeal import CAUGHT_UP_SECONDS_MAX, Line, Ordeal, beginning, configured, delete_expired, put_expired

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


def exists(database, table):
    return bool(database.rows(f"SELECT 1 FROM pg_class WHERE relname = '{table}'"))


def test_tables_equal_the_history_after_kills_outages_and_lines_that_break(database, tmp_path):
    """Spec: sinks.md 4.2, 9: shards are sealed in between."""
    line = Line(database.port)
    url = f"postgres://postgres@{line.address}/postgres"
    wh = {"table": "orders", "start": "snapshot", "columns": {"total": "amount.N numeric(20,2)"}, "password": "${env:WAREHOUSE_PASSWORD}"}
    log = {"table": "changes", "mode": "append", "start": "trim_horizon"}
    sinks_of_it = {name: {"from": "Orders", "to": url, "flush": {"seconds": 0.05}, **more} for name, more in {"wh": wh, "log": log}.items()}
    # A database that asks for no password does not look at it.
    begin = beginning(tmp_path, configured(tmp_path, sinks_of_it), env={"WAREHOUSE_PASSWORD": "unseen"})
    # As a crash, and for a while.
    outage = types.SimpleNamespace(stop=lambda: database.stop(signal.SIGQUIT), start=database.start)
    with Ordeal(begin, outage) as story:
        server = story.run()
        plain = boto3.dynamodb.types.TypeDeserializer()
        pages = server.client().get_paginator("scan").paginate(TableName="Orders", ConsistentRead=True)
        items = {item["pk"]["S"]: item.get("amount") for page in pages for item in page["Items"]}
        amounts = {key: plain.deserialize(amount) if amount else None for key, amount in items.items()}
        expected = {key: (None, None) if amount is None else (f"{amount:.2f}", str(amount)) for key, amount in amounts.items()}

        def rows():
            if not exists(database, "orders"):
                return {}
            found = database.rows("SELECT pk, total, doc->>'amount' FROM orders")
            assert len(found) == len({key for key, *_ in found}), "a row is there twice"
            return {key: (total, in_doc) for key, total, in_doc in found}

        wait_until(lambda: rows() == expected, "the table to equal the items", CAUGHT_UP_SECONDS_MAX)
        arn = server.client().describe_table(TableName="Orders")["Table"]["LatestStreamArn"]
        records = read_stream(server.client("dynamodbstreams"), arn)

        def changes():
            if not exists(database, "changes"):
                return []
            return database.rows("SELECT pk, _event, new_image->>'amount' FROM changes ORDER BY pk, _lsn")

        def change(record):
            image = record["dynamodb"].get("NewImage", {})
            return record["dynamodb"]["Keys"]["pk"]["S"], record["eventName"], image.get("amount", {}).get("N")

        # Stable: the changes of an item are in one shard, or in a parent and then its child.
        history = sorted(map(change, records), key=lambda change: change[0])
        wait_until(lambda: len(changes()) >= len(history), "every change to be in the log", CAUGHT_UP_SECONDS_MAX)
        assert changes() == history, "each change is there once, in the order of its item"
        assert {name: sink["state"] for name, sink in sinks(server).items()} == {"wh": "running", "log": "running"}
        assert line.broken > 0, "the line did not break"
        assert server.stop() == 0, server.output()


def test_the_row_of_an_item_that_expires_goes(start, database, tmp_path):
    """Spec: sinks.md 1 and 9, a REMOVE by the service; the log says that it was the service."""
    sinks_of_it = {
        "wh": {"from": "Orders", "to": database.url, "table": "orders", "start": "snapshot"},
        "log": {"from": "Orders", "to": database.url, "table": "changes", "mode": "append", "start": "trim_horizon"},
    }
    server = start(*configured(tmp_path, sinks_of_it), "--ttl-delay", "1h")
    make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
    put_expired(server, "Orders", {"pk": {"S": "gone"}})
    server.client().put_item(TableName="Orders", Item={"pk": {"S": "stays"}})
    keys = lambda: sorted(key for (key,) in database.rows("SELECT pk FROM orders")) if exists(database, "orders") else []
    wait_until(lambda: keys() == ["gone", "stays"], "both rows")
    assert delete_expired(server) == 1
    wait_until(lambda: keys() == ["stays"], "the row to go")
    removals = lambda: exists(database, "changes") and database.rows("SELECT pk, _is_ttl FROM changes WHERE _event = 'REMOVE'")
    assert wait_until(removals, "the removal in the log") == [("gone", "t")]
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


def test_the_example_fills_a_table_where_there_is_a_database(tmp_path, database):
    """examples/orders/README.md, the third walk."""
    example = tmp_path / "orders"
    shutil.copytree(REPOSITORY / "examples/orders", example, ignore=shutil.ignore_patterns(".tailrace"))
    environment = {**os.environ, "ORDERS_DATABASE": database.url.removeprefix("postgres://")}
    up = [BINARY, "up", example, "--port", str(free_port()), "--exit-when-drained"]
    run = subprocess.run(up, capture_output=True, text=True, timeout=120, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = database.rows('SELECT "orderId", status FROM orders ORDER BY 1')
    assert rows == [("1001", "SHIPPED"), ("1003", "SHIPPED")]
