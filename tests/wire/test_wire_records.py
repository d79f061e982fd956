"""The texts of stream records as clients and functions read them.

Rows: docs/spec/streams.md 8; docs/spec/event-source-mapping.md 6.
"""

import datetime
import json
import re

from conftest import STREAMED_TABLE, read_stream, wait_until

TEMPLATE = (
    """
Transform: AWS::Serverless-2016-10-31
Resources:
"""
    + STREAMED_TABLE
    + """\
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
)

HANDLER = """
import json
def handler(event, context):
    for record in event['Records']:
        time = record['dynamodb']['ApproximateCreationDateTime']
        assert type(time) is float, type(time)
        assert type(record['dynamodb']['SizeBytes']) is int
        print('SAW', json.dumps(record))
"""


def test_a_handler_sees_the_time_as_a_float_and_the_members_in_order(start, tmp_path):
    folder = tmp_path / "application"
    (folder / "src").mkdir(parents=True)
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "src/app.py").write_text(HANDLER)
    server = start(command="up", positional=[folder])
    server.client().put_item(TableName="things", Item={"pk": {"S": "k"}, "n": {"N": "1e2"}, "b": {"B": b"\x00\x01"}})
    line = wait_until(lambda: re.search(r"SAW (\{.*\})", server.output()), "the handler's line")
    record = json.loads(line[1])
    assert list(record) == ["eventID", "eventName", "eventVersion", "eventSource", "awsRegion", "dynamodb", "eventSourceARN"]
    change = record["dynamodb"]
    assert list(change) == ["ApproximateCreationDateTime", "Keys", "NewImage", "SequenceNumber", "SizeBytes", "StreamViewType"]
    assert change["NewImage"] == {"pk": {"S": "k"}, "n": {"N": "100"}, "b": {"B": "AAE="}}
    assert change["SizeBytes"] == 3 + (3 + 3 + 3)
    assert change["ApproximateCreationDateTime"].is_integer()
    assert server.stop() == 0


def test_boto3_reads_the_time_as_an_instant_and_the_wire_has_a_fraction(shared_server, dynamodb, streams, table):
    texts = []
    streams.meta.events.register("after-call.dynamodb-streams.GetRecords", lambda http_response, **_: texts.append(http_response.text))
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "k"}})
    [record] = read_stream(streams, dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"])
    time = record["dynamodb"]["ApproximateCreationDateTime"]
    assert isinstance(time, datetime.datetime) and time.microsecond == 0
    numbers = re.findall(r'"ApproximateCreationDateTime":([^,]*),', "".join(texts))
    assert numbers == [f"{int(time.timestamp())}.0"]
