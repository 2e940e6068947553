#!/usr/bin/env python3
"""Shows uzswap with a real program; scripts/demo builds and calls this.

A Python program fills dictionaries with the package texts of this machine. It needs about one and
a half times the limit. It runs without a limit, then under the limit without
uzswap, then under the limit with it. The status is 0 only if the kernel killed the second run,
the third one finished with the digest of the first, and it kept the limit as harness.py says.
Where memory cgroups cannot be used, the kernel kills no run: there the second run has to be seen
above the limit, and the third below it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = ROOT / "tests" / "system"
sys.path[:0] = [str(SYSTEM), str(SYSTEM / "workloads")]
import corpus  # noqa: E402
import harness  # noqa: E402
from harness import MIB, Group, Hierarchy, Run  # noqa: E402

CORPUS_MIB = 40
SHARE = 1.5  # what the program needs, in limits
BAR = 40

TERMINAL = sys.stdout.isatty()


def paint(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if TERMINAL and "NO_COLOR" not in os.environ else text


def bold(text: str) -> str:
    return paint("1", text)


def mib(size: float) -> str:
    return f"{size / MIB:.0f} MiB"


@dataclass(frozen=True)
class Stage:
    """What the bar is drawn against."""

    full: int  # the end of the bar
    limit: int | None = None  # a mark on it


def bar(held: int, stage: Stage) -> str:
    cells = min(BAR, round(held * BAR / stage.full))
    text = "█" * cells + "·" * (BAR - cells)
    if stage.limit is None:
        return text
    mark = min(BAR - 1, round(stage.limit * BAR / stage.full))
    return text[:mark] + "┃" + text[mark + 1 :]


def watch(stage: Stage) -> harness.Client | None:
    """Draws how much memory the program holds while it runs; on a terminal only."""
    if not TERMINAL:
        return None

    def draw(group: Group, process: object) -> None:
        start = time.monotonic()
        while process.poll() is None:  # type: ignore[attr-defined]
            held = group.anon()
            seconds = time.monotonic() - start
            print(f"\r    {bar(held, stage)} {mib(held):>8}  {seconds:4.1f} s ", end="", flush=True)
            time.sleep(0.04)
        print("\r\033[K", end="", flush=True)

    return draw


def digest_of(result: Run) -> str:
    for line in result.output.decode(errors="replace").splitlines():
        if line.startswith("digest "):
            return line.removeprefix("digest ")
    return ""


def tell(result: Run, verdict: str, stage: Stage) -> None:
    peak = result.anon_peak
    digest = digest_of(result)
    tail = f"  digest {digest[:12]}" if digest else ""
    print(f"    {bar(peak, stage)} {mib(peak):>8}  {result.seconds:4.1f} s  {verdict}{tail}")


def give_up(message: str, result: Run | None = None) -> int:
    print(paint("31", f"\nNot seen: {message}"))
    if result is not None and result.errors:
        print(result.errors[-2000:])
    return 1


def show_table(plain: Run, limited: Run, limit: int) -> None:
    stats = {key: value for key, value in limited.stats.items() if isinstance(value, int)}
    pages = max(stats.get("zswpout", 0), 1)
    fault = limited.stats.get("fault_ns")
    fault_text = ""
    if isinstance(fault, dict):
        fault_text = f"median {fault['p50'] / 1000:.1f} µs, 99 % below {fault['p99'] / 1000:.0f} µs"
    pool = stats.get("pool_total_size_peak", stats.get("pool_total_size", 0))
    compressed = max(stats.get("compressed_bytes", 0), 1)
    held = stats.get("stored_pages", 0) * 4096
    rows = [
        ("", "without a limit", "with uzswap"),
        ("peak memory", mib(plain.anon_peak), f"{mib(limited.anon_peak)} of {mib(limit)}"),
        ("time", f"{plain.seconds:.1f} s", f"{limited.seconds:.1f} s"),
        ("pages compressed", "", f"{pages:,} ({mib(pages * 4096)}, some more than once)"),
        ("pool at its largest", "", mib(pool)),
        ("compression ratio", "", f"{held / compressed:.1f}, of what was held at the end"),
        ("faults served", "", f"{stats.get('faults', 0):,}"),
        ("time of a fault", "", fault_text),
    ]
    print()
    for name, left, right in rows:
        print(f"    {name:20} {left:>16}   {right}")


def compare(command: list[str], hierarchy: Hierarchy | None) -> int:
    print(bold("\n 1  Without a limit") + ": what it needs, and the right answer")
    stage = Stage(full=round(CORPUS_MIB * 12 * MIB))
    plain = harness.run(command, hierarchy, during=watch(stage))
    if plain.status != 0 or not digest_of(plain):
        return give_up("the program does not run at all", plain)
    stage = Stage(full=round(plain.anon_peak * 1.05))
    tell(plain, "finished", stage)

    limit = round(plain.anon_peak / SHARE / MIB) * MIB
    stage = Stage(full=stage.full, limit=limit)
    allowed = harness.allowed_usually(limit)
    where = f"in a memory cgroup of {mib(limit)} + {mib(harness.HEADROOM)} headroom"
    if hierarchy is None:
        where = "memory cgroups cannot be used here, so nobody stops it"
    print(bold(f"\n 2  {mib(limit)}, without uzswap") + f": {where}")
    bare = harness.run(command, hierarchy, limit + harness.HEADROOM, during=watch(stage))
    if hierarchy is not None and not bare.killed:
        return give_up("the kernel did not kill it: the comparison shows nothing", bare)
    if hierarchy is None and bare.anon_peak <= allowed:
        return give_up("it stays below the limit by itself: the comparison shows nothing", bare)
    verdict = "KILLED by the kernel" if bare.killed else "above the limit"
    tell(bare, paint("31", verdict), stage)

    print(bold(f"\n 3  {mib(limit)}, with uzswap") + f": uzswap run --limit {limit // MIB}M -- ...")
    limited = harness.run_limited(command, hierarchy, limit, during=watch(stage))
    if limited.status != 0 or limited.killed:
        return give_up(f"with uzswap: {limited.describe_end()}", limited)
    same = limited.output == plain.output
    tell(limited, paint("32", "finished, same digest") if same else "finished", stage)
    if not same:
        return give_up("the same digest", limited)
    show_table(plain, limited, limit)
    if (over := harness.limit_problem(limited, limit)) is not None:
        return give_up(f"the limit kept: {over}")
    fate = "the kernel kills it" if hierarchy is not None else "it takes all it needs"
    print(paint("32", "\n Seen") + f": without uzswap {fate}; with uzswap it finishes, in")
    print(f"       {mib(limit)} instead of {mib(plain.anon_peak)}, with the same result.\n")
    return 0


def main() -> int:
    os.environ["PYTHONHASHSEED"] = "0"
    hierarchy = harness.find_hierarchy()
    if not harness.have_uzswap():
        return give_up("the program uzswap: the build did not make it")
    folder = Path(tempfile.mkdtemp(prefix="uzswap-demo-", dir="/var/tmp"))
    try:
        text = folder / "corpus.txt"
        corpus.write_corpus(text, CORPUS_MIB * MIB)
        print(bold("uzswap: a program that needs more memory than it may have keeps running"))
        print(f" The program: Python, dictionaries over {CORPUS_MIB} MiB of this machine's package")
        print(f" texts ({(SYSTEM / 'workloads' / 'dicts.py').relative_to(ROOT)}), unmodified.")
        command = ["/usr/bin/python3", str(SYSTEM / "workloads" / "dicts.py"), str(text)]
        return compare(command, hierarchy)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
