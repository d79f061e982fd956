"""An audit trail of a server under writes that is killed again and again: every change is in it once, with who asked, and it verifies
against the streams. TAILRACE_KILLS sets how often the server is killed. Rows: docs/spec/sinks.md 1, 7, 9.
"""

import contextlib
import json
import os
import pathlib
import subprocess
import threading

import botocore.exceptions

from conftest import BINARY, Server, free_port, make_table, wait_until
import urllib.request

KILLS = int(os.environ.get("TAILRACE_KILLS", "3"))
CALLS_BETWEEN_KILLS = 150
TABLES = ["Orders", "Users"]


def audit(*arguments):
    return subprocess.run([BINARY, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=120)


def configured(directory, **settings):
    trail = {"from": TABLES, "to": "audit", "dir": str(directory / "trail"), **settings}
    path = directory / "tailrace.json"
    path.write_text(json.dumps({"sinks": {"trail": trail}}))
    return path


def is_drained(server):
    def drained():
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{server.url}/_admin/sinks", timeout=5) as answer:
            [sink] = json.load(answer)["sinks"]
            return sink["state"] == "running" and sink["lagRecords"] == 0
        return False

    return drained


def entries(directory):
    """The lines of the trail that are entries, by chain."""
    found = {}
    for path in sorted(pathlib.Path(directory, "trail").rglob("*.jsonl")):
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        found.setdefault(path.parent.name, []).extend(line for line in lines if "lsn" in line)
    return found


class Writers:
    """Threads that write, and keep the ids of the requests that were answered."""

    def __init__(self, server):
        self.server, self.stopping, self.acknowledged, self.lock = server, False, {}, threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(8)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        client, server, count = None, None, 0
        while not self.stopping:
            if server is not self.server:
                server = self.server
                client = server.client(connect_timeout=1, read_timeout=10)
            count += 1
            table, key = TABLES[count % 2], {"pk": {"S": f"{number}-{count % 20}"}}
            with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
                if count % 7 == 0:
                    answer = client.update_item(
                        TableName=table, Key=key, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": {"N": str(count)}}
                    )
                    operation = "UpdateItem"
                else:
                    answer = client.put_item(TableName=table, Item={**key, "count": {"N": str(count)}})
                    operation = "PutItem"
                with self.lock:
                    self.acknowledged[answer["ResponseMetadata"]["RequestId"]] = (table, operation)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def test_a_trail_has_every_change_once_whatever_is_killed(tmp_path):
    data_dir, port, config = tmp_path / "data", free_port(), configured(tmp_path)

    def start():
        return Server(data_dir, "--config", str(config), port=port).wait_ready()

    server = start()
    for table in TABLES:
        make_table(server.client(), table, stream="NEW_AND_OLD_IMAGES")
    control = lambda: [entry["action"] for entry in entries(tmp_path).get(control_chain(tmp_path), [])]
    wait_until(lambda: control().count("StartAudit") == 2, "both tables to come into the trail")
    writers = Writers(server)
    for kill in range(KILLS):
        wait_until(lambda: len(writers.acknowledged) >= (kill + 1) * CALLS_BETWEEN_KILLS, "writes")
        server.kill()
        server = start()
        writers.server = server
    writers.stop()
    wait_until(is_drained(server), "the trail to have every record")
    verified = audit("verify", tmp_path / "trail", "--against", server.url, "--complete")
    assert verified.returncode == 0, verified.stdout + verified.stderr

    by_request = {}
    for entry in [entry for chain in entries(tmp_path).values() for entry in chain if "keys" in entry]:
        assert entry["principal"] == "tailrace", entry
        assert entry["request_id"] not in by_request, "one change a request"
        by_request[entry["request_id"]] = (entry["table"], entry["operation"])
    lost = {id: call for id, call in writers.acknowledged.items() if by_request.get(id) != call}
    assert not lost, f"{len(lost)} of {len(writers.acknowledged)} acknowledged writes"
    assert server.stop() == 0, server.output()


def control_chain(directory):
    return next((path.name for path in pathlib.Path(directory, "trail", "control").glob("*")), "none")


def test_what_is_done_to_tables_and_sinks_is_in_the_trail_and_a_change_of_it_is_found(start, tmp_path):
    server = start("--config", str(configured(tmp_path, strict=True)))
    client = server.client()
    for table in TABLES:
        make_table(client, table, stream="NEW_AND_OLD_IMAGES")
    actions = lambda: [entry["action"] for entry in entries(tmp_path).get(control_chain(tmp_path), [])]
    wait_until(lambda: actions().count("StartAudit") == 2, "both tables to come into the trail")
    client.put_item(TableName="Orders", Item={"pk": {"S": "a"}})
    client.update_table(TableName="Users", DeletionProtectionEnabled=True)
    wait_until(lambda: "UpdateTable" in actions(), "the entry")
    pause = urllib.request.Request(
        f"{server.url}/_admin/sinks",
        data=json.dumps({"name": "trail", "action": "pause"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(pause, timeout=20).read()
    # It is the last thing that the trail tells of.
    assert actions()[-1] == "PauseSink", actions()

    trail = tmp_path / "trail"
    assert audit("verify", trail).returncode == 0
    shown = audit("show", trail, "a", "--table", "Orders")
    assert 'INSERT pk="a"' in shown.stdout and "by tailrace PutItem" in shown.stdout, shown.stdout
    [path] = [path for path in trail.rglob("*.jsonl") if b'"PutItem"' in path.read_bytes()]
    path.write_bytes(path.read_bytes().replace(b'"pk":{"S":"a"}', b'"pk":{"S":"b"}', 1))
    found = audit("verify", trail)
    assert found.returncode == 1 and ": entry 0: " in found.stdout, found.stdout


def test_a_trail_that_cannot_be_is_refused_at_start(tmp_path):
    for settings, why in [
        ({"where": {"a": ["x"]}}, "`where` is not for it"),
        ({"images": "hmac"}, "images: hmac needs an hmac_key"),
        ({"imagse": "full"}, "unknown field `imagse`"),
        ({"dir": ""}, "dir is missing"),
    ]:
        config = configured(tmp_path, **settings)
        server = Server(tmp_path / "data", "--config", str(config))
        assert server.process.wait(20) == 1
        assert why in server.output(), server.output()
        server.output_file.close()
        server.output_path.unlink()
