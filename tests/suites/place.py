"""What a packaged program is to the suite, and where it runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A folder and a port of one run."""

    folder: Path
    port: int

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.txt"

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path


def pid_from_file(place: Place) -> int:
    """The first line of `pid`, where a server notes its main process."""
    return int((place.folder / "pid").read_text().split()[0])


def nothing_to_configure(place: Place, generation: int) -> None:
    assert place.folder.exists()
    assert generation == 1


@dataclass(frozen=True)
class Package:
    """A packaged program.

    configure   writes its configuration; generation 2 is the one to reload
    use         what clients do with a server; returns what they were told. Without it the program
                runs by itself, and its output is the answer
    generation  asks a server which configuration it follows; None if it cannot tell
    """

    debian: tuple[str, ...]
    command: Callable[[Place], list[str]]
    configure: Callable[[Place, int], None] = nothing_to_configure
    use: Callable[[Place], str] | None = None
    generation: Callable[[Place], str] | None = None
    master: Callable[[Place], int] = pid_from_file
    reload: signal.Signals | None = None
    stop: signal.Signals = signal.SIGTERM
    environment: dict[str, str] = field(default_factory=dict)


def as_user(user: str, group: str, command: list[str]) -> list[str]:
    """For programs that refuse to run as root, or run otherwise then."""
    if os.geteuid() != 0:
        return command
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *command]


def tool(command: list[str], give: bytes = b"", environment: dict[str, str] | None = None) -> str:
    """What a client program prints; RuntimeError if it fails."""
    done = subprocess.run(
        command, input=give, capture_output=True, timeout=120, check=False, env=environment
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.returncode}: {done.stderr[-500:]!r}")
    return done.stdout.decode(errors="replace")
