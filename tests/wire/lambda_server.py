"""A server with functions of Python, mappings that a test makes, and how the Lambda API refuses: for the tests of that API."""

import json
import re
import urllib.error
import urllib.request

import botocore.exceptions
import pytest

from conftest import Server, make_table, wait_until

ACCOUNT = "000000000000"
FUNCTION_ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function"
STREAM_ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/none/stream/2026-01-01T00:00:00.000"
TEMPLATE = """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.11, CodeUri: src/}
Resources:
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      {FunctionName: echo, Handler: app.echo, MemorySize: 256, Timeout: 5, Environment: {Variables: {STAGE: test}},
       ReservedConcurrentExecutions: 4}
  Seen:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: seen, Handler: app.seen, Timeout: 20}
  Fails:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: fails, Handler: app.fails}
  Hangs:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: hangs, Handler: app.hangs, Timeout: 1}
  Off:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: off, Handler: app.echo, ReservedConcurrentExecutions: 0}
  Huge:
    Type: AWS::Serverless::Function
    Properties:
      {FunctionName: huge, Handler: app.huge, Timeout: 60, LoggingConfig: {LogFormat: JSON, ApplicationLogLevel: WARN, LogGroup: mine}}
"""
CODE = '''
import json, os, time

FOLDER = os.path.dirname(os.path.abspath(__file__))


def echo(event, context):
    print("echo has", json.dumps(event))
    client = context.client_context
    return {
        "event": event,
        "request": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "custom": client.custom if client else None,
        "stage": os.environ["STAGE"],
    }


def seen(event, context):
    for record in event["Records"]:
        with open(f"{FOLDER}/seen.txt", "a") as file:
            file.write(record["dynamodb"]["Keys"]["pk"]["S"] + "\\n")
    while os.path.exists(f"{FOLDER}/hold"):
        time.sleep(0.02)


def fails(event, context):
    print("about to fail")
    with open(f"{FOLDER}/failed.txt", "a") as file:
        file.write(json.dumps([context.aws_request_id, event]) + "\\n")
    raise ValueError("no good")


def hangs(event, context):
    time.sleep(3600)


def huge(event, context):
    return "x" * event
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lambda") / "application"
    (folder / "src").mkdir(parents=True)
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "src/app.py").write_text(CODE)
    server = Server(folder.parent / "data", command="up", positional=[folder]).wait_ready()
    server.folder = folder
    yield server
    assert server.stop() == 0, server.output()


@pytest.fixture(scope="module")
def client(server):
    # With the SDK's own look at parameters off, so that the server sees what is wrong; payloads are bytes as everywhere.
    return server.client("lambda", read_timeout=90)


@pytest.fixture
def stream(server, request):
    """The ARN of the stream of a table of this test; its name is the test's."""
    name = "t-" + re.sub("[^A-Za-z0-9]", "-", request.node.name)[:100]
    table = make_table(server.client(), name, stream="NEW_AND_OLD_IMAGES")
    return table["LatestStreamArn"]


@pytest.fixture(scope="module")
def unmapped(server):
    """The ARN of a stream that has no mapping."""
    return make_table(server.client(), "t-unmapped", stream="KEYS_ONLY")["LatestStreamArn"]


@pytest.fixture
def make(client, stream):
    """Makes mappings, and deletes them when the test ends."""
    made = []

    def maker(function="seen", **parameters):
        parameters = {"EventSourceArn": stream, "StartingPosition": "TRIM_HORIZON", **parameters}
        mapping = client.create_event_source_mapping(FunctionName=function, **parameters)
        made.append(mapping["UUID"])
        return mapping

    yield maker
    for name in made:
        try:
            wait_for_state(client, name, "Enabled", "Disabled")
            client.delete_event_source_mapping(UUID=name)
            wait_until(lambda: is_gone(client, name), "the end of the deletion")
        except client.exceptions.ResourceNotFoundException:
            pass


def wait_for_state(client, name, *states):
    def state():
        mapping = client.get_event_source_mapping(UUID=name)
        return mapping if mapping["State"] in states else None

    return wait_until(state, f"one of the states {states}")


def is_gone(client, name):
    try:
        client.get_event_source_mapping(UUID=name)
    except client.exceptions.ResourceNotFoundException:
        return True
    return False


def lines_of(server, name):
    """What the functions wrote into a file beside their code."""
    path = server.folder / "src" / name
    return path.read_text().splitlines() if path.exists() else []


def refused(call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        call(**parameters)
    answer = raised.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"], answer["Error"]["Message"]


def without_meta(answer):
    meta = answer.pop("ResponseMetadata")
    return meta, answer


def raw(server, method, path, body=None, **headers):
    """Status, headers and document of a request as no SDK sends it."""
    request = urllib.request.Request(
        server.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature=b",
            **headers,
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()
