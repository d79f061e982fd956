"""Kill -9 under load, again and again. Afterwards the stream from TRIM_HORIZON rebuilds the table exactly.

TAILRACE_KILLS sets how often the server is killed (`cargo xtask crash` does it 100 times), TAILRACE_SEED the writers' seed.
Rows: docs/spec/streams.md 11 and 15 (9, 12).
"""

import collections
import json
import os
import random
import threading

import botocore.exceptions

from conftest import Server, free_port, make_table, read_stream, wait_until

KILLS = int(os.environ.get("TAILRACE_KILLS", "3"))
SEED = int(os.environ.get("TAILRACE_SEED", "1"))
WRITERS = 64
KEYS = 1_000
WRITES_BETWEEN_KILLS = 400

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Recorder:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: recorder.handler
      CodeUri: .
      Environment: {Variables: {SEEN_FILE: %s}}
      Events:
        Changes:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Scores.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 100}
  Scores:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: scores
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
"""

RECORDER = """
import json, os
def handler(event, context):
    lines = [json.dumps([r["dynamodb"]["Keys"]["pk"]["S"], r["dynamodb"]["SequenceNumber"]]) + "\\n" for r in event["Records"]]
    with open(os.environ["SEEN_FILE"], "a") as seen:
        seen.write("".join(lines))
"""


class Writers:
    """Sixty-four threads that put, update and delete random keys; each remembers what was acknowledged to it."""

    def __init__(self):
        self.server = None
        self.stopping = False
        self.acknowledged = 0
        self.lock = threading.Lock()
        self.newest = {}  # key -> the highest acknowledged counter; each writer owns its keys
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(WRITERS)]

    def run(self, number):
        random_source = random.Random(SEED * 1_000 + number)
        keys = [f"k{k}" for k in range(number, KEYS, WRITERS)]
        counter = 0
        client, server = None, None
        while not self.stopping:
            if server is not self.server:
                server = self.server
                client = server.client(connect_timeout=1, read_timeout=90)
            key, counter = random_source.choice(keys), counter + 1
            dice = random_source.random()
            try:
                if dice < 0.5:
                    client.put_item(TableName="scores", Item={"pk": {"S": key}, "counter": {"N": str(counter)}, "fill": {"S": "x" * 60}})
                elif dice < 0.9:
                    client.update_item(TableName="scores", Key={"pk": {"S": key}}, UpdateExpression="SET #c = :c",
                                       ExpressionAttributeNames={"#c": "counter"}, ExpressionAttributeValues={":c": {"N": str(counter)}})
                else:
                    client.delete_item(TableName="scores", Key={"pk": {"S": key}})
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                with self.lock:
                    self.newest.setdefault(key, []).append(("maybe", None if dice >= 0.9 else counter))
                continue
            with self.lock:
                self.newest[key] = [("sure", None if dice >= 0.9 else counter)]
                self.acknowledged += 1


def test_killed_again_and_again_nothing_is_lost(tmp_path):
    application = tmp_path / "application"
    application.mkdir()
    seen_file = tmp_path / "seen.ndjson"
    (application / "template.yaml").write_text(TEMPLATE % seen_file)
    (application / "recorder.py").write_text(RECORDER)
    data_dir, port = tmp_path / "data", free_port()

    def start():
        return Server(data_dir, command="up", positional=[application], port=port).wait_ready()

    writers = Writers()
    writers.server = start()
    for thread in writers.threads:
        thread.start()
    pause = random.Random(SEED)
    for kill in range(KILLS):
        target = writers.acknowledged + pause.randrange(WRITES_BETWEEN_KILLS // 2, WRITES_BETWEEN_KILLS)
        wait_until(lambda: writers.acknowledged >= target, f"{target} acknowledged writes before kill {kill + 1}", 120)
        writers.server.kill()
        writers.server = start()
    target = writers.acknowledged + WRITES_BETWEEN_KILLS
    wait_until(lambda: writers.acknowledged >= target, "writes after the last kill", 120)
    writers.stopping = True
    for thread in writers.threads:
        thread.join()

    server = writers.server
    dynamodb, streams = server.client(), server.client("dynamodbstreams")
    table = {}
    for page in dynamodb.get_paginator("scan").paginate(TableName="scores", ConsistentRead=True):
        table.update({item["pk"]["S"]: item for item in page["Items"]})

    # Every acknowledged write is there, unless a later write that got no answer went through.
    for key, possible in writers.newest.items():
        stored = int(table[key]["counter"]["N"]) if key in table else None
        assert stored in [counter for _, counter in possible] or possible[0][0] == "maybe", (key, stored, possible)

    records = read_stream(streams, dynamodb.describe_table(TableName="scores")["Table"]["LatestStreamArn"])
    numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
    assert len(numbers) == len(set(numbers)), "a sequence number is used twice"
    rebuilt, order = {}, collections.defaultdict(list)
    for record in records:
        change = record["dynamodb"]
        key = change["Keys"]["pk"]["S"]
        assert change.get("OldImage") == rebuilt.get(key), f"the chain of images breaks at {key} {change['SequenceNumber']}"
        rebuilt[key] = change.get("NewImage")
        order[key].append(change["SequenceNumber"])
    assert {key: image for key, image in rebuilt.items() if image is not None} == table

    # The handler saw every record, in order per key: first sightings are in stream order, only repeats come late.
    def seen():
        with open(seen_file) as lines:
            return [json.loads(line) for line in lines if line.endswith("\n")]

    wait_until(lambda: {number for _, number in seen()} >= set(numbers), "the handler to see every record", 120)
    first_sightings = collections.defaultdict(list)
    for key, number in seen():
        if number not in first_sightings[key]:
            first_sightings[key].append(number)
    assert first_sightings == order
    print(f"\n{KILLS} kills, {writers.acknowledged} acknowledged writes, {len(records)} records, {len(seen())} deliveries")
    assert server.stop() == 0, server.output()
