"""Runs the rounds: the contestants in turn, in an order that changes from round to round."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import harness
from harness import MIB

from . import contestants
from .contestants import Ring, Setting, Task
from .figures import KILLED, LATE, OK, UNLIMITED, UZSWAP, Allowance, Record
from .settings import CannotRun
from .workloads import WORKLOADS, Place, measure

FIT_RUNS = 4
KILLS_ENOUGH = 2


@dataclass(frozen=True)
class Plan:
    workloads: Sequence[str]
    percents: Sequence[int]
    contestants: Sequence[str]
    rounds: int
    deadline: float

    def runs(self) -> int:
        """Without the reference runs, and those that find a cgroup's limit."""
        limited = sum(name != UNLIMITED for name in self.contestants)
        free = len(self.contestants) - limited
        return len(self.workloads) * self.rounds * (limited * len(self.percents) + free)


@dataclass
class Results:
    records: list[Record] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)  # what did not run, and why
    needs: dict[str, int] = field(default_factory=dict)


class Progress:
    """Lines on standard error, with the time that remains."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def finish(self, record: Record) -> None:
        self._done += 1
        spent = time.monotonic() - self._start
        left = spent / self._done * max(self._total - self._done, 0)
        self.say(f"[{self._done}/{self._total}, {describe_time(left)} left] {describe(record)}")


def describe_time(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes else f"{int(seconds)} s"


def describe(record: Record) -> str:
    text = f"{record.workload} {record.percent} % {record.contestant}: "
    if record.end != OK:
        return text + record.end
    text += f"{record.seconds:.2f} s"
    if "operation_ns" in record.details:
        text += f", {record.details['operation_ns'] / 1000:.2f} us an operation"
    if record.misses is not None:
        text += f", {record.misses} misses"
    if "mean" in record.fault_ns:
        text += f", {record.fault_ns['mean'] / 1000:.1f} us a fault"
    if record.limit:
        text += f", held {record.held / MIB:.0f} of {record.limit / MIB:.0f} MiB"
    return text


class Rounds:
    """All workloads of a plan. What is found stands in `results`, also if it is interrupted."""

    def __init__(
        self, plan: Plan, ring: Ring, place: Callable[[str], Place], swap_bytes: int
    ) -> None:
        self.results = Results()
        self._plan = plan
        self._ring = ring
        self._place = place
        self._swap_bytes = swap_bytes
        self._progress = Progress(plan.runs())
        self._names = [name for name in plan.contestants if self._can_run(name)]
        self._late: set[tuple[str, str]] = set()

    def run(self) -> None:
        for name in self._plan.workloads:
            try:
                self._run_workload(name)
            except CannotRun as reason:
                self._skip(name, str(reason))

    def _can_run(self, name: str) -> bool:
        ring = self._ring
        reason = contestants.obstacle(ring.swaps, ring.journal.machine, name)
        if reason is not None:
            self._skip(name, reason)
        return reason is None

    def _skip(self, name: str, reason: str) -> None:
        self.results.skipped[name] = reason
        self._progress.say(f"{name}: cannot run: {reason}")

    def _run_workload(self, name: str) -> None:
        workload = WORKLOADS[name]
        reason = workload.obstacle()
        if reason is not None:
            raise CannotRun(reason)
        task = Task(name, workload, self._place(name), 100, 0, b"", self._plan.deadline)
        task = self._with_reference(task)
        need = self.results.needs[name]
        for percent in self._plan.percents:
            part = replace(task, percent=percent, limit=need * percent // 100)
            if part.limit < harness.LEAST_LIMIT:
                self._skip(f"{name} at {percent} %", f"{part.limit} bytes are too few for uzswap")
                continue
            names = self._names
            if percent != self._plan.percents[0]:
                names = [one for one in names if one != UNLIMITED]
            self._run_rounds(part, names)

    def _with_reference(self, task: Task) -> Task:
        """One run without a limit: what the workload needs, and what it prints."""
        runner = contestants.bound(self._ring, task, sampled=True)
        found = measure(task.workload, task.place, runner)
        if found.problem is not None or found.run is None:
            raise CannotRun(f"without a limit: {found.problem}")
        need = found.run.anon_peak
        self.results.needs[task.name] = need
        self._progress.say(f"{task.name}: needs {need / MIB:.0f} MiB, {found.seconds:.2f} s")
        if need * 5 // 4 > self._swap_bytes and any(n in self._ring.swaps for n in self._names):
            raise CannotRun(
                f"it needs {need // MIB} MiB, and the swap has {self._swap_bytes // MIB}"
                "\n  fix: --swap-size, larger"
            )
        return replace(task, reference=found.output)

    def _run_rounds(self, task: Task, names: list[str]) -> None:
        settings: dict[str, Setting] = {}
        for name in names:
            if name in self._ring.swaps:
                try:
                    settings[name] = self._choose(task, name)
                except CannotRun as reason:
                    self._skip(f"{name}, {task.name} at {task.percent} %", str(reason))
        names = [name for name in names if name not in self._ring.swaps or name in settings]
        for turn in range(self._plan.rounds):
            for at in range(len(names)):
                name = names[(at + turn) % len(names)]
                record = self._run_one(task, name, turn, settings.get(name))
                self.results.records.append(record)
                self._progress.finish(record)

    def _choose(self, task: Task, name: str) -> Setting:
        """How the kernel swaps this task best. Readahead helps scans and costs time elsewhere; in a
        small cgroup the kernel even kills the program, because it finds no room for pages that
        it reads ahead. Each candidate is run until its pool fits, and the fastest is taken."""
        if name == "swap":
            return Setting(task.limit)
        allowance = Allowance(self.results.needs[task.name], task.limit)
        found = [self._fit(task, name, allowance, one) for one in self._ring.page_clusters]
        return min(found, key=lambda one: one[0])[1]

    def _fit(
        self, task: Task, name: str, allowance: Allowance, cluster: int | None
    ) -> tuple[float, Setting]:
        """The cgroup's limit with which program and pool together hold the task's limit, and the
        seconds that the last run with it took."""
        if self._ring.swaps[name].pool_is_charged(self._ring.hierarchy.version):
            allowance.allowed = task.limit
        kills = 0
        seconds = math.inf
        for _ in range(FIT_RUNS):
            if (task.name, name) in self._late or kills == KILLS_ENOUGH:
                break
            setting = Setting(allowance.allowed, cluster)
            record, pool = contestants.run_kernel(self._ring, task, name, 0, setting)
            self._note_late(record)
            if record.end == KILLED:
                # It ended before its pool was full, so there is nothing to learn from it.
                kills += 1
                continue
            seconds = record.seconds if record.end == OK else math.inf
            if setting.allowed == task.limit and pool == 0 or allowance.learn(pool):
                return seconds, setting
        return seconds, Setting(allowance.allowed, cluster)

    def _note_late(self, record: Record) -> None:
        if record.end == LATE:
            self._late.add((record.workload, record.contestant))

    def _run_one(self, task: Task, name: str, turn: int, setting: Setting | None) -> Record:
        if (task.name, name) in self._late:
            # It would only be later still, with the same memory or less.
            return Record(task.name, task.percent, name, turn, LATE, limit=task.limit)
        if name == UNLIMITED:
            return contestants.run_unlimited(self._ring, task, turn)
        if name == UZSWAP:
            record = contestants.run_uzswap(self._ring, task, turn)
        else:
            assert setting is not None
            record, _ = contestants.run_kernel(self._ring, task, name, turn, setting)
        self._note_late(record)
        return record
