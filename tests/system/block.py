#!/usr/bin/env python3
"""The nbdkit plugin, with the programs of others: nbdinfo, nbdcopy, qemu-io, fio, mke2fs.

    block.py BUILD [SCENE...]    the build folder; without a scene all of them

A scene starts nbdkit with the plugin on a socket of its own and looks at what clients see.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import harness
from harness import MIB, Problem, call, require

NEEDED = ("nbdkit", "nbdinfo", "nbdcopy", "qemu-io", "fio", "mke2fs", "e2fsck")
IMAGE_BYTES = 48 * MIB


@contextlib.contextmanager
def serve(plugin: Path, folder: Path, *parameters: str) -> Iterator[str]:
    """nbdkit with the plugin; yields the URI. It has to end by itself when it is told to."""
    socket, pid_file = folder / "socket", folder / "pid"
    for path in (socket, pid_file):
        path.unlink(missing_ok=True)
    command = ["nbdkit", "--foreground", "--unix", str(socket), "--pidfile", str(pid_file)]
    server = subprocess.Popen(
        [*command, str(plugin), *parameters], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        harness.wait_until("nbdkit", lambda: pid_file.exists() or server.poll() is not None)
        if server.poll() is not None:
            raise Problem(f"nbdkit: {server.communicate()[0].decode()}")
        yield f"nbd+unix:///?socket={socket}"
        server.terminate()
        output, _ = server.communicate(timeout=harness.END_S)
        require(server.returncode == 0, f"nbdkit: status {server.returncode}: {output.decode()}")
    finally:
        server.kill()
        server.wait()


def real_image(folder: Path) -> Path:
    """Bytes of programs and libraries, with holes between them."""
    image = folder / "image"
    sources = sorted(path for path in Path("/usr/bin").iterdir() if path.is_file())
    with image.open("wb") as file:
        for source in sources:
            with contextlib.suppress(OSError):
                file.write(source.read_bytes()[: 2 * MIB])
            file.seek(100_000, 1)
            if file.tell() > IMAGE_BYTES:
                break
        file.truncate(IMAGE_BYTES)
    return image


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copy(plugin: Path, folder: Path) -> str:
    """An image is the same after it was copied in and out; holes stay holes."""
    image, back = real_image(folder), folder / "back"
    with serve(plugin, folder, f"size={IMAGE_BYTES}", "limit=12M", "backing=/var/tmp") as uri:
        call("nbdcopy", "--connections=4", str(image), uri)
        extents = json.loads(call("nbdinfo", "--map", "--json", uri))
        call("nbdcopy", "--connections=4", uri, str(back))
        require(digest(image) == digest(back), "the image differs after it was copied in and out")
    holes = sum(extent["length"] for extent in extents if extent["type"] != 0)
    require(holes > MIB, f"{holes} bytes of holes: there were more in the image")
    return f"{IMAGE_BYTES // MIB} MiB in 12 MiB and a file, {holes // MIB} MiB are holes"


def conventions(plugin: Path, folder: Path) -> str:
    """What nbdkit and nbdinfo say about the plugin."""
    dumped = call("nbdkit", str(plugin), "--dump-plugin")
    for line in ("name=uzswap", "thread_model=parallel", "has_extents=1", "magic_config_key=size"):
        require(line in dumped.splitlines(), f"--dump-plugin lacks {line}")
    with serve(plugin, folder, "1G", "limit=4M") as uri:
        export = json.loads(call("nbdinfo", "--json", uri))["exports"][0]
    require(export["export-size"] == 1 << 30, f"another size: {export['export-size']}")
    require(export["block_size_preferred"] == 4096, "another block size is preferred")
    for name in ("can_multi_conn", "can_trim", "can_zero", "can_fast_zero", "can_fua", "can_flush"):
        require(export[name] is True, f"{name} is {export[name]}")
    return "sizes and flags are as they should be"


def refusals(plugin: Path, folder: Path) -> str:
    """Parameters that make no sense are named, and nbdkit does not start."""
    del folder
    cases = {
        ("limit=4M",): "size is missing",
        ("size=1G",): "limit is missing",
        ("size=1G", "limit=10"): "limit is missing or too small",
        ("size=1G", "limit=4M", "compression=gzip"): "auto, lz4 or zstd",
        ("size=1G", "limit=4M", "color=red"): "unknown parameter 'color'",
        ("size=1G", "limit=4M", "backing=/no/such/file"): "No such file",
    }
    for parameters, expected in cases.items():
        done = subprocess.run(
            ["nbdkit", "--foreground", "--unix", "-", str(plugin), *parameters],
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.END_S,
        )
        require(done.returncode != 0, f"{parameters} were accepted")
        require(expected in done.stderr, f"{parameters}: {done.stderr}")
    return f"{len(cases)} refusals"


def patterns(plugin: Path, folder: Path) -> str:
    """qemu-io: patterns at odd offsets, trim, and zeroes."""
    with serve(plugin, folder, "64M", "limit=4M", "backing=/var/tmp", "encrypt=true") as uri:
        commands = (
            "write -P 17 0 1M",
            "write -P 34 512 1536",
            "read -P 17 0 512",
            "read -P 34 512 1536",
            "read -P 17 2048 1046528",
            "write -z 4096 8192",
            "read -P 0 4096 8192",
            "discard 65536 131072",
            "read -P 0 65536 131072",
            "read -P 17 196608 4096",
            "write -f -P 51 67107840 1024",
            "read -P 51 67107840 1024",
            "flush",
        )
        words = [word for command in commands for word in ("-c", command)]
        printed = call("qemu-io", "-f", "raw", *words, uri)
    require("Pattern verification failed" not in printed, printed)
    return f"{len(commands)} commands of qemu-io"


def random_blocks(plugin: Path, folder: Path) -> str:
    """fio writes and verifies blocks of 4 KiB to 1 MiB over several connections."""
    job = [
        "fio", "--name=verify", "--ioengine=nbd", "--rw=randwrite", "--size=32M",
        "--bsrange=4k-1m", "--iodepth=16", "--verify=crc32c", "--do_verify=1",
        "--verify_fatal=1", "--buffer_compress_percentage=40", "--refill_buffers",
        "--output-format=json",
    ]  # fmt: skip
    with serve(plugin, folder, "128M", "limit=24M", "backing=/var/tmp") as uri:
        for jobs in (1, 4):
            apart = [f"--numjobs={jobs}", "--offset_increment=32M"]
            # Standard output has notes too.
            result = folder / "fio.json"
            call(*job, *apart, f"--uri={uri}", f"--output={result}")
            report = json.loads(result.read_text())
            errors = sum(each["error"] for each in report["jobs"])
            require(errors == 0, f"fio found {errors} errors")
    return "written and verified with 1 and with 4 connections"


def file_system(plugin: Path, folder: Path) -> str:
    """A file system that was made in an image is whole after the way through the disk."""
    image, back = folder / "ext4", folder / "ext4.back"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    call("mke2fs", "-q", "-t", "ext4", "-d", "/usr/lib/python3.11/json", str(image))
    with serve(plugin, folder, "64M", "limit=2M", "backing=/var/tmp") as uri:
        call("nbdcopy", str(image), uri)
        call("nbdcopy", uri, str(back))
    call("e2fsck", "-fn", str(back))
    require(digest(image) == digest(back), "the file system differs")
    return "e2fsck finds nothing"


SCENES = {
    "conventions": conventions,
    "refusals": refusals,
    "copy": copy,
    "patterns": patterns,
    "random-blocks": random_blocks,
    "file-system": file_system,
}


def main() -> int:
    build, *names = sys.argv[1:]
    plugin = Path(build) / "lib" / "nbdkit-uzswap-plugin.so"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or not plugin.exists():
        harness.skip(f"there is no {', '.join(missing) or plugin.name}")
    scenes = {name: partial(scene, plugin) for name, scene in SCENES.items()}
    return harness.run_scenes(scenes, names)


if __name__ == "__main__":
    harness.exit_with(main)
