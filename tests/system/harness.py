#!/usr/bin/env python3
"""Runs whole programs in memory cgroups and measures what they hold.

    harness.py --probe      prints what this machine lacks; status 0 if nothing is missing

As a module: `Cgroup` is a memory cgroup of version 1 or 2, without swap unless told. `run` runs a
command in one and returns a `Run`: status, output, seconds, kernel kills, peaks. In every case the
processes are killed and the cgroup is removed afterwards.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import json
import os
import platform
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
MIB = 1 << 20
SKIP = 77  # what ctest takes for "skipped"
LEAST_LIMIT = 8 * MIB  # uzswap accepts no smaller one
HEADROOM = 24 * MIB  # a cgroup's limit above what the tree may hold in anonymous memory
# Deadlines are only against hangs. A slow machine, for example an emulated one, may need longer
# ones.
SLOWNESS = float(os.environ.get("UZSWAP_TEST_SLOWNESS", "1"))
DEADLINE_S = 300.0 * SLOWNESS
END_S = 60.0 * SLOWNESS  # for processes that have been killed or asked to end
STACKS_MOST = 60
SETTLE_S = 20.0 * SLOWNESS  # for processes that end by themselves after the command

# --- the limit, as the README promises it ---
# Growth is watched, not intercepted. Between two looks of the reclaim daemon a program can touch
# new pages above the limit, and how many depends on how long the daemon waits for a processor.
# A bound on the single highest sample therefore fails on a loaded machine without a defect.
# What holds on every machine, and is counted in samples instead of measured in time:
#   - no sample is above the limit and HEADROOM. The cgroup enforces this too: the kernel kills;
#   - samples above the limit, TOLERANCE and SLACK are rare: bursts that reclaim ends. A daemon
#     that reclaims too late, too little or not at all is above that level most of the time.
TOLERANCE = 0.02
SLACK = 4 * MIB
OVER_PER_MILLE = 10
# One burst is never a failure by itself, also in a short run with few samples. A kernel without
# preemption can keep all processors in system calls for 60 ms; meanwhile the program that reads a
# file takes 10 MiB. To store as much, with a pool that must be written first, beside another
# program and a build, took up to 160 ms (decision 0025).
OVER_SAMPLES_LEAST = 250


def end_orderly(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


# A signal to end must not leave processes and cgroups behind.
for _number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(_number, end_orderly)


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """A request to end waits until the block has ended."""
    requests = {signal.SIGTERM, signal.SIGHUP, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, requests)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def bin_folder() -> Path:
    return Path(os.environ.get("UZSWAP_BIN", ROOT / "build" / "release" / "bin"))


def fail(message: str) -> NoReturn:
    print(f"FAILED: {message}", flush=True)
    sys.exit(1)


def skip(reason: str) -> NoReturn:
    """Exits with ctest's skip status. With UZSWAP_NO_SKIP a skip is a failure."""
    if os.environ.get("UZSWAP_NO_SKIP"):
        fail(f"skipped although this machine offers everything: {reason}")
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIP)


def wait_until(what: str, condition: Callable[[], bool], seconds: float = END_S) -> None:
    """Polls until the condition holds. The deadline is for the broken case only."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.002)


# --- cgroups -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hierarchy:
    """Where memory cgroups can be made: the parent folder and the interface's version."""

    parent: Path
    version: int


def own_cgroup(controller: str) -> str:
    """The path of this process in the hierarchy of a controller ('' is version 2's)."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def mounts(kind: str) -> list[tuple[Path, list[str]]]:
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == kind:
            found.append((Path(words[1]), words[3].split(",")))
    return found


def candidates() -> Iterator[Hierarchy]:
    """The own cgroup first, then its parents, so that existing limits stay in force."""
    for mount, options in mounts("cgroup"):
        if "memory" in options:
            yield Hierarchy(mount / own_cgroup("memory").lstrip("/"), 1)
            yield Hierarchy(mount, 1)
    for mount, _ in mounts("cgroup2"):
        path = mount / own_cgroup("").lstrip("/")
        for folder in (path, *path.parents):
            if folder == mount.parent:
                break
            yield Hierarchy(folder, 2)


def usable(hierarchy: Hierarchy) -> bool:
    parent = hierarchy.parent
    if hierarchy.version == 2:
        if "memory" not in read_words(parent / "cgroup.controllers"):
            return False
        if "memory" not in read_words(parent / "cgroup.subtree_control"):
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text("+memory")
        if "memory" not in read_words(parent / "cgroup.subtree_control"):
            return False
    try:
        trial = Cgroup(hierarchy, 64 * MIB)
    except OSError:
        return False
    with trial:
        return True


def read_words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def find_hierarchy() -> Hierarchy | None:
    return next((one for one in candidates() if usable(one)), None)


def cgroup_prefix() -> str:
    """A test that counts cgroups must not count those of another run on this machine."""
    return f"uzswap-{os.environ.get('UZSWAP_CGROUP_MARK', '')}"


class Cgroup:
    """One memory cgroup; made and removed by `with`. With `swap`, what is above the limit may go to
    the machine's swap."""

    def __init__(self, hierarchy: Hierarchy, limit: int | None, swap: bool = False) -> None:
        self.version = hierarchy.version
        self._swap = swap
        # A request to end may come before `with` has entered.
        with unbroken():
            self.path = Path(tempfile.mkdtemp(prefix=cgroup_prefix(), dir=hierarchy.parent))
            atexit.register(self.__exit__)
        try:
            self._set_limit(limit)
        except OSError:
            self.__exit__()
            raise

    def _set_limit(self, limit: int | None) -> None:
        if limit is None:
            return
        if self.version == 1:
            (self.path / "memory.limit_in_bytes").write_text(str(limit))
            swap_limit = ("memory.memsw.limit_in_bytes", str(limit))
        else:
            (self.path / "memory.max").write_text(str(limit))
            swap_limit = ("memory.swap.max", "0")
        if not self._swap:
            with contextlib.suppress(OSError):
                (self.path / swap_limit[0]).write_text(swap_limit[1])

    def __enter__(self) -> Cgroup:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        wait_until("removing the cgroup", self._try_remove)
        atexit.unregister(self.__exit__)

    def _try_remove(self) -> bool:
        try:
            self.path.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self.kill_all()
            return False
        return True

    def enter_command(self) -> list[str]:
        """The shell enters the cgroup and executes the command: all its pages are charged there."""
        script = 'echo $$ > "$0" && exec "$@"'
        return ["/bin/sh", "-c", script, str(self.path / "cgroup.procs")]

    def sampler_arguments(self, _: subprocess.Popen[bytes]) -> list[str]:
        return ["--cgroup", str(self.path)]

    def pids(self) -> list[int]:
        return [int(word) for word in read_words(self.path / "cgroup.procs")]

    def kill_all(self) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def oom_kills(self) -> int:
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        for line in (self.path / name).read_text().splitlines():
            key, value = line.split()
            if key == "oom_kill":
                return int(value)
        return 0

    def anon(self) -> int:
        """The anonymous memory charged now."""
        key = "total_rss" if self.version == 1 else "anon"
        words = read_words(self.path / "memory.stat")
        return int(words[words.index(key) + 1]) if key in words else 0

    def major_faults(self) -> int:
        """Faults that had to read a page from swap or from a file."""
        key = "total_pgmajfault" if self.version == 1 else "pgmajfault"
        words = read_words(self.path / "memory.stat")
        return int(words[words.index(key) + 1]) if key in words else 0

    def peak(self) -> int:
        """All memory ever charged at once, file cache included; 0 where not reported."""
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        words = read_words(self.path / name)
        return int(words[0]) if words else 0


class NoCgroup:
    """Stands in where cgroups cannot be used: no limit, and peaks of processes only."""

    def __enter__(self) -> NoCgroup:
        self._leader: subprocess.Popen[bytes] | None = None
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()

    def enter_command(self) -> list[str]:
        return []

    def sampler_arguments(self, leader: subprocess.Popen[bytes]) -> list[str]:
        self._leader = leader
        return ["--pid", str(leader.pid)]

    def pids(self) -> list[int]:
        alive = self._leader is not None and self._leader.poll() is None
        return [self._leader.pid] if alive and self._leader is not None else []

    def kill_all(self) -> None:
        if self._leader is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._leader.pid, signal.SIGKILL)

    def oom_kills(self) -> int:
        return 0

    def major_faults(self) -> int:
        return 0

    def peak(self) -> int:
        return 0

    def anon(self) -> int:
        total = 0
        for pid in self.pids():
            words = read_words(Path(f"/proc/{pid}/statm"))
            if words:
                total += (int(words[1]) - int(words[2])) * os.sysconf("SC_PAGESIZE")
        return total


Group = Cgroup | NoCgroup
Leader = subprocess.Popen  # the process that was started first
Client = Callable[[Group, "subprocess.Popen[bytes]"], None]


# --- what the machine offers -------------------------------------------------------------------

UFFD_SYSCALL = {"x86_64": 323, "aarch64": 282}
UFFDIO_API = 0xC018AA3F
UFFD_API = 0xAA
UFFD_FEATURE_MOVE = 1 << 16


def has_userfaultfd_move() -> bool:
    number = UFFD_SYSCALL.get(platform.machine())
    if number is None:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(number, os.O_CLOEXEC)
    if descriptor < 0:
        return False
    request = ctypes.create_string_buffer(struct.pack("QQQ", UFFD_API, 0, 0))
    status = libc.ioctl(descriptor, ctypes.c_ulong(UFFDIO_API), request)
    os.close(descriptor)
    features = struct.unpack("QQQ", request.raw[:24])[1]
    return status == 0 and bool(features & UFFD_FEATURE_MOVE)


def missing_facilities() -> list[str]:
    missing = []
    if os.geteuid() != 0:
        missing.append("not root")
    if not has_userfaultfd_move():
        missing.append("no userfaultfd with MOVE (Linux 6.8)")
    if find_hierarchy() is None:
        missing.append("no memory cgroup can be made")
    return missing


def require_machine() -> Hierarchy:
    """Skips the test unless everything that whole-program tests need is here."""
    missing = missing_facilities()
    if missing:
        skip(", ".join(missing))
    hierarchy = find_hierarchy()
    assert hierarchy is not None
    return hierarchy


# --- running -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What one run of a command did."""

    status: int  # the exit status, or minus the signal
    output: bytes
    errors: str
    seconds: float
    oom_kills: int
    cgroup_peak: int  # all charged memory
    cgroup_anon: int  # anonymous memory of the whole tree, shared pages counted once
    process_anon: int  # RssAnon of the largest process
    samples_per_second: float
    samples: int = 0
    samples_over: int = 0  # above what `over` allowed
    major_faults: int = 0
    timed_out: bool = False
    left_behind: tuple[str, ...] = ()  # processes that did not end by themselves, if asked for
    stats: dict[str, object] = field(default_factory=dict)

    @property
    def killed(self) -> bool:
        return self.oom_kills > 0

    @property
    def anon_peak(self) -> int:
        """What counts against a limit: the cgroup's figure for a tree, else the process's."""
        return max(self.process_anon, self.cgroup_anon)

    def describe_end(self) -> str:
        if self.timed_out:
            return "did not end"
        if self.killed:
            return f"killed by the kernel for its memory ({self.oom_kills} processes)"
        return f"status {self.status}" if self.status >= 0 else f"signal {-self.status}"


def stacks_of(pids: list[int]) -> str:
    """The kernel stacks of the threads, for a run that does not end; not of thousands of them."""
    lines = []
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                frames = [line.split()[-1] for line in (task / "stack").read_text().splitlines()]
                state = (task / "stat").read_text().rsplit(")", 1)[1].split()[0]
                name = (task / "comm").read_text().strip()
                lines.append(f"  {pid}/{task.name} {name} {state}: {' < '.join(frames[:6])}")
    return "\n".join(lines[:STACKS_MOST])


# What a run reports that is not sampled.
UNSAMPLED = dict.fromkeys(
    ("peak_cgroup_anon", "peak_process_anon", "samples_per_second", "samples", "samples_over"), 0.0
)


@contextlib.contextmanager
def sampling(arguments: list[str]) -> Iterator[dict[str, float]]:
    """Fills the dictionary with the sampler's findings when the block ends."""
    findings: dict[str, float] = {}
    sampler = subprocess.Popen(
        [bin_folder() / "sampler", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield findings
    finally:
        try:
            output, _ = sampler.communicate(b"", timeout=END_S)
        finally:
            sampler.kill()
        # Nothing if the sampler was ended too. Then the failure of the block is what counts.
        if output:
            findings.update(json.loads(output))


COMPACT = Path("/proc/sys/vm/compact_memory")


def migrated_pages() -> int:
    text = Path("/proc/vmstat").read_text()
    return next(
        int(line.split()[1]) for line in text.splitlines() if line.startswith("pgmigrate_success")
    )


@contextlib.contextmanager
def meanwhile(pause: float, work: Callable[[], object]) -> Iterator[None]:
    """Does the work again and again, with pauses of so many seconds, until the block ends."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(pause):
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(END_S)
        if thread.is_alive():
            raise TimeoutError(f"the work beside the run did not end within {END_S:.0f} s")


@contextlib.contextmanager
def migrating() -> Iterator[dict[str, int]]:
    """Has the kernel compact its memory again and again until the block ends, and reports how
    many pages it gave another place meanwhile."""
    if not os.access(COMPACT, os.W_OK):
        skip(f"{COMPACT} can be written to by root only")
    before = migrated_pages()
    found = {"pages": 0}
    # With pauses the program gets on: else a small machine would do nothing else.
    with meanwhile(0.01, lambda: COMPACT.write_text("1")):
        yield found
    found["pages"] = migrated_pages() - before


class Problem(Exception):
    """A run did not do what it has to do; the text says what."""


def without_options() -> dict[str, str]:
    """The environment, without what would be options of uzswap."""
    return {name: text for name, text in os.environ.items() if not name.startswith("UZSWAP_")}


def call(*command: str) -> str:
    """What the command prints; a command that fails is a problem."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
        env=without_options(),
    )
    if done.returncode != 0:
        raise Problem(f"{command}: status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def require(condition: bool, message: str) -> None:
    if not condition:
        raise Problem(message)


class ClientFailed(Exception):
    """The client of a command could not continue; reports what became of the command."""

    def __init__(self, oom_kills: int, details: str) -> None:
        super().__init__(details)
        self.oom_kills = oom_kills


def client_failure(
    process: subprocess.Popen[bytes], group: Group, errors: IO[bytes], cause: Exception
) -> ClientFailed:
    """Gathers what there is to know and ends the command."""
    kills = group.oom_kills()
    # A server that dies closes its socket some time before it can be waited for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    ended = process.returncode
    state = f"ended with {ended}" if ended is not None else "lives:\n" + stacks_of(group.pids())
    group.kill_all()
    process.wait(END_S)
    errors.seek(0)
    text = errors.read().decode(errors="replace")[-2000:]
    return ClientFailed(kills, f"client: {cause!r}; kernel kills: {kills}; it {state}\n{text}")


def wait_for(process: subprocess.Popen[bytes], group: Group, deadline: float) -> bool:
    """Waits for the end; True if it did not come, and the processes were killed for it."""
    try:
        process.wait(deadline)
        return False
    except subprocess.TimeoutExpired:
        print(f"no end after {deadline:.0f} s:\n{stacks_of(group.pids())}", flush=True)
        group.kill_all()
        process.wait(END_S)
        return True


def left_behind(group: Group) -> tuple[str, ...]:
    """The processes that do not end by themselves, soon after the command has ended."""
    with contextlib.suppress(TimeoutError):
        wait_until("the end of the last process", lambda: not group.pids(), SETTLE_S)
    names = []
    for pid in group.pids():
        with contextlib.suppress(OSError):
            names.append(f"{pid} {Path(f'/proc/{pid}/comm').read_text().strip()}")
    return tuple(names)


def start_in(
    group: Group,
    command: list[str],
    outputs: tuple[IO[bytes], IO[bytes]],
    folder: Path | None,
    environment: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*group.enter_command(), *command],
        stdin=subprocess.DEVNULL,
        stdout=outputs[0],
        stderr=outputs[1],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def run(
    command: list[str],
    hierarchy: Hierarchy | None,
    limit: int | None = None,
    deadline: float = DEADLINE_S,
    folder: Path | None = None,
    during: Client | None = None,
    over: int | None = None,
    environment: Mapping[str, str] | None = None,
    settle: bool = False,
    swap: bool = False,
    sampled: bool = True,
) -> Run:
    """Runs a command in a fresh memory cgroup (in none, where there is no hierarchy) to its end
    or the kernel's; `during` is what a client of it does meanwhile, outside the cgroup. Samples
    above `over` bytes of anonymous memory are counted. `environment` is added to the own one. With
    `settle`, processes that outlive the command are reported. With `swap`, the cgroup may use the
    machine's. The sampler keeps a processor awake: a run that is timed is not `sampled`."""
    with contextlib.ExitStack() as stack:
        cgroup = Cgroup(hierarchy, limit, swap) if hierarchy else NoCgroup()
        group = stack.enter_context(cgroup)
        output = stack.enter_context(tempfile.TemporaryFile())
        errors = stack.enter_context(tempfile.TemporaryFile())
        start = time.monotonic()
        process = start_in(group, command, (output, errors), folder, environment)
        arguments = group.sampler_arguments(process)
        if over is not None:
            arguments += ["--over", str(over)]
        with sampling(arguments) if sampled else contextlib.nullcontext(UNSAMPLED) as samples:
            try:
                if during is not None:
                    during(group, process)
            except (OSError, RuntimeError, ValueError) as cause:
                raise client_failure(process, group, errors, cause) from cause
            timed_out = wait_for(process, group, deadline)
            seconds = time.monotonic() - start
            left = left_behind(group) if settle and not timed_out else ()
        errors.seek(0)
        output.seek(0)
        return Run(
            status=process.returncode,
            output=output.read(),
            errors=errors.read().decode(errors="replace"),
            seconds=seconds,
            oom_kills=group.oom_kills(),
            cgroup_peak=group.peak(),
            cgroup_anon=int(samples["peak_cgroup_anon"]),
            process_anon=int(samples["peak_process_anon"]),
            samples_per_second=samples["samples_per_second"],
            samples=int(samples["samples"]),
            samples_over=int(samples["samples_over"]),
            major_faults=group.major_faults(),
            timed_out=timed_out,
            left_behind=left,
        )


def uzswap_command(limit: int, stats: Path, options: list[str] | None = None) -> list[str]:
    program = os.environ.get("UZSWAP_PROGRAM") or str(bin_folder() / "uzswap")
    return [program, "run", "--limit", str(limit), "--stats", str(stats), *(options or []), "--"]


def run_limited(
    command: list[str],
    hierarchy: Hierarchy | None,
    limit: int,
    options: list[str] | None = None,
    deadline: float = DEADLINE_S,
    folder: Path | None = None,
    during: Client | None = None,
    bounded: bool = True,
    environment: Mapping[str, str] | None = None,
    settle: bool = False,
) -> Run:
    """Runs a command under uzswap, if `bounded` in a cgroup of the limit and the headroom."""
    with tempfile.TemporaryDirectory() as scratch:
        stats = Path(scratch) / "stats.json"
        with watching(stats, "backing_file_bytes") as highest:
            result = run(
                uzswap_command(limit, stats, options) + command,
                hierarchy,
                limit + HEADROOM if bounded else None,
                deadline=deadline,
                folder=folder,
                during=during,
                over=allowed_usually(limit),
                environment=environment,
                settle=settle,
            )
        found = {**read_stats(stats), **highest}
    return Run(**{**result.__dict__, "stats": found})


def allowed_usually(limit: int) -> int:
    """What only a burst may exceed."""
    return int(limit * (1 + TOLERANCE)) + SLACK


def limit_problem(result: Run, limit: int) -> str | None:
    """How the run broke its limit, or None; the rules are described at TOLERANCE."""
    usually, ever = allowed_usually(limit), limit + HEADROOM
    peak = f"peak {result.anon_peak / MIB:.1f} MiB"
    if result.anon_peak > ever:
        return f"{peak}, and {ever / MIB:.1f} are never allowed"
    over_most = max(OVER_SAMPLES_LEAST, result.samples * OVER_PER_MILLE // 1000)
    if result.samples_over > over_most:
        return (
            f"above {usually / MIB:.1f} MiB in {result.samples_over} of {result.samples} samples,"
            f" {over_most} are allowed; {peak}"
        )
    return None


def figure_of(stats: Mapping[str, object], name: str) -> int:
    """A figure of the statistics. A name that is not in them is a mistake, never a zero."""
    value = stats.get(name)
    if not isinstance(value, int):
        raise Problem(f"the statistics have no figure {name!r}: {sorted(stats) or 'empty'}")
    return value


def read_stats(path: Path) -> dict[str, object]:
    """What uzswap reports at the moment; nothing before its first report."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    assert isinstance(found, dict)
    return found


@contextlib.contextmanager
def watching(stats: Path, name: str) -> Iterator[dict[str, int]]:
    """Notes the highest level of a figure in a statistics file that is rewritten meanwhile."""
    key = f"{name}_highest"
    highest = {key: 0}

    def look() -> None:
        value = read_stats(stats).get(name)
        if isinstance(value, int):
            highest[key] = max(highest[key], value)

    with meanwhile(0.25, look):
        yield highest


def parse_size(text: str) -> int:
    factor = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1])
    return int(float(text[:-1]) * factor) if factor else int(text)


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder on a real file system: a cgroup is charged for what lies in one of memory."""
    return tempfile.TemporaryDirectory(prefix="uzswap-", dir="/var/tmp")


def run_scenes(scenes: Mapping[str, Callable[[Path], str]], names: Sequence[str]) -> int:
    """Runs the named scenes, all if none is named, each with a folder of its own."""
    for name in names or scenes:
        with scratch_folder() as folder:
            print(f"{name}: {scenes[name](Path(folder))}", flush=True)
    return 0


def exit_with(main: Callable[[], int]) -> NoReturn:
    """For scripts of scenes: what went wrong is reported in a line, without a traceback."""
    try:
        sys.exit(main())
    except (Problem, subprocess.TimeoutExpired, TimeoutError) as problem:
        fail(str(problem))


def have_uzswap() -> bool:
    return bool(os.environ.get("UZSWAP_PROGRAM")) or (bin_folder() / "uzswap").exists()


def main() -> int:
    if sys.argv[1:] != ["--probe"]:
        print(__doc__)
        return 2
    missing = missing_facilities()
    print("missing: " + ", ".join(missing) if missing else "nothing is missing")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
