"""What is changed on the machine, and how it becomes as before.

A `Journal` notes each step that mends a change *before* the change is made, in memory and in a
file. `undo` takes the steps back, the last first. If the process was killed, `restore` takes them
from the file. A lock keeps a second run away; a killed process does not hold it.

    note(step) ... change ... note(step) ... change ... undo_to(mark)
      |                         |                          |
      +----- state file --------+--------------------------+   one JSON list, replaced as a whole

`Machine` is where the kernel's files are, so that a test can give a folder of its own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import harness
from harness import unbroken

Step = dict[str, str]


class CannotRun(Exception):
    """Something cannot be done on this machine; the text says why, and what mends it."""


def call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotRun(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")


@dataclass(frozen=True)
class Machine:
    """The kernel's interfaces: below `root`, and commands like swapon."""

    root: Path = Path("/")
    state: Path = Path("/run/uzswap-bench.json")  # not kept when the machine starts anew
    call: Callable[[list[str]], None] = field(default=call)

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str:
        """A setting. Of a list, the entry in brackets is the one that is set."""
        text = self.path(name).read_text().strip()
        start, end = text.find("["), text.find("]")
        return text[start + 1 : end] if 0 <= start < end else text

    def swaps(self) -> list[str]:
        lines = self.path("/proc/swaps").read_text().splitlines()[1:]
        return [line.split()[0] for line in lines]


class Journal:
    """The steps that mend what was changed. `with` undoes them all."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._steps: list[Step] = []
        self._lock: IO[str] | None = None

    def __enter__(self) -> Journal:
        self._lock = take_lock(self.machine)
        with unbroken():
            self._steps = read_steps(self.machine)
            self.undo_to(0)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.undo_to(0)
        finally:
            assert self._lock is not None
            self.machine.state.with_suffix(".lock").unlink(missing_ok=True)
            self._lock.close()

    def note(self, step: Step) -> None:
        self._steps.append(step)
        self._save()

    def mark(self) -> int:
        return len(self._steps)

    def write(self, name: str, value: str) -> None:
        """Gives a setting another value until the step is undone."""
        before = self.machine.read(name)
        if before == value:
            return
        self.note({"do": "write", "path": name, "value": before})
        self.machine.path(name).write_text(value)

    def undo_to(self, mark: int) -> None:
        """Takes back all steps after the mark. What fails stays noted, and the rest is undone."""
        problems = []
        with unbroken():
            for step in in_order_of_undoing(self._steps[mark:]):
                try:
                    undo(self.machine, step)
                except (OSError, CannotRun) as problem:
                    problems.append(f"{step}: {problem}")
                    continue
                self._steps = [one for one in self._steps if one is not step]
                self._save()
        if problems:
            raise CannotRun(
                "not everything is as before: " + "; ".join(problems)
                + "\n  fix: end what still uses it, then scripts/bench --restore"
            )

    def _save(self) -> None:
        state = self.machine.state
        if not self._steps:
            state.unlink(missing_ok=True)
            return
        part = state.with_suffix(".part")
        part.write_text(json.dumps(self._steps) + "\n")
        part.rename(state)


def take_lock(machine: Machine) -> IO[str]:
    """The locked file. Closing it ends the lock, and so does the end of the process."""
    path = machine.state.with_suffix(".lock")
    while True:
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise CannotRun(
                "another scripts/bench runs on this machine\n  fix: wait until it has ended"
            ) from None
        # The run that ended in between has removed this file: then nobody else sees its lock.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()


def read_steps(machine: Machine) -> list[Step]:
    try:
        found = json.loads(machine.state.read_text())
    except FileNotFoundError:
        return []
    assert isinstance(found, list)
    return found


def in_order_of_undoing(steps: list[Step]) -> list[Step]:
    """The last first, but processes before everything: what they hold cannot be taken away."""
    return sorted(reversed(steps), key=lambda step: step["do"] != "cgroups")


def undo(machine: Machine, step: Step) -> None:
    """One step. Undoing it twice, or when the change was not made, does nothing."""
    kind = step["do"]
    if kind == "write":
        if machine.read(step["path"]) != step["value"]:
            machine.path(step["path"]).write_text(step["value"])
    elif kind == "swapoff":
        if step["path"] in machine.swaps():
            machine.call(["swapoff", step["path"]])
    elif kind == "zram":
        remove_zram(machine, step["number"])
    elif kind == "module":
        machine.call(["modprobe", "-r", step["name"]])
    elif kind == "remove":
        remove(Path(step["path"]))
    elif kind == "cgroups":
        remove_cgroups(Path(step["parent"]), step["prefix"])
    else:
        raise CannotRun(f"unknown step {kind!r}")


def remove_zram(machine: Machine, number: str) -> None:
    if machine.path(f"/sys/block/zram{number}").exists():
        machine.path(f"/sys/block/zram{number}/reset").write_text("1")
        machine.path("/sys/class/zram-control/hot_remove").write_text(number)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_cgroups(parent: Path, prefix: str) -> None:
    """Those that a killed run has left, with the processes in them."""
    for folder in parent.glob(f"{prefix}*"):
        harness.wait_until("removing a cgroup", functools.partial(try_to_remove, folder))


def try_to_remove(folder: Path) -> bool:
    for pid in (folder / "cgroup.procs").read_text().split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True
