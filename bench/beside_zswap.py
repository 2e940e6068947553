#!/usr/bin/env python3
"""Whole programs beside the kernel's zswap: the same program in the same memory.

    beside_zswap.py [NAME ...] [--percent 80 65 40] [--rounds 3] [--size 1.0]
    beside_zswap.py --writeback PAGES

Needs root, a file system that takes a swap file, and a kernel with zswap. For each program of
tests/system/programs.py that plays without a client, and each percentage of what it needs:

    kernel    a memory cgroup that may swap to a file behind zswap, with lz4 if the kernel has it
              and else with the compressor it is set to. The kernel's pool is not
              charged to a cgroup of version 1, so the cgroup is made smaller until it and the
              pool's peak together are the limit.
    uzswap    `uzswap run --limit`, without a backing file, in a cgroup of the limit and 24 MiB.

With --writeback: a program holds ten copies of a file of pages (tools/make_dumps.py makes some) in
a tenth of that memory, beside a pool that is too small for the rest. What each then writes to
disk for a page is counted: the kernel's pswpout and what the swap file's device was given,
uzswap's own figures. The kernel's pool cannot be less than 1 % of the machine's memory; both have that.

The runs alternate, and the best of the rounds of each counts. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "system"))
import harness  # noqa: E402
import programs  # noqa: E402
from harness import MIB, Hierarchy, Run  # noqa: E402

PARAMETERS = Path("/sys/module/zswap/parameters")
SWAP_BYTES = 2 << 30
KEPT = ("enabled", "compressor", "max_pool_percent")
PLAIN = ("dicts", "tables", "node", "compiler")


class SwappingCgroup(harness.Cgroup):
    """As the harness's, but what does not fit may go to swap."""

    def __init__(self, hierarchy: Hierarchy, limit: int | None) -> None:
        super().__init__(hierarchy, None)
        if limit is None:
            return
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        (self.path / name).write_text(str(limit))


@contextlib.contextmanager
def zswap(folder: Path) -> Iterator[None]:
    """Zswap before a swap file, and everything as before afterwards."""
    before = {name: (PARAMETERS / name).read_text().strip() for name in KEPT}
    swap = folder / "swap"
    with swap.open("wb") as file:
        for _ in range(SWAP_BYTES // MIB):
            file.write(bytes(MIB))
    swap.chmod(0o600)
    subprocess.run(["mkswap", str(swap)], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["swapon", str(swap)], check=True)
    try:
        # A kernel without lz4 keeps the compressor it has.
        with contextlib.suppress(OSError):
            (PARAMETERS / "compressor").write_text("lz4")
        (PARAMETERS / "enabled").write_text("Y")
        print(f"zswap with {(PARAMETERS / 'compressor').read_text().strip()}, uzswap with lz4")
        yield
    finally:
        subprocess.run(["swapoff", str(swap)], check=True)
        for name, value in before.items():
            # The compressor that was named may never have been there.
            with contextlib.suppress(OSError):
                (PARAMETERS / name).write_text(value)
        swap.unlink()


def counters() -> dict[str, int]:
    found = {}
    for line in Path("/proc/vmstat").read_text().splitlines():
        name, value = line.split()
        if name.startswith("zswp") or name in ("pswpin", "pswpout"):
            found[name] = int(value)
    return found


def zswap_pool() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Zswap:"):
            return int(line.split()[1]) << 10
    return 0


class PoolPeak:
    """Watches the kernel's pool from a thread."""

    def __enter__(self) -> PoolPeak:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.bytes = max(self.bytes, zswap_pool())


def run_kernel(command: list[str], hierarchy: Hierarchy, limit: int, folder: Path) -> Run:
    usual = harness.Cgroup
    harness.Cgroup = SwappingCgroup  # type: ignore[misc]
    try:
        return harness.run(command, hierarchy, limit, folder=folder)
    finally:
        harness.Cgroup = usual  # type: ignore[misc]


def fit_kernel(command: list[str], hierarchy: Hierarchy, limit: int, folder: Path) -> int:
    """The cgroup's limit with which program and pool together hold what uzswap may hold."""
    allowed = limit
    for _ in range(4):
        with PoolPeak() as peak:
            run_kernel(command, hierarchy, allowed, folder)
        held = allowed + peak.bytes
        if abs(held - limit) <= limit // 100:
            break
        allowed -= (held - limit) * 3 // 4
    return allowed


def measure_kernel(
    command: list[str], hierarchy: Hierarchy, allowed: int, folder: Path
) -> tuple[Run, int, dict[str, int]]:
    before = counters()
    with PoolPeak() as peak:
        result = run_kernel(command, hierarchy, allowed, folder)
    moved = {name: value - before[name] for name, value in counters().items()}
    return result, allowed + peak.bytes, moved


def compare(
    name: str, percents: list[int], rounds: int, size: float, hierarchy: Hierarchy, folder: Path
) -> None:
    program = programs.PROGRAMS[name]
    scene = programs.Scene(folder, size)
    command = program.prepare(scene)
    reference = harness.run(command, hierarchy, folder=folder)
    need = reference.anon_peak
    print(f"{name}: needs {need / MIB:.0f} MiB, {reference.seconds:.1f} s", flush=True)
    for percent in percents:
        limit = need * percent // 100
        allowed = fit_kernel(command, hierarchy, limit, folder)
        theirs: list[tuple[Run, int, dict[str, int]]] = []
        ours: list[Run] = []
        for _ in range(rounds):
            theirs.append(measure_kernel(command, hierarchy, allowed, folder))
            ours.append(harness.run_limited(command, hierarchy, limit, folder=folder))
        for run in ours:
            if run.output != reference.output:
                harness.fail(f"{name} at {percent} %: {run.describe_end()}, other output")
        theirs = [one for one in theirs if one[0].output == reference.output]
        if not theirs:
            print(f"  {percent:3} % ({limit / MIB:5.0f} MiB): zswap killed the program each time")
            continue
        kernel, held, moved = min(theirs, key=lambda one: one[0].seconds)
        mine = min(ours, key=lambda one: one.seconds)
        print(
            f"  {percent:3} % ({limit / MIB:5.0f} MiB): zswap {kernel.seconds:6.1f} s"
            f" (holding {held / MIB:.0f} MiB with its pool; {moved['zswpin']} pages in,"
            f" {moved['zswpout']} out, {moved['zswpwb']} written back)"
            f"   uzswap {mine.seconds:6.1f} s (holding {mine.anon_peak / MIB:.0f} MiB;"
            f" {mine.stats['zswpin']} in, {mine.stats['zswpout']} out)"
            f"   uzswap takes {mine.seconds / kernel.seconds:.2f} x zswap's time",
            flush=True,
        )


# --- what writing back costs -------------------------------------------------------------------

HOLD = """
import mmap, sys
pages = open(sys.argv[1], 'rb').read()
memory = mmap.mmap(-1, 10 * len(pages), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for copy in range(10):
    memory[copy * len(pages):(copy + 1) * len(pages)] = pages
print(len(memory))
"""


def bytes_written(path: Path) -> int:
    """To the device that holds a file, by everybody."""
    device = path.stat().st_dev
    for line in Path("/proc/diskstats").read_text().splitlines():
        words = line.split()
        if (int(words[0]), int(words[1])) == (os.major(device), os.minor(device)):
            return int(words[9]) * 512
    return 0


def compare_writeback(pages: Path, hierarchy: Hierarchy, folder: Path) -> None:
    command = [programs.PYTHON, "-c", HOLD, str(pages)]
    resident = pages.stat().st_size
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    pool = machine // 100
    (PARAMETERS / "max_pool_percent").write_text("1")
    before, disk = counters(), bytes_written(folder)
    run_kernel(command, hierarchy, resident, folder)
    moved = {name: value - before[name] for name, value in counters().items()}
    written = bytes_written(folder) - disk
    # A full pool refuses pages, which go to the device themselves, if its own do not leave fast
    # enough: both are pages that were written out because the pool is too small.
    print(
        f"zswap:  {moved['pswpout']} pages to the device ({moved['zswpwb']} of them from the pool),"
        f" {written / MIB:.0f} MiB, {written / max(moved['pswpout'], 1):.0f} bytes a page",
        flush=True,
    )
    options = ["--pool-limit", str(pool), "--backing", str(folder)]
    mine = harness.run_limited(command, hierarchy, resident + pool, options, folder=folder)
    evicted = int(str(mine.stats["zswpwb"]))
    bytes_out = int(str(mine.stats["backing_written_bytes"]))
    print(
        f"uzswap: {evicted} pages written back, {bytes_out / MIB:.0f} MiB to the file,"
        f" {bytes_out / max(evicted, 1):.0f} bytes a page"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(PLAIN))
    parser.add_argument("--percent", type=int, nargs="+", default=[80, 65])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--writeback", type=Path, metavar="PAGES")
    wishes = parser.parse_args()
    unknown = [name for name in wishes.names if name not in PLAIN]
    if unknown:
        parser.error(f"not one of {', '.join(PLAIN)}: {', '.join(unknown)}")
    hierarchy = harness.require_machine()
    if not PARAMETERS.exists():
        harness.skip("this kernel has no zswap")
    with harness.scratch_folder() as scratch, zswap(Path(scratch)):
        if wishes.writeback is not None:
            compare_writeback(wishes.writeback.resolve(), hierarchy, Path(scratch))
            return 0
        for name in wishes.names:
            folder = Path(scratch) / name
            folder.mkdir()
            compare(name, wishes.percent, wishes.rounds, wishes.size, hierarchy, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
