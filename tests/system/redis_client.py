"""A small redis client over a Unix socket, and the data with known values that the tests check."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

BATCH = 500

Reply = bytes | int | None | list["Reply"]


class RedisClient:
    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(120)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def fileno(self) -> int:
        """For select: readable while no answer is expected means that the server has ended."""
        return self._socket.fileno()

    def call(self, *words: str | bytes) -> Reply:
        return self.pipeline([words])[0]

    def pipeline(self, commands: list[tuple[str | bytes, ...]]) -> list[Reply]:
        self._socket.sendall(b"".join(encode(words) for words in commands))
        return [self._read_reply() for _ in commands]

    def _read_reply(self) -> Reply:
        line = self._file.readline()
        if not line:
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self._file.read(size + 2)[:-2]
        return [self._read_reply() for _ in range(int(rest))]


def encode(words: tuple[str | bytes, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word.encode() if isinstance(word, str) else word
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class KnownData:
    """Keys with realistic JSON values, each computed from the corpus, its number and version."""

    def __init__(self, corpus: Path, keys: int) -> None:
        text = corpus.read_text(errors="replace")
        self._paragraphs = [one for one in text.split("\n\n") if len(one) > 80]
        self.keys = keys

    def value(self, number: int, version: int) -> bytes:
        lines = self._paragraphs[number % len(self._paragraphs)].split("\n")
        record = {
            "id": number,
            "version": version,
            "title": lines[0],
            "tags": lines[1][:60].split() if len(lines) > 1 else [],
            "text": " ".join(lines[2:])[:400],
            "price": number * 7919 % 100000 / 100,
        }
        return json.dumps(record).encode()

    def batches(self, step: int = 1) -> Iterator[list[int]]:
        numbers = list(range(0, self.keys, step))
        for at in range(0, len(numbers), BATCH):
            yield numbers[at : at + BATCH]

    def store(self, client: RedisClient, version: int, step: int = 1) -> None:
        for batch in self.batches(step):
            client.pipeline([("SET", f"item:{n}", self.value(n, version)) for n in batch])

    def check(self, client: RedisClient, versions: dict[int, int] | None = None) -> str:
        """Compares every key; `versions` maps a step to the version its multiples have."""
        digest = hashlib.sha256()
        for batch in self.batches():
            replies = client.pipeline([("GET", f"item:{n}") for n in batch])
            for number, reply in zip(batch, replies, strict=True):
                expected = self.value(number, version_of(number, versions or {}))
                if reply != expected:
                    raise ValueError(f"item:{number}: {reply!r} instead of {expected!r}")
                digest.update(expected)
        return digest.hexdigest()


def version_of(number: int, versions: dict[int, int]) -> int:
    return max((v for step, v in versions.items() if number % step == 0), default=1)
