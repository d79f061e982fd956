"""A disk that is really full: a small tmpfs, which the server sees alone (a mount namespace of its own).

Writes are refused with a clear error, reads go on, a restart works, and room that comes back is used. Nothing that was
acknowledged is lost.
"""

import os
import pathlib
import shutil
import signal
import subprocess

import botocore.exceptions

from conftest import BINARY, Server, make_table, wait_until

DISK_BYTES = 260 * 1024 * 1024
BALLAST_BYTES = 60 * 1024 * 1024
ITEM_BYTES = 300 * 1024
MOUNT_AND_RUN = 'mount -t tmpfs -o size=$1 tailrace "$2" && head -c $3 /dev/zero >"$2/ballast" && shift 3 && exec "$@"'


class ServerOnSmallDisk(Server):
    """A server whose data directory is on a tmpfs of its own; `self.disk` is how this process sees that."""

    def __init__(self, mount_point):
        mount_point.mkdir(exist_ok=True)
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        wrapper = mount_point.parent / "on-small-disk"
        unshare = shutil.which("unshare")
        assert unshare, "install util-linux: this test mounts a small disk for the server alone"
        wrapper.write_text(
            "#!/bin/sh\n"
            f"exec {unshare} {' '.join(as_root)} --mount sh -c '{MOUNT_AND_RUN}' sh {DISK_BYTES} {mount_point} {BALLAST_BYTES} "
            f'{BINARY} "$@"\n'
        )
        wrapper.chmod(0o755)
        super().__init__(mount_point / "data", binary=str(wrapper))
        self.disk = pathlib.Path(f"/proc/{self.process.pid}/root{mount_point}")


def put_until_refused(client, stored):
    item = os.urandom(ITEM_BYTES)
    for number in range(len(stored), 10_000):
        key = f"item {number}"
        try:
            client.put_item(TableName="full", Item={"pk": {"S": key}, "data": {"B": item}})
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]
        stored.append(key)
    raise AssertionError("the disk never fills")


def healthcheck(server):
    checked = subprocess.run([BINARY, "healthcheck", "--endpoint", server.url], capture_output=True, text=True)
    return checked.returncode, checked.stderr


def all_stored(client):
    keys = []
    for page in client.get_paginator("scan").paginate(TableName="full", ProjectionExpression="pk", ConsistentRead=True):
        keys += [item["pk"]["S"] for item in page["Items"]]
    return sorted(keys)


def test_a_full_disk_refuses_writes_loses_nothing_and_recovers(tmp_path):
    server = ServerOnSmallDisk(tmp_path / "disk").wait_ready()
    client = server.client()
    make_table(client, "full", stream="NEW_AND_OLD_IMAGES")
    stored = []
    error = put_until_refused(client, stored)
    assert error["Code"] == "InternalServerError"
    assert "no room" in error["Message"] and "No space left on device" in error["Message"], error
    assert len(stored) > 100
    assert all_stored(client) == sorted(stored), "reads go on"

    def refused():
        # While an attempt to get room is not over it does not tell.
        told = healthcheck(server)
        return told if told[0] == 1 else None

    _, text = wait_until(refused, "the health check to tell the full disk", 60)
    assert text.startswith("tailrace: not ready: writes are refused: "), text
    assert "no room" in text and text.count("\n") == 1, text

    (server.disk / "ballast").unlink()

    def accepted():
        try:
            client.put_item(TableName="full", Item={"pk": {"S": "afterwards"}})
            return True
        except botocore.exceptions.ClientError:
            return False

    wait_until(accepted, "a write to be accepted once there is room", 60)
    wait_until(lambda: healthcheck(server) == (0, ""), "the health check to be content again", 60)
    assert all_stored(client) == sorted([*stored, "afterwards"])
    leftovers = {path.name for path in (server.disk / "data" / "tree" / "tables").iterdir()}
    assert len(leftovers) < 40, "what failed for want of room is removed"

    # Stopped while it is full, copied to a disk with room, started there: everything is in the log, if not in the tree.
    put_until_refused(client, stored)
    copy = tmp_path / "copy"
    os.kill(server.process.pid, signal.SIGSTOP)
    shutil.copytree(server.disk / "data", copy)
    server.kill()
    restarted = Server(copy).wait_ready()
    assert all_stored(restarted.client()) == sorted([*stored, "afterwards"])
    assert restarted.stop() == 0, restarted.output()
