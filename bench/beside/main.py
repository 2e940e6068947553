"""The same work in the same memory: without a limit, under uzswap, and under the kernel's swap.

Needs root. Every kernel setting that is changed becomes as before, also after an interruption;
after a kill, `--restore` mends what is left. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "system"))
# In the name of each cgroup: --restore finds those of a killed run, and no others.
os.environ["UZSWAP_CGROUP_MARK"] = f"bench-{os.getpid()}-"
STATE = Path(os.environ.get("UZSWAP_BENCH_STATE", "/run/uzswap-bench.json"))

import harness  # noqa: E402
from harness import MIB  # noqa: E402

from . import contestants, report, writeback  # noqa: E402
from .contestants import Ring  # noqa: E402
from .kernel_swap import SwapFile, settings_in_use  # noqa: E402
from .rounds import Plan, Rounds  # noqa: E402
from .settings import CannotRun, Journal, Machine, read_steps  # noqa: E402
from .workloads import TOUCHED_BYTES, WORKLOADS, Place  # noqa: E402

HEAPS = ("cpython", "node", "redis", "java")
INTERRUPTED = 130
PAGE_CLUSTERS: dict[str, tuple[int | None, ...]] = {"best": (0, None), "machine": (None,)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    option = parser.add_argument
    option("workloads", nargs="*", metavar="WORKLOAD", help="see --list; unless told, those with *")
    option("--percent", type=int, nargs="+", default=[90, 75, 50, 33], help="of what it needs")
    option("--rounds", type=int, default=3)
    option("--size", type=float, default=1.0, help="1: some 200 MiB for each workload")
    option("--contestants", nargs="+", choices=contestants.NAMES, default=contestants.NAMES)
    option("--cpus", choices=("one", "all"), default="all", help="one: everything on one processor")
    option("--json", type=Path, help="writes each run, the medians and the ratios")
    option("--html", type=Path, help="writes a report with plots")
    option("--pages", type=Path, nargs="+", help="page dumps for the synthetic workloads")
    option("--compressor", default="lz4", help="of zswap and zram, if they have it")
    option("--uzswap-options", default="", help="more options for uzswap run, in one word")
    option("--swappiness", type=int, help="vm.swappiness during the runs")
    option("--page-cluster", default="best", help="of zswap and zram: N, machine; or best")
    option("--swap-size", help="of swap file and zram, such as 2G; 1 GiB for size 1")
    option("--deadline", type=float, default=300, help="seconds after which a run is given up")
    option("--writeback", type=Path, metavar="PAGES", help="instead: bytes written for each page")
    option("--list", action="store_true", help="the workloads, and what cannot run")
    option("--restore", action="store_true", help="makes the machine as before a killed run")
    arguments = parser.parse_args()
    check(parser, arguments)
    return arguments


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    unknown = [name for name in arguments.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"no such workload: {', '.join(unknown)}\n  fix: scripts/bench --list")
    if not all(1 <= percent <= 100 for percent in arguments.percent):
        parser.error("--percent: 1 to 100")
    if arguments.page_cluster not in PAGE_CLUSTERS and not arguments.page_cluster.isdigit():
        parser.error(f"--page-cluster: a number, or one of {', '.join(PAGE_CLUSTERS)}")
    if arguments.rounds < 1 or arguments.size <= 0:
        parser.error("--rounds and --size have to be above 0")
    if not arguments.workloads:
        arguments.workloads = [name for name, one in WORKLOADS.items() if one.by_default]
    for output in (arguments.json, arguments.html):
        # Not after an hour of measuring.
        if output is not None and not output.resolve().parent.is_dir():
            parser.error(f"{output}: there is no such folder")


def list_all(machine: Machine) -> None:
    """The workloads and the contestants, and what cannot run."""
    for name, workload in WORKLOADS.items():
        print(f"{'*' if workload.by_default else ' '} {name:12} {workload.title}")
        if (reason := workload.obstacle()) is not None:
            print(f"               cannot run: {reason}")
    swaps = contestants.kernel_swaps(SwapFile(Path(), 0), 0)
    for name in contestants.NAMES:
        reason = contestants.obstacle(swaps, machine, name)
        print(f"{name}: {'can run' if reason is None else f'cannot run: {reason}'}")


def restore(machine: Machine) -> None:
    steps = len(read_steps(machine))
    with Journal(machine):
        print(f"{steps} steps undone" if steps else "nothing is to be restored")


def page_dumps(size: float, given: list[Path] | None) -> tuple[Path, ...]:
    """Dumps that are large enough together; made if there are none."""
    if given:
        return tuple(path.resolve() for path in given)
    folder = ROOT / "build" / "bench-pages"
    wanted = int(TOUCHED_BYTES * size)
    found = [path for heap in HEAPS if (path := folder / f"{heap}.pages").exists()]
    if sum(path.stat().st_size for path in found) < wanted:
        mib = max(wanted // MIB // len(HEAPS), 1) * 5 // 4
        print(f"making page dumps of {mib} MiB each ...", file=sys.stderr, flush=True)
        command = [str(ROOT / "tools" / "make_dumps.py"), "--out", str(folder), "--mib", str(mib)]
        subprocess.run(["/usr/bin/python3", *command], check=True, stdout=sys.stderr)
        found = [path for heap in HEAPS if (path := folder / f"{heap}.pages").exists()]
    if sum(path.stat().st_size for path in found) < wanted:
        raise CannotRun(
            "the heaps of this machine are too small for this size"
            "\n  fix: --size, smaller; or install node, redis-server and java"
        )
    return tuple(found)


def warm_cache(paths: tuple[Path, ...]) -> None:
    """The first cgroup that reads a file pays for its cache: this one, not that of a contestant."""
    for path in paths:
        with path.open("rb") as file:
            while file.read(MIB):
                pass


def describe_machine(machine: Machine, arguments: argparse.Namespace) -> dict[str, str]:
    version = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "uzswap": version or "unknown",
        "uzswap options": arguments.uzswap_options or "none",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": f"{os.cpu_count()}, {arguments.cpus} used",
        "memory": f"{memory >> 20} MiB",
        "rounds, size": f"{arguments.rounds}, {arguments.size:g}",
        **settings_in_use(machine),
    }


def set_up(journal: Journal, arguments: argparse.Namespace) -> tuple[Ring, Path, int]:
    missing = harness.missing_facilities()
    hierarchy = harness.find_hierarchy()
    if os.geteuid() != 0 or hierarchy is None:
        raise CannotRun(f"{', '.join(missing)}\n  fix: run it as root, with memory cgroups")
    prefix = harness.cgroup_prefix()
    journal.note({"do": "cgroups", "parent": str(hierarchy.parent), "prefix": prefix})
    folder = Path(tempfile.mkdtemp(prefix="uzswap-bench-", dir="/var/tmp"))
    journal.note({"do": "remove", "path": str(folder)})
    if arguments.swappiness is not None:
        journal.write("/proc/sys/vm/swappiness", str(arguments.swappiness))
    size = max(int(arguments.size * 1024), 256) * MIB
    if arguments.swap_size:
        size = harness.parse_size(arguments.swap_size)
    compressors = tuple(arguments.compressor.split(","))
    swaps = contestants.kernel_swaps(SwapFile(folder / "swap", size), size, compressors)
    clusters = PAGE_CLUSTERS.get(arguments.page_cluster) or (int(arguments.page_cluster),)
    options = arguments.uzswap_options.split()
    return Ring(hierarchy, journal, swaps, options, clusters), folder, size


def run(journal: Journal, arguments: argparse.Namespace) -> int:
    ring, folder, swap_bytes = set_up(journal, arguments)
    if arguments.cpus == "one":
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if arguments.writeback is not None:
        writeback.compare(arguments.writeback.resolve(), ring, folder, swap_bytes)
        return 0
    pages = page_dumps(arguments.size, arguments.pages)
    warm_cache(pages)

    def place(name: str) -> Place:
        (folder / name).mkdir()
        return Place(folder / name, arguments.size, pages)

    plan = Plan(arguments.workloads, sorted(arguments.percent, reverse=True),
                arguments.contestants, arguments.rounds, arguments.deadline)
    machine = describe_machine(journal.machine, arguments)
    rounds = Rounds(plan, ring, place, swap_bytes)
    try:
        rounds.run()
    finally:
        write_reports(rounds, machine | ring.compressors, arguments)
    good = [one for one in rounds.results.records if one.end == "ok"]
    return 0 if good else 1


def write_reports(rounds: Rounds, machine: dict[str, str], arguments: argparse.Namespace) -> None:
    """Also of what an interruption has left."""
    results = rounds.results
    for line in report.lines_of(results):
        print(line)
    for name, reason in results.skipped.items():
        print(f"{name}: cannot run: {reason}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report.as_json(results, machine), indent=1) + "\n")
    if arguments.html is not None:
        arguments.html.write_text(report.html(results, machine))


def main() -> int:
    # A shell starts what runs in the background without it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = parse()
    machine = Machine(state=STATE)
    if arguments.list:
        list_all(machine)
        return 0
    try:
        if arguments.restore:
            restore(machine)
            return 0
        with Journal(machine) as journal:
            return run(journal, arguments)
    except CannotRun as reason:
        print(f"scripts/bench: {reason}", file=sys.stderr)
        return 1
    except PermissionError as reason:
        print(f"scripts/bench: {reason}\n  fix: run it as root", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("scripts/bench: interrupted; the machine is as before", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
