"""The scenes of one process and its file: see backing.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import harness
from backing_rig import (
    BOUNDS,
    PYTHON,
    Bounds,
    End,
    Live,
    alive,
    expect_right,
    mounted_memory,
    require,
)
from harness import MIB

MARKER = "uzswap-test-marker-Zq7vXw"
ALIVE_MOST = 1.1
# For scenes in which the limit cannot be kept: reclaim tries all the time.
TIGHT = Bounds(mib=34)
PAGES_OUT_LEAST = 2000


def live(folder: Path, options: list[str], *steps: str, bounds: Bounds = BOUNDS) -> Live:
    return Live(folder, options, bounds.pages(*steps), limit=bounds.limit)


# --- cleaning ----------------------------------------------------------------------------------


def idle(folder: Path) -> str:
    """The file of an idle program shrinks to about the pages that it still needs."""
    with live(folder, BOUNDS.options(folder), "fill", "rewrite", "halve", "wait", "check") as it:
        it.await_line("waiting")
        # All pages have been written and half of them discarded: older figures say nothing.
        before = harness.figure_of(it.fresh_stats(), "backing_file_bytes")

        def ratio() -> float:
            stats = it.stats()
            wanted = harness.figure_of(stats, "written_back_bytes")
            require(wanted > 0, "no page is in the file: the scene shows nothing")
            return harness.figure_of(stats, "backing_file_bytes") / wanted

        it.await_figure("backing_file_bytes", lambda _: ratio() <= ALIVE_MOST)
        reached = ratio()
        it.say()
        expect_right(it.end())
    return f"{before / MIB:.1f} MiB before, then {reached:.3f} bytes in the file for a needed one"


# --- damage ------------------------------------------------------------------------------------


def flip_bits(path: Path) -> None:
    """One bit in each 512 bytes, so that every page is damaged."""
    with path.open("r+b") as file:
        content = bytearray(file.read())
        for at in range(100, len(content), 512):
            content[at] ^= 0x10
        file.seek(0)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def after_harm(
    folder: Path, harm: Callable[[Path], None], command: list[str] | None = None
) -> End:
    path = folder / "pages.uz"
    command = command or BOUNDS.pages("fill", "wait", "check")
    with Live(folder, BOUNDS.options(path), command, limit=BOUNDS.limit) as it:
        it.await_line("waiting")
        it.await_figure("written_back_pages", lambda pages: pages >= PAGES_OUT_LEAST)
        stopped = it.pids()
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        harm(path)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        it.say()
        return it.end()


def expect_poisoned(end: End) -> str:
    ended = end.status in (-signal.SIGBUS, 128 + signal.SIGBUS)
    require(ended, f"SIGBUS has to end it, but: {end.tell()}")
    lines = [line for line in end.errors.split("\n") if "the page at 0x" in line]
    require(bool(lines), f"no line names the page: {end.errors[-900:]!r}")
    require("is wrong" not in end.output, f"a wrong byte: {end.output!r}")
    return lines[0]


def damaged(folder: Path) -> str:
    return expect_poisoned(after_harm(folder, flip_bits))


def truncated(folder: Path) -> str:
    return expect_poisoned(after_harm(folder, truncate))


def survived(folder: Path) -> str:
    """A program that handles SIGBUS continues: each page is right or poisoned, none is wrong."""
    program = str(harness.bin_folder() / "survivor")
    end = after_harm(folder, flip_bits, [program, str(BOUNDS.mib)])
    require(end.status == 0, end.tell())
    words = end.output.replace(",", "").split()
    counts = {name: int(words[words.index(name) + 1]) for name in ("right", "poisoned", "refused")}
    pages = BOUNDS.mib * MIB // 4096
    require(counts["right"] + counts["poisoned"] == pages, end.output)
    require(0 < counts["poisoned"] == end.figure("poisoned_pages"), end.tell())
    refused = counts["refused"] == counts["poisoned"]
    require(refused, "a system call read a poisoned page: " + end.output)
    return f"{counts['poisoned']} of {pages} pages poisoned and reported, none wrong, all rewritten"


# --- bounds ------------------------------------------------------------------------------------


def expect_warning(end: End, text: str) -> None:
    lines = [line for line in end.errors.split("\n") if text in line]
    require(len(lines) == 1, f"{len(lines)} lines with {text!r}: {end.errors[-900:]!r}")


def full_medium(folder: Path) -> str:
    """The file system is full: pages stay in memory, and none is poisoned."""
    with mounted_memory(folder, 5) as place:
        options = BOUNDS.options(place)
        with live(folder, options, "fill", "check", "rewrite", "check", bounds=TIGHT) as it:
            end = it.end()
    expect_right(end)
    expect_warning(end, "the backing store is full")
    return f"{end.figure('zswpwb')} pages written, {end.figure('backing_refusals')} refusals"


def full_bound(folder: Path) -> str:
    options = [*BOUNDS.options(folder), "--backing-size", "4M"]
    with live(folder, options, "fill", "check", "rewrite", "wait", "check", bounds=TIGHT) as it:
        it.await_line("waiting")
        highest = harness.figure_of(it.fresh_stats(), "backing_file_bytes")
        it.say()
        end = it.end()
    expect_right(end)
    expect_warning(end, "the backing store is full")
    require(0 < highest <= 4 * MIB, f"the file took {highest} bytes")
    return f"{highest / MIB:.2f} MiB of 4, {end.figure('backing_refusals')} refusals"


def write_limit(folder: Path) -> str:
    options = [*BOUNDS.options(folder), "--backing-write-limit", "1M/h"]
    with live(folder, options, "fill", "check", "rewrite", "check", bounds=TIGHT) as it:
        end = it.end()
    expect_right(end)
    expect_warning(end, "the write limit of the backing store is used up")
    written = end.figure("backing_written_bytes")
    require(0 < written <= MIB + (256 << 10), f"{written} bytes were written, 1 MiB was allowed")
    return f"{written / MIB:.2f} MiB written"


# --- secrecy -----------------------------------------------------------------------------------


def occurrences(folder: Path, options: list[str]) -> int:
    """How often the marker of every page is found in the file."""
    path = folder / ("sealed.uz" if options else "plain.uz")
    command = BOUNDS.pages("fill", "wait", "check", random=4096, marker=MARKER)
    with Live(folder, [*BOUNDS.options(path), *options], command) as it:
        it.await_line("waiting")
        it.await_figure("written_back_pages", lambda pages: pages >= PAGES_OUT_LEAST)
        found = path.read_bytes().count(MARKER.encode())
        it.say()
        expect_right(it.end())
    return found


def encrypted(folder: Path) -> str:
    plain = occurrences(folder, [])
    require(plain >= PAGES_OUT_LEAST, f"{plain} pages found in the plain file: it shows nothing")
    sealed = occurrences(folder, ["--encrypt"])
    require(sealed == 0, f"{sealed} pages can be read in the sealed file")
    return f"the marker is {plain} times in the plain file, and not in the sealed one"


# --- several runs ------------------------------------------------------------------------------


def expect_refused(folder: Path, path: Path) -> str:
    with Live(folder, BOUNDS.options(path), [PYTHON, "-c", "print('started')"]) as other:
        end = other.end()
    require(end.status == 125 and "started" not in end.output, f"not refused: {end.tell()}")
    return end.errors.strip().split("\n")[0]


def taken(folder: Path) -> str:
    """A named file serves one run at a time, and the next run can use it."""
    path = folder / "pages.uz"
    with live(folder, BOUNDS.options(path), "fill", "wait", "check") as it:
        it.await_line("waiting")
        message = expect_refused(folder, path)
        it.say()
        expect_right(it.end())
    require(path.exists() and path.stat().st_size == 0, "the file was not emptied")
    with live(folder, BOUNDS.options(path), "fill", "check") as it:
        expect_right(it.end())
    return message


def killed(folder: Path) -> str:
    """SIGKILL for the runner ends the program too; the file stays and has to be removed."""
    path = folder / "pages.uz"
    with live(folder, BOUNDS.options(path), "fill", "wait", "check") as it:
        it.await_line("waiting")
        it.await_figure("written_back_pages", lambda pages: pages >= PAGES_OUT_LEAST)
        pids = it.pids()
        it.process.kill()
        it.process.wait(harness.END_S)
        harness.wait_until("the program's end", lambda: not any(map(alive, pids)))
    message = expect_refused(folder, path)
    path.unlink()
    with live(folder, BOUNDS.options(path), "fill", "check") as it:
        expect_right(it.end())
    return message


SCENES: dict[str, Callable[[Path], str]] = {
    "idle": idle,
    "damaged": damaged,
    "truncated": truncated,
    "survived": survived,
    "full-medium": full_medium,
    "full-bound": full_bound,
    "write-limit": write_limit,
    "encrypted": encrypted,
    "taken": taken,
    "killed": killed,
}
