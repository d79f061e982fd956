"""Time to live, tags, backups, policies, insights and the other settings, a row of the document a row here; and the order of two
faults in one request.

Rows: docs/spec/dynamodb-api.md 1.6, 2.4, 8.2 to 8.6.
"""

import concurrent.futures
import contextlib
import json
import time

import pytest

from conftest import make_table
from raw_http import call, error_of
from wording import FAIL, NAMESPACE, NULL, ONE, OPVI, VALIDATION

NOT_FOUND, NO_TABLE = NAMESPACE + "ResourceNotFoundException", NAMESPACE + "TableNotFoundException"
REQUIRED = "The parameter 'TableName' is required but was not present in the request"
SHORT = f"{FAIL}Member must have length greater than or equal to 3"
T = "settings"
ARN = f"arn:aws:dynamodb:us-east-1:000000000000:table/{T}"
NOBODY = {"TableName": "nobody"}
KINESIS = "arn:aws:kinesis:us-east-1:000000000000:stream/changes"
ON = {"PointInTimeRecoveryEnabled": True}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": ARN}]})


@pytest.fixture(scope="module", autouse=True)
def settings_table(dynamodb):
    make_table(dynamodb, T, stream="KEYS_ONLY")
    yield
    dynamodb.delete_table(TableName=T)


def row(operation, message, type_=VALIDATION, id=None, **body):
    return pytest.param(operation, body, type_, message, id=f"{operation} {id or message[-60:]}")


def ttl(enabled=True, name="x"):
    return {"Enabled": enabled, "AttributeName": name}


def tags(*pairs):
    return [{"Key": key, "Value": value} for key, value in pairs]


def arn_rows(arn, message, type_=VALIDATION, **members):
    return [
        row(operation, message, type_, id=f"{arn[-30:]}", ResourceArn=arn, **members)
        for operation, members in [("TagResource", {"Tags": tags(("a", "b"))}), ("UntagResource", {"TagKeys": ["a"]}),
                                   ("ListTagsOfResource", {})]
    ]


TOO_MANY = "Number of Tags exceed the current limit for the provided ResourceArn"
ROWS = [
    # 8.2
    row("UpdateTimeToLive", REQUIRED),
    row("UpdateTimeToLive", f"{ONE}Value 'ab' at 'tableName' {SHORT}", TableName="ab", TimeToLiveSpecification=ttl()),
    row("UpdateTimeToLive", f"{ONE}Value null at 'timeToLiveSpecification' {NULL}", TableName=T),
    row("UpdateTimeToLive",
        f"2 validation errors detected: Value null at 'timeToLiveSpecification.enabled' {NULL}; "
        f"Value null at 'timeToLiveSpecification.attributeName' {NULL}", TableName=T, TimeToLiveSpecification={}),
    row("UpdateTimeToLive",
        f"{ONE}Value '' at 'timeToLiveSpecification.attributeName' {FAIL}Member must have length greater than or equal to 1",
        TableName=T, TimeToLiveSpecification=ttl(name="")),
    row("UpdateTimeToLive",
        f"{ONE}Value '{'x' * 256}' at 'timeToLiveSpecification.attributeName' {FAIL}Member must have length less than or equal to 255",
        TableName=T, TimeToLiveSpecification=ttl(name="x" * 256)),
    row("UpdateTimeToLive", "TimeToLive is already disabled", TableName=T, TimeToLiveSpecification=ttl(False)),
    row("UpdateTimeToLive", "Requested resource not found: Table: nobody not found", NOT_FOUND,
        TimeToLiveSpecification=ttl(), **NOBODY),
    row("UpdateTimeToLive", f"{ONE}Value null at 'timeToLiveSpecification' {NULL}", id="before the table", **NOBODY),
    row("DescribeTimeToLive", REQUIRED),
    row("DescribeTimeToLive", "Requested resource not found: Table: nobody not found", NOT_FOUND, **NOBODY),
    # 8.3
    row("TagResource", "Invalid TableArn", Tags=tags(("a", "b"))),
    row("TagResource", f"{ONE}Value null at 'tags' {NULL}", ResourceArn=ARN),
    row("TagResource", "Atleast one Tag needs to be provided as Input.", ResourceArn=ARN, Tags=[]),
    row("TagResource", "The Tag Key provided is invalid, Key: ", ResourceArn=ARN, Tags=tags(("", "b"))),
    row("TagResource", f"The Tag Key provided is invalid, Key: {'k' * 129}", ResourceArn=ARN, Tags=tags(("k" * 129, "b"))),
    row("TagResource", f"The Tag Value provided is invalid, Value: {'v' * 257}", ResourceArn=ARN, Tags=tags(("k", "v" * 257))),
    row("TagResource", "Tag Key cannot be prefixed with aws:, Key: aws:x", ResourceArn=ARN, Tags=tags(("aws:x", "b"))),
    row("TagResource", "Duplicate Tag Keys provided as input: Duplicate Tag Key found d", ResourceArn=ARN,
        Tags=tags(("d", "1"), ("d", "2"))),
    row("TagResource", TOO_MANY, ResourceArn=ARN, Tags=tags(*[(f"k{n}", "") for n in range(51)])),
    row("TagResource", "The Tag Value provided is invalid, Value: 100%", id="a key before a count", ResourceArn=ARN,
        Tags=tags(*[(f"k{n}", "") for n in range(50)], ("last", "100%"))),
    row("UntagResource", f"{ONE}Value null at 'tagKeys' {NULL}", ResourceArn=ARN),
    row("UntagResource", "Atleast one Tag Key needs to be provided as Input.", ResourceArn=ARN, TagKeys=[]),
    *arn_rows("", "Invalid TableArn"),
    *arn_rows(T, f"{OPVI}ARNs must start with 'arn:': {T}"),
    *arn_rows("arn:aws:s3:::b", f"{OPVI}Provided Arn is not a DynamoDB resource arn: arn:aws:s3:::b"),
    *arn_rows(f"{ARN}/index/i", f"{OPVI}Invalid resource arn provided, only table or stream is accepted. "
              f"Provided resource arn: {ARN}/index/i"),
    *arn_rows(ARN.replace("us-east-1", "eu-west-1"),
              f"Invalid TableArn: Invalid ResourceArn provided as input {ARN.replace('us-east-1', 'eu-west-1')}"),
    *arn_rows(ARN + "-not", f"Requested resource not found: ResourceArn: {ARN}-not not found", NOT_FOUND),
    # 8.4
    *[
        row(operation, f"{ONE}Value {name} at 'tableName' {constraint}", **members, **given)
        for operation, members in [("DescribeContinuousBackups", {}), ("UpdateContinuousBackups", {"PointInTimeRecoverySpecification": ON})]
        for name, constraint, given in [("null", NULL, {}), ("'ab'", SHORT, {"TableName": "ab"})]
    ],
    row("DescribeContinuousBackups", "Table not found: nobody", NO_TABLE, **NOBODY),
    row("UpdateContinuousBackups", "Table not found: nobody", NO_TABLE, PointInTimeRecoverySpecification=ON, **NOBODY),
    row("UpdateContinuousBackups", f"{ONE}Value null at 'pointInTimeRecoverySpecification' {NULL}", TableName=T),
    row("UpdateContinuousBackups",
        f"{ONE}Value null at 'pointInTimeRecoverySpecification.pointInTimeRecoveryEnabled' {NULL}",
        TableName=T, PointInTimeRecoverySpecification={}),
    *[
        row("UpdateContinuousBackups",
            f"{ONE}Value '{days}' at 'pointInTimeRecoverySpecification.recoveryPeriodInDays' {FAIL}Member must have value {than}",
            TableName=T, PointInTimeRecoverySpecification=ON | {"RecoveryPeriodInDays": days})
        for days, than in [(0, "greater than or equal to 1"), (36, "less than or equal to 35")]
    ],
    row("UpdateContinuousBackups",
        "Invalid Request: Cannot specify RecoveryPeriodInDays when disabling point-in-time recovery.", TableName=T,
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False, "RecoveryPeriodInDays": 3}),
    # 8.6, and 2: the rest
    row("GetResourcePolicy", f"{ONE}Value null at 'resourceArn' {NULL}"),
    row("GetResourcePolicy", f"Resource-based policy not found for the provided ResourceArn: {ARN}",
        NAMESPACE + "PolicyNotFoundException", ResourceArn=ARN),
    row("PutResourcePolicy", f"2 validation errors detected: Value null at 'resourceArn' {NULL}; Value null at 'policy' {NULL}"),
    row("PutResourcePolicy", f"{OPVI}Maximum policy size of 20480 bytes exceeded", ResourceArn=ARN, Policy="x" * 20481),
    row("DescribeContributorInsights", "Requested resource not found: Table: nobody not found", NOT_FOUND, **NOBODY),
    row("UpdateContributorInsights",
        f"{ONE}Value 'X' at 'contributorInsightsAction' {FAIL}Member must satisfy enum value set: [ENABLE, DISABLE]",
        TableName=T, ContributorInsightsAction="X"),
    row("EnableKinesisStreamingDestination", f"{ONE}Value null at 'streamArn' {NULL}", TableName=T),
    row("EnableKinesisStreamingDestination",
        f"{ONE}Value 'x' at 'streamArn' {FAIL}Member must have length greater than or equal to 37", TableName=T, StreamArn="x"),
    row("DisableKinesisStreamingDestination",
        "Table is not in a valid state to enable Kinesis Streaming Destination: KinesisStreamingDestination must be ACTIVE to perform "
        "DISABLE operation.", TableName=T, StreamArn=KINESIS),
    row("ListBackups",
        f"2 validation errors detected: Value 'a' at 'tableName' {SHORT}; "
        f"Value '0' at 'limit' {FAIL}Member must have value greater than or equal to 1", TableName="a", Limit=0),
    row("ListBackups", f"{ONE}Value 'X' at 'backupType' {FAIL}Member must satisfy enum value set: [ALL, AWS_BACKUP, USER, SYSTEM]",
        BackupType="X"),
    row("ListExports", f"{ONE}Value '26' at 'maxResults' {FAIL}Member must have value less than or equal to 25", MaxResults=26),
    row("ListImports", f"{ONE}Value '0' at 'pageSize' {FAIL}Member must have value greater than or equal to 1", PageSize=0),
    row("ListGlobalTables", f"{ONE}Value '0' at 'limit' {FAIL}Member must have value greater than or equal to 1", Limit=0),
    row("CreateGlobalTable",
        f"{OPVI}DynamoDB global tables version 2017.11.29 is not supported. We recommend using DynamoDB global tables version "
        "2019.11.21, instead of version 2017.11.29 (Legacy).", GlobalTableName=T, ReplicationGroup=[{"RegionName": "us-east-1"}]),
    row("DescribeGlobalTable", f"Global table not found: Global table with name: '{T}' does not exist.",
        NAMESPACE + "GlobalTableNotFoundException", GlobalTableName=T),
    # 1.6 and 2.4
    row("DeleteTable", "Requested resource not found: Table: nobody not found", NOT_FOUND, **NOBODY),
    row("DescribeTable", "Requested resource not found: Table: nobody not found", NOT_FOUND, **NOBODY),
]


@pytest.mark.parametrize("operation, body, type_, message", ROWS)
def test_a_setting_is_refused(shared_server, operation, body, type_, message):
    assert error_of(call(shared_server, operation, body)) == (400, type_, "message", message)


def test_a_time_to_live_that_is_active_names_its_attribute(shared_server, dynamodb):
    def refused(specification):
        return error_of(call(shared_server, "UpdateTimeToLive", {"TableName": T, "TimeToLiveSpecification": specification}))[3]

    assert dynamodb.describe_time_to_live(TableName=T)["TimeToLiveDescription"] == {"TimeToLiveStatus": "DISABLED"}
    answer = dynamodb.update_time_to_live(TableName=T, TimeToLiveSpecification=ttl())
    assert answer["TimeToLiveSpecification"] == ttl()
    described = dynamodb.describe_time_to_live(TableName=T)["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "x"}
    assert refused(ttl()) == "TimeToLive is already enabled"
    other = "TimeToLive is active on a different AttributeName: current AttributeName is x"
    assert (refused(ttl(name="y")), refused(ttl(False, "y"))) == (other, other)
    assert dynamodb.update_time_to_live(TableName=T, TimeToLiveSpecification=ttl(False))["TimeToLiveSpecification"] == ttl(False)
    dynamodb.update_time_to_live(TableName=T, TimeToLiveSpecification=ttl(name="pk"))
    dynamodb.update_time_to_live(TableName=T, TimeToLiveSpecification=ttl(False, "pk"))
    assert dynamodb.describe_time_to_live(TableName=T)["TimeToLiveDescription"] == {"TimeToLiveStatus": "DISABLED"}


def test_fifty_tags_come_in_pages_of_ten_and_no_more_fit(shared_server, dynamodb):
    fifty = tags(*[(f"k{n:02}", "v" * 256) for n in range(49)], ("k" * 128, ""))
    dynamodb.tag_resource(ResourceArn=ARN, Tags=fifty)
    one_more = {"ResourceArn": ARN, "Tags": tags(("k00", "new"), ("z", ""))}
    assert error_of(call(shared_server, "TagResource", one_more)) == (400, VALIDATION, "message", TOO_MANY)
    pages, token = [], {}
    while True:
        page = dynamodb.list_tags_of_resource(ResourceArn=ARN, **token)
        pages.append(page["Tags"])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert [len(page) for page in pages] == [10] * 5
    assert sorted(sum(pages, []), key=lambda tag: tag["Key"]) == sorted(fifty, key=lambda tag: tag["Key"]), "none of it was done"
    dynamodb.tag_resource(ResourceArn=ARN, Tags=tags(("k00", "new")))
    dynamodb.untag_resource(ResourceArn=ARN, TagKeys=[tag["Key"] for tag in fifty])
    assert dynamodb.list_tags_of_resource(ResourceArn=ARN)["Tags"] == []


def test_a_policy_keeps_its_revision_until_it_is_another_one(shared_server, dynamodb):
    first = dynamodb.put_resource_policy(ResourceArn=ARN, Policy=POLICY)["RevisionId"]
    assert dynamodb.put_resource_policy(ResourceArn=ARN, Policy=POLICY)["RevisionId"] == first
    stale = {"ResourceArn": ARN, "Policy": POLICY, "ExpectedRevisionId": "1"}
    assert error_of(call(shared_server, "PutResourcePolicy", stale))[1] == NAMESPACE + "PolicyNotFoundException"
    second = dynamodb.put_resource_policy(ResourceArn=ARN, Policy=POLICY.replace("GetItem", "PutItem"), ExpectedRevisionId=first)
    assert int(second["RevisionId"]) > int(first)
    assert dynamodb.delete_resource_policy(ResourceArn=ARN)["RevisionId"] == second["RevisionId"]


def test_tables_are_listed_in_pages_by_the_bytes_of_their_names(start):
    dynamodb = start().client()
    names = ["B-1", "a.b", "a_b", "aaa", "b-1"] + [f"t-{n:03}" for n in range(100)]
    for name in names:
        make_table(dynamodb, name)
    first = dynamodb.list_tables()
    assert first == {"TableNames": names[:100], "LastEvaluatedTableName": names[99], "ResponseMetadata": first["ResponseMetadata"]}
    rest = dynamodb.list_tables(ExclusiveStartTableName=names[99])
    assert rest["TableNames"] == names[100:] and "LastEvaluatedTableName" not in rest
    exact = dynamodb.list_tables(ExclusiveStartTableName=names[99], Limit=5)
    assert exact["TableNames"] == names[100:] and "LastEvaluatedTableName" not in exact, "nothing is left"
    assert dynamodb.list_tables(ExclusiveStartTableName="aab", Limit=1)["TableNames"] == ["b-1"], "a name that is not there"


class Passed(Exception):
    """A state may have been over before all was asked that is asked in it."""


@contextlib.contextmanager
def within(seconds):
    """What is asked here is asked in a state that lasts so long, or is asked anew."""
    began = time.monotonic()
    try:
        yield
    except BaseException as error:
        # What fails an assertion is no Exception.
        if time.monotonic() - began >= seconds:
            raise Passed from error
        raise


def test_states_on_request_and_the_waiters_of_the_sdk(start, tmp_path):
    """2.2, the states: what each operation answers while a table is being made, changed and deleted."""
    for attempt in range(8):
        with contextlib.suppress(Passed):
            return ask_in_states(start("--aws-like-states", data_dir=tmp_path / f"data-{attempt}"))
    pytest.fail("every state was over too soon")


def ask_in_states(server):
    dynamodb = server.client()
    pool = concurrent.futures.ThreadPoolExecutor(8)
    quick = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 20}}
    arn = ARN.replace(T, "slow")
    key = {"pk": {"S": "k"}}
    item = {"TableName": "slow", "Key": key}
    data = [
        ("GetItem", item), ("DeleteItem", item), ("UpdateItem", item), ("PutItem", {"TableName": "slow", "Item": key}),
        ("Scan", {"TableName": "slow"}), ("BatchGetItem", {"RequestItems": {"slow": {"Keys": [key]}}}),
        ("TransactGetItems", {"TransactItems": [{"Get": item}]}), ("ExecuteStatement", {"Statement": 'SELECT * FROM "slow"'}),
    ]

    def errors(operations):
        return {error_of(answer)[1:4:2] for answer in pool.map(lambda one: call(server, *one), operations)}

    def in_use(what):
        return {(NAMESPACE + "ResourceInUseException", f"Attempt to change a resource which is still in use: {what}")}

    update = ("UpdateTable", {"TableName": "slow", "BillingMode": "PAY_PER_REQUEST"})
    changes = [
        ("DeleteTable", {"TableName": "slow"}),
        update,
        ("TagResource", {"ResourceArn": arn, "Tags": tags(("a", "b"))}),
        ("PutResourcePolicy", {"ResourceArn": arn, "Policy": POLICY}),
        ("EnableKinesisStreamingDestination", {"TableName": "slow", "StreamArn": KINESIS}),
    ]
    backups = [
        ("DescribeContinuousBackups", {"TableName": "slow"}),
        ("UpdateContinuousBackups", {"TableName": "slow", "PointInTimeRecoverySpecification": ON}),
    ]
    live = ("UpdateTimeToLive", {"TableName": "slow", "TimeToLiveSpecification": ttl()})

    def not_served(state, why):
        assert dynamodb.describe_table(TableName="slow")["Table"]["TableStatus"] == state
        assert errors(data) == {(NOT_FOUND, "Requested resource not found")}
        assert errors(changes) == in_use(f"Table is being {why}: slow")
        assert errors(backups) == {(NO_TABLE, "Table not found: slow")}
        describing = f"Cannot describe time to live while table is in {state} state: Current table state is {state}"
        assert errors([("DescribeTimeToLive", {"TableName": "slow"})]) == {(VALIDATION, describing)}
        assert dynamodb.list_tables()["TableNames"] == ["slow"]

    with within(0.9):
        make_table(dynamodb, "slow")
        not_served("CREATING", "created")
        assert errors([live]) == in_use("Table slow is being created")
        with pytest.raises(dynamodb.exceptions.ResourceInUseException, match="Table is being created: slow"):
            make_table(dynamodb, "slow")
    dynamodb.get_waiter("table_exists").wait(TableName="slow", **quick)

    with within(0.4):
        dynamodb.update_table(TableName="slow", TableClass="STANDARD_INFREQUENT_ACCESS")
        assert dynamodb.describe_table(TableName="slow")["Table"]["TableStatus"] == "UPDATING"
        assert all(answer.status == 200 for answer in pool.map(lambda one: call(server, *one), data)), "items are served"
        assert errors([update]) == in_use("Table IOPS are currently being updated. Table: slow")
        assert errors([changes[0]]) == in_use("Table: slow is in the process of being updated.")
    dynamodb.get_waiter("table_exists").wait(TableName="slow", **quick)
    call(server, *live)

    with within(0.9):
        dynamodb.delete_table(TableName="slow")
        not_served("DELETING", "deleted")
        with pytest.raises(dynamodb.exceptions.ResourceInUseException, match="Table already exists: slow"):
            make_table(dynamodb, "slow")
    dynamodb.get_waiter("table_not_exists").wait(TableName="slow", **quick)
    make_table(dynamodb, "slow")
    assert server.stop() == 0, server.output()
