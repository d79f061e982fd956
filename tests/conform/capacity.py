"""The differences in ConsumedCapacity: each takes out of two success bodies what it explains, and leaves them if it does not. They are
about the oracle: that the target tells what it should, `charges.py` holds against the items.

Source: docs/spec/dynamodb-api.md 7.4.
"""

_INDEX_ARMS = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
_MEMBER = "ConsumedCapacity"


def unasked(request, oracle, target):
    """Capacity that the oracle alone tells, though nobody asked."""
    if request.get("ReturnConsumedCapacity", "NONE") != "NONE" or _MEMBER in target:
        return oracle, target
    return _without(oracle), target


def empty_read(request, oracle, target):
    """A read of nothing: the target charges the least that there is, the oracle nothing."""
    if _MEMBER not in target or oracle.get("ScannedCount") != 0 or target.get("ScannedCount") != 0:
        return oracle, target
    least = 1.0 if request.get("ConsistentRead") else 0.5
    charged = target[_MEMBER]["CapacityUnits"] == least and oracle[_MEMBER]["CapacityUnits"] == 0
    return (_without(oracle), _without(target)) if charged else (oracle, target)


def missing_keys(request, oracle, target):
    """BatchGetItem: the target charges for each missing item, the oracle not."""
    if _MEMBER not in target or "Responses" not in target or "RequestItems" not in request:
        return oracle, target

    def explained(one, two):
        asked = request["RequestItems"][two["TableName"]]
        missing = len(asked["Keys"]) - len(target["Responses"][two["TableName"]])
        return _rest(one, "CapacityUnits", "Table") == _rest(two, "CapacityUnits", "Table") and 0 <= two["CapacityUnits"] - one["CapacityUnits"] <= missing

    return _each(oracle, target, explained)


def batch_deletes(request, oracle, target):
    """BatchWriteItem: the oracle charges a delete of what is not there twice."""
    if _MEMBER not in target or "UnprocessedItems" not in target:
        return oracle, target

    def explained(one, two):
        deletes = sum("DeleteRequest" in write for write in request["RequestItems"][two["TableName"]])
        if "Table" not in one:
            return 0 < one["CapacityUnits"] - two["CapacityUnits"] and deletes
        return _global_arms_cover(one, two) and 0 <= _units(one, "Table") - _units(two, "Table") <= deletes

    return _each(oracle, target, explained)


def partial_keys(request, oracle, target):
    """A write whose old and new item have different parts of an index's key, so that neither is in it: the oracle charges the index."""
    if _MEMBER not in target or not _is_write(request):
        return oracle, target

    def explained(one, two):
        if "Table" not in one:
            return one["CapacityUnits"] > two["CapacityUnits"]
        return one["Table"] == two["Table"] and _global_arms_cover(one, two)

    return _each(oracle, target, explained)


def local_fetch(request, oracle, target):
    """What a read of a local index fetches from the table: the oracle charges it also where the index has all, and a Scan's never."""
    if _MEMBER not in target or "IndexName" not in request or not {"ProjectionExpression", "Select", "FilterExpression"} & request.keys():
        return oracle, target

    def explained(one, two):
        if "Table" not in one:
            return True
        return "LocalSecondaryIndexes" in one and one["LocalSecondaryIndexes"] == two.get("LocalSecondaryIndexes")

    return _each(oracle, target, explained)


def index_scan(request, oracle, target):
    """What a Scan of an index reads: the oracle charges the whole items."""
    if _MEMBER not in target or "IndexName" not in request:
        return oracle, target
    one, two = oracle[_MEMBER], target[_MEMBER]
    if "Table" not in two:
        return (_without(oracle), _without(target)) if one["CapacityUnits"] > two["CapacityUnits"] else (oracle, target)
    arm = next(arm for arm in _INDEX_ARMS if arm in two)
    dearer = sum(_units(one[arm], name) - _units(two[arm], name) for name in two[arm])
    if dearer <= 0 or one[arm].keys() != two[arm].keys():
        return oracle, target
    return oracle | {_MEMBER: one | {arm: two[arm], "CapacityUnits": one["CapacityUnits"] - dearer}}, target


def transactions(request, oracle, target):
    """The oracle has no ReadCapacityUnits and WriteCapacityUnits, charges indexes twice, a delete or a check of what is not there once,
    and a check by blocks of 4 KB."""
    if _MEMBER not in target or "TransactItems" not in request:
        return oracle, target

    def explained(one, two):
        two = _plain(two)
        mine = [action for action in request["TransactItems"] if any(inner["TableName"] == two["TableName"] for inner in action.values())]
        free = 2 * sum("Delete" in action for action in mine)
        checks = any("ConditionCheck" in action for action in mine)
        if "Table" not in one:
            return one["CapacityUnits"] >= two["CapacityUnits"] - free or len(mine) > 1 or checks
        halves = {arm: {name: {"CapacityUnits": units["CapacityUnits"] / 2} for name, units in one[arm].items()} for arm in _INDEX_ARMS if arm in one}
        forgotten = _units(two, "Table") - _units(one, "Table")
        # Beside other items of its table the oracle may forget one, with all its arms.
        covered = (checks or forgotten <= free) and _global_arms_cover(one | halves, two)
        return forgotten >= 0 and (len(mine) > 1 and forgotten > 0 or covered)

    return _each(oracle, target, explained)


def _is_write(request):
    return bool({"Item", "UpdateExpression", "AttributeUpdates", "Key", "RequestItems"} & request.keys())


def _each(oracle, target, explained):
    """Both without the capacity of the tables whose capacity is not the same and explained."""
    ones, twos = oracle.get(_MEMBER), target[_MEMBER]
    if not isinstance(twos, list):
        if ones and ones != twos and explained(ones, twos):
            return _without(oracle), _without(target)
        return oracle, target
    if not isinstance(ones, list) or [one["TableName"] for one in ones] != [two["TableName"] for two in twos]:
        return oracle, target
    left = [(one, two) for one, two in zip(ones, twos) if one == two or not explained(one, two)]
    if len(left) == len(ones):
        return oracle, target
    return oracle | {_MEMBER: [one for one, _ in left]}, target | {_MEMBER: [two for _, two in left]}


def _global_arms_cover(one, two):
    """Whether the arms of local indexes are equal and those of global ones no smaller in the oracle's."""
    if one.get("LocalSecondaryIndexes") != two.get("LocalSecondaryIndexes"):
        return False
    arms, least = one.get("GlobalSecondaryIndexes", {}), two.get("GlobalSecondaryIndexes", {})
    return all(name in arms and arms[name]["CapacityUnits"] >= least[name]["CapacityUnits"] for name in least)


def _plain(told):
    """Without ReadCapacityUnits and WriteCapacityUnits."""
    if not isinstance(told, dict):
        return told
    return {name: _plain(value) for name, value in told.items() if name not in ("ReadCapacityUnits", "WriteCapacityUnits")}


def _units(told, arm):
    return told[arm]["CapacityUnits"]


def _rest(told, *names):
    return {name: value for name, value in told.items() if name not in names}


def _without(body):
    return _rest(body, _MEMBER)
