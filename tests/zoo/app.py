"""A zoo of handlers: one that does its work, and one for each way in which a handler can be a bad neighbour.

The good one appends the key of each record to the file that EFFECTS names; the others never succeed, but for those that say so.
"""

import ctypes
import os
import signal
import sys
import time

if os.environ.get("KIND") == "slow_import":
    time.sleep(3)


def keys(event):
    return [record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"]]


def good(event, context):
    lines = "".join(key + "\n" for key in keys(event))
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, lines.encode())
    finally:
        os.close(file)


def slow_import(event, context):
    """It succeeds, once it is there."""
    good(event, context)


def fork_bomb(event, context):
    """Children that make children, until the system says no or there are as many as a machine can bear."""
    for _ in range(8):
        try:
            os.fork()
        except OSError:
            break
    while True:
        time.sleep(600)


def memory_eater(event, context):
    eaten = []
    while True:
        eaten.append(bytearray(b"x" * (8 << 20)))


def leaves_its_group(event, context):
    """A child in a session of its own that ignores what it may, and the parent fails."""
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        while True:
            time.sleep(600)
    raise RuntimeError("the child stays behind")


def segfault(event, context):
    ctypes.string_at(0)


def endless_output(event, context):
    """As much as a disk bears."""
    while True:
        sys.stdout.write("x" * 8192 + "\n")
        time.sleep(0.001)


def endless_line(event, context):
    while True:
        os.write(1, b"y" * 8192)
        time.sleep(0.001)


def hangs(event, context):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(600)


def burns(event, context):
    while True:
        pass


def huge_answer(event, context):
    return "z" * (7 << 20)


def exits(event, context):
    os._exit(7)


def closes_everything(event, context):
    """Its pipes, and its connection to the host."""
    os.closerange(0, 1024)
    time.sleep(600)


def raises(event, context):
    raise ValueError("no good")
