"""The contestants: each runs a workload within the same memory, and says what it cost."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import harness
from harness import Hierarchy

from .figures import KILLED, LATE, OK, UNLIMITED, UZSWAP, Record
from .kernel_swap import (
    PAGE_CLUSTER,
    KernelSwap,
    PlainSwap,
    SwapFile,
    Zram,
    Zswap,
    pages_moved,
)
from .settings import Journal, Machine
from .workloads import Measured, Place, Workload, measure

NAMES = (UNLIMITED, UZSWAP, "zswap", "zram", "swap")
FAULT_FIGURES = ("p50", "p90", "p99", "p999", "max")


@dataclass(frozen=True)
class Task:
    """What is to be run: a workload, and the memory that program and pool may have together."""

    name: str
    workload: Workload
    place: Place
    percent: int
    limit: int
    reference: bytes  # what it has to print
    deadline: float


@dataclass(frozen=True)
class Ring:
    """What all runs need."""

    hierarchy: Hierarchy
    journal: Journal
    swaps: dict[str, KernelSwap]
    uzswap_options: list[str]
    page_clusters: tuple[int | None, ...]  # to try with zswap and zram; None is the machine's
    compressors: dict[str, str] = field(default_factory=dict)  # that the kernel has accepted


def kernel_swaps(
    file: SwapFile, size: int, compressors: tuple[str, ...] = ("lz4",)
) -> dict[str, KernelSwap]:
    return {
        "zswap": Zswap(file, compressors),
        "zram": Zram(size, compressors),
        "swap": PlainSwap(file),
    }


def obstacle(swaps: dict[str, KernelSwap], machine: Machine, name: str) -> str | None:
    """Why a contestant cannot run on this machine."""
    if name in swaps:
        return swaps[name].obstacle(machine)
    if name == UZSWAP and not harness.has_userfaultfd_move():
        return "this kernel has no userfaultfd with MOVE\n  fix: use Linux 6.8 or later"
    if name == UZSWAP and not harness.have_uzswap():
        return "there is no uzswap program\n  fix: cmake --build --preset release"
    return None


def end_of(measured: Measured, reference: bytes) -> str:
    run = measured.run
    if measured.kills > 0:
        return KILLED
    if run is not None and run.timed_out:
        return LATE
    if measured.problem is not None:
        return measured.problem
    return OK if measured.output == reference else "other output"


def record_of(task: Task, contestant: str, turn: int, measured: Measured) -> Record:
    return Record(
        workload=task.name,
        percent=task.percent,
        contestant=contestant,
        round=turn,
        end=end_of(measured, task.reference),
        seconds=measured.seconds,
        details=measured.details,
        limit=task.limit,
    )


def bound(ring: Ring, task: Task, **options: object) -> Callable[..., harness.Run]:
    """harness.run with everything but command, client and folder. Nothing samples unless told: the
    sampler keeps a processor awake, and where processors sleep is part of what is measured."""
    options = {"sampled": False, **options}
    return functools.partial(
        harness.run, hierarchy=ring.hierarchy, deadline=task.deadline, **options
    )


def run_unlimited(ring: Ring, task: Task, turn: int) -> Record:
    measured = measure(task.workload, task.place, bound(ring, task))
    record = record_of(task, UNLIMITED, turn, measured)
    record.percent, record.limit = 100, 0
    return record


def run_uzswap(ring: Ring, task: Task, turn: int) -> Record:
    with tempfile.TemporaryDirectory(dir=task.place.folder) as scratch:
        stats_file = Path(scratch) / "stats.json"
        prefix = harness.uzswap_command(task.limit, stats_file, ring.uzswap_options)
        plain = bound(ring, task, limit=task.limit + harness.HEADROOM)
        runner = lambda command, **rest: plain(prefix + command, **rest)  # noqa: E731
        measured = measure(task.workload, task.place, runner)
        stats = harness.read_stats(stats_file)
    record = record_of(task, UZSWAP, turn, measured)
    record.cgroup_limit = task.limit + harness.HEADROOM
    if stats:
        add_statistics(record, stats)
    return record


def add_statistics(record: Record, stats: dict[str, object]) -> None:
    figure = functools.partial(harness.figure_of, stats)
    record.held = figure("resident_bytes_peak")
    record.pages_out = figure("zswpout")
    record.pages_in = figure("zswpin")
    record.staging_faults = figure("swapcache_hits")
    others = figure("faults_zero") + figure("faults_spurious") + record.staging_faults
    record.misses = figure("faults") - others
    times = stats["fault_ns"]
    assert isinstance(times, dict)
    record.fault_ns = {name: int(times[name]) for name in FAULT_FIGURES if name in times}
    if figure("faults") > 0:
        record.fault_ns["mean"] = int(times["sum"]) // figure("faults")


@dataclass(frozen=True)
class Setting:
    """How the kernel swaps for one contestant: the cgroup's limit, and the readahead."""

    allowed: int
    page_cluster: int | None = None


def run_kernel(
    ring: Ring, task: Task, contestant: str, turn: int, setting: Setting
) -> tuple[Record, int]:
    """The record, and the peak of the kernel's pool."""
    swap = ring.swaps[contestant]
    machine = ring.journal.machine
    with swap.active(ring.journal, setting.page_cluster) as peak:
        if (compressor := swap.compressor(machine)) is not None:
            ring.compressors[f"{contestant} compressor"] = compressor
        cluster = int(machine.read(PAGE_CLUSTER))
        before = pages_moved(machine)
        runner = bound(ring, task, limit=setting.allowed, swap=True)
        measured = measure(task.workload, task.place, runner)
        after = pages_moved(machine)
    record = record_of(task, contestant, turn, measured)
    record.cgroup_limit, record.page_cluster = setting.allowed, cluster
    charged = swap.pool_is_charged(ring.hierarchy.version)
    record.held = setting.allowed + (0 if charged else peak.bytes)
    record.pages_out = after["pages_out"] - before["pages_out"]
    record.pages_in = after["pages_in"] - before["pages_in"]
    record.misses = measured.run.major_faults if measured.run is not None else None
    return record, 0 if charged else peak.bytes
