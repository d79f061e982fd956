"""Requests as they are on the wire: no SDK between the test and the bytes."""

import http.client
import json
import re
import zlib

JSON_TYPE = "application/x-amz-json-1.0"
AUTHORIZATION = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0"
DATE = "20260101T000000Z"
DYNAMODB, STREAMS = "DynamoDB_20120810", "DynamoDBStreams_20120810"


class Answer:
    """An answer; what every one carries is checked as it is made."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()
        assert re.fullmatch(r"[0-9A-Z]{52}", self.headers["x-amzn-requestid"])
        assert self.headers["x-amz-crc32"] == str(zlib.crc32(self.body))
        assert "transfer-encoding" not in self.headers
        assert "content-length" in self.headers

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


def send(server, method="POST", path="/", headers=(), body=None):
    """One request with exactly these headers, Host and Content-Length aside."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        body = body.encode() if isinstance(body, str) else body
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return Answer(connection.getresponse())
    finally:
        connection.close()


def call(server, operation, body, service=DYNAMODB):
    """A call with everything that it needs; the body is JSON text, or what becomes it."""
    headers = [
        ("Content-Type", JSON_TYPE),
        ("X-Amz-Target", f"{service}.{operation}"),
        ("Authorization", AUTHORIZATION),
        ("X-Amz-Date", DATE),
    ]
    return send(server, headers=headers, body=body if isinstance(body, str) else json.dumps(body))


def error_of(answer):
    """Status, the whole `__type`, and the message (`None`: it has none) with the name of its member."""
    error = answer.json
    assert not ("message" in error and "Message" in error)
    member = next((name for name in ("message", "Message") if name in error), None)
    return answer.status, error["__type"], member, error.get(member)
