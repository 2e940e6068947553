"""The table of the transparency tests: what a program does, and what is expected of uzswap.

Each row is a command that is run without uzswap and then under `uzswap run`. Status and output have
to be the same. What else is expected is in the row; `Row` describes the columns. Words of a command
in braces are replaced: {bin} is the folder of the test programs.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from actions import (
    Action,
    await_verdict,
    kill_others,
    kill_program,
    kill_runner,
    let_end,
    stop_and_continue,
)
from known import KNOWN, ONLY_LIMIT, SOMETIMES

SET = "72"  # MiB: what most programs need
LIMIT_MIB = 40  # what they get
PYTHON = "/usr/bin/python3"


class Held(enum.Enum):
    """What is expected of the limit."""

    ALWAYS = "held"  # the limit, 2 % and 4 MiB, as tests/system/harness.py checks it
    TOLD = "held or told"  # or a message says that it is exceeded, or that a process is not limited
    FREE = "not checked"


@dataclass(frozen=True)
class Row:
    """One behaviour.

    group           the test of ctest that it belongs to
    short           part of `--short`, which continuous integration runs
    limit_mib       for `uzswap run --limit`
    evicts          pages have to be swapped out; the programs wait for it (AwaitEviction)
    says            a pattern: exactly one line of uzswap's matches it. Other lines of uzswap's are
                    failures, but for those that `Held.TOLD` permits
    status          of the run without uzswap; the run under uzswap has to have the same
    ends            other states that the run under uzswap may end with, and then its output is free
    action          what happens to the processes meanwhile
    result          a file in which a process that lives on leaves its verdict
    pids_max        the tasks that a pids cgroup around the program allows
    needs           commands without which the row is left out
    expected_today  why the row fails today, from known.py. If it passes nevertheless, the suite
                    fails, and the text has to go. `sometimes`: it depends on a race, and both are
                    accepted. `only_limit`: it must not fail otherwise than by its limit
    """

    name: str
    group: str
    command: tuple[str, ...]
    short: bool = False
    limit_mib: int = LIMIT_MIB
    held: Held = Held.ALWAYS
    evicts: bool = True
    says: str = ""
    status: int = 0
    ends: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    action: Action | None = None
    result: str = ""
    pids_max: int = 0
    needs: tuple[str, ...] = ()
    expected_today: str = ""
    sometimes: bool = False
    only_limit: bool = False


def program(name: str, *arguments: str) -> tuple[str, ...]:
    return ("{bin}/" + name, *arguments)


# --- memory: locks, limits, and memory that is given back ---------------------------------------


def lock_row(mode: str) -> Row:
    return Row(
        name=f"mlockall-{mode}",
        group="memory",
        command=program("lock_all", mode, "48"),
        held=Held.TOLD,
        evicts=not mode.endswith("-first"),
    )


def room_row(which: str, mib: int) -> Row:
    """The program sets the limit itself."""
    return Row(
        name=f"rlimit-{which}-{mib}M",
        group="memory",
        command=program("room", which + ":set", str(mib), SET),
    )


def ulimit_row(which: str, mib: int) -> Row:
    """A shell sets the limit: the engine starts under it."""
    letter = "v" if which == "as" else "d"
    script = f'ulimit -{letter} {mib * 1024}; exec "$@"'
    return Row(
        name=f"ulimit-{which}-{mib}M",
        group="memory",
        command=("/bin/sh", "-c", script, "sh", *program("room", which, str(mib), SET)),
    )


MEMORY = [
    lock_row("current-late"),
    lock_row("future-first"),
    lock_row("future-late"),
    lock_row("onfault-first"),
    lock_row("onfault-late"),
    lock_row("unlocked"),
    room_row("as", 320),
    room_row("as", 1024),
    room_row("as", 2048),
    room_row("as", 4096),
    room_row("as", 8192),
    room_row("data", 320),
    room_row("data", 2048),
    room_row("data", 8192),
    ulimit_row("as", 320),
    ulimit_row("as", 2048),
    ulimit_row("as", 8192),
    ulimit_row("data", 320),
    ulimit_row("data", 2048),
    Row(name="madvise-free", group="memory", command=program("give_back", "free", SET)),
    Row(name="madvise-dontneed", group="memory", command=program("give_back", "dontneed", SET)),
    Row(name="madvise-guard", group="memory", command=program("give_back", "guard", SET)),
    Row(name="huge-pages", group="memory", command=program("give_back", "huge", SET)),
    Row(name="huge-collapse", group="memory", command=program("give_back", "collapse", SET)),
]

# --- identity: what a process is and may do -----------------------------------------------------


def drop_row(what: str, when: str) -> Row:
    return Row(
        name=f"fork-after-{what}-{when}",
        group="identity",
        command=program("drop_and_fork", what, when, "48"),
        limit_mib=28,
        held=Held.ALWAYS if when == "small" else Held.TOLD,
        evicts=when != "small",
    )


def seccomp_row(action: str, when: str, who: str) -> Row:
    return Row(
        name=f"seccomp-{action}-{when}-{who}",
        group="identity",
        command=program("seccomp", action, when, who, "48"),
    )


def escape_row(name: str, command: tuple[str, ...], **columns: object) -> Row:
    """A process that may not be managed: then it is named in a message, or it has to be held."""
    values: dict[str, object] = {"held": Held.TOLD, "evicts": False, **columns}
    return Row(name=name, group="identity", command=command, **values)  # type: ignore[arg-type]


NOT_LIMITED = r"^uzswap: .*{}.*not limited"
OWN_COPY = 'install -m 4755 -o nobody "$1" ./copy && exec ./copy "$2"'

IDENTITY = [
    *(
        drop_row(what, when)
        for what in ("chroot", "user", "both", "nothing")
        for when in ("small", "early", "late")
    ),
    *(
        seccomp_row(action, when, "all")
        for action in ("kill", "thread", "errno")
        for when in ("early", "late")
    ),
    *(seccomp_row(action, "late", "one") for action in ("kill", "thread", "errno")),
    escape_row(
        "setpriv",
        ("setpriv", "--reuid=62000", "--regid=62000", "--clear-groups", *program("plain", SET)),
        needs=("setpriv",),
    ),
    escape_row("env-i", ("env", "-i", *program("plain", SET))),
    escape_row("env-preload", ("env", "LD_PRELOAD={bin}/libhostile.so", *program("plain", SET))),
    escape_row("env-no-preload", ("env", "-u", "LD_PRELOAD", *program("plain", SET))),
    escape_row(
        "static",
        ("/bin/sh", "-c", '"$@"; exit $?', "sh", *program("plain_static", SET)),
        says=NOT_LIMITED.format("plain_static"),
    ),
    escape_row(
        "setuid",
        ("/bin/sh", "-c", OWN_COPY, "sh", *program("plain", SET)),
        says=NOT_LIMITED.format("copy"),
    ),
    Row(
        name="unshare-pid",
        group="identity",
        command=("unshare", "--fork", "--pid", "--mount-proc", *program("plain", SET)),
        needs=("unshare",),
    ),
    Row(name="setsid", group="identity", command=("setsid", "-w", *program("plain", SET))),
    Row(name="nohup", group="identity", command=("nohup", "setsid", "-w", *program("plain", SET))),
    Row(
        name="ulimit-n-4",  # the loader itself needs the fourth
        group="identity",
        command=("/bin/sh", "-c", 'ulimit -n 4; exec "$@"', "sh", *program("plain", SET)),
        held=Held.TOLD,  # the engine needs more than the hard limit permits
        evicts=False,
    ),
    Row(name="nofile-3", group="identity", command=program("descriptors", "limit", SET)),
    Row(
        name="closefrom-fork",
        group="identity",
        command=program("descriptors", "close", SET),
        held=Held.TOLD,
    ),
    Row(
        name="preload-hostile",
        group="identity",
        command=program("plain", SET),
        environment={"LD_PRELOAD": "{bin}/libhostile.so"},
    ),
    Row(
        name="preload-faketime",
        group="identity",
        command=program("clock", SET),
        environment={"LD_PRELOAD": "{faketime}", "FAKETIME": "2020-01-01 00:00:00"},
        needs=("faketime",),
    ),
    Row(
        name="faketime-inside",
        group="identity",
        command=("faketime", "-f", "2020-01-01 00:00:00", *program("clock", SET)),
        needs=("faketime",),
    ),
    Row(
        name="faketime-slow",
        group="identity",
        command=("faketime", "-f", "@2020-01-01 00:00:00 x0.0001", *program("clock", SET)),
        needs=("faketime",),
    ),
]

# --- mappings: where the pages lie --------------------------------------------------------------


def mapping_row(name: str, *command: str, **columns: object) -> Row:
    values: dict[str, object] = {"group": "mappings", **columns}
    return Row(name=name, command=program(*command), **values)  # type: ignore[arg-type]


MAPPINGS = [
    mapping_row("read-only", "protect", "read-only", SET),
    mapping_row("inaccessible", "protect", "none", SET),
    mapping_row("write-barrier", "protect", "barrier", SET),
    mapping_row("executable", "protect", "executable", SET),
    mapping_row("fibers-64K", "fibers", "4000", "64"),
    mapping_row("fibers-32K", "fibers", "4000", "32"),
    mapping_row("sparse-1G", "sparse", "slots", "1", SET),
    mapping_row("sparse-16G", "sparse", "slots", "16", SET),
    mapping_row("sparse-100G", "sparse", "slots", "100", SET),
    mapping_row("sparse-800G", "sparse", "slots", "800", SET),
    mapping_row("guarded-8G", "sparse", "guarded", "8", SET),
    mapping_row("stride-1", "sparse", "stride", "1", SET),
    mapping_row("stride-8", "sparse", "stride", "8", SET),
    mapping_row("stride-64", "sparse", "stride", "64", SET),
    mapping_row("stride-512", "sparse", "stride", "512", SET),
    *(
        mapping_row(f"remap-{how}", "remap", how, SET)
        for how in ("grow", "move", "shrink", "keep", "punch", "cross")
    ),
    mapping_row("grows-down", "grows_down", SET),
    mapping_row("hole-map", "holes", "map", SET),
    mapping_row("hole-move", "holes", "move", "48"),
    mapping_row("own-userfaultfd", "own_uffd", SET),
]

# --- processes: threads, children, ends ---------------------------------------------------------


def process_row(name: str, *command: str, **columns: object) -> Row:
    values: dict[str, object] = {"group": "processes", **columns}
    return Row(name=name, command=program(*command), **values)  # type: ignore[arg-type]


def child_row(how: str, **columns: object) -> Row:
    return process_row(f"child-{how}", "children", how, SET, **{"held": Held.TOLD, **columns})


NO_ROOM = r"^uzswap: .*crowd.*not limited: the limit on tasks leaves no room"

OWN_LOOPS = (
    "(while :; do :; done) & first=$!; (while :; do :; done) & second=$!; "
    '"$@"; status=$?; kill $first $second; exit $status'
)

PROCESSES = [
    process_row("robust-mutex", "robust_owner", "48", limit_mib=28),
    process_row("leader-exit-early", "leader_exit", "early", SET),
    process_row("leader-exit-late", "leader_exit", "late", "48"),
    process_row("threads-500", "threads", "500", "256", SET),
    process_row("threads-500-usual-stacks", "threads", "500", "0", SET),
    process_row("threads-3000", "threads", "3000", "64", SET, limit_mib=64),
    *(child_row(how) for how in ("clone", "clone3", "clone-on", "_Fork")),
    *(child_row(how) for how in ("vfork", "spawn", "system")),
    child_row("thread"),
    process_row("child-chain", "children", "chain", "48", limit_mib=28, held=Held.TOLD),
    child_row("reader", held=Held.ALWAYS),
    process_row("pids-small", "crowd", "12", "1", evicts=False, pids_max=20, says=NO_ROOM),
    process_row("pids", "crowd", "12", SET, held=Held.TOLD, pids_max=20),
    process_row("nproc-small", "crowd", "12", "1", "nproc", evicts=False, says=NO_ROOM),
    process_row("nproc", "crowd", "12", SET, "nproc", held=Held.TOLD),
    Row(
        name="own-loops",  # the processors are busy with other processes of the same tree
        group="processes",
        command=("/bin/bash", "-c", OWN_LOOPS, "bash", *program("plain", SET)),
    ),
    process_row("exec-main", "execute", "main", SET),
    process_row("exec-thread", "execute", "thread", SET),
    process_row(
        "daemonise", "daemonise", "verdict", "48", held=Held.TOLD, action=await_verdict,
        result="verdict",
    ),
    process_row("stop-continue", "sweeper", SET, action=stop_and_continue),
    process_row("kill-program", "sweeper", SET, action=kill_program, status=-9),
    process_row("kill-runner", "sweeper", SET, action=kill_runner, status=-9),
    process_row("kill-others", "sweeper", SET, action=kill_others, ends=(-6, -9)),
    process_row("sweep", "sweeper", SET, action=let_end),
    Row(
        name="python-forked",
        group="processes",
        command=(PYTHON, "{here}/programs/objects.py", SET, "forked"),
        evicts=False,
    ),
    Row(
        name="python-pool",
        group="processes",
        command=(PYTHON, "{here}/programs/objects.py", SET, "pool"),
        evicts=False,
    ),
]

# --- kernel: tools, tracers and system calls that look at the memory ----------------------------


def tool_row(name: str, tool: str, *command: str, **columns: object) -> Row:
    values: dict[str, object] = {"group": "kernel", "needs": (tool,), **columns}
    return Row(name=name, command=(tool, *command), **values)  # type: ignore[arg-type]


def access_row(how: str, **columns: object) -> Row:
    values: dict[str, object] = {"group": "kernel", **columns}
    command = program("kernel_access", how, SET)
    return Row(name=f"kernel-{how}", command=command, **values)  # type: ignore[arg-type]


def leak_row(build: str, lost: str, **columns: object) -> Row:
    values: dict[str, object] = {"group": "kernel", "evicts": False, "held": Held.TOLD, **columns}
    values["says"] = NOT_LIMITED.format(f"leaks_{build}.*")
    name = f"{build.replace('_', '-')}{'-leaking' if lost != '0' else ''}"
    command = program(f"leaks_{build}", "60", lost)
    status = 0 if lost == "0" else (1 if "asan" in build else 23)
    return Row(name=name, command=command, status=status, **values)  # type: ignore[arg-type]


KERNEL = [
    *(access_row(how) for how in ("vm-self", "readv", "write", "direct", "vmsplice", "mem")),
    access_row("vm-child", held=Held.TOLD),
    access_row("peek"),
    tool_row(
        "valgrind", "valgrind", "-q", *program("plain", "4"), limit_mib=300, evicts=False,
        held=Held.TOLD, says=r"^uzswap: .*valgrind",
    ),
    tool_row("strace", "strace", "-f", "-o", "/dev/null", *program("plain", SET)),
    tool_row(
        "gdb", "/bin/bash", "-c",  # the last line of gdb's output has a process id in it
        'set -o pipefail; gdb -nx -q -batch -ex "set style enabled off" -ex run --args "$@"'
        ' | sed "s/process [0-9]*/process N/"',
        "bash", *program("plain", SET),
        limit_mib=80, evicts=False, needs=("gdb", "sed"),
    ),
    *(leak_row(build, "0") for build in ("asan", "lsan", "asan_static")),
    *(leak_row(build, "5") for build in ("asan", "lsan", "asan_static")),
]

# Quick rows, at least one for each kind of behaviour: together less than a minute.
SHORT = {
    *("mlockall-current-late", "rlimit-as-4096M", "madvise-dontneed", "madvise-guard"),
    *("fork-after-chroot-small", "fork-after-user-late", "seccomp-errno-late-all", "env-i"),
    *("static", "setsid", "preload-faketime", "seccomp-errno-late-one"),
    *("read-only", "guarded-8G", "remap-grow", "remap-move", "own-userfaultfd", "stride-1"),
    *("hole-map", "hole-move"),
    *("threads-500", "child-spawn", "child-clone", "child-reader", "exec-thread", "daemonise"),
    *("pids-small",),
    *("kill-program", "kill-runner", "stop-continue"),
    *("kernel-vm-self", "kernel-vmsplice", "strace", "valgrind", "asan"),
}


def complete(row: Row) -> Row:
    known = KNOWN.get(row.name, "")
    return replace(
        row,
        short=row.name in SHORT,
        expected_today=known,
        sometimes=row.name in SOMETIMES,
        only_limit=row.name in ONLY_LIMIT,
    )


TABLE = [complete(row) for row in (*MEMORY, *IDENTITY, *MAPPINGS, *PROCESSES, *KERNEL)]
assert {*KNOWN, *SOMETIMES, *SHORT} <= {row.name for row in TABLE}
assert {*ONLY_LIMIT} <= {*KNOWN}
GROUPS = ("memory", "identity", "mappings", "processes", "kernel")
