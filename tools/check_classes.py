#!/usr/bin/env python3
"""Holds the classes of src/ to their size: at most 12 data members and 25 methods.

    tools/check_classes.py                  check the tree, one line for each class above the size
    tools/check_classes.py --max-allowed N  fail only if more than N classes are above it
    tools/check_classes.py --all            print every class with its two counts
    tools/check_classes.py --self-test      check the checker

A header whose comment has a line that begins with "// Size:" and says why is exempt.

Counted are the members declared in the body of a class or struct of src/**/*.h: data members are
names that end in "_", methods are functions and operators. Constructors, destructors and deleted
functions are not counted. The parser knows only as much C++ as headers of this project need.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEMBERS_MAX = 12
METHODS_MAX = 25

COMMENT_OR_STRING = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])'""", re.S
)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
ATTRIBUTE = re.compile(r"\[\[[^\]]*\]\]")
# GUARDED_BY(lock_), alignas(64): what looks like a call and is not.
ANNOTATION = re.compile(r"\b(?:[A-Z][A-Z0-9_]{2,}|alignas|decltype)\s*\((?:[^()]|\([^()]*\))*\)")
TEMPLATE_ARGUMENTS = re.compile(r"<[^<>;{}]*>")
OPERATOR = re.compile(r"\boperator\s*(?:\(\)|[^\s(\w]+)")
# An annotation without parentheses may stand before the name; a union may have no name.
CLASS_HEAD = re.compile(
    r"\b(?:class|struct|union)\s*(?:\s[A-Z][A-Z0-9_]{3,}(?=\s+\w))?(?:\s+(\w+)[^;(){}=]*)?$"
)
ENUM_HEAD = re.compile(r"\benum\b[^;(){}=]*$")
ACCESS = re.compile(r"^\s*(?:public|private|protected)\s*:(?!:)")
NO_MEMBER = re.compile(r"^\s*(?:using|typedef|friend|static_assert|enum|class|struct|union)\b")
SIZE_REASON = re.compile(r"^\s*// Size:[ \t]*\S", re.M)


@dataclass
class Class:
    name: str
    members: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)

    def is_large(self) -> bool:
        return len(self.members) > MEMBERS_MAX or len(self.methods) > METHODS_MAX

    def __str__(self) -> str:
        return f"{self.name}: {len(self.members)} data members, {len(self.methods)} methods"


def plain(text: str) -> str:
    """The text without comments, strings, directives, attributes and annotations."""
    text = COMMENT_OR_STRING.sub(lambda found: " " if found[0][0] == "/" else "0", text)
    text = ATTRIBUTE.sub(" ", DIRECTIVE.sub("", text))
    text = OPERATOR.sub("operator_symbol", text)
    text = ANNOTATION.sub(" ", text)
    while True:
        shorter = TEMPLATE_ARGUMENTS.sub(" ", text)
        if shorter == text:
            return text
        text = shorter


def closing_brace(text: str, at: int) -> int:
    """Where the brace that opens at `at` closes."""
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i
    return len(text)


def head_of(item: str) -> str:
    """A declaration up to its initializer: its first '=' outside parentheses."""
    depth = 0
    for i, letter in enumerate(item):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "=" and depth == 0:
            return item[:i]
    return item


def add_item(owner: Class, item: str) -> None:
    """Counts one declaration of a class body, which ends before its semicolon or its body."""
    while ACCESS.match(item):
        item = ACCESS.sub("", item)
    item = re.sub(r"^\s*template\b", "", item)
    if NO_MEMBER.match(item):
        return
    head = head_of(item)
    if "(" in head:
        name = re.search(r"(~?\w+)\s*\(", head)
        deleted = re.search(r"=\s*delete\s*$", item)
        if name and not deleted and name[1].lstrip("~") != owner.name:
            owner.methods.append(name[1])
        return
    for part in head.split(","):
        name = re.search(r"(\w+_)\s*(?:\[[^\]]*\]\s*)*(?::\s*\w+\s*)?$", part)
        if name:
            owner.members.append(name[1])


def parse_scope(text: str, owner: Class | None, found: list[Class]) -> None:
    """Reads the declarations of a namespace or, with an owner, of a class body."""
    item = ""
    at = 0
    while at < len(text):
        if text[at] == ";":
            if owner is not None:
                add_item(owner, item)
            item = ""
        elif text[at] == "{":
            end = closing_brace(text, at)
            item = read_braces(item, text[at + 1 : end], owner, found)
            at = end
        else:
            item += text[at]
        at += 1


def read_braces(item: str, inside: str, owner: Class | None, found: list[Class]) -> str:
    """Reads what is in braces after `item`; returns what is left of the declaration."""
    if ENUM_HEAD.search(item):
        return "enum"
    heading = CLASS_HEAD.search(item)
    if heading:
        made = Class(heading[1] or "(without a name)")
        found.append(made)
        parse_scope(inside, made, found)
        return ""  # a member of this type may follow
    has_parameters = "(" in head_of(item)
    if owner is None and not has_parameters:
        parse_scope(inside, None, found)  # a namespace
        return ""
    # A constructor may initialize members with braces before its body.
    if has_parameters and not re.search(r"_\s*$", item):
        if owner is not None:
            add_item(owner, item)
        return ""
    return item  # the braces are an initializer


def classes_of(text: str) -> list[Class]:
    found: list[Class] = []
    parse_scope(plain(text), None, found)
    return found


def check_tree(root: Path) -> tuple[list[str], list[str]]:
    """The classes that are too large, and all of them, one line each."""
    large, every = [], []
    for path in sorted((root / "src").rglob("*.h")):
        text = path.read_text()
        for one in classes_of(text):
            line = f"{path.relative_to(root)}: {one}"
            every.append(line)
            if one.is_large() and not SIZE_REASON.search(text):
                large.append(line)
    return large, every


SELF_TEST = """
// A Pager. class InComment { int no_; };
#define MACRO class InMacro { int no_; };
namespace uzswap {
class Forward;
enum class Kind : uint8_t { kA, kB };
struct Plain { int no_underscore; uint32_t size_ = 0; };
struct SCOPED_CAPABILITY Guard { int lock_; };
template <typename T, int N = 3>
class CAPABILITY("mutex") Lock final : public Base<T>, private Other {
 public:
  explicit Lock(int rank) : rank_(rank), name_{"x;{"} { Do(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock();
  [[nodiscard]] int rank() const { return rank_; }
  void Take(int a = 3, std::function<void(int)> f = {}) ACQUIRE(lock_) EXCLUDES(other_);
  bool operator==(const Lock&) const = default;
  bool operator<(const Lock& other) const { return rank_ < other.rank_; }
  virtual Result<std::map<int, std::vector<T>>> Find() = 0;
  static constexpr int kMost = 4;
  using Table = std::array<int, 4>;
  friend class Other;
  struct Nested { int a_; int b_; void Go(); };
 private:
  int rank_ GUARDED_BY(lock_) = 0;
  const char* name_;
  std::array<std::atomic<int>, 4> cells_{};
  alignas(64) int left_, right_[4];
  unsigned bits_ : 3;
  std::function<void(int)> call_;
  struct { int x; } anonymous_;
  int sum_ = Add(1, 2);
};
}
"""
SELF_TEST_EXPECTED = {
    "Plain": (["size_"], []),
    "Guard": (["lock_"], []),
    "(without a name)": ([], []),
    "Nested": (["a_", "b_"], ["Go"]),
    "Lock": (
        ["rank_", "name_", "cells_", "left_", "right_", "bits_", "call_", "anonymous_", "sum_"],
        ["rank", "Take", "operator_symbol", "operator_symbol", "Find"],
    ),
}


def self_test() -> int:
    found = {one.name: (one.members, one.methods) for one in classes_of(SELF_TEST)}
    wrong = 0
    for name in sorted(found.keys() | SELF_TEST_EXPECTED.keys()):
        if found.get(name) != SELF_TEST_EXPECTED.get(name):
            wrong += 1
            print(f"self-test: {name}: {found.get(name)} not {SELF_TEST_EXPECTED.get(name)}")
    bounds = (  # data members, methods, is it large
        (MEMBERS_MAX, METHODS_MAX, False),
        (MEMBERS_MAX + 1, 0, True),
        (0, METHODS_MAX + 1, True),
    )
    for members, methods, expected in bounds:
        body = "".join(f"int m{i}_; " for i in range(members))
        body += "".join(f"void Step{i}(); " for i in range(methods))
        (one,) = classes_of(f"class A {{ {body} }};")
        if one.is_large() != expected:
            wrong += 1
            print(f"self-test: {one}: large is {one.is_large()}")
    for comment, expected in (("// Size: wiring", True), ("// Size:", False), ("// size", False)):
        if bool(SIZE_REASON.search(f"// A.\n{comment}\n//\n")) != expected:
            wrong += 1
            print(f"self-test: {comment!r} as a reason: not {expected}")
    print(f"check_classes: self-test, {wrong} wrong")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--max-allowed", type=int, default=0, metavar="N")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    large, every = check_tree(ROOT)
    for line in every if arguments.all else large:
        print(line)
    print(
        f"check_classes: {len(every)} classes, {len(large)} above {MEMBERS_MAX} data members or"
        f" {METHODS_MAX} methods, {arguments.max_allowed} allowed"
    )
    return 1 if len(large) > arguments.max_allowed else 0


if __name__ == "__main__":
    sys.exit(main())
