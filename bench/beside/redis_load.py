"""A client of redis that times each request: JSON values, most requests for a part of the keys."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable

from redis_client import KnownData, RedisClient

WRITES = 0.2


def percentile(ordered: list[int], share: float) -> int:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def key_of(rng: random.Random, keys: int) -> int:
    # A few are wanted often. They are not neighbours in the server's memory.
    return int(keys * rng.random() ** 3) * 7919 % keys


def timed(work: Callable[[], object]) -> tuple[int, object]:
    start = time.perf_counter_ns()
    answer = work()
    return time.perf_counter_ns() - start, answer


def play(client: RedisClient, data: KnownData, requests: int) -> tuple[str, dict[str, float]]:
    """Loads, sends the requests one after the other, checks all. The digest of the end, and the
    seconds and percentiles of the requests."""
    data.store(client, version=1)
    rng = random.Random(20130214)
    times = []
    for _ in range(requests):
        number = key_of(rng, data.keys)
        value = data.value(number, 1)
        if rng.random() < WRITES:
            took, _ = timed(lambda: client.call("SET", f"item:{number}", value))  # noqa: B023
        else:
            took, answer = timed(lambda: client.call("GET", f"item:{number}"))  # noqa: B023
            if answer != value:
                raise ValueError(f"item:{number}: {answer!r} instead of {value!r}")
        times.append(took)
    digest = data.check(client)
    times.sort()
    return digest, {
        "seconds": sum(times) / 1e9,
        "operations": float(requests),
        "operation_ns": statistics.fmean(times),
        "p50_ns": float(percentile(times, 0.50)),
        "p99_ns": float(percentile(times, 0.99)),
        "p999_ns": float(percentile(times, 0.999)),
        "max_ns": float(times[-1]),
    }
