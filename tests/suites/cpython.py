#!/usr/bin/env python3
"""CPython's own regression tests, without uzswap and in half of what each of them needs.

    cpython.py [MODULE ...] [--percent 50] [--all] [--list]

Each module runs by itself with the interpreter of Debian (package libpython3.11-testsuite). The run
without uzswap measures the need and gives the outcome of every single test. Under uzswap each test
has to have the same outcome. A module is run again without uzswap if its outcome differs: tests
that do not have the same outcome twice without uzswap are named and not compared.

--all takes every module of the suite instead of those listed here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))

import harness  # noqa: E402
from harness import MIB, Hierarchy, Run  # noqa: E402

PYTHON = "/usr/bin/python3.11"
MODULES = (
    "test_fork1",
    "test_subprocess",
    "test_mmap",
    "test_multiprocessing_fork",
    "test_multiprocessing_forkserver",
    "test_multiprocessing_main_handling",
    "test_multiprocessing_spawn",
    "test_threading",
    "test_asyncio",
    "test_io",
    "test_socket",
    "test_signal",
    "test_faulthandler",
    "test_dict",
    "test_json",
    "test_pickle",
    "test_sqlite3",
    "test_os",
    "test_posix",
)
DEADLINE_S = 1500.0 * harness.SLOWNESS

Outcomes = dict[str, str]


def all_modules() -> list[str]:
    code = "from test.libregrtest.runtest import findtests; print(*findtests())"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def outcomes(report: Path) -> Outcomes:
    """The outcome of each test, from a report in JUnit's format."""
    found: Outcomes = {}
    if not report.exists():
        return found
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        kinds = {child.tag for child in case}
        if case.get("result") == "error":
            kinds.add("error")
        bad = sorted(kinds & {"error", "failure", "skipped", "expectedFailure"})
        found[name] = bad[0] if bad else "ok"
    return found


def run_module(
    module: str, folder: Path, hierarchy: Hierarchy, limit: int | None
) -> tuple[Run, Outcomes]:
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [PYTHON, "-m", "test", "-u", "cpu,network,-urlfetch", "--junit-xml", str(report)]
    command += ["--tempdir", str(folder), module]
    options = {"deadline": DEADLINE_S, "folder": folder, "environment": {"PYTHONHASHSEED": "0"}}
    if limit is None:
        result = harness.run(command, hierarchy, **options)
    else:
        result = harness.run_limited(command, hierarchy, limit, bounded=False, **options)
    return result, outcomes(report)


def differences(one: Outcomes, other: Outcomes) -> dict[str, tuple[str, str]]:
    names = sorted(one.keys() | other.keys())
    pairs = {name: (one.get(name, "absent"), other.get(name, "absent")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def tail(result: Run) -> str:
    return (result.output.decode(errors="replace") + result.errors)[-1500:]


def examine(module: str, percent: int, hierarchy: Hierarchy) -> list[str]:
    with harness.scratch_folder() as scratch:
        folder = Path(scratch)
        plain, expected = run_module(module, folder, hierarchy, None)
        limit = max(harness.LEAST_LIMIT, plain.anon_peak * percent // 100)
        run, found = run_module(module, folder, hierarchy, limit)
        different = differences(expected, found)
        unsteady: set[str] = set()
        if different:
            _, again = run_module(module, folder, hierarchy, None)
            unsteady = differences(expected, again).keys() & different.keys()
    print(
        f"{module}: {len(expected)} tests, needs {plain.anon_peak / MIB:.1f} MiB,"
        f" {plain.seconds:.1f} s; limit {limit / MIB:.1f} MiB: peak {run.anon_peak / MIB:.1f},"
        f" {run.seconds:.1f} s, {len(different) - len(unsteady)} different",
        flush=True,
    )
    for name in sorted(unsteady):
        print(f"  not the same twice without uzswap either: {name}", flush=True)
    problems = [
        f"{name}: {pair[1]}, without uzswap {pair[0]}"
        for name, pair in different.items()
        if name not in unsteady
    ]
    if problems or (run.status != plain.status and not unsteady) or run.timed_out:
        problems.append(f"{run.describe_end()}, without {plain.describe_end()}\n{tail(run)}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--percent", type=int, default=50)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    chosen = arguments.modules or (all_modules() if arguments.all else list(MODULES))
    if arguments.list:
        print(*chosen, sep="\n")
        return 0
    hierarchy = harness.require_machine()
    failed = 0
    for module in chosen:
        for problem in examine(module, arguments.percent, hierarchy):
            failed += 1
            print(f"FAILED: {module}: {problem}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
