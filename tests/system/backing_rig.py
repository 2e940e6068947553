"""A program under `uzswap run --backing`, with its standard input and its live statistics.

`Live` starts the program, writes to it and waits for figures; on exit it kills all processes. The
figures are read from the statistics file that uzswap writes for the first time about a second
after the start, and rewrites every second. So each reader waits for the figure that it needs.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import harness
from harness import MIB, Problem, require

PYTHON = "/usr/bin/python3"
PAGES = str(Path(__file__).resolve().parent / "workloads" / "pages.py")
DEADLINE_S = 90.0 * harness.SLOWNESS


@dataclass(frozen=True)
class Bounds:
    """The program's size, the limit, and the limit of the pool: both smaller than the program."""

    limit: int = 24 * MIB
    pool: int = 4 * MIB
    mib: int = 44

    def options(self, backing: Path | str) -> list[str]:
        return ["--backing", str(backing), "--pool-limit", str(self.pool)]

    def pages(self, *steps: str, random: int = 2048, marker: str = "") -> list[str]:
        return [PYTHON, PAGES, str(self.mib), f"--random={random}", f"--marker={marker}", *steps]


BOUNDS = Bounds()


@dataclass(frozen=True)
class End:
    status: int  # minus the signal if one ended it
    output: str
    errors: str
    stats: dict[str, object]

    def figure(self, name: str) -> int:
        return harness.figure_of(self.stats, name)

    def tell(self) -> str:
        late = " (its own deadline)" if self.status == -signal.SIGALRM else ""
        told = f"output {self.output[-300:]!r}, errors {self.errors[-900:]!r}"
        return f"status {self.status}{late}, {told}"


class Live:
    """A command that runs. Use `with`."""

    def __init__(
        self,
        folder: Path,
        options: list[str],
        command: list[str],
        limit: int = BOUNDS.limit,
        before: Callable[[], None] | None = None,
    ) -> None:
        self.stats_file = Path(tempfile.mkdtemp(dir=folder)) / "stats.json"
        self._errors = tempfile.TemporaryFile()
        self._output = b""
        self.process = subprocess.Popen(
            harness.uzswap_command(limit, self.stats_file, options) + command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=folder,
            start_new_session=True,
            preexec_fn=before,
        )

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *_: object) -> None:
        rows = self._look().get("processes", [])
        assert isinstance(rows, list)
        for pid in [self.process.pid, *(row["pid"] for row in rows if row["running"])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(harness.END_S)

    def _look(self) -> dict[str, object]:
        return harness.read_stats(self.stats_file)

    def stats(self) -> dict[str, object]:
        """The newest statistics; waits for the first ones."""
        try:
            harness.wait_until("the first statistics", self.stats_file.exists)
        except TimeoutError as error:
            raise Problem(f"{error}: {self.errors()[-900:]}") from error
        return self._look()

    def fresh_stats(self) -> dict[str, object]:
        """Statistics that were put together after this call began."""
        # The report that is written next may have been begun before: the one after it was not.
        for _ in range(2):
            before = self.stats().get("wall_seconds")
            try:
                harness.wait_until(
                    "newer statistics",
                    lambda: self._look().get("wall_seconds") != before,  # noqa: B023
                )
            except TimeoutError as error:
                raise Problem(f"{error}: {self.errors()[-900:]}") from error
        return self._look()

    def figure(self, name: str) -> int:
        return harness.figure_of(self.stats(), name)

    def pids(self) -> list[int]:
        """The living processes of the tree, as uzswap knows them."""
        rows = self.stats()["processes"]
        assert isinstance(rows, list)
        return [row["pid"] for row in rows if row["running"] and alive(row["pid"])]

    def errors(self) -> str:
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def await_line(self, line: str, count: int = 1, seconds: float = DEADLINE_S) -> None:
        """Waits until standard output has had the line `count` times."""
        deadline = time.monotonic() + seconds
        stdout = self.process.stdout
        assert stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while self._output.decode().split("\n").count(line) < count:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise Problem(f"no {line!r} within {seconds:.0f} s: {self.errors()[-900:]}")
                part = os.read(stdout.fileno(), 65536)
                if not part:
                    raise Problem(f"it ended before {line!r}: {self.end().tell()}")
                self._output += part

    def say(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def await_figure(
        self, name: str, wanted: Callable[[int], bool], seconds: float = DEADLINE_S
    ) -> int:
        try:
            harness.wait_until(name, lambda: wanted(self.figure(name)), seconds)
        except TimeoutError as error:
            raise Problem(f"{error}: {self.figure(name)}") from error
        return self.figure(name)

    def end(self, seconds: float = DEADLINE_S) -> End:
        """Waits for the end; none is a problem, with the kernel's stacks."""
        try:
            output, _ = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            stacks = harness.stacks_of(self.pids())
            raise Problem(f"no end within {seconds:.0f} s: {self.errors()[-900:]}\n{stacks}")
        text = (self._output + output).decode(errors="replace")
        return End(self.process.returncode, text, self.errors(), self._look())


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def expect_right(end: End, lines: int = 1) -> None:
    """The program succeeded, every page was right, and the page account adds up."""
    right = end.output.split("\n").count("pages ok")
    require(end.status == 0 and right == lines, end.tell())
    left = end.figure("zswpin") + end.figure("invalidated_pages") + end.figure("stored_pages")
    require(end.figure("zswpout") == left, f"zswpout {end.figure('zswpout')}, but {left} came back")
    poisoned = end.figure("poisoned_pages")
    require(poisoned == 0, f"{poisoned} pages were poisoned")


@contextlib.contextmanager
def mounted_memory(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of so many MiB."""
    place = Path(tempfile.mkdtemp(dir=folder))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "uzswap-test", str(place)],
        capture_output=True,
        text=True,
        check=False,
        timeout=harness.END_S,
    )
    if done.returncode != 0:
        harness.skip(f"no file system can be mounted: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=harness.END_S)
