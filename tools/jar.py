"""Packs a folder of classes into a jar that is the same for the same classes: `jar.py CLASSES JAR`.

The entries are sorted, stored as they are, and have one date.
"""

import pathlib
import sys
import zipfile

DATE = (1980, 1, 1, 0, 0, 0)


def main(classes, jar):
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(classes.rglob("*.class"), key=lambda path: path.relative_to(classes).as_posix()):
            entry = zipfile.ZipInfo(path.relative_to(classes).as_posix(), DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
