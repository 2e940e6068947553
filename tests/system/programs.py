#!/usr/bin/env python3
"""Real programs, unmodified, in less memory than they need.

    programs.py NAME [--percent 80 65] [--size 0.5] [--full] [--options '--codec zstd']
    programs.py NAME --percent 40 --backing FOLDER|auto [--pool-percent 10]
    programs.py NAME --percent 65 --backing-percent 40
    programs.py NAME --percent 40 --migrate
    programs.py --list

For each program: one run without uzswap and without a limit measures what it needs (its peak
anonymous memory) and records what it prints. Then, for each percentage of that need, it runs under
uzswap in a memory cgroup of the limit and 24 MiB, without swap. The test passes if the program is
not killed, prints the same, keeps the limit, and if the page account adds up:

    zswpout = zswpin + invalidated_pages + stored_pages

A run keeps the limit if no sample of its anonymous memory is above the limit and 24 MiB, and if
samples above the limit, 2 % and 4 MiB are rare. harness.py has the figures and the reason.

Once, at the smallest percentage, the same cgroup without uzswap must kill the program: otherwise
the comparison proves nothing. Times are printed, and no test depends on them.

With --backing, a share of the need bounds the pool, and the coldest pages go to a file. How
efficiently they were written is printed and checked too (backing_report.py). --backing-percent adds
runs of this kind to runs without a file, and compares both with the same run without uzswap.

With --migrate the kernel compacts its memory during the whole run, so that pages migrate while the
program and the engine use them. This takes a processor, so the limit is not checked then. The
number of migrated pages depends on the kernel and is only printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import backing_report
import harness
from harness import MIB, Hierarchy, Run
from redis_client import KnownData, RedisClient

sys.path.insert(0, str(Path(__file__).resolve().parent / "workloads"))
import corpus  # noqa: E402
import templates  # noqa: E402

WORKLOADS = Path(__file__).resolve().parent / "workloads"
PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Scene:
    """Where a program runs: a folder of its own with the corpus in it, and the program's size."""

    folder: Path
    size: float

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus.txt"

    def write_corpus(self, mib: float) -> None:
        if not self.corpus.exists():
            corpus.write_corpus(self.corpus, int(mib * self.size * MIB))


@dataclass(frozen=True)
class Program:
    """`prepare` gives the command; `during` is a client of the running program and returns a
    digest. `killed_without`: without uzswap the kernel has to kill it. `bounded`: it has to keep
    the limit; otherwise it runs without a cgroup's limit, and everything else is checked.
    `forks`: while it holds much memory, so that pages are written to the backing file twice."""

    prepare: Callable[[Scene], list[str]]
    during: Callable[[Scene], bytes] | None = None
    full_size: float = 3.0
    killed_without: bool = True
    bounded: bool = True
    forks: bool = False


# --- the programs ------------------------------------------------------------------------------


def prepare_dicts(scene: Scene) -> list[str]:
    scene.write_corpus(16)
    return [PYTHON, str(WORKLOADS / "dicts.py"), str(scene.corpus)]


def prepare_tables(scene: Scene) -> list[str]:
    scene.write_corpus(20)
    return [PYTHON, str(WORKLOADS / "tables.py"), str(scene.corpus)]


def prepare_node(scene: Scene) -> list[str]:
    scene.write_corpus(12)
    # Node sizes its heap by the cgroup's limit unless it is given: the runs must be alike.
    return ["node", "--max-old-space-size=2048", str(WORKLOADS / "objects.js"), str(scene.corpus)]


def prepare_compiler(scene: Scene) -> list[str]:
    text = templates.source(round(8 * scene.size))
    (scene.folder / "templates.cc").write_text(text)
    script = "g++-12 -O2 -c templates.cc -o templates.o && sha256sum templates.o"
    return ["/bin/sh", "-c", script]


def churn_command(scene: Scene, without: str) -> list[str]:
    seconds = "8" if scene.size <= 1 else "60"
    memory = str(round(160 * scene.size)) + "M"
    program = str(harness.bin_folder() / "churn")
    # Its output names the operations done: only the verdict is to be compared.
    script = (
        'set -o pipefail; "$0" --seconds "$1" --memory "$2" --without "$3" --folder . --verbose'
        ' | tee churn.log | sed -n "s/^ok .*/ok/p"'
    )
    return ["/bin/bash", "-c", script, program, seconds, memory, without]


def prepare_churn(scene: Scene) -> list[str]:
    return churn_command(scene, "fork,forkall")


def prepare_churn_fork(scene: Scene) -> list[str]:
    return churn_command(scene, "none")


def prepare_redis(scene: Scene) -> list[str]:
    scene.write_corpus(16)
    for old in ("dump.rdb", "redis.sock"):
        (scene.folder / old).unlink(missing_ok=True)
    return redis_command(scene.folder, "redis.sock")


def redis_command(folder: Path, name: str) -> list[str]:
    return [
        *("redis-server", "--port", "0", "--unixsocket", str(folder / name)),
        *("--save", "", "--appendonly", "no", "--dir", str(folder)),
    ]


def connect(path: Path, seconds: float = harness.END_S) -> RedisClient:
    harness.wait_until("the server's socket", path.exists, seconds)
    client: list[RedisClient] = []

    def answers() -> bool:
        try:
            fresh = RedisClient(path)
            fresh.call("PING")
        except (OSError, RuntimeError):
            return False
        client.append(fresh)
        return True

    harness.wait_until("the server's answer", answers, seconds)
    return client[0]


def shut_down(client: RedisClient) -> None:
    try:
        client.call("SHUTDOWN", "NOSAVE")
    except ConnectionError:
        client.close()


def known_data(scene: Scene) -> KnownData:
    return KnownData(scene.corpus, round(100_000 * scene.size))


def benchmark(scene: Scene, client: RedisClient) -> None:
    """Fails when the server ends: redis-benchmark itself then never ends, if the end of the
    server reaches each of its connections as a failed write."""
    command = [
        *("redis-benchmark", "-s", str(scene.folder / "redis.sock"), "-q", "-c", "20"),
        *("-n", str(round(60_000 * scene.size)), "-r", "50000", "-d", "300", "-P", "8"),
        *("-t", "set,get,lpush,lpop,sadd,hset"),
    ]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            end = os.pidfd_open(process.pid)
            waiting = [end, client]
            ready, _, _ = select.select(waiting, [], [], harness.DEADLINE_S)
            os.close(end)
            if end not in ready:
                raise RuntimeError("the server ended" if ready else "redis-benchmark did not end")
            if process.wait() != 0:
                output.seek(0)
                raise RuntimeError(f"redis-benchmark: {output.read()[-600:]!r}")
        finally:
            process.kill()
            process.wait()


def play_redis(scene: Scene) -> bytes:
    """Load, benchmark, update a third, check every key."""
    client = connect(scene.folder / "redis.sock")
    data = known_data(scene)
    data.store(client, version=1)
    benchmark(scene, client)
    data.store(client, version=2, step=3)
    digest = data.check(client, {3: 2})
    shut_down(client)
    return digest.encode()


def play_redis_saving(scene: Scene) -> bytes:
    """As above, with a snapshot taken while keys change: the file must hold the moment of the
    fork, which a fresh server reads back; the first server must hold what came after."""
    client = connect(scene.folder / "redis.sock")
    data = known_data(scene)
    data.store(client, version=1)
    client.call("BGSAVE")
    data.store(client, version=2, step=3)
    harness.wait_until("the snapshot", lambda: not saving(client), 200 * harness.SLOWNESS)
    digest = data.check(client, {3: 2})
    shut_down(client)
    return (digest + check_snapshot(scene, data)).encode()


def saving(client: RedisClient) -> bool:
    reply = client.call("INFO", "persistence")
    assert isinstance(reply, bytes)
    if b"rdb_bgsave_in_progress:1" in reply:
        return True
    if b"rdb_last_bgsave_status:ok" not in reply:
        raise RuntimeError("the snapshot failed")
    return False


def check_snapshot(scene: Scene, data: KnownData) -> str:
    server = subprocess.Popen(
        redis_command(scene.folder, "fresh.sock"), stdout=subprocess.DEVNULL
    )
    try:
        client = connect(scene.folder / "fresh.sock")
        harness.wait_until("loading", lambda: loaded(client), 60 * harness.SLOWNESS)
        digest = data.check(client, {})
        shut_down(client)
        server.wait(60 * harness.SLOWNESS)
    finally:
        server.kill()
        server.wait()
    return digest


def loaded(client: RedisClient) -> bool:
    reply = client.call("INFO", "persistence")
    return isinstance(reply, bytes) and b"loading:0" in reply


PROGRAMS: dict[str, Program] = {
    "dicts": Program(prepare_dicts),
    "tables": Program(prepare_tables),
    "node": Program(prepare_node, full_size=2.0),
    "compiler": Program(prepare_compiler, full_size=2.5),
    "redis": Program(prepare_redis, play_redis),
    "redis-saving": Program(prepare_redis, play_redis_saving, killed_without=False, forks=True),
    "churn": Program(prepare_churn),
    "churn-fork": Program(prepare_churn_fork, killed_without=False, bounded=False, forks=True),
}


# --- the comparison ----------------------------------------------------------------------------


def run_program(
    program: Program, scene: Scene, runner: Callable[..., Run], **options: object
) -> Run:
    """One run, with the client's digest in the place of a server's chatter."""
    command = program.prepare(scene)
    during = program.during
    played: list[bytes] = []

    def play(*_: object) -> None:
        if during is not None:
            played.append(during(scene))

    result = runner(command, during=play, folder=scene.folder, **options)
    return replace(result, output=played[0]) if played else result


def account_error(stats: dict[str, object]) -> str | None:
    names = ("zswpout", "zswpin", "invalidated_pages", "stored_pages")
    try:
        out, back, gone, left = (harness.figure_of(stats, name) for name in names)
    except harness.Problem as problem:
        return str(problem)
    if out == back + gone + left:
        return None
    return f"the account is off: zswpout {out} != zswpin {back} + invalidated {gone} + left {left}"


def problems_of(result: Run, reference: Run, limit: int | None) -> list[str]:
    found = []
    if result.timed_out or result.killed or result.status != 0:
        counted = {
            name: figure
            for name, figure in result.stats.items()
            if isinstance(figure, int) and figure != 0
        }
        found.append(f"{result.describe_end()}: {result.errors[-2000:]} {counted}")
    if result.output != reference.output:
        found.append(f"output {result.output[-300:]!r}, without {reference.output[-300:]!r}")
    over = harness.limit_problem(result, limit) if limit is not None else None
    account = account_error(result.stats)
    return found + [one for one in (over, account) if one is not None]


def describe(result: Run, reference: Run, limit: int) -> str:
    stats = result.stats
    stored = int(str(stats.get("zswpout", 0)))
    return (
        f"limit {limit / MIB:6.1f} MiB: {result.seconds:6.1f} s"
        f" ({result.seconds / reference.seconds:4.1f}x), peak {result.anon_peak / MIB:6.1f} MiB"
        f" ({result.samples_over} of {result.samples} samples over),"
        f" pages out {stored}, in {stats.get('zswpin', '?')}, faults {stats.get('faults', '?')}"
    )


def check_kill(program: Program, scene: Scene, hierarchy: Hierarchy, limit: int) -> list[str]:
    """Without uzswap the same cgroup is too small."""
    try:
        result = run_program(
            program, scene, harness.run, hierarchy=hierarchy, limit=limit + harness.HEADROOM
        )
        killed = result.killed
    except harness.ClientFailed as failure:
        killed = failure.oom_kills > 0
    if killed:
        print(f"  without uzswap in {limit / MIB:.1f} + 24 MiB: killed, as expected")
        return []
    return [f"without uzswap it lives in {limit / MIB:.1f} + 24 MiB: the test proves nothing"]


@dataclass(frozen=True)
class Wishes:
    """How uzswap is to run the programs."""

    options: list[str]
    backing: Path | None = None
    pool_percent: int = 10
    migrate: bool = False

    def options_for(self, need: int) -> list[str]:
        if self.backing is None:
            return self.options
        pool = need * self.pool_percent // 100
        return [*self.options, "--backing", str(self.backing), "--pool-limit", str(pool)]


def compare_limited(
    program: Program,
    scene: Scene,
    hierarchy: Hierarchy,
    reference: Run,
    percent: int,
    wishes: Wishes,
) -> list[str]:
    limit = reference.anon_peak * percent // 100
    migrating = harness.migrating() if wishes.migrate else contextlib.nullcontext()
    try:
        with migrating as migrated:
            result = run_program(
                program,
                scene,
                harness.run_limited,
                hierarchy=hierarchy,
                limit=limit,
                options=wishes.options_for(reference.anon_peak),
                bounded=program.bounded,
            )
    except harness.ClientFailed as failure:
        return [str(failure)]
    print(f"  {percent} %, {describe(result, reference, limit)}", flush=True)
    found = problems_of(result, reference, limit if program.bounded else None)
    if migrated is not None and result.stats:
        unreported = harness.figure_of(result.stats, "unreported_moves")
        print(f"    {migrated['pages']} pages migrated, {unreported} moves unreported", flush=True)
    if wishes.backing is None or not result.stats:
        return found  # without statistics the account has failed already
    print(f"    {backing_report.describe(result.stats)}", flush=True)
    file_most = reference.anon_peak
    steady = program.bounded and not program.forks
    return found + backing_report.problems_of(result.stats, file_most, steady)


def compare(name: str, plan: list[tuple[int, Wishes]], size: float, migrate: bool) -> list[str]:
    hierarchy = harness.require_machine()
    program = PROGRAMS[name]
    if migrate:
        program = replace(program, bounded=False, killed_without=False)
    found: list[str] = []
    with harness.scratch_folder() as folder:
        scene = Scene(Path(folder), size)
        reference = run_program(program, scene, harness.run, hierarchy=hierarchy)
        if reference.status != 0:
            return [f"without uzswap: {reference.describe_end()}: {reference.errors[-2000:]}"]
        need = reference.anon_peak
        print(f"{name}: needs {need / MIB:.1f} MiB, {reference.seconds:.1f} s", flush=True)
        if program.killed_without:
            limit = need * min(percent for percent, _ in plan) // 100
            found += check_kill(program, scene, hierarchy, limit)
        if not harness.have_uzswap():
            harness.skip("there is no uzswap program yet")
        for percent, wishes in plan:
            problems = compare_limited(program, scene, hierarchy, reference, percent, wishes)
            found += [f"{percent} %: {one}" for one in problems]
    return found


def plan_of(arguments: argparse.Namespace) -> list[tuple[int, Wishes]]:
    """The limited runs: percentages of the need, each with its options."""
    plain = Wishes(arguments.options.split(), migrate=arguments.migrate)
    backed = plain
    if arguments.backing or arguments.backing_percent:
        folder = backing_report.folder(arguments.backing or "auto")
        backed = replace(plain, backing=folder, pool_percent=arguments.pool_percent)
    first = backed if arguments.backing else plain
    plan = [(percent, first) for percent in arguments.percent]
    return plan + [(percent, backed) for percent in arguments.backing_percent]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", choices=sorted(PROGRAMS))
    parser.add_argument("--percent", type=int, nargs="+", default=[80, 65])
    parser.add_argument("--size", type=float, default=1.0, help="how big, 1 is some 200 MiB")
    parser.add_argument("--full", action="store_true", help="several times larger")
    parser.add_argument("--options", default="", help="more options for uzswap run")
    parser.add_argument("--backing", help="a folder for the coldest pages; auto is /var/tmp")
    parser.add_argument(
        "--backing-percent", type=int, nargs="+", default=[], help="more runs, with --backing"
    )
    parser.add_argument("--pool-percent", type=int, default=10, help="of the need, with --backing")
    parser.add_argument("--migrate", action="store_true", help="while the kernel moves its pages")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list or arguments.name is None:
        print(*PROGRAMS, sep="\n")
        return 0
    os.environ["PYTHONHASHSEED"] = "0"
    for needed in ("node", "redis-server", "redis-benchmark", "g++-12"):
        if shutil.which(needed) is None:
            harness.fail(f"{needed} is not installed: scripts/install-deps")
    size = PROGRAMS[arguments.name].full_size if arguments.full else arguments.size
    found = compare(arguments.name, plan_of(arguments), size, arguments.migrate)
    for problem in found:
        print(f"FAILED: {arguments.name}: {problem}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
