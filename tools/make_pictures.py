#!/usr/bin/env python3
"""Makes pictures of uzswap on a terminal, from real runs.

    make_pictures.py FOLDER

    program ──terminal──> pyte (a terminal emulator) ──cells──> SVG
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from html import escape
from pathlib import Path

import pyte

ROOT = Path(__file__).resolve().parent.parent
UZSWAP = str(ROOT / "build" / "release" / "bin" / "uzswap")
COLUMNS, LINES = 100, 10
SETTLE_S = 25.0  # until the programs hold what they will hold
WATCH_S = 15.0  # so that the history has some looks
CELL = (8.4, 18.0)
MARGIN = 12.0
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
PAPER, INK = "#1b1f24", "#d7dce2"
COLOURS = {
    "black": "#1b1f24",
    "red": "#f0736a",
    "green": "#7cc379",
    "brown": "#e2b65b",
    "blue": "#6aa7f0",
    "magenta": "#c792ea",
    "cyan": "#5ec4c9",
    "white": "#d7dce2",
}
# A server with 600,000 keys, and a program that reads its data again and again.
LOAD = (
    'for i = 0, 599999 do redis.call("SET", string.format("key:%012d", i), "user " .. i'
    ' .. " name " .. math.random(1e9) .. " mail " .. math.random(1e9) .. "@example.org visits "'
    ' .. math.random(1e4) .. " since 2026-01-01 last seen 2026-11-0" .. math.random(9)) end'
)
DICTS = """
import random, time
rows = {n: f"row {n} of the table, name {n * 7919 % 100003}, " * 4 for n in range(400_000)}
random.seed(1)
while True:
    for _ in range(2000):
        rows[int(random.paretovariate(1.1)) % 400_000].count("7")
    time.sleep(0.01)
"""


def start_runs(folder: Path) -> list[subprocess.Popen[bytes]]:
    socket = folder / "redis.sock"
    server = ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    limit = [UZSWAP, "run", "--limit"]
    backing = ["--backing", "/var/tmp"]
    runs = [
        subprocess.Popen([*limit, "96M", *backing, "--", *server], cwd=folder, **quiet),
        subprocess.Popen([*limit, "80M", "--", "/usr/bin/python3", "-c", DICTS], **quiet),
    ]
    client = ["redis-cli", "-s", str(socket)]
    while subprocess.run([*client, "ping"], capture_output=True).stdout != b"PONG\n":
        time.sleep(0.1)
    subprocess.run([*client, "EVAL", LOAD, "0"], check=True, **quiet)
    runs.append(subprocess.Popen(
        ["redis-benchmark", "-s", str(socket), "-n", "100000000", "-r", "600000", "-c", "2",
         "GET", "key:__rand_int__"], **quiet))
    return runs


def capture(command: list[str], seconds: float) -> pyte.Screen:
    """What the command shows after so long."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "linux"  # what pyte emulates
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([terminal], [], [], left)[0]:
            stream.feed(os.read(terminal, 65536))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(terminal)
    return screen


def colour(name: str, otherwise: str) -> str:
    if name == "default":
        return otherwise
    return COLOURS.get(name, f"#{name}" if len(name) == 6 else otherwise)


def runs_of(line: dict[int, pyte.screens.Char]) -> list[tuple[int, str, pyte.screens.Char]]:
    """Neighbouring cells that look alike: column, text, and one of them."""
    found: list[tuple[int, str, pyte.screens.Char]] = []
    for column in range(COLUMNS):
        cell = line[column]
        look = cell._replace(data="")
        if found and found[-1][2] == look and found[-1][0] + len(found[-1][1]) == column:
            found[-1] = (found[-1][0], found[-1][1] + cell.data, look)
        else:
            found.append((column, cell.data, look))
    return found


def draw_run(column: int, row: int, text: str, cell: pyte.screens.Char) -> str:
    ink, paper = colour(cell.fg, INK), colour(cell.bg, PAPER)
    if cell.reverse:
        ink, paper = paper, ink
    x, y = MARGIN + column * CELL[0], MARGIN + row * CELL[1]
    drawn = ""
    if paper != PAPER:
        drawn += f'<rect x="{x:.1f}" y="{y:.1f}" width="{len(text) * CELL[0]:.1f}"'
        drawn += f' height="{CELL[1]}" fill="{paper}"/>'
    if text.strip():
        weight = ' font-weight="bold"' if cell.bold else ""
        drawn += f'<text x="{x:.1f}" y="{y + CELL[1] * 0.75:.1f}" fill="{ink}"{weight}'
        drawn += f' textLength="{len(text) * CELL[0]:.1f}" xml:space="preserve">'
        drawn += f"{escape(text)}</text>"
    return drawn


def to_svg(screen: pyte.Screen, title: str) -> str:
    width = 2 * MARGIN + COLUMNS * CELL[0]
    height = 2 * MARGIN + LINES * CELL[1]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' font-family="{FONT}" font-size="14">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="{PAPER}"/>',
    ]
    for row in range(LINES):
        drawn = "".join(draw_run(at, row, text, cell) for at, text, cell in
                        runs_of(screen.buffer[row]))
        if drawn:
            lines.append(drawn)
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    work = Path(f"/var/tmp/uzswap-pictures-{os.getpid()}")
    work.mkdir()
    runs = start_runs(work)
    try:
        time.sleep(SETTLE_S)
        screen = capture([UZSWAP, "top"], WATCH_S)
        (folder / "top.svg").write_text(to_svg(screen, "uzswap top, with two runs"))
    finally:
        for run in reversed(runs):
            run.terminate()
            run.wait()
        for left in work.iterdir():
            left.unlink()
        work.rmdir()
    print(f"{folder}/top.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
