#!/usr/bin/env python3
"""Two builds of uzswap on the same programs, in turn: is one slower?

    two_builds.py OLD NEW [--rounds 5] [--old-options ...] [--new-options ...] [--json FILE]

OLD and NEW are two uzswap programs, each beside its preload library as built or installed. The
programs are those of tests/system/programs.py at half their test size, under a limit that makes
each of them swap, and churn, of which operations in eight seconds are counted. Prints medians, and
NEW divided by OLD. The outputs of both must be equal.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "system"))

import harness  # noqa: E402
import programs  # noqa: E402

SIZE = 0.5
LIMITS = {"node": 72, "compiler": 130, "dicts": 50, "tables": 60, "redis": 42, "churn": 40}  # MiB
CHURN_SECONDS = "8"
DEADLINE_S = 300

Measured = tuple[float, bytes]


def measure(command: list[str], name: str, folder: Path) -> Measured:
    """Seconds and output; for churn, operations and nothing."""
    scene = programs.Scene(folder, SIZE)
    program = programs.PROGRAMS[name]
    if name == "churn":
        churn = [str(harness.bin_folder() / "churn"), "--seconds", CHURN_SECONDS, "--verbose"]
        churn += ["--memory", "80M", "--without", "fork,forkall", "--folder", "."]
        done = subprocess.run(
            [*command, *churn], cwd=folder, stdout=subprocess.PIPE, timeout=DEADLINE_S, check=True
        )
        found = re.search(rb"^ok (\d+) ops", done.stdout, re.MULTILINE)
        if found is None:
            harness.fail(f"churn: {done.stdout[-300:]!r}")
        return float(found.group(1)), b""
    words = program.prepare(scene)
    start = time.monotonic()
    process = subprocess.Popen([*command, *words], cwd=folder, stdout=subprocess.PIPE)
    played = b"" if program.during is None else program.during(scene)
    output, _ = process.communicate(timeout=DEADLINE_S)
    if process.returncode != 0:
        harness.fail(f"{name}: status {process.returncode}")
    return time.monotonic() - start, played or output


def compare(
    name: str, commands: dict[str, list[str]], rounds: int, folder: Path
) -> dict[str, object]:
    values: dict[str, list[float]] = {build: [] for build in commands}
    outputs = set()
    for _ in range(rounds):
        for build, command in commands.items():
            value, output = measure(command, name, folder)
            values[build].append(round(value, 2))
            outputs.add(output)
    if len(outputs) != 1:
        harness.fail(f"{name}: the outputs differ")
    old, new = (statistics.median(values[build]) for build in ("old", "new"))
    unit = "operations" if name == "churn" else "s"
    figures = f"{old:8.2f} {new:8.2f} {unit:10}  {new / old:.2f}"
    print(f"{name:9} {LIMITS[name]:4} MiB  {figures}", flush=True)
    return {"program": name, "unit": unit, "ratio": new / old, **values}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("old", type=lambda path: Path(path).resolve())
    parser.add_argument("new", type=lambda path: Path(path).resolve())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--old-options", default="", help="for its `run`, in one word")
    parser.add_argument("--new-options", default="")
    parser.add_argument("--programs", nargs="+", choices=LIMITS, default=list(LIMITS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    with harness.scratch_folder() as scratch:
        for name in arguments.programs:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            limit = ["--limit", f"{LIMITS[name]}M"]
            old = [str(arguments.old), "run", *limit, *arguments.old_options.split(), "--"]
            new = [str(arguments.new), "run", *limit, *arguments.new_options.split(), "--"]
            commands = {"old": old, "new": new}
            results.append(compare(name, commands, arguments.rounds, folder))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
