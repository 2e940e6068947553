"""How many bytes each side writes to disk for a page, if its pool is far too small.

A program holds ten copies of a file of pages in a tenth of that memory. The kernel's pool is 1 % of
the machine's memory, which is the least that zswap takes; uzswap's is as large. Counted are the
kernel's pages and what the device of the swap file was given, and uzswap's own figures.
"""

from __future__ import annotations

import os
from pathlib import Path

import harness
import programs
from harness import MIB

from .contestants import Ring
from .kernel_swap import ZSWAP, pages_moved
from .settings import CannotRun

HOLD = """
import mmap, sys
pages = open(sys.argv[1], "rb").read()
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


def compare(pages: Path, ring: Ring, folder: Path, swap_bytes: int) -> None:
    command = [programs.PYTHON, "-c", HOLD, str(pages)]
    resident = pages.stat().st_size
    if resident * 10 > swap_bytes:
        raise CannotRun(
            f"ten copies of {pages} do not fit into the swap\n  fix: --swap-size {resident * 11}"
        )
    compare_kernel(command, ring, folder, resident)
    compare_uzswap(command, ring, folder, resident)


def compare_kernel(command: list[str], ring: Ring, folder: Path, resident: int) -> None:
    swap, journal = ring.swaps["zswap"], ring.journal
    reason = swap.obstacle(journal.machine)
    if reason is not None:
        raise CannotRun(reason)
    mark = journal.mark()
    try:
        journal.write(f"{ZSWAP}/max_pool_percent", "1")
        with swap.active(journal):
            before, disk = pages_moved(journal.machine), bytes_written(folder)
            harness.run(
                command, ring.hierarchy, resident, folder=folder, swap=True, sampled=False
            )
            after, written = pages_moved(journal.machine), bytes_written(folder) - disk
    finally:
        journal.undo_to(mark)
    moved = {name: value - before[name] for name, value in after.items()}
    # A full pool refuses pages, which go to the device themselves, if its own do not leave fast
    # enough: both are pages that were written out because the pool is too small.
    print(
        f"zswap:  {moved['pswpout']} pages to the device ({moved['zswpwb']} of them from the pool),"
        f" {written / MIB:.0f} MiB, {written / max(moved['pswpout'], 1):.0f} bytes a page",
        flush=True,
    )


def compare_uzswap(command: list[str], ring: Ring, folder: Path, resident: int) -> None:
    pool = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") // 100
    options = ["--pool-limit", str(pool), "--backing", str(folder), *ring.uzswap_options]
    mine = harness.run_limited(command, ring.hierarchy, resident + pool, options, folder=folder)
    evicted = harness.figure_of(mine.stats, "zswpwb")
    written = harness.figure_of(mine.stats, "backing_written_bytes")
    print(
        f"uzswap: {evicted} pages written back, {written / MIB:.0f} MiB to the file,"
        f" {written / max(evicted, 1):.0f} bytes a page"
    )
