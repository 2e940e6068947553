"""`make -j2` of redis, which Debian has the source of, without uzswap and under a limit."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import harness
from harness import MIB, Run

SOURCES = harness.ROOT / "build" / "suites-sources"
# Names and dates of the build are parts of the program otherwise.
MAKE = ["env", "SOURCE_DATE_EPOCH=1700000000", "make", "-j2", "MALLOC=libc", "V=1"]

Build = Callable[[list[str], Path, bool], Run]


def apt_options() -> list[str]:
    """For the source packages of the distribution, beside the lists of the machine."""
    SOURCES.mkdir(parents=True, exist_ok=True)
    lists = SOURCES / "lists"
    lists.mkdir(exist_ok=True)
    sources = SOURCES / "debian.sources"
    listed = Path("/etc/apt/sources.list.d/debian.sources")
    if not listed.exists():
        raise harness.Problem(f"{listed} does not exist: put redis_*.orig.tar.gz into {SOURCES}")
    installed = listed.read_text()
    sources.write_text(installed.replace("Types: deb\n", "Types: deb-src\n"))
    chosen = {
        "Dir::Etc::sourcelist": str(sources),
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": str(lists),
        "APT::Sandbox::User": "root",
    }
    return [word for name, value in chosen.items() for word in ("-o", f"{name}={value}")]


def source_archive() -> Path:
    def found() -> list[Path]:
        return sorted(SOURCES.glob("redis_*.orig.tar.gz"))

    if not found():
        options = apt_options()
        for words in (["update"], ["source", "--download-only", "redis"]):
            subprocess.run(["apt-get", "-q", *options, *words], cwd=SOURCES, check=True)
    return found()[-1]


def unpack(folder: Path) -> Path:
    """Always in the same folder: its name is a part of some objects."""
    place = folder / "redis"
    subprocess.run(["rm", "-rf", str(place)], check=True)
    place.mkdir()
    words = ["tar", "xf", str(source_archive()), "-C", str(place), "--strip-components=1"]
    subprocess.run(words, check=True)
    return place


def digests(place: Path) -> dict[str, str]:
    names = [one for one in place.rglob("*") if one.suffix in (".o", ".a")]
    names += [place / "src" / "redis-server", place / "src" / "redis-cli"]
    return {
        str(one.relative_to(place)): hashlib.sha256(one.read_bytes()).hexdigest() for one in names
    }


def compare_builds(folder: Path, build: Build) -> tuple[Run, str, list[str]]:
    place = unpack(folder)
    plain = build(MAKE, place, False)
    if plain.status != 0:
        raise harness.Problem(f"without uzswap: {plain.errors[-1500:]}")
    expected = digests(place)
    limited = build(MAKE, unpack(folder), True)
    found = digests(place) if limited.status == 0 else {}
    names = expected.keys() | found.keys()
    differing = sorted(name for name in names if found.get(name) != expected.get(name))
    told = (
        f"{len(expected)} files; without uzswap {plain.seconds:.1f} s,"
        f" {plain.anon_peak / MIB:.1f} MiB"
    )
    return limited, told, [f"not the same: {', '.join(differing[:5])}"] if differing else []
