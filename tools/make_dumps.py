#!/usr/bin/env python3
"""Makes page dumps of real heaps, for measuring compression and pools on them.

    tools/make_dumps.py [--out DIR] [--mib N] [cpython] [node] [redis] [java]

Each dump is DIR/NAME.pages: the present private anonymous pages of a real program, 4,096 bytes
each, in the order of addresses, at most N MiB of them (default 256). The programs hold the
descriptions of Debian's packages: as Python dicts, JavaScript objects, JSON strings in redis,
Java maps. The data comes from apt's package lists where there are any, else from dpkg's own.
The program is stopped while its memory is read; it is a child of this script and ends with it.
A program that is not installed is skipped with the name of the Debian package to install.
Needs nothing but Python's standard library; reading a child's memory needs no privilege.
"""
from __future__ import annotations

import argparse
import glob
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator

PAGE = 4096
HERE = os.path.dirname(os.path.abspath(__file__))
COPIES = {"cpython": 1, "node": 3, "redis": 3, "java": 2}


def package_text() -> Iterator[str]:
    """Every package paragraph known to this machine."""
    lists = sorted(glob.glob("/var/lib/apt/lists/*_Packages*"), key=os.path.getsize, reverse=True)
    for path in lists[:4]:
        shown = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", path],
                               capture_output=True, check=False)
        if shown.returncode == 0:
            yield shown.stdout.decode("utf-8", "replace")
    with open("/var/lib/dpkg/status", encoding="utf-8", errors="replace") as status:
        yield status.read()


def records() -> Iterator[dict[str, str]]:
    for text in package_text():
        for paragraph in text.split("\n\n"):
            fields = re.findall(r"^([A-Z][\w-]*): ((?:.*)(?:\n .*)*)", paragraph, re.M)
            if fields:
                yield dict(fields)


def write_records(path: str) -> int:
    count = 0
    with open(path, "w", encoding="utf-8") as out:
        for record in records():
            out.write(json.dumps(record) + "\n")
            count += 1
    return count


PRESENT = 1 << 63
MAPPED_ONCE = 1 << 56  # no other process has the page


def present_pages(pid: int, limit: int, bits: int = PRESENT) -> Iterator[bytes]:
    """The bytes of present private anonymous writable pages, lowest address first; of those whose
    entry in the pagemap has all of `bits`."""
    left = limit
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, \
            open(f"/proc/{pid}/pagemap", "rb") as pagemap, \
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            fields = line.split(maxsplit=5)
            name = fields[5].strip() if len(fields) > 5 else ""
            if fields[1][:2] != "rw" or fields[1][3] != "p" or fields[4] != "0":
                continue
            if name in ("[vvar]", "[vsyscall]") or name.startswith("[stack"):
                continue
            start, end = (int(x, 16) for x in fields[0].split("-"))
            pagemap.seek(start // PAGE * 8)
            entries = pagemap.read((end - start) // PAGE * 8)
            for i in range(len(entries) // 8):
                if left == 0:
                    return
                if struct.unpack_from("<Q", entries, i * 8)[0] & bits == bits:
                    memory.seek(start + i * PAGE)
                    yield memory.read(PAGE)
                    left -= 1


def dump(name: str, child: subprocess.Popen[bytes], out: str, limit: int) -> None:
    os.kill(child.pid, signal.SIGSTOP)
    path = os.path.join(out, name + ".pages")
    count = 0
    with open(path + ".part", "wb") as file:
        for page in present_pages(child.pid, limit):
            file.write(page)
            count += 1
    os.rename(path + ".part", path)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    print(f"{path}: {count} pages, {count * PAGE >> 20} MiB", flush=True)


def start_and_wait(command: list[str]) -> subprocess.Popen[bytes]:
    """Runs a holder that prints 'ready' once its heap is built."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == b"ready":
            return child
    raise SystemExit(f"{command[0]} ended before its heap was built")


def start_redis(data: str, scratch: str) -> subprocess.Popen[bytes]:
    socket = os.path.join(scratch, "redis.sock")
    child = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--save", "",
                              "--appendonly", "no", "--dir", scratch],
                             stdout=subprocess.PIPE)
    assert child.stdout is not None
    for line in child.stdout:
        if b"eady to accept connections" in line:
            break
    pipe = subprocess.Popen(["redis-cli", "-s", socket, "--pipe"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL)
    assert pipe.stdin is not None
    for copy in range(COPIES["redis"]):
        with open(data, "rb") as lines:
            for number, line in enumerate(lines):
                key, value = b"package:%d:%d" % (copy, number), line.rstrip()
                pipe.stdin.write(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" %
                                 (len(key), key, len(value), value))
    pipe.stdin.close()
    pipe.wait()
    return child


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes page dumps of real heaps.")
    parser.add_argument("--out", default="dumps")
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("names", nargs="*", default=[])
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    limit = arguments.mib * (1 << 20) // PAGE
    holders = os.path.join(HERE, "dumps")
    kinds = {
        "cpython": (sys.executable, "python3", ["hold.py"]),
        "node": ("node", "nodejs", ["hold.js"]),
        "redis": ("redis-server", "redis-server", None),
        "java": ("java", "default-jre-headless", ["Hold.java"]),
    }
    with tempfile.TemporaryDirectory() as scratch:
        data = os.path.join(scratch, "packages.jsonl")
        print(f"{write_records(data)} package descriptions", flush=True)
        for name in arguments.names or kinds:
            program, package, holder = kinds[name]
            if shutil.which(program) is None:
                print(f"{name}: skipped, needs the Debian package {package}")
                continue
            if holder is None:
                child = start_redis(data, scratch)
            else:
                child = start_and_wait([program, os.path.join(holders, holder[0]), data,
                                        str(COPIES[name])])
            dump(name, child, arguments.out, limit)


if __name__ == "__main__":
    main()
