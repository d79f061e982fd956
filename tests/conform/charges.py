"""What the target must tell that an operation costs, worked out from the items that it read or wrote: DynamoDB Local charges otherwise in
so many cases (`capacity.py`) that to agree with it would prove little.

Sources: docs/spec/dynamodb-api.md 3.4 (sizes), 5.4 (what a local index fetches), 7.4.
"""

import base64
import decimal
import math
import re

from . import compare
from .schema import TABLES

_READS = {"GetItem", "BatchGetItem", "TransactGetItems"}
_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
# What says which of the items that are read are shown, and how much of them: it changes nothing of what they cost.
_CHOICE = ("ProjectionExpression", "FilterExpression", "Select", "AttributesToGet", "QueryFilter", "ScanFilter", "ConditionalOperator")


class Charges:
    """`indexes`: `{table name: [Index, ...]}`, as the tables have them now."""

    def __init__(self, endpoint, indexes):
        self.endpoint, self.indexes = endpoint, indexes

    def call(self, operation, request):
        """The answer, and what is wrong with the cost that it tells, or None."""
        if not _is_told(request) or operation not in _READS | _WRITES:
            return self.endpoint.call(operation, request), None
        places = list(_places(operation, request))
        before = [self._item(*place) for place in places]
        answer = self.endpoint.call(operation, request)
        if answer.error:
            return answer, None
        charges, kind = {}, None
        if operation == "TransactWriteItems":
            kind = "WriteCapacityUnits"
            # What a token says was made before is answered as reads.
            if "ClientRequestToken" in request and any("ReadCapacityUnits" in told for told in answer.body["ConsumedCapacity"]):
                kind = "ReadCapacityUnits"
        elif operation == "TransactGetItems":
            kind = "ReadCapacityUnits"
        for (table, attributes), old in zip(places, before):
            charge = charges.setdefault(table.name, Charge())
            if kind == "ReadCapacityUnits":
                charge.table += 2 * _blocks(item_size(old), 4096)
            elif operation in _READS:
                asked = request.get("RequestItems", {}).get(table.name, request)
                charge.table += _blocks(item_size(old), 4096) * (1 if asked.get("ConsistentRead") else 0.5)
            else:
                charge.write(table, self.indexes[table.name], old, self._item(table, attributes), 2 if kind else 1)
        told = [charge.told(name, request["ReturnConsumedCapacity"], kind) for name, charge in charges.items()]
        return answer, _difference(told, answer)

    def pages(self, operation, request):
        """The pages of a Query or Scan, and what is wrong with the cost that they tell, or None."""
        pages = self.endpoint.pages(operation, request)
        if not _is_told(request) or pages[-1].error:
            return pages, None
        table = _table(request["TableName"])
        index = next((index for index in self.indexes[table.name] if index.name == request.get("IndexName")), None)
        plain, differences = _without_choice(request), []
        for page in pages:
            read = self.endpoint.call(operation, plain).body["Items"][: page.body["ScannedCount"]]
            share = 1 if request.get("ConsistentRead") else 0.5
            units, charge = _blocks(sum(map(item_size, read)), 4096) * share, Charge()
            if index is None:
                charge.table = units
            else:
                charge.arms[index.arm()] = {index.name: units}
            if index and _fetches(request, index, table):
                charge.table = sum(_blocks(item_size(self._item(table, entry)), 4096) * share for entry in read)
            differences.append(_difference([charge.told(table.name, request["ReturnConsumedCapacity"])], page))
            plain["ExclusiveStartKey"] = page.body.get("LastEvaluatedKey")
        return pages, next(filter(None, differences), None)

    def _item(self, table, attributes):
        """The item of a key, or of an item; None: there is none, or the key is wrong."""
        key = {name: attributes[name] for name in table.keys() if name in attributes}
        answer = self.endpoint.call("GetItem", {"TableName": table.name, "Key": key, "ConsistentRead": True})
        return None if answer.error else answer.body.get("Item")


class Charge:
    """What is charged at a table and at its indexes, units."""

    def __init__(self):
        self.table, self.arms = 0.0, {}

    def write(self, table, indexes, old, new, times):
        """Adds a write, whose table's part counts so many times."""
        self.table += times * _blocks(max(item_size(old), item_size(new)), 1024)
        for index in indexes:
            before, after = (_entry(table, index, item) for item in (old, new))
            if before == after:
                continue
            moves = before and after and any(before[name] != after[name] for name in index.keys())
            sizes = [item_size(before), item_size(after)]
            units = sum(_blocks(size, 1024) for size in sizes) if moves else _blocks(max(sizes), 1024)
            arm = self.arms.setdefault(index.arm(), {})
            arm[index.name] = arm.get(index.name, 0) + units

    def told(self, table, detail, kind=None):
        """The member of an answer. `kind`: the member that repeats the units, in a transaction's answer."""
        units = lambda count: {"CapacityUnits": count} | ({kind: count} if kind else {})
        whole = {"TableName": table} | units(self.table + sum(sum(arm.values()) for arm in self.arms.values()))
        if detail == "INDEXES":
            whole["Table"] = units(self.table)
            whole |= {arm: {name: units(count) for name, count in of.items()} for arm, of in self.arms.items()}
        return whole


def _is_told(request):
    return request.get("ReturnConsumedCapacity") in ("TOTAL", "INDEXES")


def _difference(expected, answer):
    told = answer.body.get("ConsumedCapacity", [])
    told = sorted(told if isinstance(told, list) else [told], key=lambda each: each["TableName"])
    expected.sort(key=lambda each: each["TableName"])
    return None if told == expected else f"it costs {compare.canonical(expected)}\ntarget says {compare.canonical(told)}"


def _table(name):
    return next((table for table in TABLES if table.name == name), None)


def _places(operation, request):
    """The table and the key (or the item with it) of everything that is read or written, where there is such a table."""
    if operation == "BatchWriteItem":
        named = ((name, inner) for name, writes in request["RequestItems"].items() for write in writes for inner in write.values())
    elif operation == "BatchGetItem":
        named = ((name, {"Key": key}) for name, asked in request["RequestItems"].items() for key in asked["Keys"])
    elif "TransactItems" in request:
        named = ((inner["TableName"], inner) for action in request["TransactItems"] for inner in action.values())
    else:
        named = [(request["TableName"], request)]
    for name, inner in named:
        if _table(name):
            yield _table(name), inner.get("Item") or inner.get("Key") or {}


def _without_choice(request):
    """A read of the same items that shows them as they are."""
    plain = {name: value for name, value in request.items() if name not in (*_CHOICE, "ReturnConsumedCapacity")}
    for member in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
        used = {name: value for name, value in plain.pop(member, {}).items() if re.search(name + r"\b", plain.get("KeyConditionExpression", ""))}
        if used:
            plain[member] = used
    return plain


def _fetches(request, index, table):
    """Whether a local index has not all that is asked for. Of filters the test asks for no such thing: see `filter-of-unprojected`."""
    projected = index.projected(table)
    if not index.local or projected is None:
        return False
    names = request.get("ExpressionAttributeNames", {})
    heads = [re.split(r"[.\[]", path.strip())[0] for path in request.get("ProjectionExpression", "").split(",") if path.strip()]
    asked = {names.get(head, head) for head in heads} | set(request.get("AttributesToGet", ()))
    return request.get("Select") == "ALL_ATTRIBUTES" or not asked <= projected


def _entry(table, index, item):
    """What an index holds of an item; None: nothing."""
    if item is None or any(not _is_key(item.get(name), table.type_of(name)) for name in index.keys()):
        return None
    projected = index.projected(table)
    return compare.normal_item({name: value for name, value in item.items() if projected is None or name in projected})


def _is_key(value, kind):
    return value is not None and value.get(kind) not in (None, "")


def _blocks(size, block):
    """Units of a read or write of so many bytes: whole blocks, at least one."""
    return max(1, math.ceil(size / block))


def item_size(item):
    return sum(len(name.encode()) + value_size(value) for name, value in (item or {}).items())


def value_size(value):
    ((kind, content),) = value.items()
    return _SIZES[kind](content)


def number_size(text):
    """A byte, and one for two digits on each side of the point; zeros at the ends do not count."""
    number = decimal.Decimal(text)
    if not number:
        return 1
    sign, digits, exponent = number.as_tuple()
    kept = "".join(map(str, digits)).rstrip("0")
    exponent += len(digits) - len(kept)
    fraction = min(max(-exponent, 0), len(kept))
    return 1 + math.ceil((len(kept) - fraction) / 2) + math.ceil(fraction / 2) + sign


_SIZES = {
    "S": lambda text: len(text.encode()),
    "N": number_size,
    "B": lambda text: len(base64.b64decode(text)),
    "BOOL": lambda _: 1,
    "NULL": lambda _: 1,
    "SS": lambda members: sum(len(text.encode()) for text in members),
    "NS": lambda members: sum(map(number_size, members)),
    "BS": lambda members: sum(len(base64.b64decode(text)) for text in members),
    "L": lambda elements: 3 + sum(1 + value_size(element) for element in elements),
    "M": lambda members: 3 + sum(1 + len(name.encode()) + value_size(value) for name, value in members.items()),
}
