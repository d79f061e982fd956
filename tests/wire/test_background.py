"""What is done behind the operations, as an operator sees and steers it: /_admin/background."""

import json
import time
import urllib.error
import urllib.request

from conftest import make_table, wait_until


def jobs(server):
    return {job["name"]: job for job in server.admin("background")["jobs"]}


def order(server, body):
    """Status and document of the answer to a POST of this body."""
    request = urllib.request.Request(
        f"{server.url}/_admin/background", data=body, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def do(server, name, action):
    status, document = order(server, json.dumps({"name": name, "action": action}).encode())
    assert status == 200, document
    assert document["name"] == name
    return document


def put_expired(dynamodb, key):
    item = {"pk": {"S": key}, "expires": {"N": str(int(time.time()) - 10)}}
    dynamodb.put_item(TableName="sessions", Item=item)


def keys(dynamodb):
    return [item["pk"]["S"] for item in dynamodb.scan(TableName="sessions")["Items"]]


def test_a_job_is_seen_paused_run_and_resumed(start):
    server = start()
    dynamodb = server.client()
    make_table(dynamodb, "sessions")
    enabled = {"AttributeName": "expires", "Enabled": True}
    dynamodb.update_time_to_live(TableName="sessions", TimeToLiveSpecification=enabled)
    put_expired(dynamodb, "before")
    wait_until(lambda: keys(dynamodb) == [], "the item to expire by itself")
    seen = jobs(server)
    assert {"retention", "reclaim", "marks", "backfill", "removal", "expiry-fill", "expire"} == set(seen)
    assert seen["expire"]["passes"] > 0 and seen["expire"]["lastPassMs"] > 0 and seen["expire"]["lastError"] is None

    do(server, "expire", "pause")
    # A tick that is under way is not interrupted.
    wait_until(lambda: jobs(server)["expire"]["state"] == "paused", "the last tick")
    passes = jobs(server)["expire"]["passes"]
    put_expired(dynamodb, "paused")
    # As often as the others look, it would have looked as well.
    fills = jobs(server)["expiry-fill"]["passes"]
    wait_until(lambda: jobs(server)["expiry-fill"]["passes"] >= fills + 2, "two passes of a job that is not paused")
    assert keys(dynamodb) == ["paused"]
    assert (jobs(server)["expire"]["state"], jobs(server)["expire"]["passes"]) == ("paused", passes)

    do(server, "expire", "run")
    wait_until(lambda: jobs(server)["expire"]["passes"] == passes + 1, "the pass that was asked for")
    assert keys(dynamodb) == []
    assert jobs(server)["expire"]["state"] == "paused", "it stays paused"
    put_expired(dynamodb, "later")
    assert do(server, "expire", "resume")["state"] != "paused"
    wait_until(lambda: keys(dynamodb) == [], "the item to expire by itself again")
    assert server.stop() == 0, server.output()


def test_an_order_that_makes_no_sense_is_refused(start):
    server = start()
    status, document = order(server, b'{"name": "compaction", "action": "run"}')
    assert status == 404
    assert document["Message"] == (
        'there is no job "compaction" in the background; there are retention, reclaim, marks, backfill, removal, '
        "expiry-fill, expire"
    )
    for body, why in [
        (b"run", "expected value"),
        (b'{"name": "expire"}', "missing field `action`"),
        (b'{"name": "expire", "action": "stop"}', "unknown variant `stop`, expected one of `run`, `pause`, `resume`"),
    ]:
        status, document = order(server, body)
        assert status == 400, document
        assert document["Message"].startswith("the body is not what it should be: ") and why in document["Message"]
    assert all(job["state"] != "paused" for job in jobs(server).values())
