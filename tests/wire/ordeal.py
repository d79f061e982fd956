"""What a sink has to come through at its real target: writers that never rest, while Tailrace is killed, the target goes down and comes
back, the line to it breaks one exchange in a hundred, and the shards of the stream are rolled over and split. Afterwards the target has to
hold what the table's history says; that is what each sink's own test looks at.

TAILRACE_KILLS sets how often the server is killed, TAILRACE_SEED the seed of it all. Rows: docs/spec/sinks.md 9.
"""

import collections
import contextlib
import json
import os
import pathlib
import random
import select
import signal
import socket
import threading
import time
import urllib.request

import botocore.exceptions

from conftest import Server, free_port, make_table, wait_until

KILLS = int(os.environ.get("TAILRACE_KILLS", "10"))
OUTAGES = 3
SEED = int(os.environ.get("TAILRACE_SEED", "7"))
# Of the exchanges over a line, one of so many breaks.
EXCHANGES_A_CUT = 100
# The first cut comes within so many: the smallest story has one.
FIRST_CUT_WITHIN = 15
WRITES_BETWEEN = (15, 60)
# Each is sealed once a life, and all are read to the end of the story.
SHARDS = 2
WRITTEN_SECONDS_MAX = 60
CAUGHT_UP_SECONDS_MAX = 120
DAYS, KEYS_OF_A_WRITER, WRITERS = 3, 8, 3


def make_streamed(client, table):
    make_table(client, table, stream="NEW_AND_OLD_IMAGES")


class Line:
    """A line to a target on loopback, which breaks now and then: before a request has come through, or before its answer has. While it
    is down nobody answers at its port."""

    def __init__(self, to, seed=SEED, cuts=True):
        self.to, self.dice, self.lock = to, random.Random(seed), threading.Lock()
        self.exchanges, self.broken = 0, 0
        self.next_cut = self.dice.randrange(1, FIRST_CUT_WITHIN) if cuts else None
        self.port, self.listener, self.carried = 0, None, set()
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        listener, self.listener = self.listener, None
        # Who waits in `accept` does not hear of a `close`.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        with self.lock:
            carried = list(self.carried)
        for end in carried:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self):
        """No exchange breaks any more."""
        with self.lock:
            self.next_cut = None

    def accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def breaks(self):
        with self.lock:
            self.exchanges += 1
            if self.next_cut is None or self.exchanges < self.next_cut:
                return False
            self.next_cut += self.dice.randrange(1, 2 * EXCHANGES_A_CUT)
            self.broken += 1
            return True

    def carry(self, near):
        ends, asking = {near}, False
        try:
            with near, socket.create_connection(("127.0.0.1", self.to)) as far:
                ends.add(far)
                with self.lock:
                    self.carried |= ends
                if self.listener is None:
                    return
                cut_on_the_way = False
                while True:
                    for ready in select.select([near, far], [], [])[0]:
                        data = ready.recv(1 << 16)
                        if not data:
                            return
                        if ready is near:
                            # What follows an answer is the next request.
                            breaks, asking = not asking and self.breaks(), True
                            if breaks and self.dice.randrange(2):
                                return
                            cut_on_the_way = cut_on_the_way or breaks
                        else:
                            asking = False
                            if cut_on_the_way:
                                return
                        (far if ready is near else near).sendall(data)
        except OSError:
            return
        finally:
            with self.lock:
                self.carried -= ends


def write(client, dice, table, number, count):
    """The next write of writer `number`: its operation, and what was answered. Each changes the item, but for a delete of one that is not
    there."""
    key, amount = {"pk": {"S": f"k{number}-{dice.randrange(KEYS_OF_A_WRITER)}"}}, {"N": f"{count}.25"}
    match dice.randrange(10):
        case 0 | 1:
            return "DeleteItem", client.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")
        case 2 | 3:
            change = {"UpdateExpression": "SET amount = :n", "ExpressionAttributeValues": {":n": amount}}
            return "UpdateItem", client.update_item(TableName=table, Key=key, **change)
        case 4:
            return "PutItem", client.put_item(TableName=table, Item={**key, "note": {"S": f'{count} é\t\\ "x"'}})
        case _:
            item = {**key, "day": {"S": f"d{dice.randrange(DAYS)}"}, "amount": amount}
            return "PutItem", client.put_item(TableName=table, Item=item)


class Writers:
    """Writers with keys of their own, which go on whatever happens to the server. `acknowledged`: table and operation of the requests that
    changed something, by their ids."""

    def __init__(self, server, tables, seed, write):
        self.server, self.tables, self.stopping, self.done, self.write = server, tables, False, 0, write
        self.acknowledged, self.lock = {}, threading.Lock()
        self.threads = [
            threading.Thread(target=self.run, args=(number, random.Random(seed * 100 + number)), daemon=True) for number in range(WRITERS)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, number, dice):
        client, server, count = None, None, 0
        while not self.stopping:
            if server is not self.server:
                server = self.server
                client = server.client(connect_timeout=1, read_timeout=90)
            table, count = dice.choice(self.tables), count + 1
            try:
                operation, answer = self.write(client, dice, table, number, count)
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                continue
            with self.lock:
                self.done += 1
                if operation != "DeleteItem" or "Attributes" in answer:
                    self.acknowledged[answer["ResponseMetadata"]["RequestId"]] = (table, operation)

    def written(self, more):
        target = self.done + more
        wait_until(lambda: self.done >= target, f"{target} writes", WRITTEN_SECONDS_MAX)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def seal(server, table, action):
    """Seals the open shards of a table's stream, into a child each (`roll`) or two (`split`)."""
    body = json.dumps({"table": table, "action": action}).encode()
    request = urllib.request.Request(f"{server.url}/_admin/shards", data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=CAUGHT_UP_SECONDS_MAX) as answer:
        return json.load(answer)["sealed"]


@contextlib.contextmanager
def stilled(server):
    """A server stands still: what it writes into is taken away and given back at one moment."""
    server.process.send_signal(signal.SIGSTOP)
    state = pathlib.Path(f"/proc/{server.process.pid}/stat")
    wait_until(lambda: state.read_text().rsplit(") ", 1)[1].startswith("T"), "the server to stand still")
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def configured(folder, sinks):
    """The arguments of a server with these sinks."""
    path = folder / "tailrace.json"
    path.write_text(json.dumps({"sinks": sinks}))
    return ["--config", str(path), "--shards", str(SHARDS)]


def beginning(folder, arguments, **options):
    """What starts a server on one data directory and port, again and again."""
    port = free_port()
    return lambda: Server(folder / "data", *arguments, port=port, **options).wait_ready()


def put_expired(server, table, item):
    """Puts an item whose time to live has ended. A server with `--ttl-delay` leaves it there until `delete_expired`."""
    client = server.client()
    client.update_time_to_live(TableName=table, TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True})
    client.put_item(TableName=table, Item={**item, "expires": {"N": str(int(time.time()) - 60)}})


def delete_expired(server):
    """Deletes at once what has expired."""
    request = urllib.request.Request(f"{server.url}/_aws/dynamodb/expired", method="DELETE")
    with urllib.request.urlopen(request, timeout=CAUGHT_UP_SECONDS_MAX) as answer:
        return json.load(answer)["ExpiredItems"]


class Ordeal:
    """One story, and its server for a block: `begin()` starts it, on the same port and data directory each time. `target` has `stop` and
    `start`, of which an outage consists. `make(client, table)` makes a table, if somebody has to; `write` is as the function of that name;
    `between` two things that happen there are so many writes."""

    def __init__(self, begin, target, tables=("Orders",), make=make_streamed, write=write, between=WRITES_BETWEEN, seed=SEED):
        self.begin, self.target, self.tables, self.write, self.seed = begin, target, list(tables), write, seed
        self.dice, self.between, self.sealed, self.downs = random.Random(seed), between, 0, 0
        # Which of the kills happen while the target is down.
        self.outages = set(self.dice.sample(range(KILLS), min(OUTAGES, KILLS)))
        self.server, self.writers = begin(), None
        for table in self.tables if make else []:
            make(self.server.client(), table)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.server.process.poll() is None:
            self.server.kill()

    def written(self):
        self.writers.written(self.dice.randrange(*self.between))

    def kill(self):
        """At whatever it is about, with writes under way."""
        self.server.kill()
        self.server = self.writers.server = self.begin()

    def seal(self, step):
        for table in self.tables:
            self.sealed += seal(self.server, table, "split" if step == 1 else "roll")

    def run(self):
        """The story, until everything has been written; what is under way to the target may be so still. Answers the server."""
        self.writers = Writers(self.server, self.tables, self.seed, self.write)
        try:
            for step in range(KILLS):
                self.written()
                if step in self.outages:
                    self.target.stop()
                    self.downs += 1
                    self.written()
                    self.seal(step)
                    self.kill()
                    self.written()
                    self.target.start()
                else:
                    self.seal(step)
                    self.written()
                    self.kill()
            self.written()
        finally:
            self.writers.stop()
        assert self.sealed > KILLS * len(self.tables) and self.downs == len(self.outages)
        return self.server


def put_amid_kills(start, server, name, text, targets, seed=SEED):
    """The story of a delivery stream, into which clients put records while the server is killed: `text(number)` is each. Each of `targets`, which have `stop` and `start`, is down for one of the lives. Answers the server, the numbers that were acknowledged, in order,
    and those that may have been put or not."""
    dice = random.Random(seed)
    downs = dict(zip(dice.sample(range(KILLS), min(KILLS, len(targets))), targets))
    client, acknowledged, in_doubt, number = server.client("firehose"), [], set(), 0
    for kill in range(KILLS):
        timer = threading.Timer(dice.uniform(0.3, 1.0), server.kill)
        timer.start()
        if kill in downs:
            downs[kill].stop()
        with contextlib.suppress(botocore.exceptions.BotoCoreError):
            while True:
                numbers = [number + n for n in range(dice.randint(1, 30))]
                number += len(numbers)
                in_doubt |= set(numbers)
                answer = client.put_record_batch(DeliveryStreamName=name, Records=[{"Data": text(number)} for number in numbers])
                assert answer["FailedPutCount"] == 0
                in_doubt -= set(numbers)
                acknowledged += numbers
        timer.join()
        server = start(data_dir=server.data_dir)
        client = server.client("firehose")
        if kill in downs:
            downs[kill].start()
    assert number > 100
    return server, acknowledged, in_doubt


def assert_each_once_in_order(told, records):
    """`told`: (id, key, sequence number) as they came. Who passes over known ids sees every record once, a key's in order."""
    seen, by_key = set(), collections.defaultdict(list)
    for event_id, key, number in told:
        if event_id not in seen:
            seen.add(event_id)
            by_key[key].append(int(number))
    assert seen == set(records), (len(seen), len(records))
    for key, numbers in by_key.items():
        assert numbers == sorted(numbers), key
