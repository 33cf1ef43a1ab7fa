"""The packages under test, and one that follows them."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.deb.machine import Machine

# Where `make deb` has put the packages.
DIRECTORY = "PYPICACHED_TEST_DEB"
# Which of them are meant, by the suite's name.
SUITE = "PYPICACHED_TEST_SUITE"
_RELEASES = {"bookworm": "12", "trixie": "13"}
# Programs that the tests use, and the packages of Debian that have them.
_NEEDS = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "lintian": "lintian",
    "piuparts": "piuparts",
}
# Where a machine finds them.
HERE = "/var/tmp/packages"


class Packages(NamedTuple):
    """The files of one build."""

    daemon: Path
    client: Path

    @property
    def both(self) -> tuple[Path, Path]:
        """The files, the daemon's first."""
        return self.daemon, self.client

    @property
    def version(self) -> str:
        """The version of both, as dpkg knows it."""
        return field(self.daemon, "Version")


def suite() -> str:
    """Return the name of the Debian release under test; if none is named, this host's."""
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    return os.environ.get(SUITE, own)


def find_packages() -> Packages:
    """Return the newest packages for the suite; AssertionError if one is missing."""
    missing = [package for program, package in _NEEDS.items() if shutil.which(program) is None]
    assert not missing, f"first: apt-get install {' '.join(missing)}"
    directory = Path(os.environ[DIRECTORY])
    release = _RELEASES[suite()]
    found = []
    for name in ("pypicached", "pypicached-client"):
        fitting = [
            path
            for path in directory.glob(f"{name}_*.deb")
            if f"~deb{release}" in path.name or "~deb" not in path.name
        ]
        assert fitting, f"no package {name} for {suite()} in {directory}: make deb"
        found.append(max(fitting, key=lambda path: path.stat().st_mtime))
    return Packages(*found)


def field(package: Path, name: str) -> str:
    """Return a field of a package's control file."""
    line = ["dpkg-deb", "--field", str(package), name]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


def make_next(machine: Machine, package: Path, program_version: str) -> str:
    """Make the package's successor in the machine, and return its path there.

    It differs by its version and by what the program says of its own: that shows who answers.
    """
    return machine.shell(
        f"""
        cd /var/tmp && rm -rf next && dpkg-deb --raw-extract {HERE}/{package.name} next
        sed -i 's/^Version: .*/&+next/' next/DEBIAN/control
        init=$(find next/usr/lib/pypicached -path '*/pypicached/__init__.py')
        sed -i 's/^__version__ = .*/__version__ = "{program_version}"/' "$init"
        find "$(dirname "$init")/__pycache__" -name '__init__.*.pyc' -delete
        python3 -m compileall -q --invalidation-mode unchecked-hash "$init"
        dpkg-deb --build --root-owner-group -Znone next next.deb >/dev/null
        rm -r next
        echo /var/tmp/next.deb
        """
    )
