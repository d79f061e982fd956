"""Fetches the jars of a list, pinned and checked, into a folder: `install.py FOLDER [LIST]`; without a list, those of jars.txt.

A list holds one jar a line, `group:artifact:version sha256`. What does not match its checksum is not kept.
"""

import hashlib
import pathlib
import shutil
import sys
import tempfile

import jgo.maven


def main(folder, jars=pathlib.Path(__file__).with_name("jars.txt")):
    wanted = jars.read_text().splitlines()
    folder.mkdir(parents=True, exist_ok=True)
    for jar in folder.glob("*.jar"):
        jar.unlink()
    with tempfile.TemporaryDirectory() as cache:
        maven = jgo.maven.MavenContext(repo_cache=pathlib.Path(cache))
        for line in wanted:
            if not line or line.startswith("#"):
                continue
            name, checksum = line.split()
            path = maven.create_dependency(name).artifact.resolve()
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != checksum:
                sys.exit(f"{name}: its SHA-256 is {found}, not {checksum}")
            shutil.move(path, folder / path.name)


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
