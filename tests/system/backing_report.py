"""What a run with a backing file wrote, and whether it wrote efficiently.

The figures are those of a run's statistics. The aim for a steady load is at most 1.15 bytes
written for each compressed byte, and requests of 64 KiB or more. The figures of short and idle
programs vary, so a test fails only if a figure is far from the aim. They are always printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import harness
from harness import MIB
from harness import figure_of as figure

MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")
WRITTEN_PER_PAYLOAD_MOST = 1.3
# A fork closes the batches that are being filled, and slots that children read cannot be reused.
WRITTEN_PER_PAYLOAD_FORKING_MOST = 2.0
# Fewer bytes than this are mostly the last batches, which are partly filled.
BYTES_THAT_TELL = 16 * MIB


def file_system_of(path: Path) -> str:
    """The type of the file system a folder is on: of the mounts that hold it, the deepest."""
    best, kind = -1, ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        words = line.split()
        mount = Path(words[1])
        if (path == mount or mount in path.parents) and len(mount.parts) >= best:
            best, kind = len(mount.parts), words[2]
    return kind


def folder(wish: str) -> Path:
    """A folder on a disk: a cgroup is charged for what lies in memory."""
    path = Path("/var/tmp" if wish == "auto" else wish).resolve()
    if file_system_of(path) in MEMORY_FILE_SYSTEMS:
        harness.skip(f"{path} is memory: nothing would be saved by writing there")
    return path


def steady_bytes(stats: Mapping[str, object]) -> int:
    """Without what an idle writer rewrites: how often it is idle depends on the machine's load."""
    return figure(stats, "backing_written_bytes") - figure(stats, "backing_idle_bytes")


def written_per_payload(stats: Mapping[str, object]) -> float:
    payload = figure(stats, "backing_payload_bytes")
    return steady_bytes(stats) / payload if payload else 0.0


def mean_request(stats: Mapping[str, object]) -> float:
    requests = figure(stats, "backing_requests")
    return figure(stats, "backing_written_bytes") / requests if requests else 0.0


def describe(stats: Mapping[str, object]) -> str:
    return (
        f"backing: {figure(stats, 'zswpwb')} pages written, {figure(stats, 'backing_reads')} read,"
        f" file {figure(stats, 'backing_file_bytes_highest') / MIB:.1f} MiB at most,"
        f" {figure(stats, 'backing_written_bytes') / MIB:.1f} MiB written"
        f" ({written_per_payload(stats):.3f} a compressed byte),"
        f" requests of {mean_request(stats) / 1024:.0f} KiB,"
        f" {figure(stats, 'backing_queue_peak')} at once,"
        f" pool {figure(stats, 'pool_total_size_peak') / MIB:.1f} MiB at most,"
        f" {figure(stats, 'throttled_waits')} waits"
    )


def problems_of(stats: Mapping[str, object], file_most: int, steady: bool) -> list[str]:
    """`file_most`: what the files of the tree may have taken together. `steady`: nobody forks."""
    found = []
    if figure(stats, "zswpwb") == 0:
        found.append("nothing was written to the backing file: the test proves nothing")
    for name in ("backing_errors", "poisoned_pages"):
        if figure(stats, name) != 0:
            found.append(f"{name} is {figure(stats, name)}")
    ratio = written_per_payload(stats)
    telling = steady_bytes(stats) >= BYTES_THAT_TELL
    most = WRITTEN_PER_PAYLOAD_MOST if steady else WRITTEN_PER_PAYLOAD_FORKING_MOST
    if telling and ratio > most:
        found.append(f"{ratio:.3f} bytes written for a compressed byte")
    highest = figure(stats, "backing_file_bytes_highest")
    if highest > file_most:
        found.append(f"the file took {highest / MIB:.1f} MiB, allowed {file_most / MIB:.1f}")
    return found
