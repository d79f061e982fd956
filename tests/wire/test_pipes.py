"""Pipes of a template, end to end: to a function, to a queue, and to an API destination. Rows: COMPAT.md, Templates, AWS::Pipes::Pipe."""

import json
import sys

import boto3
import pytest
from moto.server import ThreadedMotoServer

from conftest import REPOSITORY, STREAMED_TABLE, wait_until
from test_sinks import tailrace

sys.path.insert(0, str(REPOSITORY / "tests/services"))

import receiver as services  # noqa: E402

TEMPLATE = (
    """
Transform: AWS::Serverless-2016-10-31
Resources:
"""
    + STREAMED_TABLE
    + """\
  Function:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.11, Handler: app.handler, CodeUri: src/}
  Queue: {Type: AWS::SQS::Queue}
  Connection:
    Type: AWS::Events::Connection
    Properties:
      AuthorizationType: API_KEY
      AuthParameters:
        ApiKeyAuthParameters: {ApiKeyName: X-Key, ApiKeyValue: hunter2}
        InvocationHttpParameters: {HeaderParameters: [{Key: Content-Type, Value: application/x-order}]}
  Destination:
    Type: AWS::Events::ApiDestination
    Properties: {ConnectionArn: !GetAtt Connection.Arn, HttpMethod: POST, InvocationEndpoint: "%s"}
"""
)

PIPE = """
  %s:
    Type: AWS::Pipes::Pipe
    Properties:
      RoleArn: arn:aws:iam::000000000000:role/r
      Source: !GetAtt Table.StreamArn
      Target: !GetAtt %s.Arn
      SourceParameters:
        FilterCriteria: {Filters: [{Pattern: '{"eventName": ["INSERT"]}'}]}
        DynamoDBStreamParameters: {StartingPosition: TRIM_HORIZON}
"""

HANDLER = """
import json
def handler(event, context):
    for record in event:
        print("SAW", record["eventName"], record["dynamodb"]["Keys"]["pk"]["S"] + ".")
"""


@pytest.fixture
def queue():
    """A queue of a server that speaks SQS: the server's address, a client, the queue's URL and ARN."""
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("sqs", endpoint_url=address, region_name="us-east-1", **keys)
    url = client.create_queue(QueueName="q")["QueueUrl"]
    arn = client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    yield address, client, url, arn
    server.stop()


def test_pipes_bring_records_to_a_function_a_queue_and_an_api_destination(start, tmp_path, queue):
    address, client, url, arn = queue
    folder = tmp_path / "application"
    (folder / "src").mkdir(parents=True)
    (folder / "src/app.py").write_text(HANDLER)
    with services.receiver() as receiver:
        pipes = "".join(PIPE % pair for pair in [("ToFunction", "Function"), ("ToQueue", "Queue"), ("ToHook", "Destination")])
        (folder / "template.yaml").write_text(TEMPLATE % f"{receiver.url}/services/hunter2" + pipes)
        environment = {"AWS_ENDPOINT_URL_SQS": address, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        server = start("--resource", f"Queue.Arn={arn}", command="up", positional=[folder], env=environment)
        for _ in range(2):
            server.client().put_item(TableName="things", Item={"pk": {"S": "a"}, "n": {"N": "1"}})
            server.client().update_item(
                TableName="things", Key={"pk": {"S": "a"}}, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": {"N": "2"}}
            )
        wait_until(lambda: "SAW INSERT a." in server.output(), "the function")
        wait_until(lambda: receiver.taken, "the API destination")
        headers, body = receiver.taken[0]
        assert (headers["x-key"], headers["content-type"]) == ("hunter2", "application/x-order")
        record = json.loads(body)
        assert (record["eventName"], record["dynamodb"]["NewImage"]["n"]) == ("INSERT", {"N": "1"})
        messages = wait_until(lambda: client.receive_message(QueueUrl=url).get("Messages"), "the queue")
        assert json.loads(messages[0]["Body"])["eventID"] == record["eventID"]
        assert "SAW MODIFY" not in server.output() and len(receiver.taken) == 1
        # The address is as secret as the key: of it only the host is shown.
        shown = "webhook+" + receiver.url.replace("/hook", "/***")
        shows = json.dumps(server.admin("sinks")) + tailrace(server, "sinks").stdout
        assert "hunter2" not in server.output() + shows and shown in server.output() and shown in shows


DELIVERY_STREAM = """\
  Bucket: {Type: AWS::S3::Bucket, Properties: {BucketName: lake}}
  Stream:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      DeliveryStreamName: changes
      ExtendedS3DestinationConfiguration:
        BucketARN: !GetAtt Bucket.Arn
        RoleARN: arn:aws:iam::000000000000:role/r
        BufferingHints: {SizeInMBs: 1, IntervalInSeconds: 0}
        ProcessingConfiguration:
          Enabled: true
          Processors: [{Type: AppendDelimiterToRecord, Parameters: [{ParameterName: Delimiter, ParameterValue: "\\\\n"}]}]
"""


def test_a_pipe_brings_records_to_a_delivery_stream(start, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").write_text(HANDLER)
    (tmp_path / "template.yaml").write_text(TEMPLATE % "http://127.0.0.1:9/" + DELIVERY_STREAM + PIPE % ("ToStream", "Stream"))
    server = start("--template", str(tmp_path / "template.yaml"))
    client = server.client()
    for number in range(20):
        client.put_item(TableName="things", Item={"pk": {"S": f"k{number}"}})
    client.delete_item(TableName="things", Key={"pk": {"S": "k3"}})
    client.put_item(TableName="things", Item={"pk": {"S": "last"}})

    def keys():
        paths = [path for path in (server.data_dir / "buckets/lake").rglob("*") if path.is_file() and path.name[0] != "."]
        events = [json.loads(line) for path in paths for line in path.read_text().splitlines()]
        assert {event["eventName"] for event in events} <= {"INSERT"}
        return {event["dynamodb"]["Keys"]["pk"]["S"] for event in events}

    wait_until(lambda: keys() == {f"k{number}" for number in range(20)} | {"last"}, "every insert")
