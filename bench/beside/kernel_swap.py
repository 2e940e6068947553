"""Sets up the kernel's swap: zswap before a file, zram, or a file alone.

No other code of the project does this. Each kind notes in the journal how everything
becomes as before. While one is set up, what a cgroup without a swap limit cannot keep goes there.

zram gets a device of its own (hot_add): those that exist are not touched.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from harness import unbroken

from .settings import CannotRun, Journal, Machine

ZSWAP = "/sys/module/zswap/parameters"
PAGE_CLUSTER = "/proc/sys/vm/page-cluster"
CONTROL = "/sys/class/zram-control"
MIB = 1 << 20
# The highest: swap areas of the machine itself come after it.
PRIORITY = "32767"
WATCH_S = 0.05


class SwapFile:
    """A swap file, made at its first use, without holes."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size

    def make(self, journal: Journal) -> None:
        if self.path.exists():
            return
        journal.note({"do": "remove", "path": str(self.path)})
        self.path.touch(mode=0o600)
        with self.path.open("r+b") as file:
            for _ in range(0, self._size, MIB):
                file.write(bytes(MIB))
        journal.machine.call(["mkswap", str(self.path)])


class KernelSwap(ABC):
    """One kind of swap. `active` has it in use until the block ends."""

    name = ""

    @abstractmethod
    def obstacle(self, machine: Machine) -> str | None:
        """Why it cannot be used on this machine; None if it can."""

    @abstractmethod
    def begin(self, journal: Journal) -> None: ...

    def compressor(self, _: Machine) -> str | None:
        """What it compresses with while it is active."""
        return None

    def pool_bytes(self, _: Machine) -> int:
        """What it holds in memory now, outside of the cgroup."""
        return 0

    def pool_is_charged(self, _: int) -> bool:
        """Whether a cgroup of this version pays for the pool itself."""
        return False

    @contextlib.contextmanager
    def active(self, journal: Journal, page_cluster: int | None = None) -> Iterator[PoolPeak]:
        """With 2^`page_cluster` pages of readahead; None leaves the machine's setting."""
        mark = journal.mark()
        try:
            if page_cluster is not None:
                journal.write(PAGE_CLUSTER, str(page_cluster))
            self.begin(journal)
            with PoolPeak(self, journal.machine) as peak:
                yield peak
        finally:
            journal.undo_to(mark)


class PoolPeak:
    """The most that the kernel's pool holds while the block runs, seen by a thread."""

    def __init__(self, swap: KernelSwap, machine: Machine) -> None:
        self.bytes = 0
        self._swap = swap
        self._machine = machine
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PoolPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._swap.pool_bytes(self._machine))
            if self._stop.wait(WATCH_S):
                return


def swap_on(journal: Journal, area: str) -> None:
    journal.note({"do": "swapoff", "path": area})
    journal.machine.call(["swapon", "-p", PRIORITY, area])


def set_first_accepted(journal: Journal, name: str, values: tuple[str, ...]) -> None:
    """A compressor that the kernel does not have is refused; then the one that is set stays."""
    for value in values:
        try:
            journal.write(name, value)
        except OSError:
            continue
        return


def without_zswap(journal: Journal) -> None:
    if journal.machine.path(ZSWAP).exists():
        journal.write(f"{ZSWAP}/enabled", "N")


class Zswap(KernelSwap):
    name = "zswap"

    def __init__(self, file: SwapFile, compressors: tuple[str, ...] = ("lz4",)) -> None:
        self._file = file
        self._compressors = compressors

    def obstacle(self, machine: Machine) -> str | None:
        if machine.path(ZSWAP).exists():
            return None
        return "this kernel has no zswap\n  fix: use a kernel with CONFIG_ZSWAP"

    def begin(self, journal: Journal) -> None:
        self._file.make(journal)
        set_first_accepted(journal, f"{ZSWAP}/compressor", self._compressors)
        journal.write(f"{ZSWAP}/enabled", "Y")
        swap_on(journal, str(self._file.path))

    def pool_bytes(self, machine: Machine) -> int:
        for line in machine.path("/proc/meminfo").read_text().splitlines():
            if line.startswith("Zswap:"):
                return int(line.split()[1]) << 10
        return 0

    def compressor(self, machine: Machine) -> str:
        return machine.read(f"{ZSWAP}/compressor")

    def pool_is_charged(self, version: int) -> bool:
        return version == 2


class Zram(KernelSwap):
    name = "zram"

    def __init__(self, size: int, compressors: tuple[str, ...] = ("lz4",)) -> None:
        self._size = size
        self._compressors = compressors
        self._device = ""

    def obstacle(self, machine: Machine) -> str | None:
        if machine.path(CONTROL).exists():
            return None
        try:
            machine.call(["modprobe", "-n", "zram"])
        except CannotRun:
            return "this kernel has no zram\n  fix: use a kernel with CONFIG_ZRAM"
        return None

    def begin(self, journal: Journal) -> None:
        machine = journal.machine
        without_zswap(journal)
        if not machine.path(CONTROL).exists():
            journal.note({"do": "module", "name": "zram"})
            machine.call(["modprobe", "zram"])
        # The number is known only afterwards, so nothing may come between.
        with unbroken():
            number = machine.path(f"{CONTROL}/hot_add").read_text().strip()
            journal.note({"do": "zram", "number": number})
        self._device = f"/sys/block/zram{number}"
        for algorithm in self._compressors:
            with contextlib.suppress(OSError):
                machine.path(f"{self._device}/comp_algorithm").write_text(algorithm)
                break
        machine.path(f"{self._device}/disksize").write_text(str(self._size))
        machine.call(["mkswap", f"/dev/zram{number}"])
        swap_on(journal, f"/dev/zram{number}")

    def compressor(self, machine: Machine) -> str:
        return machine.read(f"{self._device}/comp_algorithm")

    def pool_bytes(self, machine: Machine) -> int:
        words = machine.path(f"{self._device}/mm_stat").read_text().split()
        return int(words[4])  # mem_used_max


class PlainSwap(KernelSwap):
    name = "swap"

    def __init__(self, file: SwapFile) -> None:
        self._file = file

    def obstacle(self, _: Machine) -> str | None:
        return None

    def begin(self, journal: Journal) -> None:
        self._file.make(journal)
        without_zswap(journal)
        swap_on(journal, str(self._file.path))


def pages_moved(machine: Machine) -> dict[str, int]:
    """Pages that went to swap and came back since the machine started, compressed or not."""
    moved = {"pages_out": 0, "pages_in": 0, "pswpout": 0, "zswpwb": 0}
    for line in machine.path("/proc/vmstat").read_text().splitlines():
        name, value = line.split()
        if name in ("pswpout", "zswpout", "swpout_zero"):
            moved["pages_out"] += int(value)
        if name in ("pswpin", "zswpin", "swpin_zero"):
            moved["pages_in"] += int(value)
        if name in ("pswpout", "zswpwb"):
            moved[name] = int(value)
    return moved


def settings_in_use(machine: Machine) -> dict[str, str]:
    """What a reader of the figures has to know about the kernel."""
    names = {
        "page-cluster": PAGE_CLUSTER,
        "swappiness": "/proc/sys/vm/swappiness",
        "transparent huge pages": "/sys/kernel/mm/transparent_hugepage/enabled",
        "zswap max_pool_percent": f"{ZSWAP}/max_pool_percent",
    }
    return {name: machine.read(path) for name, path in names.items() if machine.path(path).exists()}
