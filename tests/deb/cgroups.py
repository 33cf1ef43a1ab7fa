"""A control group of its own for each machine.

`systemd-nspawn --keep-unit` puts what it boots below the group it was started in, always under the
same names. Two machines in one group would take each other's services for theirs.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

# The hierarchies that a service manager works in: its own of version 1, and version 2.
_KINDS = {"name=systemd", ""}


def make_groups(name: str) -> list[Path]:
    """Make a group of this name below our own, in every hierarchy that systemd uses."""
    made = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kind, own = line.split(":", 2)
        mounted = _mounted(kind) if kind in _KINDS else None
        if mounted is not None:
            made.append(mounted / own.lstrip("/") / name)
            made[-1].mkdir()
    return made


def remove_groups(groups: list[Path]) -> None:
    """Remove them with everything below; whatever ran in there has ended."""
    for group in groups:
        below = [path for path in group.rglob("*") if path.is_dir()]
        for path in [*sorted(below, reverse=True), group]:
            # Groups of the machine's own processes may go while we look.
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()


def _mounted(kind: str) -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        filesystem, _, options = after.split()[:3]
        # proc(5): fields 4 and 5 are the root of the mount and where it is.
        root, where = before.split()[3:5]
        fits = filesystem == "cgroup2" if kind == "" else kind in options.split(",")
        if fits and root == "/":
            return Path(where)
    return None
