"""Containers of podman with runc, whose root is that of this machine below an overlay.

Nothing is fetched. Images and containers are kept in a folder of their own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Self

import harness

NEEDED = ("podman", "runc", "conmon")
DEVICE = Path("/dev/userfaultfd")
# Containers of this kind of machine may not raise their own limits.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=900:900")


def need_podman() -> None:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        harness.skip(f"there is no {', '.join(missing)}")
    if os.geteuid() != 0 or not DEVICE.exists():
        harness.skip("needs root, and /dev/userfaultfd")
    if not harness.has_userfaultfd_move():
        harness.skip("no userfaultfd with MOVE (Linux 6.8)")


class Podman:
    """Runs one container after the other, in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """podman leaves the mount of its storage behind."""
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            point = line.split()[1]
            if point.startswith(f"{self.folder}/"):
                subprocess.run(["umount", point], check=False, capture_output=True)

    def run(self, options: tuple[str, ...], command: tuple[str, ...]) -> tuple[int, str]:
        """The status of the container and what it printed."""
        storage = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"))
        runtime = ("--runtime", "runc", "--cgroup-manager=cgroupfs")
        done = subprocess.run(
            ["podman", *storage, *runtime, "run", "--rm", "--network", "none", *LIMITS]
            + ["--workdir", str(self.folder), *options, "--rootfs", "/:O", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=harness.DEADLINE_S,
            env=harness.without_options(),
        )
        return done.returncode, done.stdout
