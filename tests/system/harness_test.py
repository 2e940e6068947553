#!/usr/bin/env python3
"""The harness, tested on programs whose memory is known, without uzswap."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

import harness
from harness import MIB, Hierarchy

sys.path.insert(0, str(Path(__file__).resolve().parent / "workloads"))
import corpus  # noqa: E402

# Holds what it has until it has used so much processor time: on a loaded machine, where the
# sampler takes fewer samples a second, it holds it longer.
HOLD = (
    "import time; x = bytearray(b'x') * (%d << 20); end = time.process_time() + 0.2\n"
    "while time.process_time() < end: pass\n"
    "print(len(x))"
)
PYTHON = "/usr/bin/python3"


def children_of(hierarchy: Hierarchy) -> set[str]:
    return {one.name for one in hierarchy.parent.glob(f"{harness.cgroup_prefix()}*")}


class HarnessTest(unittest.TestCase):
    hierarchy: Hierarchy

    @classmethod
    def setUpClass(cls) -> None:
        os.environ["UZSWAP_CGROUP_MARK"] = f"{os.getpid()}-"
        cls.hierarchy = harness.require_machine()

    def setUp(self) -> None:
        self.before = children_of(self.hierarchy)

    def tearDown(self) -> None:
        self.assertEqual(children_of(self.hierarchy), self.before)

    def test_measures_the_peak_of_a_process(self) -> None:
        result = harness.run([PYTHON, "-c", HOLD % 100], self.hierarchy)
        self.assertEqual((result.status, result.output), (0, b"104857600\n"))
        self.assertFalse(result.killed)
        for peak in (result.process_anon, result.cgroup_anon):
            self.assertGreater(peak, 95 * MIB)
            self.assertLess(peak, 130 * MIB)

    def test_measures_without_a_cgroup(self) -> None:
        result = harness.run([PYTHON, "-c", HOLD % 100], None)
        self.assertEqual((result.status, result.cgroup_anon), (0, 0))
        self.assertGreater(result.process_anon, 95 * MIB)

    def test_counts_samples_above_a_bound(self) -> None:
        below = harness.run([PYTHON, "-c", HOLD % 100], self.hierarchy, over=200 * MIB)
        self.assertEqual(below.samples_over, 0)
        self.assertGreater(below.samples, 0)
        above = harness.run([PYTHON, "-c", HOLD % 100], self.hierarchy, over=50 * MIB)
        self.assertGreater(above.samples_over, 0)
        self.assertLessEqual(above.samples_over, above.samples)

    def test_sees_a_kill(self) -> None:
        result = harness.run([PYTHON, "-c", HOLD % 100], self.hierarchy, limit=50 * MIB)
        self.assertTrue(result.killed)
        self.assertEqual(result.status, -9)
        self.assertLessEqual(result.cgroup_peak, 50 * MIB)

    def test_sees_a_kill_below_the_first_process(self) -> None:
        command = ["/bin/sh", "-c", '"$@"; echo status $?', "-", PYTHON, "-c", HOLD % 100]
        result = harness.run(command, self.hierarchy, limit=50 * MIB)
        self.assertTrue(result.killed)
        self.assertEqual(result.output, b"status 137\n")

    def test_counts_pages_shared_by_fork_once(self) -> None:
        script = (
            "import os, signal; x = bytearray(b'x') * (60 << 20); pid = os.fork();"
            "time = __import__('time'); end = time.process_time() + 0.2\n"
            "while time.process_time() < end: pass\n"
            "os.waitpid(pid, 0) if pid else os._exit(0)"
        )
        result = harness.run([PYTHON, "-c", script], self.hierarchy)
        self.assertEqual(result.status, 0, result.errors)
        self.assertLess(result.cgroup_anon, 90 * MIB)

    def test_ends_what_does_not_end(self) -> None:
        start = time.monotonic()
        result = harness.run(["/bin/sleep", "600"], self.hierarchy, deadline=0.5)
        self.assertTrue(result.timed_out)
        self.assertLess(time.monotonic() - start, 60)

    def test_a_request_to_end_leaves_nothing_behind(self) -> None:
        self.end_while_it_has_a_cgroup(
            "harness.run(['/bin/sleep', '600'], harness.find_hierarchy())"
        )

    def test_a_request_to_end_at_any_time_leaves_nothing_behind(self) -> None:
        # The cgroup that tries whether a limit can be set, and the one of the run, exist for a
        # moment without being in use.
        for script in (
            "while True: harness.find_hierarchy()",
            "while True: harness.Cgroup(harness.find_hierarchy(), None).__exit__()",
        ):
            for _ in range(5):
                self.end_while_it_has_a_cgroup(script)
                self.assertEqual(children_of(self.hierarchy), self.before)

    def end_while_it_has_a_cgroup(self, script: str) -> None:
        child = subprocess.Popen(
            [PYTHON, "-c", f"import harness\n{script}"], cwd=Path(__file__).parent
        )
        self.addCleanup(child.kill)
        harness.wait_until("a cgroup", lambda: children_of(self.hierarchy) != self.before)
        child.terminate()
        self.assertEqual(child.wait(timeout=harness.END_S), 128 + 15)

    def test_ends_processes_that_outlive_the_command(self) -> None:
        harness.run(["/bin/sh", "-c", "sleep 600 & sleep 600 & exit 3"], self.hierarchy)

    def test_a_failing_client_ends_the_command(self) -> None:
        def client(*_: object) -> None:
            raise ConnectionError("gone")

        with self.assertRaises(harness.ClientFailed):
            harness.run(["/bin/sleep", "600"], self.hierarchy, during=client)

    def test_skips_are_failures_where_nothing_has_a_reason_to_skip(self) -> None:
        with mock.patch.dict(os.environ, {"UZSWAP_NO_SKIP": "1"}):
            with self.assertRaises(SystemExit) as caught:
                harness.skip("for the test")
        self.assertEqual(caught.exception.code, 1)

    def test_sizes(self) -> None:
        self.assertEqual(harness.parse_size("1.5K"), 1536)
        self.assertEqual(harness.parse_size("100M"), 100 * MIB)
        self.assertEqual(harness.parse_size("12"), 12)


def run_with(peak: int, samples: int, over: int) -> harness.Run:
    return harness.Run(
        status=0,
        output=b"",
        errors="",
        seconds=1.0,
        oom_kills=0,
        cgroup_peak=0,
        cgroup_anon=peak,
        process_anon=0,
        samples_per_second=900.0,
        samples=samples,
        samples_over=over,
    )


class LimitTest(unittest.TestCase):
    """What keeps a limit of 100 MiB: 106 MiB with the tolerance, 124 MiB with the headroom."""

    def kept(self, peak: int, samples: int, over: int) -> bool:
        return harness.limit_problem(run_with(peak, samples, over), 100 * MIB) is None

    def test_bounds(self) -> None:
        self.assertEqual(harness.allowed_usually(100 * MIB), 106 * MIB)
        for peak, samples, over, expected in (
            (106 * MIB, 1000, 0, True),
            (124 * MIB, 1000, 250, True),  # one burst
            (124 * MIB, 1000, 251, False),
            (124 * MIB + 1, 1000, 1, False),  # above what a cgroup would allow
            (110 * MIB, 40000, 400, True),
            (110 * MIB, 40000, 401, False),
            (110 * MIB, 20000, 20000, False),  # never reclaimed
        ):
            with self.subTest(peak=peak, samples=samples, over=over):
                self.assertEqual(self.kept(peak, samples, over), expected)

    def test_says_what_is_wrong(self) -> None:
        problem = harness.limit_problem(run_with(110 * MIB, 1000, 600), 100 * MIB)
        self.assertIn("above 106.0 MiB in 600 of 1000 samples", str(problem))


class FiguresTest(unittest.TestCase):
    def test_a_missing_figure_is_never_a_zero(self) -> None:
        self.assertEqual(harness.figure_of({"zswpin": 0}, "zswpin"), 0)
        for stats in ({}, {"zswpout": 1}, {"zswpin": "1"}):
            with self.assertRaises(harness.Problem):
                harness.figure_of(stats, "zswpin")


class CorpusTest(unittest.TestCase):
    def test_has_the_size_asked_for_and_is_the_same_twice(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            first, second = Path(folder) / "a", Path(folder) / "b"
            corpus.write_corpus(first, 3 * MIB)
            corpus.write_corpus(second, 3 * MIB)
            self.assertEqual(first.stat().st_size, 3 * MIB)
            self.assertEqual(first.read_bytes(), second.read_bytes())

    def test_repeats_with_marks_where_a_machine_has_little(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder) / "a"
            with mock.patch.object(corpus, "texts", lambda: iter([b"one\n\ntwo\n\n"])):
                corpus.write_corpus(target, 100)
            self.assertIn(b"Round: 1", target.read_bytes())


if __name__ == "__main__":
    if harness.missing_facilities():
        harness.require_machine()
    unittest.main()
