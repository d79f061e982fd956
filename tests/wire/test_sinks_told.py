"""What the terminal is told of sinks: that one waits and why, and what an edit of tailrace.yaml comes to."""

import json
import subprocess

import pytest
from conftest import BINARY, free_port, wait_until

TEMPLATE = """
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: Orders
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}]
      StreamSpecification: {StreamViewType: VIEW}
"""
VIEW = {"from": "Orders", "to": "table:Days", "group_by": ["day"], "aggregates": {"n": "count"}}
NEEDS = "the stream of Orders has KEYS_ONLY; this sink needs NEW_AND_OLD_IMAGES"


def project(folder, sinks, writes=1, view="KEYS_ONLY"):
    (folder / "template.yaml").write_text(TEMPLATE.replace("VIEW", view))
    (folder / "tailrace.yaml").write_text(json.dumps({"sinks": sinks}))
    put = {"PutItem": {"TableName": "Orders", "Item": {"pk": {"S": "a"}}}}
    (folder / "writes.ndjson").write_text((json.dumps(put) + "\n") * writes)
    return folder


def test_a_sink_that_waits_says_so_once_and_why(start, tmp_path):
    folder = project(tmp_path, {"days": VIEW})
    server = start(command="up", positional=[folder], data_dir=tmp_path / "data")
    wait_until(lambda: f"sink days: it waits: {NEEDS}" in server.output(), "the notice")
    shown = subprocess.run(
        [BINARY, "sinks", "--endpoint", f"http://127.0.0.1:{server.port}"], capture_output=True, text=True, timeout=60
    ).stdout.splitlines()
    columns = dict(zip(shown[0].split(), shown[1].split()))
    assert (columns["STATE"], columns["BEHIND"]) == ("waiting", "-")
    assert server.stop() == 0
    assert server.output().count("it waits") == 1


@pytest.mark.parametrize(
    "sink, view, why",
    [(VIEW, "KEYS_ONLY", NEEDS), ({"from": "Orders", "to": "./taken/below/", "flush": {"seconds": 1}}, "NEW_AND_OLD_IMAGES", "Not a directory")],
    ids=["images", "directory"],
)
def test_a_run_that_cannot_drain_says_what_stands_in_the_way(tmp_path, sink, view, why):
    """Not that a sink has not begun, which is so for a moment at each start."""
    folder = project(tmp_path, {"it": sink}, view=view)
    (folder / "taken").write_text("a file where a directory is to be")
    run = subprocess.run(
        [BINARY, "up", folder, "--port", str(free_port()), "--exit-when-drained"], capture_output=True, text=True, timeout=120
    )
    last = [line for line in run.stderr.splitlines() if "it: " in line][-1]
    assert run.returncode != 0 and why in last, run.stdout + run.stderr
    assert "it has not begun" not in run.stderr


def test_an_edit_of_the_configuration_is_told(start, tmp_path):
    folder = project(tmp_path, {"lake": {"from": "Orders", "to": "./lake/"}}, view="NEW_IMAGE")
    path = folder / "tailrace.yaml"
    server = start(command="up", positional=[folder], data_dir=tmp_path / "data")
    path.write_text(json.dumps({"sinks": {"lake": {"from": "Orders", "to": "./lake/", "format": "csv"}}}))
    wait_until(lambda: f"{path} has changed: the next start reads it" in server.output(), "the first edit")
    path.write_text(json.dumps({"sinks": {"lake": {"form": "Orders", "to": "./lake/"}}}))
    wait_until(lambda: "has changed, and no start would take it" in server.output(), "the second edit")
    assert "did you mean from?" in server.output()
