"""What happens to the processes of a row while they run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))

import harness  # noqa: E402

STOPS = 5


@dataclass(frozen=True)
class Scene:
    """A command that runs: `leader` is what was started, uzswap or the program itself."""

    group: harness.Group
    leader: subprocess.Popen[bytes]
    folder: Path  # its working folder
    program: str  # the name of the program's file

    def await_file(self, name: str) -> None:
        """Waits until a process of the scene has made the file."""

        def made_or_dead() -> bool:
            ended = self.leader.poll() is not None and not self.group.pids()
            return (self.folder / name).exists() or ended

        harness.wait_until(f"the file {name!r}", made_or_dead)
        if not (self.folder / name).exists():
            raise RuntimeError(f"the processes ended before they made the file {name!r}")

    def end(self) -> None:
        (self.folder / "end").touch()

    def programs(self) -> list[int]:
        return [pid for pid in self.group.pids() if self._name(pid) == self.program[:15]]

    def others(self) -> list[int]:
        """Neither the runner nor the program."""
        known = {self.leader.pid, *self.programs()}
        return [pid for pid in self.group.pids() if pid not in known]

    @staticmethod
    def _name(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/comm").read_text().strip()
        except OSError:
            return ""


Action = Callable[[Scene], None]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "gone"


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def let_end(scene: Scene) -> None:
    scene.await_file("ready")
    scene.end()


def await_verdict(scene: Scene) -> None:
    scene.await_file("verdict")


def stop_and_continue(scene: Scene) -> None:
    """Each process but the runner is stopped and continued, alone and all together."""
    scene.await_file("ready")
    pids = [pid for pid in scene.group.pids() if pid != scene.leader.pid] or [scene.leader.pid]
    rounds = [[pid] for pid in pids] + [pids]
    for _ in range(STOPS):
        for round_pids in rounds:
            for pid in round_pids:
                send(pid, signal.SIGSTOP)
            for pid in round_pids:
                stopped = ("T", "Z", "gone")
                harness.wait_until("a stop", lambda pid=pid: state_of(pid) in stopped)
            for pid in round_pids:
                send(pid, signal.SIGCONT)
    scene.end()


def kill_program(scene: Scene) -> None:
    scene.await_file("ready")
    for pid in scene.programs():
        send(pid, signal.SIGKILL)


def kill_runner(scene: Scene) -> None:
    """Without uzswap the leader is the program."""
    scene.await_file("ready")
    send(scene.leader.pid, signal.SIGKILL)


def kill_others(scene: Scene) -> None:
    """Kills the processes that only uzswap has made, if there are any, and lets the program end."""
    scene.await_file("ready")
    for pid in scene.others():
        send(pid, signal.SIGKILL)
    scene.end()
