#!/usr/bin/env python3
"""What uzswap says on a kernel that is too old for it, such as Debian 12's own 6.1.

    refusals.py SCENE | --list

A refusal has status 125, runs nothing, names the kernel that helps, and names no permission:
none would help.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))

import harness  # noqa: E402

REFUSED = 125
KERNEL_THAT_HELPS = "apt install linux-image-6.12-amd64"
NO_HELP = ("sysctl", "setfacl", "seccomp")
RUN = ["run", "--limit", "64M", "--", "echo", "it ran"]
CHECK = ["check"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
# What stands before uzswap, and its arguments.
SCENES: dict[str, tuple[list[str], list[str]]] = {
    "check": ([], CHECK),
    "check-by-user": (NOBODY, CHECK),
    "run": ([], RUN),
    "run-by-user": (NOBODY, RUN),
    # These need no kernel at all.
    "version": ([], ["--version"]),
}


def problems_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    found = []
    if done.returncode != REFUSED:
        found.append(f"status {done.returncode}, {REFUSED} is wanted")
    if "it ran" in done.stdout:
        found.append("the command ran")
    if f"this kernel ({platform.release()})" not in done.stderr:
        found.append("the message does not name this kernel")
    if KERNEL_THAT_HELPS not in done.stderr:
        found.append(f"the message does not say: {KERNEL_THAT_HELPS}")
    found += [f"{word} is named, but does not help" for word in NO_HELP if word in done.stderr]
    return found


def main() -> int:
    if sys.argv[1:] == ["--list"]:
        print(*SCENES, sep="\n")
        return 0
    if len(sys.argv) != 2 or sys.argv[1] not in SCENES:
        print(__doc__, file=sys.stderr)
        return 2
    before, arguments = SCENES[sys.argv[1]]
    if harness.has_userfaultfd_move():
        harness.skip("this kernel is not too old")
    done = subprocess.run(
        [*before, str(harness.bin_folder() / "uzswap"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=harness.END_S,
        env=os.environ | {"LC_ALL": "C"},
    )
    if arguments == ["--version"]:
        found = [] if done.returncode == 0 and done.stdout else [f"status {done.returncode}"]
    else:
        found = problems_of(done)
    print(done.stdout + done.stderr, end="")
    for problem in found:
        print(f"FAILED: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
