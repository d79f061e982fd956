"""PartiQL over boto3. Rows: docs/spec/dynamodb-api.md 7.2, 7.3, 7.4."""

import pytest

from conftest import refused as error_of


def run(dynamodb, statement, *parameters, **arguments):
    if parameters:
        arguments["Parameters"] = list(parameters)
    return dynamodb.execute_statement(Statement=statement, **arguments)


def test_statements_write_read_and_delete_items(dynamodb, table):
    item = {"pk": {"S": "a"}, "n": {"N": "1"}, "l": {"L": [{"N": "1"}, {"BOOL": True}]}, "ss": {"SS": ["x", "y"]}, "b": {"B": b"\x00"}}
    insert = f"INSERT INTO \"{table}\" VALUE {{'pk': 'a', 'n': 1, 'l': [1, true], 'ss': <<'x', 'y'>>, 'b': ?}}"
    assert run(dynamodb, insert, {"B": b"\x00"})["Items"] == []
    assert dynamodb.get_item(TableName=table, Key={"pk": {"S": "a"}})["Item"] == item
    assert error_of(run, dynamodb=dynamodb, statement=insert.replace("?", "'z'")) == (
        "DuplicateItemException",
        "Duplicate primary key exists in table",
    )
    update = f"UPDATE \"{table}\" SET n = n + 1 SET ss = set_add(ss, <<'z'>>) REMOVE b WHERE pk = 'a' AND n = 1"
    assert run(dynamodb, update + " RETURNING MODIFIED NEW *")["Items"] == [{"n": {"N": "2"}, "ss": {"SS": ["x", "y", "z"]}}]
    assert error_of(run, dynamodb=dynamodb, statement=update) == (
        "ConditionalCheckFailedException",
        "The conditional request failed",
    )
    assert run(dynamodb, f"SELECT n, l[1] FROM \"{table}\" WHERE pk = ?", {"S": "a"})["Items"] == [{"n": {"N": "2"}, "l[1]": {"BOOL": True}}]
    deleted = run(dynamodb, f"DELETE FROM \"{table}\" WHERE pk = 'a' RETURNING ALL OLD *")["Items"]
    assert [item["n"] for item in deleted] == [{"N": "2"}]
    assert run(dynamodb, f"SELECT * FROM \"{table}\"")["Items"] == []


def test_every_write_emits_its_record(dynamodb, streams, table):
    run(dynamodb, f"INSERT INTO \"{table}\" VALUE {{'pk': 'a', 'n': 1}}")
    run(dynamodb, f"UPDATE \"{table}\" SET n = 2 WHERE pk = 'a'")
    dynamodb.execute_transaction(TransactStatements=[{"Statement": f"DELETE FROM \"{table}\" WHERE pk = 'a'"}])
    arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    found = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
        found += streams.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    assert [record["eventName"] for record in found] == ["INSERT", "MODIFY", "REMOVE"]


def test_pages_go_on_with_their_token_alone(dynamodb, ranged_table):
    for sk in range(7):
        dynamodb.put_item(TableName=ranged_table, Item={"pk": {"S": "a"}, "sk": {"N": str(sk)}})
    statement = f"SELECT sk FROM \"{ranged_table}\" WHERE pk = 'a' ORDER BY sk DESC"
    found, arguments = [], {"Limit": 3}
    while True:
        page = run(dynamodb, statement, **arguments)
        found += [int(item["sk"]["N"]) for item in page["Items"]]
        if "NextToken" not in page:
            break
        assert page["LastEvaluatedKey"]["sk"] == page["Items"][-1]["sk"]
        arguments["NextToken"] = token = page["NextToken"]
    assert found == [6, 5, 4, 3, 2, 1, 0]
    other = {"statement": f"SELECT * FROM \"{ranged_table}\"", "dynamodb": dynamodb, "NextToken": token}
    assert error_of(run, **other) == ("ValidationException", "NextToken does not match request")
    assert error_of(run, **{**other, "NextToken": "x"}) == ("ValidationException", "Invalid NextToken")


def test_statements_read_indexes(dynamodb):
    name = "partiql-indexed"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in (("pk", "S"), ("gk", "S"), ("gs", "N"))],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "gsi",
                "KeySchema": [{"AttributeName": "gk", "KeyType": "HASH"}, {"AttributeName": "gs", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    for number in range(4):
        run(dynamodb, f"INSERT INTO \"{name}\" VALUE {{'pk': 'p{number}', 'gk': 'g', 'gs': {number}, 'v': 1}}")
    run(dynamodb, f"INSERT INTO \"{name}\" VALUE {{'pk': 'q'}}")
    items = run(dynamodb, f"SELECT * FROM \"{name}\".\"gsi\" WHERE gk = 'g' AND gs > 1 ORDER BY gs DESC")["Items"]
    assert items == [{"pk": {"S": f"p{n}"}, "gk": {"S": "g"}, "gs": {"N": str(n)}} for n in (3, 2)]
    assert len(run(dynamodb, f"SELECT pk FROM \"{name}\".\"gsi\"")["Items"]) == 4
    assert len(run(dynamodb, f"SELECT pk FROM \"{name}\".\"gsi\" WHERE gk = 'g' AND gs IN [0, 3] AND pk <> 'p0'")["Items"]) == 1
    for statement, text in [
        (f"SELECT v FROM \"{name}\".\"gsi\" WHERE gk = 'g'", "One or more parameter values were invalid: Global secondary index gsi does not project [v]"),
        (f"SELECT * FROM \"{name}\".\"nope\"", "The table does not have the specified index"),
        (f"UPDATE \"{name}\".\"gsi\" SET v = 1 WHERE pk = 'p0'", "This operation is not supported on an index"),
    ]:
        assert error_of(run, dynamodb=dynamodb, statement=statement) == ("ValidationException", text)
    consistent = {"dynamodb": dynamodb, "statement": f"SELECT * FROM \"{name}\".\"gsi\"", "ConsistentRead": True}
    assert error_of(run, **consistent) == ("ValidationException", "Strongly consistent read is not supported on Global Secondary Indexes")
    dynamodb.delete_table(TableName=name)


@pytest.mark.parametrize(
    "statement, text",
    [
        ("SELECT", "Statement wasn't well formed, can't be processed: Unexpected term"),
        ("foo", "Unsupported operation: Id"),
        ("SELECT size(a) FROM t", "Unexpected path component at 1:8:4"),
        ("SELECT a FROM t WHERE foo(a)", "Unrecognized function: foo at 1:23:3"),
        ("SELECT a FROM t WHERE a = MISSING", "MISSING must be compared using IS operator"),
        ("SELECT a FROM t WHERE a = ?", "Number of parameters in request and statement don't match."),
        ("SELECT a AS b FROM t", "Aliasing is not supported"),
        ("UPDATE t", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
    ],
)
def test_what_is_no_statement_is_refused_before_its_table_is_looked_for(dynamodb, statement, text):
    assert error_of(run, dynamodb=dynamodb, statement=statement) == ("ValidationException", text)


def test_a_batch_answers_statement_by_statement(dynamodb, table):
    dynamodb.put_item(TableName=table, Item={"pk": {"S": "a"}})
    answer = dynamodb.batch_execute_statement(
        Statements=[
            {"Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': ?}}", "Parameters": [{"S": "b"}]},
            {"Statement": f"INSERT INTO \"{table}\" VALUE {{'pk': 'a'}}"},
            {"Statement": "nonsense"},
        ],
        ReturnConsumedCapacity="TOTAL",
    )
    assert answer["Responses"] == [
        {"TableName": table},
        {"TableName": table, "Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}},
        {"Error": {"Code": "ValidationError", "Message": "Unsupported operation: Id"}},
    ]
    assert answer["ConsumedCapacity"] == [{"TableName": table, "CapacityUnits": 2.0}]
    mixed = [{"Statement": f"SELECT * FROM \"{table}\" WHERE pk = 'a'"}, {"Statement": f"DELETE FROM \"{table}\" WHERE pk = 'b'"}]
    assert error_of(dynamodb.batch_execute_statement, Statements=mixed) == (
        "ValidationException",
        "Read and write requests together in the same batch is not supported.",
    )


def test_a_transaction_is_made_once_or_cancelled_with_reasons(dynamodb, table):
    def transact(*statements, **arguments):
        return dynamodb.execute_transaction(TransactStatements=[{"Statement": s} for s in statements], **arguments)

    insert = f"INSERT INTO \"{table}\" VALUE {{'pk': 'a', 'n': 1}}"
    for _ in range(2):
        assert transact(insert, ClientRequestToken="once")["Responses"] == []
    exists = f"EXISTS(SELECT * FROM \"{table}\" WHERE pk = 'a' AND n = 2)"
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as caught:
        transact(exists, f"INSERT INTO \"{table}\" VALUE {{'pk': 'b'}}")
    assert [reason["Code"] for reason in caught.value.response["CancellationReasons"]] == ["ConditionalCheckFailed", "None"]
    with pytest.raises(dynamodb.exceptions.TransactionCanceledException) as caught:
        transact(insert)
    assert caught.value.response["CancellationReasons"] == [
        {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
    ]
    answer = transact(f"SELECT n FROM \"{table}\" WHERE pk = 'a'", f"SELECT * FROM \"{table}\" WHERE pk = 'b'")
    assert answer["Responses"] == [{"Item": {"n": {"N": "1"}}}, {}]
