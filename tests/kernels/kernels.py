#!/usr/bin/env python3
"""Runs the project's tests on other kernels of Debian, in guests. See scripts/test-kernels.

    kernels.py [6.12|6.1] [--part PART]... [--list] [--keep] [NAME ...]

NAME may be a pattern (row_fork*). Without a kernel: 6.12, then 6.1. --keep leaves the guest's disk,
build/kernels/scratch.img. The console, and a file for each test with the end of its output, are in
build/kernels in any case.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

import images
import plan
from images import FOLDER, Guest, Unusable, note
from machine import GuestLost, Machine, Report
from plan import PARTS, Test

# An emulated processor is 10 to 30 times slower, and this machine may have other work.
SLOWNESS = float(os.environ.get("UZSWAP_TEST_SLOWNESS", "20"))
WORDS = ("passed", "FAILED", "skipped")
LOST_MOST = 3  # guests in a row that are lost in their first test: then the guest itself is broken


class Tally:
    """Prints the results as they come, writes them to files, and counts them."""

    def __init__(self, series: str) -> None:
        self.counts = dict.fromkeys(WORDS, 0)
        self.failures: list[str] = []
        self._series = series
        self._folder = FOLDER / f"results-{series}"
        self._folder.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, word: str, seconds: float, output: str, cases: list[str]) -> None:
        self.counts[word] += 1
        if word == "FAILED":
            self.failures.append(f"{self._series}: {name}")
        (self._folder / f"{name}.log").write_text(f"{word}, {seconds:.1f} s\n{output}\n")
        number = sum(self.counts.values())
        extra = f"  ({len(cases)} cases skipped: {', '.join(cases)[:200]})" if cases else ""
        print(f"{number:4} {word:8} {name:44} {seconds:8.1f} s{extra}", flush=True)
        if word != "passed":
            print("\n".join("      " + line for line in output.splitlines()[-40:]), flush=True)

    def add_report(self, report: Report) -> None:
        cases = report["skipped_cases"]
        assert isinstance(cases, list)
        seconds = float(str(report["seconds"]))
        word, output = str(report["word"]), str(report["output"])
        self.add(str(report["end"]), word, seconds, output, cases)


def boot_and_run(guest: Guest, tests: list[Test], tally: Tally) -> list[Test]:
    """Boots once. Returns the tests that are left because the guest was lost."""
    left = {test.name: test for test in tests}
    running = ""
    begin = time.monotonic()
    with Machine(guest, plan.as_text(tests, SLOWNESS), SLOWNESS) as machine:
        try:
            for report in machine.reports():
                if "begin" in report:
                    if not running:
                        note(f"{guest.version}: booted in {time.monotonic() - begin:.0f} s")
                    running, begin = str(report["begin"]), time.monotonic()
                else:
                    tally.add_report(report)
                    del left[str(report["end"])]
            machine.await_end()
            for line in machine.kernel_warnings():
                print(f"      kernel: {line}")
        except GuestLost as lost:
            console = machine.end_of_console()
            if not running:
                raise Unusable(f"it does not boot: {lost}\n{console}") from lost
            if running not in left:
                note(f"{lost}, after its last test\n{console}")
            else:
                tally.add(running, "FAILED", time.monotonic() - begin, f"{lost}\n{console}", [])
                del left[running]
    return list(left.values())


def run_kernel(series: str, tests: list[Test]) -> Tally:
    tally = Tally(series)
    guest = images.make_guest(series)
    note(f"{guest.version}: {len(tests)} tests, deadlines times {SLOWNESS:g}")
    try:
        lost = 0
        while tests:
            before = len(tests)
            tests = boot_and_run(guest, tests, tally)
            lost = lost + 1 if len(tests) == before - 1 else 0
            if tests and lost == LOST_MOST:
                raise Unusable(f"{lost} guests in a row were lost in their first test")
            if tests:
                note(f"{guest.version}: a new guest for the other {len(tests)} tests")
    except Unusable as error:
        tally.add("guest", "FAILED", 0.0, str(error), [])
    return tally


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/test-kernels")
    parser.add_argument("name", nargs="*", help="6.12 or 6.1 first; then names of tests")
    parts = sorted({part for parts in PARTS.values() for part in parts})
    parser.add_argument("--part", action="append", default=[], choices=parts)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--keep", action="store_true", help="leave the guest's disk")
    return parser.parse_intermixed_args()


def end_orderly(number: int, _: object) -> NoReturn:
    """The guest is ended too."""
    sys.exit(128 + number)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two runs would write the same disks."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unusable("another run uses build/kernels. fix: wait for its end") from None
        yield


def run_all(chosen: dict[str, list[Test]], keep: bool) -> list[Tally]:
    with alone():
        try:
            return [run_kernel(series, tests) for series, tests in chosen.items()]
        finally:
            if not keep:
                (FOLDER / "scratch.img").unlink(missing_ok=True)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_orderly)
    arguments = read_arguments()
    names = list(arguments.name)
    kernels = [names.pop(0)] if names and names[0] in PARTS else list(PARTS)
    try:
        chosen = plan.choose(kernels, arguments.part or list(plan.DEADLINES_S), names)
        if arguments.list:
            for series, tests in chosen.items():
                print(*(f"{series:6} {test.part:9} {test.name}" for test in tests), sep="\n")
            return 0
        tallies = run_all(chosen, arguments.keep)
    except Unusable as error:
        print(f"scripts/test-kernels: {error}", file=sys.stderr)
        return 2
    failures = [name for tally in tallies for name in tally.failures]
    if failures:
        print("\nfailed: " + "\nfailed: ".join(failures))
    passed, failed, skipped = (sum(tally.counts[word] for tally in tallies) for word in WORDS)
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
