#!/usr/bin/env python3
"""scripts/bench, short: the synthetic workloads without a limit and under uzswap. No setting of the
kernel is changed, so other tests can run beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as tree
from pathlib import Path

import harness

sys.path.insert(0, str(Path(__file__).resolve().parent / "workloads"))
import corpus  # noqa: E402

WORKLOADS = ("random-1", "random-2", "sequential", "rewrite", "loop", "zipf", "phase")
SIZE = "0.06"
PAGES_BYTES = 16 * harness.MIB
PERCENT = "60"


def run(folder: Path) -> None:
    # Text of packages: real content, and it is there without half a minute of making heaps.
    corpus.write_corpus(folder / "text.pages", PAGES_BYTES)
    environment = {
        "UZSWAP_BIN": str(harness.bin_folder()),
        "UZSWAP_BENCH_STATE": str(folder / "state.json"),
    }
    done = subprocess.run(
        [
            *(harness.ROOT / "scripts" / "bench", *WORKLOADS, "--size", SIZE, "--rounds", "1"),
            *("--percent", PERCENT, "--contestants", "unlimited", "uzswap"),
            *("--pages", folder / "text.pages"),
            *("--json", folder / "found.json", "--html", folder / "found.html"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=harness.DEADLINE_S,
        env={**harness.without_options(), **environment},
    )
    harness.require(done.returncode == 0, f"status {done.returncode}: {done.stderr[-2000:]}")
    check(json.loads((folder / "found.json").read_text()), done.stderr)
    tree.parse(folder / "found.html")
    harness.require(not (folder / "state.json").exists(), "something is still to be restored")


def check(found: dict[str, object], log: str) -> None:
    runs = found["runs"]
    assert isinstance(runs, list)
    ends = {(one["workload"], one["contestant"]): one["end"] for one in runs}
    wanted = {(name, who): "ok" for name in WORKLOADS for who in ("unlimited", "uzswap")}
    harness.require(ends == wanted, f"{ends}\n{log}")
    for one in runs:
        if one["contestant"] == "uzswap":
            # The memory did not fit, so pages went out and came back.
            harness.require(one["pages_out"] > 0 and one["pages_in"] > 0, str(one))
            harness.require(one["fault_ns"]["mean"] > 0, str(one))


def main() -> int:
    harness.require_machine()
    if not harness.have_uzswap():
        harness.skip("there is no uzswap program yet")
    with harness.scratch_folder() as folder:
        run(Path(folder))
    print("ok")
    return 0


if __name__ == "__main__":
    harness.exit_with(main)
