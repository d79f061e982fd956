"""Messages to people and programs: web addresses that check signatures, a mail server, queues and topics. Rows: docs/spec/sinks.md 1
and 9.

TAILRACE_SEED sets the writes' seed.
"""

import contextlib
import email
import email.policy
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.parse

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions
import pytest
import standardwebhooks
from moto.server import ThreadedMotoServer

from conftest import BINARY, REPOSITORY, free_port, make_table, wait_until
from ordeal import Line, Ordeal, assert_each_once_in_order, beginning
from ordeal import configured as ordeal_configured
from test_sinks import drained, history, sinks, tailrace

sys.path.insert(0, str(REPOSITORY / "tests/services"))

import receiver as services  # noqa: E402

SEED = int(os.environ.get("TAILRACE_SEED", "1"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CERTIFICATES = REPOSITORY / "crates/sinks/src/search/tests"
CAUGHT_UP_SECONDS_MAX = 120
SHIPPED_IN_EXAMPLE = 3


def configured(tmp_path, **sinks):
    path = tmp_path / "tailrace.json"
    path.write_text(json.dumps({"sinks": {name: {"from": "Orders", **sink} for name, sink in sinks.items()}}))
    return ["--config", str(path)]


def write_some(client, chance, count):
    for _ in range(count):
        key = {"pk": {"S": f"k{chance.randrange(8)}"}}
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            if chance.random() < 0.2:
                client.delete_item(TableName="Orders", Key=key)
            else:
                client.put_item(TableName="Orders", Item={**key, "v": {"N": str(chance.randrange(10**6))}})


class Outages:
    """Nobody can be reached: every line is down."""

    def __init__(self, *lines):
        self.lines = lines

    def stop(self):
        for line in self.lines:
            line.stop()

    def start(self):
        for line in self.lines:
            line.start()


def told_of(document):
    data = document["data"]
    return data["event_id"], data["keys"]["pk"], data["sequence_number"]


def test_every_change_comes_to_receivers_that_fail_while_the_server_is_killed(tmp_path, aws):
    """Spec: sinks.md 9: each eventID at least once, and in order per key where the receiver has an order, at a web address, by mail, in a
    queue and from a topic; a FIFO queue has it once. Each request to a web address bears a signature of the standard's own library."""
    sqs, sns = service(aws, "sqs"), service(aws, "sns")
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("story", "heard")}
    urls["story.fifo"] = sqs.create_queue(QueueName="story.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    topic, heard = sns.create_topic(Name="story")["TopicArn"], ["QueueArn"]
    arn = sqs.get_queue_attributes(QueueUrl=urls["heard"], AttributeNames=heard)["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    letters, chain = services.Letters(), (CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with services.receiver(seed=SEED, failures=2) as receiver, services.mail_server(letters, chain, "shop", "hunter2") as mail_port:
        aws_port = urllib.parse.urlsplit(aws).port
        lines = web, moto, mails = [Line(port) for port in (receiver.server.server_port, aws_port, mail_port)]
        behind = lambda url: url.replace(urllib.parse.urlsplit(url).netloc, moto.address)
        keys = {"region": "eu-west-1", "access_key_id": "key", "secret_access_key": "secret"}
        sinks_of_it = {
            "ping": {"to": f"webhook+http://{web.address}/hook", "secrets": SECRET},
            "queue": {"to": f"sqs:{behind(urls['story'])}", **keys},
            "fifo": {"to": f"sqs:{behind(urls['story.fifo'])}", **keys},
            "topic": {"to": f"sns:{topic}", "endpoint": f"http://{moto.address}", **keys},
            "mails": {
                "to": f"smtp://localhost:{mails.port}", "mail": {"from": "shop@example.com", "to": "ann@example.com"},
                "auth": {"user": "shop", "password": "hunter2"}, "ca": "${file:%s}" % (CERTIFICATES / "ca.pem"),
                "digest": {"seconds": 0},
                "body": "{% for r in records %}{{ r.event_id }} {{ r.keys.pk }} {{ r.sequence_number }}\n{% endfor %}",
            },
        }
        sinks_of_it = {name: {"from": "Orders", "start": "trim_horizon", **sink} for name, sink in sinks_of_it.items()}
        # The queues' server looks at all that it has for each message.
        with Ordeal(beginning(tmp_path, ordeal_configured(tmp_path, sinks_of_it)), Outages(*lines), between=(4, 15)) as story:
            server = story.run()
            receiver.failures = 0
            wait_until(drained(server), "the sinks", CAUGHT_UP_SECONDS_MAX)
            records = history(server, "Orders")
            told = []
            for headers, body in receiver.taken:
                payload = standardwebhooks.Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
                assert headers["webhook-id"] == payload["data"]["event_id"]
                assert payload["type"] == f"Orders.{records[payload['data']['event_id']]['eventName'].lower()}"
                told.append(told_of(payload))
            assert_each_once_in_order(told, records)
            told = [told_of(json.loads(body)) for body in received(sqs, urls["story.fifo"], len(records))]
            assert len(told) == len(records), "the queue knows repeats by their ids"
            assert_each_once_in_order(told, records)
            # These have no order, and may have doubles, each under its one id.
            for name, document_of in (("story", lambda body: body), ("heard", lambda body: body["Message"])):
                seen = set()

                def all_seen():
                    messages = sqs.receive_message(QueueUrl=urls[name], MaxNumberOfMessages=10).get("Messages", [])
                    for message in messages:
                        body = document_of(json.loads(message["Body"]))
                        seen.add(told_of(json.loads(body) if isinstance(body, str) else body)[0])
                    delete(sqs, urls[name], messages)
                    return len(seen) >= len(records)

                wait_until(all_seen, f"every change in {name}", CAUGHT_UP_SECONDS_MAX)
                assert seen == set(records), name
            contents = [email.message_from_bytes(content, policy=email.policy.default).get_content() for _, _, content, _ in letters.letters]
            assert_each_once_in_order([tuple(line.split()) for content in contents for line in content.splitlines() if line.strip()], records)
            assert all(line.broken > 0 for line in lines), "a line did not break"


def test_a_receiver_is_reached_by_the_authority_that_is_named_and_refuses_a_record(start, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with services.receiver(tls=context) as receiver:
        hook = {"to": f"webhook+{receiver.url}", "ca": "${file:%s}" % (CERTIFICATES / "ca.pem"), "where": {"v": [{"numeric": [">", 5]}]}}
        server = start(*configured(tmp_path, ping=hook))
        client = server.client()
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        wait_until(drained(server), "the sink")
        for value in (3, 7):
            client.put_item(TableName="Orders", Item={"pk": {"S": f"k{value}"}, "v": {"N": str(value)}})
        wait_until(lambda: receiver.taken, "the message")
        receiver.failures, receiver.statuses = 10, [410]
        client.put_item(TableName="Orders", Item={"pk": {"S": "gone"}, "v": {"N": "9"}})

        def parked():
            return [shard for source in sinks(server)["ping"]["sources"] for shard in source["shards"] if shard["parked"]]

        wait_until(parked, "a parked record")
        wait_until(drained(server), "the sink")
        table = tailrace(server, "sinks", "parked", "ping").stdout
        assert '{"pk":{"S":"gone"}}' in table and "Rejected" in table and "410" in table, table
        [line] = tailrace(server, "sinks", "parked", "ping", "--output", "json").stdout.splitlines()
        assert {"table": "Orders", "function": "ping", "keys": {"pk": {"S": "gone"}}}.items() <= json.loads(line).items()
        receiver.failures = 0
        receiver.taken.clear()
        retried = tailrace(server, "sinks", "retry", "ping")
        assert retried.returncode == 0, retried.stderr
        wait_until(lambda: not parked(), "nothing parked")
        [(_, body)] = receiver.taken
        assert json.loads(body)["data"]["keys"] == {"pk": "gone"}
        # Two that nobody wants.
        receiver.failures = 10
        for number in range(2):
            client.put_item(TableName="Orders", Item={"pk": {"S": f"no{number}"}, "v": {"N": "9"}})
        wait_until(lambda: sum(shard["parked"] for shard in parked()) == 2, "two parked records")
        assert tailrace(server, "sinks", "discard", "ping").stderr.strip() == "2 records discarded"
        wait_until(lambda: not parked(), "nothing parked")
        assert tailrace(server, "sinks", "parked", "ping").stderr.strip() == "no record is set aside"
        assert tailrace(server, "sinks", "skip", "ping").stderr.strip() == "0 damaged records skipped"


def test_what_was_sent_before_a_stop_is_not_sent_after_it(start, tmp_path):
    """A throttle holds most of a flush back: a stop and a pause wait for none of it, and nothing comes twice."""
    with services.receiver(seed=SEED) as receiver:
        hook = {"to": f"webhook+{receiver.url}", "throttle": {"messages": 20, "seconds": 3600}, "start": "trim_horizon"}
        arguments = configured(tmp_path, ping=hook)
        server = start(*arguments)
        client = server.client()
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        for number in range(35):
            client.put_item(TableName="Orders", Item={"pk": {"S": f"k{number}"}})
        wait_until(lambda: len(receiver.taken) == 20, "what the throttle lets through")

        def shown():
            sink = sinks(server)["ping"]
            return sink["state"], "throttle" in sink.get("reason", "")

        wait_until(lambda: shown() == ("running", True), "a sink that waits for its turn")
        assert tailrace(server, "sinks", "pause", "ping").returncode == 0
        assert tailrace(server, "sinks", "resume", "ping").returncode == 0
        server.stop()
        # A new process counts from nothing.
        server = start(*arguments)
        wait_until(drained(server), "the sink", CAUGHT_UP_SECONDS_MAX)
        ids = [headers["webhook-id"] for headers, _ in receiver.taken]
        assert len(ids) == 35 and set(ids) == set(history(server, "Orders"))


def test_a_stop_amid_a_page_of_a_snapshot_sends_no_item_again(start, tmp_path):
    """Two tables share a throttle, so that a page of one is cut off: the page goes on behind what was taken, under the ids that it had."""
    with services.receiver(seed=SEED) as receiver:
        hook = {"to": f"webhook+{receiver.url}", "throttle": {"messages": 20, "seconds": 3600}, "start": "snapshot"}
        server = start()
        client = server.client()
        for table, count in (("Few", 5), ("Many", 20)):
            make_table(client, table, stream="NEW_AND_OLD_IMAGES")
            for number in range(count):
                client.put_item(TableName=table, Item={"pk": {"S": f"{table}{number}"}})
        server.stop()
        arguments = configured(tmp_path, ping={**hook, "from": ["Few", "Many"]})
        server = start(*arguments)
        wait_until(lambda: len(receiver.taken) == 20, "what the throttle lets through")
        server.stop()
        server = start(*arguments)
        wait_until(drained(server), "the sink", CAUGHT_UP_SECONDS_MAX)
        keys = [json.loads(body)["data"]["keys"]["pk"] for _, body in receiver.taken]
        assert sorted(keys) == sorted([f"Few{n}" for n in range(5)] + [f"Many{n}" for n in range(20)])
        assert len({headers["webhook-id"] for headers, _ in receiver.taken}) == 25


def test_ten_thousand_changes_are_not_ten_thousand_mails(start, tmp_path, monkeypatch):
    letters = services.Letters()
    chain = (CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with services.mail_server(letters, chain, "shop", "hunter2") as port:
        mail = {
            "to": f"smtp://localhost:{port}", "mail": {"from": "shop@example.com", "to": "ann@example.com"},
            "auth": {"user": "shop", "password": "${env:MAIL_PASSWORD}"}, "ca": "${file:%s}" % (CERTIFICATES / "ca.pem"),
            "digest": {"seconds": 2, "records": 5000}, "subject": "{{ count }} orders",
            "body": "{% for record in records %}{{ record.event_id }}\n{% endfor %}", "start": "trim_horizon",
        }
        server = start(*configured(tmp_path, mails=mail), env={"MAIL_PASSWORD": "hunter2"})
        client = server.client()
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        began = time.monotonic()
        for first in range(0, 10_000, 25):
            put = [{"PutRequest": {"Item": {"pk": {"S": f"k{first + index}"}}}} for index in range(25)]
            client.batch_write_item(RequestItems={"Orders": put})
        wait_until(drained(server), "the sink", CAUGHT_UP_SECONDS_MAX)
        # Four shards, each with a letter in two seconds.
        most = 200 + 4 * (time.monotonic() - began)
        assert len(letters.letters) < most, (len(letters.letters), most)
        told = []
        for sender, recipients, content, is_authenticated in letters.letters:
            letter = email.message_from_bytes(content, policy=email.policy.default)
            assert (sender, recipients, is_authenticated) == ("shop@example.com", ["ann@example.com"], True)
            ids = letter.get_content().split()
            assert letter["Subject"] == f"{len(ids)} orders"
            told += ids
        assert sorted(told) == sorted(history(server, "Orders"))
        assert "hunter2" not in json.dumps(sinks(server)) and "hunter2" not in server.output()


def test_a_wrong_password_is_not_shown_even_if_the_mail_server_repeats_it(start, tmp_path):
    """Spec: sinks.md 1, last error: docs/sinks.md promises secrets in no status and no log."""
    chain = (CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    with services.mail_server(services.Letters(), chain, "shop", "right") as port:
        mail = {
            "to": f"smtp://localhost:{port}", "mail": {"from": "shop@example.com", "to": "ann@example.com"}, "start": "trim_horizon",
            "auth": {"user": "shop", "password": "${env:MAIL_PASSWORD}"}, "ca": "${file:%s}" % (CERTIFICATES / "ca.pem"),
        }
        server = start(*configured(tmp_path, mails=mail), env={"MAIL_PASSWORD": "hunter2hunter2"})
        make_table(server.client(), "Orders", stream="NEW_AND_OLD_IMAGES")
        server.client().put_item(TableName="Orders", Item={"pk": {"S": "k"}})
        wait_until(lambda: "5.7.8 *** is wrong" in sinks(server)["mails"].get("lastError", ""), "the answer")
        assert "hunter2" not in json.dumps(sinks(server)) and "hunter2" not in server.output()


@pytest.fixture(scope="module")
def aws():
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def service(aws, name):
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    return boto3.client(name, endpoint_url=aws, region_name="eu-west-1", **keys)


def delete(sqs, url, messages):
    entries = [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(messages)]
    if entries:
        sqs.delete_message_batch(QueueUrl=url, Entries=entries)


def received(sqs, url, count):
    """The bodies of so many messages of a queue, in order."""
    bodies = []

    def look():
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        messages = answer.get("Messages", [])
        bodies.extend(message["Body"] for message in messages)
        delete(sqs, url, messages)
        return len(bodies) >= count

    wait_until(look, f"{count} messages, of which {len(bodies)} came")
    return bodies


def test_a_topic_gets_what_its_subscribers_read(start, tmp_path, aws):
    sqs, sns = service(aws, "sqs"), service(aws, "sns")
    url = sqs.create_queue(QueueName="readers")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name="orders")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sink = {
        "to": f"sns:{topic}", "endpoint": aws, "access_key_id": "key", "secret_access_key": "secret", "subject": "Order {{ item.pk }}",
        "body": "{{ item.pk }} & <co>", "start": "trim_horizon",
    }
    server = start(*configured(tmp_path, topic=sink))
    client = server.client()
    make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
    for number in range(25):
        client.put_item(TableName="Orders", Item={"pk": {"S": f"k{number}"}})
    wait_until(drained(server), "the sink")
    told = [json.loads(body) for body in received(sqs, url, 25)]
    expected = sorted((f"Order k{number}", f"k{number} & <co>") for number in range(25))
    assert sorted((message["Subject"], message["Message"]) for message in told) == expected


def test_the_receiver_of_the_example_shows_what_was_shipped(tmp_path):
    """examples/orders/README.md, the second walk."""
    example = tmp_path / "orders"
    shutil.copytree(REPOSITORY / "examples/orders", example, ignore=shutil.ignore_patterns(".tailrace"))
    receiver = subprocess.Popen([sys.executable, example / "receiver.py"], stdout=subprocess.PIPE, text=True)
    try:
        name, _, address = receiver.stdout.readline().strip().partition("=")
        up = [BINARY, "up", example, "--port", str(free_port()), "--exit-when-drained"]
        run = subprocess.run(up, capture_output=True, text=True, timeout=120, env={**os.environ, name: address})
        assert run.returncode == 0, run.stdout + run.stderr
    finally:
        receiver.terminate()
    shown, _ = receiver.communicate(timeout=30)
    assert [line.split()[1] for line in shown.splitlines()] == ["Orders.modify"] * SHIPPED_IN_EXAMPLE, shown


def test_requests_bear_a_signature_that_aws_own_library_makes_as_well(start, tmp_path):
    """SigV4: what botocore makes of the same request at the same time."""
    with services.receiver() as receiver:
        address = receiver.url.removesuffix("/hook").replace("localhost", "127.0.0.1")
        queue = {"to": f"sqs:{address}/1/q", "region": "eu-west-1", "access_key_id": "key", "secret_access_key": "secret", "start": "trim_horizon"}
        server = start(*configured(tmp_path, queue=queue))
        client = server.client()
        make_table(client, "Orders", stream="NEW_AND_OLD_IMAGES")
        client.put_item(TableName="Orders", Item={"pk": {"S": "k"}})
        wait_until(lambda: receiver.taken, "the request")
        headers, body = receiver.taken[0]
        headers = {name.lower(): value for name, value in headers.items()}
        signed = headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        request = botocore.awsrequest.AWSRequest(
            "POST", f"{address}/", data=body, headers={name: headers[name] for name in signed if name != "host"}
        )
        request.context["timestamp"] = headers["x-amz-date"]
        auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials("key", "secret"), "sqs", "eu-west-1")
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        assert headers["authorization"].endswith(f"Signature={signature}")
