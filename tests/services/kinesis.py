"""A data stream, for tests: it takes PutRecords as the service model has it, and fails where it is told to."""

import base64
import contextlib
import http.server
import json
import random
import threading

import botocore.session
import botocore.validate

RECORD_BYTES_MAX = 1 << 20
REQUEST_BYTES_MAX = 5 << 20


class DataStream:
    """It keeps what it took: partition key and data. Of ten requests `failures` fail: as a whole, by a cut connection after some records were
    taken, or for some of their records alone."""

    def __init__(self, name, seed=1, failures=0):
        self.name, self.failures, self.taken, self.requests, self.wrong = name, failures, [], [], []
        self.chance, self.lock = random.Random(seed), threading.Lock()
        model = botocore.session.get_session().get_service_model("kinesis")
        self.shape = model.operation_model("PutRecords").input_shape
        stream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with stream.lock:
                    answer = stream.put(self.headers, body)
                if answer is None:
                    self.close_connection = True
                    return
                status, content = answer
                content = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-type", "application/x-amz-json-1.1")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def put(self, headers, body):
        """An answer, or None: the connection is cut."""
        request = json.loads(body)
        records = request["Records"]
        for record in records:
            record["Data"] = base64.b64decode(record["Data"], validate=True)
        report = botocore.validate.ParamValidator().validate(request, self.shape)
        sizes = [len(record["Data"]) + len(record["PartitionKey"]) for record in records]
        is_sound = (
            not report.has_errors() and headers["x-amz-target"] == "Kinesis_20131202.PutRecords" and len(records) <= 500
            and headers["content-type"] == "application/x-amz-json-1.1" and "/kinesis/aws4_request" in headers["authorization"]
            and max(sizes) <= RECORD_BYTES_MAX and sum(sizes) <= REQUEST_BYTES_MAX
        )
        if not is_sound:
            self.wrong.append((dict(headers), report.generate_report(), sizes))
            return 400, {"__type": "InvalidArgumentException", "message": "the request is not one that the service takes"}
        if request["StreamName"] != self.name:
            return 400, {"__type": "ResourceNotFoundException", "message": f"Stream {request['StreamName']} under account 000000000000 not found."}
        self.requests.append([record["PartitionKey"] for record in records])
        fails = self.chance.randrange(10) < self.failures
        way = self.chance.choice(["whole", "cut", "some"]) if fails else None
        if way == "whole":
            return 500, {"__type": "InternalFailure", "message": "Internal Service Failure"}
        outcomes = []
        for record in records:
            if way and self.chance.random() < 0.5:
                outcomes.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard"})
            else:
                self.taken.append((record["PartitionKey"], record["Data"]))
                outcomes.append({"ShardId": "shardId-000000000000", "SequenceNumber": str(len(self.taken))})
        if way == "cut":
            return None
        return 200, {"FailedRecordCount": sum("ErrorCode" in outcome for outcome in outcomes), "Records": outcomes}

    def records(self):
        """What was taken, in order: partition key, and the record."""
        with self.lock:
            return [(key, json.loads(data)) for key, data in self.taken]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@contextlib.contextmanager
def data_stream(name, **options):
    one = DataStream(name, **options)
    try:
        yield one
    finally:
        one.stop()
