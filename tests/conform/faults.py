"""Requests that are wrong in one thing, made of the generator's sensible ones: names, values, numbers, sizes, nesting, counts, choices."""

_NUMBER_FAULTS = ["", "abc", "1 ", "--1", "1e", "NaN", "123456789012345678901234567890123456789", "1e126", "-1e126", "1e-131", "0x10"]
_VALUE_FAULTS = [
    {"SS": []},
    {"NS": []},
    {"SS": ["a", "a"]},
    {"NS": ["1", "1.0"]},
    {"BS": ["AA==", "AA=="]},
    {"NULL": False},
    {"M": {"": {"S": "x"}}},
    {"L": [{"N": "abc"}]},
    {"NS": ["1", "abc"]},
    {},
    {"S": "a", "N": "1"},
]
_TABLE_NAMES = ["", "a", "ab", "a b c", "conform/none", "x" * 256, "é" * 3]
_CHOICES = {
    "ReturnValues": ["SOME", "", "UPDATED_NEW", "ALL_NEW"],
    "ReturnConsumedCapacity": ["SOME", "total"],
    "ReturnItemCollectionMetrics": ["SOME", "size"],
    "ReturnValuesOnConditionCheckFailure": ["SOME", "ALL_NEW"],
}
_WRITES = ("PutItem", "UpdateItem", "DeleteItem")


class Faults:
    """Part of the generator. Uses `random`, `key`, `placeholder` of the whole."""

    def spoil(self, operation, request):
        """The request with one thing wrong in it, if it has something that this can spoil."""
        kinds = [kind for kind in ("table", "value", "choice", "count", "size", "key") if kind in self.spoilable(operation, request)]
        if kinds:
            getattr(self, "_spoil_" + self.random.choice(kinds))(operation, request)
        return request

    def spoilable(self, operation, request):
        kinds = {"choice"} if operation in _WRITES else set()
        if "TableName" in request:
            kinds.add("table")
        if "Item" in request or request.get("ExpressionAttributeValues"):
            kinds |= {"value", "size"}
        if operation == "UpdateItem" and any(index.local for index in self.indexes.get(request.get("TableName"), ())):
            # What it writes may be the key of a local index: see `local-index-key-size` and `local-index-key-type`.
            kinds.discard("size")
        if operation in ("Query", "Scan") or "RequestItems" in request or "TransactItems" in request:
            kinds.add("count")
        if operation in ("GetItem", "UpdateItem", "DeleteItem"):
            kinds.add("key")
        return kinds

    def _spoil_table(self, operation, request):
        request["TableName"] = self.random.choice(_TABLE_NAMES)

    def _spoil_value(self, operation, request):
        values = request["Item"] if "Item" in request else request["ExpressionAttributeValues"]
        wrong = {"N": self.random.choice(_NUMBER_FAULTS)} if self.random.random() < 0.5 else self.random.choice(_VALUE_FAULTS)
        name = self.random.choice(list(values)) if values and "Item" not in request else "x1"
        values[name] = {"L": [{"M": {"a": wrong}}]} if self.random.random() < 0.2 else wrong

    def _spoil_choice(self, operation, request):
        """The oracle takes some of these; so that it writes nothing then, there is no such table."""
        request["TableName"] = "conform-none"
        member = self.random.choice(list(_CHOICES))
        request[member] = self.random.choice(_CHOICES[member])

    def _spoil_count(self, operation, request):
        if operation in ("Query", "Scan"):
            request["Limit"] = self.random.choice([0, -1])
        elif "RequestItems" in request:
            request["RequestItems"] = self._batch_of(operation, self.random.choice([0, 26, 101]))
        else:
            request["TransactItems"] = [] if self.random.random() < 0.5 else request["TransactItems"] * 101

    def _batch_of(self, operation, count):
        keys = [{"pk": {"S": f"batch-{number}"}} for number in range(count)]
        if operation == "BatchGetItem":
            return {"conform-none": {"Keys": keys}} if keys else {}
        return {"conform-none": [{"DeleteRequest": {"Key": key}} for key in keys]}

    def _spoil_size(self, operation, request):
        """Too large, too deep, or as large and as deep as it may be."""
        values = request["Item"] if "Item" in request else request["ExpressionAttributeValues"]
        name = self.random.choice(list(values)) if "Item" not in request else "x1"
        if self.random.random() < 0.6:
            depth = self.random.choice([30, 31, 32, 33, 34])
            value = {"S": "deep"}
            for level in range(depth):
                value = {"L": [value]} if level % 2 else {"M": {"m": value}}
            values[name] = value
        else:
            # What an update may write is weighed before it is known what it does: see `update-charge`.
            values[name] = {"S": "x" * self.random.choice([2049] if operation == "UpdateItem" else [409_600, 409_500, 2049])}

    def _spoil_key(self, operation, request):
        name = self.random.choice(list(request["Key"]) or ["pk"])
        text = "x" * self.random.choice([1025, 2049])
        forms = [{"S": text}, {"B": ""}, {"S": ""}, {"N": "abc"}, {"N": "1e126"}, {}, {"NULL": False}, {"SS": ["a"]}]
        request["Key"][name] = self.random.choice(forms)
