"""Medians, ratios, and the cgroup limit that leaves room for the pool."""

from __future__ import annotations

import unittest

from .figures import (
    KILLED,
    OK,
    Allowance,
    Record,
    geometric_mean,
    ratios_of,
    summaries_of,
    summarize,
)

MIB = 1 << 20


def record(contestant: str, seconds: float, percent: int = 50, end: str = OK) -> Record:
    return Record("zipf", percent, contestant, 0, end, seconds)


class Medians(unittest.TestCase):
    def test_median_of_the_rounds(self) -> None:
        found = summarize([record("zram", one) for one in (3.0, 1.0, 2.0)])
        self.assertEqual((found.median, found.seconds), (2.0, [3.0, 1.0, 2.0]))

    def test_killed_runs_have_no_time_and_are_told(self) -> None:
        good, bad = record("zram", 1.0), record("zram", 0.2, end=KILLED)
        found = summarize([good, bad])
        self.assertEqual((found.end, found.median), ("killed in 1 of 2 rounds", 1.0))
        self.assertEqual(found.seconds, [1.0])
        found = summarize([bad, bad])
        self.assertEqual((found.end, found.median), (KILLED, None))

    def test_what_was_not_counted_is_no_zero(self) -> None:
        first, second = record("uzswap", 1.0), record("uzswap", 1.0)
        self.assertIsNone(summarize([first, second]).misses)
        first.misses, second.misses = 10, 30
        self.assertEqual(summarize([first, second]).misses, 20)

    def test_details_are_medians_too(self) -> None:
        runs = [record("uzswap", 1.0) for _ in range(3)]
        for run, value in zip(runs, (1.0, 9.0, 2.0), strict=True):
            run.details = {"p99_ns": value}
        self.assertEqual(summarize(runs).details, {"p99_ns": 2.0})


class Ratios(unittest.TestCase):
    def test_to_the_better_rival(self) -> None:
        times = {"unlimited": 1.0, "uzswap": 3.0, "zswap": 6.0, "zram": 4.0, "swap": 0.5}
        (found,) = ratios_of(summaries_of([record(*one) for one in times.items()]))
        self.assertEqual((found.value, found.rival), (0.75, "zram"))

    def test_a_killed_rival_is_not_compared(self) -> None:
        runs = [record("uzswap", 3.0), record("zram", 0.1, end=KILLED), record("zswap", 6.0)]
        (found,) = ratios_of(summaries_of(runs))
        self.assertEqual((found.value, found.rival, found.note), (0.5, "zswap", "zram: killed"))

    def test_a_run_of_uzswap_that_is_lost_leaves_no_ratio(self) -> None:
        runs = [record("uzswap", 3.0), record("uzswap", 1.0, end=KILLED), record("zram", 6.0)]
        (found,) = ratios_of(summaries_of(runs))
        self.assertEqual((found.value, found.note), (None, "uzswap: killed in 1 of 2 rounds"))

    def test_without_a_rival_there_is_no_ratio_and_it_says_why(self) -> None:
        runs = [record("uzswap", 3.0), record("zram", 0.1, end=KILLED)]
        (found,) = ratios_of(summaries_of(runs))
        self.assertEqual((found.value, found.note), (None, "zram: killed"))

    def test_each_percentage_has_its_own(self) -> None:
        runs = [record(name, seconds, percent) for name, seconds, percent in (
            ("uzswap", 1.0, 75), ("zram", 2.0, 75), ("uzswap", 6.0, 33), ("zram", 3.0, 33))]
        values = {one.percent: one.value for one in ratios_of(summaries_of(runs))}
        self.assertEqual(values, {75: 0.5, 33: 2.0})

    def test_geometric_mean(self) -> None:
        mean = geometric_mean([0.5, 2.0])
        assert mean is not None
        self.assertAlmostEqual(mean, 1.0)
        self.assertIsNone(geometric_mean([]))


class Allowances(unittest.TestCase):
    def test_finds_the_limit_for_any_density(self) -> None:
        need = 400 * MIB
        for density in (0.15, 0.35, 0.5):
            # Where memory and density leave less than the least limit, there is none to find.
            for percent in (75, 90):
                limit = need * percent // 100
                allowance = Allowance(need, limit)
                pools = (int(density * (need - allowance.allowed)) for _ in range(4))
                self.assertTrue(any(allowance.learn(pool) for pool in pools), (density, percent))
                held = allowance.allowed + density * (need - allowance.allowed)
                self.assertAlmostEqual(held / limit, 1.0, delta=0.011)

    def test_never_above_the_limit_nor_below_the_least(self) -> None:
        self.assertEqual(Allowance(100 * MIB, 100 * MIB).allowed, 100 * MIB)
        allowance = Allowance(400 * MIB, 40 * MIB)
        self.assertEqual(allowance.allowed, Allowance.LEAST)
        # A pool that is too large for the limit: nothing is left to try.
        self.assertTrue(allowance.learn(200 * MIB))


if __name__ == "__main__":
    unittest.main()
