"""Delivery streams to an index of a real OpenSearch, with the real SDK: documents, errors, kills and outages. Rows: docs/spec/sinks.md
2.8; docs/sinks.md, To OpenSearch.

TAILRACE_KILLS sets how often the server is killed.
"""

import base64
import datetime
import json
import re
import types

import pytest

from conftest import refused, wait_until
from opensearch import OpenSearch
from ordeal import Line, put_amid_kills

ROLE = "arn:aws:iam::000000000000:role/delivery"
DESTINATION = "destinationId-000000000001"
DOMAIN = "arn:aws:es:us-east-1:000000000000:domain/logs"
CAUGHT_UP_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    node = OpenSearch(tmp_path_factory.mktemp("opensearch") / "node").start()
    yield node
    node.kill()


def config(search, index, retry=300, **more):
    return {
        "RoleARN": ROLE,
        "ClusterEndpoint": search.url,
        "IndexName": index,
        "IndexRotationPeriod": "NoRotation",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
        "RetryOptions": {"DurationInSeconds": retry},
        "S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": ROLE},
        **more,
    }


def create(client, configuration, kind="Amazonopensearchservice", name="s"):
    client.create_delivery_stream(DeliveryStreamName=name, **{f"{kind}DestinationConfiguration": configuration})


def put(client, *texts, name="s"):
    client.put_record_batch(DeliveryStreamName=name, Records=[{"Data": text} for text in texts])


def objects(server):
    root = server.data_dir / "buckets/lake"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name[0] != "."}


def drained(server):
    return all(stream["drained"] for stream in server.admin("delivery-streams")["deliveryStreams"])


def test_records_are_documents_and_what_is_none_is_an_error(start, search):
    """Spec: sinks.md 2.8: the index of the arrival, every digit of a number, one object of errors in the service's form."""
    server = start()
    client = server.client("firehose")
    create(client, {**config(search, "clicks", S3BackupMode="AllDocuments"), "IndexRotationPeriod": "OneDay"})
    put(client, '{"n": 1.50, "text": "caf\u00e9"}', '{\n "n": 2\n}\n', "no json", '{"n": "not a number"}', '{"n": {}}')
    wait_until(lambda: drained(server), "the flush", CAUGHT_UP_SECONDS_MAX)
    day = datetime.datetime.now(datetime.timezone.utc)
    # Midnight may have passed meanwhile.
    names = [f"clicks-{day - datetime.timedelta(days=days):%Y-%m-%d}" for days in (0, 1)]
    [(index, documents)] = [(name, documents) for name in names if (documents := search.documents(name))]
    assert sorted(map(str, (document["n"] for document in documents.values()))) == ["1.50", "2"]
    failed = [body for key, body in objects(server).items() if key.startswith("AmazonOpenSearchService-failed/20")]
    lines = [json.loads(line) for line in b"".join(failed).splitlines()]
    assert [base64.b64decode(line["rawData"]).decode() for line in lines] == ["no json", '{"n": "not a number"}', '{"n": {}}']
    for line in lines:
        assert (line["errorCode"], line["esIndexName"], line["esTypeName"]) == ("400", index, "")
        assert line["arrivalTimestamp"] <= line["attemptEndingTimestamp"] and len(line["esDocumentId"]) == 36
    assert [line["attemptsMade"] for line in lines] == [0, 1, 1] and "mapper_parsing_exception" in lines[1]["errorMessage"]
    backup = [body for key, body in objects(server).items() if key.startswith("20")]
    assert b"".join(backup).count(b'"n"') == 4
    assert search.url in json.dumps(server.admin("delivery-streams")), "the status names the cluster"


def test_a_stream_is_made_described_and_changed(start, search):
    server = start()
    client = server.client("firehose")
    vpc = {"SubnetIds": ["subnet-1"], "RoleARN": ROLE, "SecurityGroupIds": ["sg-1"]}
    hints = {"S3Configuration": {"BucketARN": "arn:aws:s3:::lake", "RoleARN": ROLE}}
    create(client, {"RoleARN": ROLE, "DomainARN": DOMAIN, "IndexName": "i", "VpcConfiguration": vpc, **hints}, "Elasticsearch")

    def described():
        answer = client.describe_delivery_stream(DeliveryStreamName="s")["DeliveryStreamDescription"]
        [destination] = answer["Destinations"]
        return answer["VersionId"], destination

    version, destination = described()
    shown = destination["ElasticsearchDestinationDescription"]
    s3 = shown.pop("S3DestinationDescription")
    assert version == "1" and s3["BucketARN"] == "arn:aws:s3:::lake" and s3["CompressionFormat"] == "UNCOMPRESSED"
    assert shown == {
        "RoleARN": ROLE,
        "DomainARN": DOMAIN,
        "IndexName": "i",
        "IndexRotationPeriod": "OneDay",
        "BufferingHints": {"SizeInMBs": 5, "IntervalInSeconds": 300},
        "RetryOptions": {"DurationInSeconds": 300},
        "S3BackupMode": "FailedDocumentsOnly",
        "CloudWatchLoggingOptions": {"Enabled": False},
        "VpcConfigurationDescription": vpc,
        "DocumentIdOptions": {"DefaultDocumentIdFormat": "FIREHOSE_DEFAULT"},
    }
    # Nobody knows where the domain is: the records wait, and it is said how to tell.
    update = {"DeliveryStreamName": "s", "DestinationId": DESTINATION}
    now = {"BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0}}
    client.update_destination(CurrentDeliveryStreamVersionId="1", ElasticsearchDestinationUpdate=now, **update)
    put(client, '{"n": 1}')
    told = lambda: server.admin("delivery-streams")["deliveryStreams"][0].get("lastError") or ""
    wait_until(lambda: "firehose.domains in tailrace.yaml" in told(), "the error")
    moved = {"ClusterEndpoint": search.url, "IndexName": "moved", "IndexRotationPeriod": "NoRotation", "S3Update": {"Prefix": "p/"}}
    client.update_destination(CurrentDeliveryStreamVersionId="2", ElasticsearchDestinationUpdate=moved, **update)
    wait_until(lambda: len(search.documents("moved")) == 1, "the document", CAUGHT_UP_SECONDS_MAX)
    version, destination = described()
    shown = destination["ElasticsearchDestinationDescription"]
    assert version == "3" and "DomainARN" not in shown and shown["S3DestinationDescription"]["Prefix"] == "p/"
    # Between kinds nothing is merged.
    code, text = refused(
        client.update_destination,
        CurrentDeliveryStreamVersionId="3",
        AmazonopensearchserviceDestinationUpdate={"IndexName": "other"},
        **update,
    )
    assert code == "InvalidArgumentException" and "BUCKET" in text, text
    client.delete_delivery_stream(DeliveryStreamName="s")
    for more, code, part in [
        ({"IndexName": "Capital"}, "InvalidArgumentException", "is no name of an index"),
        ({"DomainARN": DOMAIN}, "InvalidArgumentException", "Exactly one of DomainARN and ClusterEndpoint"),
        ({"IndexRotationPeriod": "Daily"}, "ValidationException", "NoRotation"),
        ({"BufferingHints": {"SizeInMBs": 101, "IntervalInSeconds": 0}}, "ValidationException", "less than or equal to 100"),
    ]:
        wrong = {"AmazonopensearchserviceDestinationConfiguration": {**config(search, "i"), **more}}
        answer = refused(client.create_delivery_stream, DeliveryStreamName="s", **wrong)
        assert answer[0] == code and part in answer[1], answer


def test_a_collection_is_an_index_without_periods(start, search):
    """Spec: sinks.md 2.8, Serverless."""
    server = start()
    client = server.client("firehose")
    asked = config(search, "collection")
    asked["CollectionEndpoint"] = asked.pop("ClusterEndpoint")
    del asked["IndexRotationPeriod"]
    create(client, asked, "AmazonOpenSearchServerless")
    put(client, '{"n": 1}', "no json")
    wait_until(lambda: drained(server), "the flush", CAUGHT_UP_SECONDS_MAX)
    [(document_id, document)] = search.documents("collection").items()
    assert document["n"] == 1
    assert re.fullmatch(r"[\w-]{20}", document_id), "its own, since none was sent"
    [key] = objects(server)
    assert key.startswith("AmazonOpenSearchService-failed/20")
    update = {"IndexName": "other"}
    client.update_destination(
        DeliveryStreamName="s", CurrentDeliveryStreamVersionId="1", DestinationId=DESTINATION, AmazonOpenSearchServerlessDestinationUpdate=update
    )
    [destination] = client.describe_delivery_stream(DeliveryStreamName="s")["DeliveryStreamDescription"]["Destinations"]
    shown = destination["AmazonOpenSearchServerlessDestinationDescription"]
    assert (shown["IndexName"], shown["CollectionEndpoint"], shown["S3BackupMode"]) == ("other", search.url, "FailedDocumentsOnly")


def test_kills_and_outages_leave_each_acknowledged_record_once(start, search):
    """Spec: sinks.md 2.8, 9: kill -9 of the server, and of the cluster, over a line that breaks, while records come; afterwards each is one
    document."""
    server, line = start(), Line(search.port)
    create(server.client("firehose"), config(types.SimpleNamespace(url=f"http://{line.address}"), "story", retry=7200))
    # The cluster begins slowly: it is killed once, and cannot be reached twice.
    targets = [types.SimpleNamespace(stop=search.kill, start=search.start), line, line]
    server, acknowledged, in_doubt = put_amid_kills(start, server, "s", lambda number: json.dumps({"n": number}), targets)
    put(server.client("firehose"), '{"n": -1}')
    wait_until(lambda: drained(server), "the last record", CAUGHT_UP_SECONDS_MAX)
    found = sorted(int(document["n"]) for document in search.documents("story").values())
    assert len(found) == len(set(found)), "a record is there twice"
    assert set(acknowledged) | {-1} <= set(found) <= set(acknowledged) | in_doubt | {-1}
    assert objects(server) == {} and line.broken > 0


TEMPLATE = """
Resources:
  Domain: {Type: AWS::OpenSearchService::Domain, Properties: {DomainName: logs}}
  Clicks:
    Type: AWS::KinesisFirehose::DeliveryStream
    Properties:
      DeliveryStreamName: clicks
      AmazonopensearchserviceDestinationConfiguration:
        DomainARN: DOMAIN
        IndexName: of-template
        IndexRotationPeriod: NoRotation
        DocumentIdOptions: {DefaultDocumentIdFormat: NO_DOCUMENT_ID}
        BufferingHints: {SizeInMBs: "1", IntervalInSeconds: 0}
        RetryOptions: {DurationInSeconds: "60"}
        RoleARN: "arn:aws:iam::000000000000:role/r"
        S3Configuration: {BucketARN: "arn:aws:s3:::lake", RoleARN: "arn:aws:iam::000000000000:role/r"}
"""


@pytest.mark.parametrize("domain", [DOMAIN, "!GetAtt Domain.Arn"])
def test_a_template_makes_one_and_its_domain_is_configured(start, search, tmp_path, domain):
    path, configuration = tmp_path / "template.yaml", tmp_path / "tailrace.yaml"
    path.write_text(TEMPLATE.replace("DOMAIN", domain))
    said = {"domains": {"logs": search.url}} if domain == DOMAIN else {"opensearch": {"endpoint": search.url}}
    configuration.write_text(json.dumps({"firehose": said}))
    before = len(search.documents("of-template"))
    data_dir = None
    for number in range(2):
        server = start("--template", str(path), "--config", str(configuration), data_dir=data_dir)
        data_dir = server.data_dir
        client = server.client("firehose")
        described = client.describe_delivery_stream(DeliveryStreamName="clicks")["DeliveryStreamDescription"]
        assert described["VersionId"] == "1", "what is there is not changed"
        put(client, json.dumps({"n": number}), name="clicks")
        wait_until(lambda: drained(server), "the record", CAUGHT_UP_SECONDS_MAX)
        assert len(search.documents("of-template")) == before + number + 1
        assert server.stop() == 0
