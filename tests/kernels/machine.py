"""One boot of a guest under QEMU: follows its reports and its console, and ends it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import images
from images import FOLDER, Guest

PROCESSORS = 2
MEMORY_MIB = 3072
BOOT_S = 15.0  # times the slowness
# A test is ended by guest.py at its deadline. If no report comes this much later, the guest hangs.
GRACE_S = 60.0
LOOK_S = 0.5
# Without erms and fsrm: emulated `rep stosb` is so slow that the kernel reports soft lockups in
# clear_page.
CPU = "max,erms=off,fsrm=off"
# no_timer_check: where the host is loaded, the emulated timer comes too late for the kernel's check
# at boot, and the guest hangs.
KERNEL_LINE = (
    "console=ttyS0 panic=-1 oops=panic mitigations=off nokaslr loglevel=4 no_timer_check"
)

Report = dict[str, object]


class GuestLost(Exception):
    """The guest ended, or hangs, before it has reported all."""


class Machine:
    """Use `with`. `reports` gives what the guest says until it has said that it is done."""

    def __init__(self, guest: Guest, plan: str, slowness: float) -> None:
        self._slowness = slowness
        self.console = FOLDER / f"console-{guest.version}.log"
        self._results = FOLDER / f"results-{guest.version}.log"
        for file in (self.console, self._results):
            file.write_bytes(b"")
        drives: list[str] = []
        for disk in guest.disks:
            drives += ["-drive", f"file={disk},if=virtio,format=raw,readonly=on"]
        scratch, initrd = images.make_scratch(), images.with_plan(guest, plan)
        drives += ["-drive", f"file={scratch},if=virtio,format=raw,cache=unsafe"]
        self._process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", CPU]
            + ["-smp", str(PROCESSORS), "-m", str(MEMORY_MIB), "-nographic", "-nodefaults"]
            + ["-no-reboot", "-serial", f"file:{self.console}", "-serial", f"file:{self._results}"]
            + ["-device", "virtio-rng-pci", *drives]
            + ["-kernel", str(guest.kernel), "-initrd", str(initrd), "-append", KERNEL_LINE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _await_line(self, stream: Iterator[bytes], deadline_s: float) -> Report:
        """The next report. A line may come in parts."""
        deadline = time.monotonic() + deadline_s
        line = b""
        while not line.endswith(b"\n"):
            ended = self._process.poll() is not None
            line += next(stream, b"")
            if line.endswith(b"\n"):
                break
            if ended:
                raise GuestLost("the guest ended" + self._said_by_qemu())
            if time.monotonic() > deadline:
                raise GuestLost(f"the guest has not reported for {deadline_s:.0f} s")
            time.sleep(LOOK_S)
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def _said_by_qemu(self) -> str:
        said = self._process.stderr.read().strip() if self._process.stderr else ""
        return f": {said[-300:]}" if said else ""

    def reports(self) -> Iterator[Report]:
        wait = BOOT_S * self._slowness
        with self._results.open("rb") as file:
            lines = iter(file.readline, None)
            while True:
                message = self._await_line(lines, wait)
                if message.get("done"):
                    return
                deadline = float(str(message.get("deadline_s", 0)))
                wait = deadline + GRACE_S * self._slowness
                yield message

    def end_of_console(self, lines: int = 40) -> str:
        text = self.console.read_text(errors="replace").replace("\r", "")
        return "\n".join("    " + line for line in text.splitlines()[-lines:])

    def await_end(self) -> None:
        """After the last report the guest logs what its kernel said, and powers off."""
        try:
            self._process.wait(GRACE_S * self._slowness)
        except subprocess.TimeoutExpired:
            raise GuestLost("the guest does not power off") from None

    def kernel_warnings(self) -> list[str]:
        text = self.console.read_text(errors="replace").replace("\r", "")
        _, _, rest = text.partition("guest: what the kernel logged\n")
        return [line for line in rest.partition("guest: end\n")[0].splitlines() if line]
