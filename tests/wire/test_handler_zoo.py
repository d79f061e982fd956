"""Fifty functions at once, among them one of each kind of bad neighbour: nothing is lost, and the server lives.

Rows: docs/spec/lambda-runtime.md 4, 5, 10, 11. `tailrace-bench --only zoo` measures what a write costs beside them.
"""

import os
import pathlib
import time

import pytest

from conftest import REPOSITORY, wait_until

ZOO = (REPOSITORY / "tests/zoo/app.py").read_text()
BAD = [
    "fork_bomb", "memory_eater", "leaves_its_group", "segfault", "endless_output", "endless_line", "hangs", "burns", "huge_answer",
    "exits", "closes_everything", "raises", "there_is_no_such_handler",
]
FUNCTIONS = 50
ITEMS = 200
TABLE = """
  %s:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: %s
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
"""
FUNCTION = """
  F%(number)d:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: %(name)s
      Runtime: python3.11
      Handler: app.%(handler)s
      CodeUri: src/
      Timeout: %(timeout)d
      Environment: {Variables: {EFFECTS: %(effects)s, KIND: %(handler)s}}
      Events:
        S:
          Type: DynamoDB
          Properties: {Stream: !GetAtt T.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 10000, MaximumRetryAttempts: 0}
"""


@pytest.fixture
def zoo(start, tmp_path):
    """The server, and the files of effects of the functions that do their work."""
    project = tmp_path / "zoo"
    (project / "src").mkdir(parents=True)
    (project / "src/app.py").write_text(ZOO)
    template = "Transform: AWS::Serverless-2016-10-31\nResources:" + TABLE % ("T", "things") + TABLE % ("Q", "quiet")
    handlers = BAD + ["slow_import"] + ["good"] * (FUNCTIONS - len(BAD) - 1)
    effects = []
    for number, handler in enumerate(handlers):
        name = f"f{number}-{handler}"
        values = {"number": number, "name": name, "handler": handler, "effects": tmp_path / name, "timeout": 60}
        if handler in BAD:
            values["timeout"] = 1
        else:
            effects.append(tmp_path / name)
        template += FUNCTION % values
    (project / "template.yaml").write_text(template)
    return start(command="up", positional=[project], data_dir=project / "data"), effects


def put(client, table, count):
    """Puts items at a pace; the 99th percentile of how long it took, ms."""
    took = []
    for number in range(count):
        begun = time.perf_counter()
        client.put_item(TableName=table, Item={"pk": {"S": str(number)}})
        took.append((time.perf_counter() - begun) * 1000)
        # Not as fast as it can, but as someone who writes now and then.
        time.sleep(0.01)
    return sorted(took)[int(len(took) * 0.99)]


def parked(server):
    """How many records each function gave up."""
    mappings = server.admin("mappings")["mappings"]
    return {mapping["function"]: sum(shard["parked"] for shard in mapping["shards"]) for mapping in mappings}


def processes_with(text):
    """The processes in whose environment a text is."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if process.name != str(os.getpid()) and text.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            pass
    return found


def test_fifty_functions_with_bad_ones_among_them_lose_nothing_and_the_server_lives(zoo):
    server, effects = zoo
    client = server.client()
    idle = put(client, "quiet", ITEMS)
    beside = put(client, "things", ITEMS)
    print(f"PutItem p99: {idle:.2f} ms idle, {beside:.2f} ms beside the zoo")

    expected = {str(number) for number in range(ITEMS)}

    def seen(file):
        return set(file.read_text().split()) if file.exists() else set()

    wait_until(lambda: all(seen(file) == expected for file in effects), "every record at every good function", 180)
    gave_up = {f"f{number}-{handler}": ITEMS for number, handler in enumerate(BAD)}
    wait_until(lambda: {name: count for name, count in parked(server).items() if count} == gave_up, "what the bad ones gave up", 180)
    assert client.get_item(TableName="things", Key={"pk": {"S": "0"}})["Item"] == {"pk": {"S": "0"}}
    assert server.stop(60) == 0, server.output()[-4000:]
    wait_until(lambda: not processes_with(str(effects[0].parent)), "the end of all that functions started")
