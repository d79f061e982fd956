"""A store that speaks S3, for tests: versitygw over a directory, built by `go install` into the environment of the tests once,
on a free loopback port, for as long as it is needed.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import boto3
import botocore.config

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from shared import alone, free_port  # noqa: E402

VERSION = "v1.8.0"
START_SECONDS_MAX = 60
ACCESS_KEY, SECRET_KEY = "tailrace", "tailrace-secret"


def is_left_out():
    """Whether the tests that need Go are left out: `cargo xtask test --without go`."""
    return "go" in os.environ.get("TAILRACE_TEST_WITHOUT", "").split(",")


def program():
    """The program; it is made if it is not there yet."""
    folder = pathlib.Path(sys.prefix) / "go"
    path = folder / f"versitygw-{VERSION}"
    with alone(folder):
        if not path.exists():
            assert shutil.which("go"), "the tests against S3 need go: install it, or leave them out by `cargo xtask test --without go`"
            environment = {**os.environ, "GOBIN": str(folder)}
            subprocess.run(["go", "install", f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"], env=environment, check=True)
            (folder / "versitygw").rename(path)
    return path


class Store:
    """One store. It keeps what it has when it is stopped or killed."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "data").mkdir(parents=True)
        (self.folder / "versions").mkdir()
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )

    def objects(self, bucket, prefix=""):
        """The objects of a bucket, by key."""
        client, found = self.client(), {}
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for listed in page.get("Contents", []):
                if not listed["Key"].endswith("/"):
                    found[listed["Key"]] = client.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read()
        return found

    def start(self):
        """Starts it, also again, and waits until it answers."""
        environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
        arguments = ["--port", f"127.0.0.1:{self.port}", "posix", "--versioning-dir", self.folder / "versions", self.folder / "data"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [program(), *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS_MAX
        while True:
            assert self.process.poll() is None, f"the store ended:\n{(self.folder / 'log').read_text()}"
            try:
                urllib.request.urlopen(self.url, timeout=2)
                return self
            except urllib.error.HTTPError:
                # It answers.
                return self
            except OSError:
                assert time.monotonic() < end, "the store does not answer"
                time.sleep(0.05)

    def stop(self, sign=signal.SIGKILL):
        """Ends it, as a crash does."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(sign)
            self.process.wait()


@contextlib.contextmanager
def running():
    """A store for a block."""
    folder = tempfile.mkdtemp(prefix="tailrace-s3-")
    store = Store(pathlib.Path(folder) / "store")
    try:
        yield store.start()
    finally:
        store.stop()
        shutil.rmtree(folder, ignore_errors=True)
