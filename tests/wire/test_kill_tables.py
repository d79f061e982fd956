"""Tables with streams are made, changed and deleted in races with writes, while the server is killed again and again. Afterwards no
table is half there, and no stream is left that retention cannot forget.

TAILRACE_KILLS sets how often the server is killed (`cargo xtask crash` does it 100 times), TAILRACE_SEED the threads' seed.
Rows: docs/spec/streams.md 2.2, 2.4, 12.
"""

import contextlib
import os
import random
import threading

import botocore.exceptions

from conftest import Server, free_port, make_table, read_stream, wait_until

KILLS = int(os.environ.get("TAILRACE_KILLS", "3"))
SEED = int(os.environ.get("TAILRACE_SEED", "1"))
TABLES = 6
THREADS_PER_TABLE = 4
CALLS_BETWEEN_KILLS = 120
VIEWS = ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"]


class Racers:
    """Threads that each do anything to one of a few tables, so that calls on one table meet."""

    def __init__(self, server):
        self.server = server
        self.stopping = False
        self.answered = 0
        self.unexpected = []
        self.lock = threading.Lock()
        names = [f"race-{n % TABLES}" for n in range(TABLES * THREADS_PER_TABLE)]
        self.threads = [threading.Thread(target=self.run, args=(n, name), daemon=True) for n, name in enumerate(names)]

    def run(self, number, name):
        chance = random.Random(SEED * 1_000 + number)
        client, server = None, None
        while not self.stopping:
            if server is not self.server:
                server = self.server
                client = server.client(connect_timeout=1, read_timeout=90)
            # No answer: the server was killed.
            with contextlib.suppress(botocore.exceptions.BotoCoreError):
                try:
                    self.one(client, chance, name)
                except botocore.exceptions.ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code not in ("ResourceNotFoundException", "ResourceInUseException", "ValidationException"):
                        with self.lock:
                            self.unexpected.append(str(error))
                with self.lock:
                    self.answered += 1

    def one(self, client, chance, name):
        dice = chance.random()
        if dice < 0.3:
            make_table(client, name, stream=chance.choice(VIEWS))
        elif dice < 0.55:
            client.delete_table(TableName=name)
        elif dice < 0.65:
            client.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
        elif dice < 0.75:
            view = chance.choice(VIEWS)
            client.update_table(TableName=name, StreamSpecification={"StreamEnabled": True, "StreamViewType": view})
        else:
            client.put_item(TableName=name, Item={"pk": {"S": str(chance.randrange(20))}, "n": {"N": str(chance.random())}})


def test_tables_that_come_and_go_under_kills_leave_nothing_behind(tmp_path):
    data_dir, port = tmp_path / "data", free_port()

    def start(*arguments):
        return Server(data_dir, *arguments, port=port).wait_ready()

    racers = Racers(start())
    for thread in racers.threads:
        thread.start()
    pause = random.Random(SEED)
    for kill in range(KILLS):
        target = racers.answered + pause.randrange(CALLS_BETWEEN_KILLS // 2, CALLS_BETWEEN_KILLS)
        wait_until(lambda: racers.answered >= target, f"{target} answers before kill {kill + 1}", 120)
        racers.server.kill()
        racers.server = start()
    target = racers.answered + CALLS_BETWEEN_KILLS
    wait_until(lambda: racers.answered >= target, "answers after the last kill", 120)
    racers.stopping = True
    for thread in racers.threads:
        thread.join()
    assert not racers.unexpected, racers.unexpected[:5]

    server = racers.server
    dynamodb, streams = server.client(), server.client("dynamodbstreams")

    # What is there works, and what it has of a stream reads to its end.
    for name in dynamodb.list_tables()["TableNames"]:
        arn = dynamodb.describe_table(TableName=name)["Table"].get("LatestStreamArn")
        dynamodb.put_item(TableName=name, Item={"pk": {"S": "last"}})
        if arn:
            status = streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"]
            records = read_stream(streams, arn)
            assert status == "DISABLED" or records, (name, arn)
    for stream in all_streams(streams):
        read_stream(streams, stream)
    for name in dynamodb.list_tables()["TableNames"]:
        dynamodb.delete_table(TableName=name)
    for stream in all_streams(streams):
        description = streams.describe_stream(StreamArn=stream)["StreamDescription"]
        assert description["StreamStatus"] == "DISABLED", description
        assert all("EndingSequenceNumber" in shard["SequenceNumberRange"] for shard in description["Shards"]), description
    left = len(all_streams(streams))
    assert server.stop() == 0, server.output()

    # With a retention of a second all of them are forgotten, each by its own pass.
    server = start("--stream-retention", "1s")
    streams = server.client("dynamodbstreams")
    wait_until(lambda: not all_streams(streams), f"{left} streams to be forgotten; server: {server.output()}", 60)
    assert "not all could be done" not in server.output(), server.output()
    assert server.stop() == 0, server.output()
    print(f"\n{KILLS} kills, {racers.answered} answers, {left} streams forgotten")


def all_streams(streams):
    arns, start = [], {}
    while True:
        page = streams.list_streams(**start)
        arns += [stream["StreamArn"] for stream in page["Streams"]]
        if "LastEvaluatedStreamArn" not in page:
            return arns
        start = {"ExclusiveStartStreamArn": page["LastEvaluatedStreamArn"]}
