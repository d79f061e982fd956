"""COMPAT.md's tables of the Lambda API against the service's model and against the server."""

import json
import re
import urllib.error
import urllib.request


from conftest import REPOSITORY
from service_model import model_of

STATES = {"done", "differs", "refused"}


MODEL = model_of("lambda", "2015-03-31")


def tables():
    """The rows of the two tables of the section Lambda API."""
    section = (REPOSITORY / "COMPAT.md").read_text().split("\n## Lambda API\n")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line.startswith("|")]
    rows = [row for row in rows if row[0] != "operation" and set(row[0]) != {"-"}]
    return [row for row in rows if len(row) == 3], [row for row in rows if len(row) == 4]


def test_every_operation_and_parameter_that_is_there_has_a_row():
    operations, parameters = tables()
    names = [name for name, _, _ in operations]
    assert names == sorted(set(names)) and set(names) <= MODEL["operations"].keys()
    for name, state, why in operations:
        assert state in STATES - {"refused"}, name
        assert state == "done" or why, name
        told = [parameter for owner, of_row, _, _ in parameters if owner == name for parameter in of_row.split(", ")]
        members = MODEL["shapes"][MODEL["operations"][name]["input"]["shape"]]["members"]
        assert sorted(told) == sorted(members), name
    for owner, of_row, state, why in parameters:
        assert owner in names and state in STATES, f"{owner} {of_row}"
        assert state == "done" or why, f"{owner} {of_row}"


def test_an_operation_without_a_row_is_refused_by_its_name(shared_server):
    there = {name for name, _, _ in tables()[0]}
    # The query alone tells these from the operations before them.
    same_path = {"ListLayers": "GetLayerVersionByArn", "ListProvisionedConcurrencyConfigs": "GetProvisionedConcurrencyConfig"}
    for name, operation in MODEL["operations"].items():
        path = re.sub(r"\{[^}]*\}", "none", operation["http"]["requestUri"])
        request = urllib.request.Request(
            shared_server.url + path,
            method=operation["http"]["method"],
            data=b"{}" if operation["http"]["method"] in ("POST", "PUT") else None,
            headers={
                "X-Amz-Date": "20260101T000000Z",
                "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/lambda/aws4_request, "
                "SignedHeaders=host, Signature=b",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, code, body = answer.status, None, answer.read()
        except urllib.error.HTTPError as error:
            status, code, body = error.code, error.headers["x-amzn-ErrorType"], error.read()
        if name in there:
            assert code != "NotImplementedException", f"{name} is said to be there"
        else:
            assert (status, code) == (501, "NotImplementedException"), f"{name}: {status} {body}"
            told = json.loads(body)["Message"].split()[0]
            assert told in (name, same_path.get(name)), f"{name}: {body}"
