#!/usr/bin/env python3
"""An in-memory SQL database of real text: load, build indexes, scan, join, sort, digest.

    tables.py CORPUS
"""

from __future__ import annotations

import hashlib
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

QUERIES = (
    "SELECT count(*), sum(length(body)), min(title), max(title) FROM texts",
    "SELECT kind, count(*), sum(length(body)) FROM texts GROUP BY kind ORDER BY 2 DESC, 1 LIMIT 50",
    "SELECT title, number FROM texts WHERE title BETWEEN 'lib' AND 'liz' ORDER BY title, number",
    "SELECT count(*) FROM texts WHERE body LIKE '%memory%'",
    "SELECT word, count(*) FROM words GROUP BY word ORDER BY 2 DESC, 1 LIMIT 200",
    "SELECT t.title, w.word FROM words w JOIN texts t ON t.number = w.number"
    " WHERE w.word = 'compression' ORDER BY t.title, t.number",
    "SELECT substr(body, 1, 40), number FROM texts ORDER BY length(body) DESC, number LIMIT 500",
)


def paragraphs(path: Path) -> Iterator[tuple[int, str, str, str]]:
    text = path.read_text(errors="replace").split("\n\n")
    for number, body in enumerate(text):
        title, _, rest = body.partition("\n")
        yield number, title[:60], rest.partition(":")[0][:20], body


def words(path: Path) -> Iterator[tuple[str, int]]:
    for number, _, _, body in paragraphs(path):
        for word in body.split()[3:60:6]:
            yield word.strip(".,()").lower(), number


def main() -> int:
    path = Path(sys.argv[1])
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA temp_store = MEMORY")
    database.execute("CREATE TABLE texts (number INTEGER PRIMARY KEY, title, kind, body)")
    database.execute("CREATE TABLE words (word, number INTEGER)")
    database.executemany("INSERT INTO texts VALUES (?, ?, ?, ?)", paragraphs(path))
    database.executemany("INSERT INTO words VALUES (?, ?)", words(path))
    database.execute("CREATE INDEX by_title ON texts (title, kind)")
    database.execute("CREATE INDEX by_kind ON texts (kind, number)")
    database.execute("CREATE INDEX by_word ON words (word, number)")
    digest = hashlib.sha256()
    for turn in range(2):
        for query in QUERIES:
            for row in database.execute(query):
                digest.update(repr(row).encode())
        database.execute(
            "UPDATE texts SET body = body || ' seen', kind = 'k' || kind WHERE number % 7 = ?",
            (turn,),
        )
    for row in database.execute("SELECT * FROM texts ORDER BY number"):
        digest.update(repr(row).encode())
    check = database.execute("PRAGMA integrity_check").fetchone()[0]
    print("integrity", check)
    print("digest", digest.hexdigest())
    return 0 if check == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
