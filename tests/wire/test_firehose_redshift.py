"""Delivery streams to a table of Redshift with the real SDK, and a cluster that is played: it speaks the protocol, and of COPY what is needed.
Rows: docs/spec/sinks.md 2.9; docs/sinks.md, To Redshift.
"""

import contextlib
import functools
import json
import re
import socketserver
import struct
import subprocess
import threading

import pytest

from conftest import BINARY, refused, wait_until
from ordeal import OUTAGES, Line, put_amid_kills

ROLE = "arn:aws:iam::000000000000:role/delivery"
DESTINATION = "destinationId-000000000001"
PASSWORD = "hunter2-secret"
COPY = re.compile(r"COPY (\S+) \((.*)\) FROM '(s3://[^']+)' (.*) MANIFEST (.*)", re.DOTALL)


class Cluster:
    """A cluster on loopback: a table of lines. `root` is where the buckets are."""

    def __init__(self):
        self.root, self.is_down, self.lock = None, False, threading.Lock()
        self.rows, self.statements, self.users = [], [], []
        cluster = self

        class Handler(socketserver.BaseRequestHandler):
            def take(self, count):
                data = b""
                while len(data) < count:
                    piece = self.request.recv(count - len(data))
                    if not piece:
                        raise EOFError
                    data += piece
                return data

            def say(self, kind, body=b""):
                self.request.sendall(kind + struct.pack("!i", len(body) + 4) + body)

            def handle(self):
                with contextlib.suppress(EOFError, OSError):
                    self.serve()

            def serve(self):
                [length] = struct.unpack("!i", self.take(4))
                version, settings = struct.unpack("!i", self.take(4))[0], self.take(length - 8)
                assert version == 196608, "TLS was asked for"
                words = settings.split(b"\0")
                settings = dict(zip(words[::2], words[1::2]))
                self.say(b"R", struct.pack("!i", 3))
                assert self.take(1) == b"p"
                [length] = struct.unpack("!i", self.take(4))
                password = self.take(length - 4).rstrip(b"\0").decode()
                cluster.users.append((settings[b"user"].decode(), settings[b"database"].decode(), password))
                self.say(b"R", struct.pack("!i", 0))
                self.say(b"Z", b"I")
                while True:
                    kind, [length] = self.take(1), struct.unpack("!i", self.take(4))
                    body = self.take(length - 4)
                    if kind != b"Q":
                        return
                    for statement in body.rstrip(b"\0").decode().split("; "):
                        self.run(statement)
                    self.say(b"Z", b"I")

            def run(self, statement):
                if not statement.startswith("COPY "):
                    return self.say(b"C", b"SET\0")
                with cluster.lock:
                    cluster.statements.append(statement)
                    if cluster.is_down:
                        return self.say(b"E", b"SERROR\0CXX000\0MLoad into table 'clicks' failed\0\0")
                    manifest = json.loads(cluster.read(COPY.fullmatch(statement)[3]))
                    for entry in manifest["entries"]:
                        cluster.rows += cluster.read(entry["url"]).decode().splitlines()
                self.say(b"C", b"COPY\0")

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def read(self, address):
        return (self.root / address.removeprefix("s3://")).read_bytes()


@pytest.fixture
def cluster():
    one = Cluster()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def server(start, cluster, tmp_path):
    """A server that knows where the cluster is which the service would accept."""
    configuration = tmp_path / "tailrace.yaml"
    said = {"logs.eu.redshift.amazonaws.com": {"at": f"127.0.0.1:{cluster.port}", "sslmode": "disable", "region": "eu-west-1"}}
    configuration.write_text(json.dumps({"firehose": {"redshift": said}}))
    server = start("--config", str(configuration))
    cluster.root = server.data_dir / "buckets"
    return server


def config(retry=300, **more):
    return {
        "RoleARN": ROLE,
        "ClusterJDBCURL": "jdbc:redshift://logs.eu.redshift.amazonaws.com:5439/dev",
        "CopyCommand": {"DataTableName": "public.clicks", "DataTableColumns": "a, b", "CopyOptions": "delimiter '|';"},
        "Username": "loader",
        "Password": PASSWORD,
        "RetryOptions": {"DurationInSeconds": retry},
        "S3Configuration": {
            "BucketARN": "arn:aws:s3:::lake",
            "RoleARN": ROLE,
            "Prefix": "clicks/",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
        },
        **more,
    }


def objects(server):
    root = server.data_dir / "buckets"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name[0] != "."}


def drained(server):
    return all(stream["drained"] for stream in server.admin("delivery-streams")["deliveryStreams"])


def put(client, *texts):
    client.put_record_batch(DeliveryStreamName="s", Records=[{"Data": f"{text}\n"} for text in texts])


def described(client):
    answer = client.describe_delivery_stream(DeliveryStreamName="s")["DeliveryStreamDescription"]
    [destination] = answer["Destinations"]
    return answer["VersionId"], destination


def test_records_are_loaded_and_nothing_shows_the_password(server, cluster):
    """Spec: sinks.md 2.9: an object as of a bucket, a manifest that names it, and a COPY of that with the destination's role."""
    client = server.client("firehose")
    backup = {"BucketARN": "arn:aws:s3:::raw", "RoleARN": ROLE}
    asked = config(S3BackupMode="Enabled", S3BackupConfiguration=backup)
    client.create_delivery_stream(DeliveryStreamName="s", RedshiftDestinationConfiguration=asked)
    version, destination = described(client)
    shown = destination["RedshiftDestinationDescription"]
    bucket = {"EncryptionConfiguration": {"NoEncryptionConfig": "NoEncryption"}, "CloudWatchLoggingOptions": {"Enabled": False}}
    expected = {name: value for name, value in asked.items() if name not in ("Password", "S3Configuration", "S3BackupConfiguration")}
    hints = {"SizeInMBs": 5, "IntervalInSeconds": 300}
    expected |= {
        "S3DestinationDescription": {**asked["S3Configuration"], "CompressionFormat": "UNCOMPRESSED", **bucket},
        "S3BackupDescription": {**backup, "Prefix": "", "CompressionFormat": "UNCOMPRESSED", "BufferingHints": hints, **bucket},
        "CloudWatchLoggingOptions": {"Enabled": False},
    }
    assert (version, shown) == ("1", expected)
    put(client, "1|x", "2|y")
    wait_until(lambda: drained(server), "the load")
    assert cluster.rows == ["1|x", "2|y"] and cluster.users == [("loader", "dev", PASSWORD)]
    [statement] = cluster.statements
    table, columns, manifest, access, options = COPY.fullmatch(statement).groups()
    assert (table, columns, options) == ("public.clicks", "a, b", "delimiter '|'")
    assert access == f"IAM_ROLE '{ROLE}' REGION 'eu-west-1'"
    assert re.fullmatch(r"s3://lake/clicks/manifests/\d{4}/\d\d/\d\d/\d\d/s-1-.*", manifest), manifest
    [raw] = [body for key, body in objects(server).items() if key.startswith("raw/")]
    assert raw == b"1|x\n2|y\n" and len(objects(server)) == 3
    update = {"CopyCommand": {"DataTableName": "other", "DataTableColumns": "a", "CopyOptions": "CSV"}, "Password": "another", "S3BackupMode": "Disabled"}
    client.update_destination(
        DeliveryStreamName="s", CurrentDeliveryStreamVersionId="1", DestinationId=DESTINATION, RedshiftDestinationUpdate=update
    )
    put(client, "3")
    wait_until(lambda: len(cluster.rows) == 3 and drained(server), "the next load")
    assert cluster.statements[1].startswith("COPY other (a) FROM") and cluster.users[1][2] == "another"
    version, destination = described(client)
    assert version == "2" and destination["RedshiftDestinationDescription"]["CopyCommand"] == update["CopyCommand"]
    [status] = server.admin("delivery-streams")["deliveryStreams"]
    assert (status["endpoint"], status["bucket"]) == ("logs.eu.redshift.amazonaws.com:5439/dev other", "lake")
    command = [BINARY, "delivery-streams", "--endpoint", server.url]
    told = server.output() + subprocess.run(command, capture_output=True, text=True, timeout=60).stdout + json.dumps(status)
    assert PASSWORD not in told and "another" not in told and PASSWORD not in json.dumps(described(client), default=str)
    client.delete_delivery_stream(DeliveryStreamName="s")
    assert client.list_delivery_streams()["DeliveryStreamNames"] == []


def test_what_is_not_loaded_is_in_a_manifest_of_errors(server, cluster):
    """Spec: sinks.md 2.9: RetryOptions, then `errors/`; what comes behind it is loaded."""
    client = server.client("firehose")
    cluster.is_down = True
    client.create_delivery_stream(DeliveryStreamName="s", RedshiftDestinationConfiguration=config(retry=1))
    put(client, "1|x")
    wait_until(lambda: drained(server), "the end of the tries")
    # At once, perhaps between, and when the time is over.
    assert len(cluster.statements) >= 2 and len(set(cluster.statements)) == 1
    assert "Load into table 'clicks' failed" in server.output()
    errors = {key: json.loads(body) for key, body in objects(server).items() if "/errors/" in key}
    [(key, manifest)] = errors.items()
    assert re.match(r"lake/clicks/errors/\d{4}/\d\d/\d\d/\d\d/s-1-", key)
    [entry] = manifest["entries"]
    assert entry["mandatory"] is True and cluster.read(entry["url"]) == b"1|x\n"
    cluster.is_down = False
    put(client, "2|y")
    wait_until(lambda: drained(server), "the load")
    assert cluster.rows == ["2|y"]


def test_a_server_that_is_killed_loads_what_waits(start, server, cluster):
    client = server.client("firehose")
    cluster.is_down = True
    client.create_delivery_stream(DeliveryStreamName="s", RedshiftDestinationConfiguration=config(retry=7200))
    put(client, "1|x")
    wait_until(lambda: cluster.statements, "a try")
    server.kill()
    cluster.is_down = False
    configuration = {"127.0.0.1": {"sslmode": "disable"}, "logs.eu.redshift.amazonaws.com:5439": {"at": f"127.0.0.1:{cluster.port}", "sslmode": "disable"}}
    path = server.data_dir.parent / "other.yaml"
    path.write_text(json.dumps({"firehose": {"redshift": configuration}}))
    again = start("--config", str(path), data_dir=server.data_dir)
    wait_until(lambda: drained(again), "the load")
    assert cluster.rows == ["1|x"]
    manifests = {COPY.fullmatch(statement)[3] for statement in cluster.statements}
    assert len(manifests) == 1, "the same flush"


def test_kills_and_outages_load_each_acknowledged_record(start, cluster, tmp_path):
    """Spec: sinks.md 2.9, 9: at least once, and nothing else, over a line that breaks to a cluster that cannot be reached three times."""
    line, configuration = Line(cluster.port), tmp_path / "tailrace.yaml"
    said = {"logs.eu.redshift.amazonaws.com": {"at": line.address, "sslmode": "disable"}}
    configuration.write_text(json.dumps({"firehose": {"redshift": said}}))
    begin = functools.partial(start, "--config", str(configuration))
    server = begin()
    cluster.root = server.data_dir / "buckets"
    client = server.client("firehose")
    client.create_delivery_stream(DeliveryStreamName="s", RedshiftDestinationConfiguration=config(retry=7200))
    server, numbers, in_doubt = put_amid_kills(begin, server, "s", lambda number: f"{number}|x\n", [line] * OUTAGES)
    put(server.client("firehose"), "-1|x")
    wait_until(lambda: drained(server), "the last record")
    loaded = [int(row.removesuffix("|x")) for row in cluster.rows]
    assert set(numbers) | {-1} <= set(loaded) <= set(numbers) | in_doubt | {-1}
    # What comes again is what a COPY had whose answer was lost: who keeps the first of each has them in order.
    first = [number for number in dict.fromkeys(loaded) if number in set(numbers)]
    assert first == numbers
    assert not [key for key in objects(server) if "/errors/" in key] and line.broken > 0


def test_what_a_stream_cannot_be_is_told(server):
    client = server.client("firehose")
    secrets = {"Enabled": True, "SecretARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}
    for more, code, part in [
        ({"SecretsManagerConfiguration": secrets}, "InvalidArgumentException", "SecretsManagerConfiguration is not supported"),
        ({"ClusterJDBCURL": f"jdbc:redshift://u:{PASSWORD}@h:1/d"}, "InvalidArgumentException", "is no address of a cluster"),
        ({"CopyCommand": {"DataTableName": "a; b"}}, "InvalidArgumentException", "is no table"),
        ({"CopyCommand": {}}, "ValidationException", "copyCommand.dataTableName' failed to satisfy constraint"),
        ({"Password": "short"}, "ValidationException", "greater than or equal to 6"),
        ({"RetryOptions": {"DurationInSeconds": 7201}}, "ValidationException", "less than or equal to 7200"),
    ]:
        answer = refused(client.create_delivery_stream, DeliveryStreamName="s", RedshiftDestinationConfiguration={**config(), **more})
        assert answer[0] == code and part in answer[1] and PASSWORD not in answer[1] and "short" not in answer[1], answer


TEMPLATE = """
Resources:
  Clicks:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      DeliveryStreamName: s
      RedshiftDestinationConfiguration:
        ClusterJDBCURL: "jdbc:redshift://127.0.0.1:PORT/dev"
        CopyCommand: {DataTableName: clicks, DataTableColumns: a, CopyOptions: CSV}
        Username: loader
        Password: hunter2-secret
        RetryOptions: {DurationInSeconds: "60"}
        RoleARN: "arn:aws:iam::000000000000:role/r"
        S3Configuration:
          BucketARN: "arn:aws:s3:::lake"
          RoleARN: "arn:aws:iam::000000000000:role/r"
          BufferingHints: {SizeInMBs: "1", IntervalInSeconds: 0}
"""


def test_a_template_makes_one(start, cluster, tmp_path):
    path, configuration = tmp_path / "template.yaml", tmp_path / "tailrace.yaml"
    path.write_text(TEMPLATE.replace("PORT", str(cluster.port)))
    configuration.write_text(json.dumps({"firehose": {"redshift": {"127.0.0.1": {"sslmode": "disable", "iam_role": "default"}}}}))
    data_dir = None
    for number in range(2):
        server = start("--template", str(path), "--config", str(configuration), data_dir=data_dir)
        data_dir = server.data_dir
        cluster.root = data_dir / "buckets"
        client = server.client("firehose")
        assert described(client)[0] == "1", "what is there is not changed"
        put(client, str(number))
        wait_until(lambda: drained(server), "the record")
        assert cluster.rows[-1] == str(number) and "IAM_ROLE default MANIFEST CSV" in cluster.statements[-1]
        assert PASSWORD not in server.output() and server.stop() == 0
