#!/usr/bin/python3
"""A server that makes many objects, and then forks its workers: they share what they do not write.

    prefork_server.py FOLDER OBJECTS WORKERS

A worker writes the counts of references of each object that it reads, and so makes copies of the
pages. A request is the number of an object and a new line; the answer is the digest of its JSON
text. SIGTERM to the first process ends all.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))

from redis_client import KnownData  # noqa: E402

Objects = list[dict[str, object]]


def digest_of(one: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(one).encode()).hexdigest()


def serve(listener: socket.socket, objects: Objects) -> None:
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rw") as lines:
            for line in lines:
                lines.write(digest_of(objects[int(line)]) + "\n")
                lines.flush()


def main() -> int:
    folder, count, workers = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    data = KnownData(folder / "corpus.txt", count)
    objects: Objects = [json.loads(data.value(number, 1)) for number in range(count)]
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket.new"))
    listener.listen(64)
    children = []
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            serve(listener, objects)
        children.append(child)

    def end(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    (folder / "pid").write_text(str(os.getpid()))
    (folder / "socket.new").rename(folder / "socket")
    ended = [os.waitpid(child, 0)[1] for child in children]
    return 0 if all(os.WTERMSIG(status) == signal.SIGTERM for status in ended) else 1


if __name__ == "__main__":
    sys.exit(main())
