#!/usr/bin/env python3
"""The Debian packages, as a user of a new system meets them.

    debian_packages.py BUILD    the build folder

They are made by CPack and checked by lintian. debootstrap makes a system in a folder; there they
are installed with apt, used, and removed, and nothing is left.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import harness
from harness import Problem, call, require

NEEDED = ("debootstrap", "lintian", "dpkg-shlibdeps", "unshare")
PACKAGES = (
    "libuzswap-dev",
    "libuzswap0",
    "nbdkit-plugin-uzswap",
    "python3-uzswap",
    "uzswap",
)
# The project has no mail address; who publishes the packages sets UZSWAP_PACKAGE_CONTACT.
NO_ADDRESS = ("bogus-mail-host", "bogus-mail-host-in-debian-changelog")
# Some 140 MiB of strings without uzswap; the sum shows that all came back.
FILLER = """
my @rows = map { "row $_ " x 24 } 1..400_000;
my $sum = 0; $sum += length for @rows;
print "$sum\\n";
"""
# Run in the new system. A step that fails ends it.
STEPS = """
set -eu
export DEBIAN_FRONTEND=noninteractive
find / -xdev -path /proc -prune -o -path /packages -prune -o -print | sort >/before
apt-get update -q
apt-get install -q -y --no-install-recommends /packages/*.deb
getent group uzswap
uzswap --version
uzswap check
uzswap help run | head -n 5
test -s /usr/share/man/man1/uzswap-run.1.gz
test -s /usr/share/bash-completion/completions/uzswap
test -s /lib/udev/rules.d/60-uzswap.rules
alone=$(perl /filler.pl)
limited=$(uzswap run --limit 64M --summary -- perl /filler.pl)
echo "perl: $alone and $limited"
test "$alone" = "$limited"
python3 -c 'import uzswap; print(uzswap.__name__)'
nbdkit --exit-with-parent -U - uzswap 16M limit=2M --run 'echo nbdkit serves "$uri"'
dpkg --purge %(packages)s
find / -xdev -path /proc -prune -o -path /packages -prune -o -print | sort >/after
comm -13 /before /after | grep uzswap && exit 1
echo 'nothing is left'
"""


def make(build: Path, folder: Path) -> list[Path]:
    call("cpack", "--config", str(build / "CPackConfig.cmake"), "-B", str(folder))
    made = sorted(folder.glob("*.deb"))
    names = tuple(path.name.split("_")[0] for path in made)
    require(names == PACKAGES, f"CPack made {names}")
    return made


def check(packages: list[Path]) -> str:
    """lintian finds no error. What it warns of is printed."""
    quiet = "--suppress-tags=" + ",".join(NO_ADDRESS)
    return call("lintian", "--allow-root", "--fail-on=error", quiet, *map(str, packages)).strip()


def mirror() -> tuple[str, str]:
    """Where this machine gets the packages of its release."""
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines()
    )["VERSION_CODENAME"]
    listed = call(
        "apt-get",
        "indextargets",
        "--format",
        "$(SITE) $(RELEASE) $(COMPONENT)",
        "Created-By: Packages",
    )
    for line in listed.splitlines():
        site, suite, component = line.split()
        if (suite, component) == (release, "main"):
            return release, site
    raise Problem(f"apt has no source for {release}: {listed}")


def new_system(root: Path, packages: list[Path]) -> None:
    release, site = mirror()
    call("debootstrap", "--variant=minbase", release, str(root), site)
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    (root / "packages").mkdir()
    for package in packages:
        shutil.copy(package, root / "packages")
    (root / "filler.pl").write_text(FILLER)
    steps = STEPS % {"packages": " ".join(PACKAGES)}
    (root / "steps").write_text(steps)


def use(root: Path) -> str:
    """The mounts end with the namespace, whatever happens."""
    inside = f"mount -t proc proc {root}/proc && mount --bind /dev {root}/dev"
    inside += f" && exec chroot {root} /bin/sh /steps"
    return call("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", inside)


def main() -> int:
    (build,) = sys.argv[1:]
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        harness.skip(f"there is no {', '.join(missing)}")
    if not harness.has_userfaultfd_move():
        harness.skip("no userfaultfd with MOVE (Linux 6.8)")
    with harness.scratch_folder() as name:
        folder = Path(name)
        packages = make(Path(build), folder / "packages")
        print(check(packages), flush=True)
        new_system(folder / "root", packages)
        print(use(folder / "root"))
    return 0


if __name__ == "__main__":
    harness.exit_with(main)
