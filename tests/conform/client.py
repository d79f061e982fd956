"""A raw HTTP client: exact bodies and exact error texts, no SDK in between, no signature worth the name."""

import http.client
import json
import urllib.parse

_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential=conform/20260101/us-east-1/dynamodb/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=0"
)


class Answer:
    """What an endpoint said: a body, or an error class with its text."""

    def __init__(self, status, body):
        self.status = status
        self.body = body
        self.error = None
        self.text = None
        if status != 200:
            self.error = str(body.get("__type", "none")).rsplit("#", 1)[-1]
            self.text = body.get("message", body.get("Message"))

    def __repr__(self):
        return f"{self.error}: {self.text}" if self.error else json.dumps(self.body, sort_keys=True)


class Endpoint:
    """One server. Keeps one connection open; opens it again once when the server has closed it."""

    def __init__(self, url):
        self.url = url
        parts = urllib.parse.urlsplit(url)
        self._address = (parts.hostname, parts.port or 80)
        self._connection = None

    def call(self, operation, request):
        service = "DynamoDBStreams" if operation in _STREAMS else "DynamoDB"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"{service}_20120810.{operation}",
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": _AUTHORIZATION,
        }
        body = json.dumps(request).encode()
        for attempt in (1, 2):
            if self._connection is None:
                self._connection = http.client.HTTPConnection(*self._address, timeout=60)
            try:
                self._connection.request("POST", "/", body, headers)
                response = self._connection.getresponse()
                text = response.read()
                return Answer(response.status, json.loads(text or b"{}"))
            except (http.client.HTTPException, ConnectionError):
                self._connection.close()
                self._connection = None
                if attempt == 2:
                    raise

    def pages(self, operation, request, start="ExclusiveStartKey", last="LastEvaluatedKey"):
        """Every page of an operation that answers in pages."""
        request = dict(request)
        pages = []
        while True:
            answer = self.call(operation, request)
            pages.append(answer)
            if answer.error or last not in answer.body:
                return pages
            request[start] = answer.body[last]


_STREAMS = {"ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"}
