#!/usr/bin/env python3
"""A CPython program over dictionaries: parse text into records, index, look up, update, digest.

    dicts.py CORPUS [ROUNDS]

The records are dictionaries of strings and lists, the index a dictionary of lists. Each round
does lookups that favour a few records, some updates, and from time to time a scan of everything. It
prints a digest of all it saw and of all it holds at the end.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

Record = dict[str, object]
SCAN_EVERY = 8
FIELDS = ("Package", "Section", "Maintainer", "Depends", "Recommends", "Tag")


def parse(text: str) -> list[Record]:
    """The paragraphs of Debian's control format; other text becomes records of its lines."""
    records: list[Record] = []
    for number, paragraph in enumerate(text.split("\n\n")):
        record: Record = {"number": number}
        for line in paragraph.split("\n"):
            key, colon, value = line.partition(": ")
            if colon and key.isalpha():
                record[key] = value.split(", ") if "," in value else value
            elif line:
                record.setdefault("text", []).append(line)  # type: ignore[attr-defined]
        records.append(record)
    return records


def words_of(record: Record, field: str) -> list[str]:
    value = record.get(field, "")
    parts = value if isinstance(value, list) else [str(value)]
    return [part.split(" ")[0] for part in parts if part]


def build_index(records: list[Record]) -> dict[str, list[int]]:
    """Which records name a package, a section, a maintainer: what a service would look up."""
    index: dict[str, list[int]] = {}
    for record in records:
        for field in FIELDS:
            for word in words_of(record, field):
                index.setdefault(f"{field}={word}", []).append(int(str(record["number"])))
    return index


def weigh(record: Record) -> int:
    return sum(len(str(value)) for value in record.values())


def work(records: list[Record], index: dict[str, list[int]], rounds: int) -> str:
    digest = hashlib.sha256()
    rng = random.Random(20130214)
    names = list(index)
    for turn in range(rounds):
        for _ in range(20000):
            # A few names are asked for most of the time, and many from time to time.
            at = int(rng.paretovariate(0.9)) % len(names)
            for number in index[names[at]][:5]:
                digest.update(str(records[number].get("Package", number)).encode())
        for _ in range(200):
            record = records[rng.randrange(len(records))]
            record["seen"] = f"in round {turn}"
            record["weight"] = weigh(record)
        if turn % SCAN_EVERY == SCAN_EVERY - 1:
            digest.update(str(sum(weigh(record) for record in records)).encode())
    for record in records:
        digest.update(repr(record).encode())
    for name in names:
        digest.update(repr(index[name]).encode())
    return digest.hexdigest()


def main() -> int:
    text = Path(sys.argv[1]).read_text(errors="replace")
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 16
    records = parse(text)
    del text
    index = build_index(records)
    print(f"{len(records)} records, {len(index)} names")
    print("digest", work(records, index, rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
