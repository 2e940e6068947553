#!/usr/bin/env python3
"""The nbdkit plugin beside nbdkit's own disks in memory, on the same image, in turn.

    bench/block.py BUILD [--mib 512] [--rounds 3] [--json FILE]

Measured: MiB/s of nbdcopy into the disk and out of it, reads and writes of 4 KiB a second with 16
in flight (fio), and the memory of the server (RssAnon) for a byte of the image after the copy. The
image holds files of /usr, one behind the other: real contents, with few holes.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
ROW = "{:<18} {:>9} {:>9} {:>11} {:>11} {:>9}"


def make_image(path: Path, mib: int) -> None:
    with path.open("wb") as image:
        for source in sorted(Path("/usr").rglob("*")):
            if image.tell() >= mib * MIB:
                break
            if source.is_file() and not source.is_symlink():
                image.write(source.read_bytes())
        image.truncate(mib * MIB)


def servers(build: Path, mib: int) -> dict[str, list[str]]:
    plugin = str(build / "lib" / "nbdkit-uzswap-plugin.so")
    own = [plugin, f"size={mib}M", f"limit={mib}M"]
    return {
        "uzswap lz4": [*own, "compression=lz4"],
        "uzswap zstd": [*own, "compression=zstd"],
        "uzswap auto": own,
        "memory sparse": ["memory", f"{mib}M", "allocator=sparse"],
        "memory malloc": ["memory", f"{mib}M", "allocator=malloc"],
        "memory zstd": ["memory", f"{mib}M", "allocator=zstd"],
    }


def anonymous_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", text)[1]) * 1024


def timed(*command: str) -> float:
    begin = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def operations(uri: str, how: str, folder: Path, mib: int) -> float:
    result = folder / "fio.json"
    subprocess.run(
        ["fio", "--name=b", "--ioengine=nbd", f"--uri={uri}", f"--rw={how}", "--bs=4k",
         f"--size={mib}M", "--iodepth=16", "--runtime=4", "--time_based", "--norandommap",
         "--buffer_compress_percentage=50", "--refill_buffers", "--output-format=json",
         f"--output={result}"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    job = json.loads(result.read_text())["jobs"][0]
    return job["read" if how == "randread" else "write"]["iops"]


def measure(command: list[str], image: Path, folder: Path, mib: int) -> dict[str, float]:
    socket = folder / "socket"
    socket.unlink(missing_ok=True)
    server = subprocess.Popen(["nbdkit", "--foreground", "--unix", str(socket), *command])
    try:
        while not socket.exists():
            time.sleep(0.01)
        uri = f"nbd+unix:///?socket={socket}"
        found = {"in": mib / timed("nbdcopy", str(image), uri)}
        found["memory"] = anonymous_bytes(server.pid) / (mib * MIB)
        found["out"] = mib / timed("nbdcopy", uri, "null:")
        found["reads"] = operations(uri, "randread", folder, mib)
        found["writes"] = operations(uri, "randwrite", folder, mib)
        return found
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="nbdkit's disks in memory, in turn")
    parser.add_argument("build", type=Path)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        image = folder / "image"
        make_image(image, options.mib)
        for _ in range(options.rounds):
            for server, command in servers(options.build, options.mib).items():
                found = measure(command, image, folder, options.mib)
                runs.setdefault(server, []).append(found)
    print(ROW.format("", "in MiB/s", "out", "reads/s", "writes/s", "memory"))
    table = {}
    for server, results in runs.items():
        middle = {key: statistics.median(one[key] for one in results) for key in results[0]}
        table[server] = middle
        print(
            ROW.format(
                server,
                *(f"{middle[key]:.0f}" for key in ("in", "out", "reads", "writes")),
                f"{middle['memory']:.3f}",
            )
        )
    if options.json:
        options.json.write_text(json.dumps({"medians": table, "runs": runs}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
