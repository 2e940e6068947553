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
import time
from collections.abc import Iterator
from pathlib import Path

import harness
from harness import MIB, ROOT, require

UZSWAP = str(harness.bin_folder() / "uzswap")
PAGES = str(ROOT / "tests" / "system" / "workloads" / "pages.py")
# Between two looks of the reclaim daemon a program can grow; see harness.allowed_usually.
SLACK = 4 * MIB
# What a process may keep in its pool; see PoolsWithin.
POOL_SLACK = MIB
REFUSED = 125
STEPS = ("fill", "wait", "check")


class Running:
    """A program under uzswap that has filled its pages and waits."""

    def __init__(
        self,
        folder: Path,
        limit: str | None,
        pages: tuple[str, ...],
        *options: str,
        wrapper: tuple[str, ...] = (),
        steps: tuple[str, ...] = STEPS,
    ) -> None:
        limits = [] if limit is None else ["--limit", limit]
        command = [UZSWAP, "run", *limits, *options, "--", *wrapper, "/usr/bin/python3", PAGES]
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith("UZSWAP_")
        }
        self.process = subprocess.Popen(
            [*command, *pages, *steps],
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

    def brokers(self) -> list[int]:
        listed = harness.call("ps", "-e", "-o", "pid=,ppid=,comm=").splitlines()
        wanted = [str(self.process.pid), "uzswap-broker"]
        return [int(line.split()[0]) for line in listed if line.split()[1:] == wanted]

    def numbers(self) -> list[int]:
        """Of the runner, its broker and the program: each names the run."""
        harness.wait_until("the run has a broker", lambda: len(self.brokers()) == 1)
        programs = [process["pid"] for process in self.seen()["processes"]]
        return [self.process.pid, *self.brokers(), *programs]

    def control(self, *arguments: str, prefix: tuple[str, ...] = ()) -> tuple[int, str]:
        done = subprocess.run(
            [*prefix, UZSWAP, arguments[0], self.id, *arguments[1:]],
            capture_output=True,
            text=True,
            timeout=harness.DEADLINE_S,
        )
        return done.returncode, done.stdout + done.stderr

    def succeeds(self, *arguments: str, prefix: tuple[str, ...] = ()) -> str:
        status, printed = self.control(*arguments, prefix=prefix)
        require(status == 0, f"{arguments}: {status}: {printed}")
        return printed

    def shrinks(self, mib: int) -> int:
        """It shrinks to that. Returns what it uses then."""
        self.succeeds("shrink", "--to", f"{mib}M")
        used = self.seen()["usage"]
        require(used <= mib * MIB + SLACK, f"{used} bytes are used")
        return used

    def fails(self, cause: str, *arguments: str) -> None:
        """It is refused with the cause and a fix, and nothing is changed."""
        before = self.limit()
        status, printed = self.control(*arguments)
        require(status == REFUSED, f"{arguments}: {status}: {printed}")
        require(cause in printed and "fix:" in printed, f"{arguments}: printed: {printed}")
        require(self.limit() == before, f"{arguments}: the limit was changed")

    def limit(self) -> int:
        return self.seen()["limit"]

    def finish(self) -> None:
        """The program checks every page."""
        printed, _ = self.process.communicate("\n", timeout=harness.DEADLINE_S)
        require(self.process.returncode == 0, f"the program: {self.process.returncode}: {printed}")


@contextlib.contextmanager
def running(
    folder: Path,
    limit: str | None,
    pages: tuple[str, ...],
    *options: str,
    wrapper: tuple[str, ...] = (),
    steps: tuple[str, ...] = STEPS,
) -> Iterator[Running]:
    run = Running(folder, limit, pages, *options, wrapper=wrapper, steps=steps)
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


def without_limit(folder: Path) -> str:
    """The working set that is kept follows what is asked for, not the memory of the machine."""
    with running(folder, None, ("96", "--random", "512")) as run:
        # The tables of a process are made for the limit, here the memory of the machine.
        used = run.shrinks(70)
        run.finish()
    return f"{used / MIB:.0f} MiB"


def refused(folder: Path) -> str:
    """What does not compress stays, and so does the limit."""
    with running(folder, "96M", ("64", "--random", "4000")) as run:
        run.fails("does not shrink", "set", "limit=24M")
        run.fails("still 96.0 MiB", "set", "limit=24M")
        run.fails("does not shrink", "shrink", "--to", "24M")
        sizes = ("limit=1M", "limit=much", "limit", "pool-limit=10M")
        for wrong in (*sizes, "codec=gzip", "pool=zbud"):
            run.fails("", "set", wrong)
        run.fails("'pool' is not an option", "set", "limit=200M", "pool=zbud")
        run.fails("", "shrink", "--to", "little")
        run.fails("is zero", "shrink", "--to", "0")
        run.fails("too small", "shrink", "--to", "1M")
        # Above the target of the reclaim daemon, and within the limit: it can be kept.
        used = run.seen()["usage"]
        run.succeeds("set", f"limit={used // 1024 + 256}K")
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
        # A limit of the pools that was not named is not awaited.
        harness.wait_until("the pools follow", lambda: run.pools() <= 8 * MIB + POOL_SLACK)
        run.succeeds("set", "pool-limit=50%")
        run.finish()
    return "20 % of the new limit"


def pools(folder: Path) -> str:
    """The pools hold no more than their new limit when the command ends, or it is refused."""
    pages = ("96", "--random", "2048")
    with running(folder, "64M", pages, "--backing", str(folder), "--pool-limit", "80%") as run:
        # All that is left in memory is in the pools: they have to become smaller first.
        before = run.pools()
        require(before > 24 * MIB, f"the pools hold {before} bytes before")
        run.succeeds("set", "limit=24M", "pool-limit=8M")
        used = run.seen()["usage"]
        require(used <= 24 * MIB + SLACK, f"used: {used}")
        require(run.pools() <= 8 * MIB + POOL_SLACK, f"the pools hold {run.pools()}")
        run.succeeds("set", "pool-limit=2M")
        require(run.pools() <= 2 * MIB + POOL_SLACK, f"the pools hold {run.pools()}")
        run.finish()
    with running(folder, "64M", pages, "--pool-limit", "80%") as run:
        run.fails("no backing store", "set", "limit=100M", "pool-limit=1M")
        run.finish()
    return f"{before / MIB:.0f} MiB in the pools before"


def workers(folder: Path) -> str:
    """What forked processes share is not counted for each of them."""
    pages = ("96", "--random", "2048")
    steps = ("fill", "workers")
    with running(folder, "80M", pages, "--backing", str(folder), steps=steps) as run:
        counted, limit = run.pools(), run.limit()
        require(len(run.seen()["processes"]) == 5, f"processes: {run.seen()['processes']}")
        pool_limit = limit // 5
        require(counted > pool_limit + 5 * POOL_SLACK, f"nothing is shared: {counted} in pools")
        for mib, pool in ((64, ()), (128, ()), (72, ()), (64, ("pool-limit=6M",))):
            run.succeeds("set", f"limit={mib}M", *pool)
            used = run.seen()["usage"]
            require(used <= mib * MIB + SLACK, f"with {mib} MiB: {used} bytes are used")
        run.finish()
    return f"{counted / MIB:.0f} MiB in the pools, counted for each process"


# Locks the file that is named until its standard input ends. Younger than the run, as a command is:
# the oldest process that has the memory of a session open is its runner.
LOCK = """import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
sys.stdin.read()"""


def one_at_a_time(folder: Path) -> str:
    """While a command changes a run, another one is refused."""
    with running(folder, "96M", ("32", "--random", "512")) as run:
        files = Path(f"/proc/{run.process.pid}/fd").iterdir()
        memory = [str(file) for file in files if "uzswap-session" in os.readlink(file)]
        command = [sys.executable, "-c", LOCK, memory[0]]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as lock:
            assert lock.stdout is not None
            require(lock.stdout.readline() == b"locked\n", "the lock")
            run.fails("another command", "set", "limit=64M")
            run.fails("another command", "shrink", "--to", "20M")
            lock.kill()
        run.succeeds("set", "limit=64M")
        run.finish()
    return "set and shrink"


def raised(folder: Path) -> str:
    """Pages go to the file although the pool limit is above what the pool was made for."""
    stats = folder / "stats.json"
    options = ("--backing", str(folder), "--pool-limit", "50%", "--stats", str(stats))
    with running(folder, "24M", ("160", "--random", "2048"), *options) as run:
        written = sum(process["written_back_bytes"] for process in run.seen()["processes"])
        run.succeeds("set", "limit=72M", "pool-limit=100%")
        # The check touches every page: twice as much as fits.
        run.finish()
        require(written > 0, "nothing was written before")
    exceeded = json.loads(stats.read_text())["limit_exceeded"]
    require(exceeded == 0, f"the limit was exceeded {exceeded} times")
    return "100 % of a higher limit"


def codec_and_writes(folder: Path) -> str:
    """Other codec, no more writes: both are in force for what is stored afterwards."""
    options = ("--codec", "zstd", "--dictionary", "off", "--backing", str(folder))
    with running(folder, "160M", ("96", "--random", "2048"), *options) as run:
        printed = run.succeeds("set", "codec=lz4", "write-limit=64K/h")
        require("codec lz4 (was zstd)" in printed, f"printed: {printed}")
        require("write limit 64.0 KiB/h (was off)" in printed, f"printed: {printed}")
        run.control("shrink", "--to", "60M")
        written = sum(process["written_back_bytes"] for process in run.seen()["processes"])
        # One request can overdraw the account of each process.
        require(written < 4 * MIB, f"{written} bytes were written")
        run.succeeds("set", "write-limit=off")
        run.succeeds("shrink", "--to", "30M")
        after = sum(process["written_back_bytes"] for process in run.seen()["processes"])
        require(after > 8 * MIB, f"{after} bytes were written without a limit")
        run.finish()
    return f"{written / MIB:.1f} MiB with the write limit, {after / MIB:.0f} without"


def address_space(folder: Path) -> str:
    """A process that becomes active later has address space for the limit at its start only."""
    shell = ("bash", "-c", 'ulimit -v 700000; exec "$@"', "bash")
    with running(folder, "160M", ("32", "--random", "512"), wrapper=shell) as run:
        run.succeeds("set", "limit=64G")
        used = run.shrinks(20)
        run.finish()
    return f"{used / MIB:.0f} MiB"


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
        if os.geteuid() == 0:
            # A command whose clock shows another time.
            offset = str(60 - int(time.monotonic()))
            run.succeeds(
                "shrink", "--to", "20M", prefix=("unshare", "-T", "--monotonic", offset)
            )
        for number in run.numbers():
            run.id = str(number)
            run.succeeds("set", "limit=90M")
            run.succeeds("set", "limit=96M")
        run.process.send_signal(signal.SIGSTOP)
        run.succeeds("set", "limit=80M")
        run.process.send_signal(signal.SIGCONT)
        require(run.seen()["limit"] == 80 * MIB, "the limit of a stopped runner")
        run.finish()
    return "another user, another clock, a stopped runner"


SCENES = {
    "lower": lower,
    "higher": higher,
    "shrink": shrink,
    "without-limit": without_limit,
    "refused": refused,
    "backing": backing,
    "pools": pools,
    "workers": workers,
    "one-at-a-time": one_at_a_time,
    "raised": raised,
    "codec-and-writes": codec_and_writes,
    "address-space": address_space,
    "strangers": strangers,
}


def main() -> int:
    if not harness.has_userfaultfd_move():
        harness.skip("no userfaultfd with MOVE (Linux 6.8)")
    return harness.run_scenes(SCENES, sys.argv[1:])


if __name__ == "__main__":
    harness.exit_with(main)
