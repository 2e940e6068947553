#!/usr/bin/env python3
"""CPython dictionaries in scattered order: parse text into records, visit them at random.

    scattered.py CORPUS [ROUNDS]

Each round visits every record once, in an order of its own, reads all its fields and updates one
in ten. It prints a digest of what it saw.
"""

from __future__ import annotations

import random
import sys
import zlib
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).resolve().parents[3] / "tests" / "system" / "workloads")
)
import dicts  # noqa: E402


def visit(record: dicts.Record, seen: int) -> int:
    for value in record.values():
        parts = value if isinstance(value, list) else [str(value)]
        for part in parts:
            seen = zlib.crc32(part.encode(), seen)
    return seen


def main() -> int:
    records = dicts.parse(Path(sys.argv[1]).read_text(errors="replace"))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    rng = random.Random(20130214)
    order = list(range(len(records)))
    seen = 0
    for turn in range(rounds):
        rng.shuffle(order)
        for number in order:
            seen = visit(records[number], seen)
            if rng.randrange(10) == 0:
                records[number]["seen"] = f"in round {turn}"
    print(f"{len(records)} records, digest {seen:08x}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
