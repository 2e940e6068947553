#!/usr/bin/env python3
"""A database of sqlite in memory: load records, then scan ranges of two indices and update some.

    ranges.py CORPUS [SCANS]

A scan reads up to 200 records in the order of an index; the starts are random. It prints a digest
of what it read.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

ROWS = 200


def records(text: str) -> Iterator[tuple[int, str, int, str]]:
    for number, paragraph in enumerate(text.split("\n\n")):
        title = paragraph.split("\n", 1)[0][:60]
        # Spread, so that neighbours in this index are no neighbours in the table.
        weight = zlib.crc32(b"%d" % number) & 0x7FFFFFFF
        yield number, title, weight, paragraph


def scan(database: sqlite3.Connection, column: str, start: object, seen: int) -> int:
    query = f"SELECT number, body FROM item WHERE {column} >= ? ORDER BY {column} LIMIT {ROWS}"
    for number, body in database.execute(query, (start,)):
        seen = zlib.crc32(body.encode(), seen ^ number)
    return seen


def main() -> int:
    scans = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
    database = sqlite3.connect(":memory:")
    database.execute(
        "CREATE TABLE item (number INTEGER PRIMARY KEY, title TEXT, weight INTEGER, body TEXT)"
    )
    text = Path(sys.argv[1]).read_text(errors="replace")
    database.executemany("INSERT INTO item VALUES (?, ?, ?, ?)", records(text))
    del text
    database.execute("CREATE INDEX by_title ON item (title)")
    database.execute("CREATE INDEX by_weight ON item (weight)")
    (count,) = database.execute("SELECT count(*) FROM item").fetchone()
    rng = random.Random(20130214)
    seen = 0
    for turn in range(scans):
        if turn % 3 == 0:
            seen = scan(database, "weight", rng.randrange(0x7FFFFFFF), seen)
        else:
            seen = scan(database, "number", rng.randrange(count), seen)
        if turn % 5 == 0:
            row = rng.randrange(count)
            database.execute("UPDATE item SET weight = weight + 1 WHERE number = ?", (row,))
    print(f"{count} records, digest {seen:08x}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
