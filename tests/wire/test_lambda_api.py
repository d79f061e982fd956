"""The Lambda API with the real SDK: event source mappings, functions, Invoke.

Rows: docs/spec/event-source-mapping.md 1-4, 12; docs/spec/lambda-runtime.md 4, 8, 10.
"""

import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
import uuid

import botocore.exceptions
import pytest

from conftest import BINARY, Server, make_table, wait_until

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


# Event source mappings.


def test_a_new_mapping_is_told_as_aws_tells_it(server, client, make, stream):
    """Spec 3, the recorded answer of create; 1, its status; 2, the defaults."""
    before = time.time()
    meta, mapping = without_meta(make())
    assert meta["HTTPStatusCode"] == 202
    modified = mapping.pop("LastModified").timestamp()
    assert before - 1 < modified < time.time() + 1
    name = mapping.pop("UUID")
    assert uuid.UUID(name).version == 4
    assert mapping == {
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "EventSourceArn": stream,
        "FunctionArn": f"{FUNCTION_ARN}:seen",
        "EventSourceMappingArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:event-source-mapping:{name}",
        "LastProcessingResult": "No records processed",
        "State": "Creating",
        "StateTransitionReason": "User action",
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
    }
    enabled = wait_for_state(client, name, "Enabled")
    assert enabled["ResponseMetadata"]["HTTPStatusCode"] == 200
    server.client().put_item(TableName=stream.split("/")[1], Item={"pk": {"S": "by-api"}})
    wait_until(lambda: client.get_event_source_mapping(UUID=name)["LastProcessingResult"] == "OK", "the result")
    assert "by-api" in lines_of(server, "seen.txt")
    # On the wire: a number with milliseconds, and the members in AWS's order.
    _, _, body = raw(server, "GET", f"/2015-03-31/event-source-mappings/{name}/")
    assert list(json.loads(body)) [:3] == ["UUID", "StartingPosition", "BatchSize"]
    assert isinstance(json.loads(body)["LastModified"], float)


def test_every_parameter_is_taken_told_and_changed(client, make):
    """Spec 2, each row; 4, "Update may change"."""
    patterns = [{"Pattern": json.dumps({"eventName": ["INSERT"]})}, {"Pattern": json.dumps({"eventName": ["REMOVE"]})}]
    asked = {
        "Enabled": False,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 5,
        "ParallelizationFactor": 3,
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 4,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": patterns},
        "MetricsConfig": {"Metrics": ["EventCount"]},
        "KMSKeyArn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k",
        "DestinationConfig": {"OnFailure": {}},
        "Tags": {"team": "a"},
    }
    made = make("seen:$LATEST", **asked)
    assert made["FunctionArn"] == f"{FUNCTION_ARN}:seen:$LATEST"
    got = wait_for_state(client, made["UUID"], "Disabled")
    shown = {name: value for name, value in asked.items() if name not in ("Enabled", "Tags")}
    assert {name: got[name] for name in shown} == shown
    assert "Enabled" not in got
    assert client.list_tags(Resource=made["EventSourceMappingArn"])["Tags"] == {"team": "a"}
    changes = {
        "FunctionName": "echo",
        "BatchSize": 20,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "BisectBatchOnFunctionError": False,
        "FunctionResponseTypes": [],
        "FilterCriteria": {},
        "MetricsConfig": {"Metrics": []},
        "KMSKeyArn": "",
        "TumblingWindowInSeconds": 60,
        "DestinationConfig": {"OnFailure": {"Destination": ""}},
    }
    updated = client.update_event_source_mapping(UUID=made["UUID"], **changes)
    assert (updated["ResponseMetadata"]["HTTPStatusCode"], updated["State"]) == (202, "Updating")
    got = wait_for_state(client, made["UUID"], "Disabled")
    assert got["FunctionArn"] == f"{FUNCTION_ARN}:echo"
    assert (got["BatchSize"], got["TumblingWindowInSeconds"], got["FunctionResponseTypes"]) == (20, 60, [])
    assert got["LastModified"] > made["LastModified"]
    assert not {"FilterCriteria", "MetricsConfig", "KMSKeyArn"} & got.keys()
    # What is not named stays.
    client.update_event_source_mapping(UUID=made["UUID"], BatchSize=30)
    got = wait_for_state(client, made["UUID"], "Disabled")
    assert (got["BatchSize"], got["TumblingWindowInSeconds"]) == (30, 60)


VALIDATION = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must {}"
NOT_STREAM = "Only streams of DynamoDB tables are supported for event source mappings of this server, not {}"
TABLE_ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/none"
QUEUE_ARN = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
REFUSED = [
    # Spec 2, in the order of its rows.
    ({"FunctionName": "none"}, 400, "InvalidParameterValueException", "Function does not exist"),
    ({"FunctionName": None}, 400, "ValidationException",
     "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: Member must not be null"),
    ({"FunctionName": ""}, 400, "ValidationException",
     VALIDATION.format("", "functionName", "have length greater than or equal to 1")),
    *[({"FunctionName": name}, 400, "ValidationException", None)
      for name in ("seen:", "seen:bad!qual", "seen:x y", "seen:x\n", "seen\0", "s een", "s" * 300,
                   "arn:aws:lambda:eu-west-3::function:seen")],
    ({"EventSourceArn": None}, 400, "InvalidParameterValueException", "Unrecognized event source."),
    ({"EventSourceArn": ""}, 400, "ValidationException", None),
    ({"EventSourceArn": "nonsense"}, 400, "ValidationException", None),
    ({"EventSourceArn": TABLE_ARN}, 400, "InvalidParameterValueException", NOT_STREAM.format(TABLE_ARN)),
    ({"EventSourceArn": QUEUE_ARN, "StartingPosition": None}, 400, "InvalidParameterValueException",
     NOT_STREAM.format(QUEUE_ARN)),
    ({"EventSourceArn": STREAM_ARN}, 400, "InvalidParameterValueException", f"Stream not found: {STREAM_ARN}"),
    ({"BatchSize": 10001}, 400, "ValidationException",
     VALIDATION.format(10001, "batchSize", "have value less than or equal to 10000")),
    ({"BatchSize": 0}, 400, "ValidationException",
     VALIDATION.format(0, "batchSize", "have value greater than or equal to 1")),
    ({"MaximumBatchingWindowInSeconds": 301}, 400, "ValidationException",
     VALIDATION.format(301, "maximumBatchingWindowInSeconds", "have value less than or equal to 300")),
    ({"ParallelizationFactor": 11}, 400, "ValidationException",
     VALIDATION.format(11, "parallelizationFactor", "have value less than or equal to 10")),
    ({"StartingPosition": None}, 400, "InvalidParameterValueException",
     "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null."),
    ({"StartingPosition": "invalid"}, 400, "ValidationException",
     VALIDATION.format("invalid", "startingPosition", "satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]")),
    ({"StartingPosition": "AT_TIMESTAMP"}, 400, "InvalidParameterValueException",
     "Unsupported starting position for arn type: {stream}"),
    ({"MaximumRecordAgeInSeconds": 59}, 400, "InvalidParameterValueException",
     "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)"),
    ({"MaximumRetryAttempts": 10001}, 400, "ValidationException",
     VALIDATION.format(10001, "maximumRetryAttempts", "have value less than or equal to 10000")),
    ({"DestinationConfig": {"OnSuccess": {"Destination": "arn:aws:sqs:us-east-1:0:q"}}}, 400, "InvalidParameterValueException",
     "Unsupported DestinationConfig parameter for given event source mapping type."),
    ({"FunctionResponseTypes": ["Other"]}, 400, "ValidationException",
     VALIDATION.format("[Other]", "functionResponseTypes", "satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures]]")),
    ({"TumblingWindowInSeconds": 901}, 400, "ValidationException",
     VALIDATION.format(901, "tumblingWindowInSeconds", "have value less than or equal to 900")),
    ({"TumblingWindowInSeconds": -1, "BatchSize": 0}, 400, "ValidationException",
     "2 validation errors detected: Value '0' at 'batchSize' failed to satisfy constraint: Member must have value greater than "
     "or equal to 1; Value '-1' at 'tumblingWindowInSeconds' failed to satisfy constraint: Member must have value greater "
     "than or equal to 0"),
    ({"MetricsConfig": {"Metrics": ["EventCount"] * 4}}, 400, "ValidationException",
     VALIDATION.format(f"[{', '.join(['EventCount'] * 4)}]", "metricsConfig.metrics", "have length less than or equal to 3")),
    ({"KMSKeyArn": "arn:x:kms:us-east-1"}, 400, "ValidationException", None),
    ({"BatchSize": "many"}, 400, "InvalidRequestContentException", None),
    ({"MetricsConfig": [["EventCount"]]}, 400, "InvalidRequestContentException", None),
    # Spec 8.1, "Invalid pattern".
    *[({"FilterCriteria": {"Filters": [filter_]}}, 400, "InvalidParameterValueException", "Invalid filter pattern definition.")
      for filter_ in ({"Pattern": "text"}, {"Pattern": "{"}, {}, {"Pattern": '{"eventSource":"aws:sqs"}'}, {"Pattern": '{"eventSource":[]}'})],
    # Spec 2, the last row: not for DynamoDB streams.
    *[({name: value}, 400, "InvalidParameterValueException",
       f"{name} is not supported for event source mappings of this server.")
      for name, value in {
          "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:0:q"}},
          "StartingPositionTimestamp": 1.5, "Topics": ["t"], "Queues": ["q"],
          "SourceAccessConfigurations": [{"Type": "BASIC_AUTH", "URI": "u"}],
          "SelfManagedEventSource": {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["h:1"]}},
          "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"},
          "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": "g"}, "ScalingConfig": {"MaximumConcurrency": 2},
          "DocumentDBEventSourceConfig": {"DatabaseName": "d"}, "LoggingConfig": {"SystemLogLevel": "INFO"},
          "ProvisionedPollerConfig": {"MinimumPollers": 1}}.items()],
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "status", "code", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused_and_how(server, client, unmapped, wrong, status, code, message):
    asked = {"FunctionName": "seen", "EventSourceArn": unmapped, "StartingPosition": "LATEST", **wrong}
    asked = {name: value for name, value in asked.items() if value is not None}
    got, headers, body = raw(server, "POST", "/2015-03-31/event-source-mappings/", asked)
    document = json.loads(body)
    assert (got, headers["x-amzn-ErrorType"]) == (status, code), document
    # Spec 1: lower-case `message`, and no `Type` where it is the model's own rule.
    assert document.keys() == ({"message"} if code == "ValidationException" else {"Type", "message"})
    if message:
        assert document["message"] == message.replace("{stream}", unmapped)
    assert client.list_event_source_mappings(EventSourceArn=unmapped)["EventSourceMappings"] == []


def test_a_second_mapping_of_stream_and_function_is_a_conflict(client, make, stream):
    """Spec 2, "Duplicate": the text with its odd blanks."""
    first = make()
    status, code, message = refused(
        client.create_event_source_mapping, FunctionName="seen", EventSourceArn=stream, StartingPosition="LATEST"
    )
    assert (status, code) == (409, "ResourceConflictException")
    assert message == (
        f'The event source arn (" {stream} ") and function (" seen ") provided mapping already exists. '
        f"Please update or delete the existing mapping with UUID {first['UUID']}"
    )
    # A region and an account stand for this server's.
    foreign = "arn:aws:lambda:eu-west-1:123456789012:function:seen"
    again = {"EventSourceArn": stream, "StartingPosition": "LATEST"}
    assert refused(client.create_event_source_mapping, FunctionName=foreign, **again)[2] == message
    make("echo")


def test_a_list_is_no_request(server, client, unmapped):
    got, headers, _ = raw(server, "POST", "/2015-03-31/event-source-mappings/", ["seen", unmapped, "LATEST"])
    assert (got, headers["x-amzn-ErrorType"]) == (400, "InvalidRequestContentException")
    assert client.list_event_source_mappings(EventSourceArn=unmapped)["EventSourceMappings"] == []


def test_mappings_are_listed_by_source_and_function_page_by_page(client, make, stream, server):
    """Spec 1, ListEventSourceMappings; 3, "List page"."""
    other = make_table(server.client(), "t-listed-other", stream="KEYS_ONLY")["LatestStreamArn"]
    mine = [make(function)["UUID"] for function in ("seen", "echo", "fails:live")]
    foreign = make("echo", EventSourceArn=other)["UUID"]

    def listed(**filters):
        names, marker = [], {}
        while True:
            page = client.list_event_source_mappings(**filters, **marker)
            names += [mapping["UUID"] for mapping in page["EventSourceMappings"]]
            if "NextMarker" not in page:
                return names
            marker = {"Marker": page["NextMarker"]}

    assert listed(EventSourceArn=stream) == sorted(mine)
    assert listed(EventSourceArn=stream, MaxItems=1) == sorted(mine), "one a page"
    assert set(listed(FunctionName="echo")) >= {mine[1], foreign}
    for name in ("fails", "fails:live", f"{FUNCTION_ARN}:fails:live"):
        assert listed(FunctionName=name, EventSourceArn=stream) == [mine[2]], name
    nowhere = "arn:aws:lambda:eu-west-3::function:f"
    assert refused(client.list_event_source_mappings, FunctionName=nowhere)[:2] == (400, "ValidationException")
    for nothing in ({"FunctionName": "fails:other"}, {"FunctionName": "none"}, {"EventSourceArn": STREAM_ARN}):
        assert listed(**nothing) == []
    assert set(listed()) >= {*mine, foreign}
    for max_items, rule in ((0, "greater than or equal to 1"), (10001, "less than or equal to 10000")):
        message = VALIDATION.format(max_items, "maxItems", f"have value {rule}")
        assert refused(client.list_event_source_mappings, MaxItems=max_items) == (400, "ValidationException", message)
    assert refused(client.list_event_source_mappings, Marker="x")[:2] == (400, "InvalidParameterValueException")


def test_an_encrypted_filter_shows_in_get_alone(client, make, stream):
    """Spec 2, KMSKeyArn."""
    made = make(KMSKeyArn=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k", FilterCriteria={"Filters": [{"Pattern": '{"a":[1]}'}]})
    assert "FilterCriteria" in client.get_event_source_mapping(UUID=made["UUID"])
    (listed,) = client.list_event_source_mappings(EventSourceArn=stream)["EventSourceMappings"]
    assert "FilterCriteria" not in listed


def test_states_show_while_a_batch_is_under_way_and_others_wait(server, client, make, stream):
    """Spec 4: Disabling, Enabling, Deleting, ResourceInUse, and 404 behind the deletion."""
    hold = server.folder / "src/hold"
    hold.touch()
    made = make()["UUID"]
    wait_for_state(client, made, "Enabled")
    server.client().put_item(TableName=stream.split("/")[1], Item={"pk": {"S": "held"}})
    wait_until(lambda: "held" in lines_of(server, "seen.txt"), "the batch")
    assert client.update_event_source_mapping(UUID=made, Enabled=False)["State"] == "Disabling"
    assert client.get_event_source_mapping(UUID=made)["State"] == "Disabling"
    in_use = (400, "ResourceInUseException", "Cannot update the event source mapping because it is in use.")
    assert refused(client.update_event_source_mapping, UUID=made, BatchSize=1) == in_use
    assert refused(client.delete_event_source_mapping, UUID=made) == in_use
    # Tags know no ResourceInUse.
    arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:event-source-mapping:{made}"
    client.tag_resource(Resource=arn, Tags={"team": "a"})
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "a"}
    hold.unlink()
    wait_for_state(client, made, "Disabled")
    assert client.update_event_source_mapping(UUID=made, Enabled=True)["State"] == "Enabling"
    wait_for_state(client, made, "Enabled")
    # A function that was held for longer than it may take is called again.
    wait_until(lambda: client.get_event_source_mapping(UUID=made)["LastProcessingResult"] == "OK", "the batch")
    deleted = client.delete_event_source_mapping(UUID=made)
    assert (deleted["ResponseMetadata"]["HTTPStatusCode"], deleted["State"], deleted["UUID"]) == (202, "Deleting", made)
    assert (deleted["FunctionArn"], deleted["LastProcessingResult"]) == (f"{FUNCTION_ARN}:seen", "OK")
    wait_until(lambda: is_gone(client, made), "the end of the deletion")


def test_an_unknown_mapping_is_not_found(client):
    """Spec 4, the last row."""
    missing = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
    for name in (str(uuid.uuid4()), "none"):
        for call in (client.get_event_source_mapping, client.update_event_source_mapping, client.delete_event_source_mapping):
            assert refused(call, UUID=name) == missing


def test_the_model_is_looked_at_before_the_mapping_and_in_one_answer(server, unmapped):
    """Spec 2: what the model says of single members comes first, and all of it in one answer."""
    status, headers, body = raw(server, "PUT", f"/2015-03-31/event-source-mappings/{uuid.uuid4()}", {"BatchSize": 0})
    assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationException"), body
    create = {"EventSourceArn": unmapped, "StartingPosition": "LATEST"}
    patterns = {"FilterCriteria": {"Filters": [{"Pattern": "{}"}, {"Pattern": "x" * 4097}]}}
    for asked, wrong in [
        ({**patterns, "FunctionName": "seen", "BatchSize": 0}, ["batchSize", "filterCriteria.filters.2.member.pattern"]),
        ({"FunctionName": "f" * 257}, ["functionName"]),
    ]:
        status, headers, body = raw(server, "POST", "/2015-03-31/event-source-mappings/", {**create, **asked})
        assert (status, headers["x-amzn-ErrorType"]) == (400, "ValidationException"), body
        message = json.loads(body)["message"]
        assert message.startswith(f"{len(wrong)} validation error") and all(f"at '{member}'" in message for member in wrong), message


def test_an_update_ignores_what_only_a_new_mapping_has(server, client, make):
    made = make()["UUID"]
    foreign = {"Topics": ["t"], "Queues": 5, "Tags": "x", "EventSourceArn": 1, "StartingPositionTimestamp": 5, "SelfManagedEventSource": []}
    status, _, body = raw(server, "PUT", f"/2015-03-31/event-source-mappings/{made}", {**foreign, "BatchSize": 7})
    assert (status, json.loads(body).get("BatchSize")) == (202, 7), body
    wait_until(lambda: client.get_event_source_mapping(UUID=made)["State"] == "Enabled", "the end of the update")


def test_a_mapping_made_by_the_api_outlives_a_restart(start, tmp_path):
    """Spec 5, "keeps, durably": what the API made is there at the next start, beside the template's."""
    folder = tmp_path / "application"
    (folder / "src").mkdir(parents=True)
    (folder / "template.yaml").write_text(TEMPLATE)
    (folder / "src/app.py").write_text(CODE)
    server = start(command="up", positional=[folder])
    arn = make_table(server.client(), "things", stream="KEYS_ONLY")["LatestStreamArn"]
    made = server.client("lambda").create_event_source_mapping(
        FunctionName="seen", EventSourceArn=arn, StartingPosition="LATEST", BatchSize=7, Tags={"a": "b"}
    )
    assert server.stop() == 0
    server = start(command="up", positional=[folder])
    client = server.client("lambda")
    got = wait_for_state(client, made["UUID"], "Enabled")
    assert (got["BatchSize"], got["StartingPosition"]) == (7, "LATEST")
    server.client().put_item(TableName="things", Item={"pk": {"S": "later"}})
    wait_until(lambda: client.get_event_source_mapping(UUID=made["UUID"])["LastProcessingResult"] == "OK", "the record")
    assert server.stop() == 0


def test_mappings_have_tags(server, client, make):
    """Spec 1, Tags: statuses 200 and 204."""
    arn = make(Tags={"team": "a"})["EventSourceMappingArn"]
    added = client.tag_resource(Resource=arn, Tags={"team": "b", "st age": "x/y"})
    assert added["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "b", "st age": "x/y"}
    removed = client.untag_resource(Resource=arn, TagKeys=["st age", "none"])
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "b"}
    # Spec 4: what is not given is refused by the model.
    path = f"/2017-03-31/tags/{arn}"
    for method, body, member in (("POST", {}, "tags"), ("POST", {"Tags": None}, "tags"), ("DELETE", None, "tagKeys")):
        got, headers, told = raw(server, method, path, body)
        assert (got, headers["x-amzn-ErrorType"]) == (400, "ValidationException"), member
        assert json.loads(told)["message"] == (
            f"1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        )
    assert client.list_tags(Resource=arn)["Tags"] == {"team": "b"}
    none = f"arn:aws:lambda:us-east-1:{ACCOUNT}:event-source-mapping:{uuid.uuid4()}"
    assert refused(client.list_tags, Resource=none)[:2] == (404, "ResourceNotFoundException")
    assert client.list_tags(Resource=f"{FUNCTION_ARN}:echo")["Tags"] == {}
    assert refused(client.tag_resource, Resource=f"{FUNCTION_ARN}:echo", Tags={"a": "b"})[:2] == (
        400, "InvalidParameterValueException")  # fmt: skip
    assert refused(client.list_tags, Resource=f"{FUNCTION_ARN}:none") == (
        404, "ResourceNotFoundException", f"Function not found: {FUNCTION_ARN}:none")  # fmt: skip
    status, code, message = refused(client.list_tags, Resource=f"{FUNCTION_ARN}:echo:live")
    assert (status, code) == (400, "InvalidParameterValueException") and message.startswith("Tagging operations are permitted on")


TAG_PATTERN = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"


def test_tags_have_the_rules_of_the_model(client, make, unmapped):
    """Spec 2, Tags: what the model says is told of the tags as a whole; what it does not say, in other words."""

    def constraint(where, shown, least, most):
        rules = f"Member must have length less than or equal to {most}, Member must have length greater than or equal to {least}"
        rules += f", Member must satisfy regular expression pattern: {TAG_PATTERN}, Member must not be null"
        return f"Value '{shown}' at {where}[{rules}]"

    key = "'tags' failed to satisfy constraint: Map keys must satisfy constraint: "
    value = "'tags' failed to satisfy constraint: Map value must satisfy constraint: "
    arn = make(Tags={"team": "a"})["EventSourceMappingArn"]
    new = {"FunctionName": "seen", "EventSourceArn": unmapped, "StartingPosition": "LATEST"}
    for tags, told in [
        ({"a": "b,c", "d": "e"}, [constraint(value, "{a=b,c, d=e}", 0, 256)]),
        ({"a": "x" * 257}, [constraint(value, "{a=%s}" % ("x" * 257), 0, 256)]),
        ({"": "a"}, [constraint(key, "{=a}", 1, 128)]),
        ({"k" * 129: ""}, [constraint(key, "{%s=}" % ("k" * 129), 1, 128)]),
        ({"a\tb": "c;d"}, [constraint(key, "{a\tb=c;d}", 1, 128), constraint(value, "{a\tb=c;d}", 0, 256)]),
    ]:
        text = f"{len(told)} validation error{'s' if len(told) > 1 else ''} detected: " + "; ".join(told)
        for call, parameters in ((client.tag_resource, {"Resource": arn}), (client.create_event_source_mapping, new)):
            assert refused(call, Tags=tags, **parameters) == (400, "ValidationException", text)
    keys = constraint("'tagKeys' failed to satisfy constraint: Member must satisfy constraint: ", "[team, a,b]", 1, 128)
    assert refused(client.untag_resource, Resource=arn, TagKeys=["team", "a,b"])[2] == f"1 validation error detected: {keys}"
    for tags, text in [
        ({"AWS:x": "y"}, "aws: prefixed tag key names are not allowed for external use."),
        ({str(n): "" for n in range(50)}, "Number of tags exceeds resource tag limit."),
        ({}, "An error occurred and the request cannot be processed."),
    ]:
        assert refused(client.tag_resource, Resource=arn, Tags=tags) == (400, "InvalidParameterValueException", text)
    status, code, message = refused(client.create_event_source_mapping, Tags={"aws:x": "y"}, **new)
    assert (status, code) == (400, "InvalidParameterValueException") and message.startswith("aws: prefixed")
    client.tag_resource(Resource=arn, Tags={"\u00fc \u4e2d+-=._:/@1": "", "k" * 128: "v" * 256})
    assert len(client.list_tags(Resource=arn)["Tags"]) == 3
    for resource in ("seen", "arn:aws:lambda:us-east-1:1:function:seen", arn[:-1], arn.replace("event-source-mapping", "layer")):
        status, code, message = refused(client.list_tags, Resource=resource)
        assert (status, code) == (400, "ValidationException") and f"Value '{resource}' at 'resource' failed" in message, message


# What the model says.


def test_all_that_the_model_says_is_told_at_once_and_in_its_order(client):
    """Spec 2, the last point: as for the parameters of mappings, so for those of every operation."""

    def members(call, **parameters):
        status, code, message = refused(call, **parameters)
        assert (status, code) == (400, "ValidationException"), message
        found = re.findall(r"at '([^']+)' failed to satisfy constraint", message)
        assert message.startswith(f"{len(found)} validation error{'s' if len(found) > 1 else ''} detected: "), message
        return found

    wrong = {"FunctionName": "a b", "InvocationType": "Other", "LogType": "Other", "Qualifier": "a b"}
    assert members(client.invoke, **wrong) == ["functionName", "invocationType", "logType", "qualifier"]
    assert members(client.invoke, **{**wrong, "Qualifier": "a " * 65}) == [
        "functionName", "invocationType", "logType", "qualifier", "qualifier"]  # fmt: skip
    # The model comes before what is not here, and before what there is.
    assert members(client.invoke, FunctionName="none", LogType="Other", TenantId="t") == ["logType"]
    for call in (client.get_function, client.get_function_configuration):
        assert members(call, FunctionName="a b", Qualifier="a b") == ["functionName", "qualifier"]
    assert members(client.list_event_source_mappings, EventSourceArn="no arn", FunctionName="a b", MaxItems=0) == [
        "eventSourceArn", "functionName", "maxItems"]  # fmt: skip
    assert members(client.list_functions, MasterRegion="a b", FunctionVersion="ONE", MaxItems=10001) == [
        "masterRegion", "functionVersion", "maxItems"]  # fmt: skip
    assert client.list_functions(MasterRegion="ALL", FunctionVersion="ALL")["Functions"]
    assert members(client.tag_resource, Resource="no arn", Tags={"": ","}) == ["resource", "tags", "tags"]
    assert members(client.untag_resource, Resource="no arn", TagKeys=[","]) == ["resource", "tagKeys"]


def test_every_answer_has_an_id_of_lambda_and_every_error_its_type(server):
    """Spec 1, "Error wire form": ids are UUIDs, as no other service's here are."""
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    seen = set()
    for method, path, body, kind in (
        ("GET", "/2015-03-31/functions", None, None),
        ("GET", "/2015-03-31/functions/none", None, "ResourceNotFoundException"),
        ("GET", "/2015-03-31/functions/a%20b", None, "ValidationException"),
        ("GET", "/2015-03-31/nothing", None, "UnknownOperationException"),
        ("DELETE", "/2015-03-31/functions/echo", None, "NotImplementedException"),
        ("POST", "/2015-03-31/functions/echo/invocations", {"n": 1}, None),
        ("POST", "/2015-03-31/functions/off/invocations", {}, "TooManyRequestsException"),
        ("POST", "/2015-03-31/event-source-mappings/", [], "InvalidRequestContentException"),
        ("POST", "/2015-03-31/functions/echo/invocations", "x" * 2**24, "RequestEntityTooLargeException"),
    ):
        _, headers, told = raw(server, method, path, body)
        assert headers["x-amzn-ErrorType"] == kind, told
        assert re.fullmatch(uuid4, headers["x-amzn-RequestId"]), headers
        seen.add(headers["x-amzn-RequestId"])
    assert len(seen) == 9
    assert not re.fullmatch(uuid4, server.client().list_tables()["ResponseMetadata"]["RequestId"])


# Functions.


def test_functions_of_the_template_are_listed_and_described(server, client):
    """Spec 1; lambda-runtime 8, "in every response"."""
    names = [function["FunctionName"] for function in client.list_functions()["Functions"]]
    assert names == ["echo", "fails", "hangs", "huge", "off", "seen"]
    first = client.list_functions(MaxItems=2)
    assert [function["FunctionName"] for function in first["Functions"]] == names[:2]
    rest = client.list_functions(Marker=first["NextMarker"])
    assert [function["FunctionName"] for function in rest["Functions"]] == names[2:]
    assert "NextMarker" not in rest
    meta, got = without_meta(client.get_function_configuration(FunctionName="echo"))
    assert meta["HTTPStatusCode"] == 200
    assert got.pop("CodeSize") == (server.folder / "src/app.py").stat().st_size
    assert len(base64.b64decode(got.pop("CodeSha256"))) == 32
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", got.pop("LastModified"))
    assert got.pop("Architectures") in (["x86_64"], ["arm64"])
    assert got == {
        "FunctionName": "echo",
        "FunctionArn": f"{FUNCTION_ARN}:echo",
        "Runtime": "python3.11",
        "Handler": "app.echo",
        "Description": "",
        "Timeout": 5,
        "MemorySize": 256,
        "Version": "$LATEST",
        "Environment": {"Variables": {"STAGE": "test"}},
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/echo"},
    }
    assert client.get_function_configuration(FunctionName="huge")["LoggingConfig"] == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "WARN",
        "SystemLogLevel": "INFO",
        "LogGroup": "/aws/lambda/huge",
    }
    for name in (f"{FUNCTION_ARN}:echo", f"{ACCOUNT}:function:echo", "echo:$LATEST"):
        whole = client.get_function(FunctionName=name)
        assert whole["Configuration"]["Handler"] == "app.echo"
    assert whole["Concurrency"] == {"ReservedConcurrentExecutions": 4}
    assert whole["Code"]["Location"].rstrip("/").endswith("/application/src")


def test_an_unknown_function_is_told_by_its_arn(client):
    """Spec 12: Get uses the ARN without, Invoke with `:$LATEST`."""
    for call in (client.get_function, client.get_function_configuration):
        assert refused(call, FunctionName="none") == (
            404, "ResourceNotFoundException", f"Function not found: {FUNCTION_ARN}:none")  # fmt: skip
    not_found = (404, "ResourceNotFoundException", f"Function not found: {FUNCTION_ARN}:none:$LATEST")
    for kind in ("RequestResponse", "Event", "DryRun"):
        assert refused(client.invoke, FunctionName="none", InvocationType=kind) == not_found
    assert refused(client.invoke, FunctionName="none", Qualifier="7")[2] == f"Function not found: {FUNCTION_ARN}:none:7"
    assert refused(client.invoke, FunctionName="echo:live", Qualifier="7")[:2] == (400, "InvalidParameterValueException")


def test_an_operation_that_is_not_here_is_refused_by_name(client, server):
    status, code, message = refused(client.delete_function, FunctionName="echo")
    assert (status, code) == (501, "NotImplementedException") and message.startswith("DeleteFunction is not supported")
    status, headers, body = raw(server, "GET", "/2015-03-31/nothing")
    assert (status, headers["x-amzn-ErrorType"]) == (404, "UnknownOperationException"), body


def test_a_request_without_authentication_is_refused(server):
    request = urllib.request.Request(f"{server.url}/2015-03-31/functions")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=30)
    assert raised.value.code == 403
    assert raised.value.headers["x-amzn-ErrorType"] == "MissingAuthenticationTokenException"


# Invoke.


def test_an_invocation_answers_what_the_function_answers(client):
    """Spec 12: RequestResponse, client context, the context's ARN and id; no payload is `{}`."""
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()
    answer = client.invoke(FunctionName="echo", Payload=b'{"n": 1}', ClientContext=context, Qualifier="$LATEST")
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer and "LogResult" not in answer
    payload = json.loads(answer["Payload"].read())
    assert payload == {
        "event": {"n": 1},
        "request": answer["ResponseMetadata"]["RequestId"],
        "arn": f"{FUNCTION_ARN}:echo:$LATEST",
        "custom": {"a": "b"},
        "stage": "test",
    }
    # Line breaks around and inside of it, and what a header may not hold.
    context = base64.b64encode(b'{"custom":\r\n{"a": "\x7f\xc3\xbc"}}\n').decode()
    answer = client.invoke(FunctionName="echo", ClientContext=context)
    assert json.loads(answer["Payload"].read())["custom"] == {"a": "\x7f\u00fc"}
    payload = json.loads(client.invoke(FunctionName="echo")["Payload"].read())
    assert (payload["event"], payload["arn"]) == ({}, f"{FUNCTION_ARN}:echo")


def test_a_log_tail_has_what_the_invocation_wrote(client):
    """Spec 12, X-Amz-Log-Type; lambda-runtime 10, the lines and the 4 KB."""
    answer = client.invoke(FunctionName="echo", Payload=b'"x"', LogType="Tail")
    lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
    request = answer["ResponseMetadata"]["RequestId"]
    assert lines[0] == f"START RequestId: {request} Version: $LATEST"
    assert lines[1] == 'echo has "x"'
    assert lines[-2] == f"END RequestId: {request}" and lines[-1].startswith(f"REPORT RequestId: {request}\tDuration: ")
    answer = client.invoke(FunctionName="echo", Payload=json.dumps("y" * 10_000).encode(), LogType="Tail")
    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) == 4096 and b"yyyy" in tail and b"REPORT" in tail and b"START" not in tail
    answer = client.invoke(FunctionName="huge", Payload=b"3", LogType="Tail")
    start, report = (json.loads(line) for line in base64.b64decode(answer["LogResult"]).decode().splitlines())
    assert (start["type"], report["type"], report["record"]["status"]) == ("platform.start", "platform.report", "success")
    answer = client.invoke(FunctionName="fails", LogType="Tail")
    assert b"about to fail" in base64.b64decode(answer["LogResult"])
    answer = client.invoke(FunctionName="hangs", LogType="Tail")
    assert b"Status: timeout" in base64.b64decode(answer["LogResult"])


def test_a_function_that_fails_is_an_answer_with_function_error(client):
    """Lambda-runtime 4; spec 12, FunctionError `Unhandled` with 200."""
    for name, payload, kind, message in (
        ("fails", b"{}", "ValueError", "no good"),
        ("hangs", b"{}", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ("huge", b"7000000", "Function.ResponseSizeTooLarge", "Response payload size exceeded maximum allowed payload size (6291556 bytes)."),
    ):
        answer = client.invoke(FunctionName=name, Payload=payload)
        document = json.loads(answer["Payload"].read())
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert document["errorType"] == kind and message in document["errorMessage"]
        assert answer["ExecutedVersion"] == "$LATEST"
    whole = client.invoke(FunctionName="huge", Payload=b"6000000")["Payload"].read()
    assert len(whole) == 6_000_002


def test_an_event_is_accepted_and_run_later(server, client):
    """Spec 12: Event, 202, an empty body, no executed version; the request's id is the invocation's."""
    answer = client.invoke(FunctionName="fails", InvocationType="Event", Payload=b'{"later": 1}')
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    assert "ExecutedVersion" not in answer and "FunctionError" not in answer
    told = json.dumps([answer["ResponseMetadata"]["RequestId"], {"later": 1}])
    wait_until(lambda: told in lines_of(server, "failed.txt"), "the event")


def test_a_dry_run_runs_nothing(server, client):
    before = lines_of(server, "failed.txt")
    answer = client.invoke(FunctionName="fails", InvocationType="DryRun")
    assert (answer["StatusCode"], answer["Payload"].read()) == (204, b"")
    assert lines_of(server, "failed.txt") == before


def test_a_function_that_is_switched_off_is_throttled(server, client):
    """Lambda-runtime 5, "Reserved concurrency 0"; spec 12, the reason."""
    assert refused(client.invoke, FunctionName="off") == (429, "TooManyRequestsException", "Rate Exceeded.")
    status, _, body = raw(server, "POST", "/2015-03-31/functions/off/invocations", {})
    assert json.loads(body)["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    command = [BINARY, "invoke", "off", "{}", "--endpoint", server.url]
    told = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert told.returncode != 0 and "it is switched off: its ReservedConcurrentExecutions are 0" in told.stderr, told


def test_invocations_that_are_refused(client):
    """Spec 12: sizes, types, payloads."""
    too_large = b'"' + b"x" * (6 * 1024 * 1024 - 1) + b'"'
    status, code, message = refused(client.invoke, FunctionName="huge", Payload=too_large)
    assert (status, code) == (413, "RequestTooLargeException")
    assert message == "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)"
    status, code, _ = refused(client.invoke, FunctionName="echo", InvocationType="Event", Payload=too_large[: 2**20] + b'"')
    assert (status, code) == (413, "RequestTooLargeException")
    largest = client.invoke(FunctionName="huge", Payload=b'"' + too_large[2:])
    assert json.loads(largest["Payload"].read())["errorType"] == "TypeError", "the function got it"
    for wrong, code in (
        ({"Payload": b"no json"}, "InvalidRequestContentException"),
        ({"ClientContext": "no base64"}, "InvalidRequestContentException"),
        ({"ClientContext": base64.b64encode(b'"' + b"x" * 3000 + b'"').decode()}, "InvalidRequestContentException"),
        ({"ClientContext": base64.b64encode(b"[]").decode()}, "InvalidRequestContentException"),
        ({"ClientContext": base64.b64encode(b"null").decode()}, "InvalidRequestContentException"),
        ({"Payload": b'"\xff"'}, "InvalidRequestContentException"),
        ({"Qualifier": "a b"}, "ValidationException"),
        ({"Qualifier": "a.b"}, "ValidationException"),
        ({"Qualifier": "a" * 129}, "ValidationException"),
        ({"FunctionName": "a b"}, "ValidationException"),
        ({"FunctionName": "echo:a.b"}, "ValidationException"),
        ({"FunctionName": "a" * 257}, "ValidationException"),
        ({"InvocationType": "Other"}, "ValidationException"),
        ({"LogType": "Other"}, "ValidationException"),
        ({"TenantId": "t"}, "InvalidParameterValueException"),
        ({"DurableExecutionName": "d"}, "InvalidParameterValueException"),
    ):
        assert refused(client.invoke, **{"FunctionName": "echo", **wrong})[:2] == (400, code), wrong
