"""The workloads: how each is prepared, and what it reports of itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import harness
import programs
from harness import MIB

from . import redis_load

PROGRAMS = Path(__file__).resolve().parent / "programs"
# What touches fills at size 1. The programs need some 200 MiB then.
TOUCHED_BYTES = 256 * MIB
PAGE = 4096
RECORD = 256
REQUESTS = 40_000

Details = dict[str, float]


@dataclass(frozen=True)
class Place:
    """Where a workload runs: its folder, its size, and the pages of real heaps."""

    folder: Path
    size: float
    pages: tuple[Path, ...] = ()

    @property
    def scene(self) -> programs.Scene:
        return programs.Scene(self.folder, self.size)

    def corpus(self, mib: float) -> str:
        self.scene.write_corpus(mib)
        return str(self.scene.corpus)


@dataclass(frozen=True)
class Workload:
    """`prepare` gives the command. `read` takes seconds and details from what it prints, `play`
    from a client; without both, the time of the whole run counts, and what it prints has to be the
    same in each run. `needs`: programs, with the Debian package that has them."""

    title: str
    unit: str
    prepare: Callable[[Place], list[str]]
    read: Callable[[bytes], Details] | None = None
    play: Callable[[Place], tuple[str, Details]] | None = None
    needs: dict[str, str] = field(default_factory=dict)
    by_default: bool = True

    def obstacle(self) -> str | None:
        for program, package in self.needs.items():
            if shutil.which(program) is None:
                return (
                    f"{program} is not installed"
                    f"\n  fix: scripts/install-deps named {package}"
                )
        return None


def read_touches(output: bytes) -> Details:
    found = json.loads(output)
    names = ("seconds", "operations", "operation_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns")
    return {name: float(found[name]) for name in names}


def touches(
    title: str,
    pattern: str,
    passes: float,
    threads: int = 1,
    writes: int = 0,
    unit: int = PAGE,
    warm_up: float = 1.0,
) -> Workload:
    """`passes`, `warm_up`: touches for each page of the memory, of all threads together."""

    def prepare(place: Place) -> list[str]:
        pages = int(TOUCHED_BYTES * place.size) // PAGE
        return [
            *(str(harness.bin_folder() / "touches"), pattern),
            *("--pages", ",".join(str(path) for path in place.pages)),
            *("--size", str(pages * PAGE), "--unit", str(unit), "--threads", str(threads)),
            *("--touches", str(max(int(pages * passes / threads), 1))),
            *("--warm-up", str(int(pages * warm_up / threads)), "--writes", str(writes)),
        ]

    return Workload(title, "record" if unit < PAGE else "page", prepare, read=read_touches)


def prepare_scattered(place: Place) -> list[str]:
    return [programs.PYTHON, str(PROGRAMS / "scattered.py"), place.corpus(16)]


def prepare_ranges(place: Place) -> list[str]:
    return [programs.PYTHON, str(PROGRAMS / "ranges.py"), place.corpus(64)]


def prepare_java(place: Place) -> list[str]:
    # Java sizes its heap by the machine unless it is given: the runs must be alike.
    heap = f"{max(int(256 * place.size), 48)}m"
    return [
        *("java", f"-Xms{heap}", f"-Xmx{heap}", "-XX:+UseSerialGC"),
        *(str(PROGRAMS / "Records.java"), place.corpus(24), "6"),
    ]


def play_redis(place: Place) -> tuple[str, Details]:
    client = programs.connect(place.folder / "redis.sock")
    data = programs.known_data(place.scene)
    requests = max(int(REQUESTS * place.size), 100)
    digest, details = redis_load.play(client, data, requests)
    programs.shut_down(client)
    return digest, details


def of_programs(
    name: str, title: str, needs: dict[str, str] | None = None, by_default: bool = True
) -> Workload:
    program = programs.PROGRAMS[name]
    return Workload(
        title,
        "run",
        lambda place: program.prepare(place.scene),
        needs=needs or {},
        by_default=by_default,
    )


WORKLOADS: dict[str, Workload] = {
    "random-1": touches("random touches, 30 % writes, 1 thread", "random", 6, 1, 30),
    "random-2": touches("random touches, 30 % writes, 2 threads", "random", 6, 2, 30),
    "random-4": touches("random touches, 30 % writes, 4 threads", "random", 6, 4, 30),
    "sequential": touches("sequential scans that read", "sequential", 3),
    "rewrite": touches("sequential scans that rewrite", "sequential", 3, 1, 100),
    "loop": touches("a loop over all pages in a scattered order", "loop", 4),
    "zipf": touches("zipf over 256-byte records, moving hot set", "zipf", 24, 1, 10, RECORD, 8),
    "phase": touches("a working set of 40 % that jumps", "phase", 24, 1, 30),
    "dicts": Workload("CPython dicts in scattered order", "run", prepare_scattered),
    "redis": Workload(
        "redis, JSON values, one request after the other",
        "request",
        lambda place: programs.prepare_redis(place.scene),
        play=play_redis,
        needs={"redis-server": "redis-server"},
    ),
    "sqlite": Workload("sqlite in memory, range scans", "run", prepare_ranges),
    "node": of_programs("node", "node: objects, maps, strings", {"node": "nodejs"}),
    "java": Workload(
        "java: maps of strings", "run", prepare_java, needs={"java": "default-jdk-headless"}
    ),
    "compiler": of_programs("compiler", "g++ with deep templates", {"g++-12": "g++-12"}),
    "lookups": of_programs("dicts", "CPython dicts, favoured lookups", by_default=False),
    "tables": of_programs("tables", "CPython tables", by_default=False),
}


@dataclass(frozen=True)
class Measured:
    """One run of a workload, with its own figures taken from it."""

    run: harness.Run | None  # None: the client could not continue
    kills: int
    problem: str | None
    output: bytes
    seconds: float
    details: Details


def measure(workload: Workload, place: Place, runner: Callable[..., harness.Run]) -> Measured:
    """`runner` is harness.run with the contestant's options bound."""
    command = workload.prepare(place)
    played: list[tuple[str, Details]] = []

    def client(*_: object) -> None:
        if workload.play is not None:
            played.append(workload.play(place))

    try:
        run = runner(command, during=client, folder=place.folder)
    except harness.ClientFailed as failure:
        return Measured(None, failure.oom_kills, str(failure).splitlines()[0], b"", 0.0, {})
    good = run.status == 0 and not run.killed and not run.timed_out
    problem = None if good else describe_failure(run)
    details: Details = {}
    output = run.output
    if good and workload.read is not None:
        details, output = workload.read(run.output), b""
    if good and played:
        output, details = played[0][0].encode(), dict(played[0][1])
    seconds = details.pop("seconds", run.seconds)
    return Measured(run, run.oom_kills, problem, output, seconds, details)


def describe_failure(run: harness.Run) -> str:
    lines = [line for line in run.errors.strip().splitlines() if line.strip()]
    return run.describe_end() + (f": {lines[-1][:200]}" if lines else "")


# Python's dictionaries of strings are the same in each run only with a known seed.
os.environ["PYTHONHASHSEED"] = "0"
