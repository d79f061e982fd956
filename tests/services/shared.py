"""What tests that run side by side share: ports, and programs that the first of them installs."""

import contextlib
import fcntl
import itertools
import os
import pathlib
import random
import socket
import tempfile

# Below those that Linux gives to the clients of connections: a server that is killed finds its port free when it starts again.
PORTS = range(10_000, 32_000)


def _ports():
    """Each worker's own, without end."""
    worker, workers = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = PORTS[worker * len(PORTS) // workers : (worker + 1) * len(PORTS) // workers]
    first = random.SystemRandom().randrange(len(mine))
    return itertools.cycle([*mine[first:], *mine[:first]])


_next_ports = _ports()


def free_port():
    """A port of loopback that nobody has, and that no other test of this run is given."""
    for port in itertools.islice(_next_ports, len(PORTS)):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise OSError("no port of loopback is free")


@contextlib.contextmanager
def alone(folder):
    """Holds up whoever wants the same folder, which need not be there, for as long as the block runs."""
    name = str(pathlib.Path(folder).resolve()).replace(os.sep, "-")
    with open(pathlib.Path(tempfile.gettempdir()) / f"tailrace{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
