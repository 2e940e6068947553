#!/usr/bin/env python3
"""Real text for the workloads: what a Debian system knows of its own packages.

    corpus.py FILE MIB      writes that much text

It joins the package database, the package lists and the documentation in /usr/share/doc until
there is enough. Where a machine has little, the text is repeated with each round marked, so that
no two rounds are equal. The same machine gives the same text until its packages change, so it is
written once for a comparison and read by every run.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

APT_HELPER = "/usr/lib/apt/apt-helper"


def package_lists() -> Iterator[bytes]:
    for path in sorted(Path("/var/lib/apt/lists").glob("*_Packages*")):
        done = subprocess.run([APT_HELPER, "cat-file", path], capture_output=True, check=False)
        if done.returncode == 0:
            yield done.stdout


def documents() -> Iterator[bytes]:
    for path in sorted(Path("/usr/share/doc").glob("*/*")):
        if not path.is_file():
            continue
        try:
            if path.suffix == ".gz":
                yield gzip.decompress(path.read_bytes())
            elif path.name in ("copyright", "NEWS", "README"):
                yield path.read_bytes()
        except (OSError, EOFError):
            continue


def texts() -> Iterator[bytes]:
    yield Path("/var/lib/dpkg/status").read_bytes()
    yield from package_lists()
    yield from documents()


def write_corpus(target: Path, size: int) -> None:
    written = 0
    rounds = 0
    with target.open("wb") as file:
        while written < size:
            for text in texts():
                piece = text[: size - written]
                if rounds:
                    piece = piece.replace(b"\n\n", b"\nRound: %d\n\n" % rounds)
                file.write(piece)
                written += len(piece)
                if written >= size:
                    return
            rounds += 1


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]), int(float(sys.argv[2]) * (1 << 20)))
