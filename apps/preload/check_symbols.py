#!/usr/bin/env python3
"""Checks the dynamic symbols of the preload library.

    check_symbols.py LIBRARY

Another preload library must not be called in place of the C library (freestanding/freestanding.h),
and the program must not be bound to uzswap's copies of lz4, zstd or libsodium. So the library
imports only what is listed here, and exports only what it replaces on purpose.
"""

from __future__ import annotations

import subprocess
import sys

# Each with the reason why no other library sensibly defines it.
PERMITTED_IMPORTS: dict[str, str] = {
    "__register_atfork": "the C library's entry point behind pthread_atfork; handlers have to be"
    " registered there",
    "_IO_list_all": "a variable of the C library: its list of streams",
    "_IO_list_lock": "locks the C library's own list of streams",
    "_IO_list_unlock": "as _IO_list_lock",
    "environ": "a variable of the C library: the program's environment",
    "__environ": "the same variable",
    "_r_debug": "a variable of the dynamic linker: its list of libraries",
}
PERMITTED_EXPORTS: frozenset[str] = frozenset(
    (
        # The calls that start programs (exec_calls.cc).
        "execl execle execlp execv execve execveat execvp execvpe fexecve posix_spawn posix_spawnp"
        # Those that make children without fork handlers (fork_calls.cc).
        " _Fork clone syscall"
        # Memory that is several mappings (remap_calls.cc).
        " mremap"
        # Limits of resources (limit_calls.cc).
        " getrlimit getrlimit64 prlimit prlimit64 setrlimit setrlimit64"
    ).split()
)


def symbols(library: str) -> tuple[set[str], set[str]]:
    """The names that the library imports, and those that it exports."""
    listing = subprocess.run(
        ["nm", "--dynamic", "--without-symbol-versions", library],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    imports: set[str] = set()
    exports: set[str] = set()
    for line in listing.splitlines():
        *_, kind, name = line.split()
        (imports if kind in "Uwv" else exports).add(name)
    return imports, exports


def main() -> int:
    imports, exports = symbols(sys.argv[1])
    failures = [
        f"imports {name}: define it in apps/preload/freestanding"
        for name in sorted(imports - PERMITTED_IMPORTS.keys())
    ]
    failures += [
        f"exports {name}: hide it, or add it to PERMITTED_EXPORTS"
        for name in sorted(exports - PERMITTED_EXPORTS)
    ]
    failures += [f"does not export {name}" for name in sorted(PERMITTED_EXPORTS - exports)]
    for failure in failures:
        print(f"{sys.argv[1]}: {failure}")
    print(f"{len(imports)} imports, {len(exports)} exports, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
