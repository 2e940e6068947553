"""The scenes of block devices, and of machines where io_uring is forbidden. See backing.py."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import platform
import shlex
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
from backing_rig import BOUNDS, Bounds, Live, expect_right, require
from harness import MIB

DEVICE_MIB = 96
HALF = Bounds(mib=24)
SMALL = Bounds(mib=28)


def call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=harness.END_S
    )


@contextlib.contextmanager
def loop_device(folder: Path) -> Iterator[str]:
    image = folder / "device.img"
    with image.open("wb") as file:
        file.truncate(DEVICE_MIB * MIB)
    done = call("losetup", "--find", "--show", str(image))
    if done.returncode != 0:
        harness.skip(f"no loop device: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        yield device
    finally:
        call("losetup", "--detach", device)


def device(folder: Path) -> str:
    """One process uses the device; the other process of the tree runs without it."""
    one = shlex.join(HALF.pages("fill", "check", "rewrite", "check"))
    with loop_device(folder) as path:
        options = HALF.options(path)
        with Live(folder, options, ["/bin/sh", "-c", f"{one} & {one} & wait"]) as it:
            end = it.end()
    expect_right(end, lines=2)
    require(end.figure("zswpwb") > 0, "nothing was written to the device")
    return f"{end.figure('zswpwb')} pages written; {end.errors.strip()!r}"


def bounded_device(folder: Path) -> str:
    """A bound smaller than the device: as much as the bound is used, and no more."""
    size = DEVICE_MIB // 2 * MIB
    with loop_device(folder) as path:
        options = [*BOUNDS.options(path), "--backing-size", str(size)]
        with Live(folder, options, BOUNDS.pages("fill", "check", "rewrite", "check")) as it:
            end = it.end()
    expect_right(end)
    require("full" not in end.errors, f"the bound was reached: {end.errors!r}")
    written = end.figure("backing_payload_bytes")
    require(written > 10 * MIB, f"only {written} bytes were written")
    return f"{written / MIB:.1f} MiB written"


def failing_device(folder: Path) -> str:
    """The device fails during the run: its pages are poisoned, and no byte is wrong."""
    if shutil.which("dmsetup") is None or call("dmsetup", "version").returncode != 0:
        return "not tried: no device mapper here"
    name = "uzswap-test"
    with loop_device(folder) as below:
        sectors = DEVICE_MIB * MIB // 512
        made = call("dmsetup", "create", name, "--table", f"0 {sectors} linear {below} 0")
        if made.returncode != 0:
            return f"not tried: {made.stderr.strip()}"
        try:
            with Live(
                folder, BOUNDS.options(f"/dev/mapper/{name}"), BOUNDS.pages("fill", "wait", "check")
            ) as it:
                it.await_line("waiting")
                it.await_figure("written_back_pages", lambda pages: pages > 0)
                call("dmsetup", "suspend", "--noflush", name)
                call("dmsetup", "load", name, "--table", f"0 {sectors} error")
                call("dmsetup", "resume", name)
                it.say()
                end = it.end()
        finally:
            call("dmsetup", "remove", "--force", name)
    require("the page at 0x" in end.errors, f"no line names the page: {end.tell()}")
    require("is wrong" not in end.output, f"a wrong byte: {end.output!r}")
    return end.tell()


# --- io_uring ----------------------------------------------------------------------------------

SYSCALL_IO_URING_SETUP = 425  # on every architecture
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x00050000
SECCOMP_RET_ALLOW = 0x7FFF0000
BPF_LOAD_WORD = 0x20
BPF_JUMP_IF_EQUAL = 0x15
BPF_RETURN = 0x06


def forbid_uring() -> None:
    """For this process and all it starts, as container run times do it."""
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (BPF_LOAD_WORD, 0, 0, 0),
            (BPF_JUMP_IF_EQUAL, 0, 1, SYSCALL_IO_URING_SETUP),
            (BPF_RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM),
            (BPF_RETURN, 0, 0, SECCOMP_RET_ALLOW),
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter_program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def has_ring(pid: int) -> bool:
    """Service threads have a descriptor table of their own."""
    for link in Path(f"/proc/{pid}/task").glob("*/fd/*"):
        with contextlib.suppress(OSError):
            if "io_uring" in str(link.readlink()):
                return True
    return False


def ring_used(folder: Path, before: Callable[[], None] | None) -> bool:
    steps = ("fill", "wait", "check", "fork")
    with Live(folder, SMALL.options(folder), SMALL.pages(*steps), before=before) as it:
        it.await_line("waiting")
        it.await_figure("zswpwb", lambda pages: pages > 0)
        used = any(has_ring(pid) for pid in it.pids())
        it.say()
        end = it.end()
    expect_right(end)
    require(end.figure("backing_errors") == 0, f"{end.figure('backing_errors')} errors")
    return used


def no_uring(folder: Path) -> str:
    if platform.machine() not in ("x86_64", "aarch64"):
        harness.skip("the filter is written for two architectures")
    require(not ring_used(folder, forbid_uring), "it has a ring although the filter forbids it")
    return "threads do without" + (", a ring else" if ring_used(folder, None) else "")


SCENES: dict[str, Callable[[Path], str]] = {
    "device": device,
    "bounded-device": bounded_device,
    "failing-device": failing_device,
    "no-uring": no_uring,
}
