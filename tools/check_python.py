#!/usr/bin/env python3
"""Checks the project's Python: it parses, lines have at most 100 columns, and every function is
typed and has at most 60 lines."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS_MAX = 100
LINES_MAX = 60


def is_python(path: Path) -> bool:
    if path.suffix == ".py":
        return True
    with path.open("rb") as file:
        first = file.readline()
    return first.startswith(b"#!") and b"python" in first


def sources() -> list[Path]:
    found = []
    for top in ("scripts", "tools", "tests", "bindings", "bench"):
        found += [path for path in sorted((ROOT / top).rglob("*")) if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts and is_python(path)]


def untyped(function: ast.FunctionDef) -> bool:
    arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    named = [one for one in arguments if one.arg not in ("self", "cls")]
    return function.returns is None or any(one.annotation is None for one in named)


def check(path: Path) -> list[str]:
    name = path.relative_to(ROOT)
    text = path.read_text()
    found = [
        f"{name}:{number}: {len(line)} columns"
        for number, line in enumerate(text.splitlines(), start=1)
        if len(line) > COLUMNS_MAX
    ]
    for node in ast.walk(ast.parse(text, str(name))):
        if not isinstance(node, ast.FunctionDef):
            continue
        if untyped(node):
            found.append(f"{name}:{node.lineno}: {node.name} is not typed")
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > LINES_MAX:
            found.append(f"{name}:{node.lineno}: {node.name} has {lines} lines")
    return found


def main() -> int:
    found = [problem for path in sources() for problem in check(path)]
    for problem in found:
        print(problem)
    print(f"check_python: {len(found)} breaches")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
