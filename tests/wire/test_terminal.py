"""What a terminal shows, over a pseudo-terminal: bars, groups of deliveries, colours, and nothing that a handler tells the terminal.

Where it is a pipe or a file, the same is without bars and colours, and a handler's output is as it was written.
"""

import json
import os
import pty
import re
import subprocess
import threading

import boto3
import pytest

from conftest import BINARY, STREAMED_TABLE, free_port, make_table, wait_until
from test_sinks import drained, lines

PLAYED_LINES = 1200
BATCH = 25

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
      Handler: app.handler
      Runtime: python3.13
      CodeUri: src/
      Events:
        Stream:
          Type: DynamoDB
          Properties: {Stream: !GetAtt Table.StreamArn, StartingPosition: TRIM_HORIZON, BatchSize: 1, MaximumRetryAttempts: 0}
"""
)


class Terminal:
    """`tailrace` with both its outputs on a terminal of its own, or on a pipe; what that shows is kept."""

    def __init__(self, *arguments, env=None, pipe=False):
        ours, its = os.pipe() if pipe else pty.openpty()
        environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
        environment.update({"TERM": "xterm", **(env or {})})
        self.process = subprocess.Popen(
            [BINARY, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment, start_new_session=True
        )
        os.close(its)
        self.shown = b""
        self.reader = threading.Thread(target=self.read, args=(ours,), daemon=True)
        self.reader.start()

    def read(self, ours):
        with open(ours, "rb", buffering=0) as terminal:
            while True:
                try:
                    piece = terminal.read(65536)
                except OSError:
                    # Nobody has the other end open any more.
                    return
                if not piece:
                    return
                self.shown += piece

    def output(self):
        return self.shown.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, pattern):
        def found():
            ended = self.process.poll()
            match = re.search(pattern, self.output(), re.MULTILINE)
            assert match or ended is None, f"it ended with {ended}:\n{self.output()}"
            return match

        return wait_until(found, pattern)

    def end(self):
        """All that it has shown when it has ended."""
        code = self.process.wait(90)
        self.reader.join(30)
        assert code == 0, self.output()
        return self.output()

    def stop(self):
        self.process.terminate()
        return self.end()


@pytest.fixture
def terminal():
    """Starts commands on terminals, and ends them when the test ends."""
    started = []

    def starter(*arguments, **options):
        started.append(Terminal(*arguments, **options))
        return started[-1]

    yield starter
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()


@pytest.fixture
def application(tmp_path):
    """A project whose handler is this code."""

    def maker(code):
        folder = tmp_path / "application"
        (folder / "src").mkdir(parents=True)
        (folder / "template.yaml").write_text(TEMPLATE)
        (folder / "src/app.py").write_text(code)
        return folder

    return maker


@pytest.fixture
def up(terminal, tmp_path, application):
    """`up` on a terminal, listening."""

    def starter(code, **options):
        port = free_port()
        server = terminal("up", application(code), "--port", port, "--data-dir", tmp_path / "data", **options)
        server.wait_for("listening on")
        server.endpoint = f"http://127.0.0.1:{port}"
        return server

    return starter


def put(server, *keys):
    for key in keys:
        item = json.dumps({"pk": {"S": key}})
        arguments = ["put", "things", item, "--endpoint", server.endpoint]
        subprocess.run([BINARY, *arguments], check=True, capture_output=True)


QUIET = "def handler(event, context):\n    return None\n"


def test_many_lines_to_play_show_a_bar_on_a_terminal_alone(terminal, start, tmp_path):
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "template.yaml").write_text("Resources:\n" + STREAMED_TABLE)
    with open(folder / "writes.ndjson", "w") as writes:
        for line in range(PLAYED_LINES):
            # Each item is a commit of its own: together they take longer than what nobody wonders about.
            items = [{"PutRequest": {"Item": {"pk": {"S": f"{line}-{n}"}}}} for n in range(BATCH)]
            writes.write(json.dumps({"BatchWriteItem": {"RequestItems": {"things": items}}}) + "\n")
    piped = start("--exit-when-drained", command="up", positional=[folder], data_dir=tmp_path / "piped", ready=False)
    shown = terminal("up", folder, "--exit-when-drained", "--port", free_port(), "--data-dir", tmp_path / "data").end()
    bars = re.findall(rf"^playing \[(#*)(-*)\] +(\d+)% (\d+) of {PLAYED_LINES} lines$", shown, re.MULTILINE)
    assert bars, shown
    assert all(len(done) + len(rest) == 30 for done, rest, *_ in bars)
    done = [int(lines) for *_, lines in bars]
    assert done == sorted(done) and all(100 * int(lines) // PLAYED_LINES == int(percent) for *_, percent, lines in bars)
    played = f"played {PLAYED_LINES} writes from "
    assert shown.count(played) == 1
    assert piped.process.wait(300) == 0, piped.output()
    assert piped.output().count(played) == 1 and "playing [" not in piped.output()


def test_a_rebuild_shows_a_bar_that_changes_in_its_place_on_a_terminal(terminal, start, tmp_path):
    lake, items = tmp_path / "lake", 50
    (tmp_path / "tailrace.json").write_text(json.dumps({"sinks": {"lake": {"from": "Orders", "to": str(lake), "flush": {"seconds": 0.1}}}}))
    server = start("--config", str(tmp_path / "tailrace.json"))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    for n in range(items):
        client.put_item(TableName="Orders", Item={"pk": {"S": str(n)}})
    wait_until(lambda: drained(server)() and len(list(lines(lake))) == items, "the records")

    def rebuilt(show, told):
        lake.rename(tmp_path / "aside")
        lake.write_text("in the way")
        command = show()
        command.wait_for(told)
        lake.unlink()
        (tmp_path / "aside").rename(lake)
        return command.end()

    arguments = ["sinks", "rebuild", "lake", "--endpoint", server.url]
    shown = rebuilt(lambda: terminal(*arguments), rf"lake: snapshot \[-{{30}}\]   0% 0 of {items} items$")
    first, *others = re.findall(r"^(.*)lake: (?:snapshot|running|starting)", shown, re.MULTILINE)
    assert first == "" and others and all(other == "\x1b[1A\x1b[2K" for other in others), repr(shown)
    assert "lake: version 2 has caught up" in shown

    shown = rebuilt(lambda: terminal(*arguments, pipe=True), r"lake: snapshot$")
    assert "\x1b" not in shown and "%" not in shown and "lake: version 3 has caught up" in shown, repr(shown)


def test_deliveries_that_come_fast_are_told_together(up):
    server = up(QUIET)
    count = 300
    client = boto3.client(
        "dynamodb", endpoint_url=server.endpoint, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    for n in range(0, count, BATCH):
        puts = [{"PutRequest": {"Item": {"pk": {"S": str(key)}}}} for key in range(n, n + BATCH)]
        client.batch_write_item(RequestItems={"things": puts})

    def told():
        return [int(records) for records in re.findall(r"^(\d+) records? of .* delivered to Function", server.output(), re.MULTILINE)]

    wait_until(lambda: sum(told()) == count, "all deliveries")
    # A batch has one record here: what is told of several is a group of several batches.
    assert re.search(r"^\d+ records of [1-4] shards? delivered to Function in \d+ batches$", server.output(), re.MULTILINE)
    assert len(told()) < count / 5, told()
    server.stop()


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["terminal", "NO_COLOR", "TERM=dumb"])
def test_a_terminal_has_colours_unless_somebody_does_not_want_them(up, env):
    server = up("def handler(event, context):\n    raise ValueError('no good')\n", env=env)
    put(server, "one")
    server.wait_for(r"failed in Function: .*no good")
    shown = server.stop()
    if env:
        assert "\x1b" not in shown
    else:
        assert "\x1b[1mthings\x1b[0m --stream--> " in shown
        assert re.search(r"\x1b\[31m1 record of things .*no good.*\x1b\[0m", shown), shown


def test_a_pipe_has_no_colours(start, application):
    server = start(command="up", positional=[application("def handler(event, context):\n    raise ValueError('no good')\n")])
    server.client().put_item(TableName="things", Item={"pk": {"S": "one"}})
    wait_until(lambda: "no good" in server.output(), "the error")
    assert server.stop() == 0
    assert "\x1b" not in server.output()


# They clear the screen, name the window, go back a letter, turn the text around, and set a colour.
OBEYED = "\\x1b[2J\\x1b]0;title\\x07over\\x08\\u202e\\x9b31m"
SHOWN = r"\x1b[2J\x1b]0;title\x07over\x08\x202e\x9b31m"
TELLS = f"""
import sys
def handler(event, context):
    print('OUT {OBEYED}.')
    print('ERR {OBEYED}.', file=sys.stderr)
    raise ValueError('WHY {OBEYED}.')
"""


def test_what_a_handler_writes_tells_a_terminal_nothing(up):
    server = up(TELLS, env={"NO_COLOR": "1"})
    put(server, "one")
    for line in ("OUT", "ERR", "WHY"):
        server.wait_for(re.escape(f"{line} {SHOWN}."))
    shown = server.stop()
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown), repr(shown)


def test_what_a_handler_writes_goes_into_a_file_as_it_is(start, application):
    server = start(command="up", positional=[application(TELLS)])
    server.client().put_item(TableName="things", Item={"pk": {"S": "one"}})
    written = OBEYED.encode().decode("unicode_escape")
    wait_until(lambda: f"OUT {written}." in server.output(), "the line of the function")
    wait_until(lambda: f"WHY {SHOWN}." in server.output(), "the error, which is a line of the server")
    assert server.stop() == 0
