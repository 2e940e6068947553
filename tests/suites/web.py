"""HTTP for the suite's clients: requests, many at once, and a server behind proxies."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from place import Place

TIMEOUT_S = 120.0


def get(place: Place, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def text_of(place: Place, path: str) -> str:
    status, body = get(place, path)
    if status != 200:
        raise ValueError(f"{path}: {status}")
    return body.decode().strip()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def answer(place: Place, path: str) -> str:
    status, found = get(place, path)
    return f"{path} {status} {len(found)} {digest(found)}"


def at_once(work: Callable[[int], str], count: int, clients: int = 8) -> str:
    """The answers of `count` requests by several clients at the same time, in order."""
    with ThreadPoolExecutor(clients) as pool:
        return "\n".join(pool.map(work, range(count)))


def pieces(place: Place, size: int) -> Iterator[bytes]:
    text = place.corpus.read_bytes()
    for start in range(0, len(text) - size, size):
        yield text[start : start + size]


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers a POST with the length and digest of its body."""

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        text = f"{len(body)} {digest(body)}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def upstream(port: int) -> Iterator[None]:
    """A server of ours, outside the measured group, that proxies pass requests to."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def slow_posts(place: Place, path: str, count: int, size: int) -> str:
    """Sends bodies that the proxy has to hold: all are half sent before any is finished."""
    bodies = [body for body, _ in zip(pieces(place, size), range(count), strict=False)]
    connections = []
    for body in bodies:
        connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=TIMEOUT_S)
        connection.putrequest("POST", path)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[: len(body) - 1000])
        connections.append(connection)
    replies = []
    for connection, body in zip(connections, bodies, strict=True):
        connection.send(body[len(body) - 1000 :])
        reply = connection.getresponse()
        replies.append(f"{reply.status} {reply.read().decode(errors='replace')}")
        connection.close()
    return "\n".join(replies)
