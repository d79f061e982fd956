"""Decides whether two answers agree, and which explained difference excuses a disagreement.

Success bodies are equal after `normal`, which only removes what has no order or no meaning. Errors are equal in class
and text. Everything else must be a rule of differences.toml; the run counts how often each was used.
"""

import decimal
import json
import pathlib
import re
import tomllib

from . import capacity

_RULES = pathlib.Path(__file__).with_name("differences.toml")
ENVELOPE = "1 validation error detected: "


_CONDITIONS = ("Expected", "QueryFilter", "ScanFilter", "KeyConditions", "AttributeUpdates")


class Rule:
    """A rewriting of the oracle's error (`Class: text`), or the name of a check of bodies in this file."""

    def __init__(self, entry):
        self.id = entry["id"]
        self.why = entry["why"]
        self.operations = entry.get("operations")
        self.oracle = re.compile(entry["oracle"], re.DOTALL) if "oracle" in entry else None
        self.target = re.compile(entry["target"], re.DOTALL) if "target" in entry else None
        self.rewrite = entry.get("rewrite")
        self.bodies = entry.get("bodies")
        self.hides = entry.get("hides", False)
        self.reasons = [re.compile(pattern) for pattern in entry.get("reasons", ())]
        self.among = re.compile(entry["among"]) if "among" in entry else None
        self.several = entry.get("several", False)
        self.several_conditions = entry.get("several_conditions", False)

    def applies(self, operation, request):
        if self.operations is not None and operation not in self.operations:
            return False
        if self.several_conditions:
            return sum(len(request.get(member, ())) for member in _CONDITIONS) > 1
        return not self.several or len(re.findall(r",(?![^(]*\))|SET|REMOVE|ADD|DELETE", request.get("UpdateExpression", ""))) > 1


def load_rules():
    return [Rule(entry) for entry in tomllib.loads(_RULES.read_text())["difference"]]


def check_documented(rules, compat):
    """The differences that COMPAT.md does not name in its section, and those that it names and nobody has."""
    text = compat.read_text()
    section = re.search(r"^## Differences from DynamoDB Local$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`([a-z][a-z0-9-]+)`\s*\|", section.group(1))) if section else set()
    ours = {rule.id for rule in rules}
    return sorted(ours - named), sorted(named - ours)


def normal_value(value):
    """A value with its sets in one order."""
    if not value:
        return value
    ((kind, content),) = value.items()
    if kind in ("SS", "NS", "BS"):
        return {kind: sorted(plain_number(member) if kind == "NS" else member for member in content)}
    if kind == "N":
        return {"N": plain_number(content)}
    if kind == "L":
        return {"L": [normal_value(element) for element in content]}
    if kind == "M":
        return {"M": normal_item(content)}
    return value


def plain_number(text):
    """A number without an exponent. DynamoDB Local keeps numbers inside maps and lists as they were sent."""
    if not re.search(r"[eE+]|^-?0\d|\.\d*0$|\.$|^-?\.|^-0*$", text):
        return text
    text = f"{decimal.Decimal(text):f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def normal_item(item):
    return {name: normal_value(value) for name, value in item.items()}


def canonical(value):
    return json.dumps(value, sort_keys=True)


def normal(operation, body):
    """A success body without what has no order."""
    body = dict(body)
    for member in ("Attributes", "Item", "LastEvaluatedKey"):
        if member in body:
            body[member] = normal_item(body[member])
    if "Items" in body:
        body["Items"] = [normal_item(item) for item in body["Items"]]
    if operation in ("BatchExecuteStatement", "ExecuteTransaction"):
        body["Responses"] = [_response(response) for response in body.get("Responses", ())]
    if operation == "TransactGetItems":
        # An item of which nothing was asked for that there is, is none.
        body["Responses"] = [normal_item(response.get("Item", {})) for response in body["Responses"]]
    if isinstance(body.get("ConsumedCapacity"), list):
        body["ConsumedCapacity"] = sorted(body["ConsumedCapacity"], key=lambda told: told["TableName"])
    if operation == "DescribeTable":
        body = description(body["Table"])
    if operation == "BatchGetItem" and "Responses" in body:
        body["Responses"] = {
            table: sorted(map(normal_item, items), key=canonical) for table, items in body["Responses"].items()
        }
    return body


def _response(response):
    """An answer to one of several statements. An item of which nothing was asked for that there is, is none."""
    told = {name: value for name, value in response.items() if name not in ("Item", "Error")}
    if response.get("Item"):
        told["Item"] = normal_item(response["Item"])
    if "Error" in response:
        told["Error"] = {name: value for name, value in response["Error"].items() if name in ("Code", "Message")}
    return told


def together(pages):
    """What all pages of one read say together, whatever their order."""
    return {
        "Items": sorted(canonical(normal_item(item)) for page in pages for item in page.body.get("Items", ())),
        "Count": sum(page.body["Count"] for page in pages),
        "ScannedCount": sum(page.body["ScannedCount"] for page in pages),
    }


def ties(request, index, oracle, target):
    """Whether two reads of an index differ only in the order of entries with the same sort key."""
    if any(page.error for page in oracle + target) or together(oracle) != together(target):
        return False
    ones, twos = ([page.body["ScannedCount"] for page in pages if page.body["ScannedCount"]] for pages in (oracle, target))
    names = [{tuple(sorted(page.body.get("LastEvaluatedKey", ()))) for page in pages} - {()} for pages in (oracle, target)]
    sorts = [[[normal_value(item.get(name)) for name in index.range] for page in pages for item in page.body.get("Items", ())] for pages in (oracle, target)]
    return ones == twos and (not names[0] or names[0] == names[1]) and sorts[0] == sorts[1]


def ended_at_bound(request, index, oracle, target):
    """Whether the oracle's last page has no last key because its last entry has the sort key that ends the range, as others have."""
    if len(target) <= len(oracle) or not index.range or oracle[-1].error or oracle[-1].body["ScannedCount"] != request.get("Limit"):
        return False
    reached = target[len(oracle) - 1].body.get("LastEvaluatedKey", {}).get(index.range[-1])
    bounds = list(request.get("ExpressionAttributeValues", {}).values())
    bounds += [value for condition in request.get("KeyConditions", {}).values() for value in condition["AttributeValueList"]]
    return reached in map(normal_value, bounds)


def description(table):
    """What two descriptions of a table must agree on. The oracle counts what is not in an index that was made later."""
    told = {name: table[name] for name in ("TableName", "TableStatus", "KeySchema", "ItemCount")}
    told["AttributeDefinitions"] = sorted(table["AttributeDefinitions"], key=canonical)
    for member in ("LocalSecondaryIndexes", "GlobalSecondaryIndexes"):
        told[member] = sorted((_index_description(index) for index in table.get(member, ())), key=canonical)
    return told


def _index_description(index):
    told = {name: index[name] for name in ("IndexName", "IndexStatus", "KeySchema") if name in index}
    projection = dict(index["Projection"])
    if "NonKeyAttributes" in projection:
        projection["NonKeyAttributes"] = sorted(projection["NonKeyAttributes"])
    return told | {"Projection": projection}


def _plain(value):
    """`value` with every number in its plain form."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("N"), str):
            return {"N": plain_number(value["N"])}
        return {name: _plain(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value


def is_fragment(part, whole):
    """Whether `part` says nothing that `whole` does not, and leaves out only members of maps."""
    if part.keys() == {"M"} and whole.keys() == {"M"}:
        return all(name in whole["M"] and is_fragment(value, whole["M"][name]) for name, value in part["M"].items())
    return part == whole


class Comparison:
    """Compares answers and keeps count."""

    def __init__(self, rules):
        self.rules = rules
        self.used = {rule.id: 0 for rule in rules}

    def agree(self, operation, request, oracle, target):
        """`None`, or what is different."""
        if oracle.error or target.error:
            return self._errors(operation, request, oracle, target)
        if canonical(target.body) != canonical(_plain(target.body)):
            return f"the target answers a number that is not in its plain form: {canonical(target.body)}"
        one, two = normal(operation, oracle.body), normal(operation, target.body)
        for rule in self.rules:
            if rule.bodies and rule.applies(operation, request):
                changed_one, changed_two = BODIES[rule.bodies](request, one, two)
                if (changed_one, changed_two) != (one, two):
                    self.used[rule.id] += 1
                    one, two = changed_one, changed_two
        return None if one == two else f"oracle {canonical(one)}\ntarget {canonical(two)}"

    def _errors(self, operation, request, oracle, target):
        expected, got = _error_text(oracle), _error_text(target)
        used = []
        if operation in ("PutItem", "UpdateItem", "DeleteItem", "Query", "Scan"):
            stripped = got.replace(f": {ENVELOPE}", ": ", 1)
            if stripped != got and ENVELOPE not in expected:
                got = stripped
                used.append("envelope")
        if _ordered(expected) == _ordered(got) and expected != got:
            expected = got
            used.append("unprojected-order")
        for rule in self.rules:
            if expected == got:
                break
            if rule.reasons and rule.applies(operation, request) and _reasons_explained(rule, oracle, target):
                expected = got
                used.append(rule.id)
            if rule.oracle is None or not rule.applies(operation, request):
                continue
            match = rule.oracle.search(expected)
            if not match:
                continue
            if rule.target is not None:
                if rule.target.search(got) and _is_among(rule, target):
                    expected = got
                    used.append(rule.id)
            elif rule.rewrite is not None:
                expected = expected[: match.start()] + match.expand(rule.rewrite) + expected[match.end() :]
                used.append(rule.id)
        if expected != got:
            reasons = (f"\nreasons {canonical(answer.body['CancellationReasons'])}" for answer in (oracle, target) if "CancellationReasons" in answer.body)
            return f"oracle {expected}\ntarget {got}{''.join(reasons)}"
        for identifier in used:
            self.used[identifier] = self.used.get(identifier, 0) + 1
        if oracle.error == target.error == "TransactionCanceledException" and not used:
            one, two = (list(map(_reason, answer.body.get("CancellationReasons", ()))) for answer in (oracle, target))
            if one != two:
                named = next((rule for rule in self.rules if rule.reasons and rule.applies(operation, request) and _reasons_explained(rule, oracle, target)), None)
                if named is None:
                    return f"oracle {canonical(one)}\ntarget {canonical(two)}"
                self.used[named.id] += 1
        if oracle.error == "ConditionalCheckFailedException" and target.error == oracle.error:
            one, two = oracle.body.get("Item"), target.body.get("Item")
            one, two = one and normal_item(one), two and normal_item(two)
            if one != two:
                return f"oracle Item {canonical(one)}\ntarget Item {canonical(two)}"
        return None


def _is_among(rule, target):
    """Whether the target gives such a reason, if it cancels a transaction."""
    reasons = map(_reason, target.body.get("CancellationReasons", ()))
    return rule.among is None or target.error != "TransactionCanceledException" or any(_says(rule.among, reason) for reason in reasons)


def _says(pattern, reason):
    return bool(pattern.search(f"{reason[0]}: {reason[1]}"))


def _reasons_explained(rule, oracle, target):
    """Whether two cancelled transactions have the same reasons but for those that the rule is about."""
    if not oracle.error == target.error == "TransactionCanceledException":
        return False
    ones, twos = ([_reason(reason) for reason in answer.body.get("CancellationReasons", ())] for answer in (oracle, target))
    named, hides = rule.reasons, rule.hides and all(two[0] == "None" or _says(rule.reasons[1], two) for two in twos)
    excused = lambda one, two: _says(named[0], one) and (_says(named[1], two) or hides and two[0] == "None")
    return len(ones) == len(twos) and all(one == two or excused(one, two) for one, two in zip(ones, twos))


_INDEX_KEY_TYPE = "One or more parameter values were invalid: Type mismatch for Index Key"


def _reason(reason):
    """A reason without the full stop that DynamoDB Local sets behind the text of a condition alone, and no more of the type of
    an index key than DynamoDB Local says: see `index-key-type`."""
    item = reason.get("Item")
    message = reason.get("Message", "").removesuffix(".")
    if message.startswith(_INDEX_KEY_TYPE):
        message = _INDEX_KEY_TYPE
    return [reason["Code"], message, item and normal_item(item)]


def _ordered(text):
    """An error text with the names that an index does not project, or that nothing uses, in one order."""
    return re.sub(r"(?<=does not project )\[(.*)\]$|(?<=unused in expressions: keys: )\{(.*)\}$", lambda found: str(sorted((found[1] or found[2]).split(", "))), text)


def _error_text(answer):
    return f"{answer.error}: {answer.text or ''}" if answer.error else "success"


def _fragments(request, oracle, target):
    """UPDATED_*: the target may answer less of a map than the oracle, which answers the whole top-level attribute."""
    if not str(request.get("ReturnValues", "")).startswith("UPDATED_"):
        return oracle, target
    whole, part = oracle.get("Attributes", {}), target.get("Attributes", {})
    nested = set(re.findall(r"(#?\w+)[.\[]", request.get("UpdateExpression", "")))
    nested = {request.get("ExpressionAttributeNames", {}).get(name, name) for name in nested}
    for name in part:
        if name not in whole or not is_fragment(part[name], whole[name]):
            return oracle, target
    if any(name not in nested for name in whole.keys() - part.keys()):
        return oracle, target
    rest = {name: value for name, value in oracle.items() if name != "Attributes"}
    return rest | {name: value for name, value in target.items() if name == "Attributes"}, target


def _last_key(request, oracle, target):
    """A last key that only the target gives, on a page that the Limit ended. That nothing follows, the run checks."""
    full = target.get("ScannedCount") == request.get("Limit") == oracle.get("ScannedCount")
    if full and "LastEvaluatedKey" in target and "LastEvaluatedKey" not in oracle:
        return oracle, {name: value for name, value in target.items() if name != "LastEvaluatedKey"}
    return oracle, target


def _collection_metrics(request, oracle, target):
    """ItemCollectionMetrics that only the target tells, because it was asked: the partition keys of the request's own items."""
    told = target.get("ItemCollectionMetrics")
    if told is None or request.get("ReturnItemCollectionMetrics") != "SIZE":
        return oracle, target
    written = [inner for action in request.get("TransactItems", ()) for inner in action.values()] or [request]
    keys = [normal_value((inner.get("Item") or inner.get("Key"))["pk"]) for inner in written if "Item" in inner or "Key" in inner]
    collections = [each for table in told.values() for each in table] if "TransactItems" in request else [told]
    for collection in collections:
        if collection["SizeEstimateRangeGB"] != [0.0, 1.0] or collection["ItemCollectionKey"].get("pk") not in keys:
            return oracle, target
    return oracle, {name: value for name, value in target.items() if name != "ItemCollectionMetrics"}


BODIES = {
    "collection_metrics": _collection_metrics,
    "fragments": _fragments,
    "last_key": _last_key,
    "unasked_capacity": capacity.unasked,
    "empty_read": capacity.empty_read,
    "missing_keys": capacity.missing_keys,
    "batch_deletes": capacity.batch_deletes,
    "partial_keys": capacity.partial_keys,
    "local_fetch": capacity.local_fetch,
    "index_scan": capacity.index_scan,
    "transaction_capacity": capacity.transactions,
}
