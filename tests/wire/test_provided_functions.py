"""Functions with the runtimes that AWS publishes for Rust and Go, as users write and build them, on a stream.

Rows: docs/spec/lambda-runtime.md 7.4, 12 row 7. The sources are in `provided/`; cargo and go build them from their registries, once
for all runs. `cargo xtask test --without go` leaves the one in Go out.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import REPOSITORY, STREAMED_TABLE, wait_until

SOURCES = pathlib.Path(__file__).with_name("provided")
# Beside what is built of the server. A workspace of its own keeps the server's dependencies as they are.
BUILT = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "provided"

TEMPLATE = (
    """
Transform: AWS::Serverless-2016-10-31
Resources:
"""
    + STREAMED_TABLE
    + """\
  Function:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: provided.al2023
      CodeUri: build/
      Events:
        Stream:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Table.StreamArn
            StartingPosition: TRIM_HORIZON
            MaximumRetryAttempts: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
"""
)


def rust():
    """The program that cargo builds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO_PKG_", "CARGO_MANIFEST_"))}
    environment["CARGO_TARGET_DIR"] = str(BUILT / "rust")
    subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=SOURCES / "rust", env=environment, check=True)
    return BUILT / "rust/debug/bootstrap"


def go():
    """The program that go builds, as AWS says: without the C library of the machine that builds."""
    assert shutil.which("go"), "this test needs go: install it, or leave it out by `cargo xtask test --without go`"
    program = BUILT / "go/bootstrap"
    arguments = ["go", "build", "-tags", "lambda.norpc", "-o", str(program), "."]
    subprocess.run(arguments, cwd=SOURCES / "go", env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}, check=True)
    return program


@pytest.fixture(params=[rust, go], ids=["lambda_runtime of crates.io", "aws-lambda-go"])
def server(request, start, tmp_path):
    if request.param is go and "go" in os.environ.get("TAILRACE_TEST_WITHOUT", "").split(","):
        pytest.skip("left out: it needs go")
    folder = tmp_path / "application"
    (folder / "build").mkdir(parents=True)
    shutil.copy(request.param(), folder / "build/bootstrap")
    (folder / "template.yaml").write_text(TEMPLATE)
    server = start(command="up", positional=[folder])
    yield server
    assert server.stop() == 0, server.output()


def put(server, key, total="1"):
    item = {"pk": {"S": key}, "total": {"N": total}, "tags": {"L": [{"S": "new"}, {"S": "grün"}]}}
    server.client().put_item(TableName="things", Item=item)


def seen(server, key):
    return re.findall(rf"SAW INSERT {key} (\S+) (\S+)$", server.output(), re.MULTILINE)


def parked(server):
    return sum(shard["parked"] for mapping in server.admin("mappings")["mappings"] for shard in mapping["shards"])


def test_a_function_with_awss_own_runtime_has_its_records_typed_and_its_failures_tried_again(server):
    put(server, "good", total="12.5")
    wait_until(lambda: seen(server, "good"), "the record")
    assert seen(server, "good") == [("12.5", "new+grün")]

    # The record that is reported is tried again alone, and nothing before it is.
    put(server, "reported")
    wait_until(lambda: parked(server) == 1, "the record that is reported is parked")
    assert len(seen(server, "reported")) == 2

    # An error of the handler is told with its text, and its batch is tried as often as the mapping says.
    put(server, "fails")
    wait_until(lambda: parked(server) == 2, "the record that fails is parked")
    assert len(seen(server, "fails")) == 2
    told = r"1 record of things \(shardId-\S+, mapping [0-9a-f]{8}\) failed in Function: .*no good.*; tried again in "
    assert re.search(told, server.output()), server.output()

    # The process goes on behind an error.
    put(server, "after", total="3")
    wait_until(lambda: seen(server, "after"), "the record behind")
    assert [len(seen(server, key)) for key in ("good", "after")] == [1, 1]
