"""Figures of runs, their medians and ratios, and the memory that a kernel's pool leaves."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

UZSWAP = "uzswap"
UNLIMITED = "unlimited"
RIVALS = ("zswap", "zram")  # what uzswap is compared with: the better of them
# A ratio above this is a loss: the difference of two equal runs is smaller.
LOSS = 1.02

OK = "ok"
KILLED = "killed"
LATE = "not ended"


@dataclass
class Record:
    """One run. Times are of the workload itself where it reports them, else of the whole run."""

    workload: str
    percent: int  # of what it needs; 100 without a limit
    contestant: str
    round: int
    end: str  # OK, KILLED, LATE, or what went wrong
    seconds: float = 0.0
    details: dict[str, float] = field(default_factory=dict)  # p50_ns, p99_ns, ...
    limit: int = 0  # program and pool together
    cgroup_limit: int = 0
    held: int = 0  # program and pool together, at most
    page_cluster: int | None = None  # of the kernel: 2^N pages of readahead
    pages_out: int | None = None
    pages_in: int | None = None
    misses: int | None = None  # faults that had to bring a page in
    staging_faults: int | None = None  # uzswap: faults on pages that were not compressed yet
    fault_ns: dict[str, int] = field(default_factory=dict)  # uzswap: time of one fault

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Summary:
    """All rounds of one contestant with one workload in one amount of memory."""

    workload: str
    percent: int
    contestant: str
    end: str
    seconds: list[float]
    median: float | None
    details: dict[str, float]
    pages_in: float | None
    misses: float | None
    staging_faults: float | None
    held: float
    limit: int
    page_cluster: int | None
    fault_ns: dict[str, float]


def median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None


def medians_of(dictionaries: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in dictionaries for name in one)
    return {
        name: statistics.median(one[name] for one in dictionaries if name in one) for name in names
    }


def summarize(records: Sequence[Record]) -> Summary:
    """Requires: one at least, all of the same workload, percentage and contestant. The median is
    that of the runs that ended well; `end` says that others did not."""
    first = records[0]
    good = [one for one in records if one.end == OK]
    bad = [one.end for one in records if one.end != OK]
    counted = {
        name: median(value for one in good if (value := getattr(one, name)) is not None)
        for name in ("pages_in", "misses", "staging_faults")
    }
    return Summary(
        workload=first.workload,
        percent=first.percent,
        contestant=first.contestant,
        end=describe_ends(bad, len(records)),
        seconds=[one.seconds for one in good],
        median=median(one.seconds for one in good),
        details=medians_of([one.details for one in good]),
        held=max((one.held for one in records), default=0),
        limit=first.limit,
        page_cluster=first.page_cluster,
        fault_ns=medians_of([dict(one.fault_ns) for one in good]),
        **counted,
    )


def describe_ends(bad: Sequence[str], rounds: int) -> str:
    if not bad:
        return OK
    return bad[0] if len(bad) == rounds else f"{bad[0]} in {len(bad)} of {rounds} rounds"


def summaries_of(records: Sequence[Record]) -> list[Summary]:
    groups: dict[tuple[str, int, str], list[Record]] = {}
    for one in records:
        groups.setdefault((one.workload, one.percent, one.contestant), []).append(one)
    return [summarize(group) for group in groups.values()]


@dataclass(frozen=True)
class Ratio:
    """The time of uzswap divided by that of the better rival: below 1 uzswap is faster."""

    workload: str
    percent: int
    value: float | None
    rival: str | None
    note: str = ""


def ratio_of(workload: str, percent: int, group: Sequence[Summary]) -> Ratio:
    medians = {one.contestant: one.median for one in group}
    mine = medians.get(UZSWAP)
    ends = {one.contestant: one.end for one in group}
    rivals = {
        name: value for name in RIVALS if (value := medians.get(name)) is not None and value > 0
    }
    # The kernel may lose some of its runs and is still compared. uzswap may not.
    if mine is None or ends[UZSWAP] != OK:
        return Ratio(workload, percent, None, None, f"uzswap: {ends.get(UZSWAP, 'did not run')}")
    lost = [f"{name}: {ends[name]}" for name in RIVALS if ends.get(name, OK) != OK]
    if not rivals:
        return Ratio(workload, percent, None, None, ", ".join(lost) or "no rival ran")
    best = min(rivals, key=lambda name: rivals[name])
    return Ratio(workload, percent, mine / rivals[best], best, ", ".join(lost))


def ratios_of(summaries: Sequence[Summary]) -> list[Ratio]:
    groups: dict[tuple[str, int], list[Summary]] = {}
    for one in summaries:
        if one.contestant != UNLIMITED:
            groups.setdefault((one.workload, one.percent), []).append(one)
    return [ratio_of(*key, group) for key, group in groups.items()]


def geometric_mean(values: Iterable[float]) -> float | None:
    logarithms = [math.log(value) for value in values if value > 0]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None


class Allowance:
    """The cgroup limit with which program and pool together have `limit` bytes, found by trying.

    The pool holds a share of what the cgroup does not: pool = density * (need - allowed). The share
    is learned from each run, so a few runs are enough.
    """

    CLOSE = 0.01
    LEAST = 8 << 20

    def __init__(self, need: int, limit: int, density: float = 0.35) -> None:
        self.need = need
        self.limit = limit
        self.density = density
        self.allowed = self._estimate()

    def _estimate(self) -> int:
        allowed = (self.limit - self.density * self.need) / (1 - self.density)
        return max(self.LEAST, min(int(allowed), self.limit))

    def learn(self, pool: int) -> bool:
        """Takes the peak of the pool in a run with `allowed`. Whether that run was close enough."""
        if abs(self.allowed + pool - self.limit) <= self.CLOSE * self.limit:
            return True
        outside = max(self.need - self.allowed, 1)
        self.density = min(max(pool / outside, 0.01), 0.95)
        before, self.allowed = self.allowed, self._estimate()
        return self.allowed == before
