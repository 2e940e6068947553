#!/usr/bin/env python3
"""Trees of processes that share memory by fork, under one limit, for a long time.

    trees.py redis    [--keys N] [--limit 200M]     snapshots during writes, AOF rewrite, reload, a
                                                    replica, kill -9 of a child
    trees.py prefork  [--objects N] [--minutes N]   a server with 8 forked workers, shared objects
    trees.py make     [--limit 75M]                  `make -j2` of redis: the same object files

Each passes if all answers are right, the tree holds its limit by the rule of
tests/system/harness.py, and uzswap says nothing. What redis saves and sends is compared by DEBUG
DIGEST with a twin that runs without uzswap and got the same writes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
sys.path.insert(0, str(HERE.parent / "system" / "workloads"))

import corpus  # noqa: E402
import harness  # noqa: E402
from compiled import compare_builds  # noqa: E402
from harness import MIB, Hierarchy, Run  # noqa: E402
from packages import free_port  # noqa: E402
from prefork_client import ask_for  # noqa: E402
from redis_client import KnownData  # noqa: E402
from redis_tree import play_redis, redis_words  # noqa: E402

CORPUS_BYTES = 12 * MIB
PYTHON = "/usr/bin/python3"
DEADLINE_S = 3600.0 * harness.SLOWNESS


def report(name: str, run: Run, limit: int, told: str) -> list[str]:
    stats = run.stats
    print(
        f"{name}: {told}; peak {run.anon_peak / MIB:.1f} of {limit / MIB:.1f} MiB"
        f" ({run.samples_over} of {run.samples} samples over), {run.seconds:.1f} s,"
        f" pages out {stats.get('zswpout', '?')} in {stats.get('zswpin', '?')},"
        f" faults {stats.get('faults', '?')}",
        flush=True,
    )
    found = [] if run.status == 0 else [f"{run.describe_end()}: {run.errors[-1500:]}"]
    over = harness.limit_problem(run, limit)
    said = [line for line in run.errors.splitlines() if line.startswith("uzswap: ")]
    return found + ([over] if over else []) + said


def limited(
    command: list[str],
    hierarchy: Hierarchy,
    limit: int,
    folder: Path,
    during: Callable[[], None] | None = None,
    options: list[str] | None = None,
) -> Run:
    client = None if during is None else lambda *_: during()
    return harness.run_limited(
        command, hierarchy, limit, options, DEADLINE_S, folder=folder, during=client
    )


def redis(arguments: argparse.Namespace, hierarchy: Hierarchy, folder: Path) -> list[str]:
    port = free_port()
    data = KnownData(folder / "corpus.txt", arguments.keys)
    told: list[str] = []
    run = limited(
        redis_words(folder, "redis.sock", port),
        hierarchy,
        arguments.limit,
        folder,
        lambda: told.append(play_redis(folder, port, data)),
    )
    return report("redis", run, arguments.limit, told[0])


def prefork(arguments: argparse.Namespace, hierarchy: Hierarchy, folder: Path) -> list[str]:
    server = [PYTHON, str(HERE / "prefork_server.py"), str(folder), str(arguments.objects), "8"]
    told: list[str] = []
    seconds = arguments.minutes * 60
    run = limited(
        server,
        hierarchy,
        arguments.limit,
        folder,
        lambda: told.append(ask_for(folder, arguments.objects, seconds)),
        # In the end each worker has a copy of each object that it has read.
        ["--backing", str(folder)],
    )
    return report("prefork", run, arguments.limit, told[0])


def make(arguments: argparse.Namespace, hierarchy: Hierarchy, folder: Path) -> list[str]:
    def build(command: list[str], where: Path, under_limit: bool) -> Run:
        if under_limit:
            return limited(command, hierarchy, arguments.limit, where)
        return harness.run(command, hierarchy, folder=where, deadline=DEADLINE_S)

    run, told, problems = compare_builds(folder, build)
    return report("make", run, arguments.limit, told) + problems


TREES = {"redis": redis, "prefork": prefork, "make": make}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", choices=TREES)
    parser.add_argument("--keys", type=int, default=750_000)
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--limit", type=harness.parse_size, default=0)
    arguments = parser.parse_args()
    if arguments.limit == 0:
        arguments.limit = (75 if arguments.name == "make" else 200) * MIB
    hierarchy = harness.require_machine()
    with harness.scratch_folder() as scratch:
        folder = Path(scratch)
        corpus.write_corpus(folder / "corpus.txt", CORPUS_BYTES)
        try:
            problems = TREES[arguments.name](arguments, hierarchy, folder)
        except (harness.ClientFailed, harness.Problem, TimeoutError) as failure:
            problems = [str(failure)]
    for problem in problems:
        print(f"FAILED: {arguments.name}: {problem}", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
