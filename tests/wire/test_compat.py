"""COMPAT.md against the services' models and against the server: nothing that AWS has goes unmentioned, and what it says is so."""

import json

import pytest

from conftest import REPOSITORY, make_table, post
from service_model import model_of

STATES = {"done", "differs", "refused"}
SERVICES = ("dynamodb", "dynamodbstreams")
# Stands for every parameter of an operation whose parameters are all treated alike.
ALL = "all"
TABLE = "compat"
# Requests that are valid but for the parameter that is refused.
BASES = {
    "CreateTable": {
        "TableName": "compat-refused",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    },
    "UpdateTable": {"TableName": TABLE},
    "Query": {
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :v",
        "ExpressionAttributeValues": {":v": {"S": "a"}},
    },
    "Scan": {"TableName": TABLE},
}


MODELS = {service: model_of(service, "2012-08-10") for service in SERVICES}
OPERATIONS = {name: service for service, model in MODELS.items() for name in model["operations"]}


def tables():
    """The rows of the three tables of the section Operations, by the name of the first column."""
    text = (REPOSITORY / "COMPAT.md").read_text()
    section = text.split("\n## Operations\n")[1].split("\n## ")[0]
    found, rows = {}, None
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else None
        if cells is None:
            rows = None
        elif rows is None:
            rows = found.setdefault(cells[0] if cells[1] == "state" else f"{cells[0]} {cells[1]}", [])
        elif set(cells[0]) != {"-"}:
            rows.append(cells)
    return found


def operation_rows():
    return {name: (state, why) for name, state, why in tables()["operation"]}


def parameter_rows(kind):
    """Owner -> parameter -> (state, why)."""
    found = {}
    for owner, parameters, state, why in tables()[f"{kind} parameter"]:
        for parameter in parameters.split(", "):
            of = found.setdefault(owner, {})
            assert parameter not in of, f"{owner}.{parameter} has two rows"
            of[parameter] = (state, why)
    return found


def members(service, shape):
    return MODELS[service]["shapes"][shape].get("members", {})


def input_of(operation):
    service = OPERATIONS[operation]
    return service, MODELS[service]["operations"][operation]["input"]["shape"]


def inner_structures(service, shape):
    """The structures that a shape is or holds, without those within them."""
    shapes = MODELS[service]["shapes"]
    definition = shapes[shape]
    if definition["type"] == "structure":
        return [shape]
    if definition["type"] == "list":
        return inner_structures(service, definition["member"]["shape"])
    if definition["type"] == "map":
        return inner_structures(service, definition["value"]["shape"])
    return []


def test_every_operation_has_a_row_with_a_state_and_a_reason():
    rows = tables()["operation"]
    assert sorted(name for name, _, _ in rows) == sorted(OPERATIONS), "one row for each operation of the models"
    for name, state, why in rows:
        assert state in STATES, name
        assert state == "done" or why, f"{name} is {state}, and nobody is told how"


def test_every_parameter_has_a_state_and_a_reason():
    of_operations, of_structures = parameter_rows("operation"), parameter_rows("structure")
    missing, needed_structures = [], set()
    for operation, (state, _) in operation_rows().items():
        service, shape = input_of(operation)
        if state == "refused":
            assert operation not in of_operations, f"{operation} is refused with all of its parameters"
            continue
        rows = of_operations.get(operation, {})
        if list(rows) == [ALL]:
            continue
        missing += [f"{operation}.{name}" for name in members(service, shape).keys() - rows.keys()]
        assert rows.keys() <= members(service, shape).keys(), f"{operation}: {rows.keys() - members(service, shape).keys()}"
        waiting = [(service, m["shape"]) for n, m in members(service, shape).items() if rows.get(n, ("",))[0] != "refused"]
        while waiting:
            service, shape = waiting.pop()
            for structure in inner_structures(service, shape):
                if structure in needed_structures:
                    continue
                needed_structures.add(structure)
                rows = of_structures.get(structure, {})
                inner = members(service, structure)
                missing += [f"{structure}.{name}" for name in inner.keys() - rows.keys()]
                assert rows.keys() <= inner.keys(), f"{structure}: {rows.keys() - inner.keys()}"
                waiting += [(service, m["shape"]) for n, m in inner.items() if rows.get(n, ("",))[0] != "refused"]
    assert not missing, f"COMPAT.md does not mention {sorted(missing)}"
    assert of_structures.keys() == needed_structures, "structures that no parameter has any more"
    for owner, rows in [*of_operations.items(), *of_structures.items()]:
        for parameter, (state, why) in rows.items():
            assert state in STATES, f"{owner}.{parameter}"
            assert state == "done" or why, f"{owner}.{parameter} is {state}, and nobody is told how"


@pytest.fixture(scope="module")
def call(shared_server):
    """Calls an operation with whatever it is given; answers code and message of its error, or two times None."""
    make_table(shared_server.client(), TABLE)

    def call(operation, body):
        prefix = MODELS[OPERATIONS[operation]]["metadata"]["targetPrefix"]
        status, _, answer = post(shared_server, f"{prefix}.{operation}", body)
        answer = json.loads(answer or b"{}")
        if status == 200:
            return None, None
        return answer["__type"].split("#")[1], answer.get("message", answer.get("Message", ""))

    return call


def sample(service, shape, depth=0):
    """A value of a shape that keeps its constraints: what is required, or the first member if nothing is."""
    definition = MODELS[service]["shapes"][shape]
    kind = definition["type"]
    if kind == "structure":
        names = definition.get("required") or list(definition["members"])[:1]
        return {name: sample(service, definition["members"][name]["shape"], depth + 1) for name in names}
    if kind == "list":
        return [sample(service, definition["member"]["shape"], depth + 1)]
    if kind == "map":
        return {"key": sample(service, definition["value"]["shape"], depth + 1)}
    if kind == "string":
        return definition["enum"][0] if "enum" in definition else "pk".ljust(max(definition.get("min", 1), 3), "x")
    return {"boolean": True, "blob": "eA=="}.get(kind, definition.get("min", 1))


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_an_operation_is_there_if_it_is_said_to_be(call, operation):
    state, _ = operation_rows()[operation]
    # What is refused is refused whatever it is asked for; what is there may say what is missing.
    code, message = call(operation, sample(*input_of(operation)) if state == "refused" else {})
    if state == "refused":
        assert (code, operation in (message or "")) == ("UnknownOperationException", True), f"{operation}: {code} {message}"
    else:
        assert code != "UnknownOperationException", f"{operation} is said to be {state}"


REFUSED = sorted(
    (operation, parameter)
    for operation, rows in parameter_rows("operation").items()
    for parameter, (state, _) in rows.items()
    if state == "refused"
)


@pytest.mark.parametrize(("operation", "parameter"), REFUSED)
def test_a_parameter_that_is_said_to_be_refused_is_refused_by_name(call, operation, parameter):
    service, shape = input_of(operation)
    value = sample(service, members(service, shape)[parameter]["shape"])
    code, message = call(operation, {**BASES[operation], parameter: value})
    assert code == "ValidationException", f"{operation} takes {parameter}: {code} {message}"
    assert parameter in message or (isinstance(value, str) and value in message), f"{operation} {parameter}: {message}"


def test_no_structure_has_parameters_that_are_refused_unseen():
    """There are none today; whoever adds a row of that kind adds a request that shows it."""
    refused = [
        f"{structure}.{parameter}"
        for structure, rows in parameter_rows("structure").items()
        for parameter, (state, _) in rows.items()
        if state == "refused"
    ]
    assert refused == []
