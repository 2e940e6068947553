#!/usr/bin/env python3
"""Holds the sources to the layers: include only downward or within the own folder.

    tools/check_layers.py              check the tree, one line for each breach
    tools/check_layers.py --self-test  check the checker

The layers are below, lowest first. A file of src/<folder> may include "<other>/x.h" only if
<other> lies in a lower layer or is the same folder. Folders of one layer do not include each
other. apps/ are the top: each may include all of src/, but no other application. Public headers
(include/uzswap/ and include/uzswap.h) include only public headers. Files under tests/ and bench/
belong to no layer and may include anything.

What lies under a folder testing/ is for tests, fuzz targets, bench/, tests/ and other files of
such folders: production sources never include it, and no library without "testing" in its name
has it among its sources or links such a library. A .cc file has at most 400 lines, unless it is
a test or test support. A .cc file beside a header of its name includes that header first: so the
header is known to compile alone (tests/headers.cmake checks the others).

System calls live in src/os, so the kernel's headers are included there, in the applications and
in tests; the exceptions are listed with their reasons.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

LAYERS: tuple[tuple[str, ...], ...] = (
    ("base",),
    ("os",),
    ("frame", "codec"),
    ("pool", "backing", "train"),
    ("cache",),
    ("writeback", "learn"),
    ("swap",),
    ("session", "region"),
    ("library",),
    ("broker",),
    ("vm",),
    ("reclaim",),
    ("pager",),
    ("engine",),
)
RANK: dict[str, int] = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

C_HEADER = "uzswap.h"

KERNEL_HEADERS = re.compile(r"^(sys/|linux/|asm/|unistd\.h$|fcntl\.h$|liburing\.h$)")
KERNEL_HEADER_EXCEPTIONS: dict[str, str] = {
    "src/base/check.cc": "the message of a panic needs one write, below every layer",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
TEST_ENDINGS = ("_test", "_fuzz")
LINES_MAX = 400
# A command of a CMakeLists.txt that gives a library its sources or what it links.
CMAKE_LIBRARY = re.compile(
    r"\b(?:uz_library|add_library|target_sources|target_link_libraries)\s*\(\s*([\w-]+)([^)]*)\)"
)
CMAKE_TESTING = re.compile(r"(?:^|[\s/])testing/\S+|\b\w+_testing\b")
# Libraries whose name says that they are for tests only.
CMAKE_TEST_NAME = re.compile(r"_testing$|_test$|_fuzz$|_bench$|stub|child")
SOURCE_SUFFIXES = {".cc", ".h", ".c", ".inc"}


@dataclass(frozen=True)
class Include:
    line: int
    quoted: bool
    target: str


def parse_includes(text: str) -> list[Include]:
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        match = INCLUDE.match(line)
        if match:
            found.append(Include(number, match[1] == '"', match[2]))
    return found


def breach_in_source(folder: str, include: Include) -> str | None:
    """What is wrong with an include in src/<folder>, or None."""
    if not include.quoted:
        return None
    top = include.target.split("/")[0]
    if include.target == C_HEADER:
        return None
    if "/" not in include.target:
        return f'"{include.target}" lacks its folder: write "{folder}/{include.target}"'
    if top in (folder, "uzswap"):
        return None
    if top not in RANK:
        return f'"{include.target}" names no folder of src/'
    if RANK[top] < RANK[folder]:
        return None
    where = "the same layer" if RANK[top] == RANK[folder] else "a higher layer"
    return f'"{include.target}" is of {where}: {folder} may only look down'


def breach_in_app(app: str, include: Include, root: Path) -> str | None:
    if not include.quoted or "/" not in include.target:
        return None
    if (root / "apps" / app / include.target).exists():
        return None
    top = include.target.split("/")[0]
    if top in RANK or top in (app, "uzswap"):
        return None
    return f'"{include.target}" is neither of src/ nor of this application'


def breach_in_public_header(include: Include) -> str | None:
    if not include.quoted or include.target.startswith("uzswap/"):
        return None
    return f'"{include.target}" is not public'


def is_test(path: Path) -> bool:
    """A test, a fuzz target or test support."""
    return path.stem.endswith(TEST_ENDINGS) or "testing" in path.parts


def testing_breach(path: Path, include: Include) -> str | None:
    if is_test(path) or "testing" not in include.target.split("/")[:-1]:
        return None
    return f'"{include.target}" is test support: only tests may include it'


def size_breach(path: Path, text: str) -> str | None:
    lines = text.count("\n")
    if path.suffix != ".cc" or is_test(path) or lines <= LINES_MAX:
        return None
    return f"{path}: {lines} lines, at most {LINES_MAX}"


def own_header_breach(path: Path, includes: list[Include], root: Path) -> str | None:
    """A source that does not show that its own header compiles alone."""
    header = path.with_suffix(".h")
    if path.suffix != ".cc" or not (root / header).exists():
        return None
    parts = header.parts
    if includes and any(includes[0].target == "/".join(parts[at:]) for at in range(1, len(parts))):
        return None
    return f"{path}: does not include {header.name} first"


def cmake_breaches(path: Path, text: str) -> list[str]:
    """Libraries of production that would contain test support."""
    found = []
    text = re.sub(r"#[^\n]*", "", text)
    for command in CMAKE_LIBRARY.finditer(text):
        used = CMAKE_TESTING.search(command[2])
        if used and not CMAKE_TEST_NAME.search(command[1]):
            line = text.count("\n", 0, command.start()) + 1
            found.append(f"{path}:{line}: {command[1]} has {used[0].strip()}, which is for tests")
    return found


def kernel_header_breach(path: Path, include: Include) -> str | None:
    if include.quoted or is_test(path) or path.as_posix() in KERNEL_HEADER_EXCEPTIONS:
        return None
    if not KERNEL_HEADERS.match(include.target):
        return None
    return f"<{include.target}>: system calls live in src/os"


def breaches(path: Path, text: str, root: Path) -> list[str]:
    """The breaches of one file; its path is relative to the root."""
    area, folder = path.parts[0], path.parts[1]
    found = []
    if area == "src" and folder not in RANK:
        return [f"{path}: src/{folder} is in no layer: add it to tools/check_layers.py"]
    includes = parse_includes(text)
    for include in includes:
        if area == "src":
            problem = breach_in_source(folder, include)
            if problem is None and folder != "os":
                problem = kernel_header_breach(path, include)
        elif area == "apps":
            problem = breach_in_app(folder, include, root)
        else:
            problem = breach_in_public_header(include)
        problem = problem or testing_breach(path, include)
        if problem:
            found.append(f"{path}:{include.line}: {problem}")
    whole_file = (size_breach(path, text), own_header_breach(path, includes, root))
    return found + [problem for problem in whole_file if problem]


def check_tree(root: Path) -> list[str]:
    found = []
    for area in ("src", "apps", "include"):
        for path in sorted((root / area).rglob("*")):
            if path.name == "CMakeLists.txt":
                found += cmake_breaches(path.relative_to(root), path.read_text())
            if path.is_file() and path.suffix in SOURCE_SUFFIXES:
                relative = path.relative_to(root)
                if len(relative.parts) < 3 and relative != Path("include") / C_HEADER:
                    found.append(f"{relative}: a source outside any folder")
                    continue
                found += breaches(relative, path.read_text(), root)
    return found


SELF_TEST_CASES = (  # path, an include line, is it a breach
    ("src/pool/a.cc", '#include "base/check.h"', False),
    ("src/pool/a.cc", '#include "pool/b.h"', False),
    ("src/pool/a.cc", '#include "frame/arena.h"', False),
    ("src/pool/a.cc", '#include "uzswap/region.h"', False),
    ("src/pool/a.cc", '#include "backing/ring.h"', True),
    ("src/pool/a.cc", '#include "pager/pager.h"', True),
    ("src/pool/a.cc", '#  include "cache/x.h"', True),
    ("src/pool/a.cc", '#include "b.h"', True),
    ("src/library/a.cc", '#include "uzswap.h"', False),
    ("include/uzswap.h", '#include "base/check.h"', True),
    ("src/pool/a.cc", '#include "poool/b.h"', True),
    ("src/pool/a.cc", '// #include "pager/pager.h"', False),
    ("src/pool/a.cc", "#include <vector>", False),
    ("src/pool/a.cc", "#include <sys/mman.h>", True),
    ("src/pool/a_test.cc", "#include <sys/mman.h>", False),
    ("src/os/a.cc", "#include <sys/mman.h>", False),
    ("src/os/a.cc", "#include <linux/userfaultfd.h>", False),
    ("src/base/check.cc", "#include <unistd.h>", False),
    ("src/novel/a.cc", "#include <vector>", True),
    ("apps/cli/main.cc", '#include "engine/engine.h"', False),
    ("apps/cli/main.cc", '#include "cli/run.h"', False),
    ("apps/cli/main.cc", '#include "preload/start.h"', True),
    ("apps/cli/main.cc", "#include <unistd.h>", False),
    ("include/uzswap/a.h", '#include "uzswap/b.h"', False),
    ("include/uzswap/a.h", '#include "engine/engine.h"', True),
    ("src/loose.cc", "#include <vector>", True),
    ("src/pool/a.cc", '#include "frame/testing/fake.h"', True),
    ("src/pool/a.h", '#include "pool/testing/model.h"', True),
    ("src/pool/a_test.cc", '#include "pool/testing/model.h"', False),
    ("src/pool/a_fuzz.cc", '#include "pool/testing/model.h"', False),
    ("src/pool/testing/a.cc", '#include "frame/testing/fake.h"', False),
    ("src/pool/testing/a.h", '#include "backing/testing/fake.h"', True),
    ("src/pool/testing/a.h", "#include <sys/mman.h>", False),
    ("apps/cli/main.cc", '#include "testing/run.h"', True),
    ("apps/cli/run_test.cc", '#include "os/testing/fake.h"', False),
    ("include/uzswap/a.h", '#include "uzswap/testing/b.h"', True),
    ("src/pool/testing.h", '#include "pool/b.h"', False),
    ("src/pool/a.cc", "//\n" * LINES_MAX, True),
    ("src/pool/a.cc", "//\n" * (LINES_MAX - 1), False),
    ("src/pool/a_test.cc", "//\n" * LINES_MAX, False),
    ("src/pool/testing/a.cc", "//\n" * LINES_MAX, False),
    ("src/pool/CMakeLists.txt", "uz_library(pool SOURCES a.cc testing/b.cc)", True),
    ("src/pool/CMakeLists.txt", "uz_library(pool SOURCES a.cc\n DEPS os_testing)", True),
    ("src/pool/CMakeLists.txt", "target_sources(uz_pool PRIVATE testing/b.cc)", True),
    ("src/pool/CMakeLists.txt", "target_link_libraries(uz_pool PUBLIC uz_os_testing)", True),
    ("src/pool/CMakeLists.txt", "# uz_library(pool SOURCES testing/b.cc)", False),
    ("src/pool/CMakeLists.txt", "uz_library(pool_testing SOURCES testing/b.cc)", False),
    ("src/pool/CMakeLists.txt", "uz_test(pool_test SOURCES a_test.cc DEPS os_testing)", False),
)

OWN_HEADER_CASES = (  # the source beside src/pool/b.h, is it a breach
    ('#include "pool/b.h"\n#include <vector>\n', False),
    ('// A comment.\n#include "pool/b.h"\n', False),
    ('#include <vector>\n#include "pool/b.h"\n', True),
    ("int x;\n", True),
)


def self_test() -> int:
    wrong = 0
    for name, line, expected in SELF_TEST_CASES:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(line + "\n")
            found = check_tree(Path(folder))
        if bool(found) != expected:
            wrong += 1
            print(f"self-test: {name}: {line}: found {found}, expected a breach: {expected}")
    for text, expected in OWN_HEADER_CASES:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "src/pool/b.cc"
            source.parent.mkdir(parents=True)
            source.write_text(text)
            source.with_suffix(".h").write_text("\n")
            if bool(check_tree(Path(folder))) != expected:
                wrong += 1
                print(f"self-test: beside b.h: {text!r}: expected a breach: {expected}")
    cases = len(SELF_TEST_CASES) + len(OWN_HEADER_CASES)
    print(f"check_layers: self-test, {cases} cases, {wrong} wrong")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--self-test", action="store_true")
    if parser.parse_args().self_test:
        return self_test()
    found = check_tree(ROOT)
    print(*found, sep="\n") if found else None
    print(f"check_layers: {len(found)} breaches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
