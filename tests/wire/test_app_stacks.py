"""Several stacks of one app in one server: a `cdk.out` as the CDK writes it, and templates that are named together.

Rows: COMPAT.md, Templates: several stacks.
"""

import json
import pathlib
import shutil

import pytest

from conftest import wait_until

APP = pathlib.Path(__file__).parents[1] / "templates/cdk-two-stacks/cdk.out"
ORDERS, TOTALS = "OrdersA9B65338", "Totals8BD25B11"
FUNCTIONS = ["CountF2B59359", "TellC4AC6D4B"]


@pytest.fixture
def project(tmp_path):
    shutil.copytree(APP, tmp_path / "shop/cdk.out")
    return tmp_path / "shop"


def what_is_there(server):
    """Tables with their ids and streams, and mappings with their ids: all of which another start would have to keep."""
    tables = server.client().list_tables()["TableNames"]
    described = [server.client().describe_table(TableName=name)["Table"] for name in tables]
    mappings = server.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    functions = server.client("lambda").list_functions()["Functions"]
    return (
        {table["TableName"]: (table["TableId"], table.get("LatestStreamArn")) for table in described},
        sorted((mapping["UUID"], mapping["FunctionArn"], mapping["EventSourceArn"], mapping["State"]) for mapping in mappings),
        sorted(function["FunctionName"] for function in functions),
    )


def put(server, key, table=ORDERS):
    server.client().put_item(TableName=table, Item={"id": {"S": key}})


def await_effects(server, key):
    """Both functions of the one stack have seen an item of the other."""
    count, tell = f"COUNT {key} into {TOTALS}", f"TELL {key} of {ORDERS}"
    wait_until(lambda: count in server.output() and tell in server.output(), f"{count}, {tell}")


@pytest.mark.parametrize("chosen", [["--all-stacks"], ["--stack", "ServiceStack", "--stack", "DataStack"], ["--stack", "*Stack"]])
def test_two_stacks_of_an_app_run_together_and_another_start_changes_nothing(start, project, chosen):
    server = start(*chosen, command="up", positional=[project / "cdk.out"])
    put(server, "a")
    await_effects(server, "a")
    for line in [f"stack DataStack: {ORDERS}, {TOTALS}", f"stack ServiceStack: {', '.join(FUNCTIONS)}"]:
        assert line in server.output()
    assert "stand-in" not in server.output()
    before = what_is_there(server)
    tables, mappings, functions = before
    assert (sorted(tables), functions) == ([ORDERS, TOTALS], FUNCTIONS)
    assert {source for _, _, source, _ in mappings} == {tables[ORDERS][1]} and len(mappings) == 2
    assert server.stop() == 0, server.output()

    server = start(*chosen, command="up", positional=[project / "cdk.out"])
    assert what_is_there(server) == before
    put(server, "b")
    await_effects(server, "b")
    assert "COUNT a" not in server.output() and "TELL a" not in server.output(), "what was delivered is not delivered again"


def test_stacks_that_are_not_chosen_are_told(start, project):
    server = start(command="up", positional=[project / "cdk.out"], ready=False)
    assert server.process.wait() != 0
    choose = "choose with --stack, which may be repeated and takes patterns, or all of them with --all-stacks"
    assert f"has 2 stacks: {choose}: DataStack, ServiceStack" in server.output()
    server = start("--stack", "ServiceStack", command="up", positional=[project / "cdk.out"], ready=False)
    assert server.process.wait() != 0
    assert "comes from the export DataStack:ExportsOutputFnGetAttOrdersA9B65338StreamArn3882BD9F" in server.output()
    assert "give it with --stack DataStack, which has it, or --resource import:DataStack:" in server.output()


def test_a_stack_that_was_started_alone_keeps_its_tables_when_others_come(start, project):
    server = start("--stack", "DataStack", command="up", positional=[project / "cdk.out"])
    put(server, "a")
    tables, _, _ = what_is_there(server)
    assert server.stop() == 0, server.output()
    server = start("--all-stacks", command="up", positional=[project / "cdk.out"])
    await_effects(server, "a")
    assert what_is_there(server)[0] == tables


def test_an_edit_of_any_stack_is_applied(start, project):
    server = start("--all-stacks", command="up", positional=[project / "cdk.out"])

    def edit(stack, change):
        path = project / f"cdk.out/{stack}.template.json"
        template = json.loads(path.read_text())
        change(template["Resources"])
        path.write_text(json.dumps(template, indent=1))
        wait_until(lambda: f"{path} has changed and is applied" in server.output(), f"the edit of {path}")

    edit("DataStack", lambda resources: resources.update(Returns=resources[TOTALS]))
    assert sorted(server.client().list_tables()["TableNames"]) == [ORDERS, "Returns", TOTALS]
    edit("ServiceStack", lambda resources: resources[FUNCTIONS[0]]["Properties"]["Environment"]["Variables"].update(TOTALS="elsewhere"))
    put(server, "a")
    wait_until(lambda: "COUNT a into elsewhere" in server.output(), "the function with its new variable")


def test_templates_that_are_named_together_are_stacks(start, tmp_path):
    """Names that they share are told apart, and an export is found by the name that its stack has here."""
    table = """
Resources:
  Orders:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
      KeySchema: [{AttributeName: id, KeyType: HASH}]
      StreamSpecification: {StreamViewType: NEW_IMAGE}
"""
    export = "Outputs: {S: {Value: !GetAtt Orders.StreamArn, Export: {Name: !Sub '${AWS::StackName}-stream'}}}"
    function = """
  Fn:
    Type: AWS::Serverless::Function
    Properties:
      Handler: index.handler
      Runtime: python3.12
      InlineCode: |
        def handler(event, context):
            print("GOT", event["Records"][0]["dynamodb"]["Keys"]["id"]["S"])
      Events: {E: {Type: DynamoDB, Properties: {Stream: !ImportValue data-stream, StartingPosition: TRIM_HORIZON}}}
"""
    for name, text in [("data", table + export), ("web", table + function)]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "template.yaml").write_text(text)
    server = start(command="up", positional=[tmp_path / "web", tmp_path / "data/template.yaml"])
    assert server.client().list_tables()["TableNames"] == ["data-Orders", "web-Orders"]
    put(server, "other", "web-Orders")
    put(server, "own", "data-Orders")
    wait_until(lambda: "GOT own" in server.output(), "the record of the other template's table")
    assert "GOT other" not in server.output()
