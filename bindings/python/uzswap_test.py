#!/usr/bin/env python3
"""The Python package on the library of this build. UZSWAP_LIBRARY names it."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

import numpy
import uzswap

MIB = 1 << 20


class RegionTest(unittest.TestCase):
    def test_an_array_may_be_larger_than_its_memory(self) -> None:
        region = uzswap.Region(64 * MIB, memory=8 * MIB)
        numbers = region.array(8 * MIB, "int64")
        numbers[:] = numpy.arange(8 * MIB) // 3
        self.assertEqual(int(numbers.sum()), int((numpy.arange(8 * MIB) // 3).sum()))
        counts = region.statistics()
        self.assertLessEqual(counts["resident_bytes"] + counts["compressed_bytes"], 9 * MIB)
        self.assertGreater(counts["stored_pages"], 0)

    def test_arithmetic_is_that_of_ordinary_arrays(self) -> None:
        plain = numpy.arange(1_000_000, dtype="float64").reshape(1000, 1000) % 97
        matrix = uzswap.array((1000, 1000), memory=2 * MIB)
        matrix[:] = plain
        self.assertTrue((matrix @ plain[:, :3] == plain @ plain[:, :3]).all())
        self.assertTrue((matrix.T == plain.T).all())
        self.assertTrue((numpy.sort(matrix, axis=0) == numpy.sort(plain, axis=0)).all())

    def test_the_coldest_pages_are_on_disk(self) -> None:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            noise = numpy.random.default_rng(1).integers(0, 1 << 62, 2 * MIB, dtype="int64")
            region = uzswap.Region(16 * MIB, memory=4 * MIB, backing=folder, encrypt=True)
            numbers = region.array(2 * MIB, "int64")
            numbers[:] = noise
            self.assertTrue((numbers == noise).all())
            self.assertGreater(region.statistics()["disk_bytes"], 0)

    def test_threads_share_it(self) -> None:
        numbers = uzswap.array((8, MIB // 2), "int64", memory=4 * MIB)

        def fill(row: int) -> None:
            numbers[row] = numpy.arange(MIB // 2) * 8 + row

        threads = [threading.Thread(target=fill, args=(row,)) for row in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for row in range(8):
            self.assertTrue((numbers[row] == numpy.arange(MIB // 2) * 8 + row).all())

    def test_what_is_pinned_can_be_written_to_a_file(self) -> None:
        region = uzswap.Region(32 * MIB, memory=4 * MIB)
        numbers = region.array(4 * MIB, "int64")
        numbers[:] = numpy.arange(4 * MIB)
        part = numbers[: MIB // 8]
        with tempfile.TemporaryFile(buffering=0) as file:
            with region.pinned(part):
                self.assertEqual(file.write(part), MIB)
                self.assertEqual(region.statistics()["pinned_pages"], MIB // 4096)
            self.assertEqual(region.statistics()["pinned_pages"], 0)
            file.seek(0)
            self.assertEqual(file.read(), numpy.arange(MIB // 8).tobytes())
            # Without a pin: the page was reclaimed long ago.
            with self.assertRaises(OSError) as caught:
                for start in range(0, 4 * MIB, MIB // 8):
                    file.write(numbers[start : start + MIB // 8])
            self.assertEqual(caught.exception.errno, errno.EFAULT)
        with self.assertRaises(MemoryError), region.pinned(numbers):
            pass

    def test_parts_may_be_of_any_order_and_kind(self) -> None:
        region = uzswap.Region(8 * MIB, memory=2 * MIB)
        matrix = region.array((numpy.int64(100), 80), "float32")
        dates = region.array(100, "datetime64[s]", offset=MIB)
        fixed = matrix[:10].view()
        fixed.flags.writeable = False
        for part in (matrix.T, dates, fixed, memoryview(matrix).toreadonly(), matrix[:0]):
            with region.pinned(part):
                pass
        self.assertEqual(region.statistics()["pinned_pages"], 0)

    def test_a_pin_may_outlive_the_region(self) -> None:
        script = (
            "import contextlib, uzswap\n"
            "region = uzswap.Region(8 << 20, memory=1 << 20)\n"
            "stack = contextlib.ExitStack()\n"
            "stack.enter_context(region.pinned(region.buffer(0, 8192)))\n"
            "def keeps_the_globals(): pass\n"
            "class Ring: pass\n"
            "ring = Ring(); ring.ring = ring; ring.region = region; ring.stack = stack\n"
            "del region, stack, ring\n"
            "print('right')\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "right\n", ""))

    def test_an_exception_releases_the_pin(self) -> None:
        region = uzswap.Region(8 * MIB, memory=2 * MIB)
        with self.assertRaises(KeyError), region.pinned(region.buffer(0, 4096)):
            raise KeyError
        self.assertEqual(region.statistics()["pinned_pages"], 0)

    def test_discarded_pages_are_zeroes(self) -> None:
        region = uzswap.Region(16 * MIB, memory=2 * MIB)
        numbers = region.array(2 * MIB, "int64")
        numbers[:] = 1
        region.advise(numbers[: MIB // 8], "cold")
        region.advise(numbers[: MIB // 8], "will_need")
        region.discard(numbers[:MIB])
        self.assertEqual(int(numbers[:MIB].max()), 0)
        self.assertEqual(int(numbers[MIB:].min()), 1)

    def test_arrays_keep_the_region(self) -> None:
        def descriptors() -> int:
            return len(os.listdir("/proc/self/fd"))

        gc.collect()
        before = descriptors()
        numbers = uzswap.Region(8 * MIB, memory=MIB).array(MIB, "int64")
        view = memoryview(numbers)
        numbers[:] = 5
        del numbers
        gc.collect()
        self.assertGreater(descriptors(), before)
        self.assertEqual(numpy.asarray(view)[-1], 5)
        view.release()
        del view
        gc.collect()
        self.assertEqual(descriptors(), before)

    def test_a_forked_child_may_end(self) -> None:
        numbers = uzswap.array(MIB, "int64", memory=MIB)
        numbers[:] = 3
        child = os.fork()
        if child == 0:
            del numbers
            gc.collect()
            os._exit(7)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 7)
        self.assertEqual(int(numbers.sum()), 3 * MIB)

    def test_mistakes_are_named(self) -> None:
        with self.assertRaisesRegex(ValueError, "memory_bytes"):
            uzswap.Region(8 * MIB, memory=1000)
        with self.assertRaisesRegex(ValueError, "compression"):
            uzswap.Region(8 * MIB, memory=MIB, compression="best")
        for size in (-1, 1 << 64):
            with self.assertRaisesRegex(ValueError, "no size"):
                uzswap.Region(size, memory=MIB)
        with self.assertRaises(TypeError):
            uzswap.Region(8.5, memory=MIB)  # type: ignore[arg-type]
        for path in ("", "a\0b"):
            with self.assertRaisesRegex(ValueError, "not a path"):
                uzswap.Region(8 * MIB, memory=MIB, backing=path)
        with self.assertRaises(OSError):
            uzswap.Region(8 * MIB, memory=MIB, backing="/no/such/folder/file")
        region = uzswap.Region(8 * MIB, memory=MIB)
        with self.assertRaisesRegex(ValueError, "not in the region"):
            region.array(2 * MIB, "int64")
        for kind in ("object", "S", "V0", "(2,3)int8"):
            with self.assertRaisesRegex(ValueError, "not supported"):
                region.array(10, kind)
        with self.assertRaisesRegex(ValueError, "not in this region"):
            region.discard(numpy.zeros(10))
        with self.assertRaisesRegex((ValueError, BufferError), "contiguous"):
            region.discard(region.array(1000, "int64")[::2])
        with self.assertRaisesRegex(ValueError, "advice"):
            region.advise(region.buffer(0, 100), "hot")

    def test_all_have_one_version(self) -> None:
        project = Path(__file__).parent / "pyproject.toml"
        self.assertIn(f'version = "{uzswap.version()}"', project.read_text())


if __name__ == "__main__":
    unittest.main()
