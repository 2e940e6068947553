"""The scenes of several processes: children that read their parent's file, trees that share one
folder or file. See backing.py."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import harness
from backing_rig import BOUNDS, DEADLINE_S, Bounds, Live, expect_right, require
from harness import MIB

SPACE_LEFT_MOST = 1.15
# Parent and child need their pages at once, and a child cannot write any out.
FORKING = Bounds(limit=28 * MIB, pool=4 * MIB, mib=28)
SMALLER = Bounds(limit=48 * MIB, pool=8 * MIB, mib=24)
POOL_TOLERANCE = 1.1
POOL_SLACK = 2 * MIB


def run_steps(folder: Path, *steps: str) -> str:
    with Live(folder, FORKING.options(folder), FORKING.pages(*steps), FORKING.limit) as it:
        end = it.end()
    expect_right(end)
    require(end.figure("zswpwb") > 0, "nothing was written")
    return f"{end.figure('zswpwb')} pages written, {end.figure('backing_reads')} read"


def fork(folder: Path) -> str:
    """A child reads what it inherited while its parent overwrites everything."""
    return run_steps(folder, "fill", "fork", "check", "fork", "check")


def generations(folder: Path) -> str:
    return run_steps(folder, "fill", "generations", "check")


def daemon(folder: Path) -> str:
    """The parents exit at once; a grandchild reads every page, and so does its child."""
    report = folder / "daemon.status"
    with Live(folder, BOUNDS.options(folder), BOUNDS.pages("fill", "daemon", str(report))) as it:
        end = it.end()
        require(end.status == 0, end.tell())
        harness.wait_until("the daemon's verdict", report.exists, DEADLINE_S)
    require(report.read_text() == "0", f"the daemon ended with {report.read_text()}")
    return "the grandchild found every page"


def killed_child(folder: Path) -> str:
    """When a child is killed, the parts of the file that only it used become free."""
    report = folder / "child.pid"
    steps = ("fill", "held", str(report), "halve", "wait", "check")
    with Live(folder, BOUNDS.options(folder), BOUNDS.pages(*steps)) as it:
        harness.wait_until("the child's number", report.exists, DEADLINE_S)
        before = it.figure("backing_file_bytes")
        os.kill(int(report.read_text()), signal.SIGKILL)
        it.await_line("waiting")

        def clean(file_bytes: int) -> bool:
            return file_bytes <= SPACE_LEFT_MOST * it.figure("written_back_bytes")

        it.fresh_stats()  # older figures do not know of the child's end
        after = it.await_figure("backing_file_bytes", clean)
        it.say()
        expect_right(it.end())
    return f"{before / MIB:.1f} MiB while the child lived, {after / MIB:.1f} MiB after"


def tree(folder: Path, backing: Path) -> str:
    """Three programs at once, with one limit for all of them."""
    size = 40 * MIB
    one = shlex.join(SMALLER.pages("fill", "check", "rewrite", "check"))
    script = f"{one} & {one} & {one} & wait"
    options = [*SMALLER.options(backing), "--backing-size", str(size)]
    with Live(folder, options, ["/bin/sh", "-c", script], SMALLER.limit) as it:
        with harness.watching(it.stats_file, "backing_file_bytes") as highest:
            end = it.end()
    expect_right(end, lines=3)
    file_bytes = highest["backing_file_bytes_highest"]
    require(0 < file_bytes <= size, f"the files took {file_bytes}, {size} were allowed")
    pool = end.figure("pool_total_size_peak")
    allowed = int(SMALLER.pool * POOL_TOLERANCE) + POOL_SLACK
    require(pool <= allowed, f"the pools held {pool}, {SMALLER.pool} were allowed")
    return (
        f"pools {pool / MIB:.1f} of {SMALLER.pool / MIB:.1f} MiB, files {file_bytes / MIB:.1f}"
        f" of {size / MIB:.0f} MiB, {end.figure('zswpwb')} pages written"
    )


def tree_folder(folder: Path) -> str:
    return tree(folder, folder)


def tree_named(folder: Path) -> str:
    path = folder / "pages.uz"
    told = tree(folder, path)
    require(path.stat().st_size == 0, "the named file was not emptied")
    require(not list(folder.glob("*.uz?*")), "files were left beside it")
    return told


SCENES: dict[str, Callable[[Path], str]] = {
    "fork": fork,
    "generations": generations,
    "daemon": daemon,
    "killed-child": killed_child,
    "tree-folder": tree_folder,
    "tree-named": tree_named,
}
