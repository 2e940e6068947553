#!/usr/bin/env python3
"""Holds pages whose content it knows at any time, and does with them what the steps request.

    pages.py MIB [--random BYTES] [--words] [--marker TEXT] STEP...

Each page starts with its number, its version and the marker; BYTES of it are random, the rest
zeroes. With --words the rest is words: the pages resemble each other, and a dictionary helps.
A page that is not what it has to be ends the program with status 3. Steps:

    fill             writes every page, with a version of its own
    check            reads every page
    rewrite          writes every page with the next version
    halve            discards every other page
    wait             says "waiting" and continues with the next line of standard input
    fork             a child checks what it inherited while the parent rewrites; both must succeed
    generations      a child checks and forks another one that does, three deep
    daemon FILE      the parent ends; a grandchild checks, and writes its status to FILE
    workers          four children rewrite an eighth each, the parent waits as above, then each
                     child checks every page
    held FILE        as fork, but the child writes its number to FILE and sleeps till it is killed
"""

from __future__ import annotations

import argparse
import hashlib
import mmap
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

PAGE = mmap.PAGESIZE
MISMATCH = 3
DEADLINE_S = int(240 * float(os.environ.get("UZSWAP_TEST_SLOWNESS", "1")))


# Longer than a page together, so that a page alone shows only some of them.
WORDS = [hashlib.sha256(b"%d" % number).hexdigest()[:24].encode() for number in range(512)]


def words(head: bytes) -> bytes:
    """A page full of words, always the same ones after the same beginning."""
    picks = hashlib.shake_128(head).digest(2 * PAGE // len(WORDS[0]) + 2)
    chosen = (picks[i] << 8 | picks[i + 1] for i in range(0, len(picks) - 1, 2))
    return b"".join(WORDS[pick % len(WORDS)] for pick in chosen)


class Pages:
    def __init__(self, count: int, random: int, marker: str, in_words: bool) -> None:
        self._count = count
        self._random = random
        self._in_words = in_words
        self._marker = marker.encode()
        self._version = 0
        self._step = 1
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._memory = mmap.mmap(-1, count * PAGE, flags=flags)

    def _content(self, number: int) -> bytes:
        head = b"%16d%16d" % (number, self._version) + self._marker
        if self._in_words:
            return (head + words(head))[:PAGE]
        length = max(0, self._random - len(head))
        return (head + hashlib.shake_128(head).digest(length)).ljust(PAGE, b"\0")

    def write(self) -> None:
        self._version += 1
        self._step = 1
        for number in range(self._count):
            self._memory[number * PAGE : (number + 1) * PAGE] = self._content(number)

    def check(self) -> None:
        for number in range(0, self._count, self._step):
            if self._memory[number * PAGE : (number + 1) * PAGE] != self._content(number):
                print(f"page {number} is wrong", flush=True)
                os._exit(MISMATCH)

    def rewrite_part(self, part: int, parts: int) -> None:
        for number in range(part, self._count, parts):
            self._memory[number * PAGE : (number + 1) * PAGE] = self._content(number)

    def halve(self) -> None:
        self._step = 2
        for number in range(1, self._count, 2):
            self._memory.madvise(mmap.MADV_DONTNEED, number * PAGE, PAGE)


def end_with(status: int) -> NoReturn:
    sys.stdout.flush()
    os._exit(status)


def expect_success(child: int) -> None:
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        print(f"the child ended with {code}", flush=True)
        end_with(code if code > 0 else 1)


def fork_and_rewrite(pages: Pages) -> None:
    child = os.fork()
    if child == 0:
        pages.check()
        pages.check()
        end_with(0)
    pages.write()
    pages.check()
    expect_success(child)


def generations(pages: Pages, depth: int = 3) -> None:
    if depth == 0:
        return
    child = os.fork()
    if child == 0:
        signal.alarm(DEADLINE_S)
        pages.check()
        generations(pages, depth - 1)
        pages.write()
        pages.check()
        end_with(0)
    pages.write()
    expect_success(child)
    pages.check()


def become_daemon(pages: Pages, report: Path) -> NoReturn:
    if os.fork() != 0:
        end_with(0)
    os.setsid()
    if os.fork() != 0:
        end_with(0)
    signal.alarm(DEADLINE_S)
    child = os.fork()
    if child == 0:
        pages.check()
        end_with(0)
    _, status = os.waitpid(child, 0)
    part = report.with_suffix(".part")
    part.write_text(str(os.waitstatus_to_exitcode(status)))
    part.rename(report)
    end_with(0)


def fork_held(pages: Pages, report: Path) -> None:
    child = os.fork()
    if child == 0:
        pages.check()
        part = report.with_suffix(".part")
        part.write_text(str(os.getpid()))
        part.rename(report)
        signal.alarm(DEADLINE_S)  # a child does not inherit its parent's
        while True:
            signal.pause()
    pages.write()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        end_with(1)


def wait(_: Pages) -> None:
    print("waiting", flush=True)
    sys.stdin.readline()


def workers(pages: Pages) -> None:
    ready, is_ready = os.pipe()
    goes_on, go_on = os.pipe()
    children = []
    for part in range(4):
        child = os.fork()
        if child == 0:
            signal.alarm(DEADLINE_S)
            os.close(go_on)
            pages.rewrite_part(part, 8)
            os.write(is_ready, b".")
            os.read(goes_on, 1)
            pages.check()
            end_with(0)
        children.append(child)
    for _ in children:
        os.read(ready, 1)
    wait(pages)
    os.close(go_on)
    for child in children:
        expect_success(child)
    pages.check()


STEPS: dict[str, Callable[[Pages], None]] = {
    "fill": Pages.write,
    "check": Pages.check,
    "rewrite": Pages.write,
    "halve": Pages.halve,
    "wait": wait,
    "fork": fork_and_rewrite,
    "generations": generations,
    "workers": workers,
}
STEPS_WITH_FILE: dict[str, Callable[[Pages, Path], None]] = {
    "daemon": become_daemon,
    "held": fork_held,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("mib", type=int)
    parser.add_argument("--random", type=int, default=2048)
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--marker", default="")
    parser.add_argument("steps", nargs="+")
    arguments = parser.parse_args()
    signal.alarm(DEADLINE_S)
    count = arguments.mib * (1 << 20) // PAGE
    pages = Pages(count, arguments.random, arguments.marker, arguments.words)
    steps = iter(arguments.steps)
    for step in steps:
        if step in STEPS_WITH_FILE:
            STEPS_WITH_FILE[step](pages, Path(next(steps)))
        else:
            STEPS[step](pages)
    print("pages ok", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
