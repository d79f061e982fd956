"""Fixtures of the wire tests: the real binary on a free loopback port, and real clients."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests/services")]
from shared import free_port  # noqa: E402

BINARY = os.environ.get("TAILRACE_BINARY", str(REPOSITORY / "target/debug/tailrace"))
START_SECONDS_MAX = 90
WAIT_SECONDS_MAX = 120
# The resource `Table` of a template: the table `things` with a hash key `pk` (S) and a stream of both images.
STREAMED_TABLE = """\
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: things
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_AND_OLD_IMAGES}
"""


def wait_until(condition, what, seconds=WAIT_SECONDS_MAX):
    """Asks `condition` until it answers something true, and returns that; fails with `what` when time is up."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"waited {seconds} s in vain for: {what}"
        time.sleep(0.01)


class Server:
    """One running `tailrace` process with its data directory."""

    def __init__(self, data_dir, *arguments, command="serve", positional=(), env=None, port=None, binary=BINARY):
        self.port = port or free_port()
        self.data_dir = pathlib.Path(data_dir)
        self.output_path = self.data_dir.with_name(self.data_dir.name + f".output-{self.port}")
        self.output_file = open(self.output_path, "ab")
        environment = {**os.environ, **(env or {})}
        self.process = subprocess.Popen(
            [binary, command, *map(str, positional), "--port", str(self.port), "--data-dir", str(self.data_dir), *arguments],
            stdout=self.output_file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
        )

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def admin(self, page):
        """What the server tells of itself on a page below /_admin/."""
        with urllib.request.urlopen(f"{self.url}/_admin/{page}", timeout=WAIT_SECONDS_MAX) as answer:
            return json.load(answer)

    def output(self):
        return self.output_path.read_text(errors="replace")

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.output()}"
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health/ready", timeout=2) as answer:
                return answer.status == 200

        wait_until(ready, f"the server on port {self.port}", START_SECONDS_MAX)
        return self

    def client(self, service="dynamodb", **config):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="tailrace",
            aws_secret_access_key="tailrace",
            config=botocore.config.Config(
                **{"retries": {"max_attempts": 0}, "max_pool_connections": 80, "parameter_validation": False, **config}
            ),
        )

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=90):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.output_file.close()


@pytest.fixture
def start(tmp_path):
    """Starts servers, by default on one data directory of the test, and ends them when the test ends."""
    servers = []

    def starter(*arguments, data_dir=None, ready=True, **options):
        server = Server(data_dir or tmp_path / "data", *arguments, **options)
        servers.append(server)
        return server.wait_ready() if ready else server

    yield starter
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory):
    """One server for tests that each make tables of their own."""
    server = Server(tmp_path_factory.mktemp("shared") / "data").wait_ready()
    yield server
    assert server.stop() == 0, server.output()


@pytest.fixture(scope="session")
def dynamodb(shared_server):
    return shared_server.client()


@pytest.fixture(scope="session")
def streams(shared_server):
    return shared_server.client("dynamodbstreams")


@pytest.fixture
def table(dynamodb, request):
    """A fresh table with a hash key `pk` (S) and a stream of both images; its name."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[:200]
    make_table(dynamodb, name, stream="NEW_AND_OLD_IMAGES")
    yield name
    with contextlib.suppress(dynamodb.exceptions.ResourceNotFoundException):
        dynamodb.delete_table(TableName=name)


@pytest.fixture
def ranged_table(dynamodb, request):
    """A fresh table with a hash key `pk` (S) and a range key `sk` (N); its name."""
    name = "r-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[:200]
    make_table(dynamodb, name, range_key=("sk", "N"))
    yield name
    with contextlib.suppress(dynamodb.exceptions.ResourceNotFoundException):
        dynamodb.delete_table(TableName=name)


def post(server, target, body):
    """A request as no SDK sends it, and its answer as it comes: status, headers, bytes."""
    request = urllib.request.Request(
        server.url,
        data=json.dumps(body).encode(),
        headers={
            "X-Amz-Target": target,
            "X-Amz-Date": "20260101T000000Z",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/dynamodb/aws4_request, "
            "SignedHeaders=host, Signature=b",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS_MAX) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def make_table(dynamodb, name, hash_key=("pk", "S"), range_key=None, stream=None):
    keys = [(hash_key, "HASH")] + ([(range_key, "RANGE")] if range_key else [])
    request = {
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": key[0], "AttributeType": key[1]} for key, _ in keys],
        "KeySchema": [{"AttributeName": key[0], "KeyType": kind} for key, kind in keys],
        "BillingMode": "PAY_PER_REQUEST",
    }
    if stream:
        request["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": stream}
    return dynamodb.create_table(**request)["TableDescription"]


def refused(call, **arguments):
    """The class and the message of the error that a call of the SDK is answered with."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    error = caught.value.response["Error"]
    return error["Code"], error.get("Message", "")


def read_stream(streams, stream_arn):
    """Every record of a stream from TRIM_HORIZON, shard by shard (in order within each), parents before children."""
    records = []
    start = {}
    while True:
        page = streams.describe_stream(StreamArn=stream_arn, **start)["StreamDescription"]
        for shard in page["Shards"]:
            iterator = streams.get_shard_iterator(
                StreamArn=stream_arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            while iterator:
                answer = streams.get_records(ShardIterator=iterator)
                records += answer["Records"]
                iterator = answer.get("NextShardIterator") if answer["Records"] else None
        if "LastEvaluatedShardId" not in page:
            return records
        start = {"ExclusiveStartShardId": page["LastEvaluatedShardId"]}
