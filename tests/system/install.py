#!/usr/bin/env python3
"""Installs a build into a folder of its own and runs uzswap from there.

    install.py BUILD VERSION     the build folder, and the version of the CMake project

The installed program has to find the installed preload library, and the version has to be the
same in the program and in the files of the project that repeat it. The examples are built with
the installed library as a project of their own, by find_package and by pkg-config, shared and
static, and run.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import harness
from harness import Problem, call, require

EXPECTED = (
    "bin/uzswap",
    "include/uzswap.h",
    "include/uzswap/page_cache.h",
    "lib/python3/dist-packages/uzswap/__init__.py",
    "share/bash-completion/completions/uzswap",
    "share/fish/vendor_completions.d/uzswap.fish",
    "share/zsh/vendor-completions/_uzswap",
    "share/man/man1/uzswap.1",
    "share/man/man1/uzswap-ps.1",
    "share/man/man1/uzswap-set.1",
    "share/man/man1/uzswap-shrink.1",
    "share/man/man1/uzswap-top.1",
    "share/man/man1/uzswap-run.1",
    "share/man/man1/uzswap-train.1",
    "share/doc/uzswap/LICENSE",
    "share/doc/uzswap/README.md",
)
LIBRARY = "libuzswap-preload.so"
ROOT = Path(__file__).resolve().parents[2]
# The files that repeat the version, and how, besides the titles of the man pages.
REPEATED = {
    "bindings/python/pyproject.toml": 'version = "{}"',
    "include/uzswap.h": '/* "{}" */',
    "packaging/library/shlibs": "libuzswap 0 libuzswap0 (>= {})",
}


def check_version(prefix: Path, version: str) -> None:
    printed = call(str(prefix / "bin" / "uzswap"), "--version")
    require(printed == f"uzswap {version}\n", f"uzswap --version printed {printed!r}")
    for name, text in REPEATED.items():
        lines = (ROOT / name).read_text().splitlines()
        require(text.format(version) in lines, f"{name} has another version than {version}")
    pages = sorted((ROOT / "docs" / "man").glob("*.1"))
    require(len(pages) > 1, "no man pages in docs/man")
    for page in [*pages, *sorted((prefix / "share/man/man1").glob("*.1"))]:
        title = next(line for line in page.read_text().splitlines() if line.startswith(".TH"))
        require(f'"uzswap {version}"' in title, f"{page} has another version: {title}")


def check_run(prefix: Path, library: Path) -> None:
    if not harness.has_userfaultfd_move():
        harness.skip("no userfaultfd with MOVE (Linux 6.8)")
    run = [str(prefix / "bin" / "uzswap"), "run", "--limit", "64M", "--"]
    call(*run, "true")
    printed = call(*run, "/bin/sh", "-c", 'echo "$LD_PRELOAD"; grep -c uzswap /proc/self/maps')
    preloaded, mapped = printed.splitlines()
    require(preloaded.split(":")[0] == str(library), f"{preloaded!r} is preloaded, not {library}")
    require(int(mapped) > 0, f"{library} is not in the program's memory map")


def check_examples(prefix: Path, folder: Path) -> None:
    built = folder / "examples"
    sources = ROOT / "examples" / "library"
    call("cmake", "-S", str(sources), "-B", str(built), f"-DCMAKE_PREFIX_PATH={prefix}")
    call("cmake", "--build", str(built))
    for name in ("first_steps", "object_cache", "larger_than_memory", "sorted_map"):
        print(f"{name}: {call(str(built / name)).strip()}")


def check_pkg_config(prefix: Path, folder: Path) -> None:
    """A C program with the shared library, and the same with the static one."""
    found = next(prefix.rglob("uzswap.pc")).parent
    flags = [
        call("pkg-config", f"--with-path={found}", *which, "uzswap").split()
        for which in (("--cflags", "--libs"), ("--cflags", "--static", "--libs"))
    ]
    source = str(ROOT / "src" / "library" / "c_interface_test.c")
    shared, static = (str(folder / name) for name in ("shared", "static"))
    archive = next(prefix.rglob("libuzswap.a"))
    call("cc", "-std=c11", source, "-o", shared, *flags[0], f"-Wl,-rpath,{archive.parent}")
    linked = [str(archive) if flag == "-luzswap" else flag for flag in flags[1]]
    call("cc", "-std=c11", source, "-o", static, *linked)
    call(shared)
    call(static)


def main() -> int:
    build, version = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder).resolve() / "uzswap"
        call("cmake", "--install", build, "--prefix", str(prefix))
        for name in EXPECTED:
            require((prefix / name).is_file(), f"{name} was not installed")
        libraries = list(prefix.rglob(LIBRARY))
        require(len(libraries) == 1, f"{len(libraries)} files {LIBRARY} were installed")
        check_version(prefix, version)
        check_run(prefix, libraries[0])
        check_pkg_config(prefix, Path(folder))
        check_examples(prefix, Path(folder))
    print(f"uzswap {version} runs from where it was installed")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        harness.fail(str(problem))
