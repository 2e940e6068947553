#!/usr/bin/env python3
"""Programs whose pages resemble each other, under `uzswap run --dictionary`.

    dictionaries.py [SCENE...]     all scenes unless some are named

Every scene runs workloads/pages.py, which checks each byte of its pages, in less memory than it
needs. What the statistics say of dictionaries has to be as the scene expects.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import harness
from backing_rig import PAGES, PYTHON, End, Live, expect_right, require
from harness import MIB, Problem

LIMIT = 32 * MIB
SIZE_MIB = 56
# Below the limit from which on an engine learns.
SMALL_LIMIT = 20 * MIB
SMALL_SIZE_MIB = 36


def pages(*steps: str, mib: int = SIZE_MIB, random: int | None = None) -> list[str]:
    content = ["--words"] if random is None else [f"--random={random}"]
    return [PYTHON, PAGES, str(mib), *content, *steps]


def run(
    folder: Path, options: list[str], command: list[str], limit: int = LIMIT
) -> End:
    with Live(folder, options, command, limit=limit) as it:
        end = it.end()
        expect_right(end)
        return end


def told(end: End) -> str:
    names = ("zswpout", "dictionaries", "trainings", "trainings_failed", "dictionary_pages")
    return ", ".join(f"{name} {end.figure(name)}" for name in names)


def learned(folder: Path) -> str:
    end = run(folder, [], pages("fill", "check", "rewrite", "check"))
    require(end.figure("dictionaries") >= 1, f"no dictionary was learned: {told(end)}")
    require(end.figure("dictionary_pages") > 0, f"no page uses it: {told(end)}")
    return told(end)


def off(folder: Path) -> str:
    end = run(folder, ["--dictionary", "off"], pages("fill", "check"))
    for name in ("dictionaries", "trainings", "dictionary_pages", "dictionary_bytes"):
        require(end.figure(name) == 0, f"{name}: {told(end)}")
    return told(end)


def of_no_use(folder: Path) -> str:
    """Pages of random bytes and zeroes have nothing in common."""
    end = run(folder, [], pages("fill", "check", "rewrite", "check", random=1536))
    require(end.figure("dictionaries") == 0, f"a dictionary that cannot help: {told(end)}")
    require(end.figure("trainings") >= 1, f"nothing was tried: {told(end)}")
    return told(end)


def from_file(folder: Path) -> str:
    """A run that is too small to learn starts with the dictionary of another one."""
    with Live(folder, [], pages("fill", "wait"), limit=LIMIT) as it:
        it.await_line("waiting")
        (pid,) = it.pids()
        made = folder / "words.dict"
        command = [str(harness.bin_folder() / "uzswap"), "train", str(pid), "-o", str(made)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        it.say()
        expect_right(it.end())
    options = ["--dictionary", str(made)]
    command = pages("fill", "check", mib=SMALL_SIZE_MIB)
    end = run(folder, options, command, limit=SMALL_LIMIT)
    require(end.figure("dictionaries") == 1, f"the file was not used: {told(end)}")
    require(end.figure("trainings") == 0, f"it learned under a small limit: {told(end)}")
    require(end.figure("dictionary_pages") > 0, f"no page uses it: {told(end)}")
    damaged = bytearray(made.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    made.write_bytes(damaged)
    refused = subprocess.run(
        [*harness.uzswap_command(LIMIT, folder / "none.json", options), "true"],
        capture_output=True,
        text=True,
    )
    require(refused.returncode == 125, f"a damaged file: status {refused.returncode}")
    require("is damaged" in refused.stderr and "fix:" in refused.stderr, refused.stderr)
    return told(end)


def on_disk(folder: Path) -> str:
    """Records name the dictionary that they need, also after newer ones came into use."""
    options = ["--backing", str(folder), "--pool-limit", str(4 * MIB)]
    end = run(folder, options, pages("fill", "check", "rewrite", "check", "check"))
    require(end.figure("dictionaries") >= 1, f"no dictionary was learned: {told(end)}")
    require(end.figure("zswpwb") > 1000, f"nothing was written: {told(end)}")
    return f"{told(end)}, zswpwb {end.figure('zswpwb')}"


def forks(folder: Path) -> str:
    """Children have the dictionaries of their parents, and learn on."""
    end = run(folder, [], pages("fill", "check", "fork", "generations", "check"))
    require(end.figure("dictionaries") >= 1, f"no dictionary was learned: {told(end)}")
    return f"{told(end)}, forks {end.figure('forks')}"


def broker_of(runner: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            name = (folder / "comm").read_text().strip()
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            if name == "uzswap-broker" and int(parent) == runner:
                found.append(int(folder.name))
    return found


def without_broker(folder: Path) -> str:
    """The broker, and with it every training process, is killed while pages are stored."""
    with Live(folder, [], pages("fill", "wait", "rewrite", "check"), limit=LIMIT) as it:
        it.await_line("waiting")
        brokers = broker_of(it.process.pid)
        for pid in brokers:
            os.kill(pid, signal.SIGKILL)
        it.say()
        end = it.end()
        expect_right(end)
    require(len(brokers) == 1, f"{len(brokers)} brokers")
    return told(end)


SCENES: dict[str, Callable[[Path], str]] = {
    "learned": learned,
    "off": off,
    "of-no-use": of_no_use,
    "from-file": from_file,
    "on-disk": on_disk,
    "forks": forks,
    "without-broker": without_broker,
}


def main() -> int:
    harness.require_machine()
    failed = False
    for name in sys.argv[1:] or SCENES:
        with harness.scratch_folder() as folder:
            try:
                print(f"{name}: {SCENES[name](Path(folder))}", flush=True)
            except Problem as problem:
                print(f"FAILED: {name}: {problem}", flush=True)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
