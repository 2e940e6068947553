#!/usr/bin/env python3
"""Holds the sources to the layers of the house: include downward or within the own folder.

    tools/check_layers.py              check the tree, one line for each breach
    tools/check_layers.py --self-test  check the checker

The layers are below, lowest first. A file of src/<folder> may include "<other>/x.h" only if
<other> lies in a lower layer or is the same folder. Folders of one layer do not know each
other. apps/ are the top: each may include all of src/, but no other application. Public headers
(include/uzswap/) include only public headers. Files under tests/ and bench/ are outside the
house and may include anything.

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
    ("pool", "backing"),
    ("cache",),
    ("writeback",),
    ("swap",),
    ("session",),
    ("vm",),
    ("reclaim",),
    ("pager",),
    ("engine",),
)
RANK: dict[str, int] = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

KERNEL_HEADERS = re.compile(r"^(sys/|linux/|asm/|unistd\.h$|fcntl\.h$|liburing\.h$)")
KERNEL_HEADER_EXCEPTIONS: dict[str, str] = {
    "src/base/check.cc": "the last words of a panic need one write, below every layer",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
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


def kernel_header_breach(path: Path, include: Include) -> str | None:
    is_test = path.stem.endswith(("_test", "_fuzz"))
    if include.quoted or is_test or path.as_posix() in KERNEL_HEADER_EXCEPTIONS:
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
    for include in parse_includes(text):
        if area == "src":
            problem = breach_in_source(folder, include)
            if problem is None and folder != "os":
                problem = kernel_header_breach(path, include)
        elif area == "apps":
            problem = breach_in_app(folder, include, root)
        else:
            problem = breach_in_public_header(include)
        if problem:
            found.append(f"{path}:{include.line}: {problem}")
    return found


def check_tree(root: Path) -> list[str]:
    found = []
    for area in ("src", "apps", "include"):
        for path in sorted((root / area).rglob("*")):
            if path.is_file() and path.suffix in SOURCE_SUFFIXES:
                relative = path.relative_to(root)
                if len(relative.parts) < 3:
                    found.append(f"{relative}: a source outside any folder")
                    continue
                found += breaches(relative, path.read_text(), root)
    return found


def self_test() -> int:
    cases = [  # path, an include line, is it a breach
        ("src/pool/a.cc", '#include "base/check.h"', False),
        ("src/pool/a.cc", '#include "pool/b.h"', False),
        ("src/pool/a.cc", '#include "frame/arena.h"', False),
        ("src/pool/a.cc", '#include "uzswap/region.h"', False),
        ("src/pool/a.cc", '#include "backing/ring.h"', True),
        ("src/pool/a.cc", '#include "pager/pager.h"', True),
        ("src/pool/a.cc", '#  include "cache/x.h"', True),
        ("src/pool/a.cc", '#include "b.h"', True),
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
    ]
    wrong = 0
    for name, line, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True)
            path.write_text(line + "\n")
            found = check_tree(Path(folder))
        if bool(found) != expected:
            wrong += 1
            print(f"self-test: {name}: {line}: found {found}, expected a breach: {expected}")
    print(f"check_layers: self-test, {len(cases)} cases, {wrong} wrong")
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
