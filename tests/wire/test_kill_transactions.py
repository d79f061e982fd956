"""Conditional writes, transactions and reads, by indexes too, of few items from many clients, while the server is killed again and again.
Afterwards the history of all answers is checked: there is one order of all operations that explains every answer (serializability.py).

TAILRACE_KILLS sets how often the server is killed (`cargo xtask crash` does it 100 times), TAILRACE_SEED the clients' seed.
Rows: docs/spec/dynamodb-api.md 2.5, 7.2.
"""

import itertools
import os
import random
import threading
import time

import botocore.exceptions

from conftest import Server, free_port, read_stream, wait_until
from serializability import ABSENT, Operation, check

KILLS = int(os.environ.get("TAILRACE_KILLS", "3"))
SEED = int(os.environ.get("TAILRACE_SEED", "1"))
CLIENTS = 16
OPERATIONS_BETWEEN_KILLS = 400
TABLES = ["left", "right"]
# An item is named by its table and its key; a hot one among few.
ITEMS = [(table, f"k{number}") for table in TABLES for number in range(4)]
# The global indexes of each table, of which one has every attribute and one what the history is made of; all items are in one group.
INDEXES = ["whole", "part"]
GROUP = "all"
# And one by what every write changes, so that its entries move.
MOVING = "moving"


def make(client, table):
    def index(name, projection, key="g"):
        return {"IndexName": name, "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}], "Projection": projection}

    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in [("pk", "S"), ("g", "S"), ("v", "N")]
        ],
        GlobalSecondaryIndexes=[
            index("whole", {"ProjectionType": "ALL"}),
            index("part", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v", "w"]}),
            index(MOVING, {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["w"]}, key="v"),
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )


def seen(item):
    """An item as the history has it: its version, and who wrote it."""
    return (int(item["v"]["N"]), item["w"]["S"]) if item else ABSENT


def key_of(item):
    return {"TableName": item[0], "Key": {"pk": {"S": item[1]}}}


def whole(item, version, writer):
    return {"pk": {"S": item[1]}, "v": {"N": str(version)}, "w": {"S": writer}, "g": {"S": GROUP}}


def still(version):
    """The condition that an item is as it was seen."""
    if version == ABSENT:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    values = {":old": {"N": str(version[0])}, ":writer": {"S": version[1]}}
    return {"ConditionExpression": "v = :old AND w = :writer", "ExpressionAttributeValues": values}


def count_up(name):
    values = {":one": {"N": "1"}, ":name": {"S": name}, ":group": {"S": GROUP}}
    return {"UpdateExpression": "SET w = :name, g = :group ADD v :one", "ExpressionAttributeValues": values}


def read_one(client, chance):
    item = chance.choice(ITEMS)
    return {item: seen(client.get_item(**key_of(item), ConsistentRead=True).get("Item"))}


def read_together(client, chance):
    items = chance.sample(ITEMS, chance.randint(2, 5))
    answer = client.transact_get_items(TransactItems=[{"Get": key_of(item)} for item in items])
    return {item: seen(response.get("Item")) for item, response in zip(items, answer["Responses"])}


def read_table(client, chance):
    """A page of a scan is of one point in time."""
    table = chance.choice(TABLES)
    return all_seen(table, client.scan(TableName=table, ConsistentRead=True))


def read_index(client, chance):
    """So is a page of an index; its entries are written with their items."""
    table = chance.choice(TABLES)
    values = {":group": {"S": GROUP}}
    query = {"KeyConditionExpression": "g = :group", "ExpressionAttributeValues": values}
    return all_seen(table, client.query(TableName=table, IndexName=chance.choice(INDEXES), **query))


def read_moving(client, chance):
    """In an index whose entries move, an item has one place at any point in time."""
    table = chance.choice(TABLES)
    return all_seen(table, client.scan(TableName=table, IndexName=MOVING))


def all_seen(table, page):
    found = {item["pk"]["S"]: item for item in page["Items"]}
    assert len(found) == len(page["Items"]) and "LastEvaluatedKey" not in page, page
    return {(name, key): seen(found.get(key)) for name, key in ITEMS if name == table}


# Every way to read some items at one point in time.
READERS = [read_one, read_together, read_table, read_index, read_moving]


class Clients:
    """Threads that each do one operation after the other, and write down what they asked for, when, and what they were told."""

    def __init__(self, server):
        self.server = server
        self.stopping = False
        self.lock = threading.Lock()
        self.operations = []
        self.answered = 0
        self.unexpected = []
        self.known = dict.fromkeys(ITEMS, ABSENT)
        self.names = map(str, itertools.count())
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(CLIENTS)]

    def run(self, number):
        chance = random.Random(SEED * 1_000 + number)
        connection = Connection(self)
        while not self.stopping:
            with self.lock:
                name = next(self.names)
            operation = Operation(name, time.monotonic())
            do = chance.choices([self.read, self.put, self.count, self.exchange, self.count_together], [4, 2, 1, 4, 1])[0]
            try:
                do(connection, chance, operation)
            except botocore.exceptions.BotoCoreError:
                # No answer: the server was killed. What was to be written may be there.
                pass
            except (botocore.exceptions.ClientError, AssertionError) as error:
                with self.lock:
                    self.unexpected.append(str(error))
            if operation.done is not None:
                operation.end = time.monotonic()
            with self.lock:
                if operation.done is not None or operation.writes:
                    self.operations.append(operation)
                self.answered += operation.done is not None
                self.known.update(operation.reads)
                if operation.done:
                    told = {item: version for item, version in operation.writes.items() if version is not None}
                    self.known.update({item: (version, name) for item, version in told.items()})

    def read(self, connection, chance, operation):
        operation.reads = chance.choice(READERS)(connection.client(), chance)
        operation.done = True

    def put(self, connection, chance, operation):
        """A put over what was seen last."""
        item = chance.choice(ITEMS)
        expected = self.known[item]
        operation.writes = {item: expected[0] + 1}
        new = whole(item, expected[0] + 1, operation.id)
        try:
            connection.client().put_item(
                TableName=item[0], Item=new, ReturnValuesOnConditionCheckFailure="ALL_OLD", **still(expected)
            )
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            operation.reads = {item: refused_by(error.response, expected)}
            operation.done = False
        else:
            operation.reads, operation.done = {item: expected}, True

    def count(self, connection, chance, operation):
        """A write over whatever is there, which is told."""
        item = chance.choice(ITEMS)
        operation.writes = {item: None}
        answer = connection.client().update_item(**key_of(item), ReturnValues="ALL_OLD", **count_up(operation.id))
        old = seen(answer.get("Attributes"))
        operation.reads, operation.writes, operation.done = {item: old}, {item: old[0] + 1}, True

    def exchange(self, connection, chance, operation):
        """A transaction over what was seen last: some items are written, others only checked."""
        items = chance.sample(ITEMS, chance.randint(2, 4))
        if chance.random() < 0.7:
            answer = connection.client().transact_get_items(TransactItems=[{"Get": key_of(item)} for item in items])
            expected = {item: seen(response.get("Item")) for item, response in zip(items, answer["Responses"])}
        else:
            expected = {item: self.known[item] for item in items}
        operation.start = time.monotonic()
        written = items[: chance.randint(1, len(items))]
        operation.writes = {item: expected[item][0] + 1 for item in written}
        actions = []
        for item in items:
            condition = {**still(expected[item]), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
            if item not in written:
                actions.append({"ConditionCheck": {**key_of(item), **condition}})
            elif chance.random() < 0.5:
                new = whole(item, expected[item][0] + 1, operation.id)
                actions.append({"Put": {"TableName": item[0], "Item": new, **condition}})
            else:
                update = count_up(operation.id)
                values = update["ExpressionAttributeValues"] | condition.pop("ExpressionAttributeValues", {})
                actions.append({"Update": {**key_of(item), **update, **condition, "ExpressionAttributeValues": values}})
        try:
            connection.transact(operation, actions)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            for item, reason in zip(items, error.response["CancellationReasons"], strict=True):
                assert reason["Code"] in ("None", "ConditionalCheckFailed"), error.response
                # A condition that nothing is said about held.
                held = reason["Code"] == "None"
                operation.reads[item] = expected[item] if held else refused_by(reason, expected[item])
            operation.done = False
        else:
            operation.reads, operation.done = expected, True

    def count_together(self, connection, chance, operation):
        """A transaction over whatever is there."""
        items = chance.sample(ITEMS, 2)
        operation.writes = dict.fromkeys(items)
        connection.transact(operation, [{"Update": {**key_of(item), **count_up(operation.id)}} for item in items])
        operation.done = True


def refused_by(answer, expected):
    """What a condition met that did not hold."""
    met = seen(answer.get("Item"))
    assert met != expected, f"a condition failed that holds: {answer}"
    return met


class Connection:
    """A client's connection to the server that runs now."""

    def __init__(self, clients):
        self.clients = clients
        self.server = None

    def client(self):
        if self.server is not self.clients.server:
            self.server = self.clients.server
            self.made = self.server.client(connect_timeout=1, read_timeout=90)
        return self.made

    def transact(self, operation, actions):
        """Makes a transaction; one without an answer is sent again with its token until there is one."""
        while True:
            server = self.clients.server
            try:
                return self.client().transact_write_items(TransactItems=actions, ClientRequestToken=operation.id)
            except botocore.exceptions.BotoCoreError:
                wait_until(lambda: self.clients.server is not server or self.clients.stopping, "the next server", 60)
                if self.clients.stopping:
                    raise


def test_one_order_explains_all_answers(tmp_path):
    data_dir, port = tmp_path / "data", free_port()

    def start():
        return Server(data_dir, port=port).wait_ready()

    clients = Clients(start())
    for table in TABLES:
        make(clients.server.client(), table)
    for thread in clients.threads:
        thread.start()
    pause = random.Random(SEED)
    for kill in range(KILLS):
        target = clients.answered + pause.randrange(OPERATIONS_BETWEEN_KILLS // 2, OPERATIONS_BETWEEN_KILLS)
        wait_until(lambda: clients.answered >= target, f"{target} answers before kill {kill + 1}", 120)
        clients.server.kill()
        clients.server = start()
    target = clients.answered + OPERATIONS_BETWEEN_KILLS
    wait_until(lambda: clients.answered >= target, "answers after the last kill", 120)
    clients.stopping = True
    for thread in clients.threads:
        thread.join()
    assert not clients.unexpected, clients.unexpected[:5]

    server = clients.server
    dynamodb, streams = server.client(), server.client("dynamodbstreams")
    answer = dynamodb.transact_get_items(TransactItems=[{"Get": key_of(item)} for item in ITEMS])
    final = {item: seen(response.get("Item")) for item, response in zip(ITEMS, answer["Responses"])}
    check(clients.operations, final)

    # The streams tell the same: each item's versions in their order, and of a transaction all writes or none.
    versions, written = dict.fromkeys(ITEMS, ABSENT), {}
    for table in TABLES:
        for record in read_stream(streams, dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]):
            new = record["dynamodb"]["NewImage"]
            item, version = (table, new["pk"]["S"]), seen(new)
            assert seen(record["dynamodb"].get("OldImage")) == versions[item] and version[0] == versions[item][0] + 1
            versions[item] = version
            written.setdefault(version[1], set()).add(item)
    assert versions == final
    for operation in clients.operations:
        expected = set() if operation.done is False else set(operation.writes)
        assert written.get(operation.id, set()) == expected or operation.done is None and operation.id not in written, operation
    outcomes = [operation.done for operation in clients.operations]
    print(f"\n{KILLS} kills, {outcomes.count(True)} operations done, {outcomes.count(False)} refused, {outcomes.count(None)} unknown")
    assert server.stop() == 0, server.output()
