"""A control group of its own for each machine.

`systemd-nspawn --keep-unit` puts what it boots below the group it was started in, always under the
same names. Two machines in one group would take each other's services for theirs.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

GONE_SECONDS = 20.0
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
    """Remove them with everything below; whatever ran in there has been killed."""
    until = time.monotonic() + GONE_SECONDS
    for group in groups:
        # Busy until the last of the killed has gone.
        while not _removed(group) and time.monotonic() < until:
            time.sleep(0.05)


def _removed(group: Path) -> bool:
    below = [path for path in group.rglob("*") if path.is_dir()]
    for path in [*sorted(below, reverse=True), group]:
        with contextlib.suppress(OSError):
            path.rmdir()
    return not group.exists()


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
