#!/usr/bin/env python3
"""Runs clang-tidy over the project's sources, two at a time, and fails on any finding.

    tools/run_tidy.py [--build build/dev] [--jobs 2] [--budget 20] [FILE ...]

Without FILEs it takes every source of src/ and apps/ in the compilation database that is not a
test: headers are seen through the sources that include them. A file that needs more than the
budget (seconds) is reported as slow; that is not a failure.

A file that was clean and has not changed is skipped. The result is kept under the build folder,
with a key made from all its inputs: the file, the headers it includes, and the configuration.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TEST_ENDINGS = ("_test", "_fuzz")


@dataclass(frozen=True)
class Verdict:
    path: Path
    clean: bool
    output: str
    seconds: float
    remembered: bool = False


def load_commands(build: Path) -> dict[Path, list[str]]:
    """The compile command of each file of src/ and apps/ that is not a test."""
    commands: dict[Path, list[str]] = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = (Path(entry["directory"]) / entry["file"]).resolve()
        inside = any(path.is_relative_to(ROOT / top) for top in ("src", "apps"))
        if inside and "testing" not in path.parts and not path.stem.endswith(TEST_ENDINGS):
            commands[path] = entry["command"].split()
    return commands


def recorded_dependencies(build: Path) -> dict[str, list[Path]]:
    """What the last build read for each object that is up to date, by object name."""
    done = subprocess.run(
        ["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=False
    )
    found: dict[str, list[Path]] = {}
    names: list[Path] = []
    for line in done.stdout.splitlines():
        if line.endswith("(VALID)"):
            names = found.setdefault(line.split(": #deps")[0], [])
        elif line.endswith("(STALE)"):
            names = []
        elif name := line.strip():
            names.append(Path(os.path.normpath(build / name)))
    return found


def asked_dependencies(command: list[str]) -> list[Path]:
    """The files a translation unit is made from, asked of the compiler."""
    skip = {"-MD", "-c"}
    words = [word for word in command if word not in skip]
    for flag in ("-o", "-MF", "-MT"):
        while flag in words:
            at = words.index(flag)
            del words[at : at + 2]
    done = subprocess.run([*words, "-MM"], capture_output=True, text=True, check=False)
    return [Path(name).resolve() for name in done.stdout.replace("\\\n", " ").split()[1:]]


def fingerprint(command: list[str], recorded: dict[str, list[Path]]) -> str:
    """One key for all inputs: the project's own files, the command and the configuration."""
    digest = hashlib.sha256((ROOT / ".clang-tidy").read_bytes())
    digest.update(" ".join(command).encode())
    read = recorded.get(command[command.index("-o") + 1]) or asked_dependencies(command)
    for path in sorted({path for path in read if path.is_relative_to(ROOT)}):
        digest.update(path.read_bytes() if path.exists() else b"?")
    return digest.hexdigest()


def examine(tidy: str, build: Path, path: Path, command: list[str], key: str) -> Verdict:
    memory = build / "tidy" / key
    if memory.exists():
        return Verdict(path, True, "", 0.0, remembered=True)
    start = time.monotonic()
    done = subprocess.run(
        [tidy, "-p", str(build), "--quiet", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - start
    if done.returncode == 0:
        memory.parent.mkdir(exist_ok=True)
        memory.touch()
    return Verdict(path, done.returncode == 0, done.stdout + done.stderr, seconds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "dev")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("files", nargs="*", type=Path)
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    tidy = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    if tidy is None:
        print("run_tidy: clang-tidy is not installed", file=sys.stderr)
        return 1
    commands = load_commands(arguments.build.resolve())
    wanted = {path.resolve() for path in arguments.files} or set(commands)
    unknown = wanted - set(commands)
    if unknown:
        print("run_tidy: not in the compilation database:", *unknown, file=sys.stderr)
        return 1
    build = arguments.build.resolve()
    recorded = recorded_dependencies(build)

    def judge(path: Path) -> Verdict:
        key = fingerprint(commands[path], recorded)
        return examine(tidy, build, path, commands[path], key)

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        verdicts = list(pool.map(judge, sorted(wanted)))
    for verdict in verdicts:
        if not verdict.clean:
            print(verdict.output)
        if verdict.seconds > arguments.budget:
            print(f"run_tidy: slow: {verdict.path.relative_to(ROOT)} {verdict.seconds:.0f} s")
    dirty = [verdict for verdict in verdicts if not verdict.clean]
    remembered = sum(verdict.remembered for verdict in verdicts)
    print(f"run_tidy: {len(verdicts)} files, {remembered} unchanged, {len(dirty)} with findings")
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
