"""Items with indexes and a time to live, in races with indexes that are made and deleted, while the server is killed again and again:
in backfills, in deletions of indexes, in sweeps of expired items. After each kill every index holds exactly what the table's items
say, the counts are exact, what was acknowledged is there, and what has expired goes; at the end the stream tells the same.

TAILRACE_KILLS sets how often the server is killed (`cargo xtask crash` does it 100 times), TAILRACE_SEED the writers' seed.
Rows: docs/spec/dynamodb-api.md 2.3, 2.5, 8.2.
"""

import itertools
import os
import random
import threading
import time

import botocore.exceptions

from conftest import Server, free_port, read_stream, wait_until

KILLS = int(os.environ.get("TAILRACE_KILLS", "3"))
# So many kills meet all that they are meant to meet.
KILLS_THAT_MEET_ALL = 50
SEED = int(os.environ.get("TAILRACE_SEED", "1"))
WRITERS = 6
KEYS_PER_WRITER = 150
# Filled before the first kill, so that a backfill takes long enough to be met by one.
ITEMS_AT_REST = 3000
WRITES_BETWEEN_KILLS = 150
TABLE = "things"
TYPES = {"pk": "S", "sk": "S", "g": "S", "n": "N"}


def key(*names):
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ["HASH", "RANGE"])]


# The keys and the projection of every index that there can be; `late` is made and deleted all the time.
INDEXES = {
    "by-g": (("g", "n"), {"ProjectionType": "ALL"}),
    "local": (("pk", "n"), {"ProjectionType": "KEYS_ONLY"}),
    "late": (("g",), {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["w"]}),
}


def index(name):
    names, projection = INDEXES[name]
    return {"IndexName": name, "KeySchema": key(*names), "Projection": projection}


def make(dynamodb):
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=key("pk", "sk"),
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in TYPES.items()],
        GlobalSecondaryIndexes=[index("by-g")],
        LocalSecondaryIndexes=[index("local")],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    dynamodb.update_time_to_live(TableName=TABLE, TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True})


def identity(item):
    return item["pk"]["S"], item["sk"]["S"]


def expired(item):
    return item is not None and "expires" in item and int(item["expires"]["N"]) < time.time()


def expires_soon(item):
    """Whether an item goes while the test waits for it, not in a day."""
    return "expires" in item and int(item["expires"]["N"]) < time.time() + 1_000


def entries(items, name):
    """What an index holds for these items."""
    names, projection = INDEXES[name]
    kept = {"pk", "sk", *names, *projection.get("NonKeyAttributes", [])}
    whole = projection["ProjectionType"] == "ALL"
    found = {}
    for item in items.values():
        if all(key_name in item for key_name in names):
            found[identity(item)] = {k: v for k, v in item.items() if whole or k in kept}
    return found


def scan(dynamodb, **index_name):
    pages = dynamodb.get_paginator("scan").paginate(TableName=TABLE, **index_name)
    items = [item for page in pages for item in page["Items"]]
    found = {identity(item): item for item in items}
    assert len(found) == len(items), "an item twice"
    return found


class Writers:
    """Threads that write keys of their own and remember what each key can be: what was acknowledged last, and what may have come since."""

    def __init__(self):
        self.chances = [random.Random(SEED * 1_000 + number) for number in range(WRITERS)]
        self.possible = {}
        self.marks = map(str, itertools.count())
        self.unexpected = []

    def item(self, chance, pk, sk):
        item = {"pk": {"S": pk}, "sk": {"S": sk}, "w": {"S": next(self.marks)}, "fat": {"S": "f" * chance.randrange(400)}}
        if chance.random() < 0.8:
            item["g"] = {"S": chance.choice("abc")}
        if chance.random() < 0.8:
            item["n"] = {"N": str(chance.randrange(50))}
        if chance.random() < 0.3:
            # Some have expired, some do so while the test runs, some much later.
            item["expires"] = {"N": str(int(time.time()) + chance.choice([-5, 1, 100_000]))}
        return item

    def write(self, client, number):
        """One write of up to eight keys: alone, in a batch, or in a transaction that is sent once."""
        chance = self.chances[number]
        count = chance.choice([1, 1, 8])
        keys = [(f"w{number}", f"{n:03}") for n in chance.sample(range(KEYS_PER_WRITER), count)]
        new = {pair: None if chance.random() < 0.3 else self.item(chance, *pair) for pair in keys}
        for pair, item in new.items():
            self.possible.setdefault(pair, [None]).append(item)
        if count > 1 and chance.random() < 0.5:
            client.transact_write_items(TransactItems=[action(pair, item) for pair, item in new.items()])
        elif count > 1:
            requests = [
                {"PutRequest": {"Item": item}} if item else {"DeleteRequest": {"Key": as_key(pair)}} for pair, item in new.items()
            ]
            client.batch_write_item(RequestItems={TABLE: requests})
        elif new[keys[0]]:
            client.put_item(TableName=TABLE, Item=new[keys[0]])
        else:
            client.delete_item(TableName=TABLE, Key=as_key(keys[0]))
        for pair, item in new.items():
            self.possible[pair] = [item]

    def check(self, items):
        """Everything is what its key can be; from now on it is just that."""
        for pair, possible in self.possible.items():
            found = items.get(pair)
            assert found in possible or found is None and any(map(expired, possible)), (pair, found, possible)
            self.possible[pair] = [found]


def action(pair, item):
    if item:
        return {"Put": {"TableName": TABLE, "Item": item}}
    return {"Delete": {"TableName": TABLE, "Key": as_key(pair)}}


def as_key(pair):
    return {"pk": {"S": pair[0]}, "sk": {"S": pair[1]}}


class Round:
    """Writes, and an index that comes and goes, until the server is killed."""

    def __init__(self, writers, server):
        self.writers, self.server = writers, server
        self.answered = 0
        self.lock = threading.Lock()
        self.changed = threading.Event()
        jobs = [lambda client, number=number: writers.write(client, number) for number in range(WRITERS)]
        self.threads = [threading.Thread(target=self.run, args=(job,), daemon=True) for job in [*jobs, self.come_and_go]]
        for thread in self.threads:
            thread.start()

    def run(self, job):
        client = self.server.client(connect_timeout=1, read_timeout=90)
        while True:
            try:
                job(client)
            except botocore.exceptions.BotoCoreError:
                return  # No answer: the server was killed.
            except botocore.exceptions.ClientError as error:
                self.writers.unexpected.append(str(error))
                return
            with self.lock:
                self.answered += 1

    def kill_after(self, answers, at_change):
        """Kills after so many answers; `at_change`: as soon as then an index begins to be filled or deleted."""
        wait_until(lambda: self.answered >= answers or self.writers.unexpected, f"{answers} answers", 120)
        if at_change:
            self.changed.clear()
            wait_until(lambda: self.changed.is_set() or self.writers.unexpected, "a change of an index", 120)
        self.server.kill()
        for thread in self.threads:
            thread.join()

    def come_and_go(self, client):
        """Makes the late index, or deletes it when it has come to be; a deletion is asked for in the middle of a backfill, too."""
        if "late" in statuses(client):
            update = {"Delete": {"IndexName": "late"}}
        else:
            update = {"Create": index("late")}
        definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind in TYPES.items()]
        try:
            client.update_table(TableName=TABLE, AttributeDefinitions=definitions, GlobalSecondaryIndexUpdates=[update])
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("ResourceInUseException", "LimitExceededException"):
                raise
        else:
            self.changed.set()


def described_indexes(client):
    table = client.describe_table(TableName=TABLE)["Table"]
    return table, {index["IndexName"]: index for kind in ("Global", "Local") for index in table.get(f"{kind}SecondaryIndexes", [])}


def statuses(client):
    return {name: described.get("IndexStatus", "ACTIVE") for name, described in described_indexes(client)[1].items()}


def agree(dynamodb, writers):
    """Waits for the background work to end; then the table, its indexes and its counts are one."""
    wait_until(lambda: set(statuses(dynamodb).values()) == {"ACTIVE"}, "backfills and deletions to end", 120)
    wait_until(lambda: not any(expires_soon(item) for item in scan(dynamodb).values()), "what has expired to go", 60)
    items = scan(dynamodb)
    writers.check(items)
    table, indexes = described_indexes(dynamodb)
    assert table["ItemCount"] == len(items)
    for name, described in indexes.items():
        expected = entries(items, name)
        assert scan(dynamodb, IndexName=name) == expected, name
        assert described["ItemCount"] == len(expected), name
    return items


def test_indexes_and_expiry_agree_with_the_table_after_every_kill(tmp_path):
    data_dir, port = tmp_path / "data", free_port()

    def start():
        return Server(data_dir, port=port).wait_ready()

    server, writers = start(), Writers()
    dynamodb = server.client()
    make(dynamodb)
    chance = random.Random(SEED)
    rest = [writers.item(chance, f"r{n % 40}", f"{n:05}") for n in range(ITEMS_AT_REST)]
    for first in range(0, len(rest), 25):
        dynamodb.batch_write_item(RequestItems={TABLE: [{"PutRequest": {"Item": item}} for item in rest[first : first + 25]]})
    writers.possible.update({identity(item): [item] for item in rest})
    backfills = 0
    for kill in range(KILLS):
        answers = chance.randrange(WRITES_BETWEEN_KILLS // 3, WRITES_BETWEEN_KILLS)
        Round(writers, server).kill_after(answers, at_change=kill % 2 == 0)
        assert not writers.unexpected, writers.unexpected[:5]
        server = start()
        dynamodb = server.client()
        backfills += statuses(dynamodb).get("late") == "CREATING"
        items = agree(dynamodb, writers)

    # The stream tells the same: each item's images in their order, and only the service removes what expires.
    seen = {}
    arn = dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    for record in read_stream(server.client("dynamodbstreams"), arn):
        data = record["dynamodb"]
        pair = identity(data["Keys"])
        assert data.get("OldImage") == seen.get(pair), record
        seen[pair] = data.get("NewImage")
        if "userIdentity" in record:
            assert record["eventName"] == "REMOVE" and expired(data["OldImage"]), record
    assert {pair: item for pair, item in seen.items() if item} == items
    assert KILLS < KILLS_THAT_MEET_ALL or backfills, "no kill met a backfill"
    print(f"\n{KILLS} kills, {backfills} backfills interrupted, {len(items)} items left")
    assert server.stop() == 0, server.output()
