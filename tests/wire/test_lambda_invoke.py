"""The Lambda API with the real SDK: functions, Invoke, and what all operations have in common.

Rows: docs/spec/event-source-mapping.md 1, 2, 12; docs/spec/lambda-runtime.md 4, 8, 10.
"""

import base64
import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import BINARY, wait_until
from lambda_server import ACCOUNT, FUNCTION_ARN, client, lines_of, raw, refused, server, without_meta  # noqa: F401 (fixtures)

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
