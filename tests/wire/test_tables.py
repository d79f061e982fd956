"""The table operations over boto3. Rows: docs/spec/dynamodb-api.md 2.1-2.4 and docs/spec/streams.md 2."""

from conftest import make_table, refused as error_of


def test_create_describe_list_delete(dynamodb):
    created = make_table(dynamodb, "life-cycle", range_key=("sk", "N"), stream="KEYS_ONLY")
    assert created["TableStatus"] == "CREATING"
    assert created["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
    dynamodb.get_waiter("table_exists").wait(TableName="life-cycle", WaiterConfig={"Delay": 1})
    described = dynamodb.describe_table(TableName="life-cycle")["Table"]
    assert described["TableStatus"] == "ACTIVE"
    assert described["TableId"] == created["TableId"]
    assert described["LatestStreamArn"] == created["LatestStreamArn"]
    assert described["TableArn"] == "arn:aws:dynamodb:us-east-1:000000000000:table/life-cycle"
    assert "life-cycle" in dynamodb.list_tables()["TableNames"]
    assert error_of(dynamodb.create_table, TableName="life-cycle", BillingMode="PAY_PER_REQUEST",
                    AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                    KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}]) == (
        "ResourceInUseException", "Table already exists: life-cycle")
    assert dynamodb.delete_table(TableName="life-cycle")["TableDescription"]["TableStatus"] == "DELETING"
    dynamodb.get_waiter("table_not_exists").wait(TableName="life-cycle", WaiterConfig={"Delay": 1})
    assert error_of(dynamodb.describe_table, TableName="life-cycle") == (
        "ResourceNotFoundException", "Requested resource not found: Table: life-cycle not found")


def test_a_deleted_table_takes_its_items_with_it(dynamodb):
    make_table(dynamodb, "phoenix")
    dynamodb.put_item(TableName="phoenix", Item={"pk": {"S": "old"}})
    dynamodb.delete_table(TableName="phoenix")
    make_table(dynamodb, "phoenix")
    assert dynamodb.scan(TableName="phoenix")["Items"] == []
    dynamodb.delete_table(TableName="phoenix")


def test_list_tables_pages(dynamodb):
    names = [f"page-{n}" for n in range(5)]
    for name in names:
        make_table(dynamodb, name)
    pages = dynamodb.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 2})
    listed = [name for page in pages for name in page["TableNames"]]
    assert [name for name in listed if name.startswith("page-")] == names
    assert listed == sorted(listed)
    for name in names:
        dynamodb.delete_table(TableName=name)


def test_update_table_turns_the_stream_off_and_on(dynamodb, table):
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    assert error_of(dynamodb.update_table, TableName=table,
                    StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}) == (
        "ValidationException", f"Table already has an enabled stream: TableName: {table}")
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    described = dynamodb.describe_table(TableName=table)["Table"]
    assert "StreamSpecification" not in described
    assert described["LatestStreamArn"] == arn
    dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    described = dynamodb.describe_table(TableName=table)["Table"]
    assert described["StreamSpecification"]["StreamViewType"] == "NEW_IMAGE"
    assert described["LatestStreamArn"] != arn


def test_limits_and_endpoints(dynamodb, shared_server):
    limits = dynamodb.describe_limits()
    assert limits["AccountMaxReadCapacityUnits"] == 80_000
    assert limits["TableMaxWriteCapacityUnits"] == 40_000
    endpoint = dynamodb.describe_endpoints()["Endpoints"][0]
    assert endpoint["Address"] == f"127.0.0.1:{shared_server.port}"
    assert endpoint["CachePeriodInMinutes"] == 1440


def test_operations_of_later_slices_are_refused_not_ignored(dynamodb, table):
    code, message = error_of(dynamodb.create_backup, TableName=table, BackupName="later")
    assert code == "UnknownOperationException" and "CreateBackup" in message
    code, message = error_of(
        dynamodb.update_table, TableName=table, ReplicaUpdates=[{"Create": {"RegionName": "eu-west-1"}}]
    )
    assert code == "ValidationException" and "ReplicaUpdates" in message
