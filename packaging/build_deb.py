#!/usr/bin/python3
"""Build the Debian packages: build-deb [--suite bookworm|trixie] [--wheels DIR] [--output DIR].

For the suite of this host it builds here; for another one in a root that mmdebstrap makes, and
removes. The same sources give the same bytes, wherever, whenever and as whomever they are built:
sources and wheels are laid out afresh with the times of debian/changelog, and the build itself
needs no network (making another suite's root does). With --wheels nothing is fetched at all.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

sys.dont_write_bytecode = True

import wheels  # noqa: E402 - the module beside this one

ROOT: Final = Path(__file__).resolve().parent.parent
# All that a build reads; a checkout may hold more, and without git nothing says what belongs to it.
SOURCES: Final = (
    *("pypicached", "packaging", "systemd", "requirements/debian.txt", "pyproject.toml"),
    *("README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"),
)
_NEVER: Final = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.pyc")
# What the build needs is checked before; a compiler, which dpkg would insist on, is not among it.
_BUILD: Final = ("dpkg-buildpackage", "-us", "-uc", "-b", "-d")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Build the Debian packages.")
    parser.add_argument("--suite", choices=wheels.SUITES, help="default: this host's own")
    parser.add_argument("--wheels", type=Path, metavar="DIR", help="take wheels from here")
    parser.add_argument("--output", type=Path, metavar="DIR", default=ROOT / "dist")
    given = parser.parse_args()
    own = own_suite()
    suite = given.suite or own
    if suite is None:
        raise SystemExit(f"name a --suite: this host is none of {', '.join(wheels.SUITES)}")
    architecture = run_for_text("dpkg", "--print-architecture")
    if architecture not in wheels.ARCHITECTURES:
        raise SystemExit(
            f"there are pins for {', '.join(wheels.ARCHITECTURES)}, not {architecture}"
        )
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="pypicached-deb-") as folder:
        tree = Path(folder) / "source"
        lay_out(tree, suite)
        check_needs(tree, foreign=suite != own)
        collect_wheels(given.wheels, tree / "wheels", suite, architecture)
        settle_times(tree)
        if suite == own:
            build_here(tree)
        else:
            build_in_root(tree, suite)
        deliver(Path(folder), given.output)


def own_suite() -> str | None:
    """Return the suite that this host is, if it is one that we build for."""
    text = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\w+)$", text, re.MULTILINE)
    return found[1] if found and found[1] in wheels.SUITES else None


def lay_out(tree: Path, suite: str) -> None:
    """Copy the sources, move debian/ to where Debian wants it, and mark its version."""
    tree.mkdir()
    if (ROOT / ".git").exists():
        if run_for_text("git", "status", "--porcelain", "--", *SOURCES, cwd=ROOT):
            say("uncommitted changes are not in the package: it is built from the last commit")
        archive = subprocess.run(
            ["git", "archive", "HEAD", "--", *SOURCES], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    else:
        for name in SOURCES:
            copy(ROOT / name, tree / name)
    shutil.move(tree / "packaging/debian", tree / "debian")
    version = own_version(tree)
    for path in (tree / "debian/changelog", *(tree / "debian").glob("*.NEWS")):
        path.write_text(mark_version(path.name, path.read_text(), version, suite))


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without what Python leaves in it."""
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=_NEVER)
    else:
        shutil.copy(source, target)


def own_version(tree: Path) -> str:
    """Return the version of the sources, as Debian spells it: 1.0rc1 comes before 1.0."""
    text = (tree / "pypicached/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("pypicached/__init__.py has no __version__")
    return re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", found[1])


def mark_version(name: str, text: str, version: str, suite: str) -> str:
    """Return a changelog, or NEWS, with every version marked as one for `suite`.

    SystemExit if a changelog does not begin with `version`; news are for a few versions only.
    """
    entry = re.compile(r"^pypicached \(([^)]+)\) \w+;", re.MULTILINE)
    first = entry.match(text)
    if first is None or (name == "changelog" and first[1] != version):
        raise SystemExit(
            f"packaging/debian/{name} begins with {first[1] if first else 'no entry'}, but this is "
            f"{version}: add an entry"
        )
    mark = wheels.SUITES[suite].mark
    return entry.sub(lambda found: f"pypicached ({found[1]}~{mark}) {suite};", text)


def check_needs(tree: Path, *, foreign: bool) -> None:
    """SystemExit with the apt-get line if something that the build needs is missing here."""
    programs = {"dpkg-parsechangelog": "dpkg-dev"}
    if foreign:
        programs["mmdebstrap"] = "mmdebstrap"
        if os.geteuid() != 0:
            # mmdebstrap works in a user namespace then.
            programs["newuidmap"] = "uidmap"
    missing = [package for program, package in programs.items() if not shutil.which(program)]
    if importlib.util.find_spec("pip") is None:
        missing.append("python3-pip")
    if not foreign:
        can_tell = shutil.which("dpkg-checkbuilddeps") is not None
        missing += unmet_build_depends(tree) if can_tell else build_depends(tree)
    if missing:
        names = " ".join(dict.fromkeys(missing))
        raise SystemExit(f"first: apt-get install --no-install-recommends {names}")


def unmet_build_depends(tree: Path) -> list[str]:
    """Return the names of the packages in Build-Depends that this host lacks."""
    told = subprocess.run(
        ["dpkg-checkbuilddeps", "-I"], cwd=tree, env=clean_environment(), check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    unmet = told.stderr.partition("nmet build dependencies: ")[2]
    names = re.sub(r"\s*\([^)]*\)", "", unmet).split()
    return ["debhelper" if name == "debhelper-compat" else name for name in names]


def collect_wheels(given: Path | None, into: Path, suite: str, architecture: str) -> None:
    """Put wheels into the tree: fetched, or those of a folder that are in debian.txt."""
    into.mkdir()
    if given is None:
        wheels.fetch(suite, architecture, into)
        return
    pinned = wheels.read_hashes(wheels.DEBIAN)
    missing = set(pinned)
    for path in sorted(given.glob("*.whl")):
        name = wheels.project_of(path)
        if wheels.sha256(path) in pinned.get(name, ()):
            shutil.copyfile(path, into / path.name)
            missing.discard(name)
    if missing:
        names = ", ".join(sorted(missing))
        raise SystemExit(
            f"{given} has no wheel that requirements/debian.txt names of {names}: "
            f"python3 packaging/wheels.py fetch --suite {suite} {given}"
        )


def settle_times(tree: Path) -> None:
    """Give every file the time of the changelog's first entry, and the usual modes."""
    stamp = run_for_text("dpkg-parsechangelog", "-STimestamp", cwd=tree)
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        os.utime(path, (int(stamp), int(stamp)))


def clean_environment() -> dict[str, str]:
    """Return an environment in which nothing of the caller's changes a build."""
    return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}


def build_here(tree: Path) -> None:
    """Build with what this host has installed."""
    subprocess.run(_BUILD, cwd=tree, env=clean_environment(), check=True)


def build_in_root(tree: Path, suite: str) -> None:
    """Build in a minimal root of another suite, which lives as long as mmdebstrap runs."""
    needs = run_for_text("dpkg-parsechangelog", "-SSource", cwd=tree)
    say(f"building {needs} in a new {suite} root")
    build = f"cd /build/source && {' '.join(_BUILD)}"
    subprocess.run(
        [
            *("mmdebstrap", "--variant=apt", "--format=null", "--quiet"),
            f"--include={','.join(build_depends(tree))}",
            "--customize-hook=mkdir $1/build",
            f"--customize-hook=copy-in {tree} /build",
            f"--customize-hook=chroot $1 env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 "
            f"HOME=/nonexistent sh -c '{build}'",
            "--customize-hook=rm -r $1/build/source",
            f"--customize-hook=sync-out /build {tree.parent}",
            *(suite, "/dev/null"),
        ],
        check=True,
    )


def build_depends(tree: Path) -> list[str]:
    """Return the names of the packages in Build-Depends."""
    found = re.search(r"^Build-Depends:\n((?: .+\n)+)", (tree / "debian/control").read_text(), re.M)
    names = re.findall(r"^ ([a-z0-9.+-]+)", found[1] if found else "", re.MULTILINE)
    return ["debhelper" if name == "debhelper-compat" else name for name in names]


def deliver(built: Path, output: Path) -> None:
    """Move the packages to where they are wanted, and name them."""
    output.mkdir(parents=True, exist_ok=True)
    found = sorted(built.glob("*.deb"))
    if not found:
        raise SystemExit("the build left no package")
    for path in found:
        shutil.copyfile(path, output / path.name)
        sys.stdout.write(f"{output / path.name}\n")


def run_for_text(*command: str, cwd: Path | None = None) -> str:
    """Return what a command prints."""
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def say(text: str) -> None:
    """Tell the person who builds."""
    sys.stderr.write(f"build-deb: {text}\n")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(f"build-deb: {error.cmd[0]} failed with exit code {error.returncode}")
