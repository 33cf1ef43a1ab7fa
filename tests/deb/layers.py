"""The disks that machines start from, each over the one before.

base       what mmdebstrap makes: a minimal Debian with systemd, kept between runs if wanted
fetched    and Debian's packages that ours need, downloaded only: no machine has a network
tools      and pip, uv and a few users
installed  and our packages, installed by apt while it ran
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.deb.machine import Machine
from tests.deb.packages import HERE, Packages
from tests.e2e.clients import UV

# A directory in which bases are kept.
KEPT = "PYPICACHED_TEST_ROOTS"
# Older ones do not have Debian's newest packages, whose predecessors leave the archive.
_KEPT_SECONDS = 3 * 24 * 3600
_TOOLS = ("python3-venv", "python3-pip", "ca-certificates")
_NETWORK = ("http_proxy", "https_proxy", "no_proxy")
# The one thing in README.md's lines that nobody is there to answer.
YES = 'APT::Get::Assume-Yes "true";\n'
# Who works on the machine: anybody, and one who will be in the group.
USERS = ("builder", "member")

_FETCH = """
mount -t overlay -o "lowerdir=$LOWER,upperdir=$DISK/upper,workdir=$DISK/work" overlay "$DISK/root"
mount --rbind /proc "$DISK/root/proc"
rm -f "$DISK/root/etc/resolv.conf"
cp /etc/resolv.conf "$DISK/root/etc/resolv.conf"
mkdir -p "$DISK/root$HERE"
cp "$@" "$DISK/root$HERE"
chroot "$DISK/root" sh -euc '
    apt-get -qq update
    apt-get -qq --download-only install "$HERE"/*.deb >/dev/null
    apt-get -qq --download-only --no-install-recommends install $TOOLS >/dev/null
'
rm "$DISK/root/etc/resolv.conf"
"""


class Installation(NamedTuple):
    """What installing our packages was like."""

    processor_seconds: float
    output: str
    states: dict[str, str]
    before: dict[str, str]


class Layers:
    """Makes the layers in `directory` when they are asked for, for one suite and its packages."""

    def __init__(self, directory: Path, suite: str, packages: Packages) -> None:
        self._directory = directory
        self._suite = suite
        self._packages = packages
        self._count = 0

    def machine(self, below: Sequence[Path]) -> Machine:
        """Return a machine over these layers, yet to be booted."""
        self._count += 1
        disk = self._directory / f"m{self._count}"
        disk.mkdir()
        return Machine(disk, below)

    @contextmanager
    def booted(
        self, below: Sequence[Path], files: Mapping[str, str] = MappingProxyType({})
    ) -> Iterator[Machine]:
        """Yield a running machine over these layers and files; at the end nothing is left of it."""
        machine = self.machine(below)
        for path, text in files.items():
            machine.place(path, text)
        try:
            with machine:
                yield machine
        finally:
            shutil.rmtree(machine.disk)

    @cached_property
    def base(self) -> list[Path]:
        """A minimal Debian."""
        kept = os.environ.get(KEPT)
        root = (Path(kept) if kept else self._directory) / self._suite
        if root.is_dir() and time.time() - root.stat().st_mtime > _KEPT_SECONDS:
            shutil.rmtree(root)
        if not root.is_dir():
            unfinished = root.with_suffix(".unfinished")
            _debootstrap(self._suite, unfinished)
            unfinished.rename(root)
            os.utime(root)
        return [root]

    @cached_property
    def fetched(self) -> list[Path]:
        """A minimal Debian that has downloaded what is going to be installed."""
        disk = self._directory / "fetched"
        for name in ("upper", "work", "root"):
            (disk / name).mkdir(parents=True)
        environment = {name: os.environ[name] for name in _NETWORK if name in os.environ} | {
            "PATH": os.environ["PATH"],
            "DEBIAN_FRONTEND": "noninteractive",
            "LOWER": ":".join(str(layer) for layer in self.base),
            "DISK": str(disk),
            "HERE": HERE,
            "TOOLS": " ".join(_TOOLS),
        }
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        files = [str(package) for package in self._packages.both]
        subprocess.run(
            [*apart, "sh", "-euc", _FETCH, "sh", *files], env=environment, check=True, timeout=300
        )
        return [disk / "upper", *self.base]

    @cached_property
    def tools(self) -> list[Path]:
        """A build host before us: with pip, uv and users."""
        machine = self.machine(self.fetched)
        with machine:
            machine.run("apt-get", "-qq", "install", "--no-install-recommends", *_TOOLS)
            machine.write("/etc/apt/apt.conf.d/yes", YES)
            for user in USERS:
                machine.run("useradd", "--create-home", "--shell", "/bin/sh", user)
            shutil.copy(UV, machine.path("/usr/local/bin/uv"))
            machine.power_off()
        return [machine.upper, *self.fetched]

    @cached_property
    def installation(self) -> tuple[list[Path], Installation]:
        """A build host with our packages, and how it came to them."""
        machine = self.machine(self.tools)
        with machine:
            before = listing(machine)
            # Of all that apt runs; the wall clock would measure who else works here.
            began = _processor_seconds()
            output = install(machine)
            used = _processor_seconds() - began
            units = ("pypicached.service", "pypicached.socket", "pypicached-control.socket")
            states = {unit: machine.state(unit) for unit in units}
            machine.run("usermod", "--append", "--groups", "pypicached", "member")
            machine.power_off()
        layers = [machine.upper, *self.tools]
        return layers, Installation(used, output, states, before)

    @property
    def installed(self) -> list[Path]:
        """A build host with our packages, after a shutdown."""
        return self.installation[0]


def install(machine: Machine) -> str:
    """Install our packages as README.md says, and return what apt printed."""
    line = "apt install ./pypicached_*.deb ./pypicached-client_*.deb"
    assert line in (Path(__file__).parents[2] / "README.md").read_text()
    return machine.shell(f"cd {HERE} && {line} 2>&1")


def _processor_seconds() -> float:
    """Return what processes of ours that have ended took of a processor."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def listing(machine: Machine) -> dict[str, str]:
    """Return path → what is there, of everything on its disk and in /run."""
    script = r"""
        find / -xdev -printf '%p\t%y %m %u:%g %l\n'
        find /run -xdev -path /run/systemd -prune -o -printf '%p\t%y %m %u:%g %l\n'
        find /etc -type f -exec sha256sum {} + | sed 's/\(.*\)  \(.*\)/\2 (content)\t\1/'
    """
    lines = machine.shell(script).splitlines()
    return dict(line.split("\t", 1) for line in lines)


def _debootstrap(suite: str, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
            *("--include=systemd,systemd-sysv,dbus", "--skip=cleanup/apt/lists"),
            *(suite, str(target)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
