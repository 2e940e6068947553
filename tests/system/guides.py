#!/usr/bin/env python3
"""Every command of the README and of the guides, as a new user pastes it.

    guides.py            in a container of podman, whose root is this machine below an overlay
    guides.py --inside   in this system, which it changes: it installs packages

The commands are read from the pages, in their order. COMMANDS says what a user would put in for
names such as PID, and what is expected. A command that it does not know is a failure, so that no
page has a command that was never run.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import harness
from harness import ROOT, require
from podman import Podman, need_podman

# The README builds, install.md makes the packages, and the other pages use what they install.
PAGES = (
    "README.md",
    "docs/guide/install.md",
    "docs/guide/run.md",
    "docs/guide/top.md",
    "docs/guide/advise.md",
    "docs/guide/train.md",
    "docs/guide/metrics.md",
    "docs/guide/block.md",
    "docs/guide/library.md",
)
# containers.py runs those of containers.md, and testing.md is about the tests themselves.
BUILT = ROOT / "build" / "release" / "bin"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# Blocks of the pages that are no commands, by their first words.
TEXT = (
    "{",
    "scrape_configs:",
    "/usr/lib/@{multiarch}",
    "/var/tmp/cpython.pages:",
    "  codec",
    "  cpython.dict",
)
# Some 60 MiB, and its sum shows that all of it came back.
PROGRAM = """
rows = [f"row {number} " * 16 for number in range(300_000)]
print(sum(map(len, rows)))
"""
# Waits for the end of its standard input, with pages that compress.
WAITING = """
import sys
rows = [f"row {number} " * 16 for number in range(100_000)]
print("ready", flush=True)
sys.stdin.read()
"""


class Shell:
    """Runs what is pasted, in the source tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = folder / "pages"
        self.variables = {"HOME": str(folder), "PATH": f"{BUILT}:{PATH}", "LANG": "C.UTF-8"}
        self.variables["DEBIAN_FRONTEND"] = "noninteractive"

    def start(self, command: str, shell: str = "bash") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [shell, "-c", command],
            cwd=ROOT,
            env=self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str, shell: str = "bash") -> str:
        process = self.start(command, shell)
        printed, _ = process.communicate(timeout=harness.DEADLINE_S)
        require(process.returncode == 0, f"'{command}': {process.returncode}: {printed}")
        return printed

    def answers(self, command: str) -> bool:
        return subprocess.run(["bash", "-c", command], capture_output=True).returncode == 0

    def waiting(self) -> subprocess.Popen[str]:
        """A program whose memory can be looked at."""
        process = subprocess.Popen(
            ["/usr/bin/python3", "-c", WAITING],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        require(process.stdout.readline() == "ready\n", "the waiting program did not start")
        return process


Action = Callable[[Shell, str], None]


def as_is(shell: Shell, command: str) -> None:
    shell.run(command)


def program(shell: Shell, command: str) -> None:
    """Names a program of the user's."""
    name = command.split()[-1]
    path = shell.folder / name
    path.write_text(PROGRAM)
    printed = shell.run(command.replace(name, str(path)))
    expected = sum(len(f"row {number} ") * 16 for number in range(300_000))
    require(str(expected) in printed.split(), f"'{command}': {printed}")


def of_process(shell: Shell, command: str) -> None:
    """Names the number of a process, and maybe a file for the result."""
    with shell.waiting() as process:
        filled = command.replace("PID", str(process.pid))
        shell.run(filled.replace("NAME.dict", str(shell.folder / "process.dict")))
        process.communicate("")


def of_pages(shell: Shell, command: str) -> None:
    """Names a file of pages: the text of the Python library."""
    texts = sorted(Path("/usr/lib/python3").glob("*/**/*.py"))
    content = b"".join(path.read_bytes() for path in texts[:2000])[: 32 << 20]
    shell.pages.write_bytes(content[: len(content) // 4096 * 4096])
    filled = command.replace("FILE", str(shell.pages))
    shell.run(filled.replace("NAME.dict", str(shell.folder / "pages.dict")))


def of_run(shell: Shell, command: str) -> None:
    """Names the number of a run."""
    program = f"uzswap run --limit 200M -- /usr/bin/python3 -c '{WAITING}'"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {program}"],
        env=shell.variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        require(process.stdout.readline() == "ready\n", "the run did not start")
        shell.run(command.replace("ID", str(process.pid)))
        process.communicate("")


def redis(shell: Shell, command: str) -> None:
    """A server that runs until it is told to end."""
    process = shell.start(command)
    try:
        harness.wait_until("redis answers", lambda: shell.answers("redis-cli ping | grep PONG"))
        if "--metrics" in command:
            expected = "curl -s http://127.0.0.1:9400/metrics | grep uzswap_"
            harness.wait_until("the figures are offered", lambda: shell.answers(expected))
    finally:
        subprocess.run(["redis-cli", "shutdown", "nosave"], capture_output=True)
        printed, _ = process.communicate(timeout=harness.END_S)
    require(process.returncode == 0, f"'{command}': {process.returncode}: {printed}")


def beside_redis(_: Shell, command: str) -> None:
    """`redis` runs it, while the server is there."""
    require(command == "curl http://127.0.0.1:9400/metrics", f"'{command}' is not run")


def has_ended(number: int) -> bool:
    """Here nobody may reap what a server leaves behind."""
    try:
        return ") Z " in Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return True


def disk(shell: Shell, command: str) -> None:
    """A server that goes into the background."""
    if command.startswith("nbdkit uzswap"):
        shell.run("apt-get install -y ./build/packages/*.deb")
    pid_file = shell.folder / "nbdkit.pid"
    shell.run(command.replace("nbdkit ", f"nbdkit -P {pid_file} ", 1))
    try:
        size = shell.run("nbdinfo --size nbd://localhost").strip()
        require(size == str(16 << 30), f"'{command}': {size}")
    finally:
        number = int(pid_file.read_text())
        os.kill(number, signal.SIGTERM)
        harness.wait_until("nbdkit ends", lambda: has_ended(number))


def installed_example(shell: Shell, command: str) -> None:
    shell.run(command.replace("-B build", f"-B {shell.folder}/example").replace(
        "--build build", f"--build {shell.folder}/example"))


def install(shell: Shell, command: str) -> None:
    """From here on the commands are those of the package."""
    shell.run(command)
    shell.variables["PATH"] = PATH
    require(shell.run("command -v uzswap").strip() == "/usr/bin/uzswap", "which uzswap is run")


def add_user(shell: Shell, command: str) -> None:
    shell.run("useradd tester")
    shell.run(command.replace("NAME", "tester"))


def complete_in(name: str) -> Action:
    def complete(shell: Shell, command: str) -> None:
        load = "; autoload -U compinit; compinit -u -D; whence -w _uzswap" if name == "zsh" else ""
        shell.run(command + load, name)

    return complete


def purge(shell: Shell, command: str) -> None:
    """The last command: all packages were installed."""
    shell.run(command.replace("apt-get purge", "apt-get purge -y"))
    left = subprocess.run(["which", "uzswap"], capture_output=True, env={"PATH": PATH}).returncode
    require(left != 0, "uzswap is still there")


def not_run(_: Shell, __: str) -> None:
    """`scripts/test` runs this test, and the demo makes memory cgroups, which needs the host."""


COMMANDS: dict[str, Action] = {
    "uzswap run --limit 512M -- redis-server": redis,
    "scripts/demo": not_run,
    "scripts/test": not_run,
    "cmake --preset release && cmake --build --preset release -j2": as_is,
    "build/release/bin/uzswap run --limit 200M --summary -- python3 your_program.py": program,
    "uzswap run --limit 200M --summary -- python3 job.py": program,
    "uzswap run --limit 200M --backing /var/tmp -- python3 job.py": program,
    "uzswap check": as_is,
    "uzswap ps": as_is,
    "uzswap top --once": as_is,
    "uzswap set ID limit=300M": of_run,
    "uzswap shrink ID --to 100M": of_run,
    "uzswap advise PID": of_process,
    "uzswap advise --pages FILE": of_pages,
    "uzswap advise --pages FILE --json": of_pages,
    "uzswap train PID -o NAME.dict": of_process,
    "uzswap train --pages FILE -o NAME.dict": of_pages,
    "uzswap run --limit 512M --metrics 127.0.0.1:9400 -- redis-server": redis,
    "curl http://127.0.0.1:9400/metrics": beside_redis,
    "nbdkit uzswap 16G limit=2G backing=/var/tmp": disk,
    "nbdkit build/release/lib/nbdkit-uzswap-plugin.so 16G limit=2G": disk,
    "cmake --install build/release --prefix /usr/local": as_is,
    "cmake -S examples/library -B build -DCMAKE_PREFIX_PATH=/usr/local"
    " && cmake --build build": installed_example,
    "scripts/package": as_is,
    "apt-get install ./build/packages/uzswap_*.deb": install,
    "adduser NAME uzswap": add_user,
    "source contrib/completion/uzswap.bash": complete_in("bash"),
    "source contrib/completion/uzswap.fish": complete_in("fish"),
    "fpath=($PWD/contrib/completion $fpath)": complete_in("zsh"),
    "apt-get purge uzswap libuzswap0 libuzswap-dev python3-uzswap nbdkit-plugin-uzswap": purge,
}


def blocks(page: str) -> Iterator[list[str]]:
    """Indented blocks, without those in fences and lists."""
    block: list[str] = []
    fenced = False
    for line in [*(ROOT / page).read_text().splitlines(), ""]:
        if line.startswith("```"):
            fenced = not fenced
        if line.startswith("    ") and not fenced:
            block.append(line[4:])
        elif block:
            yield block
            block = []


def commands(page: str) -> Iterator[str]:
    for block in blocks(page):
        if block[0].startswith((*TEXT, "$ ")):
            continue
        for line in block:
            # A comment, or a description in a second column.
            yield re.split(r"\s+#\s|\s{4,}", line)[0].strip()


def inside() -> int:
    with tempfile.TemporaryDirectory(prefix="uzswap-guides-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        shell = Shell(Path(name))
        last = []
        for page in PAGES:
            started = time.monotonic()
            found = list(commands(page))
            for command in found:
                require(command in COMMANDS, f"{page}: '{command}' is not known to this test")
                if COMMANDS[command] is purge:
                    last.append(command)
                else:
                    COMMANDS[command](shell, command)
            seconds = time.monotonic() - started
            print(f"{page}: {len(found)} commands, {seconds:.0f} s", flush=True)
        for command in last:
            purge(shell, command)
    return 0


def main() -> int:
    if sys.argv[1:] == ["--inside"]:
        return inside()
    need_podman()
    with harness.scratch_folder() as name, Podman(Path(name)) as podman:
        script = str(Path(__file__).resolve())
        options = ("--device", "/dev/userfaultfd", "--workdir", str(ROOT))
        status, printed = podman.run(options, ("/usr/bin/python3", script, "--inside"))
        require(status == 0, f"status {status}: {printed}")
        print(printed.strip())
    return 0


if __name__ == "__main__":
    harness.exit_with(main)
