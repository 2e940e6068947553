#!/usr/bin/env python3
"""Runs the tests of a plan inside the guest, one after the other.

    guest.py [PLAN] [RESULTS]     a file with a list of tests; where the reports go

Reports are lines of JSON on the second serial line:

    {"begin": NAME, "deadline_s": ...}         so that the host sees a guest that hangs
    {"end": NAME, "word": ..., "seconds": ..., "output": ...}
    {"done": true}

The end of a test's output is part of its report: nothing has to be fetched from a guest that does
not live any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

PLAN = "/.plan.json"
RESULTS = "/dev/ttyS1"
OUTPUT_MOST = 12_000
TAKEN_BY_KILL_S = 60.0
SKIPPED_CASE = re.compile(r"^\[  SKIPPED \] (\S+) \(", re.MULTILINE)

Test = dict[str, object]


def report(stream: IO[bytes], message: Test) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def end_of(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - OUTPUT_MOST))
    text = file.read().decode(errors="replace")
    return text if size <= OUTPUT_MOST else "[...] " + text


def others() -> list[int]:
    """Processes with an executable, but for this one and process 1: a test may leave some."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (1, os.getpid()):
            continue
        with contextlib.suppress(OSError):
            os.readlink(entry / "exe")
            found.append(int(entry.name))
    return found


def kill_others() -> None:
    """What a test that did not end has started must not run beside the next one."""
    deadline = time.monotonic() + TAKEN_BY_KILL_S
    while (left := others()) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    for folder in Path("/sys/fs/cgroup").glob("uzswap-*"):
        with contextlib.suppress(OSError):
            folder.rmdir()


def stacks() -> str:
    lines = []
    for pid in others():
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
                frames = (task / "stack").read_text().split("\n")[:6]
                lines.append(f"{name} {pid}/{task.name}: " + " < ".join(
                    frame.split("] ")[-1] for frame in frames if frame))
    return "\nkernel stacks at the deadline:\n" + "\n".join(lines[:60])


def judge(test: Test, status: int, output: str) -> str:
    pattern = str(test["pass_pattern"])
    if pattern:
        return "passed" if re.search(pattern, output, re.DOTALL) else "FAILED"
    if status == test["skip_status"]:
        return "skipped"
    if status != 0:
        return "FAILED"
    cases = re.search(r"^\[==========\] (\d+) tests? from .* ran\.", output, re.MULTILINE)
    skipped = set(SKIPPED_CASE.findall(output))
    return "skipped" if cases and len(skipped) == int(cases[1]) > 0 else "passed"


def run(test: Test) -> Test:
    environment = test["environment"]
    command = test["command"]
    assert isinstance(environment, dict) and isinstance(command, list)
    Path(str(test["folder"])).mkdir(parents=True, exist_ok=True)  # one that the build has made
    start = time.monotonic()
    late = ""
    with tempfile.TemporaryFile() as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=str(test["folder"]),
            env=os.environ | environment,
            start_new_session=True,
        )
        try:
            status = process.wait(float(str(test["deadline_s"])))
        except subprocess.TimeoutExpired:
            late = f"\nit did not end within {test['deadline_s']} s" + stacks()
            kill_others()
            status = process.wait()
        output = end_of(file) + late
    word = "FAILED" if late else judge(test, status, output)
    text = output if word != "passed" else output[-1500:]
    skipped = sorted(set(SKIPPED_CASE.findall(output)))
    return {
        "end": test["name"],
        "word": word,
        "status": status,
        "seconds": round(time.monotonic() - start, 1),
        "skipped_cases": skipped,
        "output": text,
    }


def main() -> int:
    plan = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else PLAN).read_text())
    with open(sys.argv[2] if len(sys.argv) > 2 else RESULTS, "wb", buffering=0) as stream:
        for test in plan:
            report(stream, {"begin": test["name"], "deadline_s": test["deadline_s"]})
            report(stream, run(test))
        report(stream, {"done": True})
    return 0


if __name__ == "__main__":
    sys.exit(main())
