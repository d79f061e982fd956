"""PynamoDB: a model with indexes, a version, time to live and tags, as an application makes and uses it.

Rows: docs/spec/dynamodb-api.md 2.5, 5, 6, 7.1, 7.4, 8.2.
"""

import datetime
import time
from unittest.mock import ANY

import pytest
from conftest import read_stream, wait_until
from pynamodb.attributes import (
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection
from pynamodb.exceptions import DeleteError, PutError, TransactWriteError, UpdateError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, IncludeProjection, LocalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactGet, TransactWrite

CONDITION_FAILED = "ConditionalCheckFailedException"
LOGIN = {"region": "us-east-1", "aws_access_key_id": "tailrace", "aws_secret_access_key": "tailrace"}


class ByStatus(GlobalSecondaryIndex):
    class Meta:
        index_name = "by-status"
        projection = AllProjection()

    status = UnicodeAttribute(hash_key=True)
    placed = UTCDateTimeAttribute(range_key=True)


class ByTotal(LocalSecondaryIndex):
    class Meta:
        index_name = "by-total"
        projection = IncludeProjection(["status"])

    customer = UnicodeAttribute(hash_key=True)
    total = NumberAttribute(range_key=True)


class Address(MapAttribute):
    street = UnicodeAttribute()
    city = UnicodeAttribute(attr_name="town")


class Order(Model):
    customer = UnicodeAttribute(hash_key=True)
    number = NumberAttribute(range_key=True)
    status = UnicodeAttribute(default="new")
    placed = UTCDateTimeAttribute()
    total = NumberAttribute()
    address = Address(null=True)
    lines = ListAttribute(default=list)
    labels = UnicodeSetAttribute(null=True)
    extra = JSONAttribute(null=True)
    expires = TTLAttribute(null=True)
    version = VersionAttribute()
    by_status = ByStatus()
    by_total = ByTotal()

    @classmethod
    def of(cls, customer, number, **attributes):
        placed = datetime.datetime(2026, 1, number, tzinfo=datetime.timezone.utc)
        return cls(customer, number, **{"placed": placed, "total": 10 * number, **attributes})


@pytest.fixture
def orders(shared_server, request):
    """The model over a table of its own, which PynamoDB makes."""
    settings = {
        "table_name": f"pynamodb-{request.node.name}"[:200],
        "host": shared_server.url,
        "billing_mode": "PAY_PER_REQUEST",
        "stream_view_type": "NEW_AND_OLD_IMAGES",
        "tags": {"team": "shop", "stage": "test"},
        "max_retry_attempts": 0,
        **LOGIN,
    }
    model = type(Order)("Order", (Order,), {"Meta": type("Meta", (), settings)})
    assert not model.exists()
    model.create_table(wait=True)
    yield model
    model.delete_table(wait=True)
    assert not model.exists()


def numbers(found):
    return [order.number for order in found]


def test_create_table_makes_the_indexes_the_tags_the_stream_and_the_time_to_live(orders, dynamodb):
    assert orders.exists()
    described = orders.describe_table()
    assert described["TableStatus"] == "ACTIVE"
    assert described["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [index["IndexName"] for index in described["GlobalSecondaryIndexes"]] == ["by-status"]
    assert described["LocalSecondaryIndexes"][0]["Projection"] == {
        "ProjectionType": "INCLUDE",
        "NonKeyAttributes": ["status"],
    }
    assert described["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    tags = dynamodb.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "shop", "stage": "test"}
    ttl = dynamodb.describe_time_to_live(TableName=orders.Meta.table_name)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires"
    assert ttl["TimeToLiveStatus"] in ("ENABLING", "ENABLED")
    orders.create_table(ignore_update_ttl_errors=True)  # what exists is left alone
    assert orders.Meta.table_name in Connection(host=orders.Meta.host, **LOGIN).list_tables()["TableNames"]


def test_what_is_saved_comes_back_as_it_was(orders):
    order = orders.of(
        "ann",
        1,
        address=Address(street="1 Main St", city="Ghent"),
        lines=["pen", 3, None, {"nested": ["ink"]}],
        labels={"gift", "fragile"},
        extra={"source": ["web", 1.5]},
    )
    order.save()
    found = orders.get("ann", 1, consistent_read=True)
    assert found.serialize() == {**order.serialize(), "labels": ANY}
    assert (found.version, found.address.city, found.labels) == (1, "Ghent", {"gift", "fragile"})
    with pytest.raises(orders.DoesNotExist):
        orders.get("ann", 2)


def test_indexes_are_queried_scanned_counted_and_paged(orders):
    with orders.batch_write() as batch:
        for number in range(1, 29):
            batch.save(orders.of("ann", number, total=100 - number, status="new" if number % 2 else "sent"))
        batch.save(orders.of("bob", 1))
    after = datetime.datetime(2026, 1, 10, tzinfo=datetime.timezone.utc)
    sent = orders.by_status.query("sent", orders.placed > after, orders.total < 85)
    assert numbers(sent) == [16, 18, 20, 22, 24, 26, 28]
    assert orders.by_status.count("sent") == 14
    assert numbers(orders.by_total.query("ann", scan_index_forward=False, limit=2)) == [1, 2]
    assert orders.by_total.count("ann", orders.total.between(80, 90)) == 11

    pages = orders.query("ann", orders.number > 3, page_size=7)
    assert numbers(pages) == list(range(4, 29))
    assert pages.last_evaluated_key is None
    first = orders.query("ann", limit=2, attributes_to_get=["number"])
    assert numbers(first) == [1, 2]
    rest = orders.query("ann", limit=2, last_evaluated_key=first.last_evaluated_key)
    assert numbers(rest) == [3, 4]

    assert orders.count() == 29
    assert sorted(numbers(orders.scan(orders.total == 10))) == [1]
    both = [*orders.scan(segment=0, total_segments=2), *orders.scan(segment=1, total_segments=2)]
    assert len(both) == 29


def test_updates_hold_their_conditions_and_the_version(orders):
    order = orders.of("ann", 1, lines=["pen"])
    order.save(orders.customer.does_not_exist())
    with pytest.raises(PutError) as caught:
        orders.of("ann", 1).save(orders.customer.does_not_exist(), add_version_condition=False)
    assert caught.value.cause_response_code == CONDITION_FAILED
    assert caught.value.cause_response_message == "The conditional request failed"

    stale = orders.get("ann", 1)
    order.update(
        actions=[
            orders.status.set("paid"),
            orders.total.add(5),
            orders.lines.set(orders.lines.append(["ink"])),
            orders.labels.add({"gift"}),
            orders.extra.remove(),
        ],
        condition=(orders.status == "new") & orders.total.between(1, 20) & orders.lines[0].contains("pe"),
    )
    assert (order.status, order.total, order.lines, order.labels) == ("paid", 15, ["pen", "ink"], {"gift"})
    assert order.version == 2
    with pytest.raises(UpdateError) as caught:
        stale.update(actions=[orders.status.set("lost")])
    assert caught.value.cause_response_code == CONDITION_FAILED
    with pytest.raises(PutError):
        stale.save()
    stale.refresh()
    assert (stale.status, stale.version) == ("paid", 2)

    assert numbers(orders.by_status.query("paid")) == [1]
    assert numbers(orders.by_status.query("new")) == []
    with pytest.raises(DeleteError):
        order.delete(orders.status.is_in("new", "sent"))
    order.delete(orders.status == "paid")
    assert orders.count("ann") == 0


def test_transactions_write_all_or_nothing(orders):
    connection = Connection(host=orders.Meta.host, max_retry_attempts=0, **LOGIN)
    orders.of("ann", 1).save()
    orders.of("ann", 2).save()
    with TransactWrite(connection=connection, client_request_token="pynamodb-1") as transaction:
        transaction.condition_check(orders, "ann", 1, condition=orders.status == "new")
        transaction.update(orders.get("ann", 2), actions=[orders.status.set("paid")], condition=orders.total >= 20)
        transaction.save(orders.of("bob", 1))
    with TransactGet(connection=connection) as transaction:
        paid, saved, missing = (transaction.get(orders, *key) for key in (("ann", 2), ("bob", 1), ("bob", 2)))
    assert (paid.get().status, paid.get().version, saved.get().total) == ("paid", 2, 10)
    with pytest.raises(orders.DoesNotExist):
        missing.get()

    with pytest.raises(TransactWriteError) as caught:
        with TransactWrite(connection=connection) as transaction:
            transaction.delete(orders.get("bob", 1))
            transaction.save(orders.of("ann", 1))
    assert caught.value.cause_response_code == "TransactionCanceledException"
    assert [reason and reason.code for reason in caught.value.cancellation_reasons] == [
        None,
        "ConditionalCheckFailed",
    ]
    assert orders.count("bob") == 1


def test_batches_write_delete_and_get_across_their_limits(orders):
    with orders.batch_write() as batch:
        for number in range(1, 31):
            batch.save(orders.of("ann", number))
    keys = [("ann", number) for number in range(1, 121)]
    assert sorted(numbers(orders.batch_get(keys, consistent_read=True))) == list(range(1, 31))
    with orders.batch_write() as batch:
        for order in orders.query("ann", orders.number <= 28):
            batch.delete(order)
    assert numbers(orders.query("ann")) == [29, 30]


def test_an_order_that_expires_goes_by_itself(orders, dynamodb, streams):
    orders.of("ann", 1, expires=datetime.timedelta(days=1)).save()
    past = datetime.datetime.fromtimestamp(int(time.time()) - 60, datetime.timezone.utc)
    orders.of("ann", 2, expires=past).save()
    wait_until(lambda: numbers(orders.query("ann")) == [1], "the order that expired a minute ago to go")
    assert numbers(orders.by_status.query("new")) == [1]
    stream = orders.describe_table()["LatestStreamArn"]
    removed = [record for record in read_stream(streams, stream) if record["eventName"] == "REMOVE"]
    assert [record["userIdentity"]["PrincipalId"] for record in removed] == ["dynamodb.amazonaws.com"]
