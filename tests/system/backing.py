#!/usr/bin/env python3
"""Programs whose coldest pages are in a file, and errors of that file.

    backing.py SCENE...     runs these scenes
    backing.py --list

Each scene runs a program whose pages, which it can check (workloads/pages.py), take twice its
limit. The program has to end as the guide says: with every byte right or, if the file was
damaged, by SIGBUS and with a line that names the page. It must never see a wrong byte, and it
must end.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import backing_devices
import backing_forks
import backing_scenes
import harness
from harness import Problem

Scene = Callable[[Path], str]

SCENES: dict[str, Scene] = {
    **backing_scenes.SCENES,
    **backing_forks.SCENES,
    **backing_devices.SCENES,
}


def run(name: str) -> bool:
    with harness.scratch_folder() as folder:
        try:
            print(f"{name}: {SCENES[name](Path(folder))}", flush=True)
            return True
        except Problem as problem:
            print(f"FAILED: {name}: {problem}", flush=True)
            return False


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", nargs="*")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list or not arguments.scenes:
        print(*SCENES, sep="\n")
        return 0
    harness.require_machine()
    return 0 if all([run(name) for name in arguments.scenes]) else 1


if __name__ == "__main__":
    sys.exit(main())
