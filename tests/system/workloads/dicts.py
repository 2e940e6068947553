#!/usr/bin/env python3
"""A CPython program over dictionaries: parse text into records, index, look up, update, digest.

    dicts.py CORPUS [ROUNDS]

The records are dictionaries of strings and lists, the index a dictionary of lists. Each round
does lookups that favour a few records, some updates, and now and then a scan of everything. It
prints a digest of all it saw and of all it holds at the end.
"""

from __future__ import annotations

import hashlib
import random
import sys
from pathlib import Path

Record = dict[str, object]


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


def build_index(records: list[Record]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = {}
    for record in records:
        for key, value in record.items():
            for word in value if isinstance(value, list) else [value]:
                name = f"{key}={word}"
                index.setdefault(name[:40], []).append(record["number"])  # type: ignore[arg-type]
    return index


def weigh(record: Record) -> int:
    return sum(len(str(value)) for value in record.values())


def work(records: list[Record], index: dict[str, list[int]], rounds: int) -> str:
    digest = hashlib.sha256()
    rng = random.Random(20130214)
    names = list(index)
    for turn in range(rounds):
        for _ in range(2000):
            at = int(rng.paretovariate(0.7)) % len(names)
            numbers = index[names[at]]
            record = records[numbers[at % len(numbers)]]
            digest.update(str(record.get("Package", record["number"])).encode())
        for _ in range(200):
            record = records[rng.randrange(len(records))]
            record["seen"] = f"in round {turn}"
            record["weight"] = weigh(record)
        if turn % 8 == 7:
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
