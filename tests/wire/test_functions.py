"""Functions on streams, end to end: `up` with a template, real handlers, and handlers that go wrong.

Rows: docs/spec/lambda-runtime.md 4, 12; docs/spec/event-source-mapping.md 5, 7.
"""

import http.server
import json
import re
import threading
from pathlib import Path

import pytest

from conftest import STREAMED_TABLE, wait_until

TEMPLATE = (
    """
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Runtime: python3.11, Timeout: TIMEOUT}
Resources:
"""
    + STREAMED_TABLE
    + """\
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handler
      CodeUri: src/
      Events:
        Stream:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Table.StreamArn
            StartingPosition: TRIM_HORIZON
%s
"""
)


@pytest.fixture
def up(start, tmp_path):
    def starter(code, *options, arguments=(), ready=True, timeout=30):
        folder = tmp_path / "application"
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "template.yaml").write_text(
            TEMPLATE.replace("TIMEOUT", str(timeout)) % "\n".join(f"            {line}" for line in options)
        )
        (folder / "src/app.py").write_text(code)
        return start(*arguments, command="up", positional=[folder], ready=ready)

    return starter


def put(server, *keys):
    client = server.client()
    for key in keys:
        client.put_item(TableName="things", Item={"pk": {"S": key}})


def mappings(server):
    return server.admin("mappings")


def test_a_put_runs_the_function_and_shows_its_output(up):
    server = up("def handler(event, context):\n    for r in event['Records']:\n        print('SAW', r['dynamodb']['Keys']['pk']['S'])\n")
    put(server, "one", "two")
    wait_until(lambda: "SAW one" in server.output() and "SAW two" in server.output(), "the handler's lines")
    assert server.stop() == 0


FAILURES = {
    "raises": ("def handler(event, context):\n    raise ValueError('no good')\n", "ValueError", "no good"),
    "hangs": ("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ndef handler(event, context):\n    time.sleep(3600)\n",
              "Sandbox.Timedout", "Task timed out after 2.00 seconds"),
    "exits": ("import os\ndef handler(event, context):\n    os._exit(3)\n", "Runtime.ExitError", "Runtime exited with error: exit status 3"),
    "answers 7 MB": ("def handler(event, context):\n    return 'x' * (7 * 1024 * 1024)\n", "Function.ResponseSizeTooLarge",
                     "Response payload size exceeded maximum allowed payload size (6291556 bytes)."),
    "does not import": ("import there_is_no_such_module\n", "Runtime.ImportModuleError", "No module named 'there_is_no_such_module'"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_handler_shows_its_error_blocks_only_its_shard_and_loses_nothing(up, name):
    code, error_type, message = FAILURES[name]
    server = up(code, "MaximumRetryAttempts: -1", timeout=2 if name == "hangs" else 30)
    put(server, "poison")
    wait_until(lambda: error_type in server.output() and message in server.output(), f"{error_type}: {message}")
    line = r"1 record of things \(shardId-\S+, mapping [0-9a-f]{8}\) failed in Function: .*; tried again in \d\.\d s, at \d\d:\d\d:\d\d\.\d{3}Z"
    wait_until(lambda: re.search(line, server.output()), "table, mapping and the time of the next try")

    def shard_states():
        shards = [shard for mapping in mappings(server)["mappings"] for shard in mapping["shards"]]
        return sorted(shard["state"] for shard in shards)

    wait_until(lambda: sum(state == "retrying" for state in shard_states()) == 1, "one blocked shard")
    assert len(shard_states()) == 4
    server.stop()
    good = "def handler(event, context):\n    for r in event['Records']:\n        print('SAW', r['dynamodb']['Keys']['pk']['S'])\n"
    mended = up(good, "MaximumRetryAttempts: -1")
    wait_until(lambda: "SAW poison" in mended.output(), "the record after the handler was mended")
    assert mended.stop() == 0


def test_a_poison_record_is_bisected_parked_and_stepped_over(up):
    code = (
        "def handler(event, context):\n"
        "    keys = [r['dynamodb']['Keys']['pk']['S'] for r in event['Records']]\n"
        "    if any(k.startswith('poison') for k in keys): raise ValueError('poison')\n"
        "    for k in keys: print('SAW', k + '.')\n"
    )
    server = up(code, "BisectBatchOnFunctionError: true", "MaximumRetryAttempts: 0", "BatchSize: 100")
    keys = [f"k{n}" for n in range(30)] + ["poison"]
    put(server, *keys)
    wait_until(lambda: all(f"SAW k{n}." in server.output() for n in range(30)), "all good records")
    wait_until(
        lambda: sum(shard["parked"] for mapping in mappings(server)["mappings"] for shard in mapping["shards"]) == 1,
        "one parked record",
    )
    assert server.stop() == 0


def test_exit_when_drained_ends_with_0_or_with_3_when_a_shard_is_blocked(up):
    failing = "def handler(event, context):\n    raise ValueError('no good')\n"
    server = up(failing)
    put(server, "a")
    wait_until(lambda: "no good" in server.output(), "the failure")
    server.stop()
    blocked = up(failing, arguments=("--exit-when-drained",), ready=False)
    assert blocked.process.wait(300) == 3, blocked.output()
    drained = up("def handler(event, context):\n    return None\n", arguments=("--exit-when-drained",), ready=False)
    assert drained.process.wait(300) == 0, drained.output()


class SlowHook(http.server.BaseHTTPRequestHandler):
    """Takes what it is sent when it is let."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.came.set()
        self.server.let.wait(60)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def slow_hook():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowHook) as server:
        server.came, server.let = threading.Event(), threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.let.set()
        server.shutdown()


def test_exit_when_drained_looks_again_at_what_was_blocked(up, tmp_path, slow_hook):
    """While a sink takes its time, the function is mended: nothing is blocked at the end."""
    mended = tmp_path / "mended"
    code = f"import os\ndef handler(event, context):\n    if not os.path.exists({str(mended)!r}): raise ValueError('no good')\n"
    first = up(code)
    put(first, "a")
    wait_until(lambda: "no good" in first.output(), "the failure")
    first.stop()
    sink = {"from": "things", "to": f"webhook+http://127.0.0.1:{slow_hook.server_port}/hook", "start": "trim_horizon"}
    (tmp_path / "tailrace.json").write_text(json.dumps({"sinks": {"hook": sink}}))
    server = up(code, arguments=("--exit-when-drained", "--config", str(tmp_path / "tailrace.json")))
    shards = lambda: [shard for mapping in mappings(server)["mappings"] for shard in mapping["shards"]]
    wait_until(lambda: slow_hook.came.is_set() and any(shard["blocked"] for shard in shards()), "the blocked shard")
    mended.touch()
    wait_until(lambda: all(shard["drained"] for shard in shards()), "the function")
    slow_hook.let.set()
    assert server.process.wait(300) == 0, server.output()


def test_a_filter_of_a_template_chooses_the_records_that_a_function_gets(up):
    """Rows: docs/spec/event-source-mapping.md 8.1, 8.3."""
    code = "def handler(event, context):\n    for r in event['Records']:\n        print('SAW', r['eventName'], r['dynamodb']['Keys']['pk']['S'] + '.')\n"
    server = up(
        code,
        "FilterCriteria:",
        "  Filters:",
        "    - Pattern: '{\"eventName\": [\"INSERT\"], \"dynamodb\": {\"NewImage\": {\"status\": {\"S\": [\"paid\"]}}}}'",
        "    - Pattern: '{\"eventName\": [\"REMOVE\"], \"dynamodb\": {\"Keys\": {\"pk\": {\"S\": [{\"prefix\": \"a\"}]}}}}'",
    )
    client = server.client()
    for key, status in [("a", "new"), ("b", "paid"), ("a", "paid"), ("c", "paid")]:
        client.put_item(TableName="things", Item={"pk": {"S": key}, "status": {"S": status}})
    for key in "ab":
        client.delete_item(TableName="things", Key={"pk": {"S": key}})
    wanted = ["INSERT b.", "INSERT c.", "REMOVE a."]
    wait_until(lambda: all(f"SAW {line}" in server.output() for line in wanted), "the matching records")
    wait_until(lambda: all(shard["drained"] for mapping in mappings(server)["mappings"] for shard in mapping["shards"]), "everything")
    assert sorted(line.split("SAW ")[1].strip() for line in server.output().splitlines() if "SAW " in line) == wanted
    assert server.stop() == 0


def test_what_a_choosy_filter_lets_wait_keeps_nothing_else_in_memory(up):
    """A record that waits is a small part of what was read with it; row: docs/spec/event-source-mapping.md 8.1."""
    server = up(
        "def handler(event, context):\n    raise ValueError('no good')\n",
        "Enabled: false",
        "BatchSize: 1000",
        "FilterCriteria:",
        "  Filters:",
        '    - Pattern: \'{"dynamodb": {"NewImage": {"rare": {"BOOL": [true]}}}}\'',
    )
    client = server.client()
    items = [{"pk": {"S": str(n)}, "rare": {"BOOL": n % 40 == 0}, "text": {"S": "x" * 8_000}} for n in range(12_000)]
    for first in range(0, len(items), 25):
        client.batch_write_item(RequestItems={"things": [{"PutRequest": {"Item": item}} for item in items[first : first + 25]]})

    def memory():
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) // 1024

    before = memory()
    functions = server.client("lambda")
    [mapping] = functions.list_event_source_mappings()["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def waiting():
        return sum(shard["lagRecords"] for mapping in mappings(server)["mappings"] for shard in mapping["shards"])

    wait_until(lambda: waiting() == 300, "the rare records, all of which wait")
    assert memory() - before < 40, f"{memory()} MiB for 2.4 MB that wait, {before} MiB before"
    assert server.stop() == 0


def test_a_tumbling_window_carries_its_state_to_a_last_call(up):
    """Rows: docs/spec/event-source-mapping.md 9."""
    code = (
        "def handler(event, context):\n"
        "    seen = event['state'].get('seen', []) + [r['dynamodb']['Keys']['pk']['S'] for r in event['Records']]\n"
        "    if event['isFinalInvokeForWindow']:\n"
        "        print('LAST', event['window']['start'], ' '.join(seen) + '.')\n"
        "    return {'state': {'seen': seen}}\n"
    )
    server = up(code, "TumblingWindowInSeconds: 2", "BatchSize: 1")
    keys = [f"k{n}" for n in range(12)]
    put(server, *keys)

    def last():
        lines = [line.split("LAST ")[1].strip(". \n").split() for line in server.output().splitlines() if "LAST " in line]
        return sorted(key for start, *seen in lines for key in seen if start.endswith("Z"))

    wait_until(lambda: last() == sorted(keys), "every key in the last call of a window")
    assert server.stop() == 0
