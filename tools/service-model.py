#!/usr/bin/env python3
"""Makes crates/core/model/*.json, the facts that requests are validated by, from an installed botocore.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install botocore
    /tmp/venv/bin/python tools/service-model.py crates/core/model

Only facts are taken (names, types, bounds, patterns, enums), no prose. What the service does differently from its own
model, and the orders in which it lists errors, is written down below; sources are the sections of the behaviour
specification that the comments name.
"""
import gzip
import json
import pathlib
import sys

import botocore

# Operations whose requests are validated; of all others only the name is kept.
VALIDATED = {
    "dynamodb": """CreateTable DescribeTable UpdateTable DeleteTable ListTables DescribeLimits DescribeEndpoints PutItem
        GetItem UpdateItem DeleteItem BatchGetItem BatchWriteItem TransactWriteItems TransactGetItems Query Scan
        UpdateTimeToLive DescribeTimeToLive
        ExecuteStatement BatchExecuteStatement ExecuteTransaction
        TagResource UntagResource ListTagsOfResource PutResourcePolicy GetResourcePolicy DeleteResourcePolicy
        UpdateContinuousBackups DescribeContinuousBackups UpdateContributorInsights DescribeContributorInsights
        ListContributorInsights EnableKinesisStreamingDestination DisableKinesisStreamingDestination
        UpdateKinesisStreamingDestination DescribeKinesisStreamingDestination ListBackups ListExports ListImports
        CreateGlobalTable DescribeGlobalTable UpdateGlobalTable ListGlobalTables DescribeGlobalTableSettings
        UpdateGlobalTableSettings
        """.split(),
    "dynamodbstreams": "ListStreams DescribeStream GetShardIterator GetRecords".split(),
    "firehose": """CreateDeliveryStream DeleteDeliveryStream DescribeDeliveryStream ListDeliveryStreams PutRecord PutRecordBatch
        UpdateDestination TagDeliveryStream UntagDeliveryStream ListTagsForDeliveryStream StartDeliveryStreamEncryption
        StopDeliveryStreamEncryption""".split(),
}
VERSIONS = {"dynamodb": "2012-08-10", "dynamodbstreams": "2012-08-10", "firehose": "2015-08-04"}
# The one pattern that is looked at here. Those of the services' other shapes are the business of whoever reads them.
PATTERN = "[a-zA-Z0-9_.-]+"
# Enums whose text in the newer wording has neither value nor path (1.5); the odd names are the service's.
CURRENT_ENUMS = {"ReturnValue": "ALL_OLD UPDATED_OLD ALL_NEW UPDATE_NEW NONE", "ConditionalOperator": "ALL OR"}
# TableClass has a text of its own (1.5), an empty or too large batch too (7.1), and a stream's ARN (streams 4): the operations check them.
# The patterns are those of operations that are refused whatever they are sent (2), or of a token that no answer has (8.6).
UNCHECKED = {"TableClass": ["enum"], "BatchWriteItemRequestMap": ["min", "max"], "StreamArn": ["min", "max"],
             "AutoScalingRoleArn": ["pattern"], "AutoScalingPolicyName": ["pattern"], "ImportNextToken": ["pattern"]}
# Members whose shape or need differs from the model: operation input or shape -> member -> (shape, required).
MEMBERS = {
    "CreateTableInput": {"KeySchema": ("TableKeySchema", True), "AttributeDefinitions": (None, True)},
    # Several attributes are for the keys of global indexes only (2.1 row 34).
    "LocalSecondaryIndex": {"KeySchema": ("TableKeySchema", True)},
    # Any other name is looked for, and not found (5.3).
    "QueryInput": {"IndexName": ("NameOfAnyIndex", False)},
    "ScanInput": {"IndexName": ("NameOfAnyIndex", False)},
    "ListStreamsInput": {"Limit": ("HundredLimit", False)},
    "DescribeStreamInput": {"Limit": ("HundredLimit", False)},
    "GetRecordsInput": {"Limit": ("ThousandLimit", False)},
    "ShardFilter": {"Type": (None, True), "ShardId": (None, True)},
    # ARNs of resources and tags have texts of their own (8.3).
    "TagResourceInput": {"ResourceArn": ("AnyText", False), "Tags": (None, False)},
    "UntagResourceInput": {"ResourceArn": ("AnyText", False), "TagKeys": ("AnyTexts", False)},
    "ListTagsOfResourceInput": {"ResourceArn": ("AnyText", False)},
    "Tag": {"Key": ("AnyText", False), "Value": ("AnyText", False)},
    "PutResourcePolicyInput": {"ResourceArn": ("AnyText", True)},
    "GetResourcePolicyInput": {"ResourceArn": ("AnyText", True)},
    "DeleteResourcePolicyInput": {"ResourceArn": ("AnyText", True)},
    # The length of a name has a text of its own (1.6).
    "DescribeContributorInsightsInput": {"IndexName": ("AnyText", False)},
    "UpdateContributorInsightsInput": {"IndexName": ("AnyText", False)},
    "CreateGlobalTableInput": {"GlobalTableName": ("AnyText", True)},
    "DescribeGlobalTableInput": {"GlobalTableName": ("AnyText", True)},
    "UpdateGlobalTableInput": {"GlobalTableName": ("AnyText", True)},
    "DescribeGlobalTableSettingsInput": {"GlobalTableName": ("AnyText", True)},
    "UpdateGlobalTableSettingsInput": {"GlobalTableName": ("AnyText", True)},
    "KinesisStreamingDestinationInput": {"StreamArn": ("KinesisStreamArn", True)},
    "UpdateKinesisStreamingDestinationInput": {"StreamArn": ("KinesisStreamArn", True)},
}
# What delivery streams cannot have here is refused by its name, whatever is in it.
REFUSED = "Splunk Snowflake Iceberg".split()
SOURCES = "MSKSourceConfiguration DatabaseSourceConfiguration".split()
FIREHOSE_MEMBERS = {
    "CreateDeliveryStreamInput": {
        name: ("Unread", False) for name in [f"{of}DestinationConfiguration" for of in REFUSED] + SOURCES
    },
    "UpdateDestinationInput": {f"{of}DestinationUpdate": ("Unread", False) for of in REFUSED},
    "ExtendedS3DestinationConfiguration": {"DataFormatConversionConfiguration": ("FormatConversion", False)},
    "ExtendedS3DestinationUpdate": {"DataFormatConversionConfiguration": ("FormatConversion", False)},
}
# Lists that have what may be a secret in them: an error about one would print it whole.
SENSITIVE = ["HttpEndpointCommonAttributesList"]
EXTRA = {
    "firehose": {
        "Unread": {"type": "structure", "members": []},
        "FormatConversion": {"type": "structure", "members": [["Enabled", "BooleanObject", False]]},
        "BooleanObject": {"type": "boolean"},
    },
    "dynamodb": {
        "TableKeySchema": {"type": "list", "member": "KeySchemaElement", "min": 1, "max": 2},
        "NameOfAnyIndex": {"type": "string", "min": 1},
        "AnyText": {"type": "string"},
        "AnyTexts": {"type": "list", "member": "AnyText"},
        "KinesisStreamArn": {"type": "string", "min": 37, "max": 1024},
    },
    "dynamodbstreams": {
        "HundredLimit": {"type": "integer", "min": 1, "max": 100},
        "ThousandLimit": {"type": "integer", "min": 1, "max": 1000},
    },
}
# Members that the model does not have, and that are not ignored like any other: the operation refuses them by name (2).
KEPT = {
    "CreateTable": "ReplicaUpdates MultiRegionConsistency GlobalTableWitnessUpdates VectorIndexUpdates",
    "UpdateTable": "VectorIndexes",
}
# Nested structures whose members are listed in another order than the model's (2.5).
ORDERS = {
    "ProvisionedThroughput": "WriteCapacityUnits ReadCapacityUnits",
    "ExpectedAttributeValue": "AttributeValueList ComparisonOperator Exists Value",
    "GlobalSecondaryIndexUpdate": "Update Create Delete",
}
# Operations that the newer wording covers (Two wordings).
NEWER = "PutItem UpdateItem DeleteItem GetItem BatchGetItem Query Scan".split()
# The older wording's order of members (2.5).
CLASSIC = {
    "PutItem": """ReturnConsumedCapacity TableName Item ConditionalOperator Expected ReturnValues
        ReturnItemCollectionMetrics""",
    "GetItem": "ReturnConsumedCapacity AttributesToGet TableName Key",
    "UpdateItem": """ReturnConsumedCapacity TableName ReturnItemCollectionMetrics ReturnValues Key ConditionalOperator
        Expected""",
    "DeleteItem": """ReturnConsumedCapacity TableName ReturnValues ReturnItemCollectionMetrics Key ConditionalOperator
        Expected""",
    "Query": """Select IndexName ReturnConsumedCapacity QueryFilter TableName ConditionalOperator AttributesToGet Limit
        KeyConditions""",
    "Scan": """Select IndexName TotalSegments ReturnConsumedCapacity TableName ConditionalOperator ScanFilter Segment Limit
        AttributesToGet""",
    "BatchGetItem": "ReturnConsumedCapacity RequestItems",
    "BatchWriteItem": "ReturnConsumedCapacity ReturnItemCollectionMetrics RequestItems",
    "TransactWriteItems": "TransactItems ClientRequestToken ReturnConsumedCapacity ReturnItemCollectionMetrics",
    "CreateTable": """AttributeDefinitions TableName BillingMode ProvisionedThroughput KeySchema LocalSecondaryIndexes
        GlobalSecondaryIndexes""",
    "UpdateTable": "TableName ProvisionedThroughput BillingMode GlobalSecondaryIndexUpdates",
    "ListTables": "Limit ExclusiveStartTableName",
}
# The newer wording's order; `|` ends a group: the first group with an error is all that is reported (1.6, 2.5).
CURRENT = {
    "PutItem": """TableName Item ReturnConsumedCapacity ReturnValues ReturnItemCollectionMetrics
        ReturnValuesOnConditionCheckFailure""",
    "DeleteItem": """TableName Key ReturnConsumedCapacity ReturnValues ReturnItemCollectionMetrics
        ReturnValuesOnConditionCheckFailure""",
    "GetItem": "Key TableName ReturnConsumedCapacity",
    "UpdateItem": """TableName | ReturnValues | ReturnConsumedCapacity | ReturnItemCollectionMetrics |
        ReturnValuesOnConditionCheckFailure""",
    "Query": "Limit | TableName ReturnConsumedCapacity Select",
    "Scan": "Limit | Segment | TotalSegments | ReturnConsumedCapacity Select * | TableName",
    "CreateTable": """TableName BillingMode ProvisionedThroughput KeySchema AttributeDefinitions GlobalSecondaryIndexes
        LocalSecondaryIndexes""",
    "ListTables": "ExclusiveStartTableName Limit",
}
# How a member `TableName` is reported: as on the data plane, or as on the control plane (1.6).
DATA_PLANE = "PutItem UpdateItem DeleteItem GetItem TransactWriteItems TransactGetItems Query Scan".split()
# The settings of a table: as the data plane (1.6).
SETTINGS = """UpdateContinuousBackups DescribeContinuousBackups UpdateContributorInsights DescribeContributorInsights
    ListContributorInsights EnableKinesisStreamingDestination DisableKinesisStreamingDestination
    UpdateKinesisStreamingDestination DescribeKinesisStreamingDestination ListBackups""".split()
# They tell every fault of a table's name, the others one.
ALL_NAME_FAULTS = ["UpdateItem", "Scan", *SETTINGS]
CONTROL_PLANE = "CreateTable DescribeTable UpdateTable DeleteTable UpdateTimeToLive DescribeTimeToLive".split()


def load(service):
    data = pathlib.Path(botocore.__file__).parent / "data" / service / VERSIONS[service] / "service-2.json.gz"
    return json.loads(gzip.decompress(data.read_bytes()))


def groups(order, members):
    named = order.replace("|", " ").replace("*", " ").split()
    rest = [m for m in members if m not in named]
    result = [g.split() for g in order.split("|")]
    if "*" in order:
        result = [[m for w in g for m in (rest if w == "*" else [w])] for g in result]
    else:
        result[-1] += rest
    return result


def as_printed(names):
    """The names of an enum in the order in which the service prints them (1.5): as a table of 32 places holds them by Java's
    hash of each, and those in one place by the alphabet. Every set that was seen of AWS is in that order."""
    def place(name):
        value = 0
        for character in name:
            value = (31 * value + ord(character)) & 31
        return value

    return sorted(sorted(names), key=place)


def make(service):
    model = load(service)
    shapes, result = model["shapes"], {}

    def visit(name):
        if name in result:
            return
        if name in EXTRA[service]:
            result[name] = EXTRA[service][name]
            if "member" in result[name]:
                visit(result[name]["member"])
            for _, target, _ in result[name].get("members", ()):
                visit(target)
            return
        shape = shapes[name]
        if name == "AttributeValue":
            result[name] = {"type": "value"}
            return
        made = {"type": {"timestamp": "double"}.get(shape["type"], shape["type"])}
        result[name] = made
        for trait in ("min", "max", "pattern", "enum"):
            if trait == "pattern" and service == "firehose" and shape.get(trait) != PATTERN:
                continue
            if trait in shape and trait not in UNCHECKED.get(name, ()):
                made[trait] = shape[trait]
        if "enum" in made and service != "firehose":
            made["enum"] = as_printed(made["enum"])
        if name in CURRENT_ENUMS:
            made["enum_current"] = CURRENT_ENUMS[name].split()
        if made["type"] == "structure":
            required = shape.get("required", [])
            own = (FIREHOSE_MEMBERS if service == "firehose" else MEMBERS).get(name, {})
            order = ORDERS.get(name, "").split()
            names = order + [m for m in shape["members"] if m not in order]
            made["members"] = []
            for member in names:
                other, needed = own.get(member, (None, member in required))
                target = other or shape["members"][member]["shape"]
                if member == "TableName" and target == "TableArn":
                    target = "TableName"
                made["members"].append([member, target, needed])
                visit(target)
        elif made["type"] == "list":
            made["member"] = shape["member"]["shape"]
            visit(made["member"])
        elif made["type"] == "map":
            made["key"], made["value"] = shape["key"]["shape"], shape["value"]["shape"]
            visit(made["key"])
            visit(made["value"])
        # Of what may be a secret, errors say nothing.
        if service == "firehose" and (shape.get("sensitive") or name in SENSITIVE):
            made["sensitive"] = True

    operations = {}
    for name, operation in sorted(model["operations"].items()):
        if name not in VALIDATED[service]:
            operations[name] = None
            continue
        source = operation["input"]["shape"]
        visit(source)
        members = [m[0] for m in result[source]["members"]]
        made = {"input": source}
        made["current"] = groups(CURRENT.get(name, CLASSIC.get(name, "")), members)
        made["classic"] = groups(CLASSIC.get(name, ""), members)
        if service == "dynamodb":
            made["newer"] = name in NEWER
            data = "data_all" if name in ALL_NAME_FAULTS else "data"
            made["table_name"] = data if name in (*DATA_PLANE, *SETTINGS) else "control" if name in CONTROL_PLANE else "none"
        if name in KEPT:
            made["kept"] = KEPT[name].split()
        operations[name] = made
    return {"operations": operations, "shapes": dict(sorted(result.items()))}


def write(path, model):
    lines = ["{", ' "operations": {']
    part = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in model["operations"].items()]
    lines += [",\n".join(part), " },", ' "shapes": {']
    part = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in model["shapes"].items()]
    lines += [",\n".join(part), " }", "}"]
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    for service in VALIDATED:
        write(pathlib.Path(sys.argv[1]) / f"{service}.json", make(service))
