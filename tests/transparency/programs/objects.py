"""objects.py MIB HOW: CPython objects; a forked child reads them all, which writes to each of them
(reference counts).

HOW "alone": no child     "forked": os.fork     "pool": a multiprocessing pool of two
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys


def build(count: int) -> list[bytes]:
    return [bytes([i % 251]) * 3000 + b"%d" % i + bytes(900) for i in range(count)]


def digest(objects: list[bytes]) -> str:
    result = hashlib.sha256()
    for one in objects:
        result.update(one)
    return result.hexdigest()


OBJECTS: list[bytes] = []


def digest_inherited(_: int) -> str:
    return digest(OBJECTS)


def main() -> int:
    count = int(sys.argv[1]) * (1 << 20) // 4096
    OBJECTS.extend(build(count))
    expected = digest(OBJECTS)
    right = True
    if sys.argv[2] == "forked":
        child = os.fork()
        if child == 0:
            os._exit(0 if digest(OBJECTS) == expected else 1)
        right = os.waitpid(child, 0)[1] == 0
    if sys.argv[2] == "pool":
        with multiprocessing.get_context("fork").Pool(2) as pool:
            right = all(one == expected for one in pool.map(digest_inherited, range(4)))
    print(expected, right and digest(OBJECTS) == expected)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
