"""Delivery streams to HTTP endpoints with the real SDK and a real endpoint: requests, answers, what is given up, and kills. Rows:
docs/spec/sinks.md 2.7; docs/sinks.md, To an HTTP endpoint.
"""

import base64
import contextlib
import gzip
import http.server
import json
import random
import subprocess
import threading
import types

import botocore.exceptions
import pytest

from conftest import BINARY, refused, wait_until
from ordeal import OUTAGES, Line, put_amid_kills

ROLE = "arn:aws:iam::000000000000:role/delivery"
DESTINATION = "destinationId-000000000001"
KEY = 'hunter2 "quoted"'


class Endpoint:
    """An endpoint on loopback: `answer` gets each request, and gives a status and the members that an answer has beside its id."""

    def __init__(self):
        self.requests, self.lock = [], threading.Lock()
        self.answer = lambda request: (200, {"timestamp": 1})
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                document = json.loads(body)
                request = {
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "id": document["requestId"],
                    "timestamp": document["timestamp"],
                    "records": [base64.b64decode(record["data"]).decode() for record in document["records"]],
                }
                with endpoint.lock:
                    endpoint.requests.append(request)
                status, members = endpoint.answer(request)
                answer = json.dumps({"requestId": request["id"], **members}).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def seen(self):
        with self.lock:
            return list(self.requests)

    def records(self):
        """What requests of different ids held, in their order; the same id has the same records each time."""
        by_id = {}
        for request in self.seen():
            assert by_id.setdefault(request["id"], request["records"]) == request["records"], request["id"]
        return [record for records in by_id.values() for record in records]


@pytest.fixture
def endpoint():
    one = Endpoint()
    yield one
    one.server.shutdown()
    one.server.server_close()


def config(endpoint, retry=300, **more):
    return {
        "EndpointConfiguration": {"Url": f"{endpoint.url}/in/secret-path?token=of-mine", "Name": "mine", "AccessKey": KEY},
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
        "RetryOptions": {"DurationInSeconds": retry},
        "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": ROLE},
        **more,
    }


def objects(server):
    root = server.data_dir / "buckets/lake"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name[0] != "."}


def is_hidden(server):
    """Neither the access key nor what is behind the host is in what the server says of itself."""
    command = [BINARY, "delivery-streams", "--endpoint", server.url]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    told = server.output() + shown + json.dumps(server.admin("delivery-streams"))
    return all(secret not in told for secret in ("hunter2", "secret-path", "of-mine"))


def test_a_request_is_that_of_the_service(start, endpoint):
    server = start()
    client = server.client("firehose")
    attributes = [{"AttributeName": "place", "AttributeValue": "caf\u00e9"}]
    request = {"ContentEncoding": "GZIP", "CommonAttributes": attributes}
    asked = config(endpoint, RequestConfiguration=request, S3BackupMode="AllData", RoleARN=ROLE)
    arn = client.create_delivery_stream(DeliveryStreamName="s", HttpEndpointDestinationConfiguration=asked)["DeliveryStreamARN"]
    [described] = client.describe_delivery_stream(DeliveryStreamName="s")["DeliveryStreamDescription"]["Destinations"]
    expected = {**asked, "EndpointConfiguration": {"Url": asked["EndpointConfiguration"]["Url"], "Name": "mine"}}
    s3 = {**expected.pop("S3Configuration"), "Prefix": "", "CompressionFormat": "UNCOMPRESSED", "CloudWatchLoggingOptions": {"Enabled": False}}
    s3["BufferingHints"] = {"SizeInMBs": 5, "IntervalInSeconds": 300}
    s3["EncryptionConfiguration"] = {"NoEncryptionConfig": "NoEncryption"}
    expected |= {"S3DestinationDescription": s3, "CloudWatchLoggingOptions": {"Enabled": False}}
    assert described == {"DestinationId": DESTINATION, "HttpEndpointDestinationDescription": expected}
    client.put_record_batch(DeliveryStreamName="s", Records=[{"Data": b"one"}, {"Data": b""}, {"Data": "tw\u00f6"}])
    [seen] = wait_until(endpoint.seen, "a request")
    headers = seen["headers"]
    assert (seen["path"], seen["records"]) == ("/in/secret-path?token=of-mine", ["one", "", "tw\u00f6"])
    assert seen["timestamp"] > 1_700_000_000_000 and len(seen["id"]) == 36
    assert (headers["content-type"], headers["content-encoding"]) == ("application/json", "gzip")
    assert (headers["x-amz-firehose-protocol-version"], headers["x-amz-firehose-request-id"]) == ("1.0", seen["id"])
    assert (headers["x-amz-firehose-source-arn"], headers["x-amz-firehose-access-key"]) == (arn, KEY)
    assert json.loads(headers["x-amz-firehose-common-attributes"]) == {"commonAttributes": {"place": "caf\u00e9"}}
    [(key, body)] = wait_until(lambda: objects(server), "the backup").items()
    assert key.startswith("20") and body.decode() == "onetw\u00f6"
    update = {
        "EndpointConfiguration": {"Url": f"{endpoint.url}/new", "AccessKey": "other"},
        "RequestConfiguration": {"ContentEncoding": "NONE"},
        "S3Update": {"Prefix": "p/"},
        "S3BackupMode": "FailedDataOnly",
    }
    client.update_destination(
        DeliveryStreamName="s", CurrentDeliveryStreamVersionId="1", DestinationId=DESTINATION, HttpEndpointDestinationUpdate=update
    )
    client.put_record(DeliveryStreamName="s", Record={"Data": b"three"})
    wait_until(lambda: len(endpoint.seen()) == 2, "a request")
    headers, path = endpoint.seen()[1]["headers"], endpoint.seen()[1]["path"]
    assert (headers["x-amz-firehose-access-key"], path, headers.get("content-encoding")) == ("other", "/new", None)
    assert "x-amz-firehose-common-attributes" not in headers
    [status] = wait_until(lambda: [s for s in server.admin("delivery-streams")["deliveryStreams"] if s["drained"]], "the end")
    assert (status["endpoint"], status["bucket"]) == (f"{endpoint.url}/***", "lake")
    assert is_hidden(server) and len(objects(server)) == 1


def test_what_an_endpoint_cannot_be_is_told_without_its_secrets(shared_server, endpoint):
    create = shared_server.client("firehose").create_delivery_stream
    for more, part in [
        ({"EndpointConfiguration": {"Url": "https://hunter2:p@x"}}, "user and password do not belong"),
        ({"EndpointConfiguration": {"Url": "ftp://x", "AccessKey": "hunter2"}}, "begins with https:// or http://"),
        ({"EndpointConfiguration": {"Url": "https://x", "AccessKey": "hunter2\n"}}, "AccessKey has a character"),
        ({"EndpointConfiguration": {"Url": "https://x", "AccessKey": "hunter2" * 600}}, "length less than or equal to 4096"),
        ({"SecretsManagerConfiguration": {"Enabled": True}}, "SecretsManagerConfiguration is not supported"),
        ({"BufferingHints": {"SizeInMBs": 65, "IntervalInSeconds": 0}}, "less than or equal to 64"),
    ]:
        _, text = refused(create, DeliveryStreamName="none", HttpEndpointDestinationConfiguration={**config(endpoint), **more})
        assert part in text and "hunter2" not in text, text


def test_what_is_not_taken_is_tried_again_and_then_in_the_bucket(start, endpoint):
    server = start()
    client = server.client("firehose")
    client.create_delivery_stream(DeliveryStreamName="s", HttpEndpointDestinationConfiguration=config(endpoint, retry=5))
    endpoint.answer = lambda request: (403, {"timestamp": 1, "errorMessage": f"not {KEY} at /in/secret-path"})
    client.put_record(DeliveryStreamName="s", Record={"Data": b"lost"})
    retrying = lambda: [s for s in server.admin("delivery-streams")["deliveryStreams"] if "403" in s.get("lastError", "")]
    [status] = wait_until(retrying, "the error")
    assert not status["blocked"] and status["pendingRecords"] == 1
    [(key, body)] = wait_until(lambda: objects(server), "the errors").items()
    assert key.startswith("http-endpoint-failed/20")
    line = json.loads(body)
    assert line["errorCode"] == "HttpEndpoint.DestinationException" and "403: " in line["errorMessage"]
    assert (base64.b64decode(line["rawData"]), line["attemptsMade"]) == (b"lost", len(endpoint.seen()))
    assert line["attemptsMade"] >= 2 and len({request["id"] for request in endpoint.seen()}) == 1
    # The next are sent as if nothing had been.
    endpoint.answer = lambda request: (200, {"timestamp": 1})
    client.put_record(DeliveryStreamName="s", Record={"Data": b"taken"})
    wait_until(lambda: endpoint.seen()[-1]["records"] == ["taken"], "the next")
    # An answer that is not one is a failure too, and one that says 413 is the last.
    for number, (status, members) in enumerate([(413, {"timestamp": 1}), (200, {"timestamp": "1"}), (200, {"requestId": "x"})]):
        endpoint.answer = lambda request: (status, members)
        client.put_record(DeliveryStreamName="s", Record={"Data": b"lost"})
        wait_until(lambda: len(objects(server)) == number + 2, f"the errors of {status} {members}")
    assert "hunter2" not in "".join(body.decode() for body in objects(server).values()) and is_hidden(server)
    assert "could not be delivered, and go to the errors of its bucket" in server.output()


def test_a_crash_between_a_request_and_its_checkpoint_sends_the_same_again(start, endpoint):
    """The endpoint has the records, and the server dies before it hears so: the same id and the same records come again."""
    server = start()
    client = server.client("firehose")
    client.create_delivery_stream(DeliveryStreamName="s", HttpEndpointDestinationConfiguration=config(endpoint))

    def kill(_):
        endpoint.answer = lambda request: (200, {"timestamp": 1})
        server.kill()
        return 200, {"timestamp": 1}

    endpoint.answer = kill
    # In one commit, so in one flush.
    with contextlib.suppress(botocore.exceptions.BotoCoreError):
        client.put_record_batch(DeliveryStreamName="s", Records=[{"Data": f"r{n};"} for n in range(20)])
    wait_until(lambda: server.process.poll() is not None, "the kill")
    server = start(data_dir=server.data_dir)
    wait_until(lambda: len(endpoint.seen()) == 2, "the request again")
    first, second = endpoint.seen()
    assert (first["id"], first["records"]) == (second["id"], second["records"])
    assert first["records"] == [f"r{n};" for n in range(20)]
    # What is noted is not sent any more.
    wait_until(lambda: server.admin("delivery-streams")["deliveryStreams"][0]["drained"], "the checkpoint")
    server.kill()
    server = start(data_dir=server.data_dir)
    server.client("firehose").put_record(DeliveryStreamName="s", Record={"Data": b"last"})
    wait_until(lambda: endpoint.seen()[-1]["records"] == ["last"], "the last record")
    assert len(endpoint.seen()) == 3


def test_kills_outages_and_failures_leave_each_acknowledged_record_once(start, endpoint):
    """Spec: sinks.md 2.7, 9: over a line that breaks to an endpoint that refuses one request in ten and cannot be reached three times."""
    server, line = start(), Line(endpoint.server.server_port)
    reached = types.SimpleNamespace(url=f"http://{line.address}")
    server.client("firehose").create_delivery_stream(DeliveryStreamName="s", HttpEndpointDestinationConfiguration=config(reached, retry=7200))
    chance, lock = random.Random(20261130), threading.Lock()

    def answer(_):
        with lock:
            return 200 if chance.random() < 0.9 else 503, {"timestamp": 1}

    endpoint.answer = answer
    server, numbers, in_doubt = put_amid_kills(start, server, "s", lambda number: f"n{number}", [line] * OUTAGES)
    acknowledged, in_doubt = [f"n{number}" for number in numbers], {f"n{number}" for number in in_doubt}
    client = server.client("firehose")
    endpoint.answer = lambda request: (200, {"timestamp": 1})
    client.put_record(DeliveryStreamName="s", Record={"Data": b"end"})
    wait_until(lambda: "end" in endpoint.records(), "the last record", 60)
    records = endpoint.records()[:-1]
    assert len(records) == len(set(records)), "a record is in requests of two ids"
    assert set(acknowledged) <= set(records) <= set(acknowledged) | in_doubt
    assert [record for record in records if record in set(acknowledged)] == acknowledged, "they are in order"
    assert objects(server) == {} and line.broken > 0


TEMPLATE = """
Parameters: {Key: {Type: String, NoEcho: true}}
Resources:
  Clicks:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      DeliveryStreamName: clicks
      HttpEndpointDestinationConfiguration:
        EndpointConfiguration: {Url: "URL/in/secret-path", AccessKey: !Ref Key}
        BufferingHints: {SizeInMBs: 1, IntervalInSeconds: 0}
        RequestConfiguration: {CommonAttributes: [{AttributeName: stage, AttributeValue: 1}]}
        RetryOptions: {DurationInSeconds: "60"}
        S3Configuration: {BucketARN: "arn:aws:s3:::lake", RoleARN: "arn:aws:iam::000000000000:role/r"}
"""


def test_a_template_makes_one(start, endpoint, tmp_path):
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("URL", endpoint.url))
    versions, data_dir = [], None
    for number, key in enumerate(["hunter2", "hunter2", "hunter2-new"]):
        server = start("--template", str(path), "--parameter", f"Key={key}", data_dir=data_dir)
        data_dir = server.data_dir
        client = server.client("firehose")
        described = client.describe_delivery_stream(DeliveryStreamName="clicks")["DeliveryStreamDescription"]
        versions.append(described["VersionId"])
        [destination] = described["Destinations"]
        assert destination["HttpEndpointDestinationDescription"]["RetryOptions"] == {"DurationInSeconds": 60}
        client.put_record(DeliveryStreamName="clicks", Record={"Data": b"x"})
        wait_until(lambda: len(endpoint.seen()) == number + 1, "the record")
        headers = endpoint.seen()[-1]["headers"]
        assert headers["x-amz-firehose-access-key"] == key
        assert json.loads(headers["x-amz-firehose-common-attributes"]) == {"commonAttributes": {"stage": "1"}}
        assert is_hidden(server)
        wait_until(lambda: server.admin("delivery-streams")["deliveryStreams"][0]["drained"], "the checkpoint")
        assert server.stop() == 0
    assert versions == ["1", "1", "2"]
