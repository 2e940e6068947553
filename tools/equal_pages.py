#!/usr/bin/python3
"""How many pages have the same content as another one: what deduplication could save.

    equal_pages.py FILE.pages ...     raw pages of 4,096 bytes, such as tools/make_dumps.py makes
    equal_pages.py PID ...            private anonymous memory of living processes (as root)
    equal_pages.py --prefork WORKERS  a Python program that makes objects, forks workers which read
                                      all of them, and compares the workers

Same-filled pages are left out: uzswap stores them without memory. Of processes, only pages that
nobody else maps are counted: shared ones are one page already. `within` counts pages that are equal
to another page of the same file or process, `across` also those of the other ones.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from make_dumps import MAPPED_ONCE, PAGE, PRESENT, present_pages


def is_same_filled(page: bytes) -> bool:
    return page[:8] * (PAGE // 8) == page


def pages_of_file(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    for start in range(0, len(content) - PAGE + 1, PAGE):
        yield content[start : start + PAGE]


def pages_of_process(pid: int) -> Iterator[bytes]:
    return present_pages(pid, sys.maxsize, PRESENT | MAPPED_ONCE)


def report(sources: dict[str, Iterator[bytes]]) -> None:
    everywhere: set[bytes] = set()
    total = across = 0
    for name, pages in sources.items():
        here: set[bytes] = set()
        count = within = 0
        for page in pages:
            if is_same_filled(page):
                continue
            digest = hashlib.blake2b(page, digest_size=16).digest()
            count += 1
            within += digest in here
            across += digest in everywhere
            here.add(digest)
            everywhere.add(digest)
        total += count
        print(f"{name}: {count} pages, equal to another within: {share(within, count)}")
    print(f"all: {total} pages, equal to another across: {share(across, total)}")


def share(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def make_objects(count: int) -> list[dict[str, object]]:
    return [
        {
            "id": number,
            "name": f"user{number}",
            "tags": [f"a{number % 100}", f"b{number % 37}"],
            "score": number * 1.5,
            "text": f"some text {number} of some length",
        }
        for number in range(count)
    ]


def work(objects: list[dict[str, object]], done: int) -> None:
    """Reading changes the reference counts: the pages are copied."""
    seen = sum(len(str(one["name"])) for one in objects)
    own = make_objects(len(objects) // 6)
    os.write(done, b"." if seen and own else b"?")
    signal.pause()


def prefork(workers: int) -> None:
    objects = make_objects(120_000)
    pids = []
    for _ in range(workers):
        ready, done = os.pipe()
        pid = os.fork()
        if pid == 0:
            work(objects, done)
            os._exit(0)
        os.read(ready, 1)
        pids.append(pid)
    try:
        report({f"worker {pid}": pages_of_process(pid) for pid in pids})
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prefork", type=int, default=0, metavar="WORKERS")
    parser.add_argument("sources", nargs="*", metavar="FILE|PID")
    arguments = parser.parse_args()
    if arguments.prefork:
        prefork(arguments.prefork)
    elif arguments.sources:
        report(
            {
                name: pages_of_process(int(name)) if name.isdigit() else pages_of_file(Path(name))
                for name in arguments.sources
            }
        )
    else:
        parser.error("name files or processes, or give --prefork")
    return 0


if __name__ == "__main__":
    sys.exit(main())
