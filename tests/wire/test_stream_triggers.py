"""What people met with other servers that run functions on streams; each test is somebody's bug.

Rows: docs/spec/event-source-mapping.md 5, 6, 10. `tests/spec_rows.txt` says which test is whose.
"""

import re

import pytest

from conftest import wait_until

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.11, Timeout: 5, CodeUri: src/}
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: abc
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
"""
FUNCTION = """
  %(name)s:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: %(name)s
      Handler: app.%(name)s
      Events:
        Stream:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: TRIM_HORIZON, %(rules)s}
"""
HANDLERS = """
import json, os, urllib.request

def keys(event):
    return [r["dynamodb"]["Keys"]["pk"]["S"] for r in event["Records"]]

def good(event, context):
    for key in keys(event):
        print("GOOD", key)

def bad(event, context):
    raise ValueError("never")

def again(event, context):
    for record in event["Records"]:
        print("CAME", record["eventID"], record["dynamodb"]["Keys"]["pk"]["S"])
    if not os.path.exists(os.environ["LAMBDA_TASK_ROOT"] + "/mended"):
        raise ValueError("not yet")

def loops(event, context):
    for record in event["Records"]:
        n = int(record["dynamodb"]["NewImage"]["n"]["N"])
        print("LOOP", n)
        if n < 3:
            item = {"pk": {"S": "own"}, "n": {"N": str(n + 1)}}
            headers = {"X-Amz-Target": "DynamoDB_20120810.PutItem", "Content-Type": "application/x-amz-json-1.0",
                       "Authorization": "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0",
                       "X-Amz-Date": "20260101T000000Z"}
            body = json.dumps({"TableName": "abc", "Item": item}).encode()
            urllib.request.urlopen(urllib.request.Request(os.environ["AWS_ENDPOINT_URL_DYNAMODB"], body, headers)).read()

def told(event, context):
    print("ARN", context.invoked_function_arn + ".")
"""


@pytest.fixture
def up(start, tmp_path):
    def starter(**functions):
        folder = tmp_path / "application"
        (folder / "src").mkdir(parents=True)
        resources = "".join(FUNCTION % {"name": name, "rules": rules} for name, rules in functions.items())
        (folder / "template.yaml").write_text(TEMPLATE + resources)
        (folder / "src/app.py").write_text(HANDLERS)
        return start(command="up", positional=[folder])

    return starter


def put(server, *keys, n=0):
    client = server.client()
    for key in keys:
        client.put_item(TableName="abc", Item={"pk": {"S": key}, "n": {"N": str(n)}})


def test_functions_of_one_stream_do_not_hold_each_other_up(up):
    rules = "MaximumRetryAttempts: -1"
    server = up(bad=rules, good=rules)
    written = [f"k{n}" for n in range(40)]
    put(server, *written)
    wait_until(lambda: len(re.findall(r"GOOD (k\d+)", server.output())) >= len(written), "every record at the good function")
    assert sorted(re.findall(r"GOOD (k\d+)", server.output())) == sorted(written), "once each"

    def states():
        mappings = server.admin("mappings")["mappings"]
        return {mapping["function"]: {shard["state"] for shard in mapping["shards"]} for mapping in mappings}

    wait_until(lambda: "retrying" in states()["bad"] and states()["good"] == {"idle"}, "the one to fail, the other to rest")


def test_a_record_that_comes_again_has_the_same_id(up, tmp_path):
    """Spec 10: what a handler can tell a repeat by, over retries and over a restart."""
    server = up(again="MaximumRetryAttempts: -1")
    put(server, "a")
    wait_until(lambda: server.output().count("CAME") >= 2, "a second try")
    (tmp_path / "application/src/mended").touch()
    wait_until(lambda: "1 record" in server.output() and server.output().count("CAME") >= 3, "one more")
    ids = {line[0] for line in re.findall(r"CAME (\S+) a", server.output())}
    assert len(ids) == 1, ids
    put(server, "b")
    wait_until(lambda: re.search(r"CAME \S+ b", server.output()), "another record")
    assert ids != {re.search(r"CAME (\S+) b", server.output())[1]}


def test_a_handler_may_write_to_the_table_whose_stream_it_gets(up):
    server = up(loops="BatchSize: 1")
    put(server, "own")
    wait_until(lambda: re.findall(r"LOOP (\d)", server.output()) == ["0", "1", "2", "3"], "its own writes")


def test_shard_ids_have_the_length_that_clients_check(up):
    server = up()
    client = server.client("dynamodbstreams", parameter_validation=True)
    (stream,) = client.list_streams(TableName="abc")["Streams"]
    shards = client.describe_stream(StreamArn=stream["StreamArn"])["StreamDescription"]["Shards"]
    assert shards
    for shard in shards:
        assert 28 <= len(shard["ShardId"]) <= 65
        client.get_shard_iterator(StreamArn=stream["StreamArn"], ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")


def test_a_mapping_invokes_by_the_arn_that_it_names(up):
    """Spec 6: the qualifier of the mapping's function is that of the invocation."""
    server = up(told="Enabled: false")
    client = server.client("lambda")
    (stream,) = server.client("dynamodbstreams").list_streams(TableName="abc")["Streams"]
    for function in ("told:$LATEST", "told:live"):
        client.create_event_source_mapping(FunctionName=function, EventSourceArn=stream["StreamArn"], StartingPosition="TRIM_HORIZON")
    put(server, "a")
    for end in (r"\$LATEST", "live"):
        wait_until(lambda end=end: re.search(rf"ARN arn:aws:lambda:us-east-1:\d+:function:told:{end}\.", server.output()), end)
