"""Tags, encryption, policies, backups and the other settings of a table, with boto3."""

import json

import pytest

from conftest import make_table, post, refused as error_of


@pytest.fixture
def arn(dynamodb, table):
    return dynamodb.describe_table(TableName=table)["Table"]["TableArn"]


def tags_of(dynamodb, arn):
    pages = dynamodb.get_paginator("list_tags_of_resource").paginate(ResourceArn=arn)
    return {tag["Key"]: tag["Value"] for page in pages for tag in page["Tags"]}


def test_tags_are_set_and_taken_away(dynamodb, arn):
    many = {f"key-{n}": str(n) for n in range(25)}
    dynamodb.tag_resource(ResourceArn=arn, Tags=[{"Key": key, "Value": value} for key, value in many.items()])
    assert tags_of(dynamodb, arn) == many
    dynamodb.untag_resource(ResourceArn=arn, TagKeys=["key-3", "nothing"])
    del many["key-3"]
    assert tags_of(dynamodb, arn) == many
    code, message = error_of(dynamodb.tag_resource, ResourceArn=arn, Tags=[])
    assert (code, message) == ("ValidationException", "Atleast one Tag needs to be provided as Input.")


def test_tags_are_answered_with_no_byte_at_all(shared_server, arn):
    status, headers, body = post(shared_server, "DynamoDB_20120810.TagResource", {"ResourceArn": arn, "Tags": [{"Key": "a", "Value": "b"}]})
    assert (status, body, headers["x-amz-crc32"], headers["content-length"]) == (200, b"", "0", "0")
    status, _, body = post(shared_server, "DynamoDB_20120810.UntagResource", {"ResourceArn": arn, "TagKeys": ["a"]})
    assert (status, body) == (200, b"")


def test_settings_outlive_a_kill_and_go_with_their_table(start):
    server = start()
    client = server.client()
    request = {
        "TableName": "kept",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        "Tags": [{"Key": "team", "Value": "blue"}],
        "SSESpecification": {"Enabled": True},
    }
    arn = client.create_table(**request)["TableDescription"]["TableArn"]
    client.update_continuous_backups(TableName="kept", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    key = client.describe_table(TableName="kept")["Table"]["SSEDescription"]
    server.kill()

    client = start().client()
    assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == request["Tags"]
    assert client.describe_table(TableName="kept")["Table"]["SSEDescription"] == key
    described = client.describe_continuous_backups(TableName="kept")["ContinuousBackupsDescription"]
    assert described["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    client.delete_table(TableName="kept")
    make_table(client, "kept")
    assert client.list_tags_of_resource(ResourceArn=arn)["Tags"] == []
    assert "SSEDescription" not in client.describe_table(TableName="kept")["Table"]


def test_a_policy_is_kept_and_told_back(dynamodb, arn):
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "dynamodb:GetItem", "Resource": arn}],
    }
    assert error_of(dynamodb.get_resource_policy, ResourceArn=arn)[0] == "PolicyNotFoundException"
    assert "RevisionId" not in dynamodb.delete_resource_policy(ResourceArn=arn)
    revision = dynamodb.put_resource_policy(ResourceArn=arn, Policy=json.dumps(policy, indent=2))["RevisionId"]
    kept = dynamodb.get_resource_policy(ResourceArn=arn)
    assert (json.loads(kept["Policy"]), kept["RevisionId"]) == (policy, revision)
    assert dynamodb.delete_resource_policy(ResourceArn=arn)["RevisionId"] == revision
    assert int(dynamodb.delete_resource_policy(ResourceArn=arn)["RevisionId"]) > int(revision), "when that was"


def test_point_in_time_recovery_sticks(dynamodb, table):
    def status():
        answer = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        assert answer["ContinuousBackupsStatus"] == "ENABLED"
        return answer["PointInTimeRecoveryDescription"]

    assert status() == {"PointInTimeRecoveryStatus": "DISABLED"}
    dynamodb.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})
    enabled = status()
    assert (enabled["PointInTimeRecoveryStatus"], enabled["RecoveryPeriodInDays"]) == ("ENABLED", 35)
    assert enabled["EarliestRestorableDateTime"] <= enabled["LatestRestorableDateTime"]
    code, _ = error_of(dynamodb.describe_continuous_backups, TableName="nobody")
    assert code == "TableNotFoundException"
    code, message = error_of(dynamodb.restore_table_to_point_in_time, SourceTableName=table, TargetTableName="restored")
    assert code == "UnknownOperationException" and "RestoreTableToPointInTime" in message


def test_what_clients_read_in_passing_is_answered(dynamodb, table):
    insights = dynamodb.describe_contributor_insights(TableName=table)
    assert insights["ContributorInsightsStatus"] == "DISABLED"
    assert dynamodb.list_contributor_insights(TableName=table)["ContributorInsightsSummaries"] == []
    assert dynamodb.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"] == []
    assert dynamodb.list_backups(TableName=table)["BackupSummaries"] == []
    assert dynamodb.list_exports()["ExportSummaries"] == []
    assert dynamodb.list_imports()["ImportSummaryList"] == []
    assert dynamodb.list_global_tables()["GlobalTables"] == []
    assert dynamodb.describe_limits()["TableMaxReadCapacityUnits"] == 40_000
    assert error_of(dynamodb.describe_global_table, GlobalTableName="none")[0] == "GlobalTableNotFoundException"


def test_what_there_is_nothing_behind_is_told_to_have_failed(dynamodb, table):
    answer = dynamodb.update_contributor_insights(TableName=table, ContributorInsightsAction="ENABLE")
    assert answer["ContributorInsightsStatus"] == "ENABLING"
    failed = dynamodb.describe_contributor_insights(TableName=table)
    assert failed["ContributorInsightsStatus"] == "FAILED" and failed["FailureException"]["ExceptionDescription"]
    stream = "arn:aws:kinesis:us-east-1:000000000000:stream/changes"
    answer = dynamodb.enable_kinesis_streaming_destination(TableName=table, StreamArn=stream)
    assert answer["DestinationStatus"] == "ENABLING"
    [destination] = dynamodb.describe_kinesis_streaming_destination(TableName=table)["KinesisDataStreamDestinations"]
    assert destination["DestinationStatus"] == "ENABLE_FAILED" and destination["DestinationStatusDescription"]
    code, message = error_of(dynamodb.disable_kinesis_streaming_destination, TableName=table, StreamArn=stream)
    assert code == "ValidationException" and "must be ACTIVE to perform DISABLE operation" in message


def test_an_operation_that_is_not_there_yet_names_itself(dynamodb):
    code, message = error_of(dynamodb.create_backup, TableName="any", BackupName="any")
    assert (code, message) == ("UnknownOperationException", "Tailrace does not have the operation CreateBackup yet")


def test_what_newer_providers_set_is_found_again(dynamodb, table, arn):
    """The calls that newer Terraform providers and CloudFormation make for blocks that the tested provider has not."""
    client, updates = dynamodb, [
        {"DeletionProtectionEnabled": True},
        {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
        {"OnDemandThroughput": {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 20}},
        {"WarmThroughput": {"ReadUnitsPerSecond": 13_000, "WriteUnitsPerSecond": 5_000}},
        {"SSESpecification": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/mine"}},
    ]
    for update in updates:
        client.update_table(TableName=table, **update)
    described = client.describe_table(TableName=table)["Table"]
    assert described["DeletionProtectionEnabled"] is True
    assert described["TableClassSummary"]["TableClass"] == "STANDARD_INFREQUENT_ACCESS"
    assert described["OnDemandThroughput"] == {"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": 20}
    assert described["WarmThroughput"]["ReadUnitsPerSecond"] == 13_000
    assert described["SSEDescription"]["KMSMasterKeyArn"].startswith("arn:aws:kms:us-east-1:000000000000:key/")
    code, message = error_of(client.delete_table, TableName=table)
    assert code == "ValidationException" and "protected against deletion" in message
    client.update_table(TableName=table, DeletionProtectionEnabled=False)
    client.update_table(TableName=table, OnDemandThroughput={"MaxReadRequestUnits": -1, "MaxWriteRequestUnits": -1})
    described = client.describe_table(TableName=table)["Table"]
    assert described["DeletionProtectionEnabled"] is False and "OnDemandThroughput" not in described
