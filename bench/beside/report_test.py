"""The report: it is well-formed, needs no network, and says what happened."""

from __future__ import annotations

import json
import re
import unittest
import xml.etree.ElementTree as tree

from . import charts, report
from .figures import KILLED, LATE, OK, Record
from .rounds import Results

SVG = "{http://www.w3.org/2000/svg}"
MIB = 1 << 20
MACHINE = {"kernel": "Linux <6.18> & later"}


def results() -> Results:
    found = Results(needs={"zipf": 400 * MIB, "dicts": 200 * MIB})
    found.skipped["zram"] = "this kernel has no zram & <nothing> like it\n  fix: another kernel"
    for turn, seconds in enumerate((2.0, 3.0, 4.0)):
        found.records.append(Record("zipf", 100, "unlimited", turn, OK, seconds / 4))
        for percent in (75, 50):
            uzswap = Record("zipf", percent, "uzswap", turn, OK, seconds, limit=200 * MIB)
            uzswap.details = {"operation_ns": 2500.0, "p50_ns": 200.0, "p99_ns": 12000.0}
            uzswap.fault_ns = {"mean": 9000, "p50": 8000, "p99": 20000}
            uzswap.misses, uzswap.held = 12345, 199 * MIB
            zswap = Record("zipf", percent, "zswap", turn, OK, seconds * 2, limit=200 * MIB)
            zswap.held = 230 * MIB
            found.records += [uzswap, zswap]
    found.records.append(Record("dicts", 50, "uzswap", 0, OK, 1.0, limit=100 * MIB))
    found.records.append(Record("dicts", 50, "zswap", 0, KILLED, 0.3, limit=100 * MIB))
    found.records.append(Record("dicts", 50, "swap", 0, LATE, limit=100 * MIB))
    return found


class Html(unittest.TestCase):
    def setUp(self) -> None:
        self.text = report.html(results(), MACHINE)
        self.root = tree.fromstring(self.text)

    def words(self) -> str:
        return " ".join(self.root.itertext())

    def test_refers_to_nothing_outside(self) -> None:
        for element in self.root.iter():
            for name in ("src", "href", "data", "action"):
                self.assertNotIn(name, element.attrib)
        for address in re.findall(r"https?://[^\"' <]+", self.text):
            self.assertTrue(address.startswith("http://www.w3.org/"), address)
        self.assertNotIn("@import", self.text)
        self.assertNotIn("url(", self.text)

    def test_has_a_plot_for_each_workload_and_one_of_the_ratios(self) -> None:
        self.assertEqual(len(list(self.root.iter(f"{SVG}svg"))), 3)
        # Two percentages of two contestants; who was killed has no bar, and who ended has one.
        bars = [one for one in self.root.iter(f"{SVG}rect") if one.get("width") == "26"]
        self.assertEqual(len(bars), 5)

    def test_says_who_was_killed_and_what_could_not_run(self) -> None:
        words = self.words()
        self.assertIn(KILLED, words)
        self.assertIn(LATE, words)
        self.assertIn("this kernel has no zram & <nothing> like it", words)
        self.assertIn("Linux <6.18> & later", words)

    def test_a_bar_says_in_short_how_many_rounds_were_lost(self) -> None:
        ends = ("killed in 1 of 3 rounds", LATE, "status 1: lost", "signal 11 in 2 of 3 rounds")
        self.assertEqual(
            [charts.short_end(end) for end in ends], ["killed 1/3", LATE, "failed", "failed 2/3"]
        )

    def test_marks_who_held_more_than_its_limit(self) -> None:
        marked = [one.text for one in self.root.iter() if one.get("class") == "bad"]
        self.assertIn("230 of 200", marked)
        self.assertNotIn("199 of 200", marked)

    def test_has_ratios_and_their_mean(self) -> None:
        self.assertIn("0.50 (zswap)", self.words())
        self.assertIn("geometric mean", self.words())

    def test_an_interrupted_run_without_records_has_a_report_too(self) -> None:
        root = tree.fromstring(report.html(Results(), MACHINE))
        self.assertIn("no workload", " ".join(root.itertext()))


class Json(unittest.TestCase):
    def test_has_runs_summaries_and_ratios(self) -> None:
        found = json.loads(json.dumps(report.as_json(results(), MACHINE)))
        self.assertEqual(len(found["runs"]), len(results().records))
        ratios = {(one["workload"], one["percent"]): one["value"] for one in found["ratios"]}
        self.assertEqual(ratios, {("zipf", 75): 0.5, ("zipf", 50): 0.5, ("dicts", 50): None})
        summary = next(one for one in found["summaries"] if one["contestant"] == "uzswap")
        self.assertEqual((summary["median"], summary["misses"]), (3.0, 12345))


if __name__ == "__main__":
    unittest.main()
