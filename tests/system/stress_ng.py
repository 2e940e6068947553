#!/usr/bin/env python3
"""stress-ng's memory methods with verification, under a limit below what they touch.

    stress_ng.py [--full] [--method M ...] [--seconds S] [--limit 100M] [--bytes 150M]

Each method writes patterns into 150 MiB and reads them back, in a forked child, under
`uzswap run --limit 100M`. It passes if stress-ng reports no error. Random data cannot be
compressed, so some methods exceed the limit: there is no cgroup, and the peak is only printed. The
short selection has one method of each kind of access.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import harness
from harness import MIB, Hierarchy

SHORT = ("flip", "incdec", "rand-set", "swap", "zero-one", "walk-0a")


def all_methods() -> list[str]:
    """What this stress-ng knows: it lists the names when given one that does not exist."""
    done = subprocess.run(
        ["stress-ng", "--vm", "1", "--vm-method", "?"],
        capture_output=True,
        text=True,
        check=False,
        timeout=harness.END_S,
    )
    names = re.search(r"must be one of: (.*)", done.stdout + done.stderr)
    if names is None:
        harness.fail(f"cannot list the methods: {done.stdout}{done.stderr}")
    return [name for name in names[1].split() if name != "all"]


def command(method: str, seconds: int, size: str) -> list[str]:
    return [
        *("stress-ng", "--vm", "1", "--vm-bytes", size, "--vm-method", method),
        *("--verify", "--timeout", f"{seconds}s", "--oom-avoid"),
    ]


def try_method(
    method: str, hierarchy: Hierarchy, arguments: argparse.Namespace, folder: Path
) -> str | None:
    """Runs one method; what is wrong, or None."""
    result = harness.run_limited(
        command(method, arguments.seconds, arguments.bytes),
        hierarchy,
        limit=harness.parse_size(arguments.limit),
        bounded=False,
        deadline=arguments.seconds * 10 + 120,
        folder=folder,
    )
    text = result.output.decode(errors="replace") + result.errors
    peak = result.anon_peak / MIB
    stats = result.stats
    print(
        f"  {method:14} {result.seconds:5.1f} s, peak {peak:6.1f} MiB,"
        f" pages out {stats.get('zswpout', '?')}, in {stats.get('zswpin', '?')},"
        f" poorly compressed {stats.get('reject_compress_poor', '?')}",
        flush=True,
    )
    if result.status != 0 or result.timed_out:
        return f"{method}: {result.describe_end()}: {text[-2000:]}"
    if re.search(r"\bfail(ed|ure)?:|error", text):
        return f"{method}: reported: {text[-2000:]}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--full", action="store_true", help="every method")
    parser.add_argument("--method", nargs="+")
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--limit", default="100M")
    parser.add_argument("--bytes", default="150M")
    arguments = parser.parse_args()
    hierarchy = harness.require_machine()
    if not harness.have_uzswap():
        harness.skip("there is no uzswap program yet")
    methods = arguments.method or (all_methods() if arguments.full else list(SHORT))
    with harness.scratch_folder() as folder:
        here = Path(folder)
        found = [try_method(method, hierarchy, arguments, here) for method in methods]
    problems = [problem for problem in found if problem is not None]
    for problem in problems:
        print(f"FAILED: {problem}")
    print(f"{len(methods)} methods, {len(problems)} with errors")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
