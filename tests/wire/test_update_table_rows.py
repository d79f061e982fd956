"""UpdateTable and what DescribeTable tells, a row of the document a row here.

Rows: docs/spec/dynamodb-api.md 2.2, 2.3, 8.1.
"""

import pytest

from conftest import wait_until
from raw_http import call, error_of
from wording import FAIL, NAMESPACE, NULL, ONE, OPVI, VALIDATION

NOTHING = (
    "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates, SSESpecification, "
    "ReplicaUpdates, MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency, DeletionProtectionEnabled, "
    "OnDemandThroughput, WarmThroughput or TableClass is required"
)
NO_UNITS = (
    f"{OPVI}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST"
)
STREAM = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
KMS = {"Enabled": True, "SSEType": "KMS"}


def units(read, write):
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


def same_units(of, kind, r, w):
    return (
        f"The provisioned throughput for the {of} will not change. The requested value equals the current value. Current "
        f"ReadCapacityUnits provisioned for the {kind}: {r}. Requested ReadCapacityUnits: {r}. Current WriteCapacityUnits "
        f"provisioned for the {kind}: {w}. Requested WriteCapacityUnits: {w}. Refer to the Amazon DynamoDB Developer Guide for "
        "current limits and how to request higher limits."
    )


def definitions(*names):
    return {"AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in names]}


def index(name, attribute="g", **members):
    key = [{"AttributeName": attribute, "KeyType": "HASH"}]
    return {"IndexName": name, "KeySchema": key, "Projection": {"ProjectionType": "ALL"}, **members}


def updates(*updates):
    return {"GlobalSecondaryIndexUpdates": list(updates)}


def create(name, attribute="g", **members):
    return {"Create": index(name, attribute, **members)}


def change(name, **members):
    return {"Update": {"IndexName": name, **members}}


def delete(name):
    return {"Delete": {"IndexName": name}}


BASE = {
    "AttributeDefinitions": definitions("pk", "sk", "g")["AttributeDefinitions"],
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "local",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "g", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}


@pytest.fixture(scope="module")
def tables(dynamodb):
    """`provisioned` with 5 and 6 units and `on-demand`, each with a global index `global` (3 and 4 units) and a local one."""
    dynamodb.create_table(
        TableName="provisioned",
        ProvisionedThroughput=units(5, 6),
        GlobalSecondaryIndexes=[index("global", ProvisionedThroughput=units(3, 4))],
        **BASE,
    )
    dynamodb.create_table(TableName="on-demand", BillingMode="PAY_PER_REQUEST", GlobalSecondaryIndexes=[index("global")], **BASE)
    yield
    for name in ("provisioned", "on-demand"):
        dynamodb.delete_table(TableName=name)


def row(name, table, message, type_=VALIDATION, **members):
    return pytest.param({"TableName": table, **members}, type_, message, id=name)


LIMIT, NOT_FOUND = NAMESPACE + "LimitExceededException", NAMESPACE + "ResourceNotFoundException"
ONE_INDEX = "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table"
ROWS = [
    row("nothing", "provisioned", NOTHING),
    row("definitions alone", "provisioned", NOTHING, **definitions("x")),
    row("no updates of indexes", "provisioned", NOTHING, GlobalSecondaryIndexUpdates=[]),
    row("no updates of indexes beside another change", "provisioned", f"{OPVI}List of GlobalSecondaryIndexUpdates is empty",
        GlobalSecondaryIndexUpdates=[], DeletionProtectionEnabled=True),
    row("less warm throughput", "provisioned",
        f"{OPVI}Requested WriteUnitsPerSecond for WarmThroughput for table is lower than current WarmThroughput, decreasing "
        "WarmThroughput is not supported", WarmThroughput={"WriteUnitsPerSecond": 5}),
    row("no limit", "provisioned", NOTHING, OnDemandThroughput={}),
    row("no warm throughput", "provisioned", NOTHING, WarmThroughput={}),
    row("a table that is not there", "nobody", "Requested resource not found: Table: nobody not found", NOT_FOUND,
        BillingMode="PAY_PER_REQUEST"),
    row("order: the request before the table", "nobody", NOTHING),
    row("units that are none, write first", "provisioned",
        f"2 validation errors detected: Value null at 'provisionedThroughput.writeCapacityUnits' {NULL}; "
        f"Value null at 'provisionedThroughput.readCapacityUnits' {NULL}", ProvisionedThroughput={}),
    row("units of zero", "provisioned",
        f"{ONE}Value '0' at 'provisionedThroughput.readCapacityUnits' {FAIL}Member must have value greater than or equal to 1",
        ProvisionedThroughput=units(0, 1)),
    row("the same units", "provisioned", same_units("table", "table", 5, 6), ProvisionedThroughput=units(5, 6)),
    row("the same units and mode", "provisioned", same_units("table", "table", 5, 6),
        BillingMode="PROVISIONED", ProvisionedThroughput=units(5, 6)),
    row("the same units of an index", "provisioned", same_units("index global", "index", 3, 4),
        **updates(change("global", ProvisionedThroughput=units(3, 4)))),
    row("units out of bounds", "provisioned", "Given value 1000000000001 for WriteCapacityUnits is out of bounds",
        ProvisionedThroughput=units(1, 1000000000001)),
    row("units on demand", "on-demand", NO_UNITS, ProvisionedThroughput=units(1, 1)),
    row("units with a switch to on demand", "provisioned",
        f"{OPVI}ProvisionedThroughput cannot be specified when BillingMode is PAY_PER_REQUEST",
        BillingMode="PAY_PER_REQUEST", ProvisionedThroughput=units(1, 1)),
    row("provisioned without units", "on-demand", f"{OPVI}ProvisionedThroughput must be specified when BillingMode is PROVISIONED",
        BillingMode="PROVISIONED"),
    row("provisioned without units of an index", "on-demand", f"{OPVI}ProvisionedThroughput must be specified for index: global",
        BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1)),
    row("limits on provisioned units", "provisioned",
        f"{OPVI}MaxWriteRequestUnits for OnDemandThroughput cannot be specified when the table BillingMode is PROVISIONED",
        OnDemandThroughput={"MaxWriteRequestUnits": 5}),
    row("a limit of zero", "on-demand",
        f"{OPVI}Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid range",
        OnDemandThroughput={"MaxReadRequestUnits": 0}),
    row("encryption alone", "provisioned",
        f"{OPVI}Server-Side Encryption modification must be the only operation in the request",
        SSESpecification=KMS, TableClass="STANDARD", DeletionProtectionEnabled=True, WarmThroughput={"ReadUnitsPerSecond": 20}),
    row("class alone", "provisioned", f"{OPVI}TableClass modification must be the only operation in the request",
        TableClass="STANDARD", DeletionProtectionEnabled=True, WarmThroughput={"ReadUnitsPerSecond": 20}),
    row("protection alone", "provisioned", f"{OPVI}DeletionProtection modification must be the only operation in the request",
        DeletionProtectionEnabled=True, WarmThroughput={"ReadUnitsPerSecond": 20}),
    row("protection without units", "provisioned",
        f"{OPVI}DeletionProtection modification must be the only operation in the request",
        DeletionProtectionEnabled=True, ProvisionedThroughput=units(7, 7)),
    row("warm throughput alone", "provisioned", f"{OPVI}WarmThroughput must be the only operation in the request",
        WarmThroughput={"ReadUnitsPerSecond": 20}, ProvisionedThroughput=units(7, 7)),
    row("limits with billing only", "on-demand",
        f"{OPVI}OnDemandThroughput can only be combined with BillingMode in an UpdateTable request",
        OnDemandThroughput={"MaxReadRequestUnits": 5}, StreamSpecification=STREAM),
    row("no index beside units", "provisioned", f"{OPVI}You cannot create or delete index while updating table IOPS",
        ProvisionedThroughput=units(7, 7), **definitions("h"), **updates(create("new", "h", ProvisionedThroughput=units(1, 1)))),
    row("no index beside a stream", "on-demand", f"{OPVI}You cannot create or delete index while changing stream status",
        StreamSpecification=STREAM, **updates(delete("global"))),
    row("an unknown class", "provisioned",
        "Invalid table-class parameter provided. Please try again with a valid table-class value: "
        "[STANDARD, STANDARD_INFREQUENT_ACCESS].", TableClass="X"),
    row("encrypted by default", "provisioned", f"{OPVI}Table is already encrypted by default", SSESpecification={"Enabled": False}),
    row("a stream without a view", "provisioned", f"{OPVI}If stream is being enabled then UpdateViewType is required",
        StreamSpecification={"StreamEnabled": True}),
    row("a stream that is off with a view", "provisioned",
        f"{OPVI}If stream is being disabled, then UpdateViewType must not be specified",
        StreamSpecification={"StreamEnabled": False, "StreamViewType": "KEYS_ONLY"}),
    row("no stream to disable", "provisioned", "Table has no stream to disable: TableName: provisioned",
        StreamSpecification={"StreamEnabled": False}),
    # 8.1
    row("index: no action", "provisioned",
        f"{OPVI}One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete "
        "must not be null", **updates({})),
    row("index: two actions", "provisioned",
        f"{OPVI}Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
        **definitions("g"), **updates(create("new") | delete("global"))),
    row("index: twice", "provisioned",
        f"{OPVI}Only one global secondary index update per index is allowed simultaneously. Index: global",
        **updates(delete("global"), change("global", ProvisionedThroughput=units(7, 7)))),
    row("index: no definitions", "provisioned", f"{OPVI}AttributeDefinitions is not specified for index: new",
        **updates(create("new", ProvisionedThroughput=units(1, 1)))),
    row("index: definitions of others, even where the table has it", "provisioned",
        f"{OPVI}Some index key attributes are not defined in AttributeDefinitions. Keys: [g], AttributeDefinitions: [pk]",
        **definitions("pk"), **updates(create("new", ProvisionedThroughput=units(1, 1)))),
    row("index: two new ones", "on-demand", ONE_INDEX, LIMIT, **definitions("g"), **updates(create("one"), create("two"))),
    row("index: a new one and one that goes", "on-demand", ONE_INDEX, LIMIT, **definitions("g"),
        **updates(create("one"), delete("global"))),
    row("index: there already", "on-demand", "Attempting to create an index which already exists",
        **definitions("g"), **updates(create("global"))),
    row("index: a local one has the name", "on-demand", "Attempting to create an index which already exists",
        **definitions("g"), **updates(create("local"))),
    row("index: not there to change", "provisioned", "Requested resource not found: Index nobody for table provisioned", NOT_FOUND,
        **updates(change("nobody", ProvisionedThroughput=units(1, 1)))),
    row("index: not there to delete", "provisioned", "Requested resource not found: Index nobody for table provisioned", NOT_FOUND,
        **updates(delete("nobody"))),
    row("index: a local one does not go", "provisioned", "Cannot delete an index that is not a GlobalSecondaryIndex: local",
        **updates(delete("local"))),
    row("index: no name", "provisioned", f"{ONE}Value null at 'globalSecondaryIndexUpdates.1.member.delete.indexName' {NULL}",
        **updates({"Delete": {}})),
    row("index: units on demand", "on-demand",
        f"{OPVI}The only Updates for index: global when TableThroughputMode is PAY_PER_REQUEST can be to OnDemandThroughput, "
        "WarmThroughput",
        **updates(change("global", ProvisionedThroughput=units(1, 1)))),
    row("index: a new one with units on demand", "on-demand",
        f"{OPVI}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified for index: new when BillingMode is PAY_PER_REQUEST",
        **definitions("g"), **updates(create("new", ProvisionedThroughput=units(1, 1)))),
    row("index: a new one without units", "provisioned",
        f"{OPVI}Both ReadCapacityUnits and WriteCapacityUnits must be specified for index: new",
        **definitions("g"), **updates(create("new"))),
    row("replicas", "on-demand", f"{OPVI}ReplicaUpdates is not supported by Tailrace yet",
        ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}]),
]


@pytest.mark.parametrize("request_, type_, message", ROWS)
def test_update_table_refuses(shared_server, tables, request_, type_, message):
    assert error_of(call(shared_server, "UpdateTable", request_)) == (400, type_, "message", message)


def test_a_refused_call_has_changed_nothing(dynamodb, tables):
    """Runs behind the rows above, on their tables."""
    described = dynamodb.describe_table(TableName="provisioned")["Table"]
    assert described["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(5, 6)}
    assert "TableClassSummary" not in described and "StreamSpecification" not in described
    assert [of["IndexName"] for of in described["GlobalSecondaryIndexes"]] == ["global"]


TABLE_MEMBERS = {
    "AttributeDefinitions", "TableName", "KeySchema", "TableStatus", "CreationDateTime", "ProvisionedThroughput", "TableSizeBytes",
    "ItemCount", "TableArn", "TableId", "DeletionProtectionEnabled",
}
ON_DEMAND_MEMBERS = {"BillingModeSummary", "TableThroughputModeSummary"}
DELETED_MEMBERS = TABLE_MEMBERS - {"AttributeDefinitions", "KeySchema", "CreationDateTime"}
KEY = {"AttributeDefinitions": definitions("pk")["AttributeDefinitions"], "KeySchema": BASE["KeySchema"][:1]}


def send(server, operation, **body):
    """What came over the wire, with the members that the SDK does not know."""
    answer = call(server, operation, body)
    assert answer.status == 200, answer.text
    return answer.json


def describe(server, name):
    return send(server, "DescribeTable", TableName=name)["Table"]


def test_the_description_of_a_provisioned_table_has_the_members_of_aws(shared_server):
    created = send(shared_server, "CreateTable", TableName="life", ProvisionedThroughput=units(5, 5), **KEY)["TableDescription"]
    assert set(created) == TABLE_MEMBERS and created["TableStatus"] == "CREATING"
    described = describe(shared_server, "life")
    assert set(described) == TABLE_MEMBERS | {"WarmThroughput"}
    assert described["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(5, 5)}
    assert described["WarmThroughput"] == {"ReadUnitsPerSecond": 5, "WriteUnitsPerSecond": 5, "Status": "ACTIVE"}
    assert described["TableId"] == created["TableId"] and described["CreationDateTime"] == created["CreationDateTime"]
    assert described["DeletionProtectionEnabled"] is False

    more = send(shared_server, "UpdateTable", TableName="life", ProvisionedThroughput=units(10, 5))["TableDescription"]
    increased = more["ProvisionedThroughput"].pop("LastIncreaseDateTime")
    assert (more["TableStatus"], more["ProvisionedThroughput"]) == ("UPDATING", described["ProvisionedThroughput"]), "the old ones"
    assert more["WarmThroughput"] == described["WarmThroughput"]
    told = describe(shared_server, "life")
    assert set(told["ProvisionedThroughput"]) == {"LastIncreaseDateTime", "NumberOfDecreasesToday", *units(0, 0)}
    assert told["ProvisionedThroughput"]["LastIncreaseDateTime"] == increased
    assert told["WarmThroughput"]["ReadUnitsPerSecond"] == 10

    send(shared_server, "UpdateTable", TableName="life", ProvisionedThroughput=units(1, 1))
    told = describe(shared_server, "life")
    assert told["ProvisionedThroughput"]["NumberOfDecreasesToday"] == 1 and "LastDecreaseDateTime" in told["ProvisionedThroughput"]
    assert told["WarmThroughput"] == {"ReadUnitsPerSecond": 10, "WriteUnitsPerSecond": 5, "Status": "ACTIVE"}, "never less"
    deleted = send(shared_server, "DeleteTable", TableName="life")["TableDescription"]
    assert set(deleted) == DELETED_MEMBERS | {"WarmThroughput"} and deleted["TableStatus"] == "DELETING"


def test_a_table_that_changes_its_billing_tells_when_it_last_was_on_demand(shared_server):
    created = send(shared_server, "CreateTable", TableName="switched", BillingMode="PAY_PER_REQUEST", **KEY)["TableDescription"]
    assert set(created) == TABLE_MEMBERS | ON_DEMAND_MEMBERS
    assert created["BillingModeSummary"] == {"BillingMode": "PAY_PER_REQUEST"}
    first = describe(shared_server, "switched")
    assert set(first) == TABLE_MEMBERS | ON_DEMAND_MEMBERS | {"WarmThroughput"}
    assert first["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(0, 0)}
    assert first["WarmThroughput"] == {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"}
    since = first["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"]
    assert first["TableThroughputModeSummary"] == {
        "TableThroughputMode": "PAY_PER_REQUEST", "LastUpdateToPayPerRequestDateTime": since
    }
    again = send(shared_server, "UpdateTable", TableName="switched", BillingMode="PAY_PER_REQUEST")["TableDescription"]
    assert again["TableStatus"] == "UPDATING"
    assert describe(shared_server, "switched") == first, "nothing has changed"

    to = send(shared_server, "UpdateTable", TableName="switched", BillingMode="PROVISIONED", ProvisionedThroughput=units(7, 8))
    assert to["TableDescription"]["ProvisionedThroughput"] == first["ProvisionedThroughput"], "the old ones"
    told = describe(shared_server, "switched")
    assert told["BillingModeSummary"] == {"BillingMode": "PROVISIONED", "LastUpdateToPayPerRequestDateTime": since}
    assert told["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(7, 8)}
    assert told["WarmThroughput"] == first["WarmThroughput"], "kept"
    send(shared_server, "UpdateTable", TableName="switched", BillingMode="PAY_PER_REQUEST")
    told = describe(shared_server, "switched")
    assert told["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"] > since
    assert "LastDecreaseDateTime" in told["ProvisionedThroughput"], "units were given up"
    assert told["ProvisionedThroughput"].items() >= first["ProvisionedThroughput"].items()
    send(shared_server, "DeleteTable", TableName="switched")


def test_optional_members_come_with_what_was_set_and_go_with_it(shared_server):
    send(shared_server, "CreateTable", TableName="optional", BillingMode="PAY_PER_REQUEST", **KEY)
    plain = set(describe(shared_server, "optional"))

    def update(**members):
        return send(shared_server, "UpdateTable", TableName="optional", **members)["TableDescription"]

    def added():
        return set(describe(shared_server, "optional")) - plain

    limits = update(OnDemandThroughput={"MaxReadRequestUnits": 10})
    assert limits["TableStatus"] == "ACTIVE" and limits["OnDemandThroughput"] == {"MaxReadRequestUnits": 10}
    update(OnDemandThroughput={"MaxWriteRequestUnits": 20})
    assert describe(shared_server, "optional")["OnDemandThroughput"] == {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 20}
    cleared = update(OnDemandThroughput={"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": -1})
    assert cleared["OnDemandThroughput"] == {"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": -1}
    assert added() == set()

    assert "TableClassSummary" not in update(TableClass="STANDARD_INFREQUENT_ACCESS"), "the old class"
    assert added() == {"TableClassSummary"}
    assert set(describe(shared_server, "optional")["TableClassSummary"]) == {"TableClass", "LastUpdateDateTime"}

    assert update(SSESpecification=KMS)["SSEDescription"]["Status"] == "UPDATING"
    assert set(describe(shared_server, "optional")["SSEDescription"]) == {"Status", "SSEType", "KMSMasterKeyArn"}
    update(SSESpecification={"Enabled": False})
    assert added() == {"TableClassSummary"}

    warm = update(WarmThroughput={"ReadUnitsPerSecond": 13000})
    assert warm["TableStatus"] == "ACTIVE"
    assert warm["WarmThroughput"] == {"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000, "Status": "UPDATING"}, "the old ones"
    told = {"ReadUnitsPerSecond": 13000, "WriteUnitsPerSecond": 4000, "Status": "ACTIVE"}
    assert describe(shared_server, "optional")["WarmThroughput"] == told

    assert update(DeletionProtectionEnabled=True)["TableStatus"] == "ACTIVE"
    assert update(DeletionProtectionEnabled=True)["DeletionProtectionEnabled"] is True, "the same again"
    protected = "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first."
    assert error_of(call(shared_server, "DeleteTable", {"TableName": "optional"})) == (400, VALIDATION, "message", protected)
    update(DeletionProtectionEnabled=False)

    update(StreamSpecification=STREAM)
    stream = {"StreamSpecification", "LatestStreamLabel", "LatestStreamArn"}
    assert added() == {"TableClassSummary"} | stream
    update(StreamSpecification={"StreamEnabled": False})
    assert added() == {"TableClassSummary"} | (stream - {"StreamSpecification"})
    send(shared_server, "DeleteTable", TableName="optional")


INDEX_MEMBERS = {
    "IndexName", "KeySchema", "Projection", "IndexStatus", "ProvisionedThroughput", "IndexSizeBytes", "ItemCount", "IndexArn",
}


def test_indexes_are_described_with_the_members_of_aws(shared_server):
    send(shared_server, "CreateTable", TableName="described", BillingMode="PAY_PER_REQUEST", GlobalSecondaryIndexes=[
        index("second", Projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": ["z", "a"]}), index("first"),
    ], **BASE)
    table = describe(shared_server, "described")
    second, first = table["GlobalSecondaryIndexes"]
    assert (second["IndexName"], first["IndexName"]) == ("second", "first"), "as they were sent"
    assert set(first) == INDEX_MEMBERS | {"WarmThroughput"}
    assert second["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a", "z"]}
    assert first["ProvisionedThroughput"] == {"NumberOfDecreasesToday": 0, **units(0, 0)}
    assert first["IndexArn"] == table["TableArn"] + "/index/first"
    [local] = table["LocalSecondaryIndexes"]
    assert set(local) == INDEX_MEMBERS - {"IndexStatus", "ProvisionedThroughput"}
    assert [of["AttributeName"] for of in table["AttributeDefinitions"]] == ["g", "pk", "sk"], "sorted"

    # Definitions are merged; those that are not used, and other types of what is known, are as if they were not there.
    other = [{"AttributeName": "g", "AttributeType": "N"}, {"AttributeName": "unused", "AttributeType": "S"}, definitions("h")["AttributeDefinitions"][0]]
    made = send(shared_server, "UpdateTable", TableName="described", AttributeDefinitions=other, **updates(create("third", "h")))
    third = made["TableDescription"]["GlobalSecondaryIndexes"][-1]
    assert (third["IndexName"], third["IndexStatus"], third["Backfilling"]) == ("third", "CREATING", False)
    assert made["TableDescription"]["TableStatus"] == "UPDATING"

    def is_filled():
        return describe(shared_server, "described")["GlobalSecondaryIndexes"][-1]["IndexStatus"] == "ACTIVE"

    wait_until(is_filled, "the index")
    table = describe(shared_server, "described")
    assert table["AttributeDefinitions"] == definitions("g", "h", "pk", "sk")["AttributeDefinitions"]
    assert set(table["GlobalSecondaryIndexes"][-1]) == INDEX_MEMBERS | {"WarmThroughput"}
    gone = send(shared_server, "UpdateTable", TableName="described", **updates(delete("third")))
    assert gone["TableDescription"]["GlobalSecondaryIndexes"][-1]["IndexStatus"] == "DELETING"
    table = describe(shared_server, "described")
    assert [of["IndexName"] for of in table["GlobalSecondaryIndexes"]] == ["second", "first"]
    assert [of["AttributeName"] for of in table["AttributeDefinitions"]] == ["g", "pk", "sk"], "pruned"

    switch = updates(*[change(name, ProvisionedThroughput=units(2, 3)) for name in ("first", "second")])
    to = send(shared_server, "UpdateTable", TableName="described", BillingMode="PROVISIONED", ProvisionedThroughput=units(1, 1), **switch)
    assert all(of["IndexStatus"] == "UPDATING" for of in to["TableDescription"]["GlobalSecondaryIndexes"])
    told = describe(shared_server, "described")["GlobalSecondaryIndexes"]
    assert [of["ProvisionedThroughput"] for of in told] == [{"NumberOfDecreasesToday": 0, **units(2, 3)}] * 2
    more = send(shared_server, "UpdateTable", TableName="described", **updates(change("first", ProvisionedThroughput=units(9, 9))))
    assert more["TableDescription"]["GlobalSecondaryIndexes"][1]["ProvisionedThroughput"]["ReadCapacityUnits"] == 2, "the old ones"
    deleted = send(shared_server, "DeleteTable", TableName="described")["TableDescription"]
    assert "GlobalSecondaryIndexes" not in deleted


@pytest.mark.parametrize(
    "together",
    [
        {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(1, 1),
         **updates(change("global", ProvisionedThroughput=units(1, 1)))},
        {"BillingMode": "PAY_PER_REQUEST", "StreamSpecification": STREAM},
        {"BillingMode": "PAY_PER_REQUEST", "OnDemandThroughput": {"MaxReadRequestUnits": 5}},
        {"BillingMode": "PAY_PER_REQUEST", **definitions("h"), **updates(create("new", "h"))},
        {**definitions("h"),
         **updates(create("new", "h"), change("global", OnDemandThroughput={"MaxReadRequestUnits": 5}))},
    ],
    ids=["billing, units and indexes", "billing and stream", "billing and limits", "billing and an index", "two updates of indexes"],
)
def test_what_may_be_changed_together(shared_server, together):
    send(shared_server, "CreateTable", TableName="together", BillingMode="PAY_PER_REQUEST",
         GlobalSecondaryIndexes=[index("global")], **BASE)
    send(shared_server, "UpdateTable", TableName="together", **together)
    send(shared_server, "DeleteTable", TableName="together")
