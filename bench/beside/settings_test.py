"""Everything that is changed becomes as before: at the end, on a failure, a signal and a kill. The
kernel is a folder: its files, and a table of swap areas that fake commands keep."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from .kernel_swap import (
    CONTROL,
    PAGE_CLUSTER,
    ZSWAP,
    KernelSwap,
    PlainSwap,
    SwapFile,
    Zram,
    Zswap,
)
from .settings import CannotRun, Journal, Machine, read_steps

FILES = {
    f"{ZSWAP}/enabled": "N",
    f"{ZSWAP}/compressor": "lzo",
    f"{ZSWAP}/max_pool_percent": "20",
    "/proc/sys/vm/swappiness": "60",
    PAGE_CLUSTER: "3",
    "/proc/meminfo": "Zswap: 12 kB\n",
    "/proc/swaps": "Filename Type Size Used Priority\n",
    f"{CONTROL}/hot_add": "3",
    f"{CONTROL}/hot_remove": "",
    "/sys/block/zram3/comp_algorithm": "[lzo-rle] lzo lz4",
    "/sys/block/zram3/disksize": "0",
    "/sys/block/zram3/reset": "",
    "/sys/block/zram3/mm_stat": "0 0 0 0 4096 0 0",
}
MIB = 1 << 20


def make_kernel(root: Path) -> None:
    for name, text in FILES.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def fake_machine(root: Path) -> Machine:
    swaps = root / "proc/swaps"

    def call(command: list[str]) -> None:
        area = command[-1]
        if command[0] == "swapon":
            swaps.write_text(swaps.read_text() + f"{area} file 1024 0 -2\n")
        elif command[0] == "swapoff":
            lines = swaps.read_text().splitlines(keepends=True)
            swaps.write_text("".join(one for one in lines if not one.startswith(f"{area} ")))

    return Machine(root, root / "state.json", call)


def settings_of(root: Path) -> dict[str, str]:
    """What has to be as before. What only takes commands is not."""
    return {
        name: (root / name.lstrip("/")).read_text().strip()
        for name in FILES
        if not name.startswith(("/sys/block", CONTROL))
    }


class WithKernel(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        make_kernel(self.root)
        self.machine = fake_machine(self.root)
        self.before = settings_of(self.root)

    def swap_file(self) -> SwapFile:
        return SwapFile(self.root / "swap", MIB)

    def kinds(self) -> list[KernelSwap]:
        file = self.swap_file()
        return [Zswap(file), Zram(MIB), PlainSwap(file)]

    def assert_as_before(self) -> None:
        self.assertEqual(settings_of(self.root), self.before)
        self.assertEqual(read_steps(self.machine), [])
        self.assertFalse(self.machine.state.with_suffix(".lock").exists())
        self.assertFalse((self.root / "swap").exists())


class Restoring(WithKernel):
    def test_each_kind_changes_the_kernel_and_then_mends_it(self) -> None:
        for kind in self.kinds():
            with Journal(self.machine) as journal, kind.active(journal):
                self.assertEqual(len(self.machine.swaps()), 1, kind.name)
            self.assert_as_before()

    def test_zswap_is_on_with_the_wanted_compressor(self) -> None:
        kind = Zswap(self.swap_file())
        with Journal(self.machine) as journal, kind.active(journal):
            self.assertEqual(self.machine.read(f"{ZSWAP}/enabled"), "Y")
            self.assertEqual(self.machine.read(f"{ZSWAP}/compressor"), "lz4")

    def test_readahead_is_set_if_wanted(self) -> None:
        kind = Zswap(self.swap_file())
        for cluster, expected in ((None, "3"), (0, "0")):
            with Journal(self.machine) as journal, kind.active(journal, cluster):
                self.assertEqual(self.machine.read(PAGE_CLUSTER), expected)
            self.assert_as_before()

    def test_zram_and_a_plain_file_are_used_without_zswap(self) -> None:
        (self.root / ZSWAP.lstrip("/") / "enabled").write_text("Y")
        self.before = settings_of(self.root)
        for kind in self.kinds()[1:]:
            with Journal(self.machine) as journal, kind.active(journal):
                self.assertEqual(self.machine.read(f"{ZSWAP}/enabled"), "N", kind.name)
            self.assert_as_before()

    def test_zram_uses_a_device_of_its_own_and_removes_it(self) -> None:
        with Journal(self.machine) as journal, Zram(MIB).active(journal) as peak:
            self.assertEqual(self.machine.swaps(), ["/dev/zram3"])
        self.assertEqual(peak.bytes, 4096)
        self.assertEqual((self.root / "sys/class/zram-control/hot_remove").read_text(), "3")

    def test_a_failure_in_the_middle_is_mended(self) -> None:
        machine = Machine(self.root, self.machine.state, self.refuse_swapon)
        with contextlib.suppress(CannotRun), Journal(machine) as journal:
            with Zswap(self.swap_file()).active(journal):
                self.fail("swapon has to fail")
        self.assert_as_before()

    def refuse_swapon(self, command: list[str]) -> None:
        if command[0] == "swapon":
            raise CannotRun("swapon: refused")
        self.machine.call(command)

    def test_what_cannot_be_undone_stays_noted_and_the_rest_is_undone(self) -> None:
        with self.assertRaisesRegex(CannotRun, "scripts/bench --restore"):
            with Journal(self.machine) as journal:
                journal.write("/proc/sys/vm/swappiness", "100")
                journal.note({"do": "write", "path": "/proc/gone", "value": "1"})
        self.assertEqual(settings_of(self.root), self.before)
        self.assertEqual([step["path"] for step in read_steps(self.machine)], ["/proc/gone"])

    def test_only_one_run_at_a_time(self) -> None:
        with Journal(self.machine):
            with self.assertRaisesRegex(CannotRun, "another scripts/bench"):
                with Journal(self.machine):
                    self.fail("a second run has to be refused")

    def test_a_setting_that_is_right_already_is_not_noted(self) -> None:
        with Journal(self.machine) as journal:
            journal.write("/proc/sys/vm/swappiness", "60")
            self.assertEqual(journal.mark(), 0)


RUN = """
import sys
from pathlib import Path
from beside.kernel_swap import SwapFile, Zswap
from beside.settings import Journal
from beside.settings_test import fake_machine
root = Path(sys.argv[1])
with Journal(fake_machine(root)) as journal:
    journal.write("/proc/sys/vm/swappiness", "100")
    with Zswap(SwapFile(root / "swap", 1 << 20)).active(journal, 0):
        print("ready", flush=True)
        sys.stdin.read()
"""


class Interruption(WithKernel):
    """A process that is ended while it has changed everything."""

    def end_with(self, number: int) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(child.kill)
        assert child.stdout is not None and child.stdin is not None
        self.assertEqual(child.stdout.readline(), b"ready\n")
        self.assertNotEqual(settings_of(self.root), self.before)
        os.kill(child.pid, number)
        self.assertNotEqual(child.wait(timeout=60), 0)
        child.stdin.close()
        child.stdout.close()

    def test_a_request_to_end(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.end_with(number)
            self.assert_as_before()

    def test_after_a_kill_the_next_run_restores_first(self) -> None:
        self.end_with(signal.SIGKILL)
        self.assertTrue((self.root / "swap").exists())
        with Journal(self.machine) as journal:
            self.assertEqual(settings_of(self.root), self.before)
            self.assertEqual(journal.mark(), 0)
        self.assert_as_before()


if __name__ == "__main__":
    unittest.main()
