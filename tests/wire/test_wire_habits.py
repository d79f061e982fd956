"""What most emulators get wrong: one test a row of docs/spec/dynamodb-api.md 9, over plain HTTP, in the order of the rows.

Row 3's sizes of every type, and rows 16, 17 and 30 beyond what is here, are in test_transactions.py and test_ttl.py.
"""

import pytest

from conftest import make_table, wait_until
from raw_http import call, error_of
from wording import NAMESPACE, VALIDATION

INVALID = "1 validation error detected: "
PARAMETER = "One or more parameter values were invalid: "


def s(text):
    return {"S": text}


def n(text):
    return {"N": str(text)}


class Table:
    def __init__(self, server, name):
        self.server, self.name = server, name

    def __call__(self, operation, **members):
        return call(self.server, operation, {"TableName": self.name} | members)

    def ok(self, operation, **members):
        answer = self(operation, **members)
        assert answer.status == 200, answer.text
        return answer.json

    def refused(self, operation, message, **members):
        assert error_of(self(operation, **members)) == (400, VALIDATION, "message", message)

    def put(self, **item):
        self.ok("PutItem", Item=item)

    def get(self, **key):
        return self.ok("GetItem", Key=key, ConsistentRead=True).get("Item")

    def update(self, expression, key=None, values=None, **members):
        values = {"ExpressionAttributeValues": values} if values else {}
        return self.ok("UpdateItem", Key=key or {"pk": s("k")}, UpdateExpression=expression, **values, **members)

    def keys_where(self, condition, **values):
        members = {"ExpressionAttributeValues": values} if values else {}
        found = self.ok("Scan", FilterExpression=condition, **members)["Items"]
        return sorted(item["pk"]["S"] for item in found)


@pytest.fixture
def t(shared_server, table):
    return Table(shared_server, table)


@pytest.fixture
def ranged(shared_server, ranged_table):
    return Table(shared_server, ranged_table)


@pytest.fixture
def indexed(shared_server, dynamodb, request):
    """pk (S), sk (N); the index `by-g` on g (S), KEYS_ONLY."""
    name = "x-" + request.node.name.replace("_", "-")[:200]
    call(shared_server, "CreateTable", {
        "TableName": name,
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "AttributeDefinitions": [{"AttributeName": a, "AttributeType": k} for a, k in [("pk", "S"), ("sk", "N"), ("g", "S")]],
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}], "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        "BillingMode": "PAY_PER_REQUEST",
    })
    yield Table(shared_server, name)
    dynamodb.delete_table(TableName=name)


def test_row_1_numbers_are_decimals_of_38_digits(ranged):
    big = "1234567890123456789012345678901234567"
    for last in "89":
        ranged.put(pk=s("k"), sk=n(big + last), v=n(last))
    assert ranged.get(pk=s("k"), sk=n(big + "8"))["v"] == n(8)
    assert ranged.get(pk=s("k"), sk=n(big + "9"))["v"] == n(9)
    for text in ["1", "1.0", "0.1e1", "10E-1"]:
        ranged.put(pk=s("one"), sk=n(text), text=s(text))
    found = ranged.ok("Query", KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": s("one")})["Items"]
    assert found == [{"pk": s("one"), "sk": n(1), "text": s("10E-1")}]
    key = {"pk": s("one"), "sk": n(1)}
    ranged.update("SET a = :a, b = :set", key, {":a": n("0.1"), ":set": {"NS": ["1"]}})
    ranged.update("SET a = a + :b ADD b :set", key, {":b": n("0.2"), ":set": {"NS": ["1.00", "2"]}})
    item = ranged.get(**key)
    assert (item["a"], item["b"]) == (n("0.3"), {"NS": ["1", "2"]})
    equal = ranged.ok("Scan", FilterExpression="a = :a", ExpressionAttributeValues={":a": n("3e-1")})
    assert equal["Count"] == 1
    ranged.refused("PutItem", f"{INVALID}Attempting to store more than 38 significant digits in a Number",
                   Item={"pk": s("k"), "sk": n(big + "81")})


@pytest.mark.parametrize(
    "sent, stored",
    [("-0", "0"), ("0.00", "0"), (".5", "0.5"), ("5.", "5"), ("+1E2", "100"), ("00012.500", "12.5"), ("1e-3", "0.001"),
     ("1e125", "1" + "0" * 125), ("1e-130", "0." + "0" * 129 + "1")],
)
def test_row_2_a_number_comes_back_as_a_plain_decimal(t, sent, stored):
    t.put(pk=s("k"), v=n(sent), set={"NS": [sent]}, list={"L": [n(sent)]})
    assert t.get(pk=s("k")) == {"pk": s("k"), "v": n(stored), "set": {"NS": [stored]}, "list": {"L": [n(stored)]}}


def test_row_3_the_size_of_an_item_is_not_that_of_its_json(t):
    room = 409_600 - len("pk" "k" "v")
    t.put(pk=s("k"), v=s("x" * room))
    t.refused("PutItem", "Item size has exceeded the maximum allowed size", Item={"pk": s("k"), "v": s("x" * (room + 1))})
    t.put(pk=s("k"), v=s("\n" * room))
    # The request's own charge: 3, 19 for SET, the name and the value.
    room = 409_600 - 3 - 19 - len("v")
    t.update("SET v = :v", values={":v": s("x" * room)})
    t.refused("UpdateItem", "Item size to update has exceeded the maximum allowed size", Key={"pk": s("k")},
              UpdateExpression="SET v = :v", ExpressionAttributeValues={":v": s("x" * (room + 1))})


def test_row_4_expressions_are_checked_before_the_lookup(shared_server, t):
    syntax = 'Invalid {}Expression: Syntax error; token: "<EOF>", near: "="'
    nowhere = Table(shared_server, "nowhere")
    for table in [t, nowhere]:
        key = {"Key": {"pk": s("absent")}}
        table.refused("DeleteItem", INVALID + syntax.format("Condition"), **key, ConditionExpression="a =")
        table.refused("UpdateItem", INVALID + syntax.format("Update"), **key, UpdateExpression="SET a =")
        table.refused("Scan", syntax.format("Filter"), FilterExpression="a =")
        table.refused("GetItem", "Invalid ProjectionExpression: Two document paths overlap with each other; must remove or rewrite "
                      "one of these paths; path one: [a, b], path two: [a]", **key, ProjectionExpression="a.b, a")
        table.refused("GetItem", "Invalid ProjectionExpression: Attribute name is a reserved keyword; reserved keyword: name", **key,
                      ProjectionExpression="name")
        table.refused("DeleteItem", INVALID + "Invalid ConditionExpression: An expression attribute value used in expression is not "
                      "defined; attribute value: :v", **key, ConditionExpression="a = :v")
    assert error_of(nowhere("GetItem", Key={"pk": s("k")}))[1] == NAMESPACE + "ResourceNotFoundException"


def test_row_5_unused_placeholders_and_empty_maps_are_refused(t):
    key = {"Key": {"pk": s("k")}}
    t.refused("GetItem", "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}", **key,
              ProjectionExpression="#a", ExpressionAttributeNames={"#a": "a", "#b": "b"})
    t.refused("DeleteItem", INVALID + "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}", **key,
              ConditionExpression="a = :a", ExpressionAttributeValues={":a": n(1), ":b": n(1)})
    t.refused("GetItem", "ExpressionAttributeNames must not be empty", **key, ProjectionExpression="a", ExpressionAttributeNames={})
    t.refused("DeleteItem", INVALID + "ExpressionAttributeValues must not be empty", **key, ConditionExpression="attribute_exists(a)",
              ExpressionAttributeValues={})
    t.refused("GetItem", "ExpressionAttributeNames can only be specified when using expressions", **key,
              ExpressionAttributeNames={"#a": "a"})


def test_row_6_an_update_reads_the_item_as_it_was(t):
    t.put(pk=s("k"), a=n(1), b=n(2), l={"L": [n(0), n(1), n(2)]})
    t.update("SET a = b, b = a REMOVE l[0], l[1]")
    assert t.get(pk=s("k")) == {"pk": s("k"), "a": n(2), "b": n(1), "l": {"L": [n(2)]}}


def test_row_7_a_set_behind_the_end_of_a_list_appends(t):
    t.put(pk=s("k"), l={"L": [n(0)]})
    t.update("SET l[9] = :b, l[5] = :a", values={":a": n(1), ":b": n(2)})
    assert t.get(pk=s("k"))["l"] == {"L": [n(0), n(1), n(2)]}


def test_row_8_a_missing_attribute_differs_from_everything(t):
    t.put(pk=s("has"), v=n(1))
    t.put(pk=s("has not"))
    one = {":v": n(1)}
    assert t.keys_where("v <> :v", **one) == ["has not"]
    assert t.keys_where("NOT v < :v", **one) == ["has", "has not"]
    assert t.keys_where("v < :v", **one) == []
    assert t.keys_where("NOT v = :v", **one) == ["has not"]
    assert t.keys_where("v <> w") == ["has", "has not"]


def test_row_9_a_number_has_no_size(t):
    t.put(pk=s("n"), v=n(123))
    t.put(pk=s("s"), v=s("é\U0001F600"))
    assert t.keys_where("size(v) >= :zero", **{":zero": n(0)}) == ["s"]
    assert t.keys_where("size(v) = :three", **{":three": n(3)}) == ["s"]
    assert t.keys_where("size(v) <> :three", **{":three": n(3)}) == ["n"]
    t.refused("Scan", "Invalid FilterExpression: Incorrect operand type for operator or function; operator or function: size, "
              "operand type: N", FilterExpression="size(:v) = :v", ExpressionAttributeValues={":v": n(1)})


def test_row_10_a_page_is_cut_before_it_is_filtered(ranged):
    for number in range(6):
        ranged.put(pk=s("k"), sk=n(number))
    query = {"KeyConditionExpression": "pk = :p", "FilterExpression": "v = :p", "ExpressionAttributeValues": {":p": s("k")}}
    page = ranged.ok("Query", Limit=4, **query)
    assert page == {"Items": [], "Count": 0, "ScannedCount": 4, "LastEvaluatedKey": {"pk": s("k"), "sk": n(3)}}
    page = ranged.ok("Query", Limit=4, ExclusiveStartKey=page["LastEvaluatedKey"], **query)
    assert page == {"Items": [], "Count": 0, "ScannedCount": 2}
    # 1 MB of what is read, not of what is found.
    for number in range(4):
        ranged.put(pk=s("large"), sk=n(number), v=s("x" * 400_000))
    large = {":p": s("large"), ":no": s("no")}
    page = ranged.ok("Query", KeyConditionExpression="pk = :p", FilterExpression="v = :no", ExpressionAttributeValues=large)
    assert (page["Count"], page["ScannedCount"], page["LastEvaluatedKey"]["sk"]) == (0, 3, n(2))


def test_row_11_a_query_does_not_filter_on_keys_and_a_scan_does(ranged):
    ranged.put(pk=s("k"), sk=n(1))
    ranged.refused("Query", "Filter Expression can only contain non-primary key attributes: Primary key attribute: sk",
                   KeyConditionExpression="pk = :p", FilterExpression="sk = :s", ExpressionAttributeValues={":p": s("k"), ":s": n(1)})
    assert ranged.ok("Scan", FilterExpression="sk = :s", ExpressionAttributeValues={":s": n(1)})["Count"] == 1


def test_row_12_an_index_has_no_consistent_reads(indexed):
    text = "Consistent reads are not supported on global secondary indexes"
    indexed.refused("Scan", text, IndexName="by-g", ConsistentRead=True)
    indexed.refused("Query", text, IndexName="by-g", ConsistentRead=True, KeyConditionExpression="g = :g",
                    ExpressionAttributeValues={":g": s("g")})


def test_row_13_pages_of_equal_index_keys_lose_and_repeat_nothing(indexed):
    for number in range(7):
        indexed.put(pk=s(f"k{number % 3}"), sk=n(number), g=s("same"))
    seen, start = [], {}
    while True:
        page = indexed.ok("Query", IndexName="by-g", Limit=2, KeyConditionExpression="g = :g",
                          ExpressionAttributeValues={":g": s("same")}, **start)
        seen += [item["sk"]["N"] for item in page["Items"]]
        if "LastEvaluatedKey" not in page:
            break
        assert sorted(page["LastEvaluatedKey"]) == ["g", "pk", "sk"]
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(seen) == [str(number) for number in range(7)]


def test_row_14_sort_keys_have_the_order_of_their_type(shared_server, dynamodb, ranged):
    for number in ["10", "9", "-1", "-10", "0", "1e2", "0.5"]:
        ranged.put(pk=s("k"), sk=n(number))
    query = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": s("k")}}
    assert [item["sk"]["N"] for item in ranged.ok("Query", **query)["Items"]] == ["-10", "-1", "0", "0.5", "9", "10", "100"]
    name = "habit-14"
    make_table(dynamodb, name, range_key=("sk", "S"))
    texts = Table(shared_server, name)
    # By UTF-8 the emoji is last; by UTF-16 it would be before U+FFFD.
    ordered = ["A", "Z", "a", "ab", "b", "é", "\ufffd", "\U0001F600"]
    for text in reversed(ordered):
        texts.put(pk=s("k"), sk=s(text))
    assert [item["sk"]["S"] for item in texts.ok("Query", **query)["Items"]] == ordered
    begins = texts.ok("Query", KeyConditionExpression="pk = :p AND begins_with(sk, :a)",
                      ExpressionAttributeValues={":p": s("k"), ":a": s("a")})
    assert [item["sk"]["S"] for item in begins["Items"]] == ["a", "ab"]
    dynamodb.delete_table(TableName=name)


def test_row_15_an_item_without_the_index_key_is_not_in_it_and_a_wrong_one_is_refused(indexed):
    indexed.put(pk=s("k"), sk=n(1))
    assert indexed.ok("Scan", IndexName="by-g")["Count"] == 0
    item = {"pk": s("k"), "sk": n(1)}
    indexed.refused("PutItem", PARAMETER + "Type mismatch for Index Key g Expected: S Actual: N IndexName: by-g", Item=item | {"g": n(1)})
    indexed.refused("PutItem", "One or more parameter values are not valid. A value specified for a secondary index key is not supported. "
                    "The AttributeValue for a key attribute cannot contain an empty string value. IndexName: by-g, IndexKey: g",
                    Item=item | {"g": s("")})
    assert indexed.get(pk=s("k"), sk=n(1)) == item


def put(table, key, **members):
    return {"Put": {"TableName": table.name, "Item": {"pk": s(key)}, **members}}


def test_row_16_a_cancelled_transaction_has_a_reason_for_each_action(t):
    t.put(pk=s("b"), v=n(1))
    failing = {"ConditionExpression": "attribute_not_exists(pk)"}
    answer = call(t.server, "TransactWriteItems", {"TransactItems": [
        put(t, "a"), put(t, "b", **failing, ReturnValuesOnConditionCheckFailure="ALL_OLD"),
        put(t, "c", ConditionExpression="attribute_exists(pk)"),
    ]})
    error = answer.json
    assert (answer.status, error["__type"]) == (400, NAMESPACE + "TransactionCanceledException")
    assert error["Message"] == ("Transaction cancelled, please refer cancellation reasons for specific reasons "
                                "[None, ConditionalCheckFailed, ConditionalCheckFailed]")
    failed = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
    assert error["CancellationReasons"] == [{"Code": "None"}, failed | {"Item": {"pk": s("b"), "v": n(1)}}, failed]
    # A key that is none hides the other reasons.
    keyless = call(t.server, "TransactWriteItems", {"TransactItems": [
        put(t, "b", **failing),
        {"Update": {"TableName": t.name, "Key": {"wrong": s("k")}, "UpdateExpression": "SET a = b"}},
    ]})
    assert keyless.json["CancellationReasons"] == [
        {"Code": "None"}, {"Code": "ValidationError", "Message": "The provided key element does not match the schema"},
    ]
    assert t.get(pk=s("a")) is None
    # What concerns the request is told at the top.
    wrong = call(t.server, "TransactWriteItems", {"TransactItems": [put(t, "a", ConditionExpression="a =")]})
    assert error_of(wrong)[1] == VALIDATION
    twice = call(t.server, "TransactWriteItems", {"TransactItems": [put(t, "a"), put(t, "a")]})
    assert error_of(twice)[3] == "Transaction request cannot include multiple operations on one item"


def test_row_17_a_token_makes_a_transaction_happen_once(t):
    add = {"Update": {"TableName": t.name, "Key": {"pk": s("k")}, "UpdateExpression": "ADD v :one",
                      "ExpressionAttributeValues": {":one": n(1)}}}
    body = {"TransactItems": [add], "ClientRequestToken": "token-of-row-17", "ReturnConsumedCapacity": "TOTAL"}
    first, second = [call(t.server, "TransactWriteItems", body) for _ in range(2)]
    assert (first.status, second.status) == (200, 200)
    assert t.get(pk=s("k"))["v"] == n(1)
    written, read = [answer.json["ConsumedCapacity"][0] for answer in (first, second)]
    assert "WriteCapacityUnits" in written and "ReadCapacityUnits" in read and "WriteCapacityUnits" not in read
    other = call(t.server, "TransactWriteItems", body | {"TransactItems": [put(t, "other")]})
    assert error_of(other)[:2] == (400, NAMESPACE + "IdempotentParameterMismatchException")


def test_row_18_returned_values_are_fragments(t):
    t.put(pk=s("k"), m={"M": {"a": n(1), "b": n(2)}}, gone=n(0))
    new = t.update("SET m.a = :v", values={":v": n(9)}, ReturnValues="UPDATED_NEW")
    assert new == {"Attributes": {"m": {"M": {"a": n(9)}}}}
    old = t.update("SET m.a = :v", values={":v": n(8)}, ReturnValues="UPDATED_OLD")
    assert old == {"Attributes": {"m": {"M": {"a": n(9)}}}}
    assert t.update("REMOVE gone", ReturnValues="UPDATED_NEW") == {}
    assert t.ok("PutItem", Item={"pk": s("new")}, ReturnValues="ALL_OLD") == {}
    assert t.ok("DeleteItem", Key={"pk": s("absent")}, ReturnValues="ALL_OLD") == {}


def test_row_19_a_failed_condition_shows_the_item_to_who_asks(t):
    t.put(pk=s("k"), v=n(1))
    for operation, members in [
        ("PutItem", {"Item": {"pk": s("k")}}),
        ("UpdateItem", {"Key": {"pk": s("k")}, "UpdateExpression": "REMOVE v"}),
        ("DeleteItem", {"Key": {"pk": s("k")}}),
    ]:
        failing = members | {"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": n(2)}}
        assert "Item" not in t(operation, **failing).json
        shown = t(operation, **failing, ReturnValuesOnConditionCheckFailure="ALL_OLD").json
        assert shown == {"__type": NAMESPACE + "ConditionalCheckFailedException", "message": "The conditional request failed",
                         "Item": {"pk": s("k"), "v": n(1)}}
    absent = t("DeleteItem", Key={"pk": s("absent")}, ConditionExpression="attribute_exists(pk)",
               ReturnValuesOnConditionCheckFailure="ALL_OLD").json
    assert "Item" not in absent


def test_row_20_capacity_follows_sizes_and_indexes(indexed):
    def units(operation, **members):
        return indexed.ok(operation, ReturnConsumedCapacity="INDEXES", **members)["ConsumedCapacity"]

    key = {"pk": s("k"), "sk": n(1)}
    written = units("PutItem", Item=key | {"v": s("x" * 2500), "g": s("g")})
    assert (written["CapacityUnits"], written["Table"]["CapacityUnits"]) == (4, 3)
    assert written["GlobalSecondaryIndexes"]["by-g"]["CapacityUnits"] == 1
    # The larger of old and new; an index entry that stays as it is costs nothing.
    smaller = units("PutItem", Item=key | {"v": s("x"), "g": s("g")})
    assert smaller["CapacityUnits"] == 3 and "GlobalSecondaryIndexes" not in smaller
    moved = units("UpdateItem", Key=key, UpdateExpression="SET g = :g", ExpressionAttributeValues={":g": s("h")})
    assert moved["GlobalSecondaryIndexes"]["by-g"]["CapacityUnits"] == 2
    assert units("GetItem", Key=key)["CapacityUnits"] == 0.5
    assert units("GetItem", Key=key, ConsistentRead=True)["CapacityUnits"] == 1
    assert units("GetItem", Key={"pk": s("absent"), "sk": n(1)})["CapacityUnits"] == 0.5


def test_row_21_empty_texts_are_values_but_no_keys(t):
    item = {"pk": s("k"), "s": s(""), "b": {"B": ""}, "m": {"M": {}}, "l": {"L": [s("")]}, "ss": {"SS": ["", "a"]}}
    t.put(**item)
    assert t.get(pk=s("k")) == item
    text = ("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. "
            "Key: pk")
    t.refused("PutItem", text, Item={"pk": s("")})
    t.refused("GetItem", text, Key={"pk": s("")})


@pytest.mark.parametrize(
    "value, message",
    [
        ({"NULL": False}, PARAMETER + "Null attribute value types must have the value of true"),
        ({"SS": []}, PARAMETER + "An string set  may not be empty"),
        ({"NS": []}, PARAMETER + "An number set  may not be empty"),
        ({"BS": []}, PARAMETER + "Binary sets should not be empty"),
        ({"SS": ["a", "b", "a"]}, PARAMETER + 'Input collection ["a", "b", "a"] contains duplicates.'),
        ({"NS": ["1", "1.0"]}, PARAMETER + "Input collection contains duplicates."),
        ({"BS": ["AAE=", "AAE="]}, PARAMETER + 'Input collection ["AAE=","AAE="]of type BS contains duplicates.'),
    ],
)
def test_row_22_what_is_no_value_is_refused(t, value, message):
    t.refused("PutItem", INVALID + message, Item={"pk": s("k"), "v": value})


def test_row_23_all_errors_of_members_are_told(t):
    t.refused("PutItem", "2 validation errors detected: Value null at 'item' failed to satisfy constraint: Member must not be null; "
              "Value 'X' at 'returnConsumedCapacity' failed to satisfy constraint: Member must satisfy enum value set: "
              "[INDEXES, TOTAL, NONE]", ReturnConsumedCapacity="X")


def test_row_24_update_table_takes_one_concern_and_a_table_keeps_its_id(t):
    before = t.ok("DescribeTable")["Table"]
    t.refused("UpdateTable", PARAMETER + "DeletionProtection modification must be the only operation in the request",
              DeletionProtectionEnabled=True, BillingMode="PROVISIONED", ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
    assert t("UpdateTable").json["message"].startswith("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, ")
    t.ok("UpdateTable", DeletionProtectionEnabled=True)
    t.refused("DeleteTable", "Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
    t.ok("UpdateTable", DeletionProtectionEnabled=False)
    after = t.ok("DescribeTable")["Table"]
    assert (after["TableId"], after["TableArn"]) == (before["TableId"], before["TableArn"])


def test_row_25_definitions_are_merged_and_go_with_their_index(t):
    def described():
        return t.ok("DescribeTable")["Table"]

    create = {"Create": {"IndexName": "by-g", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                         "Projection": {"ProjectionType": "ALL"}}}
    t.ok("UpdateTable", AttributeDefinitions=[{"AttributeName": "g", "AttributeType": "N"}], GlobalSecondaryIndexUpdates=[create])
    active = lambda: described()["TableStatus"] == "ACTIVE" and described()["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    wait_until(active, "the index")
    definitions = {d["AttributeName"]: d["AttributeType"] for d in described()["AttributeDefinitions"]}
    assert definitions == {"g": "N", "pk": "S"}
    t.ok("UpdateTable", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-g"}}])
    wait_until(lambda: "GlobalSecondaryIndexes" not in described(), "the index to go")
    assert described()["AttributeDefinitions"] == [{"AttributeName": "pk", "AttributeType": "S"}]


def test_row_26_partiql_updates_only_what_is_there_and_pages(ranged):
    def run(statement, **members):
        return call(ranged.server, "ExecuteStatement", {"Statement": statement} | members)

    absent = run(f"UPDATE \"{ranged.name}\" SET v = 1 WHERE pk = 'k' AND sk = 1")
    assert error_of(absent)[:2] == (400, NAMESPACE + "ConditionalCheckFailedException")
    assert ranged.get(pk=s("k"), sk=n(1)) is None
    for number in range(3):
        assert run(f"INSERT INTO \"{ranged.name}\" VALUE {{'pk': 'k', 'sk': {number}}}").status == 200
    seen, token = [], {}
    while True:
        page = run(f"SELECT * FROM \"{ranged.name}\" WHERE pk = 'k'", Limit=2, **token).json
        seen += [item["sk"]["N"] for item in page["Items"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert seen == ["0", "1", "2"]
    no_index = run(f"SELECT * FROM \"{ranged.name}\".\"nothing\" WHERE pk = 'k'")
    assert error_of(no_index)[:2] == (400, VALIDATION)


def test_row_27_what_is_no_request_is_the_clients_fault(t):
    for body in ["{", '{"TableName":1}', '{"TableName":[]}', "[]"]:
        answer = call(t.server, "GetItem", body)
        assert error_of(answer)[:2] == (400, "com.amazon.coral.service#SerializationException")


def test_row_28_an_unknown_operation_has_no_message(t):
    for operation in ["Nothing", "getitem", "GetItems"]:
        answer = call(t.server, operation, {})
        assert (answer.status, answer.json) == (400, {"__type": "com.amazon.coral.service#UnknownOperationException"})


def test_row_29_a_batch_without_hits_has_its_members(t):
    answer = call(t.server, "BatchGetItem", {"RequestItems": {t.name: {"Keys": [{"pk": s("absent")}]}}})
    assert answer.json == {"Responses": {t.name: []}, "UnprocessedKeys": {}}
    answer = call(t.server, "BatchWriteItem", {"RequestItems": {t.name: [{"DeleteRequest": {"Key": {"pk": s("absent")}}}]}})
    assert answer.json == {"UnprocessedItems": {}}


def test_row_30_time_to_live_counts_seconds_as_numbers(t):
    specification = {"AttributeName": "expires", "Enabled": True}
    assert t.ok("UpdateTimeToLive", TimeToLiveSpecification=specification) == {"TimeToLiveSpecification": specification}
    described = t.ok("DescribeTimeToLive")["TimeToLiveDescription"]
    assert described["AttributeName"] == "expires" and described["TimeToLiveStatus"] in ("ENABLING", "ENABLED")


@pytest.mark.parametrize("total", [1, 3, 7, 64])
def test_row_31_each_item_is_in_one_segment(t, total):
    keys = [f"key-{number}" for number in range(50)]
    for batch in [keys[:25], keys[25:]]:
        call(t.server, "BatchWriteItem", {"RequestItems": {t.name: [{"PutRequest": {"Item": {"pk": s(key)}}} for key in batch]}})
    seen = []
    for segment in range(total):
        start = {}
        while True:
            page = t.ok("Scan", Segment=segment, TotalSegments=total, Limit=5, **start)
            seen += [item["pk"]["S"] for item in page["Items"]]
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(seen) == sorted(keys)


def test_row_32_expressions_are_bounded(t):
    names = {f":v{number}": n(number) for number in range(101)}
    many = ", ".join(names)
    t.refused("Scan", "Invalid FilterExpression: The IN operator is provided with too many operands; number of operands: 101",
              FilterExpression=f"a IN ({many})", ExpressionAttributeValues=names)
    t.ok("Scan", FilterExpression=f"a IN ({many.removesuffix(', :v100')})",
         ExpressionAttributeValues={name: value for name, value in names.items() if name != ":v100"})
    terms = ["a = b"] * 151
    t.refused("Scan", "Invalid FilterExpression: The expression contains too many operators; operator count: 301",
              FilterExpression=" OR ".join(terms))
    t.ok("Scan", FilterExpression=" OR ".join(terms[:150]))
    t.ok("GetItem", Key={"pk": s("k")}, ProjectionExpression="a" * 4096)
    t.refused("GetItem", "Invalid ProjectionExpression: Expression size has exceeded the maximum allowed size;", Key={"pk": s("k")},
              ProjectionExpression="a" * 4097)


def test_row_33_a_projection_adds_no_keys_and_an_item_without_hits_is_still_there(t):
    t.put(pk=s("k"), v=n(1), w=n(2))
    key = {"Key": {"pk": s("k")}}
    assert t.ok("GetItem", **key, ProjectionExpression="v") == {"Item": {"v": n(1)}}
    assert t.ok("GetItem", **key, ProjectionExpression="nothing") == {"Item": {}}
    assert t.ok("GetItem", Key={"pk": s("absent")}, ProjectionExpression="v") == {}
    assert t.ok("Scan", ProjectionExpression="nothing")["Items"] == [{}]
