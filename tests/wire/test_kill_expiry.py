"""Items expire while the server is killed again and again: in sweeps of what has expired, while a time to live that was enabled over
a table full of items finds out what expires, and while clients move on when items expire, or cut it short. After each kill what has
expired goes, with its entries in indexes, and everything else is there, with exact counts; at the end the streams tell of each item
that has gone exactly once, by the service unless a client deleted it.

TAILRACE_KILLS sets how often the server is killed (`cargo xtask crash` does it 100 times), TAILRACE_SEED the writers' seed.
Rows: docs/spec/dynamodb-api.md 8.2; docs/spec/streams.md 8.
"""

import collections
import contextlib
import os
import random
import threading
import time
import urllib.error
import urllib.request

import botocore.exceptions

from conftest import Server, free_port, read_stream, wait_until

KILLS = int(os.environ.get("TAILRACE_KILLS", "3"))
# So many kills meet all that they are meant to meet.
KILLS_THAT_MEET_ALL = 50
SEED = int(os.environ.get("TAILRACE_SEED", "1"))
WRITERS = 4
KEYS_PER_WRITER = 40
# Items that expire all at once, so many that a sweep takes long enough to be met by a kill.
FLOOD_ITEMS = 1200
# Items that stay, so many that a time to live that is enabled over them takes a while, and some that have expired by then.
ITEMS_AT_REST = 6000
LATE_ITEMS = 300
ANSWERS_BEFORE_KILL_MAX = 250
# `sessions` and `flood` always have a time to live; that of `archive` is disabled and enabled all the time.
TABLES = ["sessions", "flood", "archive"]
TYPES = {"pk": "S", "sk": "S", "user": "S", "seen": "N"}
# The keys and the projection of each index.
INDEXES = {"by-user": (("user", "seen"), "ALL"), "by-seen": (("pk", "seen"), "KEYS_ONLY")}
YEAR_SECONDS = 365 * 24 * 60 * 60
BY_SERVICE = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}


def index(name):
    names, projection = INDEXES[name]
    return {"IndexName": name, "KeySchema": key_schema(*names), "Projection": {"ProjectionType": projection}}


def key_schema(*names):
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ["HASH", "RANGE"])]


def make(client, table):
    client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=key_schema("pk", "sk"),
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in TYPES.items()],
        GlobalSecondaryIndexes=[index("by-user")],
        LocalSecondaryIndexes=[index("by-seen")],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    let_expire(client, table)


def let_expire(client, table, enabled=True):
    client.update_time_to_live(TableName=table, TimeToLiveSpecification={"AttributeName": "expires", "Enabled": enabled})


def now():
    return int(time.time())


def expiry(chance):
    """When an item expires: it has, it does soon, it does in a day, or never, as what is there is no instant or none to heed."""
    form = chance.choice(["past", "soon", "soon", "far", "far", "absent", "never"])
    if form == "never":
        return chance.choice([{"S": str(now() - 5)}, {"L": [{"N": str(now() - 5)}]}, {"N": str(now() - 6 * YEAR_SECONDS)}, {"N": "0"}])
    seconds = {"past": -5, "soon": 1, "far": 100_000}.get(form)
    return seconds and {"N": str(now() + seconds)}


def new_item(chance, pk, sk, expires):
    item = with_expiry({"pk": {"S": pk}, "sk": {"S": sk}, "fill": {"S": "f" * chance.randrange(60)}}, expires)
    if chance.random() < 0.3:
        item["user"] = {"S": chance.choice("abc")}
    if chance.random() < 0.6:
        item["seen"] = {"N": str(chance.randrange(50))}
    return item


def with_expiry(item, expires):
    rest = {name: value for name, value in item.items() if name != "expires"}
    return rest | ({"expires": expires} if expires else {})


def expires_by(item, instant):
    """Whether an item has expired then."""
    seconds = int((item or {}).get("expires", {}).get("N", 0))
    return instant - 5 * YEAR_SECONDS < seconds < instant


def identity(item):
    return item["pk"]["S"], item["sk"]["S"]


def key_of(pair):
    return {"pk": {"S": pair[0]}, "sk": {"S": pair[1]}}


def put_all(client, table, items):
    for first in range(0, len(items), 25):
        puts = [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]
        assert not client.batch_write_item(RequestItems={table: puts})["UnprocessedItems"]


class Writers:
    """Threads that write keys of their own, and remember what each can be: what was acknowledged last, and what may have come since."""

    def __init__(self):
        self.chances = [random.Random(SEED * 1_000 + number) for number in range(WRITERS)]
        self.possible = {(table, *pair): [None] for table in ("sessions", "archive") for pair in self.pairs()}
        self.deletes = collections.Counter()
        self.wrong = []

    @staticmethod
    def pairs():
        return [(f"w{number}", f"{n:03}") for number in range(WRITERS) for n in range(KEYS_PER_WRITER)]

    def write(self, client, number):
        chance = self.chances[number]
        places = [place for place in self.possible if place[1] == f"w{number}"]
        do = chance.choices([self.put, self.renew, self.renew_together, self.delete], [4, 5, 2, 1])[0]
        do(client, chance, chance.sample(places, 2))

    def put(self, client, chance, places):
        table, *pair = place = places[0]
        item = new_item(chance, *pair, expiry(chance))
        self.possible[place] = self.possible[place] + [item]
        client.put_item(TableName=table, Item=item)
        self.possible[place] = [item]

    def delete(self, client, chance, places):
        table, *pair = place = places[0]
        self.possible[place] = self.possible[place] + [None]
        self.deletes[place] += 1
        client.delete_item(TableName=table, Key=key_of(pair))
        self.possible[place] = [None]

    def renew(self, client, chance, places):
        """Moves on when an item expires, or cuts it short, if the item is still there."""
        self.update(places[:1], expiry(chance), lambda update: client.update_item(**update[0]))

    def renew_together(self, client, chance, places):
        """Two of them, both or none."""
        transact = lambda updates: client.transact_write_items(TransactItems=[{"Update": update} for update in updates])
        self.update(places, expiry(chance), transact)

    def update(self, places, expires, call):
        before = {place: self.possible[place] for place in places}
        after = {place: [with_expiry(form, expires) for form in forms if form] for place, forms in before.items()}
        for place in places:
            self.possible[place] = before[place] + after[place]
        try:
            call([update_of(place, expires) for place in places])
        except botocore.exceptions.ClientError as error:
            for place, gone in zip(places, gone_by(error.response)):
                if not gone:
                    self.possible[place] = [form for form in before[place] if form]
                elif any(form is None or expires_by(form, time.time()) for form in before[place]):
                    self.possible[place] = [None]
                else:
                    self.wrong.append(f"{place} is gone, and was {before[place]}")
        else:
            self.possible |= after

    def check(self, table, items):
        """Every item is what it can be; from now on it is just that."""
        for place in [place for place in self.possible if place[0] == table]:
            found, possible = items.pop(place[1:], None), self.possible[place]
            expired = any(expires_by(form, time.time()) for form in possible)
            assert found in possible or found is None and expired, (place, found, possible)
            self.possible[place] = [found]


def update_of(place, expires):
    update = {"TableName": place[0], "Key": key_of(place[1:]), "ConditionExpression": "attribute_exists(pk)"}
    if not expires:
        return update | {"UpdateExpression": "REMOVE expires"}
    return update | {"UpdateExpression": "SET expires = :at", "ExpressionAttributeValues": {":at": expires}}


def gone_by(response):
    """Which items were not there, by the error of an update or of a transaction."""
    code = response["Error"]["Code"]
    if code == "ConditionalCheckFailedException":
        return [True]
    assert code == "TransactionCanceledException", response
    return [reason["Code"] == "ConditionalCheckFailed" for reason in response["CancellationReasons"]]


class Round:
    """Writes until the server is killed."""

    def __init__(self, writers, server):
        self.writers, self.server = writers, server
        self.answered = 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        client = self.server.client(connect_timeout=1, read_timeout=90)
        # Without an answer the server was killed.
        with contextlib.suppress(botocore.exceptions.BotoCoreError):
            while True:
                try:
                    self.writers.write(client, number)
                except (botocore.exceptions.ClientError, AssertionError) as error:
                    self.writers.wrong.append(repr(error))
                    return
                with self.lock:
                    self.answered += 1

    def kill(self):
        self.server.kill()
        for thread in self.threads:
            thread.join()
        assert not self.writers.wrong, self.writers.wrong[:5]

    def kill_in_sweep(self, client, chance, kill):
        """Lets many items expire at once, and kills as soon as one of them has gone; their keys."""
        flood = [new_item(chance, "flood", f"{kill:04}-{n:05}", {"N": str(now() + 1)}) for n in range(FLOOD_ITEMS)]
        put_all(client, "flood", flood)
        wait_until(lambda: item_count(client, "flood") < FLOOD_ITEMS, "the first of the flood to go", 60)
        self.kill()
        return {("flood", *identity(item)) for item in flood}

    def kill_in_fill(self, client, chance, kill, at_once):
        """Enables the archive's time to live over its items, and kills while the service looks at them, in its own time or
        `at_once`, because it was asked to; the keys of what has expired."""
        let_expire(client, "archive", False)
        late = [new_item(chance, "late", f"{kill:04}-{n:05}", {"N": str(now() - 5)}) for n in range(LATE_ITEMS)]
        put_all(client, "archive", late)
        let_expire(client, "archive")
        asking = threading.Thread(target=ask_to_expire, args=(self.server,), daemon=True)
        if at_once:
            asking.start()
        target = self.answered + chance.randrange(ANSWERS_BEFORE_KILL_MAX) * (1 if at_once else 4)
        wait_until(lambda: self.answered >= target or self.writers.wrong, f"{target} answers", 120)
        self.kill()
        if at_once:
            asking.join()
        return {("archive", *identity(item)) for item in late}


def ask_to_expire(server):
    request = urllib.request.Request(f"{server.url}/_aws/dynamodb/expired", method="DELETE")
    with contextlib.suppress(OSError), urllib.request.urlopen(request) as answer:
        answer.read()


def item_count(client, table):
    return client.describe_table(TableName=table)["Table"]["ItemCount"]


def due_soon(client):
    """Whether there are items that go while the test waits for them, where there can be some."""
    for table in TABLES:
        for partition in ["flood", "late", *(f"w{number}" for number in range(WRITERS))]:
            query = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": partition}}}
            for page in client.get_paginator("query").paginate(TableName=table, ConsistentRead=True, **query):
                if any(expires_by(item, time.time() + 1_000) for item in page["Items"]):
                    return True
    return False


def scan(client, table, **index_name):
    pages = client.get_paginator("scan").paginate(TableName=table, **index_name)
    items = [item for page in pages for item in page["Items"]]
    found = {identity(item): item for item in items}
    assert len(found) == len(items), "an item twice"
    return found


def entries(items, name):
    """What an index holds for these items."""
    names, projection = INDEXES[name]
    kept = lambda item: {k: v for k, v in item.items() if projection == "ALL" or k in ("pk", "sk", *names)}
    return {pair: kept(item) for pair, item in items.items() if all(key in item for key in names)}


def agree(client, writers, rest):
    """Waits until all that expires has gone; then tables, indexes and counts are one, and nothing else has gone. The items left."""
    wait_until(lambda: not due_soon(client), "what has expired to go", 60)
    left = {}
    for table in TABLES:
        items = scan(client, table, ConsistentRead=True)
        left |= {(table, *pair): item for pair, item in items.items()}
        described = client.describe_table(TableName=table)["Table"]
        assert described["ItemCount"] == len(items), table
        for told in described["GlobalSecondaryIndexes"] + described["LocalSecondaryIndexes"]:
            expected = entries(items, told["IndexName"])
            assert scan(client, table, IndexName=told["IndexName"]) == expected, (table, told["IndexName"])
            assert told["ItemCount"] == len(expected), (table, told)
        writers.check(table, items)
        assert items == (rest if table == "archive" else {}), f"what nobody wrote to in {table}"
    return left


def test_what_has_expired_goes_once_and_nothing_else_does_whatever_is_killed(tmp_path):
    data_dir, port = tmp_path / "data", free_port()

    def start():
        return Server(data_dir, "--ttl-delay", "1s", port=port).wait_ready()

    server, writers, chance = start(), Writers(), random.Random(SEED)
    client = server.client()
    for table in TABLES:
        make(client, table)
    at_rest = [new_item(chance, f"r{n % 40}", f"{n:05}", chance.choice([None, {"N": str(now() + 100_000)}])) for n in range(ITEMS_AT_REST)]
    put_all(client, "archive", at_rest)
    rest = {identity(item): item for item in at_rest}
    expiring, interrupted = set(), 0
    for kill in range(KILLS):
        round_ = Round(writers, server)
        if kill % 2 == 0:
            expiring |= round_.kill_in_sweep(client, chance, kill)
        else:
            expiring |= round_.kill_in_fill(client, chance, kill, at_once=kill % 4 == 1)
        server = start()
        client = server.client()
        interrupted += 0 < item_count(client, "flood") < FLOOD_ITEMS
        left = agree(client, writers, rest)

    # The streams tell the same, each item's images in their order; who waited for its end was removed once, by the service.
    seen, removals = {}, collections.Counter()
    for table in TABLES:
        arn = client.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        for record in read_stream(server.client("dynamodbstreams"), arn):
            data = record["dynamodb"]
            place = (table, *identity(data["Keys"]))
            assert data.get("OldImage") == seen.get(place), record
            seen[place] = data.get("NewImage")
            if record["eventName"] == "REMOVE":
                removals[place, "userIdentity" in record] += 1
            if "userIdentity" in record:
                created = data["ApproximateCreationDateTime"].timestamp()
                assert record["eventName"] == "REMOVE" and record["userIdentity"] == BY_SERVICE, record
                assert expires_by(data["OldImage"], created + 1), record
    assert {place: item for place, item in seen.items() if item} == left
    for place in expiring:
        assert (removals[place, True], removals[place, False]) == (1, 0), place
    for place, by_service in removals:
        assert by_service or removals[place, False] <= writers.deletes[place], place
    gone = sum(count for (_, by_service), count in removals.items() if by_service)
    assert KILLS < KILLS_THAT_MEET_ALL or interrupted, "no kill met a sweep"
    print(f"\n{KILLS} kills, {interrupted} sweeps interrupted, {gone} items expired, {len(left)} left")
    assert server.stop() == 0, server.output()
