"""`tailrace config schema`: what is shipped is what the program reads, and the guide's and the example's sinks keep to it."""

import json
import re
import subprocess

import jsonschema
import pytest
import yaml

from conftest import BINARY, REPOSITORY

SHIPPED = json.loads((REPOSITORY / "docs/tailrace.schema.json").read_text())
GUIDE = (REPOSITORY / "docs/sinks.md").read_text()


def checked(document):
    jsonschema.Draft202012Validator(SHIPPED).validate(document)


def accepted(tmp_path, document):
    """What the program itself says of a configuration: nothing, or its error."""
    path = tmp_path / "tailrace.json"
    path.write_text(json.dumps(document))
    done = subprocess.run([BINARY, "config", "check", path], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr


def test_what_is_shipped_is_what_the_program_says():
    printed = subprocess.run([BINARY, "config", "schema"], capture_output=True, text=True, check=True).stdout
    assert json.loads(printed) == SHIPPED, "write it anew: tailrace config schema > docs/tailrace.schema.json"
    jsonschema.Draft202012Validator.check_schema(SHIPPED)


def test_the_example_and_every_configuration_of_the_guide_keep_to_it():
    checked(yaml.safe_load((REPOSITORY / "examples/orders/tailrace.yaml").read_text()))
    blocks = re.findall(r"(?m)^    sinks:\n(?:^(?:      .*)?\n)+", GUIDE)
    assert len(blocks) >= 3
    for block in blocks:
        checked(yaml.safe_load(block))


@pytest.mark.parametrize(
    "sink",
    [
        {"to": "./lake", "fromat": "csv"},
        {"to": "./lake", "format": "orc"},
        {"to": "./lake", "flush": {"second": 1}},
        {"to": "./lake", "flush": {"bytes": "64 apples"}},
        {"to": "opensearch+http://localhost:9200/x", "columns": {}},
        {"to": "table:X"},
        {"to": "ftp://x/"},
        {"to": "audit", "where": {"a": ["b"]}},
        {},
    ],
)
def test_what_the_program_refuses_the_schema_refuses(tmp_path, sink):
    document = {"sinks": {"s": {"from": "T", **sink}}}
    with pytest.raises(jsonschema.ValidationError):
        checked(document)
    assert "sinks.s: " in accepted(tmp_path, document)


def test_a_member_that_there_is_not_is_told_with_the_nearest(tmp_path):
    for sink, near in [
        ({"to": "./lake", "fromat": "csv"}, "did you mean format?"),
        ({"to": "postgres://h/d", "tabel": "x"}, "did you mean table?"),
        ({"to": "table:X", "aggregates": {"n": "count"}, "groupby": []}, "did you mean group_by?"),
    ]:
        assert near in accepted(tmp_path, {"sinks": {"s": {"from": "T", **sink}}})
    assert "did you mean sinks?" in accepted(tmp_path, {"snks": {}})
