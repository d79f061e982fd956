"""Requests that read indexes, and the values of index keys."""

import base64

from .schema import ATTRIBUTES, TYPES

_KEY_VALUES = {
    "S": ["a", "ab", "b", "é", "Z"],
    "N": ["0", "1", "-1", "2.5", "1e2", "100"],
    "B": [base64.b64encode(b).decode() for b in (b"\x00", b"\x01", b"\x01\x00", b"\xff")],
}
_SELECTS = ["COUNT", "COUNT", "ALL_PROJECTED_ATTRIBUTES", "ALL_ATTRIBUTES", "SPECIFIC_ATTRIBUTES"]


class IndexRequests:
    """Part of the generator. Uses `random`, `indexes`, `placeholder`, `key`, `maybe_condition` of the whole."""

    def keyed(self, table):
        """The attributes that are keys of the table's indexes and not of the table."""
        keys = {name for index in self.indexes[table.name] for name in index.keys()}
        return sorted(keys - set(table.keys()))

    def index_key_value(self, table, name):
        """A value that a key of an index may have, and few of them, so that items meet; rarely one that it may not."""
        kind = table.type_of(name)
        if self.random.random() < 0.04:
            return self.random.choice([self.value(), {"S": ""}, {"NULL": True}])
        if name in table.keys():
            return self.key(table).get(name, {kind: _KEY_VALUES[kind][0]})
        return {kind: self.random.choice(_KEY_VALUES[kind])}

    def local_keys(self, table):
        """The attributes that are keys of the table's local indexes and not of the table."""
        return {index.range[0] for index in self.indexes[table.name] if index.local}

    def local_key_value(self, name):
        kind = TYPES[name]
        return {kind: self.random.choice(_KEY_VALUES[kind])}

    def index_of(self, table):
        indexes = self.indexes[table.name]
        return self.random.choice(indexes) if indexes else None

    def index_query(self, table, index):
        request = self._base(table) | {"IndexName": index.name}
        conditions = [f"{name} = {self.placeholder(request, self.index_key_value(table, name))}" for name in index.hash]
        for at, name in enumerate(index.range):
            if self.random.random() < 0.5:
                break
            value = self.placeholder(request, self.index_key_value(table, name))
            if at + 1 < len(index.range):
                form = "="
            else:
                form = self.random.choice(["=", "<", "<=", ">", ">=", "between", "begins"])
            if form == "between":
                conditions.append(f"{name} BETWEEN {value} AND {self.placeholder(request, self.index_key_value(table, name))}")
            elif form == "begins":
                conditions.append(f"begins_with({name}, {value})")
            else:
                conditions.append(f"{name} {form} {value}")
        self.random.shuffle(conditions)
        if self.random.random() < 0.03:
            conditions.pop()
            conditions.append(f"x1 = {self.placeholder(request, self.scalar('N'))}")
        request["KeyConditionExpression"] = " AND ".join(conditions)
        if self.random.random() < 0.5:
            request["ScanIndexForward"] = self.random.random() < 0.5
        self._read_options(request, table, index)
        return request

    def index_scan(self, table, index):
        request = self._base(table) | {"IndexName": index.name}
        self._read_options(request, table, index)
        return request

    def _read_options(self, request, table, index):
        """What Query and Scan of an index have in common."""
        # What an index does not project no filter of a Scan asks for: see `filter-of-unprojected`.
        projected = index.projected(table)
        free = ATTRIBUTES if projected is None else sorted(projected - set(index.keys() + table.keys()))
        if self.random.random() < 0.3 and (free or "KeyConditionExpression" in request):
            self._filter(request, free or ATTRIBUTES, projected is None)
        if self.random.random() < 0.35:
            projected = index.projected(table)
            names = ATTRIBUTES if projected is None or self.random.random() < 0.15 else sorted(projected)
            chosen = self.random.sample(names, min(len(names), self.random.randint(1, 3)))
            request["ProjectionExpression"] = ", ".join(chosen)
            if self.random.random() < 0.1:
                request["Select"] = self.random.choice([*_SELECTS, "SPECIFIC_ATTRIBUTES"])
        elif self.random.random() < 0.3:
            request["Select"] = self.random.choice(_SELECTS)
        if self.random.random() < 0.4:
            request["Limit"] = self.random.randint(1, 4)
        if index.local and self.random.random() < 0.7 or self.random.random() < 0.02:
            request["ConsistentRead"] = True
        self.capacity(request)

    def _filter(self, request, names, any_form):
        if any_form or "KeyConditionExpression" in request and self.random.random() < 0.15:
            self.maybe_condition(request, "FilterExpression", 1)
            return
        name = self.random.choice(names)
        form = self.random.choice(["attribute_exists({})", "attribute_not_exists({})", "{} <> :"])
        value = self.placeholder(request, self.attribute_value(name)) if form.endswith(":") else ""
        request["FilterExpression"] = form.removesuffix(":").format(name) + value

    def capacity(self, request, share=0.3):
        if self.random.random() < share:
            request["ReturnConsumedCapacity"] = self.random.choice(["TOTAL", "INDEXES", "INDEXES", "NONE"])
