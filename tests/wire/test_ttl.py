"""Time to live on the wire: items go within seconds, their records name the service, and functions see that.

Rows: docs/spec/dynamodb-api.md 8.2; docs/spec/streams.md 8; docs/spec/event-source-mapping.md 6.
"""

import gzip
import json
import time
import urllib.request

from conftest import make_table, read_stream, wait_until

TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: sessions
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
      TimeToLiveSpecification: {AttributeName: expires, Enabled: true}
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.11
      Handler: app.handler
      CodeUri: src/
      Events:
        Stream:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: TRIM_HORIZON}
"""
HANDLER = """
import json

def handler(event, context):
    for record in event["Records"]:
        print("SAW " + json.dumps([record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"], record.get("userIdentity")]))
"""


def enable(dynamodb, table, attribute="expires", enabled=True):
    specification = {"AttributeName": attribute, "Enabled": enabled}
    return dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=specification)


def put(dynamodb, table, key, seconds):
    """Puts an item that expires in so many seconds from now."""
    item = {"pk": {"S": key}, "expires": {"N": str(int(time.time()) + seconds)}}
    dynamodb.put_item(TableName=table, Item=item)


def keys(dynamodb, table):
    return sorted(item["pk"]["S"] for item in dynamodb.scan(TableName=table)["Items"])


def delete_expired(server):
    request = urllib.request.Request(f"{server.url}/_aws/dynamodb/expired", method="DELETE")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def test_an_item_expires_within_seconds_and_its_record_names_the_service(dynamodb, streams, table):
    put(dynamodb, table, "before", -10)
    answer = enable(dynamodb, table)
    assert answer["TimeToLiveSpecification"] == {"Enabled": True, "AttributeName": "expires"}
    described = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires"}
    put(dynamodb, table, "soon", 1)
    put(dynamodb, table, "later", 1000)
    # Within seconds, on a machine with nothing else to do.
    wait_until(lambda: keys(dynamodb, table) == ["later"], "the items to expire", 60)
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    removed = [record for record in read_stream(streams, arn) if record["eventName"] == "REMOVE"]
    assert sorted(record["dynamodb"]["Keys"]["pk"]["S"] for record in removed) == ["before", "soon"]
    for record in removed:
        assert record["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
        assert record["dynamodb"]["OldImage"]["pk"] == record["dynamodb"]["Keys"]["pk"]
    enable(dynamodb, table, enabled=False)
    assert dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"] == {"TimeToLiveStatus": "DISABLED"}


def test_expired_items_stay_for_the_delay_and_go_when_asked_for(start):
    server = start("--ttl-delay", "1h")
    dynamodb = server.client()
    make_table(dynamodb, "sessions")
    put(dynamodb, "sessions", "before", -10)
    enable(dynamodb, "sessions")
    put(dynamodb, "sessions", "expired", -10)
    put(dynamodb, "sessions", "later", 1000)
    assert keys(dynamodb, "sessions") == ["before", "expired", "later"]
    assert delete_expired(server) == {"ExpiredItems": 2}
    assert keys(dynamodb, "sessions") == ["later"]
    assert delete_expired(server) == {"ExpiredItems": 0}


def test_the_function_of_a_template_sees_that_the_service_removed_an_item(start, tmp_path):
    folder = tmp_path / "application"
    (folder / "src").mkdir(parents=True)
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "src/app.py").write_text(HANDLER)
    server = start(command="up", positional=[folder])
    put(server.client(), "sessions", "gone", -5)
    service = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    line = "SAW " + json.dumps(["REMOVE", "gone", service])
    wait_until(lambda: line in server.output(), "the record of the expired item")
    assert "SAW " + json.dumps(["INSERT", "gone", None]) in server.output()


def test_a_sink_sees_that_the_service_removed_an_item(start, tmp_path):
    """As a function does: what copies a table knows what went by itself from what a client deleted."""
    config = tmp_path / "tailrace.json"
    config.write_text(json.dumps({"sinks": {"lake": {"from": "sessions", "to": "./lake", "flush": {"seconds": 0}}}}))
    server = start("--config", str(config))
    dynamodb = server.client()
    make_table(dynamodb, "sessions", stream="NEW_AND_OLD_IMAGES")
    enable(dynamodb, "sessions")
    put(dynamodb, "sessions", "deleted", 1000)
    dynamodb.delete_item(TableName="sessions", Key={"pk": {"S": "deleted"}})
    put(dynamodb, "sessions", "gone", -5)

    def removed():
        """The records of what was removed, by key: who did it."""
        lines = [line for file in (tmp_path / "lake").rglob("*.jsonl*") for line in lines_of(file)]
        removals = [line for line in lines if line["eventName"] == "REMOVE"]
        return {line["dynamodb"]["Keys"]["pk"]["S"]: line.get("userIdentity") for line in removals}

    service = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    wait_until(lambda: removed() == {"deleted": None, "gone": service}, "both records in the directory")


def lines_of(path):
    if any(part.startswith((".", "_")) for part in path.parts):
        return []
    content = path.read_bytes()
    return [json.loads(line) for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines()]


def test_what_a_kill_interrupted_is_finished_by_the_next_start(start):
    server = start()
    dynamodb = server.client()
    make_table(dynamodb, "sessions", stream="KEYS_ONLY")
    wanted = [f"{number:04}" for number in range(1500)]
    for first in range(0, len(wanted), 25):
        item = lambda key: {"pk": {"S": key}, "expires": {"N": str(int(time.time()) - 5)}}
        puts = [{"PutRequest": {"Item": item(key)}} for key in wanted[first : first + 25]]
        dynamodb.batch_write_item(RequestItems={"sessions": puts})
    enable(dynamodb, "sessions")
    for _ in range(3):
        time_before = time.monotonic()
        left = len(keys(dynamodb, "sessions"))
        wait_until(lambda: len(keys(dynamodb, "sessions")) < left or time.monotonic() - time_before > 0.5, "a few deletes")
        server.kill()
        server = start()
        dynamodb = server.client()
    wait_until(lambda: keys(dynamodb, "sessions") == [], "every item to expire")
    arn = dynamodb.describe_table(TableName="sessions")["Table"]["LatestStreamArn"]
    removed = [r for r in read_stream(server.client("dynamodbstreams"), arn) if r["eventName"] == "REMOVE"]
    assert sorted(record["dynamodb"]["Keys"]["pk"]["S"] for record in removed) == wanted, "each once, none lost"
    assert all("userIdentity" in record for record in removed)
