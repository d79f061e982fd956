"""The Lambda API with the real SDK: event source mappings and their tags.

Rows: docs/spec/event-source-mapping.md 1-4. Functions and Invoke: `test_lambda_invoke.py`.
"""

import json
import time
import uuid

import pytest

from conftest import make_table, wait_until
from lambda_server import (  # noqa: F401 (fixtures)
    ACCOUNT, CODE, FUNCTION_ARN, STREAM_ARN, TEMPLATE, client, is_gone, lines_of, make, raw, refused, server, stream, unmapped,
    wait_for_state, without_meta,
)


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
    # It may have looked again since.
    assert deleted["FunctionArn"] == f"{FUNCTION_ARN}:seen" and deleted["LastProcessingResult"] in ("OK", "No records processed")
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
