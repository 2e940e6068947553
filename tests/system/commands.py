#!/usr/bin/env python3
"""The commands as their manual pages, `--help` and the completions of three shells describe them.

    commands.py [SCENE...]    without a scene all of them
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import harness
from harness import ROOT, call, require

UZSWAP = str(harness.bin_folder() / "uzswap")
COMPLETIONS = ROOT / "contrib" / "completion"
MANUALS = ROOT / "docs" / "man"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# A script that sets what bash sets for a completion, and prints the answers.
BASH_DRIVER = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_uzswap 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


def commands() -> list[str]:
    """As `uzswap --help` lists them."""
    printed = call(UZSWAP, "--help")
    names = re.findall(r"^  ([a-z]+) {2,}", printed.split("Subcommands:")[1], re.MULTILINE)
    require(len(names) > 2, f"no commands in: {printed}")
    return names


def options_of(command: str) -> set[str]:
    return set(OPTION.findall(call(UZSWAP, command, "--help")))


def manuals(_: Path) -> str:
    """Each command has a manual page, which names its options and no others."""
    for command in commands():
        if command == "help":
            continue
        page = call(UZSWAP, "help", command)
        require(page.startswith(f"UZSWAP-{command.upper()}(1)"), f"the page of {command}: {page}")
        missing = options_of(command) - set(OPTION.findall(page)) - {"--help"}
        require(not missing, f"the page of {command} does not have {missing}")
        after = page.split("\nOPTIONS\n")
        documented = re.findall(r"^ {7}(?:-\w, )?(--[a-z-]+)", after[-1], re.MULTILINE)
        unknown = set(documented) - options_of(command)
        require(len(after) == 1 or not unknown, f"the page of {command} has {unknown}")
        source = (MANUALS / f"uzswap-{command}.1").read_text()
        require(source.startswith(f".TH UZSWAP-{command.upper()} 1"), f"source of {command}")
    require("uzswap-run(1)" in call(UZSWAP, "help"), "the page of uzswap names its commands")
    refused = subprocess.run([UZSWAP, "help", "nothing"], capture_output=True, text=True)
    require(refused.returncode != 0 and "fix:" in refused.stderr, f"help nothing: {refused}")
    return "each command has its page, with its options"


def option_lists(_: Path) -> str:
    """No completion has more or fewer options than the commands."""
    expected = {"--version"}
    for command in commands():
        expected |= options_of(command)
    for name in ("uzswap.bash", "_uzswap"):
        there = set(OPTION.findall((COMPLETIONS / name).read_text()))
        require(there == expected, f"{name}: {there ^ expected}")
    fish = (COMPLETIONS / "uzswap.fish").read_text()
    found = re.findall(r"^complete .* -l ([a-z-]+)", fish, re.MULTILINE)
    there = {f"--{option}" for option in found}
    require(there == expected, f"uzswap.fish: {there ^ expected}")
    return "the completions have the options of the commands"


def bash_answers(*words: str) -> list[str]:
    script = str(COMPLETIONS / "uzswap.bash")
    return call("bash", "-c", BASH_DRIVER, "driver", script, *words).split()


def bash(_: Path) -> str:
    for command in commands():
        require(command in bash_answers("uzswap", ""), f"bash does not know {command}")
        if command != "help":
            answers = bash_answers("uzswap", command, "-")
            require(set(answers) == options_of(command), f"bash, {command}: {answers}")
    require(bash_answers("uzswap", "run", "--codec", "l") == ["lz4"], "values of --codec")
    require(bash_answers("uzswap", "run", "--limit", "") == ["auto"], "values of --limit")
    for before in ((), ("--limit", "64M"), ("--summary",), ("--summary", "--")):
        answers = bash_answers("uzswap", "run", *before, "tru")
        require("true" in answers, f"a command after {before}: {answers}")
    answers = bash_answers("uzswap", "run", "true", "/etc/host")
    require("/etc/hosts" in answers, f"a file after the command: {answers}")
    return "commands, options, values, and what is run"


def fish_answers(line: str) -> list[str]:
    script = f"source {COMPLETIONS / 'uzswap.fish'}; complete -C '{line}'"
    environment = {**os.environ, "HOME": "/nonexistent", "PATH": path_with_uzswap()}
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, env=environment
    )
    require(done.returncode == 0, f"fish: {done.stderr}")
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def path_with_uzswap() -> str:
    return f"{Path(UZSWAP).parent}:{os.environ['PATH']}"


def fish(_: Path) -> str:
    if shutil.which("fish") is None:
        harness.skip("no fish")
    for command in commands():
        require(command in fish_answers("uzswap "), f"fish does not know {command}")
        if command != "help":
            answers = set(fish_answers(f"uzswap {command} --"))
            require(answers >= options_of(command), f"fish, {command}: {answers}")
    require("lz4" in fish_answers("uzswap run --codec "), "values of --codec")
    for line in ("uzswap run tru", "uzswap run --limit 64M tru", "uzswap run --summary -- tru"):
        require("true" in fish_answers(line), f"a command in '{line}': {fish_answers(line)}")
    answers = fish_answers("uzswap run --limit 64M cat /etc/host")
    require("/etc/hosts" in answers, f"a file after the command: {answers}")
    return "commands, options, values, and what is run"


def zsh_shows(line: str, expected: str) -> None:
    """Types `line` and a tab on a terminal, and waits until zsh shows what is expected."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update({"PATH": path_with_uzswap(), "TERM": "dumb", "COLUMNS": "200"})
        os.execvp("zsh", ["zsh", "-f", "-i"])
    seen = ""
    setup = f"fpath=({COMPLETIONS} $fpath); autoload -U compinit; compinit -u -D; echo re''ady\n"
    os.write(terminal, setup.encode())
    deadline = time.monotonic() + harness.END_S
    typed = False
    try:
        while expected not in seen:
            if not typed and "ready" in seen:
                seen, typed = "", True
                os.write(terminal, line.encode() + b"\t\t")
            require(time.monotonic() < deadline, f"zsh, '{line}': no {expected} in {seen}")
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 4096).decode(errors="replace")
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(terminal)


def zsh(_: Path) -> str:
    if shutil.which("zsh") is None:
        harness.skip("no zsh")
    zsh_shows("uzswap ", "advise")
    zsh_shows("uzswap run --cod", "--codec")
    zsh_shows("uzswap run --codec ", "zstd")
    zsh_shows("uzswap top --so", "--sort")
    zsh_shows("uzswap run --limit 64M gunzi", "gunzip")
    return "commands, options, values, and what is run"


SCENES = {
    "manuals": manuals,
    "option-lists": option_lists,
    "bash": bash,
    "fish": fish,
    "zsh": zsh,
}


if __name__ == "__main__":
    harness.exit_with(lambda: harness.run_scenes(SCENES, sys.argv[1:]))
