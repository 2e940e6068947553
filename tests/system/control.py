#!/usr/bin/env python3
"""`uzswap set` and `uzswap shrink` on runs with real programs.

    control.py [SCENE...]    without a scene all of them
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import harness
from harness import MIB, ROOT, require

UZSWAP = str(harness.bin_folder() / "uzswap")
PAGES = str(ROOT / "tests" / "system" / "workloads" / "pages.py")
# Between two looks of the reclaim daemon a program can grow; see harness.allowed_usually.
SLACK = 4 * MIB
REFUSED = 125


class Running:
    """A program under uzswap that has filled its pages and waits."""

    def __init__(self, folder: Path, limit: str, pages: tuple[str, ...], *options: str) -> None:
        command = [UZSWAP, "run", "--limit", limit, *options, "--", "/usr/bin/python3", PAGES]
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("UZSWAP_")
        }
        self.process = subprocess.Popen(
            [*command, *pages, "fill", "wait", "check"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=environment,
        )
        self.id = str(self.process.pid)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "waiting" in line:
                return
        raise harness.Problem(f"the program ended: {self.process.wait()}")

    def seen(self) -> dict[str, int]:
        runs = json.loads(harness.call(UZSWAP, "ps", "--json"))["runs"]
        found = [run for run in runs if run["runner"] == self.process.pid]
        require(len(found) == 1, f"uzswap ps shows {found}")
        return found[0]

    def pools(self) -> int:
        return sum(process["pool_total_size"] for process in self.seen()["processes"])

    def control(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [UZSWAP, arguments[0], self.id, *arguments[1:]],
            capture_output=True,
            text=True,
            timeout=harness.DEADLINE_S,
        )
        return done.returncode, done.stdout + done.stderr

    def succeeds(self, *arguments: str) -> str:
        status, printed = self.control(*arguments)
        require(status == 0, f"{arguments}: {status}: {printed}")
        return printed

    def finish(self) -> None:
        """The program checks every page."""
        printed, _ = self.process.communicate("\n", timeout=harness.DEADLINE_S)
        require(self.process.returncode == 0, f"the program: {self.process.returncode}: {printed}")


@contextlib.contextmanager
def running(
    folder: Path, limit: str, pages: tuple[str, ...], *options: str
) -> Iterator[Running]:
    run = Running(folder, limit, pages, *options)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGCONT)
            run.process.terminate()
            run.process.communicate(timeout=harness.END_S)


def lower(folder: Path) -> str:
    """A lower limit is in force when the command ends."""
    with running(folder, "160M", ("96", "--random", "512")) as run:
        before = run.seen()["usage"]
        require(before > 90 * MIB, f"{before} bytes are used before")
        printed = run.succeeds("set", "limit=48M")
        require("limit 48.0 MiB (was 160.0 MiB)" in printed, f"printed: {printed}")
        after = run.seen()
        require(after["limit"] == 48 * MIB, f"the limit is {after['limit']}")
        require(after["usage"] <= 48 * MIB + SLACK, f"{after['usage']} bytes are used after")
        run.finish()
    return f"{before / MIB:.0f} MiB before, {after['usage'] / MIB:.0f} after"


def higher(folder: Path) -> str:
    """With a higher limit pages stay resident that did not before."""
    with running(folder, "40M", ("96", "--random", "512")) as run:
        require(run.seen()["usage"] <= 40 * MIB + SLACK, "the first limit is kept")
        run.succeeds("set", "limit=200M")
        # A second program of the same run is not needed: the check touches every page.
        assert run.process.stdin is not None
        run.process.stdin.write("\n")
        run.process.stdin.flush()
        highest = 0
        while run.process.poll() is None:
            runs = json.loads(harness.call(UZSWAP, "ps", "--json"))["runs"]
            usage = [each["usage"] for each in runs if each["runner"] == run.process.pid]
            highest = max([highest, *usage])
        require(run.process.returncode == 0, f"the program: {run.process.returncode}")
        require(highest > 60 * MIB, f"at most {highest} bytes were used")
    return f"used {highest / MIB:.0f} MiB after the limit was 40"


def shrink(folder: Path) -> str:
    """What is not in use is given back, and the limit stays."""
    with running(folder, "160M", ("96", "--random", "512")) as run:
        run.succeeds("shrink", "--to", "40M")
        shrunk = run.seen()
        require(shrunk["usage"] <= 40 * MIB + SLACK, f"{shrunk['usage']} bytes are used")
        require(shrunk["limit"] == 160 * MIB, f"the limit is {shrunk['limit']}")
        printed = run.succeeds("shrink", "--to", "100M")
        require("already" in printed, f"printed: {printed}")
        run.succeeds("shrink")
        least = run.seen()["usage"]
        require(least <= shrunk["usage"], f"{least} bytes are used at least")
        run.finish()
    return f"{shrunk['usage'] / MIB:.0f} MiB, and {least / MIB:.0f} as far as it goes"


def refused(folder: Path) -> str:
    """What does not compress stays, and so does the limit."""
    with running(folder, "96M", ("64", "--random", "4000")) as run:
        status, printed = run.control("set", "limit=24M")
        require(status == REFUSED and "does not shrink" in printed, f"{status}: {printed}")
        require("fix:" in printed and "still 96.0 MiB" in printed, f"printed: {printed}")
        require(run.seen()["limit"] == 96 * MIB, "the limit was changed")
        status, printed = run.control("shrink", "--to", "24M")
        require(status == REFUSED and "fix:" in printed, f"{status}: {printed}")
        for wrong in ("limit=1M", "limit=much", "codec=lz4", "limit", "pool-limit=10M"):
            status, printed = run.control("set", wrong)
            require(status == REFUSED and "fix:" in printed, f"{wrong}: {status}: {printed}")
        status, printed = run.control("shrink", "--to", "little")
        require(status == REFUSED and "fix:" in printed, f"--to little: {status}: {printed}")
        run.finish()
    gone = subprocess.run([UZSWAP, "set", run.id, "limit=64M"], capture_output=True, text=True)
    require(gone.returncode == REFUSED and "uzswap ps" in gone.stderr, f"a run that ended: {gone}")
    return "incompressible pages, bad values, a run that has ended"


def backing(folder: Path) -> str:
    """The limit of the pools follows, and pages go to the file."""
    with running(folder, "160M", ("96", "--random", "2048"), "--backing", str(folder)) as run:
        printed = run.succeeds("set", "limit=40M")
        require("pool limit 8.0 MiB (was 32.0 MiB)" in printed, f"printed: {printed}")
        require(run.seen()["usage"] <= 40 * MIB + SLACK, f"used: {run.seen()['usage']}")
        # The writer has to write what the pools have too much.
        harness.wait_until("the pools are small", lambda: run.pools() <= 8 * MIB)
        run.succeeds("set", "pool-limit=50%")
        run.finish()
    return "20 % of the new limit"


def strangers(folder: Path) -> str:
    """Another user can change nothing, and a runner that is stopped delays nobody."""
    folder.chmod(0o755)
    copy = folder / "uzswap"
    shutil.copy(UZSWAP, copy)
    with running(folder, "96M", ("32", "--random", "512")) as run:
        if os.geteuid() == 0:
            nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", str(copy)]
            for command in (["set", run.id, "limit=64M"], ["shrink", run.id]):
                done = subprocess.run([*nobody, *command], capture_output=True, text=True)
                require(done.returncode == REFUSED, f"nobody, {command}: {done}")
                require("as root" in done.stderr, f"nobody, {command}: {done.stderr}")
        require(run.seen()["limit"] == 96 * MIB, "another user changed the limit")
        run.process.send_signal(signal.SIGSTOP)
        run.succeeds("set", "limit=80M")
        run.process.send_signal(signal.SIGCONT)
        require(run.seen()["limit"] == 80 * MIB, "the limit of a stopped runner")
        run.finish()
    return "another user, a stopped runner"


SCENES = {
    "lower": lower,
    "higher": higher,
    "shrink": shrink,
    "refused": refused,
    "backing": backing,
    "strangers": strangers,
}


def main() -> int:
    if not harness.has_userfaultfd_move():
        harness.skip("no userfaultfd with MOVE (Linux 6.8)")
    return harness.run_scenes(SCENES, sys.argv[1:])


if __name__ == "__main__":
    harness.exit_with(main)
