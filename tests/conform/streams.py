"""Reads every record of a table's stream and puts what two endpoints must agree on into one shape: per item, in order."""

from . import compare


def records(endpoint, table):
    """The changes of every item: `{key: [change, ...]}`."""
    stream = endpoint.call("DescribeTable", {"TableName": table}).body["Table"]["LatestStreamArn"]
    shards, start = [], None
    while True:
        request = {"StreamArn": stream} | ({"ExclusiveStartShardId": start} if start else {})
        description = endpoint.call("DescribeStream", request).body["StreamDescription"]
        shards += description["Shards"]
        start = description.get("LastEvaluatedShardId")
        if not start:
            break
    changes = {}
    for shard in _parents_first(shards):
        for record in _shard_records(endpoint, stream, shard["ShardId"]):
            change = record["dynamodb"]
            images = {name: _without_empty(compare.normal_item(change[name])) for name in ("OldImage", "NewImage") if name in change}
            entry = {"eventName": record["eventName"], "view": change["StreamViewType"]} | images
            changes.setdefault(compare.canonical(compare.normal_item(change["Keys"])), []).append(entry)
    return changes


def _without_empty(value):
    """Empty maps and lists as the oracle's streams write them: as a value without a type."""
    if value in ({"M": {}}, {"L": []}):
        return {}
    if isinstance(value, dict):
        return {name: _without_empty(content) for name, content in value.items()}
    if isinstance(value, list):
        return [_without_empty(element) for element in value]
    return value


def _parents_first(shards):
    """Shards in an order in which no child comes before its parent."""
    left, done = list(shards), set()
    known = {shard["ShardId"] for shard in shards}
    while left:
        ready = [shard for shard in left if shard.get("ParentShardId") not in known - done]
        for shard in ready:
            done.add(shard["ShardId"])
            left.remove(shard)
            yield shard


def _shard_records(endpoint, stream, shard):
    request = {"StreamArn": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = endpoint.call("GetShardIterator", request).body["ShardIterator"]
    empty = 0
    # An open shard never ends; two empty pages in a row while nobody writes are its end.
    while iterator and empty < 2:
        body = endpoint.call("GetRecords", {"ShardIterator": iterator}).body
        empty = 0 if body["Records"] else empty + 1
        yield from body["Records"]
        iterator = body.get("NextShardIterator")
