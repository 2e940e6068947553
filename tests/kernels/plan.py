"""What runs in a guest: names, commands and deadlines of tests, in parts.

    unit       the tests of ctest that are no tests of whole programs: unit tests, and those of the
               engine and of the pager on the real kernel
    rows       every row of tests/transparency/rows.py
    system     tests of whole programs, and every scene of tests/system/backing.py
    refusals   what uzswap says on a kernel that is too old

Programs are smaller here than in scripts/test where they have a size. Limits and expectations are
the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch

import images
from images import ROOT

PYTHON = "/usr/bin/python3"
SIZE_MOST = 0.25
SKIP_STATUS = 77
PARTS = {"6.12": ("unit", "rows", "system"), "6.1": ("refusals",)}
# Against hangs; times the slowness. A row runs twice, each time with a deadline of its own.
DEADLINES_S = {"unit": 60.0, "rows": 150.0, "system": 600.0, "refusals": 60.0}
# They need more than the guest has.
LEFT_OUT = {
    "install": "needs the build system and its objects",
    "packages": "makes a system from Debian's archive",
    "guides": "makes containers from Debian's archive",
    "containers": "makes containers from Debian's archive",
}


@dataclass
class Test:
    name: str
    part: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = str(ROOT)
    skip_status: int = SKIP_STATUS
    deadline_s: float = 0.0
    pass_pattern: str = ""


def of_ctest() -> list[dict[str, object]]:
    told = images.run(["ctest", "--preset", "release", "--show-only=json-v1"], ROOT)
    tests = json.loads(told)["tests"]
    assert isinstance(tests, list)
    return tests


def smaller(command: list[str]) -> list[str]:
    command = list(command)
    for at, word in enumerate(command[:-1]):
        if word == "--size":
            command[at + 1] = str(min(SIZE_MOST, float(command[at + 1])))
    return command


def from_ctest(entry: dict[str, object]) -> Test | None:
    command = entry.get("command")
    properties = entry["properties"]
    assert isinstance(properties, list)
    told = {one["name"]: one["value"] for one in properties}
    labels = told.get("LABELS", [])
    if not isinstance(command, list) or "tree" in labels:
        return None
    patterns = told.get("PASS_REGULAR_EXPRESSION", [])
    return Test(
        name=str(entry["name"]),
        part="system" if "system" in labels else "unit",
        command=smaller(command),
        environment=dict(word.split("=", 1) for word in told.get("ENVIRONMENT", [])),
        folder=told.get("WORKING_DIRECTORY", str(ROOT)),
        pass_pattern=patterns[0] if patterns else "",
    )


def lines_of(script: str, column: int) -> list[str]:
    """What a script of tests lists; the name is in this column."""
    told = images.run([PYTHON, ROOT / script, "--list"])
    return [line.split()[column] for line in told.splitlines() if line.strip()]


def by_script(part: str, prefix: str, script: str, names: list[str]) -> list[Test]:
    environment = {"UZSWAP_BIN": str(ROOT / "build" / "release" / "bin")}
    return [
        Test(prefix + name, part, [PYTHON, str(ROOT / script), name], environment)
        for name in names
    ]


def is_taken_apart(name: str) -> bool:
    """These tests of ctest run rows and scenes in groups; here each is a test by itself."""
    return name.startswith(("transparency_", "backing_")) and not name.endswith("_test")


def everything() -> list[Test]:
    rows, scenes = "tests/transparency/transparency.py", "tests/system/backing.py"
    found = [test for entry in of_ctest() if (test := from_ctest(entry)) is not None]
    found = [test for test in found if test.name not in LEFT_OUT and not is_taken_apart(test.name)]
    found += by_script("rows", "row_", rows, lines_of(rows, 1))
    found += by_script("system", "backing_", scenes, lines_of(scenes, 0))
    refusals = "tests/kernels/refusals.py"
    found += by_script("refusals", "refusal_", refusals, lines_of(refusals, 0))
    order = ("unit", "rows", "system", "refusals")
    return sorted(found, key=lambda test: order.index(test.part))


def choose(kernels: list[str], parts: list[str], names: list[str]) -> dict[str, list[Test]]:
    """The tests for each kernel; no kernel is named that has none of them."""
    known = everything()
    possible = {
        series: [test for test in known if test.part in PARTS[series] and test.part in parts]
        for series in kernels
    }
    for name in names:
        if not any(fnmatch(test.name, name) for tests in possible.values() for test in tests):
            raise images.Unusable(f"there is no test {name!r} in these parts. fix: --list")
    chosen = {
        series: [test for test in tests if not names or any(fnmatch(test.name, n) for n in names)]
        for series, tests in possible.items()
    }
    return {series: tests for series, tests in chosen.items() if tests}


def as_text(tests: list[Test], slowness: float) -> str:
    """For guest.py."""
    for test in tests:
        test.deadline_s = DEADLINES_S[test.part] * slowness
        test.environment["UZSWAP_TEST_SLOWNESS"] = str(slowness)
    return json.dumps([asdict(test) for test in tests])
