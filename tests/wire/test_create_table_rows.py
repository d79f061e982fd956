"""CreateTable, a row of the document a row here: what is refused, in AWS's words, and which of two faults is told.

Rows: docs/spec/dynamodb-api.md 2.1, 1.5, 1.6.
"""

import pytest

from raw_http import call, error_of
from wording import FAIL, NULL, ONE, OPVI, VALIDATION

PATTERN = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"


def hash_key(name):
    return {"AttributeName": name, "KeyType": "HASH"}


def range_key(name):
    return {"AttributeName": name, "KeyType": "RANGE"}


def defined(*names):
    return [{"AttributeName": name, "AttributeType": "S"} for name in names]


def units(read, write):
    return {"ReadCapacityUnits": read, "WriteCapacityUnits": write}


ALL = {"ProjectionType": "ALL"}
BASE = {
    "TableName": "refused",
    "AttributeDefinitions": defined("pk"),
    "KeySchema": [hash_key("pk")],
    "BillingMode": "PAY_PER_REQUEST",
}
PROVISIONED = {"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(1, 1)}
WITH_G = {"AttributeDefinitions": defined("pk", "g")}
RANGED = {"AttributeDefinitions": defined("pk", "sk", "l"), "KeySchema": [hash_key("pk"), range_key("sk")]}


def gsi(name="gsi", keys=None, projection=ALL, **members):
    members = {"IndexName": name, "KeySchema": keys or [hash_key("g")], "Projection": projection, **members}
    return {"GlobalSecondaryIndexes": [{member: value for member, value in members.items() if value is not None}]}


def lsi(*names, keys=None):
    keys = keys or [hash_key("pk"), range_key("l")]
    indexes = [{"IndexName": name, "KeySchema": keys, "Projection": ALL} for name in names or ["lsi"]]
    return {"LocalSecondaryIndexes": indexes}


def gsis(count, **members):
    indexes = [gsi(f"gsi-{n}", **members)["GlobalSecondaryIndexes"][0] for n in range(count)]
    return {"GlobalSecondaryIndexes": indexes}


def at_gsi(member):
    return f"globalSecondaryIndexes.1.member.{member}"


def include(*names):
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(names)}


def row(name, message, *changes):
    request = dict(BASE)
    for change in changes:
        request.update(change)
    return pytest.param({member: value for member, value in request.items() if value is not None}, message, id=name)


ROWS = [
    row("1 on demand with units",
        f"{OPVI}Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
        {"ProvisionedThroughput": units(1, 1)}),
    row("2 provisioned without units",
        f"{OPVI}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        {"BillingMode": "PROVISIONED"}),
    row("2 no billing mode is provisioned",
        f"{OPVI}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        {"BillingMode": None}),
    row("3 units of zero",
        f"2 validation errors detected: Value '0' at 'provisionedThroughput.writeCapacityUnits' {FAIL}"
        "Member must have value greater than or equal to 1; "
        f"Value '0' at 'provisionedThroughput.readCapacityUnits' {FAIL}Member must have value greater than or equal to 1",
        PROVISIONED, {"ProvisionedThroughput": units(0, 0)}),
    row("3 negative units",
        f"{ONE}Value '-1' at 'provisionedThroughput.readCapacityUnits' {FAIL}Member must have value greater than or equal to 1",
        PROVISIONED, {"ProvisionedThroughput": units(-1, 1)}),
    row("4 one unit", f"{ONE}Value null at 'provisionedThroughput.writeCapacityUnits' {NULL}",
        PROVISIONED, {"ProvisionedThroughput": {"ReadCapacityUnits": 1}}),
    row("4 no unit",
        f"2 validation errors detected: Value null at 'provisionedThroughput.writeCapacityUnits' {NULL}; "
        f"Value null at 'provisionedThroughput.readCapacityUnits' {NULL}",
        PROVISIONED, {"ProvisionedThroughput": {}}),
    row("5 units out of bounds, read first", "Given value 1000000000001 for ReadCapacityUnits is out of bounds",
        PROVISIONED, {"ProvisionedThroughput": units(1000000000001, 1000000000002)}),
    row("5 write units out of bounds", "Given value 1000000000001 for WriteCapacityUnits is out of bounds",
        PROVISIONED, {"ProvisionedThroughput": units(1, 1000000000001)}),
    row("5 units of an index out of bounds", "Given value 1000000000001 for ReadCapacityUnits is out of bounds for index gsi",
        PROVISIONED, WITH_G, gsi(ProvisionedThroughput=units(1000000000001, 1))),
    row("7 limits of requests on provisioned units",
        f"{OPVI}MaxReadRequestUnits for OnDemandThroughput cannot be specified when table BillingMode is PROVISIONED.",
        PROVISIONED, {"OnDemandThroughput": {"MaxWriteRequestUnits": 5, "MaxReadRequestUnits": 5}}),
    row("8 a limit of zero requests",
        f"{OPVI}Requested MaxReadRequestUnits for OnDemandThroughput for table is outside of valid range",
        {"OnDemandThroughput": {"MaxReadRequestUnits": 0}}),
    row("8 a limit cannot be cleared where there is none",
        f"{OPVI}Requested MaxWriteRequestUnits for OnDemandThroughput for table is outside of valid range",
        {"OnDemandThroughput": {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": -1}}),
    row("9 warm throughput below that of on-demand",
        f"{OPVI}Requested ReadUnitsPerSecond for WarmThroughput for table is lower than initial throughput for OnDemand. See: "
        "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html"
        "#on-demand-capacity-mode-initial",
        {"WarmThroughput": {"ReadUnitsPerSecond": 11999}}),
    row("9 warm throughput below the units",
        f"{OPVI}Requested WriteUnitsPerSecond for WarmThroughput for table is lower than WriteCapacityUnits of ProvisionedThroughput",
        PROVISIONED, {"ProvisionedThroughput": units(5, 5), "WarmThroughput": {"WriteUnitsPerSecond": 4}}),
    row("10 more keys than definitions", "Invalid KeySchema: Some index key attribute have no definition",
        {"KeySchema": [hash_key("pk"), range_key("sk")]}),
    row("10 no definitions", "Invalid KeySchema: Some index key attribute have no definition", {"AttributeDefinitions": []}),
    # The rule counts, it does not look for names: those of row 11 are told by name.
    row("10 before 12: one name twice, one definition", "Invalid KeySchema: Some index key attribute have no definition",
        {"KeySchema": [hash_key("pk"), range_key("pk")]}),
    row("11 an undefined key",
        f"{OPVI}Some index key attributes are not defined in AttributeDefinitions. Keys: [pk, sk], AttributeDefinitions: [pk, other]",
        {"AttributeDefinitions": defined("pk", "other"), "KeySchema": [hash_key("pk"), range_key("sk")]}),
    row("11 of a global index",
        f"{OPVI}Some index key attributes are not defined in AttributeDefinitions. Keys: [g], AttributeDefinitions: [pk]", gsi()),
    row("11 of a local index",
        f"{OPVI}Some index key attributes are not defined in AttributeDefinitions. Keys: [pk, l], AttributeDefinitions: [pk, sk]",
        RANGED, {"AttributeDefinitions": defined("pk", "sk")}, lsi()),
    row("12 one name twice", "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        {"AttributeDefinitions": defined("pk", "sk"), "KeySchema": [hash_key("pk"), range_key("pk")]}),
    row("12 of a global index", "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        WITH_G, gsi(keys=[hash_key("g"), range_key("g")])),
    row("12 of a local index", "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        RANGED, {"AttributeDefinitions": defined("pk", "sk")}, lsi(keys=[hash_key("pk"), range_key("pk")])),
    row("12 of several key attributes", "The KeySchema contains multiple key attributes with the same name",
        WITH_G, gsi(keys=[hash_key("g"), hash_key("g")])),
    row("13 the first is no hash key", "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        {"KeySchema": [range_key("pk")]}),
    row("13 the second is no range key", "Invalid KeySchema: The second KeySchemaElement is not a RANGE key type",
        {"AttributeDefinitions": defined("pk", "sk"), "KeySchema": [hash_key("pk"), hash_key("sk")]}),
    row("13 of a global index", "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        WITH_G, gsi(keys=[range_key("g")])),
    row("14 three keys",
        f"{ONE}Value '[KeySchemaElement(attributeName=a, keyType=HASH), KeySchemaElement(attributeName=b, keyType=RANGE), "
        f"KeySchemaElement(attributeName=c, keyType=RANGE)]' at 'keySchema' {FAIL}Member must have length less than or equal to 2",
        {"KeySchema": [hash_key("a"), range_key("b"), range_key("c")]}),
    row("14 no keys", f"{ONE}Value '[]' at 'keySchema' {FAIL}Member must have length greater than or equal to 1", {"KeySchema": []}),
    row("15 an unused definition",
        f"{OPVI}Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions",
        {"AttributeDefinitions": defined("pk", "z")}),
    row("16 an unused definition beside indexes",
        f"{OPVI}Some AttributeDefinitions are not used. AttributeDefinitions: [pk, g, z], keys used: [pk, g]",
        {"AttributeDefinitions": defined("pk", "g", "z")}, gsi()),
    row("16 before other faults of an index",
        f"{OPVI}Some AttributeDefinitions are not used. AttributeDefinitions: [pk, g, z], keys used: [pk, g]",
        {"AttributeDefinitions": defined("pk", "g", "z")}, gsi(projection={})),
    row("17 a definition twice", "Attribute Name is duplicated: pk", {"AttributeDefinitions": defined("pk", "pk")}),
    row("18 no global indexes", f"{OPVI}List of GlobalSecondaryIndexes is empty", {"GlobalSecondaryIndexes": []}),
    row("18 no local indexes", f"{OPVI}List of LocalSecondaryIndexes is empty", {"LocalSecondaryIndexes": []}),
    row("19 a local index without a range key of the table",
        f"{OPVI}Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        {"AttributeDefinitions": defined("pk", "l")}, lsi()),
    row("20 a local index without a range key", f"{OPVI}Index KeySchema does not have a range key for index: lsi",
        RANGED, {"AttributeDefinitions": defined("pk", "sk")}, lsi(keys=[hash_key("pk")])),
    row("21 a local index with another hash key",
        f"{OPVI}Index KeySchema does not have the same leading hash key as table KeySchema for index: lsi. "
        "index hash key: l, table hash key: pk",
        RANGED, lsi(keys=[hash_key("l"), range_key("sk")])),
    row("22 no projection", f"{ONE}Value null at '{at_gsi('projection')}' {NULL}", WITH_G, gsi(projection=None)),
    row("22 no name", f"{ONE}Value null at '{at_gsi('indexName')}' {NULL}", WITH_G, gsi(name=None)),
    row("22 a short name",
        f"{ONE}Value 'ab' at '{at_gsi('indexName')}' {FAIL}Member must have length greater than or equal to 3", WITH_G, gsi("ab")),
    row("22 a name of other characters", f"{ONE}Value 'a b!c' at '{at_gsi('indexName')}' {FAIL}{PATTERN}", WITH_G, gsi("a b!c")),
    row("23 no projection type", f"{OPVI}Unknown ProjectionType: null", WITH_G, gsi(projection={})),
    row("24 ALL with attributes", f"{OPVI}ProjectionType is ALL, but NonKeyAttributes is specified",
        WITH_G, gsi(projection={"ProjectionType": "ALL", "NonKeyAttributes": ["x"]})),
    row("24 KEYS_ONLY with attributes", f"{OPVI}ProjectionType is KEYS_ONLY, but NonKeyAttributes is specified",
        WITH_G, gsi(projection={"ProjectionType": "KEYS_ONLY", "NonKeyAttributes": ["x"]})),
    row("25 INCLUDE without attributes", f"{OPVI}ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        WITH_G, gsi(projection={"ProjectionType": "INCLUDE"})),
    row("26 INCLUDE of nothing",
        f"{ONE}Value '[]' at '{at_gsi('projection.nonKeyAttributes')}' {FAIL}Member must have length greater than or equal to 1",
        WITH_G, gsi(projection=include())),
    row("27 an attribute twice", f"{OPVI}Duplicate element in NonKeyAttributes: x", WITH_G, gsi(projection=include("x", "y", "x"))),
    row("28 more than 20 attributes",
        f"{ONE}Value '[{', '.join('a' * 21)}]' at '{at_gsi('projection.nonKeyAttributes')}' {FAIL}"
        "Member must have length less than or equal to 20",
        WITH_G, gsi(projection=include(*"a" * 21))),
    row("29 a name twice", f"{OPVI}Duplicate index name: lsi", RANGED, {"AttributeDefinitions": defined("pk", "sk", "l")},
        lsi(), gsi("lsi", keys=[hash_key("l")])),
    row("30 six local indexes", f"{OPVI}Number of LocalSecondaryIndexes exceeds per-table limit of 5",
        RANGED, lsi(*[f"lsi-{n}" for n in range(6)])),
    row("31 21 global indexes", f"{OPVI}GlobalSecondaryIndex count exceeds the per-table limit of 20", WITH_G, gsis(21)),
    row("32 units of an index on demand",
        f"{OPVI}ProvisionedThroughput should not be specified for index: gsi when BillingMode is PAY_PER_REQUEST",
        WITH_G, gsi(ProvisionedThroughput=units(1, 1))),
    row("33 an index without units", f"{OPVI}ProvisionedThroughput is not specified for index: gsi", PROVISIONED, WITH_G, gsi()),
    row("34 a hash key behind a range key",
        f"{OPVI}All HASH key attributes must precede RANGE key attributes in the KeySchema",
        {"AttributeDefinitions": defined("pk", "a", "b", "c")}, gsi(keys=[hash_key("a"), range_key("b"), hash_key("c")])),
    row("34 five hash keys", f"{OPVI}The KeySchema exceeds the maximum allowed number of HASH key attributes",
        {"AttributeDefinitions": defined("pk", *"abcde")}, gsi(keys=[hash_key(name) for name in "abcde"])),
    row("34 five range keys", f"{OPVI}The KeySchema exceeds the maximum allowed number of RANGE key attributes",
        {"AttributeDefinitions": defined("pk", *"abcdef")},
        gsi(keys=[hash_key("a")] + [range_key(name) for name in "bcdef"])),
    row("35 a type of encryption that is off", f"{OPVI}SSEType can not be specified if Enabled is false",
        {"SSESpecification": {"Enabled": False, "SSEType": "KMS"}}),
    row("35 a key without a type", f"{OPVI}SSEType KMS is required if KMSMasterKeyId is specified",
        {"SSESpecification": {"Enabled": True, "KMSMasterKeyId": "x"}}),
    row("35 AES256", f"{OPVI}SSEType AES256 is not supported", {"SSESpecification": {"Enabled": True, "SSEType": "AES256"}}),
    row("35 an unknown type", f"{ONE}Value 'X' at 'sSESpecification.sSEType' {FAIL}Member must satisfy enum value set: [AES256, KMS]",
        {"SSESpecification": {"Enabled": True, "SSEType": "X"}}),
    row("tags: a reserved prefix", "Tag Key cannot be prefixed with aws:, Key: aws:x", {"Tags": [{"Key": "aws:x", "Value": ""}]}),
    # Members are told in this order, whatever the order in the request.
    row("order of members",
        f"2 validation errors detected: Value null at 'keySchema' {NULL}; Value null at 'attributeDefinitions' {NULL}",
        {"KeySchema": None, "AttributeDefinitions": None}),
    row("order: the units before the key",
        f"3 validation errors detected: Value '0' at 'provisionedThroughput.writeCapacityUnits' {FAIL}"
        f"Member must have value greater than or equal to 1; Value null at 'keySchema' {NULL}; "
        f"Value 'X' at 'attributeDefinitions.1.member.attributeType' {FAIL}Member must satisfy enum value set: [B, N, S]",
        PROVISIONED,
        {"ProvisionedThroughput": units(1, 0), "KeySchema": None,
         "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "X"}]}),
    row("order: global indexes before local ones",
        f"2 validation errors detected: Value null at '{at_gsi('projection')}' {NULL}; "
        f"Value 'l' at 'localSecondaryIndexes.1.member.indexName' {FAIL}Member must have length greater than or equal to 3",
        RANGED, lsi("l"), gsi(projection=None)),
    row("order: billing before the key",
        f"{OPVI}ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        {"BillingMode": "PROVISIONED", "KeySchema": [range_key("other")]}),
    row("order: the key before indexes", "Invalid KeySchema: The first KeySchemaElement is not a HASH key type",
        WITH_G, {"KeySchema": [range_key("pk")]}, gsi(projection={})),
]


@pytest.mark.parametrize("request_, message", ROWS)
def test_create_table_refuses(shared_server, request_, message):
    answer = call(shared_server, "CreateTable", request_)
    assert error_of(answer) == (400, VALIDATION, "message", message)


def test_row_36_a_name_is_taken_in_any_case_of_the_request_but_not_of_the_name(shared_server, dynamodb):
    request = dict(BASE, TableName="Taken")
    assert call(shared_server, "CreateTable", request).status == 200
    taken = (400, "com.amazonaws.dynamodb.v20120810#ResourceInUseException", "message", "Table already exists: Taken")
    assert error_of(call(shared_server, "CreateTable", request)) == taken
    # The request itself is looked at first.
    assert error_of(call(shared_server, "CreateTable", request | {"KeySchema": [range_key("pk")]}))[1] == VALIDATION
    assert call(shared_server, "CreateTable", dict(BASE, TableName="taken")).status == 200
    for name in ("Taken", "taken"):
        dynamodb.delete_table(TableName=name)


def test_names_of_attributes_are_not_trimmed(shared_server, dynamodb):
    request = dict(BASE, TableName="untrimmed", AttributeDefinitions=defined(" pk"), KeySchema=[hash_key(" pk")])
    assert call(shared_server, "CreateTable", request).status == 200
    assert dynamodb.describe_table(TableName="untrimmed")["Table"]["KeySchema"] == [hash_key(" pk")]
    dynamodb.delete_table(TableName="untrimmed")


def test_a_table_has_twenty_global_and_five_local_indexes(dynamodb):
    request = {**BASE, **RANGED, **lsi(*[f"lsi-{n}" for n in range(5)]), **gsis(20, keys=[hash_key("l")]), "TableName": "full"}
    created = dynamodb.create_table(**request)["TableDescription"]
    assert [index["IndexName"] for index in created["GlobalSecondaryIndexes"]] == [f"gsi-{n}" for n in range(20)]
    assert [index["IndexName"] for index in created["LocalSecondaryIndexes"]] == [f"lsi-{n}" for n in range(5)]
    dynamodb.delete_table(TableName="full")
