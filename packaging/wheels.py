"""Which wheels travel in the Debian package: `requirements/debian.txt`, its making and its use.

The versions are those of `requirements/run.txt`. Beside each stand the hashes of exactly one wheel
per target (suite and architecture), so that every build of a target takes the same bytes. Names,
versions and hashes, no addresses: where wheels come from is for pip's own configuration to say.

Run as a script: `lock` writes the file, `check` fetches all of it, `fetch` brings one target's.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
RUN: Final = ROOT / "requirements" / "run.txt"
DEBIAN: Final = ROOT / "requirements" / "debian.txt"
_HEAD: Final = """\
# The wheels of the Debian package, one hash per suite and architecture. No addresses.
# Made of run.txt by `make debian-wheels`.
"""


class Suite(NamedTuple):
    """A Debian release: what its packages are marked with, its Python and its glibc 2.x."""

    mark: str
    python: str
    glibc: int


SUITES: Final = {
    "bookworm": Suite(mark="deb12", python="3.11", glibc=36),
    "trixie": Suite(mark="deb13", python="3.13", glibc=41),
}
# Debian's names of architectures, and those in wheel names.
ARCHITECTURES: Final = {"amd64": "x86_64", "arm64": "aarch64"}
# PEP 600: older names of manylinux_2_17, 2_12 and 2_5; the last two only for x86_64.
_LEGACY: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


def platforms(suite: str, architecture: str) -> list[str]:
    """Return the platform tags of wheels that run there, best first."""
    machine = ARCHITECTURES[architecture]
    found = []
    for minor in range(SUITES[suite].glibc, 4 if machine == "x86_64" else 16, -1):
        found.append(f"manylinux_2_{minor}_{machine}")
        if minor in _LEGACY:
            found.append(f"{_LEGACY[minor]}_{machine}")
    return [*found, f"linux_{machine}"]


def read_versions(path: Path) -> dict[str, str]:
    """Return the version of each project in a requirements file of ours, by normalized name."""
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==([^\s\\]+)", path.read_text(), re.MULTILINE)
    return {_normalize(name): version for name, version in pinned}


def read_hashes(path: Path) -> dict[str, frozenset[str]]:
    """Return the SHA-256 of each project's wheels in `debian.txt`, by normalized name."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    name = ""
    for line in path.read_text().splitlines():
        if pin := re.match(r"([A-Za-z0-9._-]+)==", line):
            name = _normalize(pin[1])
        found[name].update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return {name: frozenset(hashes) for name, hashes in found.items() if name}


def fetch(suite: str, architecture: str, into: Path, requirements: Path = DEBIAN) -> None:
    """Bring the wheels of one target into a folder, by pip as it is configured here."""
    only = [f"--platform={tag}" for tag in platforms(suite, architecture)]
    python = SUITES[suite].python
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--only-binary=:all:", f"--python-version={python}"),
        *("--implementation=cp", f"--abi=cp{python.replace('.', '')}", "--abi=abi3", "--abi=none"),
        *only,
        *(f"--dest={into}", f"--requirement={requirements}"),
    ]
    if requirements == DEBIAN:
        command.append("--require-hashes")
    subprocess.run(command, check=True)


def write_lock() -> None:
    """Write `requirements/debian.txt` for the versions in `run.txt`."""
    hashes: dict[str, set[str]] = collections.defaultdict(set)
    for wheel in _fetch_all(RUN):
        hashes[project_of(wheel)].add(sha256(wheel))
    versions = read_versions(RUN)
    if missing := versions.keys() ^ hashes.keys():
        raise SystemExit(f"no wheel, or no pin: {', '.join(sorted(missing))}")
    lines = []
    for name, version in sorted(versions.items()):
        pins = [f"--hash=sha256:{digest}" for digest in sorted(hashes[name])]
        lines.append(" \\\n    ".join([f"{name}=={version}", *pins]))
    DEBIAN.write_text(_HEAD + "\n".join(lines) + "\n")


def check_lock() -> None:
    """Fetch what `debian.txt` names for every target; SystemExit where it is wrong or gone."""
    if read_versions(DEBIAN) != read_versions(RUN):
        raise SystemExit(f"{DEBIAN.name} and {RUN.name} differ: make debian-wheels")
    known = frozenset().union(*read_hashes(DEBIAN).values())
    unused = known - {sha256(wheel) for wheel in _fetch_all(DEBIAN)}
    if unused:
        raise SystemExit(f"hashes that no target uses: {', '.join(sorted(unused))}")


def _fetch_all(requirements: Path) -> Iterator[Path]:
    for suite in SUITES:
        for architecture in ARCHITECTURES:
            with tempfile.TemporaryDirectory() as folder:
                fetch(suite, architecture, Path(folder), requirements)
                yield from sorted(Path(folder).iterdir())


def project_of(wheel: Path) -> str:
    """Return the normalized name of a wheel's project, with which its file name begins."""
    return _normalize(wheel.name.split("-")[0])


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _normalize(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("lock", help="write requirements/debian.txt from run.txt")
    commands.add_parser("check", help="fetch every wheel that it names")
    one = commands.add_parser("fetch", help="bring the wheels of one target into a folder")
    one.add_argument("--suite", choices=SUITES, required=True)
    one.add_argument("--architecture", choices=ARCHITECTURES, default="amd64")
    one.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.command == "lock":
        write_lock()
    elif given.command == "check":
        check_lock()
    else:
        fetch(given.suite, given.architecture, given.folder)


if __name__ == "__main__":
    main()
