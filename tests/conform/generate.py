"""Seeded random operations: mostly sensible ones over few keys, so that they meet each other's items, and deliberate errors.

The same seed gives the same operations, whatever the endpoints answer.
"""

import base64
import copy
import re
import uuid

from .control import ControlPlane
from .faults import Faults
from .indexed import IndexRequests
from .partiql import PartiQL
from .schema import ATTRIBUTES, TABLES, TYPES, create_table, draw_indexes

_PATHS = ATTRIBUTES + ["m1.n1", "m1.l1[0]", "l1[0]", "l1[1]", "l1[5]", "m1.m1.n1", "l1[0].n1", "x1.y1"]
_NUMBERS = ["0", "1", "-1", "2", "10", "2.5", "1e2", "0.001", "-17.25", "12345678901234567890123456789012345678"]
_STRINGS = ["", "a", "b", "ab", "abc", "é", "zz", "The quick brown fox", "\U0001f600"]
_BYTES = [b"", b"\x00", b"\x01\x02", b"abc", b"\xff"]
_FAULTS = [
    "n1 = ",
    "n1 == :v0",
    "(n1)",
    "((n1 = n2))",
    "select = n1",
    "foo(n1)",
    "size(n1)",
    "n1 = n1",
    "n1 = :missing",
    "#missing = n1",
    "contains(n1)",
    "attribute_exists(size(n1))",
    "attribute_type(n1, n2)",
    "n1 = attribute_exists(n2)",
    "n1[99999999999] = n2",
    "n1[01] = n2",
    "n1 IN ()",
    "if_not_exists(n1, n2) = s1",
    "a.b.c.d = e.f AND",
    "n1 BETWEEN n2 OR s1",
    "  ",
    "",
]
_UPDATE_FAULTS = [
    "SET",
    "SET n1 = n2 n3",
    "SET n1 = foo(n2)",
    "SET n1 = n2, n1 = n2",
    "SET m1.n1 = n2, m1 = n1",
    "SET m1.n1 = n2, m1[0] = n1",
    "SET n1 = n2 SET n2 = n1",
    "SET select = n1",
    "SET n1 = size(n2)",
    "SET n1 = n2 + n1 + n2",
    "SET n1 = ((n2))",
    "SET n1 = list_append(l1)",
    "SET n1 = if_not_exists(n2, n2)",
    "ADD n1 n2",
    "REMOVE n1, n1",
    "SET n1 = :missing",
    "",
]


FAULTY_SHARE = 0.04


class Generator(IndexRequests, ControlPlane, PartiQL, Faults):
    """Draws operations from one random source."""

    def __init__(self, random, partiql=False):
        self.random = random
        self.partiql = partiql
        self.indexes = draw_indexes(random)
        self.made = 0
        # Servers remember tokens for ten minutes, longer than a round: only in this is a seed not the same each time.
        self.token_prefix, self.tokens, self.tokened = uuid.uuid4().hex[:16], 0, None
        self.current = TABLES[0]

    def create_tables(self):
        for table in TABLES:
            yield "CreateTable", create_table(table, self.indexes[table.name])

    def step(self):
        """One operation: its name and its request."""
        if self.random.random() < 0.015:
            return self.control_step()
        if self.partiql and self.random.random() < 0.6:
            return self.partiql_step()
        kinds = ["PutItem"] * 6 + ["UpdateItem"] * 8 + ["DeleteItem"] * 3 + ["GetItem"] * 4 + ["Query"] * 5 + ["Scan"] * 2
        operation = self.random.choice(kinds + ["BatchWriteItem", "BatchGetItem", "TransactWriteItems", "TransactWriteItems", "TransactGetItems"])
        legacy = self.random.random() < 0.12 and hasattr(self, "_legacy_" + operation)
        request = getattr(self, ("_legacy_" if legacy else "_") + operation)()
        if self.random.random() < FAULTY_SHARE:
            request = self.spoil(operation, copy.deepcopy(request))
        return operation, request

    # Values

    def scalar(self, kind):
        if kind == "S":
            return {"S": self.random.choice(_STRINGS)}
        if kind == "N":
            return {"N": self.random.choice(_NUMBERS)}
        return {"B": base64.b64encode(self.random.choice(_BYTES)).decode()}

    def value(self, depth=0):
        kind = self.random.choice(["S", "S", "N", "N", "N", "B", "BOOL", "NULL", "SS", "NS", "BS", "L", "M"])
        if kind in ("S", "N", "B"):
            return self.scalar(kind)
        if kind == "BOOL":
            return {"BOOL": self.random.random() < 0.5}
        if kind == "NULL":
            return {"NULL": True}
        if kind in ("SS", "NS", "BS"):
            pool = {"SS": _STRINGS, "NS": _NUMBERS, "BS": _BYTES}[kind]
            members = self.random.sample(pool, self.random.randint(1, 4))
            # See `set-number-text`.
            members = ["100" if member == "1e2" else member for member in members]
            return {kind: [base64.b64encode(m).decode() if kind == "BS" else m for m in members]}
        if depth >= 2:
            return self.scalar("N")
        if kind == "L":
            return {"L": [self.value(depth + 1) for _ in range(self.random.randint(0, 3))]}
        names = self.random.sample(ATTRIBUTES, self.random.randint(0, 3))
        return {"M": {name: self.value(depth + 1) for name in names}}

    def attribute_value(self, name):
        """Mostly the type that the name promises."""
        if self.random.random() < 0.2:
            return self.value()
        kind = {"n": "N", "s": "S", "b": "B"}.get(name[0]) if name[1:] in ("1", "2") else None
        if kind:
            return self.scalar(kind)
        for _ in range(100):
            value = self.value()
            if name[:-1].upper() in value:
                return value
        return self.value()

    def table(self):
        self.current = self.random.choice(TABLES)
        return self.current

    def key(self, table):
        _, hash_type, range_type, _ = table
        pools = {
            "S": ["p1", "p2", "p3"],
            "N": ["1", "2", "1.0"],
            "B": [base64.b64encode(b).decode() for b in (b"k", b"kk", b"\xff")],
        }
        key = {"pk": {hash_type: self.random.choice(pools[hash_type])}}
        if range_type:
            sorts = {
                "S": ["a", "ab", "b", "é", "Z"],
                "N": ["-10", "-1", "0", "1", "2", "10", "1e20", "0.5"],
                "B": [base64.b64encode(b).decode() for b in (b"\x00", b"\x01", b"\x01\x00", b"\x80")],
            }
            key["sk"] = {range_type: self.random.choice(sorts[range_type])}
        if self.random.random() < 0.03:
            broken = self.random.choice(["type", "extra", "missing", "empty"])
            if broken == "type":
                key["pk"] = {"BOOL": True}
            elif broken == "extra":
                key["other"] = {"S": "x"}
            elif broken == "missing":
                del key["pk"]
            elif hash_type == "S":
                key["pk"] = {"S": ""}
        return key

    def item(self, table):
        item = {name: self.attribute_value(name) for name in self.random.sample(ATTRIBUTES, self.random.randint(0, 6))}
        for name in self.keyed(table):
            if self.random.random() < 0.6:
                item[name] = self.index_key_value(table, name)
            elif self.random.random() < 0.9:
                item.pop(name, None)
        if self.random.random() < 0.05:
            # Beyond one unit of capacity, and no size near a whole number of them.
            item["x2"] = {"S": "x" * self.random.choice([1500, 4400, 8300])}
        if self.random.random() < 0.1:
            item["t1"] = {"N": "4102444800"}
        item.update(self.key(table))
        return item

    # Expressions. `request` collects the placeholders that they use.

    def path(self, request):
        path = self.random.choice(_PATHS)
        if self.random.random() < 0.2:
            names = request.setdefault("ExpressionAttributeNames", {})
            parts = path.split(".")
            first = parts[0].split("[")[0]
            names["#" + first] = first
            return ".".join(["#" + parts[0]] + parts[1:])
        return path

    def placeholder(self, request, value):
        values = request.setdefault("ExpressionAttributeValues", {})
        key = f":v{len(values)}"
        values[key] = value
        return key

    def operand(self, request):
        chance = self.random.random()
        if chance < 0.5:
            return self.placeholder(request, self.value())
        if chance < 0.6:
            return f"size({self.path(request)})"
        return self.path(request)

    def condition(self, request, depth=0):
        chance = self.random.random()
        if depth < 2 and chance < 0.35:
            joiner = self.random.choice([" AND ", " OR ", " and "])
            return joiner.join(self._bracketed(request, depth) for _ in range(self.random.randint(2, 3)))
        if depth < 2 and chance < 0.45:
            return "NOT " + self._bracketed(request, depth)
        return self._comparison(request)

    def _bracketed(self, request, depth):
        return f"({self.condition(request, depth + 1)})"

    def _comparison(self, request):
        path = self.path(request)
        kind = self.random.choice(["compare"] * 4 + ["between", "in", "exists", "absent", "type", "begins", "contains", "size"])
        if kind == "size":
            return f"size({path}) {self.random.choice(['=', '<>', '<', '<=', '>', '>='])} {self.placeholder(request, self.scalar('N'))}"
        if kind == "compare":
            return f"{path} {self.random.choice(['=', '<>', '<', '<=', '>', '>='])} {self.operand(request)}"
        if kind == "between":
            bounds = [self.placeholder(request, self.scalar("N")) for _ in range(2)]
            return f"{path} BETWEEN {bounds[0]} AND {bounds[1]}"
        if kind == "in":
            return f"{path} IN ({', '.join(self.operand(request) for _ in range(self.random.randint(1, 3)))})"
        if kind == "exists":
            return f"attribute_exists({path})"
        if kind == "absent":
            return f"attribute_not_exists({path})"
        if kind == "type":
            wanted = self.random.choice(["S", "N", "B", "SS", "NS", "BS", "L", "M", "NULL", "BOOL", "FOO"])
            return f"attribute_type({path}, {self.placeholder(request, {'S': wanted})})"
        function = "begins_with" if kind == "begins" else "contains"
        return f"{function}({path}, {self.operand(request)})"

    def maybe_condition(self, request, member, share=0.4):
        if self.random.random() > share:
            return
        if self.random.random() < 0.1:
            request[member] = self.random.choice(_FAULTS)
        else:
            request[member] = self.condition(request)

    def set_value(self, request):
        chance = self.random.random()
        if chance < 0.4:
            return self.placeholder(request, self.value())
        if chance < 0.5:
            return self.path(request)
        if chance < 0.65:
            return f"if_not_exists({self.path(request)}, {self.placeholder(request, self.value())})"
        if chance < 0.75:
            addition = self.placeholder(request, {"L": [self.value(1)]})
            return self.random.choice([f"list_append({self.path(request)}, {addition})", f"list_append({addition}, l1)"])
        number = self.placeholder(request, self.scalar("N"))
        return f"{self.path(request)} {self.random.choice('+-')} {number}"

    def update(self, request):
        sections = self.random.sample(["SET", "REMOVE", "ADD", "DELETE"], self.random.choice([1, 1, 1, 2, 3]))
        texts = []
        for section in sections:
            actions = []
            for _ in range(self.random.choice([1, 1, 2, 3])):
                path = self.path(request)
                name = path.removeprefix("#")
                if section in ("SET", "ADD") and name in self.local_keys(self.current):
                    # See `local-index-key-type`.
                    value = self.placeholder(request, self.local_key_value(name))
                    actions.append(f"{path} = {value}" if section == "SET" else f"{path if name[0] == 'n' else 'x1'} {value}")
                elif section == "SET" and path in TYPES and path in self.keyed(self.current) and self.random.random() < 0.85:
                    actions.append(f"{path} = {self.placeholder(request, self.index_key_value(self.current, path))}")
                elif section == "SET":
                    actions.append(f"{path} = {self.set_value(request)}")
                elif section == "REMOVE":
                    actions.append(path)
                else:
                    kinds = ["SS", "NS", "BS", "N"] if section == "ADD" else ["SS", "NS", "BS"]
                    kind = self.random.choice(kinds)
                    pool = {"SS": _STRINGS, "NS": _NUMBERS, "BS": [base64.b64encode(member).decode() for member in _BYTES]}
                    value = self.scalar("N") if kind == "N" else {kind: self.random.sample(pool[kind], 2)}
                    actions.append(f"{path} {self.placeholder(request, value)}")
            texts.append(f"{section} {', '.join(actions)}")
        return " ".join(texts)

    def projection(self, request):
        if self.random.random() < 0.3:
            paths = [self.path(request) for _ in range(self.random.randint(1, 4))]
            request["ProjectionExpression"] = ", ".join(dict.fromkeys(paths + self.random.choice([[], ["pk"]])))

    # Operations

    def _base(self, table):
        request = {"TableName": table[0]}
        if self.random.random() < 0.02:
            request["TableName"] = "conform-none"
        return request

    def consistency(self):
        """Neither server answers what is old: an eventual read says the same and costs half."""
        return self.random.choice([{"ConsistentRead": True}, {"ConsistentRead": True}, {"ConsistentRead": False}, {}])

    def _write_options(self, request, return_values):
        if self.random.random() < 0.6:
            request["ReturnValues"] = self.random.choice(return_values)
        self.capacity(request, 0.25)
        if self.random.random() < 0.2:
            request["ReturnValuesOnConditionCheckFailure"] = self.random.choice(["ALL_OLD", "ALL_OLD", "ALL_OLD", "NONE"])
        if self.random.random() < 0.1:
            request["ReturnItemCollectionMetrics"] = self.random.choice(["SIZE", "NONE"])
        if self.random.random() < 0.02:
            request.setdefault("ExpressionAttributeNames", {})["#unused"] = "unused"
        if self.random.random() < 0.02:
            request.setdefault("ExpressionAttributeValues", {})[":unused"] = {"S": "unused"}

    def _PutItem(self):
        table = self.table()
        request = self._base(table) | {"Item": self.item(table)}
        self.maybe_condition(request, "ConditionExpression")
        self._write_options(request, ["NONE", "ALL_OLD", "ALL_OLD"])
        return request

    def _DeleteItem(self):
        table = self.table()
        request = self._base(table) | {"Key": self.key(table)}
        self.maybe_condition(request, "ConditionExpression")
        self._write_options(request, ["NONE", "ALL_OLD", "ALL_OLD"])
        return request

    def _UpdateItem(self):
        table = self.table()
        request = self._base(table) | {"Key": self.key(table)}
        faulty = self.random.random() < 0.05
        request["UpdateExpression"] = self.random.choice(_UPDATE_FAULTS) if faulty else self.update(request)
        self.maybe_condition(request, "ConditionExpression", 0.3)
        if not any(word in request["UpdateExpression"] for word in ("SET", "ADD")):
            # On an absent item it would make the key alone in DynamoDB Local and nothing elsewhere, and everything after
            # would differ: see `remove-from-absent`.
            request["ConditionExpression"] = "attribute_exists(pk)"
            used = request["UpdateExpression"]
            for member in ("ExpressionAttributeNames", "ExpressionAttributeValues"):
                kept = {key: value for key, value in request.pop(member, {}).items() if re.search(key + r"\b", used)}
                if kept:
                    request[member] = kept
        self._write_options(request, ["NONE", "ALL_OLD", "ALL_NEW", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
        return request

    def _GetItem(self):
        table = self.table()
        request = self._base(table) | {"Key": self.key(table)} | self.consistency()
        self.projection(request)
        self.capacity(request, 0.2)
        return request

    def _Query(self):
        table = self.table()
        index = self.index_of(table)
        if index and self.random.random() < 0.55:
            return self.index_query(table, index)
        request = self._base(table) | self.consistency()
        key = self.key(table)
        condition = f"pk = {self.placeholder(request, key.get('pk', {'S': 'p1'}))}"
        if table[2] and self.random.random() < 0.6:
            bound = self.placeholder(request, self.key(table).get("sk"))
            form = self.random.choice(["compare", "compare", "between", "begins"])
            if form == "compare":
                condition += f" AND sk {self.random.choice(['=', '<', '<=', '>', '>='])} {bound}"
            elif form == "between":
                condition += f" AND sk BETWEEN {bound} AND {self.placeholder(request, self.key(table).get('sk'))}"
            else:
                condition += f" AND begins_with(sk, {bound})"
        request["KeyConditionExpression"] = condition
        self.maybe_condition(request, "FilterExpression", 0.3)
        self.projection(request)
        if self.random.random() < 0.4:
            request["Limit"] = self.random.randint(1, 4)
        if self.random.random() < 0.5:
            request["ScanIndexForward"] = self.random.random() < 0.5
        if "ProjectionExpression" not in request and self.random.random() < 0.1:
            request["Select"] = "COUNT"
        if self.random.random() < 0.1:
            # Of the partition that is asked for, whether there is such an item or not; now and then of another.
            request["ExclusiveStartKey"] = self.key(table) | ({"pk": key["pk"]} if "pk" in key and self.random.random() < 0.8 else {})
        self.capacity(request, 0.2)
        return request

    def _Scan(self):
        table = self.table()
        index = self.index_of(table)
        if index and self.random.random() < 0.5:
            request = self.index_scan(table, index)
            return request | self.segments()
        request = self._base(table) | self.consistency() | self.segments()
        self.maybe_condition(request, "FilterExpression", 0.5)
        self.projection(request)
        if self.random.random() < 0.4:
            request["Limit"] = self.random.randint(1, 5)
        self.capacity(request, 0.2)
        return request

    def segments(self):
        """TotalSegments alone stands for all of them, one after the other: the run puts Segment in."""
        chance = self.random.random()
        if chance < 0.15:
            return {"TotalSegments": self.random.choice([1, 2, 3, 7])}
        if chance < 0.17:
            return self.random.choice([{"Segment": 2, "TotalSegments": 2}, {"Segment": 0}, {"Segment": 0, "TotalSegments": 0}])
        return {}

    def plain(self, key):
        """A key, or an item, whose partition key is written in one way: see `duplicate-number-keys`."""
        return key | {"pk": {"N": "1"}} if key.get("pk") == {"N": "1.0"} else key

    def _BatchWriteItem(self):
        requests = {}
        for table in self.random.sample(TABLES, self.random.randint(1, 2)):
            writes = []
            for _ in range(self.random.randint(1, 3)):
                if self.random.random() < 0.7:
                    writes.append({"PutRequest": {"Item": self.plain(self.item(table))}})
                else:
                    writes.append({"DeleteRequest": {"Key": self.plain(self.key(table))}})
            requests[table[0]] = writes
        request = {"RequestItems": requests}
        self.capacity(request, 0.2)
        return request

    def _BatchGetItem(self):
        requests = {}
        for table in self.random.sample(TABLES, self.random.randint(1, 2)):
            request = {"Keys": [self.key(table) for _ in range(self.random.randint(1, 3))]} | self.consistency()
            self.projection(request)
            requests[table[0]] = request
        request = {"RequestItems": requests}
        self.capacity(request, 0.2)
        return request

    def _TransactWriteItems(self):
        """Of one action now and then, mostly of several; one of them may be wrong."""
        actions = []
        for _ in range(self.random.choice([1, 2, 2, 3, 4])):
            operation = self.random.choice(["Put", "Put", "Update", "Update", "Delete", "ConditionCheck"])
            if operation == "ConditionCheck":
                table = self.table()
                request = self._base(table) | {"Key": self.key(table)}
                request["ConditionExpression"] = self.condition(request)
            else:
                request = getattr(self, f"_{operation}Item")()
                request.pop("ReturnValues", None)
                request.pop("ReturnConsumedCapacity", None)
                request.pop("ReturnItemCollectionMetrics", None)
                if "ConditionExpression" not in request and operation != "Update":
                    # See `transaction-maps`.
                    request.pop("ExpressionAttributeNames", None)
                    request.pop("ExpressionAttributeValues", None)
            for member in request.keys() & {"Key", "Item"}:
                request[member] = self.plain(request[member])
            if self.random.random() < 0.3:
                request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
            actions.append({operation: request})
        if self.random.random() < 0.02:
            actions[-1] = self.random.choice([{}, {**actions[-1], "Delete": self._DeleteItem(), "Put": self._PutItem()}])
        whole = {"TransactItems": actions}
        self.capacity(whole, 0.2)
        if self.random.random() < 0.1:
            whole["ReturnItemCollectionMetrics"] = "SIZE"
        return self.with_token(whole)

    def with_token(self, request):
        """Now and then with a token: a new one, or the last one again, with its own request or with another."""
        chance = self.random.random()
        if chance < 0.05 and self.tokened:
            return copy.deepcopy(self.tokened)
        if chance < 0.06 and self.tokened:
            return request | {"ClientRequestToken": self.tokened["ClientRequestToken"]}
        if chance < 0.15:
            self.tokens += 1
            request["ClientRequestToken"] = f"{self.token_prefix}-{self.tokens}"
            self.tokened = copy.deepcopy(request)
        return request

    def _TransactGetItems(self):
        gets = []
        for _ in range(self.random.choice([1, 2, 3])):
            request = self._GetItem()
            request.pop("ConsistentRead", None)
            request.pop("ReturnConsumedCapacity", None)
            gets.append({"Get": request})
        whole = {"TransactItems": gets}
        self.capacity(whole, 0.2)
        return whole

    # The parameters that expressions replaced

    def comparison(self, name):
        # NOT_CONTAINS is left out: see `not-contains-missing`.
        operators = ["EQ", "NE", "LT", "LE", "GT", "GE", "IN", "BETWEEN", "NULL", "NOT_NULL", "CONTAINS", "BEGINS_WITH"]
        operator = self.random.choice(operators)
        kind = {"n": "N", "s": "S", "b": "B"}.get(name[0], "S")
        count = {"IN": 2, "BETWEEN": 2, "NULL": 0, "NOT_NULL": 0}.get(operator, 1)
        if self.random.random() < 0.05:
            count += 1
        comparison = {"ComparisonOperator": operator}
        if count:
            comparison["AttributeValueList"] = [self.scalar(kind) for _ in range(count)]
        return comparison

    def comparisons(self, request, member):
        names = self.random.sample(ATTRIBUTES, self.random.randint(1, 2))
        request[member] = {name: self.comparison(name) for name in names}
        if self.random.random() < 0.3:
            request["ConditionalOperator"] = self.random.choice(["AND", "OR"])

    def expectations(self, request):
        self.comparisons(request, "Expected")
        for name in request["Expected"]:
            if self.random.random() < 0.4:
                forms = [{"Exists": False}, {"Value": self.attribute_value(name)}, {"Exists": True, "Value": self.attribute_value(name)}, {"Exists": True}, {}]
                request["Expected"][name] = self.random.choice(forms)

    def _legacy_PutItem(self):
        table = self.table()
        request = self._base(table) | {"Item": self.item(table)}
        self.expectations(request)
        return request

    def _legacy_DeleteItem(self):
        table = self.table()
        request = self._base(table) | {"Key": self.key(table), "ReturnValues": "ALL_OLD"}
        self.expectations(request)
        return request

    def _legacy_UpdateItem(self):
        table = self.table()
        request = self._base(table) | {"Key": self.key(table), "ReturnValues": self.random.choice(["ALL_NEW", "ALL_OLD", "UPDATED_NEW"])}
        # One attribute is always put, so that the item exists afterwards.
        updates = {"x1": {"Value": self.value(), "Action": "PUT"}}
        for name in self.random.sample(ATTRIBUTES[:-1], self.random.randint(0, 2)):
            # Without an Action is left out: see `update-without-action`.
            # A set taken from an index key is left out: see `set-from-index-key`.
            action = self.random.choice(["PUT", "ADD"] if name in self.keyed(table) else ["PUT", "ADD", "DELETE"])
            updates[name] = {"Action": action}
            if name in self.local_keys(table):
                updates[name] = {"Action": "PUT", "Value": self.local_key_value(name)}
            elif action != "DELETE" or self.random.random() < 0.5:
                updates[name]["Value"] = self.attribute_value(name)
        request["AttributeUpdates"] = updates
        if self.random.random() < 0.3:
            self.expectations(request)
        return request

    def _legacy_GetItem(self):
        table = self.table()
        names = [self.random.choice(ATTRIBUTES) for _ in range(self.random.randint(1, 3))]
        return self._base(table) | {"Key": self.key(table), "AttributesToGet": names, "ConsistentRead": True}

    def _legacy_Query(self):
        table = self.table()
        request = self._base(table) | {"ConsistentRead": True}
        index = self.index_of(table)
        if index and len(index.hash) == 1 and self.random.random() < 0.4:
            return self._legacy_index_query(table, index)
        conditions = {"pk": {"ComparisonOperator": "EQ", "AttributeValueList": [self.key(table).get("pk", {"S": "p1"})]}}
        if table[2] and self.random.random() < 0.5:
            operator = self.random.choice(["EQ", "LT", "LE", "GT", "GE", "BEGINS_WITH", "NE"])
            conditions["sk"] = {"ComparisonOperator": operator, "AttributeValueList": [self.key(table)["sk"]]}
        request["KeyConditions"] = conditions
        if self.random.random() < 0.5:
            self.comparisons(request, "QueryFilter")
        self._legacy_projection(request)
        return request

    def _legacy_index_query(self, table, index):
        request = self._base(table) | {"IndexName": index.name}
        names = index.keys() if len(index.range) == 1 and self.random.random() < 0.5 else index.hash
        operator = self.random.choice(["EQ", "LT", "LE", "GT", "GE"])
        request["KeyConditions"] = {
            name: {
                "ComparisonOperator": "EQ" if name in index.hash else operator,
                "AttributeValueList": [self.index_key_value(table, name)],
            }
            for name in names
        }
        if self.random.random() < 0.4:
            request["Limit"] = self.random.randint(1, 4)
        if self.random.random() < 0.5:
            request["ScanIndexForward"] = self.random.random() < 0.5
        self.capacity(request, 0.2)
        return request

    def _legacy_projection(self, request):
        if self.random.random() < 0.25:
            request["AttributesToGet"] = self.random.sample([*ATTRIBUTES, "pk"], self.random.randint(1, 3))

    def _legacy_Scan(self):
        request = self._base(self.table()) | {"ConsistentRead": True}
        self.comparisons(request, "ScanFilter")
        self._legacy_projection(request)
        if self.random.random() < 0.2:
            request["Limit"] = self.random.randint(1, 5)
        return request

    def _legacy_BatchGetItem(self):
        request = self._BatchGetItem()
        for asked in request["RequestItems"].values():
            asked.pop("ProjectionExpression", None)
            asked.pop("ExpressionAttributeNames", None)
            self._legacy_projection(asked)
        return request
