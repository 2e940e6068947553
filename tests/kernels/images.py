"""The disks that the guest boots from. They are made in build/kernels, and made again only if what
is in them has changed.

    packages/            kernels as Debian packages, and unpacked
    root.sqsh            programs and libraries of this machine, its package data, /etc
    project.sqsh         the checkout and its release build
    VERSION/             initrd.img, modules.sqsh and the kernel of one version

Nothing of it is compressed: the guest's processor is emulated, the host's disk is not.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "build" / "kernels"
# The package that depends on the newest kernel of a series.
NEWEST = {"6.12": "linux-image-6.12-amd64", "6.1": "linux-image-amd64"}
SCRATCH = "12G"  # sparse: takes what the tests write

# What initrd_init and the root file system need, in Debian's kernels; dependencies are added.
MODULES = "virtio_pci virtio_blk crc32c_generic ext4 squashfs overlay virtio_rng".split()
ROOT_FOLDERS = (
    "bin sbin lib lib64 usr/bin usr/sbin usr/lib64 usr/libexec usr/include usr/local/bin"
    " usr/lib/x86_64-linux-gnu usr/lib/python3 usr/lib/python3.11 usr/lib/gcc usr/lib/locale"
    " usr/lib/apt usr/lib/dpkg usr/lib/file usr/lib/terminfo usr/lib/os-release"
    " usr/share/doc usr/share/python3 usr/share/nodejs usr/share/zoneinfo usr/share/perl"
    " usr/share/perl5 usr/share/nbdkit usr/share/gcc usr/share/gdb usr/share/zsh usr/share/fish"
    " usr/share/bash-completion usr/share/groff usr/share/dpkg usr/share/terminfo"
    " etc var/lib/dpkg var/lib/apt/lists"
).split()
# Large and used by no test, or nobody's business in an image.
LEAVE_OUT = re.compile(
    r"^usr/lib/x86_64-linux-gnu/(fpc/|dri/|lib(LLVM|clang|z3|webkit|javascriptcore))"
    r"|^etc/(shadow|gshadow|ssh/|ssl/private)|^var/lib/dpkg/info/.*\.md5sums$"
)
PROJECT_BUILT = ("bin", "lib")


class Unusable(Exception):
    """The guest cannot be made; the text says why."""


@dataclass(frozen=True)
class Guest:
    """What one kernel boots from."""

    version: str
    kernel: Path
    initrd: Path
    disks: tuple[Path, Path, Path]


def note(text: str) -> None:
    print(f"-- {text}", flush=True)


def run(command: Sequence[str | Path], folder: Path | None = None, given: str = "") -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-600:]
        raise Unusable(f"{Path(command[0]).name} failed: {tail}")
    return done.stdout


def is_current(made: Path, fingerprint: str) -> bool:
    mark = made.with_name(made.name + ".made-of")
    return made.exists() and mark.exists() and mark.read_text() == fingerprint


def set_current(made: Path, fingerprint: str) -> None:
    made.with_name(made.name + ".made-of").write_text(fingerprint)


def digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()


def squash(out: Path, top: Path, names: str) -> None:
    """`names` are paths below `top`, one a line. The image appears under its name when complete."""
    part = out.with_suffix(".part")
    part.unlink(missing_ok=True)
    # Not mksquashfs -cpiostyle: squashfs-tools 4.5.1 does not end then.
    tar = ["tar", "c", "--no-recursion", "--ignore-failed-read", "--warning=no-file-changed", "-T"]
    options = "-tar -no-progress -quiet -noI -noD -noF -noX -no-exports".split()
    with tempfile.NamedTemporaryFile("w", suffix=".names") as file:
        file.write(names)
        file.flush()
        with subprocess.Popen([*tar, file.name], cwd=top, stdout=subprocess.PIPE) as packing:
            made = subprocess.run(
                ["mksquashfs", "-", part, *options],
                stdin=packing.stdout,
                capture_output=True,
                text=True,
                check=False,
            )
    if made.returncode != 0 or packing.returncode not in (0, 1):
        raise Unusable(f"{out.name} cannot be made: {made.stderr.strip()[-600:]}")
    part.rename(out)


# --- the kernel ----------------------------------------------------------------------------------


def newest_package(series: str) -> str:
    meta = NEWEST[series]
    found = re.search(r"Depends: (linux-image-\S+)", run(["apt-cache", "depends", meta]))
    if found is None:
        raise Unusable(f"the package lists have no {meta}. fix: add Debian's security archive")
    return found[1]


def unpacked(series: str) -> Path:
    """The folder with boot/ and lib/modules/ of the newest kernel of a series."""
    package = newest_package(series)
    packages = FOLDER / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    folder = packages / package
    if folder.exists():
        return folder
    if not list(packages.glob(f"{package}_*.deb")):
        note(f"downloading {package}")
        run(["apt-get", "download", "-q", package], packages)
    note(f"unpacking {package}")
    part = packages / (package + ".part")
    shutil.rmtree(part, ignore_errors=True)
    run(["dpkg", "-x", next(packages.glob(f"{package}_*.deb")), part])
    version = next((part / "lib" / "modules").iterdir()).name
    run(["depmod", "-b", part, version])
    part.rename(folder)
    return folder


def in_order(modules: Path) -> list[str]:
    """The files of the modules that the initrd needs, each after those that it depends on."""
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        needs[file] = rest.split()
    by_name = {Path(file).name.split(".")[0].replace("-", "_"): file for file in needs}
    found: list[str] = []

    def add(file: str) -> None:
        for other in needs[file]:
            add(other)
        if file not in found:
            found.append(file)

    for name in MODULES:
        if name in by_name:  # else it is built into the kernel
            add(by_name[name])
    return found


def archive(entries: Sequence[tuple[str, int, bytes]]) -> bytes:
    """An archive as the kernel reads it (newc): path, mode and content of each entry."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        path = name.encode() + b"\0"
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        out += b"070701" + b"".join(b"%08x" % one for one in fields) + path
        out += b"\0" * (-len(out) % 4)
        out += data
        out += b"\0" * (-len(out) % 4)
    return bytes(out)


def make_initrd(modules: Path, out: Path) -> None:
    folder, program, link = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o755, stat.S_IFLNK | 0o777
    entries = [(name, folder, b"") for name in ("bin", "proc", "sys", "dev", "modules")]
    entries.append(("bin/busybox", program, Path("/bin/busybox").read_bytes()))
    for name in "sh mount insmod switch_root mkdir sleep cat cp echo uname".split():
        entries.append((f"bin/{name}", link, b"busybox"))
    names = []
    for file in in_order(modules):
        data = (modules / file).read_bytes()
        if file.endswith(".xz"):
            data = lzma.decompress(data)
        names.append(Path(file).name.removesuffix(".xz"))
        entries.append((f"modules/{names[-1]}", stat.S_IFREG | 0o644, data))
    entries.append(("modules/order", stat.S_IFREG | 0o644, "\n".join(names).encode() + b"\n"))
    entries.append(("checkout", stat.S_IFREG | 0o644, str(ROOT).encode() + b"\n"))
    entries.append(("init", program, (HERE / "initrd_init").read_bytes()))
    out.write_bytes(archive(entries))


def kernel_of(series: str) -> tuple[str, Path, Path, Path]:
    """Version, kernel, initrd and modules."""
    top = unpacked(series)
    modules = next((top / "lib" / "modules").iterdir())
    version = modules.name
    folder = FOLDER / version
    folder.mkdir(exist_ok=True)
    disk, initrd = folder / "modules.sqsh", folder / "initrd.img"
    if not is_current(disk, version):
        note(f"packing the modules of {version}")
        names = (path.relative_to(modules) for path in sorted(modules.rglob("*")))
        squash(disk, modules, "".join(f"{name}\n" for name in names))
        set_current(disk, version)
    made_of = digest(version, ROOT, MODULES, (HERE / "initrd_init").read_text())
    if not is_current(initrd, made_of):
        make_initrd(modules, initrd)
        set_current(initrd, made_of)
    return version, top / "boot" / f"vmlinuz-{version}", initrd, disk


# --- the root and the project --------------------------------------------------------------------


def below(top: Path, names: Sequence[str]) -> Iterator[str]:
    """The folders themselves, those above them, and all that is in them, as paths below `top`."""
    told = set()
    for name in names:
        path = top / name
        if not path.exists() and not path.is_symlink():
            continue
        for parent in reversed(Path(name).parents):
            if parent != Path(".") and str(parent) not in told:
                told.add(str(parent))
                yield str(parent)
        yield name
        if path.is_symlink() or not path.is_dir():
            continue
        for folder, folders, files in os.walk(path):
            for one in sorted(folders + files):
                yield str((Path(folder) / one).relative_to(top))


def make_root() -> Path:
    disk = FOLDER / "root.sqsh"
    status = Path("/var/lib/dpkg/status").read_text()
    made_of = digest(status, ROOT_FOLDERS, LEAVE_OUT.pattern)
    if not is_current(disk, made_of):
        note("packing the programs of this machine for the guest; about a minute")
        names = [name for name in below(Path("/"), ROOT_FOLDERS) if not LEAVE_OUT.search(name)]
        squash(disk, Path("/"), "".join(f"{name}\n" for name in names))
        set_current(disk, made_of)
    return disk


def make_project() -> Path:
    """The checkout and its release build."""
    disk = FOLDER / "project.sqsh"
    listed = run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], ROOT)
    built = [f"build/release/{name}" for name in PROJECT_BUILT]
    names = set(below(ROOT, [name for name in listed.split("\0") if name] + built))
    known = [(name, os.lstat(ROOT / name)) for name in sorted(names)]
    made_of = digest(*((name, one.st_size, one.st_mtime_ns) for name, one in known))
    if not is_current(disk, made_of):
        note("packing the checkout and its build")
        squash(disk, ROOT, "".join(f"{name}\n" for name in sorted(names)))
        set_current(disk, made_of)
    return disk


def make_guest(series: str) -> Guest:
    FOLDER.mkdir(parents=True, exist_ok=True)
    version, kernel, initrd, modules = kernel_of(series)
    return Guest(version, kernel, initrd, (make_root(), make_project(), modules))


def with_plan(guest: Guest, plan: str) -> Path:
    """An initrd for one boot. The kernel unpacks archives that follow each other."""
    out = guest.initrd.with_name("boot.img")
    extra = archive([("plan.json", stat.S_IFREG | 0o644, plan.encode())])
    out.write_bytes(guest.initrd.read_bytes() + extra)
    return out


def make_scratch() -> Path:
    """An empty disk for each boot."""
    disk = FOLDER / "scratch.img"
    disk.unlink(missing_ok=True)
    run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1", disk, SCRATCH])
    return disk
