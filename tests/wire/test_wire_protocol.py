"""The protocol below the operations, one row of the table a row of the document.

Rows: docs/spec/dynamodb-api.md 1, 1.1, 1.2, 1.3. Malformed HTTP and slow clients are in crates/wire/tests.
"""

import gzip
import json
import socket

import pytest

from conftest import make_table
from raw_http import AUTHORIZATION, DATE, DYNAMODB, JSON_TYPE, STREAMS, call, error_of, send
from wording import NAMESPACE, VALIDATION

CORAL = "com.amazon.coral.service#"
NOT_AN_OPERATION = "<UnknownOperationException/>\n"
HEALTHY = "healthy: dynamodb.us-east-1.amazonaws.com "
TYPE = ("Content-Type", JSON_TYPE)
TARGET = ("X-Amz-Target", f"{DYNAMODB}.ListTables")
AUTH = [("Authorization", AUTHORIZATION), ("X-Amz-Date", DATE)]
MISSING = (CORAL + "MissingAuthenticationTokenException", "Request is missing Authentication Token")


def coral(name, message=None, member="message"):
    return json.dumps({"__type": CORAL + name} | ({member: message} if message else {}), separators=(",", ":"))


@pytest.mark.parametrize(
    "sent, answered",
    [
        ("application/x-amz-json-1.0", "application/x-amz-json-1.0"),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        (" application/x-amz-json-1.0 ;x=y", "application/x-amz-json-1.0"),
        ("APPLICATION/JSON", "application/json"),
    ],
)
def test_the_content_type_of_a_request_is_that_of_its_answer(shared_server, sent, answered):
    answer = send(shared_server, headers=[("Content-Type", sent), TARGET, *AUTH], body="{}")
    assert (answer.status, answer.headers["content-type"]) == (200, answered)
    failed = send(shared_server, headers=[("Content-Type", sent), *AUTH], body="{}")
    assert (failed.status, failed.headers["content-type"]) == (400, answered)


@pytest.mark.parametrize(
    "method, path, headers, body",
    [
        ("POST", "/", [("Content-Type", "text/plain"), TARGET, *AUTH], "{}"),
        ("POST", "/", [("Content-Type", "application/x-amz-json-1.1"), TARGET, *AUTH], "{}"),
        ("POST", "/", [("Content-Type", "application/x-www-form-urlencoded"), TARGET, *AUTH], "a=b"),
        ("POST", "/", [TARGET, *AUTH], "{}"),
        ("PUT", "/", [TYPE, TARGET, *AUTH], "{}"),
        ("DELETE", "/", [TYPE, TARGET, *AUTH], None),
        ("PATCH", "/", [TYPE, TARGET, *AUTH], "{}"),
    ],
)
def test_other_content_types_and_methods_are_no_operation(shared_server, method, path, headers, body):
    answer = send(shared_server, method, path, headers, body)
    assert (answer.status, answer.text) == (404, NOT_AN_OPERATION)
    assert answer.headers["x-amz-crc32"] == "3552371480"
    assert answer.headers["content-length"] == "29"
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("path", ["/", "/?c=d"])
def test_get_of_the_root_is_healthy(shared_server, path):
    answer = send(shared_server, "GET", path)
    assert (answer.status, answer.text) == (200, HEALTHY)
    assert (answer.headers["x-amz-crc32"], answer.headers["content-length"]) == ("3128867991", "42")
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("path", ["/metrics", "/a/b?c=d"])
def test_get_of_an_unknown_page_is_no_healthy_text(shared_server, path):
    answer = send(shared_server, "GET", path)
    assert answer.status == 404
    assert "/health/ready" in answer.text


def test_connections_are_kept_without_a_header_that_says_so(shared_server):
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=10) as stream:
        for _ in range(3):
            stream.sendall(request)
            received = b""
            while not received.endswith(HEALTHY.encode()):
                received += stream.recv(65536)
            assert b"connection:" not in received.lower()


def test_cross_origin_requests_are_answered_so_on_success_and_on_error(shared_server):
    origin = ("Origin", "http://localhost:3000")
    for method, headers, body, status in [
        ("POST", [TYPE, TARGET, *AUTH], "{}", 200),
        ("POST", [TYPE, *AUTH], "{}", 400),
        ("POST", [TYPE], "{", 400),
        ("POST", [("Content-Type", "text/plain")], "{}", 404),
        ("GET", [], None, 200),
    ]:
        answer = send(shared_server, method, "/", [*headers, origin], body)
        assert (answer.status, answer.headers.get("access-control-allow-origin")) == (status, "*"), (method, body)
        without = send(shared_server, method, "/", headers, body)
        assert "access-control-allow-origin" not in without.headers
    answer = send(shared_server, "OPTIONS", "/", [
        origin, ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", "x-amz-target,x-amz-date"),
    ])
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")
    expected = {
        "access-control-allow-origin": "*",
        "access-control-max-age": "172800",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "x-amz-target,x-amz-date",
        "x-amz-crc32": "0",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected


def test_a_body_over_16_mib_is_refused_before_anything_else(shared_server):
    answer = send(shared_server, headers=[("Content-Type", "text/plain")], body=b" " * (16 * 1024 * 1024 + 1))
    assert (answer.status, answer.body, answer.headers["x-amz-crc32"]) == (413, b"", "0")
    at_the_limit = send(shared_server, headers=[TYPE, TARGET, *AUTH], body=b"{}" + b" " * (16 * 1024 * 1024 - 2))
    assert at_the_limit.status == 200


def test_answers_are_compressed_only_if_large_and_asked_for(shared_server, dynamodb, table):
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "k"}, "v": {"S": "x" * 50_000}})
    body = json.dumps({"TableName": table, "Key": {"pk": {"S": "k"}}})
    get = [TYPE, ("X-Amz-Target", f"{DYNAMODB}.GetItem"), *AUTH]
    plain = send(shared_server, headers=get, body=body)
    assert "content-encoding" not in plain.headers
    coded = send(shared_server, headers=[*get, ("Accept-Encoding", "gzip")], body=body)
    assert coded.headers["content-encoding"] == "gzip"
    assert len(coded.body) < 1000 and gzip.decompress(coded.body) == plain.body
    small = send(shared_server, headers=[TYPE, TARGET, *AUTH, ("Accept-Encoding", "gzip")], body='{"Limit":1}')
    assert "content-encoding" not in small.headers


def test_a_compressed_request_is_read_within_the_limit_of_a_body(shared_server):
    headers = [TYPE, TARGET, *AUTH, ("Content-Encoding", "gzip")]
    assert send(shared_server, headers=headers, body=gzip.compress(b'{"Limit":1}')).status == 200
    bomb = gzip.compress(b" " * (16 * 1024 * 1024 + 1))
    answer = send(shared_server, headers=headers, body=bomb)
    assert (answer.status, answer.body) == (413, b"")
    broken = send(shared_server, headers=headers, body=b"{}")
    assert (broken.status, broken.text) == (400, coral("SerializationException"))


# Rows 3-7 of 1.1, and the rows of 1.2 that are checked. Each request breaks its row and all later ones that it can.
ORDER = {
    "no JSON": ([TYPE], "{", coral("SerializationException")),
    "no JSON, the target and authentication good": ([TYPE, TARGET, *AUTH], "hello", coral("SerializationException")),
    "no JSON, a trailing comma": ([TYPE, TARGET, *AUTH], '{"a":1,}', coral("SerializationException")),
    "no JSON, two documents": ([TYPE, TARGET, *AUTH], "{}{}", coral("SerializationException")),
    "no JSON, a single quote": ([TYPE, TARGET, *AUTH], "{'a':1}", coral("SerializationException")),
    "no JSON, not a number": ([TYPE, TARGET, *AUTH], '{"Limit":NaN}', coral("SerializationException")),
    "no target": ([TYPE], "{}", coral("UnknownOperationException")),
    "a malformed target": ([TYPE, ("X-Amz-Target", "ListTables")], "{}", coral("UnknownOperationException")),
    "an unknown prefix": ([TYPE, ("X-Amz-Target", "DynamoDB_20200101.ListTables")], "{}", coral("UnknownOperationException")),
    "the dead version": ([TYPE, ("X-Amz-Target", "DynamoDB_20111205.ListTables")], "{}", coral("UnknownOperationException")),
    "an unknown operation": ([TYPE, ("X-Amz-Target", f"{DYNAMODB}.Nothing")], "{}", coral("UnknownOperationException")),
    "an operation in small letters": ([TYPE, ("X-Amz-Target", f"{DYNAMODB}.listtables")], "{}", coral("UnknownOperationException")),
    "a stream's operation of the table's service": (
        [TYPE, ("X-Amz-Target", f"{DYNAMODB}.GetRecords")], "{}", coral("UnknownOperationException")),
    "a table's operation of the stream's service": (
        [TYPE, ("X-Amz-Target", f"{STREAMS}.ListTables")], "{}", coral("UnknownOperationException")),
    "no authentication": ([TYPE, TARGET], "{}", coral(MISSING[0].removeprefix(CORAL), MISSING[1])),
    "no authentication and an empty body": ([TYPE, TARGET], "", coral(MISSING[0].removeprefix(CORAL), MISSING[1])),
    "another scheme": ([TYPE, TARGET, ("Authorization", "Bearer x")], "[]", coral(MISSING[0].removeprefix(CORAL), MISSING[1])),
    "no part of a header": (
        [TYPE, TARGET, ("Authorization", "AWS4-HMAC-SHA256 x")], "{}",
        coral("IncompleteSignatureException",
              "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. "
              "Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a "
              "'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256 x")),
    "no date": (
        [TYPE, TARGET, ("Authorization", AUTHORIZATION)], "{}",
        coral("IncompleteSignatureException",
              "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
              f"Authorization={AUTHORIZATION}")),
    "no signature": (
        [TYPE, TARGET, ("Authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host"), ("Date", "x")], "{}",
        coral("IncompleteSignatureException",
              "Authorization header requires 'Signature' parameter. "
              "Authorization=AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host")),
    "an empty body": ([TYPE, TARGET, *AUTH], "", coral("SerializationException")),
    "no body and no type": ([TARGET, *AUTH], None, coral("SerializationException")),
    "a list": ([TYPE, TARGET, *AUTH], "[]", coral("SerializationException")),
    "a text": ([TYPE, TARGET, *AUTH], '"x"', coral("SerializationException")),
    "null": ([TYPE, TARGET, *AUTH], "null", coral("SerializationException")),
    "a wrong type": (
        [TYPE, TARGET, *AUTH], '{"Limit":"x"}',
        coral("SerializationException", "STRING_VALUE cannot be converted to Integer", "Message")),
}


@pytest.mark.parametrize("name", ORDER)
def test_checks_before_an_operation_have_their_order_and_texts(shared_server, name):
    headers, body, expected = ORDER[name]
    answer = send(shared_server, headers=headers, body=body)
    assert (answer.status, answer.text) == (400, expected)
    assert answer.headers["content-type"] == JSON_TYPE


QUERY = {
    "both kinds": (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256", AUTH, "InvalidSignatureException",
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."),
    "only the algorithm": (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256", [], "IncompleteSignatureException",
        "AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include 'X-Amz-Signature'. "
        "AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. "
        "Re-examine the query-string parameters."),
    "no date": (
        "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d", [], "IncompleteSignatureException",
        "AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."),
    "all but the algorithm": (
        "X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d&X-Amz-Date=e", [], "MissingAuthenticationTokenException",
        "Request is missing Authentication Token"),
}


@pytest.mark.parametrize("name", QUERY)
def test_authentication_in_the_query(shared_server, name):
    query, headers, error, message = QUERY[name]
    answer = send(shared_server, path=f"/?{query}", headers=[TYPE, TARGET, *headers], body="{}")
    assert error_of(answer) == (400, CORAL + error, "message", message)


def test_any_credential_region_and_signature_is_accepted(shared_server):
    for credential in ["a/20200101/eu-north-1/dynamodb/aws4_request", "x/y", "AKIA/20260101/local/dynamodb/aws4_request"]:
        header = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders=host,Signature=00"
        answer = send(shared_server, headers=[TYPE, TARGET, ("Authorization", header), ("X-Amz-Date", "whenever")], body="{}")
        assert answer.status == 200
    query = "X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d&X-Amz-Date=e"
    assert send(shared_server, path=f"/?{query}", headers=[TYPE, TARGET], body="{}").status == 200


def test_error_bodies_have_the_type_and_the_member_of_their_class(shared_server, dynamodb, table):
    item = {"TableName": table, "Item": {"pk": {"S": "k"}, "v": {"N": "1"}}}
    dynamodb.put_item(**item)
    never = {"ConditionExpression": "attribute_not_exists(pk)"}
    for operation, body, expected in [
        ("GetItem", {"TableName": table, "Key": {}},
         (VALIDATION, "message", "The provided key element does not match the schema")),
        ("GetItem", {"TableName": 1},
         (CORAL + "SerializationException", "Message", "NUMBER_VALUE cannot be converted to String")),
        ("GetItem", {"TableName": "nowhere", "Key": {"pk": {"S": "k"}}},
         (NAMESPACE + "ResourceNotFoundException", "message", "Requested resource not found")),
        ("PutItem", item | never,
         (NAMESPACE + "ConditionalCheckFailedException", "message", "The conditional request failed")),
    ]:
        answer = call(shared_server, operation, body)
        assert error_of(answer) == (400, *expected), operation
        assert "Item" not in answer.json
    shown = call(shared_server, "PutItem", item | never | {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
    assert list(shown.json) == ["__type", "message", "Item"]
    assert shown.json["Item"] == {"pk": {"S": "k"}, "v": {"N": "1"}}
    exists = call(shared_server, "CreateTable", {
        "TableName": table, "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
    })
    assert error_of(exists) == (400, NAMESPACE + "ResourceInUseException", "message", f"Table already exists: {table}")


def test_unknown_members_and_nulls_are_as_if_they_were_not_there(shared_server, dynamodb):
    make_table(dynamodb, "ignoring")
    body = {"TableName": "ignoring", "Item": {"pk": {"S": "k", "X": 1, "N": None}}, "Unknown": {"a": [1]}, "Expected": None,
            "ReturnValues": None, "ConditionExpression": None}
    answer = call(shared_server, "PutItem", body)
    assert (answer.status, answer.json) == (200, {})
    dynamodb.delete_table(TableName="ignoring")
