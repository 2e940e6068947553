#!/usr/bin/env python3
"""Packaged programs that drop privileges, sandbox themselves, fork before they serve, or compile at
run time: each is started, used, reloaded and stopped, without uzswap and in half of its need.

    packages.py [NAME ...] [--percent 50] [--repeat N] [--list] [--debian]

The run without uzswap measures the need, which is the peak of the anonymous memory of all its
processes, and gives the answers. Under uzswap a package passes if

  - each client gets the same answers, before and after the reload;
  - the status is the same, and no process is left;
  - the limit is held, by the same rule as in tests/system/harness.py;
  - uzswap says nothing but that it exceeds the limit, and that only if it did.

--debian lists the Debian packages that are needed. scripts/test-suites installs them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
sys.path.insert(0, str(HERE.parent / "system" / "workloads"))

import corpus  # noqa: E402
import harness  # noqa: E402
from harness import MIB, Hierarchy, Run  # noqa: E402
from place import Package, Place  # noqa: E402
from runtimes import RUNTIMES  # noqa: E402
from servers import SERVERS  # noqa: E402

PACKAGES: dict[str, Package] = {**SERVERS, **RUNTIMES}
CORPUS_BYTES = 12 * MIB


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_place(folder: Path) -> Place:
    """A fresh folder that programs of another user may use, with the corpus in it."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    work.chmod(0o777)
    (work / "corpus.txt").hardlink_to(folder / "corpus.txt")
    return Place(work, free_port())


@dataclass(frozen=True)
class Result:
    """A run and what its clients were told."""

    run: Run
    answers: tuple[str, ...]


def play(package: Package, place: Place, answers: list[str]) -> None:
    """What the clients do while the server runs."""
    if package.use is None:
        return
    harness.wait_until("the server's first answer", lambda: answering(package, place, 1))
    answers.append(package.use(place))
    if package.reload is not None:
        package.configure(place, 2)
        os.kill(package.master(place), package.reload)
        harness.wait_until("the reload", lambda: answering(package, place, 2))
        answers.append(package.use(place))
    os.kill(package.master(place), package.stop)


def answering(package: Package, place: Place, generation: int) -> bool:
    try:
        return package.generation is None or package.generation(place) == str(generation)
    except (OSError, ValueError, RuntimeError):
        return False


def run_package(package: Package, folder: Path, hierarchy: Hierarchy, limit: int | None) -> Result:
    place = make_place(folder)
    package.configure(place, 1)
    answers: list[str] = []

    def during(*_: object) -> None:
        play(package, place, answers)

    options = {
        "folder": place.folder,
        "during": during,
        "settle": True,
        "environment": package.environment,
    }
    command = package.command(place)
    if limit is None:
        result = harness.run(command, hierarchy, **options)
    else:
        result = harness.run_limited(command, hierarchy, limit, bounded=False, **options)
    if package.use is None:
        answers.append(result.output.decode(errors="replace"))
    return Result(result, tuple(answers))


def problems_of(found: Result, plain: Result, limit: int) -> Iterator[str]:
    run = found.run
    if (run.status, run.timed_out) != (plain.run.status, plain.run.timed_out):
        yield f"{run.describe_end()}, without uzswap {plain.run.describe_end()}"
        yield run.errors[-1500:]
    if found.answers != plain.answers:
        yield f"answers {found.answers!r:.600}, without uzswap {plain.answers!r:.600}"
    if run.left_behind:
        yield f"left behind: {', '.join(run.left_behind)}"
    over = harness.limit_problem(run, limit)
    lines = [line for line in run.errors.splitlines() if line.startswith("uzswap: ")]
    told = [line for line in lines if "exceeds the limit" in line]
    if over and not told:
        yield over
    if told and run.anon_peak <= limit:
        yield f"the limit was held, and yet: {told[0]}"
    for line in lines:
        if line not in told:
            yield f"unexpected: {line}"


def examine(name: str, percent: int, hierarchy: Hierarchy) -> list[str]:
    package = PACKAGES[name]
    with harness.scratch_folder() as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        corpus.write_corpus(folder / "corpus.txt", CORPUS_BYTES)
        plain = run_package(package, folder, hierarchy, None)
        if plain.run.timed_out or not plain.answers:
            return [f"without uzswap: {plain.run.describe_end()}: {plain.run.errors[-1500:]}"]
        need = plain.run.anon_peak
        limit = max(harness.LEAST_LIMIT, need * percent // 100)
        found = run_package(package, folder, hierarchy, limit)
    run, stats = found.run, found.run.stats
    print(
        f"{name}: needs {need / MIB:.1f} MiB, {plain.run.seconds:.1f} s; {percent} %:"
        f" peak {run.anon_peak / MIB:.1f} of {limit / MIB:.1f} MiB"
        f" ({run.samples_over} of {run.samples} samples over), {run.seconds:.1f} s,"
        f" pages out {stats.get('zswpout', '?')} in {stats.get('zswpin', '?')} (last process)",
        flush=True,
    )
    return list(problems_of(found, plain, limit))


def attempt(name: str, percent: int, hierarchy: Hierarchy) -> list[str]:
    try:
        return examine(name, percent, hierarchy)
    except (harness.ClientFailed, TimeoutError) as failure:
        return [str(failure)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--percent", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--debian", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(PACKAGES)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; --list shows the names")
    chosen = arguments.names or list(PACKAGES)
    if arguments.list:
        print(*chosen, sep="\n")
        return 0
    if arguments.debian:
        print(*sorted({one for name in chosen for one in PACKAGES[name].debian}))
        return 0
    hierarchy = harness.require_machine()
    failed = 0
    for name in chosen * arguments.repeat:
        for problem in attempt(name, arguments.percent, hierarchy):
            failed += 1
            print(f"FAILED: {name}: {problem}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
