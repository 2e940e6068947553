#!/usr/bin/env python3
"""uzswap in containers of podman with runc, as docs/guide/containers.md describes them.

    containers.py [SCENE...]    without a scene all of them

The root of a container is that of this machine below an overlay, so nothing is fetched.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import harness
from harness import ROOT, require
from podman import DEVICE, Podman, need_podman

PAGES = ROOT / "tests" / "system" / "workloads" / "pages.py"
PROFILE = ROOT / "contrib" / "containers" / "seccomp-profile"
LIMIT = ("--memory", "200m", "--memory-swap", "200m")
# More than the container may have.
TOO_MUCH = ("/usr/bin/python3", "bin/pages.py", "218", "fill", "check")
# Without the file systems in memory that podman would fill from this machine.
READ_ONLY = ("--read-only", "--read-only-tmpfs=false")
GROUP = 991
USER = 1234
REFUSED = 125
KILLED = 137
# A process leaves a child behind, which ends: its parent is then the first process.
ORPHANS = "(sleep 0.2 &) ; sleep 1; grep -ls 'State:.Z' /proc/[0-9]*/status | wc -l"


class Runs(Podman):
    """Containers with the program under test."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bin = folder / "bin"
        self.bin.mkdir()
        shutil.copy(harness.bin_folder() / "uzswap", self.bin)
        library = folder / "lib"
        library.mkdir()
        shutil.copy(harness.bin_folder().parent / "lib" / "libuzswap-preload.so", library)
        shutil.copy(PAGES, self.bin)
        self.uzswap = str(self.bin / "uzswap")

    def works(self, *options: str) -> None:
        """The program that needs too much ends well under uzswap."""
        command = (self.uzswap, "run", "--summary", "--", *TOO_MUCH)
        status, printed = self.run((*LIMIT, *options), command)
        require(status == 0, f"{options}: status {status}: {printed}")
        require("faults" in printed, f"{options}: it did not run under uzswap: {printed}")

    def check(self, *options: str) -> tuple[int, str]:
        return self.run(options, (self.uzswap, "check", "--container"))


def device_of(folder: Path, group: int, mode: int) -> tuple[str, str]:
    """The device with another owner and mode, as a rule of udev would give it."""
    path = folder / f"userfaultfd-{group}-{mode:o}"
    os.mknod(path, stat.S_IFCHR | mode, DEVICE.stat().st_rdev)
    path.chmod(mode)
    os.chown(path, 0, group)
    return "--device", f"{path}:{DEVICE}"


def device(podman: Runs) -> str:
    """Without the device uzswap says what is missing; with it, a program fits that did not."""
    status, printed = podman.check(*LIMIT)
    require(status == REFUSED, f"check without the device: {status}: {printed}")
    require("--device /dev/userfaultfd" in printed, f"the line for podman: {printed}")
    require("container: podman" in printed, f"the container: {printed}")
    status, printed = podman.run(LIMIT, (podman.uzswap, "run", "--", "echo", "started"))
    require(status == REFUSED and "fix:" in printed, f"run without the device: {status} {printed}")
    require("started" not in printed, f"it was started all the same: {printed}")
    status, printed = podman.check(*LIMIT, "--device", str(DEVICE))
    require(status == 0, f"check with the device: {status}: {printed}")
    require("The container has what uzswap needs." in printed, f"check: {printed}")
    status, printed = podman.run(LIMIT, TOO_MUCH)
    require(status == KILLED, f"the program alone was not killed: {status}: {printed}")
    podman.works("--device", str(DEVICE))
    status, printed = podman.check("--device", str(DEVICE))
    require("(optional)" in printed, f"check without a memory limit: {printed}")
    return "refused without it, 218 MiB in 200 with it"


def users(podman: Runs) -> str:
    """A user that is not root needs the group of the device."""
    user = ("--user", f"{USER}:{USER}")
    closed = device_of(podman.folder, 0, 0o600)
    status, printed = podman.check(*user, *closed)
    require(status == REFUSED, f"a closed device: {status}: {printed}")
    require("chgrp uzswap /dev/userfaultfd" in printed, f"the line for the host: {printed}")
    grouped = device_of(podman.folder, GROUP, 0o660)
    status, printed = podman.check(*user, *grouped)
    require(status == REFUSED, f"without the group: {status}: {printed}")
    require(f"--group-add {GROUP}" in printed, f"the line for podman: {printed}")
    podman.works(*user, *grouped, "--group-add", str(GROUP))
    return "told the group, and works with it"


def surroundings(podman: Runs) -> str:
    """A read-only root, a small /dev/shm, none, and no privilege at all."""
    passed = ("--device", str(DEVICE))
    podman.works(*passed, *READ_ONLY)
    podman.works(*passed, "--shm-size", "64m")
    podman.works(*passed, "--ipc", "none")
    podman.works(*passed, "--cap-drop", "all", "--security-opt", "no-new-privileges")
    return "read-only, /dev/shm of 64 MiB and none, no capability"


def first_process(podman: Runs) -> str:
    """As pid 1, uzswap reaps what is left behind, and its end is that of the program."""
    passed = ("--device", str(DEVICE))
    command = (podman.uzswap, "run", "--limit", "64M", "--", "sh", "-c", ORPHANS)
    status, printed = podman.run(passed, command)
    require((status, printed.split()[-1:]) == (0, ["0"]), f"zombies: {status}: {printed}")
    for status_asked, program in ((7, "exit 7"), (128 + 9, "kill -9 $$")):
        command = (podman.uzswap, "run", "--limit", "64M", "--", "sh", "-c", program)
        status, printed = podman.run(passed, command)
        require(status == status_asked, f"{program}: {status}: {printed}")
    return "orphans are reaped, statuses are passed on"


def backing(podman: Runs) -> str:
    """Pages on a volume, below a read-only root."""
    volume = podman.folder / "volume"
    volume.mkdir()
    options = (*LIMIT, "--device", str(DEVICE), *READ_ONLY, "-v", f"{volume}:/backing")
    stats = "/backing/stats.json"
    run = ("run", "--limit", "64M", "--backing", "/backing", "--stats", stats, "--")
    status, printed = podman.run(options, (podman.uzswap, *run, *TOO_MUCH))
    require(status == 0, f"status {status}: {printed}")
    written = json.loads((volume / "stats.json").read_text())["written_back_pages"]
    require(written > 0, f"nothing was written back: {printed}")
    require(os.listdir(volume) == ["stats.json"], f"files are left: {os.listdir(volume)}")
    return f"{written} pages written to a volume"


def seccomp(podman: Runs) -> str:
    """The system call instead of the device: the default profile forbids it, ours does not."""
    made = subprocess.run([PROFILE], capture_output=True, text=True, check=True).stdout
    profile = podman.folder / "profile.json"
    profile.write_text(made)
    capability = ("--cap-add", "SYS_PTRACE")
    status, printed = podman.check(*capability)
    require(status == REFUSED, f"the default profile permits userfaultfd: {printed}")
    podman.works(*capability, "--security-opt", f"seccomp={profile}")
    default = json.loads(Path("/usr/share/containers/seccomp.json").read_text())
    ours = json.loads(made)
    require(ours["defaultAction"] == default["defaultAction"], "the default action is another")
    for wrong in ("/nonexistent", "/etc/hostname"):
        refused = subprocess.run([PROFILE, wrong], capture_output=True, text=True, check=False)
        require(refused.returncode != 0 and "fix:" in refused.stderr, f"{wrong}: {refused}")
    return "the call works with the profile of contrib/containers"


SCENES = {
    "device": device,
    "users": users,
    "surroundings": surroundings,
    "first-process": first_process,
    "backing": backing,
    "seccomp": seccomp,
}


def in_folder(scene: Callable[[Runs], str], folder: Path) -> str:
    with Runs(folder) as podman:
        return scene(podman)


def main() -> int:
    need_podman()
    scenes = {name: functools.partial(in_folder, scene) for name, scene in SCENES.items()}
    return harness.run_scenes(scenes, sys.argv[1:])


if __name__ == "__main__":
    harness.exit_with(main)
