"""Clients of prefork_server.py: they ask for objects at random, and check each answer."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
from prefork_server import digest_of
from redis_client import KnownData

CLIENTS = 8
REQUESTS_OF_CONNECTION = 500
LOADING_S = 600.0 * harness.SLOWNESS


def ask(path: Path, data: KnownData, seed: int, until: float, results: Counter[str]) -> None:
    choose = random.Random(seed)
    while time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(120)
            connection.connect(str(path))
            with connection.makefile("rw") as lines:
                for _ in range(REQUESTS_OF_CONNECTION):
                    number = choose.randrange(data.keys)
                    lines.write(f"{number}\n")
                    lines.flush()
                    expected = digest_of(json.loads(data.value(number, 1)))
                    right = lines.readline() == expected + "\n"
                    results["right" if right else "wrong"] += 1


def ask_for(folder: Path, objects: int, seconds: float) -> str:
    """For so long, and then ends the server."""
    data = KnownData(folder / "corpus.txt", objects)
    path = folder / "socket"
    harness.wait_until("the server's socket", path.exists, LOADING_S)
    until = time.monotonic() + seconds
    results: list[Counter[str]] = [Counter() for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [
            pool.submit(ask, path, data, seed, until, results[seed]) for seed in range(CLIENTS)
        ]
        for client in clients:
            client.result()
    os.kill(int((folder / "pid").read_text()), signal.SIGTERM)
    total = sum(results, Counter())
    if total["wrong"] or not all(one["right"] for one in results):
        raise ValueError(f"{total['wrong']} of {total.total()} answers are wrong: {results}")
    return f"{total['right']} answers, all right"
