#!/usr/bin/env python3
"""Runs programs that give something up or take something away from themselves, without uzswap and
under it, and compares.

    transparency.py [NAME ...] [--group GROUP] [--short] [--repeat N] [--list] [--verbose]

The rows are in rows.py. A row passes if, under `uzswap run`,

  - status and standard output are the same as without uzswap;
  - the limit is held, or a message says that it is not, as the row wants it;
  - uzswap says what the row wants it to say, and nothing else;
  - no process of the run is left, and no file in its folder for temporary files.

A row that is known to fail today says why (`expected_today`). It does not fail the suite. It fails
the suite if it passes, so that the table stays true.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "system"))

import harness  # noqa: E402
from actions import Scene  # noqa: E402
from harness import MIB, Hierarchy, Run  # noqa: E402
from rows import GROUPS, TABLE, Held, Row  # noqa: E402

HERE = Path(__file__).resolve().parent
DEADLINE_S = 60 * harness.SLOWNESS
# For rows that are known to fail: many of them by a hang.
KNOWN_DEADLINE_S = DEADLINE_S / 3
UNSUPPORTED = 77
NEED_MOST = 232 * MIB  # no program of the table needs more, its children included
TOLD = re.compile(r"^uzswap: .*(not limited|exceeds the limit)")
FAKETIME = "faketime/libfaketime.so.1"


@dataclass(frozen=True)
class Outcome:
    """What became of a row."""

    word: str  # ok, known, left out, FAILED
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    detail: str = ""


# --- running -----------------------------------------------------------------------------------


def programs_folder() -> Path:
    return harness.bin_folder() / "transparency"


def faketime_library() -> str:
    return next((str(path) for path in Path("/usr/lib").glob(f"*/{FAKETIME}")), "")


def expand(word: str) -> str:
    word = word.replace("{bin}", str(programs_folder())).replace("{here}", str(HERE))
    return word.replace("{faketime}", faketime_library())


def program_of(row: Row) -> str:
    own = [word for word in row.command if word.startswith("{bin}/")]
    return Path(own[0] if own else row.command[0]).name


def environment_of(row: Row, temporary: Path) -> dict[str, str]:
    variables = {name: expand(text) for name, text in row.environment.items()}
    deadline = KNOWN_DEADLINE_S if row.expected_today else DEADLINE_S
    # The program's own waits end before it is killed, so that it can say what it waited for.
    variables["TRANSPARENCY_DEADLINE_S"] = str(deadline * 0.7)
    variables["TMPDIR"] = str(temporary)
    return variables


def pids_mount() -> Path | None:
    found = [mount for mount, options in harness.mounts("cgroup") if "pids" in options]
    return found[0] if found else None


@contextlib.contextmanager
def pids_cgroup(most: int) -> Iterator[list[str]]:
    """The words before a command that put it, but not uzswap, into a cgroup of so many tasks."""
    mount = pids_mount()
    if most == 0 or mount is None:
        yield []
        return
    folder = Path(tempfile.mkdtemp(prefix="uzswap-", dir=mount))
    try:
        (folder / "pids.max").write_text(str(most))
        yield ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(folder / "cgroup.procs")]
    finally:
        harness.wait_until("removing the pids cgroup", lambda: removed(folder))


def removed(folder: Path) -> bool:
    """The processes are killed with their memory cgroup; they may need a moment."""
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def run_once(row: Row, hierarchy: Hierarchy, limited: bool) -> tuple[Run, list[str]]:
    """One run in a folder of its own; also returns which files it left for temporary use."""
    with harness.scratch_folder() as scratch:
        folder, temporary = Path(scratch) / "work", Path(scratch) / "tmp"
        folder.mkdir(mode=0o777)
        temporary.mkdir()
        for path in (Path(scratch), folder, temporary):
            path.chmod(0o777)  # some rows are no longer root
        variables = environment_of(row, temporary)
        if limited and row.evicts:
            variables["TRANSPARENCY_EVICTS"] = "1"

        def during(group: harness.Group, leader: harness.Leader[bytes]) -> None:
            if row.action is not None:
                row.action(Scene(group, leader, folder, program_of(row)))

        options = {
            "deadline": KNOWN_DEADLINE_S if row.expected_today and limited else DEADLINE_S,
            "folder": folder,
            "during": during,
            "environment": variables,
            "settle": True,
        }
        command = [expand(word) for word in row.command]
        with pids_cgroup(row.pids_max) as enter:
            if limited:
                limit = row.limit_mib * MIB
                result = harness.run_limited(
                    enter + command, hierarchy, limit, bounded=False, **options
                )
            else:
                result = harness.run(enter + command, hierarchy, **options)
        verdict = folder / row.result
        if row.result and verdict.exists():
            result = replace(result, output=result.output + verdict.read_bytes())
        return result, sorted(path.name for path in temporary.iterdir())


# --- judging -----------------------------------------------------------------------------------


def lines_of_uzswap(result: Run) -> list[str]:
    return [line for line in result.errors.splitlines() if line.startswith("uzswap: ")]


def message_problems(row: Row, result: Run) -> list[str]:
    lines = lines_of_uzswap(result)
    found = []
    if row.says:
        matching = [line for line in lines if re.search(row.says, line)]
        if len(matching) != 1:
            found.append(f"{len(matching)} messages match {row.says!r}, one has to")
        lines = [line for line in lines if line not in matching]
    if row.held is Held.TOLD:
        lines = [line for line in lines if not TOLD.search(line)]
    return found + [f"unexpected: {line}" for line in lines]


# Stricter than for whole programs: these are small, and have much to swap out all the time.
OVER_PER_MILLE = 5
OVER_SAMPLES_LEAST = 50


def over_limit(result: Run, limit: int) -> str | None:
    """How the run broke its limit. A peak alone is no failure: these programs fill their memory at
    once, and on a loaded machine the reclaim daemon may not run meanwhile."""
    most = max(OVER_SAMPLES_LEAST, result.samples * OVER_PER_MILLE // 1000)
    if result.samples_over <= most:
        return None
    return (
        f"above {harness.allowed_usually(limit) / MIB:.1f} MiB in {result.samples_over} of"
        f" {result.samples} samples, {most} are allowed; peak {result.anon_peak / MIB:.1f} MiB"
    )


def limit_problems(row: Row, result: Run, plain: Run) -> list[str]:
    if row.held is Held.FREE:
        return []
    limit = row.limit_mib * MIB
    broken = over_limit(result, limit)
    if row.held is Held.ALWAYS:
        return [broken] if broken else []
    found = []
    if not any(TOLD.search(line) for line in lines_of_uzswap(result)):
        if broken:
            found.append(f"{broken}; and no message says so")
        # A short run has few samples: that nothing was swapped out is the better sign.
        if result.stats.get("zswpout") == 0:
            found.append("not limited, and no message says so")
    # Told or not: uzswap must not add much to what the program needs by itself. (The sampler may
    # have missed the peak of a short run.)
    most = max(limit, plain.anon_peak, NEED_MOST) + harness.HEADROOM
    if result.anon_peak > most:
        found.append(f"peak {result.anon_peak / MIB:.1f} MiB, the program alone needs less")
    return found


def eviction_problem(row: Row, result: Run) -> list[str]:
    if not row.evicts or row.status < 0:
        return []
    try:
        stored = harness.figure_of(result.stats, "zswpout")
    except harness.Problem as problem:
        return [str(problem)]
    return [] if stored > 0 else ["no page was swapped out: the row shows nothing"]


def problems_of(row: Row, result: Run, plain: Run, left: list[str]) -> list[str]:
    found = []
    died = result.status in row.ends and result.status != plain.status
    if result.timed_out:
        found.append("did not end")
    elif result.status != plain.status and not died:
        found.append(f"{result.describe_end()}, without uzswap {plain.describe_end()}")
    if result.output != plain.output and not died:
        found.append(f"output {result.output[-300:]!r}, without uzswap {plain.output[-300:]!r}")
    found += message_problems(row, result) if not died else []
    found += limit_problems(row, result, plain)
    found += eviction_problem(row, result)
    found += [f"process left behind: {name}" for name in result.left_behind]
    found += [f"file left behind: {name}" for name in left]
    return found


def lacks(row: Row, plain: Run | None = None) -> str:
    missing = [tool for tool in row.needs if shutil.which(tool) is None]
    if missing:
        return f"{missing[0]} is not installed: scripts/install-deps"
    file = Path(expand(row.command[0]))
    if row.command[0].startswith("{bin}/") and not file.exists():
        return f"{file.name} is not built"
    if row.pids_max != 0 and pids_mount() is None:
        return "there is no pids cgroup of version 1"
    if plain is not None and plain.status == UNSUPPORTED:
        return "the kernel does not support it"
    return ""


def measure(row: Row, hierarchy: Hierarchy) -> Outcome:
    if missing := lacks(row):
        return Outcome("FAILED" if os.environ.get("UZSWAP_NO_SKIP") else "left out", (missing,))
    try:
        plain, _ = run_once(row, hierarchy, limited=False)
    except harness.ClientFailed as failure:
        return Outcome("FAILED", (f"without uzswap: {failure}",))
    if missing := lacks(row, plain):
        return Outcome("left out", (missing,))
    if plain.status != row.status or plain.timed_out or plain.left_behind:
        text = f"{plain.describe_end()}: {plain.output[-300:]!r} {plain.errors[-600:]}"
        return Outcome("FAILED", (f"without uzswap: {text} {plain.left_behind}",))
    start = time.monotonic()
    try:
        result, left = run_once(row, hierarchy, limited=True)
    except harness.ClientFailed as failure:
        expected = not row.only_limit
        return judge(row, [str(failure)[-900:]], expected, time.monotonic() - start, "")
    problems = problems_of(row, result, plain, left)
    limits = limit_problems(row, result, plain)
    expected = not row.only_limit or all(problem in limits for problem in problems)
    if problems and result.errors:
        problems.append("standard error: " + result.errors[-500:])
    detail = (
        f"{plain.seconds:.1f} -> {result.seconds:.1f} s, {plain.anon_peak / MIB:.0f} ->"
        f" {result.anon_peak / MIB:.0f} MiB, out {result.stats.get('zswpout', '?')}"
    )
    return judge(row, problems, expected, time.monotonic() - start, detail)


def judge(
    row: Row, problems: list[str], expected: bool, seconds: float, detail: str
) -> Outcome:
    """`expected`: if the row is known to fail, it may fail with these problems."""
    if not row.expected_today or not expected:
        return Outcome("FAILED" if problems else "ok", tuple(problems), seconds, detail)
    if problems or row.sometimes:
        return Outcome("known" if problems else "ok", tuple(problems), seconds, detail)
    text = "it passes, but is known to fail: remove its `expected_today`"
    return Outcome("FAILED", (text,), seconds, detail)


# --- reporting ---------------------------------------------------------------------------------


def report(row: Row, outcome: Outcome, verbose: bool) -> None:
    words = {"known": f"known to fail: {row.expected_today}"}
    print(f"{row.name:28} {words.get(outcome.word, outcome.word)}  {outcome.detail}", flush=True)
    if outcome.word != "known" or verbose:
        for problem in outcome.problems:
            print("    " + problem.replace("\n", "\n    "), flush=True)


def pick(names: list[str], group: str | None, short: bool) -> list[Row]:
    known = {row.name: row for row in TABLE}
    assert len(known) == len(TABLE), "two rows have the same name"
    unknown = [name for name in names if name not in known]
    if unknown:
        harness.fail(f"there is no row {unknown[0]!r}: --list")
    rows = [known[name] for name in names] or TABLE
    return [row for row in rows if group in (None, row.group) and (row.short or not short)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("name", nargs="*")
    parser.add_argument("--group", choices=GROUPS)
    parser.add_argument("--short", action="store_true", help="only the rows that CI runs")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", action="store_true", help="say how known failures look")
    arguments = parser.parse_args()
    rows = pick(arguments.name, arguments.group, arguments.short)
    if arguments.list:
        for row in rows:
            print(f"{row.group:10} {row.name:28} {row.held.value:13} {' '.join(row.command)}")
        return 0
    hierarchy = harness.require_machine()
    counts: dict[str, int] = {}
    for _ in range(arguments.repeat):
        for row in rows:
            outcome = measure(row, hierarchy)
            report(row, outcome, arguments.verbose)
            counts[outcome.word] = counts.get(outcome.word, 0) + 1
    print(", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    if counts.get("FAILED"):
        return 1
    return 0 if counts.get("ok", 0) + counts.get("known", 0) else harness.SKIP


if __name__ == "__main__":
    sys.exit(main())
