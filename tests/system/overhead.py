#!/usr/bin/env python3
"""What `uzswap run` costs a program that stays below its limit: interleaved pairs, the median.

    overhead.py [--pairs 15] [--seconds 2] [--limit 2G] [-- CMD...]

Each pair runs the program without and with uzswap, in alternating order, so that changes of the
machine's speed affect both alike. Without CMD it is a Python program that allocates, sorts and
frees for about the given time. It prints the median of the pairs' differences in percent and
milliseconds, and the quartiles. No test depends on these figures.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

WORK = """
import random, sys
rng = random.Random(7)
total = 0
for _ in range(int(sys.argv[1])):
    items = [str(rng.random()) for _ in range(40000)]
    items.sort()
    table = {item: number for number, item in enumerate(items)}
    total += len(table)
print(total)
"""
ROUNDS_PER_SECOND = 30


def time_of(command: list[str]) -> float:
    start = time.monotonic()
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, check=False, timeout=harness.DEADLINE_S
    )
    seconds = time.monotonic() - start
    if done.returncode != 0:
        harness.fail(f"{command[:6]} ended with {done.returncode}")
    return seconds


def measure(command: list[str], limit: int, pairs: int) -> list[tuple[float, float]]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        limited = harness.uzswap_command(limit, Path(folder) / "stats.json") + command
        for number in range(pairs):
            if number % 2 == 0:
                plain, under = time_of(command), time_of(limited)
            else:
                under, plain = time_of(limited), time_of(command)
            found.append((plain, under))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--limit", default="2G")
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    if not harness.have_uzswap():
        harness.skip("there is no uzswap program yet")
    os.environ["PYTHONHASHSEED"] = "0"
    rounds = max(1, round(arguments.seconds * ROUNDS_PER_SECOND))
    command = arguments.command or ["/usr/bin/python3", "-c", WORK, str(rounds)]
    time_of(command)  # warms the file cache
    pairs = measure(command, harness.parse_size(arguments.limit), arguments.pairs)
    plain = statistics.median(one for one, _ in pairs)
    differences = sorted((under - alone) * 1000 for alone, under in pairs)
    middle = statistics.median(differences)
    low, _, high = statistics.quantiles(differences, n=4)
    print(f"without: median {plain * 1000:.1f} ms over {len(pairs)} pairs")
    print(
        f"with uzswap: {middle:+.1f} ms ({middle / plain / 10:+.2f} %),"
        f" middle half of the pairs {low:+.1f} .. {high:+.1f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
