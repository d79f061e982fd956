"""Delivery streams with the real SDK: every operation, limits and errors, objects in directories, functions on both sides, and exact
objects after kills. Rows: docs/spec/sinks.md 2.1, 2.2, 8, 9; docs/sinks.md, Firehose.
"""

import base64
import collections
import contextlib
import gzip
import json
import os
import pathlib
import random
import subprocess
import sys
import threading
import time
import urllib.request
import zlib

import botocore.exceptions
import pytest

from conftest import BINARY, REPOSITORY, free_port, refused, wait_until
from ordeal import CAUGHT_UP_SECONDS_MAX, OUTAGES, SHARDS, Line, Ordeal, assert_each_once_in_order, beginning, stilled
from test_sinks import history

sys.path.insert(0, str(REPOSITORY / "tests"))
from services import s3 as s3_service  # noqa: E402

BUCKET = "arn:aws:s3:::lake"
ROLE = "arn:aws:iam::000000000000:role/delivery"
DESTINATION = "destinationId-000000000001"
KILLS = 10


def make(client, name, hints=(1, 0), **more):
    config = {
        "BucketARN": BUCKET,
        "RoleARN": ROLE,
        "BufferingHints": {"SizeInMBs": hints[0], "IntervalInSeconds": hints[1]},
        **more,
    }
    return client.create_delivery_stream(DeliveryStreamName=name, ExtendedS3DestinationConfiguration=config)["DeliveryStreamARN"]


def objects(server, bucket="lake"):
    """The objects of a bucket: key to bytes."""
    root = server.data_dir / "buckets" / bucket
    paths = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def statuses(server):
    return server.admin("delivery-streams")["deliveryStreams"]


@pytest.fixture(scope="module")
def firehose(shared_server):
    return shared_server.client("firehose")


@pytest.fixture
def stream(firehose, request):
    name = "s-" + "".join(c if c.isalnum() else "-" for c in request.node.name)[:60]
    yield name
    with contextlib.suppress(firehose.exceptions.ResourceNotFoundException):
        firehose.delete_delivery_stream(DeliveryStreamName=name)


def test_a_stream_is_made_described_listed_and_deleted(firehose, stream):
    arn = make(firehose, stream, Prefix="raw/", CompressionFormat="GZIP")
    assert arn == f"arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}"
    found = firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
    assert (found["DeliveryStreamARN"], found["DeliveryStreamName"], found["VersionId"]) == (arn, stream, "1")
    assert (found["DeliveryStreamStatus"], found["DeliveryStreamType"]) == ("ACTIVE", "DirectPut")
    assert found["CreateTimestamp"].year >= 2026 and "LastUpdateTimestamp" not in found
    assert found["DeliveryStreamEncryptionConfiguration"] == {"Status": "DISABLED"} and not found["HasMoreDestinations"]
    [destination] = found["Destinations"]
    assert destination["DestinationId"] == DESTINATION
    both = {
        "RoleARN": ROLE,
        "BucketARN": BUCKET,
        "Prefix": "raw/",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
        "CompressionFormat": "GZIP",
        "EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"},
        "CloudWatchLoggingOptions": {"Enabled": False},
    }
    assert destination["S3DestinationDescription"] == both
    assert destination["ExtendedS3DestinationDescription"] == {**both, "S3BackupMode": "Disabled"}
    assert stream in firehose.list_delivery_streams(Limit=10000)["DeliveryStreamNames"]
    code, text = refused(make, client=firehose, name=stream)
    assert (code, text) == ("ResourceInUseException", f"Firehose {stream} under accountId 000000000000 already exists")
    firehose.delete_delivery_stream(DeliveryStreamName=stream)
    for call in (firehose.describe_delivery_stream, firehose.delete_delivery_stream, firehose.list_tags_for_delivery_stream):
        expected = ("ResourceNotFoundException", f"Firehose {stream} under account 000000000000 not found.")
        assert refused(call, DeliveryStreamName=stream) == expected


def test_streams_are_listed_by_pages(start):
    client = start().client("firehose")
    names = [f"page-{n:02}" for n in range(12)]
    for name in reversed(names):
        make(client, name)
    page = client.list_delivery_streams()
    assert page["DeliveryStreamNames"] == names[:10] and page["HasMoreDeliveryStreams"]
    page = client.list_delivery_streams(ExclusiveStartDeliveryStreamName="page-09", DeliveryStreamType="DirectPut")
    assert page["DeliveryStreamNames"] == names[10:] and not page["HasMoreDeliveryStreams"]
    assert client.list_delivery_streams(DeliveryStreamType="MSKAsSource")["DeliveryStreamNames"] == []


def test_tags_are_kept(firehose, stream):
    config = {"BucketARN": BUCKET, "RoleARN": ROLE}
    firehose.create_delivery_stream(
        DeliveryStreamName=stream, S3DestinationConfiguration=config, Tags=[{"Key": "b", "Value": "1"}, {"Key": "c"}]
    )
    firehose.tag_delivery_stream(DeliveryStreamName=stream, Tags=[{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}])
    listed = firehose.list_tags_for_delivery_stream(DeliveryStreamName=stream)
    assert listed["Tags"] == [{"Key": "a", "Value": "2"}, {"Key": "b", "Value": "3"}, {"Key": "c"}] and not listed["HasMoreTags"]
    listed = firehose.list_tags_for_delivery_stream(DeliveryStreamName=stream, Limit=1, ExclusiveStartTagKey="a")
    assert listed["Tags"] == [{"Key": "b", "Value": "3"}] and listed["HasMoreTags"]
    firehose.untag_delivery_stream(DeliveryStreamName=stream, TagKeys=["a", "none"])
    assert [tag["Key"] for tag in firehose.list_tags_for_delivery_stream(DeliveryStreamName=stream)["Tags"]] == ["b", "c"]
    many = [{"Key": f"k{n}", "Value": ""} for n in range(49)]
    assert refused(firehose.tag_delivery_stream, DeliveryStreamName=stream, Tags=many)[0] == "LimitExceededException"
    twice = [{"Key": "x"}, {"Key": "x"}]
    assert refused(firehose.tag_delivery_stream, DeliveryStreamName=stream, Tags=twice)[0] == "InvalidArgumentException"


def test_encryption_is_as_it_was_asked_for(firehose, stream):
    make(firehose, stream)
    record = {"DeliveryStreamName": stream, "Record": {"Data": b"x"}}
    assert firehose.put_record(**record)["Encrypted"] is False
    firehose.start_delivery_stream_encryption(DeliveryStreamName=stream)
    asked = {"KeyType": "CUSTOMER_MANAGED_CMK"}
    code, _ = refused(
        firehose.start_delivery_stream_encryption, DeliveryStreamName=stream, DeliveryStreamEncryptionConfigurationInput=asked
    )
    assert code == "InvalidArgumentException"
    found = firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
    assert found["DeliveryStreamEncryptionConfiguration"] == {"Status": "ENABLED", "KeyType": "AWS_OWNED_CMK"}
    assert firehose.put_record(**record)["Encrypted"] is True
    firehose.stop_delivery_stream_encryption(DeliveryStreamName=stream)
    found = firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
    assert found["DeliveryStreamEncryptionConfiguration"] == {"Status": "DISABLED"}


def test_records_have_the_limits_of_the_service(firehose, stream):
    """Spec: sinks.md 2.1. The texts are recorded ones."""
    make(firehose, stream, hints=(128, 900))
    put = firehose.put_record_batch
    answer = put(DeliveryStreamName=stream, Records=[{"Data": b"\x00" * 1_024_000}] * 4)
    ids = [entry["RecordId"] for entry in answer["RequestResponses"]]
    assert answer["FailedPutCount"] == 0 and len(set(ids)) == 4 and ids == sorted(ids) and {len(i) for i in ids} == {56}
    assert len(put(DeliveryStreamName=stream, Records=[{"Data": b""}] * 500)["RequestResponses"]) == 500
    limit = "failed to satisfy constraint: Member must have length less than or equal to"
    buffer = "java.nio.HeapByteBuffer[pos=0 lim=1024001 cap=1024001]"
    assert refused(firehose.put_record, DeliveryStreamName=stream, Record={"Data": b"x" * 1_024_001}) == (
        "ValidationException",
        f"1 validation error detected: Value '{buffer}' at 'record.data' {limit} 1024000",
    )
    code, text = refused(put, DeliveryStreamName=stream, Records=[{"Data": b""}, {"Data": b"x" * 1_024_001}])
    assert code == "ValidationException" and text.endswith(f"Value '{buffer}' at 'records.2.member.data' {limit} 1024000")
    code, text = refused(put, DeliveryStreamName=stream, Records=[{"Data": b"x"}] * 501)
    assert code == "ValidationException" and "at 'records'" in text and text.endswith(f"{limit} 500")
    code, text = refused(put, DeliveryStreamName=stream, Records=[])
    assert code == "ValidationException" and text.endswith("Member must have length greater than or equal to 1")
    big = [{"Data": b"x" * 1_000_000}] * 4 + [{"Data": b"x" * 194_305}]
    assert refused(put, DeliveryStreamName=stream, Records=big) == ("InvalidArgumentException", "Records size exceeds 4 MB limit")
    big[-1] = {"Data": b"x" * 194_304}
    assert put(DeliveryStreamName=stream, Records=big)["FailedPutCount"] == 0
    unknown = ("ResourceNotFoundException", "Firehose none under account 000000000000 not found.")
    assert refused(put, DeliveryStreamName="none", Records=[{"Data": b"x"}]) == unknown
    code, text = refused(firehose.describe_delivery_stream, DeliveryStreamName="a b")
    assert code == "ValidationException" and text == (
        "1 validation error detected: Value 'a b' at 'deliveryStreamName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    )


def test_what_a_stream_cannot_be_is_told(firehose, stream):
    base = {"BucketARN": BUCKET, "RoleARN": ROLE}
    create = firehose.create_delivery_stream
    none = refused(create, DeliveryStreamName=stream)
    assert none == ("InvalidArgumentException", "Exactly one destination configuration is supported for a Firehose")
    for arguments, part in [
        ({"SnowflakeDestinationConfiguration": {"RoleARN": ROLE}}, "does not deliver a delivery stream to Snowflake"),
        ({"SplunkDestinationConfiguration": {}}, "to Splunk"),
        ({"S3DestinationConfiguration": base, "ExtendedS3DestinationConfiguration": base}, "Exactly one destination"),
        ({"ExtendedS3DestinationConfiguration": {**base, "CompressionFormat": "ZIP"}}, "CompressionFormat ZIP"),
        ({"ExtendedS3DestinationConfiguration": {**base, "Prefix": "!{timestamp:yyyy}/"}}, "ErrorOutputPrefix cannot be null"),
        ({"ExtendedS3DestinationConfiguration": base, "DeliveryStreamType": "MSKAsSource"}, "MSKAsSource is not supported"),
    ]:
        code, text = refused(create, DeliveryStreamName=stream, **arguments)
        assert code == "InvalidArgumentException" and part in text, text
    hints = {**base, "BufferingHints": {"SizeInMBs": 129, "IntervalInSeconds": 901}}
    code, text = refused(create, DeliveryStreamName=stream, ExtendedS3DestinationConfiguration=hints)
    assert code == "ValidationException" and text.startswith("2 validation errors detected: Value '129' at "), text
    code, text = refused(create, DeliveryStreamName=stream, ExtendedS3DestinationConfiguration={"BucketARN": BUCKET})
    assert code == "ValidationException" and "roleARN' failed to satisfy constraint: Member must not be null" in text, text


def test_objects_have_the_names_and_bytes_of_the_service(shared_server, firehose, stream):
    """Spec: sinks.md 2.1, 2.2: records one after the other, the default prefix, the name of stream and version."""
    make(firehose, stream, hints=(1, 1))
    firehose.put_record(DeliveryStreamName=stream, Record={"Data": b"\xff\x00one"})
    firehose.put_record_batch(DeliveryStreamName=stream, Records=[{"Data": b"two"}, {"Data": b"\nthree"}])
    mine = lambda: {key: body for key, body in objects(shared_server).items() if f"/{stream}-" in key}
    wait_until(lambda: sum(map(len, mine().values())) == 14, "the records")
    assert b"".join(body for _, body in sorted(mine().items())) == b"\xff\x00onetwo\nthree"
    for key in mine():
        year, month, day, hour, name = key.split("/")
        rest = name.removeprefix(f"{stream}-1-")
        assert rest.startswith(f"{year}-{month}-{day}-{hour}-") and len(rest) == len("2026-01-01-00-00-00-") + 36, key
    assert f"delivery streams: the bucket lake is {shared_server.data_dir.resolve()}/buckets/lake/" in shared_server.output()


def test_an_update_is_the_next_version(shared_server, firehose, stream):
    make(firehose, stream)
    update = {"DeliveryStreamName": stream, "DestinationId": DESTINATION}
    new = {"Prefix": f"{stream}/!{{timestamp:yyyy}}/", "ErrorOutputPrefix": "e/!{firehose:error-output-type}/", "CompressionFormat": "GZIP"}
    code, text = refused(
        firehose.update_destination, **update, CurrentDeliveryStreamVersionId="2", ExtendedS3DestinationUpdate=new
    )
    assert code == "ConcurrentModificationException" and text.endswith(
        "since the current version id: 1 and specified version id: 2 do not match"
    )
    firehose.update_destination(**update, CurrentDeliveryStreamVersionId="1", ExtendedS3DestinationUpdate=new)
    found = firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
    shown = found["Destinations"][0]["ExtendedS3DestinationDescription"]
    assert found["VersionId"] == "2" and found["LastUpdateTimestamp"] >= found["CreateTimestamp"]
    assert (shown["Prefix"], shown["BucketARN"], shown["CompressionFormat"]) == (new["Prefix"], BUCKET, "GZIP")
    firehose.put_record(DeliveryStreamName=stream, Record={"Data": b"zipped"})
    mine = lambda: {key: body for key, body in objects(shared_server).items() if key.startswith(f"{stream}/20")}
    [(key, body)] = wait_until(mine, "the record").items()
    assert f"/{stream}-2-" in key and key.endswith(".gz") and gzip.decompress(body) == b"zipped"


HANDLER = '''
import base64, json, os, boto3

def forward(event, context):
    """What people have between a table and a delivery stream; no endpoint is named."""
    records = [{"Data": json.dumps(r["dynamodb"]["NewImage"]) + "\\n"} for r in event["Records"] if r["eventName"] != "REMOVE"]
    answer = boto3.client("firehose").put_record_batch(DeliveryStreamName="orders", Records=records)
    assert answer["FailedPutCount"] == 0, answer
    return len(answer["RequestResponses"])

def transform(event, context):
    assert event["deliveryStreamArn"].endswith(":deliverystream/orders") and event["region"] == "us-east-1", event
    made = []
    for record in event["records"]:
        item = json.loads(base64.b64decode(record["data"]))
        number = int(item["n"]["N"])
        assert record["approximateArrivalTimestamp"] > 1_700_000_000_000, record
        if number % 10 == 7:
            made.append({"recordId": record["recordId"], "result": "Dropped"})
        elif number % 10 == 8:
            made.append({"recordId": record["recordId"], "result": "ProcessingFailed"})
        elif number % 10 != 9:
            line = json.dumps({"pk": item["pk"]["S"], "n": number}) + "\\n"
            made.append({"recordId": record["recordId"], "result": "Ok", "data": base64.b64encode(line.encode()).decode()})
    return {"records": made}
'''

TEMPLATE = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Globals: {Function: {Runtime: python3.11, CodeUri: ./code, Timeout: 30}}
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Orders
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
  Forward:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.forward
      Events:
        Orders: {Type: DynamoDB, Properties: {Stream: !GetAtt Orders.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 100}}
  Transform:
    Type: AWS::Serverless::Function
    Properties: {FunctionName: transform, Handler: app.transform}
  Lake: {Type: AWS::S3::Bucket, Properties: {BucketName: lake}}
  Stream:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      DeliveryStreamName: orders
      ExtendedS3DestinationConfiguration:
        BucketARN: !GetAtt Lake.Arn
        RoleARN: arn:aws:iam::000000000000:role/r
        Prefix: ok/
        BufferingHints: {SizeInMBs: 1, IntervalInSeconds: 1}
        ProcessingConfiguration:
          Enabled: true
          Processors:
            - Type: Lambda
              Parameters: [{ParameterName: LambdaArn, ParameterValue: !GetAtt Transform.Arn}]
  Elsewhere:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties: {SnowflakeDestinationConfiguration: {RoleARN: r}}
"""


def test_a_handler_puts_records_and_a_function_transforms_them(start, tmp_path):
    """Spec: sinks.md 8; a handler that calls put_record_batch works as it is."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text(HANDLER)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    # As on AWS, the SDK is there: in the environment of the tests.
    environment = {"PATH": f"{pathlib.Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    server = start("--template", str(tmp_path / "template.yaml"), env=environment)
    function = "arn:aws:lambda:us-east-1:000000000000:function:transform"
    assert "Resources.Elsewhere: the delivery stream Elsewhere is not made: " in server.output()
    assert server.client("firehose").list_delivery_streams()["DeliveryStreamNames"] == ["orders"]
    dynamodb = server.client()
    for number in range(40):
        dynamodb.put_item(TableName="Orders", Item={"pk": {"S": f"k{number}"}, "n": {"N": str(number)}})

    def lines(prefix):
        bodies = [body for key, body in objects(server).items() if key.startswith(prefix)]
        return [json.loads(line) for body in bodies for line in body.splitlines()]

    good = {(f"k{n}", n) for n in range(40) if n % 10 < 7}
    wait_until(lambda: len(lines("ok/20")) >= len(good) and len(lines("ok/processing-failed/")) >= 8, "what was transformed")
    assert collections.Counter((line["pk"], line["n"]) for line in lines("ok/20")) == collections.Counter(good)
    failed = collections.Counter()
    for line in lines("ok/processing-failed/"):
        number = int(json.loads(base64.b64decode(line["rawData"]))["n"]["N"])
        expected = {8: "Lambda.ProcessingFailedStatus", 9: "Lambda.MissingRecordId"}[number % 10]
        assert (line["errorCode"], line["lambdaArn"], line["attemptsMade"]) == (expected, function, 1)
        assert line["attemptEndingTimestamp"] >= line["arrivalTimestamp"] > 1_700_000_000_000
        failed[number] += 1
    assert failed == collections.Counter(n for n in range(40) if n % 10 > 7)
    # The next start finds it as it is, unless the template says something new.
    versions = []
    for prefix in ("ok/", "new/"):
        assert server.stop() == 0
        (tmp_path / "template.yaml").write_text(TEMPLATE.replace("Prefix: ok/", f"Prefix: {prefix}"))
        server = start("--template", str(tmp_path / "template.yaml"), data_dir=server.data_dir, env=environment)
        described = server.client("firehose").describe_delivery_stream(DeliveryStreamName="orders")
        versions.append(described["DeliveryStreamDescription"]["VersionId"])
    assert versions == ["1", "2"]


def test_a_run_that_is_to_end_waits_for_delivery_streams_and_says_which_cannot_go_on(start, tmp_path):
    """README: `--exit-when-drained`. What a function puts there is work, too; and the command line shows how they stand."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/app.py").write_text(HANDLER)
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    writes = [{"PutItem": {"TableName": "Orders", "Item": {"pk": {"S": f"k{n}"}, "n": {"N": str(n)}}}} for n in range(7)]
    (tmp_path / "writes.ndjson").write_text("".join(json.dumps(write) + "\n" for write in writes))
    environment = {**os.environ, "PATH": f"{pathlib.Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def up(data_dir, config=""):
        (tmp_path / "tailrace.yaml").write_text(config or "sinks: {}\n")
        port = free_port()
        arguments = [BINARY, "up", tmp_path, "--port", str(port), "--data-dir", data_dir, "--exit-when-drained"]
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    run = up(tmp_path / "data")
    out, error = run.communicate(timeout=300)
    assert run.returncode == 0, out + error
    keys = [path for path in (tmp_path / "data/buckets/lake/ok").rglob("*") if path.is_file()]
    lines = [json.loads(line) for path in keys for line in path.read_text().splitlines()]
    assert sorted(line["n"] for line in lines) == list(range(7))
    # A bucket whose place is a file takes nothing.
    (tmp_path / "file").write_text("")
    run = up(tmp_path / "other", "firehose: {buckets: {lake: ./file/lake}}\n")
    out, error = run.communicate(timeout=300)
    assert run.returncode == 3 and "delivery stream orders: " in error, out + error
    # That run ends as soon as it knows: the table is looked at in one that goes on.
    arguments = ["--template", str(tmp_path / "template.yaml"), "--config", str(tmp_path / "tailrace.yaml")]
    server = start(*arguments, data_dir=tmp_path / "other", env=environment)

    def states():
        command = [BINARY, "delivery-streams", "--endpoint", server.url]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=300).stdout
        return [line.split()[:3] for line in shown.splitlines()]

    held_up = (["orders", "lake", "retrying"], ["orders", "lake", "blocked"])
    wait_until(lambda: any(state in held_up for state in states()), "the table")


class Directory:
    """The bucket where it is without a word: in the data directory."""

    arguments, env = [], {}

    def objects(self, server):
        return objects(server)

    def stop(self, server):
        """Something else is in its way."""
        with stilled(server):
            place = server.data_dir / "buckets"
            place.mkdir(exist_ok=True)
            place.rename(place.with_name("aside"))
            place.write_text("no directory")

    def start(self, server):
        with stilled(server):
            place = server.data_dir / "buckets"
            place.unlink()
            place.with_name("aside").rename(place)


class Bucket:
    """The bucket in a store that speaks S3, behind a line that breaks."""

    env = {"LAKE_SECRET": s3_service.SECRET_KEY}

    def __init__(self, store, tmp_path, sinks=None):
        self.store, self.line = store, Line(store.port)
        store.client().create_bucket(Bucket="lake")
        keys = {"access_key_id": s3_service.ACCESS_KEY, "secret_access_key": "${env:LAKE_SECRET}"}
        s3 = {"endpoint": f"http://{self.line.address}", "timeout_seconds": 5, **keys}
        config = tmp_path / "tailrace.json"
        config.write_text(json.dumps({"sinks": sinks or {}, "firehose": {"buckets": {"lake": {"to": "s3://lake/raw/", "s3": s3}}}}))
        self.arguments = ["--config", str(config)]

    def objects(self, _):
        return {key.removeprefix("raw/"): body for key, body in self.store.objects("lake", "raw/").items()}

    def stop(self, _=None):
        self.store.stop()

    def start(self, _=None):
        self.store.start()


@pytest.fixture(params=["directory", "s3"])
def lake(request, tmp_path):
    if request.param == "directory":
        yield Directory()
        return
    if s3_service.is_left_out():
        pytest.skip("left out: it needs go")
    with s3_service.running() as store:
        yield Bucket(store, tmp_path)


def test_ten_kills_and_three_outages_leave_each_acknowledged_record_once(start, lake):
    """Spec: sinks.md 2.5, 9: the buffer is durable, and no object is doubled or lost, with names that no repeat changes."""
    server = start(*lake.arguments, env=lake.env)
    client = server.client("firehose")
    keys = {"Type": "MetadataExtraction", "Parameters": [
        {"ParameterName": "MetadataExtractionQuery", "ParameterValue": "{k: .k}"},
        {"ParameterName": "JsonParsingEngine", "ParameterValue": "JQ-1.6"}]}
    delimiter = {"Type": "AppendDelimiterToRecord", "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}]}
    make(client, "plain", hints=(1, 0), Prefix="plain/", CompressionFormat="GZIP",
         ProcessingConfiguration={"Enabled": True, "Processors": [delimiter]})
    make(client, "parted", hints=(64, 1), Prefix="parted/k=!{partitionKeyFromQuery:k}/",
         ErrorOutputPrefix="bad/!{firehose:error-output-type}/", DynamicPartitioningConfiguration={"Enabled": True},
         ProcessingConfiguration={"Enabled": True, "Processors": [keys, delimiter]})
    acknowledged = {"plain": [], "parted": []}
    in_doubt = {"plain": set(), "parted": set()}
    chance = random.Random(20261129)
    number = 0
    downs = set(chance.sample(range(KILLS), OUTAGES))
    for kill in range(KILLS):
        if kill in downs:
            lake.stop(server)
        timer = threading.Timer(chance.uniform(0.3, 1.2), server.kill)
        timer.start()
        with contextlib.suppress(botocore.exceptions.BotoCoreError):
            while True:
                for name in acknowledged:
                    texts = [json.dumps({"n": number + n, "k": f"p{(number + n) % 3}"}) for n in range(chance.randint(1, 40))]
                    number += len(texts)
                    in_doubt[name] |= set(texts)
                    answer = client.put_record_batch(DeliveryStreamName=name, Records=[{"Data": text} for text in texts])
                    assert answer["FailedPutCount"] == 0
                    in_doubt[name] -= set(texts)
                    acknowledged[name] += texts
        timer.join()
        server = start(*lake.arguments, env=lake.env, data_dir=server.data_dir)
        client = server.client("firehose")
        if kill in downs:
            lake.start(server)
    marks = {name: json.dumps({"n": -1, "k": "p0"}) for name in acknowledged}
    for name, mark in marks.items():
        client.put_record(DeliveryStreamName=name, Record={"Data": mark})
        acknowledged[name].append(mark)

    def delivered(name):
        found = []
        for key, body in sorted(lake.objects(server).items()):
            if key.startswith(f"{name}/"):
                with contextlib.suppress(EOFError, zlib.error):
                    found += [(key, line) for line in (gzip.decompress(body) if key.endswith(".gz") else body).decode().splitlines()]
        return found

    for name, texts in acknowledged.items():
        # What waited with the mark is in objects of its own.
        wait_until(lambda: {*texts, marks[name]} <= {line for _, line in delivered(name)}, f"every record of {name}")
        found = delivered(name)
        counted = collections.Counter(line for _, line in found)
        assert max(counted.values()) == 1, f"doubled: {[line for line, count in counted.items() if count > 1][:5]}"
        assert set(texts) <= set(counted), f"lost: {sorted(set(texts) - set(counted))[:5]}"
        assert set(counted) - set(texts) <= in_doubt[name]
        if name == "parted":
            assert all(key.startswith(f"parted/k={json.loads(line)['k']}/") for key, line in found)
    assert not [key for key in lake.objects(server) if key.startswith("bad/")]
    assert number > 100 and len(lake.objects(server)) > 10
    assert isinstance(lake, Directory) or lake.line.broken > 0, "the line did not break"


def test_buckets_are_where_the_configuration_says(start, tmp_path):
    config = tmp_path / "tailrace.json"
    config.write_text(json.dumps({"firehose": {"buckets": {"lake": "./here"}}}))
    server = start("--config", str(config))
    client = server.client("firehose")
    make(client, "s", Prefix="p/")
    client.put_record(DeliveryStreamName="s", Record={"Data": b"x"})
    [found] = wait_until(lambda: [p for p in (tmp_path / "here").rglob("*") if p.is_file() and p.name[0] != "."], "the object")
    assert found.read_bytes() == b"x" and found.relative_to(tmp_path / "here").parts[0] == "p"
    assert not (server.data_dir / "buckets").exists()


def test_what_waits_survives_a_stop_and_goes_with_its_stream(start):
    """The buffer is in the log: a stop does not send it early, and a deleted stream's records are gone."""
    server = start()
    client = server.client("firehose")
    make(client, "kept", hints=(128, 900))
    client.put_record(DeliveryStreamName="kept", Record={"Data": b"waits"})

    [found] = wait_until(lambda: [stream for stream in statuses(server) if stream["pendingRecords"] == 1], "the record to be told of")
    assert (found["name"], found["bucket"], found["version"]) == ("kept", "lake", 1)
    assert server.stop() == 0
    server = start(data_dir=server.data_dir)
    client = server.client("firehose")
    assert objects(server) == {}
    hints = {"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0}}
    client.update_destination(
        DeliveryStreamName="kept", DestinationId=DESTINATION, CurrentDeliveryStreamVersionId="1", ExtendedS3DestinationUpdate=hints
    )
    assert list(wait_until(lambda: objects(server), "the record").values()) == [b"waits"]
    client.put_record(DeliveryStreamName="kept", Record={"Data": b"x"})
    client.delete_delivery_stream(DeliveryStreamName="kept")
    make(client, "kept", hints=(1, 0), Prefix="new/")
    client.put_record(DeliveryStreamName="kept", Record={"Data": b"y"})
    new = lambda: [body for key, body in objects(server).items() if key.startswith("new/")]
    assert wait_until(new, "the new record") == [b"y"]


def test_wire_of_the_service(shared_server):
    """JSON 1.1 in and out, errors by their class alone, an unknown operation by its name."""

    def post(target, body, content_type="application/x-amz-json-1.1"):
        headers = {
            "X-Amz-Target": target,
            "Content-Type": content_type,
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/firehose/aws4_request, SignedHeaders=host, Signature=b",
        }
        request = urllib.request.Request(shared_server.url, data=body.encode(), headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers["Content-Type"], json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, error.headers["Content-Type"], json.loads(text) if text.startswith(b"{") else text

    status, kind, body = post("Firehose_20150804.ListDeliveryStreams", '{"Limit": 1}')
    assert (status, kind) == (200, "application/x-amz-json-1.1") and "HasMoreDeliveryStreams" in body
    status, kind, body = post("Firehose_20150804.PutRecord", '{"DeliveryStreamName": "none", "Record": {"Data": "eA=="}}')
    text = "Firehose none under account 000000000000 not found."
    assert (status, kind, body) == (400, "application/x-amz-json-1.1", {"__type": "ResourceNotFoundException", "message": text})
    assert post("Firehose_20150804.PutRecord", '{"DeliveryStreamName": "none", "Record": {"Data": "%"}}')[2]["__type"] == "SerializationException"
    assert post("Firehose_20150804.Nothing", "{}")[2] == {"__type": "UnknownOperationException"}
    # A table's API has the other version.
    assert post("DynamoDB_20120810.ListTables", "{}")[0] == 404


def test_what_waits_longer_than_streams_are_retained_outlives_every_start(start, tmp_path):
    """docs/sinks.md, Firehose: what is not delivered stays for seven days, whoever restarts the server."""
    server = start("--stream-retention", "1s")
    client = server.client("firehose")
    make(client, "waits", hints=(1, 900))
    for number in range(10):
        client.put_record(DeliveryStreamName="waits", Record={"Data": f"{number};".encode()})
    written = time.monotonic()
    wait_until(lambda: time.monotonic() > written + 2, "the end of the retention")

    def pending():
        (status,) = [one for one in statuses(server) if one["name"] == "waits"]
        return status["pendingRecords"]

    for again in range(3):
        server.kill() if again % 2 else server.stop()
        server = start("--stream-retention", "1s", data_dir=server.data_dir)
        # Its shard may not have looked at the log yet.
        wait_until(lambda: pending() == 10, "what waits")
        passed = time.monotonic()
        wait_until(lambda: time.monotonic() > passed + 1, "a pass of the retention")
        assert pending() == 10
    client = server.client("firehose")
    client.update_destination(
        DeliveryStreamName="waits",
        CurrentDeliveryStreamVersionId="1",
        DestinationId=DESTINATION,
        ExtendedS3DestinationUpdate={"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0}},
    )
    expected = b"".join(b"%d;" % number for number in range(10))
    wait_until(lambda: b"".join(objects(server)[key] for key in sorted(objects(server))) == expected, "every record")


def test_a_prefix_that_is_too_long_is_refused(firehose):
    for prefix in ({"Prefix": "abcdefghi/" * 60}, {"Prefix": "abcdefghi/" * 60, "ErrorOutputPrefix": "err/"}):
        assert "512 are the most" in refused(make, client=firehose, name="long", **prefix)[1]


def test_the_changes_of_a_table_are_records_of_a_delivery_stream(tmp_path):
    """docs/sinks.md, Firehose: `to: firehose:NAME`. Spec: sinks.md 1, 9, at least once: after kills and outages of the bucket's store each
    change is there under its id, in order per key; shards of the table are sealed in between."""
    if s3_service.is_left_out():
        pytest.skip("left out: it needs go")
    events = ["INSERT", "MODIFY"]
    changes = {"from": "Orders", "to": "firehose:orders", "events": {"eventName": events}, "values": "plain", "start": "trim_horizon"}
    with s3_service.running() as store:
        lake = Bucket(store, tmp_path, {"changes": changes})
        with Ordeal(beginning(tmp_path, [*lake.arguments, "--shards", str(SHARDS)], env=lake.env), lake) as story:
            make(story.server.client("firehose"), "orders")
            server = story.run()
            expected = {id: record for id, record in history(server, "Orders").items() if record["eventName"] in events}

            def told():
                """What each object has, in order: id, key, number."""
                found = [[json.loads(line) for line in body.splitlines()] for body in lake.objects(server).values()]
                assert {line["eventName"] for lines in found for line in lines} <= set(events)
                return [[(line["eventID"], line["dynamodb"]["Keys"]["pk"], line["dynamodb"]["SequenceNumber"]) for line in lines] for lines in found]

            wait_until(lambda: {id for lines in told() for id, *_ in lines} >= set(expected), "every change", CAUGHT_UP_SECONDS_MAX)
            for lines in told():
                assert_each_once_in_order(lines, {id for id, *_ in lines} & set(expected))
            assert lake.line.broken > 0, "the line did not break"
            assert server.stop() == 0, server.output()
