"""The package files themselves."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deb.layers import Layers
from tests.deb.packages import SUITE, Packages, field, suite

_ROOT = Path(__file__).parents[2]


def test_package__small(packages: Packages) -> None:
    """It is under 12 MB, and needs no more disk than 40 MB."""
    assert packages.daemon.stat().st_size < 12_000_000
    assert int(field(packages.daemon, "Installed-Size")) < 46_000


def test_package__lintian(packages: Packages) -> None:
    """lintian has no error and no warning."""
    files = [str(package) for package in packages.both]
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on=error,warning", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_package__piuparts(packages: Packages, layers: Layers) -> None:
    """piuparts installs, removes and purges them in a root without systemd, and finds nothing."""
    [root] = layers.base
    sources = (root / "etc/apt/sources.list").read_text()
    mirror = re.search(r"https?://\S+", sources)
    assert mirror is not None
    line = ["piuparts", f"--existing-chroot={root}", f"--distribution={suite()}", "--no-eatmydata"]
    line += [f"--mirror={mirror[0]} main", *(str(package) for package in packages.both)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]


def test_package__no_path_of_its_build(packages: Packages) -> None:
    """Nothing in it tells where it was built."""
    listed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(packages.daemon)], capture_output=True, check=True
    )
    for word in (str(_ROOT), "pypicached-deb-", "/build/source"):
        assert word.encode() not in listed.stdout, word


@pytest.mark.skipif(SUITE in os.environ, reason="another suite's root takes too long to make")
def test_package__reproducible(packages: Packages, tmp_path: Path) -> None:
    """Another build of the same commit gives the same bytes."""
    script = [str(_ROOT / "packaging/build_deb.py"), "--output", str(tmp_path)]
    done = subprocess.run(
        ["/usr/bin/python3", *script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for package in packages.both:
        again = tmp_path / package.name
        assert hashlib.sha256(again.read_bytes()).digest() == (
            hashlib.sha256(package.read_bytes()).digest()
        ), package.name
