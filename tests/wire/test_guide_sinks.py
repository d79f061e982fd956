"""The walkthrough of docs/sinks.md, as it stands there: each command is run, and what is under it is what it prints.

A line under a command is part of what it prints, whatever lies between its words. Commands that read what sinks have made are run
again until they print it: sinks are a moment behind.
"""

import os
import re
import shutil
import subprocess

from conftest import BINARY, REPOSITORY, free_port, wait_until

GUIDE = (REPOSITORY / "docs/sinks.md").read_text()


def steps():
    """The commands of the section, each with the lines that are under it."""
    section = re.search(r"(?ms)^## Try it\n(.*?)^## ", GUIDE)[1]
    found = []
    for line in section.splitlines():
        if line.startswith("    $ "):
            found.append((line[6:], []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line.split())
    return found


def has(printed, words):
    """A line of what was printed has the words, in their order."""
    return any(re.search(r"\s+(?:.*\s)?".join(map(re.escape, words)), line) for line in printed.splitlines())


def test_the_walkthrough_is_true(tmp_path):
    place = tmp_path / "clone"
    shutil.copytree(REPOSITORY / "examples/orders", place / "examples/orders", ignore=shutil.ignore_patterns(".tailrace"))
    (place / "bin").mkdir()
    (place / "bin/tailrace").symlink_to(BINARY)
    port = str(free_port())
    environment = {
        **os.environ,
        "PATH": f"{place}/bin:{os.environ['PATH']}",
        "TAILRACE_PORT": port,
        "TAILRACE_ENDPOINT": f"http://127.0.0.1:{port}",
    }
    (up, drawn), *others = steps()
    assert up.startswith("tailrace up ") and len(others) >= 8
    talk = tmp_path / "talk"
    with open(talk, "wb") as output:
        server = subprocess.Popen(up, shell=True, cwd=place, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(lambda: all(has(talk.read_text(), words) for words in drawn), f"{drawn} in {talk}")
        for command, expected in others:
            printed = ""

            def is_there():
                nonlocal printed
                done = subprocess.run(command, shell=True, cwd=place, env=environment, capture_output=True, text=True, timeout=300)
                printed = done.stdout + done.stderr
                return all(has(printed, words) for words in expected)

            try:
                wait_until(is_there, "what is under it")
            except AssertionError as error:
                raise AssertionError(f"{command}\nprints\n{printed}\nand not\n{expected}") from error
        assert has(talk.read_text(), ["delivered", "to", "lake"]) and has(talk.read_text(), ["delivered", "to", "daily"])
    finally:
        os.killpg(server.pid, 2)
        server.wait(30)
